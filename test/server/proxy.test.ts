import { afterEach, describe, expect, test } from "bun:test";
import type { Execution, Job } from "../../src/engine/execute.ts";
import type { TurnRecord } from "../../src/engine/record.ts";
import type { Watched } from "../../src/engine/watch.ts";
import type { Protocol } from "../../src/protocols/protocol.ts";
import { createProxy } from "../../src/server/proxy.ts";
import type { ProxyOptions } from "../../src/server/visit.ts";
import { clientStatus, refuse } from "../../src/turn/failure.ts";
import type { TurnRequest } from "../../src/turn/request.ts";
import type { Batch } from "../../src/upstream/stream.ts";
import { dict, parseDict } from "../../src/wire/json.ts";
import {
  attemptOf,
  completed,
  failure,
  gate,
  NOON,
  settled,
  step,
  steps,
  turnOf,
} from "../engine/parts.ts";
import { UNLIMITED } from "../support/callers.ts";
import { createManualClock } from "../support/clock.ts";
import { CONNECTION, watchedConnection } from "../support/connection.ts";

const encoder = new TextEncoder();
const DELTA = steps(step("response.output_text.delta"));
const END = steps(completed());

afterEach(() => new Promise((resolve) => setImmediate(resolve)));

/** A protocol that says in words what it does; the request's body is its script. */
function protocolOf(turn: Partial<TurnRequest>, bug?: "decode" | "stream" | "push"): Protocol {
  return {
    name: "words",
    path: "/words",
    fail: ({ kind, message, status }, id) => ({
      status: status ?? clientStatus(failure(kind)),
      headers: { "x-kind": kind },
      body: { error: { message, request_id: id } },
    }),
    decode: ({ bytes, resolve }) => {
      if (bug === "decode") throw new Error("a bug");
      const body = parseDict(new TextDecoder().decode(bytes));
      if (body === undefined) return { ok: false, failure: refuse(400, "invalid_json", "no JSON") };
      const resolved = resolve(String(body["model"]));
      if (!resolved.ok)
        return { ok: false, failure: refuse(400, "bad_model", resolved.failure.message) };
      return {
        ok: true,
        exchange: {
          turn: { ...turnOf(), ...turn },
          askedModel: String(body["model"]),
          wantsStream: body["stream"] === true,
          stream: () => {
            if (bug === "stream") throw new Error("a bug");
            return {
              heartbeat: encoder.encode("[beat]"),
              push: (all) => {
                if (bug === "push") throw new Error("a bug");
                return all.map(({ role }) => encoder.encode(`[${role}]`));
              },
              fail: ({ kind }) => [encoder.encode(`[fail ${kind}]`)],
            };
          },
          body: () => {
            const roles: string[] = [];
            return {
              push: (all) => {
                if (bug === "push") throw new Error("a bug");
                roles.push(...all.map(({ role }) => role));
              },
              end: () => ({ roles }),
            };
          },
          classify: (event) => failure("server-error", { message: String(event["type"]) }),
          explain: (told) =>
            told.kind === "context-overflow" ? { ...told, message: "explained" } : told,
        },
      };
    },
  };
}

type Play = {
  readonly body?: string | ReadableStream<Uint8Array> | null;
  readonly headers?: Record<string, string>;
  readonly batches?: readonly (Batch | Promise<Batch>)[];
  readonly upstream?: Record<string, string>;
  readonly turn?: Partial<TurnRequest>;
  readonly options?: Partial<ProxyOptions>;
  readonly execute?: (job: Job, turn: Watched) => Promise<Execution>;
  readonly bug?: "decode" | "stream" | "push";
  readonly isGone?: boolean;
};

const STREAM = JSON.stringify({ model: "gpt-5.4", stream: true });
const WHOLE = JSON.stringify({ model: "gpt-5.4" });

/** As the real attempt loop does, with one account that answers. */
async function serveOnce(job: Job, turn: Watched): Promise<Execution> {
  job.record.attempts.push(attemptOf({ label: "a", tookMs: 1 }));
  if (job.finish === undefined) return { ok: true, turn, body: undefined };
  const finished = await job.finish(turn);
  if (finished.ok) return { ok: true, turn, body: finished.body };
  turn.close();
  return finished;
}

