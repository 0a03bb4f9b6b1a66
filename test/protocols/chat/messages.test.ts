import { describe, expect, test } from "bun:test";
import { readConversation } from "../../../src/protocols/chat/messages.ts";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import { readTools } from "../../../src/protocols/chat/tools.ts";
import type { Dict } from "../../../src/wire/json.ts";

const TOOLS = [
  { type: "function", function: { name: "look_up" } },
  { type: "custom", name: "ApplyPatch" },
];
const PNG = "data:image/png;base64,AA==";

function read(entries: readonly unknown[], secrets: readonly string[] = []) {
  const notes = createNotes();
  const tools = readTools({ tools: TOOLS }, notes);
  const kept = (secret: string) => ({
    item: { type: "reasoning", summary: [], encrypted_content: secret },
    isBeforeText: secret.startsWith("early"),
  });
  const recall = (callId: string) => secrets.filter((each) => each.endsWith(callId)).map(kept);
  const items = readConversation(entries, "messages", { tools, notes, recall });
  return { items, fault: notes.fault(), ignored: notes.ignored() };
}

const USER = { role: "user", content: "Hi" };
const call = (id: string, name = "look_up") => ({
  id,
  type: "function",
  function: { name, arguments: "{}" },
});
const result = (id: string, content: unknown = "Found.") => ({
  role: "tool",
  tool_call_id: id,
  content,
});
const typesOf = (items: readonly Dict[]) =>
  items.map((item) => item["encrypted_content"] ?? item["call_id"] ?? item["role"]);

describe("a conversation", () => {
  test("B2-5: goes on whole and in order, system messages in their place", () => {
    const { items, fault } = read([
      { role: "system", content: "Be brief." },
      USER,
      { role: "assistant", content: "Let me see.", tool_calls: [call("call_1"), call("call_2")] },
      result("call_2", "Two."),
      result("call_1"),
      { role: "developer", content: [{ type: "text", text: "Now in French." }] },
      { role: "user", content: [{ type: "image_url", image_url: { url: PNG } }] },
    ]);
    expect(fault).toBeUndefined();
    const say = (role: string, ...content: readonly Dict[]) => ({ type: "message", role, content });
    expect(items).toEqual([
      say("developer", { type: "input_text", text: "Be brief." }),
      say("user", { type: "input_text", text: "Hi" }),
      say("assistant", { type: "output_text", text: "Let me see." }),
      { type: "function_call", call_id: "call_1", name: "look_up", arguments: "{}" },
      { type: "function_call", call_id: "call_2", name: "look_up", arguments: "{}" },
      { type: "function_call_output", call_id: "call_2", output: "Two." },
      { type: "function_call_output", call_id: "call_1", output: "Found." },
      say("developer", { type: "input_text", text: "Now in French." }),
      say("user", { type: "input_image", image_url: PNG }),
    ]);
  });

  const B411: [content: unknown, text: string][] = [
    ["As a string.", "As a string."],
    [[{ type: "text", text: "As text." }], "As text."],
    [[{ type: "input_text", text: "As input_text." }], "As input_text."],
  ];
  test.each(B411)("B4-11: a system message %j is the developer's", (content, text) => {
    for (const at of [0, 1, 2]) {
      const entries: Dict[] = [USER, USER];
      entries.splice(at, 0, { role: "system", content });
      expect(read(entries).items[at]).toEqual({
        type: "message",
        role: "developer",
        content: [{ type: "input_text", text }],
      });
    }
  });

  test("has results with images in them", () => {
    const content = [
      { type: "text", text: "See:" },
      { type: "image_url", image_url: { url: PNG, detail: "high" } },
    ];
    const { items } = read([
      { role: "assistant", content: null, tool_calls: [call("call_1")] },
      result("call_1", content),
    ]);
    expect(items[1]?.["output"]).toEqual([
      { type: "input_text", text: "See:" },
      { type: "input_image", image_url: PNG, detail: "high" },
    ]);
  });

  test("has custom tools' calls and results of their own kind, from Cursor too", () => {
    const custom = { id: "call_1", type: "custom", custom: { name: "ApplyPatch", input: "***" } };
    const asFunction = {
      id: "call_1",
      type: "function",
      function: { name: "ApplyPatch", arguments: "***" },
    };
    for (const each of [custom, asFunction]) {
      const { items } = read([{ role: "assistant", tool_calls: [each] }, result("call_1")]);
      expect(items).toEqual([
        { type: "custom_tool_call", call_id: "call_1", name: "ApplyPatch", input: "***" },
        { type: "custom_tool_call_output", call_id: "call_1", output: "Found." },
      ]);
    }
  });

  test("from before tools has ids that stay the same as it grows", () => {
    const once = [
      USER,
      { role: "assistant", content: null, function_call: { name: "look_up", arguments: "{}" } },
      { role: "function", name: "look_up", content: "Found." },
    ];
    const short = read(once);
    const long = read([...once, ...once]);
    expect(short.fault).toBeUndefined();
    expect(short.items.map(({ type }) => type)).toEqual([
      "message",
      "function_call",
      "function_call_output",
    ]);
    expect(long.items.slice(0, 3)).toEqual([...short.items]);
    const ids = new Set(long.items.map((item) => item["call_id"]));
    expect(ids.size).toBe(3);
  });

  test("keeps a refusal and an empty answer of the model's", () => {
    const { items } = read([
      USER,
      { role: "assistant", content: null, refusal: "No." },
      { role: "assistant", content: [{ type: "refusal", refusal: "No!" }] },
      { role: "assistant", content: "" },
    ]);
    expect(items.slice(1).map(({ content }) => content)).toEqual([
      [{ type: "refusal", refusal: "No." }],
      [{ type: "refusal", refusal: "No!" }],
      [{ type: "output_text", text: "" }],
    ]);
  });

  test("B2-6: never says aloud what the model thought", () => {
    const { items, ignored } = read([
      { role: "assistant", content: "Hi.", reasoning_content: "secret thoughts", name: "bot" },
    ]);
    expect(JSON.stringify(items)).not.toContain("secret");
    expect(ignored).toEqual(["messages.reasoning_content", "messages.name"]);
  });

  test("B2-6: has the reasoning back before the call that it led to", () => {
    const calls = [call("call_1"), call("call_2")];
    const turn = [
      { role: "assistant", content: "Let me see.", tool_calls: calls },
      result("call_1"),
      result("call_2"),
    ];
    const secrets = ["early call_1", "late call_1", "late call_2"];
    expect(typesOf(read(turn, secrets).items)).toEqual([
      "early call_1",
      "assistant",
      "late call_1",
      "call_1",
      "late call_2",
      "call_2",
      "call_1",
      "call_2",
    ]);
    const silent = [{ role: "assistant", content: "", tool_calls: calls }, ...turn.slice(1)];
    expect(typesOf(read(silent, secrets).items).slice(0, 3)).toEqual([
      "early call_1",
      "late call_1",
      "call_1",
    ]);
  });
});

