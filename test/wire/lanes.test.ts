import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createLanes } from "../../src/wire/lanes.ts";
import { gate, settled } from "../engine/parts.ts";

/** Tasks that note when they begin and end when they are told to. */
function tasks() {
  const begun: string[] = [];
  const gates = new Map<string, ReturnType<typeof gate<string>>>();
  return {
    begun,
    task: (name: string) => () => {
      begun.push(name);
      const end = gate<string>();
      gates.set(name, end);
      return end.promise;
    },
    end: async (name: string) => {
      gates.get(name)?.open(name);
      await settled();
    },
    fail: async (name: string) => {
      gates.get(name)?.fail(new Error(name));
      await settled();
    },
  };
}

describe("createLanes", () => {
  test("tasks of one lane run one after the other, of two lanes side by side", async () => {
    const { begun, task, end } = tasks();
    const lanes = createLanes(() => 10);
    const done = [
      lanes.run("x", task("x1")),
      lanes.run("x", task("x2")),
      lanes.run("y", task("y1")),
    ];
    await settled();
    expect(begun).toEqual(["x1", "y1"]);
    await end("x1");
    expect(begun).toEqual(["x1", "y1", "x2"]);
    await end("y1");
    await end("x2");
    expect(await Promise.all(done)).toEqual(["x1", "x2", "y1"]);
  });

  test("no more than the limit run at a time, first come first served", async () => {
    const { begun, task, end } = tasks();
    const lanes = createLanes(() => 2);
    for (const name of ["a", "b", "c", "d"]) void lanes.run(name, task(name));
    await settled();
    expect(begun).toEqual(["a", "b"]);
    const late = lanes.run("e", task("e"));
    await end("b");
    await end("a");
    expect(begun).toEqual(["a", "b", "c", "d"]);
    await end("c");
    await end("e");
    expect(await late).toBe("e");
    expect(begun).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("a task that fails is told to its caller and holds up nobody", async () => {
    const { begun, task, end, fail } = tasks();
    const lanes = createLanes(() => 1);
    const first = lanes.run("x", task("x1"));
    const second = lanes.run("x", task("x2"));
    await settled();
    const failing = first.catch((cause: unknown) => cause);
    await fail("x1");
    expect(await failing).toEqual(new Error("x1"));
    expect(begun).toEqual(["x1", "x2"]);
    await end("x2");
    expect(await second).toBe("x2");
  });

  test("a new limit counts from the next task on, and below one it is one", async () => {
    let limit = 0;
    const { begun, task, end } = tasks();
    const lanes = createLanes(() => limit);
    for (const name of ["a", "b", "c"]) void lanes.run(name, task(name));
    await settled();
    expect(begun).toEqual(["a"]);
    limit = 3;
    void lanes.run("d", task("d"));
    await settled();
    expect(begun).toEqual(["a", "b", "c"]);
    await end("a");
    expect(begun).toEqual(["a", "b", "c", "d"]);
  });

  test("whatever the order, the limit and the lanes hold and all get their turn", async () => {
    const plan = fc.array(fc.constantFrom("x", "y", "z"), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(plan, fc.integer({ min: 1, max: 4 }), async (names, limit) => {
        const lanes = createLanes(() => limit);
        const now = new Map<string, number>();
        let running = 0;
        const order: string[] = [];
        const done = names.map((lane, index) =>
          lanes.run(lane, async () => {
            running += 1;
            now.set(lane, (now.get(lane) ?? 0) + 1);
            expect(running).toBeLessThanOrEqual(limit);
            expect(now.get(lane)).toBe(1);
            await Promise.resolve();
            running -= 1;
            now.set(lane, 0);
            order.push(`${lane}${index}`);
          }),
        );
        await Promise.all(done);
        for (const lane of ["x", "y", "z"]) {
          const own = order.filter((name) => name.startsWith(lane));
          const asked = names.flatMap((name, index) => (name === lane ? [`${lane}${index}`] : []));
          expect(own).toEqual(asked);
        }
      }),
    );
  });
});
