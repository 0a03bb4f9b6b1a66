import { tmpdir } from "node:os";
import { inBrackets, withoutBrackets } from "../config/endpoint.ts";
import type { EgressProxy } from "../config/proxy-url.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { createGates } from "./gate.ts";
import { createSessions, type KeepOptions, type Route } from "./sessions.ts";
import {
  codeOf,
  describeTls,
  EgressError,
  inWords,
  loginTrouble,
  proxyTrouble,
  type Target,
  TRUST_IT,
} from "./trouble.ts";
import { proxyLogin } from "./tunnel.ts";

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

/** A server that is dialled at another address than its name's; it is still asked, and must prove itself, by its name. */
export type Detour = {
  /** `https://host:port` as URLs have it. */
  readonly origin: string;
  readonly host: string;
  readonly port: number | undefined;
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
  const sessions = createSessions(() => ports.options().keep);
  const limitMs = () => ports.options().tunnelMs;
  const gates = createGates({ clock, limitMs, authorities, socketDir });
  const failing = new Set<string>();

  const note = (proxy: EgressProxy, trouble: string | undefined): void => {
    const isNews = trouble === undefined ? failing.delete(proxy.url) : !failing.has(proxy.url);
    if (trouble !== undefined) failing.add(proxy.url);
    if (isNews) ports.onProxy(proxy, trouble);
  };

  const post = (url: string, request: Sent, route: Route): Promise<Response> =>
    fetch(url, {
      ...request,
      session: sessions.of(route),
      redirect: "manual",
      // The runtime's own timeout is coarse and counts from anywhere; the callers' clocks are the only ones.
      timeout: false,
    });

  /** Who answers must prove to be who was meant, also where the environment would do without. */
  const tlsFor = (serverName?: string) => ({
    rejectUnauthorized: true,
    ...(serverName === undefined ? {} : { serverName }),
    ...(authorities === undefined ? {} : { ca: authorities }),
  });

  // Not even the environment's proxies, which nobody here has asked for.
  const DIRECT: Route = { key: "direct", connection: { proxy: false, tls: tlsFor() } };

  /** Sends to another place than the one in the URL, which stays the name that is asked for and has to be proved. */
  const postTo = (place: Target, aim: Aim, request: Sent): Promise<Response> => {
    const url = new URL(aim.url);
    url.hostname = inBrackets(place.host);
    url.port = String(place.port);
    const { host, name } = aim;
    const connection = { proxy: false, tls: tlsFor(name) } as const;
    const headers = { ...request.headers, host };
    return post(url.href, { ...request, headers }, { key: `direct as ${name}`, connection });
  };

  const throughGate = async (proxy: EgressProxy, aim: Aim, request: Sent): Promise<Response> => {
    const { place, countFaults, lastFault } = await gates.to(proxy, aim.target);
    const before = countFaults();
    try {
      if (place.kind === "port") {
        return await postTo({ host: "127.0.0.1", port: place.port }, aim, request);
      }
      const connection = { unix: place.path, proxy: false, tls: tlsFor() } as const;
      return await post(aim.url, request, { key: place.path, connection });
    } catch (cause) {
      // Its connection may be one of others: then it was the same proxy all the same.
      throw countFaults() > before ? lastFault() : cause;
    }
  };

  /** A request that is not encrypted goes to an HTTP proxy as it is: many allow no tunnel for such. */
  const toProxy = async (proxy: EgressProxy, aim: Aim, request: Sent): Promise<Response> => {
    const { scheme, host, port } = proxy;
    const url = `${scheme}://${inBrackets(host)}:${port}`;
    const headers = proxyLogin(proxy);
    // Without an eye to NO_PROXY, which would lead around it.
    const connection = { proxy: { url, headers, respectNoProxy: false }, tls: tlsFor() };
    const route = { key: `${proxy.key} ${proxy.url}`, connection };
    const response = await post(aim.url, request, route).catch((cause: unknown) => {
      throw request.signal.aborted ? cause : inWords(proxy, cause, "handshake");
    });
    const trouble = troubleIn(response, proxy);
    if (trouble === undefined) return response;
    await response.body?.cancel();
    throw trouble;
  };

  const goThrough = async (proxy: EgressProxy, aim: Aim, request: Sent): Promise<Response> => {
    const isPlain = !aim.isEncrypted && !aim.isDetoured && isHttp(proxy);
    try {
      const response = await (isPlain ? toProxy : throughGate)(proxy, aim, request);
      note(proxy, undefined);
      return response;
    } catch (cause) {
      const trouble = cause instanceof EgressError ? cause : tlsTrouble(cause, proxy, aim);
      if (trouble === undefined) throw cause;
      note(proxy, trouble.message);
      throw trouble;
    }
  };

  return {
    ask: (url, { proxy: own, ...request }) => {
      const { proxy: usual, detour } = ports.options();
      const proxy = own ?? usual;
      if (proxy === undefined && detour === undefined) return post(url, request, DIRECT);
      const aim = aimAt(url, detour);
      if (proxy !== undefined) return goThrough(proxy, aim, request);
      return aim.isDetoured ? postTo(aim.target, aim, request) : post(url, request, DIRECT);
    },
    close: gates.close,
  };
}

type Sent = Omit<Outgoing, "proxy">;

/** A request's destination. */
type Aim = {
  readonly url: string;
  readonly isEncrypted: boolean;
  /** As it is asked for: the URL's host, and its port where that is not the usual one. */
  readonly host: string;
  /** The name that it must prove to have. */
  readonly name: string;
  /** Where it is to be found. */
  readonly target: Target;
  readonly isDetoured: boolean;
};

function aimAt(url: string, detour: Detour | undefined): Aim {
  const { protocol, host, hostname, port: said, origin } = new URL(url);
  const isEncrypted = protocol === "https:";
  const name = withoutBrackets(hostname);
  const port = said === "" ? (isEncrypted ? 443 : 80) : Number(said);
  const aim = { url, isEncrypted, host, name };
  if (origin !== detour?.origin) return { ...aim, target: { host: name, port }, isDetoured: false };
  return { ...aim, target: { host: detour.host, port: detour.port ?? port }, isDetoured: true };
}

function isHttp({ scheme }: EgressProxy): boolean {
  return scheme === "http" || scheme === "https";
}

/** What an answer that came by way of an HTTP proxy says of that: a page is its own, or as good as no answer. */
function troubleIn({ status, headers }: Response, proxy: EgressProxy): EgressError | undefined {
  const isPage = status >= 400 && /\bhtml\b/i.test(headers.get("content-type") ?? "");
  // Tinyproxy says 401 where it means 407.
  if (status === 407 || (status === 401 && isPage)) return loginTrouble(proxy);
  if (!isPage) return undefined;
  return proxyTrouble(proxy, `answered ${status} with a web page`, lookInto(proxy));
}

/** TLS that fails behind a proxy is the proxy's doing, as far as anybody can tell. */
function tlsTrouble(cause: unknown, proxy: EgressProxy, { host }: Aim): EgressError | undefined {
  const tls = describeTls(codeOf(cause));
  if (tls === undefined) return undefined;
  const what = `opens a connection, but what answers there for ${host} ${tls.what}`;
  return proxyTrouble(proxy, what, tls.isCertificate ? TRUST_IT : lookInto(proxy));
}

function lookInto({ key }: EgressProxy): string {
  return `Find out what it does there, or name another one in ${key}.`;
}
