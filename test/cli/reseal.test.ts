import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { reseal } from "../../src/cli/reseal.ts";
import { openSettings } from "../../src/cli/settings.ts";
import { besideOf } from "../../src/store/beside.ts";
import { makeFolder } from "../store/folder.ts";
import { KEYS, plain, readOpened, withBoth, withNew, withOld } from "../support/sealing.ts";

const BOTH = `${KEYS.new},${KEYS.old}`;

async function run(dir: string, keys: string, isPlain = false, more: Record<string, string> = {}) {
  const printed: string[] = [];
  const complained: string[] = [];
  const flags = { "auth-dir": dir, ...(keys !== "" && { "credential-key": keys }), ...more };
  const code = await reseal(await openSettings(undefined, flags, {}), isPlain, {
    print: (line) => printed.push(line),
    complain: (line) => complained.push(line),
  });
  return { code, printed, complained };
}

function put(dir: string, name: string, token: string, sealer = plain): string {
  const path = join(dir, name);
  writeFileSync(path, sealer.seal(JSON.stringify({ refresh_token: token })));
  return path;
}

function bytesIn(dir: string): string {
  return readdirSync(dir)
    .map((name) => readFileSync(join(dir, name), "utf8"))
    .join("\n");
}

describe("reseal", () => {
  test("brings every account under the first key, says what became of each, and finds nothing to do again", async () => {
    const dir = makeFolder();
    const paths = [
      put(dir, "a.json", "rt_a"),
      put(dir, "b.json", "rt_b", withOld),
      put(dir, "c.json", "rt_c", withNew),
      put(dir, "d.json.disabled", "rt_d", withOld),
    ];
    const texts = paths.map(readOpened);
    const [newId = "", oldId = ""] = withBoth.keyIds;
    expect(await run(dir, BOTH)).toEqual({
      code: 0,
      printed: [
        "sealed: a.json",
        "sealed: b.json",
        "unchanged: c.json",
        "sealed: d.json.disabled",
        `3 sealed with key ${newId}, 1 unchanged, 0 failed`,
      ],
      complained: [],
    });
    expect(paths.map(readOpened)).toEqual(texts);
    expect(bytesIn(dir)).not.toContain("rt_");
    expect(bytesIn(dir)).not.toContain(oldId);
    const again = await run(dir, KEYS.new);
    expect(again.printed.at(-1)).toBe(`0 sealed with key ${newId}, 4 unchanged, 0 failed`);
  });

  test("--plain gives every file back as it was, and says how it stays so", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", "rt_a");
    const before = readFileSync(path, "utf8");
    await run(dir, KEYS.old);
    put(dir, "b.json", "rt_b");
    const { code, printed } = await run(dir, BOTH, true);
    expect({ code, printed }).toEqual({
      code: 0,
      printed: [
        "unsealed: a.json",
        "unchanged: b.json",
        "1 unsealed, 1 unchanged, 0 failed",
        expect.stringContaining("take the key out of the configuration"),
      ],
    });
    expect(readFileSync(path, "utf8")).toBe(before);
    expect(await run(dir, "", true)).toMatchObject({
      code: 0,
      printed: ["unchanged: a.json", "unchanged: b.json", "0 unsealed, 2 unchanged, 0 failed"],
    });
  });

  test("names what it cannot do, does the rest, and ends with 1", async () => {
    const dir = makeFolder();
    const locked = put(dir, "a.json", "rt_a", withOld);
    const before = readFileSync(locked, "utf8");
    put(dir, "b.json", "rt_b");
    writeFileSync(join(dir, "gemini.json"), '{"type":"gemini"}');
    mkdirSync(join(dir, "folder.json"));
    const { code, printed, complained } = await run(dir, KEYS.new);
    expect(code).toBe(1);
    expect(complained).toEqual([
      expect.stringMatching(/^failed: a\.json: it is encrypted with key/),
      expect.stringMatching(/^failed: folder\.json: this is a folder/),
      expect.stringMatching(/^failed: gemini\.json: this is not a Codex account/),
    ]);
    expect(printed).toEqual([
      "sealed: b.json",
      expect.stringMatching(/^1 sealed with key \w{8}, 0 unchanged, 3 failed$/),
    ]);
    expect(readFileSync(locked, "utf8")).toBe(before);
    const listed = await run(dir, KEYS.new, false, { accounts: "b.json,gone.json" });
    expect(listed.code).toBe(1);
    expect(listed.complained).toEqual([expect.stringMatching(/^failed: gone\.json: it is named/)]);
  });

  test("puts in first what a killed renewal left, under whichever name", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", "rt_1");
    renameSync(put(dir, "tmp", "rt_1"), besideOf(path, "last"));
    renameSync(put(dir, "tmp", "rt_2"), besideOf(path, "next"));
    renameSync(put(dir, "tmp", "rt_x"), besideOf(join(dir, "gone.json"), "next"));
    const { code, printed } = await run(dir, KEYS.new);
    expect(code).toBe(0);
    expect(printed.slice(0, 2)).toEqual([
      "sealed: a.json",
      expect.stringMatching(/^sealed: \.codex-proxy-\w{16}\.next$/),
    ]);
    expect(readOpened(path)).toContain("rt_2");
    expect(bytesIn(dir)).not.toContain("rt_");
  });

  test("without a key, or with one that is none, it does nothing and ends with 2", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", "rt_a");
    expect(await run(dir, "")).toEqual({
      code: 2,
      printed: [],
      complained: [expect.stringContaining("there is no key to encrypt with")],
    });
    expect(await run(dir, "hunter22")).toMatchObject({ code: 2, printed: [] });
    expect(await run(join(dir, "a.json"), KEYS.new)).toMatchObject({ code: 1 });
    expect(readFileSync(path, "utf8")).toContain("rt_a");
  });
});
