import { classifyEvent } from "../../turn/classify.ts";
import type { Failure } from "../../turn/failure.ts";
import type { Clock } from "../../wire/clock.ts";
import type { Dict } from "../../wire/json.ts";
import type { Protocol } from "../protocol.ts";
import { createBodyEncoder } from "./body.ts";
import { decode } from "./decode.ts";
import { explain, fail } from "./failure.ts";
import { createStreamEncoder } from "./stream.ts";

/** Anthropic's Messages, as Claude Code and Anthropic's SDKs speak it. */
export function createMessages(clock: Pick<Clock, "now">): Protocol {
  return {
    name: "messages",
    path: "/messages",
    fail,
    decode: (call) => {
      const request = decode(call);
      if ("kind" in request) return { ok: false, failure: request };
      const { turn, askedModel, wantsStream, contextWindow } = request;
      const words = (failure: Failure): Failure =>
        explain(failure, { body: turn.body, contextWindow });
      const classify = (event: Dict): Failure =>
        words(classifyEvent(event, turn.model, clock.now()));
      const options = { ...request, classify, explain: words };
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
