import type { Millis } from "../wire/clock.ts";

/** Counts what happened within the last minute, in a fixed amount of memory however much it is. */
export type Minute = {
  readonly add: (nowMs: Millis) => void;
  /** When there will be fewer than `most` within a minute; undefined where there are now. */
  readonly freeAt: (most: number, nowMs: Millis) => Millis | undefined;
};

// Sixty whole seconds and the one that is under way: what began in the first of them counts a little longer than a
// minute, so that in no span of 60 seconds there are more than allowed.
const SECONDS = 61;

/** A minute in which nothing has happened: one number for each of its seconds. */
export function createMinute(): Minute {
  let perSecond: Uint32Array | undefined;
  let total = 0;
  let last = 0;

  const turnTo = (nowMs: Millis): Uint32Array => {
    const second = Math.floor(nowMs / 1000);
    // Only keys with a limit need the room.
    perSecond ??= new Uint32Array(SECONDS);
    if (second < last) {
      // The clock was set back: to count what lies ahead of it would refuse everything for as long as the step.
      perSecond.fill(0);
      total = 0;
      last = second;
    }
    for (let passed = Math.max(last + 1, second - SECONDS + 1); passed <= second; passed++) {
      total -= perSecond[passed % SECONDS] ?? 0;
      perSecond[passed % SECONDS] = 0;
    }
    last = second;
    return perSecond;
  };

  return {
    add: (nowMs) => {
      const slots = turnTo(nowMs);
      slots[last % SECONDS] = (slots[last % SECONDS] ?? 0) + 1;
      total += 1;
    },
    freeAt: (most, nowMs) => {
      const slots = turnTo(nowMs);
      let over = total - most + 1;
      for (let second = last - SECONDS + 1; over > 0; second++) {
        over -= slots[second % SECONDS] ?? 0;
        if (over <= 0) return (second + SECONDS) * 1000;
      }
      return undefined;
    },
  };
}
