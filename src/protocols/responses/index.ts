import { classifyEvent } from "../../turn/classify.ts";
import type { Failure } from "../../turn/failure.ts";
import type { Clock } from "../../wire/clock.ts";
import type { Dict } from "../../wire/json.ts";
import { fail } from "../openai-error.ts";
import type { Protocol } from "../protocol.ts";
import { createBodyEncoder } from "./body.ts";
import { decode } from "./decode.ts";
import { createStreamEncoder } from "./stream.ts";

/** OpenAI's Responses over HTTP, which is also what the backend speaks: most of it passes through. */
export function createResponses(clock: Pick<Clock, "now">): Protocol {
  return {
    name: "responses",
    path: "/responses",
    fail,
    decode: (call) => {
      const request = decode(call);
      if ("kind" in request) return { ok: false, failure: request };
      const { turn } = request;
      const classify = (event: Dict): Failure => classifyEvent(event, turn.model, clock.now());
      const options = { isNative: turn.isNative, model: turn.model, nowMs: clock.now, classify };
      return {
        ok: true,
        exchange: {
          ...request,
          stream: () => createStreamEncoder(options),
          body: createBodyEncoder,
          classify,
        },
      };
    },
  };
}
