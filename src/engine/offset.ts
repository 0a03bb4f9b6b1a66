import type { Millis } from "../wire/clock.ts";

/** Another clock's moment, and between which moments of one's own it was read. */
export type ClockReading = {
  readonly sentMs: Millis;
  readonly atMs: Millis;
  readonly gotMs: Millis;
};

/** How far another clock is ahead of one's own. */
export type Offset = {
  readonly learn: (reading: ClockReading) => void;
  /** Undefined until something has been learnt. */
  readonly byMs: () => Millis | undefined;
};

/**
 * An offset that stays as it is for as long as each reading allows it, and otherwise changes no more than it must: so
 * what was told once is the same moment the next time, however long the answers take.
 */
export function createOffset(): Offset {
  let byMs: Millis | undefined;
  return {
    learn: ({ sentMs, atMs, gotMs }) => {
      const [least, most] = [atMs - gotMs, atMs - sentMs];
      // One's own clock was set while the answer was on its way: what it says now is what counts.
      if (least > most) byMs = least;
      else byMs = Math.min(Math.max(byMs ?? Math.round((least + most) / 2), least), most);
    },
    byMs: () => byMs,
  };
}
