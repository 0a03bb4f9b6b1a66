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

/** `object` without its null fields, for dialects in which null means "not given"; the same object where there are none. */
export function given(object: Dict): Dict {
  if (!Object.values(object).includes(null)) return object;
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
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
  const parsed = tryParse(source);
  return parsed.ok ? parsed : { ok: false, message: describeFault(source) };
}

/** Parses JSON that is only of interest when it is an object. */
export function parseDict(source: string): Dict | undefined {
  try {
    const value: unknown = JSON.parse(source);
    return isDict(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function tryParse(source: string): { ok: true; value: unknown } | { ok: false } {
  try {
    return { ok: true, value: JSON.parse(source) };
  } catch {
    return { ok: false };
  }
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

// JSON's tokens in pieces of one repeated class each: over megabytes JavaScriptCore gives up on a repeated group.
// `$` lets a number and a word be cut off at the end of the text.
const SPACE = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them inside strings
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const CUT_ESCAPE = /\\(?:u[0-9a-fA-F]{0,3})?$/y;
const SCALAR =
  /-$|-?(?:0|[1-9]\d*)(?:\.(?:\d+|$))?(?:[eE][+-]?(?:\d+|$))?|true|false|null|(?:t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?)$/y;

const VALUE = { "{": "first-key", "[": "first-value", string: "after", scalar: "after" };

const AFTER: { readonly [bracket: string]: string } = {
  "": "after-",
  "{": "after-{",
  "[": "after-[",
};

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
 * Offset of the first character that cannot continue a JSON text, its length when more should come. A broken number
 * or word is told by its beginning. The runtime's own message has no position (Bun 1.4.5); this runs on broken input only.
 */
function faultOffset(source: string): number {
  const open: string[] = [];
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const isThere = pattern.test(source);
    if (isThere) at = pattern.lastIndex;
    return isThere;
  };
  /** Moves behind the string that begins here, or to the place where it breaks. */
  const takeString = (): boolean => {
    at += 1;
    do take(PLAIN);
    while (take(ESCAPE));
    if (source[at] !== '"') {
      take(CUT_ESCAPE);
      return false;
    }
    at += 1;
    return true;
  };
  const takeToken = (kind: string): boolean => {
    if (kind === "string") return takeString();
    if (kind === "scalar") return take(SCALAR);
    if (kind === "{" || kind === "[") open.push(kind);
    if (kind === "}" || kind === "]") open.pop();
    at += 1;
    return true;
  };
  let state = "value";
  for (;;) {
    if (source.charCodeAt(at) <= 32) take(SPACE);
    if (at >= source.length) return at;
    const kind = tokenKind(source.charAt(at));
    const next = GRAMMAR[state]?.[kind];
    if (next === undefined || !takeToken(kind)) return at;
    state = next === "after" ? (AFTER[open.at(-1) ?? ""] ?? "") : next;
  }
}

function tokenKind(first: string): string {
  if (first === '"') return "string";
  return "{}[],:".includes(first) ? first : "scalar";
}

/** Whether `value`, which came out of a JSON parser or is built of such values, is JSON; it is looked at, not copied. */
export function isJson(value: unknown): value is Json {
  return !["undefined", "function", "symbol", "bigint"].includes(typeof value);
}
