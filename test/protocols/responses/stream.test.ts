import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import type { StreamEncoder } from "../../../src/protocols/protocol.ts";
import { createStreamEncoder } from "../../../src/protocols/responses/stream.ts";
import { classifyEvent } from "../../../src/turn/classify.ts";
import type { Failure } from "../../../src/turn/failure.ts";
import { readStep, type Step } from "../../../src/turn/step.ts";
import { type Dict, dict, list } from "../../../src/wire/json.ts";
import { createFrameSplitter, formatEvent } from "../../../src/wire/sse.ts";
import {
  batchesOf,
  encode,
  eventsIn,
  joinAll,
  NOON,
  openExchange,
  recordingOf,
  TURNS,
  terminalOf,
  viewOf,
} from "../turns.ts";

function createEncoder(isNative: boolean): StreamEncoder {
  return createStreamEncoder({
    isNative,
    view: viewOf({ isNative }),
    onFinish: () => {},
    model: "gpt-5.4",
    nowMs: () => NOON,
    classify: (event) => classifyEvent(event, "gpt-5.4", NOON),
  });
}

function step(type: string, data: Dict = {}): Step {
  return readStep({ event: type, bytes: formatEvent(type, { type, ...data }) });
}

/** What the encoder says in its last event. */
function lastOf(pieces: readonly Uint8Array[]): Dict {
  return eventsIn(joinAll(pieces)).at(-1) ?? {};
}

const CUT: Failure = { kind: "cut-short", message: "The stream ended before its last event." };
const created = step("response.created", {
  sequence_number: 0,
  response: {
    id: "resp_1",
    object: "response",
    model: "gpt-5.4",
    status: "in_progress",
    output: [],
  },
});
const delta = (at: number): Step =>
  step("response.output_text.delta", { sequence_number: at, delta: "x" });

// What every Response of the public API has (openai's `Response` type).
const WHOLE = [
  ..."id object created_at status error incomplete_details instructions metadata model".split(" "),
  ..."output parallel_tool_calls temperature tool_choice tools top_p usage".split(" "),
];

describe("createStreamEncoder for a Codex client", () => {
  test("passes bytes on without looking into them", () => {
    const broken = "event: response.output_text.delta\ndata: {no json at all\n\n".repeat(3);
    const odd = "event: response.unheard_of\nid: 7\nretry: 1\ndata: [1,\ndata: 2]\n\n: words\n\n";
    const bytes = new TextEncoder().encode(broken + odd);
    expect(encode(createEncoder(true), [bytes])).toEqual(bytes);
  });

  test("asks no event for its data but the terminal failure's", () => {
    for (const turn of TURNS) {
      const asked: string[] = [];
      const encoder = createEncoder(true);
      for (const steps of batchesOf([recordingOf(turn)])) {
        const spied = steps.map((one) => ({
          ...one,
          data: () => {
            asked.push(one.role);
            return one.data();
          },
        }));
        encoder.push(spied);
      }
      const { role } = terminalOf(recordingOf(turn));
      if (role === "completed" || role === "incomplete") expect(asked).toEqual([]);
      if (role === "failed") expect([...new Set(asked)]).toEqual(["failed"]);
    }
  });

  test("hands a network chunk on as one piece of the same memory", () => {
    const recording = recordingOf("reasoning-text");
    const pieces = createEncoder(true).push(createFrameSplitter().push(recording).map(readStep));
    expect(pieces).toHaveLength(1);
    expect(pieces[0]?.buffer).toBe(recording.buffer);
    expect(pieces[0]).toEqual(recording);
  });

  test("keeps what was held back and what follows in their order", () => {
    const recording = recordingOf("noise");
    const steps = createFrameSplitter().push(recording).map(readStep);
    for (let held = 0; held <= steps.length; held++) {
      const encoder = createEncoder(true);
      const pieces = [...encoder.push(steps.slice(0, held)), ...encoder.push(steps.slice(held))];
      expect(joinAll(pieces)).toEqual(recording);
    }
  });

  test("gets keepalive and quota events as they are", () => {
    const private_ = [step("keepalive", { sequence_number: 1 }), step("codex.rate_limits")];
    const pieces = createEncoder(true).push(private_);
    expect(joinAll(pieces)).toEqual(joinAll(private_.map(({ frame }) => frame.bytes)));
  });
});

