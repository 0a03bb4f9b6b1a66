import { describe, expect, test } from "bun:test";
import { isStrictSchema } from "../../src/turn/strict.ts";
import type { Dict } from "../../src/wire/json.ts";

/** An object that allows and requires what it names. */
function closed(properties: Dict): Dict {
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

const STRING: Dict = { type: "string" };

describe("isStrictSchema", () => {
  test.each<[string, Dict]>([
    ["an object without properties", { type: "object", additionalProperties: false }],
    ["an object that requires all it has", closed({ a: STRING, b: { type: ["integer", "null"] } })],
    [
      "objects in objects and arrays",
      closed({ a: { type: "array", items: closed({ b: STRING }) } }),
    ],
    ["alternatives inside", closed({ a: { anyOf: [STRING, closed({})], description: "either" } })],
    [
      "references, also to itself",
      { ...closed({ a: { $ref: "#/$defs/a" }, b: { $ref: "#" } }), $defs: { a: closed({}) } },
    ],
    ["limits", closed({ a: { type: "number", minimum: 0 }, b: { type: "string", pattern: "^a" } })],
    ["an enumeration", closed({ a: { type: "string", enum: ["b"], title: "c" } })],
  ])("takes %s", (_name, schema) => {
    expect(isStrictSchema(schema)).toBe(true);
  });

  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["anything", {}],
    ["what is no object", STRING],
    ["an object or null", { ...closed({}), type: ["object", "null"] }],
    ["alternatives at the root", { ...closed({}), anyOf: [closed({})] }],
    ["an object that is open", { type: "object", properties: {}, required: [] }],
    ["an object that is open on purpose", { ...closed({}), additionalProperties: true }],
    ["an optional property", { ...closed({ a: STRING, b: STRING }), required: ["a"] }],
    ["no required at all", { ...closed({ a: STRING }), required: undefined }],
    ["a required property that is not there", { ...closed({ a: STRING }), required: ["a", "b"] }],
    ["another one required instead", { ...closed({ a: STRING }), required: ["b"] }],
    ["a property that may be anything", closed({ a: {} })],
    ["a schema that is true", closed({ a: true })],
    ["an array of anything", closed({ a: { type: "array", items: {} } })],
    ["an array without items", closed({ a: { type: ["array", "null"] } })],
    ["an open object in an array", closed({ a: { type: "array", items: { type: "object" } } })],
    ["an open object among alternatives", closed({ a: { anyOf: [STRING, { type: "object" }] } })],
    ["no alternatives", closed({ a: { anyOf: [] } })],
    ["an open object in $defs", { ...closed({}), $defs: { a: { type: "object" } } }],
    ["a reference with company", closed({ a: { $ref: "#", description: "itself" } })],
    ["a keyword that is refused", closed({ a: { allOf: [STRING] } })],
    ["a keyword that nobody knows", closed({ a: { type: "string", "x-a": 1 } })],
  ])("does not take %s", (_name, schema) => {
    expect(isStrictSchema(schema)).toBe(false);
  });
});
