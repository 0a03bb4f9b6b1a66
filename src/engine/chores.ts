import type { Cancel, Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";

/** Something done again and again in the background. */
export type Chore = {
  readonly name: string;
  /** Wait from the end of one run to the start of the next; read anew each time. 0 = off for now. */
  readonly everyMs: () => Millis;
  readonly run: () => Promise<void>;
};

// No longer at a time, so that a wait which a configuration reload has made shorter, or switched on, is noticed soon.
const STEP_MS = 30_000;

/** Runs `chores` until the returned function is called. A run that fails is logged, and the next one comes. */
export function startChores(chores: readonly Chore[], clock: Clock, log: Log): Cancel {
  const cancels = new Map<string, Cancel>();
  let isStopped = false;
  /** Waits on. What has been waited is the sum of the steps: the time of day may be set while it waits. */
  const plan = (chore: Chore, waitedMs: Millis = 0): void => {
    if (isStopped) return;
    const everyMs = chore.everyMs();
    const leftMs = everyMs - waitedMs;
    if (everyMs > 0 && leftMs <= 0) {
      void go(chore);
      return;
    }
    const isOff = everyMs <= 0;
    const stepMs = isOff ? STEP_MS : Math.min(leftMs, STEP_MS);
    const next = (): void => plan(chore, isOff ? 0 : waitedMs + stepMs);
    cancels.set(chore.name, clock.after(stepMs, next));
  };
  const go = async (chore: Chore): Promise<void> => {
    try {
      await chore.run();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      log.error("a background task failed", { task: chore.name, reason });
    }
    plan(chore);
  };
  for (const chore of chores) plan(chore);
  return () => {
    isStopped = true;
    for (const cancel of cancels.values()) cancel();
  };
}
