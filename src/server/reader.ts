import type { Cancel, Clock, Millis } from "../wire/clock.ts";

/** Whoever takes an answer, seen from the side that writes it. */
export type Reader = {
  /** How often something more was asked for. */
  readonly takes: () => number;
  /** Whether something is written that waits to be taken. */
  readonly isWaited: () => boolean;
};

// In one limit. A reader is found out after it, and before half of it more has passed.
const LOOKS = 4;

/**
 * Calls `onStuck` once when something has waited for `limitMs` and nothing was taken meanwhile. A reader that takes
 * something is let be, and so is one for whom there is nothing. Looks now and then, so that writing costs
 * nothing more. A limit of 0 means no watching.
 */
export function watchReader(
  clock: Pick<Clock, "after">,
  limitMs: Millis,
  { takes, isWaited }: Reader,
  onStuck: () => void,
): Cancel {
  if (limitMs <= 0) return () => {};
  let seen = takes();
  let looksInVain = 0;
  let cancel: Cancel = () => {};
  const look = (): void => {
    const isStuck = isWaited() && takes() === seen;
    looksInVain = isStuck ? looksInVain + 1 : 0;
    seen = takes();
    if (looksInVain > LOOKS) onStuck();
    else cancel = clock.after(limitMs / LOOKS, look);
  };
  cancel = clock.after(limitMs / LOOKS, look);
  return () => cancel();
}
