import { createBounded } from "../wire/bounded.ts";
import type { Millis } from "../wire/clock.ts";

/** Slows down who tries keys. */
export type Guesses = {
  /** Until when an address is not listened to; undefined: it is. */
  readonly blockedUntil: (address: string, now: Millis) => Millis | undefined;
  /** A wrong key came from there. */
  readonly wrong: (address: string, now: Millis) => void;
};

/** So many wrong keys within `WITHIN_MS` have an address wait for `PAUSE_MS`. */
export const MOST_WRONG = 10;
export const WITHIN_MS: Millis = 60_000;
export const PAUSE_MS: Millis = 60_000;

const MOST_ADDRESSES = 10_000;
const BYTES = 100;

type Tries = { readonly sinceMs: Millis; readonly count: number; readonly untilMs?: Millis };

/**
 * A memory of wrong keys, bounded in addresses. Who has to wait is told nothing about the key that comes meanwhile:
 * otherwise guessing would go on at full speed. An IPv6 address counts as its /64, which one subscriber has whole.
 */
export function createGuesses(): Guesses {
  const tries = createBounded<Tries>(() => ({
    mostBytes: Number.POSITIVE_INFINITY,
    mostCount: MOST_ADDRESSES,
    ttlMs: WITHIN_MS + PAUSE_MS,
  }));
  return {
    blockedUntil: (address, now) => {
      const untilMs = tries.get(networkOf(address), now)?.untilMs;
      // One that lies further ahead was set before the clock was set back.
      const isNow = untilMs !== undefined && untilMs > now && untilMs <= now + PAUSE_MS;
      return isNow ? untilMs : undefined;
    },
    wrong: (address, now) => {
      const network = networkOf(address);
      const before = tries.get(network, now);
      const isSame = before !== undefined && Math.abs(now - before.sinceMs) < WITHIN_MS;
      const { sinceMs, count } = isSame ? before : { sinceMs: now, count: 0 };
      const next = { sinceMs, count: count + 1 };
      if (next.count < MOST_WRONG) tries.set(network, next, BYTES, now);
      else tries.set(network, { sinceMs: 0, count: 0, untilMs: now + PAUSE_MS }, BYTES, now);
    },
  };
}

/** The first four groups of an IPv6 address, a whole IPv4 one. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [head = [], tail = []] = address.split("::").map((part) => part.split(":").filter(Boolean));
  const zeros = new Array<string>(Math.max(8 - head.length - tail.length, 0)).fill("0");
  return [...head, ...zeros, ...tail].slice(0, 4).join(":");
}
