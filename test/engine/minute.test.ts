import { expect, test } from "bun:test";
import fc from "fast-check";
import { createMinute } from "../../src/engine/minute.ts";
import { NOON } from "./parts.ts";

test("there is room until as many have come, and again when the first of them is a minute old", () => {
  const minute = createMinute();
  expect(minute.freeAt(2, NOON)).toBeUndefined();
  minute.add(NOON + 900);
  minute.add(NOON + 20_000);
  const freeMs = minute.freeAt(2, NOON + 30_000) ?? 0;
  expect(freeMs).toBe(NOON + 61_000);
  // Lowered while it runs: both must have gone.
  expect(minute.freeAt(1, NOON + 30_000)).toBe(NOON + 81_000);
  expect(minute.freeAt(2, freeMs - 1)).toBe(freeMs);
  expect(minute.freeAt(2, freeMs)).toBeUndefined();
});

test("in no 60 seconds there are more than allowed, and whoever waits as told gets in", () => {
  const steps = fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 20, maxLength: 120 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 6 }), (pauses, most) => {
      const minute = createMinute();
      const taken: number[] = [];
      let now = NOON;
      for (const pauseMs of pauses) {
        now += pauseMs;
        const freeMs = minute.freeAt(most, now);
        if (freeMs !== undefined) {
          expect(freeMs).toBeGreaterThan(now);
          expect(freeMs).toBeLessThanOrEqual(now + 61_000);
          now = freeMs;
          expect(minute.freeAt(most, now)).toBeUndefined();
        }
        minute.add(now);
        taken.push(now);
        const recent = taken.filter((atMs) => atMs > now - 60_000);
        expect(recent.length).toBeLessThanOrEqual(most);
      }
    }),
  );
});

test("a clock that is set back begins a new minute instead of refusing for as long as the step", () => {
  const minute = createMinute();
  minute.add(NOON);
  expect(minute.freeAt(1, NOON)).toBeDefined();
  expect(minute.freeAt(1, NOON - 3_600_000)).toBeUndefined();
});
