import type { Cancel, Clock, Millis } from "../wire/clock.ts";

/** What measuring the event loop needs. */
export type LagPorts = {
  readonly clock: Pick<Clock, "after">;
  /** Time that never goes back, whatever is done to the machine's clock. */
  readonly elapsedMs: () => Millis;
  readonly observe: (lateMs: Millis) => void;
};

// Often enough to meet what holds the loop up for long, rarely enough to cost nothing.
const EVERY_MS = 500;

/** Measures twice a second by how much a timer comes late: for so long everybody waited. */
export function watchLag({ clock, elapsedMs, observe }: LagPorts): Cancel {
  let cancel: Cancel = () => {};
  const arm = (): void => {
    const dueMs = elapsedMs() + EVERY_MS;
    cancel = clock.after(EVERY_MS, () => {
      observe(Math.max(elapsedMs() - dueMs, 0));
      arm();
    });
  };
  arm();
  return () => cancel();
}
