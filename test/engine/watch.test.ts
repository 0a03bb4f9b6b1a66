import { describe, expect, test } from "bun:test";
import { type WatchPorts, watchTurn } from "../../src/engine/watch.ts";
import { createPool } from "../../src/pool/pool.ts";
import type { Outcome } from "../../src/pool/settle.ts";
import type { Step } from "../../src/turn/step.ts";
import type { Batch } from "../../src/upstream/stream.ts";
import {
  completed,
  failure,
  leaseOf,
  loginOf,
  NOON,
  recordOf,
  step,
  steps,
  streamOf,
} from "./parts.ts";

const DELTA = step("response.output_text.delta", { delta: "hi" });
const LIMITS = step("codex.rate_limits", {
  plan_type: "plus",
  rate_limits: { primary: { used_percent: 40, window_minutes: 300, reset_at: 1_900_000_000 } },
});

function watched(held: readonly Step[], batches: readonly Batch[] = [], isMeasured = false) {
  const stream = streamOf(batches, { "openai-model": "m" });
  const lease = leaseOf("a");
  const record = recordOf();
  const outcomes: Outcome[] = [];
  const counted: unknown[] = [];
  const noted: unknown[] = [];
  const ports: WatchPorts = {
    clock: { now: () => NOON },
    settle: (_accountId, outcome) => outcomes.push(outcome),
    count: (accountId, usage) => counted.push([accountId, usage]),
    ledger: { note: (accountId, frame) => noted.push([accountId, frame]) },
  };
  const server = { lease, model: "gpt-5.4", tag: "t1", isMeasured };
  const turn = watchTurn({ held, stream }, server, record, ports);
  return { turn, stream, lease, record, outcomes, counted, noted };
}

