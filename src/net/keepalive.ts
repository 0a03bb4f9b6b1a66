import { createStop } from "../turn/stop.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import { askWith, type Connections, type Permit } from "./connections.ts";
import type { Ask } from "./egress.ts";
import { codeOf } from "./trouble.ts";

/** What keeping connections warm needs. */
export type KeepAlivePorts = {
  /** The way out that turns take. */
  readonly ask: Ask;
  readonly connections: Pick<Connections, "hasFree" | "take" | "counts">;
  /** Whether requests share one connection, so that one sign of life is enough. */
  readonly isShared: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly options: () => KeepAliveOptions;
};

/** What is asked, and on how many connections; read anew at each use. */
export type KeepAliveOptions = {
  readonly url: string;
  readonly userAgent: string | undefined;
  /** How many idle connections are kept. */
  readonly mostIdle: number;
};

/** Signs of life on connections that nobody uses. */
export type KeepAlive = {
  /**
   * One on each, so that nobody on the way forgets them; opens those that are missing. What does not answer is closed,
   * so that no turn is sent on a connection that only seems to be there. Never throws.
   */
  readonly round: () => Promise<void>;
};

// More than anybody's way to the backend and back. A connection that takes longer is of no use for a turn.
const LIMIT_MS: Millis = 10_000;

// A page that says no is smaller; whoever sends more loses the connection.
const MOST_BYTES = 64 * 1024;

// So many idle connections does the runtime keep in all.
const MOST_KEPT = 64;

/** Nothing is sent before the first round. */
export function createKeepAlive(ports: KeepAlivePorts): KeepAlive {
  const { connections, clock, log } = ports;
  // HEAD costs least.
  let method: "HEAD" | "GET" = "HEAD";

  /** Permits for as many signs as are due. Who wants one for a turn comes first. */
  const permits = (): readonly Permit[] => {
    const { mostIdle } = ports.options();
    const isShared = ports.isShared();
    const idle = Math.min(mostIdle, MOST_KEPT) - connections.counts().inUse;
    const due = isShared ? Math.min(mostIdle, 1) : idle;
    const taken: Permit[] = [];
    while (taken.length < due && connections.hasFree()) taken.push(connections.take(isShared));
    return taken;
  };

  /** Why there was no answer; undefined where there was one, whatever it says. */
  const sign = async (permit: Permit): Promise<string | undefined> => {
    const { url, userAgent } = ports.options();
    const stop = createStop();
    const cancel = clock.after(LIMIT_MS, () => stop.stop(NO_ANSWER));
    try {
      const answer = await askWith(permit, ports.ask)(url, {
        method,
        headers: { accept: "*/*", ...(userAgent === undefined ? {} : { "user-agent": userAgent }) },
        signal: stop.signal,
        proxy: undefined,
      });
      if (method === "HEAD" && !permit.isShared && !hasLength(answer)) method = "GET";
      if (!(await isRead(answer))) stop.stop(TOO_LONG);
      return undefined;
    } catch (cause) {
      return stop.reason()?.message ?? codeOf(cause);
    } finally {
      cancel();
      permit.release();
    }
  };

  const round = async (): Promise<void> => {
    const before = method;
    const results = await Promise.all(permits().map(sign));
    const failures = results.filter((reason) => reason !== undefined);
    if (failures.length > 0) {
      const [reason] = failures;
      const facts = { of: results.length, failed: failures.length, reason };
      log.debug("connections to the backend could not be kept warm", facts);
    }
    // What was to be kept has been closed.
    if (method !== before) await round();
  };
  return { round };
}

/**
 * Whether the answer to a HEAD says how long the one to a GET would be. It need not (RFC 9110, 9.3.2), but without that
 * the runtime closes the connection.
 */
function hasLength({ headers }: Response): boolean {
  return headers.has("content-length") || headers.has("transfer-encoding");
}

/** Whether the answer has come to its end, so that its connection is idle. */
async function isRead({ body }: Response): Promise<boolean> {
  let bytes = 0;
  for await (const part of body ?? []) {
    bytes += part.length;
    if (bytes > MOST_BYTES) return false;
  }
  return true;
}

const TOO_LONG = { kind: "timeout", message: "too long an answer" } as const;
const NO_ANSWER = { kind: "timeout", message: "no answer in time" } as const;
