import { describe, expect, test } from "bun:test";
import { createPacer } from "../../src/engine/pacer.ts";
import { createManualClock } from "../support/clock.ts";
import { gate, NOON, settled } from "./parts.ts";

function stage(chance = () => 0.5) {
  const clock = createManualClock(NOON);
  const pacer = createPacer({ clock, chance });
  const started: [name: string, atMs: number][] = [];
  const gates = new Map<string, ReturnType<typeof gate<string>>>();
  const go = (name: string, most = 3) => {
    const held = gate<string>();
    gates.set(name, held);
    return pacer.run(most, () => {
      started.push([name, clock.now() - NOON]);
      return held.promise;
    });
  };
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) {
      await settled();
      clock.advance(100);
    }
    await settled();
  };
  return { clock, pass, go, started, end: (name: string) => gates.get(name)?.open(name) };
}

describe("createPacer", () => {
  test("tasks begin in their order, with a pause between their starts", async () => {
    const { pass, go, started } = stage();
    for (const name of ["a", "b", "c"]) void go(name);
    await settled();
    expect(started).toEqual([["a", 0]]);
    await pass(5000);
    expect(started).toEqual([
      ["a", 0],
      ["b", 1000],
      ["c", 2000],
    ]);
  });

  test("no more run than may, and the next begins when one is done, though not at once", async () => {
    const { pass, go, started, end } = stage();
    const results = ["a", "b", "c"].map((name) => go(name, 2));
    await pass(10_000);
    expect(started).toHaveLength(2);
    end("a");
    expect(await results[0]).toBe("a");
    await settled();
    expect(started.map(([name]) => name)).toEqual(["a", "b", "c"]);
  });

  test("the pause is jittered by chance, and shorter for who allows more", async () => {
    const draws = [0, 1];
    const { pass, go, started } = stage(() => draws.shift() ?? 0.5);
    for (const name of ["a", "b", "c"]) void go(name);
    await pass(10_000);
    expect(started.map(([, atMs]) => atMs)).toEqual([0, 500, 2000]);
    const many = stage();
    for (const name of ["a", "b", "c"]) void many.go(name, 30);
    await many.pass(10_000);
    expect(many.started.map(([, atMs]) => atMs)).toEqual([0, 100, 200]);
  });

  test("a task that fails gives its place back", async () => {
    const clock = createManualClock(NOON);
    const pacer = createPacer({ clock, chance: () => 0.5 });
    await expect(pacer.run(1, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    clock.advance(3000);
    expect(await pacer.run(1, async () => "yes")).toBe("yes");
  });

  test("a clock that is set back by a day stops nothing", async () => {
    const clock = createManualClock(NOON);
    let backMs = 0;
    const jumpy = { now: () => clock.now() - backMs, after: clock.after };
    const pacer = createPacer({ clock: jumpy, chance: () => 0.5 });
    await pacer.run(1, async () => {});
    backMs = 86_400_000;
    expect(await pacer.run(1, async () => "on")).toBe("on");
  });
});
