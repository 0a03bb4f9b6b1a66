import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createFamilies } from "../../src/engine/families.ts";
import { createManualClock } from "../support/clock.ts";
import { gate, settled } from "./parts.ts";

function stage(limit = 50, pauseMs = 2000) {
  const clock = createManualClock(0);
  const families = createFamilies({ clock, limit: () => limit, pauseMs: () => pauseMs });
  const begun: string[] = [];
  const gates = new Map<string, ReturnType<typeof gate<string>>>();
  const enter = (name: string, ...keys: string[]) =>
    families.enter(keys, () => {
      begun.push(name);
      const end = gate<string>();
      gates.set(name, end);
      return end.promise.finally(() => families.rest(keys));
    });
  const end = async (name: string): Promise<void> => {
    gates.get(name)?.open(name);
    await settled();
  };
  return { clock, families, begun, gates, enter, end };
}

describe("createFamilies", () => {
  test("those of one family go one after the other with a pause between, strangers beside them", async () => {
    const { begun, enter, end, clock } = stage();
    enter("a1", "a");
    enter("a2", "a");
    enter("b1", "b");
    await settled();
    expect(begun).toEqual(["a1", "b1"]);
    await end("a1");
    expect(begun).toEqual(["a1", "b1"]);
    clock.advance(1999);
    await settled();
    expect(begun).toHaveLength(2);
    clock.advance(1);
    await settled();
    expect(begun).toEqual(["a1", "b1", "a2"]);
  });

  test("a task of two families holds both, and neither waits for it half-way", async () => {
    const { begun, enter, end, clock } = stage();
    enter("login", "subject");
    enter("both", "subject", "workspace");
    enter("later", "workspace");
    enter("other", "elsewhere");
    await settled();
    // "both" came before "later", which must not pass it for ever.
    expect(begun).toEqual(["login", "other"]);
    await end("login");
    clock.advance(2000);
    await settled();
    expect(begun).toEqual(["login", "other", "both"]);
    await end("both");
    clock.advance(2000);
    await settled();
    expect(begun.at(-1)).toBe("later");
  });

  test("who is waited for goes first and without a pause, but never beside its family", async () => {
    const { begun, enter, end } = stage();
    enter("a1", "a");
    enter("a2", "a");
    const late = enter("a3", "a");
    late.hurry();
    await settled();
    expect(begun).toEqual(["a1"]);
    await end("a1");
    expect(begun).toEqual(["a1", "a3"]);
    await end("a3");
    expect(begun).toEqual(["a1", "a3"]);
    expect(await late.done).toBe("a3");
    late.hurry();
  });

  test("nobody runs beyond the limit, and who waits out a pause takes no place", async () => {
    const { begun, enter, end } = stage(2);
    for (const name of ["a", "b", "c"]) enter(name, name);
    enter("a2", "a");
    enter("d", "d");
    await settled();
    expect(begun).toEqual(["a", "b"]);
    await end("a");
    await end("b");
    expect(begun).toEqual(["a", "b", "c", "d"]);
  });

  test("a task that fails is told to its caller and holds up nobody", async () => {
    const { begun, enter, gates, clock } = stage();
    const first = enter("a1", "a");
    enter("a2", "a");
    await settled();
    const failing = first.done.catch((cause: unknown) => cause);
    gates.get("a1")?.fail(new Error("broken"));
    expect(await failing).toEqual(new Error("broken"));
    clock.advance(2000);
    await settled();
    expect(begun).toEqual(["a1", "a2"]);
  });

  test("a later pause is not ended by the timer of an earlier one", async () => {
    const { begun, enter, clock, families } = stage();
    families.rest(["a"]);
    clock.advance(1000);
    families.rest(["a"]);
    enter("a1", "a");
    clock.advance(1000);
    await settled();
    expect(begun).toEqual([]);
    clock.advance(1000);
    await settled();
    expect(begun).toEqual(["a1"]);
  });

  test("at the end of the program there are no pauses", async () => {
    const { begun, enter, end, families } = stage();
    enter("a1", "a");
    enter("a2", "a");
    enter("a3", "a");
    await settled();
    await end("a1");
    families.close();
    await settled();
    expect(begun).toEqual(["a1", "a2"]);
    await end("a2");
    expect(begun).toEqual(["a1", "a2", "a3"]);
  });

  test("whatever the families, none meets itself and all get their turn", async () => {
    const keys = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), {
      minLength: 1,
      maxLength: 3,
    });
    const plan = fc.array(fc.record({ keys, isUrgent: fc.boolean() }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(plan, fc.integer({ min: 1, max: 4 }), async (tasks, limit) => {
        const clock = createManualClock(0);
        const families = createFamilies({ clock, limit: () => limit, pauseMs: () => 1000 });
        const now = new Set<string>();
        let running = 0;
        let done = 0;
        for (const task of tasks) {
          const place = families.enter(task.keys, async () => {
            running += 1;
            expect(running).toBeLessThanOrEqual(limit);
            for (const key of task.keys) {
              expect(now.has(key)).toBe(false);
              now.add(key);
            }
            await Promise.resolve();
            for (const key of task.keys) now.delete(key);
            running -= 1;
            done += 1;
            families.rest(task.keys);
          });
          if (task.isUrgent) place.hurry();
        }
        for (let step = 0; step <= tasks.length; step++) {
          await settled();
          clock.advance(1000);
        }
        await settled();
        expect(done).toBe(tasks.length);
      }),
    );
  });
});
