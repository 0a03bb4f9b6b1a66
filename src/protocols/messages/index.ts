import { classifyEvent } from "../../turn/classify.ts";
import type { Failure } from "../../turn/failure.ts";
import type { Dict } from "../../wire/json.ts";
import type { Protocol } from "../protocol.ts";
import type { ReasoningPorts } from "../reasoning.ts";
import { createBodyEncoder } from "./body.ts";
import { decode } from "./decode.ts";
import { explain, fail } from "./failure.ts";
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
      const words = (failure: Failure): Failure =>
        explain(failure, { body: turn.body, contextWindow });
      const classify = (event: Dict): Failure =>
        words(classifyEvent(event, turn.model, clock.now()));
      const options: EncoderOptions = {
        ...request,
        classify,
        explain: words,
        keep: (callId, kept) => reasoning.keep(scope, callId, kept, clock.now()),
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
