import { describe, expect, test } from "bun:test";
import type { ToolHistory } from "../../../src/protocols/messages/ledger.ts";
import { readTools } from "../../../src/protocols/messages/tools.ts";
import { createReading } from "../../../src/protocols/reading.ts";
import { createToolNames } from "../../../src/turn/names.ts";
import { type Dict, dict, list } from "../../../src/wire/json.ts";

function toolsOf(
  tools: readonly Dict[],
  choice?: Dict,
  known: readonly string[] = [],
  more: Partial<ToolHistory> = {},
) {
  const reading = createReading();
  const names = createToolNames();
  const history = { known: new Set(known), defined: new Map(), gone: new Set<string>() };
  const read = readTools({ tools, choice }, names, { ...history, ...more }, reading);
  expect(reading.fault()).toBeUndefined();
  return { ...read, names };
}

const namesIn = (fields: Dict) => list(fields["tools"]).map((tool) => dict(tool)["name"]);
const plain = (name: string): Dict => ({ name, input_schema: { type: "object", properties: {} } });
const deferred = (name: string): Dict => ({ ...plain(name), defer_loading: true });

describe("readTools", () => {
  test("writes no field where there is no tool", () => {
    expect(toolsOf([]).fields).toEqual({});
  });

  test("takes a tool with and without a type, its schema repaired, strict written out", () => {
    const input_schema = { type: "object", properties: { a: { type: "array" } } };
    for (const type of ["custom", null, undefined]) {
      const { fields } = toolsOf([{ type, name: "f", description: "F", input_schema }]);
      expect(fields["tools"]).toEqual([
        {
          type: "function",
          name: "f",
          description: "F",
          parameters: { type: "object", properties: { a: { type: "array", items: {} } } },
          strict: false,
        },
      ]);
    }
  });

  test("B3-14: a strict schema with optional fields goes as one that is not strict, and that is told", () => {
    const properties = { a: { type: "string" }, b: { type: "string" } };
    const strict = (required: readonly string[]) => ({
      name: `f${required.length}`,
      strict: true,
      input_schema: { type: "object", properties, required, additionalProperties: false },
    });
    const { fields, removed } = toolsOf([strict(["a", "b"]), strict(["a"])]);
    expect(list(fields["tools"]).map((tool) => dict(tool)["strict"])).toEqual([true, false]);
    expect(removed).toEqual(["tools[1].strict"]);
  });

  test("B4-3: names that the backend refuses come back as the client's own", () => {
    const long = "mcp.server/".repeat(10);
    const { fields, names } = toolsOf([plain(long)], { type: "tool", name: long });
    const [name] = namesIn(fields);
    expect(name).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
    expect(fields["tool_choice"]).toEqual({ type: "function", name });
    expect(names.fromWire(String(name))).toBe(long);
  });

  const choices: [choice: Dict | undefined, tool_choice: unknown, parallel: boolean][] = [
    [undefined, "auto", true],
    [{ type: "auto" }, "auto", true],
    [{ type: "auto", disable_parallel_tool_use: true }, "auto", false],
    [{ type: "auto", disable_parallel_tool_use: false }, "auto", true],
    [{ type: "any", disable_parallel_tool_use: true }, "required", false],
    [{ type: "none" }, "none", true],
    [{ type: "tool", name: "f" }, { type: "function", name: "f" }, true],
    [
      { type: "tool", name: "f", disable_parallel_tool_use: true },
      { type: "function", name: "f" },
      false,
    ],
  ];
  test.each(choices)("B3-10: the choice %j is sent", (choice, tool_choice, parallel) => {
    const { fields } = toolsOf([plain("f")], choice);
    expect(fields).toMatchObject({ tool_choice, parallel_tool_calls: parallel });
  });

  test("B3-11: Claude's web search is the backend's", () => {
    const search = {
      type: "web_search_20260318",
      name: "web_search",
      allowed_domains: ["example.com"],
      blocked_domains: ["example.org"],
      max_uses: 3,
      user_location: { type: "approximate", country: "NO", city: null },
    };
    const { fields, canSearch, removed } = toolsOf([search], { type: "tool", name: "web_search" });
    expect(canSearch).toBe(true);
    expect(removed).toEqual(["tools[0].blocked_domains", "tools[0].max_uses"]);
    expect(fields).toMatchObject({
      tool_choice: { type: "web_search" },
      tools: [
        {
          type: "web_search",
          external_web_access: true,
          filters: { allowed_domains: ["example.com"] },
          user_location: { type: "approximate", country: "NO" },
        },
      ],
    });
  });

  describe("B3-12: tools whose loading is deferred", () => {
    const many = Array.from({ length: 200 }, (_, at) => ({
      ...deferred(`tool_${at}`),
      description: "Does what takes many words to tell. ".repeat(20),
    }));

    test("are left out until they are found, which saves their size", () => {
      const { fields } = toolsOf([plain("ToolSearch"), ...many], undefined, ["tool_7"]);
      expect(namesIn(fields)).toEqual(["ToolSearch", "tool_7"]);
      const whole = JSON.stringify(many).length;
      expect(JSON.stringify(fields).length).toBeLessThan(whole / 50);
    });

    test("B5-7: stand behind the others in the order of their finding, so that the cache holds", () => {
      const tools = [deferred("a"), plain("f"), deferred("b"), plain("g")];
      const sent = (...known: readonly string[]) =>
        namesIn(toolsOf(tools, undefined, known).fields);
      expect(sent()).toEqual(["f", "g"]);
      expect(sent("b")).toEqual(["f", "g", "b"]);
      expect(sent("b", "a")).toEqual(["f", "g", "b", "a"]);
    });

    test("are there when one must be called", () => {
      const { fields } = toolsOf([plain("f"), deferred("g")], { type: "tool", name: "g" });
      expect(namesIn(fields)).toEqual(["f", "g"]);
    });

    test("are all there where Anthropic's own search was to find them", () => {
      const search = { type: "tool_search_tool_bm25_20251119", name: "tool_search_tool_bm25" };
      const { fields, removed } = toolsOf([search, deferred("f"), deferred("g")]);
      expect(namesIn(fields)).toEqual(["f", "g"]);
      expect(removed).toEqual(["tools[0]"]);
    });
  });

  test("tools that the conversation brought along come last, those it took away are gone", () => {
    const defined = new Map([["late", { definition: plain("late"), path: "messages[0]" }]]);
    const more = { defined, gone: new Set(["f"]) };
    const { fields } = toolsOf([plain("f"), plain("g")], undefined, ["late"], more);
    expect(namesIn(fields)).toEqual(["g", "late"]);
  });
});
