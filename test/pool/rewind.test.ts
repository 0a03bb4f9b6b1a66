import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Account, standing } from "../../src/pool/account.ts";
import { rewind } from "../../src/pool/rewind.ts";
import { accountOf, DAY, HOUR, MINUTE, NOON } from "./logins.ts";

const resting = (sinceMs: number, untilMs: number): Account =>
  accountOf({
    availability: { kind: "cooling", why: "rate-limit", reason: "x", sinceMs, untilMs },
  });

describe("a clock that is set back", () => {
  test("leaves of a rest what was left of it", () => {
    const account = rewind(resting(NOON + DAY, NOON + DAY + MINUTE), NOON + DAY, NOON);
    expect(account.availability).toMatchObject({ sinceMs: NOON, untilMs: NOON + MINUTE });
  });

  test("leaves of a model's rest what was left of it", () => {
    const modelCooldowns = new Map([
      ["gpt-5.4", NOON + DAY + MINUTE],
      ["gpt-5.2", NOON + HOUR],
    ]);
    const account = rewind(accountOf({ modelCooldowns }), NOON + DAY, NOON);
    expect([...account.modelCooldowns]).toEqual([["gpt-5.4", NOON + MINUTE]]);
  });

  test.each([
    ["ready", accountOf()],
    [
      "disabled",
      accountOf({ availability: { kind: "disabled", by: "backend", sinceMs: NOON, reason: "x" } }),
    ],
    ["rested long ago", resting(NOON - HOUR, NOON - MINUTE)],
  ])("leaves one alone that is %s", (_name, account) => {
    expect(rewind(account, NOON + DAY, NOON)).toBe(account);
  });

  test("does not begin a rest again that began and ended under the former time", () => {
    const account = rewind(resting(NOON, NOON + MINUTE), NOON + HOUR, NOON - DAY);
    expect(standing(account, NOON - DAY).kind).toBe("ready");
  });

  test("begins a rest again that is older than the new time", () => {
    const account = rewind(resting(NOON, NOON + HOUR), NOON + 2 * HOUR, NOON + MINUTE);
    expect(standing(account, NOON + MINUTE)).toMatchObject({ untilMs: NOON + HOUR });
  });

  test("by less than a minute changes nothing", () => {
    const account = resting(NOON, NOON + HOUR);
    expect(rewind(account, NOON + MINUTE - 1, NOON)).toBe(account);
  });

  test("makes no rest longer than was left of it", () => {
    // None that is over: that one begins again.
    const minutes = fc.integer({ min: 1, max: 3000 }).map((count) => count * MINUTE);
    fc.assert(
      fc.property(minutes, minutes, minutes, (sinceMs, lengthMs, backMs) => {
        const latestMs = NOON + sinceMs;
        const before = resting(latestMs, latestMs + lengthMs);
        const after = rewind(before, latestMs, latestMs - backMs);
        expect(standing(after, latestMs - backMs + lengthMs).kind).toBe("ready");
      }),
    );
  });
});
