import { createChat } from "../../../src/protocols/chat/index.ts";
import type { Exchange, Protocol } from "../../../src/protocols/protocol.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import type { Failure } from "../../../src/turn/failure.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import { readStep, type Step } from "../../../src/turn/step.ts";
import { type Dict, dict, list } from "../../../src/wire/json.ts";
import { formatEvent } from "../../../src/wire/sse.ts";
import { eventsIn, joinAll, NOON, portsOf } from "../turns.ts";

/** What a request may come with beside its body. */
export type Asking = {
  readonly chat?: Protocol;
  readonly headers?: Readonly<Record<string, string>>;
  readonly scope?: string;
};

/** A fresh Chat protocol, with nothing remembered. */
export function openChat(nowMs: () => number = () => NOON): Protocol {
  return createChat(portsOf(nowMs));
}

function decode(body: Dict | string, asking: Asking) {
  const { chat = openChat(), headers = {}, scope = "" } = asking;
  return chat.decode({
    bytes: new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)),
    headers: new Headers(headers),
    resolve: (model) => resolveModel(model, SEED_CATALOG, []),
    scope,
  });
}

const SAID: Dict = { messages: [{ role: "user", content: "Say hi" }] };

/** A body with a model and, unless it has any words of its own, one message. */
function filled(body: Dict): Dict {
  return { model: "gpt-5.4", ...("messages" in body || "input" in body ? {} : SAID), ...body };
}

/** The exchange for a request; model and message are filled in where it has none. */
export function ask(body: Dict, asking: Asking = {}): Exchange {
  const decoded = decode(filled(body), asking);
  if (!decoded.ok) throw new Error(decoded.failure.message);
  return decoded.exchange;
}

/** What goes to the backend for a request. */
export function sent(body: Dict, asking: Asking = {}): Dict {
  return ask(body, asking).turn.body;
}

/** The items that go to the backend for a conversation. */
export function itemsOf(messages: readonly Dict[], more: Dict = {}): readonly Dict[] {
  return list(sent({ messages, ...more })["input"]).map(dict);
}

/** Why a request is refused. */
export function refusalOf(body: Dict | string, asking: Asking = {}): Failure {
  const decoded = decode(typeof body === "string" ? body : filled(body), asking);
  if (decoded.ok) throw new Error("The request was taken.");
  return decoded.failure;
}

/** A step out of an event's name and data. */
export function step(type: string, data: Dict = {}): Step {
  return readStep({ event: type, bytes: formatEvent(type, { type, ...data }) });
}

const CREATED = step("response.created", { response: { id: "resp_7", created_at: 1_795_000_000 } });

/** The steps of a turn that brings `items` whole, one after the other. */
export function turnOf(items: readonly Dict[], response: Dict = {}): readonly Step[] {
  const end = {
    id: "resp_7",
    status: "completed",
    output: [],
    usage: { input_tokens: 10, output_tokens: 5 },
    ...response,
  };
  return [
    CREATED,
    ...items.map((item, at) => step("response.output_item.done", { output_index: at, item })),
    step("response.completed", { response: end }),
  ];
}

/** A message of the model's. */
export function message(text: string, more: Dict = {}): Dict {
  return { type: "message", id: "msg_1", content: [{ type: "output_text", text }], ...more };
}

/** Reasoning that can be sent back. */
export function reasoning(secret: string): Dict {
  return { type: "reasoning", id: `rs_${secret}`, summary: [], encrypted_content: secret };
}

/** A call of a function. */
export function functionCall(callId: string, name = "look_up", words = "{}"): Dict {
  return { type: "function_call", id: `fc_${callId}`, call_id: callId, name, arguments: words };
}

/** A call of a custom tool. */
export function customCall(callId: string, name: string, input: string): Dict {
  return { type: "custom_tool_call", id: `ctc_${callId}`, call_id: callId, name, input };
}

/** The answer in one piece. */
export function bodyOf(exchange: Exchange, steps: readonly Step[]): Dict {
  const encoder = exchange.body();
  encoder.push(steps);
  return dict(encoder.end());
}

/** The bytes of the answer as a stream, each step pushed alone. */
export function streamOf(exchange: Exchange, steps: readonly Step[]): Uint8Array {
  const encoder = exchange.stream();
  return joinAll(steps.flatMap((each) => encoder.push([each])));
}

/** The one choice of a body or of a chunk. */
export function choiceOf(answer: Dict | undefined): Dict {
  return dict(list(answer?.["choices"])[0]);
}

/** The message of a body. */
export function messageOf(body: Dict): Dict {
  return dict(choiceOf(body)["message"]);
}

/** The chunks of a stream that say something, by what they say. */
export function deltasOf(bytes: Uint8Array): readonly Dict[] {
  return eventsIn(bytes)
    .filter((chunk) => list(chunk["choices"]).length > 0)
    .map((chunk) => dict(choiceOf(chunk)["delta"]));
}

type Growing = { [field: string]: unknown };

/** A whole answer put together from the chunks of a stream, in the plain way in which clients do it. */
export function assemble(bytes: Uint8Array): Dict {
  const chunks = eventsIn(bytes);
  const message: Growing = { annotations: [] };
  const calls: Growing[] = [];
  for (const delta of deltasOf(bytes)) {
    for (const [field, piece] of Object.entries(delta)) {
      if (field === "tool_calls") for (const each of list(piece)) extend(calls, dict(each));
      else if (field === "function_call") message[field] = grown(dict(message[field]), dict(piece));
      else message[field] = together(message[field], piece);
    }
  }
  // The first chunk opens an answer in words with none.
  if (message["content"] === "") message["content"] = null;
  if (calls.length > 0) message["tool_calls"] = calls;
  const [{ id, created, model } = {}] = chunks;
  const last = (of: (chunk: Dict) => unknown): unknown =>
    chunks.map(of).findLast((each) => each !== undefined && each !== null);
  const usage = last((chunk) => chunk["usage"]);
  const tier = last((chunk) => chunk["service_tier"]);
  const reason = last((chunk) => choiceOf(chunk)["finish_reason"]);
  return {
    id,
    object: "chat.completion",
    created,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: reason }],
    ...(usage === undefined ? {} : { usage }),
    ...(tier === undefined ? {} : { service_tier: tier }),
  };
}

function together(known: unknown, piece: unknown): unknown {
  if (typeof piece === "string") return `${known ?? ""}${piece}`;
  if (Array.isArray(piece)) return [...list(known), ...piece];
  return known ?? piece;
}

function extend(calls: Growing[], piece: Dict): void {
  const { index, ...fields } = piece;
  const call = calls[Number(index)] ?? {};
  calls[Number(index)] = call;
  for (const [field, value] of Object.entries(fields)) {
    call[field] = typeof value === "string" ? value : grown(dict(call[field]), dict(value));
  }
}

function grown(known: Dict, piece: Dict): Dict {
  const whole: Growing = { ...known };
  for (const [field, value] of Object.entries(piece)) whole[field] = together(whole[field], value);
  return whole;
}
