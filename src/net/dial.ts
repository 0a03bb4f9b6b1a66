import { lookup as lookUp } from "node:dns/promises";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { EgressProxy } from "../config/proxy-url.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Opened } from "./forward.ts";
import { createIntake, type Intake } from "./intake.ts";
import { openSocks } from "./socks.ts";
import {
  codeOf,
  EgressError,
  EndedError,
  inWords,
  proxyTrouble,
  type Stage,
  startIt,
  type Target,
  targetTrouble,
} from "./trouble.ts";
import { openTunnel } from "./tunnel.ts";

/** What reaching a proxy needs. */
export type DialPorts = {
  readonly clock: Clock;
  /** How long all of it may take, from the proxy's name to its consent. */
  readonly limitMs: () => Millis;
  /** Certificates to trust instead of the system's, for a test. */
  readonly authorities?: string | undefined;
  /** The addresses of a host; this machine's resolver, unless a test is one. */
  readonly lookup?: (host: string) => Promise<readonly string[]>;
};

/** How one connection is agreed on. */
type Handshake = (socket: Socket, intake: Intake) => Promise<void>;

/**
 * Opens a connection to `target` through a proxy, and by no other way. `signal` ends it.
 * @throws EgressError that says what went wrong
 */
export async function dialTarget(
  proxy: EgressProxy,
  target: Target,
  ports: DialPorts,
  signal: AbortSignal,
): Promise<Opened> {
  if (proxy.scheme === "http" || proxy.scheme === "https") {
    return attempt(proxy, ports, signal, (socket, intake) =>
      openTunnel(socket, intake, proxy, target),
    );
  }
  const endsMs = ports.clock.now() + ports.limitMs();
  const within = { ...ports, limitMs: () => Math.max(endsMs - ports.clock.now(), 0) };
  const hosts = proxy.scheme === "socks5h" ? [target.host] : await resolve(proxy, target, within);
  return dialFirst(proxy, hosts, target, within, signal);
}

// A server may reach a host by one of its addresses only, IPv4 for instance.
const MOST_ADDRESSES = 3;

async function resolve(
  proxy: EgressProxy,
  target: Target,
  { clock, limitMs, lookup = addressesOf }: DialPorts,
): Promise<readonly string[]> {
  if (isIP(target.host) !== 0) return [target.host];
  const late = Promise.withResolvers<never>();
  const cancel = clock.after(limitMs(), () =>
    late.reject(targetTrouble(proxy, target, "Its name was not resolved in time on this machine.")),
  );
  try {
    const found = await Promise.race([lookup(target.host), late.promise]);
    return found.slice(0, MOST_ADDRESSES);
  } catch (cause) {
    if (cause instanceof EgressError) throw cause;
    const said = `Its name cannot be resolved on this machine (${codeOf(cause)}). With socks5h:// the proxy resolves it.`;
    throw targetTrouble(proxy, target, said);
  } finally {
    cancel();
  }
}

async function addressesOf(host: string): Promise<readonly string[]> {
  // Few SOCKS servers have IPv6, and fewer have nothing else.
  const found = await lookUp(host, { all: true, order: "ipv4first" });
  return found.map(({ address }) => address);
}

/** The first of the addresses that the server can reach. */
async function dialFirst(
  proxy: EgressProxy,
  hosts: readonly string[],
  target: Target,
  ports: DialPorts,
  signal: AbortSignal,
): Promise<Opened> {
  let last: EgressError = targetTrouble(proxy, target, "Its name has no address.");
  for (const host of hosts) {
    const place = host === target.host ? target : { ...target, host, name: target.host };
    try {
      return await attempt(proxy, ports, signal, (socket, intake) =>
        openSocks(socket, intake, proxy, place),
      );
    } catch (cause) {
      if (!(cause instanceof EgressError && cause.isAtTarget)) throw cause;
      last = cause;
    }
  }
  throw last;
}

async function attempt(
  proxy: EgressProxy,
  { clock, limitMs, authorities }: DialPorts,
  signal: AbortSignal,
  handshake: Handshake,
): Promise<Opened> {
  const socket = begin(proxy, authorities);
  const mostMs = limitMs();
  const cancel = clock.after(mostMs, () => socket.destroy(tooLate(proxy, mostMs)));
  const leave = (): void => void socket.destroy(new EgressError("Nobody waits for it any more."));
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) leave();
  let stage: Stage = "connect";
  try {
    await connected(socket, proxy.scheme === "https" ? "secureConnect" : "connect");
    stage = "handshake";
    const intake = createIntake(socket);
    await handshake(socket, intake);
    return { socket, early: intake.release() };
  } catch (cause) {
    // Whatever it still says, nobody listens; an error event without a listener would end the process.
    socket.on("error", () => {});
    socket.destroy();
    throw inWords(proxy, cause, stage);
  } finally {
    cancel();
    signal.removeEventListener("abort", leave);
  }
}

const KEEP_ALIVE_MS = 30_000;

function begin({ scheme, host, port }: EgressProxy, authorities: string | undefined): Socket {
  if (scheme !== "https") {
    return connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
  }
  const socket = connectTls({
    host,
    port,
    // Whatever the environment says of it.
    rejectUnauthorized: true,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(authorities === undefined ? {} : { ca: authorities }),
  });
  return socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
}

function connected(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new EndedError("the connection ended"));
    socket.once("close", onClose);
    socket.once("error", reject);
    socket.once(event, () => {
      socket.off("close", onClose).off("error", reject);
      resolve();
    });
  });
}

function tooLate(proxy: EgressProxy, limitMs: Millis): EgressError {
  const seconds = Math.round(limitMs / 100) / 10;
  return proxyTrouble(proxy, `did not open a connection within ${seconds} s`, startIt(proxy));
}
