import { codeOf, describeTls } from "./trouble.ts";

/** Whether the server has got a request that found no answer. */
export type Reach =
  /** It has not. */
  | "no"
  /** It has given it back, and says that it has not worked on it, or leaves that open. */
  | "unworked"
  /** Nobody can tell. */
  | "perhaps";

// Nothing is sent before a connection is there.
const UNREACHED: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

// A refused stream has not been worked on (RFC 9113, 8.7). Of a GOAWAY the runtime does not tell up to which stream it
// was worked on; the product has those sent again that were not answered.
const UNWORKED: ReadonlySet<string> = new Set([
  "HTTP2RefusedStream",
  "HTTP2GoAway",
  "HTTP2Unsupported",
]);

/** What is known of a request that found no answer because of `cause`. */
export function reachOf(cause: unknown): Reach {
  const code = codeOf(cause);
  if (UNWORKED.has(code)) return "unworked";
  // Nor is anything sent before the server has proved to be the one.
  return UNREACHED.has(code) || describeTls(code) !== undefined ? "no" : "perhaps";
}
