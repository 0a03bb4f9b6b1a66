import { type Dict, list } from "../wire/json.ts";
import { isReasoning, TRIGGER, withoutTrigger } from "./compaction.ts";
import type { Compaction, TurnRequest } from "./request.ts";

/**
 * The `include` with which reasoning comes with its ciphertext. Nothing is stored upstream: without it, reasoning could
 * not be sent back in the next turn.
 */
export const ENCRYPTED_REASONING = "reasoning.encrypted_content";

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
 * The turn without those of its reasoning items that cannot be read, or undefined when it holds none of them.
 * The whole item goes: without its ciphertext the backend would look for it by id and not find it.
 * What was said and called stays; only the model's earlier thoughts are lost. A compaction stays too: it is the
 * conversation.
 */
export function withoutReasoning(
  turn: TurnRequest,
  isUnreadable: (item: Dict) => boolean,
): TurnRequest | undefined {
  const input = list(turn.body["input"]);
  const kept = input.filter((item) => !(isReasoning(item) && isUnreadable(item)));
  if (kept.length === input.length) return undefined;
  const body = { ...turn.body, input: kept };
  return { ...turn, body, bytes: encodeBody(body), removed: [...turn.removed, "input.reasoning"] };
}

/** The same compaction by the backend's other way, or undefined for a turn that is none. */
export function otherWay(turn: TurnRequest): TurnRequest | undefined {
  const { compaction } = turn;
  if (compaction === undefined) return undefined;
  return compaction.way === "trigger" ? byEndpoint(turn, compaction) : byTrigger(turn, compaction);
}

// What Codex 0.130 sends to the endpoint, which refuses much of what a turn may hold (upstream.md 3.3).
const ENDPOINT_FIELDS: ReadonlySet<string> = new Set([
  "input",
  "instructions",
  "model",
  "parallel_tool_calls",
  "prompt_cache_key",
  "reasoning",
  "text",
  "tools",
]);

/** Fields that are not the client's wishes but the form of a streamed turn: their absence is no loss. */
export const TURN_FORM: ReadonlySet<string> = new Set(["include", "store", "stream"]);

function byEndpoint(turn: TurnRequest, { asked }: Compaction): TurnRequest {
  const names = Object.keys(turn.body);
  const kept = Object.entries(turn.body).filter(([name]) => ENDPOINT_FIELDS.has(name));
  const lost = names.filter((name) => !ENDPOINT_FIELDS.has(name) && !TURN_FORM.has(name));
  const body = { instructions: "", ...Object.fromEntries(kept), input: withoutTrigger(turn.body) };
  return {
    ...turn,
    body,
    bytes: encodeBody(body),
    isFast: false,
    removed: [...turn.removed, ...lost],
    compaction: { asked, way: "endpoint" },
  };
}

const BETA = "x-codex-beta-features";
const TRIGGER_BETA = "remote_compaction_v2";

function byTrigger(turn: TurnRequest, { asked }: Compaction): TurnRequest {
  const body = {
    ...turn.body,
    input: [...list(turn.body["input"]), { type: TRIGGER }],
    store: false,
    stream: true,
    include: [ENCRYPTED_REASONING],
  };
  // The Codex CLI announces the trigger so; a client that knows only the endpoint does not.
  const betas = [turn.headers[BETA], TRIGGER_BETA].filter((beta) => beta !== undefined);
  return {
    ...turn,
    body,
    bytes: encodeBody(body),
    headers: { ...turn.headers, [BETA]: betas.join(",") },
    compaction: { asked, way: "trigger" },
  };
}
