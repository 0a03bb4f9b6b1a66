import { describe, expect, test } from "bun:test";
import {
  type Account,
  type Availability,
  type Disabler,
  isFinal,
  labelOf,
  nextChange,
  standing,
} from "../../src/pool/account.ts";
import type { Credential } from "../../src/pool/credential.ts";
import { accountOf, DAY, HOUR, loginOf, MINUTE, NOON, quotaOf } from "./logins.ts";

const SPENT = quotaOf([["5h", 100, 3 * HOUR]]);

function holding(credential: Credential, rest: Partial<Account> = {}): Account {
  return accountOf(rest, loginOf("ann", { credential }));
}

function cooling(untilMs: number): Availability {
  return { kind: "cooling", why: "rate-limit", untilMs, sinceMs: NOON - 1, reason: "told to wait" };
}

const DEAD: Availability = { kind: "needs-login", sinceMs: NOON - 5, reason: "refused" };
const OFF: Availability = { kind: "disabled", by: "file", sinceMs: NOON - 5, reason: "off" };

describe("standing", () => {
  const rows: [
    name: string,
    account: Account,
    now: number,
    expected: Partial<Record<string, unknown>>,
  ][] = [
    ["a fresh account is ready", accountOf(), NOON, { kind: "ready" }],
    [
      "a cooldown counts until its end",
      accountOf({ availability: cooling(NOON + 1) }),
      NOON,
      cooling(NOON + 1),
    ],
    [
      "a cooldown is over at its end",
      accountOf({ availability: cooling(NOON) }),
      NOON,
      { kind: "ready" },
    ],
    [
      "a cooldown may have passed long ago",
      accountOf({ availability: cooling(NOON - DAY) }),
      NOON,
      { kind: "ready" },
    ],
    ["a refused login stays so", accountOf({ availability: DEAD }), NOON + 99 * DAY, DEAD],
    ["a disabled account stays so", accountOf({ availability: OFF }), NOON + 99 * DAY, OFF],
    [
      "an access token that has ended is renewed",
      holding({ accessToken: "a", refreshToken: "r", expiresAtMs: NOON - 1 }),
      NOON,
      { kind: "ready" },
    ],
    ["a refresh token alone is enough", holding({ refreshToken: "r" }), NOON, { kind: "ready" }],
    [
      "an access token alone is enough while it lives",
      holding({ accessToken: "a", expiresAtMs: NOON + 1 }),
      NOON,
      { kind: "ready" },
    ],
    [
      "an access token alone, of unknown end, is tried",
      holding({ accessToken: "a" }),
      NOON,
      { kind: "ready" },
    ],
    [
      "an access token alone needs a login from its end on",
      holding({ accessToken: "a", expiresAtMs: NOON }),
      NOON,
      {
        kind: "needs-login",
        sinceMs: NOON,
        reason: "its access token has ended and there is no refresh token",
      },
    ],
    [
      "that shows during a cooldown too",
      holding({ accessToken: "a", expiresAtMs: NOON - 1 }, { availability: cooling(NOON + HOUR) }),
      NOON,
      { kind: "needs-login", sinceMs: NOON - 1 },
    ],
    [
      "and does not undo what its owner did",
      holding({ accessToken: "a", expiresAtMs: NOON - 1 }, { availability: OFF }),
      NOON,
      OFF,
    ],
    ["no token at all needs a login", holding({}), NOON, { kind: "needs-login", sinceMs: NOON }],
    [
      "a spent quota shows without a refusal",
      accountOf({ quota: SPENT }),
      NOON + MINUTE,
      {
        kind: "cooling",
        why: "quota",
        untilMs: NOON + 3 * HOUR,
        sinceMs: NOON,
        reason: "its quota is used up",
      },
    ],
    ["until its reset", accountOf({ quota: SPENT }), NOON + 3 * HOUR, { kind: "ready" }],
    [
      "credits carry on",
      accountOf({ quota: { ...SPENT, hasCredits: true } }),
      NOON,
      { kind: "ready" },
    ],
    [
      "of a short cooldown and a long quota rest the quota counts",
      accountOf({ quota: SPENT, availability: cooling(NOON + MINUTE) }),
      NOON,
      { kind: "cooling", why: "quota", untilMs: NOON + 3 * HOUR },
    ],
    [
      "of a long cooldown and a short quota rest the cooldown counts",
      accountOf({ quota: SPENT, availability: cooling(NOON + DAY) }),
      NOON,
      cooling(NOON + DAY),
    ],
  ];
  test.each(rows)("%s", (_name, account, now, expected) => {
    expect(standing(account, now)).toMatchObject(expected);
  });
});

describe("nextChange", () => {
  const rows: [name: string, account: Account, expected: number][] = [
    ["never, for a fresh account", accountOf(), Number.POSITIVE_INFINITY],
    ["at the end of a cooldown", accountOf({ availability: cooling(NOON + 9) }), NOON + 9],
    [
      "not at one that has passed",
      accountOf({ availability: cooling(NOON) }),
      Number.POSITIVE_INFINITY,
    ],
    [
      "at the first reset to come",
      accountOf({
        quota: quotaOf([
          ["5h", 1, 9],
          ["7d", 1, 99],
          ["1d", 1, -9],
        ]),
      }),
      NOON + 9,
    ],
    [
      "at whichever is first",
      accountOf({ quota: quotaOf([["5h", 1, 9]]), availability: cooling(NOON + 8) }),
      NOON + 8,
    ],
    [
      "at the end of a token that cannot be renewed",
      holding({ accessToken: "a", expiresAtMs: NOON + 7 }),
      NOON + 7,
    ],
    [
      "not at the end of one that can",
      holding({ accessToken: "a", refreshToken: "r", expiresAtMs: NOON + 7 }),
      Number.POSITIVE_INFINITY,
    ],
    [
      "not at the end of one that has ended",
      holding({ accessToken: "a", expiresAtMs: NOON }),
      Number.POSITIVE_INFINITY,
    ],
  ];
  test.each(rows)("%s", (_name, account, expected) => {
    expect(nextChange(account, NOON)).toBe(expected);
  });

  test("between two changes the standing is the same", () => {
    const account = accountOf({ quota: SPENT, availability: cooling(NOON + MINUTE) });
    let now = NOON;
    for (let step = 0; step < 5 && now < Number.POSITIVE_INFINITY; step++) {
      const next = nextChange(account, now);
      const last = Math.min(next - 1, now + DAY);
      expect(standing(account, last)).toEqual(standing(account, now));
      now = next;
    }
    expect(now).toBe(Number.POSITIVE_INFINITY);
  });
});

test.each([
  ["ann.lee@example.com", "an***@example.com#0123"],
  [undefined, "account#0123"],
])("the label of %p is %p", (email, label) => {
  expect(labelOf(email, "0123456789")).toBe(label);
});

test("only its owner brings back whom a file or a policy took out", () => {
  const disabled = (by: Disabler) => isFinal({ kind: "disabled", by, sinceMs: NOON, reason: "x" });
  expect([disabled("file"), disabled("policy")]).toEqual([true, true]);
  expect([disabled("backend"), disabled("health")]).toEqual([false, false]);
  expect(isFinal({ kind: "ready" })).toBe(false);
});
