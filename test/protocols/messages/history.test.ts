import { describe, expect, test } from "bun:test";
import { readHistory, readSystem, type Scene } from "../../../src/protocols/messages/history.ts";
import { seal } from "../../../src/protocols/messages/signature.ts";
import { createReading } from "../../../src/protocols/reading.ts";
import { createToolNames } from "../../../src/turn/names.ts";
import type { Dict } from "../../../src/wire/json.ts";
import { itemsOf, refusalOf } from "./requests.ts";

const CIPHERTEXT = "gAAAAABmade-up-ciphertext==";
const user = (content: unknown): Dict => ({ role: "user", content });
const assistant = (...content: readonly Dict[]): Dict => ({ role: "assistant", content });
const text = (words: string): Dict => ({ type: "text", text: words });
const call = (id: string, name = "f"): Dict => ({ type: "tool_use", id, name, input: { a: 1 } });
const result = (id: string, content: unknown = "done"): Dict => ({
  type: "tool_result",
  tool_use_id: id,
  content,
});

const scene = (more: Partial<Scene> = {}): Scene => ({
  names: createToolNames(),
  reading: createReading(),
  recall: () => [],
  ...more,
});

describe("a history", () => {
  test("B2-5: is sent whole and in order", () => {
    const items = itemsOf([
      user([text("one"), text("two")]),
      assistant(text("I call."), call("a"), call("b"), text("I wait.")),
      user([result("b"), result("a"), text("three")]),
    ]);
    const input = (words: string) => ({ type: "input_text", text: words });
    const output = (words: string) => ({ type: "output_text", text: words });
    const message = (role: string, ...content: readonly Dict[]) => ({
      type: "message",
      role,
      content,
    });
    const called = (call_id: string) => ({
      type: "function_call",
      call_id,
      name: "f",
      arguments: '{"a":1}',
    });
    const answered = (call_id: string) => ({
      type: "function_call_output",
      call_id,
      output: "done",
    });
    expect(items).toEqual([
      message("user", input("one"), input("two")),
      message("assistant", output("I call.")),
      called("a"),
      called("b"),
      message("assistant", output("I wait.")),
      answered("b"),
      answered("a"),
      message("user", input("three")),
    ]);
  });

  test("B3-1: a thinking block gives the encrypted reasoning back, byte for byte and without an id", () => {
    const sealed = seal(CIPHERTEXT);
    const reasoning = (...summary: readonly Dict[]) => ({
      type: "reasoning",
      summary,
      encrypted_content: CIPHERTEXT,
    });
    const items = itemsOf([
      user("Go"),
      assistant({ type: "thinking", thinking: "Hm", signature: sealed }, call("a")),
      user([result("a")]),
      assistant({ type: "thinking", thinking: "", signature: sealed }, call("b")),
      user([result("b")]),
      assistant({ type: "redacted_thinking", data: sealed }, text("Done.")),
      user("Thanks"),
    ]);
    expect(items.filter((item) => Object(item).type === "reasoning")).toEqual([
      reasoning({ type: "summary_text", text: "Hm" }),
      reasoning(),
      reasoning(),
    ]);
  });

  const foreign: Dict[] = [
    { type: "thinking", thinking: "Hm", signature: "EqQBCgIYAhIM" },
    { type: "thinking", thinking: "Hm", signature: "" },
    { type: "thinking", thinking: "Hm", signature: null },
    { type: "thinking", thinking: "Hm" },
    { type: "thinking", thinking: "Hm", signature: seal(CIPHERTEXT).slice(0, -2) },
    { type: "redacted_thinking", data: "EmwKAhgB" },
  ];
  test.each(foreign)("B3-1: the thought %j is dropped, never refused", (thought) => {
    const items = itemsOf([user("Go"), assistant(thought, text("Done.")), user("Thanks")]);
    expect(items.map((item) => Object(item).role)).toEqual(["user", "assistant", "user"]);
  });

  test.each(foreign)(
    "B3-14: dropping the thought %j leaves no gap in the conversation",
    (thought) => {
      const items = itemsOf([user("Go"), assistant(thought), user("Well?")]);
      expect(items.map((item) => Object(item).role)).toEqual(["user", "assistant", "user"]);
    },
  );

  test("B3-14: reasoning is never the last of its turn, which the backend refuses", () => {
    const thought = { type: "thinking", thinking: "", signature: seal(CIPHERTEXT) };
    const items = itemsOf([user("Go"), assistant(thought), user("Well?")]);
    expect(items.map((item) => Object(item).type)).toEqual([
      "message",
      "reasoning",
      "message",
      "message",
    ]);
  });

  test("puts reasoning that was not told back where it was, before the call that it led to", () => {
    const thought = (secret: string): Dict => ({ type: "reasoning", encrypted_content: secret });
    const kept = (secret: string, isBeforeText: boolean) => ({
      item: thought(secret),
      isBeforeText,
    });
    const led = new Map([
      ["a", [kept("1", true), kept("2", false)]],
      ["b", [kept("3", true)]],
    ]);
    const { items } = readHistory(
      [
        user("Go"),
        assistant(text("First."), call("a"), text("Then."), call("b"), call("c")),
        user([result("a"), result("b"), result("c")]),
      ],
      scene({ recall: (callId) => led.get(callId) ?? [] }),
    );
    expect(
      items.slice(1, 9).map((item) => item["encrypted_content"] ?? item["call_id"] ?? item["role"]),
    ).toEqual(["1", "assistant", "2", "a", "3", "assistant", "b", "c"]);
  });

  test("puts nothing back that a thinking block of the same message brings along", () => {
    const item = { type: "reasoning", summary: [], encrypted_content: CIPHERTEXT };
    const { items } = readHistory(
      [
        user("Go"),
        assistant({ type: "thinking", thinking: "", signature: seal(CIPHERTEXT) }, call("a")),
        user([result("a")]),
      ],
      scene({ recall: () => [{ item, isBeforeText: false }] }),
    );
    expect(items.filter(({ type }) => type === "reasoning")).toEqual([item]);
  });

  test("B4-2: a long call id is shortened alike for the call and its result", () => {
    const ids = ["x".repeat(120), `${"x".repeat(119)}y`];
    const items = itemsOf([
      user("Go"),
      assistant(...ids.map((id) => call(id))),
      user(ids.map((id) => result(id))),
    ]).map((item) => String(Object(item).call_id));
    expect(items[1]).toBe(String(items[3]));
    expect(items[2]).toBe(String(items[4]));
    expect(items[1]).not.toBe(String(items[2]));
    expect(items[1]?.length).toBeLessThanOrEqual(64);
  });

  test("B4-3: a long tool name is another on the wire, the same in every turn", () => {
    const names = createToolNames();
    const long = "mcp__server__".repeat(8);
    const { items } = readHistory(
      [user("Go"), assistant(call("a", long)), user([result("a")])],
      scene({ names }),
    );
    expect(items[1]?.["name"]).toBe(names.toWire(long));
    expect(names.fromWire(String(items[1]?.["name"]))).toBe(long);
  });

  test("B3-2: an image in a result stays an image", () => {
    const source = { type: "base64", media_type: "image/png", data: "AA==" };
    const items = itemsOf([
      user("Read a.png"),
      assistant(call("a")),
      user([result("a", [{ type: "image", source }])]),
    ]);
    expect(items[2]).toMatchObject({
      output: [{ type: "input_image", image_url: "data:image/png;base64,AA==" }],
    });
  });

  const outputs: [name: string, content: unknown, isError: boolean, output: unknown][] = [
    ["a text", "a\n", false, "a\n"],
    ["one text block", [text("a")], false, "a"],
    ["nothing", null, false, ""],
    ["an empty list", [], false, ""],
    ["an error", "exit 1", true, "[error] exit 1"],
    ["an error without words", "", true, "[error] "],
    ["an error without content", null, true, "[error]"],
    [
      "several blocks",
      [text("a"), text("b")],
      false,
      [
        { type: "input_text", text: "a" },
        { type: "input_text", text: "b" },
      ],
    ],
  ];
  test.each(outputs)("a result that is %s", (_name, content, is_error, output) => {
    const block = { ...result("a", content), is_error };
    const items = itemsOf([user("Go"), assistant(call("a")), user([block])]);
    expect(items[2]).toMatchObject({ type: "function_call_output", output });
  });

  const broken: [name: string, messages: Dict[], param: string][] = [
    ["a result without its call", [user([result("a")])], "messages[0].content[0]"],
    [
      "a result that comes twice",
      [user("Go"), assistant(call("a")), user([result("a"), result("a")])],
      "messages[2].content[1]",
    ],
    [
      "a call without its result",
      [user("Go"), assistant(call("a"), call("b")), user([result("a")])],
      "messages[1].content[1]",
    ],
    [
      "a result that comes too late",
      [user("Go"), assistant(call("a")), assistant(text("x")), user([result("a")])],
      "messages[1].content[0]",
    ],
    ["a call at the end", [user("Go"), assistant(call("a"))], "messages[1].content[0]"],
    [
      "two calls with one id",
      [user("Go"), assistant(call("a"), call("a")), user([result("a")])],
      "messages[1].content[1].id",
    ],
    [
      "a call without input",
      [user("Go"), assistant({ type: "tool_use", id: "a", name: "f" })],
      "messages[1].content[0].input",
    ],
    [
      "an image of the assistant's",
      [user("Go"), assistant({ type: "image" })],
      "messages[1].content[0]",
    ],
    [
      "a call of another server tool",
      [
        user("Go"),
        assistant({ type: "server_tool_use", id: "s", name: "code_execution", input: {} }),
      ],
      "messages[1].content[0]",
    ],
    [
      "an empty answer before the end",
      [user("Go"), assistant(), user("Well?")],
      "messages[1].content",
    ],
  ];
  test.each(broken)("refuses %s, naming its place", (_name, messages, param) => {
    expect(refusalOf({ messages })).toMatchObject({ status: 400, param });
  });

  test("M5: a system message may come between a call and its result", () => {
    const items = itemsOf([
      user("Go"),
      assistant(call("a")),
      { role: "system", content: "Be quick." },
      user([result("a")]),
    ]);
    expect(items.map((item) => Object(item).type)).toEqual([
      "message",
      "function_call",
      "message",
      "function_call_output",
    ]);
  });

  test("B3-12: knows the tools that were found or called", () => {
    const found = { type: "tool_reference", tool_name: "found" };
    const { tools } = readHistory(
      [
        user("Go"),
        assistant(call("a", "ToolSearch"), {
          type: "tool_search_tool_result",
          tool_use_id: "s",
          content: {
            type: "tool_search_tool_search_result",
            tool_references: [{ type: "tool_reference", tool_name: "found by the server" }],
          },
        }),
        user([result("a", [found])]),
      ],
      scene(),
    );
    expect([...tools.known]).toEqual(["ToolSearch", "found by the server", "found"]);
  });
});

