import { describe, expect, test } from "bun:test";
import {
  clientStatus,
  FAILURES,
  type FailureKind,
  refuse,
  resetOf,
  retryAfter,
  waitSecondsOf,
} from "../../src/turn/failure.ts";

// What a client sees of each kind: without a status of the backend's, and with 401, 429, 404 and 520 of the backend's.
const rows: Record<FailureKind, readonly number[]> = {
  "bad-request": [400, 401, 429, 404, 520],
  "context-overflow": [400, 400, 400, 400, 400],
  "content-refused": [400, 400, 400, 400, 400],
  "unsupported-parameter": [400, 400, 400, 400, 400],
  "foreign-reasoning": [400, 400, 400, 400, 400],
  "unknown-compaction": [400, 400, 400, 400, 400],
  unauthorized: [502, 502, 502, 502, 502],
  deactivated: [502, 502, 502, 502, 502],
  forbidden: [502, 502, 502, 502, 502],
  challenged: [503, 503, 503, 503, 503],
  exhausted: [429, 429, 429, 429, 429],
  "rate-limited": [429, 429, 429, 429, 429],
  overloaded: [503, 503, 503, 503, 503],
  "server-error": [502, 502, 502, 502, 520],
  egress: [503, 503, 503, 503, 503],
  unreachable: [502, 502, 502, 502, 502],
  "turned-away": [502, 502, 502, 502, 502],
  network: [502, 502, 502, 502, 502],
  timeout: [504, 504, 504, 504, 504],
  "cut-short": [502, 502, 502, 502, 502],
  empty: [502, 502, 502, 502, 502],
  "no-compaction": [502, 502, 502, 502, 502],
  "renewal-failed": [502, 502, 502, 502, 502],
  "no-account": [503, 503, 503, 503, 503],
  "out-of-time": [504, 504, 504, 504, 504],
  "client-limited": [429, 429, 429, 429, 429],
  "client-left": [499, 499, 499, 499, 499],
  internal: [500, 500, 500, 500, 500],
};

const kinds = Object.keys(FAILURES).filter((name): name is FailureKind => name in FAILURES);

describe("clientStatus", () => {
  test.each(kinds)("of %s", (kind) => {
    const statuses = [undefined, 401, 429, 404, 520].map((status) =>
      clientStatus({ kind, message: "words", ...(status === undefined ? {} : { status }) }),
    );
    expect(statuses).toEqual([...rows[kind]]);
  });

  test("trouble of our accounts never looks like the client's own", () => {
    for (const kind of kinds) {
      if (FAILURES[kind].account === "none" || kind === "exhausted" || kind === "rate-limited")
        continue;
      for (let status = 100; status < 600; status++) {
        expect(clientStatus({ kind, message: "words", status })).toBeGreaterThanOrEqual(500);
      }
    }
  });

  test.each([100, 200, 302, 600, -1, 0, Number.NaN])(
    "a status of %p is nobody's error",
    (status) => {
      expect(clientStatus({ kind: "bad-request", message: "words", status })).toBe(400);
      expect(clientStatus({ kind: "server-error", message: "words", status })).toBe(502);
    },
  );
});

describe("the table of failures", () => {
  test("a refused request is replayed on no account and costs none", () => {
    for (const kind of kinds) {
      const { next, account } = FAILURES[kind];
      if (next === "stop" || next === "amend-and-resend")
        expect([kind, account]).toEqual([kind, "none"]);
    }
  });

  test.each([
    ["challenged", "other-account", "none"],
    ["unauthorized", "renew-and-resend", "cool-unauthorized"],
    ["deactivated", "other-account", "disable"],
    ["forbidden", "other-account", "cool-forbidden"],
    ["exhausted", "other-account", "cool-quota"],
    ["rate-limited", "other-account", "cool-limited"],
    ["client-left", "stop", "none"],
  ] as const)("%s: %s, and the account: %s", (kind, next, account) => {
    expect(FAILURES[kind]).toMatchObject({ next, account });
  });
});

describe("refuse", () => {
  test("makes a failure with a status of our own", () => {
    const failure = refuse(401, "invalid_api_key", "No.");
    expect(failure).toEqual({
      kind: "bad-request",
      status: 401,
      code: "invalid_api_key",
      message: "No.",
    });
    expect(clientStatus(failure)).toBe(401);
  });

  test("names the parameter at fault", () => {
    expect(refuse(400, "invalid_value", "No.", "model").param).toBe("model");
  });
});

describe("the wait", () => {
  const limited = { kind: "exhausted", message: "words", resetsAtMs: 10_500 } as const;

  test("is told in whole seconds, at least one", () => {
    expect([0, 9500, 10_500, 99_000].map((now) => waitSecondsOf(limited, now))).toEqual([
      11, 1, 1, 1,
    ]);
    expect(waitSecondsOf({ kind: "exhausted", message: "words" }, 0)).toBeUndefined();
    expect(retryAfter(limited, 0)).toEqual({ "retry-after": "11" });
  });

  test("is no header where coming back would not help", () => {
    expect(retryAfter({ ...limited, kind: "bad-request" }, 0)).toEqual({});
    expect(retryAfter({ kind: "exhausted", message: "words" }, 0)).toEqual({});
  });
});

describe("a reset that is told as a moment and as a wait", () => {
  const NOON = Date.UTC(2026, 10, 20, 12);
  const HOUR = 3_600_000;

  test("is the moment, as both are the same but for rounding", () => {
    expect(resetOf(NOON + HOUR, NOON + HOUR + 999, NOON)).toBe(NOON + HOUR);
    expect(resetOf(NOON + HOUR, undefined, NOON)).toBe(NOON + HOUR);
    expect(resetOf(undefined, NOON + 5, NOON)).toBe(NOON + 5);
    expect(resetOf(undefined, undefined, NOON)).toBeUndefined();
  });

  test("counts from now where the clock here is five minutes wrong, either way", () => {
    for (const wrongMs of [300_000, -300_000]) {
      const now = NOON + wrongMs;
      expect(resetOf(NOON + HOUR, now + HOUR, now)).toBe(now + HOUR);
    }
  });

  test("is whichever can be believed", () => {
    expect(resetOf(NOON - 1, NOON + 5, NOON)).toBe(NOON + 5);
    expect(resetOf(NOON + 5, NOON - 1, NOON)).toBe(NOON + 5);
  });
});
