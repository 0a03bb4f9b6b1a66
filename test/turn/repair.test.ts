import { describe, expect, test } from "bun:test";
import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";
import fc from "fast-check";
import { repairParameters, repairSchema } from "../../src/turn/repair.ts";
import { type Dict, dict, isDict } from "../../src/wire/json.ts";
import { checkTurn } from "../support/backend/checks.ts";

const OPTIONS = { strict: false, validateFormats: false } as const;
const validator = new Ajv2020(OPTIONS);

/** Checks the schema against the schema of schemas, and makes a check of it; throws where either cannot be. */
function compile(schema: unknown, ajv: Pick<Ajv, "compile"> = validator) {
  return ajv.compile(typeof schema === "boolean" ? schema : dict(schema));
}

/**
 * What the validator makes of a value. It has faults of its own (ajv 8.20: a name that it never declared, under `oneOf`
 * with `items: true`; values that have a `toString`), and then it is no judge.
 */
function verdictOf(accepts: (value: unknown) => unknown, value: unknown) {
  try {
    return accepts(value) === true ? "accepted" : "refused";
  } catch {
    return "none";
  }
}

/** What the scripted backend says to a tool with these parameters. */
function backendRefusal(parameters: unknown) {
  const tools = [{ type: "function", name: "look", parameters }];
  const body = { store: false, stream: true, model: "m", input: [], tools };
  return checkTurn(body, { account: "a", knowsModel: () => true });
}

const NAMES = ["type", "items", "properties", "__proto__", "constructor", "a b"];

/** Values that look like broken schemas, in places where they are none. */
const data = fc.oneof(
  fc.constantFrom(null, [], { type: "array" }, { type: null }, [{ type: "object" }, null]),
  fc.jsonValue({ maxDepth: 2 }),
);

type Faults = {
  /** Arrays may lack `items`, objects `properties`. */
  readonly isBare?: boolean;
  /** Keywords may be null, empty, or in the form of an old draft. */
  readonly isBroken?: boolean;
  /** There may be keywords over which instances are accepted for ever, or otherwise once an array has `items`. */
  readonly hasReferences?: boolean;
};

/** Schemas nested in all the ways that there are. */
function schemas({ isBare = false, isBroken = false, hasReferences = false }: Faults) {
  const faulty = (arbitrary: fc.Arbitrary<unknown>, ...faults: unknown[]) =>
    isBroken
      ? fc.oneof({ weight: 4, arbitrary }, { weight: 1, arbitrary: fc.constantFrom(...faults) })
      : arbitrary;
  const { schema } = fc.letrec<{ schema: unknown }>((tie) => {
    const place = faulty(tie("schema"), null, []);
    const single = faulty(tie("schema"), null, []);
    const places = faulty(fc.array(place, { minLength: 1, maxLength: 2 }), null, []);
    const choice = fc.array(faulty(tie("schema"), null), { minLength: 1, maxLength: 3 });
    const choices = faulty(choice, null, []);
    const named = (...names: string[]) =>
      faulty(fc.dictionary(fc.constantFrom(...names), place, { maxKeys: 3 }), null, []);
    const count = faulty(fc.nat(3), null);
    const keywords: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
      const: data,
      default: data,
      enum: faulty(fc.array(data, { minLength: 1, maxLength: 2 }), null),
      examples: faulty(fc.array(data, { maxLength: 2 }), null),
      title: faulty(fc.string({ maxLength: 3 }), null),
      required: faulty(fc.uniqueArray(fc.constantFrom(...NAMES)), null),
      minItems: count,
      maxProperties: count,
      prefixItems: places,
      patternProperties: named("^x", "[0-9]$"),
      dependentSchemas: named(...NAMES),
      dependencies: faulty(fc.constant({ a: ["b"], c: { type: "string" } }), null),
      $defs: named("three"),
      definitions: named("four"),
      anyOf: choices,
      oneOf: choices,
      allOf: choices,
      additionalItems: single,
      contains: single,
      propertyNames: single,
      additionalProperties: single,
      not: single,
      if: single,
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: single,
      else: single,
      "x-unknown": data,
      ...(hasReferences
        ? {
            $ref: fc.constantFrom("#", "#/$defs/one", "#/$defs/two"),
            unevaluatedItems: single,
            unevaluatedProperties: single,
          }
        : {}),
    };
    const keyword = fc.oneof(
      ...Object.entries(keywords).map(([name, value]) =>
        value.map((held) => [name, held] as const),
      ),
    );
    const type = (...names: string[]) => {
      const lists = isBroken
        ? [
            [...names, null],
            ["null", null, ...names],
          ]
        : [];
      return fc.constantFrom<unknown>(names.length === 1 ? names[0] : names, names, ...lists);
    };
    const items = isBroken ? fc.oneof(single, places) : single;
    const properties = named(...NAMES);
    const forms = fc.oneof(
      fc.record({ type: faulty(fc.constantFrom("string", "integer", "null"), null, []) }),
      fc.record({ items, properties }, { requiredKeys: [] }),
      fc.record({ type: type("array"), items }, isBare ? { requiredKeys: ["type"] } : {}),
      fc.record({ type: type("object"), properties }, isBare ? { requiredKeys: ["type"] } : {}),
      fc.record({ type: type("object", "array", "null"), items, properties }),
    );
    return {
      schema: fc.oneof(
        { maxDepth: 4, depthSize: "medium" },
        fc.constantFrom(true, false, {}, { type: "string" }),
        fc
          .tuple(fc.array(keyword, { maxLength: 3 }), forms)
          .map(([some, form]) => ({ ...Object.fromEntries(some), ...form })),
      ),
    };
  });
  if (!hasReferences) return schema;
  return fc
    .record({ root: schema, one: schema, two: schema })
    .map(({ root, one, two }) =>
      isDict(root) ? { ...root, $defs: { ...dict(root["$defs"]), one, two } } : root,
    );
}

