import type { Connections, Permit } from "../net/connections.ts";
import type { Lease, Wish } from "../pool/pool.ts";
import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";
import type { Cancel, Clock, Millis } from "../wire/clock.ts";
import type { Waits } from "./waits.ts";

/** An account and a connection to the backend, for as long as one request needs them. */
export type Seat = Omit<Lease, "release"> & {
  readonly connection: Permit;
  /**
   * Waits for something else than the backend, such as a new token: others have the connection meanwhile. Afterwards it
   * has one again, before whoever waits in the line, unless it was stopped.
   */
  readonly apart: <T>(work: Promise<T>, stop: Stop) => Promise<T>;
  /** Gives both back, the connection as soon as `busy` is over where there is that; more calls do nothing. */
  readonly release: (now: Millis, busy?: Promise<unknown>) => void;
};

/** What came of asking for an account: one, none that could serve, or no place in time. */
export type Place = Seat | Failure | undefined;

/**
 * Requests that wait for an account with a place and for a connection, which they get together: who waits has chosen
 * no account yet. The caller that is served least comes first, and of one caller's requests the oldest: one who sends
 * a hundred at once does not keep the others waiting behind them.
 */
export type Line = {
  /**
   * An account for `wish`, at once where there is one. Where all that could serve are full, or all connections in use,
   * waits for the first that is given back; not longer than `stop` lets it, nor than is left after `waitedMs` of
   * waiting before. Seats must be given back like any lease: that is what calls the next.
   */
  readonly take: (wish: Wish, stop: Stop, waitedMs: Millis) => Place | Promise<Place>;
  /** Calls whom a connection that has come free can serve. */
  readonly callNext: () => void;
  /** How many wait now. */
  readonly count: () => number;
  /** How many of them wait for a connection. */
  readonly countForConnection: () => number;
};

/** What a line stands before. */
export type LinePorts = {
  readonly clock: Clock;
  readonly pick: (wish: Wish) => Lease | undefined;
  /** Whether an account with a place could serve. */
  readonly hasPlace: (wish: Wish) => boolean;
  /** Whether an account could serve if only it were not full. */
  readonly isCrowded: (wish: Wish) => boolean;
  readonly connections: Pick<Connections, "hasFree" | "take" | "again">;
  /** Whether the account's requests share connections. */
  readonly isShared: (accountId: string) => boolean;
  readonly waits: Pick<Waits, "begun" | "long">;
  readonly options: () => LineOptions;
};

/** The bounds of waiting; read anew at each use. */
export type LineOptions = {
  readonly waitMs: Millis;
  readonly mostInFlight: number;
  readonly mostConnections: number;
};

/** What a request lacks that could be served otherwise. */
type Lack = "account" | "connection";

type Waiter = {
  readonly wish: Wish;
  readonly sinceMs: Millis;
  /** What it lacked when it was looked at last. */
  lacks: Lack;
  /** Whether it has been told of that it has waited for long. */
  isTold: boolean;
  /** Takes it out of the line with what it has come to. */
  readonly leave: (place: Place) => void;
};

// More would wait longer than anybody's patience; and each is looked at whenever an account is given back.
const MOST_WAITING = 1000;

// A conversation waits so long for its own account although others have places: about what it costs to read its
// prompt anew elsewhere.
const OWN_ACCOUNT_MS: Millis = 2000;

// What no account that is given back tells: rests that end, new accounts, other limits.
const LOOK_EVERY_MS: Millis = 250;

// Whoever waits for a connection longer than that should know that the limit is why.
const LONG_MS: Millis = 1000;

// For the client that is sent away: places come free all the time.
const COME_BACK_MS: Millis = 5000;

