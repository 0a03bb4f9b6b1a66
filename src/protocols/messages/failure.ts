import { clientStatus, type Failure, retryAfter, waitSecondsOf } from "../../turn/failure.ts";
import type { Dict } from "../../wire/json.ts";
import type { ErrorReply } from "../protocol.ts";

// Longer than that nobody should wait in line: Claude Code gives up by itself at hours, and tells its user at once.
const LONGEST_WAIT_S = 60;

// After so long at most there is room again within a limit for each minute.
const LONGEST_MINUTE_S = 61;

/** A failure as Anthropic's error envelope, with what its clients go by when they decide whether to try again. */
export function fail(failure: Failure, requestId: string, nowMs: number): ErrorReply {
  return {
    status: clientStatus(failure),
    headers: {
      "x-should-retry": String(shouldRetry(failure, waitSecondsOf(failure, nowMs))),
      ...retryAfter(failure, nowMs),
    },
    body: { type: "error", error: errorOf(failure), request_id: requestId },
  };
}

/** The error itself, as it stands in an envelope and in a stream's last event. */
export function errorOf(failure: Failure) {
  const { message, code } = failure;
  return {
    type: errorType(failure, clientStatus(failure)),
    message,
    // The official SDKs know some codes and throw an error of that name; `thread_unsupported_request` makes them
    // send the whole conversation.
    ...(code === undefined ? {} : { details: { error_code: code } }),
  };
}

/**
 * Whether the same request may do better in a little while. Anthropic's clients obey this word before they look at the
 * status, and would otherwise try every 429 and 5xx again, Claude Code up to ten times.
 */
function shouldRetry(failure: Failure, waitSeconds: number | undefined): boolean {
  const isSoon = waitSeconds !== undefined && waitSeconds <= LONGEST_WAIT_S;
  switch (failure.kind) {
    case "bad-request":
    case "context-overflow":
    case "content-refused":
    case "unsupported-parameter":
    case "foreign-reasoning":
    case "unknown-compaction":
    case "client-left":
    // The same request would take as long again.
    case "out-of-time":
    case "internal":
    // Stands on the way to the backend until somebody changes the way.
    case "challenged":
      return false;
    // A quota without a date, and accounts that wait for their owner, are not soon.
    case "exhausted":
    case "no-account":
      return isSoon;
    case "client-limited":
      return waitSeconds !== undefined && waitSeconds <= LONGEST_MINUTE_S;
    case "rate-limited":
      return isSoon || waitSeconds === undefined;
    // The accounts at fault rest now: the next try goes to others, or says that there is none.
    case "unauthorized":
    case "deactivated":
    case "forbidden":
    case "overloaded":
    case "server-error":
    case "egress":
    case "unreachable":
    case "turned-away":
    case "network":
    case "timeout":
    case "cut-short":
    case "empty":
    case "no-compaction":
    case "renewal-failed":
      return true;
  }
}

function errorType({ kind }: Failure, status: number): string {
  if (kind === "overloaded") return "overloaded_error";
  const type = TYPES.get(status);
  if (type !== undefined) return type;
  return status < 500 ? "invalid_request_error" : "api_error";
}

const TYPES: ReadonlyMap<number, string> = new Map([
  [401, "authentication_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [413, "request_too_large"],
  [429, "rate_limit_error"],
  [504, "timeout_error"],
]);

/** What is known of a request that may be too long. */
export type Size = { readonly body: Dict; readonly contextWindow: number | undefined };

// What the backend's catalogue says of most of its models (upstream.md 7).
const USUAL_WINDOW = 272_000;

/**
 * A failure in the words that clients act on: Claude Code compacts the conversation on this very sentence. The backend
 * names no numbers. The window is the catalogue's; the length is an estimate, and more than the window by the backend's
 * own word.
 */
export function explain(failure: Failure, { body, contextWindow }: Size): Failure {
  if (failure.kind !== "context-overflow") return failure;
  const window = contextWindow ?? USUAL_WINDOW;
  const tokens = Math.max(estimateTokens(body), window + 1);
  const message = `prompt is too long: ${tokens} tokens > ${window} maximum (as this proxy estimates; the backend only says that it is too long)`;
  return { ...failure, message };
}

/** `explain` for one request; made here, it holds nothing of the request but its size. */
export function createExplainer(size: Size): (failure: Failure) => Failure {
  return (failure) => explain(failure, size);
}

// English and code: about four characters to a token. Images and files count by other rules.
const CHARACTERS_PER_TOKEN = 4;

function estimateTokens(body: Dict): number {
  return Math.ceil(charactersIn([body["input"], body["tools"]]) / CHARACTERS_PER_TOKEN);
}

function charactersIn(value: unknown): number {
  if (typeof value === "string") return value.startsWith("data:") ? 0 : value.length;
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum: number, each) => sum + charactersIn(each), 0);
}
