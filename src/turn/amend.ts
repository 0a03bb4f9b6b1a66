import { type Dict, isDict, list } from "../wire/json.ts";
import type { TurnRequest } from "./request.ts";

const encoder = new TextEncoder();

/** The bytes of a body that had to be changed. */
export function encodeBody(body: Dict): Uint8Array<ArrayBuffer> {
  return encoder.encode(JSON.stringify(body));
}

// What a turn says: without any of these it would be another one.
const ESSENTIAL: ReadonlySet<string> = new Set([
  "conversation",
  "input",
  "instructions",
  "model",
  "previous_response_id",
  "prompt",
  "tools",
]);

/** The turn without one top-level parameter, or undefined when it has none of that name or is another one without it. */
export function withoutParameter(turn: TurnRequest, name: string): TurnRequest | undefined {
  if (!Object.hasOwn(turn.body, name) || ESSENTIAL.has(name)) return undefined;
  const { [name]: _gone, ...body } = turn.body;
  return { ...turn, body, bytes: encodeBody(body), removed: [...turn.removed, name] };
}

/**
 * The turn without reasoning that only another account could read, or undefined when there is none.
 * The whole item goes: without its ciphertext the backend would look for it by id and not find it.
 * What was said and called stays; only the model's earlier thoughts are lost.
 */
export function withoutForeignReasoning(turn: TurnRequest): TurnRequest | undefined {
  const input = list(turn.body["input"]);
  const kept = input.filter((item) => !(isDict(item) && item["type"] === "reasoning"));
  if (kept.length === input.length) return undefined;
  const body = { ...turn.body, input: kept };
  return { ...turn, body, bytes: encodeBody(body), removed: [...turn.removed, "input.reasoning"] };
}
