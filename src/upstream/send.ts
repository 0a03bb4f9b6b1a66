import type { Ask } from "../net/egress.ts";
import { reachOf } from "../net/reach.ts";
import { codeOf, describeTls, EgressError, TRUST_IT } from "../net/trouble.ts";
import { classifyEnd, classifyEvent, classifyRefusal } from "../turn/classify.ts";
import { readRefusal } from "../turn/compaction.ts";
import type { Failure } from "../turn/failure.ts";
import type { TurnRequest } from "../turn/request.ts";
import { isPreamble, type Step } from "../turn/step.ts";
import type { Stop } from "../turn/stop.ts";
import { readUsage } from "../turn/usage.ts";
import type { Clock } from "../wire/clock.ts";
import { type PlainHeaders, plainHeaders } from "../wire/headers.ts";
import { dict, text } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { endedStream, readAnswer, readCompaction } from "./compact.ts";
import { createDisguise } from "./disguise.ts";
import { type Identity, turnHeaders } from "./headers.ts";
import { readTurn, type StreamLimits, type TurnStream } from "./stream.ts";
import { readText } from "./text.ts";

/** One attempt to have a turn served. `ok` means that the backend has begun to answer: `held` comes before the rest. */
export type Attempt =
  | { readonly ok: true; readonly held: readonly Step[]; readonly stream: TurnStream }
  | {
      readonly ok: false;
      readonly failure: Failure;
      /** What the answer said in passing, such as quota; absent when there was no answer. */
      readonly headers?: PlainHeaders;
    };

