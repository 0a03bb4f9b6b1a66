import { describe, expect, test } from "bun:test";
import { readFormat } from "../../../src/protocols/chat/format.ts";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import type { Dict } from "../../../src/wire/json.ts";

function formatFor(asked: Dict) {
  const notes = createNotes();
  const format = readFormat(asked, notes);
  return { format, fault: notes.fault() };
}

const schema = { type: "object", properties: { a: { type: "array" } } };
const repaired = { type: "object", properties: { a: { type: "array", items: {} } } };
const wish = (json_schema: Dict): Dict => ({
  response_format: { type: "json_schema", json_schema },
});

describe("B2-7: the format of an answer", () => {
  const rows: [asked: Dict, format: Dict | undefined][] = [
    [{}, undefined],
    [{ response_format: { type: "text" } }, undefined],
    [{ response_format: { type: "json_object" } }, { type: "json_object" }],
    [
      wish({ name: "a", description: "An a", strict: true, schema }),
      { type: "json_schema", name: "a", description: "An a", strict: true, schema: repaired },
    ],
    [
      wish({ name: "a", strict: null }),
      {
        type: "json_schema",
        name: "a",
        strict: false,
        schema: { type: "object", properties: {} },
      },
    ],
    [
      { text: { format: { type: "json_schema", name: "a", schema } } },
      { type: "json_schema", name: "a", strict: false, schema: repaired },
    ],
  ];
  test.each(rows)("%j becomes %j", (asked, format) => {
    expect(formatFor(asked)).toEqual({ format, fault: undefined });
  });

  test("has a name that the backend takes", () => {
    const { format } = formatFor(wish({ name: "a b", schema }));
    expect(format?.["name"]).toMatch(/^a_b_[0-9a-f]{12}$/);
  });

  const faults: [asked: Dict, param: string][] = [
    [{ response_format: {} }, "response_format.type"],
    [{ response_format: { type: "xml" } }, "response_format.type"],
    [{ response_format: { type: "json_schema" } }, "response_format.json_schema.name"],
    [wish({ schema: {} }), "response_format.json_schema.name"],
    [wish({ name: "a", schema: "x" }), "response_format.json_schema.schema"],
    [wish({ name: "a", schema: { type: "text" } }), "response_format.json_schema.schema.type"],
    [{ text: { format: { type: "xml" } } }, "text.format.type"],
  ];
  test.each(faults)("%j is refused at %s", (asked, param) => {
    expect(formatFor(asked).fault).toMatchObject({ status: 400, param });
  });
});