describe("any schema", () => {
  const broken = schemas({ isBare: true, isBroken: true, hasReferences: true });

  test("B4-8: that serializers broke is accepted by a validator and by the backend once it has been repaired", () => {
    fc.assert(
      fc.property(broken, (schema) => {
        const repaired = repairSchema(schema);
        compile(repaired);
        expect(backendRefusal(repaired)).toBeUndefined();
        const parameters = repairParameters(schema);
        compile(parameters);
        expect(backendRefusal(parameters)).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });

  test("B4-8: that is good already comes back as the very same value", () => {
    fc.assert(
      fc.property(schemas({ hasReferences: true }), (schema) => {
        compile(schema);
        expect(repairSchema(schema)).toBe(schema);
        const parameters = { type: "object", properties: { a: schema } };
        expect(repairParameters(parameters)).toBe(parameters);
      }),
      { numRuns: 500 },
    );
  });

  test("needs one repair only", () => {
    fc.assert(
      fc.property(broken, (schema) => {
        const repaired = repairSchema(schema);
        expect(repairSchema(repaired)).toBe(repaired);
        const parameters = repairParameters(schema);
        expect(repairParameters(parameters)).toBe(parameters);
      }),
      { numRuns: 1000 },
    );
  });

  test("is left as it was by its repair", () => {
    fc.assert(
      fc.property(broken, (schema) => {
        const before = JSON.stringify(schema);
        repairSchema(schema);
        expect(JSON.stringify(schema)).toBe(before);
      }),
    );
  });

  test("that lacks only what the backend wants accepts the same values once it has that", () => {
    const values = fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 10 });
    fc.assert(
      fc.property(schemas({ isBare: true }), values, (schema, some) => {
        const accepts = compile(schema);
        const acceptsRepaired = compile(repairSchema(schema));
        for (const value of [...some, [], {}, [1, "a"], { type: 1, items: [] }]) {
          const verdicts = [verdictOf(accepts, value), verdictOf(acceptsRepaired, value)];
          if (verdicts.includes("none")) continue;
          expect(verdicts[1]).toBe(verdicts[0]);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("repairSchema", () => {
  test.each<[string, unknown, unknown]>([
    ["an array without items", { type: "array" }, { type: "array", items: {} }],
    [
      "a nullable array without items",
      { type: ["array", "null"] },
      { type: ["array", "null"], items: {} },
    ],
    ["items that are null", { type: "array", items: null }, { type: "array", items: {} }],
    ["items that PHP wrote", { type: "array", items: [] }, { type: "array", items: {} }],
    ["an object without properties", { type: "object" }, { type: "object", properties: {} }],
    [
      "properties that are null",
      { type: "object", properties: null },
      { type: "object", properties: {} },
    ],
    [
      "properties that PHP wrote",
      { type: "object", properties: [] },
      { type: "object", properties: {} },
    ],
    [
      "the items of the items",
      { type: "array", items: { type: "array" } },
      { type: "array", items: { type: "array", items: {} } },
    ],
    ["a type that is null", { type: null, description: "anything" }, { description: "anything" }],
    ["null in a list of types", { type: ["string", null] }, { type: ["string", "null"] }],
    ["keywords that are null", { type: "string", enum: null, not: null }, { type: "string" }],
    [
      "a tuple of an old draft",
      { type: "array", items: [{ type: "array" }, true], additionalItems: false },
      { type: "array", items: false, prefixItems: [{ type: "array", items: {} }, true] },
    ],
    [
      "an open tuple of an old draft",
      { type: "array", items: [{ type: "string" }] },
      { type: "array", items: {}, prefixItems: [{ type: "string" }] },
    ],
    [
      "null among alternatives",
      { anyOf: [null, { type: "string" }] },
      { anyOf: [{ type: "string" }] },
    ],
    ["alternatives that are none", { anyOf: [null], oneOf: [], allOf: null }, {}],
    ["a list where a place was left open", { prefixItems: [null] }, { prefixItems: [{}] }],
    ["a property that is null", { properties: { a: null } }, { properties: { a: {} } }],
    [
      "old dependencies",
      { dependencies: { a: ["b"], c: { type: "array" } } },
      { dependencies: { a: ["b"], c: { type: "array", items: {} } } },
    ],
  ])("mends %s, wherever it stands", (_name, broken, mended) => {
    expect(repairSchema(broken)).toEqual(mended);
    for (const keyword of [
      "items",
      "not",
      "if",
      "then",
      "else",
      "contains",
      "additionalProperties",
    ]) {
      expect(repairSchema({ [keyword]: broken })).toEqual({ [keyword]: mended });
    }
    for (const keyword of ["anyOf", "oneOf", "allOf", "prefixItems"]) {
      expect(repairSchema({ [keyword]: [broken] })).toEqual({ [keyword]: [mended] });
    }
    for (const keyword of ["properties", "patternProperties", "$defs", "definitions"]) {
      expect(repairSchema({ [keyword]: { a: broken } })).toEqual({ [keyword]: { a: mended } });
    }
  });

  test.each<[string, unknown]>([
    ["enum", [{ type: "array" }, null]],
    ["const", { type: "array" }],
    ["const", null],
    ["default", { type: "object" }],
    ["default", null],
    ["examples", [{ type: null }]],
    ["x-origin", { type: "array", items: null }],
  ])("does not look into the data of '%s'", (keyword, value) => {
    const schema = { type: "object", properties: { a: { [keyword]: value } } };
    expect(repairSchema(schema)).toBe(schema);
  });

  test.each([[true], [false], [null], ["text"], [7]])("leaves %p alone", (schema) => {
    expect(repairSchema(schema)).toBe(schema);
  });

  test("gives a tuple of an old draft the same meaning in the new one", () => {
    const tuple = {
      type: "array",
      items: [{ type: "string" }],
      additionalItems: { type: "number" },
    };
    const before = compile(tuple, new Ajv(OPTIONS));
    const after = compile(repairSchema(tuple));
    const values = [[], ["a"], [1], ["a", 1], ["a", "b"], ["a", 1, 2]];
    expect(values.map((value) => after(value))).toEqual(values.map((value) => before(value)));
  });

  test("keeps a property that is called __proto__", () => {
    const schema: unknown = JSON.parse('{"properties":{"__proto__":{"type":"array"}}}');
    expect(JSON.stringify(repairSchema(schema))).toBe(
      '{"properties":{"__proto__":{"type":"array","items":{}}}}',
    );
  });
});

describe("repairParameters", () => {
  const none = { type: "object", properties: {} };

  test.each([[undefined], [null], [[]], [{}], [{ type: null }], [{ properties: null }]])(
    "B4-8: %p becomes parameters of a function without any",
    (parameters) => {
      expect(repairParameters(parameters)).toEqual(none);
      expect(backendRefusal(repairParameters(parameters))).toBeUndefined();
    },
  );

  test.each<[Dict, Dict]>([
    [{ type: ["object", "null"] }, none],
    [
      { properties: { a: { type: "array" } } },
      { type: "object", properties: { a: { type: "array", items: {} } } },
    ],
  ])("says of %p that it is an object", (parameters, repaired) => {
    expect(repairParameters(parameters)).toEqual(repaired);
  });

  test.each<[Dict]>([
    [{ $ref: "#/$defs/a", $defs: { a: none } }],
    [{ anyOf: [none, { type: "object", properties: { b: {} } }] }],
    [{ type: "string" }],
  ])("leaves %p as it is", (parameters) => {
    expect(repairParameters(parameters)).toBe(parameters);
  });
});
