import { describe, expect, test } from "bun:test";
import { readStep, type Step } from "../../src/turn/step.ts";
import { createDisguise, type Suspicion } from "../../src/upstream/disguise.ts";
import type { Dict } from "../../src/wire/json.ts";
import { formatEvent } from "../../src/wire/sse.ts";

const FULL = "Our servers are currently overloaded. Please try again later.";
const MODEL = "Selected model is at capacity. Please try a different model.";

/** A step that says so when it is parsed. */
function step(type: string, data: Dict = {}, parsed: string[] = []): Step {
  const plain = readStep({ event: type, bytes: formatEvent(type, { type, ...data }) });
  return {
    ...plain,
    data: () => {
      parsed.push(type);
      return plain.data();
    },
  };
}

const at = { item_id: "msg_1", output_index: 0, content_index: 0 };
const OPENING = [
  step("response.created", { response: { id: "resp_1" } }),
  step("codex.rate_limits"),
  step("response.output_item.added", {
    output_index: 0,
    item: { id: "msg_1", type: "message", role: "assistant", content: [] },
  }),
  step("response.content_part.added", {
    ...at,
    part: { type: "output_text", annotations: [], logprobs: [], text: "" },
  }),
];
const delta = (words: string): Step =>
  step("response.output_text.delta", { ...at, delta: words, logprobs: [], obfuscation: "x9" });

function closing(words: string): readonly Step[] {
  const part = { type: "output_text", annotations: [], logprobs: [], text: words };
  const item = { id: "msg_1", type: "message", role: "assistant", content: [part] };
  return [
    step("response.output_text.done", { ...at, text: words, logprobs: [] }),
    step("response.content_part.done", { ...at, part }),
    step("response.output_item.done", { output_index: 0, item }),
  ];
}
const COMPLETED = step("response.completed", { response: { id: "resp_1" } });

/** What becomes of the suspicion: the first word that is not "open", and after how many events. */
function verdict(steps: readonly Step[]): readonly [Suspicion, number] {
  const { judge } = createDisguise();
  for (const [index, each] of steps.entries()) {
    const suspicion = judge(each);
    if (suspicion !== "open") return [suspicion, index + 1];
  }
  return ["open", steps.length];
}

describe("B1-2: an overload told as ordinary text", () => {
  const words = (text: string): readonly Step[] =>
    (text.match(/\s*\S+/g) ?? []).map((word) => delta(word));

  test.each([FULL, MODEL])("is one when it is the whole answer: %s", (sentence) => {
    const whole = [...OPENING, ...words(sentence), ...closing(sentence), COMPLETED];
    expect(verdict(whole)).toEqual(["confirmed", whole.length]);
    expect(verdict([...OPENING, delta(sentence), COMPLETED])[0]).toBe("confirmed");
  });

  test("is one also where the text comes in the closing events only", () => {
    expect(verdict([...OPENING, ...closing(FULL), COMPLETED])[0]).toBe("confirmed");
    expect(verdict([...closing(MODEL).slice(-1), COMPLETED])[0]).toBe("confirmed");
  });

  test("stays suspected for as long as it may still become one", () => {
    expect(verdict([...OPENING, delta("Our servers are"), delta(" currently")])[0]).toBe("open");
  });

  test.each<[name: string, steps: readonly Step[], after: number]>([
    ["the sentence followed by more text", [...OPENING, delta(FULL), delta(" So they say.")], 6],
    ["the sentence in quotes", [...OPENING, delta(`"${FULL}"`)], 5],
    ["any other text, at its first delta", [...OPENING, delta("Hello"), delta(" there")], 5],
    ["a text that begins like it", [...OPENING, delta("Our servers are"), delta(" fine.")], 6],
    ["its beginning alone", [...OPENING, delta("Our servers"), ...closing("Our servers")], 6],
    ["its beginning, completed", [...OPENING, delta("Our servers"), COMPLETED], 6],
    ["another text in the closing event", [...OPENING, delta(FULL), ...closing(`${FULL} No.`)], 6],
    ["a text of an escape", [...OPENING, delta("Our\nservers")], 5],
    ["a delta without words", [...OPENING, step("response.output_text.delta", at)], 5],
    [
      "the sentence and a tool call after it",
      [
        ...OPENING,
        delta(FULL),
        ...closing(FULL),
        step("response.output_item.added", { item: { type: "function_call" } }),
      ],
      9,
    ],
    [
      "the sentence and a second message",
      [...OPENING, delta(FULL), ...closing(FULL), ...OPENING.slice(2)],
      9,
    ],
    [
      "reasoning first",
      [...OPENING.slice(0, 2), step("response.output_item.added", { item: { type: "reasoning" } })],
      3,
    ],
    ["a refusal", [...OPENING, step("response.refusal.delta", { delta: FULL })], 5],
    ["an event that nobody knows", [step("response.news", { text: FULL })], 1],
    [
      "an end that is none of the backend's proper ones",
      [...OPENING, delta(FULL), step("response.incomplete")],
      6,
    ],
    ["nothing at all", [step("response.created"), COMPLETED], 2],
  ])("is not: %s", (_name, steps, after) => {
    expect(verdict(steps)).toEqual(["cleared", after]);
  });

  test("nothing is parsed to find out", () => {
    const parsed: string[] = [];
    const { judge } = createDisguise();
    const spied = (each: Step): Step => ({
      ...each,
      data: () => {
        parsed.push(each.frame.event);
        return each.data();
      },
    });
    for (const each of [...OPENING, ...words(FULL), ...closing(FULL), COMPLETED])
      judge(spied(each));
    expect(parsed).toEqual([]);
  });
});
