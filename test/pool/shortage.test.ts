import { describe, expect, test } from "bun:test";
import {
  type Account,
  type Availability,
  type CoolingReason,
  standing,
} from "../../src/pool/account.ts";
import type { AccountView } from "../../src/pool/pool.ts";
import { describeShortage } from "../../src/pool/shortage.ts";
import { clientStatus, type FailureKind } from "../../src/turn/failure.ts";
import { NO_USAGE } from "../../src/turn/usage.ts";
import { accountOf, HOUR, MINUTE, NOON, quotaOf } from "./logins.ts";

const MODEL = "gpt-5.4";

function viewOf(account: Account): AccountView {
  const tally = { requests: 0, errors: 0, tokens: NO_USAGE, lastUsedMs: undefined };
  return { account, standing: standing(account, NOON), inFlight: 0, tally };
}

function rests(why: CoolingReason, ms: number): Account {
  return accountOf({
    availability: { kind: "cooling", why, untilMs: NOON + ms, sinceMs: NOON, reason: "x" },
  });
}

const ready = accountOf();
const off = accountOf({
  availability: { kind: "disabled", by: "backend", sinceMs: NOON, reason: "x" },
});
const dead = accountOf({
  availability: { kind: "needs-login", sinceMs: NOON, reason: "x" } satisfies Availability,
});
const spent = (ms: number) => accountOf({ quota: quotaOf([["5h", 100, ms]]) });
const tiredOf = (model: string, ms: number) =>
  accountOf({ modelCooldowns: new Map([[model, NOON + ms]]) });

test("why no new tokens come is told where it is the same for all that wait", () => {
  const waiting = (reason: string) =>
    accountOf({
      availability: {
        kind: "cooling",
        why: "unauthorized",
        untilMs: NOON + 1000,
        sinceMs: NOON,
        reason,
      },
    });
  const told = (...accounts: readonly Account[]) =>
    describeShortage(accounts.map(viewOf), MODEL, NOON)?.message;
  expect(told(waiting("The proxy is down."), waiting("The proxy is down."))).toEndWith(
    "2 waiting for a new token. The first is back in 1 s. The proxy is down.",
  );
  for (const other of [waiting("It was refused."), off]) {
    expect(told(waiting("The proxy is down."), other)).not.toContain("The proxy is down.");
  }
});

describe("describeShortage", () => {
  const rows: [
    name: string,
    accounts: Account[],
    kind: FailureKind,
    status: number,
    resetsInMs: number | undefined,
  ][] = [
    ["no account at all", [], "no-account", 503, undefined],
    [
      "all quotas spent: 429 with the first reset",
      [spent(3 * HOUR), rests("quota", 2 * HOUR)],
      "exhausted",
      429,
      2 * HOUR,
    ],
    [
      "dead accounts beside spent ones do not count",
      [spent(HOUR), off, dead],
      "exhausted",
      429,
      HOUR,
    ],
    [
      "all rate-limited: 429",
      [rests("rate-limit", MINUTE), rests("rate-limit", 5000)],
      "rate-limited",
      429,
      5000,
    ],
    [
      "one back soon beside spent quotas: not the end of the day",
      [spent(3 * HOUR), rests("rate-limit", 5000)],
      "rate-limited",
      429,
      5000,
    ],
    ["resting for this model only", [tiredOf(MODEL, 9000)], "rate-limited", 429, 9000],
    [
      "resting for the model longer than as an account",
      [accountOf({ ...rests("rate-limit", 5), modelCooldowns: new Map([[MODEL, NOON + 9000]]) })],
      "rate-limited",
      429,
      9000,
    ],
    [
      "one of another trouble: 503",
      [spent(HOUR), rests("forbidden", 5 * MINUTE)],
      "no-account",
      503,
      5 * MINUTE,
    ],
    ["waiting for a token", [rests("unauthorized", 30_000)], "no-account", 503, 30_000],
    ["none that comes back by itself", [off, dead], "no-account", 503, undefined],
  ];
  test.each(rows)("%s", (_name, accounts, kind, status, resetsInMs) => {
    const failure = describeShortage(accounts.map(viewOf), MODEL, NOON);
    if (failure === undefined) throw new Error("no shortage");
    expect(failure.kind).toBe(kind);
    expect(clientStatus(failure)).toBe(status);
    expect(failure.resetsAtMs).toBe(resetsInMs === undefined ? undefined : NOON + resetsInMs);
  });

  test.each([
    ["one that is ready", [off, ready]],
    ["one that rests for another model", [dead, tiredOf("gpt-5.2", HOUR)]],
    ["one whose rest is over", [rests("quota", 0)]],
  ])("is no shortage with %s", (_name, accounts) => {
    expect(describeShortage(accounts.map(viewOf), MODEL, NOON)).toBeUndefined();
  });

  test("has the words that the Codex CLI knows", () => {
    expect(describeShortage([viewOf(spent(HOUR))], MODEL, NOON)?.code).toBe("usage_limit_reached");
    expect(describeShortage([viewOf(tiredOf(MODEL, 9))], MODEL, NOON)?.code).toBe(
      "rate_limit_exceeded",
    );
  });
});

describe("its sentence", () => {
  const rows: [accounts: Account[], words: string][] = [
    [
      [],
      "There is no account: log in with 'codex-proxy login', or put an account file into the auth-dir folder; it is picked up while the proxy runs.",
    ],
    [
      [spent(45_000)],
      "The only account cannot be used now: 1 with quota used up. It is back in 45 s.",
    ],
    [
      [spent(3 * HOUR + 5 * MINUTE), spent(4 * HOUR), off],
      "None of the 3 accounts can be used now: 2 with quota used up, 1 disabled. The first is back in 3 h 5 min (2026-11-21 15:05 UTC).",
    ],
    [
      [rests("unauthorized", 30_000), rests("forbidden", 5 * MINUTE), dead, off, tiredOf(MODEL, 1)],
      "None of the 5 accounts can be used now: 1 waiting for a new token, 1 refused by the backend for some minutes, " +
        "1 in need of a new login, 1 disabled, 1 resting for this model. The first is back in 1 s.",
    ],
    [
      [rests("quota", 45 * MINUTE), dead],
      "None of the 2 accounts can be used now: 1 with quota used up, 1 in need of a new login. The first is back in 45 min (2026-11-21 12:45 UTC).",
    ],
    [[off, dead], "None of the 2 accounts can be used now: 1 disabled, 1 in need of a new login."],
  ];
  test.each(rows)("for %#", (accounts, words) => {
    expect(describeShortage(accounts.map(viewOf), MODEL, NOON)?.message).toBe(words);
  });
});
