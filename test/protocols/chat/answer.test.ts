import { describe, expect, test } from "bun:test";
import {
  type AnswerOptions,
  type CallForm,
  createTeller,
  type Told,
} from "../../../src/protocols/chat/answer.ts";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import { readTools } from "../../../src/protocols/chat/tools.ts";
import type { Kept } from "../../../src/protocols/reasoning.ts";
import type { Step } from "../../../src/turn/step.ts";
import type { Dict } from "../../../src/wire/json.ts";
import { NOON } from "../turns.ts";
import { customCall, functionCall, message, reasoning, step, turnOf } from "./ask.ts";

function tell(steps: readonly Step[], asked: Dict = {}, stops: readonly string[] = []) {
  const kept = new Map<string, readonly Kept[]>();
  const options: AnswerOptions = {
    classify: () => ({ kind: "server-error", message: "It broke." }),
    nowMs: () => NOON,
    model: "gpt-5.4",
    wantsUsage: false,
    tools: readTools(asked, createNotes()),
    stops,
    keep: (callId, thoughts) => kept.set(callId, thoughts),
  };
  const teller = createTeller(options);
  return { told: steps.flatMap((each) => teller.tell(each)), kept };
}

const wordsOf = (told: readonly Told[], voice: string): string =>
  told.flatMap((each) => (each.type === voice && "text" in each ? [each.text] : [])).join("");
const reasonOf = (told: readonly Told[]): unknown =>
  told.flatMap((each) => (each.type === "finish" ? [each.reason] : []));
const secretsOf = (kept: readonly Kept[] = []) =>
  kept.map(({ item, isBeforeText }) => [item["encrypted_content"], isBeforeText]);

const citation = (at: number) => ({
  type: "url_citation",
  url: "https://example.com",
  title: "Example",
  start_index: at,
  end_index: at + 1,
});

describe("an answer", () => {
  test("has one text, its blocks apart as paragraphs", () => {
    const { told } = tell(
      turnOf([message("First."), message(""), message("Second.", { id: "m" })]),
    );
    expect(wordsOf(told, "content")).toBe("First.\n\nSecond.");
    expect(reasonOf(told)).toEqual(["stop"]);
  });

  test("has its sources by their place in the whole text", () => {
    const content = [{ type: "output_text", text: "Second.", annotations: [citation(2)] }];
    const { told } = tell(turnOf([message("First."), { type: "message", id: "m", content }]));
    expect(told).toContainEqual({
      type: "annotation",
      annotation: {
        type: "url_citation",
        url_citation: {
          url: "https://example.com",
          title: "Example",
          start_index: 10,
          end_index: 11,
        },
      },
    });
  });

  test("has only sources that Chat has a form for", () => {
    const annotations = [{ type: "file_citation", file_id: "file_1", index: 1 }];
    const content = [{ type: "output_text", text: "Hi.", annotations }];
    const { told } = tell(turnOf([{ type: "message", id: "m", content }]));
    expect(told.map(({ type }) => type)).toEqual(["start", "content", "finish"]);
  });

  test("has images as data URLs", () => {
    const image = { type: "image_generation_call", id: "ig_1", result: "AA==" };
    const { told } = tell(turnOf([image, { ...image, id: "ig_2", output_format: "webp" }]));
    expect(told.flatMap((each) => (each.type === "image" ? [each.url] : []))).toEqual([
      "data:image/png;base64,AA==",
      "data:image/webp;base64,AA==",
    ]);
  });

  test("B2-3: numbers calls from 0 in the order in which they appear", () => {
    const { told } = tell(turnOf([message("Hm."), functionCall("call_a"), functionCall("call_b")]));
    const begun = told.flatMap((each) => (each.type === "call" ? [[each.index, each.id]] : []));
    expect(begun).toEqual([
      [0, "call_a"],
      [1, "call_b"],
    ]);
  });

  test("B4-3, B4-4: calls tools by the client's own names", () => {
    const long = "x".repeat(80);
    const asked = {
      tools: [
        { type: "function", name: long },
        { type: "namespace", name: "files", tools: [{ type: "function", name: "read" }] },
      ],
    };
    const wire = String(readTools(asked, createNotes()).wire[0]?.["name"]);
    const { told } = tell(
      turnOf([
        functionCall("call_1", wire),
        functionCall("call_2", "files__read"),
        { ...functionCall("call_3", "read"), namespace: "files" },
      ]),
      asked,
    );
    const names = told.flatMap((each) => (each.type === "call" ? [each.name] : []));
    expect(names).toEqual([long, "files__read", "files__read"]);
  });

  const forms: [asked: Dict, item: Dict, form: CallForm][] = [
    [{}, functionCall("call_1"), "function"],
    [{}, customCall("call_1", "patch", "x"), "custom"],
    [
      { tools: [{ type: "custom", custom: { name: "patch" } }] },
      customCall("call_1", "patch", "x"),
      "custom",
    ],
    [{ tools: [{ type: "custom", name: "patch" }] }, customCall("call_1", "patch", "x"), "flat"],
    [{ functions: [{ name: "look_up" }] }, functionCall("call_1"), "legacy"],
  ];
  test.each(forms)("asked with %j tells %j as %s", (asked, item, form) => {
    const { told } = tell(turnOf([item]), asked);
    expect(told.flatMap((each) => (each.type === "call" ? [each.form] : []))).toEqual([form]);
  });

  test("of old has room for one call", () => {
    const items = [
      functionCall("call_1", "look_up", "{}"),
      functionCall("call_2", "look_up", "[]"),
    ];
    const { told } = tell(turnOf(items), { functions: [{ name: "look_up" }] });
    expect(told.filter(({ type }) => type === "call")).toHaveLength(1);
    expect(wordsOf(told, "input")).toBe("{}");
    expect(reasonOf(told)).toEqual(["function_call"]);
  });

  const ends: [items: readonly Dict[], response: Dict, reason: string][] = [
    [[message("Hi.")], {}, "stop"],
    [[functionCall("call_1")], {}, "tool_calls"],
    [[message("Hi."), functionCall("call_1")], {}, "tool_calls"],
    [[], {}, "stop"],
    [[message("Hi.")], incomplete("max_output_tokens"), "length"],
    [[functionCall("call_1")], incomplete("max_output_tokens"), "length"],
    [[message("Hi.")], incomplete("content_filter"), "content_filter"],
  ];
  test.each(ends)("B2-1, B2-2: %j with %j ends once, by %s", (items, response, reason) => {
    expect(reasonOf(tell(turnOf(items, response)).told)).toEqual([reason]);
  });

  test("is known by the backend's own id and time, or by ours", () => {
    expect(tell(turnOf([message("Hi.")])).told[0]).toEqual({
      type: "start",
      id: "chatcmpl-7",
      createdS: 1_795_000_000,
    });
    const nameless = step("response.output_item.done", { output_index: 0, item: message("Hi.") });
    expect(tell([nameless]).told[0]).toEqual({
      type: "start",
      id: "chatcmpl-unknown",
      createdS: NOON / 1000,
    });
  });

  test("tells a failure inside the stream as one", () => {
    const { told } = tell([step("error", { error: {} })]);
    expect(told).toEqual([
      { type: "fail", failure: { kind: "server-error", message: "It broke." } },
    ]);
  });
});

