import { randomBytes } from "node:crypto";
import { type Dict, dict, list } from "../../../src/wire/json.ts";
import { formatEvent } from "../../../src/wire/sse.ts";
import { type Limits, type LimitsShape, limitsEvent } from "./limits.ts";
import { seal } from "./tokens.ts";

/** Variants of the stream that every turn of a backend shares. */
export type StreamStyle = {
  /** A `codex.rate_limits` event after the opening. */
  readonly hasLimitsEvent: boolean;
  /** The terminal event repeats the items; the real backend leaves `output` empty. */
  readonly fullOutput: boolean;
  readonly keepalives: boolean;
  readonly obfuscation: boolean;
  readonly unknownEvents: boolean;
};

/** What a turn is made from. */
export type TurnScene = {
  readonly body: Dict;
  readonly bodyBytes: number;
  /** The conversation was seen before on this account, so most of the input counts as cached. */
  readonly isCached: boolean;
  readonly account: string;
  readonly limits: Limits;
  readonly limitsShape: LimitsShape;
  readonly style: StreamStyle;
  readonly nowMs: number;
};

/** Usage of a turn that did nothing. */
export const EMPTY_USAGE = usage(0, 0, 0, 0);

function usage(input: number, cached: number, output: number, reasoning: number): Dict {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}

/** Usage by the rule of thumb of four bytes a token. */
export function usageFor(
  scene: Pick<TurnScene, "bodyBytes" | "isCached">,
  outputBytes: number,
): Dict {
  const input = Math.ceil(scene.bodyBytes / 4);
  const cached = scene.isCached ? Math.floor((input * 0.9) / 128) * 128 : 0;
  return usage(input, cached, Math.max(1, Math.ceil(outputBytes / 4)), 5);
}

/** Collects the frames of one stream and knows where it is. */
export type Stream = {
  readonly frames: Uint8Array[];
  readonly send: (event: Dict) => void;
  readonly open: () => void;
  readonly reasoning: () => void;
  /** A message with `words`; `share` is how much of its text is sent, and below 1 the item stays open. */
  readonly message: (words: string, share?: number) => void;
  readonly item: (item: Dict) => void;
  /** Ends an item that `message` left open. */
  readonly endItem: () => void;
  readonly close: (facts?: Dict) => void;
  readonly fail: (code: string, message: string) => void;
  readonly nextIndex: () => number;
  readonly id: string;
};

