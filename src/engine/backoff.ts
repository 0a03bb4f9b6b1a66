import type { Failure } from "../turn/failure.ts";
import type { Millis } from "../wire/clock.ts";

/** How an earlier try with the same refresh token ended. */
export type Refusal = {
  readonly failure: Failure;
  /** The token will never work again. */
  readonly isPermanent: boolean;
};

/** Remembers how renewals ended, so that an issuer in trouble, or a wrong clock here, does not see one try per request. */
export type Backoff = {
  /** Why no other try with `refreshToken` should be made yet; undefined when one may be. */
  readonly refusal: (accountId: string, refreshToken: string, now: Millis) => Refusal | undefined;
  /** Whether a renewal succeeded just now, so that a token that is due again says more about a clock than about itself. */
  readonly isRecent: (accountId: string, now: Millis) => boolean;
  /** Takes down a failure; answers when the next try may be made. */
  readonly fail: (accountId: string, refreshToken: string, refusal: Refusal, now: Millis) => Millis;
  readonly succeed: (accountId: string, now: Millis) => void;
  /** Forgets accounts that have left the pool. */
  readonly prune: (isThere: (accountId: string) => boolean) => void;
};

const PAUSE_MS = 30_000;

/** A back-off of one fixed pause per account; a refusal for good lasts as long as its refresh token is there. */
export function createBackoff(): Backoff {
  const failures = new Map<
    string,
    Refusal & { readonly refreshToken: string; readonly againMs: Millis }
  >();
  const renewedMs = new Map<string, Millis>();
  return {
    refusal: (accountId, refreshToken, now) => {
      const failed = failures.get(accountId);
      const isOver = failed === undefined || failed.againMs <= now;
      return isOver || failed.refreshToken !== refreshToken ? undefined : failed;
    },
    isRecent: (accountId, now) => {
      const atMs = renewedMs.get(accountId);
      return atMs !== undefined && now < atMs + PAUSE_MS;
    },
    fail: (accountId, refreshToken, refusal, now) => {
      const againMs = refusal.isPermanent ? Number.POSITIVE_INFINITY : now + PAUSE_MS;
      failures.set(accountId, { ...refusal, refreshToken, againMs });
      return againMs;
    },
    succeed: (accountId, now) => {
      failures.delete(accountId);
      renewedMs.set(accountId, now);
    },
    prune: (isThere) => {
      for (const memory of [failures, renewedMs]) {
        for (const accountId of memory.keys()) if (!isThere(accountId)) memory.delete(accountId);
      }
    },
  };
}
