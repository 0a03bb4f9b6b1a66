import { expect, test } from "bun:test";
import { tellRests } from "../../src/engine/rests.ts";
import type { Failure } from "../../src/turn/failure.ts";
import { failure, loginOf, NOON } from "./parts.ts";
import { poolOf } from "./vault.ts";

test("each rest that begins is told once, with why", () => {
  const told: string[] = [];
  const pool = tellRests(poolOf(NOON, loginOf("ann"), loginOf("bob")), (why) => told.push(why));
  const fail = (name: string, kind: Failure["kind"], atMs: number, more: Partial<Failure> = {}) =>
    pool.settle(loginOf(name).identity, { type: "failed", failure: failure(kind, more) }, atMs);
  fail("ann", "rate-limited", NOON, { resetsAtMs: NOON + 5000 });
  expect(told).toEqual(["rate-limit"]);
  // It lasts longer now, and is still the same one.
  fail("ann", "rate-limited", NOON, { resetsAtMs: NOON + 9000 });
  expect(told).toHaveLength(1);
  fail("ann", "exhausted", NOON + 60_000, { resetsAtMs: NOON + 90_000 });
  fail("bob", "rate-limited", NOON, { model: "gpt-5.4", resetsAtMs: NOON + 5000 });
  expect(told).toEqual(["rate-limit", "quota", "model"]);
  fail("bob", "bad-request", NOON);
  fail("bob", "deactivated", NOON);
  fail("nobody", "exhausted", NOON);
  expect(told).toHaveLength(3);
});
