import { describe, expect, test } from "bun:test";
import { encodeBody, withoutForeignReasoning, withoutParameter } from "../../src/turn/amend.ts";
import type { TurnRequest } from "../../src/turn/request.ts";
import type { Dict } from "../../src/wire/json.ts";

function turnOf(body: Dict, removed: readonly string[] = []): TurnRequest {
  return {
    model: "gpt-5.4",
    isFast: false,
    body,
    bytes: encodeBody(body),
    removed,
    session: { key: "s", isExplicit: true },
    isNative: true,
    headers: { "session-id": "s" },
  };
}

function sent(turn: TurnRequest | undefined): unknown {
  return turn === undefined ? undefined : JSON.parse(new TextDecoder().decode(turn.bytes));
}

describe("withoutParameter", () => {
  test("takes the parameter out of the body and of the bytes, and notes its name", () => {
    const before = turnOf({ model: "m", input: [], top_k: 1 }, ["user"]);
    const after = withoutParameter(before, "top_k");
    expect(after?.body).toEqual({ model: "m", input: [] });
    expect(sent(after)).toEqual({ model: "m", input: [] });
    expect(after?.removed).toEqual(["user", "top_k"]);
    expect(after?.headers).toBe(before.headers);
    expect(before.body).toEqual({ model: "m", input: [], top_k: 1 });
  });

  test.each([
    ["that is not there", "top_k"],
    ["that is not at the top", "reasoning.summary"],
    ["without which nothing would be asked of anybody: model", "model"],
    ["without which nothing would be asked of anybody: input", "input"],
    ["that every object inherits", "constructor"],
    ["that every object inherits, by another name", "__proto__"],
  ])("refuses a parameter %s", (_name, name) => {
    const turn = turnOf({ model: "m", input: "hi", reasoning: { summary: "auto" } });
    expect(withoutParameter(turn, name)).toBeUndefined();
  });

  test("keeps the order of the rest, and a null", () => {
    const after = withoutParameter(turnOf({ z: null, top_k: 1, a: 2 }), "top_k");
    expect(new TextDecoder().decode(after?.bytes)).toBe('{"z":null,"a":2}');
  });
});

describe("withoutForeignReasoning", () => {
  const said = { type: "message", role: "user", content: "hi" };
  const thought = { type: "reasoning", id: "rs_1", encrypted_content: "gAAA" };
  const call = { type: "function_call", call_id: "c", name: "f", arguments: "{}" };
  const output = { type: "function_call_output", call_id: "c", output: "1" };

  test("takes whole reasoning items out and leaves what was said and called, in order", () => {
    const after = withoutForeignReasoning(
      turnOf({ model: "m", input: [said, thought, call, output, thought] }, ["user"]),
    );
    expect(after?.body["input"]).toEqual([said, call, output]);
    expect(sent(after)).toEqual({ model: "m", input: [said, call, output] });
    expect(after?.removed).toEqual(["user", "input.reasoning"]);
  });

  test.each([
    ["there is no reasoning", [said, call, output]],
    ["the input is a text", "hi"],
    ["there is no input", undefined],
    ["the input is odd", [null, "reasoning", 7, ["reasoning"]]],
  ])("is nothing when %s", (_name, input) => {
    expect(withoutForeignReasoning(turnOf({ model: "m", input }))).toBeUndefined();
  });

  test("keeps a compaction item: without it the conversation would be lost", () => {
    const compaction = { type: "compaction", id: "cmp_1", encrypted_content: "gAAA" };
    const after = withoutForeignReasoning(turnOf({ input: [compaction, thought] }));
    expect(after?.body["input"]).toEqual([compaction]);
  });
});
