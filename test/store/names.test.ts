import { describe, expect, test } from "bun:test";
import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formerName, freeName, isAccountName, isThere, numbered } from "../../src/store/names.ts";
import { onPosix } from "../support/system.ts";
import { makeFolder } from "./folder.ts";

// Root may do everything; on Windows the modes of files say nothing.
const IS_ROOT = process.getuid?.() === 0 || process.platform === "win32";

test("an account's file ends in .json and is not hidden", () => {
  const names = ["a.json", ".a.json", "a.json.disabled", "a.txt", "state.json.aside"];
  expect(names.filter(isAccountName)).toEqual(["a.json"]);
});

test("what was set aside had the name before, whatever its number", () => {
  expect(formerName("/x/a.json.disabled")).toBe("/x/a.json");
  expect(formerName("a.json.disabled.12")).toBe("a.json");
  expect(formerName("a.json")).toBe("a.json");
  expect(formerName("a.disabled.json")).toBe("a.disabled.json");
});

test("a number goes before an account's ending, and behind any other name", () => {
  expect([1, 2].map((number) => numbered("a.json", number))).toEqual(["a.json", "a.2.json"]);
  expect(numbered("a.json.broken", 3)).toBe("a.json.broken.3");
});

describe("freeName", () => {
  onPosix("is the first that nothing has, a link that leads nowhere included", async () => {
    const dir = makeFolder();
    const path = join(dir, "a.json");
    expect(await freeName(path)).toBe(path);
    writeFileSync(path, "");
    symlinkSync(join(dir, "nowhere"), join(dir, "a.2.json"));
    expect(await isThere(join(dir, "a.2.json"))).toBe(true);
    expect(await freeName(path)).toBe(join(dir, "a.3.json"));
  });

  test("says so where it cannot look, instead of looking for ever", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "file"), "");
    await expect(freeName(join(dir, "file", "a.json"))).rejects.toThrow("ENOTDIR");
  });

  test.skipIf(IS_ROOT)("likewise without the permission", async () => {
    const dir = makeFolder();
    chmodSync(dir, 0o000);
    await expect(freeName(join(dir, "a.json"))).rejects.toThrow("EACCES");
    chmodSync(dir, 0o700);
  });
});
