import { platform } from "#platform";
import type { Sink } from "../platform/platform.ts";
import { type Cancel, type Clock, systemClock } from "./clock.ts";

/** Takes finished lines and writes them when it suits; never blocks the caller. */
export type Output = {
  readonly write: (line: string) => void;
  /** Resolves when everything taken so far is written, or nobody is there any more to read it. */
  readonly end: () => Promise<void>;
};

const FLUSH_MS = 10;
const MOST_WAITING = 10_000;

/** Standard error, written in batches: a synchronous write would stop the whole program while a pipe is full (runtime.md 14). */
export function openStandardError(): Output {
  return createOutput(platform.openStandardError(), systemClock);
}

/**
 * Lines in batches, one batch at a time. When the reader is so slow that lines pile up, the newest are dropped and
 * their number told. A sink that fails loses what it was given, and is tried again with the next lines.
 */
export function createOutput(sink: Sink, clock: Pick<Clock, "after">): Output {
  let waiting: string[] = [];
  let dropped = 0;
  let flushing: Promise<void> | undefined;
  let cancel: Cancel | undefined;

  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      let batch = waiting.join("");
      if (dropped > 0) batch += `(${dropped} log lines dropped: nobody reads them)\n`;
      waiting = [];
      dropped = 0;
      await sink.write(batch);
      await sink.flush();
    }
  };
  const start = async (): Promise<void> => {
    cancel?.();
    cancel = undefined;
    flushing ??= flush();
    try {
      await flushing;
    } catch {
      // A closed standard error leaves nobody to tell.
    } finally {
      flushing = undefined;
    }
    // Lines that came between the last look and now.
    if (waiting.length > 0) plan();
  };
  const plan = (): void => {
    cancel ??= clock.after(FLUSH_MS, () => void start());
  };
  return {
    write: (line) => {
      if (waiting.length >= MOST_WAITING) {
        dropped += 1;
        return;
      }
      waiting.push(line);
      if (flushing === undefined) plan();
    },
    end: async () => {
      await start();
      await start();
    },
  };
}
