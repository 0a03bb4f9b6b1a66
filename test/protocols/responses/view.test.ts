import { describe, expect, test } from "bun:test";
import { isOpening, UNSAID } from "../../../src/protocols/responses/view.ts";
import { createToolNames } from "../../../src/turn/names.ts";
import { NOON, viewOf } from "../turns.ts";

const names = createToolNames();
const wire = names.toWire("files.read");
const whole = {
  ...UNSAID,
  id: "resp_1",
  model: "m",
  created_at: 1,
  status: "completed",
  completed_at: 2,
};

describe("the view of a Codex client", () => {
  test("is the backend's own, everything the very same", () => {
    const view = viewOf({ isNative: true });
    const response = { id: "resp_1", status: "completed" };
    expect(view.response(response)).toBe(response);
    const event = {
      type: "response.output_item.done",
      item: { type: "function_call", name: wire },
    };
    expect(view.event(event)).toBe(event);
    expect(view.changes("response.created")).toBe(false);
    expect(view.changes("response.output_item.done")).toBe(false);
  });

  test("has the client's own names where it has some that are other ones upstream", () => {
    const view = viewOf({ isNative: true, names });
    const call = { type: "function_call", name: wire };
    expect(view.event({ item: call })).toEqual({ item: { ...call, name: "files.read" } });
    expect(view.event({ name: wire, arguments: "{}" })).toEqual({
      name: "files.read",
      arguments: "{}",
    });
    const tools = [{ type: "function", name: wire }];
    const choice = { type: "function", name: wire };
    expect(view.event({ response: { output: [call], tools, tool_choice: choice } })).toEqual({
      response: {
        output: [{ ...call, name: "files.read" }],
        tools: [{ type: "function", name: "files.read" }],
        tool_choice: { type: "function", name: "files.read" },
      },
    });
  });

  test("touches only events that name a tool", () => {
    const view = viewOf({ isNative: true, names });
    const all = [
      "created",
      "in_progress",
      "completed",
      "incomplete",
      "failed",
      "output_item.added",
      "output_item.done",
      "function_call_arguments.done",
    ];
    for (const event of all) expect(view.changes(`response.${event}`)).toBe(true);
    for (const event of [
      "response.output_text.delta",
      "codex.rate_limits",
      "response.function_call_arguments.delta",
    ]) {
      expect(view.changes(event)).toBe(false);
    }
  });
});

describe("the view of any other client", () => {
  test("has every field that the public API's Response has, and keeps what is said", () => {
    const view = viewOf({});
    const said = {
      id: "resp_1",
      model: "m",
      created_at: 1,
      status: "completed",
      temperature: 0.5,
      more: 1,
    };
    expect(view.response(said)).toEqual({ ...UNSAID, ...said, completed_at: NOON / 1000 });
    expect(view.response({ status: "incomplete" })["completed_at"]).toBeNull();
    expect(view.response(whole)).toBe(whole);
  });

  test("says the truth about what is held here", () => {
    const view = viewOf({ claims: { previousId: "resp_0", isStored: true } });
    expect(view.response(whole)).toMatchObject({ previous_response_id: "resp_0", store: true });
    expect(view.response({ ...whole, status: "failed" })).toMatchObject({ store: false });
    expect(view.changes("response.created")).toBe(true);
    expect(view.changes("response.output_item.done")).toBe(false);
    const first = viewOf({ claims: { previousId: undefined, isStored: true } });
    expect(first.response(whole)).toMatchObject({ previous_response_id: null, store: true });
  });

  test("leaves the opening alone where there is nothing to say", () => {
    expect(viewOf({}).changes("response.created")).toBe(false);
  });
});

describe("isOpening", () => {
  test("knows the events that hold the Response as it begins", () => {
    const events = ["response.created", "response.queued", "response.in_progress"];
    expect(events.every(isOpening)).toBe(true);
    expect(isOpening("response.completed")).toBe(false);
  });
});
