import { type Dict, dict, isDict } from "../wire/json.ts";

/** What a function without parameters takes. */
const NOTHING: Dict = { type: "object", properties: {} };

/**
 * The parameters of a function as the backend takes them: an object schema, every array in it with `items`, every
 * object with `properties`. What is right already comes back as the very same value.
 */
export function repairParameters(parameters: unknown): Dict {
  if (!isDict(parameters)) return NOTHING;
  const repaired = dict(repairSchema(parameters));
  const { type } = repaired;
  if (type === "object" || (type === undefined && COMBINED.some((key) => key in repaired))) {
    return repaired;
  }
  return { ...repaired, type: "object", properties: dict(repaired["properties"]) };
}

// A schema that is made of others need not say its type.
const COMBINED = ["$ref", "anyOf", "oneOf", "allOf"];

const SCHEMAS = ["items", "not", "if", "then", "else", "contains", "propertyNames"];
const OPEN_ENDS = [
  "additionalProperties",
  "unevaluatedProperties",
  "unevaluatedItems",
  "additionalItems",
];
const SCHEMA_LISTS = ["anyOf", "oneOf", "allOf", "prefixItems"];
const SCHEMA_MAPS = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/** A JSON Schema with what the backend misses in it; the very same value where nothing is missing. */
export function repairSchema(schema: unknown): unknown {
  if (!isDict(schema)) return schema;
  let repaired = schema;
  const set = (key: string, value: unknown): void => {
    if (repaired[key] !== value) repaired = { ...repaired, [key]: value };
  };
  for (const key of [...SCHEMAS, ...OPEN_ENDS]) {
    if (key in schema) set(key, repairSchema(schema[key]));
  }
  for (const key of SCHEMA_LISTS) if (Array.isArray(schema[key])) set(key, repairList(schema[key]));
  for (const key of SCHEMA_MAPS) if (isDict(schema[key])) set(key, repairMap(schema[key]));
  if (isOf(schema, "array") && !isSchema(schema["items"])) set("items", {});
  if (isOf(schema, "object") && !isDict(schema["properties"])) set("properties", {});
  return repaired;
}

function repairList(schemas: readonly unknown[]): readonly unknown[] {
  const repaired = schemas.map(repairSchema);
  return repaired.every((schema, at) => schema === schemas[at]) ? schemas : repaired;
}

function repairMap(schemas: Dict): Dict {
  let repaired = schemas;
  for (const [name, schema] of Object.entries(schemas)) {
    const mended = repairSchema(schema);
    if (mended !== schema) repaired = { ...repaired, [name]: mended };
  }
  return repaired;
}

function isOf({ type }: Dict, wanted: string): boolean {
  return type === wanted || (Array.isArray(type) && type.includes(wanted));
}

function isSchema(value: unknown): boolean {
  return isDict(value) || typeof value === "boolean";
}
