/** Runs tasks side by side, but those of one lane one after the other. */
export type Lanes = { readonly run: <T>(lane: string, task: () => Promise<T>) => Promise<T> };

/** At most `limit` tasks run at a time over all lanes; who asked first goes first. */
export function createLanes(limit: () => number): Lanes {
  const tails = new Map<string, Promise<unknown>>();
  const waiting: (() => void)[] = [];
  let running = 0;

  /** Hands free places to those who wait, so that nobody who comes in between takes them. */
  const admit = (): void => {
    while (waiting.length > 0 && running < Math.max(limit(), 1)) {
      running += 1;
      waiting.shift()?.();
    }
  };
  const enter = (): Promise<void> =>
    new Promise((resolve) => {
      waiting.push(resolve);
      admit();
    });
  const leave = (): void => {
    running -= 1;
    admit();
  };

  return {
    run: (lane, task) => {
      const turn = async () => {
        await enter();
        try {
          return await task();
        } finally {
          leave();
        }
      };
      const before = tails.get(lane) ?? Promise.resolve();
      const result = before.then(turn, turn);
      tails.set(lane, result);
      const forget = (): void => {
        if (tails.get(lane) === result) tails.delete(lane);
      };
      result.then(forget, forget);
      return result;
    },
  };
}
