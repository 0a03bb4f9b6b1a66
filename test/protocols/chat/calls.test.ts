import { describe, expect, test } from "bun:test";
import { createCalls } from "../../../src/protocols/chat/calls.ts";
import { createNotes } from "../../../src/protocols/chat/notes.ts";

describe("calls and results", () => {
  test("find each other by id", () => {
    const notes = createNotes();
    const calls = createCalls(notes);
    expect(calls.open("call_1", false, "messages[1].tool_calls[0].id")).toBe("call_1");
    calls.open("call_2", true, "messages[1].tool_calls[1].id");
    expect(calls.answer("call_2", "messages[2]")).toMatchObject({ isCustom: true });
    expect(calls.answer("call_1", "messages[3]")).toMatchObject({ isCustom: false });
    calls.close();
    expect(notes.fault()).toBeUndefined();
  });

  test("B4-2: share an id that is short enough, however long the client's is", () => {
    const calls = createCalls(createNotes());
    const long = (end: string) => `${"x".repeat(64)}${end.repeat(56)}`;
    const first = calls.open(long("a"), false, "a");
    const second = calls.open(long("b"), false, "b");
    expect(first.length).toBeLessThanOrEqual(64);
    expect(first).not.toBe(second);
    expect(calls.answer(long("a"), "c")?.wireId).toBe(first);
  });

  test("without a call, a result is refused", () => {
    const notes = createNotes();
    expect(createCalls(notes).answer("call_1", "messages[0].tool_call_id")).toBeUndefined();
    expect(notes.fault()).toMatchObject({ status: 400, param: "messages[0].tool_call_id" });
  });

  test("without a result, a call is refused", () => {
    const notes = createNotes();
    const calls = createCalls(notes);
    calls.open("call_1", false, "messages[1].tool_calls[0].id");
    calls.close();
    expect(notes.fault()).toMatchObject({ status: 400, param: "messages[1].tool_calls[0].id" });
  });

  test("from before ids find each other by name, the latest first", () => {
    const notes = createNotes();
    const calls = createCalls(notes);
    const first = calls.openNamed("look_up", "a");
    expect(calls.answerNamed("look_up", "b")?.wireId).toBe(first);
    const second = calls.openNamed("look_up", "c");
    expect(second).not.toBe(first);
    expect(calls.answerNamed("look_up", "d")?.wireId).toBe(second);
    expect(notes.fault()).toBeUndefined();
    calls.answerNamed("look_up", "messages[5].name");
    expect(notes.fault()?.param).toBe("messages[5].name");
  });
});
