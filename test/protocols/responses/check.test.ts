import { describe, expect, test } from "bun:test";
import { findFault, findUnreadable } from "../../../src/protocols/responses/check.ts";
import type { Dict } from "../../../src/wire/json.ts";

const user = { role: "user", content: "Hi" };
const asked = (more: Dict): Dict => ({ model: "gpt-5.4", input: [user], ...more });
const inputOf = (...items: readonly unknown[]): Dict => asked({ input: [user, ...items] });
const said = (part: Dict): Dict =>
  inputOf({ role: "user", content: [{ type: "input_text", text: "a" }, part] });

const NEW = { type: "of_tomorrow", name: "f" };
const SEARCH = { type: "web_search" };
const FUNCTION = { type: "function", name: "f" };
const CALL = { type: "function_call", call_id: "c", name: "f", arguments: "{}" };
const OUTPUT = { type: "function_call_output", call_id: "c", output: "ok" };

describe("findFault", () => {
  const rows: [path: string, body: Dict][] = [
    ["input", asked({ input: "" })],
    ["input", asked({ input: [] })],
    ["instructions", asked({ instructions: ["x"] })],
    ["store", asked({ store: "true" })],
    ["tools", asked({ tools: {} })],
    ["tool_choice", asked({ tool_choice: 1 })],
    ["parallel_tool_calls", asked({ parallel_tool_calls: 1 })],
    ["reasoning", asked({ reasoning: "high" })],
    ["reasoning.effort", asked({ reasoning: { effort: 3 } })],
    ["reasoning.summary", asked({ reasoning: { summary: true } })],
    ["text", asked({ text: "low" })],
    ["text.verbosity", asked({ text: { verbosity: 1 } })],
    ["text.format", asked({ text: { format: "json" } })],
    ["text.format.type", asked({ text: { format: {} } })],
    ["text.format.name", asked({ text: { format: { type: "json_schema", schema: {} } } })],
    ["text.format.schema", asked({ text: { format: { type: "json_schema", name: "s" } } })],
    ["include", asked({ include: "reasoning.encrypted_content" })],
    ["include[0]", asked({ include: [1] })],
    ["service_tier", asked({ service_tier: 7 })],
    ["prompt_cache_key", asked({ prompt_cache_key: 7 })],
    ["session_id", asked({ session_id: 7 })],
    ["tools[0]", asked({ tools: ["f"] })],
    ["tools[0].type", asked({ tools: [{ name: "f" }] })],
    ["tools[0].name", asked({ tools: [{ type: "function" }] })],
    ["tools[0].name", asked({ tools: [{ type: "custom", name: "" }] })],
    ["tools[1].name", asked({ tools: [FUNCTION, { ...FUNCTION, type: "custom" }] })],
    [
      "tools[1].function.name",
      asked({ tools: [FUNCTION, { type: "function", function: FUNCTION }] }),
    ],
    [
      "tools[1].tools[1].name",
      asked({ tools: [FUNCTION, { type: "namespace", name: "n", tools: [FUNCTION, FUNCTION] }] }),
    ],
    ["tools[0].parameters", asked({ tools: [{ type: "function", name: "f", parameters: [] }] })],
    [
      "tools[0].parameters.type",
      asked({ tools: [{ type: "function", name: "f", parameters: { type: "array" } }] }),
    ],
    [
      "tools[0].function.parameters.required",
      asked({
        tools: [{ type: "function", function: { name: "f", parameters: { required: true } } }],
      }),
    ],
    [
      "text.format.schema.items",
      asked({ text: { format: { type: "json_schema", name: "n", schema: { items: "x" } } } }),
    ],
    ["tools[0].function.name", asked({ tools: [{ type: "function", function: {} }] })],
    [
      "tools[1].strict",
      asked({ tools: [{ type: "web_search" }, { type: "function", name: "f", strict: 1 }] }),
    ],
    [
      "tools[0].tools[0].name",
      asked({ tools: [{ type: "namespace", name: "n", tools: [{ type: "custom" }] }] }),
    ],
    ["input[1].type", inputOf({})],
    ["input[1].type", inputOf({ type: 5 })],
    ["input[1].role", inputOf({ role: "boss", content: "x" })],
    ["input[1].role", inputOf({ type: "message", content: "x" })],
    ["input[1].content", inputOf({ role: "assistant", content: null })],
    ["input[1].content[0]", inputOf({ role: "user", content: ["x"] })],
    ["input[1].content[1].type", said({ text: "x" })],
    ["input[1].content[1].text", said({ type: "input_text" })],
    ["input[1].content[1].image_url", said({ type: "input_image", image_url: { url: "x" } })],
    ["input[1].content[1].file_data", said({ type: "input_file", file_data: 1 })],
    ["input[1].content[1].refusal", said({ type: "refusal", refusal: null })],
    ["input[1].call_id", inputOf({ ...CALL, call_id: 1 })],
    ["input[1].name", inputOf({ ...CALL, name: null })],
    ["input[1].arguments", inputOf({ ...CALL, arguments: {} })],
    ["input[1].input", inputOf({ ...CALL, type: "custom_tool_call" })],
    ["input[1].output", inputOf({ ...OUTPUT, output: { a: 1 } })],
    [
      "input[1].output[0].image_url",
      inputOf({ ...OUTPUT, output: [{ type: "input_image", image_url: 1 }] }),
    ],
    ["input[1].encrypted_content", inputOf({ type: "reasoning", encrypted_content: 1 })],
    ["input[1].summary", inputOf({ type: "reasoning", summary: "Hm" })],
    ["input[1].id", inputOf({ type: "item_reference" })],
    [
      "input[1].tools[0].name",
      inputOf({ type: "additional_tools", tools: [{ type: "function" }] }),
    ],
  ];
  test.each(rows)("names %s", (path, body) => {
    const fault = findFault(body);
    expect(fault).toMatchObject({ kind: "bad-request", status: 400, param: path });
    expect(fault?.message).toStartWith(`'${path}' `);
    expect(fault?.message).toEndWith(".");
  });

  test("never quotes what was sent", () => {
    const secret = "a private sentence";
    const bodies = [
      said({ type: "input_image", image_url: [secret] }),
      asked({ tools: secret }),
      inputOf({ role: secret, content: secret }),
    ];
    for (const body of bodies) expect(JSON.stringify(findFault(body))).not.toContain(secret);
  });

  const good: [name: string, body: Dict][] = [
    ["a plain string", asked({ input: "Hi" })],
    ["nothing new after an earlier response", asked({ input: [], previous_response_id: "resp_1" })],
    [
      "null for what need not be there",
      asked({
        instructions: null,
        tools: null,
        tool_choice: null,
        reasoning: null,
        text: null,
        include: null,
        store: null,
      }),
    ],
    [
      "what nobody knows",
      asked({
        input: [{ type: "of_tomorrow", role: 7, content: 7 }],
        field_of_tomorrow: 1,
        tools: [{ type: "of_tomorrow", name: 1 }],
        text: { format: { type: "of_tomorrow" } },
      }),
    ],
    ["a part that nobody knows", said({ type: "input_smell", smell: 1 })],
    [
      "parameters that are taken out anyway, whatever they hold",
      asked({ temperature: "hot", metadata: 7 }),
    ],
    [
      "a tool in the form of Chat Completions",
      asked({ tools: [{ type: "function", function: { name: "f" } }] }),
    ],
    [
      "one name in several namespaces, and for a namespace and a tool",
      asked({
        tools: [
          FUNCTION,
          { type: "namespace", name: "f", tools: [FUNCTION] },
          { type: "namespace", name: "g", tools: [FUNCTION] },
        ],
      }),
    ],
    ["several tools whose names are nobody's", asked({ tools: [SEARCH, SEARCH, NEW, NEW] })],
    [
      "all that a turn with a tool is made of",
      inputOf(
        { type: "reasoning", id: "rs", summary: [], content: null, encrypted_content: "g" },
        CALL,
        { ...OUTPUT, output: [{ type: "input_image", image_url: "data:," }] },
        { role: "assistant", content: [{ type: "output_text", text: "a", annotations: [] }] },
      ),
    ],
  ];
  test.each(good)("takes %s", (_name, body) => {
    expect(findFault(body)).toBeUndefined();
  });
});

