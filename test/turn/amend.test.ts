import { describe, expect, test } from "bun:test";
import { encodeBody, otherWay, withoutParameter, withoutReasoning } from "../../src/turn/amend.ts";
import type { CompactionWay, TurnRequest } from "../../src/turn/request.ts";
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

describe("withoutReasoning", () => {
  const said = { type: "message", role: "user", content: "hi" };
  const thought = { type: "reasoning", id: "rs_1", encrypted_content: "gAAA" };
  const call = { type: "function_call", call_id: "c", name: "f", arguments: "{}" };
  const output = { type: "function_call_output", call_id: "c", output: "1" };

  test("takes whole reasoning items out and leaves what was said and called, in order", () => {
    const after = withoutReasoning(
      turnOf({ model: "m", input: [said, thought, call, output, thought] }, ["user"]),
      () => true,
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
    expect(withoutReasoning(turnOf({ model: "m", input }), () => true)).toBeUndefined();
  });

  test("asks of each reasoning item whether it can be read", () => {
    const mine = { type: "reasoning", encrypted_content: "mine" };
    const bare = { type: "reasoning", id: "rs_2" };
    const asked: Dict[] = [];
    const after = withoutReasoning(turnOf({ input: [mine, said, thought, bare] }), (item) => {
      asked.push(item);
      return item !== mine;
    });
    expect(asked).toEqual([mine, thought, bare]);
    expect(after?.body["input"]).toEqual([mine, said]);
  });

  test("keeps a compaction item: without it the conversation would be lost", () => {
    const compaction = { type: "compaction", id: "cmp_1", encrypted_content: "gAAA" };
    const after = withoutReasoning(turnOf({ input: [compaction, thought] }), () => true);
    expect(after?.body["input"]).toEqual([compaction]);
  });
});

describe("otherWay", () => {
  const hi = { type: "message", role: "user", content: "hi" };
  const trigger = { type: "compaction_trigger" };
  const compacting = (body: Dict, way: CompactionWay, more: Partial<TurnRequest> = {}) => ({
    ...turnOf(body, ["user"]),
    compaction: { asked: way, way },
    ...more,
  });

  test("is nothing for a turn that compacts nothing", () => {
    expect(otherWay(turnOf({ input: [hi] }))).toBeUndefined();
  });

  test("from the trigger to the endpoint: what that takes, and the rest is remembered", () => {
    const body = {
      model: "m",
      stream: true,
      store: false,
      include: ["reasoning.encrypted_content"],
      input: [hi, trigger],
      tools: [{ type: "function", name: "f" }],
      tool_choice: "auto",
      parallel_tool_calls: true,
      reasoning: { effort: "high" },
      service_tier: "priority",
      prompt_cache_key: "k",
      client_metadata: { turn_id: "1" },
      text: { verbosity: "low" },
    };
    const after = otherWay(compacting(body, "trigger", { isFast: true }));
    const expected = {
      instructions: "",
      model: "m",
      input: [hi],
      tools: [{ type: "function", name: "f" }],
      parallel_tool_calls: true,
      reasoning: { effort: "high" },
      prompt_cache_key: "k",
      text: { verbosity: "low" },
    };
    expect(after?.body).toEqual(expected);
    expect(sent(after)).toEqual(expected);
    expect(after?.removed).toEqual(["user", "tool_choice", "service_tier", "client_metadata"]);
    expect(after?.isFast).toBe(false);
    expect(after?.compaction).toEqual({ asked: "trigger", way: "endpoint" });
  });

  test("from the endpoint to the trigger: a streamed turn, announced as the Codex CLI does", () => {
    const body = { model: "m", input: [hi], instructions: "Be brief." };
    const before = compacting(body, "endpoint", { headers: { "x-codex-beta-features": "other" } });
    const after = otherWay(before);
    expect(sent(after)).toEqual({
      ...body,
      input: [hi, trigger],
      store: false,
      stream: true,
      include: ["reasoning.encrypted_content"],
    });
    expect(after?.headers).toEqual({ "x-codex-beta-features": "other,remote_compaction_v2" });
    expect(after?.compaction).toEqual({ asked: "endpoint", way: "trigger" });
    expect(after?.removed).toEqual(["user"]);
  });

  test("there and back asks the same of the same conversation", () => {
    const body = { model: "m", input: [hi], instructions: "" };
    const there = otherWay(compacting(body, "endpoint"));
    expect(there && otherWay(there)?.body).toEqual(body);
  });
});
