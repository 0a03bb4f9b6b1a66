import { classifyEvent, classifyRefusal } from "../turn/classify.ts";
import type { Failure } from "../turn/failure.ts";
import type { TurnRequest } from "../turn/request.ts";
import { isPreamble, type Step } from "../turn/step.ts";
import type { Stop } from "../turn/stop.ts";
import { readUsage } from "../turn/usage.ts";
import type { Clock } from "../wire/clock.ts";
import { dict, text } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { type Identity, turnHeaders } from "./headers.ts";
import { readTurn, type StreamLimits, type TurnStream } from "./stream.ts";

/** One attempt to have a turn served. `ok` means that the backend has begun to answer: `held` comes before the rest. */
export type Attempt =
  | { readonly ok: true; readonly held: readonly Step[]; readonly stream: TurnStream }
  | {
      readonly ok: false;
      readonly failure: Failure;
      /** What the answer said in passing, such as quota; absent when there was no answer. */
      readonly headers?: Headers;
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
};

// An error body tells its kind in the first lines; the rest is a web page.
const MOST_ERROR_BYTES = 64 * 1024;
const ERROR_BODY_MS = 5000;

/**
 * Posts the turn and reads on to the commit point: the first event that means output.
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
  const { headers, body, status } = posted.response;
  const isStream = /text\/event-stream/i.test(headers.get("content-type") ?? "");
  if (status !== 200 || body === null || !isStream) {
    const refusal = { status, headers, body: await readSome(posted.response, clock, stop) };
    stop.stop(DONE);
    stop.detach();
    const failure = request.reason() ?? classifyRefusal(refusal, turn.model, clock.now());
    return { ok: false, failure, headers };
  }
  const stream = readTurn({ headers, body }, stop, options, clock);
  const begun = await readToCommit(stream, turn.model, ports);
  if (begun.ok) return { ok: true, held: begun.held, stream };
  stream.close();
  return { ok: false, failure: request.reason() ?? begun.failure, headers };
}

type Begun =
  | { readonly ok: true; readonly held: readonly Step[] }
  | { readonly ok: false; readonly failure: Failure };

/** Reads up to the commit point; what has been read is handed on with it. */
async function readToCommit(stream: TurnStream, model: string, ports: SendPorts): Promise<Begun> {
  const held: Step[] = [];
  for (;;) {
    const batch = await stream.read();
    if (batch.type === "broken") return { ok: false, failure: batch.failure };
    if (batch.type === "end") return { ok: false, failure: EMPTY };
    held.push(...batch.steps);
    for (const step of batch.steps) {
      const failure = failureOf(step, model, ports.clock.now());
      if (failure !== undefined) return { ok: false, failure };
      if (!isPreamble(step.role)) return { ok: true, held };
    }
  }
}

/** Why a step that comes before any output means that there will be none; undefined when it does not. */
function failureOf(step: Step, model: string, now: number): Failure | undefined {
  if (step.role === "failed" || step.role === "error")
    return classifyEvent(step.data(), model, now);
  return step.role === "completed" && isEmptyTurn(step) ? EMPTY : undefined;
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
const DONE: Failure = { kind: "client-left", message: "The answer has been read." };
const NO_HEADERS: Failure = {
  kind: "timeout",
  message: "The backend did not answer in time (connect-timeout-sec).",
};

type Posted =
  | { readonly ok: true; readonly response: Response }
  | { readonly ok: false; readonly failure: Failure };

async function post(
  turn: TurnRequest,
  identity: Identity,
  stop: Stop,
  { options, clock }: SendPorts,
): Promise<Posted> {
  const cancel =
    options.connectMs > 0 ? clock.after(options.connectMs, () => stop.stop(NO_HEADERS)) : () => {};
  try {
    const response = await fetch(`${options.baseUrl}/responses`, {
      method: "POST",
      headers: turnHeaders(turn, identity, options.headers),
      body: turn.bytes,
      signal: stop.signal,
      redirect: "manual",
      // The runtime's own timeout is coarse and counts from anywhere; the clocks here are the only ones.
      timeout: false,
    });
    return { ok: true, response };
  } catch (cause) {
    return { ok: false, failure: stop.reason() ?? describeNetwork(cause) };
  } finally {
    cancel();
  }
}

/** A failure to reach the backend, in words that name the runtime's error code and nothing private. */
export function describeNetwork(cause: unknown): Failure {
  const { code, message } = dict(
    cause instanceof Error ? { message: cause.message, code: Reflect.get(cause, "code") } : {},
  );
  const said = text(code) ?? text(message) ?? "unknown error";
  return { kind: "network", message: `The backend could not be reached (${redact(said)}).` };
}

/** The first part of an error body; what cannot be read in time is left. */
async function readSome(response: Response, clock: Clock, stop: Stop): Promise<string> {
  if (response.body === null) return "";
  const cancel = clock.after(ERROR_BODY_MS, () => stop.stop(DONE));
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let body = "";
  try {
    while (body.length < MOST_ERROR_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      body += decoder.decode(value, { stream: true });
    }
  } catch {
    // What has been read must do: the status alone classifies too.
  } finally {
    cancel();
  }
  return body;
}
