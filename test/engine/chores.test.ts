import { describe, expect, test } from "bun:test";
import { startChores } from "../../src/engine/chores.ts";
import { createManualClock } from "../support/clock.ts";
import { gate, listen, NOON, settled } from "./parts.ts";

describe("startChores", () => {
  test("a chore waits its time, from the end of one run to the start of the next", async () => {
    const clock = createManualClock(NOON);
    let runs = 0;
    let end = gate<void>();
    const run = () => {
      runs += 1;
      end = gate<void>();
      return end.promise;
    };
    const stop = startChores([{ name: "sweep", everyMs: () => 1000, run }], clock, listen().log);
    clock.advance(999);
    expect(runs).toBe(0);
    clock.advance(1);
    expect(runs).toBe(1);
    clock.advance(60_000);
    expect(runs).toBe(1);
    end.open();
    await settled();
    clock.advance(999);
    expect(runs).toBe(1);
    clock.advance(1);
    expect(runs).toBe(2);
    stop();
  });

  test("a run that fails is told, without secrets of its own, and the next one comes", async () => {
    const clock = createManualClock(NOON);
    const { log, lines } = listen();
    const causes = [new Error("no disk"), "no reason"];
    let runs = 0;
    const run = () => Promise.reject(causes[runs++]);
    const stop = startChores([{ name: "sweep", everyMs: () => 1000, run }], clock, log);
    clock.advance(1000);
    await settled();
    clock.advance(1000);
    await settled();
    expect(lines.map(({ level, facts }) => [level, facts])).toEqual([
      ["error", '{"task":"sweep","reason":"no disk"}'],
      ["error", '{"task":"sweep","reason":"no reason"}'],
    ]);
    stop();
  });

  test("one that throws at once is told too", async () => {
    const clock = createManualClock(NOON);
    const { log, lines } = listen();
    const run = (): Promise<void> => {
      throw new Error("a bug");
    };
    const stop = startChores([{ name: "sweep", everyMs: () => 1000, run }], clock, log);
    clock.advance(1000);
    await settled();
    expect(lines).toHaveLength(1);
    stop();
  });

  test("a chore that is off does not run, and begins once it is switched on", async () => {
    const clock = createManualClock(NOON);
    let everyMs = 0;
    let runs = 0;
    const run = async () => {
      runs += 1;
    };
    const stop = startChores([{ name: "sweep", everyMs: () => everyMs, run }], clock, listen().log);
    clock.advance(600_000);
    expect(runs).toBe(0);
    everyMs = 5000;
    clock.advance(35_000);
    expect(runs).toBe(1);
    await settled();
    everyMs = 0;
    clock.advance(5000);
    await settled();
    clock.advance(600_000);
    expect(runs).toBe(1);
    stop();
  });

  test("a long wait keeps its time to the millisecond, run for run", async () => {
    const clock = createManualClock(NOON);
    const atMs: number[] = [];
    const run = async () => void atMs.push(clock.now() - NOON);
    const stop = startChores([{ name: "sweep", everyMs: () => 100_001, run }], clock, listen().log);
    for (let run = 0; run < 3; run++) {
      clock.advance(100_000);
      expect(atMs).toHaveLength(run);
      clock.advance(1);
      await settled();
    }
    expect(atMs).toEqual([100_001, 200_002, 300_003]);
    stop();
  });

  test("a wait that is made shorter counts within half a minute, with what has been waited already", async () => {
    const clock = createManualClock(NOON);
    let everyMs = 7 * 86_400_000;
    let runs = 0;
    const run = async () => {
      runs += 1;
    };
    const stop = startChores([{ name: "sweep", everyMs: () => everyMs, run }], clock, listen().log);
    clock.advance(3_600_000);
    expect(runs).toBe(0);
    everyMs = 60_000;
    clock.advance(30_000);
    expect(runs).toBe(1);
    for (let minutes = 0; minutes < 10; minutes++) {
      await settled();
      clock.advance(60_000);
    }
    expect(runs).toBe(11);
    stop();
  });

  test("a wait that is made longer is waited to its end", async () => {
    const clock = createManualClock(NOON);
    let everyMs = 60_000;
    let runs = 0;
    const run = async () => {
      runs += 1;
    };
    const stop = startChores([{ name: "sweep", everyMs: () => everyMs, run }], clock, listen().log);
    clock.advance(45_000);
    everyMs = 600_000;
    clock.advance(554_999);
    expect(runs).toBe(0);
    clock.advance(1);
    expect(runs).toBe(1);
    stop();
  });

  test("the time of day, set back or forward by years, changes nothing", async () => {
    const manual = createManualClock(NOON);
    let shiftMs = 0;
    const clock = { now: () => manual.now() + shiftMs, after: manual.after };
    let runs = 0;
    const run = async () => {
      runs += 1;
    };
    const stop = startChores([{ name: "sweep", everyMs: () => 120_000, run }], clock, listen().log);
    for (const shift of [-1, 1, -1]) {
      manual.advance(40_000);
      shiftMs += shift * 1e11;
    }
    expect(runs).toBe(1);
    await settled();
    shiftMs = 1e12;
    manual.advance(119_999);
    expect(runs).toBe(1);
    manual.advance(1);
    expect(runs).toBe(2);
    stop();
  });

  test("chores do not wait for each other", async () => {
    const clock = createManualClock(NOON);
    const done: string[] = [];
    const hang = () => new Promise<void>(() => {});
    const run = async () => {
      done.push("quick");
    };
    const stop = startChores(
      [
        { name: "slow", everyMs: () => 10, run: hang },
        { name: "quick", everyMs: () => 20, run },
      ],
      clock,
      listen().log,
    );
    clock.advance(20);
    await settled();
    clock.advance(20);
    expect(done).toHaveLength(2);
    stop();
  });

  test("after the stop nothing runs, not even after a run that was under way", async () => {
    const clock = createManualClock(NOON);
    const end = gate<void>();
    let runs = 0;
    const run = () => {
      runs += 1;
      return end.promise;
    };
    const stop = startChores([{ name: "sweep", everyMs: () => 10, run }], clock, listen().log);
    clock.advance(10);
    stop();
    end.open();
    await settled();
    clock.advance(600_000);
    expect(runs).toBe(1);
  });
});
