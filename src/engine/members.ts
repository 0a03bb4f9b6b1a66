import { fitOf, hashOf } from "../pool/rendezvous.ts";
import type { Millis } from "../wire/clock.ts";

/** Who else uses the same accounts, and who looks after which. */
export type Members = {
  /** These instances live now, this one among them. */
  readonly heard: (living: readonly string[], now: Millis) => void;
  /**
   * Whether this instance looks after an account: of those that live exactly one does, by the same rule everywhere.
   * Where nothing has been heard for long, each looks after all, so that nobody is forgotten.
   */
  readonly isMine: (key: string, now: Millis) => boolean;
  /** How many live, as was last heard. */
  readonly count: () => number;
  /** For how long nothing has been heard. */
  readonly silentMs: (now: Millis) => Millis;
};

// After that the others are taken to be as deaf, or gone.
const ALONE_MS: Millis = 60_000;

/** Nobody has been heard of yet. */
export function createMembers(self: string): Members {
  let others: readonly number[] = [];
  let heardMs: Millis | undefined;
  const own = hashOf(self);
  const mine = new Map<string, boolean>();

  const silentMs = (now: Millis): Millis =>
    heardMs === undefined ? Number.POSITIVE_INFINITY : Math.max(now - heardMs, 0);

  const judge = (key: string): boolean => {
    const hash = hashOf(key);
    const fit = fitOf(hash, own);
    // Of two that fit as well, the smaller one: it must be one of them.
    return others.every((other) => {
      const theirs = fitOf(hash, other);
      return theirs < fit || (theirs === fit && own < other);
    });
  };

  return {
    heard: (living, now) => {
      heardMs = now;
      const next = living.filter((id) => id !== self).map(hashOf);
      const isSame = next.length === others.length && next.every((hash) => others.includes(hash));
      if (isSame) return;
      others = next;
      mine.clear();
    },
    isMine: (key, now) => {
      if (others.length === 0 || silentMs(now) > ALONE_MS) return true;
      const known = mine.get(key);
      if (known !== undefined) return known;
      // Keys of accounts that are long gone must not pile up.
      if (mine.size >= MOST_KNOWN) mine.clear();
      const judged = judge(key);
      mine.set(key, judged);
      return judged;
    },
    count: () => others.length + 1,
    silentMs,
  };
}

const MOST_KNOWN = 50_000;
