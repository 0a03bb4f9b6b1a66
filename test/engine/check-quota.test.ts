import { describe, expect, test } from "bun:test";
import { createCheckQuota } from "../../src/engine/check-quota.ts";
import type { Selection } from "../../src/engine/selection.ts";
import type { Failure } from "../../src/turn/failure.ts";
import { type Dict, dict } from "../../src/wire/json.ts";
import { listen, settled } from "./parts.ts";
import { reading, refusal, type Stage, stageOf } from "./readings.ts";

const ALL: Selection = { by: "all" };

/** What checking came to: what was told on the way, and the counts at the end; undefined where there is nobody. */
async function check(stage: Stage, selection = ALL, most = 3, leftAfterMs = 1e9) {
  const { pool, gauge, clock } = stage;
  const { log } = listen();
  const work = createCheckQuota({ pool, gauge, most: () => most, clock, log })(selection);
  if (work === undefined) return undefined;
  const told: (number | Dict)[] = [];
  const endMs = clock.now() + leftAfterMs;
  const left: Failure = { kind: "client-left", message: "left" };
  const working = work(
    { start: (total) => told.push(total), item: (item) => told.push(item) },
    { reason: () => (clock.now() >= endMs ? left : undefined) },
  );
  await settled();
  for (let tries = 0; tries < 60; tries++) await stage.pass(1000);
  return { told, counts: await working };
}

describe("checking quotas by hand", () => {
  test("reads every account and tells what each has used", async () => {
    const stage = stageOf("ann", "bob", "cid");
    stage.endpoint = (name) => (name === "bob" ? refusal("forbidden", 403) : reading(29));
    stage.pool.settle(stage.id("cid"), { type: "renewal-refused", reason: "gone" }, 0);
    const { told = [], counts } = (await check(stage)) ?? {};
    expect(counts).toEqual({ total: 3, measured: 1, failed: 1, skipped: 1 });
    const items = told.slice(1).map(dict);
    expect(items.toSorted((a, b) => String(a["file"]).localeCompare(String(b["file"])))).toEqual([
      {
        id: stage.pool.get(stage.id("ann"))?.tag,
        account: expect.stringContaining("an***@example.com#"),
        file: "ann.json",
        outcome: "measured",
        state: "ready",
        windows: [
          {
            name: "5h",
            used_percent: 29,
            resets_at: "2026-11-20T13:00:00.000Z",
            window_seconds: null,
          },
        ],
        credits: false,
      },
      expect.objectContaining({
        file: "bob.json",
        outcome: "failed",
        state: "cooling",
        windows: [],
        credits: null,
        reason: "it was forbidden",
      }),
      expect.objectContaining({
        file: "cid.json",
        outcome: "skipped",
        state: "needs-login",
        reason: "It needs a new login.",
      }),
    ]);
  });

  test("tells each one as it is known, and never makes a burst", async () => {
    const names = Array.from({ length: 12 }, (_, at) => `a${at}`);
    const stage = stageOf(...names);
    const { told = [], counts } = (await check(stage)) ?? {};
    expect(told[0]).toBe(12);
    expect(told).toHaveLength(13);
    expect(counts).toEqual({ total: 12, measured: 12, failed: 0, skipped: 0 });
    expect(stage.mostAtOnce()).toBeLessThanOrEqual(3);
    const gaps = stage.askedMs.slice(1).map((atMs, at) => atMs - (stage.askedMs[at] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1000);
  });

  test("one account is read where one is meant, and nobody where there is none", async () => {
    const stage = stageOf("ann", "bob");
    const bob: Selection = { by: "email", value: "bob@example.com" };
    expect(await check(stage, bob)).toMatchObject({ counts: { total: 1, measured: 1 } });
    expect(stage.asked).toEqual(["bob"]);
    expect(await check(stage, { by: "email", value: "x@example.com" })).toBeUndefined();
  });

  test("a reading that shows room brings an exhausted account back", async () => {
    const stage = stageOf("ann");
    const spent = { kind: "exhausted", message: "x", resetsAtMs: stage.clock.now() + 9e8 } as const;
    stage.pool.settle(stage.id("ann"), { type: "failed", failure: spent }, stage.clock.now());
    expect(stage.stateOf("ann")).toBe("quota");
    const { told = [] } = (await check(stage)) ?? {};
    expect(told[1]).toMatchObject({ outcome: "measured", state: "ready" });
  });

  test("a pool without accounts has nothing to check", async () => {
    expect(await check(stageOf())).toEqual({
      told: [0],
      counts: { total: 0, measured: 0, failed: 0, skipped: 0 },
    });
  });

  test("when the client leaves, what has begun is brought to its end and the rest is left", async () => {
    const stage = stageOf("ann", "bob", "cid");
    const done = await check(stage, ALL, 1, 500);
    expect(stage.asked).toHaveLength(1);
    expect(done?.counts).toEqual({ total: 3, measured: 1, failed: 0, skipped: 0 });
  });
});
