import { inBrackets, readEndpoint } from "./endpoint.ts";
import type { Verdict } from "./rules.ts";

/** The ports of proxies whose URL names none: that of the scheme, as in the URL standard, and SOCKS's own (RFC 1928). */
const PORTS = { http: 80, https: 443, socks5: 1080, socks5h: 1080 } as const;

/** How a proxy is spoken to. `socks5h` has it resolve the names of hosts, `socks5` is given addresses. */
export type ProxyScheme = keyof typeof PORTS;

/** Where its owner has written a proxy down: in the configuration, or in an account's file. */
export type ProxyKey = "proxy-url" | "proxy_url";

/** A proxy that requests leave through. */
export type EgressProxy = {
  readonly scheme: ProxyScheme;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  readonly login?: { readonly user: string; readonly password: string };
  readonly key: ProxyKey;
  /** As it was written, which tells one way out from another. It holds the password: never shown. */
  readonly url: string;
};

/** A proxy, or what is wrong with its URL. Neither text ever quotes what may be a user or a password. */
export type ProxyReading =
  | { readonly ok: true; readonly proxy: EgressProxy }
  | { readonly ok: false; readonly found: string; readonly hint?: string };

/** What a proxy's URL may be, in words. */
export const ALLOWED_PROXY =
  "http://host:port, https://host:port, socks5://host:port or socks5h://host:port, with user:password@ before the host where the proxy wants a login";

const URL_FORM = /^([a-z][a-z0-9+.-]*):\/\/(?:(.*)@)?([^@]*)$/is;

/** Reads the URL of a proxy. */
export function readProxy(text: string, key: ProxyKey): ProxyReading {
  const [, named, login, rest = ""] = URL_FORM.exec(text) ?? [];
  if (named === undefined) return fault("a text without a scheme", "begin with socks5h://");
  const scheme = named.toLowerCase();
  if (!isScheme(scheme)) return fault(`the scheme ${shownScheme(scheme)}`);
  if (/[/?#\\]/.test(login ?? "")) {
    return fault(
      "a / ? # or \\ before the @",
      "write them as %2F %3F %23 %5C in user and password",
    );
  }
  if (/[?#]/.test(rest)) return fault("a URL with a query or fragment");
  const place = rest.replace(/\/$/, "");
  if (/[/\\]/.test(place)) return fault("a URL with a path");
  if (/^[^[]*:[^[]*:/.test(place)) {
    return fault("a URL whose host or port cannot be read", "an IPv6 address goes into brackets");
  }
  const endpoint = readEndpoint(place);
  if (endpoint === undefined) return fault("a URL whose host or port cannot be read");
  const read = readUser(login, scheme);
  if ("found" in read) return read;
  const { host, port = PORTS[scheme] } = endpoint;
  return { ok: true, proxy: { scheme, host, port, ...read, key, url: text } };
}

/** The same as a rule of the configuration. */
export function proxyUrl(text: string): Verdict {
  const reading = readProxy(text, "proxy-url");
  return reading.ok ? { ok: true, value: text } : reading;
}

/** A proxy as people may see it: without user and password. */
export function showProxy({ scheme, host, port }: EgressProxy): string {
  return `${scheme}://${inBrackets(host)}:${port}`;
}

type Refused = Extract<ProxyReading, { readonly ok: false }>;

// RFC 1929: each length is one byte.
const MOST_SOCKS_BYTES = 255;

function readUser(
  written: string | undefined,
  scheme: ProxyScheme,
): Pick<EgressProxy, "login"> | Refused {
  if (written === undefined || written === "") return {};
  const colon = written.indexOf(":");
  const user = decoded(colon < 0 ? written : written.slice(0, colon));
  const password = decoded(colon < 0 ? "" : written.slice(colon + 1));
  if (user === undefined || password === undefined) {
    return fault("a % in user or password that begins no code", "write a percent sign as %25");
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(user + password)) {
    return fault("a control character in user or password");
  }
  if (scheme === "socks5" || scheme === "socks5h") {
    if (user === "") return fault("a password without a user");
    const isLong = [user, password].some((part) => Buffer.byteLength(part) > MOST_SOCKS_BYTES);
    if (isLong) return fault(`a user or password of more than ${MOST_SOCKS_BYTES} bytes`);
  } else if (user.includes(":")) {
    return fault("a colon in the user", "HTTP proxies cannot be told such a user");
  }
  return { login: { user, password } };
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function isScheme(name: string): name is ProxyScheme {
  return Object.hasOwn(PORTS, name);
}

/** What stands before `://` may be anything, but nothing that is longer than a scheme's name is one. */
function shownScheme(name: string): string {
  return name.length <= 12 ? name : "of that name";
}

function fault(found: string, hint?: string): Refused {
  return { ok: false, found, ...(hint === undefined ? {} : { hint }) };
}
