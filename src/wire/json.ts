/** Any JSON value. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** A JSON object whose values have not been looked at yet. */
export type Dict = { readonly [key: string]: unknown };

/** What became of a text that should be JSON. `message` names the position and never quotes the text. */
export type Parsed = { ok: true; value: unknown } | { ok: false; message: string };

/** Whether `value` is a JSON object: not null, not an array. */
export function isDict(value: unknown): value is Dict {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value` as an object, or an empty one: for reading optional nested fields without ladders of ifs. */
export function dict(value: unknown): Dict {
  return isDict(value) ? value : {};
}

/** `value` as a list, or an empty one. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** `value` as a string that is not blank, else undefined. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() !== "" ? value : undefined;
}

/** `value` as a finite number; a numeric string counts, because the backend sends some numbers so. */
export function number(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value !== "string" || value.trim() === "") return undefined;
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : undefined;
}

/** Parses JSON; a fault is told by line and column, without the text itself, which may be private. */
export function parseJson(source: string): Parsed {
  try {
    const value: unknown = JSON.parse(source);
    return { ok: true, value };
  } catch {
    return { ok: false, message: describeFault(source) };
  }
}

/** Parses JSON that is only of interest when it is an object. */
export function parseDict(source: string): Dict | undefined {
  const parsed = parseJson(source);
  return parsed.ok && isDict(parsed.value) ? parsed.value : undefined;
}

function describeFault(source: string): string {
  const offset = faultOffset(source);
  if (offset >= source.length) {
    return source.trim() === "" ? "it is empty" : "it ends too early";
  }
  const before = source.slice(0, offset);
  const line = before.split("\n").length;
  const column = offset - before.lastIndexOf("\n");
  return `it is broken at line ${line}, column ${column}`;
}

const TOKEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them inside strings
  /\s*(?:"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:])/y;

const VALUE = { "{": "first-key", "[": "first-value", string: "after", scalar: "after" };

/** JSON's grammar: what may come, by what came. `after` is refined by the innermost open bracket. */
const GRAMMAR: { readonly [state: string]: { readonly [token: string]: string } } = {
  value: VALUE,
  "first-value": { ...VALUE, "]": "after" },
  key: { string: "colon" },
  "first-key": { string: "colon", "}": "after" },
  colon: { ":": "value" },
  "after-{": { ",": "key", "}": "after" },
  "after-[": { ",": "value", "]": "after" },
  "after-": {},
};

/**
 * Offset of the first character that cannot continue a JSON text.
 * The runtime's own message has no position (Bun 1.4.5), so a small scanner finds it; it runs on broken input only.
 */
function faultOffset(source: string): number {
  const scanner = new RegExp(TOKEN);
  const open: string[] = [];
  let state = "value";
  while (scanner.lastIndex < source.length) {
    const from = scanner.lastIndex;
    const token = scanner.exec(source)?.[0].trim();
    const next = token === undefined ? undefined : GRAMMAR[state]?.[tokenClass(token)];
    if (next === undefined) return from + (/^\s*/.exec(source.slice(from))?.[0].length ?? 0);
    if (token === "{" || token === "[") open.push(token);
    if (token === "}" || token === "]") open.pop();
    state = next === "after" ? `after-${open.at(-1) ?? ""}` : next;
  }
  return source.length;
}

function tokenClass(token: string): string {
  if (token.startsWith('"')) return "string";
  return "{}[],:".includes(token) ? token : "scalar";
}

/** Whether `value`, which came out of a JSON parser or is built of such values, is JSON; it is looked at, not copied. */
export function isJson(value: unknown): value is Json {
  return value !== undefined && typeof value !== "function" && typeof value !== "symbol";
}
