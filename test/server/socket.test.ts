import { describe, expect, test } from "bun:test";
import type { Execution, Job } from "../../src/engine/execute.ts";
import type { TurnRecord } from "../../src/engine/record.ts";
import type { Watched } from "../../src/engine/watch.ts";
import { pastOf } from "../../src/protocols/responses/conversation.ts";
import { createResponses } from "../../src/protocols/responses/index.ts";
import type { AccessOptions } from "../../src/server/keys.ts";
import { createSocket } from "../../src/server/socket.ts";
import type { Batch } from "../../src/upstream/stream.ts";
import { sha256 } from "../../src/wire/digest.ts";
import { type Dict, dict, list, parseDict } from "../../src/wire/json.ts";
import { failure, gate, NOON, settled, step, steps } from "../engine/parts.ts";
import { memoryOf } from "../protocols/turns.ts";
import { UNLIMITED } from "../support/callers.ts";
import { createManualClock } from "../support/clock.ts";

const KEY = "a-client-key-1";
const ACCESS: AccessOptions = {
  clientKeys: [sha256(KEY)],
  adminKey: undefined,
  allowedOrigins: [],
};
const CALLER = { name: `key#${sha256(KEY).slice(0, 4)}`, scope: sha256(KEY) };
const CODEX = { originator: "codex_exec" };

const question = (text: string) => ({
  type: "message",
  role: "user",
  content: [{ type: "input_text", text }],
});
const answer = (id: string) => ({ type: "message", id, role: "assistant", content: [] });

/** The events of a plain turn. */
function talk(id: string): readonly Batch[] {
  const item = answer(`msg_${id}`);
  return [
    steps(
      step("response.created", { sequence_number: 0, response: { id } }),
      step("response.output_item.added", { sequence_number: 1, output_index: 0, item }),
    ),
    steps(
      step("response.output_item.done", { sequence_number: 2, output_index: 0, item }),
      step("response.completed", { sequence_number: 3, response: { id, output: [] } }),
    ),
  ];
}

type Script = (job: Job, number: number) => Execution | Promise<Execution>;

/** What an account answers: these batches, then what stopping brings. */
function served(
  job: Job,
  batches: readonly (Batch | Promise<Batch>)[],
  headers = {},
  close = () => {},
): Execution {
  let reads = 0;
  const stopped = new Promise<Batch>((resolve) => {
    job.stop.signal.addEventListener("abort", () =>
      resolve({ type: "broken", failure: job.stop.reason() ?? failure("internal") }),
    );
  });
  const turn: Watched = {
    headers: headers,
    tag: "tag",
    read: async () => batches[reads++] ?? stopped,
    close,
  };
  return { ok: true, turn, body: undefined };
}

function scene(
  script: Script = (job, number) => served(job, talk(`resp_${number}`)),
  more: Dict = {},
) {
  const clock = createManualClock(NOON);
  const memory = memoryOf();
  const sent: Dict[] = [];
  const records: TurnRecord[] = [];
  const jobs: Job[] = [];
  const faults: unknown[] = [];
  const closes: number[] = [];
  const state = { access: ACCESS, isRetiring: false, isSlow: false, maxBodyBytes: 100_000 };
  let ids = 0;
  const socket = createSocket(
    {
      channel: {
        send: (frames) => {
          sent.push(...frames.map((frame) => dict(parseDict(frame))));
          return !state.isSlow;
        },
        ping: () => {},
        close: (code) => {
          closes.push(code);
          socket.close();
        },
        end: () => socket.close(),
      },
      handshake: new Headers({ authorization: `Bearer ${KEY}`, ...more }),
      caller: CALLER,
    },
    {
      clock,
      protocol: createResponses({ clock, memory }),
      past: (scope) => pastOf(memory, { scope }, clock.now()),
      options: () => ({
        maxBodyBytes: state.maxBodyBytes,
        clientIdleMs: 0,
        requestMs: 60_000,
        heartbeatMs: 0,
        earlyHeartbeatMs: 0,
      }),
      access: () => state.access,
      isRetiring: () => state.isRetiring,
      newRequestId: () => `req_${++ids}`,
      resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      execute: async (job) => script(job, jobs.push(job)),
      ...UNLIMITED,
      onEnd: (record) => records.push({ ...record }),
      onFault: (_id, cause) => faults.push(cause),
    },
  );
  const say = async (event: Dict | string | Uint8Array): Promise<void> => {
    const isReady = typeof event === "string" || event instanceof Uint8Array;
    socket.message(isReady ? event : JSON.stringify(event));
    await settled();
  };
  const ask = (input: unknown, fields: Dict = {}) =>
    say({ type: "response.create", model: "gpt-5.5", store: false, input, ...fields });
  return { socket, sent, records, jobs, faults, closes, state, clock, memory, say, ask };
}

