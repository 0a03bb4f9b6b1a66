import type { Millis } from "./clock.ts";

/** A memory that cannot grow beyond its bounds: of what is too much, that which was longest unused goes first. */
export type Bounded<V> = {
  /** The value of a key, unless its time is over; asking counts as use. */
  readonly get: (key: string, now: Millis) => V | undefined;
  /** Keeps a value that takes about `bytes`. One that is larger than the whole memory is not kept. */
  readonly set: (key: string, value: V, bytes: number, now: Millis) => void;
  readonly delete: (key: string) => void;
  readonly bytes: () => number;
  readonly count: () => number;
};

/** How much a memory may hold, and for how long without use. */
export type Bounds = { readonly mostBytes: number; readonly ttlMs: Millis };

type Entry<V> = { readonly value: V; readonly bytes: number; readonly usedMs: Millis };

// What an entry takes beside its value, about.
const OVERHEAD = 200;

/** An empty memory; `bounds` is read anew each time. */
export function createBounded<V>(bounds: () => Bounds): Bounded<V> {
  const entries = new Map<string, Entry<V>>();
  let total = 0;
  const drop = (key: string): void => {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    total -= entry.bytes;
  };
  const put = (key: string, entry: Entry<V>): void => {
    drop(key);
    entries.set(key, entry);
    total += entry.bytes;
  };
  const dropOld = (now: Millis): void => {
    const { mostBytes, ttlMs } = bounds();
    // A Map keeps the order of insertion, and each use inserts anew: the first is the longest unused.
    for (const [key, { usedMs }] of entries) {
      if (total <= mostBytes && usedMs + ttlMs > now) return;
      drop(key);
    }
  };
  return {
    get: (key, now) => {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.usedMs + bounds().ttlMs <= now) {
        drop(key);
        return undefined;
      }
      put(key, { ...entry, usedMs: now });
      return entry.value;
    },
    set: (key, value, bytes, now) => {
      drop(key);
      const size = bytes + key.length + OVERHEAD;
      if (size <= bounds().mostBytes) put(key, { value, bytes: size, usedMs: now });
      dropOld(now);
    },
    delete: drop,
    bytes: () => total,
    count: () => entries.size,
  };
}
