import type { Millis } from "../wire/clock.ts";

/** What may happen next when an attempt has failed and the client has seen nothing. */
export type NextStep =
  /** The request itself is refused: no account would answer otherwise. */
  | "stop"
  /** Another account may serve it. */
  | "other-account"
  /** Another account may serve it, but none whose calls leave by the same proxy. */
  | "other-way"
  /** The same account may serve it once its access token has been renewed. */
  | "renew-and-resend"
  /** The same account may serve it once the part that was refused has been taken out. */
  | "amend-and-resend"
  /** Any account may serve it, this one too: nobody has worked on it yet. */
  | "any-account";

/** What a failed attempt means for the account that made it. */
export type AccountEffect =
  /** Not the account's doing. */
  | "none"
  /** Counted, for the owner to see; no consequence by itself. */
  | "count"
  /** Rests until its quota comes back. */
  | "cool-quota"
  /** Rests for the time the backend asks for, as an account or for one model only. */
  | "cool-limited"
  /** Rests shortly, until its token has been renewed. */
  | "cool-unauthorized"
  /** Rests some minutes. */
  | "cool-forbidden"
  /** Is out until its owner acts. */
  | "disable";

type Row = { readonly next: NextStep; readonly account: AccountEffect; readonly status: number };

/**
 * The one table of failures: what is tried next, what it means for the account, and the HTTP status that the
 * client gets at the end when the failure carries none of its own.
 */
export const FAILURES = {
  /** The request is at fault, by our own reading or by the backend's. */
  "bad-request": { next: "stop", account: "none", status: 400 },
  /** The conversation is longer than the model's context window. */
  "context-overflow": { next: "stop", account: "none", status: 400 },
  /** The backend's safety rules refuse the content. */
  "content-refused": { next: "stop", account: "none", status: 400 },
  /** The backend refuses a parameter that this program did not know to be refused. */
  "unsupported-parameter": { next: "amend-and-resend", account: "none", status: 400 },
  /** Encrypted reasoning in the request was made by another account and cannot be read by this one. */
  "foreign-reasoning": { next: "amend-and-resend", account: "none", status: 400 },
  /** The backend does not know this one of the two ways to compact a conversation. */
  "unknown-compaction": { next: "amend-and-resend", account: "none", status: 400 },
  /** The backend refuses the access token. */
  unauthorized: { next: "renew-and-resend", account: "cool-unauthorized", status: 502 },
  /** The account or its workspace has been deactivated. */
  deactivated: { next: "other-account", account: "disable", status: 502 },
  /** Refused for a reason of the account's that the backend does not name. */
  forbidden: { next: "other-account", account: "cool-forbidden", status: 502 },
  /** A Cloudflare page stands before the backend: trouble of the path, not of the account. */
  challenged: { next: "other-account", account: "none", status: 503 },
  /** The plan's quota is used up. */
  exhausted: { next: "other-account", account: "cool-quota", status: 429 },
  /** Too many requests at once, or too many for one model. */
  "rate-limited": { next: "other-account", account: "cool-limited", status: 429 },
  /** The backend has no capacity for the model. */
  overloaded: { next: "other-account", account: "count", status: 503 },
  /** The backend is broken, or says something that nobody has seen yet. */
  "server-error": { next: "other-account", account: "count", status: 502 },
  /** The egress proxy did not let the request out. Nobody behind it would get out, and no account is at fault. */
  egress: { next: "other-way", account: "none", status: 503 },
  /** The backend could not be reached, and so has not seen the request. */
  unreachable: { next: "other-account", account: "none", status: 502 },
  /** The backend gave the request back without having worked on it, as HTTP/2 can say. */
  "turned-away": { next: "any-account", account: "none", status: 502 },
  /** The connection broke before an answer; the backend may have seen the request. */
  network: { next: "other-account", account: "count", status: 502 },
  /** One of the clocks ran out. */
  timeout: { next: "other-account", account: "count", status: 504 },
  /** The stream ended before its last event. */
  "cut-short": { next: "other-account", account: "count", status: 502 },
  /** A completed turn without any output. */
  empty: { next: "other-account", account: "count", status: 502 },
  /** A compaction that holds no compacted conversation. */
  "no-compaction": { next: "other-account", account: "count", status: 502 },
  /** The account's token has ended and could not be renewed just now. */
  "renewal-failed": { next: "other-account", account: "cool-unauthorized", status: 502 },
  /** No account can be used at all. */
  "no-account": { next: "stop", account: "none", status: 503 },
  /** The request as a whole took longer than its owner allows; a slow client may be why. */
  "out-of-time": { next: "stop", account: "none", status: 504 },
  /** The caller's own key has no room for it: a limit that its owner has set. */
  "client-limited": { next: "stop", account: "none", status: 429 },
  /** The client went away. 499 is nginx's word for it; nobody reads it but the log. */
  "client-left": { next: "stop", account: "none", status: 499 },
  /** A fault of this program. */
  internal: { next: "stop", account: "none", status: 500 },
} as const satisfies Record<string, Row>;

