import { plainHeaders } from "../../wire/headers.ts";

// Headers by which a Codex client says who it is and where in its work it stands (upstream.md 2).
const IDENTITY: ReadonlySet<string> = new Set([
  "originator",
  "user-agent",
  "version",
  "session-id",
  "session_id",
  "thread-id",
  "thread_id",
  "conversation_id",
  "x-client-request-id",
  "openai-beta",
]);

const PREFIXES = ["x-codex-", "x-openai-", "x-oai-", "x-responsesapi-"];

// Among those prefixes too: what lets somebody in stays here.
const SECRET = /authorization|cookie|api-?key|secret|password/;

/** Whether a Codex client is calling: it says so, or it sends headers that only Codex sends. */
export function isNativeClient(headers: Headers): boolean {
  const isCodex = (name: string) => /^codex/i.test(headers.get(name) ?? "");
  if (isCodex("originator") || isCodex("user-agent")) return true;
  return Object.keys(plainHeaders(headers)).some((name) => name.startsWith("x-codex-"));
}

/** The client's headers that go upstream with its turn; everything else ends here, keys and cookies above all. */
export function nativeHeaders(headers: Headers): Record<string, string> {
  const kept: Record<string, string> = {};
  const all = plainHeaders(headers);
  for (const name in all) {
    const isWanted = IDENTITY.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix));
    if (isWanted && !SECRET.test(name)) kept[name] = all[name] ?? "";
  }
  return kept;
}
