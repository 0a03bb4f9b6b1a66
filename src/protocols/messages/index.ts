import type { Failure } from "../../turn/failure.ts";
import type { Millis } from "../../wire/clock.ts";
import type { Dict } from "../../wire/json.ts";
import { createClassifier } from "../classifier.ts";
import type { Protocol } from "../protocol.ts";
import { createKeeper, type ReasoningPorts } from "../reasoning.ts";
import { createBodyEncoder } from "./body.ts";
import { decode } from "./decode.ts";
import { createExplainer, fail } from "./failure.ts";
import { createStreamEncoder, type EncoderOptions } from "./stream.ts";

/** Anthropic's Messages, as Claude Code and Anthropic's SDKs speak it. */
export function createMessages({ clock, reasoning }: ReasoningPorts): Protocol {
  return {
    name: "messages",
    path: "/messages",
    fail,
    // `_request_id` of a message is read from it, and an error's `requestID`.
    idHeader: "request-id",
    decode: (call) => {
      const { scope } = call;
      const request = decode(call, (callId) => reasoning.recall(scope, callId, clock.now()));
      if ("kind" in request) return { ok: false, failure: request };
      const { turn, askedModel, wantsStream, contextWindow } = request;
      const words = createExplainer({ body: turn.body, contextWindow });
      const classify = createWordedClassifier(words, turn.model, clock.now);
      const { thinking, stopSequences, names } = request;
      const options: EncoderOptions = {
        askedModel,
        thinking,
        stopSequences,
        names,
        classify,
        explain: words,
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
          explain: words,
        },
      };
    },
  };
}

/** Which failure an error event stands for, in this protocol's words; it holds no more of the request than `words`. */
function createWordedClassifier(
  words: (failure: Failure) => Failure,
  model: string,
  nowMs: () => Millis,
): (event: Dict) => Failure {
  const classify = createClassifier(model, nowMs);
  return (event) => words(classify(event));
}
