import { type Failure, refuse } from "../../turn/failure.ts";
import type { Millis } from "../../wire/clock.ts";
import { type Dict, isDict, text } from "../../wire/json.ts";
import { itemsOf } from "./input.ts";
import type { ResponseMemory } from "./memory.ts";

/** What is remembered of the caller's earlier turns. */
export type Past = {
  /** All that was said up to and with a response; undefined when it is not known, or no longer. */
  readonly recall: (responseId: string) => readonly unknown[] | undefined;
  /** An item of those turns by its own id. */
  readonly find: (itemId: string) => Dict | undefined;
};

/** What `memory` holds of one caller's turns. */
export function pastOf(memory: ResponseMemory, scope: string, now: Millis): Past {
  return {
    recall: (responseId) => memory.recall(scope, responseId, now),
    find: (itemId) => memory.find(scope, itemId, now),
  };
}

/** A conversation as far as a request tells it. */
export type Conversation = {
  /** The response that the client goes on from. */
  readonly previousId: string | undefined;
  /** What was said up to that response. */
  readonly recalled: readonly unknown[];
  /** What the client says now; items that it referred to are put in. */
  readonly said: readonly unknown[];
};

/**
 * Puts a conversation together out of what the client sends and what it only refers to, because the backend holds
 * nothing itself. A Codex client sends its items whole, so references of its are left alone.
 */
export function gather(body: Dict, past: Past, isNative: boolean): Conversation | Failure {
  const previousId = text(body["previous_response_id"]);
  const recalled = previousId === undefined ? [] : past.recall(previousId);
  if (recalled === undefined) return LOST_RESPONSE;
  const items = itemsOf(body["input"]);
  if (isNative) return { previousId, recalled, said: items };
  const said: unknown[] = [];
  for (const [at, item] of items.entries()) {
    const id = isDict(item) && item["type"] === "item_reference" ? text(item["id"]) : undefined;
    const found = id === undefined ? item : past.find(id);
    if (found === undefined) return lostItem(`input[${at}].id`);
    said.push(found);
  }
  return { previousId, recalled, said };
}

const LOST_RESPONSE = refuse(
  400,
  "previous_response_not_found",
  "This proxy does not hold the response that 'previous_response_id' names, or holds it no longer: send the whole conversation in 'input' instead.",
  "previous_response_id",
);

function lostItem(path: string): Failure {
  const message = `This proxy does not hold the item that '${path}' refers to, or holds it no longer: send the item itself. SDKs do so with 'store: false'.`;
  return refuse(400, "item_not_found", message, path);
}

const PAIRS: ReadonlyMap<unknown, string> = new Map([
  ["function_call", "function_call_output"],
  ["custom_tool_call", "custom_tool_call_output"],
]);

const OUTPUTS: ReadonlySet<unknown> = new Set(PAIRS.values());

// What stands for something that is not in the request, such as calls.
const NOT_WHOLE = /^(?:item_reference|compaction.*|context_compaction)$/;

/**
 * The first call without its output, or output without its call, where the conversation is all in the request: the
 * backend would refuse either.
 */
export function findUnpaired({ recalled, said }: Conversation): Failure | undefined {
  const items = [...recalled, ...said].map((item) => (isDict(item) ? item : {}));
  if (items.some(({ type }) => NOT_WHOLE.test(text(type) ?? ""))) return undefined;
  const keys = new Set(items.map(({ type, call_id }) => `${type} ${call_id}`));
  const calls = new Set(
    items.flatMap(({ type, call_id }) =>
      PAIRS.has(type) ? [`${PAIRS.get(type)} ${call_id}`] : [],
    ),
  );
  for (const [at, { type, call_id: callId }] of items.entries()) {
    const path = at < recalled.length ? undefined : `input[${at - recalled.length}]`;
    const output = PAIRS.get(type);
    if (output !== undefined && !keys.has(`${output} ${callId}`)) {
      return lacksOutput(path, String(type), output, String(callId));
    }
    if (OUTPUTS.has(type) && !calls.has(`${type} ${callId}`)) {
      return lacksCall(path ?? "previous_response_id", String(type));
    }
  }
  return undefined;
}

function lacksOutput(
  path: string | undefined,
  type: string,
  output: string,
  callId: string,
): Failure {
  const message =
    path === undefined
      ? `The response that 'previous_response_id' names waits for the output of its ${type} '${callId}': put a ${output} with that call_id into 'input'.`
      : `'${path}' is a ${type} without an output: put a ${output} with the same call_id after it.`;
  return refuse(400, "missing_tool_output", message, path ?? "input");
}

function lacksCall(path: string, type: string): Failure {
  const message = `'${path}' is a ${type} without its call: put the call with the same call_id before it.`;
  return refuse(400, "missing_tool_call", message, path);
}
