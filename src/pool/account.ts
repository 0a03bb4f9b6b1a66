import type { EgressProxy } from "../config/proxy-url.ts";
import type { Millis } from "../wire/clock.ts";
import { maskEmail } from "../wire/log.ts";
import { type Credential, isAlive } from "./credential.ts";
import type { Ended } from "./findings.ts";
import { exhaustedUntil, nextReset, type Quota } from "./quota.ts";

/** What is known of a login from its file and its tokens. */
export type Login = {
  /** Who it is: login subject and workspace. Two files with one identity are one account. */
  readonly identity: string;
  /** The workspace the backend bills; goes upstream as `chatgpt-account-id`. */
  readonly workspaceId?: string;
  readonly email?: string;
  /** Open set: `free`, `plus`, `pro`, `team` and what the backend may add. */
  readonly plan?: string;
  readonly credential: Credential;
  /** The owner switched it off in the file. */
  readonly isSwitchedOff: boolean;
  /** How many times as much of the new conversations it takes as an equal; its owner's word, in the file. */
  readonly weight?: number;
  /** The proxy that its calls leave through, by its file's own word; absent: the configured way. */
  readonly proxy?: EgressProxy;
  /** What is wrong in its file without keeping it from being used: a sentence for its owner. */
  readonly remark?: string;
  readonly lastRefreshedMs?: Millis;
  /** Where it is kept: a path, in file mode. */
  readonly source: string;
};

/** By which way out a login's calls leave; "" is the configured one. It is for comparing, and holds a password. */
export function wayOf({ proxy }: { readonly proxy?: EgressProxy | undefined }): string {
  return proxy?.url ?? "";
}

/** Of two entries of one login, whether the tokens of the first are newer; false where nothing tells them apart. */
export function isNewer(one: Login, other: Login): boolean {
  const pairs = [
    [one.credential.expiresAtMs, other.credential.expiresAtMs],
    [one.credential.issuedAtMs, other.credential.issuedAtMs],
    [one.lastRefreshedMs, other.lastRefreshedMs],
  ] as const;
  for (const [mine, theirs] of pairs) {
    if (mine !== undefined && theirs !== undefined && mine !== theirs) return mine > theirs;
  }
  return one.credential.accessToken !== undefined && other.credential.accessToken === undefined;
}

/** Why an account rests. */
export type CoolingReason = "quota" | "rate-limit" | "unauthorized" | "forbidden";

/** Whether an account may be used; each state with when it began and what was seen. */
export type Availability =
  | { readonly kind: "ready" }
  | ({ readonly kind: "cooling"; readonly why: CoolingReason; readonly untilMs: Millis } & Evidence)
  | ({ readonly kind: "needs-login" } & Evidence)
  | ({
      readonly kind: "disabled";
      readonly by: Disabler;
    } & Evidence);

/** Who has taken an account out: its owner's file, a policy of theirs, the backend's word, or failed health checks. */
export type Disabler = "file" | "policy" | "backend" | "health";

/** Whether only its owner can bring it back; otherwise a check that succeeds does so too. */
export function isFinal(availability: Availability): boolean {
  if (availability.kind !== "disabled") return false;
  return availability.by === "file" || availability.by === "policy";
}

/** Since when, and what the backend or the owner said. */
export type Evidence = { readonly sinceMs: Millis; readonly reason: string };

/** One account in the pool: a value, replaced whole by `settle`. */
export type Account = {
  readonly login: Login;
  /** What logs and errors call it: masked e-mail and a few characters of a hash. */
  readonly label: string;
  /** Marks what only this account can use again, such as a sticky token. */
  readonly tag: string;
  readonly availability: Availability;
  readonly quota: Quota | undefined;
  /** Models that rest on this account only, by name, with the end of the rest. */
  readonly modelCooldowns: ReadonlyMap<string, Millis>;
  readonly consecutiveFailures: number;
  /** Health checks in a row that failed by the account's own fault; requests are counted above. */
  readonly failedChecks: number;
  /** When somebody else last put other tokens into its file: its owner, or a program that shares the login. */
  readonly replacedMs?: Millis;
  /** What an explicit sign has shown to be over here, for other instances that still know of it. */
  readonly ended?: Ended;
};

/** How an account stands at `now`, derived: passed cooldowns are over, a spent quota or a dead token shows. */
export function standing(account: Account, now: Millis): Availability {
  const { availability, login } = account;
  const isResting = availability.kind === "cooling" && availability.untilMs > now;
  if (availability.kind === "disabled" || availability.kind === "needs-login") return availability;
  const { refreshToken, expiresAtMs } = login.credential;
  if (!isAlive(login.credential, now) && refreshToken === undefined) {
    const reason = "its access token has ended and there is no refresh token";
    return { kind: "needs-login", sinceMs: expiresAtMs ?? now, reason };
  }
  const untilMs = exhaustedUntil(account.quota, now);
  // Of two rests the longer one counts, so that nobody is told to come back too early.
  if (isResting && availability.untilMs >= (untilMs ?? 0)) return availability;
  if (untilMs !== undefined) {
    const sinceMs = account.quota?.measuredAtMs ?? now;
    return { kind: "cooling", why: "quota", untilMs, sinceMs, reason: "its quota is used up" };
  }
  return { kind: "ready" };
}

/** The next moment after `now` at which `standing` or the headroom changes without anything happening. */
export function nextChange(account: Account, now: Millis): Millis {
  const { availability, login, quota } = account;
  let next = nextReset(quota, now);
  if (availability.kind === "cooling" && availability.untilMs > now) {
    next = Math.min(next, availability.untilMs);
  }
  const { refreshToken, expiresAtMs } = login.credential;
  if (refreshToken === undefined && expiresAtMs !== undefined && expiresAtMs > now) {
    next = Math.min(next, expiresAtMs);
  }
  return next;
}

/** The few characters of a hash of its identity by which an account is named in routes. */
export function tagOf(digest: string): string {
  return digest.slice(0, 8);
}

/** A name for an account that tells it apart without telling who it is. `digest` is a hash of its identity. */
export function labelOf(email: string | undefined, digest: string): string {
  return `${email === undefined ? "account" : maskEmail(email)}#${digest.slice(0, 4)}`;
}
