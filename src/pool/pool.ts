import { FAILURES } from "../turn/failure.ts";
import { addUsage, NO_USAGE, type Usage } from "../turn/usage.ts";
import type { Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { type Account, type Availability, type Login, nextChange, standing } from "./account.ts";
import { createAffinity } from "./affinity.ts";
import { BANDS, bandOf, restsFor, score } from "./rank.ts";
import { admit, type Outcome, type Policy, settle } from "./settle.ts";

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
};

/** The use of one account by one request. `release` must be called once the request is over; more calls do nothing. */
export type Lease = {
  readonly accountId: string;
  readonly label: string;
  /** Whether the conversation was on this account before. */
  readonly isBound: boolean;
  readonly release: (now: Millis) => void;
};

/** Counters of one account since the start. */
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
  readonly view: (now: Millis) => readonly AccountView[];
};

type Slot = {
  account: Account;
  inFlight: number;
  band: number | undefined;
  requests: number;
  errors: number;
  tokens: Usage;
  lastUsedMs: Millis | undefined;
};

const MOST_BINDINGS = 50_000;

/**
 * A pool that picks in constant time, however many accounts it holds: accounts wait in one queue per band of
 * headroom, an account moves when something happens to it, and all are sorted anew only when the earliest
 * cooldown or window has ended.
 */