describe("B2-4: items of the Responses API among messages", () => {
  test("pass as they are", () => {
    const items = [
      { type: "web_search_call", id: "ws_1", status: "completed" },
      { type: "of_tomorrow", deep: [1, null] },
      {
        type: "message",
        role: "assistant",
        phase: "commentary",
        content: [{ type: "output_text", text: "Hm." }],
      },
    ];
    expect(read(items).items).toEqual(items);
  });

  test("are what the backend takes: developers, known ids, one name for a tool", () => {
    const { items, fault } = read(
      [
        { type: "message", role: "system", content: [{ type: "input_text", text: "Be brief." }] },
        { role: "user", content: [{ type: "input_text", text: "Hi" }] },
        { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "gAAA" },
        { type: "reasoning", id: "rs_2", summary: [] },
        {
          type: "function_call",
          call_id: "call_1",
          name: "read",
          namespace: "files",
          arguments: "{}",
        },
        { type: "function_call_output", call_id: "call_1", output: [{ type: "text", text: "x" }] },
      ],
      ["late call_1"],
    );
    expect(fault).toBeUndefined();
    expect(items).toEqual([
      { type: "message", role: "developer", content: [{ type: "input_text", text: "Be brief." }] },
      { type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] },
      { type: "reasoning", summary: [], encrypted_content: "gAAA" },
      { type: "reasoning", summary: [], encrypted_content: "late call_1" },
      { type: "function_call", call_id: "call_1", name: "files__read", arguments: "{}" },
      {
        type: "function_call_output",
        call_id: "call_1",
        output: [{ type: "input_text", text: "x" }],
      },
    ]);
  });
});

