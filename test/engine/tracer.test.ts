import { describe, expect, test } from "bun:test";
import { openRecord, type TurnRecord } from "../../src/engine/record.ts";
import { createTracer } from "../../src/engine/tracer.ts";
import type { Posted } from "../../src/upstream/collector.ts";
import { createManualClock } from "../support/clock.ts";
import { attemptOf, listen, NOON } from "./parts.ts";

const OK: Posted = { ok: true, rejected: 0 };

function scene(answer: (posts: number) => Posted | Promise<Posted> = () => OK) {
  const clock = createManualClock(NOON);
  const { log, lines } = listen();
  const bodies: string[] = [];
  const spans = { exported: 0, dropped: 0 };
  const state = { endpoint: "http://collector" };
  const signals: AbortSignal[] = [];
  const tracer = createTracer({
    clock,
    log,
    endpoint: () => state.endpoint,
    post: async (_endpoint, body, signal) => {
      signals.push(signal);
      return answer(bodies.push(body));
    },
    source: { version: "1" },
    newSpanId: () => "0000000000000001",
    onSpans: (outcome, count) => {
      spans[outcome] += count;
    },
  });
  const keep = (count = 1, more: Partial<TurnRecord> = {}): void => {
    for (let turn = 0; turn < count; turn++) {
      tracer.keep(Object.assign(openRecord(`req_${turn}`, NOON), { status: 200, ...more }));
    }
  };
  return { clock, tracer, keep, bodies, spans, state, signals, lines };
}

describe("turns are told to the collector", () => {
  test("many at a time, with their attempts", async () => {
    const { tracer, keep, bodies, spans } = scene();
    keep(300, { attempts: [attemptOf({})] });
    expect(bodies).toEqual([]);
    await tracer.flush();
    expect(bodies).toHaveLength(3);
    expect(spans).toEqual({ exported: 600, dropped: 0 });
    await tracer.flush();
    expect(bodies).toHaveLength(3);
  });

  test("nobody is told without an endpoint, of what was sent ahead, or of a trace that its owner does not keep", async () => {
    const { tracer, keep, bodies, state, spans } = scene();
    keep(1, { isPrewarm: true });
    keep(1, { trace: { traceId: "1", parentId: "2", isSampled: false } });
    keep();
    state.endpoint = "";
    keep();
    await tracer.flush();
    expect([bodies.length, spans.dropped]).toEqual([0, 1]);
  });

  test("what it rejects counts as dropped", async () => {
    const { tracer, keep, spans } = scene(() => ({ ok: true, rejected: 2 }));
    keep(5);
    await tracer.flush();
    expect(spans).toEqual({ exported: 3, dropped: 2 });
  });
});

describe("a collector that is down", () => {
  test("costs what was sent, is told once, and told again when it is back", async () => {
    let isDown = true;
    const { tracer, keep, bodies, spans, lines } = scene(() =>
      isDown ? { ok: false, reason: "it could not be reached (ECONNREFUSED)" } : OK,
    );
    keep(300);
    await tracer.flush();
    await tracer.flush();
    // One post each time: the others wait.
    expect([bodies.length, spans.dropped]).toEqual([2, 256]);
    isDown = false;
    await tracer.flush();
    expect(spans).toEqual({ exported: 44, dropped: 256 });
    expect(lines.map(({ level }) => level)).toEqual(["warn", "info"]);
    expect(JSON.stringify(lines[0])).toContain("ECONNREFUSED");
  });

  test("that says nothing is given up after 10 s, and the line stays bounded meanwhile", async () => {
    const { clock, tracer, keep, spans, signals } = scene(
      () =>
        new Promise((resolve) => {
          signals[0]?.addEventListener("abort", () => resolve({ ok: false, reason: "late" }));
        }),
    );
    keep();
    const flushed = tracer.flush();
    expect(tracer.flush()).toBe(flushed);
    keep(5000);
    expect(spans.dropped).toBe(5000 - 2048);
    clock.advance(10_000);
    await flushed;
    expect(spans.dropped).toBe(5000 - 2048 + 1);
  });
});