/** Where and how turns are sent. */
export type SendOptions = StreamLimits & {
  /** `…/backend-api/codex`, without a slash at its end. */
  readonly baseUrl: string;
  /** Identity headers for clients that are not Codex. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connectMs: number;
};

/** What sending needs from outside. */
export type SendPorts = {
  readonly options: SendOptions;
  readonly clock: Clock;
  readonly ask: Ask;
  /** Told what broke the connection of an answer that had begun. */
  readonly onBroken?: (cause: unknown) => void;
};

/**
 * Posts the turn and reads on to the commit point: the first event that means output; of a compaction, its end.
 * Whatever fails before it, an error event inside a 200 included, comes back as a failure, the connection closed.
 */
export async function sendTurn(
  turn: TurnRequest,
  identity: Identity,
  request: Stop,
  ports: SendPorts,
): Promise<Attempt> {
  const { options, clock } = ports;
  const stop = request.child();
  const posted = await post(turn, identity, stop, ports);
  if (!posted.ok) {
    stop.detach();
    return posted;
  }
  const { response } = posted;
  const { body, status } = response;
  const headers = plainHeaders(response.headers);
  const isByEndpoint = turn.compaction?.way === "endpoint";
  const isStream = /text\/event-stream/i.test(headers["content-type"] ?? "");
  if (isByEndpoint && status === 200) {
    const read = await readAnswer(response, turn, options.idleMs, { stop, clock });
    stop.stop(DONE);
    stop.detach();
    if (read.ok) return { ok: true, held: read.steps, stream: endedStream(headers) };
    return { ok: false, failure: request.reason() ?? read.failure, headers };
  }
  if (status !== 200 || body === null || !isStream) {
    const { text: words, isWhole } = await readText(response, ERROR_BODY, stop, clock);
    // The connection of one that has been read to its end can be used again at once.
    if (!isWhole) stop.stop(DONE);
    stop.detach();
    const refusal = classifyRefusal(
      { status, headers: response.headers, body: words },
      turn.model,
      clock.now(),
    );
    return { ok: false, failure: request.reason() ?? readRefusal(refusal, turn), headers };
  }
  const stream = readTurn({ headers, body, onBroken: ports.onBroken }, stop, options, clock);
  const begun = await readBeginning(stream, turn, ports);
  if (begun.ok) return { ok: true, held: begun.steps, stream };
  stream.close();
  await freed(stream, stop, clock);
  return { ok: false, failure: request.reason() ?? begun.failure, headers };
}

/** Waits until whoever tries again can have the connection, or at least its place: it is closed if it stays busy. */
async function freed({ drained }: TurnStream, stop: Stop, clock: Clock): Promise<void> {
  const draining = drained();
  if (draining === undefined) return;
  const cancel = clock.after(FREED_MS, () => stop.stop(DONE));
  await draining.finally(cancel);
}

type Begun =
  | { readonly ok: true; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly failure: Failure };

/** Reads up to the commit point; what has been read is handed on with it. */
function readBeginning(stream: TurnStream, turn: TurnRequest, ports: SendPorts): Promise<Begun> {
  if (turn.compaction === undefined) return readToCommit(stream, turn, ports);
  return readCompaction(stream, (step) => toldFailure(step, turn, ports.clock.now()));
}

async function readToCommit(
  stream: TurnStream,
  turn: TurnRequest,
  ports: SendPorts,
): Promise<Begun> {
  const held: Step[] = [];
  const judge = createJudge(turn, ports);
  for (;;) {
    const batch = await stream.read();
    if (batch.type === "broken") return { ok: false, failure: batch.failure };
    if (batch.type === "end") return { ok: false, failure: EMPTY };
    held.push(...batch.steps);
    for (const step of batch.steps) {
      const verdict = judge(step);
      if (verdict === "begun") return { ok: true, steps: held };
      if (verdict !== undefined) return { ok: false, failure: verdict };
    }
  }
}

/** Judges a turn's first events: has the answer begun, or has the attempt failed? Undefined while it is neither. */
function createJudge(
  turn: TurnRequest,
  { clock }: SendPorts,
): (step: Step) => Failure | "begun" | undefined {
  const disguise = createDisguise();
  let hasOutput = false;
  return (step) => {
    const failure = toldFailure(step, turn, clock.now());
    if (failure !== undefined) return failure;
    const suspicion = disguise.judge(step);
    if (suspicion === "confirmed") return OVERLOADED;
    if (suspicion === "cleared") {
      return !hasOutput && step.role === "completed" && isEmptyTurn(step) ? EMPTY : "begun";
    }
    hasOutput ||= !isPreamble(step.role);
    return undefined;
  };
}

/** The failure that the step itself tells. */
function toldFailure(step: Step, turn: TurnRequest, now: number): Failure | undefined {
  if (step.role === "incomplete") return classifyEnd(step.data(), turn.model, now);
  if (step.role !== "failed" && step.role !== "error") return undefined;
  return readRefusal(classifyEvent(step.data(), turn.model, now), turn);
}

/** Whether a turn that completed without any event of output really holds nothing. */
function isEmptyTurn(step: Step): boolean {
  const response = dict(step.data()["response"]);
  const { output } = response;
  if (Array.isArray(output) && output.length > 0) return false;
  return (readUsage(response)?.output ?? 0) === 0;
}

const EMPTY: Failure = {
  kind: "empty",
  message: "The backend completed the turn without any output.",
};
const OVERLOADED: Failure = {
  kind: "overloaded",
  message: "The backend has no capacity; it said so in place of an answer.",
};
const DONE: Failure = { kind: "client-left", message: "The answer has been read." };
// An error body tells its kind in the first lines; the rest is a web page.
const ERROR_BODY = { mostBytes: 64 * 1024, limitMs: 5000, tooLate: DONE };
// The client waits for the next attempt meanwhile. Mostly the backend ends the body with its last event.
const FREED_MS = 100;
const NO_HEADERS: Failure = {
  kind: "timeout",
  message: "The backend did not answer in time (connect-timeout-sec).",
};
const NO_ANSWER: Failure = {
  kind: "timeout",
  message: "The backend did not answer a compaction in time (event-idle-timeout-sec).",
};

type Posted =
  | { readonly ok: true; readonly response: Response }
  | { readonly ok: false; readonly failure: Failure };

async function post(
  turn: TurnRequest,
  identity: Identity,
  stop: Stop,
  { options, clock, ask }: SendPorts,
): Promise<Posted> {
  const isByEndpoint = turn.compaction?.way === "endpoint";
  // An answer in one piece has its headers when the work is done: that is silence inside an answer, not before one.
  const [limitMs, silence] = isByEndpoint
    ? [options.idleMs, NO_ANSWER]
    : [options.connectMs, NO_HEADERS];
  const cancel = limitMs > 0 ? clock.after(limitMs, () => stop.stop(silence)) : () => {};
  try {
    const path = isByEndpoint ? "/responses/compact" : "/responses";
    const response = await ask(`${options.baseUrl}${path}`, {
      method: "POST",
      headers: turnHeaders(turn, identity, options.headers),
      body: turn.bytes,
      signal: stop.signal,
      proxy: identity.proxy,
    });
    return { ok: true, response };
  } catch (cause) {
    return { ok: false, failure: stop.reason() ?? describeNetwork(cause) };
  } finally {
    cancel();
  }
}

/** Why there was no answer, in words that name the runtime's error code and nothing private. */
export function describeNetwork(cause: unknown): Failure {
  if (cause instanceof EgressError) return { kind: "egress", message: cause.message };
  const kind = KINDS[reachOf(cause)];
  const tls = describeTls(codeOf(cause));
  if (tls !== undefined) {
    const todo = tls.isCertificate ? ` ${TRUST_IT}` : "";
    return { kind, message: `The backend ${tls.what}.${todo}` };
  }
  const { code, message } = dict(
    cause instanceof Error ? { message: cause.message, code: Reflect.get(cause, "code") } : {},
  );
  const said = text(code) ?? text(message) ?? "unknown error";
  return { kind, message: `${WORDS[kind]} (${redact(said)}).` };
}

const KINDS = { no: "unreachable", unworked: "turned-away", perhaps: "network" } as const;

const WORDS = {
  unreachable: "The backend could not be reached",
  "turned-away": "The backend gave the request back before it had worked on it",
  network: "The backend broke the connection before it answered",
} as const;
