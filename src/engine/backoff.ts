import type { Failure } from "../turn/failure.ts";
import type { Millis } from "../wire/clock.ts";

/** How the last try with a refresh token ended, for the time being. */
export type Setback = {
  readonly failure: Failure;
  /** The pause that the issuer asked for. */
  readonly retryAfterMs?: Millis | undefined;
  /** The owner's policy for its status has let it pass this once (`cooldown_then_retry`). */
  readonly isWarned?: boolean;
  /** It failed here, before the issuer was asked: the pause stays short, since nobody has to be spared. */
  readonly isOurs?: boolean;
};

/** Remembers how renewals ended, so that an issuer in trouble, or a wrong clock here, does not see one try per request. */
export type Backoff = {
  /** Why no other try with `refreshToken` should be made yet; undefined when one may be. */
  readonly pending: (accountId: string, refreshToken: string, now: Millis) => Failure | undefined;
  /** Whether the last try with it ended in a failure that a policy has let pass. */
  readonly isWarned: (accountId: string, refreshToken: string) => boolean;
  /**
   * Whether a renewal succeeded just now, so that a token that is due again says more about a clock than about itself.
   * Successes in quick succession make this longer. `isRefused`: the new token was refused, which may happen once at any time.
   */
  readonly isRecent: (accountId: string, now: Millis, isRefused?: boolean) => boolean;
  /** Takes down a failure; answers when the next try may be made. */
  readonly fail: (accountId: string, refreshToken: string, setback: Setback, now: Millis) => Millis;
  /** `lifeMs`: how long the new access token lives, as far as it says so. */
  readonly succeed: (accountId: string, now: Millis, lifeMs?: Millis) => void;
  /** Forgets accounts that have left the pool. */
  readonly prune: (isThere: (accountId: string) => boolean) => void;
};

type Failed = Setback & {
  readonly refreshToken: string;
  readonly count: number;
  readonly atMs: Millis;
  readonly againMs: Millis;
};

type Succeeded = { readonly atMs: Millis; readonly count: number };

const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 15 * 60_000;
// What an issuer may ask for; beyond that it is tried all the same.
const LONGEST_ASKED_MS = 3_600_000;
const JITTER_SHARE = 0.2;
// Two successes within this time, or within half the life of a token that lives shorter, are one too many.
const QUICK_MS = 3_600_000;

/**
 * A back-off of its own for each account: it doubles with each failure of the same refresh token, from half a minute to
 * a quarter of an hour, and ends with a success or another token. `chance` gives 0 to 1. A clock that is set back ends every pause.
 */
export function createBackoff(chance: () => number): Backoff {
  const failures = new Map<string, Failed>();
  const successes = new Map<string, Succeeded>();

  const of = (accountId: string, refreshToken: string): Failed | undefined => {
    const failed = failures.get(accountId);
    return failed?.refreshToken === refreshToken ? failed : undefined;
  };
  return {
    pending: (accountId, refreshToken, now) => {
      const failed = of(accountId, refreshToken);
      if (failed === undefined || failed.againMs <= now || now < failed.atMs) return undefined;
      return failed.failure;
    },
    isWarned: (accountId, refreshToken) => of(accountId, refreshToken)?.isWarned === true,
    isRecent: (accountId, now, isRefused = false) => {
      const last = successes.get(accountId);
      if (last === undefined || now < last.atMs) return false;
      const pauses = isRefused ? last.count - 1 : last.count;
      return pauses > 0 && now < last.atMs + pauseOf(pauses);
    },
    fail: (accountId, refreshToken, setback, now) => {
      const before = of(accountId, refreshToken)?.count ?? 0;
      const count = setback.isOurs === true ? before : before + 1;
      const ownMs = pauseOf(setback.isOurs === true ? 1 : count) * (1 + chance() * JITTER_SHARE);
      const askedMs = Math.min(setback.retryAfterMs ?? 0, LONGEST_ASKED_MS);
      const againMs = now + Math.max(ownMs, askedMs);
      failures.set(accountId, { ...setback, refreshToken, count, atMs: now, againMs });
      return againMs;
    },
    succeed: (accountId, now, lifeMs = Number.POSITIVE_INFINITY) => {
      failures.delete(accountId);
      const last = successes.get(accountId);
      const quickMs = Math.min(QUICK_MS, lifeMs / 2);
      const isQuick = last !== undefined && Math.abs(now - last.atMs) < quickMs;
      successes.set(accountId, { atMs: now, count: isQuick ? last.count + 1 : 1 });
    },
    prune: (isThere) => {
      for (const memory of [failures, successes]) {
        for (const accountId of memory.keys()) if (!isThere(accountId)) memory.delete(accountId);
      }
    },
  };
}

function pauseOf(count: number): Millis {
  return Math.min(FIRST_PAUSE_MS * 2 ** Math.min(count - 1, 10), LONGEST_PAUSE_MS);
}
