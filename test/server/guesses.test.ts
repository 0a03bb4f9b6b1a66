import { describe, expect, test } from "bun:test";
import { createGuesses, MOST_WRONG, PAUSE_MS, WITHIN_MS } from "../../src/server/guesses.ts";
import { NOON } from "../engine/parts.ts";

function guess(address: string, times: number, now = NOON, guesses = createGuesses()) {
  for (let tries = 0; tries < times; tries++) guesses.wrong(address, now);
  return guesses;
}

describe("guesses", () => {
  test("the tenth wrong key within a minute has its address wait a minute, counted from then", () => {
    const guesses = guess("10.0.0.1", MOST_WRONG - 1);
    expect(guesses.blockedUntil("10.0.0.1", NOON)).toBeUndefined();
    guesses.wrong("10.0.0.1", NOON + 30_000);
    const untilMs = NOON + 30_000 + PAUSE_MS;
    expect(guesses.blockedUntil("10.0.0.1", NOON + 30_000)).toBe(untilMs);
    expect(guesses.blockedUntil("10.0.0.1", untilMs - 1)).toBe(untilMs);
    expect(guesses.blockedUntil("10.0.0.1", untilMs)).toBeUndefined();
  });

  test("after the pause it counts anew", () => {
    const guesses = guess("10.0.0.1", MOST_WRONG);
    const later = NOON + PAUSE_MS;
    guess("10.0.0.1", MOST_WRONG - 1, later, guesses);
    expect(guesses.blockedUntil("10.0.0.1", later)).toBeUndefined();
    guesses.wrong("10.0.0.1", later);
    expect(guesses.blockedUntil("10.0.0.1", later)).toBe(later + PAUSE_MS);
  });

  test("who errs now and then is left alone", () => {
    const guesses = createGuesses();
    for (let round = 0; round < 5; round++) {
      guess("10.0.0.1", MOST_WRONG - 1, NOON + round * WITHIN_MS, guesses);
    }
    expect(guesses.blockedUntil("10.0.0.1", NOON + 4 * WITHIN_MS)).toBeUndefined();
  });

  const neighbours: readonly [one: string, other: string, areOne: boolean][] = [
    ["10.0.0.1", "10.0.0.2", false],
    ["10.0.0.1", "::ffff:10.0.0.1", true],
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
    ["2001:db8::1", "2001:db8:0:0:1:2:3:4", true],
    ["::1", "2001:db8::1", false],
  ];
  test.each(neighbours)("%s and %s", (one, other, areOne) => {
    expect(guess(one, MOST_WRONG).blockedUntil(other, NOON) !== undefined).toBe(areOne);
  });

  test("so many addresses and no more are remembered", () => {
    const guesses = guess("10.0.0.1", MOST_WRONG);
    for (let at = 0; at < 10_000; at++) guesses.wrong(`10.1.${at >> 8}.${at & 255}`, NOON);
    expect(guesses.blockedUntil("10.0.0.1", NOON)).toBeUndefined();
  });

  test("a clock that is set back keeps nobody out for longer", () => {
    const guesses = guess("10.0.0.1", MOST_WRONG);
    expect(guesses.blockedUntil("10.0.0.1", NOON - 3_600_000)).toBeUndefined();
  });
});