describe("createStreamEncoder for an SDK", () => {
  test.each([
    "keepalive",
    "codex.rate_limits",
    "codex.anything",
    "responsesapi.websocket_timing",
    "response.metadata",
    "response.news_from_the_future",
    "news",
  ])("turns %s into a comment", (type) => {
    const encoder = createEncoder(false);
    const bytes = joinAll(encoder.push([step(type, { a: 1 })]));
    expect(bytes).toEqual(encoder.heartbeat);
    expect(new TextDecoder().decode(bytes)).toBe(": ping\n\n");
  });

  test.each([
    "response.output_text.delta",
    "response.image_generation_call.partial_image",
    "response.web_search_call.searching",
  ])("passes %s on as it came", (type) => {
    const one = step(type, { a: 1 });
    expect(joinAll(createEncoder(false).push([one]))).toEqual(one.frame.bytes);
  });

  test("looks into finished items and the end only", () => {
    const asked: string[] = [];
    const encoder = createEncoder(false);
    for (const steps of batchesOf([recordingOf("reasoning-text")])) {
      encoder.push(
        steps.map((one) => ({
          ...one,
          data: () => {
            asked.push(one.role);
            return one.data();
          },
        })),
      );
    }
    expect([...new Set(asked)]).toEqual(["item-done", "completed"]);
  });

  test("passes the terminal event's bytes on where its Response is whole", () => {
    const first = encode(createEncoder(false), [recordingOf("full-output")]);
    expect(encode(createEncoder(false), [first])).toEqual(first);
  });
});

describe.each([true, false])("a failure that is put into words here (native: %p)", (isNative) => {
  test("is a whole Response with the next number", () => {
    const encoder = createEncoder(isNative);
    encoder.push([created, delta(4)]);
    const event = lastOf(encoder.fail(CUT));
    expect(event).toMatchObject({
      type: "response.failed",
      sequence_number: 5,
      response: {
        id: "resp_1",
        model: "gpt-5.4",
        status: "failed",
        error: { code: "server_error", message: CUT.message },
      },
    });
    expect(Object.keys(dict(event["response"]))).toEqual(expect.arrayContaining(WHOLE));
  });

  test("is one also before anything was said", () => {
    const event = lastOf(createEncoder(isNative).fail(CUT));
    expect(event["sequence_number"]).toBe(0);
    expect(Object.keys(dict(event["response"]))).toEqual(expect.arrayContaining(WHOLE));
    expect(event["response"]).toMatchObject({ created_at: NOON / 1000, model: "gpt-5.4" });
    // B4-7: ids that are made up here begin as clients expect.
    expect(String(dict(event["response"])["id"])).toStartWith("resp_");
  });

  test("takes the Response from the first event that has one", () => {
    const encoder = createEncoder(isNative);
    encoder.push([
      step("response.in_progress", { sequence_number: 1, response: { id: "resp_2" } }),
    ]);
    expect(lastOf(encoder.fail(CUT))).toMatchObject({ response: { id: "resp_2" } });
  });

  const tails: [name: string, steps: Step[], next: number][] = [
    ["an event without a number", [delta(4), step("codex.rate_limits")], 5],
    ["two of them", [delta(4), step("codex.rate_limits"), step("response.metadata")], 5],
    ["an unknown event without one", [delta(4), step("response.of_tomorrow")], 5],
    ["a keepalive with one", [delta(4), step("keepalive", { sequence_number: 9 })], 10],
    [
      "a comment",
      [delta(4), readStep({ event: "", bytes: new TextEncoder().encode(": x\n\n") })],
      5,
    ],
    ["a number that is text", [delta(4), step("response.x", { sequence_number: "7" })], 8],
    [
      "no JSON",
      [delta(4), readStep({ event: "x", bytes: new TextEncoder().encode("data: {\n\n") })],
      5,
    ],
  ];
  test.each(tails)("B1-17: goes on counting after %s", (_name, steps, next) => {
    const encoder = createEncoder(isNative);
    encoder.push([created, ...steps]);
    expect(lastOf(encoder.fail(CUT))["sequence_number"]).toBe(next);
  });

  const codes: [code: unknown, told: string][] = [
    ["server_is_overloaded", "server_error"],
    ["slow_down", "server_error"],
    ["server_error", "server_error"],
    ["rate_limit_exceeded", "rate_limit_exceeded"],
    ["context_length_exceeded", "context_length_exceeded"],
    ["insufficient_quota", "insufficient_quota"],
    ["usage_limit_reached", "usage_limit_reached"],
    ["usage_not_included", "usage_not_included"],
    ["cyber_policy", "cyber_policy"],
    ["invalid_prompt", "invalid_prompt"],
    ["invalid_encrypted_content", "invalid_encrypted_content"],
    [null, "server_error"],
    [429, "server_error"],
    [undefined, "server_error"],
  ];
  test.each(codes)("B1-17: the backend's code %p is told as %p, early or late", (code, told) => {
    const error = { ...(code === undefined ? {} : { code }), message: "Words." };
    for (const before of [[created], [created, delta(1)]]) {
      const endings: Step[] = [
        step("response.failed", { sequence_number: 2, response: { id: "resp_1", error } }),
        step("error", { sequence_number: 2, error }),
        step("error", { sequence_number: 2, ...error }),
      ];
      for (const ending of endings) {
        const event = lastOf(createEncoder(isNative).push([...before, ending]));
        expect(event).toMatchObject({
          type: "response.failed",
          response: { id: "resp_1", error: { code: told, message: "Words." } },
        });
        expect(JSON.stringify(event)).not.toMatch(/server_is_overloaded|slow_down/);
      }
    }
  });

  test("an overload that is named by type only is not told either", () => {
    const error = { type: "service_unavailable_error", code: null, message: "Words." };
    const ending = step("response.failed", { sequence_number: 2, response: { error } });
    expect(lastOf(createEncoder(isNative).push([created, ending]))).toMatchObject({
      response: { error: { code: "server_error", message: "Words." } },
    });
  });
});

