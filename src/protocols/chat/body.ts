import type { Json } from "../../wire/json.ts";
import type { BodyEncoder } from "../protocol.ts";
import {
  type AnswerOptions,
  type CallForm,
  type Citation,
  createTeller,
  type Told,
  type Voice,
} from "./answer.ts";
import { usageOf } from "./usage.ts";

type ToldCall = {
  readonly form: CallForm;
  readonly id: string;
  readonly name: string;
  readonly pieces: string[];
};

/** Writes a whole `chat.completion` out of what a stream would tell piece by piece. Linear in the pieces. */
export function createBodyEncoder(options: AnswerOptions): BodyEncoder {
  const teller = createTeller(options);
  const texts: { readonly [voice in Voice]: string[] } = {
    content: [],
    reasoning: [],
    refusal: [],
  };
  const calls: ToldCall[] = [];
  const annotations: Citation[] = [];
  const images: string[] = [];
  let start: (Told & { readonly type: "start" }) | undefined;
  let finish: (Told & { readonly type: "finish" }) | undefined;

  const take = (told: Told): void => {
    switch (told.type) {
      case "start":
        start = told;
        break;
      case "content":
      case "reasoning":
      case "refusal":
        texts[told.type].push(told.text);
        break;
      case "call":
        calls.push({ form: told.form, id: told.id, name: told.name, pieces: [] });
        break;
      case "input":
        calls[told.index]?.pieces.push(told.text);
        break;
      case "annotation":
        annotations.push(told.annotation);
        break;
      case "image":
        images.push(told.url);
        break;
      case "finish":
        finish = told;
        break;
      case "fail":
        // Told by status, before a body is asked for.
        break;
    }
  };

  const message = (): Json => {
    const reasoning = joined(texts.reasoning);
    const legacy = calls.find(({ form }) => form === "legacy");
    return {
      role: "assistant",
      content: joined(texts.content),
      refusal: joined(texts.refusal),
      ...(reasoning === null ? {} : { reasoning_content: reasoning }),
      annotations,
      ...(legacy === undefined ? {} : { function_call: calledOf(legacy) }),
      ...(legacy !== undefined || calls.length === 0 ? {} : { tool_calls: calls.map(callOf) }),
      ...(images.length === 0
        ? {}
        : { images: images.map((url) => ({ type: "image_url", image_url: { url } })) }),
    };
  };

  return {
    push: (steps) => {
      for (const step of steps) for (const told of teller.tell(step)) take(told);
    },
    end: () => ({
      id: start?.id ?? "chatcmpl-unknown",
      object: "chat.completion",
      created: start?.createdS ?? Math.floor(options.nowMs() / 1000),
      model: options.model,
      choices: [
        { index: 0, message: message(), logprobs: null, finish_reason: finish?.reason ?? "stop" },
      ],
      ...(finish?.usage === undefined ? {} : { usage: usageOf(finish.usage) }),
      ...(finish?.tier === undefined ? {} : { service_tier: finish.tier }),
    }),
  };
}

function joined(pieces: readonly string[]): string | null {
  return pieces.length === 0 ? null : pieces.join("");
}

function calledOf({ name, pieces }: ToldCall): {
  readonly name: string;
  readonly arguments: string;
} {
  return { name, arguments: pieces.join("") };
}

function callOf(call: ToldCall): Json {
  const { form, id, name, pieces } = call;
  const custom = { name, input: pieces.join("") };
  switch (form) {
    case "legacy":
    case "function":
      return { id, type: "function", function: calledOf(call) };
    case "custom":
      return { id, type: "custom", custom };
    case "flat":
      return { id, type: "custom", custom, function: calledOf(call) };
  }
}
