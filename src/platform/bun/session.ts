import type { Connecting, Keep, Session } from "../platform.ts";

/** Connections that are kept apart from all others. */
export function openSession(connecting: Connecting, keep: Keep): Session {
  const { proxy, serverName, authorities, unix } = connecting;
  const session = new Bun.FetchSession({
    // Neither a proxy of the environment's, which nobody here has asked for, nor NO_PROXY, which would lead around ours.
    proxy: proxy === undefined ? false : { ...proxy, respectNoProxy: false },
    tls: {
      rejectUnauthorized: true,
      ...(serverName === undefined ? {} : { serverName }),
      ...(authorities === undefined ? {} : { ca: authorities }),
    },
    ...(unix === undefined ? {} : { unix }),
    keepAlive: keep,
  });
  return {
    ask: (url, request) =>
      fetch(url, {
        ...request,
        session,
        redirect: "manual",
        // The runtime's own timeout is coarse and counts from anywhere; the callers' clocks are the only ones.
        timeout: false,
      }),
    close: () => session.close(),
  };
}
