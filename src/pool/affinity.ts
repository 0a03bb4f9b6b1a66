import type { Millis } from "../wire/clock.ts";

/** Where a conversation is. */
export type Home = {
  readonly accountId: string;
  /** Whether it has come back there: an account that only a first, failed attempt was made on is none to keep. */
  readonly isProven: boolean;
};

/** Which account a conversation is on. Bounded in number and in time. */
export type Affinity = {
  /** The home of a conversation; asking counts as use. */
  readonly find: (key: string, now: Millis) => Home | undefined;
  readonly bind: (key: string, home: Home, now: Millis) => void;
  readonly count: () => number;
};

// The share of the bindings, and of their time, by which they may be older than they should before they go.
const SHARE = 16;

type Binding = { readonly home: Home; readonly usedMs: Millis };

/**
 * Bindings that end after `ttlMs` without use; of more than `most`, those longest unused go, a few at a time.
 * A Map keeps insertion order, so with each use moved to the end the first entry is the oldest.
 */
export function createAffinity(ttlMs: () => Millis, most: number): Affinity {
  const bindings = new Map<string, Binding>();
  const put = (key: string, home: Home, now: Millis): void => {
    bindings.delete(key);
    bindings.set(key, { home, usedMs: now });
  };
  // In JavaScriptCore the way to a Map's first entry leads past all that were deleted before it, so that looking
  // there at each binding would cost as much as there are bindings: old ones go many at a time.
  let sweepAtMs: Millis = Number.NEGATIVE_INFINITY;
  const dropOld = (now: Millis): void => {
    if (bindings.size <= most && now < sweepAtMs) return;
    const enough = bindings.size > most ? most - Math.floor(most / SHARE) : most;
    for (const [key, { usedMs }] of bindings) {
      if (bindings.size <= enough && usedMs + ttlMs() > now) break;
      bindings.delete(key);
    }
    sweepAtMs = now + ttlMs() / SHARE;
  };
  return {
    find: (key, now) => {
      const binding = bindings.get(key);
      if (binding === undefined) return undefined;
      if (binding.usedMs + ttlMs() <= now) {
        bindings.delete(key);
        return undefined;
      }
      put(key, binding.home, now);
      return binding.home;
    },
    bind: (key, home, now) => {
      put(key, home, now);
      dropOld(now);
    },
    count: () => bindings.size,
  };
}
