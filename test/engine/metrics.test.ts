import { describe, expect, test } from "bun:test";
import { createMetrics, type Levels } from "../../src/engine/metrics.ts";
import { openRecord, type TurnRecord } from "../../src/engine/record.ts";
import { createManualClock } from "../support/clock.ts";
import { attemptOf, loginOf, NOON } from "./parts.ts";
import { poolOf } from "./vault.ts";

const LEVELS: Levels = {
  connections: { limit: 12, inUse: 3, streams: 0, waiting: 0 },
  mostIdle: 8,
  waits: { total: 7, long: 2 },
  waiting: 4,
  sockets: 5,
  unsaved: 1,
  isStoreDegraded: true,
};

function scene(accounts = 1) {
  const clock = createManualClock(NOON);
  const names = Array.from({ length: accounts }, (_, index) => `a${index}`);
  const pool = poolOf(NOON, ...names.map((name) => loginOf(name)));
  const state = { pauses: 0, views: 0 };
  const metrics = createMetrics({
    clock,
    elapsedMs: clock.now,
    startedMs: NOON - 60_000,
    protocols: ["responses", "websocket"],
    version: '1.2.3 ("x")',
    isKnownModel: (model) => model.startsWith("gpt-5"),
    views: () => {
      state.views += 1;
      return pool.view(clock.now());
    },
    levels: () => LEVELS,
    giveWay: async () => {
      state.pauses += 1;
    },
  });
  let ids = 0;
  const begin = (more: Partial<TurnRecord> = {}): TurnRecord => {
    const record = openRecord(`req_${++ids}`, clock.now());
    const plain = { protocol: "responses", client: "laptop", model: "gpt-5.4", status: 200 };
    Object.assign(record, plain, more);
    metrics.begin(record);
    return record;
  };
  const serve = (more: Partial<TurnRecord> = {}): void => metrics.end(begin(more));
  const lines = async (part: string): Promise<string[]> => {
    const page = await metrics.page();
    return page.split("\n").filter((line) => line.startsWith(`codex_proxy_${part}`));
  };
  return { clock, metrics, state, begin, serve, lines };
}

describe("requests", () => {
  test("are counted by what they were and how they ended", async () => {
    const { serve, lines, clock, begin, metrics } = scene();
    serve();
    serve({ status: 429, failure: "client-limited", model: "" });
    serve({ status: 503, failure: "no-account", protocol: "websocket" });
    const slow = begin({ firstOutputMs: NOON + 400 });
    clock.advance(7000);
    metrics.end(slow);
    expect(await lines("requests_total{")).toEqual([
      'codex_proxy_requests_total{protocol="responses",model="gpt-5.4",status="2xx",client="laptop"} 2',
      'codex_proxy_requests_total{protocol="responses",model="none",status="4xx",client="laptop"} 1',
      'codex_proxy_requests_total{protocol="websocket",model="gpt-5.4",status="5xx",client="laptop"} 1',
    ]);
    expect(await lines("request_errors_total{")).toEqual([
      'codex_proxy_request_errors_total{protocol="responses"} 0',
      'codex_proxy_request_errors_total{protocol="websocket"} 1',
    ]);
    expect(await lines('request_failures_total{kind="client-limited"}')).toEqual([
      'codex_proxy_request_failures_total{kind="client-limited"} 1',
    ]);
    const first = await lines("time_to_first_output_seconds_");
    expect(first).toContain(
      'codex_proxy_time_to_first_output_seconds_bucket{le="0.25",protocol="responses"} 0',
    );
    expect(first).toContain(
      'codex_proxy_time_to_first_output_seconds_bucket{le="0.5",protocol="responses"} 1',
    );
    expect(await lines("request_duration_seconds_sum")).toContain(
      'codex_proxy_request_duration_seconds_sum{protocol="responses"} 7',
    );
  });

  test("attempts and retries are counted by their reasons, tokens by their kinds", async () => {
    const { serve, lines } = scene();
    serve({
      attempts: [
        attemptOf({ label: "a", tookMs: 1, outcome: "unauthorized" }),
        attemptOf({ label: "a", tookMs: 1, outcome: "exhausted" }),
        attemptOf({ label: "b", tookMs: 1 }),
      ],
      usage: { input: 10, cached: 4, output: 3, reasoning: 1 },
      waitedMs: 1500,
    });
    expect(await lines("attempts_total{")).toHaveLength(3);
    expect(await lines("retries_total{")).toEqual([
      'codex_proxy_retries_total{reason="unauthorized"} 1',
      'codex_proxy_retries_total{reason="exhausted"} 1',
    ]);
    expect(await lines("tokens_total{")).toEqual([
      'codex_proxy_tokens_total{kind="input",client="laptop"} 10',
      'codex_proxy_tokens_total{kind="cached_input",client="laptop"} 4',
      'codex_proxy_tokens_total{kind="output",client="laptop"} 3',
      'codex_proxy_tokens_total{kind="reasoning",client="laptop"} 1',
    ]);
    expect(await lines("request_wait_seconds_total")).toEqual([
      "codex_proxy_request_wait_seconds_total 1.5",
    ]);
  });

  test("that are under way are counted while they are; what is sent ahead is no request", async () => {
    const { begin, metrics, lines } = scene();
    const stream = begin({ isStream: true });
    const waiting = begin({ isStream: true, status: 0, protocol: "websocket" });
    expect(await lines("requests_in_flight{")).toHaveLength(2);
    expect(await lines("streams_open")).toEqual(["codex_proxy_streams_open 1"]);
    metrics.end(stream);
    waiting.isPrewarm = true;
    metrics.end(waiting);
    expect(await lines("requests_in_flight{")).toEqual([]);
    expect(await lines("requests_total{")).toHaveLength(1);
  });
});

