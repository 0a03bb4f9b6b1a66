import { describe, expect, test } from "bun:test";
import { APIError } from "@anthropic-ai/sdk";
import { explain, fail } from "../../../src/protocols/messages/failure.ts";
import { FAILURES, type Failure, refuse } from "../../../src/turn/failure.ts";
import { NOON } from "../turns.ts";

const seconds = (count: number) => NOON + count * 1000;

function replyTo(failure: Failure) {
  const { status, headers, body } = fail(failure, "req_1", NOON);
  return {
    status,
    headers,
    error: APIError.generate(status, Object(body), undefined, new Headers(headers)),
  };
}

describe("a failure in Anthropic's shape", () => {
  test("B3-7: is told as the official SDK reads it", () => {
    const { error, headers } = replyTo(refuse(400, "invalid_type", "'model' is wrong.", "model"));
    expect(error.name).toBe("BadRequestError");
    expect(error).toMatchObject({
      type: "invalid_request_error",
      apiMessage: "'model' is wrong.",
      errorCode: "invalid_type",
    });
    expect(headers).toEqual({ "x-should-retry": "false" });
  });

  test("a request with a thread makes the SDK send the whole conversation", () => {
    const { error } = replyTo(refuse(400, "thread_unsupported_request", "No threads.", "thread"));
    expect(error.errorCode).toBe("thread_unsupported_request");
  });

  const message = "It went wrong.";
  const rows: [
    failure: Omit<Failure, "message">,
    status: number,
    type: string,
    retry: boolean,
    after: string | undefined,
  ][] = [
    [{ kind: "bad-request", status: 401 }, 401, "authentication_error", false, undefined],
    [{ kind: "bad-request", status: 403 }, 403, "permission_error", false, undefined],
    [{ kind: "bad-request", status: 404 }, 404, "not_found_error", false, undefined],
    [{ kind: "bad-request", status: 405 }, 405, "invalid_request_error", false, undefined],
    [{ kind: "bad-request", status: 413 }, 413, "request_too_large", false, undefined],
    [
      { kind: "bad-request", status: 429, resetsAtMs: seconds(3) },
      429,
      "rate_limit_error",
      false,
      "3",
    ],
    [{ kind: "context-overflow" }, 400, "invalid_request_error", false, undefined],
    [{ kind: "content-refused" }, 400, "invalid_request_error", false, undefined],
    [{ kind: "exhausted", resetsAtMs: seconds(7200) }, 429, "rate_limit_error", false, "7200"],
    [{ kind: "exhausted", resetsAtMs: seconds(20) }, 429, "rate_limit_error", true, "20"],
    [{ kind: "exhausted" }, 429, "rate_limit_error", false, undefined],
    [{ kind: "client-limited", resetsAtMs: seconds(61) }, 429, "rate_limit_error", true, "61"],
    [{ kind: "client-limited", resetsAtMs: seconds(900) }, 429, "rate_limit_error", false, "900"],
    [{ kind: "rate-limited", resetsAtMs: seconds(2) }, 429, "rate_limit_error", true, "2"],
    [{ kind: "rate-limited", resetsAtMs: seconds(600) }, 429, "rate_limit_error", false, "600"],
    [{ kind: "rate-limited" }, 429, "rate_limit_error", true, undefined],
    [{ kind: "no-account" }, 503, "api_error", false, undefined],
    [{ kind: "no-account", resetsAtMs: seconds(30) }, 503, "api_error", true, "30"],
    [{ kind: "challenged" }, 503, "api_error", false, undefined],
    [{ kind: "overloaded" }, 503, "overloaded_error", true, undefined],
    [{ kind: "server-error", status: 500 }, 500, "api_error", true, undefined],
    [{ kind: "timeout" }, 504, "timeout_error", true, undefined],
    [{ kind: "network" }, 502, "api_error", true, undefined],
    [{ kind: "internal" }, 500, "api_error", false, undefined],
  ];
  test.each(rows)("%j", (failure, status, type, retry, after) => {
    const reply = replyTo({ ...failure, message });
    expect(reply.status).toBe(status);
    expect(String(reply.error.type)).toBe(type);
    expect(reply.headers["x-should-retry"]).toBe(String(retry));
    expect(reply.headers["retry-after"]).toBe(after);
  });

  test("trouble of our accounts is never the client's 401 or 403", () => {
    for (const kind of ["unauthorized", "deactivated", "forbidden", "renewal-failed"] as const) {
      expect(replyTo({ kind, message, status: 401 }).status).toBe(FAILURES[kind].status);
    }
  });
});

describe("B3-4, M6: a conversation that is too long", () => {
  const overflow: Failure = {
    kind: "context-overflow",
    message: "Too long.",
    code: "context_length_exceeded",
  };
  const body = (length: number) => ({ input: [{ content: "x".repeat(length) }] });

  test.each([
    [4_000_000, 272_000],
    [100, 272_000],
    [4_000_000, undefined],
  ])(
    "of %p characters, in a window of %p tokens, is told in the words that make Claude Code compact",
    (length, window) => {
      const { message, kind } = explain(overflow, { body: body(length), contextWindow: window });
      const [, tokens, most] =
        /^prompt is too long: (\d+) tokens > (\d+) maximum/.exec(message) ?? [];
      expect(kind).toBe("context-overflow");
      expect(Number(most)).toBe(272_000);
      expect(Number(tokens)).toBeGreaterThan(Number(most));
      expect(Number(tokens)).toBe(Math.max(Math.ceil((length + 1) / 4), 272_001));
    },
  );

  test("does not count an image by its characters", () => {
    const image = { input: [{ image_url: `data:image/png;base64,${"A".repeat(4_000_000)}` }] };
    const { message } = explain(overflow, { body: image, contextWindow: 1000 });
    expect(message).toContain("1001 tokens > 1000 maximum");
  });

  test("other failures keep their words", () => {
    const other: Failure = { kind: "timeout", message: "Late." };
    expect(explain(other, { body: {}, contextWindow: undefined })).toBe(other);
  });
});
