import { describe, expect, test } from "bun:test";
import type { Call, Exchange } from "../../../src/protocols/protocol.ts";
import { createResponses } from "../../../src/protocols/responses/index.ts";
import { type Dict, dict, isDict, type Json, list } from "../../../src/wire/json.ts";
import { formatEvent } from "../../../src/wire/sse.ts";
import {
  batchesOf,
  encode,
  eventsIn,
  joinAll,
  memoryOf,
  NOON,
  openExchange,
  recordingOf,
  TURNS,
  terminalOf,
} from "../turns.ts";

const responses = createResponses({ clock: { now: () => NOON }, memory: memoryOf() });

/** What a client that wants its answer in one piece is told. */
function answerOf(exchange: Exchange, recording: Uint8Array): Json {
  const { role, data } = terminalOf(recording);
  if (role === "failed" || role === "error") {
    const { status, headers, body } = responses.fail(exchange.classify(data()), "req_1", NOON);
    return { status, headers, body };
  }
  const encoder = exchange.body();
  for (const steps of batchesOf([recording])) encoder.push(steps);
  return { status: 200, headers: {}, body: encoder.end() };
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe.each(TURNS)("the turn %s", (turn) => {
  const recording = recordingOf(turn);
  const native = encode(openExchange("native").stream(), [recording]);
  const foreign = encode(openExchange("foreign").stream(), [recording]);

  test("ends the stream with the answer in one piece", () => {
    const last = eventsIn(foreign).at(-1);
    const answer = dict(answerOf(openExchange("foreign"), recording));
    if (answer["status"] === 200) expect(last?.["response"]).toEqual(answer["body"]);
    else expect(last).toMatchObject({ type: "response.failed", response: { status: "failed" } });
  });

  test("numbers its events upwards", () => {
    for (const bytes of [native, foreign]) {
      const numbers = eventsIn(bytes).flatMap(({ sequence_number: at }) =>
        typeof at === "number" ? [at] : [],
      );
      expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
      expect(numbers.length).toBeGreaterThan(2);
    }
  });

  test("holds no overload word and, for an SDK, no private event", () => {
    const told = textOf(joinAll([native, foreign]));
    expect(told).not.toMatch(/server_is_overloaded|slow_down/);
    expect(textOf(foreign)).not.toMatch(/codex\.|keepalive|responsesapi\.|response\.metadata/);
  });
});

describe("createResponses", () => {
  test("refuses what cannot be decoded", () => {
    const decoded = responses.decode({
      bytes: new TextEncoder().encode("{"),
      headers: new Headers(),
      resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      scope: "",
    });
    expect(decoded).toMatchObject({ ok: false, failure: { kind: "bad-request", status: 400 } });
  });

  test("classifies an error event for the turn's own model", () => {
    const message = "Rate limit reached for gpt-5.4 (TPM). Please try again in 2s.";
    const event = { type: "error", error: { code: "rate_limit_exceeded", message } };
    expect(openExchange("foreign").classify(event)).toMatchObject({
      kind: "rate-limited",
      model: "gpt-5.4",
      resetsAtMs: NOON + 2000,
    });
  });

  test("gives every answer an encoder of its own", () => {
    const exchange = openExchange("foreign");
    const item = { id: "msg_1", type: "message" };
    const done = { type: "response.output_item.done", output_index: 0, item };
    const end = { type: "response.completed", response: { id: "resp_1", output: [] } };
    const bytes = joinAll([
      formatEvent("response.output_item.done", done),
      formatEvent("response.completed", end),
    ]);
    const first = encode(exchange.stream(), [bytes]);
    expect(encode(exchange.stream(), [bytes])).toEqual(first);
  });
});

const CODEX = { originator: "codex_exec" };
const textDecoder = new TextDecoder();

type Asking = { readonly headers?: Record<string, string> } & Partial<
  Pick<Call, "scope" | "recall">
>;

/** A Responses protocol of its own, and what to ask it with. */
function conversing(mostBytes?: number) {
  const protocol = createResponses({ clock: { now: () => NOON }, memory: memoryOf(mostBytes) });
  const ask = (body: Dict, { headers = {}, scope = "me", recall }: Asking = {}) => {
    const decoded = protocol.decode({
      bytes: new TextEncoder().encode(JSON.stringify({ model: "gpt-5.4", ...body })),
      headers: new Headers(headers),
      resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      scope,
      ...(recall === undefined ? {} : { recall }),
    });
    if (!decoded.ok) return { refused: decoded.failure, exchange: undefined };
    return { refused: undefined, exchange: decoded.exchange };
  };
  const open = (...asked: Parameters<typeof ask>): Exchange => {
    const { exchange, refused } = ask(...asked);
    if (exchange === undefined) throw new Error(refused?.message);
    return exchange;
  };
  return { ask, open };
}

/** Events as the backend would send them, in one piece. */
function sse(...events: readonly Dict[]): Uint8Array {
  return joinAll(events.map((event) => formatEvent(String(event["type"]), event)));
}

/** The answer to an exchange in one piece. */
function wholeOf(exchange: Exchange, bytes: Uint8Array): Dict {
  const encoder = exchange.body();
  for (const steps of batchesOf([bytes])) encoder.push(steps);
  return dict(encoder.end());
}

const said = (text: string, id: string): Dict => ({
  id,
  type: "message",
  status: "completed",
  role: "assistant",
  content: [{ type: "output_text", text, annotations: [], logprobs: [] }],
});

function turnOf(id: string, item: Dict, status = "completed"): Uint8Array {
  return sse(
    { type: "response.created", response: { id, status: "in_progress", store: false } },
    { type: "response.output_item.done", output_index: 0, item },
    { type: `response.${status}`, response: { id, status, output: [], store: false } },
  );
}

describe("going on from a response by its id", () => {
  const first = { input: "One?" };
  const next = { input: "Two?", previous_response_id: "resp_1" };
  const inputOf = (exchange: Exchange) => list(exchange.turn.body["input"]).map(dict);

  test.each(["stream", "body"] as const)("finds the whole conversation after a %s", (way) => {
    const { open } = conversing();
    const finish = (exchange: Exchange, bytes: Uint8Array): void => {
      if (way === "stream") encode(exchange.stream(), [bytes]);
      else wholeOf(exchange, bytes);
    };
    finish(open(first), turnOf("resp_1", said("One.", "msg_1")));
    const second = open(next);
    expect(inputOf(second)).toMatchObject([
      { role: "user", content: [{ text: "One?" }] },
      { role: "assistant", content: [{ text: "One." }] },
      { role: "user", content: [{ text: "Two?" }] },
    ]);
    finish(second, turnOf("resp_2", said("Two.", "msg_2")));
    expect(inputOf(open({ input: "Three?", previous_response_id: "resp_2" }))).toHaveLength(5);
    expect(inputOf(open(next))).toHaveLength(3);
  });

  test("finds one that was cut short by a limit, and none that failed or broke off", () => {
    const { ask, open } = conversing();
    encode(open(first).stream(), [turnOf("resp_1", said("On", "msg_1"), "incomplete")]);
    expect(inputOf(open(next))).toHaveLength(3);
    encode(open(first).stream(), [turnOf("resp_2", said("On", "msg_2"), "failed")]);
    const broken = open(first).stream();
    for (const steps of batchesOf([turnOf("resp_3", said("On", "msg_3"))])) {
      broken.push(steps.slice(0, 2));
    }
    for (const id of ["resp_2", "resp_3"]) {
      const { refused } = ask({ ...next, previous_response_id: id });
      expect(refused).toMatchObject({ code: "previous_response_not_found" });
    }
  });

  const others: [name: string, body: Dict, headers: Record<string, string>, mostBytes: number][] = [
    ["a client that said store: false", { ...first, store: false }, {}, 1_000_000],
    ["a Codex client", first, CODEX, 1_000_000],
    ["anybody where the memory is off", first, {}, 0],
  ];
  test.each(others)("keeps nothing for %s", (_name, body, headers, mostBytes) => {
    const { ask, open } = conversing(mostBytes);
    encode(open(body, { headers }).stream(), [turnOf("resp_1", said("One.", "msg_1"))]);
    expect(ask(next, { headers }).refused).toMatchObject({ code: "previous_response_not_found" });
  });

  test("says nothing new where the client only wants the model to go on", () => {
    const { open } = conversing();
    encode(open(first).stream(), [turnOf("resp_1", said("One.", "msg_1"))]);
    expect(inputOf(open({ previous_response_id: "resp_1" }))).toHaveLength(2);
  });

  test("goes on from what a connection remembers, and keeps the whole of it for who wants it stored", () => {
    const { ask, open } = conversing();
    const recall = (id: string) => (id === "resp_1" ? [said("One.", "msg_1")] : undefined);
    const over = open(next, { recall });
    expect(over.conversation).toMatchObject({
      previousId: "resp_1",
      recalled: [{ id: "msg_1" }],
      said: [{ role: "user" }],
    });
    const bytes = turnOf("resp_2", said("Two.", "msg_2"));
    expect(wholeOf(over, bytes)).toMatchObject({ previous_response_id: "resp_1", store: true });
    expect(inputOf(open({ input: "Three?", previous_response_id: "resp_2" }))).toHaveLength(4);
    expect(ask(next).refused).toMatchObject({ code: "previous_response_not_found" });
  });

  test("tells nobody of another caller's conversation", () => {
    const { ask, open } = conversing();
    encode(open(first).stream(), [turnOf("resp_1", said("One.", "msg_1"))]);
    expect(ask(next, { scope: "you" }).refused).toMatchObject({ status: 400 });
    const reference = { input: [{ type: "item_reference", id: "msg_1" }] };
    expect(ask(reference, { scope: "you" }).refused).toMatchObject({ code: "item_not_found" });
    expect(inputOf(open(reference))).toMatchObject([{ id: "msg_1", role: "assistant" }]);
  });

  test("the answer says the truth from its beginning to its end, and to Codex what the backend says", () => {
    const { open } = conversing();
    const claimsOf = (exchange: Exchange, id: string) => {
      const bytes = turnOf(id, said("One.", "msg_1"));
      const events = eventsIn(encode(exchange.stream(), [bytes]));
      const responses = events.flatMap(({ response }) => (isDict(response) ? [response] : []));
      return responses.map(({ store, previous_response_id }) => [store, previous_response_id]);
    };
    const both = (store: boolean, previous: string | null) => Array(2).fill([store, previous]);
    expect(claimsOf(open(first), "resp_1")).toEqual(both(true, null));
    expect(claimsOf(open(next), "resp_2")).toEqual(both(true, "resp_1"));
    expect(claimsOf(open({ ...next, store: false }), "resp_3")).toEqual(both(false, "resp_1"));
    const bytes = turnOf("resp_4", said("One.", "msg_1"));
    expect(wholeOf(open(next), bytes)).toMatchObject({
      store: true,
      previous_response_id: "resp_1",
    });
    expect(encode(open(first, { headers: CODEX }).stream(), [bytes])).toEqual(bytes);
  });
});

describe("B4-3: names that are other ones upstream", () => {
  const name = "files.read everything";
  const parameters = { type: "object", properties: {} };
  const body = {
    input: "Read it.",
    tools: [
      { type: "function", name, parameters },
      { type: "custom", name: "do/it" },
    ],
    tool_choice: { type: "function", name },
  };

  test.each([
    ["Codex", CODEX],
    ["an SDK", {}],
  ])("are put back for %s, streamed and not", (_name, headers) => {
    const { open } = conversing();
    const exchange = open(body, { headers });
    const [tool, custom] = list(exchange.turn.body["tools"]).map((each) => dict(each)["name"]);
    expect(dict(exchange.turn.body["tool_choice"])["name"]).toBe(String(tool));
    const call = { id: "fc_1", type: "function_call", call_id: "c1", name: tool, arguments: "{}" };
    const other = {
      id: "ctc_1",
      type: "custom_tool_call",
      call_id: "c2",
      name: custom,
      input: "x",
    };
    const response = { id: "resp_1", tools: exchange.turn.body["tools"], output: [] };
    const bytes = sse(
      { type: "response.created", response },
      { type: "response.output_item.added", output_index: 0, item: { ...call, arguments: "" } },
      { type: "response.function_call_arguments.delta", output_index: 0, delta: "{}" },
      {
        type: "response.function_call_arguments.done",
        output_index: 0,
        name: tool,
        arguments: "{}",
      },
      { type: "response.output_item.done", output_index: 0, item: call },
      { type: "response.output_item.done", output_index: 1, item: other },
      {
        type: "response.completed",
        response: { ...response, output: [call, other], status: "completed" },
      },
    );
    const streamed = textDecoder.decode(encode(exchange.stream(), [bytes]));
    const whole = wholeOf(exchange, bytes);
    for (const told of [streamed, JSON.stringify(whole)]) {
      expect(told).not.toContain(String(tool));
      expect(told).not.toContain(String(custom));
    }
    expect(list(whole["output"])).toMatchObject([{ name, call_id: "c1" }, { name: "do/it" }]);
    expect(streamed.match(/files\.read everything/g)).toHaveLength(6);
    // What the client sends back becomes the same again.
    const input = [
      ...list(whole["output"]),
      { type: "function_call_output", call_id: "c1", output: "" },
      { type: "custom_tool_call_output", call_id: "c2", output: "" },
    ];
    const again = list(open({ ...body, input }, { headers }).turn.body["input"]);
    expect(again.slice(0, 2)).toMatchObject([{ name: tool }, { name: custom }]);
  });

  test("B4-14: a name that the backend takes is the client's own, both ways, and nothing is read for it", () => {
    const { open } = conversing();
    const tools = [{ type: "custom", name: "apply_patch" }];
    const exchange = open({ input: "x", tools }, { headers: CODEX });
    expect(exchange.turn.body["tools"]).toEqual(tools);
    const item = {
      id: "ctc_1",
      type: "custom_tool_call",
      call_id: "c",
      name: "apply_patch",
      input: "",
    };
    const bytes = turnOf("resp_1", item);
    expect(encode(exchange.stream(), [bytes])).toEqual(bytes);
  });
});

describe("B1-5: items that never come whole", () => {
  // What a backend leaves out that only streams.
  const WHOLE = /^response\.(?:output_item\.done|.*\.done|content_part\..*)$/;
  const rows: [turn: string, output: readonly Dict[]][] = [
    [
      "text",
      [
        {
          type: "message",
          id: "msg_1",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", annotations: [], logprobs: [] }],
        },
      ],
    ],
    ["refusal", [{ type: "message", content: [{ type: "refusal" }] }]],
    ["tool-call", [{ type: "function_call", status: "completed" }]],
    [
      "tools-interleaved",
      [
        { type: "function_call", call_id: "call_0", arguments: '{"city":"Oslo"}' },
        { type: "function_call", call_id: "call_1", arguments: '{"city":"Rome"}' },
      ],
    ],
    ["custom-tool", [{ type: "custom_tool_call", status: "completed" }]],
    [
      "reasoning-text",
      [{ type: "reasoning", summary: [{ type: "summary_text" }] }, { type: "message" }],
    ],
    ["incomplete-length", [{ type: "message", status: "incomplete" }]],
  ];
  test.each(rows)(
    "are put together out of the stream of %s, the same in stream and body",
    (turn, output) => {
      const events = eventsIn(recordingOf(turn));
      const streamed = sse(...events.filter(({ type }) => !WHOLE.test(String(type))));
      const exchange = openExchange("foreign");
      const whole = wholeOf(exchange, streamed);
      expect(whole["output"]).toMatchObject([...output]);
      const last = eventsIn(encode(exchange.stream(), [streamed])).at(-1);
      expect(last?.["response"]).toEqual(whole);
      // What was said is what the whole items would have said.
      const wanted = list(wholeOf(openExchange("foreign"), recordingOf(turn))["output"]).map(dict);
      const words = (items: readonly unknown[]) =>
        items.map(dict).map(({ type, content, summary, arguments: call, input }) => [
          type,
          call ?? input,
          list(content)
            .map(dict)
            .map((part) => part["text"] ?? part["refusal"]),
          list(summary)
            .map((part) => dict(part)["text"])
            .join("\n\n"),
        ]);
      expect(words(list(whole["output"]))).toEqual(words(wanted));
    },
  );
});

// The fields that openresponses.org's compliance suite requires of every Response, and what each may be.
const RESOURCE: { readonly [field: string]: (value: unknown) => boolean } = {
  ...Object.fromEntries(
    ["id", "model", "status", "truncation", "service_tier"].map((name) => [name, isText]),
  ),
  ...Object.fromEntries(
    [
      "created_at",
      "top_p",
      "temperature",
      "presence_penalty",
      "frequency_penalty",
      "top_logprobs",
    ].map((name) => [name, isNumber]),
  ),
  ...Object.fromEntries(
    ["completed_at", "max_output_tokens", "max_tool_calls"].map((name) => [
      name,
      (value: unknown) => value === null || isNumber(value),
    ]),
  ),
  ...Object.fromEntries(
    ["previous_response_id", "instructions", "safety_identifier", "prompt_cache_key"].map(
      (name) => [name, (value: unknown) => value === null || isText(value)],
    ),
  ),
  ...Object.fromEntries(
    ["parallel_tool_calls", "store", "background"].map((name) => [
      name,
      (value: unknown) => typeof value === "boolean",
    ]),
  ),
  ...Object.fromEntries(
    ["incomplete_details", "error", "reasoning", "usage"].map((name) => [
      name,
      (value: unknown) => value === null || isDict(value),
    ]),
  ),
  object: (value) => value === "response",
  output: Array.isArray,
  tools: Array.isArray,
  tool_choice: (value) => isText(value) || isDict(value),
  text: (value) => isDict(dict(value)["format"]),
  metadata: isDict,
};

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isNumber(value: unknown): boolean {
  return typeof value === "number";
}

describe("the Response that a foreign client is told", () => {
  test.each(TURNS)("has every field of the public schema in the turn %s", (turn) => {
    const responses = eventsIn(
      encode(openExchange("foreign").stream(), [recordingOf(turn)]),
    ).flatMap(({ response }) => (isDict(response) ? [response] : []));
    expect(responses.length).toBeGreaterThan(0);
    for (const response of responses) {
      const wrong = Object.entries(RESOURCE).filter(([name, fits]) => !fits(response[name]));
      expect(wrong.map(([name]) => name)).toEqual([]);
    }
  });
});
