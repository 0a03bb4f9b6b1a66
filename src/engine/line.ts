import type { Lease, Wish } from "../pool/pool.ts";
import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";
import type { Cancel, Clock, Millis } from "../wire/clock.ts";

/** What came of asking for an account: one, none that could serve, or no place in time. */
export type Place = Lease | Failure | undefined;

/**
 * Requests that wait for an account with a place. The caller that is served least comes first, and of one caller's
 * requests the oldest: one who sends a hundred at once does not keep the others waiting behind them.
 */
export type Line = {
  /**
   * An account for `wish`, at once where there is one. Where all that could serve are full, waits for the first that
   * is given back; not longer than `stop` lets it, nor than is left after `waitedMs` of waiting before. Leases of the
   * line must be given back like any other: that is what calls the next.
   */
  readonly take: (wish: Wish, stop: Stop, waitedMs: Millis) => Place | Promise<Place>;
  /** How many wait now. */
  readonly count: () => number;
};

/** What a line stands before. */
export type LinePorts = {
  readonly clock: Clock;
  readonly pick: (wish: Wish) => Lease | undefined;
  /** Whether an account could serve if only it were not full. */
  readonly isCrowded: (wish: Wish) => boolean;
  readonly options: () => LineOptions;
};

/** The bounds of waiting; read anew at each use. */
export type LineOptions = { readonly waitMs: Millis; readonly mostInFlight: number };

type Waiter = {
  readonly wish: Wish;
  readonly sinceMs: Millis;
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

  const watched = (lease: Lease, caller: string): Lease => {
    served.set(caller, servedOf(caller) + 1);
    let isHeld = true;
    return {
      ...lease,
      release: (now) => {
        lease.release(now);
        if (isHeld) discount(caller);
        isHeld = false;
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

  const pick = (wish: Wish, keepsHome: boolean): Lease | undefined => {
    const lease = ports.pick({ ...wish, keepsHome });
    return lease === undefined ? undefined : watched(lease, callerOf(wish));
  };

  /** Gives everybody what there is for them, in order. */
  const callNext = (): void => {
    let queue = inTurn([...waiters]);
    for (let at = 0; at >= 0; ) {
      at = queue.findIndex(call);
      // Who could not be served will not be by what is left; for the others the turns have changed.
      queue = inTurn(queue.slice(at + 1));
    }
  };

  /** Whether there was an account for it. */
  const call = ({ wish, sinceMs, leave }: Waiter): boolean => {
    const lease = pick(wish, clock.now() - sinceMs < OWN_ACCOUNT_MS);
    // Where all that could serve have begun to rest, there is nothing left to wait for.
    if (lease !== undefined || !ports.isCrowded(wish)) leave(lease);
    return lease !== undefined;
  };

  /** First those of the callers that are served least; sorting keeps the order of who came first. */
  const inTurn = (queue: readonly Waiter[]): readonly Waiter[] =>
    queue.toSorted((one, other) => servedOf(callerOf(one.wish)) - servedOf(callerOf(other.wish)));

  const look = (): void => {
    cancelLook = clock.after(LOOK_EVERY_MS, () => {
      callNext();
      if (waiters.size > 0) look();
    });
  };

  /** The last chance of one that waits no longer: also away from its own account. */
  const giveUp = (wish: Wish, why: string): Place =>
    pick(wish, false) ?? crowded(ports.options().mostInFlight, why, clock.now() + COME_BACK_MS);

  const tooLong = (): string => {
    const { waitMs } = ports.options();
    return waitMs > 0 ? `, and none had a place within ${waitMs / 1000} s (account-wait-sec)` : "";
  };

  const wait = (wish: Wish, stop: Stop, mostMs: Millis): Promise<Place> =>
    new Promise((resolve) => {
      const leave = (place: Place): void => {
        waiters.delete(waiter);
        cancel();
        stop.signal.removeEventListener("abort", onStop);
        if (waiters.size === 0) cancelLook();
        resolve(place);
      };
      const waiter: Waiter = { wish, sinceMs: clock.now(), leave };
      const onStop = (): void => leave(undefined);
      const cancel = clock.after(mostMs, () => leave(giveUp(wish, tooLong())));
      stop.signal.addEventListener("abort", onStop, { once: true });
      waiters.add(waiter);
      if (waiters.size === 1) look();
    });

  return {
    take: (wish, stop, waitedMs) => {
      const mostMs = ports.options().waitMs - waitedMs;
      const lease = pick(wish, mostMs > 0);
      if (lease !== undefined) return lease;
      if (stop.reason() !== undefined || !ports.isCrowded(wish)) return undefined;
      if (waiters.size >= MOST_WAITING) return giveUp(wish, `, and ${MOST_WAITING} wait already`);
      return mostMs > 0 ? wait(wish, stop, mostMs) : giveUp(wish, tooLong());
    },
    count: () => waiters.size,
  };
}

function callerOf({ caller = "" }: Wish): string {
  return caller;
}

/** What a client is told that found no place. */
function crowded(mostInFlight: number, why: string, resetsAtMs: Millis): Failure {
  const message =
    `Every account that could serve this is serving as many requests as account-max-in-flight allows (${mostInFlight})${why}. ` +
    "Try again in a moment, or allow more.";
  return { kind: "rate-limited", code: "rate_limit_exceeded", message, resetsAtMs };
}