function stage(play: Play = {}) {
  const clock = createManualClock(NOON);
  const records: TurnRecord[] = [];
  const faults: unknown[] = [];
  const jobs: Job[] = [];
  let reads = 0;
  let closes = 0;
  const turn: Watched = {
    headers: play.upstream ?? {},
    tag: "tag1",
    read: async () => {
      const batches = play.batches ?? [DELTA, END];
      return batches[reads++] ?? { type: "end" };
    },
    close: () => {
      closes += 1;
    },
  };
  const proxy = createProxy({
    clock,
    options: () => ({
      maxBodyBytes: 1000,
      clientIdleMs: 30_000,
      requestMs: 60_000,
      heartbeatMs: 15_000,
      earlyHeartbeatMs: 0,
      ...play.options,
    }),
    resolve: (model) =>
      model === "bad"
        ? { ok: false, failure: failure("bad-request", { message: "no such level" }) }
        : { ok: true, choice: { model, isFast: false, levels: [] } },
    execute: (job) => {
      jobs.push(job);
      return (play.execute ?? serveOnce)(job, turn);
    },
    ...UNLIMITED,
    onEnd: (record) => records.push({ ...record }),
    onFault: (_id, cause) => faults.push(cause),
  });
  const client = new AbortController();
  const connection = watchedConnection();
  const listeners = { added: 0, removed: 0 };
  const request = new Request("http://localhost/v1/words", {
    method: "POST",
    headers: play.headers ?? {},
    body: play.body === undefined ? STREAM : play.body,
    signal: client.signal,
  });
  const { signal } = request;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    listeners.added += 1;
    add(...given);
  };
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    listeners.removed += 1;
    remove(...given);
  };
  if (play.isGone === true) client.abort();
  return {
    answer: proxy({
      protocol: protocolOf(play.turn ?? {}, play.bug),
      request,
      caller: { name: "key#1234", scope: "scope" },
      requestId: "req_1",
      connection,
    }),
    connection,
    clock,
    client,
    turn,
    jobs,
    faults,
    records,
    listeners,
    counts: () => ({ reads, closes }),
  };
}

/** What must hold of every request that is over, however it went. */
function expectOver(scene: ReturnType<typeof stage>): TurnRecord {
  expect(scene.records).toHaveLength(1);
  expect(scene.listeners.removed).toBe(scene.listeners.added);
  // While it ran, its connection was not idle; now it is.
  expect(scene.connection.told.slice(0, 2)).toEqual(["hold", "rest"]);
  // The clocks of a request that is over do not fire any more.
  scene.clock.advance(86_400_000);
  expect(scene.records).toHaveLength(1);
  const [record] = scene.records;
  if (record === undefined) throw new Error("the record was counted");
  return record;
}

