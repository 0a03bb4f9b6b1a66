import { describe, expect, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { besideOf } from "../../src/store/beside.ts";
import { compare, differ, list, readContent, signatureOf } from "../../src/store/listing.ts";
import { plain } from "../support/sealing.ts";
import { makeFolder } from "./folder.ts";

describe("list", () => {
  test("accounts by name, and what lies hidden beside them", async () => {
    const dir = makeFolder();
    const path = join(dir, "a.json");
    const [next, last] = [besideOf(path, "next"), besideOf(path, "last")];
    const temporary = join(dir, ".codex-proxy-00000000000000aa.tmp");
    for (const each of [join(dir, "b.json"), path, next, last, temporary])
      writeFileSync(each, "{}");
    const listing = await list(dir);
    if (typeof listing === "string") throw new Error(listing);
    expect([...listing.signatures.keys()]).toEqual([path, join(dir, "b.json")]);
    expect(listing.signatures.get(path)).toBe(signatureOf(statSync(path)));
    expect([...listing.copies].sort()).toEqual([next, last].sort());
    expect(listing.temporaries).toEqual([temporary]);
  });

  test("one file can be left out, whatever it is called and whoever names it", async () => {
    const dir = makeFolder();
    const [account, state] = [join(dir, "a.json"), join(dir, "state.json")];
    for (const each of [account, state]) writeFileSync(each, "{}");
    for (const named of [[], ["a.json", "state.json"]]) {
      const listing = await list(dir, named, state);
      if (typeof listing === "string") throw new Error(listing);
      expect([...listing.signatures.keys()]).toEqual([account]);
      expect(listing.faults.size).toBe(0);
    }
  });

  test("a folder that is not there is told in words", async () => {
    expect(await list("/nowhere/at/all")).toMatch(/^all: the folder of the account files cannot/);
  });
});

describe("readContent", () => {
  test("a whole file is read as it is, whatever is kept beside it", async () => {
    const path = join(makeFolder(), "a.json");
    writeFileSync(path, '{"access_token":"at-2"}');
    writeFileSync(besideOf(path, "last"), '{"access_token":"at-1"}');
    const content = await readContent(path, plain);
    expect(content).toMatchObject({ ok: true, content: '{"access_token":"at-2"}' });
    expect(content).not.toHaveProperty("warning");
  });

  test("a copy that is no account is of no use", async () => {
    const path = join(makeFolder(), "a.json");
    writeFileSync(path, "");
    writeFileSync(besideOf(path, "last"), "{}");
    expect(await readContent(path, plain)).toMatchObject({ ok: true, content: "" });
  });
});

test("differ sees files that come, go and change, and not our own writes", () => {
  const before = new Map([["a", "1"]]);
  expect(differ(before, new Map([["a", "1"]]), new Map())).toBe(false);
  expect(differ(before, new Map([["a", "2"]]), new Map())).toBe(true);
  expect(differ(before, new Map([["a", "2"]]), new Map([["2", "1"]]))).toBe(false);
  expect(differ(before, new Map(), new Map())).toBe(true);
  expect(differ(before, new Map([["b", "1"]]), new Map())).toBe(true);
});

test("compare orders names the same everywhere", () => {
  expect(["b", "a", "B"].sort(compare)).toEqual(["B", "a", "b"]);
});
