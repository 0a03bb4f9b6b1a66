import { encodeBody, TURN_FORM } from "../../turn/amend.ts";
import { classifyEvent } from "../../turn/classify.ts";
import {
  isCompaction,
  lifecycleOf,
  RESPONSE,
  withOneCompaction,
  withoutTrigger,
} from "../../turn/compaction.ts";
import type { Failure } from "../../turn/failure.ts";
import type { TurnRequest } from "../../turn/request.ts";
import { isTerminal, type Step } from "../../turn/step.ts";
import { type Dict, isDict, isJson, list } from "../../wire/json.ts";
import { formatComment, formatEvent } from "../../wire/sse.ts";
import { errorCode, fail } from "../openai-error.ts";
import type { BodyEncoder, Protocol, StreamEncoder } from "../protocol.ts";
import { pastOf } from "./conversation.ts";
import { decode, type ResponsesRequest } from "./decode.ts";
import type { ResponsesPorts } from "./index.ts";
import { createOutputFold } from "./output.ts";

/** Responses Compact: a conversation goes in, its user messages and one compaction come out (upstream.md 3.3). */
export function createCompact({ clock, memory }: ResponsesPorts): Protocol {
  return {
    name: "compact",
    path: "/responses/compact",
    fail,
    decode: (call) => {
      const request = decode(call, pastOf(memory, call, clock.now()));
      if ("kind" in request) return { ok: false, failure: request };
      const turn = asCompaction(request, call.bytes);
      const classify = (event: Dict): Failure => classifyEvent(event, turn.model, clock.now());
      const told = { model: turn.model, classify, nowMs: clock.now };
      const body = () => createCompactBody(list(turn.body["input"]));
      return {
        ok: true,
        exchange: {
          ...request,
          turn,
          stream: () => createCompactStream(body(), told),
          body,
          classify,
        },
      };
    },
  };
}

// Fields of a turn that the endpoint refuses and whose absence is a loss (upstream.md 3.3).
const REFUSED: ReadonlySet<string> = new Set(["prompt_cache_options", "service_tier"]);

/**
 * A turn as the endpoint takes it. What nobody knows passes on here too, and where nothing had to change the client's
 * own bytes, `sent`.
 */
function asCompaction({ asked, turn }: ResponsesRequest, sent: TurnRequest["bytes"]): TurnRequest {
  const kept = Object.entries(turn.body).filter(
    ([name]) => !TURN_FORM.has(name) && !REFUSED.has(name),
  );
  const lost = Object.keys(turn.body).filter((name) => REFUSED.has(name));
  const body = { ...Object.fromEntries(kept), input: withoutTrigger(turn.body) };
  return {
    ...turn,
    isFast: false,
    body,
    bytes: holdsSame(body, asked) ? sent : encodeBody(body),
    removed: [...turn.removed, ...lost],
    compaction: { asked: "endpoint", way: "endpoint" },
  };
}

/** Whether both have the very same values in the same fields. */
function holdsSame(body: Dict, asked: Dict): boolean {
  const names = Object.keys(asked);
  const isSame = names.every((name) => body[name] === asked[name]);
  return isSame && names.length === Object.keys(body).length;
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
function createCompactStream(body: BodyEncoder, { model, classify, nowMs }: Told): StreamEncoder {
  const fail = (failure: Failure): readonly Uint8Array[] => {
    const error = { code: errorCode(failure), message: failure.message };
    const created_at = Math.floor(nowMs() / 1000);
    const response = { ...RESPONSE, status: "failed", created_at, model, output: [], error };
    const type = "response.failed";
    return [
      formatEvent(type, { type, sequence_number: 0, response: { ...response, usage: null } }),
    ];
  };
  const write = (step: Step): readonly Uint8Array[] => {
    if (step.role === "failed" || step.role === "error") return fail(classify(step.data()));
    body.push([step]);
    const answer = isTerminal(step.role) ? body.end() : undefined;
    return isDict(answer) ? lifecycleOf(answer).map(({ frame }) => frame.bytes) : [];
  };
  return { fail, heartbeat: HEARTBEAT, push: (steps) => steps.flatMap(write) };
}

/** What a failure in a stream is told with. */
type Told = {
  readonly model: string;
  readonly classify: (event: Dict) => Failure;
  readonly nowMs: () => number;
};

const HEARTBEAT = formatComment("ping");
