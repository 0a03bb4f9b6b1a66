import type { Millis } from "../wire/clock.ts";

/** Which account a conversation is on. Bounded in number and in time. */
export type Affinity = {
  /** The account of a conversation; asking counts as use. */
  readonly find: (key: string, now: Millis) => string | undefined;
  readonly bind: (key: string, accountId: string, now: Millis) => void;
  readonly count: () => number;
};

type Binding = { readonly accountId: string; readonly usedMs: Millis };

/**
 * Bindings that end after `ttlMs` without use; of more than `most`, those longest unused go.
 * A Map keeps insertion order, so with each use moved to the end the first entry is the oldest.
 */
export function createAffinity(ttlMs: () => Millis, most: number): Affinity {
  const bindings = new Map<string, Binding>();
  const put = (key: string, accountId: string, now: Millis): void => {
    bindings.delete(key);
    bindings.set(key, { accountId, usedMs: now });
  };
  const dropOld = (now: Millis): void => {
    for (const [key, { usedMs }] of bindings) {
      if (bindings.size <= most && usedMs + ttlMs() > now) return;
      bindings.delete(key);
    }
  };
  return {
    find: (key, now) => {
      const binding = bindings.get(key);
      if (binding === undefined) return undefined;
      if (binding.usedMs + ttlMs() <= now) {
        bindings.delete(key);
        return undefined;
      }
      put(key, binding.accountId, now);
      return binding.accountId;
    },
    bind: (key, accountId, now) => {
      put(key, accountId, now);
      dropOld(now);
    },
    count: () => bindings.size,
  };
}
