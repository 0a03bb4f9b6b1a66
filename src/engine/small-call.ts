import type { Connections } from "../net/connections.ts";
import type { Ask } from "../net/egress.ts";
import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";

/** Whom a small call asks, and with which connections. */
export type SmallCallPorts = {
  readonly connections: Pick<Connections, "enter">;
  readonly isShared: boolean;
  readonly ask: Ask;
};

/** A call of the backend that is no turn, made with a connection of the limited ones; `inVain` where none came free. */
export async function smallCall<T>(
  { connections, isShared, ask }: SmallCallPorts,
  stop: Stop,
  call: (ask: Ask) => Promise<T>,
  inVain: (failure: Failure) => T,
): Promise<T> {
  const connection = await connections.enter(isShared, stop.signal);
  if (connection === undefined) return inVain(NO_CONNECTION);
  try {
    return await call(async (url, request) => {
      try {
        return await ask(url, { ...request, isShared });
      } catch (cause) {
        // An answer that has been read is stopped as well, and its connection is idle.
        connection.uses(request.signal);
        throw cause;
      }
    });
  } finally {
    connection.release();
  }
}

/** Nobody's fault, and no trouble of the backend's. */
const NO_CONNECTION: Failure = {
  kind: "out-of-time",
  message: "No connection to the backend came free in time (max-conns-per-host).",
};
