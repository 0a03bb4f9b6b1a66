import type { BodyWriting } from "../platform.ts";

// As much as a kernel usually takes for a connection that nobody reads.
const ROOM_BYTES = 65_536;

/** A body that writes itself, as a stream that is pulled from. */
export function openBody(writing: BodyWriting): ReadableStream<Uint8Array> {
  let isBegun = false;
  let isOver = false;
  let broken: { readonly cause: unknown } | undefined;
  // Who waits for room.
  let full: Promise<void> | undefined;
  let resolve = (): void => {};

  const makeRoom = (): void => {
    resolve();
    full = undefined;
  };
  const run = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    const end = (close: () => void): void => {
      if (!isOver) close();
      isOver = true;
    };
    try {
      await writing.pull({
        write: (piece) => {
          if (isOver) return 0;
          controller.enqueue(piece);
          if ((controller.desiredSize ?? 0) > 0) return piece.byteLength;
          full ??= new Promise((fulfil) => {
            resolve = fulfil;
          });
          return full.then(() => piece.byteLength);
        },
        flush: () => {},
        close: () => end(() => controller.close()),
      });
    } catch (cause) {
      broken = { cause };
      breakOff(controller);
    }
  };

  /** What was written before goes out first: an error takes away all that still waits. */
  const breakOff = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    if (isOver || broken === undefined || controller.desiredSize !== ROOM_BYTES) return;
    isOver = true;
    controller.error(broken.cause);
  };

  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        makeRoom();
        breakOff(controller);
        if (isBegun) return;
        isBegun = true;
        void run(controller);
      },
      cancel: () => {
        isOver = true;
        makeRoom();
        writing.cancel();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: ROOM_BYTES }),
  );
}
