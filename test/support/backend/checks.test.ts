import { describe, expect, test } from "bun:test";
import type { Dict } from "../../../src/wire/json.ts";
import { checkCompact, checkTurn, REFUSED_PARAMETERS } from "./checks.ts";
import { seal } from "./tokens.ts";

const scene = { account: "one", knowsModel: (model: string) => model === "gpt-5.5" };
const user = { type: "message", role: "user", content: [{ type: "input_text", text: "hi" }] };
const good = { model: "gpt-5.5", store: false, stream: true, input: [user] };
const long = "x".repeat(65);
const call = { type: "function_call", call_id: "call_1", name: "f", arguments: "{}" };
const output = { type: "function_call_output", call_id: "call_1", output: "done" };

function wordsOf(body: Dict, check = checkTurn): string {
  const refusal = check(body, scene);
  return refusal ? `${refusal.status} ${JSON.stringify(refusal.body)}` : "good";
}

const withInput = (...items: readonly Dict[]): Dict => ({ ...good, input: [...items, user] });
const withTool = (tool: Dict): Dict => ({ ...good, tools: [tool] });
const withSchema = (parameters: Dict): Dict =>
  withTool({ type: "function", name: "f", parameters });

describe("checkTurn", () => {
  const taken: [name: string, body: Dict][] = [
    ["a plain turn", good],
    ["the fast tier", { ...good, service_tier: "priority" }],
    ["an unknown key", { ...good, client_metadata: {}, something: 1 }],
    ["an answered call", withInput(call, output)],
    ["an id of 64 characters", withInput({ ...user, id: "x".repeat(64) })],
    [
      "its own encrypted content",
      withInput({ type: "compaction", encrypted_content: seal("one") }),
    ],
    ["reasoning without id", withInput({ type: "reasoning", summary: [] })],
    ["an array schema with items", withSchema({ type: "array", items: {} })],
    ["tools without a name that are no functions", withTool({ type: "web_search" })],
  ];
  test.each(taken)("takes %s", (_name, body) => {
    expect(wordsOf(body)).toBe("good");
  });

  const refused: [name: string, body: Dict, words: string][] = [
    ["a string input", { ...good, input: "hi" }, '{"detail":"Input must be a list"}'],
    ["store left out", { model: "gpt-5.5" }, '{"detail":"Store must be set to false"}'],
    ["stream left out", { store: false }, '{"detail":"Stream must be set to true"}'],
    [
      "a system message",
      withInput({ role: "system", content: "x" }),
      '{"detail":"System messages are not allowed"}',
    ],
    ["a tier", { ...good, service_tier: "auto" }, '{"detail":"Unsupported service_tier: auto"}'],
    [
      "a model",
      { ...good, model: "gpt-5.4-high" },
      "The 'gpt-5.4-high' model is not supported when using Codex with a ChatGPT account.",
    ],
    [
      "a long call_id",
      withInput({ ...call, call_id: long }),
      "Invalid 'input[0].call_id': string too long. Expected a string with maximum length 64, but got a string with length 65 instead.",
    ],
    ["a long id", withInput({ ...user, id: long }), "Invalid 'input[0].id'"],
    ["a long cache key", { ...good, prompt_cache_key: long }, "Invalid 'prompt_cache_key'"],
    [
      "a long tool name",
      withTool({ type: "function", name: long }),
      '"param":"tools[0].name","code":"string_above_max_length"',
    ],
    [
      "a chat tool",
      withTool({ type: "function", function: { name: "f" } }),
      "Missing required parameter: 'tools[0].name'.",
    ],
    [
      "input_text from the assistant",
      withInput({ role: "assistant", content: [{ type: "input_text", text: "x" }] }),
      "Invalid value: 'input_text'",
    ],
    [
      "an array schema",
      withSchema({ type: "object", properties: { y: { type: "array" } } }),
      "Invalid schema for function 'f': In context=('properties', 'y'), array schema missing items.",
    ],
    [
      "a nested array schema",
      withSchema({ anyOf: [{ type: ["array", "null"] }] }),
      "In context=('anyOf', '0'), array schema",
    ],
    ["an open call", withInput(call), "No tool output found for function call call_1."],
    [
      "an open custom call",
      withInput({ type: "custom_tool_call", call_id: "call_2", name: "f", input: "" }),
      "No tool output found for custom tool call call_2.",
    ],
    [
      "an orphaned output",
      withInput(output),
      "No tool call found for function call output with call_id call_1.",
    ],
    [
      "reasoning that was not kept",
      withInput({ type: "reasoning", id: "rs_1", summary: [] }),
      "Item with id 'rs_1' not found.",
    ],
    [
      "another account's secret",
      withInput({ type: "reasoning", id: "rs_1", encrypted_content: seal("two") }),
      '"code":"invalid_encrypted_content"',
    ],
    [
      "a damaged secret",
      withInput({ type: "compaction", encrypted_content: "gAAAAABfake" }),
      '"code":"invalid_encrypted_content"',
    ],
  ];
  test.each(refused)("refuses %s", (_name, body, words) => {
    expect(wordsOf(body)).toStartWith("400 ");
    expect(wordsOf(body)).toContain(words);
  });

  test.each(REFUSED_PARAMETERS.map((name) => [name]))("refuses the parameter %s", (name) => {
    expect(wordsOf({ ...good, [name]: 1 })).toBe(`400 {"detail":"Unsupported parameter: ${name}"}`);
  });

  test("looks for faults in the backend's order", () => {
    const repairs: [fault: string, repair: Dict][] = [
      ["Store must", { store: false }],
      ["Stream must", { stream: true }],
      ["Input must", { input: [{ role: "system" }] }],
      ["System messages", { input: [{ ...call, call_id: long }] }],
      ["Unsupported parameter: max_output_tokens", { max_output_tokens: undefined }],
      ["Unsupported service_tier", { service_tier: "priority" }],
      ["model is not supported", { model: "gpt-5.5" }],
      ["string too long", { input: [call, { type: "reasoning", id: "rs_1" }] }],
      [
        "Missing required parameter",
        { tools: [{ type: "function", name: "f", parameters: { type: "array" } }] },
      ],
      ["array schema missing items", { tools: [] }],
      ["No tool output found", { input: [call, output, { type: "reasoning", id: "rs_1" }] }],
      ["Item with id", { input: [{ type: "reasoning", encrypted_content: seal("two") }] }],
      ["invalid_encrypted_content", { input: [user] }],
    ];
    let body: Dict = {
      input: "hi",
      max_output_tokens: 1,
      service_tier: "auto",
      model: "nobody",
      tools: [{ type: "function", function: {} }],
    };
    for (const [fault, repair] of repairs) {
      expect(wordsOf(body)).toContain(fault);
      body = Object.fromEntries(
        Object.entries({ ...body, ...repair }).filter(([, value]) => value !== undefined),
      );
    }
    expect(wordsOf(body)).toBe("good");
  });
});

describe("checkCompact", () => {
  const plain = { model: "gpt-5.5", input: [user], instructions: "" };
  test("asks for neither store nor stream", () => {
    expect(wordsOf(plain, checkCompact)).toBe("good");
  });
  test.each([["service_tier"], ["store"], ["stream"], ["temperature"]])("refuses %s", (name) => {
    expect(wordsOf({ ...plain, [name]: "priority" }, checkCompact)).toContain(
      `Unsupported parameter: ${name}`,
    );
  });
});
