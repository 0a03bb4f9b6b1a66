import { describe, expect, test } from "bun:test";
import { Ajv } from "ajv";
import { PUBLISHED } from "../../../src/protocols/messages/published.ts";
import { repairParameters } from "../../../src/turn/repair.ts";

describe("the tools that Claude knows by their type", () => {
  test.each([...PUBLISHED])("%s has a schema that needs no repair", (_type, { parameters }) => {
    expect(repairParameters(parameters)).toBe(parameters);
    expect(new Ajv().validateSchema(parameters)).toBe(true);
  });

  const calls: [type: string, input: unknown][] = [
    ["bash_20250124", { command: "ls" }],
    ["bash_20250124", { restart: true }],
    ["text_editor_20250728", { command: "view", path: "/a", view_range: [1, -1] }],
    ["text_editor_20250728", { command: "insert", path: "/a", insert_line: 0, insert_text: "x" }],
    ["text_editor_20250124", { command: "undo_edit", path: "/a" }],
    ["memory_20250818", { command: "rename", old_path: "/memories/a", new_path: "/memories/b" }],
  ];
  test.each(calls)("%s takes %j", (type, input) => {
    expect(new Ajv().validate(PUBLISHED.get(type)?.parameters ?? false, input)).toBe(true);
  });
});
