import { type Failure, refuse } from "../turn/failure.ts";
import { type Holding, KEYWORDS } from "../turn/repair.ts";
import { isDict, list } from "../wire/json.ts";
import { refuseShape } from "./schema.ts";

/**
 * The client's mistake in what a function takes, told by its path: a schema that is none, or one of something else than
 * an object. The backend refuses both, but by paths that the client does not know.
 */
export function findParametersFault(parameters: unknown, path: string): Failure | undefined {
  const fault = findSchemaFault(parameters, path);
  if (fault !== undefined || !isDict(parameters)) return fault;
  const { type } = parameters;
  const types = typeof type === "string" ? [type] : list(type);
  if (types.length === 0 || types.includes("object")) return undefined;
  const param = `${path}.type`;
  const message = `'${param}' must be "object": what a function takes is an object.`;
  return refuse(400, "invalid_function_parameters", message, param);
}

/**
 * The first place of a JSON Schema (2020-12) that could not be one: a schema that is a word or a number, a type that
 * does not exist, a `required` that names nothing. What `repairSchema` mends is no fault, and neither is a bound
 * or a note of a wrong type, which the backend may overlook.
 */
export function findSchemaFault(schema: unknown, path: string): Failure | undefined {
  if (typeof schema === "boolean" || isNothing(schema)) return undefined;
  if (!isDict(schema)) return refuseShape(path, "a JSON Schema");
  for (const [keyword, value] of Object.entries(schema)) {
    const holding = KEYWORDS.get(keyword);
    if (holding === undefined || value === null) continue;
    const fault = findValueFault({ keyword, holding }, value, `${path}.${keyword}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

type Place = { readonly keyword: string; readonly holding: Holding };

function findValueFault(
  { keyword, holding }: Place,
  value: unknown,
  path: string,
): Failure | undefined {
  switch (holding) {
    case "schema":
      // A list in `items` is a tuple of older drafts.
      if (keyword === "items" && Array.isArray(value)) return findListFault(value, path);
      return findSchemaFault(value, path);
    case "alternatives":
    case "places":
      if (Array.isArray(value)) return findListFault(value, path);
      return refuseShape(path, "a list of JSON Schemas");
    case "named":
    case "dependencies":
      return findNamedFault(value, path, holding === "dependencies");
    case "types": {
      const types = Array.isArray(value) ? value : [value];
      if (types.every((type) => type === null || TYPES.has(type))) return undefined;
      return refuseShape(path, 'one or several of JSON Schema\'s types, such as "string"');
    }
    case "value":
      if (keyword === "required") return findRequiredFault(value, path);
      if (keyword !== "enum" || Array.isArray(value)) return undefined;
      return refuseShape(path, "a list of values");
  }
}

const TYPES: ReadonlySet<unknown> = new Set([
  "string",
  "number",
  "integer",
  "boolean",
  "object",
  "array",
  "null",
]);

/** Null, and PHP's `[]` for `{}`. */
function isNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}

function findListFault(schemas: readonly unknown[], path: string): Failure | undefined {
  for (const [at, schema] of schemas.entries()) {
    const fault = findSchemaFault(schema, `${path}[${at}]`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function findNamedFault(schemas: unknown, path: string, mayBeNames: boolean): Failure | undefined {
  if (isNothing(schemas)) return undefined;
  if (!isDict(schemas)) return refuseShape(path, "an object of JSON Schemas");
  for (const [name, schema] of Object.entries(schemas)) {
    if (mayBeNames && Array.isArray(schema)) continue;
    const fault = findSchemaFault(schema, `${path}.${name}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function findRequiredFault(required: unknown, path: string): Failure | undefined {
  if (!Array.isArray(required)) return refuseShape(path, "a list of names");
  const stray = required.findIndex((name) => typeof name !== "string");
  return stray < 0 ? undefined : refuseShape(`${path}[${stray}]`, "a name");
}
