import { describe, expect, test } from "bun:test";
import { createBackoff, type Refusal } from "../../src/engine/backoff.ts";

const BUSY: Refusal = {
  failure: { kind: "renewal-failed", message: "The issuer answered 500." },
  isPermanent: false,
};
const DEAD: Refusal = { ...BUSY, isPermanent: true };

describe("createBackoff", () => {
  test("a failed token is left alone for a pause, and is free again after it", () => {
    const backoff = createBackoff();
    expect(backoff.refusal("ann", "rt", 1000)).toBeUndefined();
    expect(backoff.fail("ann", "rt", BUSY, 1000)).toBe(31_000);
    expect(backoff.refusal("ann", "rt", 30_999)).toMatchObject({ isPermanent: false });
    expect(backoff.refusal("ann", "rt", 31_000)).toBeUndefined();
  });

  test("a token refused for good stays so; a new one is free at once", () => {
    const backoff = createBackoff();
    expect(backoff.fail("ann", "rt", DEAD, 1000)).toBe(Number.POSITIVE_INFINITY);
    expect(backoff.refusal("ann", "rt", 1e15)).toMatchObject({ isPermanent: true });
    expect(backoff.refusal("ann", "another", 1000)).toBeUndefined();
    expect(backoff.refusal("bob", "rt", 1000)).toBeUndefined();
  });

  test("a success ends a failure, and counts as recent for the same pause", () => {
    const backoff = createBackoff();
    expect(backoff.isRecent("ann", 1000)).toBe(false);
    backoff.fail("ann", "rt", BUSY, 1000);
    backoff.succeed("ann", 2000);
    expect(backoff.refusal("ann", "rt", 2000)).toBeUndefined();
    expect([31_999, 32_000].map((now) => backoff.isRecent("ann", now))).toEqual([true, false]);
  });

  test("accounts that have left are forgotten", () => {
    const backoff = createBackoff();
    for (const name of ["ann", "bob"]) {
      backoff.succeed(name, 1000);
      backoff.fail(name, "rt", DEAD, 1000);
    }
    backoff.prune((accountId) => accountId === "bob");
    expect(backoff.refusal("ann", "rt", 1000)).toBeUndefined();
    expect(backoff.isRecent("ann", 1000)).toBe(false);
    expect(backoff.refusal("bob", "rt", 1000)).toBeDefined();
  });
});
