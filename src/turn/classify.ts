import type { Millis } from "../wire/clock.ts";
import { type Dict, dict, isDict, number, parseDict, text } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { believableReset, type Failure, type FailureKind, resetOf } from "./failure.ts";

/** An answer of the backend's that is no turn. */
export type Refusal = {
  readonly status: number;
  readonly headers: Headers;
  /** As much of the body as was read. */
  readonly body: string;
};

/** What the backend says of an error, wherever in the body it stands. */
type Word = {
  readonly message: string | undefined;
  readonly code: string | undefined;
  readonly type: string | undefined;
  readonly param: string | undefined;
  readonly error: Dict;
};

/** The failure that an HTTP answer other than 2xx stands for; `model` is the one that was asked for. */
export function classifyRefusal(refusal: Refusal, model: string, now: Millis): Failure {
  const { status, headers, body } = refusal;
  const word = readWord(parseDict(body) ?? {});
  const kind = kindByWord(word) ?? kindByStatus(refusal, word);
  const described = describe(kind, status, headers, word);
  return complete(kind, described, { word, status, headers, model, now });
}

/** The failure that an `error` or `response.failed` event inside a 200 stands for. */
export function classifyEvent(event: Dict, model: string, now: Millis): Failure {
  const error = isDict(event["error"]) ? event["error"] : dict(dict(event["response"])["error"]);
  // Where there is no error object the event speaks for itself, but its `type` only says that it is an event.
  const { type: _event, ...rest } = event;
  const word = readWord(Object.keys(error).length > 0 ? { error } : rest);
  const status = number(event["status"]) ?? number(event["status_code"]);
  const kind = kindByWord(word) ?? kindByEventStatus(status, word);
  const message =
    word.message ?? `The backend reported ${word.code ?? "an error"} inside the stream.`;
  const headers = new Headers();
  return complete(kind, message, { word, status, headers, model, now });
}

/**
 * What a turn that ended otherwise than by `failed` tells of a limit: the quota may run out inside an answer, and the
 * backend then calls the answer incomplete (B6-5). Undefined where no limit ended it.
 */
export function classifyEnd(event: Dict, model: string, now: Millis): Failure | undefined {
  const response = dict(event["response"]);
  const { reason } = dict(response["incomplete_details"]);
  const error = isDict(response["error"]) ? response["error"] : { code: reason };
  const word = readWord({ error });
  const kind = kindByWord(word);
  if (kind !== "exhausted" && kind !== "rate-limited") return undefined;
  const message =
    word.message ?? `The backend cut the answer short (${redact(word.code ?? "a limit")}).`;
  return complete(kind, message, { word, status: undefined, headers: new Headers(), model, now });
}

// By `error.code` or `error.type`: these words say more than the status around them.
const KINDS: ReadonlyMap<string, FailureKind> = new Map<string, FailureKind>([
  ["context_length_exceeded", "context-overflow"],
  ["cyber_policy", "content-refused"],
  ["invalid_prompt", "content-refused"],
  ["invalid_encrypted_content", "foreign-reasoning"],
  ["thinking_signature_invalid", "foreign-reasoning"],
  ["usage_limit_reached", "exhausted"],
  ["insufficient_quota", "exhausted"],
  ["usage_limit_exceeded", "exhausted"],
  ["quota_exceeded", "exhausted"],
  ["usage_not_included", "exhausted"],
  ["rate_limit_exceeded", "rate-limited"],
  ["rate_limit_error", "rate-limited"],
  ["server_is_overloaded", "overloaded"],
  ["slow_down", "overloaded"],
  ["service_unavailable_error", "overloaded"],
  ["token_expired", "unauthorized"],
  ["token_invalidated", "unauthorized"],
  ["token_revoked", "unauthorized"],
  ["account_deactivated", "deactivated"],
  ["deactivated_workspace", "deactivated"],
  ["model_not_found", "bad-request"],
  ["server_error", "server-error"],
]);

