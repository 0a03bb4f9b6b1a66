import { describe, expect, test } from "bun:test";
import { createBodyEncoder } from "../../../src/protocols/responses/body.ts";
import { dict, type Json, list } from "../../../src/wire/json.ts";
import { batchesOf, recordingOf, viewOf } from "../turns.ts";

const VIEW = viewOf({ isNative: true });

function bodyOf(turn: string): Json {
  const encoder = createBodyEncoder(VIEW, () => {});
  for (const steps of batchesOf([recordingOf(turn)])) encoder.push(steps);
  return encoder.end();
}

describe("createBodyEncoder", () => {
  const rows: [turn: string, types: string[]][] = [
    ["text", ["message"]],
    ["reasoning-text", ["reasoning", "message"]],
    ["tool-call", ["function_call"]],
    ["tools-interleaved", ["function_call", "function_call"]],
    ["tool-done-only", ["function_call", "function_call"]],
    ["custom-tool", ["custom_tool_call"]],
    ["refusal", ["message"]],
    ["web-search", ["web_search_call", "message"]],
    ["compaction", ["compaction"]],
    ["incomplete-length", ["message"]],
    ["full-output", ["reasoning", "message"]],
    ["no-event-lines", ["message"]],
    ["crlf", ["message"]],
  ];
  test.each(rows)("holds the items of the turn %s", (turn, types) => {
    const response = dict(bodyOf(turn));
    expect(list(response["output"]).map((item) => dict(item)["type"])).toEqual(types);
    expect(response).toMatchObject({ object: "response", usage: { total_tokens: 1220 } });
  });

  test("puts interleaved calls in the order of their indexes, each with its own arguments", () => {
    expect(dict(bodyOf("tools-interleaved"))["output"]).toMatchObject([
      { call_id: "call_0", arguments: '{"city":"Oslo"}' },
      { call_id: "call_1", arguments: '{"city":"Rome"}' },
    ]);
  });

  test("tells an unfinished turn as unfinished", () => {
    expect(bodyOf("incomplete-filter")).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "content_filter" },
    });
  });

  test("is an empty object before the end", () => {
    expect(createBodyEncoder(VIEW, () => {}).end()).toEqual({});
  });
});
