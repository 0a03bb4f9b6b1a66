/** Runs tasks side by side, but those of one lane one after the other. */
export type Lanes = { readonly run: <T>(lane: string, task: () => Promise<T>) => Promise<T> };

/** At most `limit` tasks run at a time over all lanes; who asked first goes first. */
export function createLanes(limit: () => number): Lanes {
  const tails = new Map<string, Promise<unknown>>();
  const waiting: (() => void)[] = [];
  let running = 0;

  const enter = async (): Promise<void> => {
    while (running >= Math.max(limit(), 1)) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    running += 1;
  };
  const leave = (): void => {
    running -= 1;
    waiting.shift()?.();
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
