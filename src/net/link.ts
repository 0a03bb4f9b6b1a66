import type { EgressProxy } from "../config/proxy-url.ts";
import type { Clock } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import { type Connections, createConnections } from "./connections.ts";
import type { Ask } from "./egress.ts";
import { createHttp2, type Http2, type Way } from "./http2.ts";
import { createKeepAlive } from "./keepalive.ts";

/** What the configuration says of the connections to the backend; read anew at each use. */
export type LinkOptions = {
  readonly isHttp2: boolean;
  /** How many connections may be in use; 0 is no limit. */
  readonly mostInUse: number;
  readonly mostIdle: number;
  /** The proxy through which requests leave that have none of their own. */
  readonly proxy: EgressProxy | undefined;
  /** What signs of life call themselves. */
  readonly userAgent: string | undefined;
};

/** What a link is made of. */
export type LinkPorts = {
  /** The backend's base URL. */
  readonly url: string;
  readonly ask: Ask;
  readonly clock: Clock;
  readonly log: Log;
  readonly chance: () => number;
  readonly options: () => LinkOptions;
  /** Told when there is a connection to take after there was none. */
  readonly onFree: () => void;
};

/** The way to the backend: how many connections are in use, what is spoken on them, and how the idle ones stay warm. */
export type Link = Pick<Http2, "ask" | "isShared" | "broken"> & {
  readonly connections: Connections;
  /** Sends a sign of life on each idle connection. */
  readonly keepWarm: () => Promise<void>;
  /** Puts the options into effect and says what of them has none. Call it at the start and after a change. */
  readonly configure: () => void;
};

/** A way on which nothing has been sent yet. */
export function createLink({ url, ask, clock, log, chance, options, onFree }: LinkPorts): Link {
  const isEncrypted = url.startsWith("https:");
  const obstacle = ({ proxy = options().proxy }: Way): string | undefined => {
    if (!isEncrypted) return "base-url is not https";
    return proxy === undefined ? undefined : "requests leave through an egress proxy";
  };
  const connections = createConnections({ clock, limit: () => options().mostInUse, onFree });
  const isEnabled = (): boolean => options().isHttp2;
  const http2 = createHttp2({ ask, isEnabled, obstacle, clock, log, chance });
  const keepAlive = createKeepAlive({
    ask: http2.ask,
    connections,
    isShared: () => http2.isShared({}),
    clock,
    log,
    options: () => ({ ...options(), url }),
  });
  return {
    ...http2,
    connections,
    keepWarm: keepAlive.round,
    configure: () => {
      connections.look();
      http2.announce();
    },
  };
}
