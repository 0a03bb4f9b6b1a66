import { describe, expect, test } from "bun:test";
import { repairParameters, repairSchema } from "../../src/turn/repair.ts";
import type { Dict } from "../../src/wire/json.ts";

describe("repairSchema", () => {
  test("gives back the very same value where nothing is missing", () => {
    const schema = {
      type: "object",
      properties: { a: { type: ["array", "null"], items: { type: "string" } } },
      additionalProperties: false,
    };
    expect(repairSchema(schema)).toBe(schema);
  });

  test.each<[Dict, Dict]>([
    [{ type: "array" }, { type: "array", items: {} }],
    [{ type: ["array", "null"] }, { type: ["array", "null"], items: {} }],
    [
      { type: "array", items: null },
      { type: "array", items: {} },
    ],
    [{ type: "object" }, { type: "object", properties: {} }],
  ])("mends %p", (broken, mended) => {
    expect(repairSchema(broken)).toEqual(mended);
    for (const key of ["items", "not", "if", "then", "else", "additionalProperties"]) {
      expect(repairSchema({ [key]: broken })).toEqual({ [key]: mended });
    }
    for (const key of ["anyOf", "oneOf", "allOf", "prefixItems"]) {
      expect(repairSchema({ [key]: [broken] })).toEqual({ [key]: [mended] });
    }
    for (const key of ["properties", "patternProperties", "$defs", "definitions"]) {
      expect(repairSchema({ [key]: { a: broken } })).toEqual({ [key]: { a: mended } });
    }
  });
});

describe("repairParameters", () => {
  test.each([[undefined], [null], [[]], ["text"]])(
    "makes an empty object schema of %p",
    (nothing) => {
      expect(repairParameters(nothing)).toEqual({ type: "object", properties: {} });
    },
  );

  test("gives parameters without a type the only type that there is", () => {
    expect(repairParameters({ type: null })).toEqual({ type: "object", properties: {} });
    expect(repairParameters({ anyOf: [] })).toEqual({ anyOf: [] });
  });
});
