import type { Watched } from "../engine/watch.ts";
import type { StreamEncoder } from "../protocols/protocol.ts";
import type { Failure } from "../turn/failure.ts";
import { isTerminal } from "../turn/step.ts";
import { type Clock, watchSilence } from "../wire/clock.ts";
import { watchReader } from "./reader.ts";
import { UNREAD } from "./visit.ts";

/** A turn that is to be streamed: at hand, or still being fought for while the client is already kept warm. */
export type Source = Watched | Promise<Watched | Failure>;

/** What a streamed reply needs beside its source. */
export type ReplyOptions = {
  readonly clock: Clock;
  /** Silence towards the client after which a sign of life is sent. 0 = none. */
  readonly heartbeatMs: number;
  /** For each write to the client. */
  readonly onWrite: (bytes: number) => void;
  /** Once, at the end, however it came; `failure` is what the client was told inside the stream. */
  readonly onEnd: (failure: Failure | undefined) => void;
  /** How long something may wait for a client that takes nothing. 0 = for ever. */
  readonly unreadMs: number;
  /** It waited longer: the turn is over, and the connection should be. */
  readonly onUnread: () => void;
  /** The client went away. */
  readonly onLeave: () => void;
  /** A fault of this program's own: tells it to the log, and says what the client is told. */
  readonly onFault: (cause: unknown) => Failure;
};

type Ending = { readonly failure?: Failure };

/**
 * The body of a streamed answer. Pull-driven: a slow client slows the backend down, a client that leaves ends its
 * work, and a backend that fails in the middle is told in the protocol's own form.
 */
export function streamReply(
  source: Source,
  encoder: StreamEncoder,
  options: ReplyOptions,
): ReadableStream<Uint8Array> {
  const isPending = source instanceof Promise;
  let turn = isPending ? undefined : source;
  let isOver = false;
  let dog = watchSilence(options.clock, 0, () => {});
  let takes = 0;
  let unwatch = (): void => {};

  const finish = (failure?: Failure): void => {
    if (isOver) return;
    isOver = true;
    dog.stop();
    unwatch();
    turn?.close();
    options.onEnd(failure);
  };

  const arrive = async (): Promise<Watched | Failure> => {
    try {
      const begun = await source;
      if ("kind" in begun) return begun;
      turn = begun;
      if (isOver) turn.close();
      return turn;
    } catch (cause) {
      return options.onFault(cause);
    }
  };
  // Begun here and not by the first pull: a client may leave before that, and the turn must be closed all the same.
  const arrival = isPending ? arrive() : undefined;

  const write = (controller: Controller, pieces: readonly Uint8Array[]): void => {
    for (const piece of pieces) {
      controller.enqueue(piece);
      options.onWrite(piece.length);
    }
    dog.touch();
  };

  const tell = (failure: Failure, controller: Controller): Ending => {
    write(controller, encoder.fail(failure));
    return { failure };
  };

  /** Reads on until something was written; tells how it ended if that was the end. */
  const relay = async (from: Watched, controller: Controller): Promise<Ending | undefined> => {
    for (;;) {
      const batch = await from.read();
      if (isOver || batch.type === "end") return {};
      if (batch.type === "broken") return tell(batch.failure, controller);
      const pieces = encoder.push(batch.steps);
      write(controller, pieces);
      const last = batch.steps.at(-1);
      if (last !== undefined && isTerminal(last.role)) return {};
      if (pieces.length > 0) return undefined;
    }
  };

  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      // The runtime sends the headers with the first byte, and whoever waits early waits for a sign of life.
      if (isPending) controller.enqueue(encoder.heartbeat);
      dog = watchSilence(options.clock, options.heartbeatMs, () => {
        // With unread bytes before it, a sign of life would only pile up.
        if (!isOver && (controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.heartbeat);
      });
      const reader = { takes: () => takes, isWaited: () => (controller.desiredSize ?? 0) <= 0 };
      unwatch = watchReader(options.clock, options.unreadMs, reader, () => {
        finish(UNREAD);
        options.onUnread();
        // For a client that reads on before its connection is gone: this is no normal end.
        controller.error(new Error(UNREAD.message));
      });
    },
    pull: async (controller) => {
      takes += 1;
      let ending: Ending | undefined;
      try {
        const begun = turn ?? (await arrival);
        if (begun === undefined || isOver) return;
        ending = "kind" in begun ? tell(begun, controller) : await relay(begun, controller);
      } catch (cause) {
        const failure = options.onFault(cause);
        if (isOver) return;
        finish(failure);
        // If this throws too, the connection breaks: no normal finish either.
        for (const piece of encoder.fail(failure)) controller.enqueue(piece);
        controller.close();
        return;
      }
      if (ending === undefined || isOver) return;
      finish(ending.failure);
      controller.close();
    },
    cancel: () => {
      options.onLeave();
      finish({ kind: "client-left", message: "The client went away." });
    },
  });
}

type Controller = ReadableStreamDefaultController<Uint8Array>;
