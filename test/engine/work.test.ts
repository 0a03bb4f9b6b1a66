import { describe, expect, test } from "bun:test";
import { chosenFrom, type Named, type Plan, type Work, workOf } from "../../src/engine/work.ts";
import { createStop } from "../../src/turn/stop.ts";
import type { Dict } from "../../src/wire/json.ts";
import { listen, loginOf, NOON, settled } from "./parts.ts";
import { poolOf } from "./vault.ts";

type Outcome = "done" | "set-aside" | "failed";

const OUTCOMES: readonly Outcome[] = ["done", "set-aside", "failed"];
const ALL = { by: "all" } as const;
const { log, lines } = listen();

function named(name: string): Named {
  const login = loginOf(name);
  return { label: `${name}#1`, tag: `tag of ${name}`, login };
}

function plan(...tasks: Plan<Outcome>["tasks"]): Plan<Outcome> {
  return { tasks, outcomes: OUTCOMES, atFault: "failed", log };
}

/** All that a work tells, and what it came to. */
async function run(work: Work | undefined, stop = createStop()) {
  const items: Dict[] = [];
  const totals: number[] = [];
  const report = {
    start: (total: number) => void totals.push(total),
    item: (item: Dict) => void items.push(item),
  };
  return { items, totals, counts: await work?.(report, stop) };
}

describe("workOf", () => {
  test("tells each account by id, label and file, and counts in JSON's spelling", async () => {
    const work = workOf(
      ALL,
      plan(
        {
          who: named("ann"),
          run: async () => ({ outcome: "done" }),
          describe: () => ({ more: 1 }),
        },
        { who: named("bob"), run: async () => ({ outcome: "set-aside", reason: "Why." }) },
        { who: named("cid"), run: async () => undefined },
      ),
    );
    expect(await run(work)).toEqual({
      totals: [3],
      items: [
        { id: "tag of ann", account: "ann#1", file: "ann.json", outcome: "done", more: 1 },
        {
          id: "tag of bob",
          account: "bob#1",
          file: "bob.json",
          outcome: "set-aside",
          reason: "Why.",
        },
      ],
      counts: { total: 3, done: 1, set_aside: 1, failed: 0 },
    });
  });

  test("nobody is no work, unless all were meant", async () => {
    expect(workOf({ by: "email", value: "x" }, plan())).toBeUndefined();
    expect(await run(workOf(ALL, plan()))).toMatchObject({ totals: [0], counts: { total: 0 } });
  });

  test("a fault of the program's own is that account's alone", async () => {
    const work = workOf(
      ALL,
      plan(
        { who: named("ann"), run: () => Promise.reject(new Error("a bug")) },
        { who: named("bob"), run: async () => ({ outcome: "done" }) },
      ),
    );
    const { items, counts } = await run(work);
    expect(counts).toMatchObject({ done: 1, failed: 1 });
    expect(JSON.stringify(items)).not.toContain("a bug");
    expect(lines.at(-1)?.facts).toContain("a bug");
  });

  test("no more are begun than may run, and none once nobody waits any more", async () => {
    const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
    const begun: number[] = [];
    const tasks = gates.map((gate, at) => ({
      who: named(`a${at}`),
      run: async () => {
        begun.push(at);
        await gate.promise;
        return { outcome: "done" } as const;
      },
    }));
    const stop = createStop();
    const working = run(workOf(ALL, { ...plan(...tasks), most: 2 }), stop);
    await settled();
    expect(begun).toEqual([0, 1]);
    gates[1]?.resolve();
    await settled();
    expect(begun).toEqual([0, 1, 2]);
    stop.stop({ kind: "client-left", message: "gone" });
    for (const gate of gates) gate.resolve();
    expect(await working).toMatchObject({ counts: { total: 5, done: 3 } });
    expect(begun).toEqual([0, 1, 2]);
  });
});

test("the accounts that are meant are chosen", () => {
  const pool = poolOf(NOON, loginOf("ann"), loginOf("bob"));
  const chosen = chosenFrom(pool, { by: "file_path", value: "bob.json" }, NOON);
  expect(chosen.map(({ login }) => login.email)).toEqual(["bob@example.com"]);
  expect(chosenFrom(pool, ALL, NOON)).toHaveLength(2);
});
