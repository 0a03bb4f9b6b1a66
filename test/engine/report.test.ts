import { describe, expect, test } from "bun:test";
import { openRecord, type TurnRecord } from "../../src/engine/record.ts";
import { isError, reportFault, reportRequest } from "../../src/engine/report.ts";
import { createLog, type Log } from "../../src/wire/log.ts";
import { attemptOf } from "./parts.ts";

function lines(run: (log: Log) => void): string[] {
  const written: string[] = [];
  const options = () => ({ level: "debug", format: "text" }) as const;
  run(createLog(options, { now: () => 0 }, (line) => written.push(line)));
  return written;
}

function record(changes: Partial<TurnRecord>): TurnRecord {
  return Object.assign(openRecord("req_1", 1000), changes);
}

describe("isError", () => {
  const rows: [name: string, changes: Partial<TurnRecord>, expected: boolean][] = [
    ["a served turn is none", { status: 200 }, false],
    ["the client's own mistake is none", { status: 400, failure: "bad-request" }, false],
    ["a client that left is none", { status: 499, failure: "client-left" }, false],
    ["a stream that failed half-way is one", { status: 200, failure: "cut-short" }, true],
    ["a spent pool is one", { status: 429, failure: "exhausted" }, true],
    ["a limit of the caller's own key is none", { status: 429, failure: "client-limited" }, false],
    ["a broken backend is one", { status: 502, failure: "server-error" }, true],
  ];
  test.each(rows)("%s", (_name, changes, expected) => {
    expect(isError(record(changes))).toBe(expected);
  });
});

describe("reportRequest", () => {
  test("tells what happened in one line", () => {
    const served = record({
      status: 200,
      client: "key#1a2b",
      protocol: "responses",
      askedModel: "gpt-5.4-high",
      model: "gpt-5.4",
      effort: "high",
      isStream: true,
      firstOutputMs: 1250,
      usage: { input: 10, cached: 4, output: 3, reasoning: 1 },
      bytesOut: 99,
      attempts: [attemptOf({ label: "us***@example.com#1a2b", tookMs: 240 })],
    });
    const [line = "", ...more] = lines((log) => reportRequest(log, served, 3000));
    expect(more).toEqual([]);
    expect(line).toContain("INFO  request id=req_1 client=key#1a2b protocol=responses");
    expect(line).toContain("model=gpt-5.4-high>gpt-5.4 effort=high");
    expect(line).toContain("attempts=1 status=200 ttft_ms=250 duration_ms=2000 in=10 cached=4");
    expect(line).not.toContain("tried=");
    expect(line).not.toContain("waited_ms=");
  });

  test("names the trace that the client has begun", () => {
    const trace = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", parentId: "1", isSampled: true };
    const [line] = lines((log) => reportRequest(log, record({ trace }), 3000));
    expect(line).toContain("id=req_1 trace_id=4bf92f3577b34da6a3ce929d0e0e4736 ");
    const [plain] = lines((log) => reportRequest(log, record({}), 3000));
    expect(plain).not.toContain("trace_id");
  });

  test("says how long it waited for a place", () => {
    const [line] = lines((log) => reportRequest(log, record({ status: 200, waitedMs: 40 }), 3000));
    expect(line).toContain("waited_ms=40 status=200");
  });

  test("names each attempt where one did not do", () => {
    const attempts: TurnRecord["attempts"] = [
      attemptOf({ label: "a#1", outcome: "overloaded", tookMs: 5 }),
      attemptOf({ label: "b#2", tookMs: 7 }),
    ];
    const [line = ""] = lines((log) => reportRequest(log, record({ status: 200, attempts }), 3000));
    expect(line).toContain("account=b#2 attempts=2 tried=a#1:overloaded:5ms,b#2:served:7ms");
  });

  test("M2: marks input that was only sent ahead, and nothing else", () => {
    const told = (isPrewarm: boolean) =>
      lines((log) => reportRequest(log, record({ isPrewarm, status: 200 }), 1000)).join("");
    expect(told(true)).toContain(" prewarm=true ");
    expect(told(false)).not.toContain("prewarm");
  });

  test("warns where the proxy could not serve", () => {
    const [line = ""] = lines((log) => reportRequest(log, record({ status: 503 }), 3000));
    expect(line).toContain("WARN");
  });
});

test("reportFault tells where it happened, and survives what is no Error", () => {
  const written = lines((log) => {
    reportFault(log, "req_1", new Error("boom"));
    reportFault(log, "reload", "just a text");
  });
  expect(written[0]).toContain("where=req_1");
  expect(written[0]).toContain("boom");
  expect(written[1]).toContain("just a text");
});
