import { type Bounds, createBounded } from "../wire/bounded.ts";
import type { Millis } from "../wire/clock.ts";

/** Where a conversation is. The pool keeps it up to date while it is bound. */
export type Home = {
  readonly accountId: string;
  /** Whether it has come back there: an account that only a first, failed attempt was made on is none to keep. */
  isProven: boolean;
  /** When a request of it last began or ended. */
  usedMs: Millis;
  /** How many of its requests are running. */
  running: number;
  /** The account that it came from, and when; undefined where it began here. */
  readonly left: { readonly accountId: string; readonly atMs: Millis } | undefined;
};

/** Which account a conversation is on. Bounded in number and in time. */
export type Affinity = {
  /** The home of a conversation; asking counts as use. */
  readonly find: (key: string, now: Millis) => Home | undefined;
  /** The home that it has here, without that counting as use. */
  readonly peek: (key: string) => Home | undefined;
  readonly bind: (key: string, home: Home, now: Millis) => void;
  readonly count: () => number;
  /** The bindings, that last used first. */
  readonly entries: () => Iterable<Binding>;
};

/** One conversation's home, and when it was last asked for. */
export type Binding = readonly [key: string, home: Home, usedMs: Millis];

/**
 * Bindings that end after `ttlMs` without use; of more than `most`, those longest unused go. A conversation that has no
 * home here may have one `elsewhere`, and then has it here too.
 */
export function createAffinity(
  ttlMs: () => Millis,
  most: number,
  elsewhere: (key: string) => Home | undefined = () => undefined,
): Affinity {
  // One object for all times: this is asked for several times with each request.
  const held: { -readonly [Key in keyof Bounds]: Bounds[Key] } = {
    mostBytes: Number.POSITIVE_INFINITY,
    mostCount: most,
    ttlMs: 0,
  };
  const homes = createBounded<Home>(() => {
    held.ttlMs = ttlMs();
    return held;
  });
  return {
    find: (key, now) => {
      const own = homes.get(key, now);
      if (own !== undefined) return own;
      const theirs = elsewhere(key);
      if (theirs !== undefined) homes.set(key, theirs, 0, now);
      return theirs;
    },
    peek: homes.peek,
    bind: (key, home, now) => homes.set(key, home, 0, now),
    count: homes.count,
    entries: homes.entries,
  };
}
