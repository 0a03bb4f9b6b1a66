import { describe, expect, test } from "bun:test";
import type { Exchange } from "../../../src/protocols/protocol.ts";
import { createCompact } from "../../../src/protocols/responses/compact.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import { lifecycleOf } from "../../../src/turn/compaction.ts";
import type { Failure } from "../../../src/turn/failure.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import { type Dict, dict, list, parseDict } from "../../../src/wire/json.ts";
import { batchesOf, eventsIn, joinAll, memoryOf, NOON, recordingOf } from "../turns.ts";

const compact = createCompact({ clock: { now: () => NOON }, memory: memoryOf() });
const CODEX = { originator: "codex_exec" };
const hi = { type: "message", role: "user", content: [{ type: "input_text", text: "hi" }] };
const hello = {
  type: "message",
  role: "assistant",
  content: [{ type: "output_text", text: "hello" }],
};

function decode(body: Dict | string, headers: Readonly<Record<string, string>> = CODEX) {
  return compact.decode({
    bytes: new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)),
    headers: new Headers(headers),
    resolve: (model) => resolveModel(model, SEED_CATALOG, []),
    scope: "",
  });
}

function open(body: Dict | string, headers?: Readonly<Record<string, string>>): Exchange {
  const decoded = decode(body, headers);
  if (!decoded.ok) throw new Error(decoded.failure.message);
  return decoded.exchange;
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function refusalOf(body: Dict): Failure | undefined {
  const decoded = decode(body);
  return decoded.ok ? undefined : decoded.failure;
}

const OLD = { model: "gpt-5.2-codex", input: [hi, hello], instructions: "Be brief." };

describe("a request for a compaction", () => {
  test("of Codex 0.98 goes to the endpoint with what it holds and nothing else", () => {
    const { turn, wantsStream, askedModel } = open(OLD);
    expect(turn.body).toEqual(OLD);
    expect(parseDict(textOf(turn.bytes))).toEqual(OLD);
    expect(turn.compaction).toEqual({ asked: "endpoint", way: "endpoint" });
    expect([turn.isNative, turn.removed, wantsStream, askedModel]).toEqual([
      true,
      [],
      false,
      "gpt-5.2-codex",
    ]);
  });

  test("that is right as it is goes on as the client's own bytes", () => {
    const own = `{ "extra": 1.0, ${JSON.stringify(OLD).slice(1)}`;
    expect(textOf(open(own).turn.bytes)).toBe(own);
    // Another client lacks what Codex sends by itself.
    expect(textOf(open(own, {}).turn.bytes)).toContain('"prompt_cache_key":');
    const streamed = `{ "stream": true, ${JSON.stringify(OLD).slice(1)}`;
    expect(textOf(open(streamed).turn.bytes)).toBe(JSON.stringify(OLD));
  });

  test("of Codex 0.130 likewise, fields that nobody knows included", () => {
    const body = {
      ...OLD,
      model: "gpt-5.4",
      tools: [{ type: "function", name: "f", parameters: { type: "object", properties: {} } }],
      parallel_tool_calls: true,
      reasoning: { effort: "xhigh" },
      prompt_cache_key: "thread-1",
      text: { verbosity: "low" },
      shiny: { new: ["thing"] },
    };
    const { turn } = open(body, { ...CODEX, session_id: "thread-1" });
    expect(turn.body).toEqual(body);
    expect(turn.headers["session_id"]).toBe("thread-1");
    expect(turn.effort).toBe("xhigh");
  });

  test("of another client gets what the backend asks for, and loses what it refuses", () => {
    const { turn } = open(
      {
        model: "gpt-5.4-high-fast",
        input: "hi",
        temperature: 1,
        store: true,
        stream: true,
        include: [],
        prompt_cache_options: {},
      },
      {},
    );
    expect(turn.body).toEqual({
      model: "gpt-5.4",
      input: [hi],
      instructions: "",
      reasoning: { effort: "high" },
      prompt_cache_key: expect.any(String),
    });
    expect(turn.isFast).toBe(false);
    expect(turn.removed.toSorted()).toEqual([
      "prompt_cache_options",
      "service_tier",
      "temperature",
    ]);
  });

  test("that ends with a trigger as well asks once", () => {
    const { turn } = open({ ...OLD, input: [hi, { type: "compaction_trigger" }] });
    expect(turn.body["input"]).toEqual([hi]);
  });

  test("at fault is refused like any other", () => {
    expect(refusalOf({ input: [hi] })).toMatchObject({ kind: "bad-request", param: "model" });
    expect(refusalOf({ ...OLD, input: 1 })).toMatchObject({ param: "input" });
  });
});

describe("the answer to a compaction", () => {
  const usage = { input_tokens: 9, output_tokens: 3, total_tokens: 12 };
  const compaction = { type: "compaction", id: "cmp_1", encrypted_content: "gAAA" };
  const answer = {
    id: "resp_1",
    object: "response.compaction",
    created_at: 7,
    output: [hi, compaction],
    usage,
    shiny: 1,
  };
  const recording = batchesOf([recordingOf("compaction")]);
  const built = {
    id: "resp_1",
    object: "response.compaction",
    created_at: 1795205144,
    output: [
      hi,
      { id: "cmp_1", type: "compaction", encrypted_content: "gAAAAABmade-up-summary==" },
    ],
    usage: expect.objectContaining({ input_tokens: 1200, output_tokens: 20 }),
  };

  test("of the endpoint's comes as it is", () => {
    const encoder = open(OLD).body();
    encoder.push(lifecycleOf(answer));
    expect(encoder.end()).toEqual(answer);
  });

  test("out of a turn by the trigger is of the same form: the user's messages and the compaction", () => {
    const encoder = open(OLD).body();
    for (const steps of recording) encoder.push(steps);
    expect(encoder.end()).toEqual(built);
  });

  test("keeps the user's messages and nothing else, and gives them their type", () => {
    const bare = { role: "user", content: "hi" };
    const call = { type: "function_call", call_id: "c", name: "f", arguments: "{}" };
    const odd = { type: "additional_tools", role: "user" };
    const encoder = open({ ...OLD, input: [bare, call, hello, odd, hi] }).body();
    for (const steps of recording) encoder.push(steps);
    const output = list(dict(encoder.end())["output"]);
    expect(output.slice(0, -1)).toEqual([{ type: "message", ...bare }, hi]);
  });

  test("as a stream is a whole lifecycle that ends with the answer in one piece", () => {
    const exchange = open({ ...OLD, stream: true });
    expect(exchange.wantsStream).toBe(true);
    const encoder = exchange.stream();
    const events = eventsIn(joinAll(recording.flatMap((steps) => encoder.push(steps))));
    expect(events.map((event) => event["type"])).toEqual([
      "response.created",
      "response.output_item.added",
      "response.output_item.done",
      "response.output_item.added",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(events.map((event) => event["sequence_number"])).toEqual([0, 1, 2, 3, 4, 5]);
    expect(events.at(-1)?.["response"]).toEqual(built);
  });

  test("as a stream that fails is told in the protocol's form", () => {
    const encoder = open({ ...OLD, stream: true }).stream();
    const failure: Failure = { kind: "no-compaction", message: "None came." };
    const [event] = eventsIn(joinAll(encoder.fail(failure)));
    expect(event).toMatchObject({ type: "response.failed", response: { status: "failed" } });
    const told = batchesOf([recordingOf("failed-quota")]).flatMap((steps) => encoder.push(steps));
    expect(eventsIn(joinAll(told)).at(-1)?.["type"]).toBe("response.failed");
    expect(encoder.heartbeat.length).toBeGreaterThan(0);
  });

  test("classifies an error event for the turn's model", () => {
    const error = { code: "rate_limit_exceeded", message: "Limit for gpt-5.2-codex." };
    const failure = open(OLD).classify({ type: "error", error });
    expect(dict(failure)).toMatchObject({ kind: "rate-limited", model: "gpt-5.2-codex" });
  });
});
