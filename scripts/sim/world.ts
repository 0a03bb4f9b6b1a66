// A small world around the real pool: accounts with windows like the backend's, conversations that come and go, and
// readings as they really come. Time is a number here, and chance is seeded, so that each run can be had again.

import type { Login } from "../../src/pool/account.ts";
import { createOrder, type Placed } from "../../src/pool/order.ts";
import { createPool, type Lease, type Pool, type PoolOptions } from "../../src/pool/pool.ts";
import { headroom, type Quota } from "../../src/pool/quota.ts";
import { COLD_AFTER_MS, isClearlyBetter } from "../../src/pool/rank.ts";

/** When every run begins. */
export const START_MS = 1_800_000_000_000;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const MODEL = "gpt-5.4";

/** Why a conversation was served by another account than before. All but the last are as they should be. */
export type Move = "exhausted" | "cooling" | "cold" | "other";

/** Accounts that are equal in size and phase and began alike. */
export type Group = {
  readonly name: string;
  readonly accounts: number;
  /** In windows of the smallest plan. */
  readonly size: number;
  /** When the windows begin anew for the first time, and what is used of them at the beginning, 0 to 1. */
  readonly shortResetMs: number;
  readonly longResetMs: number;
  readonly shortUsed: number;
  readonly longUsed: number;
};

/** What happens in a world. */
export type Scene = {
  readonly seed: number;
  readonly hours: number;
  readonly groups: readonly Group[];
  readonly sessions: number;
  /** What a turn costs on average, in percent of the smallest plan's short window. */
  readonly costPercent: number;
  readonly selector: PoolOptions["selector"];
  /** Whether some accounts are refused for a while, and one window begins anew before its time. */
  readonly hasAccidents: boolean;
};

/** What was seen of the accounts of one group. */
export type GroupReport = {
  readonly name: string;
  readonly accounts: number;
  readonly turns: number;
  /** The share of the fullest window, at the end: least and most of the group. */
  readonly used: readonly [least: number, most: number];
  /** Differences between the most and the least used of them, in percent points, every five minutes. */
  readonly spreads: readonly number[];
};

/** What came of a scene. */
export type Report = {
  readonly turns: number;
  readonly moves: Readonly<Record<Move, number>>;
  /** Moves back to the account that a conversation had left less than an hour before, although that was not spent. */
  readonly returns: number;
  /** Turns that were sent to an account that was used up, and refused there. */
  readonly refusals: number;
  /** Windows that were used up. */
  readonly ends: number;
  /** Requests that no account could serve. */
  readonly unserved: number;
  /** The most that a window was used, in percent, and how much of it beyond what ran when it was used up. */
  readonly mostUsed: number;
  readonly excess: number;
  /** The most that a window came to by turns that began while another account had room. */
  readonly mostBesideRoom: number;
  /** What the dearest turn took of its account's short window, in percent. */
  readonly dearest: number;
  readonly groups: readonly GroupReport[];
};

type Window = {
  readonly name: string;
  readonly lengthMs: number;
  readonly capacity: number;
  used: number;
  resetsAtMs: number;
  /** What it may come to once it is used up: what it was then, and what was running. */
  bound: number | undefined;
};

/** A turn under way. */
type Turn = {
  readonly cost: number;
  /** Whether another account had room when it began. */
  readonly hadChoice: boolean;
};

type Account = {
  readonly id: string;
  readonly group: Group;
  readonly windows: readonly Window[];
  /** Costs of the turns that it is serving. */
  readonly running: Set<Turn>;
  limitedUntilMs: number;
  readAtMs: number;
  turns: number;
};

type Session = {
  readonly key: string;
  readonly scale: number;
  readonly isCodex: boolean;
  home: string | undefined;
  former: string | undefined;
  movedAtMs: number;
  usedMs: number;
  turnsLeft: number;
  /** Why an account has refused it since it was last served. */
  refused: "exhausted" | "cooling" | undefined;
};

type Event = Placed & { readonly atMs: number; readonly serial: number; readonly run: () => void };

