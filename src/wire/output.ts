/** Takes finished lines and writes them when it suits; never blocks the caller. */
export type Output = {
  readonly write: (line: string) => void;
  /** Resolves when everything taken so far is written. */
  readonly end: () => Promise<void>;
};

const FLUSH_MS = 10;
const MOST_WAITING = 10_000;

/**
 * Standard error, written in batches: a synchronous write would stop the whole program while a pipe is full
 * (runtime.md 14). When the reader is so slow that lines pile up, the newest are dropped and their number told.
 */
export function openStandardError(): Output {
  const sink = Bun.stderr.writer();
  let waiting: string[] = [];
  let dropped = 0;
  let flushing: Promise<void> | undefined;
  let timer: Timer | undefined;

  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      const lines = waiting;
      waiting = [];
      sink.write(lines.join(""));
      if (dropped > 0) sink.write(`(${dropped} log lines dropped: nobody reads them)\n`);
      dropped = 0;
      await sink.flush();
    }
  };
  const start = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    flushing ??= flush().finally(() => {
      flushing = undefined;
    });
    return flushing;
  };
  return {
    write: (line) => {
      if (waiting.length >= MOST_WAITING) {
        dropped += 1;
        return;
      }
      waiting.push(line);
      if (flushing !== undefined || timer !== undefined) return;
      timer = setTimeout(() => {
        // A closed standard error leaves nobody to tell.
        start().catch(() => {});
      }, FLUSH_MS);
      timer.unref();
    },
    end: async () => {
      await start();
      await start();
    },
  };
}
