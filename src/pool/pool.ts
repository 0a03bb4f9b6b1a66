import { FAILURES } from "../turn/failure.ts";
import { addUsage, NO_USAGE, type Usage } from "../turn/usage.ts";
import type { Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import {
  type Account,
  type Availability,
  type Login,
  nextChange,
  standing,
  wayOf,
} from "./account.ts";
import { type Affinity, createAffinity, type Home } from "./affinity.ts";
import { areSame } from "./credential.ts";
import { createOrder, type Order, type Placed } from "./order.ts";
import { headroom } from "./quota.ts";
import {
  COLD_AFTER_MS,
  claimOf,
  isClearlyBetter,
  isReady,
  LEVELS,
  levelAt,
  middleOf,
  RETURN_AFTER_MS,
  restsFor,
  type Selector,
  scoreOf,
  weightOf,
} from "./rank.ts";
import { fitOf, hashOf } from "./rendezvous.ts";
import { rewind } from "./rewind.ts";
import { admit, type Outcome, type Past, type Policy, settle } from "./settle.ts";
import { type ChoiceMade, createSurveyor, type Survey } from "./survey.ts";

/** What the pool needs of the configuration; read anew at each use. */
export type PoolOptions = {
  readonly policy: Policy;
  /** `round-robin` lets equals take turns; `quota-first` always takes the one with most room. */
  readonly selector: Selector;
  readonly affinityTtlMs: Millis;
  /** How many requests an account serves at a time, at most; 0 or absent: as many as come. */
  readonly mostInFlight?: number;
};

/** Who is asking for an account. */
export type Wish = {
  /** The conversation, scoped to its caller. */
  readonly sessionKey: string;
  /** Whose request it is: who waits for a place takes turns by it. */
  readonly caller?: string;
  readonly model: string;
  /** Accounts that have already failed this request. */
  readonly tried: ReadonlySet<string>;
  /** Ways out that have failed this request; see `wayOf`. */
  readonly barred?: ReadonlySet<string>;
  /**
   * The account that made what the conversation holds. It is preferred where the conversation is on no account that
   * can serve it, and, where nobody else can go on with it, in any case.
   */
  readonly owner?: { readonly accountId: string; readonly isNeeded: boolean };
  /** Whether a conversation would rather have no account now than leave one that is merely full. */
  readonly keepsHome?: boolean;
};

/** The use of one account by one request. `release` must be called once the request is over; more calls do nothing. */
export type Lease = {
  readonly accountId: string;
  readonly label: string;
  /** Whether the conversation was on this account before. */
  readonly isBound: boolean;
  readonly release: (now: Millis) => void;
};

/** Counters of one account. */
export type Tally = {
  readonly requests: number;
  readonly errors: number;
  readonly tokens: Usage;
  readonly lastUsedMs: Millis | undefined;
};

/** One account as its owner sees it. */
export type AccountView = {
  readonly account: Account;
  readonly standing: Availability;
  readonly inFlight: number;
  readonly tally: Tally;
};

/** What a reread of the store changed. */
export type SyncResult = {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly gone: readonly string[];
};

/** The accounts and their states. All methods are synchronous; time is an argument. */
export type Pool = {
  /** Makes the pool hold exactly `logins`. Requests in flight on an account that goes are not disturbed. */
  readonly sync: (logins: readonly Login[], now: Millis) => SyncResult;
  readonly get: (accountId: string) => Account | undefined;
  readonly pick: (wish: Wish, now: Millis) => Lease | undefined;
  /** Whether an account with a place could serve. */
  readonly hasPlace: (wish: Wish, now: Millis) => boolean;
  /** Whether an account could serve if only it were not full: waiting for a place makes sense. */
  readonly isCrowded: (wish: Wish, now: Millis) => boolean;
  readonly settle: (accountId: string, outcome: Outcome, now: Millis) => void;
  /** Adds a finished turn's tokens to the account's counters. */
  readonly count: (accountId: string, usage: Usage) => void;
  /** Puts back what an earlier run knew of an account, once, when it has just come in. */
  readonly restore: (accountId: string, past: Past, tally: Tally, now: Millis) => void;
  readonly view: (now: Millis) => readonly AccountView[];
  /** The account that a conversation is on. */
  readonly homeOf: (sessionKey: string, now: Millis) => string | undefined;
  /** How the accounts stood for a choice that has just been made, for whoever asks later why. */
  readonly survey: (wish: Wish, choice: ChoiceMade, now: Millis) => Survey;
};

/** Told of each change of an account that happens here; not of what other instances have found out. */
export type OnChange = (before: Account, after: Account) => void;

/** How a pool goes with those of other instances. */
export type PoolPeers = {
  readonly onChange: OnChange;
  /**
   * Whether others choose from these accounts that cannot be told where conversations are placed: one that is placed
   * anew then goes where each of them would place it.
   */
  readonly isApart: () => boolean;
};

const NO_PEERS: PoolPeers = { onChange: () => {}, isApart: () => false };

type Slot = Placed & {
  id: string;
  /** Stands for it where all instances are to choose alike. */
  hash: number;
  account: Account;
  weight: number;
  inFlight: number;
  /** Whether it may be used, as of the last look. */
  isReady: boolean;
  /** What it has left, as of the last look; undefined while nobody has measured it. */
  room: number | undefined;
  /** The order it stands in; undefined while it may not be used or is full. */
  line: Line | undefined;
  level: number;
  /** Within its level those with less come first: it grows with each choice, the more slowly the heavier it is. */
  share: number;
  /** Of equal shares the one that came earlier is first. */
  since: number;
  /** When it was last chosen, as a count of choices. */
  turn: number;
  due: Due | undefined;
  requests: number;
  errors: number;
  tokens: Usage;
  lastUsedMs: Millis | undefined;
};

/** When an account must be looked at again because time alone changes it. */
type Due = Placed & { atMs: Millis; readonly slot: Slot };

/** Accounts that may be chosen, best first, and by level how far the taking of turns has come. */
type Line = { readonly order: Order<Slot>; readonly shares: Float64Array };

/**
 * How many conversations are remembered at most: those of one hour, more than anybody's own accounts can serve. Beyond,
 * this memory leaves the processor's caches, and choosing takes twice as long.
 */
export const MOST_BINDINGS = 20_000;

// Scores begin at -1, so that there are as many levels below nothing as above.
const LOWEST = Math.max(...Object.values(LEVELS));

/**
 * A pool that picks in logarithmic time, however many accounts it holds: those that may be chosen stand in an order,
 * an account moves when something happens to it, and when a cooldown or window of it has ended. Those that nobody
 * has measured stand in an order of their own, by what they are serving, and join the level in the middle of the
 * others when an account is chosen.
 */
export function createPool(
  options: () => PoolOptions,
  affinity: Affinity = createAffinity(() => options().affinityTtlMs, MOST_BINDINGS),
  { onChange, isApart }: PoolPeers = NO_PEERS,
): Pool {
  const slots = new Map<string, Slot>();
  const measured = createLine();
  const unmeasured = createLine();
  const full = new Set<Slot>();
  const dues = createOrder<Due>((one, other) => one.atMs < other.atMs);
  const room = { total: 0, count: 0 };
  let turns = 0;
  let entries = 0;
  let { selector, mostInFlight = 0 } = options();
  let latestMs: Millis = Number.NEGATIVE_INFINITY;
  // Accounts that go on under another id, by the former one: leases, bindings and outcomes may still say that.
  const renamed = new Map<string, string>();

  const takeSurvey = createSurveyor(slots);

  const find = (id: string): Slot | undefined => slots.get(renamed.get(id) ?? id);

  const isFull = (slot: Slot): boolean => mostInFlight > 0 && slot.inFlight >= mostInFlight;

  const leave = (slot: Slot): void => {
    slot.line?.order.remove(slot);
    slot.line = undefined;
  };

  /** Takes its place in the order by what it has left and serves. Who comes to a level anew comes last there. */
  const arrange = (slot: Slot): void => {
    const isOut = !slot.isReady || isFull(slot);
    if (slot.isReady && isOut) full.add(slot);
    else if (full.size > 0) full.delete(slot);
    if (isOut) {
      leave(slot);
      return;
    }
    const line = slot.room === undefined ? unmeasured : measured;
    const level = levelAt(scoreOf(slot.room ?? 1, slot.inFlight, slot.weight), LEVELS[selector]);
    if (line === slot.line && level === slot.level) return;
    if (line !== slot.line) leave(slot);
    slot.level = level;
    slot.share = (line.shares[level + LOWEST] ?? 0) + 1 / slot.weight;
    slot.since = entries;
    entries += 1;
    if (slot.line === line) {
      line.order.moved(slot);
      return;
    }
    slot.line = line;
    line.order.add(slot);
  };

  const putRoom = (slot: Slot, share: number | undefined): void => {
    if (slot.isReady && slot.room !== undefined) {
      room.count -= 1;
      room.total -= slot.room;
    }
    slot.room = share;
    if (slot.isReady && share !== undefined) {
      room.count += 1;
      room.total += share;
    }
    // An empty sum is exactly nothing, whatever rounding has left in it.
    if (room.count === 0) room.total = 0;
  };

  const schedule = (slot: Slot, atMs: Millis): void => {
    if (slot.due === undefined) {
      slot.due = { at: -1, atMs, slot };
      dues.add(slot.due);
      return;
    }
    slot.due.atMs = atMs;
    dues.moved(slot.due);
  };

  /** Looks at an account anew. */
  const place = (slot: Slot, now: Millis): void => {
    schedule(slot, nextChange(slot.account, now));
    putRoom(slot, undefined);
    slot.isReady = isReady(slot.account, now);
    putRoom(slot, headroom(slot.account.quota, now));
    slot.weight = weightOf(slot.account);
    arrange(slot);
  };

  /** Brings the orders up to date with the time and with the options. */
  const refresh = (now: Millis): void => {
    const next = options();
    const most = next.mostInFlight ?? 0;
    if (next.selector !== selector || most !== mostInFlight) {
      selector = next.selector;
      mostInFlight = most;
      for (const { shares } of [measured, unmeasured]) shares.fill(0);
      for (const slot of slots.values()) {
        leave(slot);
        arrange(slot);
      }
    }
    keepTime(now);
    for (let due = dues.first(); due !== undefined && due.atMs <= now; due = dues.first()) {
      place(due.slot, now);
    }
  };

  /** A clock that was set back revives cooldowns that had ended, and windows that had begun anew. */
  const keepTime = (now: Millis): void => {
    const formerMs = latestMs;
    latestMs = now;
    if (now >= formerMs) return;
    for (const slot of slots.values()) {
      slot.account = rewind(slot.account, formerMs, now);
      place(slot, now);
    }
  };

  const hasTried = (wish: Wish, id: string): boolean => {
    if (wish.tried.has(id)) return true;
    return renamed.size > 0 && [...wish.tried].some((former) => renamed.get(former) === id);
  };

  /** Whether it could serve if it is not full. */
  const couldServe = (slot: Slot, wish: Wish, now: Millis): boolean =>
    slot.isReady &&
    !hasTried(wish, slot.id) &&
    !isBarred(wish, slot.account) &&
    !restsFor(slot.account, wish.model, now);

  /** The best of those that may serve. */
  const best = (wish: Wish, now: Millis): Slot | undefined => {
    const isAble = (slot: Slot): boolean => couldServe(slot, wish, now);
    const known = measured.order.find(isAble);
    const unknown = unmeasured.order.find(isAble);
    if (known === undefined || unknown === undefined) return known ?? unknown;
    // The unmeasured stand as if they had all their headroom; by so many levels they come down.
    const levels = LEVELS[selector];
    const drop = levels - 1 - levelAt(middleOf(room.total, room.count), levels);
    const gap = known.level - (unknown.level - drop);
    if (gap !== 0) return gap > 0 ? known : unknown;
    return known.turn <= unknown.turn ? known : unknown;
  };

  /** The one of those that may serve on which every instance would place this conversation. */
  const agreed = (wish: Wish, now: Millis): Slot | undefined => {
    const conversation = hashOf(wish.sessionKey);
    let [chosen, most]: [Slot | undefined, number] = [undefined, Number.NEGATIVE_INFINITY];
    for (const slot of slots.values()) {
      if (slot.line === undefined || !couldServe(slot, wish, now)) continue;
      const claim = claimOf(
        fitOf(conversation, slot.hash),
        roomOf(slot),
        slot.inFlight,
        slot.weight,
      );
      if (claim > most) [chosen, most] = [slot, claim];
    }
    return chosen;
  };

  const roomOf = (slot: Slot): number => slot.room ?? middleOf(room.total, room.count);

  /** Takes the turn of an account that was chosen: its equals come first next time. */
  const take = (slot: Slot): Slot => {
    turns += 1;
    slot.turn = turns;
    const { line } = slot;
    if (line === undefined) return slot;
    line.shares[slot.level + LOWEST] = slot.share;
    slot.share += 1 / slot.weight;
    slot.since = entries;
    entries += 1;
    line.order.moved(slot);
    return slot;
  };

  const cameFrom = (home: Home | undefined, slot: Slot, now: Millis): boolean =>
    home?.left !== undefined &&
    now - home.left.atMs < RETURN_AFTER_MS &&
    find(home.left.accountId) === slot;

  /** Where a conversation comes from that leaves `home`: what only failed this request was never left. */
  const leftBehind = (home: Home | undefined, wish: Wish, now: Millis): Home["left"] => {
    if (home === undefined) return undefined;
    if (!home.isProven && hasTried(wish, home.accountId)) return home.left;
    return { accountId: home.accountId, atMs: now };
  };

  /** Who serves a conversation that is free to move: `settled`, unless another one is clearly better. */
  const settleOn = (
    settled: Slot,
    wish: Wish,
    home: Home | undefined,
    now: Millis,
  ): Slot | undefined => {
    const other = best(wish, now);
    if (isFull(settled)) return other;
    if (other !== undefined && cameFrom(home, other, now)) return settled;
    const isBetter = other !== undefined && isClearlyBetter(roomOf(other), roomOf(settled));
    return isBetter ? other : settled;
  };

  /** Who serves `wish`; undefined when nobody can, or should. */
  const choose = (wish: Wish, home: Home | undefined, now: Millis): Slot | undefined => {
    const owner = usable(wish.owner?.accountId, wish, now);
    // Nobody else can go on with what it holds.
    if (owner !== undefined && wish.owner?.isNeeded === true) {
      return isFull(owner) ? undefined : owner;
    }
    const bound = usable(home?.accountId, wish, now);
    if (bound !== undefined && home !== undefined && isWarm(home, now)) {
      if (!isFull(bound)) return bound;
      return wish.keepsHome === true ? undefined : best(wish, now);
    }
    const settled = bound ?? owner;
    if (settled !== undefined) return settleOn(settled, wish, home, now);
    return isApart() ? agreed(wish, now) : best(wish, now);
  };

  const usable = (id: string | undefined, wish: Wish, now: Millis): Slot | undefined => {
    const slot = id === undefined ? undefined : find(id);
    return slot !== undefined && couldServe(slot, wish, now) ? slot : undefined;
  };

  /** Logins that show who they are only after their first renewal go on as the accounts they were under their files' names. */
  const adopt = (logins: readonly Login[], wanted: ReadonlySet<string>): void => {
    const nameless = [...slots.values()].filter(
      ({ id }) => id.startsWith("file:") && !wanted.has(id),
    );
    if (nameless.length === 0) return;
    const bySource = new Map(nameless.map((slot) => [slot.account.login.source, slot]));
    for (const { identity, source } of logins) {
      const slot = slots.has(identity) ? undefined : bySource.get(source);
      if (slot === undefined) continue;
      bySource.delete(source);
      renamed.set(slot.id, identity);
      slots.delete(slot.id);
      slot.id = identity;
      slots.set(identity, slot);
    }
  };

  const forget = (slot: Slot): void => {
    putRoom(slot, undefined);
    slot.isReady = false;
    arrange(slot);
    if (slot.due !== undefined) dues.remove(slot.due);
    slots.delete(slot.id);
    for (const [former, id] of renamed) if (id === slot.id) renamed.delete(former);
  };

  const lease = (slot: Slot, home: Home, isBound: boolean, now: Millis): Lease => {
    home.running += 1;
    home.usedMs = now;
    slot.inFlight += 1;
    slot.requests += 1;
    slot.lastUsedMs = now;
    arrange(slot);
    let isHeld = true;
    return {
      accountId: slot.id,
      label: slot.account.label,
      isBound,
      release: (at) => {
        if (!isHeld) return;
        isHeld = false;
        home.running -= 1;
        home.usedMs = at;
        slot.inFlight -= 1;
        if (slots.get(slot.id) === slot) arrange(slot);
      },
    };
  };

  return {
    sync: (logins, now) => {
      keepTime(now);
      const added: string[] = [];
      const changed: string[] = [];
      const gone: string[] = [];
      const wanted = new Set(logins.map((login) => login.identity));
      adopt(logins, wanted);
      for (const [id, slot] of slots) {
        if (wanted.has(id)) continue;
        forget(slot);
        gone.push(slot.account.label);
      }
      for (const login of logins) {
        const slot = slots.get(login.identity);
        if (slot === undefined) {
          const account = admit(login, sha256(login.identity), now);
          const fresh: Slot = newSlot(account);
          slots.set(fresh.id, fresh);
          renamed.delete(fresh.id);
          place(fresh, now);
          added.push(account.label);
        } else if (differs(slot.account.login, login)) {
          const before = slot.account;
          slot.account = settle(before, { type: "reloaded", login }, options().policy, now);
          place(slot, now);
          onChange(before, slot.account);
          changed.push(slot.account.label);
        }
      }
      return { added, changed, gone };
    },
    get: (accountId) => find(accountId)?.account,
    pick: (wish, now) => {
      refresh(now);
      const home = affinity.find(wish.sessionKey, now);
      const former = home === undefined ? undefined : find(home.accountId);
      const slot = choose(wish, home, now);
      if (slot === undefined) return undefined;
      if (home !== undefined && slot === former) {
        home.isProven = true;
        return lease(slot, home, true, now);
      }
      if (slot.id !== wish.owner?.accountId) take(slot);
      const fresh: Home = {
        accountId: slot.id,
        isProven: false,
        usedMs: now,
        running: 0,
        left: leftBehind(home, wish, now),
      };
      // One that merely failed this once keeps the conversation, unless that has never been there before.
      const isKept =
        home?.isProven === true &&
        former !== undefined &&
        hasTried(wish, former.id) &&
        couldServe(former, { ...wish, tried: NOBODY, barred: NOBODY }, now);
      if (!isKept) affinity.bind(wish.sessionKey, fresh, now);
      return lease(slot, fresh, false, now);
    },
    hasPlace: (wish, now) => {
      refresh(now);
      return best(wish, now) !== undefined;
    },
    isCrowded: (wish, now) => {
      refresh(now);
      for (const slot of full) if (couldServe(slot, wish, now)) return true;
      return false;
    },
    settle: (accountId, outcome, now) => {
      const slot = find(accountId);
      if (slot === undefined) return;
      // Before anything begins under the new time.
      keepTime(now);
      if (isFault(outcome)) slot.errors += 1;
      const before = slot.account;
      const next = settle(before, outcome, options().policy, now);
      if (next === before) return;
      slot.account = next;
      place(slot, now);
      if (outcome.type !== "shared") onChange(before, next);
    },
    count: (accountId, usage) => {
      const slot = find(accountId);
      if (slot !== undefined) slot.tokens = addUsage(slot.tokens, usage);
    },
    restore: (accountId, past, tally, now) => {
      const slot = find(accountId);
      if (slot === undefined) return;
      slot.account = settle(slot.account, { type: "restored", past }, options().policy, now);
      slot.requests += tally.requests;
      slot.errors += tally.errors;
      slot.tokens = addUsage(slot.tokens, tally.tokens);
      slot.lastUsedMs ??= tally.lastUsedMs && Math.min(tally.lastUsedMs, now);
      place(slot, now);
    },
    view: (now) => [...slots.values()].map((slot) => viewOf(slot, now)),
    homeOf: (sessionKey, now) => {
      const id = affinity.find(sessionKey, now)?.accountId;
      return id === undefined ? undefined : (find(id)?.id ?? id);
    },
    survey: (wish, choice, now) => takeSurvey(wish, choice, middleOf(room.total, room.count), now),
  };
}

const NOBODY: ReadonlySet<string> = new Set();

/** Whether the request cannot get out by this account's way. */
function isBarred({ barred }: Wish, { login }: Account): boolean {
  return barred !== undefined && barred.size > 0 && barred.has(wayOf(login));
}

function createLine(): Line {
  return { order: createOrder<Slot>(isBefore), shares: new Float64Array(2 * LOWEST) };
}

function isBefore(one: Slot, other: Slot): boolean {
  if (one.level !== other.level) return one.level > other.level;
  if (one.share !== other.share) return one.share < other.share;
  return one.since < other.since;
}

/** Whether moving the conversation would cost its prompt cache. */
function isWarm({ usedMs, running }: Home, now: Millis): boolean {
  return running > 0 || now - usedMs < COLD_AFTER_MS;
}

/** Whether the owner should see this as an error of the account: refusals of the request itself are not. */
function isFault(outcome: Outcome): boolean {
  return outcome.type === "failed" && FAILURES[outcome.failure.kind].account !== "none";
}

function newSlot(account: Account): Slot {
  return {
    id: account.login.identity,
    hash: hashOf(account.login.identity),
    account,
    weight: weightOf(account),
    inFlight: 0,
    isReady: false,
    room: undefined,
    line: undefined,
    at: -1,
    level: 0,
    share: 0,
    since: 0,
    turn: 0,
    due: undefined,
    requests: 0,
    errors: 0,
    tokens: NO_USAGE,
    lastUsedMs: undefined,
  };
}

function viewOf(slot: Slot, now: Millis): AccountView {
  const { account, inFlight, requests, errors, tokens, lastUsedMs } = slot;
  return {
    account,
    standing: standing(account, now),
    inFlight,
    tally: { requests, errors, tokens, lastUsedMs },
  };
}

function differs(a: Login, b: Login): boolean {
  return (
    a.identity !== b.identity ||
    a.isSwitchedOff !== b.isSwitchedOff ||
    a.source !== b.source ||
    a.workspaceId !== b.workspaceId ||
    a.email !== b.email ||
    a.plan !== b.plan ||
    a.weight !== b.weight ||
    wayOf(a) !== wayOf(b) ||
    !areSame(a.credential, b.credential) ||
    a.credential.expiresAtMs !== b.credential.expiresAtMs
  );
}
