import { platform } from "#platform";
import type { Watched } from "../engine/watch.ts";
import type { BodyOutlet, BodyWriting } from "../platform/platform.ts";
import type { StreamEncoder } from "../protocols/protocol.ts";
import type { Failure } from "../turn/failure.ts";
import { isTerminal } from "../turn/step.ts";
import { type Clock, watchSilence } from "../wire/clock.ts";
import { joined } from "../wire/sse.ts";
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

/**
 * The body of a streamed answer to a turn that has come whole: it goes out in one piece, without the cost of a stream.
 * Nothing has been told yet where this throws.
 */
export async function wholeReply(
  turn: Watched,
  encoder: StreamEncoder,
  { onWrite, onEnd }: Pick<ReplyOptions, "onWrite" | "onEnd">,
): Promise<Uint8Array> {
  try {
    const batch = await turn.read();
    const body = joined(batch.type === "steps" ? encoder.push(batch.steps) : []);
    onWrite(body.length);
    onEnd(undefined);
    return body;
  } finally {
    turn.close();
  }
}

/** The body of a streamed answer. */
export function streamReply(
  source: Source,
  encoder: StreamEncoder,
  options: ReplyOptions,
): ReadableStream<Uint8Array> {
  return platform.openBody(writeReply(source, encoder, options));
}

/**
 * Writes a streamed answer. A slow client slows the backend down, a client that leaves ends its work, and a
 * backend that fails in the middle is told in the protocol's own form.
 *
 * Written straight to the runtime, which takes a chunk at once or gives a promise for
 * the moment when it has room again. For each event that is less work than a queue that is pulled from.
 */
export function writeReply(
  source: Source,
  encoder: StreamEncoder,
  options: ReplyOptions,
): BodyWriting {
  const isPending = source instanceof Promise;
  let turn = isPending ? undefined : source;
  let isOver = false;
  let isGivenUp = false;
  // Written bytes wait for the client to read.
  let full: Promise<void> | undefined;
  let dog = watchSilence(options.clock, 0, () => {});
  // How often there was room again.
  let takes = 0;
  // Ends the wait for room.
  let wake = (): void => {};
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
  // Begun here and not when the runtime asks: a client may leave before that, and the turn must be closed all the same.
  const arrival = isPending ? arrive() : undefined;

  const put = (to: BodyOutlet, piece: Uint8Array): void => {
    const taken = to.write(piece);
    if (typeof taken === "number") return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const room = (): void => {
      takes += 1;
      if (full === promise) full = undefined;
      resolve();
    };
    taken.then(room, room);
    full = promise;
    wake = resolve;
  };

  const write = (to: BodyOutlet, pieces: readonly Uint8Array[]): void => {
    if (pieces.length === 0) return;
    for (const piece of pieces) {
      put(to, piece);
      options.onWrite(piece.length);
    }
    to.flush();
    dog.touch();
  };

  const beat = (to: BodyOutlet): void => {
    // With unread bytes before it, a sign of life would only pile up.
    if (isOver || full !== undefined) return;
    put(to, encoder.heartbeat);
    to.flush();
  };

  /** Writes the turn to its end; what comes back is the failure that the client was told of. */
  const relay = async (from: Watched, to: BodyOutlet): Promise<Failure | undefined> => {
    for (;;) {
      const batch = await from.read();
      if (isOver || batch.type === "end") return undefined;
      if (batch.type === "broken") {
        write(to, encoder.fail(batch.failure));
        return batch.failure;
      }
      write(to, encoder.push(batch.steps));
      const last = batch.steps.at(-1);
      if (last !== undefined && isTerminal(last.role)) return undefined;
      if (full !== undefined) await full;
    }
  };

  /** Gives a client up that takes nothing of what is there for it. */
  const giveUp = (): void => {
    isGivenUp = true;
    finish(UNREAD);
    options.onUnread();
    wake();
  };

  /** The whole answer. */
  const tell = async (to: BodyOutlet): Promise<Failure | undefined> => {
    if (isOver) return undefined;
    const reader = { takes: () => takes, isWaited: () => full !== undefined };
    unwatch = watchReader(options.clock, options.unreadMs, reader, giveUp);
    // The runtime sends the headers with the first byte, and whoever waits early waits for a sign of life.
    if (isPending) beat(to);
    dog = watchSilence(options.clock, options.heartbeatMs, () => beat(to));
    const begun = turn ?? (await arrival);
    if (begun === undefined || isOver) return undefined;
    if (!("kind" in begun)) return relay(begun, to);
    write(to, encoder.fail(begun));
    return begun;
  };

  return {
    pull: async (to) => {
      let failure: Failure | undefined;
      try {
        failure = await tell(to);
      } catch (cause) {
        failure = options.onFault(cause);
        if (isOver) return;
        finish(failure);
        // If this throws too, the connection breaks: no normal finish either.
        for (const piece of encoder.fail(failure)) to.write(piece);
      }
      // For a client that reads on before its connection is gone: this is no normal end.
      if (isGivenUp) throw new Error(UNREAD.message);
      if (!isOver) finish(failure);
      to.close();
    },
    cancel: () => {
      options.onLeave();
      finish({ kind: "client-left", message: "The client went away." });
    },
  };
}
