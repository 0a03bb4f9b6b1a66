import { createBounded } from "../wire/bounded.ts";
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
  /** The bindings, that last used first. */
  readonly entries: () => Iterable<Binding>;
};

/** One conversation's home, and when it was last asked for. */
export type Binding = readonly [key: string, home: Home, usedMs: Millis];

/** Bindings that end after `ttlMs` without use; of more than `most`, those longest unused go. */
export function createAffinity(ttlMs: () => Millis, most: number): Affinity {
  const bounds = () => ({
    mostBytes: Number.POSITIVE_INFINITY,
    mostCount: most,
    ttlMs: ttlMs(),
  });
  const homes = createBounded<Home>(bounds);
  return {
    find: homes.get,
    bind: (key, home, now) => homes.set(key, home, 0, now),
    count: homes.count,
    entries: homes.entries,
  };
}
