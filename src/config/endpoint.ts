/** A place in a network: a host, without brackets, and its port where one was named. */
export type Endpoint = { readonly host: string; readonly port: number | undefined };

const FORM = /^(?:\[([^\]]*)\]|([^:]+))(?::(\d{1,5}))?$/;
// What would end a host, or begin something else, inside a URL.
const NO_HOST = /[\s/?#@\\%[\]]/;

/**
 * Reads `host`, `host:port`, an IPv6 address, or `[IPv6]:port`; undefined when it is none of them. The host comes as
 * URLs have it: in lower case, an address in its shortest form, an international name in ASCII.
 */
export function readEndpoint(text: string): Endpoint | undefined {
  const bare = hostOf(`[${text}]`);
  if (bare !== undefined) return { host: bare, port: undefined };
  const [, v6, name, digits] = FORM.exec(text) ?? [];
  if (name !== undefined && NO_HOST.test(name)) return undefined;
  const host = hostOf(v6 === undefined ? (name ?? "") : `[${v6}]`);
  const port = digits === undefined ? undefined : Number(digits);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535))) return undefined;
  return { host, port };
}

function hostOf(written: string): string | undefined {
  const url = `http://${written}/`;
  if (written === "" || !URL.canParse(url)) return undefined;
  const { hostname, username, password, pathname, port } = new URL(url);
  // Whatever of it was taken for something else than a host shows here.
  const isHost = username === "" && password === "" && pathname === "/" && port === "";
  return isHost && hostname !== "" ? withoutBrackets(hostname) : undefined;
}

/** A URL's host as sockets take it: an IPv6 address without its brackets. */
export function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

/** A host as URLs have it: an IPv6 address in brackets. */
export function inBrackets(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
