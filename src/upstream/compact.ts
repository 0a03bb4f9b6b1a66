import { classifyRefusal } from "../turn/classify.ts";
import { isCompaction, readEndpointAnswer, withOneCompaction } from "../turn/compaction.ts";
import type { Failure } from "../turn/failure.ts";
import type { TurnRequest } from "../turn/request.ts";
import { isTerminal, readStep, type Step } from "../turn/step.ts";
import type { Stop } from "../turn/stop.ts";
import type { Clock } from "../wire/clock.ts";
import type { PlainHeaders } from "../wire/headers.ts";
import { dict, list, parseDict } from "../wire/json.ts";
import { formatEvent } from "../wire/sse.ts";
import type { TurnStream } from "./stream.ts";
import { readText } from "./text.ts";

/** A compaction, whole, or why there is none. */
export type Compacted =
  | { readonly ok: true; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly failure: Failure };

// Retained messages and a summary are smaller than the conversation they stand for.
const MOST_BYTES = 64 * 1024 * 1024;

/** Reads the answer of `/responses/compact` as the events of a turn. `limitMs` bounds the body, not the wait before it. */
export async function readAnswer(
  response: Response,
  turn: TurnRequest,
  limitMs: number,
  { stop, clock }: { readonly stop: Stop; readonly clock: Clock },
): Promise<Compacted> {
  const limits = { mostBytes: MOST_BYTES, limitMs, tooLate: SILENT };
  const { text, isWhole } = await readText(response, limits, stop, clock);
  const stopped = stop.reason();
  if (stopped !== undefined) return { ok: false, failure: stopped };
  if (!isWhole) return { ok: false, failure: CUT };
  const answer = parseDict(text);
  if (answer === undefined) {
    const { status, headers } = response;
    const refusal = { status, headers, body: text };
    return { ok: false, failure: classifyRefusal(refusal, turn.model, clock.now()) };
  }
  const steps = readEndpointAnswer(answer, turn);
  return steps === undefined ? { ok: false, failure: NOTHING } : { ok: true, steps };
}

/**
 * Reads a turn that was to compact to its end. Nothing is handed on before the compaction is there: a client can do
 * nothing with half of one, and so every failure may still be tried again. Of several compactions the last one counts.
 * `failureOf` says which events mean that there will be none.
 */
export async function readCompaction(
  stream: TurnStream,
  failureOf: (step: Step) => Failure | undefined,
): Promise<Compacted> {
  const steps: Step[] = [];
  let bytes = 0;
  for (;;) {
    const batch = await stream.read();
    if (batch.type === "broken") return { ok: false, failure: batch.failure };
    if (batch.type === "end") break;
    for (const step of batch.steps) {
      const failure = failureOf(step);
      if (failure !== undefined) return { ok: false, failure };
      bytes += step.frame.bytes.length;
      steps.push(step);
    }
    if (bytes > MOST_BYTES) return { ok: false, failure: NOTHING };
  }
  return chooseOne(steps);
}

/** The steps with the last compaction as the only one. */
function chooseOne(steps: readonly Step[]): Compacted {
  const found = steps.filter(bringsCompaction);
  const only = found.at(-1);
  const told = dict(steps.at(-1)?.data()["response"])["output"];
  // Where no event of its own told it, the last one may.
  if (only === undefined && withOneCompaction(told) === undefined) {
    return { ok: false, failure: NOTHING };
  }
  const extra = new Set(found.map(indexOf));
  if (only !== undefined) extra.delete(indexOf(only));
  // Without a place are the turn's own events too, its end among them.
  extra.delete(undefined);
  const kept = steps.filter((step) =>
    bringsCompaction(step) ? step === only : extra.size === 0 || !extra.has(indexOf(step)),
  );
  return { ok: true, steps: kept.map(withOneTold) };
}

function bringsCompaction(step: Step): boolean {
  return step.role === "item-done" && isCompaction(step.data()["item"]);
}

function indexOf(step: Step): unknown {
  return step.data()["output_index"];
}

/** The last event repeats all items, where the backend fills its output in. */
function withOneTold(step: Step): Step {
  if (!isTerminal(step.role)) return step;
  const data = step.data();
  const response = dict(data["response"]);
  const told = list(response["output"]);
  const output = withOneCompaction(told);
  if (output === undefined || output.length === told.length) return step;
  const event = step.frame.event;
  const bytes = formatEvent(event, { ...data, response: { ...response, output } });
  return readStep({ event, bytes });
}

/** A stream that has been read to its end. */
export function endedStream(headers: PlainHeaders): TurnStream {
  return {
    headers,
    read: async () => ({ type: "end" }),
    close: () => {},
    drained: () => undefined,
  };
}

const NOTHING: Failure = {
  kind: "no-compaction",
  message: "The backend was to compact the conversation and gave no compaction back.",
};
const CUT: Failure = {
  kind: "cut-short",
  message: "The backend's answer to a compaction broke off.",
};
const SILENT: Failure = {
  kind: "timeout",
  message: "The backend's answer to a compaction did not end in time (event-idle-timeout-sec).",
};