/** The SDK, fed with `bytes` for an answer, in pieces that fit nothing. */
function sdkOn(bytes: Uint8Array): OpenAI {
  const pieces = Array.from({ length: Math.ceil(bytes.length / 97) }, (_, at) =>
    bytes.slice(at * 97, (at + 1) * 97),
  );
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const piece = pieces.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  });
  const headers = { "content-type": "text/event-stream" };
  return new OpenAI({
    apiKey: "made-up",
    baseURL: "http://localhost/v1",
    maxRetries: 0,
    fetch: async () => new Response(body, { headers }),
  });
}

const ASK = { model: "gpt-5.4", input: "Say hi" };

describe("the official SDK", () => {
  test.each(TURNS)("reads every event of the turn %s", async (turn) => {
    const bytes = encode(openExchange("foreign").stream(), [recordingOf(turn)]);
    const read: Dict[] = [];
    const stream = await sdkOn(bytes).responses.create({ ...ASK, stream: true });
    for await (const event of stream) read.push({ ...event });
    expect(read).toEqual([...eventsIn(bytes)]);
    expect(read.at(-1)?.["type"]).toMatch(/^response\.(?:completed|incomplete|failed)$/);
  });

  // Its helper takes no item that was not both opened and closed, and nothing before the Response.
  const lacking = ["deltas-only", "no-opening", "tool-item-only"];
  const finished = TURNS.filter((turn) => terminalOf(recordingOf(turn)).role === "completed");
  test.each(finished.filter((turn) => !lacking.includes(turn)))(
    "puts the turn %s together as the answer in one piece",
    async (turn) => {
      const exchange = openExchange("foreign");
      const bytes = encode(exchange.stream(), [recordingOf(turn)]);
      const whole = exchange.body();
      for (const steps of batchesOf([recordingOf(turn)])) whole.push(steps);
      const response = await sdkOn(bytes).responses.stream(ASK).finalResponse();
      const wanted = dict(whole.end());
      expect(response.id).toBe(String(wanted["id"]));
      const named = (items: readonly unknown[]) =>
        items.map(dict).map(({ id, type, arguments: said }) => ({ id, type, said }));
      expect(named(response.output)).toEqual(named(list(wanted["output"])));
    },
  );

  test("takes a stream that breaks off in the middle as failed, not as finished", async () => {
    const encoder = openExchange("foreign").stream();
    const steps = createFrameSplitter().push(recordingOf("text")).map(readStep);
    const pieces = [...encoder.push(steps.slice(0, 6)), ...encoder.fail(CUT)];
    const types: string[] = [];
    const stream = await sdkOn(joinAll(pieces)).responses.create({ ...ASK, stream: true });
    for await (const event of stream) types.push(event.type);
    expect(types.at(-1)).toBe("response.failed");
  });
});
