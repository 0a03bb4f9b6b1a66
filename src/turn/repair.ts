import { type Dict, dict, isDict } from "../wire/json.ts";

/** What a function without parameters takes. */
const NOTHING: Dict = { type: "object", properties: {} };

// A schema that is made of others need not say its type.
const COMBINING = ["$ref", "anyOf", "oneOf", "allOf"];

/**
 * The parameters of a function as the backend takes them: the repaired schema of an object. What is right already
 * comes back as the very same value; so does the schema of something else than an object, which the backend then
 * refuses in its own words.
 */
export function repairParameters(parameters: unknown): Dict {
  if (!isDict(parameters)) return NOTHING;
  const repaired = dict(repairSchema(parameters));
  const { type } = repaired;
  const isCombined = COMBINING.some((keyword) => keyword in repaired);
  if (type === undefined ? isCombined : !allows(repaired, "object")) return repaired;
  if (type === "object") return repaired;
  // Arguments are always one object, so that is all that a list of types can mean here.
  return { ...repaired, type: "object", properties: repaired["properties"] ?? {} };
}

/** What a keyword of JSON Schema holds; `value` is all that is no schema and never null. */
export type Holding =
  | "schema"
  | "alternatives"
  | "places"
  | "named"
  | "dependencies"
  | "types"
  | "value";

// Draft 2020-12, and older keywords that clients still send. `const` and `default` may be null, so they are not here.
const HOLDINGS: readonly (readonly [Holding, string])[] = [
  ["schema", "items additionalItems unevaluatedItems contains additionalProperties propertyNames"],
  ["schema", "unevaluatedProperties not if then else contentSchema"],
  ["alternatives", "anyOf oneOf allOf"],
  ["places", "prefixItems"],
  ["named", "properties patternProperties dependentSchemas $defs definitions"],
  ["dependencies", "dependencies"],
  ["types", "type"],
  ["value", "enum examples required dependentRequired uniqueItems minItems maxItems minContains"],
  ["value", "maxContains minProperties maxProperties minLength maxLength pattern format"],
  ["value", "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf title description"],
  ["value", "deprecated readOnly writeOnly contentEncoding contentMediaType $comment"],
  ["value", "$id $schema $vocabulary $ref $anchor $dynamicRef $dynamicAnchor"],
];

/** The keywords that are known, and what each holds. */
export const KEYWORDS: ReadonlyMap<string, Holding> = new Map(
  HOLDINGS.flatMap(([holding, words]) => words.split(" ").map((word) => [word, holding] as const)),
);

/**
 * A JSON Schema (2020-12) without the faults that serializers leave in one: an array that does not say what it holds,
 * an object without `properties`, a keyword that is null (it counts as absent), PHP's `[]` for `{}`, and the tuples of
 * older drafts, which are a list in `items`. A schema without such a fault comes back as the very same value, data in
 * it (`enum`, `const`, `default`, `examples`) is not looked into, and what no rule covers is left for the backend to
 * refuse. A mended schema accepts all that it meant to accept. It accepts more where an `unevaluatedItems` applies to an
 * array that lacked `items`: the backend's demand for `items` cannot be met otherwise.
 */
export function repairSchema(schema: unknown): unknown {
  if (!isDict(schema)) return isEmptyList(schema) ? {} : schema;
  let repaired: { [keyword: string]: unknown } | undefined;
  for (const keyword of Object.keys(schema)) {
    const holding = KEYWORDS.get(keyword);
    if (holding === undefined) continue;
    const value = schema[keyword];
    const mended = value === null ? undefined : repairValue(holding, value);
    if (mended === value) continue;
    repaired ??= { ...schema };
    if (mended === undefined) delete repaired[keyword];
    else repaired[keyword] = mended;
  }
  return complete(repaired ?? schema);
}

/** What a keyword holds, repaired; undefined where nothing is left of it. */
function repairValue(holding: Holding, value: unknown): unknown {
  switch (holding) {
    case "schema":
      return isFilledList(value) ? repairList(value, repairPlace) : repairSchema(value);
    case "alternatives":
      return isFilledList(value) ? repairAlternatives(value) : unlessEmpty(value);
    case "places":
      return isFilledList(value) ? repairList(value, repairPlace) : unlessEmpty(value);
    case "named":
      if (isEmptyList(value)) return {};
      return isDict(value) ? repairNamed(value, repairPlace) : value;
    case "dependencies":
      return isDict(value) ? repairNamed(value, repairDependency) : value;
    case "types":
      return isFilledList(value) ? repairTypes(value) : unlessEmpty(value);
    case "value":
      return value;
  }
}

/** What the backend misses, once all that is inside has been repaired. */
function complete(schema: Dict): Dict {
  let completed = schema;
  if (isFilledList(schema["items"])) {
    const { items, additionalItems, ...rest } = schema;
    completed = {
      ...rest,
      prefixItems: rest["prefixItems"] ?? items,
      items: additionalItems ?? {},
    };
  }
  if (allows(schema, "array") && !("items" in completed)) completed = { ...completed, items: {} };
  if (allows(schema, "object") && !("properties" in completed)) {
    completed = { ...completed, properties: {} };
  }
  return completed;
}

/** A schema where one must be: nothing said is anything allowed. */
function repairPlace(schema: unknown): unknown {
  return schema === null ? {} : repairSchema(schema);
}

/** In the old `dependencies`, a list names properties, and is no schema. */
function repairDependency(dependency: unknown): unknown {
  return Array.isArray(dependency) ? dependency : repairPlace(dependency);
}

/** A null among alternatives is none: as a schema for anything it would make the others pointless. */
function repairAlternatives(schemas: readonly unknown[]): readonly unknown[] | undefined {
  const there = schemas.includes(null) ? schemas.filter((schema) => schema !== null) : schemas;
  return there.length === 0 ? undefined : repairList(there, repairSchema);
}

/** In a list of types, null can only mean the type of that name. */
function repairTypes(types: readonly unknown[]): readonly unknown[] {
  return types.includes(null) ? [...new Set(types.map((type) => type ?? "null"))] : types;
}

function repairList(
  schemas: readonly unknown[],
  repair: (schema: unknown) => unknown,
): readonly unknown[] {
  const repaired = schemas.map(repair);
  return repaired.every((schema, at) => schema === schemas[at]) ? schemas : repaired;
}

function repairNamed(schemas: Dict, repair: (schema: unknown) => unknown): Dict {
  const names = Object.keys(schemas);
  const repaired = names.map((name) => [name, repair(schemas[name])] as const);
  if (repaired.every(([name, schema]) => schema === schemas[name])) return schemas;
  // A property may be called `__proto__`; assigning that one would lose it.
  return Object.fromEntries(repaired);
}

function allows({ type }: Dict, wanted: string): boolean {
  return type === wanted || (Array.isArray(type) && type.includes(wanted));
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isFilledList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.length > 0;
}

function unlessEmpty(value: unknown): unknown {
  return isEmptyList(value) ? undefined : value;
}