/** A line in which nobody waits yet. */
export function createLine(ports: LinePorts): Line {
  const { clock } = ports;
  // In the order of their coming.
  const waiters = new Set<Waiter>();
  // How many requests of each caller are being served.
  const served = new Map<string, number>();
  let cancelLook: Cancel = () => {};

  const watched = (lease: Lease, caller: string): Seat => {
    const isShared = (): boolean => ports.isShared(lease.accountId);
    let connection = ports.connections.take(isShared());
    served.set(caller, servedOf(caller) + 1);
    let isHeld = true;
    return {
      ...lease,
      get connection() {
        return connection;
      },
      apart: async (work, stop) => {
        connection.release();
        callNext();
        try {
          return await work;
        } finally {
          // One that is given back already is no harm to who was stopped.
          connection = (await ports.connections.again(isShared(), stop.signal)) ?? connection;
          if (!isHeld) connection.release();
        }
      },
      release: (now, busy) => {
        if (!isHeld) return;
        isHeld = false;
        lease.release(now);
        discount(caller);
        connection.release(busy);
        callNext();
      },
    };
  };

  const servedOf = (caller: string): number => served.get(caller) ?? 0;

  const discount = (caller: string): void => {
    const left = servedOf(caller) - 1;
    if (left > 0) served.set(caller, left);
    else served.delete(caller);
  };

  const pick = (wish: Wish, keepsHome: boolean): Seat | undefined => {
    if (!ports.connections.hasFree()) return undefined;
    const lease = ports.pick({ ...wish, keepsHome });
    return lease === undefined ? undefined : watched(lease, callerOf(wish));
  };

  /** What `wish` lacks; undefined where nobody could serve it, so that there is nothing to wait for. */
  const lackOf = (wish: Wish): Lack | undefined => {
    if (!ports.connections.hasFree() && ports.hasPlace(wish)) return "connection";
    return ports.isCrowded(wish) ? "account" : undefined;
  };

  /** Gives everybody what there is for them, in order. */
  const callNext = (): void => {
    // Without a connection there is nothing for anybody, and a thousand need not be looked at to see that.
    callWhile(ports.connections.hasFree);
  };

  const callWhile = (isOpen: () => boolean): void => {
    let queue = waiters.size > 0 && isOpen() ? inTurn([...waiters]) : [];
    for (let at = 0; at >= 0 && isOpen(); ) {
      at = queue.findIndex(call);
      // Who could not be served will not be by what is left; for the others the turns have changed.
      queue = inTurn(queue.slice(at + 1));
    }
  };

  /** Whether there was an account for it. */
  const call = (waiter: Waiter): boolean => {
    const { wish, sinceMs, leave } = waiter;
    const seat = pick(wish, clock.now() - sinceMs < OWN_ACCOUNT_MS);
    if (seat !== undefined) {
      leave(seat);
      return true;
    }
    const lack = lackOf(wish);
    // Where all that could serve have begun to rest, there is nothing left to wait for.
    if (lack === undefined) leave(undefined);
    else waiter.lacks = lack;
    return false;
  };

  /**
   * First those of the callers that are served least, of these those that have been served already and failed, then
   * who came first, whose order sorting keeps.
   */
  const inTurn = (queue: readonly Waiter[]): readonly Waiter[] =>
    queue.toSorted(
      ({ wish: one }, { wish: other }) =>
        servedOf(callerOf(one)) - servedOf(callerOf(other)) || other.tried.size - one.tried.size,
    );

  const look = (): void => {
    cancelLook = clock.after(LOOK_EVERY_MS, () => {
      callWhile(() => true);
      for (const waiter of waiters) tellIfLong(waiter);
      if (waiters.size > 0) look();
    });
  };

  const tellIfLong = (waiter: Waiter): void => {
    if (waiter.isTold || waiter.lacks !== "connection") return;
    if (clock.now() - waiter.sinceMs < LONG_MS) return;
    waiter.isTold = true;
    ports.waits.long();
  };

  /** The last chance of one that waits no longer: also away from its own account. */
  const giveUp = (wish: Wish, lack: Lack, why: string): Place => {
    const { mostInFlight, mostConnections } = ports.options();
    const limit = lack === "account" ? mostInFlight : mostConnections;
    return pick(wish, false) ?? crowded(LIMITS[lack](limit), why, clock.now() + COME_BACK_MS);
  };

  const tooLong = (): string => {
    const { waitMs } = ports.options();
    return waitMs > 0 ? `, and none came free within ${waitMs / 1000} s (account-wait-sec)` : "";
  };

  const wait = (wish: Wish, lacks: Lack, stop: Stop, mostMs: Millis): Promise<Place> =>
    new Promise((resolve) => {
      const leave = (place: Place): void => {
        tellIfLong(waiter);
        waiters.delete(waiter);
        cancel();
        ignoreStop();
        if (waiters.size === 0) cancelLook();
        resolve(place);
      };
      const waiter: Waiter = { wish, sinceMs: clock.now(), lacks, isTold: false, leave };
      const cancel = clock.after(mostMs, () => leave(giveUp(wish, waiter.lacks, tooLong())));
      const ignoreStop = stop.onStop(() => leave(undefined));
      if (lacks === "connection") ports.waits.begun();
      waiters.add(waiter);
      if (waiters.size === 1) look();
    });

  return {
    take: (wish, stop, waitedMs) => {
      const mostMs = ports.options().waitMs - waitedMs;
      const seat = pick(wish, mostMs > 0);
      if (seat !== undefined) return seat;
      const lack = stop.reason() === undefined ? lackOf(wish) : undefined;
      if (lack === undefined) return undefined;
      if (waiters.size >= MOST_WAITING) {
        return giveUp(wish, lack, `, and ${MOST_WAITING} wait already`);
      }
      return mostMs > 0 ? wait(wish, lack, stop, mostMs) : giveUp(wish, lack, tooLong());
    },
    callNext,
    count: () => waiters.size,
    countForConnection: () => [...waiters].filter(({ lacks }) => lacks === "connection").length,
  };
}

function callerOf({ caller = "" }: Wish): string {
  return caller;
}

/** Which limit keeps a request from being served. */
const LIMITS: Readonly<Record<Lack, (limit: number) => string>> = {
  account: (limit) =>
    `Every account that could serve this is serving as many requests as account-max-in-flight allows (${limit})`,
  connection: (limit) =>
    `As many requests are with the backend as max-conns-per-host allows (${limit})`,
};

/** What a client is told that found no place. */
function crowded(limit: string, why: string, resetsAtMs: Millis): Failure {
  const message = `${limit}${why}. Try again in a moment, or allow more.`;
  return { kind: "rate-limited", code: "rate_limit_exceeded", message, resetsAtMs };
}
