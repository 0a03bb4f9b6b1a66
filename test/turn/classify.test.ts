import { describe, expect, test } from "bun:test";
import { classifyEnd, classifyEvent, classifyRefusal } from "../../src/turn/classify.ts";
import type { Failure } from "../../src/turn/failure.ts";
import type { Dict } from "../../src/wire/json.ts";
import { FAULTS, type FaultName, refusalOf } from "../support/backend/faults.ts";
import type { Limits } from "../support/backend/limits.ts";

const NOON = Date.parse("2026-11-21T12:00:00Z");
const MODEL = "gpt-5.4";
const RESET_AT = NOON / 1000 + 9000;
const LIMITS: Limits = {
  plan: "plus",
  primary: { usedPercent: 40, windowSeconds: 18_000, resetAt: RESET_AT },
  secondary: { usedPercent: 20, windowSeconds: 604_800, resetAt: NOON / 1000 + 90_000 },
};

function fault(name: FaultName): Failure {
  const { status, headers, body } = refusalOf(name, { limits: LIMITS, model: MODEL, nowMs: NOON });
  return refusal(status, body, headers);
}

function refusal(
  status: number,
  body: string | Dict,
  headers: Readonly<Record<string, string>> = {},
): Failure {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return classifyRefusal({ status, headers: new Headers(headers), body: text }, MODEL, NOON);
}

const KEYS = ["kind", "status", "code", "param", "resetsAtMs", "model", "planType"] as const;

/** All of a failure but its sentence, so that a field nobody asked for is seen. */
function facts(failure: Failure): Partial<Failure> {
  return Object.fromEntries(
    KEYS.flatMap((key) => (failure[key] === undefined ? [] : [[key, failure[key]]])),
  );
}

