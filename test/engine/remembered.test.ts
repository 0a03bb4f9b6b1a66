import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  decodeRemembered,
  encodePast,
  encodeTally,
  keyOf,
  larger,
  markOf,
  pastOf,
} from "../../src/engine/remembered.ts";
import type { Tally } from "../../src/pool/pool.ts";
import { type Dict, dict, parseDict } from "../../src/wire/json.ts";
import { accountOf, HOUR, loginOf, NOON, quotaOf } from "../pool/logins.ts";

const TALLY: Tally = {
  requests: 9,
  errors: 2,
  tokens: { input: 100, cached: 40, output: 7, reasoning: 3 },
  lastUsedMs: NOON - 5,
};
const KEY = "ab".repeat(32);

/** What comes back of this, by way of the file's text. */
function throughFile(account: ReturnType<typeof accountOf>, tally = TALLY) {
  const body = {
    changed: NOON,
    ...encodePast(pastOf(account), markOf(account.login)),
    ...encodeTally(tally),
    conversations: [[KEY, NOON, 1]],
    ciphertexts: [[KEY, NOON - 1]],
    "a field of a newer minor": { x: 1 },
  };
  return decodeRemembered(dict(parseDict(JSON.stringify(body))));
}

const rich = accountOf({
  availability: {
    kind: "cooling",
    why: "quota",
    untilMs: NOON + HOUR,
    sinceMs: NOON,
    reason: "spent",
  },
  quota: quotaOf(
    [
      ["5h", 100, HOUR],
      ["7d", 20],
      ["codex_other 5h", 1, HOUR],
    ],
    { plan: "pro", hasCredits: true, balance: "12.50", isSpent: true, isComplete: true },
  ),
  modelCooldowns: new Map([["gpt-5.4", NOON + 7]]),
  consecutiveFailures: 4,
  failedChecks: 2,
});

describe("what is remembered of an account", () => {
  test("comes back as it was", () => {
    expect(throughFile(rich)).toEqual({
      account: pastOf(rich),
      tokens: markOf(rich.login),
      tally: TALLY,
      changedMs: NOON,
      conversations: [[KEY, NOON, true]],
      ciphertexts: [[KEY, NOON - 1]],
    });
    const dead = accountOf({
      availability: { kind: "needs-login", sinceMs: NOON, reason: "refused" },
    });
    expect(throughFile(dead)?.account).toEqual(pastOf(dead));
    const out = accountOf({
      availability: { kind: "disabled", by: "policy", sinceMs: NOON, reason: "policy" },
      quota: {
        windows: [{ name: "x 5h", usedPercent: 1, isPartial: true, model: "X", isForeign: true }],
        measuredAtMs: NOON,
        hasCredits: false,
      },
    });
    expect(throughFile(out)?.account).toEqual(pastOf(out));
    const idle = { ...TALLY, lastUsedMs: undefined };
    expect(throughFile(accountOf(), idle)?.tally).toEqual(idle);
  });

  test("says who has disabled an account, and still reads the mark that stood for a policy", () => {
    const past = pastOf(accountOf());
    const tokens = markOf(loginOf("ann"));
    const read = (more: Dict) => {
      const state = { kind: "disabled", since: NOON, reason: "x", ...more };
      const body = { ...encodePast(past, tokens), ...encodeTally(TALLY), changed: NOON, state };
      return decodeRemembered(body)?.account.availability;
    };
    const rows: [more: Dict, by: string][] = [
      [{ by: "health" }, "health"],
      [{ by: "policy" }, "policy"],
      [{ final: true }, "policy"],
      [{}, "backend"],
      [{ by: "toString" }, "backend"],
    ];
    for (const [more, by] of rows) expect(read(more)).toMatchObject({ kind: "disabled", by });
  });

  test("holds nothing that its owner's file says", () => {
    const off = accountOf(
      { availability: { kind: "disabled", by: "health", sinceMs: NOON, reason: "off" } },
      loginOf("ann", { isSwitchedOff: true }),
    );
    expect(throughFile(off)?.account.availability).toEqual({ kind: "ready" });
  });

  test("names nobody and holds no token, whatever the backend has said", () => {
    const login = loginOf("user-17/workspace-3", { email: "ann.lee@example.com" });
    const { accessToken = "", refreshToken = "" } = login.credential;
    const reason = `ann.lee@example.com: Bearer eyJhbGciOiJSUzI1NiJ9.${"x".repeat(30)} is bad`;
    const account = accountOf(
      {
        availability: { kind: "disabled", by: "health", sinceMs: NOON, reason },
        modelCooldowns: new Map([
          ["sk-abcdefghijkl", NOON],
          ["x".repeat(300), NOON],
        ]),
      },
      login,
    );
    const written = JSON.stringify([
      keyOf(login.identity),
      encodePast(pastOf(account), markOf(login)),
    ]);
    for (const secret of [
      "ann.lee",
      "eyJ",
      "user-17",
      "workspace-3",
      accessToken,
      refreshToken,
      "sk-",
      "xxxxxxxx",
    ]) {
      expect(written).not.toContain(secret);
    }
  });

  test("tells whether the tokens are the same, and of whom", () => {
    const mark = markOf(loginOf("ann"));
    expect(markOf(loginOf("ann", { email: "other@example.com" }))).toBe(mark);
    expect(markOf(loginOf("bob", { credential: loginOf("ann").credential }))).not.toBe(mark);
    expect(markOf(loginOf("ann", { credential: { refreshToken: "rt-other" } }))).not.toBe(mark);
    expect(mark).toHaveLength(12);
  });

  test("whatever stands in the file, what comes of it is whole", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom(
            "changed",
            "state",
            "quota",
            "models",
            "used",
            "conversations",
            "ciphertexts",
            "requests",
            "tokens",
          ),
          fc.jsonValue(),
        ),
        (body) => {
          const entry = decodeRemembered(dict(body));
          if (entry === undefined) return;
          expect(Number.isSafeInteger(entry.tally.requests + entry.tally.tokens.input)).toBe(true);
          expect(() => encodePast(entry.account, entry.tokens)).not.toThrow();
        },
      ),
    );
    expect(decodeRemembered({})).toBeUndefined();
    const odd = decodeRemembered({
      changed: NOON,
      state: { kind: "cooling", why: "toString", until: NOON, since: NOON },
      quota: { measured: NOON, windows: [{ name: "5h", used: 700 }, { used: 1 }, 7] },
      conversations: [["short", NOON, 1], [KEY, "x", 1], [KEY, NOON], 3],
    });
    expect(odd?.account.availability).toEqual({ kind: "ready" });
    expect(odd?.account.quota?.windows).toEqual([
      { name: "5h", usedPercent: 100, isPartial: false },
    ]);
    expect(odd?.conversations).toEqual([[KEY, NOON, false]]);
  });

  test("of two processes' counters the larger ones count", () => {
    const other = { ...TALLY, requests: 10, errors: 1, lastUsedMs: undefined };
    expect(larger(TALLY, other)).toEqual({ ...TALLY, requests: 10 });
    expect(larger(other, other).lastUsedMs).toBeUndefined();
  });
});
