import type { Clock, Millis } from "../../src/wire/clock.ts";

/** A clock that stands still until it is moved. */
export type ManualClock = Clock & {
  /** Moves time on and fires what falls due on the way, in order, each at its own moment. */
  readonly advance: (ms: Millis) => void;
};

/** A manual clock that begins at `startMs`. */
export function createManualClock(startMs: Millis): ManualClock {
  type Timer = { readonly dueMs: Millis; readonly fire: () => void };
  const timers = new Set<Timer>();
  let nowMs = startMs;

  const nextUntil = (endMs: Millis): Timer | undefined => {
    let next: Timer | undefined;
    // A set keeps the order of insertion, so of two timers due at once the older one is first.
    for (const timer of timers) {
      if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  };
  return {
    now: () => nowMs,
    after: (delayMs, fire) => {
      const timer = { dueMs: nowMs + Math.max(delayMs, 0), fire };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance: (ms) => {
      const endMs = nowMs + ms;
      for (let timer = nextUntil(endMs); timer !== undefined; timer = nextUntil(endMs)) {
        timers.delete(timer);
        nowMs = Math.max(nowMs, timer.dueMs);
        timer.fire();
      }
      nowMs = endMs;
    },
  };
}
