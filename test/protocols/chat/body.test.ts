import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { createBodyEncoder } from "../../../src/protocols/chat/body.ts";
import { createToolNames } from "../../../src/turn/names.ts";
import type { Step } from "../../../src/turn/step.ts";
import { type Dict, dict } from "../../../src/wire/json.ts";
import { batchesOf, NOON, recordingOf, TURNS, terminalOf } from "../turns.ts";
import {
  ask,
  assemble,
  bodyOf,
  customCall,
  functionCall,
  message,
  messageOf,
  step,
  streamOf,
  turnOf,
} from "./ask.ts";

const REQUESTS: readonly [name: string, request: Dict][] = [
  ["plain", {}],
  ["with a stop sequence", { stop: ["o", "tool"] }],
  ["with functions of old", { functions: [{ name: "weather" }] }],
  ["with flat tools", { tools: [{ type: "custom", name: "apply_patch" }] }],
];

/** The same answer both ways, as the request `asked` gets it. */
function expectAgreement(asked: Dict, steps: readonly Step[]): void {
  const exchange = ask({ ...asked, stream: true, stream_options: { include_usage: true } });
  const whole = bodyOf(exchange, steps);
  expect(assemble(streamOf(exchange, steps))).toEqual(whole);
}

describe.each(REQUESTS)("a request %s", (_name, request) => {
  test.each(TURNS.filter((turn) => isWhole(turn)))(
    "gets the turn %s alike in pieces and in one",
    (turn) => {
      expectAgreement(request, batchesOf([recordingOf(turn)]).flat());
    },
  );

  test("gets any turn alike in pieces and in one", async () => {
    await fc.assert(
      fc.property(turns, (turn) => expectAgreement(request, stepsOf(turn))),
      { numRuns: 300 },
    );
  });
});

function isWhole(turn: string): boolean {
  const { role } = terminalOf(recordingOf(turn));
  return role === "completed" || role === "incomplete";
}

const words = fc.string({
  unit: fc.constantFrom("o", "t", "tool", "\n", "é", "🌍", '"', "\\", " "),
});

const KINDS = {
  text: textEvents,
  refusal: refusalEvents,
  thought: thoughtEvents,
  call: (at: number, pieces: readonly string[]) => callEvents(at, "function_call", pieces),
  custom: (at: number, pieces: readonly string[]) => callEvents(at, "custom_tool_call", pieces),
  image: (at: number, pieces: readonly string[]) => [
    done(at, { type: "image_generation_call", id: `ig_${at}`, result: pieces.join("") }),
  ],
} as const;

/** A turn in short: its items, the order in which their events come, and how it ends. */
const turns = fc.record({
  items: fc.array(
    fc.record({
      kind: fc.constantFrom("text", "refusal", "thought", "call", "custom", "image"),
      pieces: fc.array(words, { maxLength: 5 }),
    }),
    { maxLength: 6 },
  ),
  order: fc.array(fc.nat({ max: 5 }), { maxLength: 30 }),
  status: fc.constantFrom("completed", "incomplete"),
});

type Turn = ReturnType<typeof turns.generate>["value"];

function stepsOf({ items, order, status }: Turn): readonly Step[] {
  const queues = items.map(({ kind, pieces }, at) => [...KINDS[kind](at, pieces)]);
  const steps: Step[] = [];
  for (let turn = 0; queues.some((queue) => queue.length > 0); turn++) {
    const filled = queues.filter((queue) => queue.length > 0);
    // When the drawn order is used up, the items come one after the other.
    const next = filled[(order[turn] ?? 0) % filled.length]?.shift();
    if (next !== undefined) steps.push(next);
  }
  const [start, end] = turnOf([], { status });
  return [start, ...steps, end].filter((each) => each !== undefined);
}

const done = (at: number, data: Dict): Step =>
  step("response.output_item.done", { output_index: at, item: data });

function textEvents(at: number, pieces: readonly string[]): readonly Step[] {
  const place = { output_index: at, content_index: 0, item_id: `msg_${at}` };
  const annotation = { type: "url_citation", url: "https://a", start_index: 0, end_index: 1 };
  return [
    ...pieces.map((delta) => step("response.output_text.delta", { ...place, delta })),
    step("response.output_text.annotation.added", { ...place, annotation }),
    done(at, message(pieces.join(""), { id: `msg_${at}` })),
  ];
}

function refusalEvents(at: number, pieces: readonly string[]): readonly Step[] {
  const place = { output_index: at, content_index: 0, item_id: `msg_${at}` };
  const content = [{ type: "refusal", refusal: pieces.join("") }];
  return [
    ...pieces.map((delta) => step("response.refusal.delta", { ...place, delta })),
    done(at, { type: "message", id: `msg_${at}`, content }),
  ];
}

function thoughtEvents(at: number, pieces: readonly string[]): readonly Step[] {
  const name = "response.reasoning_summary_text.delta";
  return [
    ...pieces.map((delta) => step(name, { output_index: at, summary_index: 0, delta })),
    done(at, { type: "reasoning", id: `rs_${at}`, summary: [] }),
  ];
}

function callEvents(
  at: number,
  type: "function_call" | "custom_tool_call",
  pieces: readonly string[],
): readonly Step[] {
  const whole = pieces.join("");
  const item =
    type === "function_call"
      ? functionCall(`call_${at}`, "weather", whole)
      : customCall(`call_${at}`, "apply_patch", whole);
  const name = type === "function_call" ? "function_call_arguments" : "custom_tool_call_input";
  return [
    step("response.output_item.added", { output_index: at, item: { ...item, arguments: "" } }),
    ...pieces.map((delta) => step(`response.${name}.delta`, { output_index: at, delta })),
    done(at, item),
  ];
}

describe("a whole answer", () => {
  test("has every key that OpenAI's schema requires", () => {
    expect(bodyOf(ask({}), turnOf([message("Hi.")], { service_tier: "default" }))).toEqual({
      id: "chatcmpl-7",
      object: "chat.completion",
      created: 1_795_000_000,
      model: "gpt-5.4",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hi.", refusal: null, annotations: [] },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage: {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        prompt_tokens_details: { cached_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
      service_tier: "default",
    });
  });

  test("B2-9: has the words that only the finished item had", () => {
    expect(messageOf(bodyOf(ask({}), turnOf([message("Hi.")])))["content"]).toBe("Hi.");
  });

  test("has no content beside calls", () => {
    expect(messageOf(bodyOf(ask({}), turnOf([functionCall("call_1", "f", "{}")])))).toEqual({
      role: "assistant",
      content: null,
      refusal: null,
      annotations: [],
      tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }],
    });
  });

  test("takes time in proportion to its pieces", () => {
    const pieces = 20_000;
    const place = { output_index: 0, content_index: 0 };
    const deltas = Array.from({ length: pieces }, () =>
      step("response.output_text.delta", { ...place, delta: "word " }),
    );
    const encoder = createBodyEncoder({
      classify: () => ({ kind: "server-error", message: "" }),
      nowMs: () => NOON,
      model: "gpt-5.4",
      wantsUsage: false,
      tools: { names: createToolNames(), kindOf: () => undefined, isLegacy: false },
      stops: ["never"],
      keep: () => {},
    });
    encoder.push(deltas);
    encoder.push(turnOf([]).slice(-1));
    const { content } = messageOf(dict(encoder.end()));
    expect(String(content)).toHaveLength(pieces * 5);
  });
});