describe("classifyRefusal knows", () => {
  const INVALID = "invalid_request_error";
  const rows: Record<FaultName, Omit<Failure, "message" | "status">> = {
    "400-detail": { kind: "bad-request" },
    "400-error": { kind: "bad-request", code: "invalid_value", param: "tool_choice" },
    "400-context": { kind: "context-overflow", code: "context_length_exceeded", param: "input" },
    "400-cyber": { kind: "content-refused", code: "cyber_policy" },
    "400-model": { kind: "bad-request" },
    "400-model-version": { kind: "bad-request" },
    "400-encrypted-content": { kind: "foreign-reasoning", code: "invalid_encrypted_content" },
    "401-expired": { kind: "unauthorized", code: "token_expired" },
    "401-invalidated": { kind: "unauthorized", code: "token_invalidated" },
    "401-revoked": { kind: "unauthorized", code: "token_revoked" },
    "401-deactivated": { kind: "deactivated", code: "account_deactivated" },
    "401-detail": { kind: "unauthorized" },
    "402-workspace": { kind: "deactivated", code: "deactivated_workspace" },
    "402-workspace-error": { kind: "deactivated", code: "deactivated_workspace" },
    "403-cloudflare": { kind: "challenged" },
    "403-cloudflare-block": { kind: "challenged" },
    "403-workspace": { kind: "deactivated" },
    "403-deactivated": { kind: "deactivated", code: "account_deactivated" },
    "404-detail": { kind: "bad-request" },
    "404-model": { kind: "bad-request", code: "model_not_found" },
    "404-item": { kind: "foreign-reasoning", code: INVALID, param: "input" },
    "413-html": { kind: "bad-request" },
    "413-detail": { kind: "bad-request" },
    "429-usage": {
      kind: "exhausted",
      code: "usage_limit_reached",
      resetsAtMs: RESET_AT * 1000,
      planType: "plus",
    },
    "429-not-included": { kind: "exhausted", code: "usage_not_included", planType: "free" },
    "429-plain": {
      kind: "rate-limited",
      code: "rate_limit_exceeded",
      resetsAtMs: NOON + 1000,
      model: MODEL,
    },
    "429-plain-retry-after": {
      kind: "rate-limited",
      code: "rate_limit_exceeded",
      resetsAtMs: NOON + 1000,
    },
    "429-detail": { kind: "rate-limited" },
    "500": { kind: "server-error", code: "server_error" },
    "502-html": { kind: "server-error" },
    "504-html": { kind: "server-error" },
    "520-html": { kind: "server-error" },
    "522-html": { kind: "server-error" },
    "524-html": { kind: "server-error" },
    "503-overloaded": { kind: "overloaded", code: "server_is_overloaded" },
    "503-slow-down": { kind: "overloaded", code: "slow_down" },
  };
  test.each(Object.entries(rows))("%s", (name, expected) => {
    const known = Object.keys(FAULTS).find((key): key is FaultName => key === name);
    if (known === undefined) throw new Error(name);
    expect(facts(fault(known))).toEqual({ status: FAULTS[known].status, ...expected });
  });

  test.each<[name: string, failure: Failure, kind: Failure["kind"]]>([
    ["a 407 of the owner's proxy", refusal(407, ""), "network"],
    ["a 408", refusal(408, ""), "timeout"],
    ["a 409", refusal(409, { detail: "Conflict" }), "bad-request"],
    ["a 422", refusal(422, { detail: "Unprocessable" }), "bad-request"],
    ["a 403 in JSON without a known word", refusal(403, { detail: "No." }), "forbidden"],
    ["a 403 without a body", refusal(403, ""), "forbidden"],
    ["a 403 page of somebody else's", refusal(403, "<html>Squid says no</html>"), "forbidden"],
    ["a 403 by its header alone", refusal(403, "", { "cf-mitigated": "challenge" }), "challenged"],
    [
      "a 503 challenge",
      refusal(503, "<!DOCTYPE html><title>Just a moment...</title>"),
      "challenged",
    ],
    ["a 429 of Cloudflare's", refusal(429, "", { "cf-mitigated": "challenge" }), "challenged"],
    ["a redirect", refusal(302, ""), "server-error"],
    ["a 200 that is no stream", refusal(200, { ok: true }), "server-error"],
    ["a 500 without a body", refusal(500, ""), "server-error"],
    ["a 500 with broken JSON", refusal(500, '{"error":'), "server-error"],
    ["a 599", refusal(599, "x"), "server-error"],
    [
      "quota told with another status",
      refusal(400, { error: { code: "insufficient_quota" } }),
      "exhausted",
    ],
    ["an overload told with a 500", refusal(500, { error: { code: "slow_down" } }), "overloaded"],
    ["an error that is a text", refusal(400, { error: "bad" }), "bad-request"],
    [
      "an item that is not kept",
      refusal(400, { detail: "Item with id 'rs_9' not found. Items…" }),
      "foreign-reasoning",
    ],
    [
      "ciphertext of another account's, without a code",
      refusal(400, { detail: "The encrypted content gAAA…x= could not be verified." }),
      "foreign-reasoning",
    ],
  ])("%s", (_name, failure, kind) => {
    expect(failure.kind).toBe(kind);
    expect(failure.message).not.toBe("");
  });

  test.each([
    ["Unsupported parameter: top_k", "top_k"],
    ["Unsupported parameter: 'top_k' is not supported with this model.", "top_k"],
    ['Unsupported parameter: "reasoning.summary"', "reasoning.summary"],
  ])("the parameter in %p", (detail, param) => {
    expect(facts(refusal(400, { detail }))).toEqual({
      kind: "unsupported-parameter",
      status: 400,
      param,
    });
  });

  test("that an unsupported value is no unsupported parameter", () => {
    expect(refusal(400, { detail: "Unsupported service_tier: auto" }).kind).toBe("bad-request");
  });
});

