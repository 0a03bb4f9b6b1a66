import { describe, expect, test } from "bun:test";
import { watchReader } from "../../src/server/reader.ts";
import { createManualClock } from "../support/clock.ts";

const LIMIT_MS = 1000;

function stage(limitMs = LIMIT_MS) {
  const clock = createManualClock(0);
  const reader = { taken: 0, isWaited: true };
  let stuck = 0;
  const unwatch = watchReader(
    clock,
    limitMs,
    { takes: () => reader.taken, isWaited: () => reader.isWaited },
    () => {
      stuck += 1;
    },
  );
  return { clock, reader, unwatch, stuck: () => stuck };
}

describe("a reader", () => {
  test("who takes nothing of what waits is told of once, after the limit and half of it at most", () => {
    const { clock, stuck } = stage();
    clock.advance(LIMIT_MS);
    expect(stuck()).toBe(0);
    clock.advance(LIMIT_MS / 4);
    expect(stuck()).toBe(1);
    clock.advance(100 * LIMIT_MS);
    expect(stuck()).toBe(1);
  });

  test("for whom nothing waits may be silent for ever", () => {
    const { clock, reader, stuck } = stage();
    reader.isWaited = false;
    clock.advance(1000 * LIMIT_MS);
    expect(stuck()).toBe(0);
  });

  test("who takes a little now and then is let be", () => {
    const { clock, reader, stuck } = stage();
    for (let turn = 0; turn < 50; turn++) {
      clock.advance(LIMIT_MS * 0.9);
      reader.taken += 1;
    }
    expect(stuck()).toBe(0);
  });

  test("has the whole limit from the last time that it took something", () => {
    const { clock, reader, stuck } = stage();
    clock.advance(LIMIT_MS * 0.9);
    reader.taken += 1;
    clock.advance(LIMIT_MS);
    expect(stuck()).toBe(0);
    clock.advance(LIMIT_MS / 2);
    expect(stuck()).toBe(1);
  });

  test("is not watched any more once that was called off, nor without a limit", () => {
    const { clock, unwatch, stuck } = stage();
    unwatch();
    clock.advance(10 * LIMIT_MS);
    expect(stuck()).toBe(0);
    const never = stage(0);
    never.clock.advance(1e9);
    expect(never.stuck()).toBe(0);
  });
});