describe("labels are bounded", () => {
  test("a model that the catalogue lacks has no name, however many a client makes up", async () => {
    const { serve, lines } = scene();
    for (let turn = 0; turn < 500; turn++) serve({ model: `made-up-${turn}` });
    for (let turn = 0; turn < 500; turn++) serve({ model: `gpt-5.${turn}` });
    const found = await lines("requests_total{");
    expect(found.some((line) => line.includes("made-up"))).toBe(false);
    expect(found).toHaveLength(101);
    expect(found.find((line) => line.includes('model="other"'))).toEndWith(" 900");
  });

  test("so are holders of keys, and all combinations together", async () => {
    const { serve, lines } = scene();
    for (let turn = 0; turn < 150; turn++) serve({ client: `c${turn}`, usage: USAGE });
    expect(await lines("requests_total{")).toHaveLength(101);
    expect(await lines("tokens_total{")).toHaveLength(4 * 101);
    for (let model = 0; model < 60; model++) {
      for (let client = 0; client < 60; client++) {
        serve({ client: `c${client}`, model: `gpt-5.${model}` });
      }
    }
    const found = await lines("requests_total{");
    expect(found.length).toBeLessThan(2010);
    const sum = found.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
    expect(sum).toBe(150 + 3600);
  });
});

const USAGE = { input: 1, cached: 1, output: 1, reasoning: 1 };

describe("the page", () => {
  test("shows levels, and what was counted elsewhere", async () => {
    const { metrics, lines } = scene();
    metrics.refreshed("refused");
    metrics.rested("quota");
    metrics.turnedAway("invalid_api_key");
    metrics.spans("dropped", 3);
    const found = await lines("");
    for (const line of [
      "upstream_connections_in_use 3",
      "upstream_connections_limit 12",
      "upstream_connection_waits_total 7",
      "upstream_connection_long_waits_total 2",
      "requests_waiting 4",
      "websockets_open 5",
      "unsaved_logins 1",
      "store_degraded 1",
      "uptime_seconds 60",
      'token_refreshes_total{outcome="refused"} 1',
      'token_refreshes_total{outcome="renewed"} 0',
      'cooldowns_total{reason="quota"} 1',
      'refused_calls_total{code="invalid_api_key"} 1',
      'otlp_spans_total{outcome="dropped"} 3',
      'accounts{state="ready"} 1',
    ]) {
      expect(found).toContain(`codex_proxy_${line}`);
    }
    // Counts of somebody else's are set, not added up.
    expect(await lines("upstream_connection_waits_total")).toEqual([
      "codex_proxy_upstream_connection_waits_total 7",
    ]);
    expect(await metrics.page()).toContain('version="1.2.3 (\\"x\\")",runtime="bun ');
    expect(await metrics.page()).toMatch(/^process_resident_memory_bytes [1-9]\d{6,}$/m);
  });

  test("lets others have the processor between accounts, and is made once for all who ask meanwhile", async () => {
    const { metrics, state } = scene(2000);
    const pages = await Promise.all([metrics.page(), metrics.page(), metrics.page()]);
    expect(state.views).toBe(1);
    expect(state.pauses).toBeGreaterThan(6);
    expect(pages[0]).toBe(pages[2] ?? "");
    await metrics.page();
    expect(state.views).toBe(2);
  });

  test("has the lag of the event loop, once that is measured", async () => {
    const { clock, metrics, lines } = scene();
    const stop = metrics.start();
    clock.advance(1000);
    stop();
    expect(await lines("event_loop_lag_seconds_count")).toEqual([
      "codex_proxy_event_loop_lag_seconds_count 2",
    ]);
  });
});
