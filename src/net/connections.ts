import type { Clock, Millis } from "../wire/clock.ts";
import type { Ask } from "./egress.ts";

/** How the connections to the backend stand. */
export type ConnectionCounts = {
  /** How many requests may have one at a time; 0 is no limit. */
  readonly limit: number;
  /** Those that a request has for itself. */
  readonly inUse: number;
  /** Requests that share theirs with others, over HTTP/2. */
  readonly streams: number;
  /** Calls that are no turns and wait for one. */
  readonly waiting: number;
};

/** The right to have one request at a time with the backend. */
export type Permit = {
  /** Whether it is for a stream beside others on one connection, and not for a connection. */
  readonly isShared: boolean;
  /** Notes what stops the request that goes out with it now. */
  readonly uses: (signal: AbortSignal) => void;
  /**
   * Gives it back; more calls do nothing. It is free as soon as `busy` is over where there is that, and a moment later
   * where its request was stopped.
   */
  readonly release: (busy?: Promise<unknown>) => void;
};

/**
 * A count of permits that keeps the connections in use within a limit. Turns wait for theirs in a line of their own
 * (`engine/line.ts`), which is called whenever one has come free; small calls wait here.
 */
export type Connections = {
  /** Whether there is one to take. */
  readonly hasFree: () => boolean;
  /** One more, for somebody who has asked `hasFree`. */
  readonly take: (isShared: boolean) => Permit;
  /**
   * One for a turn that had one and gave it back while it waited for something else: before all others. Undefined once
   * `signal` says that nobody wants it any more.
   */
  readonly again: (isShared: boolean, signal: AbortSignal) => Promise<Permit | undefined>;
  /**
   * One for a small call, in the order of asking; undefined once `signal` says that nobody wants it any more. Small
   * calls take turns with the turns, and have no more than a quarter of all, so that neither starves the other.
   */
  readonly enter: (isShared: boolean, signal: AbortSignal) => Promise<Permit | undefined>;
  /** Has those who wait looked at again: the limit may have changed. */
  readonly look: () => void;
  readonly counts: () => ConnectionCounts;
};

/** What the count is told, and whom it tells. */
export type ConnectionsPorts = {
  readonly clock: Pick<Clock, "after">;
  /** Read anew at each use; 0 is no limit. */
  readonly limit: () => number;
  /** Told when there is one to take after there was none. */
  readonly onFree: () => void;
};

/**
 * How many streams count as one connection. A server should allow at least as many on each (RFC 9113, 6.5.2), and the
 * runtime puts no more on one, so that the connections behind them keep the limit too.
 */
export const STREAMS_PER_CONNECTION = 100;

// Of all permits, and at least one.
const SMALL_SHARE = 1 / 4;

// The runtime closes the connection of a stopped request in another thread, and one that is still being opened only
// once it is open. With a busy processor and nothing on the way that took up to 14 ms.
const CLOSING_MS: Millis = 50;

type Waiter = { readonly isShared: boolean; readonly go: (permit: Permit) => void };

/** Nobody has a permit yet. */
export function createConnections({ clock, limit, onFree }: ConnectionsPorts): Connections {
  const used = { whole: 0, streams: 0, small: 0 };
  const waiters = new Set<Waiter>();
  // Turns that had one before.
  const returning = new Set<Waiter>();
  let wasSmall = false;

  const most = (): number => (limit() > 0 ? limit() : Number.POSITIVE_INFINITY);
  // In streams, since whole numbers do not drift.
  const hasFree = (): boolean =>
    used.whole * STREAMS_PER_CONNECTION + used.streams < most() * STREAMS_PER_CONNECTION;
  const maySmall = (): boolean =>
    hasFree() && used.small < Math.max(Math.floor(most() * SMALL_SHARE), 1);

  const count = (isShared: boolean, isSmall: boolean, by: 1 | -1): void => {
    if (isShared) used.streams += by;
    else used.whole += by;
    if (isSmall) used.small += by;
  };

  const give = (isShared: boolean, isSmall: boolean): Permit => {
    count(isShared, isSmall, 1);
    wasSmall = isSmall;
    let isHeld = true;
    let last: AbortSignal | undefined;
    const free = (): void => {
      const wasFull = !hasFree();
      count(isShared, isSmall, -1);
      if (wasFull || waiters.size > 0 || returning.size > 0) look();
    };
    return {
      isShared,
      uses: (signal) => {
        last = signal;
      },
      release: (busy) => {
        if (!isHeld) return;
        isHeld = false;
        if (busy !== undefined) void busy.then(free, free);
        else if (last?.aborted === true) clock.after(CLOSING_MS, free);
        else free();
      },
    };
  };

  /** Whether a small call has got one. */
  const admit = (): boolean => {
    const [first] = waiters;
    if (first === undefined || !maySmall()) return false;
    waiters.delete(first);
    first.go(give(first.isShared, true));
    return true;
  };

  const readmit = (): void => {
    for (const first of returning) {
      if (!hasFree()) return;
      returning.delete(first);
      first.go(give(first.isShared, false));
    }
  };

  const look = (): void => {
    readmit();
    if (!wasSmall) admit();
    if (hasFree()) onFree();
    while (admit());
  };

  const wait = (
    line: Set<Waiter>,
    isShared: boolean,
    signal: AbortSignal,
  ): Promise<Permit | undefined> =>
    new Promise((resolve) => {
      const leave = (): void => {
        line.delete(waiter);
        resolve(undefined);
      };
      const waiter: Waiter = {
        isShared,
        go: (permit) => {
          signal.removeEventListener("abort", leave);
          resolve(permit);
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      line.add(waiter);
    });

  return {
    hasFree,
    take: (isShared) => give(isShared, false),
    again: async (isShared, signal) => {
      if (signal.aborted) return undefined;
      const isNext = returning.size === 0 && hasFree();
      return isNext ? give(isShared, false) : wait(returning, isShared, signal);
    },
    enter: async (isShared, signal) => {
      if (signal.aborted) return undefined;
      const isNext = waiters.size === 0 && maySmall();
      return isNext ? give(isShared, true) : wait(waiters, isShared, signal);
    },
    look,
    counts: () => ({
      limit: limit(),
      inUse: used.whole,
      streams: used.streams,
      waiting: waiters.size,
    }),
  };
}

/** A way out for the requests that have this permit, one after another. */
export function askWith(permit: Permit, ask: Ask): Ask {
  return (url, request) => {
    permit.uses(request.signal);
    return ask(url, { ...request, isShared: permit.isShared });
  };
}
