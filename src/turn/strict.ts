import { type Dict, isDict, list } from "../wire/json.ts";

/**
 * Whether the backend would take a schema with `strict: true`: an object at its root, and everywhere in it only what
 * OpenAI's structured outputs allow. Objects forbid more properties and require all they have, arrays say what they hold,
 * and every schema says its type. A keyword that is not known to be allowed counts as refused, because a strict
 * schema that the backend refuses fails the whole request, and one that is not strict fails nothing. The limits on
 * nesting, sizes and enumerations are not looked at.
 */
export function isStrictSchema(schema: unknown): boolean {
  return isDict(schema) && schema["type"] === "object" && !("anyOf" in schema) && isStrict(schema);
}

// As OpenAI's guide to structured outputs lists them, and what its own SDKs send with `strict: true`.
const ALLOWED: ReadonlySet<string> = new Set([
  "$schema",
  "title",
  "description",
  "type",
  "enum",
  "const",
  "anyOf",
  "$ref",
  "$defs",
  "definitions",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "minItems",
  "maxItems",
  "pattern",
  "format",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "multipleOf",
]);

function isStrict(schema: unknown): boolean {
  if (!isDict(schema)) return false;
  const keywords = Object.keys(schema);
  // The backend wants a reference to stand alone: "$ref cannot have keywords {'description'}".
  if ("$ref" in schema) return keywords.length === 1 && typeof schema["$ref"] === "string";
  if (!keywords.every((keyword) => ALLOWED.has(keyword))) return false;
  if (!["$defs", "definitions"].every((keyword) => isStrictMap(schema[keyword]))) return false;
  if ("anyOf" in schema && !isStrictList(schema["anyOf"])) return false;
  const types = typesOf(schema);
  if (types.length === 0 && !("anyOf" in schema)) return false;
  if (types.includes("object") && !isClosed(schema)) return false;
  return !types.includes("array") || isStrict(schema["items"]);
}

function typesOf({ type }: Dict): readonly unknown[] {
  return typeof type === "string" ? [type] : list(type);
}

/** Whether an object allows what it names and nothing else, and requires all of it. */
function isClosed({ properties = {}, required, additionalProperties }: Dict): boolean {
  if (!isDict(properties) || additionalProperties !== false) return false;
  const demanded = new Set(list(required));
  const names = Object.keys(properties);
  return (
    demanded.size === names.length &&
    names.every((name) => demanded.has(name)) &&
    isStrictMap(properties)
  );
}

function isStrictMap(schemas: unknown): boolean {
  return schemas === undefined || (isDict(schemas) && Object.values(schemas).every(isStrict));
}

function isStrictList(schemas: unknown): boolean {
  return Array.isArray(schemas) && schemas.length > 0 && schemas.every(isStrict);
}