describe("a system message in the conversation", () => {
  const tool = { name: "late", input_schema: { type: "object" } };
  const change = (type: string, changed: Dict): Dict => ({
    role: "system",
    content: [{ type, tool: changed }],
  });
  const reference = { type: "tool_reference", name: "f" };
  const read = (...messages: readonly Dict[]) => {
    const reading = createReading();
    const history = readHistory([user("Go"), ...messages], scene({ reading }));
    expect(reading.fault()).toBeUndefined();
    return history;
  };

  test("may bring a tool along, which the model is told", () => {
    const { tools, items } = read(
      change("tool_addition", { type: "tool_definition", definition: tool }),
    );
    expect([...tools.known]).toEqual(["late"]);
    expect(tools.defined.get("late")).toEqual({
      definition: tool,
      path: "messages[1].content[0].tool.definition",
    });
    expect(items[1]).toEqual({
      type: "message",
      role: "developer",
      content: [{ type: "input_text", text: "The tool 'late' can be used now." }],
    });
  });

  test("may take a tool away, and give it back", () => {
    const { tools } = read(change("tool_removal", reference));
    expect([...tools.gone]).toEqual(["f"]);
    const back = read(change("tool_removal", reference), change("tool_addition", reference));
    expect([...back.tools.gone]).toEqual([]);
    expect([...back.tools.known]).toEqual(["f"]);
  });

  test("may ask for another effort and have no words; the last one counts", () => {
    const effort = (word: string): Dict => ({ role: "system", output_config: { effort: word } });
    const { effort: last, items } = read(effort("low"), effort("high"));
    expect(last).toBe("high");
    expect(items).toHaveLength(1);
  });

  test("has no tool of a server's", () => {
    const foreign = { type: "mcp_tool_reference", server_name: "s", name: "f" };
    const messages = [user("Go"), change("tool_addition", foreign)];
    expect(refusalOf({ messages })).toMatchObject({ param: "messages[1].content[0]" });
  });
});

describe("a system prompt", () => {
  test("is one developer message, a part for each block, without the billing header", () => {
    const billing = text("x-anthropic-billing-header: cc_version=2.1.197.c40;");
    const items = readSystem([billing, text("One"), text("Two")], createReading());
    expect(items).toEqual([
      {
        type: "message",
        role: "developer",
        content: [
          { type: "input_text", text: "One" },
          { type: "input_text", text: "Two" },
        ],
      },
    ]);
  });

  test("may be missing or empty", () => {
    for (const nothing of [undefined, null, [], "", [text("")]]) {
      expect(readSystem(nothing, createReading())).toEqual([]);
    }
  });
});
