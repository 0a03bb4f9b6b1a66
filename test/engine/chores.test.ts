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
