import { inLane } from "../protocols/responses/server-frame.ts";
import { type Clock, type Millis, watchSilence } from "../wire/clock.ts";
import type { Dict } from "../wire/json.ts";

/** The wire of one WebSocket. */
export type Channel = {
  /** Sends text frames together; false when they wait in memory because the other side does not read. */
  readonly send: (frames: readonly string[]) => boolean;
  readonly ping: () => void;
  readonly close: (code: number, reason: string) => void;
  /** Breaks the connection off: who does not read would not read a farewell either. */
  readonly end: () => void;
};

/** The way out of one WebSocket, shared by its lanes. Every method tells how many bytes went. */
export type Outlet = {
  /** Sends at once, for answers that nobody should wait for. */
  readonly tell: (lane: string, events: readonly Dict[]) => number;
  /** Sends when the other side has read what came before: a slow reader slows the backend down. */
  readonly write: (lane: string, frames: readonly string[]) => Promise<number>;
  /** What had waited in memory has gone out. */
  readonly drain: () => void;
  /** The other side has given a sign of life: it has sent something, or taken some of what waits for it. */
  readonly heard: () => void;
  /** The connection is over; whoever still waits goes on, and nothing more is sent. */
  readonly close: () => void;
};

// How long nothing may come from the other side until it is asked, and then until it is given up.
const PATIENCE_MS = 60_000;

/**
 * An outlet that pings whenever it has sent nothing for `heartbeatMs`; 0 = it does so only to ask who has long been
 * silent. A side that does not answer is gone, however well what is sent to it seems to go out.
 */
export function createOutlet(channel: Channel, clock: Clock, heartbeatMs: Millis): Outlet {
  const dog = watchSilence(clock, heartbeatMs, channel.ping);
  let isAsked = false;
  const peer = watchSilence(clock, PATIENCE_MS, () => {
    if (isAsked) channel.end();
    else channel.ping();
    isAsked = true;
  });
  let isClosed = false;
  let waiting: PromiseWithResolvers<void> | undefined;

  const send = (lane: string, frames: readonly string[]): number => {
    if (isClosed || frames.length === 0) return 0;
    const out = frames.map((frame) => inLane(lane, frame));
    if (!channel.send(out)) waiting ??= Promise.withResolvers();
    dog.touch();
    return out.reduce((sum, frame) => sum + Buffer.byteLength(frame), 0);
  };

  const drain = (): void => {
    waiting?.resolve();
    waiting = undefined;
  };

  return {
    tell: (lane, events) => {
      const frames = events.map((event) => JSON.stringify(event));
      return send(lane, frames);
    },
    write: async (lane, frames) => {
      let bytes = 0;
      for (const portion of portionsOf(frames)) {
        // Asked again after each wait: another lane may have been quicker.
        while (waiting !== undefined) await waiting.promise;
        bytes += send(lane, portion);
      }
      return bytes;
    },
    drain,
    heard: () => {
      isAsked = false;
      peer.touch();
    },
    close: () => {
      isClosed = true;
      dog.stop();
      peer.stop();
      drain();
    },
  };
}

// Frames of no more than this go out together. A larger one, such as an image, goes alone: two of them would fill
// the memory in which they wait, and the runtime drops what does not fit.
const PORTION_LENGTH = 1_048_576;

function portionsOf(frames: readonly string[]): readonly (readonly string[])[] {
  const portions: string[][] = [];
  let room = 0;
  for (const frame of frames) {
    if (frame.length > room || portions.length === 0) {
      portions.push([]);
      room = PORTION_LENGTH;
    }
    portions.at(-1)?.push(frame);
    room -= frame.length;
  }
  return portions;
}
