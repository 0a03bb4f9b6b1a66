import { createClassifier } from "../classifier.ts";
import { fail } from "../openai-error.ts";
import type { Protocol } from "../protocol.ts";
import { createKeeper, type ReasoningPorts } from "../reasoning.ts";
import type { AnswerOptions } from "./answer.ts";
import { createBodyEncoder } from "./body.ts";
import { decode } from "./decode.ts";
import { createStreamEncoder } from "./stream.ts";

/** OpenAI's Chat Completions, which the backend does not speak: requests and answers are translated. */
export function createChat({ clock, reasoning }: ReasoningPorts): Protocol {
  return {
    name: "chat",
    path: "/chat/completions",
    fail,
    decode: (call) => {
      const { scope } = call;
      const request = decode(call, (callId) => reasoning.recall(scope, callId, clock.now()));
      if ("kind" in request) return { ok: false, failure: request };
      const { turn, askedModel, wantsStream, wantsUsage, tools, stops } = request;
      const classify = createClassifier(turn.model, clock.now);
      const options: AnswerOptions = {
        classify,
        nowMs: clock.now,
        model: askedModel,
        wantsUsage,
        tools: { names: tools.names, kindOf: tools.kindOf, isLegacy: tools.isLegacy },
        stops,
        keep: createKeeper(scope, { clock, reasoning }),
      };
      return {
        ok: true,
        exchange: {
          turn,
          askedModel,
          wantsStream,
          stream: () => createStreamEncoder(options),
          body: () => createBodyEncoder(options),
          classify,
        },
      };
    },
  };
}
