import type { Session } from "../../turn/request.ts";
import { sha256 } from "../../wire/digest.ts";
import { type Dict, isDict, list, text } from "../../wire/json.ts";

// A key of more characters is refused upstream.
const LONGEST_KEY = 64;

/**
 * The conversation's key: the client's own in the order of product.md 7, else a hash of its first messages,
 * up to and with the first of the user's, which stay the same as the conversation grows.
 */
export function readSession(body: Dict, headers: Headers): Session {
  const named =
    text(body["session_id"]) ??
    text(body["prompt_cache_key"]) ??
    text(headers.get("session-id")) ??
    text(headers.get("session_id")) ??
    text(headers.get("thread-id")) ??
    text(headers.get("thread_id")) ??
    text(headers.get("conversation_id")) ??
    text(body["conversation_id"]);
  if (named !== undefined) return { key: named, isExplicit: true };
  return { key: sha256(firstMessages(body)), isExplicit: false };
}

/** The key as the backend takes it: as it is, or hashed when it is too long. */
export function wireKey(key: string): string {
  return key.length <= LONGEST_KEY ? key : sha256(key);
}

function firstMessages(body: Dict): string {
  const input = list(body["input"]);
  const isUser = (item: unknown) => isDict(item) && item["role"] === "user";
  const end = input.findIndex(isUser);
  const first = end < 0 ? input : input.slice(0, end + 1);
  return JSON.stringify([body["instructions"] ?? "", first]);
}
