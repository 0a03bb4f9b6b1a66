/** A runtime error's code; undefined where it has none. */
export function codeOf(cause: unknown): string | undefined {
  const code: unknown = cause instanceof Error ? Reflect.get(cause, "code") : undefined;
  return typeof code === "string" && code !== "" ? code : undefined;
}

/** Whether the server has got a request that found no answer. */
export type Reach =
  /** It has not. */
  | "no"
  /** It has given it back, and says that it has not worked on it, or leaves that open. */
  | "unworked"
  /** Nobody can tell. */
  | "perhaps";

// Nothing is sent before a connection is there, and the server has proved to be the one. What OpenSSL says of
// certificates begins with the words of the second line.
const NO =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_\w+|EHOSTUNREACH|ENETUNREACH|EPROTO|ERR_SSL_\w+|ERR_TLS_\w+|ERR_PROXY_TUNNEL|UnsupportedProxyProtocol|UNABLE_TO_(?:GET|VERIFY|DECRYPT|DECODE)_\w+|SELF_SIGNED_\w+|DEPTH_ZERO_\w+|CERT_\w+|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|ERROR_IN_CERT_\w+)$/;

// A refused stream has not been worked on (RFC 9113, 8.7). Of a GOAWAY the runtime does not tell up to which stream it
// was worked on; the product has those sent again that were not answered.
const UNWORKED: ReadonlySet<string> = new Set([
  "HTTP2RefusedStream",
  "HTTP2GoAway",
  "HTTP2Unsupported",
]);

/** What is known of a request that found no answer because of `cause`. */
export function reachOf(cause: unknown): Reach {
  const code = codeOf(cause) ?? "";
  if (UNWORKED.has(code)) return "unworked";
  return NO.test(code) ? "no" : "perhaps";
}
