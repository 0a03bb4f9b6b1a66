import { encodeBody } from "../../turn/amend.ts";
import { classifyEvent } from "../../turn/classify.ts";
import {
  isCompaction,
  lifecycleOf,
  withOneCompaction,
  withoutTrigger,
} from "../../turn/compaction.ts";
import type { Failure } from "../../turn/failure.ts";
import type { TurnRequest } from "../../turn/request.ts";
import { isTerminal } from "../../turn/step.ts";
import type { Clock } from "../../wire/clock.ts";
import { type Dict, isDict, isJson, type Json, list } from "../../wire/json.ts";
import { fail } from "../openai-error.ts";
import type { BodyEncoder, Protocol, StreamEncoder } from "../protocol.ts";
import { decode } from "./decode.ts";
import { createOutputFold } from "./output.ts";
import { createStreamEncoder } from "./stream.ts";

/** Responses Compact: a conversation goes in, its user messages and one compaction come out (upstream.md 3.3). */
export function createCompact(clock: Pick<Clock, "now">): Protocol {
  return {
    name: "compact",
    path: "/responses/compact",
    fail,
    decode: (call) => {
      const request = decode(call);
      if ("kind" in request) return { ok: false, failure: request };
      const turn = asCompaction(request.turn);
      const classify = (event: Dict): Failure => classifyEvent(event, turn.model, clock.now());
      const { isNative, model } = turn;
      const failing = () => createStreamEncoder({ isNative, model, nowMs: clock.now, classify });
      const body = () => createCompactBody(list(turn.body["input"]));
      return {
        ok: true,
        exchange: {
          ...request,
          turn,
          stream: () => createCompactStream(body(), failing()),
          body,
          classify,
        },
      };
    },
  };
}

// Fields of a turn that the endpoint refuses; those of a streamed turn's form are no loss (upstream.md 3.3).
const FORM: ReadonlySet<string> = new Set(["include", "store", "stream"]);
const REFUSED: ReadonlySet<string> = new Set(["prompt_cache_options", "service_tier"]);

/** A turn as the endpoint takes it. What nobody knows passes on here too. */
function asCompaction(turn: TurnRequest): TurnRequest {
  const kept = Object.entries(turn.body).filter(([name]) => !FORM.has(name) && !REFUSED.has(name));
  const lost = Object.keys(turn.body).filter((name) => REFUSED.has(name));
  const body = { ...Object.fromEntries(kept), input: withoutTrigger(turn.body) };
  return {
    ...turn,
    isFast: false,
    body,
    bytes: encodeBody(body),
    removed: [...turn.removed, ...lost],
    compaction: { asked: "endpoint", way: "endpoint" },
  };
}

/** The endpoint's answer as it is; out of a turn that compacted by a trigger, one of the same form. */
function createCompactBody(input: readonly unknown[]): BodyEncoder {
  const fold = createOutputFold();
  let answer: Dict = {};
  return {
    push: (steps) => {
      for (const step of steps) {
        fold.push(step);
        if (isTerminal(step.role)) answer = answerOf(fold.finish(step), input);
      }
    },
    end: () => (isJson(answer) ? answer : {}),
  };
}

const ANSWER = "response.compaction";

function answerOf(response: Dict, input: readonly unknown[]): Dict {
  if (response["object"] === ANSWER) return response;
  const { id, created_at, output, usage } = response;
  const compaction = withOneCompaction(output)?.filter(isCompaction) ?? [];
  return {
    id,
    object: ANSWER,
    created_at,
    output: [...input.flatMap(asUserMessage), ...compaction],
    usage: usage ?? null,
  };
}

/** What the endpoint keeps beside the compaction: the user's messages, which clients may send without their type. */
function asUserMessage(item: unknown): readonly Dict[] {
  if (!isDict(item) || item["role"] !== "user") return [];
  const { type = "message" } = item;
  return type === "message" ? [{ type, ...item }] : [];
}

/** The same answer as events, for a client that asks for a stream: a compaction is of no use before it is whole. */
function createCompactStream(body: BodyEncoder, failing: StreamEncoder): StreamEncoder {
  return {
    heartbeat: failing.heartbeat,
    fail: failing.fail,
    push: (steps) => {
      const pieces: Uint8Array[] = [];
      for (const step of steps) {
        body.push([step]);
        // It is told all, so that a failure goes on from what the backend said of its Response.
        const told = failing.push([step]);
        if (step.role === "failed" || step.role === "error") pieces.push(...told);
        else if (isTerminal(step.role)) pieces.push(...written(body.end()));
      }
      return pieces;
    },
  };
}

function written(answer: Json): readonly Uint8Array[] {
  return isDict(answer) ? lifecycleOf(answer).map(({ frame }) => frame.bytes) : [];
}