describe("when a limit ends", () => {
  const usage = (rest: Dict) => ({
    error: { type: "usage_limit_reached", message: "used", ...rest },
  });
  const plain = (rest: Dict) => ({
    error: { code: "rate_limit_exceeded", message: "slow", ...rest },
  });
  const full = {
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-reset-after-seconds": "300",
    "x-codex-secondary-used-percent": "100",
    "x-codex-secondary-reset-after-seconds": "5000",
  };
  const rows: [
    name: string,
    body: Dict,
    headers: Record<string, string>,
    seconds: number | undefined,
  ][] = [
    [
      "quota: resets_at before all",
      usage({ resets_at: NOON / 1000 + 70, resets_in_seconds: 60 }),
      { "retry-after": "1" },
      70,
    ],
    [
      "quota: resets_in_seconds before retry-after",
      usage({ resets_in_seconds: 60 }),
      { "retry-after": "1" },
      60,
    ],
    ["quota: retry-after before the windows", usage({}), { ...full, "retry-after": "40" }, 40],
    ["quota: the longest of the windows that are full", usage({}), full, 5000],
    [
      "quota: only a window that is full",
      usage({}),
      { ...full, "x-codex-secondary-used-percent": "99.5" },
      300,
    ],
    [
      "quota: a window's reset-at where reset-after is empty",
      usage({}),
      {
        ...full,
        "x-codex-secondary-reset-after-seconds": "",
        "x-codex-secondary-reset-at": String(NOON / 1000 + 800),
      },
      800,
    ],
    ["quota: no windows, no word", usage({}), {}, undefined],
    ["quota: numbers that are texts", usage({ resets_in_seconds: "60" }), {}, 60],
    [
      "quota: fields that are null",
      usage({ resets_at: null, resets_in_seconds: null }),
      {},
      undefined,
    ],
    [
      "rate: retry-after before all",
      plain({ resets_in_seconds: 60, message: "try again in 5s" }),
      { "retry-after": "7" },
      7,
    ],
    [
      "rate: retry-after as a date",
      plain({}),
      { "retry-after": "Sat, 21 Nov 2026 12:00:30 GMT" },
      30,
    ],
    ["rate: retry-after that is neither", plain({}), { "retry-after": "soon" }, undefined],
    ["rate: resets_in_seconds", plain({ resets_in_seconds: 60 }), {}, 60],
    ["rate: resets_at", plain({ resets_at: NOON / 1000 + 9 }), {}, 9],
    ["rate: the windows have no say", plain({}), full, undefined],
    [
      "rate: the sentence, in seconds",
      plain({ message: "Please try again in 11.054s." }),
      {},
      11.054,
    ],
    [
      "rate: the sentence, in milliseconds",
      plain({ message: "Please try again in 350ms." }),
      {},
      0.35,
    ],
    ["rate: the sentence, in minutes", plain({ message: "Please try again in 6m0s." }), {}, 360],
    ["rate: the sentence, in hours", plain({ message: "Please try again in 1h2m3s." }), {}, 3723],
    ["rate: the sentence, in words", plain({ message: "Please try again in 20 seconds." }), {}, 20],
    [
      "rate: a sentence without a time",
      plain({ message: "Please try again in a while." }),
      {},
      undefined,
    ],
    ["rate: no sentence", plain({ message: null }), {}, undefined],
  ];
  test.each(rows)("%s", (_name, body, headers, seconds) => {
    const expected = seconds === undefined ? undefined : NOON + seconds * 1000;
    const { resetsAtMs } = refusal(429, body, headers);
    if (expected === undefined) expect(resetsAtMs).toBeUndefined();
    else expect(resetsAtMs).toBeCloseTo(expected, 3);
  });

  test("is of no interest where there is no limit", () => {
    const failure = refusal(
      500,
      { error: { message: "try again in 5s", resets_at: 1 } },
      { "retry-after": "9" },
    );
    expect(failure.resetsAtMs).toBeUndefined();
  });
});

describe("a limit is one model's", () => {
  const message = (words: string) => ({ error: { code: "rate_limit_exceeded", message: words } });
  test.each([
    ["when it counts tokens", { error: { code: "rate_limit_exceeded", type: "tokens" } }, MODEL],
    [
      "when it names the model",
      message(`Rate limit reached for ${MODEL} in organization o`),
      MODEL,
    ],
    ["not when it names none", message("Rate limit reached."), undefined],
    ["not when it names another", message("Rate limit reached for gpt-6-sol"), undefined],
    [
      "not when the quota is spent",
      { error: { type: "usage_limit_reached", message: ` for ${MODEL}` } },
      undefined,
    ],
  ])("%s", (_name, body, model) => {
    expect(refusal(429, body).model).toBe(model);
  });
});

describe("the sentence of a failure", () => {
  test.each<[name: string, failure: Failure, words: string]>([
    ["is the backend's", fault("400-detail"), "Bad Request"],
    [
      "is the code's where there is none",
      fault("402-workspace"),
      "The backend answered 402 (deactivated_workspace).",
    ],
    [
      "is the status where there is neither",
      refusal(500, ""),
      "The backend answered 500 without saying why.",
    ],
    [
      "names the ray for Cloudflare's support",
      refusal(520, "<html>", { "cf-ray": "8f1-FRA" }),
      "The backend answered 520 (cf-ray 8f1-FRA) without saying why.",
    ],
    ["of an issuer's kind", refusal(400, { error_description: "nope" }), "nope"],
    ["is the text that an error may be", refusal(400, { error: "just words" }), "just words"],
  ])("%s", (_name, failure, words) => {
    expect(failure.message).toBe(words);
  });

  test("blames the path, not the account, for a Cloudflare page, and quotes none of it", () => {
    const { message } = fault("403-cloudflare");
    expect(message).toContain("Cloudflare");
    expect(message).toContain("No account is at fault");
    expect(message).not.toContain("<");
  });

  test("holds no secret, no escape sequence and no novel", () => {
    const { message } = refusal(400, {
      detail: `Bearer abcdefgh for ann.lee@example.com \u001b[31m eyJhbGciOiJub25l.x.y ${"z".repeat(9000)}`,
    });
    for (const hidden of ["abcdefgh", "ann.lee", "\u001b", "eyJ"])
      expect(message).not.toContain(hidden);
    expect(message.length).toBeLessThanOrEqual(2000);
  });
});

