import { describe, expect, test } from "bun:test";
import type { Part } from "../../src/turn/part.ts";
import { createPartReader } from "../../src/turn/reader.ts";
import { isTerminal, readStep, type Step } from "../../src/turn/step.ts";
import { type Dict, dict, isDict, list } from "../../src/wire/json.ts";
import { formatEvent } from "../../src/wire/sse.ts";
import { batchesOf, recordingOf, TURNS } from "../protocols/turns.ts";

function partsOf(steps: readonly Step[]): readonly Part[] {
  const reader = createPartReader((event) => ({
    kind: "server-error",
    message: JSON.stringify(event),
  }));
  return steps.flatMap((step) => reader.read(step));
}

const stepsOf = (turn: string): readonly Step[] => batchesOf([recordingOf(turn)]).flat();

/** What was said in each block, in the order in which the blocks began; how it was cut into deltas does not matter. */
function blocksIn(parts: readonly Part[]) {
  const blocks = new Map<string, { block: Dict; text: string; remarks: number; closed: number }>();
  for (const part of parts) {
    if (part.type === "open") {
      // A message's phase stands in its item, which a text may come before.
      const { phase: _phase, ...block } = { phase: undefined, ...part.block };
      blocks.set(part.key, { block, text: "", remarks: 0, closed: 0 });
    }
    if (!("key" in part)) continue;
    const known = blocks.get(part.key);
    if (known === undefined) throw new Error(`${part.type} of a block that was not opened`);
    if (part.type !== "open" && known.closed > 0) throw new Error(`${part.type} after the end`);
    if (part.type === "delta") known.text += part.text;
    if (part.type === "annotation") known.remarks += 1;
    if (part.type === "close") known.closed += 1;
  }
  return [...blocks.values()];
}

const event = (type: string, more: Dict): Step =>
  readStep({ event: type, bytes: formatEvent(type, { type, ...more }) });

/** A recording with all its items in the terminal event, as the public API sends it. */
function withOutput(steps: readonly Step[]): readonly Step[] {
  const output = steps
    .filter(({ role }) => role === "item-done")
    .map((step) => step.data())
    .toSorted((a, b) => Number(a["output_index"]) - Number(b["output_index"]))
    .map((data) => data["item"]);
  return steps.map((step) => {
    if (step.role !== "completed" && step.role !== "incomplete") return step;
    const data = step.data();
    const response = { ...dict(data["response"]), output };
    return event(step.frame.event, { ...data, response });
  });
}

const byIndex = (blocks: ReturnType<typeof blocksIn>) =>
  blocks.toSorted((a, b) => JSON.stringify(a.block).localeCompare(JSON.stringify(b.block)));

// Turns whose recording ends by an error have no items to fall back on, and in these no item has an event of its end.
const ITEMLESS: readonly string[] = ["deltas-only", "terminal-only"];
const WHOLE = TURNS.filter(
  (turn) =>
    !ITEMLESS.includes(turn) &&
    stepsOf(turn).some(({ role }) => role === "completed" || role === "incomplete"),
);

describe("B1-5, B3-9: however the backend delivers a turn, its parts are the same", () => {
  const lean: [name: string, keep: (step: Step) => boolean][] = [
    ["without deltas", ({ frame }) => !frame.event.endsWith(".delta")],
    [
      "without the events that close a text",
      ({ frame, role }) => role === "item-done" || !frame.event.endsWith(".done"),
    ],
    ["without deltas and item beginnings", ({ frame }) => !/\.(?:delta|added)$/.test(frame.event)],
    [
      "with finished items only",
      ({ role }) => role === "item-done" || isTerminal(role) || role === "preamble",
    ],
  ];
  for (const turn of WHOLE) {
    const wanted = byIndex(blocksIn(partsOf(stepsOf(turn))));
    for (const [name, keep] of lean) {
      test(`${turn}, ${name}`, () => {
        expect(byIndex(blocksIn(partsOf(stepsOf(turn).filter(keep))))).toEqual(wanted);
      });
    }
    test(`${turn}, with everything in the terminal event only`, () => {
      const steps = withOutput(stepsOf(turn)).filter(
        ({ role }) => isTerminal(role) || role === "preamble",
      );
      expect(byIndex(blocksIn(partsOf(steps)))).toEqual(wanted);
    });
    test(`${turn}, with its items repeated in the terminal event`, () => {
      expect(byIndex(blocksIn(partsOf(withOutput(stepsOf(turn)))))).toEqual(wanted);
    });
  }
});

describe.each(TURNS)("the parts of %s", (turn) => {
  const parts = partsOf(stepsOf(turn));

  test("begin once, end once, and close what they open", () => {
    const ends = parts.filter(({ type }) => type === "finish" || type === "fail");
    expect(ends).toHaveLength(1);
    expect(parts.at(-1)).toBe(ends[0]);
    expect(parts.filter(({ type }) => type === "start").length).toBeLessThanOrEqual(1);
    const isWhole = ends[0]?.type === "finish";
    for (const { closed } of blocksIn(parts)) {
      if (isWhole) expect(closed).toBe(1);
    }
    if (isWhole) expect(parts[0]?.type).toBe("start");
  });
});

