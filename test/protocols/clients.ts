import type { Exchange, Protocol } from "../../src/protocols/protocol.ts";
import { SEED_CATALOG } from "../../src/turn/catalog.ts";
import { resolveModel } from "../../src/turn/model.ts";
import { type Dict, dict, list, text } from "../../src/wire/json.ts";

/** A client whose answers are kept beside the recorded turns: how it asks, and how it tells one end from another. */
export type Client = {
  /** The protocol that it speaks, by its name in the registry. */
  readonly protocol: string;
  /** Its goldens are `<golden>.sse` and `<golden>.json`. */
  readonly golden: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly request: Dict;
  /** Whether it ever asks for an answer in one piece; the Codex CLI does not. */
  readonly readsBodies: boolean;
  /** Whether an event says that the turn has ended properly. */
  readonly isFinish: (event: Dict) => boolean;
  /** Whether an event says that the turn has failed. */
  readonly isFailure: (event: Dict) => boolean;
  /** What closes a stream that has ended properly, and no other. */
  readonly closing: string;
  /** What is wrong with a stream's events, besides how it ends. */
  readonly faultsIn: (events: readonly Dict[]) => readonly string[];
};

const RESPONSES = {
  closing: "",
  isFinish: ({ type }) => type === "response.completed" || type === "response.incomplete",
  isFailure: ({ type }) => type === "response.failed",
  faultsIn: unorderedNumbers,
} as const satisfies Partial<Client>;

/** A client for each protocol, and two for Responses: a Codex client is answered in its own way. */
export const CLIENTS: readonly Client[] = [
  {
    ...RESPONSES,
    protocol: "responses",
    golden: "responses",
    headers: {},
    request: { model: "gpt-5.4", input: "Say hi", stream: true },
    readsBodies: true,
  },
  {
    ...RESPONSES,
    protocol: "responses",
    golden: "responses.native",
    headers: { originator: "codex_exec" },
    request: { model: "gpt-5.4", input: "Say hi", stream: true },
    readsBodies: false,
  },
  {
    ...RESPONSES,
    protocol: "compact",
    golden: "compact",
    headers: {},
    request: { model: "gpt-5.4", input: [{ role: "user", content: "Say hi" }], stream: true },
    readsBodies: true,
  },
  {
    protocol: "chat",
    golden: "chat",
    headers: {},
    request: {
      model: "gpt-5.4",
      messages: [{ role: "user", content: "Say hi" }],
      stream: true,
      stream_options: { include_usage: true },
    },
    readsBodies: true,
    closing: "data: [DONE]\n\n",
    isFinish: (event) =>
      list(event["choices"]).some((choice) => text(dict(choice)["finish_reason"]) !== undefined),
    isFailure: (event) => "error" in event,
    faultsIn: strayChunks,
  },
  {
    protocol: "messages",
    golden: "messages",
    headers: { "anthropic-version": "2023-06-01" },
    request: {
      model: "gpt-5.4",
      max_tokens: 4096,
      messages: [{ role: "user", content: "Say hi" }],
      thinking: { type: "adaptive" },
      stream: true,
    },
    readsBodies: true,
    closing: "",
    isFinish: ({ type }) => type === "message_stop",
    isFailure: ({ type }) => type === "error",
    faultsIn: brokenBlocks,
  },
];

/** The client's request, decoded by its protocol. */
export function exchangeOf(client: Client, protocol: Protocol): Exchange {
  const decoded = protocol.decode({
    bytes: new TextEncoder().encode(JSON.stringify(client.request)),
    headers: new Headers(client.headers),
    resolve: (model) => resolveModel(model, SEED_CATALOG, []),
    scope: "",
  });
  if (!decoded.ok) throw new Error(decoded.failure.message);
  return decoded.exchange;
}

/** Responses number their events upwards; private ones of the backend have no number. */
function unorderedNumbers(events: readonly Dict[]): readonly string[] {
  const numbers = events
    .map((event) => event["sequence_number"])
    .filter((at) => typeof at === "number");
  return numbers.flatMap((at, index) => {
    const before = numbers[index - 1] ?? -1;
    return at > before ? [] : [`${at} comes after ${before}`];
  });
}

/** All chunks of a completion belong to one, and a tool call begins with its id, at the next free index. */
function strayChunks(events: readonly Dict[]): readonly string[] {
  const faults: string[] = [];
  const chunks = events.filter((event) => !("error" in event));
  for (const field of ["id", "object", "created", "model"] as const) {
    const values = new Set(chunks.map((chunk) => chunk[field]));
    if (values.size > 1) faults.push(`${field} is ${[...values].join(" and ")}`);
  }
  const deltas = chunks.flatMap(({ choices }) => list(choices)).map((each) => dict(each)["delta"]);
  if (deltas.length > 0 && dict(deltas[0])["role"] !== "assistant") faults.push("nobody speaks");
  let known = 0;
  for (const call of deltas.flatMap((delta) => list(dict(delta)["tool_calls"])).map(dict)) {
    const index = Number(call["index"]);
    if ("id" in call && index !== known) faults.push(`call ${index} begins after ${known}`);
    if ("id" in call) known += 1;
    else if (!(index < known)) faults.push(`call ${index} goes on and never began`);
  }
  return faults;
}

/** A message's blocks come one at a time, numbered from 0, after its beginning, and all are closed before its end. */
function brokenBlocks(events: readonly Dict[]): readonly string[] {
  const said = events.filter(({ type }) => type !== "ping" && type !== "error");
  const faults = said
    .slice(0, 1)
    .flatMap(({ type }) => (type === "message_start" ? [] : [`${type} comes first`]));
  let next = 0;
  let isOpen = false;
  for (const { type, index } of said.slice(1)) {
    const isBegin = type === "content_block_start";
    const isInside = type === "content_block_delta" || type === "content_block_stop";
    if (isInside !== isOpen)
      faults.push(`${type} ${isOpen ? "inside a block" : "outside of any block"}`);
    if ((isBegin || isInside) && index !== next)
      faults.push(`${type} of block ${index}, not ${next}`);
    if (type === "message_start") faults.push("two beginnings");
    if (isBegin) isOpen = true;
    if (type !== "content_block_stop") continue;
    isOpen = false;
    next += 1;
  }
  return isOpen ? [...faults, `block ${next} is never closed`] : faults;
}
