import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolder as makeCopyFolder, putCopy } from "../../src/store/copy.ts";
import { onPosix } from "../support/system.ts";
import { makeFolder } from "./folder.ts";

describe("copies of accounts", () => {
  onPosix("lie in a folder for their owner alone, 0600", async () => {
    const dir = join(makeFolder(), "deep", "copies");
    expect(await makeCopyFolder(dir)).toBeUndefined();
    expect(await putCopy(dir, "a.json", "{}")).toEqual({ ok: true, name: "a.json", isOld: false });
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, "a.json")).mode & 0o777).toBe(0o600);
  });

  test("replace nothing: another file of that name stays, the same one is not written twice", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "a.json"), "mine");
    expect(await putCopy(dir, "a.json", "{}")).toMatchObject({ name: "a.2.json", isOld: false });
    expect(await putCopy(dir, "a.json", "{}")).toMatchObject({ name: "a.2.json", isOld: true });
    expect(await putCopy(dir, "a.json", "{ }")).toMatchObject({ name: "a.3.json" });
    expect(readFileSync(join(dir, "a.json"), "utf8")).toBe("mine");
    expect(readdirSync(dir).sort()).toEqual(["a.2.json", "a.3.json", "a.json"]);
  });

  test("a file where the folder should be is told", async () => {
    const path = join(makeFolder(), "taken");
    writeFileSync(path, "");
    expect(await makeCopyFolder(path)).toContain("there is a file of that name");
    expect(await makeCopyFolder(join(path, "under"))).toContain("there is a file where");
    expect(await putCopy(path, "a.json", "{}")).toMatchObject({ ok: false });
  });
});
