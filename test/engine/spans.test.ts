import { describe, expect, test } from "bun:test";
import { openRecord, type TurnRecord } from "../../src/engine/record.ts";
import { countSpans, traceIdOf, tracesOf } from "../../src/engine/spans.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { attributesOf } from "../support/collector.ts";
import { attemptOf, NOON } from "./parts.ts";

const ID = "req_991f0b0d24b84e56a286549434e373c6";
const TRACE = {
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  parentId: "00f067aa0ba902b7",
  isSampled: true,
};

function turnOf(more: Partial<TurnRecord> = {}) {
  const record = Object.assign(openRecord(ID, NOON), { status: 200, protocol: "chat", ...more });
  return { record, endedMs: NOON + 1500 };
}

function spansOf(more: Partial<TurnRecord> = {}): readonly Dict[] {
  let ids = 0;
  const newSpanId = (): string => `${++ids}`.padStart(16, "0");
  const traces = dict(tracesOf([turnOf(more)], { version: "1.2.3" }, newSpanId));
  const resource = dict(list(traces["resourceSpans"])[0]);
  expect(dict(resource["resource"])).toEqual({
    attributes: [
      { key: "service.name", value: { stringValue: "codex-proxy" } },
      { key: "service.version", value: { stringValue: "1.2.3" } },
    ],
  });
  return list(dict(list(resource["scopeSpans"])[0])["spans"]).map(dict);
}

describe("a turn as spans", () => {
  test("one for itself, in the client's trace, and a child for each attempt", () => {
    const spans = spansOf({
      trace: TRACE,
      client: "laptop",
      askedModel: "gpt-5.4-high",
      model: "gpt-5.4",
      usage: { input: 10, cached: 4, output: 3, reasoning: 1 },
      attempts: [
        attemptOf({
          label: "an***@a.b#1",
          tookMs: 300,
          startedMs: NOON + 5,
          outcome: "exhausted",
          message: "spent",
        }),
        attemptOf({ label: "bo***@a.b#2", tookMs: 400, startedMs: NOON + 310 }),
      ],
    });
    expect(spans).toHaveLength(countSpans(turnOf({ attempts: [attemptOf({}), attemptOf({})] })));
    const [root, first, second] = spans;
    expect(root).toMatchObject({
      traceId: TRACE.traceId,
      spanId: "0000000000000001",
      parentSpanId: TRACE.parentId,
      name: "turn chat",
      kind: 2,
      startTimeUnixNano: `${NOON}000000`,
      endTimeUnixNano: `${NOON + 1500}000000`,
      status: {},
    });
    expect(attributesOf(root)).toMatchObject({
      "http.response.status_code": "200",
      "gen_ai.request.model": "gpt-5.4-high",
      "gen_ai.usage.input_tokens": "10",
      "codex_proxy.client": "laptop",
      "codex_proxy.request_id": ID,
    });
    expect(first).toMatchObject({
      traceId: TRACE.traceId,
      parentSpanId: "0000000000000001",
      startTimeUnixNano: `${NOON + 5}000000`,
      endTimeUnixNano: `${NOON + 305}000000`,
      kind: 3,
      status: { code: 2, message: "spent" },
    });
    expect(attributesOf(first)).toMatchObject({ "codex_proxy.account": "an***@a.b#1" });
    expect(second).toMatchObject({ spanId: "0000000000000003", status: {} });
  });

  test("without a trace of the client's, the request's id is the trace's", () => {
    expect(spansOf()[0]).toMatchObject({ traceId: ID.slice(4) });
    expect(spansOf()[0]).not.toHaveProperty("parentSpanId");
    expect(traceIdOf(openRecord("req_1", NOON))).toMatch(/^[0-9a-f]{32}$/);
  });

  test("a failure is an error, unless it was the client's own", () => {
    const failed = spansOf({ status: 503, failure: "no-account", reason: "nobody" })[0];
    expect(failed).toMatchObject({ status: { code: 2, message: "nobody" } });
    expect(attributesOf(failed)).toMatchObject({ "error.type": "no-account" });
    expect(spansOf({ status: 400, failure: "bad-request", reason: "x" })[0]).toMatchObject({
      status: {},
    });
  });

  test("what a client calls its model is cut and redacted", () => {
    const model = `sk-${"secret".repeat(100)}`;
    expect(JSON.stringify(spansOf({ askedModel: model, model, effort: model }))).not.toContain(
      "secret",
    );
  });
});