describe("watchTurn", () => {
  test("the first read brings what was held, the next ones what follows", async () => {
    const { turn, stream } = watched([DELTA], [steps(completed())]);
    expect(await turn.read()).toEqual(steps(DELTA));
    expect(stream.reads()).toBe(0);
    expect(await turn.read()).toMatchObject({ type: "steps" });
    expect(await turn.read()).toEqual({ type: "end" });
    expect([turn.tag, turn.headers["openai-model"]]).toEqual(["t1", "m"]);
  });

  test("a quota event that only repeats the headers is passed over, a later one is not", async () => {
    const { turn, outcomes } = watched([LIMITS, DELTA], [steps(LIMITS)], true);
    await turn.read();
    expect(outcomes).toEqual([]);
    await turn.read();
    expect(outcomes).toMatchObject([{ type: "measured" }]);
  });

  test.each([
    ["held", [LIMITS, DELTA], []],
    ["later", [DELTA], [steps(LIMITS)]],
  ])("a quota event is learnt from, %s", async (_when, held, batches) => {
    const { turn, outcomes } = watched(held, batches);
    for (let read = 0; read <= batches.length; read++) await turn.read();
    expect(outcomes).toMatchObject([
      { type: "measured", quota: { plan: "plus", windows: [{ name: "5h", usedPercent: 40 }] } },
    ]);
  });

  test("a quota event that says nothing teaches nothing", async () => {
    const { turn, outcomes } = watched([step("codex.rate_limits"), DELTA]);
    await turn.read();
    expect(outcomes).toEqual([]);
  });

  test.each(["response.completed", "response.done", "response.incomplete"])(
    "%s is a turn served: usage and tier are kept, the account is forgiven",
    async (type) => {
      const end = step(type, {
        response: {
          service_tier: "default",
          usage: { input_tokens: 9, output_tokens: 2, input_tokens_details: { cached_tokens: 4 } },
        },
      });
      const { turn, record, outcomes, counted } = watched([DELTA], [steps(end)]);
      record.tier = "priority";
      await turn.read();
      await turn.read();
      const usage = { input: 9, cached: 4, output: 2, reasoning: 0 };
      expect(record).toMatchObject({ usage, tier: "default", failure: undefined });
      expect(counted).toEqual([["a", usage]]);
      expect(outcomes).toEqual([{ type: "served" }]);
    },
  );

  test("an end without usage and tier leaves the record as it was", async () => {
    const { turn, record, counted } = watched([step("response.completed", { response: {} })]);
    record.tier = "priority";
    await turn.read();
    expect([record.tier, record.usage, counted.length]).toEqual(["priority", undefined, 0]);
  });

  test.each([
    ["response.failed", { response: { error: { code: "server_is_overloaded" } } }],
    ["error", { error: { code: "server_is_overloaded" } }],
  ])("%s in mid-stream settles the account and is on record", async (type, more) => {
    const { turn, record, outcomes } = watched([DELTA], [steps(step(type, more))]);
    await turn.read();
    await turn.read();
    expect(outcomes).toMatchObject([{ type: "failed", failure: { kind: "overloaded" } }]);
    expect(record.failure).toBe("overloaded");
  });

  test("a spent quota told inside the stream is taken at its word", async () => {
    const spent = step("response.failed", {
      response: { error: { type: "usage_limit_reached", resets_in_seconds: 60 } },
    });
    const { turn, outcomes } = watched([DELTA, spent]);
    await turn.read();
    expect(outcomes).toMatchObject([
      { type: "failed", failure: { kind: "exhausted", resetsAtMs: NOON + 60_000 } },
    ]);
  });

  test.each([
    ["response.incomplete", { incomplete_details: { reason: "usage_limit_reached" } }],
    ["response.incomplete", { error: { code: "insufficient_quota" } }],
    ["response.completed", { error: { type: "usage_limit_reached" } }],
    ["response.failed", { error: { code: "usage_limit_reached" } }],
  ])("B6-5: %s of %j is no success", async (type, response) => {
    const usage = { input_tokens: 9, output_tokens: 2 };
    const { turn, outcomes, record } = watched([
      DELTA,
      step(type, { response: { ...response, usage } }),
    ]);
    await turn.read();
    expect(outcomes).toMatchObject([{ type: "failed", failure: { kind: "exhausted" } }]);
    expect(record.failure).toBe("exhausted");
  });

  test("finished items are handed to the ledger as bytes; neither they nor the text are parsed", async () => {
    let parsed = 0;
    const spied = (event: Step): Step => ({
      ...event,
      data: () => {
        parsed += 1;
        return event.data();
      },
    });
    const item = { type: "reasoning", encrypted_content: "gAAA" };
    const done = step("response.output_item.done", { output_index: 0, item });
    const { turn, noted } = watched([spied(DELTA)], [steps(spied(done), spied(DELTA))]);
    await turn.read();
    await turn.read();
    expect(noted).toEqual([["a", done.frame.bytes]]);
    expect(parsed).toBe(0);
  });

  test("a stream that breaks settles the account", async () => {
    const broken: Batch = { type: "broken", failure: failure("cut-short") };
    const { turn, record, outcomes } = watched([DELTA], [broken]);
    await turn.read();
    expect(await turn.read()).toEqual(broken);
    expect(outcomes).toEqual([{ type: "failed", failure: failure("cut-short") }]);
    expect(record.failure).toBe("cut-short");
  });

  test("a client that leaves costs the account nothing", async () => {
    const left: Batch = { type: "broken", failure: failure("client-left") };
    const { turn, record, outcomes } = watched([DELTA], [left]);
    await turn.read();
    await turn.read();
    expect([outcomes, record.failure]).toEqual([[], undefined]);
  });

  test("close ends the stream and gives the account back", () => {
    const { turn, stream, lease } = watched([DELTA]);
    turn.close();
    expect([stream.closes(), lease.releases()]).toEqual([1, 1]);
  });

  test("closing tells what keeps the connection busy", () => {
    const drained = Promise.resolve();
    const given: unknown[] = [];
    const lease = {
      ...leaseOf("a"),
      release: (now: number, busy?: Promise<unknown>) => given.push([now, busy]),
    };
    const stream = { ...streamOf([]), drained: () => drained };
    const ports: WatchPorts = {
      clock: { now: () => NOON },
      settle: () => {},
      count: () => {},
      ledger: { note: () => {} },
    };
    const server = { lease, model: "gpt-5.4", tag: "t1", isMeasured: false };
    watchTurn({ held: [], stream }, server, recordOf(), ports).close();
    expect(given).toEqual([[NOON, drained]]);
  });

  test("a lease of the pool's own is given back once, however often the turn is closed", () => {
    const pool = createPool(() => ({
      policy: { unauthorizedMs: 1, limitedMs: 1 },
      selector: "round-robin",
      affinityTtlMs: 1000,
    }));
    pool.sync([loginOf("ann")], NOON);
    const lease = pool.pick({ sessionKey: "s", model: "m", tried: new Set() }, NOON);
    if (lease === undefined) throw new Error("the pool has an account");
    const turn = watchTurn(
      { held: [], stream: streamOf([]) },
      { lease, model: "m", tag: "t", isMeasured: false },
      recordOf(),
      {
        clock: { now: () => NOON },
        settle: () => {},
        count: () => {},
        ledger: { note: () => {} },
      },
    );
    turn.close();
    turn.close();
    expect(pool.view(NOON)[0]?.inFlight).toBe(0);
  });
});
