import { expect, test } from "bun:test";
import { watchLag } from "../../src/engine/lag.ts";
import { createManualClock } from "../support/clock.ts";
import { NOON } from "./parts.ts";

test("a timer that comes late tells by how much, twice a second, until it is stopped", () => {
  const clock = createManualClock(NOON);
  const seen: number[] = [];
  let heldMs = 0;
  const elapsedMs = (): number => clock.now() - NOON + heldMs;
  const stop = watchLag({ clock, elapsedMs, observe: (lateMs) => seen.push(lateMs) });
  clock.advance(500);
  heldMs = 120;
  clock.advance(500);
  clock.advance(500);
  // Early, by some rounding: that is no lag.
  heldMs = 119;
  clock.advance(500);
  expect(seen).toEqual([0, 120, 0, 0]);
  stop();
  clock.advance(5000);
  expect(seen).toHaveLength(4);
});
