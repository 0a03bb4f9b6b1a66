import { sha256 } from "../wire/digest.ts";
import { type Dict, dict, isDict, list, number, text } from "../wire/json.ts";
import { formatEvent } from "../wire/sse.ts";
import type { Failure } from "./failure.ts";
import type { Compaction, TurnRequest } from "./request.ts";
import { readStep, type Step } from "./step.ts";

/** The type of the input item that asks for a compaction when it is the last one (upstream.md 3.4). */
export const TRIGGER = "compaction_trigger";

/** The compaction that a body asks for by its last item, as a field of its turn; nothing where it asks for none. */
export function triggered(body: Dict): { readonly compaction?: Compaction } {
  const last = dict(list(body["input"]).at(-1));
  return last["type"] === TRIGGER ? { compaction: { asked: "trigger", way: "trigger" } } : {};
}

/** The input of a body without its trigger. */
export function withoutTrigger(body: Dict): readonly unknown[] {
  const input = list(body["input"]);
  return triggered(body).compaction === undefined ? input : input.slice(0, -1);
}

/** Whether `item` is a compacted conversation, under its present name or its older one. */
export function isCompaction(item: unknown): item is Dict {
  if (!isDict(item) || text(item["encrypted_content"]) === undefined) return false;
  return item["type"] === "compaction" || item["type"] === "compaction_summary";
}

/** Whether `item` is reasoning of the model's, whatever it holds of it. */
export function isReasoning(item: unknown): item is Dict {
  return isDict(item) && item["type"] === "reasoning";
}

/** `output` with its last compaction as the only one, or undefined when it holds none. Clients break off at two. */
export function withOneCompaction(output: unknown): readonly Dict[] | undefined {
  const items = list(output).filter(isDict);
  const only = items.findLast(isCompaction);
  if (only === undefined) return undefined;
  return items
    .filter((item) => item === only || !isCompaction(item))
    .map((item) => (item === only ? identified(item) : item));
}

/** An item of the older form may lack the id that clients look for; one made of its content stays the same. */
function identified(item: Dict): Dict {
  return text(item["id"]) === undefined ? { ...item, id: idOf("cmp", item) } : item;
}

function idOf(prefix: string, compaction: Dict | undefined): string {
  return `${prefix}_${sha256(String(compaction?.["encrypted_content"])).slice(0, 32)}`;
}

/**
 * The failure as it must be read for this turn: a backend that lacks the way by which a compaction was asked for
 * says so in words that would mean the client's mistake anywhere else (cases.md B4-10).
 */
export function readRefusal(failure: Failure, turn: TurnRequest): Failure {
  if (!isUnknownWay(failure, turn)) return failure;
  const message = `The backend does not compact conversations in this way: ${failure.message}`;
  return { ...failure, kind: "unknown-compaction", message };
}

function isUnknownWay(failure: Failure, { compaction, body }: TurnRequest): boolean {
  const { kind, status = 400, code, message, param = "" } = failure;
  if (compaction === undefined || kind !== "bad-request" || code === "model_not_found")
    return false;
  switch (compaction.way) {
    case "endpoint":
      return status === 404 || status === 405 || status === 410;
    case "trigger": {
      if (status !== 400) return false;
      const path = `input[${list(body["input"]).length - 1}]`;
      return `${message} ${param}`.includes(TRIGGER) || param === path || param === `${path}.type`;
    }
  }
}

/**
 * A finished response as the events in which it would have been streamed: opened, each item, completed.
 * Not the backend's own events; what is in them is.
 */
export function lifecycleOf(response: Dict): readonly Step[] {
  let sequence = 0;
  const event = (type: string, data: Dict): Step => {
    const bytes = formatEvent(type, { type, sequence_number: sequence, ...data });
    sequence += 1;
    return readStep({ event: type, bytes });
  };
  const opening = { ...response, status: "in_progress", output: [], usage: null };
  return [
    event("response.created", { response: opening }),
    ...list(response["output"]).flatMap((item, output_index) => [
      event("response.output_item.added", { output_index, item }),
      event("response.output_item.done", { output_index, item }),
    ]),
    event("response.completed", { response }),
  ];
}

/** The fields that OpenAI's schema of a Response requires, for one that the backend did not make. */
export const RESPONSE: Dict = {
  id: "resp_unknown",
  object: "response",
  created_at: 0,
  status: "completed",
  background: false,
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  parallel_tool_calls: true,
  previous_response_id: null,
  store: false,
  temperature: null,
  tool_choice: "auto",
  tools: [],
  top_p: null,
};

/**
 * The events of an answer of the endpoint's, or undefined when it holds no compaction. A client that asked by the
 * endpoint gets the answer itself in the last event; one that asked by a trigger gets a Response with the compaction
 * alone, since it keeps its own messages.
 */
export function readEndpointAnswer(answer: Dict, turn: TurnRequest): readonly Step[] | undefined {
  const output = withOneCompaction(answer["output"]);
  if (output === undefined) return undefined;
  if (turn.compaction?.asked === "endpoint") return lifecycleOf({ ...answer, output });
  const compactions = output.filter(isCompaction);
  return lifecycleOf({
    ...RESPONSE,
    // Of the endpoint's answer only the output is certain, and without an id the Codex CLI takes no Response.
    id: text(answer["id"]) ?? idOf("resp", compactions[0]),
    created_at: number(answer["created_at"]) ?? RESPONSE["created_at"],
    model: turn.model,
    output: compactions.map((item) => ({ ...item, type: "compaction" })),
    usage: answer["usage"] ?? null,
  });
}

/** Whether the conversation that a body holds was compacted before. */
export function holdsCompaction(body: Dict): boolean {
  return list(body["input"]).some(isCompaction);
}
