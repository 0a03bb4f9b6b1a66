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
  // What all chunks share is written once.
  let head = "";
  let hasSpoken = false;
  let isOver = false;
  const noUsage = options.wantsUsage ? ',"usage":null' : "";

  const event = (rest: string): string => `data: ${head}${rest}}\n\n`;

  const chunk = (delta: Json, reason: string | null = null, more = ""): string => {
    const choice = `{"index":0,"delta":${JSON.stringify(delta)},"logprobs":null,"finish_reason":${JSON.stringify(reason)}}`;
    return event(`,"choices":[${choice}]${more}${noUsage}`);
  };

  /** The first chunk says who speaks. Only an answer in words has any content. */
  const opening = (type: Told["type"]): string => {
    if (hasSpoken) return "";
    hasSpoken = true;
    return chunk({ role: "assistant", content: type === "content" ? "" : null, refusal: null });
  };

  const failed = (failure: Failure): string => {
    isOver = true;
    return `data: ${JSON.stringify({ error: errorOf(failure, options.nowMs()) })}\n\n`;
  };

  const finished = ({ reason, usage, tier }: Told & { readonly type: "finish" }): string => {
    isOver = true;
    const served = tier === undefined ? "" : `,"service_tier":${JSON.stringify(tier)}`;
    const last = `${opening("finish")}${chunk({}, reason, served)}`;
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

function deltaOf(told: Content): Json {
  switch (told.type) {
    case "content":
      return { content: told.text };
    case "reasoning":
      return { reasoning_content: told.text };
    case "refusal":
      return { refusal: told.text };
    case "call":
      return beginningOf(told);
    case "input":
      return inputOf(told);
    case "annotation":
      return { annotations: [told.annotation] };
    case "image":
      return { images: [{ type: "image_url", image_url: { url: told.url } }] };
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