/** Every way a turn can fail. */
export type FailureKind = keyof typeof FAILURES;

/** A failed attempt or a refused request, in terms that no protocol owns. */
export type Failure = {
  readonly kind: FailureKind;
  /** One sentence for people. No secret, no prompt text. */
  readonly message: string;
  /** HTTP status that the backend, or our own check, really gave. */
  readonly status?: number;
  /** The backend's own word for it, e.g. `usage_limit_reached`, or ours for a refused request. */
  readonly code?: string;
  /** The request's parameter at fault. */
  readonly param?: string;
  /** When the backend promised to take requests again. */
  readonly resetsAtMs?: Millis;
  /** Set where only this model is limited. */
  readonly model?: string;
  readonly planType?: string;
};

// The longest window a plan has is a month; a promise beyond that is a mistake of the backend's.
const LONGEST_PROMISE_MS = 32 * 24 * 3_600_000;

/** `resetsAtMs` if it can be believed. A promise that is past, or years ahead, is a mistake or a wrong clock. */
export function believableReset(resetsAtMs: Millis | undefined, now: Millis): Millis | undefined {
  const isBelievable =
    resetsAtMs !== undefined && resetsAtMs > now && resetsAtMs <= now + LONGEST_PROMISE_MS;
  return isBelievable ? resetsAtMs : undefined;
}

// More than this is no rounding, and no time that an answer takes.
const APART_MS: Millis = 10_000;

/**
 * A reset that was told as a moment and as a wait. They are the same unless the clock here is wrong, and then only what
 * counts from now is of use: the moment would come as much too early or too late.
 */
export function resetOf(
  atMs: Millis | undefined,
  waitedMs: Millis | undefined,
  now: Millis,
): Millis | undefined {
  const [moment, wait] = [believableReset(atMs, now), believableReset(waitedMs, now)];
  if (moment === undefined || wait === undefined) return moment ?? wait;
  return Math.abs(moment - wait) > APART_MS ? wait : moment;
}

/** HTTP status for a client that has seen nothing yet. Trouble of our accounts never looks like the client's own. */
export function clientStatus(failure: Failure): number {
  const row: Row = FAILURES[failure.kind];
  const { status } = failure;
  if (status === undefined) return row.status;
  switch (failure.kind) {
    case "bad-request":
      return status >= 400 && status <= 599 ? status : row.status;
    case "server-error":
      return status >= 500 && status <= 599 ? status : row.status;
    default:
      return row.status;
  }
}

/** Whole seconds until the backend takes requests again, at least one; undefined where it has promised nothing. */
export function waitSecondsOf({ resetsAtMs }: Failure, nowMs: Millis): number | undefined {
  return resetsAtMs === undefined ? undefined : Math.max(Math.ceil((resetsAtMs - nowMs) / 1000), 1);
}

/** `retry-after` for a client that may come back: a mistake of its own stays one. */
export function retryAfter(failure: Failure, nowMs: Millis): Readonly<Record<string, string>> {
  const waitSeconds = waitSecondsOf(failure, nowMs);
  if (waitSeconds === undefined || clientStatus(failure) < 429) return {};
  return { "retry-after": String(waitSeconds) };
}

/** A refusal that this program makes by itself, before any account is touched. */
export function refuse(status: number, code: string, message: string, param?: string): Failure {
  return { kind: "bad-request", status, code, message, ...(param === undefined ? {} : { param }) };
}
