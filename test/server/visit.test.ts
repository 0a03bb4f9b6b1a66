import { describe, expect, test } from "bun:test";
import type { TurnRecord } from "../../src/engine/record.ts";
import type { Exchange } from "../../src/protocols/protocol.ts";
import {
  describe as describeTurn,
  explained,
  jobOf,
  openVisit,
  relayed,
} from "../../src/server/visit.ts";
import type { Failure } from "../../src/turn/failure.ts";
import type { TurnRequest } from "../../src/turn/request.ts";
import { failure, NOON, streamOf, turnOf } from "../engine/parts.ts";
import { createManualClock } from "../support/clock.ts";

const CALLER = { name: "key#1", scope: "hash" };

function scene(requestMs = 60_000, refusal?: Failure) {
  const clock = createManualClock(NOON);
  const records: TurnRecord[] = [];
  const begun: TurnRecord[] = [];
  const tickets: string[] = [];
  const enter = (scope: string) => {
    tickets.push(`${scope} enters`);
    return refusal ?? { leave: (...said: unknown[]) => void tickets.push(JSON.stringify(said)) };
  };
  const open = (signal?: AbortSignal, traceparent: string | null = null) =>
    openVisit(
      {
        requestId: "req_1",
        protocol: "websocket",
        caller: CALLER,
        traceparent,
        ...(signal === undefined ? {} : { signal }),
      },
      {
        clock,
        options: () => ({
          maxBodyBytes: 1,
          clientIdleMs: 0,
          requestMs,
          heartbeatMs: 0,
          earlyHeartbeatMs: 0,
        }),
        resolve: () => ({ ok: false, failure: failure("bad-request") }),
        execute: async () => ({ ok: false, failure: failure("internal") }),
        enter,
        onBegin: (record) => begun.push(record),
        onEnd: (record) => records.push(record),
        onFault: () => {},
      },
    );
  return { clock, records, begun, tickets, open };
}

function exchangeOf(turn: Partial<TurnRequest>): Exchange {
  return {
    turn: { ...turnOf(), ...turn },
    askedModel: "asked",
    wantsStream: true,
    stream: () => ({ push: () => [], fail: () => [], heartbeat: new Uint8Array(0) }),
    body: () => ({ push: () => {}, end: () => ({}) }),
    classify: () => failure("server-error"),
  };
}

describe("a caller's limits", () => {
  test("a turn counts from where it enters to its end, once, with what it used", () => {
    const { tickets, open } = scene();
    const visit = open();
    expect(tickets).toEqual([]);
    expect(visit.enter()).toBeUndefined();
    visit.record.status = 503;
    visit.record.usage = { input: 1, cached: 0, output: 2, reasoning: 0 };
    visit.end(failure("no-account"));
    visit.end();
    expect(tickets).toEqual(["hash enters", JSON.stringify([true, visit.record.usage])]);
  });

  test("one that has no room, or never asked for any, gives nothing back", () => {
    const refusal = failure("client-limited");
    const { tickets, open } = scene(0, refusal);
    const visit = open();
    expect(visit.enter()).toBe(refusal);
    visit.end(refusal);
    open().end();
    expect(tickets).toEqual(["hash enters"]);
  });
});

test("the client's trace is in the record from the beginning", () => {
  const { begun, open } = scene();
  const [traceId, parentId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
  open(undefined, `00-${traceId}-${parentId}-01`);
  open(undefined, "00-nonsense");
  expect(begun.map(({ trace, client }) => [client, trace])).toEqual([
    ["key#1", { traceId, parentId, isSampled: true }],
    ["key#1", undefined],
  ]);
});

describe("openVisit", () => {
  test("tells its record once, at its end", () => {
    const { records, open } = scene();
    const visit = open();
    visit.end(failure("overloaded"));
    visit.end(failure("exhausted"));
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      id: "req_1",
      protocol: "websocket",
      client: "key#1",
      failure: "overloaded",
    });
  });

  test("stops when its time is over, and not after its end", () => {
    const { clock, open } = scene();
    const visit = open();
    const other = open();
    other.end();
    clock.advance(60_000);
    expect(visit.stop.reason()?.kind).toBe("out-of-time");
    expect(other.stop.reason()).toBeUndefined();
  });

  test("stops when the client leaves, which is logged as 499", () => {
    const { records, open } = scene(0);
    const client = new AbortController();
    const visit = open(client.signal);
    client.abort();
    expect(visit.stop.reason()?.kind).toBe("client-left");
    visit.end(visit.stop.reason());
    expect(records[0]).toMatchObject({ status: 499, failure: "client-left" });
    expect(open(client.signal).stop.reason()?.kind).toBe("client-left");
    const told = open();
    told.leave();
    expect(told.stop.reason()?.kind).toBe("client-left");
  });
});

describe("what HTTP and WebSocket turns share", () => {
  test("the record says what was asked for", () => {
    const { open } = scene();
    const { record } = open();
    describeTurn(record, exchangeOf({ effort: "high", isFast: true, removed: ["temperature"] }));
    expect(record).toMatchObject({
      askedModel: "asked",
      model: "gpt-5.4",
      effort: "high",
      tier: "priority",
      isStream: true,
      removed: ["temperature"],
    });
  });

  test("a conversation's key belongs to its caller, and a named one is no derived one", () => {
    const { open } = scene();
    const visit = open();
    const named = { key: "talk", isExplicit: true };
    const key = (session: typeof named, scope = "hash") =>
      jobOf(exchangeOf({ session }), { ...visit, scope }).sessionKey;
    const keys = [key(named), key(named, "other"), key({ ...named, isExplicit: false })];
    expect(new Set(keys).size).toBe(3);
    expect(key(named)).toBe(key(named));
  });

  test("a protocol may explain a failure by what it knows of the request", () => {
    const plain = exchangeOf({});
    const overflow = failure("context-overflow");
    expect(explained(overflow, plain)).toBe(overflow);
    const explain = () => failure("bad-request");
    expect(explained(overflow, { ...plain, explain }).kind).toBe("bad-request");
  });

  test("only a Codex client gets headers of the backend's, its sticky token marked", () => {
    const headers = { "x-codex-turn-state": "s", "openai-model": "m", server: "x" };
    const turn = { ...streamOf([], headers), tag: "tag" };
    expect(relayed(turn, exchangeOf({ isNative: false }))).toEqual({});
    expect(relayed(turn, exchangeOf({ isNative: true }))).toEqual({
      "openai-model": "m",
      "x-codex-turn-state": "tag.s",
    });
  });
});
