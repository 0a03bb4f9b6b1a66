import { afterEach, describe, expect, jest, spyOn, test } from "bun:test";
import {
  type Clock,
  inTime,
  isoOf,
  isTellable,
  systemClock,
  watchSilence,
} from "../../src/wire/clock.ts";
import { createManualClock } from "../support/clock.ts";

const NOON = Date.parse("2026-11-21T12:00:00Z");

describe("inTime", () => {
  test("is what the work comes to, or nothing once the time is over", async () => {
    const clock = createManualClock(NOON);
    const { promise, resolve } = Promise.withResolvers<string>();
    expect(await inTime(Promise.resolve("at once"), 10, clock)).toBe("at once");
    const early = inTime(promise, 10, clock);
    const late = inTime(promise, 5, clock);
    clock.advance(5);
    expect(await late).toBeUndefined();
    resolve("done");
    expect(await early).toBe("done");
    await expect(inTime(Promise.reject(new Error("broken")), 10, clock)).rejects.toThrow("broken");
  });

  test("leaves no timer behind", async () => {
    let timers = 0;
    const after: Clock["after"] = () => {
      timers += 1;
      return () => {
        timers -= 1;
      };
    };
    await inTime(Promise.resolve(1), 10, { after });
    expect(timers).toBe(0);
  });
});

describe("watchSilence", () => {
  const watch = (limitMs: number) => {
    const clock = createManualClock(NOON);
    const heard: number[] = [];
    const dog = watchSilence(clock, limitMs, () => heard.push(clock.now() - NOON));
    return { clock, heard, dog };
  };

  test("calls at the limit, not before", () => {
    const { clock, heard } = watch(100);
    clock.advance(99);
    expect(heard).toEqual([]);
    clock.advance(1);
    expect(heard).toEqual([100]);
  });

  test("calls again after each further limit of silence", () => {
    const { clock, heard } = watch(100);
    clock.advance(350);
    expect(heard).toEqual([100, 200, 300]);
  });

  test("counts from the last touch, to the millisecond", () => {
    const { clock, heard, dog } = watch(100);
    clock.advance(60);
    dog.touch();
    clock.advance(39);
    dog.touch();
    clock.advance(99);
    expect(heard).toEqual([]);
    clock.advance(1);
    expect(heard).toEqual([199]);
  });

  test("a touch after a silence puts the next call off as well", () => {
    const { clock, heard, dog } = watch(100);
    clock.advance(150);
    dog.touch();
    clock.advance(99);
    expect(heard).toEqual([100]);
    clock.advance(1);
    expect(heard).toEqual([100, 250]);
  });

  test("never calls once it is stopped, stopped twice or not", () => {
    const { clock, heard, dog } = watch(100);
    clock.advance(50);
    dog.stop();
    dog.stop();
    dog.touch();
    clock.advance(10_000);
    expect(heard).toEqual([]);
  });

  test("may be stopped from within the call", () => {
    const clock = createManualClock(NOON);
    let calls = 0;
    const dog = watchSilence(clock, 100, () => {
      calls += 1;
      dog.stop();
    });
    clock.advance(10_000);
    expect(calls).toBe(1);
  });

  test.each([0, -5])("a limit of %p means no watching", (limitMs) => {
    const { clock, heard, dog } = watch(limitMs);
    clock.advance(1e9);
    dog.touch();
    dog.stop();
    expect(heard).toEqual([]);
  });

  test("holds one timer however often it is touched", () => {
    const clock = createManualClock(NOON);
    let armed = 0;
    const counting: Clock = {
      now: clock.now,
      after: (delayMs, fire) => {
        armed += 1;
        return clock.after(delayMs, fire);
      },
    };
    const dog = watchSilence(counting, 100, () => {});
    for (let i = 0; i < 1000; i++) dog.touch();
    expect(armed).toBe(1);
    clock.advance(99);
    dog.touch();
    clock.advance(1);
    expect(armed).toBe(2);
  });

  test("a timer that fires after stop all the same is ignored", () => {
    let fire = (): void => {};
    let calls = 0;
    const deaf: Clock = {
      now: () => NOON,
      after: (_delayMs, then) => {
        fire = then;
        return () => {};
      },
    };
    const dog = watchSilence(deaf, 100, () => {
      calls += 1;
    });
    dog.stop();
    fire();
    expect(calls).toBe(0);
  });

  test("a clock set back by an hour does not lengthen the silence by an hour", () => {
    const timers = createManualClock(0);
    let setBackMs = 0;
    const heard: number[] = [];
    const clock: Clock = { now: () => timers.now() - setBackMs, after: timers.after };
    watchSilence(clock, 100, () => heard.push(timers.now()));
    timers.advance(50);
    setBackMs = 3_600_000;
    timers.advance(300);
    expect(heard[0]).toBeLessThanOrEqual(200);
  });
});

describe("the machine's clock", () => {
  afterEach(() => jest.restoreAllMocks());

  test("tells the time since the epoch", () => {
    spyOn(Date, "now").mockReturnValue(NOON);
    expect(systemClock.now()).toBe(NOON);
  });

  test.each([
    [1000, 1000],
    [-1, 0],
    [Number.POSITIVE_INFINITY, 2_147_483_647],
    [90 * 24 * 3_600_000, 2_147_483_647],
  ])("a delay of %p ms sets a timer of %p, which keeps no process alive", (delayMs, expected) => {
    const set = spyOn(globalThis, "setTimeout");
    const cleared = spyOn(globalThis, "clearTimeout");
    const cancel = systemClock.after(delayMs, () => {});
    const timer = set.mock.results[0]?.value;
    cancel();
    cancel();
    expect(set.mock.calls[0]?.[1]).toBe(expected);
    expect(keepsAlive(timer)).toBe(false);
    expect(cleared).toHaveBeenCalledWith(timer);
  });
});

function keepsAlive(timer: unknown): unknown {
  if (!(timer instanceof Object && "hasRef" in timer)) return undefined;
  return typeof timer.hasRef === "function" ? timer.hasRef() : undefined;
}

test("a moment is told in the form of ISO 8601, and one that cannot be told is none", () => {
  expect(isoOf(0)).toBe("1970-01-01T00:00:00.000Z");
  for (const ms of [undefined, Number.NaN, Number.POSITIVE_INFINITY, 9e15]) {
    expect(isoOf(ms)).toBeNull();
  }
});

test("a moment can be told where isoOf tells it", () => {
  for (const ms of [0, 8.64e15, -8.64e15]) {
    expect([isTellable(ms), isoOf(ms)]).toEqual([true, expect.any(String)]);
  }
  for (const ms of [Number.NaN, Number.POSITIVE_INFINITY, 8.64e15 + 2]) {
    expect(isTellable(ms)).toBe(false);
  }
});