const start = event("response.created", { response: { id: "resp_1", model: "gpt-5.5" } });
const done = (more: Dict = {}): Step =>
  event("response.completed", { response: { id: "resp_1", output: [], ...more } });

describe("what a reader makes of oddities", () => {
  test("a message's phase goes with its texts", () => {
    const item = { id: "m", type: "message", phase: "commentary", content: [] };
    const at = { item_id: "m", output_index: 0, content_index: 0 };
    const parts = partsOf([
      start,
      event("response.output_item.added", { output_index: 0, item }),
      event("response.output_text.delta", { ...at, delta: "a" }),
      done(),
    ]);
    expect(parts[1]).toMatchObject({ type: "open", block: { kind: "text", phase: "commentary" } });
  });

  test("a remainder that only the closing event has is told as one more delta", () => {
    const at = { item_id: "m", output_index: 0, content_index: 0 };
    const parts = partsOf([
      start,
      event("response.output_text.delta", { ...at, delta: "Hel" }),
      event("response.output_text.done", { ...at, text: "Hello" }),
      done(),
    ]);
    expect(parts.filter(({ type }) => type === "delta")).toEqual([
      { type: "delta", key: "0:0", text: "Hel" },
      { type: "delta", key: "0:0", text: "lo" },
    ]);
  });

  test("several summaries are paragraphs of one thought", () => {
    const at = { item_id: "r", output_index: 0 };
    const summary = (index: number, delta: string) =>
      event("response.reasoning_summary_text.delta", { ...at, summary_index: index, delta });
    const parts = partsOf([
      start,
      summary(0, "One."),
      summary(1, "Two."),
      summary(1, " Three."),
      done(),
    ]);
    expect(blocksIn(parts).map(({ text }) => text)).toEqual(["One.\n\nTwo. Three."]);
  });

  test("the parts of a message come one after the other", () => {
    const say = (content_index: number, delta: string) =>
      event("response.output_text.delta", { item_id: "m", output_index: 0, content_index, delta });
    const parts = partsOf([start, say(0, "a"), say(1, "b"), say(0, "late"), done()]);
    expect(parts.map((part) => ("key" in part ? `${part.type} ${part.key}` : part.type))).toEqual([
      "start",
      "open 0:0",
      "delta 0:0",
      "close 0:0",
      "open 0:1",
      "delta 0:1",
      "close 0:1",
      "finish",
    ]);
  });

  test("a part's number costs nothing, however high it is", () => {
    const parts = partsOf([
      start,
      event("response.output_text.delta", { output_index: 0, content_index: 1e15, delta: "a" }),
      done(),
    ]);
    expect(blocksIn(parts).map(({ text }) => text)).toEqual(["a"]);
  });

  test("arguments that come before their call are not lost", () => {
    const item = { id: "fc", type: "function_call", call_id: "c", name: "f", arguments: '{"a":1}' };
    const parts = partsOf([
      start,
      event("response.function_call_arguments.delta", { output_index: 0, delta: '{"a"' }),
      event("response.output_item.done", { output_index: 0, item }),
      done(),
    ]);
    expect(blocksIn(parts)[0]?.text).toBe('{"a":1}');
  });

  test.each([
    [{}, "stop"],
    [{ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } }, "length"],
    [{ status: "incomplete", incomplete_details: { reason: "content_filter" } }, "filtered"],
    [{ status: "incomplete", incomplete_details: { reason: "the weather" } }, "length"],
    [{ status: "incomplete" }, "length"],
  ])("a turn that ends with %p ended by %s", (more, reason) => {
    expect(partsOf([start, done(more)]).at(-1)).toMatchObject({ type: "finish", reason });
  });

  test("a turn without an opening begins with what it says first", () => {
    const parts = partsOf([
      event("response.output_text.delta", { output_index: 0, content_index: 0, delta: "a" }),
      done(),
    ]);
    expect(parts.map(({ type }) => type)).toEqual(["start", "open", "delta", "close", "finish"]);
  });

  test("no event that is not JSON, or of another shape, breaks it", () => {
    const broken = [
      "response.output_item.added",
      "response.output_text.delta",
      "response.output_item.done",
    ];
    const steps = broken.map((name) =>
      readStep({
        event: name,
        bytes: new TextEncoder().encode(`event: ${name}\ndata: nonsense\n\n`),
      }),
    );
    const parts = partsOf([
      start,
      ...steps,
      event("response.output_item.done", { item: [1] }),
      done(),
    ]);
    expect(parts.at(-1)?.type).toBe("finish");
    expect(list(parts).every(isDict)).toBe(true);
  });
});