describe("classifyEvent knows", () => {
  const failed = (error: unknown): Dict => ({
    type: "response.failed",
    response: { id: "resp_1", status: "failed", error },
  });
  // upstream.md 4, each code of the table.
  const rows: [code: string, kind: Failure["kind"]][] = [
    ["context_length_exceeded", "context-overflow"],
    ["insufficient_quota", "exhausted"],
    ["usage_not_included", "exhausted"],
    ["usage_limit_reached", "exhausted"],
    ["cyber_policy", "content-refused"],
    ["invalid_prompt", "content-refused"],
    ["server_is_overloaded", "overloaded"],
    ["slow_down", "overloaded"],
    ["rate_limit_exceeded", "rate-limited"],
    ["server_error", "server-error"],
    ["invalid_encrypted_content", "foreign-reasoning"],
    ["model_not_found", "bad-request"],
    ["token_revoked", "unauthorized"],
    ["account_deactivated", "deactivated"],
    ["a_code_of_tomorrow", "server-error"],
  ];
  test.each(rows)("%s, wherever it stands", (code, kind) => {
    const expected = { kind, code };
    for (const event of [
      failed({ code, message: "words" }),
      { type: "error", error: { code, message: "words" } },
      { type: "error", error: { type: code, message: "words" } },
      { type: "error", code, message: "words", param: null, sequence_number: 3 },
    ]) {
      const failure = classifyEvent(event, MODEL, NOON);
      expect(facts(failure)).toEqual(expected);
      expect(failure.message).toBe("words");
    }
  });

  test.each<[status: unknown, kind: Failure["kind"]]>([
    [400, "bad-request"],
    [401, "unauthorized"],
    [402, "forbidden"],
    [403, "forbidden"],
    [404, "bad-request"],
    [408, "timeout"],
    [429, "rate-limited"],
    [500, "server-error"],
    [503, "server-error"],
    ["429", "rate-limited"],
    [200, "server-error"],
    [null, "server-error"],
  ])("the status %p of an event without a known word", (status, kind) => {
    for (const name of ["status", "status_code"]) {
      const event = { type: "error", [name]: status, error: { message: "words" } };
      expect(classifyEvent(event, MODEL, NOON).kind).toBe(kind);
    }
  });

  test("a model that the account may not use, as a WebSocket tells it", () => {
    const event = {
      type: "error",
      status: 400,
      error: { type: "invalid_request_error", message: "The 'gpt-x' model is not supported" },
    };
    expect(facts(classifyEvent(event, MODEL, NOON))).toEqual({
      kind: "bad-request",
      status: 400,
      code: "invalid_request_error",
    });
  });

  test("a request that is refused without a status", () => {
    const event = failed({ type: "invalid_request_error", message: "no" });
    expect(classifyEvent(event, MODEL, NOON).kind).toBe("bad-request");
  });

  test("the wait that a rate limit asks for, and the model that it is for", () => {
    const event = failed({
      code: "rate_limit_exceeded",
      message: `Rate limit reached for ${MODEL} in organization o. Please try again in 11.054s.`,
    });
    expect(classifyEvent(event, MODEL, NOON)).toMatchObject({
      resetsAtMs: NOON + 11_054,
      model: MODEL,
    });
  });

  test("the end of a spent quota, and the plan", () => {
    const event = {
      type: "error",
      status: 429,
      error: { type: "usage_limit_reached", plan_type: "pro", resets_at: RESET_AT },
    };
    expect(facts(classifyEvent(event, MODEL, NOON))).toEqual({
      kind: "exhausted",
      status: 429,
      code: "usage_limit_reached",
      planType: "pro",
      resetsAtMs: RESET_AT * 1000,
    });
  });

  test.each<[name: string, event: Dict]>([
    ["nothing", {}],
    ["only its type", { type: "response.failed" }],
    ["an error that is null", failed(null)],
    ["an error that is empty", failed({})],
    ["an error that is no object", { type: "error", error: 7 }],
    ["a response that is none", { type: "response.failed", response: "x" }],
  ])(
    "that an event with %s is the backend's fault, and takes no code from its name",
    (_name, event) => {
      const failure = classifyEvent(event, MODEL, NOON);
      expect(facts(failure)).toEqual({ kind: "server-error" });
      expect(failure.message).toBe("The backend reported an error inside the stream.");
    },
  );

  test("an error that is a text", () => {
    expect(classifyEvent({ type: "error", error: "broken" }, MODEL, NOON).message).toBe("broken");
  });
});