function incomplete(reason: string): Dict {
  return { status: "incomplete", incomplete_details: { reason } };
}

describe("stop sequences", () => {
  test("end the answer before them, and the usage is the turn's real one", () => {
    const items = [message("One END two"), functionCall("call_1"), message("three", { id: "m" })];
    const { told, kept } = tell(turnOf([reasoning("a"), ...items]), {}, ["END"]);
    expect(wordsOf(told, "content")).toBe("One ");
    expect(told.at(-1)).toMatchObject({ type: "finish", reason: "stop", usage: { output: 5 } });
    expect(told.some(({ type }) => type === "call")).toBe(false);
    expect(kept.size).toBe(0);
  });

  test("end it wherever the text is cut into deltas", () => {
    const delta = (text: string) =>
      step("response.output_text.delta", { output_index: 0, content_index: 0, delta: text });
    for (let cut = 0; cut <= 8; cut++) {
      const text = "One ENDx";
      const steps = [delta(text.slice(0, cut)), delta(text.slice(cut)), ...turnOf([]).slice(-1)];
      expect(wordsOf(tell(steps, {}, ["END"]).told, "content")).toBe("One ");
    }
  });

  test("that are only begun are text, and those in calls or thoughts are none", () => {
    const thought = { ...reasoning("a"), summary: [{ type: "summary_text", text: "The END?" }] };
    const items = [thought, message("One EN"), functionCall("call_1", "look_up", '"END"')];
    const { told } = tell(turnOf(items), {}, ["END"]);
    expect(wordsOf(told, "content")).toBe("One EN");
    expect(wordsOf(told, "reasoning")).toBe("The END?");
    expect(wordsOf(told, "input")).toBe('"END"');
    expect(reasonOf(told)).toEqual(["tool_calls"]);
  });

  test("after a call leave the call", () => {
    const { told } = tell(turnOf([functionCall("call_1"), message("One END")]), {}, ["END"]);
    expect(reasonOf(told)).toEqual(["tool_calls"]);
  });
});

describe("B2-6: reasoning that led to calls", () => {
  test("is kept with its place once the turn has ended", () => {
    const steps = turnOf([
      reasoning("a"),
      message("Let me see."),
      reasoning("b"),
      functionCall("call_1"),
      reasoning("c"),
      functionCall("call_2"),
      reasoning("d"),
    ]);
    const { kept } = tell(steps);
    expect(secretsOf(kept.get("call_1"))).toEqual([
      ["a", true],
      ["b", false],
    ]);
    expect(secretsOf(kept.get("call_2"))).toEqual([["c", false]]);
    expect(kept.size).toBe(2);
    expect(tell(steps.slice(0, -1)).kept.size).toBe(0);
  });

  test("is not kept without a call or without ciphertext", () => {
    expect(tell(turnOf([reasoning("a"), message("Hi.")])).kept.size).toBe(0);
    const bare = { type: "reasoning", id: "rs_1", summary: [] };
    expect(tell(turnOf([bare, functionCall("call_1")])).kept.size).toBe(0);
  });
});
