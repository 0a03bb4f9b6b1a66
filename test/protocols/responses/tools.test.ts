import { describe, expect, test } from "bun:test";
import { createEdit } from "../../../src/protocols/responses/edit.ts";
import { applyTools, wireTools } from "../../../src/protocols/responses/tools.ts";
import { createToolNames } from "../../../src/turn/names.ts";
import type { Dict } from "../../../src/wire/json.ts";

const OBJECT = { type: "object", properties: {} };
const GOOD = { type: "function", name: "look_up", parameters: OBJECT, strict: true };

function applied(body: Dict, isNative = false): Dict {
  const edit = createEdit(body);
  applyTools(edit, createToolNames(), isNative);
  return edit.result();
}

describe("wireTools", () => {
  test("leaves what the backend takes the very same", () => {
    const tools = [
      GOOD,
      {
        type: "custom",
        name: "exec",
        format: { type: "grammar", syntax: "lark", definition: "x" },
      },
      { type: "web_search", external_web_access: true },
      { type: "tool_search", execution: "client", parameters: { type: "array" } },
      { type: "of_tomorrow", name: "a b", parameters: null },
    ];
    expect(wireTools(tools, createToolNames(), false)).toBe(tools);
  });

  test("B4-4: passes a namespace of tools on untouched", () => {
    const tools = [{ type: "namespace", name: "functions", description: "d", tools: [GOOD] }];
    for (const isNative of [true, false]) {
      expect(wireTools(tools, createToolNames(), isNative)).toBe(tools);
    }
  });

  test("B4-14: renames no tool that the backend would take", () => {
    const names = createToolNames();
    const tools = ["apply_patch", "Bash", "str_replace_based_edit_tool", "mcp__files__read"].map(
      (name) => ({ ...GOOD, name }),
    );
    expect(wireTools(tools, names, false)).toBe(tools);
    expect(names.hasAliases()).toBe(false);
  });

  const fills: [name: string, parameters: unknown][] = [
    ["absent", undefined],
    ["null", null],
  ];
  test.each(fills)("B4-8: fills parameters that are %s", (_name, parameters) => {
    const tool = { type: "function", name: "f", ...(parameters === null ? { parameters } : {}) };
    expect(wireTools([tool], createToolNames(), true)).toEqual([{ ...tool, parameters: OBJECT }]);
  });

  test("B4-8: mends schemas at the top and in namespaces", () => {
    const parameters = { type: "object", properties: { tags: { type: "array" } } };
    const mended = { type: "object", properties: { tags: { type: "array", items: {} } } };
    const tool = { type: "function", name: "f", parameters };
    const space = { type: "namespace", name: "n", tools: [tool] };
    expect(wireTools([tool, space], createToolNames(), true)).toEqual([
      { ...tool, parameters: mended },
      { ...space, tools: [{ ...tool, parameters: mended }] },
    ]);
  });

  test("flattens a tool in the form of Chat Completions, but a Codex client's is its own affair", () => {
    const chat = { type: "function", function: { name: "f", parameters: OBJECT, strict: true } };
    const flat = { type: "function", name: "f", parameters: OBJECT, strict: true };
    expect(wireTools([chat], createToolNames(), false)).toEqual([flat]);
    expect(wireTools([chat], createToolNames(), true)).toEqual([{ ...chat, parameters: OBJECT }]);
  });

  test("B4-3: gives a name that is too long or odd another one that is taken, and remembers it", () => {
    const names = createToolNames();
    const long = "x".repeat(100);
    const tools = [
      { ...GOOD, name: long },
      { type: "namespace", name: "my files", tools: [{ ...GOOD, name: "read.all" }] },
    ];
    const text = JSON.stringify(wireTools(tools, names, false));
    expect(text).not.toContain(long);
    for (const [, name = ""] of text.matchAll(/"name":"([^"]*)"/g)) {
      expect(name).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
    }
    expect(names.fromWire(names.toWire(long))).toBe(long);
  });
});

describe("applyTools", () => {
  test("leaves a body alone that has neither tools nor a wish for its answer's form", () => {
    const body = { input: "x", tool_choice: "auto", text: { verbosity: "low" } };
    expect(applied(body)).toBe(body);
    expect(applied({})).toEqual({});
  });

  test("lets the choice of tools follow their names", () => {
    const name = "a.b";
    const { tools, tool_choice: choice } = applied({
      tools: [{ ...GOOD, name }],
      tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name }] },
    });
    const wire = createToolNames().toWire(name);
    expect(tools).toEqual([{ ...GOOD, name: wire }]);
    expect(choice).toMatchObject({ tools: [{ type: "function", name: wire }] });
  });

  test("flattens a choice in the form of Chat Completions", () => {
    const choice = { type: "function", function: { name: "f" } };
    expect(applied({ tool_choice: choice })).toEqual({
      tool_choice: { type: "function", name: "f" },
    });
  });

  test("mends the schema of the answer, and leaves a good one the very same", () => {
    const format = { type: "json_schema", name: "s", strict: true };
    const bad = { type: "object", properties: { a: { type: "array" } } };
    const text = { verbosity: "low", format: { ...format, schema: bad } };
    expect(applied({ text })).toEqual({
      text: {
        verbosity: "low",
        format: {
          ...format,
          schema: { type: "object", properties: { a: { type: "array", items: {} } } },
        },
      },
    });
    const good = { text: { format: { ...format, schema: OBJECT } } };
    expect(applied(good)).toBe(good);
    const plain = { text: { format: { type: "json_object" } } };
    expect(applied(plain)).toBe(plain);
  });
});