export function createPool(options: () => PoolOptions): Pool {
  const slots = new Map<string, Slot>();
  const bands: readonly Set<string>[] = Array.from({ length: BANDS }, () => new Set<string>());
  const affinity = createAffinity(() => options().affinityTtlMs, MOST_BINDINGS);
  let resortAtMs: Millis = Number.POSITIVE_INFINITY;

  const place = (id: string, slot: Slot, now: Millis): void => {
    resortAtMs = Math.min(resortAtMs, nextChange(slot.account, now));
    const band = bandOf(slot.account, slot.inFlight, now);
    if (band === slot.band) return;
    if (slot.band !== undefined) bands[slot.band]?.delete(id);
    if (band !== undefined) bands[band]?.add(id);
    slot.band = band;
  };

  const resortIfDue = (now: Millis): void => {
    if (now < resortAtMs) return;
    resortAtMs = Number.POSITIVE_INFINITY;
    for (const [id, slot] of slots) place(id, slot, now);
  };

  const mayServe = (id: string, wish: Wish, now: Millis): boolean => {
    const slot = slots.get(id);
    if (slot?.band === undefined || wish.tried.has(id)) return false;
    return !restsFor(slot.account, wish.model, now);
  };

  const firstIn = (band: ReadonlySet<string>, wish: Wish, now: Millis): string | undefined => {
    for (const id of band) if (mayServe(id, wish, now)) return id;
    return undefined;
  };

  const bestIn = (band: ReadonlySet<string>, wish: Wish, now: Millis): string | undefined => {
    let best: string | undefined;
    let bestScore = -1;
    for (const id of band) {
      const slot = slots.get(id);
      if (slot === undefined || !mayServe(id, wish, now)) continue;
      const worth = score(slot.account, slot.inFlight, now);
      if (worth > bestScore) [best, bestScore] = [id, worth];
    }
    return best;
  };

  const choose = (wish: Wish, now: Millis): string | undefined => {
    const within = options().selector === "quota-first" ? bestIn : firstIn;
    for (const band of bands.toReversed()) {
      const id = within(band, wish, now);
      if (id === undefined) continue;
      // To the end of the queue: its equals come first next time.
      band.delete(id);
      band.add(id);
      return id;
    }
    return undefined;
  };

  /** A login that shows who it is only after its first renewal goes on as the account it was under its file's name. */
  const adopt = (login: Login, wanted: ReadonlySet<string>): void => {
    if (slots.has(login.identity)) return;
    for (const [id, slot] of slots) {
      if (!id.startsWith("file:") || wanted.has(id) || slot.account.login.source !== login.source) {
        continue;
      }
      if (slot.band !== undefined) bands[slot.band]?.delete(id);
      slot.band = undefined;
      slots.delete(id);
      slots.set(login.identity, slot);
      return;
    }
  };

  const lease = (id: string, slot: Slot, isBound: boolean, now: Millis): Lease => {
    slot.inFlight += 1;
    slot.requests += 1;
    slot.lastUsedMs = now;
    place(id, slot, now);
    let isHeld = true;
    return {
      accountId: id,
      label: slot.account.label,
      isBound,
      release: (at) => {
        if (!isHeld) return;
        isHeld = false;
        slot.inFlight -= 1;
        if (slots.get(id) === slot) place(id, slot, at);
      },
    };
  };

  return {
    sync: (logins, now) => {
      const added: string[] = [];
      const changed: string[] = [];
      const gone: string[] = [];
      const wanted = new Set(logins.map((login) => login.identity));
      for (const login of logins) adopt(login, wanted);
      for (const [id, slot] of slots) {
        if (wanted.has(id)) continue;
        if (slot.band !== undefined) bands[slot.band]?.delete(id);
        slots.delete(id);
        gone.push(slot.account.label);
      }
      for (const login of logins) {
        const slot = slots.get(login.identity);
        if (slot === undefined) {
          const account = admit(login, sha256(login.identity), now);
          const fresh: Slot = newSlot(account);
          slots.set(login.identity, fresh);
          place(login.identity, fresh, now);
          added.push(account.label);
        } else if (differs(slot.account.login, login)) {
          slot.account = settle(slot.account, { type: "reloaded", login }, options().policy, now);
          place(login.identity, slot, now);
          changed.push(slot.account.label);
        }
      }
      return { added, changed, gone };
    },
    get: (accountId) => slots.get(accountId)?.account,
    pick: (wish, now) => {
      resortIfDue(now);
      const bound = affinity.find(wish.sessionKey, now);
      const boundSlot = bound === undefined ? undefined : slots.get(bound);
      if (bound !== undefined && boundSlot !== undefined && mayServe(bound, wish, now)) {
        return lease(bound, boundSlot, true, now);
      }
      const id = choose(wish, now);
      const slot = id === undefined ? undefined : slots.get(id);
      if (id === undefined || slot === undefined) return undefined;
      // A conversation moves only off an account that cannot serve it; one that merely failed this once keeps it.
      const mayKeep =
        bound !== undefined &&
        wish.tried.has(bound) &&
        mayServe(bound, { ...wish, tried: new Set() }, now);
      if (!mayKeep) affinity.bind(wish.sessionKey, id, now);
      return lease(id, slot, false, now);
    },
    settle: (accountId, outcome, now) => {
      const slot = slots.get(accountId);
      if (slot === undefined) return;
      if (isFault(outcome)) slot.errors += 1;
      const next = settle(slot.account, outcome, options().policy, now);
      if (next === slot.account) return;
      slot.account = next;
      place(accountId, slot, now);
    },
    count: (accountId, usage) => {
      const slot = slots.get(accountId);
      if (slot !== undefined) slot.tokens = addUsage(slot.tokens, usage);
    },
    view: (now) => [...slots.values()].map((slot) => viewOf(slot, now)),
  };
}

/** Whether the owner should see this as an error of the account: refusals of the request itself are not. */
function isFault(outcome: Outcome): boolean {
  return outcome.type === "failed" && FAILURES[outcome.failure.kind].account !== "none";
}

function newSlot(account: Account): Slot {
  return {
    account,
    inFlight: 0,
    band: undefined,
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
    a.email !== b.email ||
    a.plan !== b.plan ||
    a.credential.accessToken !== b.credential.accessToken ||
    a.credential.refreshToken !== b.credential.refreshToken ||
    a.credential.expiresAtMs !== b.credential.expiresAtMs
  );
}
