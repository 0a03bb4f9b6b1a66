import { describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { besideOf, claimOf, isCopy, isTemporary, temporaryBeside } from "../../src/store/beside.ts";

describe("names beside an account file", () => {
  const target = `/auths/${"long".repeat(60)}.json`;
  const names = [
    besideOf(target, "lock"),
    besideOf(target, "next"),
    besideOf(target, "last"),
    claimOf(besideOf(target, "lock"), "content"),
    temporaryBeside(target),
  ];

  test.each(names)("%s is hidden, short, in the same folder, and no account", (path) => {
    expect(dirname(path)).toBe("/auths");
    expect(path).toMatch(/\/\.codex-proxy-[0-9a-f]{16}\.(?:lock|next|last|claim|tmp)$/);
  });

  test("each is of its own file and kind, and always the same but for temporary ones", () => {
    expect(new Set(names).size).toBe(names.length);
    expect(besideOf(target, "lock")).toBe(besideOf(target, "lock"));
    expect(besideOf("/auths/a.json", "lock")).not.toBe(besideOf("/auths/b.json", "lock"));
    expect(claimOf("/auths/x", "one")).not.toBe(claimOf("/auths/x", "two"));
    expect(temporaryBeside(target)).not.toBe(temporaryBeside(target));
  });

  test("which of them may hold tokens, and which only a crash leaves behind", () => {
    const [lock, next, last, claim, temporary] = names.map((path) => path.slice("/auths/".length));
    for (const name of [next, last]) expect(isCopy(name ?? "")).toBe(true);
    for (const name of [lock, claim, temporary, "a.json"]) expect(isCopy(name ?? "")).toBe(false);
    for (const name of [claim, temporary]) expect(isTemporary(name ?? "")).toBe(true);
    for (const name of [lock, next, last, ".x.tmp"]) expect(isTemporary(name ?? "")).toBe(false);
  });
});
