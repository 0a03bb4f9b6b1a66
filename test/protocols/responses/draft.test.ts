import { describe, expect, test } from "bun:test";
import { createDraft } from "../../../src/protocols/responses/draft.ts";
import { readStep, type Step } from "../../../src/turn/step.ts";
import type { Dict } from "../../../src/wire/json.ts";
import { formatEvent } from "../../../src/wire/sse.ts";

function step(type: string, data: Dict): Step {
  return readStep({ event: type, bytes: formatEvent(type, { type, ...data }) });
}

const added = (index: number, item: Dict): Step =>
  step("response.output_item.added", { output_index: index, item });

describe("createDraft", () => {
  test("puts a message together, its parts and remarks in their order", () => {
    const draft = createDraft();
    const at = { output_index: 0, item_id: "msg_1" };
    draft.read([
      added(0, {
        type: "message",
        id: "msg_1",
        role: "assistant",
        content: [],
        phase: "commentary",
      }),
      step("response.output_text.delta", { ...at, content_index: 0, delta: "Hel" }),
      step("response.output_text.delta", { ...at, content_index: 0, delta: "lo" }),
      step("response.output_text.annotation.added", {
        ...at,
        content_index: 0,
        annotation: { type: "url_citation" },
      }),
      step("response.refusal.delta", { ...at, content_index: 1, delta: "No." }),
    ]);
    expect(draft.items("completed", "resp_1").get(0)).toEqual({
      id: "msg_1",
      type: "message",
      status: "completed",
      role: "assistant",
      phase: "commentary",
      content: [
        {
          type: "output_text",
          annotations: [{ type: "url_citation" }],
          logprobs: [],
          text: "Hello",
        },
        { type: "refusal", refusal: "No." },
      ],
    });
  });

  test("puts calls and thoughts together", () => {
    const draft = createDraft();
    draft.read([
      added(0, { type: "reasoning", id: "rs_1", summary: [] }),
      step("response.reasoning_summary_text.delta", {
        output_index: 0,
        summary_index: 0,
        delta: "Hm",
      }),
      added(1, { type: "function_call", id: "fc_1", call_id: "c1", name: "f", namespace: "n" }),
      added(2, { type: "custom_tool_call", id: "ctc_1", call_id: "c2", name: "exec" }),
      step("response.function_call_arguments.delta", { output_index: 1, delta: '{"a":' }),
      step("response.custom_tool_call_input.delta", { output_index: 2, delta: "ls" }),
      step("response.function_call_arguments.done", { output_index: 1, arguments: '{"a":1}' }),
    ]);
    expect([...draft.items("incomplete", "resp_1")]).toEqual([
      [0, { id: "rs_1", type: "reasoning", summary: [{ type: "summary_text", text: "Hm" }] }],
      [
        1,
        {
          id: "fc_1",
          type: "function_call",
          status: "incomplete",
          call_id: "c1",
          name: "f",
          namespace: "n",
          arguments: '{"a":1}',
        },
      ],
      [
        2,
        {
          id: "ctc_1",
          type: "custom_tool_call",
          status: "incomplete",
          call_id: "c2",
          name: "exec",
          input: "ls",
        },
      ],
    ]);
  });

  test("B4-7: makes ids with the right beginnings where the backend gave none", () => {
    const draft = createDraft();
    draft.read([
      added(0, { type: "reasoning" }),
      step("response.output_text.delta", { output_index: 1, delta: "a" }),
      added(2, { type: "function_call", call_id: "c1", name: "f" }),
      added(3, { type: "custom_tool_call", call_id: "c2", name: "g" }),
    ]);
    const ids = [...draft.items("completed", "resp_77").values()].map(({ id }) => id);
    expect(ids).toEqual(["rs_77_0", "msg_77_1", "fc_77_2", "ctc_77_3"]);
  });

  test("lets go of an item that has come whole", () => {
    const draft = createDraft();
    draft.read([
      step("response.output_text.delta", { output_index: 0, delta: "a" }),
      step("response.output_text.delta", { output_index: 10, delta: "b" }),
    ]);
    draft.drop(0);
    expect([...draft.items("completed", "resp_1").keys()]).toEqual([10]);
  });

  test("makes nothing of a search or an image, of which nothing is streamed", () => {
    const draft = createDraft();
    draft.read([
      added(0, { type: "web_search_call", id: "ws_1" }),
      added(1, { type: "image_generation_call", id: "ig_1" }),
    ]);
    expect(draft.items("completed", "resp_1").size).toBe(0);
  });
});
