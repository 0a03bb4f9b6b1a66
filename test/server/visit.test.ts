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
import type { TurnRequest } from "../../src/turn/request.ts";
import { failure, NOON, streamOf, turnOf } from "../engine/parts.ts";
import { createManualClock } from "../support/clock.ts";

const CALLER = { name: "key#1", scope: "hash" };

function scene(requestMs = 60_000) {
  const clock = createManualClock(NOON);
  const records: TurnRecord[] = [];
  const open = (signal?: AbortSignal) =>
    openVisit(
      {
        requestId: "req_1",
        protocol: "websocket",
        caller: CALLER,
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
        resolve: () => ({ ok: false, message: "" }),
        execute: async () => ({ ok: false, failure: failure("internal") }),
        onEnd: (record) => records.push(record),
        onFault: () => {},
      },
    );
  return { clock, records, open };
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
