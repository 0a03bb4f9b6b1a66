import {
  clientStatus,
  type Failure,
  type FailureKind,
  retryAfter,
  waitSecondsOf,
} from "../turn/failure.ts";
import type { Json } from "../wire/json.ts";
import type { ErrorReply } from "./protocol.ts";

/** A failure as OpenAI's error envelope, with the fields by which the Codex CLI knows a spent quota. */
export function fail(failure: Failure, requestId: string, nowMs: number): ErrorReply {
  return {
    status: clientStatus(failure),
    headers: retryAfter(failure, nowMs),
    body: { error: { ...errorOf(failure, nowMs), request_id: requestId } },
  };
}

/** The `error` object of the envelope, which a stream that has begun is told too. */
export function errorOf(failure: Failure, nowMs: number): { readonly [field: string]: Json } {
  const { resetsAtMs, planType } = failure;
  const isLimit = LIMITS.has(failure.kind);
  return {
    message: failure.message,
    type: errorType(failure, clientStatus(failure)),
    param: failure.param ?? null,
    code: errorCode(failure),
    ...(planType === undefined ? {} : { plan_type: planType }),
    ...(isLimit && resetsAtMs !== undefined
      ? {
          resets_at: Math.ceil(resetsAtMs / 1000),
          resets_in_seconds: waitSecondsOf(failure, nowMs) ?? 1,
        }
      : {}),
  };
}

const LIMITS: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "exhausted",
  "rate-limited",
  "client-limited",
]);

/**
 * The code that a client is told. A final overload is told as `server_error`: on its own code the Codex CLI gives
 * up at once, on this one its bounded retry works (upstream.md 4).
 */
export function errorCode(failure: Failure): string {
  switch (failure.kind) {
    case "bad-request":
    case "content-refused":
    case "foreign-reasoning":
    case "unknown-compaction":
    case "exhausted":
    case "rate-limited":
    case "client-limited":
      return failure.code ?? FALLBACK_CODES[failure.kind];
    case "context-overflow":
      return "context_length_exceeded";
    case "unsupported-parameter":
      return "unsupported_parameter";
    case "no-account":
      return "no_account_available";
    case "client-left":
      return failure.code ?? "server_error";
    default:
      return "server_error";
  }
}

const FALLBACK_CODES = {
  "bad-request": "invalid_request_error",
  "content-refused": "invalid_prompt",
  "foreign-reasoning": "invalid_encrypted_content",
  "unknown-compaction": "compaction_not_supported",
  exhausted: "usage_limit_reached",
  "rate-limited": "rate_limit_exceeded",
  "client-limited": "rate_limit_exceeded",
} as const;

function errorType(failure: Failure, status: number): string {
  if (failure.kind === "exhausted") return failure.code ?? "usage_limit_reached";
  // By its type the Codex CLI knows that to wait a little is of no use.
  if (failure.code === "usage_limit_reached") return failure.code;
  if (status === 429) return "rate_limit_error";
  if (status === 403) return "permission_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
