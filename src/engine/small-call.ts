import type { Connections, Permit } from "../net/connections.ts";
import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";

/** A call of the backend that is no turn, made with a connection of the limited ones; `inVain` where none came free. */
export async function smallCall<T>(
  { connections, isShared }: { readonly connections: Connections; readonly isShared: boolean },
  stop: Stop,
  call: (connection: Permit) => Promise<T>,
  inVain: (failure: Failure) => T,
): Promise<T> {
  const connection = await connections.enter(isShared, stop.signal);
  if (connection === undefined) return inVain(NO_CONNECTION);
  try {
    return await call(connection);
  } finally {
    connection.release();
  }
}

/** Nobody's fault, and no trouble of the backend's. */
const NO_CONNECTION: Failure = {
  kind: "out-of-time",
  message: "No connection to the backend came free in time (max-conns-per-host).",
};