/** Chance in 0 to 1 from a seed (mulberry32). */
export function createChance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Plays a scene on the real pool. */
export function simulate(scene: Scene): Report {
  const chance = createChance(scene.seed);
  const endMs = START_MS + scene.hours * HOUR_MS;
  const agenda = createAgenda();
  const accounts = accountsOf(scene.groups);
  const byId = new Map(accounts.map((account) => [account.id, account]));
  const options: PoolOptions = {
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector: scene.selector,
    // As in case B5-5: what is not placed anew by itself stays for a day.
    affinityTtlMs: 24 * HOUR_MS,
  };
  const pool = createPool(() => options);
  pool.sync(accounts.map(loginOf), START_MS);
  const moves = { exhausted: 0, cooling: 0, cold: 0, other: 0 };
  const seen = {
    turns: 0,
    returns: 0,
    refusals: 0,
    ends: 0,
    unserved: 0,
    mostUsed: 0,
    excess: 0,
    mostBesideRoom: 0,
    dearest: 0,
  };
  const spreads = new Map<Group, number[]>();
  let sessions = 0;

  const between = (least: number, most: number): number => least + chance() * (most - least);
  /** Many small ones and a few large ones, with this median; `breadth` 1 is about a factor of three either way. */
  const skewed = (median: number, breadth: number): number => {
    const normal = Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance());
    return median * Math.exp(Math.min(normal, 2.5) * breadth);
  };

  const read = (account: Account, now: number): void => {
    account.readAtMs = now;
    pool.settle(account.id, { type: "measured", quota: readingOf(account, now) }, now);
  };

  const charge = (account: Account, cost: number): void => {
    seen.dearest = Math.max(seen.dearest, cost / account.group.size);
    for (const window of account.windows) {
      const before = window.used;
      window.used += cost;
      if (before < window.capacity && window.used >= window.capacity) {
        seen.ends += 1;
        const running = [...account.running];
        const chosen = running.filter(({ hadChoice }) => hadChoice);
        window.bound = window.used + totalOf(running);
        const most = (100 * (window.used + totalOf(chosen))) / window.capacity;
        seen.mostBesideRoom = Math.max(seen.mostBesideRoom, most);
      }
      seen.mostUsed = Math.max(seen.mostUsed, (100 * window.used) / window.capacity);
      const most = window.bound ?? window.capacity;
      seen.excess = Math.max(seen.excess, (100 * (window.used - most)) / window.capacity);
    }
  };

  /** Why the backend refuses a turn, if it does. */
  const refuse = (account: Account, now: number): Session["refused"] => {
    renewWindows(account, now);
    const spent = account.windows.find(({ used, capacity }) => used >= capacity);
    if (spent === undefined && account.limitedUntilMs <= now) return undefined;
    read(account, now);
    const failure =
      spent === undefined
        ? {
            kind: "rate-limited" as const,
            message: "slow down",
            resetsAtMs: account.limitedUntilMs,
          }
        : { kind: "exhausted" as const, message: "used up", resetsAtMs: spent.resetsAtMs };
    if (spent !== undefined) seen.refusals += 1;
    pool.settle(account.id, { type: "failed", failure }, now);
    return spent === undefined ? "cooling" : "exhausted";
  };

  const isCold = (session: Session, now: number): boolean => now - session.usedMs >= COLD_AFTER_MS;

  /** Counts a turn that is served elsewhere than the one before, by why. */
  const noteMove = (session: Session, { accountId }: Lease, now: number): void => {
    const { home } = session;
    if (home === accountId) return;
    session.home = accountId;
    if (home === undefined) return;
    // Whoever was sent on because the account that it was to go to has refused it, moves for that reason.
    const why =
      session.refused ?? whyMoved(pool, { from: home, to: accountId }, isCold(session, now), now);
    moves[why] += 1;
    const isReturn = session.former === accountId && now - session.movedAtMs < HOUR_MS;
    if (isReturn && why === "cold") seen.returns += 1;
    session.former = home;
    session.movedAtMs = now;
  };

  const serve = (session: Session, account: Account, lease: Lease, now: number): void => {
    const isNew = session.home !== account.id || isCold(session, now);
    noteMove(session, lease, now);
    session.refused = undefined;
    // Without its cache a prompt is paid for in full.
    const cost = skewed(scene.costPercent * session.scale, 0.7) * (isNew ? 2.5 : 1);
    const hadChoice = accounts.some((other) => other !== account && hasRoom(other, now));
    const turn = { cost, hadChoice };
    account.running.add(turn);
    account.turns += 1;
    seen.turns += 1;
    read(account, now);
    const doneMs = now + Math.min(skewed(15 * SECOND_MS, 0.8), 10 * MINUTE_MS);
    agenda.at(doneMs, () => {
      account.running.delete(turn);
      renewWindows(account, doneMs);
      charge(account, cost);
      pool.settle(account.id, { type: "served" }, doneMs);
      lease.release(doneMs);
      session.usedMs = doneMs;
      session.turnsLeft -= 1;
      goOn(session, doneMs);
    });
  };

  /** One request of a conversation: at most three posts, as with the default of max-retry. */
  const begin = (session: Session, now: number): void => {
    const { key, home, isCodex } = session;
    const owner =
      isCodex && home !== undefined ? { owner: { accountId: home, isNeeded: false } } : {};
    const tried = new Set<string>();
    for (let post = 0; post < 3; post++) {
      const lease = pool.pick({ sessionKey: key, model: MODEL, tried, ...owner }, now);
      const account = byId.get(lease?.accountId ?? "");
      if (lease === undefined || account === undefined) break;
      const why = refuse(account, now);
      if (why === undefined) {
        serve(session, account, lease, now);
        return;
      }
      session.refused = why;
      lease.release(now);
      tried.add(account.id);
    }
    seen.unserved += 1;
    agenda.at(now + between(1, 10) * MINUTE_MS, () => begin(session, agenda.now()));
  };

  /** The next turn of a conversation: soon, after a pause, or never. */
  const goOn = (session: Session, now: number): void => {
    let gapMs = skewed(10 * SECOND_MS, 1);
    if (session.turnsLeft <= 0) {
      if (chance() < 0.25) {
        open(now);
        return;
      }
      session.turnsLeft = Math.ceil(skewed(5, 0.7));
      gapMs = Math.min(skewed(25 * MINUTE_MS, 1.2), 9 * HOUR_MS);
    }
    agenda.at(now + gapMs, () => begin(session, agenda.now()));
  };

  /** A new conversation in the place of one that has ended. */
  const open = (now: number): void => {
    sessions += 1;
    const session: Session = {
      key: `session-${sessions}`,
      scale: skewed(0.8, 0.5),
      isCodex: chance() < 0.6,
      home: undefined,
      former: undefined,
      movedAtMs: 0,
      usedMs: now,
      turnsLeft: Math.ceil(skewed(5, 0.7)),
      refused: undefined,
    };
    agenda.at(now + between(0, 40) * MINUTE_MS, () => begin(session, agenda.now()));
  };

  const compare = (now: number): void => {
    for (const [group, shares] of sharesOf(accounts, now)) {
      const spread = 100 * (Math.max(...shares) - Math.min(...shares));
      const before = spreads.get(group) ?? [];
      before.push(spread);
      spreads.set(group, before);
    }
  };

  /** Accounts that nobody has read for some minutes are read in the background, one after another. */
  const every = (everyMs: number, run: (now: number) => void): void => {
    agenda.at(agenda.now() + everyMs, () => {
      run(agenda.now());
      every(everyMs, run);
    });
  };

  for (let i = 0; i < scene.sessions; i++) open(START_MS);
  every(20 * SECOND_MS, (now) => {
    const oldest = accounts.reduce((one, other) => (other.readAtMs < one.readAtMs ? other : one));
    if (now - oldest.readAtMs >= 5 * MINUTE_MS) read(oldest, now);
  });
  every(5 * MINUTE_MS, compare);
  if (scene.hasAccidents) {
    every(3 * HOUR_MS, (now) => {
      const account = accounts[Math.floor(chance() * accounts.length)];
      if (account !== undefined) account.limitedUntilMs = now + between(1, 5) * MINUTE_MS;
    });
    agenda.at(START_MS + 0.6 * (endMs - START_MS), () => resetEarly(accounts.at(-1), agenda.now()));
  }
  agenda.playUntil(endMs);

  return { ...seen, moves, groups: groupReports(accounts, spreads, endMs) };
}