describe("createProxy, a stream", () => {
  test("is written, recorded, and never cached or held back on its way", async () => {
    const scene = stage();
    const response = await scene.answer;
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toEqual({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
      "x-request-id": "req_1",
    });
    expect(scene.records).toHaveLength(0);
    expect(await response.text()).toBe("[output][completed]");
    expect(expectOver(scene)).toMatchObject({
      id: "req_1",
      startedMs: NOON,
      protocol: "words",
      client: "key#1234",
      askedModel: "gpt-5.4",
      model: "gpt-5.4",
      isStream: true,
      status: 200,
      failure: undefined,
      firstOutputMs: NOON,
      bytesOut: 19,
      attempts: [{ label: "a", outcome: "served" }],
    });
    expect(scene.counts().closes).toBe(1);
  });

  test("a failure before any output is a status", async () => {
    const scene = stage({
      execute: async () => ({ ok: false, failure: failure("exhausted") }),
    });
    const response = await scene.answer;
    expect([response.status, response.headers.get("x-kind")]).toEqual([429, "exhausted"]);
    expect(response.headers.get("x-request-id")).toBe("req_1");
    expect(dict(dict(await response.json())["error"])["request_id"]).toBe("req_1");
    expect(expectOver(scene)).toMatchObject({ status: 429, failure: "exhausted" });
  });

  test.each([STREAM, WHOLE])(
    "a failure before any output is told as the exchange explains it, asked by %s",
    async (body) => {
      const execute = async (): Promise<Execution> => ({
        ok: false,
        failure: failure("context-overflow"),
      });
      const response = await stage({ body, execute }).answer;
      expect(response.status).toBe(400);
      expect(await response.json()).toEqual({
        error: { message: "explained", request_id: "req_1" },
      });
    },
  );

  test("a failure in mid-stream is told inside it", async () => {
    const scene = stage({ batches: [DELTA, { type: "broken", failure: failure("timeout") }] });
    expect(await (await scene.answer).text()).toBe("[output][fail timeout]");
    expect(expectOver(scene)).toMatchObject({ status: 200, failure: "timeout" });
  });

  test("a client that leaves in mid-stream is 499 and stops the work", async () => {
    const scene = stage({ batches: [DELTA, new Promise(() => {})] });
    const reader = (await scene.answer).body?.getReader();
    await reader?.read();
    await reader?.cancel();
    expect(expectOver(scene)).toMatchObject({ status: 499, failure: "client-left" });
    expect(scene.jobs[0]?.stop.reason()?.kind).toBe("client-left");
    expect(scene.counts().closes).toBe(1);
  });

  test("a client that leaves before the answer begins stops the work at once", async () => {
    const waiting = gate<Execution>();
    const scene = stage({ execute: () => waiting.promise });
    await settled();
    await new Promise((resolve) => setImmediate(resolve));
    scene.client.abort();
    expect(scene.jobs[0]?.stop.signal.aborted).toBe(true);
    waiting.open({ ok: false, failure: failure("client-left") });
    await scene.answer;
    expect(expectOver(scene)).toMatchObject({ status: 499, failure: "client-left" });
  });

  test("the connection is held for as long as the stream runs", async () => {
    const scene = stage({ batches: [DELTA, END] });
    const response = await scene.answer;
    expect(scene.connection.told).toEqual(["hold"]);
    await response.text();
    expect(scene.connection.told).toEqual(["hold", "rest"]);
  });

  test("a body that comes by drops is 408, and no account is asked for", async () => {
    const scene = stage({ body: new ReadableStream() });
    await new Promise((resolve) => setImmediate(resolve));
    scene.clock.advance(30_000);
    expect((await scene.answer).status).toBe(408);
    expect(expectOver(scene)).toMatchObject({ status: 408, failure: "bad-request" });
    expect(scene.jobs).toEqual([]);
  });

  test("a client that had left before anything began is 499", async () => {
    const scene = stage({ isGone: true });
    await scene.answer;
    expect(expectOver(scene)).toMatchObject({ status: 499, failure: "client-left" });
    expect(scene.jobs.length).toBe(0);
  });

  test("request-timeout-sec bounds all of it, and 0 does not", async () => {
    for (const requestMs of [5000, 0]) {
      const waiting = gate<Execution>();
      const scene = stage({ execute: () => waiting.promise, options: { requestMs } });
      await new Promise((resolve) => setImmediate(resolve));
      scene.clock.advance(5000);
      const reason = scene.jobs[0]?.stop.reason();
      expect(reason?.kind).toBe(requestMs === 0 ? undefined : "out-of-time");
      waiting.open({ ok: false, failure: reason ?? failure("empty") });
      expect((await scene.answer).status).toBe(requestMs === 0 ? 502 : 504);
      expectOver(scene);
    }
  });
});

describe("createProxy, an answer in one piece", () => {
  test("is read to its end, recorded with its size, and closed", async () => {
    const scene = stage({ body: WHOLE });
    const response = await scene.answer;
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("x-request-id")).toBe("req_1");
    const text = await response.text();
    expect(text).toBe('{"roles":["output","completed"]}');
    expect(expectOver(scene)).toMatchObject({
      isStream: false,
      status: 200,
      bytesOut: text.length,
    });
    expect(scene.counts().closes).toBe(1);
  });

  const failures: [name: string, batches: Batch[], status: number, kind: string][] = [
    ["a cut", [DELTA, { type: "broken", failure: failure("cut-short") }], 502, "cut-short"],
    ["a failed turn", [DELTA, steps(step("response.failed"))], 502, "server-error"],
    ["an error event", [DELTA, steps(step("error"))], 502, "server-error"],
  ];
  test.each(failures)(
    "%s is a status, not half an answer",
    async (_name, batches, status, kind) => {
      const scene = stage({ body: WHOLE, batches });
      const response = await scene.answer;
      expect([response.status, response.headers.get("x-kind")]).toEqual([status, kind]);
      expect(expectOver(scene).status).toBe(status);
      expect(scene.counts().closes).toBe(1);
    },
  );

  test("what an earlier attempt left is not in the answer", async () => {
    const scene = stage({
      body: WHOLE,
      execute: async (job, turn) => {
        const half: Watched = {
          ...turn,
          read: () => Promise.resolve({ type: "broken", failure: failure("cut-short") }),
        };
        await job.finish?.(half);
        return serveOnce(job, turn);
      },
    });
    expect(await (await scene.answer).text()).toBe('{"roles":["output","completed"]}');
    expectOver(scene);
  });
});

