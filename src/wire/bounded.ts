import type { Millis } from "./clock.ts";

/** A memory that cannot grow beyond its bounds: of what is too much, that which was longest unused goes first. */
export type Bounded<V> = {
  /** The value of a key, unless its time is over; asking counts as use. */
  readonly get: (key: string, now: Millis) => V | undefined;
  /** The value of a key, without that counting as use; what is over may still be there. */
  readonly peek: (key: string) => V | undefined;
  /** Keeps a value that takes about `bytes`. One that is larger than the whole memory is not kept. */
  readonly set: (key: string, value: V, bytes: number, now: Millis) => void;
  readonly delete: (key: string) => void;
  readonly bytes: () => number;
  readonly count: () => number;
  /** What it holds, that last used first, with the time of that use; what is over may still be among it. */
  readonly entries: () => Iterable<readonly [key: string, value: V, usedMs: Millis]>;
};

/** How much a memory may hold, and for how long without use. */
export type Bounds = {
  readonly mostBytes: number;
  /** How many entries; absent: as many as there is room for. */
  readonly mostCount?: number;
  readonly ttlMs: Millis;
};

/** An entry between its neighbours in the order of use. */
type Entry<V> = {
  readonly key: string;
  readonly value: V;
  readonly bytes: number;
  usedMs: Millis;
  older: Entry<V> | undefined;
  newer: Entry<V> | undefined;
};

// What an entry takes beside its value, about.
const OVERHEAD = 200;

/**
 * An empty memory; `bounds` is read anew each time. Every call takes constant time, apart from what it drops: the order
 * of use is a list of its own, because the way to the first entry of a JavaScriptCore Map leads past all that were
 * deleted before it.
 */
export function createBounded<V>(bounds: () => Bounds): Bounded<V> {
  const entries = new Map<string, Entry<V>>();
  let oldest: Entry<V> | undefined;
  let newest: Entry<V> | undefined;
  let total = 0;

  const unlink = ({ older, newer }: Entry<V>): void => {
    if (older === undefined) oldest = newer;
    else older.newer = newer;
    if (newer === undefined) newest = older;
    else newer.older = older;
  };

  const append = (entry: Entry<V>): void => {
    entry.older = newest;
    entry.newer = undefined;
    if (newest === undefined) oldest = entry;
    else newest.newer = entry;
    newest = entry;
  };

  const drop = (entry: Entry<V>): void => {
    entries.delete(entry.key);
    unlink(entry);
    total -= entry.bytes;
  };

  const dropKey = (key: string): void => {
    const entry = entries.get(key);
    if (entry !== undefined) drop(entry);
  };

  const dropOld = (now: Millis): void => {
    const { mostBytes, mostCount = Number.POSITIVE_INFINITY, ttlMs } = bounds();
    while (oldest !== undefined) {
      const fits = total <= mostBytes && entries.size <= mostCount;
      if (fits && oldest.usedMs + ttlMs > now) return;
      drop(oldest);
    }
  };

  return {
    get: (key, now) => {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.usedMs + bounds().ttlMs <= now) {
        drop(entry);
        return undefined;
      }
      entry.usedMs = now;
      unlink(entry);
      append(entry);
      return entry.value;
    },
    peek: (key) => entries.get(key)?.value,
    set: (key, value, bytes, now) => {
      dropKey(key);
      const size = bytes + key.length + OVERHEAD;
      if (size <= bounds().mostBytes) {
        const entry = { key, value, bytes: size, usedMs: now, older: undefined, newer: undefined };
        entries.set(key, entry);
        append(entry);
        total += size;
      }
      dropOld(now);
    },
    delete: dropKey,
    bytes: () => total,
    count: () => entries.size,
    entries: function* () {
      for (let entry = newest; entry !== undefined; entry = entry.older) {
        yield [entry.key, entry.value, entry.usedMs];
      }
    },
  };
}
