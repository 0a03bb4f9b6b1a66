import type { Cancel, Clock, Millis } from "../wire/clock.ts";

/** Lets background calls go one by one with a pause between their starts: the backend dislikes bursts. */
export type Pacer = {
  /** Runs `task` in its turn, with at most `most` of all tasks at a time. */
  readonly run: <T>(most: number, task: () => Promise<T>) => Promise<T>;
};

/** Calls at a time where the configuration leaves it to the program. */
export const USUAL_MOST = 3;

// Between two starts, with the usual number at a time; half of it or half as much again by chance.
const PAUSE_MS = 1000;

/** A pacer. Who came first goes first; whoever allows more at a time also has shorter pauses. */
export function createPacer({
  clock,
  chance,
}: {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly chance: () => number;
}): Pacer {
  const waiting: { readonly most: number; readonly start: () => void }[] = [];
  let running = 0;
  let nextMs: Millis = Number.NEGATIVE_INFINITY;
  let timer: Cancel | undefined;

  const pauseMs = (most: number): Millis => (PAUSE_MS * USUAL_MOST * (0.5 + chance())) / most;

  /** How long the next start has to wait. A clock that was set back must not make it wait for the step. */
  const waitMs = (): Millis => {
    const leftMs = nextMs - clock.now();
    return leftMs > 2 * PAUSE_MS * USUAL_MOST ? 0 : leftMs;
  };

  const admit = (): void => {
    for (let first = waiting[0]; first !== undefined && timer === undefined; first = waiting[0]) {
      if (running >= first.most) return;
      const leftMs = waitMs();
      if (leftMs > 0) {
        timer = clock.after(leftMs, () => {
          timer = undefined;
          admit();
        });
        return;
      }
      waiting.shift();
      running += 1;
      nextMs = clock.now() + pauseMs(first.most);
      first.start();
    }
  };

  return {
    run: async (most, task) => {
      await new Promise<void>((resolve) => {
        waiting.push({ most: Math.max(most, 1), start: resolve });
        admit();
      });
      try {
        return await task();
      } finally {
        running -= 1;
        admit();
      }
    },
  };
}