describe("createProxy, requests that reach no account", () => {
  const rows: [name: string, play: Play, status: number][] = [
    ["no JSON", { body: "{" }, 400],
    ["no body", { body: null }, 400],
    ["a level that the model lacks", { body: '{"model":"bad"}' }, 400],
    ["an encoding nobody knows", { headers: { "content-encoding": "lzma" } }, 415],
    ["a broken encoding", { headers: { "content-encoding": "gzip" } }, 400],
    ["too large a body", { body: "x".repeat(1001) }, 413],
  ];
  test.each(rows)("%s", async (_name, play, status) => {
    const scene = stage(play);
    expect((await scene.answer).status).toBe(status);
    expect(expectOver(scene).status).toBe(status);
    expect(scene.jobs).toHaveLength(0);
    expect(scene.faults).toHaveLength(0);
  });

  test("a client that goes away while it sends is 499, and no fault", async () => {
    const sending = gate<void>();
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await sending.promise;
        controller.error(new Error("the connection was reset"));
      },
    });
    const scene = stage({ body });
    await settled();
    scene.client.abort();
    sending.open();
    await scene.answer;
    expect(expectOver(scene)).toMatchObject({ status: 499, failure: "client-left" });
    expect(scene.faults).toEqual([]);
  });

  test("a client that sends its body for ever is bound by the request's clock", async () => {
    const body = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
    const scene = stage({ body });
    await settled();
    scene.clock.advance(60_000);
    expect((await scene.answer).status).toBe(504);
    expect(expectOver(scene).failure).toBe("out-of-time");
  });
});

describe("createProxy, faults of our own", () => {
  const bugs: [name: string, play: Play][] = [
    ["decoding", { bug: "decode" }],
    ["making the encoder", { bug: "stream" }],
    ["the attempt loop", { execute: () => Promise.reject(new Error("a bug")) }],
    [
      "the attempt loop, in one piece",
      { body: WHOLE, execute: () => Promise.reject(new Error("a bug")) },
    ],
    ["putting an answer together", { body: WHOLE, bug: "push" }],
  ];
  test.each(bugs)("%s: 500 with the request id, one line, one end", async (_name, play) => {
    const scene = stage(play);
    const response = await scene.answer;
    expect(response.status).toBe(500);
    expect(await response.text()).toContain("req_1");
    expect(scene.faults).toEqual([new Error("a bug")]);
    expect(expectOver(scene)).toMatchObject({ status: 500, failure: "internal" });
  });

  test("in mid-stream it is told there", async () => {
    const scene = stage({ bug: "push" });
    expect(await (await scene.answer).text()).toBe("[fail internal]");
    expect(scene.faults).toHaveLength(1);
    expect(expectOver(scene)).toMatchObject({ status: 200, failure: "internal" });
    expect(scene.counts().closes).toBe(1);
  });
});

