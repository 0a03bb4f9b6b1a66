import { describe, expect, test } from "bun:test";
import { createHistory, MINUTES } from "../../src/engine/history.ts";
import { openRecord, type TurnRecord } from "../../src/engine/record.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { NOON } from "./parts.ts";

const MINUTE = 60_000;

function record(tookMs: number, more: Partial<TurnRecord> = {}, endedMs = NOON): TurnRecord {
  return { ...openRecord("req_1", endedMs - tookMs), status: 200, ...more };
}

function minutesOf(value: unknown): readonly Dict[] {
  return list(dict(value)["minutes"]).map(dict);
}

describe("the history", () => {
  test("begins empty, and says which hours it tells of", () => {
    expect(createHistory().read(NOON + 30_000)).toEqual({
      from: "2026-11-20T06:01:00.000Z",
      to: "2026-11-20T12:01:00.000Z",
      step_seconds: 60,
      minutes: [],
    });
  });

  test("sums what ended in each minute", () => {
    const history = createHistory();
    const usage = { input: 10, cached: 4, output: 3, reasoning: 1 };
    history.add(record(500, { usage, firstOutputMs: NOON - 400 }), NOON);
    history.add(record(500, { usage }), NOON + 59_999);
    history.add(record(5, { status: 502, failure: "server-error" }), NOON + 1);
    history.add(record(5, { status: 499, failure: "client-left" }), NOON + 1);
    history.add(record(5, { status: 429, failure: "exhausted" }, NOON + MINUTE), NOON + MINUTE);
    expect(minutesOf(history.read(NOON + 2 * MINUTE))).toMatchObject([
      {
        at: "2026-11-20T12:00:00.000Z",
        requests: 4,
        errors: 1,
        failures: { "server-error": 1, "client-left": 1 },
        tokens: { input: 20, cached: 8, output: 6, reasoning: 2 },
        ttft_ms: { p95: 100, max: 100 },
      },
      { at: "2026-11-20T12:01:00.000Z", requests: 1, errors: 1, failures: { exhausted: 1 } },
    ]);
  });

  test("what was refused at once does not make answers look fast", () => {
    const history = createHistory();
    history.add(record(2000), NOON);
    for (let at = 0; at < 20; at++) history.add(record(1, { failure: "bad-request" }), NOON);
    const [minute] = minutesOf(history.read(NOON));
    expect(minute?.["duration_ms"]).toEqual({ p50: 2000, p95: 2000, max: 2000 });
  });

  test("its quantiles are at most a fifth off, from milliseconds to half an hour", () => {
    for (const scale of [1, 30, 900]) {
      const history = createHistory();
      for (let at = 1; at <= 1000; at++) history.add(record(at * scale), NOON);
      const times = dict(minutesOf(history.read(NOON))[0]?.["duration_ms"]);
      for (const [name, exact] of [
        ["p50", 500],
        ["p95", 950],
      ] as const) {
        const off = Math.abs(Number(times[name]) / (exact * scale) - 1);
        expect([scale, name, off < 0.2]).toEqual([scale, name, true]);
      }
      expect(times["max"]).toBe(1000 * scale);
    }
  });

  test("longer than its longest step is told as what it was", () => {
    const history = createHistory();
    history.add(record(9_000_000), NOON);
    const times = minutesOf(history.read(NOON))[0]?.["duration_ms"];
    expect(dict(times)["max"]).toBe(9_000_000);
    expect(Number(dict(times)["p50"])).toBeGreaterThan(1_800_000);
  });

  test("keeps so many minutes, in order, however long it runs", () => {
    const history = createHistory();
    const last = NOON + 2 * MINUTES * MINUTE;
    for (let now = NOON; now <= last; now += MINUTE) history.add(record(5), now);
    const minutes = minutesOf(history.read(last));
    expect(minutes.length).toBe(MINUTES);
    expect(Date.parse(String(minutes.at(-1)?.["at"]))).toBe(last);
    expect(Date.parse(String(minutes[0]?.["at"]))).toBe(last - (MINUTES - 1) * MINUTE);
    expect(minutesOf(history.read(last + MINUTES * MINUTE))).toEqual([]);
  });

  test("a clock that is set back does no harm", () => {
    const history = createHistory();
    history.add(record(5), NOON);
    history.add(record(-5000), NOON - MINUTE);
    expect(minutesOf(history.read(NOON - MINUTE)).map(({ requests }) => requests)).toEqual([1]);
  });
});
