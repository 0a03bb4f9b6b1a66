import { describe, expect, test } from "bun:test";
import { createBlockWriter } from "../../../src/protocols/messages/blocks.ts";

describe("a block writer", () => {
  test("begins a block with what there is to say in it, and numbers it", () => {
    const writer = createBlockWriter();
    writer.close();
    writer.addText("");
    expect(writer.take()).toEqual([]);
    writer.addText("a");
    writer.close();
    writer.addThought("b");
    writer.sign("s");
    writer.close();
    expect(writer.take()).toEqual([
      {
        type: "content_block_start",
        index: 0,
        content_block: { type: "text", text: "", citations: null },
      },
      { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "a" } },
      { type: "content_block_stop", index: 0 },
      {
        type: "content_block_start",
        index: 1,
        content_block: { type: "thinking", thinking: "", signature: "" },
      },
      { type: "content_block_delta", index: 1, delta: { type: "thinking_delta", thinking: "b" } },
      { type: "content_block_delta", index: 1, delta: { type: "signature_delta", signature: "s" } },
      { type: "content_block_stop", index: 1 },
    ]);
    expect(writer.take()).toEqual([]);
  });

  test("opens a call at once, with its input to come", () => {
    const writer = createBlockWriter();
    writer.openCall("tool_use", "call_1", "f");
    writer.addInput("{}");
    expect(writer.take()).toEqual([
      {
        type: "content_block_start",
        index: 0,
        content_block: {
          type: "tool_use",
          id: "call_1",
          name: "f",
          input: {},
          caller: { type: "direct" },
        },
      },
      {
        type: "content_block_delta",
        index: 0,
        delta: { type: "input_json_delta", partial_json: "{}" },
      },
    ]);
  });

  test("writes a whole block as one that opens and closes", () => {
    const writer = createBlockWriter();
    writer.addWhole({ type: "x" });
    expect(writer.take()).toEqual([
      { type: "content_block_start", index: 0, content_block: { type: "x" } },
      { type: "content_block_stop", index: 0 },
    ]);
  });
});
