import { describe, expect, test } from "bun:test";
import { createMembers, type Members } from "../../src/engine/members.ts";
import { MINUTE, NOON } from "../pool/logins.ts";

const KEYS = Array.from({ length: 500 }, (_, at) => `account ${at}`);

function crew(...names: readonly string[]): readonly Members[] {
  const all = names.map((name) => createMembers(name));
  for (const each of all) each.heard(names, NOON);
  return all;
}

describe("who looks after an account", () => {
  test("is exactly one of those that live, and none has all", () => {
    const all = crew("a", "b", "c", "d");
    for (const key of KEYS) {
      expect(all.filter(({ isMine }) => isMine(key, NOON))).toHaveLength(1);
    }
    for (const { isMine } of all) {
      const share = KEYS.filter((key) => isMine(key, NOON)).length;
      expect(share).toBeGreaterThan(80);
      expect(share).toBeLessThan(180);
    }
  });

  test("where one goes, only its accounts go to others", () => {
    const [one] = crew("a", "b", "c");
    const before = KEYS.filter((key) => one?.isMine(key, NOON));
    one?.heard(["a", "b"], NOON);
    const after = KEYS.filter((key) => one?.isMine(key, NOON));
    expect(after.length).toBeGreaterThan(before.length);
    expect(before.every((key) => after.includes(key))).toBe(true);
  });

  test("is this one where it is alone, or never heard of anybody", () => {
    const fresh = createMembers("a");
    expect([fresh.isMine("x", NOON), fresh.count()]).toEqual([true, 1]);
    fresh.heard(["a"], NOON);
    expect(KEYS.every((key) => fresh.isMine(key, NOON))).toBe(true);
  });

  test("is everybody after a minute of silence", () => {
    const [one] = crew("a", "b");
    const mine = (now: number) => KEYS.filter((key) => one?.isMine(key, now)).length;
    expect(mine(NOON + MINUTE)).toBe(mine(NOON));
    expect(mine(NOON + MINUTE + 1)).toBe(KEYS.length);
    // A clock that was set back is no silence.
    expect(mine(NOON - 10 * MINUTE)).toBe(mine(NOON));
    expect(one?.silentMs(NOON - 1)).toBe(0);
  });
});