function totalOf(turns: readonly Turn[]): number {
  return turns.reduce((sum, { cost }) => sum + cost, 0);
}

export function createAgenda() {
  const events = createOrder<Event>((one, other) =>
    one.atMs === other.atMs ? one.serial < other.serial : one.atMs < other.atMs,
  );
  let serial = 0;
  let nowMs = START_MS;
  return {
    now: () => nowMs,
    at: (atMs: number, run: () => void): void => {
      serial += 1;
      events.add({ at: -1, atMs: Math.round(atMs), serial, run });
    },
    playUntil: (endMs: number): void => {
      for (
        let next = events.first();
        next !== undefined && next.atMs <= endMs;
        next = events.first()
      ) {
        events.remove(next);
        nowMs = next.atMs;
        next.run();
      }
    },
  };
}

type Moved = { readonly from: string; readonly to: string };

/** Judges a move by the rules of product.md, from what the pool shows and not from what it thought. */
function whyMoved(pool: Pool, { from, to }: Moved, isCold: boolean, now: number): Move {
  const views = new Map(pool.view(now).map((view) => [view.account.login.identity, view]));
  const before = views.get(from)?.standing;
  if (before?.kind === "cooling") return before.why === "quota" ? "exhausted" : "cooling";
  const roomOf = (id: string): number => headroom(views.get(id)?.account.quota, now) ?? Number.NaN;
  return isCold && isClearlyBetter(roomOf(to), roomOf(from)) ? "cold" : "other";
}