function kindByWord({ code, type, message }: Word): FailureKind | undefined {
  const kind = KINDS.get(code ?? "") ?? KINDS.get(type ?? "");
  if (kind !== undefined || message === undefined) return kind;
  // Gateway checks and old reports come without a code; these sentences are in upstream.md 3.2 and 5.
  if (/^Unsupported parameter: /.test(message)) return "unsupported-parameter";
  if (/^Item with id '.*' not found/.test(message)) return "foreign-reasoning";
  if (/encrypted content .* could not be verified/i.test(message)) return "foreign-reasoning";
  if (/(?:account|workspace) has been deactivated/i.test(message)) return "deactivated";
  return undefined;
}

function kindByStatus(refusal: Refusal, { message, code, type }: Word): FailureKind {
  const { status, headers, body } = refusal;
  switch (status) {
    case 401:
      return "unauthorized";
    case 402:
      // A workspace that has been deactivated says so; any other bill may be paid.
      return "forbidden";
    case 403:
      return isChallenge(headers, body) || isCloudflarePage(headers, body)
        ? "challenged"
        : "forbidden";
    case 407:
      return "network";
    case 408:
      return "timeout";
    case 429:
      if (message === undefined && isChallenge(headers, body)) return "challenged";
      // Without a word of its own: a window that is full says what it is about.
      return code === undefined && type === undefined && hasFullWindow(headers)
        ? "exhausted"
        : "rate-limited";
    default:
      if (status >= 400 && status < 500) return "bad-request";
      // A 2xx that is no event stream, or a redirect: the backend is not what it should be. Cloudflare's pages for
      // 502 and 520 to 524 tell of the backend's own trouble.
      return message === undefined && isChallenge(headers, body) ? "challenged" : "server-error";
  }
}

function kindByEventStatus(status: number | undefined, word: Word): FailureKind {
  if (status !== undefined && status >= 400) {
    return kindByStatus({ status, headers: new Headers(), body: "" }, word);
  }
  return word.type === "invalid_request_error" ? "bad-request" : "server-error";
}

/** Whether Cloudflare holds requests back here, whatever the status. */
function isChallenge(headers: Headers, body: string): boolean {
  if (headers.has("cf-mitigated")) return true;
  return isHtml(headers, body) && /just a moment|attention required|cf-chl|challenge/i.test(body);
}

/** Whether this is some page of Cloudflare's and not the backend's answer. */
function isCloudflarePage(headers: Headers, body: string): boolean {
  return isHtml(headers, body) && /cloudflare/i.test(body);
}

function isHtml(headers: Headers, body: string): boolean {
  const type = headers.get("content-type") ?? "";
  return type.includes("html") || /^\s*<(?:!doctype|html)/i.test(body);
}

function readWord(body: Dict): Word {
  const { detail } = body;
  const nested = isDict(body["error"]) ? body["error"] : isDict(detail) ? detail : body;
  const message =
    text(nested["message"]) ??
    text(detail) ??
    text(body["error"]) ??
    text(nested["error_description"]);
  return {
    message: message === undefined ? undefined : redact(message).slice(0, 2000),
    code: text(nested["code"]),
    type: text(nested["type"]),
    param: text(nested["param"]),
    error: nested,
  };
}

function describe(kind: FailureKind, status: number, headers: Headers, word: Word): string {
  if (kind === "challenged") {
    return "A Cloudflare page stands between this machine and the backend. No account is at fault; try another network path.";
  }
  if (word.message !== undefined) return word.message;
  if (word.code !== undefined) return `The backend answered ${status} (${redact(word.code)}).`;
  const ray = headers.get("cf-ray");
  return `The backend answered ${status}${ray === null ? "" : ` (cf-ray ${redact(ray)})`} without saying why.`;
}

type Circumstances = {
  readonly word: Word;
  readonly status: number | undefined;
  readonly headers: Headers;
  readonly model: string;
  readonly now: Millis;
};

