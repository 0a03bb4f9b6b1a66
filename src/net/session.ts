import type { Millis } from "../wire/clock.ts";

/** How connections are kept for further requests; read anew at each use. */
export type KeepOptions = {
  /** How many idle ones each way out keeps, at most. */
  readonly most: number;
  /** Wait between two signs of life on each; 0 where there are none. */
  readonly pingEveryMs: Millis;
};

/** Connections that are kept for further requests, apart for each way out. */
export type Sessions = {
  /** What a request has to name to share the kept connections of `way`. */
  readonly of: (way: string) => Bun.FetchSession;
};

/** Whom a server's certificate must come from; absent: from whom the machine trusts. */
export type Trust = { readonly ca: string };

// The runtime's own default.
const USUAL_IDLE_SEC = 300;

/** Sessions that follow the options: after a change the connections kept by the old ones are closed. */
export function createSessions(options: () => KeepOptions, trust?: Trust): Sessions {
  const sessions = new Map<string, Bun.FetchSession>();
  let made = options();

  const forgetOld = (): void => {
    const { most, pingEveryMs } = options();
    if (most === made.most && pingEveryMs === made.pingEveryMs) return;
    made = { most, pingEveryMs };
    for (const session of sessions.values()) session.close();
    sessions.clear();
  };

  return {
    of: (way) => {
      forgetOld();
      const known = sessions.get(way);
      if (known !== undefined) return known;
      const session = new Bun.FetchSession({
        keepAlive: keepAliveOf(made),
        ...(trust === undefined ? {} : { tls: trust }),
      });
      sessions.set(way, session);
      return session;
    },
  };
}

/** What the runtime is told: an idle connection must outlast the wait for its next sign of life, whatever that is. */
export function keepAliveOf({
  most,
  pingEveryMs,
}: KeepOptions): false | { readonly idleTimeout: number; readonly maxIdleSockets: number } {
  if (most === 0) return false;
  const idleTimeout = Math.max(USUAL_IDLE_SEC, Math.ceil((2 * pingEveryMs) / 1000));
  return { idleTimeout, maxIdleSockets: most };
}
