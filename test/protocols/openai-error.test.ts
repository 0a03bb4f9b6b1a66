import { describe, expect, test } from "bun:test";
import { errorCode, errorOf, fail } from "../../src/protocols/openai-error.ts";
import { classifyRefusal } from "../../src/turn/classify.ts";
import { FAILURES, type Failure, type FailureKind } from "../../src/turn/failure.ts";
import { dict } from "../../src/wire/json.ts";
import { FAULTS, type FaultName, refusalOf } from "../support/backend/faults.ts";
import { NOON } from "./turns.ts";

const message = "Words.";

function told(failure: Failure) {
  const { status, headers, body } = fail(failure, "req_1", NOON);
  return { status, headers, error: dict(dict(body)["error"]) };
}

describe("fail", () => {
  test("speaks OpenAI's envelope with every key, and the request's id", () => {
    expect(fail({ kind: "bad-request", message, param: "input" }, "req_1", NOON)).toEqual({
      status: 400,
      headers: {},
      body: {
        error: {
          message,
          type: "invalid_request_error",
          param: "input",
          code: "invalid_request_error",
          request_id: "req_1",
        },
      },
    });
  });

  test("tells a spent quota so that the Codex CLI stops and prints the time", () => {
    const resetsAtMs = NOON + 90_500;
    const failure: Failure = { kind: "exhausted", message, resetsAtMs, planType: "plus" };
    const { status, headers, error } = told(failure);
    expect(status).toBe(429);
    expect(headers).toEqual({ "retry-after": "91" });
    expect(error).toMatchObject({
      type: "usage_limit_reached",
      plan_type: "plus",
      resets_at: Math.ceil(resetsAtMs / 1000),
      resets_in_seconds: 91,
    });
  });

  test("never asks to retry in the past, and never after the client's own mistake", () => {
    expect(told({ kind: "rate-limited", message, resetsAtMs: NOON - 5000 }).headers).toEqual({
      "retry-after": "1",
    });
    expect(told({ kind: "bad-request", message, resetsAtMs: NOON + 5000 }).headers).toEqual({});
  });

  const rows: [failure: Failure, status: number, type: string, code: string][] = [
    [
      { kind: "context-overflow", message, status: 400 },
      400,
      "invalid_request_error",
      "context_length_exceeded",
    ],
    [
      { kind: "content-refused", message, code: "cyber_policy" },
      400,
      "invalid_request_error",
      "cyber_policy",
    ],
    [{ kind: "unauthorized", message, status: 401 }, 502, "server_error", "server_error"],
    [{ kind: "deactivated", message, status: 403 }, 502, "server_error", "server_error"],
    [{ kind: "forbidden", message, status: 403 }, 502, "server_error", "server_error"],
    [{ kind: "challenged", message, status: 403 }, 503, "server_error", "server_error"],
    [
      { kind: "overloaded", message, code: "slow_down", status: 503 },
      503,
      "server_error",
      "server_error",
    ],
    [{ kind: "server-error", message, status: 520 }, 520, "server_error", "server_error"],
    [{ kind: "server-error", message, status: 200 }, 502, "server_error", "server_error"],
    [{ kind: "network", message }, 502, "server_error", "server_error"],
    [
      { kind: "client-left", message, code: "response_cancelled" },
      499,
      "invalid_request_error",
      "response_cancelled",
    ],
    [{ kind: "timeout", message }, 504, "server_error", "server_error"],
    [{ kind: "no-account", message }, 503, "server_error", "no_account_available"],
    [{ kind: "rate-limited", message }, 429, "rate_limit_error", "rate_limit_exceeded"],
    [
      { kind: "exhausted", message, code: "usage_not_included" },
      429,
      "usage_not_included",
      "usage_not_included",
    ],
    [
      { kind: "bad-request", message, status: 413 },
      413,
      "invalid_request_error",
      "invalid_request_error",
    ],
    [
      { kind: "bad-request", message, status: 403, code: "model_not_allowed" },
      403,
      "permission_error",
      "model_not_allowed",
    ],
    [
      { kind: "bad-request", message, status: 404, code: "model_not_found" },
      404,
      "invalid_request_error",
      "model_not_found",
    ],
  ];
  test.each(rows)("%p", (failure, status, type, code) => {
    expect(told(failure)).toMatchObject({ status, error: { type, code } });
  });

  test.each(Object.keys(FAULTS).filter(isFault))(
    "the backend's %s never shows our accounts' trouble as the client's own",
    (name) => {
      const window = { usedPercent: 12, windowSeconds: 18_000, resetAt: NOON / 1000 + 60 };
      const limits = { plan: "plus", primary: window, secondary: window };
      const refusal = refusalOf(name, { limits, model: "gpt-5.5", nowMs: NOON });
      const body = typeof refusal.body === "string" ? refusal.body : JSON.stringify(refusal.body);
      const headers = new Headers(refusal.headers);
      const failure = classifyRefusal({ status: refusal.status, headers, body }, "gpt-5.5", NOON);
      const { status, error } = told(failure);
      expect([401, 402, 407]).not.toContain(status);
      if (refusal.status >= 500) expect(status).toBeGreaterThanOrEqual(500);
      if (refusal.status >= 500) expect(status).not.toBe(429);
      expect(JSON.stringify(error)).not.toMatch(/server_is_overloaded|slow_down|<html/);
    },
  );
});

function isFault(name: string): name is FaultName {
  return name in FAULTS;
}

describe("errorCode", () => {
  const kinds = Object.keys(FAILURES).filter((kind): kind is FailureKind => kind in FAILURES);

  test.each(kinds)("of %s is a word, and no overload word", (kind) => {
    for (const code of ["server_is_overloaded", "slow_down", undefined]) {
      const failure: Failure = { kind, message, ...(code === undefined ? {} : { code }) };
      if (kind === "overloaded" || code === undefined) {
        expect(errorCode(failure)).toMatch(/^(?!server_is|slow)[a-z_]+$/);
      }
    }
  });
});

describe("errorOf", () => {
  test("is the envelope's error, without the request's id", () => {
    for (const kind of ["bad-request", "exhausted", "rate-limited"] as const) {
      const failure: Failure = { kind, message, resetsAtMs: NOON + 2000, planType: "plus" };
      const { request_id: _id, ...error } = told(failure).error;
      expect(dict(errorOf(failure, NOON))).toEqual(error);
    }
  });
});

describe("a limit of the caller's own key", () => {
  const resetsAtMs = NOON + 12_000;

  test("is a rate limit with a time, which clients wait for", () => {
    const failure: Failure = {
      kind: "client-limited",
      code: "rate_limit_exceeded",
      message,
      resetsAtMs,
    };
    const { status, headers, error } = told(failure);
    expect([status, headers]).toEqual([429, { "retry-after": "12" }]);
    expect(error).toMatchObject({
      type: "rate_limit_error",
      code: "rate_limit_exceeded",
      resets_in_seconds: 12,
    });
  });

  test("where the day's tokens are used up, is told as a spent quota, on which the Codex CLI stops", () => {
    const failure: Failure = {
      kind: "client-limited",
      code: "usage_limit_reached",
      message,
      resetsAtMs,
    };
    expect(told(failure).error).toMatchObject({
      type: "usage_limit_reached",
      code: "usage_limit_reached",
      resets_at: resetsAtMs / 1000,
    });
  });
});
