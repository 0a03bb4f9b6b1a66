import type { Clock } from "../../wire/clock.ts";
import { type Dict, list, text } from "../../wire/json.ts";
import { createClassifier } from "../classifier.ts";
import { fail } from "../openai-error.ts";
import type { Conversation, Protocol } from "../protocol.ts";
import { createBodyEncoder } from "./body.ts";
import { pastOf, rememberedOf } from "./conversation.ts";
import { decode } from "./decode.ts";
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
      const classify = createClassifier(model, nowMs);
      const { scope, bytes } = call;
      const said = { scope, length: bytes.length, conversation: request.conversation };
      const onFinish = isStored ? createKeeper(said, { clock, memory }) : FORGET;
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

const FORGET = (): void => {};

/** What a client said that may go on from the answer. */
type Said = {
  readonly scope: string;
  /** Of the request, in bytes. */
  readonly length: number;
  readonly conversation: Conversation;
};

/**
 * Keeps what was said and answered, so that the client may go on from the answer by its id. A function of its own, as
 * everything that lives as long as a stream: made inside `decode`, it would hold the whole request all the while.
 */
function createKeeper(
  { scope, length, conversation }: Said,
  { clock, memory }: ResponsesPorts,
): (response: Dict) => void {
  return (response) => {
    const responseId = text(response["id"]);
    if (responseId === undefined) return;
    const now = clock.now();
    const isHeld = (id: string): boolean => memory.knows(scope, id, now);
    const turn = rememberedOf(conversation, length, isHeld);
    const output = list(response["output"]);
    const items = [...turn.items, ...output];
    const size = turn.bytes + JSON.stringify(output).length;
    memory.keep(scope, responseId, { ...turn, items, bytes: size }, now);
  };
}
