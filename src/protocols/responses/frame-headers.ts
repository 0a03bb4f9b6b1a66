import type { Dict } from "../../wire/json.ts";

/** A `client_metadata` taken apart: what stands for headers of the turn, and the rest. */
export type SplitMetadata = {
  /** Lower-case names; only values that can stand in a header. */
  readonly headers: Readonly<Record<string, string>>;
  readonly metadata: Dict;
};

/**
 * Reads the headers that a turn over a WebSocket brings in its `client_metadata`. What Codex sends there only because
 * it has no headers (`ws_request_header_x_openai_internal_codex_responses_lite`, the turn's sticky token) leaves the
 * body; what it sends in both places over HTTP stays in both.
 */
export function splitMetadata(given: Dict): SplitMetadata {
  const headers: Record<string, string> = {};
  const metadata: { [name: string]: unknown } = {};
  for (const [name, value] of Object.entries(given)) {
    const isPrefixed = name.startsWith(PREFIX);
    const isHeaderOnly = isPrefixed || name === TURN_STATE;
    if (!isHeaderOnly) metadata[name] = value;
    if (!isHeaderOnly && !BOTH.has(name)) continue;
    const header = isPrefixed ? name.slice(PREFIX.length).replaceAll("_", "-") : name;
    const words = typeof value === "string" ? headerValue(value) : undefined;
    if (words !== undefined && HEADER_NAME.test(header)) headers[header.toLowerCase()] = words;
  }
  return { headers, metadata };
}

/**
 * The headers of one turn: those of the handshake, and over them the turn's own, because one connection serves many
 * turns. What concerns the handshake alone is left out, the sticky token of the turn that opened the connection
 * among it; a later turn brings its own.
 */
export function turnHeaders(
  handshake: Headers,
  own: Readonly<Record<string, string>>,
  model: string,
): Headers {
  const headers = new Headers(handshake);
  for (const [name] of handshake) {
    if (OF_HANDSHAKE.has(name) || name.startsWith("sec-websocket-")) headers.delete(name);
  }
  const betas = (handshake.get("openai-beta") ?? "").split(",").map((beta) => beta.trim());
  const kept = betas.filter((beta) => beta !== "" && !beta.startsWith("responses_websockets"));
  if (kept.length > 0) headers.set("openai-beta", kept.join(", "));
  else headers.delete("openai-beta");
  // It names the model that the connection was opened for.
  const hint = handshake.get("x-codex-routing-hint")?.split(";")[0];
  if (hint !== `model=${model}`) headers.delete("x-codex-routing-hint");
  for (const [name, value] of Object.entries(own)) headers.set(name, value);
  return headers;
}

const TURN_STATE = "x-codex-turn-state";

// Before the name of a header, whose dashes are underscores then (Codex CLI 0.169.0).
const PREFIX = "ws_request_header_";

// Entries of the body that Codex sends as headers too where it speaks HTTP.
const BOTH: ReadonlySet<string> = new Set([
  "x-codex-turn-metadata",
  "x-codex-window-id",
  "x-codex-parent-thread-id",
  "x-openai-subagent",
]);

const OF_HANDSHAKE: ReadonlySet<string> = new Set([
  "connection",
  "upgrade",
  "host",
  "origin",
  "content-length",
  "transfer-encoding",
  TURN_STATE,
]);

const HEADER_NAME = /^[A-Za-z0-9-]+$/;

/**
 * The value as it can stand in a header, or undefined. Letters beyond ASCII are written as JSON escapes: where such
 * values hold any (paths in the turn's metadata), they are JSON.
 */
function headerValue(value: string): string | undefined {
  const plain = value.replace(/[\u007f-\uffff]/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return /^[ -~]+$/.test(plain) ? plain : undefined;
}
