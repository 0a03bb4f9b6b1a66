import type { Socket } from "node:net";
import { EndedError } from "./trouble.ts";

/** Reads the few bytes that come before a connection is handed on. */
export type Intake = {
  /**
   * The next `count` bytes.
   * @throws EndedError where fewer come, and whatever breaks the connection
   */
  readonly take: (count: number) => Promise<Buffer>;
  /**
   * All up to the next blank line, without it; undefined where none comes within `mostBytes`.
   * @throws EndedError where the connection ends before, and whatever breaks it
   */
  readonly takeHead: (mostBytes: number) => Promise<string | undefined>;
  /** Ends the reading, which leaves the connection at rest; what has come already and was not taken. */
  readonly release: () => Buffer;
};

const BLANK_LINE = "\r\n\r\n";
const FIRST_BYTES = 1024;
// Nothing that is taken in whole is longer; what comes beyond it waits outside.
const MOST_HELD = 64 * 1024;

/** Begins to read a connection, bounded in memory whatever the other side sends. */
export function createIntake(socket: Socket): Intake {
  let store = Buffer.alloc(FIRST_BYTES);
  let length = 0;
  let fault: Error | undefined;
  let mostHeld = MOST_HELD;
  let wake = (): void => {};

  const keep = (chunk: Buffer): void => {
    if (length + chunk.length > store.length) {
      const larger = Buffer.alloc(Math.max(store.length * 2, length + chunk.length));
      store.copy(larger, 0, 0, length);
      store = larger;
    }
    chunk.copy(store, length);
    length += chunk.length;
    if (length > mostHeld) socket.pause();
    wake();
  };
  const onEnd = (): void => fail(new EndedError("the connection ended"));
  const fail = (cause: Error): void => {
    fault ??= cause;
    wake();
  };
  socket.on("data", keep).on("end", onEnd).on("close", onEnd).on("error", fail);

  /** Waits until there is more, or will be none. */
  const more = async (): Promise<void> => {
    if (fault !== undefined) throw fault;
    const { promise, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    if (length <= mostHeld) socket.resume();
    await promise;
  };

  const cut = (count: number): Buffer => {
    const taken = Buffer.from(store.subarray(0, count));
    store.copyWithin(0, count, length);
    length -= count;
    return taken;
  };

  return {
    take: async (count) => {
      while (length < count) await more();
      return cut(count);
    },
    takeHead: async (mostBytes) => {
      mostHeld = Math.max(mostBytes, MOST_HELD);
      let searched = 0;
      for (;;) {
        // The last bytes again, since the mark may have come in pieces.
        const at = store.subarray(0, length).indexOf(BLANK_LINE, Math.max(searched - 3, 0));
        if (at >= 0 && at <= mostBytes) {
          return cut(at + BLANK_LINE.length)
            .subarray(0, at)
            .toString("latin1");
        }
        if (at >= 0 || length > mostBytes) return undefined;
        searched = length;
        await more();
      }
    },
    release: () => {
      socket.pause();
      socket.off("data", keep).off("end", onEnd).off("close", onEnd).off("error", fail);
      return cut(length);
    },
  };
}
