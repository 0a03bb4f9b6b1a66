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
  for (const [name] of headers) if (name.startsWith("x-codex-")) return true;
  return false;
}

/** The client's headers that go upstream with its turn; everything else ends here, keys and cookies above all. */
export function nativeHeaders(headers: Headers): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (SECRET.test(name)) continue;
    if (IDENTITY.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix))) {
      kept[name] = value;
    }
  }
  return kept;
}
