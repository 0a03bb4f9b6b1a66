import { describe, expect, test } from "bun:test";
import { outlineTools } from "../../src/tokens/outline.ts";
import type { Dict } from "../../src/wire/json.ts";

/** The outline of one function's parameter `a`. */
function outlineOf(schema: unknown, more: Dict = {}): string {
  const parameters = { type: "object", properties: { a: schema }, required: ["a"], ...more };
  return outlineTools([{ type: "function", name: "f", parameters }]);
}

describe("outlineTools", () => {
  test("shows functions as a model sees them", () => {
    const tools = [
      {
        type: "function",
        name: "weather",
        description: "Tells the weather.\nNot the future's.",
        parameters: {
          type: "object",
          properties: {
            city: { type: "string", description: "Where" },
            unit: { type: "string", enum: ["c", "f"], default: "c" },
            days: {
              type: "array",
              items: { type: "object", properties: { at: { type: "integer", description: "n" } } },
            },
          },
          required: ["city"],
        },
      },
      { type: "function", name: "stop", parameters: { type: "object", properties: {} } },
      { type: "custom", name: "patch", description: "Edits." },
    ];
    expect(outlineTools(tools)).toBe(`namespace functions {

// Tells the weather.
// Not the future's.
type weather = (_: {
// Where
city: string,
unit?: "c" | "f", // default: "c"
days?: {
  // n
  at?: number,
}[],
}) => any;

type stop = () => any;

// Edits.
type patch = (FREEFORM) => any;

} // namespace functions`);
  });

  test.each<[unknown, string]>([
    [{ type: ["string", "null"] }, "string | null"],
    [{ anyOf: [{ type: "boolean" }, { $ref: "#/$defs/Pet" }] }, "boolean | Pet"],
    [{ oneOf: [{ const: 1 }, { const: "b" }] }, '1 | "b"'],
    [{ properties: { b: {} } }, "{\n  b?: any,\n}"],
    [{ type: "object" }, "object"],
    [{ type: "array" }, "any[]"],
    [{ type: "array", items: { type: "array", items: { type: "number" } } }, "number[][]"],
    [true, "any"],
    [{ type: "odd" }, "any"],
    [null, "any"],
  ])("says %p as a type", (schema, type) => {
    expect(outlineOf(schema)).toContain(`\na: ${type},\n`);
  });

  test("shows what is defined once, and not where it is used", () => {
    const $defs = { Pet: { type: "object", properties: { friend: { $ref: "#/$defs/Pet" } } } };
    expect(outlineOf({ $ref: "#/$defs/Pet" }, { $defs })).toContain(
      "type Pet = {\nfriend?: Pet,\n};\ntype f = (_: {\na: Pet,\n}) => any;",
    );
  });

  test("is nothing without tools", () => {
    expect(outlineTools([])).toBe("");
  });
});
