import type { Cancel, Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";

/** Something done again and again in the background. */
export type Chore = {
  readonly name: string;
  /** Wait from the end of one run to the start of the next; read anew each time. 0 = off for now. */
  readonly everyMs: () => Millis;
  readonly run: () => Promise<void>;
};

// A chore that is switched off looks again now and then whether a configuration reload has switched it on.
const OFF_MS = 30_000;

/** Runs `chores` until the returned function is called. A run that fails is logged, and the next one comes. */
export function startChores(chores: readonly Chore[], clock: Clock, log: Log): Cancel {
  const cancels = new Map<string, Cancel>();
  let isStopped = false;
  const plan = (chore: Chore): void => {
    if (isStopped) return;
    const waitMs = chore.everyMs();
    const next = waitMs > 0 ? () => void go(chore) : () => plan(chore);
    cancels.set(chore.name, clock.after(waitMs > 0 ? waitMs : OFF_MS, next));
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