test("a message with Chat's calls is Chat's, whatever type it names", () => {
  const calling = { type: "message", role: "assistant", content: "", tool_calls: [call("call_1")] };
  const { items, ignored } = read([calling, result("call_1")]);
  expect(items.map(({ type }) => type)).toEqual(["function_call", "function_call_output"]);
  expect(ignored).toEqual([]);
});

describe("a conversation that cannot be understood", () => {
  const rows: [entries: readonly unknown[], param: string][] = [
    [["Hi"], "messages[0]"],
    [[{}], "messages[0].role"],
    [[USER, { role: "robot", content: "Hi" }], "messages[1].role"],
    [[{ role: "user" }], "messages[0].content"],
    [[{ role: "user", content: 1 }], "messages[0].content"],
    [[{ role: "system", content: { text: "x" } }], "messages[0].content"],
    [[{ role: "user", content: [{ type: "video" }] }], "messages[0].content[0].type"],
    [[{ role: "assistant", content: 1 }], "messages[0].content"],
    [[{ role: "assistant", audio: { id: "a" } }], "messages[0].audio"],
    [[{ role: "assistant", tool_calls: {} }], "messages[0].tool_calls"],
    [[{ role: "assistant", tool_calls: [1] }], "messages[0].tool_calls[0].type"],
    [[{ role: "assistant", tool_calls: [{ type: "x" }] }], "messages[0].tool_calls[0].type"],
    [
      [{ role: "assistant", tool_calls: [{ type: "function", function: { name: "a" } }] }],
      "messages[0].tool_calls[0].id",
    ],
    [
      [{ role: "assistant", tool_calls: [{ id: "c", function: { name: "a", arguments: {} } }] }],
      "messages[0].tool_calls[0].function.arguments",
    ],
    [
      [{ role: "assistant", tool_calls: [{ id: "c", type: "custom", custom: { name: "a" } }] }],
      "messages[0].tool_calls[0].custom.input",
    ],
    [[{ role: "assistant", function_call: {} }], "messages[0].function_call.name"],
    [[{ role: "tool", content: "x" }], "messages[0].tool_call_id"],
    [[USER, result("call_1")], "messages[1].tool_call_id"],
    [
      [result("call_1"), { role: "assistant", tool_calls: [call("call_1")] }],
      "messages[0].tool_call_id",
    ],
    [[{ role: "assistant", tool_calls: [call("call_1")] }, USER], "messages[0].tool_calls[0].id"],
    [
      [{ role: "assistant", function_call: { name: "a", arguments: "" } }],
      "messages[0].function_call",
    ],
    [[{ role: "function", name: "look_up", content: "x" }], "messages[0].name"],
    [[{ role: "function", content: "x" }], "messages[0].name"],
    [[{ type: "function_call", name: "a", arguments: "" }], "messages[0].call_id"],
    [[{ type: "function_call", call_id: "c", name: "a" }], "messages[0].arguments"],
    [[{ type: "function_call", call_id: "c", name: "a", arguments: {} }], "messages[0].arguments"],
    [[{ type: "custom_tool_call", call_id: "c", name: "a" }], "messages[0].input"],
    [[{ type: "function_call", call_id: "c", name: "a", arguments: "" }], "messages[0].call_id"],
    [[{ type: "human", role: "user", content: "x" }], "messages[0].type"],
    [[{ type: "", role: "system", content: "x" }], "messages[0].type"],
    [[{ role: "user", name: 1, content: "x" }], "messages[0].name"],
    [[{ role: "assistant", name: {}, content: "x" }], "messages[0].name"],
    [[{ type: "function_call_output", call_id: "c" }], "messages[0].output"],
    [[{ type: "function_call_output", call_id: "c", output: "x" }], "messages[0].call_id"],
  ];
  test.each(rows)("%j is refused at %s", (entries, param) => {
    expect(read(entries).fault).toMatchObject({ kind: "bad-request", status: 400, param });
  });
});

test("what a call says beside its name and words has no counterpart", () => {
  const { id, type, function: called } = call("call_1");
  // The official SDK's parsing helper adds this to the messages that it hands out.
  const parsed = { id, type, function: { ...called, parsed_arguments: {} } };
  const { ignored } = read([{ role: "assistant", tool_calls: [parsed] }, result("call_1")]);
  expect(ignored).toEqual(["messages.tool_calls.function.parsed_arguments"]);
});
