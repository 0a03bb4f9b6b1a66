import { classifyEvent } from "../../turn/classify.ts";
import type { Failure } from "../../turn/failure.ts";
import type { Clock } from "../../wire/clock.ts";
import { type Dict, list, text } from "../../wire/json.ts";
import { fail } from "../openai-error.ts";
import type { Call, Protocol } from "../protocol.ts";
import { createBodyEncoder } from "./body.ts";
import { pastOf, rememberedOf } from "./conversation.ts";
import { decode, type ResponsesRequest } from "./decode.ts";
import type { ResponseMemory } from "./memory.ts";
import { createStreamEncoder } from "./stream.ts";
import { createView } from "./view.ts";

/** What the protocol needs from outside. */
export type ResponsesPorts = {
  readonly clock: Pick<Clock, "now">;
  /** What was said in conversations that clients go on with by the id of a response. */
  readonly memory: ResponseMemory;
};

/** OpenAI's Responses over HTTP, which is also what the backend speaks: most of it passes through. */
export function createResponses({ clock, memory }: ResponsesPorts): Protocol {
  /** Keeps what was said and answered, so that the client may go on from the answer by its id. */
  const keep = (call: Call, { conversation }: ResponsesRequest, response: Dict): void => {
    const responseId = text(response["id"]);
    if (responseId === undefined) return;
    const { scope, bytes } = call;
    const now = clock.now();
    const isHeld = (id: string): boolean => memory.knows(scope, id, now);
    const turn = rememberedOf(conversation, bytes.length, isHeld);
    const output = list(response["output"]);
    const items = [...turn.items, ...output];
    const size = turn.bytes + JSON.stringify(output).length;
    memory.keep(scope, responseId, { ...turn, items, bytes: size }, now);
  };

  return {
    name: "responses",
    path: "/responses",
    fail,
    decode: (call) => {
      const request = decode(call, pastOf(memory, call, clock.now()));
      if ("kind" in request) return { ok: false, failure: request };
      const { turn, askedModel, wantsStream, names } = request;
      const { isNative, model } = turn;
      const { previousId } = request.conversation;
      const isStored = request.wantsStored && memory.isOn();
      const hasClaims = !isNative && (isStored || previousId !== undefined);
      const nowMs = clock.now;
      const view = createView({
        isNative,
        names,
        claims: hasClaims ? { previousId, isStored } : undefined,
        nowMs,
      });
      const classify = (event: Dict): Failure => classifyEvent(event, model, nowMs());
      const onFinish = (response: Dict): void => {
        if (isStored) keep(call, request, response);
      };
      return {
        ok: true,
        exchange: {
          turn,
          askedModel,
          wantsStream,
          conversation: request.conversation,
          classify,
          stream: () => createStreamEncoder({ isNative, view, model, nowMs, classify, onFinish }),
          body: () => createBodyEncoder(view, onFinish),
        },
      };
    },
  };
}
