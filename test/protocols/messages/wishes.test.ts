import { describe, expect, test } from "bun:test";
import { readWishes } from "../../../src/protocols/messages/wishes.ts";
import { createReading } from "../../../src/protocols/reading.ts";
import type { ModelChoice } from "../../../src/turn/model.ts";
import type { Dict } from "../../../src/wire/json.ts";

const choice: ModelChoice = { model: "m", isFast: false, levels: ["low", "high", "none"] };

describe("readWishes", () => {
  const rows: [name: string, asked: Dict, fields: Dict, thinking: string][] = [
    ["nothing", {}, {}, "none"],
    [
      "adaptive thinking",
      { thinking: { type: "adaptive" } },
      { reasoning: { summary: "auto" } },
      "shown",
    ],
    [
      "thinking between tools",
      { thinking: { type: "between_tools" } },
      { reasoning: { summary: "auto" } },
      "shown",
    ],
    [
      "adaptive thinking without words",
      { thinking: { type: "adaptive", display: "omitted" }, output_config: { effort: "high" } },
      { reasoning: { effort: "high" } },
      "omitted",
    ],
    [
      "a way of showing thoughts that nobody knows",
      { thinking: { type: "adaptive", display: "updates" } },
      { reasoning: { summary: "auto" } },
      "shown",
    ],
    ["no thinking", { thinking: { type: "disabled" } }, { reasoning: { effort: "none" } }, "none"],
    [
      "an effort alone",
      { output_config: { effort: "low" } },
      { reasoning: { effort: "low" } },
      "none",
    ],
    [
      "a budget",
      { thinking: { type: "enabled", budget_tokens: 1024 } },
      { reasoning: { effort: "low", summary: "auto" } },
      "shown",
    ],
  ];
  test.each(rows)("reads %s", (_name, asked, fields, thinking) => {
    const wishes = readWishes(asked, undefined, choice, createReading());
    expect(wishes).toMatchObject({ thinking, removed: [] });
    expect(wishes.fields).toEqual(fields);
  });

  test("takes the effort that the conversation asked for since", () => {
    const asked = { output_config: { effort: "low" } };
    expect(readWishes(asked, "high", choice, createReading()).effort).toBe("high");
  });

  const exact = {
    type: "object",
    properties: { a: { type: "string" } },
    required: ["a"],
    additionalProperties: false,
  };
  test("B2-7: an output's schema is strict where the backend takes it so", () => {
    const format = { type: "json_schema", schema: exact };
    for (const asked of [{ output_config: { format } }, { output_format: format }]) {
      const { fields, removed } = readWishes(asked, undefined, choice, createReading());
      expect(fields).toEqual({
        text: { format: { type: "json_schema", name: "answer", schema: exact, strict: true } },
      });
      expect(removed).toEqual([]);
    }
  });

  test("B3-14: a schema with optional fields is not, and that is told", () => {
    const schema = { ...exact, required: [] };
    const asked = { output_config: { format: { type: "json_schema", schema } } };
    const { fields, removed } = readWishes(asked, undefined, choice, createReading());
    expect(fields).toMatchObject({ text: { format: { strict: false, schema } } });
    expect(removed).toEqual(["output_config.format (strict)"]);
  });
});
