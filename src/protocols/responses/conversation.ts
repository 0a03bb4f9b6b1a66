import { type Failure, refuse } from "../../turn/failure.ts";
import type { Millis } from "../../wire/clock.ts";
import { type Dict, isDict, text } from "../../wire/json.ts";
import type { Call, Conversation } from "../protocol.ts";
import { itemsOf } from "./input.ts";
import type { RememberedTurn, ResponseMemory } from "./memory.ts";

/** What is remembered of the caller's earlier turns. */
export type Past = {
  /** All that was said up to and with a response; undefined when it is not known, or no longer. */
  readonly recall: (responseId: string) => readonly unknown[] | undefined;
  /** An item of those turns by its own id. */
  readonly find: (itemId: string) => Dict | undefined;
};

/** What `memory` holds of one caller's turns; a connection that remembers turns itself is asked for those instead. */
export function pastOf(
  memory: ResponseMemory,
  { scope, recall }: Pick<Call, "scope" | "recall">,
  now: Millis,
): Past {
  return {
    recall: recall ?? ((responseId) => memory.recall(scope, responseId, now)),
    find: (itemId) => memory.find(scope, itemId, now),
  };
}

// A request of more than this is hardly anything but its input, and too large to be measured anew.
const MUCH_BYTES = 1_048_576;

/**
 * What must be kept of a request to go on from its answer: what was said now, or all of it, where the response before
 * is not held. `sentBytes` is the size of the request.
 */
export function rememberedOf(
  { previousId, recalled, said }: Conversation,
  sentBytes: number,
  isHeld: (responseId: string) => boolean,
): RememberedTurn {
  if (previousId !== undefined && !isHeld(previousId)) {
    const items = [...recalled, ...said];
    return { previousId: undefined, items, bytes: sizeOf(items) };
  }
  const bytes = sentBytes > MUCH_BYTES ? sentBytes : sizeOf(said);
  return { previousId, items: said, bytes };
}

function sizeOf(items: readonly unknown[]): number {
  return JSON.stringify(items).length;
}

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
