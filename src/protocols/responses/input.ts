import { type ToolNames, wireCallId } from "../../turn/names.ts";
import { type Dict, isDict, list, text } from "../../wire/json.ts";
import { flatMapSame, mapSame, withField } from "./edit.ts";
import { BRINGING_TOOLS, renameItem } from "./rename.ts";
import { wireTools } from "./tools.ts";

/** An input as a list of items: a plain string is one message of the user's. */
export function itemsOf(input: unknown): readonly unknown[] {
  if (typeof input !== "string") return list(input);
  const content = [{ type: "input_text", text: input }];
  return [{ type: "message", role: "user", content }];
}

/**
 * Items as the backend takes them; the very same list where it would take all as they are. An item of a type that
 * nobody knows goes through untouched.
 */
export function wireItems(
  items: readonly unknown[],
  names: ToolNames,
  isNative: boolean,
): readonly unknown[] {
  return flatMapSame(items, (item) => {
    if (!isDict(item)) return [item];
    const named = shorten(renameItem(withTools(item, names, isNative), names.toWire));
    const message = asDeveloper(named);
    return isNative ? [message] : asStateless(withRightParts(message));
  });
}

/** The tools that an item brings along, as the backend takes them. */
function withTools(item: Dict, names: ToolNames, isNative: boolean): Dict {
  const { tools } = item;
  if (!BRINGING_TOOLS.has(item["type"]) || !Array.isArray(tools)) return item;
  return withField(item, "tools", wireTools(tools, names, isNative));
}

// The backend's limit for ids of items (upstream.md 3.2).
const LONGEST_ID = 64;

// The items whose fields are known; what an unknown item may hold is not ours to judge.
const KNOWN = /^(?:message|reasoning|\w+_call|\w+_output)$/;

/** An item without ids that are too long: a call's id is exchanged for a hash, the item's own is not needed. */
function shorten(item: Dict): Dict {
  if (!KNOWN.test(text(item["type"]) ?? (isMessage(item) ? "message" : ""))) return item;
  const { call_id: callId, id } = item;
  const called = typeof callId === "string" ? withField(item, "call_id", wireCallId(callId)) : item;
  if (typeof id !== "string" || id.length <= LONGEST_ID) return called;
  const { id: _long, ...rest } = called;
  return rest;
}

function isMessage({ type, role }: Dict): boolean {
  return type === "message" || (type === undefined && typeof role === "string");
}

/** The backend refuses system messages; `developer` is its word for them. Parts keep their place and order. */
function asDeveloper(item: Dict): Dict {
  if (item["role"] !== "system") return item;
  const { content } = item;
  if (!Array.isArray(content)) return { ...item, role: "developer" };
  const parts = content.map((part: unknown) =>
    isDict(part) && part["type"] === "text" ? { ...part, type: "input_text" } : part,
  );
  return { ...item, role: "developer", content: parts };
}

const WORDS: ReadonlySet<unknown> = new Set(["text", "input_text", "output_text"]);

/** A message whose parts of text have the type that its role wants: clients that also speak Chat mix them up. */
function withRightParts(item: Dict): Dict {
  const { content, role } = item;
  if (!isMessage(item) || !Array.isArray(content)) return item;
  const type = role === "assistant" ? "output_text" : "input_text";
  const parts = mapSame(content, (part) =>
    isDict(part) && WORDS.has(part["type"]) ? withField(part, "type", type) : part,
  );
  return withField(item, "content", parts);
}

/** Reasoning as a store-less backend takes it: no id to look up, and nothing at all without its ciphertext. */
function asStateless(item: Dict): readonly unknown[] {
  if (item["type"] !== "reasoning") return [item];
  if (text(item["encrypted_content"]) === undefined) return [];
  const { id: _id, ...rest } = item;
  return [Array.isArray(rest["summary"]) ? rest : { ...rest, summary: [] }];
}