/** What was sent, by type. */
const types = (sent: readonly Dict[]) => sent.map(({ type }) => type);
const errorOf = (event: Dict | undefined) => dict(dict(event)["error"]);

/** A turn that goes on until somebody ends it. */
const endless: Script = (job, number) => served(job, talk(`resp_${number}`).slice(0, 1));

describe("a turn over a WebSocket", () => {
  test("is sent as a POST would be, and its events come one by one", async () => {
    const { ask, sent, jobs, records } = scene();
    await ask([question("hi")], { temperature: 1 });
    expect(types(sent)).toEqual([
      "response.created",
      "response.output_item.added",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(jobs[0]?.turn.body).toMatchObject({ model: "gpt-5.5", stream: true, store: false });
    expect(jobs[0]?.turn.body).not.toHaveProperty("type");
    expect(records).toMatchObject([
      {
        id: "req_1",
        protocol: "websocket",
        client: CALLER.name,
        model: "gpt-5.5",
        isStream: true,
        isPrewarm: false,
        status: 200,
        removed: ["temperature"],
        failure: undefined,
      },
    ]);
    expect(records[0]?.bytesOut).toBeGreaterThan(100);
  });

  test("a foreign client's last event holds the whole output, as over HTTP", async () => {
    const { ask, sent } = scene();
    await ask("hi");
    expect(dict(sent.at(-1)?.["response"])["output"]).toEqual([answer("msg_resp_1")]);
  });

  test("a Codex client gets the backend's headers as an event, and all other events untouched", async () => {
    const limits = step("codex.rate_limits", { plan_type: "plus" });
    const script: Script = (job) =>
      served(job, [steps(limits), ...talk("r")], { "x-codex-turn-state": "s", "set-cookie": "c" });
    const { ask, sent } = scene(script, CODEX);
    await ask([question("hi")]);
    expect(sent[0]).toEqual({
      type: "response.metadata",
      headers: { "x-codex-turn-state": "tag.s" },
    });
    expect(types(sent)).toContain("codex.rate_limits");
    expect(dict(sent.at(-1)?.["response"])["output"]).toEqual([]);
  });

  test("its headers are the handshake's with its own over them", async () => {
    const { ask, jobs } = scene(undefined, {
      ...CODEX,
      "openai-beta": "responses_websockets=2026-02-06",
      "x-codex-window-id": "w:0",
    });
    const client_metadata = {
      "x-codex-window-id": "w:1",
      "x-codex-turn-state": "tag.s",
      ws_request_header_x_openai_internal_codex_responses_lite: "true",
    };
    await ask([question("hi")], { client_metadata });
    expect(jobs[0]?.turn.headers).toEqual({
      originator: "codex_exec",
      "x-codex-turn-state": "tag.s",
      "x-codex-window-id": "w:1",
      "x-openai-internal-codex-responses-lite": "true",
    });
    expect(jobs[0]?.turn.body["client_metadata"]).toEqual({ "x-codex-window-id": "w:1" });
  });

  test("a failure before its first event is an error event with a status", async () => {
    const resetsAtMs = NOON + 60_000;
    const script: Script = () => ({
      ok: false,
      failure: failure("exhausted", { planType: "plus", resetsAtMs }),
    });
    const { ask, sent, records } = scene(script);
    await ask("hi");
    expect(sent).toMatchObject([
      {
        type: "error",
        status: 429,
        error: {
          type: "usage_limit_reached",
          plan_type: "plus",
          resets_at: resetsAtMs / 1000,
          request_id: "req_1",
        },
        headers: { "retry-after": "60" },
      },
    ]);
    expect(records).toMatchObject([{ status: 429, failure: "exhausted" }]);
  });

  test("a failure after it is a `response.failed`, and the connection takes the next turn", async () => {
    const script: Script = (job, number) =>
      number === 1
        ? served(job, [
            ...talk("resp_1").slice(0, 1),
            { type: "broken", failure: failure("cut-short") },
          ])
        : served(job, talk("resp_2"));
    const { ask, sent, records } = scene(script);
    await ask("hi");
    expect(sent.at(-1)).toMatchObject({
      type: "response.failed",
      sequence_number: 2,
      response: { id: "resp_1", status: "failed" },
    });
    await ask("again");
    expect(sent.at(-1)?.["type"]).toBe("response.completed");
    expect(records).toMatchObject([{ failure: "cut-short" }, { failure: undefined }]);
  });

  test("a fault of the program's own is told without its words", async () => {
    const { ask, sent, faults, records } = scene(() => {
      throw new Error("a bug");
    });
    await ask("hi");
    expect(sent).toMatchObject([{ type: "error", status: 500 }]);
    expect(JSON.stringify(sent)).not.toContain("a bug");
    expect(faults).toHaveLength(1);
    expect(records).toMatchObject([{ status: 500, failure: "internal" }]);
  });

  test("a fault in the middle is a `response.failed` too", async () => {
    const script: Script = (job) =>
      served(job, [...talk("resp_1").slice(0, 1), Promise.reject(new Error("a bug"))]);
    const { ask, sent, faults, records } = scene(script);
    await ask("hi");
    expect(sent.at(-1)).toMatchObject({
      type: "response.failed",
      response: { id: "resp_1", error: { code: "server_error" } },
    });
    expect(faults).toHaveLength(1);
    expect(records).toMatchObject([{ status: 200, failure: "internal" }]);
  });

  test("a slow reader slows it down", async () => {
    const read = gate<Batch>();
    const [first, last] = talk("resp_1");
    const script: Script = (job) => served(job, [first ?? steps(), read.promise, last ?? steps()]);
    const { ask, sent, state, socket } = scene(script);
    state.isSlow = true;
    await ask("hi");
    read.open(steps(step("response.output_text.delta", { delta: "a" })));
    await settled();
    expect(types(sent)).not.toContain("response.output_text.delta");
    state.isSlow = false;
    socket.drain();
    await settled();
    expect(types(sent)).toContain("response.completed");
  });

  test("gives its account back, however it ends", async () => {
    let closes = 0;
    const close = (): void => {
      closes += 1;
    };
    const broken: Batch = { type: "broken", failure: failure("cut-short") };
    const { ask, socket } = scene((job, number) => {
      const bug = (): Promise<Batch> => Promise.reject(new Error("a bug"));
      const batches = [() => talk("resp_1"), () => [broken], () => [bug()], () => []][number - 1];
      return served(job, batches?.() ?? [], {}, close);
    });
    for (const turns of [1, 2, 3, 4]) {
      expect(closes).toBe(turns - 1);
      await ask("hi");
    }
    expect(closes).toBe(3);
    socket.close();
    await settled();
    expect(closes).toBe(4);
  });

  test("ends with the connection, and is logged as 499", async () => {
    const { ask, socket, jobs, records, sent } = scene(endless);
    await ask("hi");
    const before = sent.length;
    socket.close();
    await settled();
    expect(jobs[0]?.stop.reason()?.kind).toBe("client-left");
    expect(records).toMatchObject([{ status: 499, failure: "client-left" }]);
    expect(sent).toHaveLength(before);
  });

  test("ends with the connection also while it waits for a slow reader, or for an account", async () => {
    const waiting = scene((job) => served(job, talk("resp_1")));
    waiting.state.isSlow = true;
    await waiting.ask("hi");
    waiting.socket.close();
    await settled();
    expect(waiting.records).toMatchObject([{ status: 499 }]);

    const fighting = scene(
      (job) =>
        new Promise((resolve) => {
          job.stop.signal.addEventListener("abort", () => {
            resolve({ ok: false, failure: job.stop.reason() ?? failure("internal") });
          });
        }),
    );
    await fighting.ask("hi");
    fighting.socket.close();
    await settled();
    expect(fighting.records).toMatchObject([{ status: 499 }]);
    expect(fighting.sent).toEqual([]);
  });
});

describe("going on from what was said", () => {
  test("only what is new need be sent", async () => {
    const { ask, jobs } = scene();
    await ask([question("a")]);
    await ask([question("b")], { previous_response_id: "resp_1" });
    await ask("c", { previous_response_id: "resp_2" });
    expect(jobs[2]?.turn.body["input"]).toEqual([
      question("a"),
      answer("msg_resp_1"),
      question("b"),
      answer("msg_resp_2"),
      question("c"),
    ]);
    expect(jobs[2]?.turn.body).not.toHaveProperty("previous_response_id");
  });

  test("M2: input that was sent ahead touches no account, is marked, and can be gone on from", async () => {
    const { ask, sent, jobs, records } = scene();
    await ask([question("a")], { generate: false });
    expect(types(sent)).toEqual(["response.created", "response.completed"]);
    expect(jobs).toEqual([]);
    expect(records).toMatchObject([
      { isPrewarm: true, status: 200, attempts: [], model: "gpt-5.5" },
    ]);
    const previous_response_id = dict(sent[1]?.["response"])["id"];
    expect(previous_response_id).toBe("resp_1");
    await ask([question("b")], { previous_response_id });
    expect(jobs[0]?.turn.body["input"]).toEqual([question("a"), question("b")]);
    expect(jobs[0]?.turn.body).not.toHaveProperty("generate");
  });

  test("a prewarm may have no input, and is refused where no turn could be made of it", async () => {
    const { ask, say, sent } = scene();
    await ask([], { generate: false });
    await ask(undefined, { generate: false });
    expect(types(sent).filter((type) => type === "response.completed")).toHaveLength(2);
    await ask(7, { generate: false });
    await ask([], { generate: false, previous_response_id: "resp_9" });
    await say({ type: "response.create", input: [], generate: false });
    expect(sent.slice(-3)).toMatchObject([
      { error: { param: "input" } },
      { error: { code: "previous_response_not_found" } },
      { error: { param: "model" } },
    ]);
  });

  test("the Response says what it goes on from, stored or not", async () => {
    const { ask, sent } = scene();
    await ask("a");
    await ask("b", { previous_response_id: "resp_1" });
    await ask("c", { previous_response_id: "resp_2", store: true });
    const claims = sent
      .map(({ response }) => dict(response))
      .filter(({ id }) => id !== undefined)
      .map(({ id, previous_response_id, store }) => [id, previous_response_id, store]);
    expect(claims.slice(2)).toEqual([
      ["resp_2", "resp_1", false],
      ["resp_2", "resp_1", false],
      ["resp_3", "resp_2", true],
      ["resp_3", "resp_2", true],
    ]);
  });

  test("what is stored is stored once, and can be gone on from without this connection", async () => {
    const { ask, memory } = scene();
    await ask("not stored");
    await ask("a", { previous_response_id: "resp_1", store: true });
    await ask("b", { previous_response_id: "resp_2", store: true });
    const recalled = (id: string) => memory.recall(CALLER.scope, id, NOON);
    expect(recalled("resp_1")).toBeUndefined();
    const upToSecond = [
      question("not stored"),
      answer("msg_resp_1"),
      question("a"),
      answer("msg_resp_2"),
    ];
    expect(recalled("resp_2")).toEqual(upToSecond);
    // The same items, not copies: the third turn is held as what came after the second.
    const third = recalled("resp_3") ?? [];
    expect(third).toEqual([...upToSecond, question("b"), answer("msg_resp_3")]);
    expect(third[2]).toBe(recalled("resp_2")?.[2]);
  });

  test("goes on from what was stored over HTTP, and from input sent ahead to it", async () => {
    const { ask, sent, jobs, memory } = scene();
    const stored = { previousId: undefined, items: [question("a"), answer("m")], bytes: 10 };
    memory.keep(CALLER.scope, "resp_http", stored, NOON);
    await ask("b", { previous_response_id: "resp_http", generate: false });
    const ahead = dict(sent.at(-1)?.["response"]);
    expect(ahead["previous_response_id"]).toBe("resp_http");
    await ask("c", { previous_response_id: ahead["id"] });
    await ask("d", { previous_response_id: "resp_http" });
    const before = [question("a"), answer("m")];
    expect(jobs.map(({ turn }) => turn.body["input"])).toEqual([
      [...before, question("b"), question("c")],
      [...before, question("d")],
    ]);
    // Kept as a whole here: it can be gone on from when nobody else holds it any more.
    expect(memory.knows(CALLER.scope, "resp_2", NOON)).toBe(false);
    await ask([], { previous_response_id: "resp_2" });
    expect(list(jobs.at(-1)?.turn.body["input"])).toHaveLength(4);
  });

  test("B5-8: goes on from nothing that is another caller's", async () => {
    const { ask, sent, memory } = scene();
    const stored = { previousId: undefined, items: [question("a")], bytes: 10 };
    memory.keep("somebody else", "resp_http", stored, NOON);
    for (const more of [{}, { generate: false }]) {
      await ask("b", { previous_response_id: "resp_http", ...more });
      expect(errorOf(sent.at(-1))["code"]).toBe("previous_response_not_found");
    }
  });

  test("B5-9: a response that this connection does not know is refused in the words that clients resend on", async () => {
    const { ask, sent, jobs } = scene();
    await ask([question("b")], { previous_response_id: "resp_of_another_socket" });
    expect(sent).toMatchObject([
      {
        type: "error",
        status: 400,
        error: {
          type: "invalid_request_error",
          code: "previous_response_not_found",
          param: "previous_response_id",
        },
      },
    ]);
    expect(jobs).toEqual([]);
    await ask([question("a"), question("b")]);
    expect(sent.at(-1)?.["type"]).toBe("response.completed");
  });

  test("a turn that failed cannot be gone on from", async () => {
    const script: Script = (job) =>
      served(job, [
        ...talk("resp_1").slice(0, 1),
        { type: "broken", failure: failure("cut-short") },
      ]);
    const { ask, sent } = scene(script);
    await ask("a");
    await ask("b", { previous_response_id: "resp_1" });
    expect(errorOf(sent.at(-1))["code"]).toBe("previous_response_not_found");
  });
});

describe("ending a response", () => {
  test("an interruption is accepted, drops open items and can be gone on from", async () => {
    const { ask, say, sent, jobs, records } = scene(endless);
    await ask([question("a")]);
    await say({ type: "response.interrupt", response_id: "resp_1", mode: "discard_partial_items" });
    expect(sent.slice(-3)).toMatchObject([
      { type: "response.interrupt.accepted", response_id: "resp_1" },
      { type: "response.output_item.interrupted", item_id: "msg_resp_1", output_index: 0 },
      {
        type: "response.incomplete",
        response: { id: "resp_1", incomplete_details: { reason: "interrupted" }, output: [] },
      },
    ]);
    expect(jobs[0]?.stop.reason()?.kind).toBe("client-left");
    expect(records).toMatchObject([{ status: 499, failure: "client-left" }]);
    await ask([question("b")], { previous_response_id: "resp_1" });
    expect(jobs[1]?.turn.body["input"]).toEqual([question("a"), question("b")]);
  });

  test("one that has just ended needs no answer; one that never was is told so", async () => {
    const { ask, say, sent } = scene();
    await ask("a");
    const before = sent.length;
    await say({ type: "response.interrupt", response_id: "resp_1" });
    expect(sent).toHaveLength(before);
    await say({ type: "response.interrupt", response_id: "resp_9" });
    expect(sent.at(-1)).toMatchObject({ type: "response.interrupt.failed", response_id: "resp_9" });
  });

  test("a cancellation ends it the same way, by its lane or its id", async () => {
    const { ask, say, sent } = scene(endless);
    await ask("a");
    await say({ type: "response.cancel" });
    expect(sent.at(-1)?.["type"]).toBe("response.incomplete");
    await ask("b", { stream_id: "x" });
    await say({ type: "response.cancel", response_id: "resp_2" });
    expect(sent.at(-1)).toMatchObject({ type: "response.incomplete", stream_id: "x" });
    await say({ type: "response.cancel" });
    expect(errorOf(sent.at(-1))["code"]).toBe("response_not_active");
  });

  test("before its first event there is nothing to end well: an error event", async () => {
    const script: Script = (job) =>
      new Promise((resolve) => {
        job.stop.signal.addEventListener("abort", () => {
          resolve({ ok: false, failure: job.stop.reason() ?? failure("internal") });
        });
      });
    const { ask, say, sent, records } = scene(script);
    await ask("a");
    await say({ type: "response.cancel" });
    expect(sent).toMatchObject([
      { type: "error", status: 499, error: { code: "response_cancelled" } },
    ]);
    expect(records).toMatchObject([{ status: 499, failure: "client-left" }]);
  });

  test("steering is answered in its own form and disturbs nothing", async () => {
    const { ask, say, sent } = scene(endless);
    await ask("a", { stream_id: "x" });
    await say({ type: "response.steer", previous_response_id: "resp_1", input: "wait" });
    expect(sent.at(-1)).toMatchObject({
      type: "response.steer.failed",
      stream_id: "x",
      steer: { previous_response_id: "resp_1", input: "wait" },
    });
  });
});

describe("lanes", () => {
  test("a second response in a lane is refused and does not disturb the first", async () => {
    const rest = gate<Batch>();
    const [first, last] = talk("resp_1");
    const { ask, sent } = scene((job) => served(job, [first ?? steps(), rest.promise]));
    await ask("a");
    await ask("b");
    expect(sent.at(-1)).toMatchObject({
      type: "error",
      status: 409,
      error: { code: "response_already_running" },
    });
    rest.open(last ?? steps());
    await settled();
    expect(sent.at(-1)?.["type"]).toBe("response.completed");
  });

  test("named lanes run beside each other, and their events say which they are", async () => {
    const { ask, sent, jobs } = scene();
    await Promise.all([ask("a", { stream_id: "x" }), ask("b", { stream_id: "y" }), ask("c")]);
    expect(jobs).toHaveLength(3);
    const lanes = sent
      .filter(({ type }) => type === "response.completed")
      .map(({ stream_id }) => stream_id);
    expect(lanes).toEqual(["x", "y", undefined]);
  });

  test("there is a bound to how many run at once", async () => {
    const { ask, sent, jobs } = scene(endless);
    for (let lane = 0; lane < 17; lane++) await ask("a", { stream_id: `lane${lane}` });
    expect(jobs).toHaveLength(16);
    expect(sent.at(-1)).toMatchObject({
      status: 429,
      stream_id: "lane16",
      error: { code: "too_many_responses" },
    });
  });
});

describe("frames that begin nothing", () => {
  test.each([
    ["no JSON", "{", 400, "invalid_json"],
    ["bytes", new Uint8Array([1]), 400, "invalid_frame"],
    ["an event that nobody knows", '{"type":"session.update"}', 400, "unknown_event"],
    ["a turn without a model", '{"type":"response.create"}', 400, "invalid_type"],
    ["more than is allowed", " ".repeat(100_001), 413, "request_too_large"],
  ])("%s is told, logged, and the connection stays", async (_what, frame, status, code) => {
    const { say, ask, sent, records, closes } = scene();
    await say(frame);
    expect(sent).toMatchObject([{ type: "error", status, error: { code, request_id: "req_1" } }]);
    expect(records).toMatchObject([{ id: "req_1", status, client: CALLER.name }]);
    await ask("hi");
    expect(sent.at(-1)?.["type"]).toBe("response.completed");
    expect(closes).toEqual([]);
  });

  test("what wants no answer gets none", async () => {
    const { say, sent, records } = scene();
    await say({ type: "response.processed", response_id: "resp_1" });
    expect([sent, records]).toEqual([[], []]);
  });

  test("a key that was taken back is refused at the next turn", async () => {
    const { ask, sent, state, jobs } = scene();
    await ask("a");
    state.access = { ...ACCESS, clientKeys: [sha256("another-key-1")] };
    await ask("b");
    expect(sent.at(-1)).toMatchObject({ status: 401, error: { code: "invalid_api_key" } });
    expect(jobs).toHaveLength(1);
  });
});

describe("when the program stops", () => {
  test("an idle connection ends with 1001, a busy one after its turn", async () => {
    const idle = scene();
    idle.state.isRetiring = true;
    idle.socket.closeIfIdle();
    expect(idle.closes).toEqual([1001]);

    const rest = gate<Batch>();
    const [first, last] = talk("resp_1");
    const busy = scene((job) => served(job, [first ?? steps(), rest.promise]));
    await busy.ask("a");
    busy.state.isRetiring = true;
    busy.socket.closeIfIdle();
    expect(busy.closes).toEqual([]);
    await busy.ask("b", { stream_id: "x" });
    expect(busy.sent.at(-1)).toMatchObject({ status: 503, error: { code: "proxy_stopping" } });
    rest.open(last ?? steps());
    await settled();
    expect(busy.sent.at(-1)?.["type"]).toBe("response.completed");
    expect(busy.closes).toEqual([1001]);
  });

  test("at the deadline it ends whatever runs", async () => {
    const { ask, socket, closes, records } = scene(endless);
    await ask("a");
    socket.cut();
    socket.cut();
    await settled();
    expect(closes).toEqual([1001]);
    expect(records).toMatchObject([{ status: 499 }]);
    expect(list(records)).toHaveLength(1);
  });
});
