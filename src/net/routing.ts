import { inBrackets } from "../config/endpoint.ts";
import type { EgressProxy } from "../config/proxy-url.ts";
import { type Aim, leadTo } from "./aim.ts";
import type { Gates } from "./gate.ts";
import type { Route } from "./sessions.ts";
import {
  codeOf,
  describeTls,
  type EgressError,
  inWords,
  loginTrouble,
  proxyTrouble,
  type Target,
  TRUST_IT,
} from "./trouble.ts";
import { proxyLogin } from "./tunnel.ts";

/** By which way one request leaves. */
export type Routed = {
  readonly route: Route;
  readonly url: string;
  /** Headers that it needs besides its own. */
  readonly headers: Readonly<Record<string, string>>;
  /** What an answer says of the way that it came by; undefined for one that is the server's own. */
  readonly faultIn: (response: Response) => EgressError | undefined;
  /** What broke a request, where it was the way; undefined where it was not, or cannot be told. */
  readonly faultOf: (cause: unknown) => EgressError | undefined;
};

/** The ways out of this machine. */
export type Routing = {
  /** Without any proxy. */
  readonly direct: (aim: Aim) => Routed;
  /** Through a proxy, and never around it. */
  readonly through: (proxy: EgressProxy, aim: Aim) => Promise<Routed>;
};

/** The ways out; `authorities` are trusted instead of the system's, for a test. */
export function createRouting(gates: Pick<Gates, "to">, authorities: string | undefined): Routing {
  const trusted = authorities === undefined ? {} : { authorities };

  const DIRECT: Route = { key: "direct", connection: trusted };

  const plainly = (url: string, route: Route): Routed => ({
    route,
    url,
    headers: {},
    faultIn: () => undefined,
    faultOf: () => undefined,
  });

  /** To another place than the one in the URL, which stays the name that is asked for and has to be proved. */
  const elsewhere = (place: Target, { url, host, name }: Aim): Routed => {
    const connection = { ...trusted, serverName: name };
    const way = plainly(leadTo(place, url), { key: `direct as ${name}`, connection });
    return { ...way, headers: { host } };
  };

  /** Through a gate, which tells what has become of its proxy. */
  const byGate = async (proxy: EgressProxy, aim: Aim): Promise<Routed> => {
    const { place, countFaults, lastFault } = await gates.to(proxy, aim.target);
    const before = countFaults();
    const way =
      place.kind === "port"
        ? elsewhere({ host: "127.0.0.1", port: place.port }, aim)
        : plainly(aim.url, {
            key: place.path,
            connection: { ...trusted, unix: place.path },
          });
    // The connection that failed may be one of another request's: then it was the same proxy all the same.
    const faultOf = (cause: unknown) =>
      countFaults() > before ? lastFault() : tlsTrouble(cause, proxy, aim);
    return { ...way, faultOf };
  };

  /** A request that is not encrypted goes to an HTTP proxy as it is: many allow no tunnel for such. */
  const byProxy = (proxy: EgressProxy, { url }: Aim): Routed => {
    const place = `${proxy.scheme}://${inBrackets(proxy.host)}:${proxy.port}`;
    const connection = { ...trusted, proxy: { url: place, headers: proxyLogin(proxy) } };
    return {
      ...plainly(url, { key: `${proxy.key} ${proxy.url}`, connection }),
      faultIn: (response) => troubleIn(response, proxy),
      faultOf: (cause) => inWords(proxy, cause, "handshake"),
    };
  };

  return {
    direct: (aim) => (aim.isDetoured ? elsewhere(aim.target, aim) : plainly(aim.url, DIRECT)),
    through: async (proxy, aim) => {
      const isHttp = proxy.scheme === "http" || proxy.scheme === "https";
      const isAsItIs = isHttp && !aim.isEncrypted && !aim.isDetoured;
      return isAsItIs ? byProxy(proxy, aim) : byGate(proxy, aim);
    },
  };
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
