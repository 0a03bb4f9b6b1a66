import { describe, expect, test } from "bun:test";
import { dict, list } from "../../../src/wire/json.ts";
import { batchesOf, recordingOf } from "../turns.ts";
import { openExchange } from "./requests.ts";

function bodyOf(turn: string, more = {}) {
  const body = openExchange(more).body();
  for (const steps of batchesOf([recordingOf(turn)])) body.push(steps);
  return dict(body.end());
}

describe("a body", () => {
  test("B1-5: is the whole message, though the backend's last event holds nothing of it", () => {
    expect(bodyOf("reasoning-text")).toMatchObject({
      type: "message",
      role: "assistant",
      model: "gpt-5.4",
      content: [
        { type: "thinking", thinking: "**Thinking**" },
        { type: "text", text: "Done.", citations: null },
      ],
      stop_reason: "end_turn",
      stop_sequence: null,
    });
  });

  test("B3-9: holds a call's input as the object that it is", () => {
    for (const turn of ["tool-call", "tool-done-only"]) {
      const [call] = list(bodyOf(turn)["content"]);
      expect(Object.keys(dict(dict(call)["input"]))).toEqual(["cmd"]);
    }
  });

  test("has no half of an input that was cut off", () => {
    const { content, stop_reason } = bodyOf("incomplete-tool");
    expect(stop_reason).toBe("max_tokens");
    expect(dict(list(content)[0])).toMatchObject({ type: "tool_use", input: {} });
  });

  test("B3-11: holds a search with its results, its citations and its count", () => {
    const { content, usage } = bodyOf("web-search");
    expect(list(content).map((block) => dict(block)["type"])).toEqual([
      "server_tool_use",
      "text",
      "web_search_tool_result",
    ]);
    expect(dict(list(content)[1])["citations"]).toMatchObject([{ url: "https://example.com/bun" }]);
    expect(usage).toMatchObject({ server_tool_use: { web_search_requests: 1 } });
  });

  test("ends at a stop sequence", () => {
    expect(bodyOf("text", { stop_sequences: ["world"] })).toMatchObject({
      stop_reason: "stop_sequence",
      stop_sequence: "world",
      content: [{ text: "Hello — 好的, naïve " }],
    });
  });
});
