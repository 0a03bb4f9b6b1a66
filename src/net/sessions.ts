/** A way out: requests of one key may share connections, and no others. */
export type Route = {
  readonly key: string;
  /** Where it connects to, and how it makes sure of whom it has reached. */
  readonly connection: Pick<Bun.FetchSessionInit, "proxy" | "tls" | "unix">;
};

/** The connections of each route. */
export type Sessions = {
  readonly of: (route: Route) => Bun.FetchSession;
};

// Each is small, and ends by itself once nobody has used it for some minutes.
const MOST_SESSIONS = 1024;

/** Connections that are kept for the next request of their route; none yet. */
export function createSessions(): Sessions {
  const sessions = new Map<string, Bun.FetchSession>();
  return {
    of: (route) => {
      const session = sessions.get(route.key) ?? openSession(route);
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

function openSession({ connection }: Route): Bun.FetchSession {
  return new Bun.FetchSession(connection);
}
