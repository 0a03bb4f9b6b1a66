import type { Failure } from "../../turn/failure.ts";
import type { Json } from "../../wire/json.ts";
import { formatComment } from "../../wire/sse.ts";
import { errorOf } from "../openai-error.ts";
import type { StreamEncoder } from "../protocol.ts";
import { type AnswerOptions, createTeller, type Told } from "./answer.ts";
import { usageOf } from "./usage.ts";

const HEARTBEAT = formatComment("ping");
const encoder = new TextEncoder();

/** Writes an answer as `chat.completion.chunk` events, ended by `[DONE]`; one that fails is ended by an error alone. */
export function createStreamEncoder(options: AnswerOptions): StreamEncoder {
  const teller = createTeller(options);
  // What all chunks share is written once: the whole of an object's head, and that with what stands before a delta.
  let head = "";
  let before = "";
  let hasSpoken = false;
  let isOver = false;
  const noUsage = options.wantsUsage ? ',"usage":null' : "";

  const event = (rest: string): string => `data: ${head}${rest}}\n\n`;

  const afterDelta = [',"logprobs":null,"finish_reason":null}]', noUsage, "}\n\n"].join("");

  /** A chunk in the midst of an answer; `delta` is JSON already. */
  const chunk = (delta: string): string => before + delta + afterDelta;

  const lastChunk = (reason: string, more: string): string =>
    `${before}{},"logprobs":null,"finish_reason":${JSON.stringify(reason)}}]${more}${noUsage}}\n\n`;

  /** The first chunk says who speaks. Only an answer in words has any content. */
  const opening = (type: Told["type"]): string => {
    if (hasSpoken) return "";
    hasSpoken = true;
    const content = type === "content" ? '""' : "null";
    return chunk(`{"role":"assistant","content":${content},"refusal":null}`);
  };

  const failed = (failure: Failure): string => {
    isOver = true;
    return `data: ${JSON.stringify({ error: errorOf(failure, options.nowMs()) })}\n\n`;
  };

  const finished = ({ reason, usage, tier }: Told & { readonly type: "finish" }): string => {
    isOver = true;
    const served = tier === undefined ? "" : `,"service_tier":${JSON.stringify(tier)}`;
    const last = `${opening("finish")}${lastChunk(reason, served)}`;
    const counted =
      options.wantsUsage && usage !== undefined
        ? event(`,"choices":[]${served},"usage":${JSON.stringify(usageOf(usage))}`)
        : "";
    return `${last}${counted}data: [DONE]\n\n`;
  };

  const write = (told: Told): string => {
    switch (told.type) {
      case "start":
        head = JSON.stringify({
          id: told.id,
          object: "chat.completion.chunk",
          created: told.createdS,
          model: options.model,
        }).slice(0, -1);
        // `join` makes it one piece in memory; put together by `+` it would be copied piece by piece into each chunk.
        before = ["data: ", head, ',"choices":[{"index":0,"delta":'].join("");
        return "";
      case "finish":
        return finished(told);
      case "fail":
        return failed(told.failure);
      default:
        return `${opening(told.type)}${chunk(deltaOf(told))}`;
    }
  };

  return {
    heartbeat: HEARTBEAT,
    push: (steps) => {
      let text = "";
      for (const step of steps) {
        if (isOver) break;
        for (const told of teller.tell(step)) text += write(told);
      }
      return text === "" ? [] : [encoder.encode(text)];
    },
    fail: (failure) => (isOver ? [] : [encoder.encode(failed(failure))]),
  };
}

type Content = Exclude<Told, { readonly type: "start" | "finish" | "fail" }>;

/** What a chunk brings, as JSON. */
function deltaOf(told: Content): string {
  switch (told.type) {
    case "content":
      return `{"content":${JSON.stringify(told.text)}}`;
    case "reasoning":
      return `{"reasoning_content":${JSON.stringify(told.text)}}`;
    case "refusal":
      return `{"refusal":${JSON.stringify(told.text)}}`;
    case "call":
      return JSON.stringify(beginningOf(told));
    case "input":
      return JSON.stringify(inputOf(told));
    case "annotation":
      return JSON.stringify({ annotations: [told.annotation] });
    case "image":
      return JSON.stringify({ images: [{ type: "image_url", image_url: { url: told.url } }] });
  }
}

function beginningOf({ index, form, id, name }: Told & { readonly type: "call" }): Json {
  const called = { name, arguments: "" };
  const custom = { name, input: "" };
  switch (form) {
    case "legacy":
      return { function_call: called };
    case "function":
      return { tool_calls: [{ index, id, type: "function", function: called }] };
    case "custom":
      return { tool_calls: [{ index, id, type: "custom", custom }] };
    case "flat":
      return { tool_calls: [{ index, id, type: "custom", custom, function: called }] };
  }
}

function inputOf({ index, form, text }: Told & { readonly type: "input" }): Json {
  switch (form) {
    case "legacy":
      return { function_call: { arguments: text } };
    case "function":
      return { tool_calls: [{ index, function: { arguments: text } }] };
    case "custom":
      return { tool_calls: [{ index, custom: { input: text } }] };
    case "flat":
      return { tool_calls: [{ index, custom: { input: text }, function: { arguments: text } }] };
  }
}
