import type { Session } from "../turn/request.ts";
import { sha256 } from "../wire/digest.ts";
import { type Dict, isDict, list, text } from "../wire/json.ts";
import type { Call } from "./protocol.ts";

// A key of more characters is refused upstream.
const LONGEST_KEY = 64;

/**
 * The conversation's key: the client's own in the order of product.md 7, else a hash of its first messages,
 * up to and with the first of the user's, which stay the same as the conversation grows. `body` is what the client
 * sent, `conversation` the backend's form of it (`instructions`, `input`) where that is another one. Two callers who begin
 * with the same words do not get one key, since the backend would see one conversation in the two (cases.md B5-8).
 */
export function readSession(
  body: Dict,
  { headers, scope }: Pick<Call, "headers" | "scope">,
  conversation: Dict = body,
): Session {
  const named =
    text(body["session_id"]) ??
    text(body["prompt_cache_key"]) ??
    text(headers.get("session-id")) ??
    text(headers.get("session_id")) ??
    text(headers.get("thread-id")) ??
    text(headers.get("thread_id")) ??
    text(headers.get("conversation_id")) ??
    text(headers.get("x-claude-code-session-id")) ??
    text(body["conversation_id"]);
  if (named !== undefined) return { key: named, isExplicit: true };
  return { key: sha256(`${scope}\n${firstMessages(conversation)}`), isExplicit: false };
}

/** The key as the backend takes it: as it is, or hashed when it is too long or cannot stand in a header. */
export function wireKey(key: string): string {
  return key.length <= LONGEST_KEY && PRINTABLE.test(key) ? key : sha256(key);
}

const PRINTABLE = /^[!-~](?:[ -~]*[!-~])?$/;

function firstMessages(body: Dict): string {
  const { input, instructions } = body;
  // A plain string is the one message there is: without it, all who send strings would share a key.
  const items = typeof input === "string" ? [{ role: "user", content: input }] : list(input);
  const isUser = (item: unknown) => isDict(item) && item["role"] === "user";
  const end = items.findIndex(isUser);
  const first = end < 0 ? items : items.slice(0, end + 1);
  return JSON.stringify([instructions ?? "", first.map(essence)]);
}

/** A message in the one spelling of several that mean the same: clients change it between the turns. */
function essence(item: unknown): unknown {
  if (!isDict(item) || text(item["role"]) === undefined) return item;
  const { role, content } = item;
  const parts = typeof content === "string" ? [{ type: "input_text", text: content }] : content;
  // What is no message, such as a list of tools, has no content.
  return parts === undefined ? item : { role, content: parts };
}