/** A stream with nothing in it yet. */
export function openStream(scene: TurnScene): Stream {
  const { body, style } = scene;
  const id = randomBytes(12).toString("hex");
  const frames: Uint8Array[] = [];
  const output: Dict[] = [];
  const response = responseObject(`resp_${id}`, scene);
  let sequence = 0;
  let outputBytes = 0;
  let openItem: Dict | undefined;

  const send = (event: Dict): void => {
    const type = String(event["type"]);
    frames.push(formatEvent(type, { type, sequence_number: sequence, ...event }));
    sequence += 1;
  };
  const delta = (event: Dict): void => {
    send(style.obfuscation ? { ...event, obfuscation: obfuscate(sequence) } : event);
  };
  const keepalive = (): void => {
    if (style.keepalives) send({ type: "keepalive" });
  };
  const added = (item: Dict): void => {
    send({ type: "response.output_item.added", output_index: output.length, item });
  };
  const done = (item: Dict): void => {
    send({ type: "response.output_item.done", output_index: output.length, item });
    output.push(item);
  };
  const textDone = (item_id: string, words: string): Dict => {
    const at = { item_id, output_index: output.length, content_index: 0 };
    const part = { type: "output_text", annotations: [], logprobs: [], text: words };
    send({ type: "response.output_text.done", ...at, text: words, logprobs: [] });
    send({ type: "response.content_part.done", ...at, part });
    return part;
  };

  const message = (words: string, share = 1): void => {
    const item_id = `msg_${id}${output.length}`;
    const item = { id: item_id, type: "message", role: "assistant", phase: "final_answer" };
    added({ ...item, status: "in_progress", content: [] });
    const at = { item_id, output_index: output.length, content_index: 0 };
    const empty = { type: "output_text", annotations: [], logprobs: [], text: "" };
    send({ type: "response.content_part.added", ...at, part: empty });
    const pieces = piecesOf(words);
    const half = Math.ceil(pieces.length / 2);
    const sent = pieces.slice(0, Math.ceil(pieces.length * share));
    for (const [number, piece] of sent.entries()) {
      if (number === half) keepalive();
      delta({ type: "response.output_text.delta", ...at, delta: piece, logprobs: [] });
    }
    const text = sent.join("");
    outputBytes += text.length;
    openItem = { ...item, text };
    if (share === 1) endMessage("completed");
  };
  const endMessage = (status: string): void => {
    if (!openItem) return;
    const { text, ...item } = openItem;
    openItem = undefined;
    done({ ...item, status, content: [textDone(String(item["id"]), String(text))] });
  };

  const call = (item: Dict, field: "arguments" | "input", prefix: string): void => {
    const at = { item_id: item["id"], output_index: output.length };
    const content = String(item[field]);
    added({ ...item, status: "in_progress", [field]: "" });
    for (const piece of piecesOf(content)) {
      delta({ type: `response.${prefix}.delta`, ...at, delta: piece });
    }
    send({ type: `response.${prefix}.done`, ...at, [field]: content });
    outputBytes += content.length;
    done({ ...item, status: "completed" });
  };

  const reasoning = (item: Dict): void => {
    const item_id = String(item["id"]);
    added({ id: item_id, type: "reasoning", summary: [] });
    for (const [summary_index, each] of list(item["summary"]).entries()) {
      const text = String(dict(each)["text"]);
      const at = { item_id, output_index: output.length, summary_index };
      const empty = { type: "summary_text", text: "" };
      send({ type: "response.reasoning_summary_part.added", ...at, part: empty });
      for (const piece of piecesOf(text)) {
        delta({ type: "response.reasoning_summary_text.delta", ...at, delta: piece });
      }
      send({ type: "response.reasoning_summary_text.done", ...at, text });
      const part = { type: "summary_text", text };
      send({ type: "response.reasoning_summary_part.done", ...at, part });
    }
    done(item);
  };

  return {
    id,
    frames,
    send,
    message,
    nextIndex: () => output.length,
    open: () => {
      send({ type: "response.created", response });
      send({ type: "response.in_progress", response });
      if (style.hasLimitsEvent) send(limitsEvent(scene.limits, scene.limitsShape, scene.nowMs));
      if (style.unknownEvents) {
        send({ type: "response.metadata", headers: {}, metadata: {} });
        send({ type: "response.news_from_the_future", note: { any: ["thing"] } });
      }
      keepalive();
    },
    reasoning: () => {
      const wantsSecret = list(body["include"]).includes("reasoning.encrypted_content");
      reasoning({
        id: `rs_${id}${output.length}`,
        type: "reasoning",
        ...(wantsSecret ? { encrypted_content: seal(scene.account) } : {}),
        summary: [{ type: "summary_text", text: "**Thinking it over**" }],
      });
    },
    item: (given) => {
      const item = { id: `item_${id}${output.length}`, ...given };
      switch (given["type"]) {
        case "message":
          return message(textOf(given["content"]));
        case "reasoning":
          return reasoning(item);
        case "function_call":
          return call(item, "arguments", "function_call_arguments");
        case "custom_tool_call":
          return call(item, "input", "custom_tool_call_input");
        default:
          added(item);
          return done(item);
      }
    },
    endItem: () => endMessage("incomplete"),
    close: (facts = {}) => {
      const status = String(facts["status"] ?? "completed");
      const told = style.fullOutput ? output : [];
      const finished = { ...response, status, output: told, usage: usageFor(scene, outputBytes) };
      send({ type: `response.${status}`, response: { ...finished, ...facts } });
    },
    fail: (code, words) => {
      const failed = { ...response, status: "failed", error: { code, message: words } };
      send({ type: "response.failed", response: failed });
    },
  };
}

function responseObject(id: string, { body, account, nowMs }: TurnScene): Dict {
  const reasoning = dict(body["reasoning"]);
  return {
    id,
    object: "response",
    created_at: Math.floor(nowMs / 1000),
    status: "in_progress",
    background: false,
    error: null,
    incomplete_details: null,
    instructions: body["instructions"] ?? null,
    max_output_tokens: null,
    model: body["model"],
    output: [],
    parallel_tool_calls: body["parallel_tool_calls"] ?? true,
    previous_response_id: null,
    prompt_cache_key: body["prompt_cache_key"] ?? null,
    reasoning: {
      effort: reasoning["effort"] ?? "medium",
      summary: reasoning["summary"] ?? null,
    },
    safety_identifier: `user-${account}`,
    service_tier: body["service_tier"] ?? "auto",
    store: false,
    temperature: 1,
    text: { format: { type: "text" }, verbosity: "low", ...dict(body["text"]) },
    tool_choice: body["tool_choice"] ?? "auto",
    tools: [],
    top_p: 1,
    truncation: "disabled",
    usage: null,
    user: null,
    metadata: {},
  };
}

/** The text of a content list, or of a plain string. */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  return list(content)
    .map((part) => dict(part)["text"])
    .filter((words) => typeof words === "string")
    .join("\n");
}

/** `text` in the portions in which a model would say it: a word with the space before it. */
function piecesOf(text: string): readonly string[] {
  return text.match(/\s*\S+|\s+$/g) ?? [];
}

function obfuscate(sequence: number): string {
  return "q3Xv9ZkL0aWc7RtY".slice(0, 4 + (sequence % 12));
}