describe("createProxy, early heartbeat", () => {
  const early = { earlyHeartbeatMs: 5000 };

  /** A request whose answer is still being fought for when the client is told that it lives. */
  async function waiting() {
    const execution = gate<Execution>();
    const scene = stage({ execute: () => execution.promise, options: early });
    await new Promise((resolve) => setImmediate(resolve));
    scene.clock.advance(5000);
    const response = await scene.answer;
    return { scene, execution, response };
  }

  test("an answer that comes in time is as ever", async () => {
    const scene = stage({ options: early });
    expect(await (await scene.answer).text()).toBe("[output][completed]");
    expectOver(scene);
  });

  test("a failure that comes in time is a status", async () => {
    const execute = async (): Promise<Execution> => ({ ok: false, failure: failure("overloaded") });
    const scene = stage({ options: early, execute });
    expect((await scene.answer).status).toBe(503);
    expectOver(scene);
  });

  test("later than that the client hears a sign of life, then the answer", async () => {
    const { scene, execution, response } = await waiting();
    expect(response.status).toBe(200);
    execution.open({ ok: true, turn: scene.turn, body: undefined });
    expect(await response.text()).toBe("[beat][output][completed]");
    expect(expectOver(scene)).toMatchObject({ status: 200, failure: undefined });
  });

  test("a late failure is told inside the stream", async () => {
    const { scene, execution, response } = await waiting();
    execution.open({ ok: false, failure: failure("exhausted") });
    expect(await response.text()).toBe("[beat][fail exhausted]");
    expect(expectOver(scene)).toMatchObject({ status: 200, failure: "exhausted" });
  });

  test("a late fault too", async () => {
    const { scene, execution, response } = await waiting();
    execution.fail(new Error("a bug"));
    expect(await response.text()).toBe("[beat][fail internal]");
    expect(scene.faults).toHaveLength(1);
    expectOver(scene);
  });

  test("a client that leaves while it waits stops the work, whatever that comes to", async () => {
    const ends: ((scene: ReturnType<typeof stage>) => Execution | Error)[] = [
      ({ turn }) => ({ ok: true, turn, body: undefined }),
      () => ({ ok: false, failure: failure("client-left") }),
      () => new Error("a bug"),
    ];
    for (const end of ends) {
      const { scene, execution, response } = await waiting();
      await response.body?.cancel();
      expect(scene.jobs[0]?.stop.reason()?.kind).toBe("client-left");
      const outcome = end(scene);
      if (outcome instanceof Error) execution.fail(outcome);
      else execution.open(outcome);
      await settled();
      expect(scene.counts().closes).toBe(outcome instanceof Error || !outcome.ok ? 0 : 1);
      expect(expectOver(scene)).toMatchObject({ status: 499, failure: "client-left" });
    }
  });
});

describe("createProxy, headers of the backend's", () => {
  const upstream = {
    "x-codex-turn-state": "sticky",
    "x-codex-primary-used-percent": "12",
    "x-models-etag": "W/1",
    "x-reasoning-included": "true",
    "openai-model": "gpt-5.4",
    "set-cookie": "__cf_bm=1",
    server: "cloudflare",
    "content-encoding": "gzip",
  };

  test.each([STREAM, WHOLE])("a native client gets those that Codex reads: %s", async (body) => {
    const { headers } = await stage({ body, upstream, turn: { isNative: true } }).answer;
    expect(Object.fromEntries(headers)).toMatchObject({
      "x-codex-turn-state": "tag1.sticky",
      "x-codex-primary-used-percent": "12",
      "x-models-etag": "W/1",
      "x-reasoning-included": "true",
      "openai-model": "gpt-5.4",
      "x-request-id": "req_1",
    });
    for (const name of ["set-cookie", "server", "content-encoding"]) {
      expect(headers.has(name)).toBe(false);
    }
  });

  test.each([STREAM, WHOLE])("another client gets none: %s", async (body) => {
    const { headers } = await stage({ body, upstream }).answer;
    for (const name of Object.keys(upstream)) expect(headers.has(name)).toBe(false);
  });
});

test("B5-8: conversations are kept apart by caller and by how their key came about", async () => {
  const keyOf = async (turn: Partial<TurnRequest>, scope: string) => {
    const jobs: Job[] = [];
    const proxy = createProxy({
      clock: createManualClock(NOON),
      options: () => ({
        maxBodyBytes: 1000,
        clientIdleMs: 0,
        requestMs: 0,
        heartbeatMs: 0,
        earlyHeartbeatMs: 0,
      }),
      resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      execute: async (job) => {
        jobs.push(job);
        return { ok: false, failure: failure("empty") };
      },
      ...UNLIMITED,
      onEnd: () => {},
      onFault: () => {},
    });
    const request = new Request("http://localhost/", { method: "POST", body: STREAM });
    const caller = { name: "", scope };
    const protocol = protocolOf(turn);
    await proxy({ protocol, request, caller, requestId: "r", connection: CONNECTION });
    return jobs[0]?.sessionKey;
  };
  const explicit = { session: { key: "k", isExplicit: true } };
  const derived = { session: { key: "k", isExplicit: false } };
  const keys = [
    await keyOf(explicit, "ann"),
    await keyOf(explicit, "bob"),
    await keyOf(derived, "ann"),
    await keyOf(derived, "bob"),
  ];
  expect(new Set(keys).size).toBe(4);
  expect(await keyOf(explicit, "ann")).toBe(keys[0]);
});
