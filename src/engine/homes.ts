import type { Affinity, Home } from "../pool/affinity.ts";
import { MOST_HOMES, type SharedHome, type Sharing } from "../store/sql/sharing.ts";
import { createBounded } from "../wire/bounded.ts";
import type { Millis } from "../wire/clock.ts";

/** What is needed for conversations to be at home on other instances too. */
export type HomesPorts = {
  readonly affinity: Affinity;
  readonly sharing: Pick<Sharing, "writeHomes">;
  readonly now: () => Millis;
  /** How far the database's clock is ahead; undefined until that is known. */
  readonly aheadMs: () => Millis | undefined;
  /** What an account is called where all instances read it; undefined for one that has gone. */
  readonly keyOf: (accountId: string) => string | undefined;
  readonly idOf: (key: string) => string | undefined;
  /** For how long a home is remembered without use. */
  readonly ttlMs: () => Millis;
};

/** Where conversations are, among instances. */
export type Homes = {
  /** Takes in what others have told. */
  readonly learn: (homes: readonly SharedHome[]) => void;
  /** The home of a conversation that came to another instance before. */
  readonly elsewhere: (key: string) => Home | undefined;
  /** Tells of those that began, moved or were used again since the last time. @throws DatabaseTrouble */
  readonly tell: () => Promise<void>;
  /** Everything is to be told, for instances that have come. */
  readonly tellAll: () => void;
};

// One that goes on where it is, is told of so often: long before its prompt cache counts as cold elsewhere.
const AGAIN_MS: Millis = 5 * 60_000;
const AT_ONCE = 500;
// Of those of other instances so many are remembered, beside this one's own: some 10 MB.
const MOST_ELSEWHERE = 2 * MOST_HOMES;

/** Nothing has been told or learnt. */
export function createHomes(ports: HomesPorts): Homes {
  const { affinity, sharing, now, aheadMs, keyOf, idOf } = ports;
  const learnt = createBounded<SharedHome>(() => ({
    mostBytes: Number.POSITIVE_INFINITY,
    mostCount: MOST_ELSEWHERE,
    ttlMs: ports.ttlMs(),
  }));
  // As of which use the others know of a home.
  let told = new WeakMap<Home, Millis>();
  let lookedMs: Millis = 0;

  const homeOf = ({ account, usedMs }: SharedHome): Home | undefined => {
    const accountId = idOf(account);
    if (accountId === undefined) return undefined;
    const ownMs = Math.min(usedMs - (aheadMs() ?? 0), now());
    const home = { accountId, isProven: false, usedMs: ownMs, running: 0, left: undefined };
    told.set(home, ownMs);
    return home;
  };

  /** One that is known here: whoever used it last is right. */
  const meet = (home: Home, theirs: SharedHome): void => {
    const next = homeOf(theirs);
    if (next === undefined) return;
    if (next.accountId === home.accountId) {
      home.usedMs = Math.max(home.usedMs, next.usedMs);
      told.set(home, Math.max(next.usedMs, told.get(home) ?? 0));
    } else if (next.usedMs > home.usedMs && home.running === 0) {
      affinity.bind(theirs.conversation, next, now());
    } else {
      told.delete(home);
    }
  };

  /** Those that the others do not know, or have not heard of for long, by their conversation. */
  const untold = (): ReadonlyMap<string, Home> => {
    const found = new Map<string, Home>();
    for (const [conversation, home, askedMs] of affinity.entries()) {
      if (askedMs < lookedMs) break;
      const toldMs = told.get(home);
      if (toldMs === undefined || home.usedMs - toldMs >= AGAIN_MS) found.set(conversation, home);
    }
    return found;
  };

  const write = async (some: readonly (readonly [string, Home])[], byMs: Millis): Promise<void> => {
    const rows = some.flatMap(([conversation, { accountId, usedMs }]): SharedHome[] => {
      const account = keyOf(accountId);
      return account === undefined ? [] : [{ conversation, account, usedMs: usedMs + byMs }];
    });
    const uses = some.map(([, home]) => [home, home.usedMs] as const);
    if (rows.length > 0) await sharing.writeHomes(rows);
    for (const [home, usedMs] of uses) told.set(home, usedMs);
  };

  return {
    learn: (homes) => {
      for (const theirs of homes) {
        const home = affinity.peek(theirs.conversation);
        if (home === undefined) learnt.set(theirs.conversation, theirs, 0, now());
        else meet(home, theirs);
      }
    },
    elsewhere: (key) => {
      const theirs = learnt.peek(key);
      if (theirs === undefined) return undefined;
      learnt.delete(key);
      return homeOf(theirs);
    },
    tell: async () => {
      const byMs = aheadMs();
      if (byMs === undefined) return;
      const startedMs = now();
      // A clock that was set back: nothing would look new for as long.
      if (startedMs < lookedMs) lookedMs = 0;
      const all = [...untold()];
      for (let at = 0; at < all.length; at += AT_ONCE) {
        await write(all.slice(at, at + AT_ONCE), byMs);
      }
      lookedMs = startedMs;
    },
    tellAll: () => {
      told = new WeakMap();
      lookedMs = 0;
    },
  };
}