function accountsOf(groups: readonly Group[]): readonly Account[] {
  return groups.flatMap((group) =>
    Array.from({ length: group.accounts }, (_, number): Account => {
      const windowOf = (
        name: string,
        hours: number,
        size: number,
        resetMs: number,
        used: number,
      ): Window => ({
        name,
        lengthMs: hours * HOUR_MS,
        capacity: 100 * size,
        used: 100 * size * used,
        resetsAtMs: START_MS + resetMs,
        bound: undefined,
      });
      return {
        id: `${group.name}-${number + 1}`,
        group,
        windows: [
          windowOf("5h", 5, group.size, group.shortResetMs, group.shortUsed),
          // A week holds about six full windows of five hours.
          windowOf("7d", 168, 6 * group.size, group.longResetMs, group.longUsed),
        ],
        running: new Set(),
        limitedUntilMs: 0,
        readAtMs: 0,
        turns: 0,
      };
    }),
  );
}

function loginOf({ id, group }: Account): Login {
  return {
    identity: id,
    plan: group.name,
    credential: { accessToken: `token of ${id}`, refreshToken: `refresh token of ${id}` },
    isSwitchedOff: false,
    source: `auths/${id}.json`,
  };
}

function renewWindows({ windows }: Account, now: number): void {
  for (const window of windows) {
    while (window.resetsAtMs <= now) {
      window.used = 0;
      window.bound = undefined;
      window.resetsAtMs += window.lengthMs;
    }
  }
}

/** Whether an account has a tenth of its windows left beyond what it is serving. */
function hasRoom(account: Account, now: number): boolean {
  renewWindows(account, now);
  const isLimited = account.limitedUntilMs > now;
  const running = totalOf([...account.running]);
  return (
    !isLimited && account.windows.every(({ used, capacity }) => used + running < 0.9 * capacity)
  );
}

function resetEarly(account: Account | undefined, now: number): void {
  for (const window of account?.windows ?? []) {
    window.used = 0;
    window.bound = undefined;
    window.resetsAtMs = now + window.lengthMs;
  }
}

/** What the backend says of itself: whole percents, as of before the turns that are running. */
function readingOf(account: Account, now: number): Quota {
  renewWindows(account, now);
  const windows = account.windows.map(({ name, lengthMs, capacity, used, resetsAtMs }) => ({
    name,
    usedPercent: Math.min(Math.round((100 * used) / capacity), 100),
    windowSeconds: lengthMs / SECOND_MS,
    resetsAtMs,
    isPartial: false,
  }));
  return { windows, measuredAtMs: now, hasCredits: false };
}

/** The share of the fullest window of each account, by group. */
function sharesOf(accounts: readonly Account[], now: number): Map<Group, number[]> {
  const shares = new Map<Group, number[]>();
  for (const account of accounts) {
    renewWindows(account, now);
    const share = Math.min(
      Math.max(...account.windows.map(({ used, capacity }) => used / capacity)),
      1,
    );
    shares.set(account.group, [...(shares.get(account.group) ?? []), share]);
  }
  return shares;
}

function groupReports(
  accounts: readonly Account[],
  spreads: ReadonlyMap<Group, readonly number[]>,
  endMs: number,
): readonly GroupReport[] {
  return [...sharesOf(accounts, endMs)].map(([group, shares]) => ({
    name: group.name,
    accounts: group.accounts,
    turns: accounts.reduce(
      (sum, account) => sum + (account.group === group ? account.turns : 0),
      0,
    ),
    used: [100 * Math.min(...shares), 100 * Math.max(...shares)],
    spreads: spreads.get(group) ?? [],
  }));
}
