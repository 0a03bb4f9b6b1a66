import type { Failure } from "../turn/failure.ts";
import { isTerminal, readStep, type Step } from "../turn/step.ts";
import type { Part } from "../turn/stop.ts";
import { type Clock, type Watchdog, watchSilence } from "../wire/clock.ts";
import type { PlainHeaders } from "../wire/headers.ts";
import { createFrameSplitter, type Frame, join } from "../wire/sse.ts";

/** What one read of a turn's stream brings. */
export type Batch =
  /** The events that one network chunk completed, in order; at least one. */
  | { readonly type: "steps"; readonly steps: readonly Step[] }
  /** The turn's last event has been read. */
  | { readonly type: "end" }
  /** Nothing more will come, and the last event is missing. */
  | { readonly type: "broken"; readonly failure: Failure };

/** A turn that the backend is answering. */
export type TurnStream = {
  /** The backend's response headers. */
  readonly headers: PlainHeaders;
  readonly read: () => Promise<Batch>;
  /** Ends the backend's work if it is still running. Call it on every path; more calls do nothing. */
  readonly close: () => void;
  /** What keeps the connection busy after the turn's last event, where there is that. It ends by itself, and soon. */
  readonly drained: () => Promise<void> | undefined;
};

/** The clocks of a running stream. 0 = no limit. */
export type StreamLimits = {
  readonly firstEventMs: number;
  readonly idleMs: number;
};

/** A response that is a stream, and who wants to know what broke it. */
export type Streamed = {
  readonly headers: PlainHeaders;
  readonly body: ReadableStream<Uint8Array>;
  readonly onBroken?: ((cause: unknown) => void) | undefined;
};

// After the last event the backend closes the response at once; read to its end, the connection can be used again.
const DRAIN_MS = 1000;

/**
 * Reads a response body as steps. Chunks that complete no event are waited through; the stream ends with its
 * terminal event, whatever may follow; silence is cut by the clocks, which comments from the backend do reset
 * and heartbeats to the client do not.
 */
export function readTurn(
  response: Streamed,
  stop: Part,
  limits: StreamLimits,
  clock: Clock,
): TurnStream {
  const reader = response.body.getReader();
  const splitter = createFrameSplitter();
  let isOver = false;
  let isClosed = false;
  let isWaiting = false;
  // While nobody reads, because the client is slow, the backend's silence cannot be told from ours.
  const watch = (limitMs: number, silence: Failure): Watchdog =>
    watchSilence(clock, limitMs, () => {
      if (isWaiting) stop.stop(silence);
    });
  let dog = watch(limits.firstEventMs, SILENT_START);

  let hasBegun = false;
  const hear = (): void => {
    if (hasBegun) {
      dog.touch();
      return;
    }
    hasBegun = true;
    dog.stop();
    dog = watch(limits.idleMs, SILENT);
  };

  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    dog.stop();
    stop.detach();
    if (!isOver) stop.stop(CLOSED);
  };

  let draining: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    const cancel = clock.after(DRAIN_MS, () => stop.stop(CLOSED));
    try {
      while (!(await reader.read()).done);
    } catch {
      // The turn is complete; how its connection ends is of no interest.
    } finally {
      cancel();
    }
  };

  const take = (frames: readonly Frame[]): Batch => {
    const steps: Step[] = [];
    for (const frame of frames) {
      const step = readStep(frame);
      steps.push(step);
      if (!isTerminal(step.role)) continue;
      isOver = true;
      dog.stop();
      draining = drain();
      break;
    }
    return { type: "steps", steps };
  };

  const ended = (): Batch => {
    // Some gateways drop the last blank line; the event itself may still be whole.
    const last = splitter.rest();
    const frames = last.length === 0 ? [] : createFrameSplitter().push(join([last], BLANK_LINE));
    const steps = frames.map(readStep).filter(({ role, data }) => {
      return isTerminal(role) && Object.keys(data()).length > 0;
    });
    isOver = true;
    dog.stop();
    return steps.length > 0 ? { type: "steps", steps } : { type: "broken", failure: CUT };
  };

  const broke = (): Batch => {
    // Asked before closing, which is a reason of its own.
    const failure = stop.reason() ?? RESET;
    close();
    return { type: "broken", failure };
  };

  /** What a chunk brings; undefined when it completes no event. */
  const arrive = (chunk: Uint8Array): Batch | undefined => {
    const frames = splitter.push(chunk);
    if (frames.length === 0) return undefined;
    hear();
    return take(frames);
  };

  let broken: Batch | undefined;
  // One function and not several that wait for each other: each event of each stream passes through here.
  const read = async (): Promise<Batch> => {
    if (broken !== undefined) return broken;
    if (isOver) return { type: "end" };
    isWaiting = true;
    dog.touch();
    let batch: Batch | undefined;
    while (batch === undefined) {
      let chunk: Uint8Array | undefined;
      try {
        chunk = (await reader.read()).value;
      } catch (cause) {
        response.onBroken?.(cause);
        batch = broke();
        break;
      }
      batch = chunk === undefined ? ended() : arrive(chunk);
    }
    isWaiting = false;
    if (batch.type === "broken") broken = batch;
    return batch;
  };
  return { headers: response.headers, read, close, drained: () => draining };
}

const BLANK_LINE = new Uint8Array([10, 10]);

const CUT: Failure = {
  kind: "cut-short",
  message: "The backend's stream ended before its last event.",
};
const RESET: Failure = {
  kind: "cut-short",
  message: "The connection to the backend broke in the middle of the stream.",
};
const SILENT_START: Failure = {
  kind: "timeout",
  message: "The backend began an answer and then sent no event in time (first-event-timeout-sec).",
};
const SILENT: Failure = {
  kind: "timeout",
  message: "The backend fell silent in the middle of the stream (event-idle-timeout-sec).",
};
const CLOSED: Failure = { kind: "client-left", message: "The turn was closed." };
