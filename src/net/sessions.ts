import { platform } from "#platform";
import type { Connecting, Keep, Session } from "../platform/platform.ts";
import type { Millis } from "../wire/clock.ts";

/** A way out: requests of one key may share connections, and no others. */
export type Route = {
  readonly key: string;
  readonly connection: Connecting;
};

/** The connections of each route. */
export type Sessions = {
  readonly of: (route: Route) => Session;
};

/** How connections are kept for further requests; read anew at each use. */
export type KeepOptions = {
  /** How many idle ones each route keeps, at most. */
  readonly most: number;
  /** Wait between two signs of life on each; 0 where there are none. */
  readonly pingEveryMs: Millis;
};

// Each is small, and ends by itself once nobody has used it for some minutes.
const MOST_SESSIONS = 1024;

// The runtime's own default.
const USUAL_IDLE_SEC = 300;

/** Connections that are kept for the next request of their route; none yet. Those of former options are closed. */
export function createSessions(options: () => KeepOptions): Sessions {
  const sessions = new Map<string, Session>();
  let made = options();

  const forgetOld = (): void => {
    const { most, pingEveryMs } = options();
    if (most === made.most && pingEveryMs === made.pingEveryMs) return;
    made = { most, pingEveryMs };
    for (const session of sessions.values()) session.close();
    sessions.clear();
  };

  return {
    of: (route) => {
      forgetOld();
      const session =
        sessions.get(route.key) ?? platform.openSession(route.connection, keepAliveOf(made));
      if (sessions.size > 1) sessions.delete(route.key);
      sessions.set(route.key, session);
      for (const oldest of sessions.keys()) {
        if (sessions.size <= MOST_SESSIONS) break;
        sessions.delete(oldest);
      }
      return session;
    },
  };
}

/** What the runtime is told: an idle connection must outlast the wait for its next sign of life, whatever that is. */
export function keepAliveOf({ most, pingEveryMs }: KeepOptions): Keep {
  if (most === 0) return false;
  const idleTimeout = Math.max(USUAL_IDLE_SEC, Math.ceil((2 * pingEveryMs) / 1000));
  return { idleTimeout, maxIdleSockets: most };
}