describe("B6-5: a turn's end tells that a limit ended it", () => {
  const end = (response: Dict): Dict => ({ type: "response.incomplete", response });
  const incomplete = (reason: unknown): Dict => end({ incomplete_details: { reason } });
  test.each<[name: string, event: Dict, kind: Failure["kind"]]>([
    ["usage_limit_reached as the reason", incomplete("usage_limit_reached"), "exhausted"],
    ["insufficient_quota as the reason", incomplete("insufficient_quota"), "exhausted"],
    ["usage_limit_exceeded as the reason", incomplete("usage_limit_exceeded"), "exhausted"],
    ["quota_exceeded as the reason", incomplete("quota_exceeded"), "exhausted"],
    ["rate_limit_exceeded as the reason", incomplete("rate_limit_exceeded"), "rate-limited"],
    [
      "an error beside another reason",
      end({
        incomplete_details: { reason: "max_output_tokens" },
        error: { type: "usage_limit_reached" },
      }),
      "exhausted",
    ],
    [
      "an error inside a completed response",
      { type: "response.completed", response: { error: { code: "usage_limit_reached" } } },
      "exhausted",
    ],
  ])("by %s", (_name, event, kind) => {
    expect(classifyEnd(event, MODEL, NOON)?.kind).toBe(kind);
  });

  test("with the moment at which it ends", () => {
    const error = { type: "usage_limit_reached", message: "Spent.", resets_in_seconds: 60 };
    expect(classifyEnd(end({ error }), MODEL, NOON)).toMatchObject({
      message: "Spent.",
      resetsAtMs: NOON + 60_000,
    });
  });

  test.each<[name: string, event: Dict]>([
    ["its length", incomplete("max_output_tokens")],
    ["a filter", incomplete("content_filter")],
    ["an unknown reason", incomplete("tired")],
    ["no reason", incomplete(null)],
    ["nothing", {}],
    ["an ordinary end", { response: { status: "completed", error: null } }],
    ["another error", end({ error: { code: "server_error" } })],
  ])("and not by %s", (_name, event) => {
    expect(classifyEnd(event, MODEL, NOON)).toBeUndefined();
  });
});

describe("B6-6: a promise that cannot be believed does not hide one that can", () => {
  const error = (rest: Dict) => ({ error: { type: "usage_limit_reached", ...rest } });
  const year2099 = Date.parse("2099-01-01") / 1000;
  test.each<[name: string, body: Dict, headers: Record<string, string>, inMs: number | undefined]>([
    ["a past moment", error({ resets_at: 1, resets_in_seconds: 60 }), {}, 60_000],
    ["the year 2099", error({ resets_at: year2099, resets_in_seconds: 60 }), {}, 60_000],
    ["a negative wait", error({ resets_in_seconds: -5 }), { "retry-after": "7" }, 7000],
    ["an endless wait", error({ resets_in_seconds: 1e12 }), {}, undefined],
    ["a past date", error({}), { "retry-after": "Sat, 21 Nov 2020 12:00:00 GMT" }, undefined],
  ])("%s", (_name, body, headers, inMs) => {
    const expected = inMs === undefined ? undefined : NOON + inMs;
    expect(refusal(429, body, headers).resetsAtMs).toBe(expected);
  });
});

describe("B6-5: a 429 without a word of its own", () => {
  const full = {
    "x-codex-primary-used-percent": "30",
    "x-codex-secondary-used-percent": "100",
    "x-codex-secondary-reset-after-seconds": "5000",
  };
  test("is about the window that is full, the weekly one too", () => {
    expect(refusal(429, { detail: "Too many requests" }, full)).toMatchObject({
      kind: "exhausted",
      resetsAtMs: NOON + 5_000_000,
    });
  });
  test("is a rate limit where there is room", () => {
    const room = { ...full, "x-codex-secondary-used-percent": "99" };
    expect(refusal(429, { detail: "Too many requests" }, room).kind).toBe("rate-limited");
  });
  test("and a 502 that hides a spent quota is taken by its words", () => {
    const body = { error: { type: "usage_limit_reached", resets_in_seconds: 60 } };
    expect(refusal(502, body)).toMatchObject({ kind: "exhausted", resetsAtMs: NOON + 60_000 });
  });
});
