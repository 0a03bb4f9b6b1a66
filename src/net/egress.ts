import { tmpdir } from "node:os";
import type { EgressProxy } from "../config/proxy-url.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { type Aim, aimAt, type Detour } from "./aim.ts";
import { untilLetIn } from "./crowd.ts";
import { createGates } from "./gate.ts";
import { createRouting, type Routed } from "./routing.ts";
import { createSessions, type KeepOptions } from "./sessions.ts";
import { EgressError } from "./trouble.ts";

/** A request that leaves this machine. */
export type Outgoing = {
  /** GET where it says nothing. */
  readonly method?: "GET" | "POST" | "HEAD";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly signal: AbortSignal;
  /** The account's own proxy; undefined: the configured one, if any. */
  readonly proxy: EgressProxy | undefined;
  /** Absent: HTTP/1.1. */
  readonly protocol?: "http2";
  /** Whether it must share its connection with others, and so be HTTP/2. */
  readonly isShared?: boolean;
};

/**
 * Sends a request by the one way out of this program. Redirects are answers like any other, since following one would
 * carry a token to somebody else; how long it may take is the business of `signal`.
 * @throws EgressError where the proxy is the trouble, and otherwise whatever the runtime throws where no answer
 * begins; `describeNetwork` says both in words.
 */
export type Ask = (url: string, request: Outgoing) => Promise<Response>;

/** The way out: every call to backend and issuer goes through it. */
export type Egress = {
  readonly ask: Ask;
  /** For the end of the program. */
  readonly close: () => Promise<void>;
};

/** What the configuration says of the way out; read anew for each request, so that a change takes effect at once. */
export type EgressOptions = {
  /** `proxy-url`. */
  readonly proxy: EgressProxy | undefined;
  /** `backend-resolve-address`. */
  readonly detour: Detour | undefined;
  /** How long a proxy may take to open a connection. */
  readonly tunnelMs: Millis;
  readonly keep: KeepOptions;
};

/** What the way out needs. */
export type EgressPorts = {
  readonly options: () => EgressOptions;
  readonly clock: Clock;
  /** Told when a proxy begins to fail, with what is wrong, and when it works again, with undefined. */
  readonly onProxy: (proxy: EgressProxy, trouble: string | undefined) => void;
  /** Certificates to trust instead of the system's, for a test. */
  readonly authorities?: string;
  /** Where sockets of this program's own are kept; the system's folder for what is temporary. */
  readonly socketDir?: string;
};

/** Opens the way out. Where a proxy is set nothing ever goes around it, whatever the environment says. */
export function createEgress(ports: EgressPorts): Egress {
  const { clock, authorities, socketDir = tmpdir() } = ports;
  const limitMs = () => ports.options().tunnelMs;
  const gates = createGates({ clock, limitMs, authorities, socketDir });
  const routing = createRouting(gates, authorities);
  const sessions = createSessions(() => ports.options().keep);
  // By proxy: the hosts that it does not lead to. One that it leads to says nothing of another one.
  const failing = new Map<string, Set<string>>();

  const note = (proxy: EgressProxy, { host }: Aim, trouble: string | undefined): void => {
    const hosts = failing.get(proxy.url);
    if (trouble !== undefined) {
      failing.set(proxy.url, (hosts ?? new Set()).add(host));
      if (hosts === undefined) ports.onProxy(proxy, trouble);
    } else if (hosts?.delete(host) === true && hosts.size === 0) {
      failing.delete(proxy.url);
      ports.onProxy(proxy, undefined);
    }
  };

  const send = ({ url, headers, route }: Routed, request: Sent): Promise<Response> =>
    sessions.of(route).ask(url, { ...request, headers: { ...request.headers, ...headers } });

  const sendThrough = async (way: Routed, request: Sent): Promise<Response> => {
    const response = await untilLetIn(() => send(way, request), request.signal);
    const fault = way.faultIn(response);
    if (fault === undefined) return response;
    await response.body?.cancel();
    throw fault;
  };

  const goThrough = async (proxy: EgressProxy, aim: Aim, request: Sent): Promise<Response> => {
    const way = await routing.through(proxy, aim);
    try {
      const response = await sendThrough(way, request);
      note(proxy, aim, undefined);
      return response;
    } catch (cause) {
      if (request.signal.aborted) throw cause;
      const fault = cause instanceof EgressError ? cause : way.faultOf(cause);
      if (fault === undefined) throw cause;
      note(proxy, aim, fault.message);
      throw fault;
    }
  };

  return {
    ask: (url, { proxy: own, ...request }) => {
      const { proxy: usual, detour } = ports.options();
      const proxy = own ?? usual;
      const aim = aimAt(url, detour);
      return proxy === undefined
        ? send(routing.direct(aim), request)
        : goThrough(proxy, aim, request);
    },
    close: gates.close,
  };
}

type Sent = Omit<Outgoing, "proxy">;
