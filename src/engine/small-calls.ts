import type { Connections } from "../net/connections.ts";
import type { Ask } from "../net/egress.ts";
import type { Way } from "../net/http2.ts";
import type { Failure } from "../turn/failure.ts";
import type { Clock, Millis } from "../wire/clock.ts";

/** Calls of the backend that are no turns. */
export type SmallCalls = {
  /**
   * Makes one, as soon as it has a connection of the limited ones; what it may take itself is counted from then on.
   * `inVain` says what comes of it where none comes free.
   */
  readonly run: <T>(
    way: Way,
    call: (ask: Ask) => Promise<T>,
    inVain: (failure: Failure) => T,
  ) => Promise<T>;
};

/** Whom small calls ask, and with which connections. */
export type SmallCallPorts = {
  readonly connections: Pick<Connections, "enter">;
  /** Whether requests that go this way share connections. */
  readonly isShared: (way: Way) => boolean;
  readonly ask: Ask;
  readonly clock: Pick<Clock, "after">;
};

// Others wait behind it. Where turns keep all connections for longer, they tell what it would have been about.
const LONGEST_WAIT_MS: Millis = 30_000;

/** Small calls by this way. */
export function createSmallCalls({
  connections,
  isShared,
  ask,
  clock,
}: SmallCallPorts): SmallCalls {
  return {
    run: async (way, call, inVain) => {
      const waiting = new AbortController();
      const cancel = clock.after(LONGEST_WAIT_MS, () => waiting.abort());
      const connection = await connections.enter(isShared(way), waiting.signal);
      cancel();
      if (connection === undefined) return inVain(NO_CONNECTION);
      try {
        return await call(async (url, request) => {
          try {
            return await ask(url, { ...request, isShared: connection.isShared });
          } catch (cause) {
            // An answer that has been read is stopped as well, and its connection is idle.
            connection.uses(request.signal);
            throw cause;
          }
        });
      } finally {
        connection.release();
      }
    },
  };
}

/** Nobody's fault, and no trouble of the backend's. */
const NO_CONNECTION: Failure = {
  kind: "out-of-time",
  message: "No connection to the backend came free in time (max-conns-per-host).",
};
