import { describe, expect, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020.js";
import fc from "fast-check";
import { findParametersFault, findSchemaFault } from "../../src/protocols/json-schema.ts";
import { repairSchema } from "../../src/turn/repair.ts";
import { type Dict, isDict } from "../../src/wire/json.ts";

const ajv = new Ajv2020({ strict: false, validateFormats: false });

/** Whether the schema of schemas, which is its owner's word, takes a schema. */
function isSchema(schema: unknown): boolean {
  return (typeof schema === "boolean" || isDict(schema)) && ajv.validateSchema(schema) === true;
}

// Not `prefixItems`: where that is there too, a faulty tuple in `items` is refused, and repair would leave it out.
const KEYWORDS = [
  ..."type items properties required enum anyOf allOf oneOf not additionalProperties".split(" "),
  ..."$defs patternProperties dependentSchemas if const default description x-mine".split(" "),
];

/** Schemas and what only looks like one. */
const { any: wild } = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom<unknown>(null, true, 1, "string", "text", [], ["string"], ["string", null]),
    fc.dictionary(fc.constantFrom(...KEYWORDS), tie("any"), { maxKeys: 4 }),
    fc.array(tie("any"), { maxLength: 2 }),
  ),
}));

describe("a schema", () => {
  test("that is refused is none, even when it has been repaired", () => {
    let refused = 0;
    fc.assert(
      fc.property(wild, (schema) => {
        if (findSchemaFault(schema, "s") === undefined) return;
        refused += 1;
        expect(isSchema(repairSchema(schema))).toBe(false);
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(200);
  });

  const faults: [schema: unknown, param: string][] = [
    ["string", "s"],
    [{ type: "text" }, "s.type"],
    [{ type: ["string", 1] }, "s.type"],
    [{ properties: "a" }, "s.properties"],
    [{ properties: { a: "string" } }, "s.properties.a"],
    [{ properties: { a: { type: "int" } } }, "s.properties.a.type"],
    [{ properties: { a: { type: "string", required: true } } }, "s.properties.a.required"],
    [{ required: "a" }, "s.required"],
    [{ required: ["a", 1] }, "s.required[1]"],
    [{ enum: "a" }, "s.enum"],
    [{ items: "string" }, "s.items"],
    [{ items: [{ type: "string" }, 7] }, "s.items[1]"],
    [{ additionalProperties: "no" }, "s.additionalProperties"],
    [{ prefixItems: [{}, "string"] }, "s.prefixItems[1]"],
    [{ anyOf: {} }, "s.anyOf"],
    [{ anyOf: [{ type: "null" }, { not: 1 }] }, "s.anyOf[1].not"],
    [{ $defs: { a: { items: { type: "float" } } } }, "s.$defs.a.items.type"],
    [{ dependencies: { a: 1 } }, "s.dependencies.a"],
  ];
  test.each(faults)("%j is refused at %s", (schema, param) => {
    expect(findSchemaFault(schema, "s")).toMatchObject({ status: 400, param });
  });

  const sound: [schema: unknown][] = [
    [undefined],
    [{}],
    [true],
    [{ type: null, properties: [], required: null, items: null }],
    [{ type: ["string", null] }],
    [{ items: [{ type: "string" }], additionalItems: false }],
    [{ dependencies: { a: ["b"], c: { type: "object" } } }],
    [{ enum: ["string", 1, null], const: "x", default: { type: "text" } }],
    [{ minimum: "1", description: 1, "x-mine": { type: "text" } }],
  ];
  test.each(sound)("%j is not", (schema) => {
    expect(findSchemaFault(schema, "s")).toBeUndefined();
  });
});

describe("parameters", () => {
  const rows: [parameters: Dict, param: string | undefined][] = [
    [{ type: "array" }, "p.type"],
    [{ type: ["string", "null"] }, "p.type"],
    [{ type: "object", properties: { a: 1 } }, "p.properties.a"],
    [{ type: ["object", "null"] }, undefined],
    [{ anyOf: [{ type: "object" }] }, undefined],
    [{ type: null }, undefined],
    [{}, undefined],
  ];
  test.each(rows)("%j have their fault at %p", (parameters, param) => {
    expect(findParametersFault(parameters, "p")?.param).toBe(param);
  });
});
