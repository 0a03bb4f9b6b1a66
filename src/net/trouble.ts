import { inBrackets } from "../config/endpoint.ts";
import { type EgressProxy, showProxy } from "../config/proxy-url.ts";
import { redact } from "../wire/log.ts";

/** Where a connection is to end: a name or an address without brackets, and a port. */
export type Target = {
  readonly host: string;
  readonly port: number;
  /** What people call it, where the host is an address that was found for that. */
  readonly name?: string;
};

/**
 * A request did not get out, because of the proxy that it must go through. The message is for people: it names the
 * proxy without its login, what it did, and what to do about it.
 */
export class EgressError extends Error {
  override readonly name = "EgressError";
  /** The proxy works, but cannot reach where the connection was to end. */
  readonly isAtTarget: boolean;

  constructor(message: string, { isAtTarget = false }: { readonly isAtTarget?: boolean } = {}) {
    super(message);
    this.isAtTarget = isAtTarget;
  }
}

/** A proxy's trouble: what it does, in words that go on from its name, and what its owner can do. */
export function proxyTrouble(proxy: EgressProxy, what: string, todo: string): EgressError {
  return new EgressError(`${nameOf(proxy)} ${what}. ${todo}`);
}

/** A proxy that says why it cannot reach a target. */
export function targetTrouble(proxy: EgressProxy, target: Target, said: string): EgressError {
  const { host, port, name } = target;
  const where = `${inBrackets(name ?? host)}:${port}${name === undefined ? "" : ` at ${host}`}`;
  const message = `${nameOf(proxy)} did not connect to ${where}. ${said}`;
  return new EgressError(message, { isAtTarget: true });
}

function nameOf(proxy: EgressProxy): string {
  const of = proxy.key === "proxy_url" ? "the account's proxy_url" : "proxy-url";
  return `The egress proxy ${showProxy(proxy)} (${of})`;
}

/** What to do about a proxy that is not there. */
export function startIt({ key }: EgressProxy): string {
  return `Start it, or correct ${key}: nothing is sent around it.`;
}

/** What to do about a server that speaks something else. */
export function correctIt({ key }: EgressProxy): string {
  return `Correct the scheme or the port in ${key}.`;
}

/** A proxy that takes nobody without a login, or not this one. */
export function loginTrouble(proxy: EgressProxy): EgressError {
  return proxy.login === undefined
    ? proxyTrouble(proxy, "wants a login", `Write user:password@ before its host in ${proxy.key}.`)
    : proxyTrouble(proxy, "refuses the user or the password", `Correct them in ${proxy.key}.`);
}

// OpenSSL's verdicts on certificates, and what the runtime calls them.
const CERTIFICATE =
  /^(?:UNABLE_TO_(?:GET|VERIFY|DECRYPT|DECODE)|SELF_SIGNED|DEPTH_ZERO|CERT_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_(?:CA|PURPOSE)|ERROR_IN_CERT)/;
const HANDSHAKE = /^(?:EPROTO$|ERR_SSL_|ERR_TLS_)/;

/** What went wrong with TLS, in words that go on from who was spoken to. */
export type TlsTrouble = { readonly what: string; readonly isCertificate: boolean };

/** What the runtime's code for an error says of TLS; undefined for other codes. */
export function describeTls(code: string): TlsTrouble | undefined {
  if (CERTIFICATE.test(code)) {
    const kind =
      code === "ERR_TLS_CERT_ALTNAME_INVALID" ? "for another name" : "that is not trusted";
    return { what: `has a certificate ${kind} (${code})`, isCertificate: true };
  }
  if (!HANDSHAKE.test(code)) return undefined;
  return { what: `does not speak TLS (${code})`, isCertificate: false };
}

/** How an authority is trusted that the system does not know. */
export const TRUST_IT = "An authority of your own is trusted by its file in NODE_EXTRA_CA_CERTS.";

/** A runtime error's code, as it may be shown. */
export function codeOf(cause: unknown): string {
  const code: unknown = cause instanceof Error ? Reflect.get(cause, "code") : undefined;
  return typeof code === "string" && code !== "" ? redact(code).slice(0, 80) : "no reason given";
}

/** The other side ended in the midst of what it should have said. */
export class EndedError extends Error {
  override readonly name = "EndedError";
}

/** How far it had come with a proxy: not yet connected, or spoken to already. */
export type Stage = "connect" | "handshake";

/** Whatever broke the connection to a proxy, in words for people. */
export function inWords(proxy: EgressProxy, cause: unknown, stage: Stage): EgressError {
  if (cause instanceof EgressError) return cause;
  if (cause instanceof EndedError) {
    const what = "closed the connection before it had answered";
    return proxyTrouble(proxy, what, correctIt(proxy));
  }
  const code = codeOf(cause);
  const tls = describeTls(code);
  if (tls !== undefined) {
    return proxyTrouble(proxy, tls.what, tls.isCertificate ? TRUST_IT : correctIt(proxy));
  }
  const why = REASONS[code];
  if (stage === "handshake" && why === undefined) {
    return proxyTrouble(proxy, `broke the connection off (${code})`, correctIt(proxy));
  }
  const what = `cannot be reached: ${why === undefined ? code : `${why} (${code})`}`;
  return proxyTrouble(proxy, what, startIt(proxy));
}

const REASONS: { readonly [code: string]: string } = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "its name is unknown",
  EAI_AGAIN: "its name cannot be resolved now",
  EHOSTUNREACH: "no way to its host",
  ENETUNREACH: "no way to its network",
  ETIMEDOUT: "no answer",
};
