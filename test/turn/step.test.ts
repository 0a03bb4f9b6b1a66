import { describe, expect, test } from "bun:test";
import { isPreamble, isTerminal, type Role, readStep, type Step } from "../../src/turn/step.ts";
import { formatEvent } from "../../src/wire/sse.ts";

function stepOf(event: string, data: unknown = { type: event }): Step {
  return readStep({ event, bytes: formatEvent(event, data) });
}

// The events of upstream.md 4.
const rows: [event: string, role: Role, standing: "preamble" | "terminal" | "between"][] = [
  ["", "preamble", "preamble"],
  ["response.created", "preamble", "preamble"],
  ["response.queued", "preamble", "preamble"],
  ["response.in_progress", "preamble", "preamble"],
  ["response.metadata", "preamble", "preamble"],
  ["codex.response.metadata", "preamble", "preamble"],
  ["codex.rate_limits", "rate-limits", "preamble"],
  ["keepalive", "keepalive", "preamble"],
  ["response.output_item.added", "output", "between"],
  ["response.output_item.done", "item-done", "between"],
  ["response.content_part.added", "output", "between"],
  ["response.output_text.delta", "output", "between"],
  ["response.output_text.done", "output", "between"],
  ["response.output_text.annotation.added", "output", "between"],
  ["response.reasoning_summary_part.added", "output", "between"],
  ["response.reasoning_summary_text.delta", "output", "between"],
  ["response.reasoning_text.delta", "output", "between"],
  ["response.refusal.delta", "output", "between"],
  ["response.function_call_arguments.delta", "output", "between"],
  ["response.custom_tool_call_input.delta", "output", "between"],
  ["response.web_search_call.searching", "output", "between"],
  ["response.image_generation_call.partial_image", "output", "between"],
  ["response.of.tomorrow", "output", "between"],
  ["codex.of.tomorrow", "preamble", "preamble"],
  ["responsesapi.websocket_timing", "preamble", "preamble"],
  ["response.completed", "completed", "terminal"],
  ["response.done", "completed", "terminal"],
  ["response.incomplete", "incomplete", "terminal"],
  ["response.failed", "failed", "terminal"],
  ["error", "error", "terminal"],
];

test.each(rows)("%p is %s, %s", (event, role, standing) => {
  const step = stepOf(event);
  expect(step.role).toBe(role);
  expect(isPreamble(step.role)).toBe(standing === "preamble");
  expect(isTerminal(step.role)).toBe(standing === "terminal");
});

describe("the data of a step", () => {
  test("is the event's JSON, parsed once", () => {
    const step = stepOf("response.completed", {
      type: "response.completed",
      response: { id: "r" },
    });
    expect(step.data()).toEqual({ type: "response.completed", response: { id: "r" } });
    expect(step.data()).toBe(step.data());
  });

  test.each([
    ["no object", "data: [1]\n\n"],
    ["no JSON", "data: [DONE]\n\n"],
    ["nothing", ": comment\n\n"],
  ])("is empty where there is %s", (_name, text) => {
    const step = readStep({ event: "", bytes: new TextEncoder().encode(text) });
    expect(step.data()).toEqual({});
    expect(step.data()).toBe(step.data());
  });

  test("leaves the frame as it came", () => {
    const frame = { event: "error", bytes: formatEvent("error", { a: 1 }) };
    expect(readStep(frame).frame).toBe(frame);
  });
});
