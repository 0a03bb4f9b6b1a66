import { describe, expect, test } from "bun:test";
import { createBackoff, type Setback } from "../../src/engine/backoff.ts";

const BUSY: Setback = { failure: { kind: "renewal-failed", message: "The issuer answered 500." } };
const MINUTE = 60_000;

describe("createBackoff", () => {
  test("a failed token is left alone for a pause, and is free again after it", () => {
    const backoff = createBackoff(() => 0);
    expect(backoff.pending("ann", "rt", 1000)).toBeUndefined();
    expect(backoff.fail("ann", "rt", BUSY, 1000)).toBe(31_000);
    expect(backoff.pending("ann", "rt", 30_999)).toEqual(BUSY.failure);
    expect(backoff.pending("ann", "rt", 31_000)).toBeUndefined();
    expect(backoff.pending("ann", "another", 1000)).toBeUndefined();
    expect(backoff.pending("bob", "rt", 1000)).toBeUndefined();
  });

  test("pauses double up to a quarter of an hour, and chance makes them up to a fifth longer", () => {
    const even = createBackoff(() => 0);
    const late = createBackoff(() => 1);
    const pauses = [0.5, 1, 2, 4, 8, 15, 15, 15].map((minutes) => minutes * MINUTE);
    for (const pause of pauses) {
      expect(even.fail("ann", "rt", BUSY, 0)).toBe(pause);
      expect(late.fail("ann", "rt", BUSY, 0)).toBeCloseTo(pause * 1.2);
    }
  });

  test("a success ends them, and so do new tokens", () => {
    const backoff = createBackoff(() => 0);
    backoff.fail("ann", "rt", BUSY, 0);
    backoff.fail("ann", "rt", BUSY, 0);
    expect(backoff.fail("ann", "new", BUSY, 0)).toBe(MINUTE / 2);
    backoff.fail("ann", "new", BUSY, 0);
    backoff.succeed("ann", 0);
    expect(backoff.pending("ann", "new", 0)).toBeUndefined();
    expect(backoff.fail("ann", "new", BUSY, 0)).toBe(MINUTE / 2);
  });

  test("the issuer's own retry-after counts where it is longer, up to an hour", () => {
    const backoff = createBackoff(() => 0);
    const asked = (retryAfterMs: number) =>
      backoff.fail(`a${retryAfterMs}`, "rt", { ...BUSY, retryAfterMs }, 0);
    expect([1000, 5 * MINUTE, 600 * MINUTE].map(asked)).toEqual([
      MINUTE / 2,
      5 * MINUTE,
      60 * MINUTE,
    ]);
  });

  test("trouble of this machine's own keeps the pause short, and counts for nothing", () => {
    const backoff = createBackoff(() => 0);
    for (let again = 0; again < 9; again++) {
      expect(backoff.fail("ann", "rt", { ...BUSY, isOurs: true }, 0)).toBe(MINUTE / 2);
    }
    expect(backoff.fail("ann", "rt", BUSY, 0)).toBe(MINUTE / 2);
  });

  test("a clock that is set back by a day ends a pause", () => {
    const backoff = createBackoff(() => 0);
    const day = 1440 * MINUTE;
    backoff.fail("ann", "rt", BUSY, day);
    backoff.succeed("bob", day);
    expect(backoff.pending("ann", "rt", 0)).toBeUndefined();
    expect(backoff.isRecent("bob", 0)).toBe(false);
  });

  test("a success counts as recent, the longer the more of them follow each other", () => {
    const backoff = createBackoff(() => 0);
    expect(backoff.isRecent("ann", 0)).toBe(false);
    backoff.succeed("ann", 0);
    expect([29_999, 30_000].map((now) => backoff.isRecent("ann", now))).toEqual([true, false]);
    // A new token that is refused may be replaced once.
    expect(backoff.isRecent("ann", 1, true)).toBe(false);
    backoff.succeed("ann", 30_000);
    expect([89_999, 90_000].map((now) => backoff.isRecent("ann", now))).toEqual([true, false]);
    expect([59_999, 60_000].map((now) => backoff.isRecent("ann", now, true))).toEqual([
      true,
      false,
    ]);
    for (let again = 0; again < 20; again++) backoff.succeed("ann", 90_000);
    expect(backoff.isRecent("ann", 90_000 + 15 * MINUTE)).toBe(false);
    backoff.succeed("ann", 10 * 60 * MINUTE);
    expect(backoff.isRecent("ann", 10 * 60 * MINUTE, true)).toBe(false);
  });

  test("remembers that a policy has let a failure of this token pass", () => {
    const backoff = createBackoff(() => 0);
    backoff.fail("ann", "rt", { ...BUSY, isWarned: true }, 0);
    expect([backoff.isWarned("ann", "rt"), backoff.isWarned("ann", "new")]).toEqual([true, false]);
    backoff.fail("ann", "rt", BUSY, 0);
    expect(backoff.isWarned("ann", "rt")).toBe(false);
  });

  test("accounts that have left are forgotten", () => {
    const backoff = createBackoff(() => 0);
    for (const name of ["ann", "bob"]) {
      backoff.succeed(name, 1000);
      backoff.fail(name, "rt", BUSY, 1000);
    }
    backoff.prune((accountId) => accountId === "bob");
    expect(backoff.pending("ann", "rt", 1000)).toBeUndefined();
    expect(backoff.isRecent("ann", 1000)).toBe(false);
    expect(backoff.pending("bob", "rt", 1000)).toBeDefined();
  });
});