function complete(kind: FailureKind, message: string, circumstances: Circumstances): Failure {
  const { word, status, model } = circumstances;
  const code = word.code ?? word.type;
  const planType = text(word.error["plan_type"]);
  const resetsAtMs =
    kind === "exhausted" || kind === "rate-limited"
      ? promisedReset(kind, circumstances)
      : undefined;
  const param =
    kind === "unsupported-parameter"
      ? /^Unsupported parameter: ['"]?([\w.-]+)/.exec(message)?.[1]
      : word.param;
  return {
    kind,
    message,
    ...(status === undefined ? {} : { status }),
    ...(code === undefined ? {} : { code }),
    ...(param === undefined ? {} : { param }),
    ...(planType === undefined ? {} : { planType }),
    ...(resetsAtMs === undefined ? {} : { resetsAtMs }),
    ...(kind === "rate-limited" && isModelLimit(word, model) ? { model } : {}),
  };
}

/** A limit that names the model is the model's; any other is the account's. */
function isModelLimit({ message, type }: Word, model: string): boolean {
  return type === "tokens" || (message ?? "").includes(` for ${model}`);
}

/**
 * What the backend says of the end of a limit, surest word first: for a spent quota its own fields, else `retry-after`
 * (product.md 8); then the windows that are full, then the sentence for people.
 */
function promisedReset(
  kind: FailureKind,
  { word, headers, now }: Circumstances,
): Millis | undefined {
  // A time that cannot be believed does not hide one that can.
  const believed = (ms: Millis | undefined) => believableReset(ms, now);
  const atMs = believed(inMillis(number(word.error["resets_at"])));
  const inMs = believed(later(now, number(word.error["resets_in_seconds"])));
  const afterMs = believed(later(now, retryAfterSeconds(headers, now)));
  const said = later(now, saidSeconds(word.message ?? ""));
  return kind === "exhausted"
    ? (resetOf(atMs, inMs, now) ?? afterMs ?? fullWindowsEnd(headers, now) ?? said)
    : (afterMs ?? inMs ?? atMs ?? said);
}

function hasFullWindow(headers: Headers): boolean {
  return ["primary", "secondary"].some(
    (window) => (number(headers.get(`x-codex-${window}-used-percent`)) ?? 0) >= 100,
  );
}

/** When all windows that are full have ended. A header may be there and empty, as seen on exhausted plans. */
function fullWindowsEnd(headers: Headers, now: Millis): Millis | undefined {
  let endMs: Millis | undefined;
  for (const window of ["primary", "secondary"]) {
    const value = (name: string) => number(headers.get(`x-codex-${window}-${name}`));
    if ((value("used-percent") ?? 0) < 100) continue;
    const resetMs = later(now, value("reset-after-seconds")) ?? inMillis(value("reset-at"));
    if (resetMs !== undefined) endMs = Math.max(endMs ?? 0, resetMs);
  }
  return endMs;
}

/** The wait in "Please try again in 11.054s", "in 6m0s", "in 350ms". */
function saidSeconds(message: string): number | undefined {
  const said =
    /try again in (?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)\s?(ms|s(?:ec(?:ond)?s?)?)\b)?/i;
  const [, hours, minutes, rest, unit] = said.exec(message) ?? [];
  if (hours === undefined && minutes === undefined && rest === undefined) return undefined;
  const seconds = Number(rest ?? 0) / (unit?.toLowerCase() === "ms" ? 1000 : 1);
  return Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + seconds;
}

function later(now: Millis, seconds: number | undefined): Millis | undefined {
  return seconds === undefined ? undefined : now + seconds * 1000;
}

function inMillis(seconds: number | undefined): Millis | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

/** `retry-after` in seconds, from either of its two forms (RFC 9110, 10.2.3). */
export function retryAfterSeconds(headers: Headers, now: Millis): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const dateMs = Date.parse(value);
  return number(value) ?? (Number.isNaN(dateMs) ? undefined : (dateMs - now) / 1000);
}
