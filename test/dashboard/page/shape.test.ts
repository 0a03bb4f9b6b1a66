import { describe, expect, test } from "bun:test";
import {
  readHistory,
  readKeys,
  readRequest,
  readStats,
} from "../../../src/dashboard/page/shape.ts";
import { createFeed } from "../../../src/engine/feed.ts";
import { createHistory } from "../../../src/engine/history.ts";
import { openRecord } from "../../../src/engine/record.ts";
import { statsOf } from "../../../src/server/status.ts";
import { NO_USAGE } from "../../../src/turn/usage.ts";
import { dict, parseDict } from "../../../src/wire/json.ts";
import { attemptOf, failure, loginOf, NOON } from "../../engine/parts.ts";
import { poolOf } from "../../engine/vault.ts";

/** As it comes over the network. */
function sent(body: unknown) {
  return parseDict(JSON.stringify(body)) ?? {};
}

describe("what the proxy tells is read whole", () => {
  test("its accounts", () => {
    const pool = poolOf(NOON, loginOf("ann", { plan: "plus" }));
    pool.settle("user-ann/workspace", { type: "failed", failure: failure("forbidden") }, NOON);
    const source = {
      views: pool.view(NOON + 1),
      unsaved: ["user-ann/workspace"],
      totals: { requests: 7, errors: 2, rpm: 3, tokens: { ...NO_USAGE, input: 10, cached: 5 } },
      waiting: 4,
      clients: [],
      connections: {
        now: { limit: 12, inUse: 10, streams: 3, waiting: 1 },
        waits: { now: 2, total: 9, long: 4 },
        mostIdle: 8,
      },
      startedMs: NOON - 61_500,
      nowMs: NOON + 1,
    };
    const { summary, accounts, page, pages, total } = readStats(
      sent(statsOf(source, new URLSearchParams({ page: "1" }))),
    );
    expect(summary).toEqual({
      total: 1,
      states: { ready: 0, cooling: 1, "needs-login": 0, disabled: 0 },
      requests: 7,
      errors: 2,
      perMinute: 3,
      waiting: 4,
      tokens: { input: 10, cached: 5, output: 0, reasoning: 0 },
      uptimeMs: 61_000,
      connections: 13,
    });
    expect([page, pages, total]).toEqual([1, 1, 1]);
    expect(accounts).toMatchObject([
      {
        label: expect.stringContaining("an***@example.com"),
        plan: "plus",
        state: "cooling",
        why: "refused by the backend for some minutes",
        reason: "it was forbidden",
        sinceMs: NOON,
        errors: 1,
        failuresInRow: 1,
        isUnsaved: true,
        windows: [],
      },
    ]);
    expect(accounts[0]?.untilMs).toBeGreaterThan(NOON);
    expect(accounts[0]?.id).toMatch(/^[0-9a-f]{8}$/);
  });

  test("its requests", () => {
    const feed = createFeed();
    feed.add(
      {
        ...openRecord("req_1", NOON),
        client: "anyone",
        protocol: "chat",
        askedModel: "gpt-5.4-high",
        model: "gpt-5.4",
        effort: "high",
        status: 502,
        failure: "server-error",
        firstOutputMs: NOON + 4,
        attempts: [attemptOf({ label: "a#1" })],
        usage: { input: 9, cached: 4, output: 3, reasoning: 1 },
      },
      NOON + 9,
    );
    expect(readRequest(sent(feed.recent()[0]))).toEqual({
      id: "req_1",
      endedMs: NOON + 9,
      durationMs: 9,
      ttftMs: 4,
      client: "anyone",
      protocol: "chat",
      askedModel: "gpt-5.4-high",
      model: "gpt-5.4",
      effort: "high",
      status: 502,
      failure: "server-error",
      account: "a#1",
      attempts: 1,
      tokens: { input: 9, cached: 4, output: 3, reasoning: 1 },
    });
  });

  test("its history", () => {
    const history = createHistory();
    history.add({ ...openRecord("req_1", NOON - 50), status: 200 }, NOON);
    history.add({ ...openRecord("req_2", NOON - 50), status: 429, failure: "exhausted" }, NOON);
    const { minutes, fromMs, toMs, stepMs } = readHistory(sent(history.read(NOON)));
    expect([fromMs, toMs, stepMs]).toEqual([NOON - 359 * 60_000, NOON + 60_000, 60_000]);
    expect(minutes).toMatchObject([
      { atMs: NOON, requests: 2, errors: 1, duration: { p95: 50, max: 50 } },
    ]);
    expect(minutes[0]?.failures).toEqual(new Map([["exhausted", 1]]));
    expect(minutes[0]?.ttft.p50).toBeUndefined();
  });
});

test("keys are read with the limits that they have", () => {
  const limited = {
    name: "laptop",
    requests: 4,
    errors: 1,
    refused: 2,
    in_flight: 1,
    tokens: { input: 9, cached: 4, output: 3, reasoning: 1 },
    tokens_today: 12,
    tokens_per_day: 1000,
    models: ["gpt-5.4*"],
    rpm: 30,
    concurrency: 2,
    last_used_at: new Date(NOON).toISOString(),
    expires_at: new Date(NOON).toISOString(),
    expired: true,
  };
  const free = { name: "phone", models: null, rpm: null, tokens_per_day: null, expires_at: null };
  expect(readKeys({ keys: [limited, free] })).toMatchObject([
    {
      name: "laptop",
      requests: 4,
      errors: 1,
      refused: 2,
      inFlight: 1,
      tokens: { input: 9, output: 3 },
      tokensToday: 12,
      tokensPerDay: 1000,
      models: ["gpt-5.4*"],
      rpm: 30,
      concurrency: 2,
      lastUsedMs: NOON,
      expiresMs: NOON,
      isExpired: true,
    },
    {
      name: "phone",
      models: undefined,
      rpm: undefined,
      tokensPerDay: undefined,
      expiresMs: undefined,
      isExpired: false,
    },
  ]);
  expect(readKeys({})).toEqual([]);
});

test("an answer that lacks everything breaks nothing", () => {
  expect(readStats({ accounts: [null, 7, {}] }).accounts).toHaveLength(3);
  expect(readRequest({ tokens: null }).tokens).toBeUndefined();
  expect(readHistory(dict(undefined)).minutes).toEqual([]);
});