describe("findUnreadable", () => {
  const rows: [path: string, body: Dict][] = [
    ["model", { input: "x" }],
    ["model", { model: " ", input: "x" }],
    ["stream", { model: "m", input: "x", stream: 1 }],
    ["input", { model: "m" }],
    ["input[1]", { model: "m", input: [{}, "x"] }],
    ["previous_response_id", { model: "m", input: "x", previous_response_id: 5 }],
    ["previous_response_id", { model: "m", input: "x", previous_response_id: "" }],
  ];
  test.each(rows)("names %s", (path, body) => {
    expect(findUnreadable(body)).toMatchObject({ status: 400, code: "invalid_type", param: path });
  });

  test("takes a request that goes on from a response and says nothing new", () => {
    for (const more of [{}, { input: null }]) {
      const body = { model: "m", previous_response_id: "resp_1", ...more };
      expect(findUnreadable(body)).toBeUndefined();
    }
    const fault = findUnreadable({ model: "m", previous_response_id: "resp_1", input: 7 });
    expect(fault).toMatchObject({ param: "input" });
  });

  test("leaves to the backend what it alone may judge", () => {
    const body = { model: "m", input: [{}], stream: null, previous_response_id: null, tools: 7 };
    expect(findUnreadable(body)).toBeUndefined();
  });
});
