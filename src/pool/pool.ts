import { FAILURES } from "../turn/failure.ts";
import { addUsage, NO_USAGE, type Usage } from "../turn/usage.ts";
import type { Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { type Account, type Availability, type Login, nextChange, standing } from "./account.ts";
import { type Affinity, createAffinity } from "./affinity.ts";
import { headroom } from "./quota.ts";
import { BANDS, bandAt, bandOf, middleOf, ROUNDING, restsFor, score } from "./rank.ts";
import { admit, type Outcome, type Past, type Policy, settle } from "./settle.ts";
import { type ChoiceMade, createSurveyor, type Survey } from "./survey.ts";

/** What the pool needs of the configuration; read anew at each use. */
export type PoolOptions = {
  readonly policy: Policy;
  /** `round-robin` lets equals take turns; `quota-first` always takes the one with most room. */
  readonly selector: "round-robin" | "quota-first";
  readonly affinityTtlMs: Millis;
};

/** Who is asking for an account. */
export type Wish = {
  /** The conversation, scoped to its caller. */
  readonly sessionKey: string;
  readonly model: string;
  /** Accounts that have already failed this request. */
  readonly tried: ReadonlySet<string>;
  /**
   * The account that made what the conversation holds. It is preferred where the conversation is on no account that
   * can serve it, and, where nobody else can go on with it, in any case.
   */
  readonly owner?: { readonly accountId: string; readonly isNeeded: boolean };
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

type Queue = Set<Slot>;

type Slot = {
  id: string;
  account: Account;
  inFlight: number;
  /** Where it waits; undefined while it may not be used. */
  queue: Queue | undefined;
  /** Its share of `room`, while it is usable and measured. */
  room: number | undefined;
  /** When it was last chosen, as a count of choices. */
  turn: number;
  requests: number;
  errors: number;
  tokens: Usage;
  lastUsedMs: Millis | undefined;
};

/** How many conversations are remembered at most. */
export const MOST_BINDINGS = 50_000;

/**
 * A pool that picks (for `round-robin`) in constant time, however many accounts it holds: accounts wait in one queue per band of
 * headroom, an account moves when something happens to it, and all are sorted anew only when the earliest
 * cooldown or window has ended. Those that nobody has measured wait in queues of their own, by what they are
 * serving, and join the band in the middle of the others when an account is chosen.
 */
export function createPool(
  options: () => PoolOptions,
  affinity: Affinity = createAffinity(() => options().affinityTtlMs, MOST_BINDINGS),
): Pool {
  const slots = new Map<string, Slot>();
  const measured = createQueues();
  const unmeasured = createQueues();
  const room = { total: 0, count: 0 };
  let turns = 0;
  let resortAtMs: Millis = Number.POSITIVE_INFINITY;
  let latestMs: Millis = Number.NEGATIVE_INFINITY;
  // Accounts that go on under another id, by the former one: leases, bindings and outcomes may still say that.
  const renamed = new Map<string, string>();

  const takeSurvey = createSurveyor(slots);

  const find = (id: string): Slot | undefined => slots.get(renamed.get(id) ?? id);

  const move = (slot: Slot, queue: Queue | undefined, share: number | undefined): void => {
    if (slot.room !== undefined) room.count -= 1;
    if (share !== undefined) room.count += 1;
    // An empty sum is exactly nothing, whatever rounding has left in it.
    room.total = room.count === 0 ? 0 : room.total - (slot.room ?? 0) + (share ?? 0);
    slot.room = share;
    if (queue === slot.queue) return;
    slot.queue?.delete(slot);
    queue?.add(slot);
    slot.queue = queue;
  };

  const place = (slot: Slot, now: Millis): void => {
    latestMs = Math.max(latestMs, now);
    resortAtMs = Math.min(resortAtMs, nextChange(slot.account, now));
    const share = headroom(slot.account.quota, now);
    const band = bandOf(slot.account, slot.inFlight, now, 1);
    if (band === undefined) move(slot, undefined, undefined);
    else move(slot, (share === undefined ? unmeasured : measured)[band], share);
  };

  const resortIfDue = (now: Millis): void => {
    // A clock that was set back revives cooldowns that had ended, and windows that had begun anew.
    if (now < resortAtMs && now >= latestMs) return;
    resortAtMs = Number.POSITIVE_INFINITY;
    latestMs = now;
    for (const slot of slots.values()) place(slot, now);
  };

  const hasTried = (wish: Wish, id: string): boolean => {
    if (wish.tried.has(id)) return true;
    return renamed.size > 0 && [...wish.tried].some((former) => renamed.get(former) === id);
  };

  const mayServe = (slot: Slot, wish: Wish, now: Millis): boolean =>
    slot.queue !== undefined &&
    !hasTried(wish, slot.id) &&
    !restsFor(slot.account, wish.model, now);

  /** The first of `queue` that may serve, or the one with most room where `worth` says how much that is. */
  const within = (
    queue: Queue | undefined,
    isAble: (slot: Slot) => boolean,
    worth: ((slot: Slot) => number) | undefined,
  ): Slot | undefined => {
    let best: Slot | undefined;
    for (const slot of queue ?? []) {
      if (!isAble(slot)) continue;
      if (worth === undefined) return slot;
      if (best === undefined || worth(slot) > worth(best)) best = slot;
    }
    return best;
  };

  const choose = (wish: Wish, now: Millis): Slot | undefined => {
    const middle = middleOf(room.total, room.count);
    const worth =
      options().selector === "quota-first"
        ? (slot: Slot) => score(slot.account, slot.inFlight, now, middle)
        : undefined;
    const isAble = (slot: Slot): boolean => mayServe(slot, wish, now);
    // The unmeasured wait as if they had all their headroom; by so many bands they come down.
    const drop = BANDS - 1 - bandAt(middle);
    for (let band = BANDS - 1; band >= -drop; band--) {
      const known = within(measured[band], isAble, worth);
      const unknown = within(unmeasured[band + drop], isAble, worth);
      const chosen = better(known, unknown, worth);
      if (chosen === undefined) continue;
      // To the end of the queue: its equals come first next time.
      chosen.queue?.delete(chosen);
      chosen.queue?.add(chosen);
      turns += 1;
      chosen.turn = turns;
      return chosen;
    }
    return undefined;
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
    move(slot, undefined, undefined);
    slots.delete(slot.id);
    for (const [former, id] of renamed) if (id === slot.id) renamed.delete(former);
  };

  const lease = (slot: Slot, isBound: boolean, now: Millis): Lease => {
    slot.inFlight += 1;
    slot.requests += 1;
    slot.lastUsedMs = now;
    place(slot, now);
    let isHeld = true;
    return {
      accountId: slot.id,
      label: slot.account.label,
      isBound,
      release: (at) => {
        if (!isHeld) return;
        isHeld = false;
        slot.inFlight -= 1;
        if (slots.get(slot.id) === slot) place(slot, at);
      },
    };
  };

  return {
    sync: (logins, now) => {
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
          slot.account = settle(slot.account, { type: "reloaded", login }, options().policy, now);
          place(slot, now);
          changed.push(slot.account.label);
        }
      }
      return { added, changed, gone };
    },
    get: (accountId) => find(accountId)?.account,
    pick: (wish, now) => {
      resortIfDue(now);
      const home = affinity.find(wish.sessionKey, now);
      const bound = find(home?.accountId ?? "");
      const bind = (slot: Slot, isProven: boolean): void =>
        affinity.bind(wish.sessionKey, { accountId: slot.id, isProven }, now);
      const owner = find(wish.owner?.accountId ?? "");
      const isOwned = owner !== undefined && mayServe(owner, wish, now);
      const isTorn = isOwned && owner !== bound && wish.owner?.isNeeded === true;
      if (!isTorn && bound !== undefined && mayServe(bound, wish, now)) {
        bind(bound, true);
        return lease(bound, true, now);
      }
      const chosen = isOwned ? owner : choose(wish, now);
      if (chosen === undefined) return undefined;
      // A conversation moves only off an account that cannot serve it; one that merely failed this once keeps it,
      // unless the conversation has never been there before.
      const isAble = bound !== undefined && mayServe(bound, { ...wish, tried: new Set() }, now);
      if (isTorn || !isAble || home?.isProven !== true) bind(chosen, false);
      return lease(chosen, false, now);
    },
    settle: (accountId, outcome, now) => {
      const slot = find(accountId);
      if (slot === undefined) return;
      if (isFault(outcome)) slot.errors += 1;
      const next = settle(slot.account, outcome, options().policy, now);
      if (next === slot.account) return;
      slot.account = next;
      place(slot, now);
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

function createQueues(): readonly Queue[] {
  return Array.from({ length: BANDS }, () => new Set<Slot>());
}

/** Of two in one band the one with more room, where that is asked for; of equals the one whose turn is longer ago. */
function better(
  one: Slot | undefined,
  other: Slot | undefined,
  worth: ((slot: Slot) => number) | undefined,
): Slot | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  const gap = worth === undefined ? 0 : worth(one) - worth(other);
  if (Math.abs(gap) > ROUNDING) return gap > 0 ? one : other;
  return one.turn <= other.turn ? one : other;
}

/** Whether the owner should see this as an error of the account: refusals of the request itself are not. */
function isFault(outcome: Outcome): boolean {
  return outcome.type === "failed" && FAILURES[outcome.failure.kind].account !== "none";
}

function newSlot(account: Account): Slot {
  return {
    id: account.login.identity,
    account,
    inFlight: 0,
    queue: undefined,
    room: undefined,
    turn: 0,
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
    a.credential.accessToken !== b.credential.accessToken ||
    a.credential.refreshToken !== b.credential.refreshToken ||
    a.credential.expiresAtMs !== b.credential.expiresAtMs
  );
}
