import { isDeepStrictEqual } from "node:util";
import { platform } from "#platform";
import { type Dict, dict, isDict } from "../../wire/json.ts";
import { type Edited, eolOf } from "./recipe.ts";

/** Values as these files need them. */
export type Plain = { readonly [key: string]: string | boolean };

/** What a TOML file shall say. */
export type TomlWish = {
  /** Keys of the file itself, before all tables. */
  readonly top: Plain;
  /** The path of a table, and what stands in it. */
  readonly table: readonly string[];
  readonly values: Plain;
  /** Keys of that table that would contradict `values`, and go. Others are its owner's, and stay. */
  readonly drop: readonly string[];
};

/**
 * The file with these keys set and every other byte as it was: comments, order, line ends. What comes of it is read
 * again and compared with what it should say, so that a way of writing that this does not understand changes nothing.
 */
export function editToml(source: string, wish: TomlWish): Edited {
  const before = parse(source);
  if (before === undefined) return { ok: false, reason: "it is not valid TOML as it is" };
  const content = withTable(withTop(source, wish), wish);
  const after = parse(content);
  const isAsMeant = after !== undefined && isDeepStrictEqual(after, meant(before, wish));
  return isAsMeant ? { ok: true, content } : { ok: false, reason: UNUSUAL };
}

const UNUSUAL = "it sets the same things in a way that cannot be changed without touching the rest";

/** The wish as a text of its own, to be pasted or for a new file. */
export function tomlText({ top, table, values }: TomlWish): string {
  return `${linesOf(top).join("\n")}\n\n[${table.map(keyText).join(".")}]\n${linesOf(values).join("\n")}\n`;
}

function parse(source: string): Dict | undefined {
  try {
    return dict(platform.parseToml(source));
  } catch {
    return undefined;
  }
}

/** What the file should say afterwards. */
function meant(before: Dict, { top, table, values, drop }: TomlWish): Dict {
  const within = (value: unknown, path: readonly string[]): Dict => {
    const [name, ...rest] = path;
    if (name !== undefined) return { ...dict(value), [name]: within(dict(value)[name], rest) };
    const kept = Object.entries(dict(value)).filter(([key]) => !drop.includes(key));
    return { ...Object.fromEntries(kept), ...values };
  };
  return { ...within(before, table), ...top };
}

function withTop(source: string, { top }: TomlWish): string {
  return Object.entries(top).reduce((text, [key, value]) => {
    const statements = read(text);
    const first = statements.findIndex(({ kind }) => kind !== "pair");
    const pairs = statements.slice(0, first < 0 ? undefined : first).filter(isPair);
    const there = pairs.find(({ path }) => isSame(path, [key]));
    if (there !== undefined) return replace(text, there.value, valueText(value));
    const line = `${keyText(key)} = ${valueText(value)}`;
    const last = pairs.at(-1);
    if (last !== undefined) return insertLine(text, last.end, line);
    const table = statements[0];
    // Before the first table and the comments that belong to it, or where there is nothing yet.
    const at = table === undefined ? text.length : startOfRemarks(text, table.start);
    return insertLine(text, at, table === undefined ? line : `${line}${eolOf(text)}`);
  }, source);
}

function withTable(source: string, { table, values, drop }: TomlWish): string {
  const header = tableIn(read(source), table);
  if (header === undefined) {
    const eol = eolOf(source);
    const text = [`[${table.map(keyText).join(".")}]`, ...linesOf(values)].join(eol);
    const end = source === "" || source.endsWith("\n") ? source : `${source}${eol}`;
    return `${end}${end.trim() === "" ? "" : eol}${text}${eol}`;
  }
  const dropped = drop.reduce((text, key) => {
    const pair = pairIn(text, table, key);
    return pair === undefined ? text : text.slice(0, pair.start) + text.slice(pair.end);
  }, source);
  return Object.entries(values).reduce((text, [key, value]) => {
    const there = pairIn(text, table, key);
    if (there !== undefined) return replace(text, there.value, valueText(value));
    const end = lastIn(text, table)?.end ?? text.length;
    return insertLine(text, end, `${keyText(key)} = ${valueText(value)}`);
  }, dropped);
}

function pairIn(source: string, table: readonly string[], key: string): Pair | undefined {
  return statementsIn(source, table)
    .filter(isPair)
    .find(({ path }) => isSame(path, [key]));
}

function lastIn(source: string, table: readonly string[]): Statement | undefined {
  return statementsIn(source, table).at(-1);
}

/** A table's header and what stands in it. */
function statementsIn(source: string, table: readonly string[]): readonly Statement[] {
  const statements = read(source);
  const header = tableIn(statements, table);
  if (header === undefined) return [];
  const [, ...after] = statements.slice(statements.indexOf(header));
  const next = after.findIndex((statement) => !isPair(statement));
  return [header, ...after.slice(0, next < 0 ? undefined : next)];
}

function tableIn(statements: readonly Statement[], path: readonly string[]) {
  return statements.find((statement) => statement.kind === "table" && isSame(statement.path, path));
}

function insertLine(text: string, at: number, line: string): string {
  const eol = eolOf(text);
  const before = text.slice(0, at);
  const open = before === "" || before === BOM || before.endsWith("\n") ? "" : eol;
  return `${before}${open}${line}${eol}${text.slice(at)}`;
}

function replace(text: string, { start, end }: Span, value: string): string {
  return text.slice(0, start) + value + text.slice(end);
}

/** Where the comment lines begin that stand directly before `at`. */
function startOfRemarks(text: string, at: number): number {
  const remarks = /(?:^[ \t]*#[^\n]*\n)+(?![\s\S])/m.exec(text.slice(0, at));
  return remarks === null ? at : remarks.index;
}

function linesOf(values: Plain): string[] {
  return Object.entries(values).map(([key, value]) => `${keyText(key)} = ${valueText(value)}`);
}

function keyText(key: string): string {
  return /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
}

// A JSON string is a basic string of TOML, too, as long as it has no DEL.
function valueText(value: string | boolean): string {
  return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
}

type Span = { readonly start: number; readonly end: number };

type Pair = Span & {
  readonly kind: "pair";
  readonly path: readonly string[];
  readonly value: Span;
};

/** A statement with its whole line or lines; blank lines and comments are none. */
type Statement =
  | Pair
  | (Span & { readonly kind: "table" | "list"; readonly path: readonly string[] });

function isPair(statement: Statement): statement is Pair {
  return statement.kind === "pair";
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, index) => part === other[index]);
}

const BOM = "\ufeff";

/** The statements of a valid TOML text. */
function read(source: string): readonly Statement[] {
  const statements: Statement[] = [];
  let at = source.startsWith(BOM) ? 1 : 0;
  while (at < source.length) {
    const blank = /[ \t]*(?:#[^\n]*)?(?:\r?\n|$)/y;
    blank.lastIndex = at;
    if (blank.test(source)) {
      if (blank.lastIndex === at) break;
      at = blank.lastIndex;
      continue;
    }
    const statement = readStatement(source, at);
    statements.push(statement);
    at = statement.end;
  }
  return statements;
}

function readStatement(source: string, start: number): Statement {
  const first = start + (/^[ \t]*/.exec(source.slice(start))?.[0].length ?? 0);
  if (source[first] === "[") {
    const isList = source[first + 1] === "[";
    const close = endOf(source, first, "\n", false);
    const header = source.slice(first, close);
    const path = pathOf(header.replace(/^\[+|\]+\s*$/g, ""));
    return { kind: isList ? "list" : "table", path, start, end: endOfLine(source, close) };
  }
  const equals = endOf(source, first, "=", false);
  const from = equals + 1 + (/^[ \t]*/.exec(source.slice(equals + 1))?.[0].length ?? 0);
  const close = endOf(source, from, "\n", true);
  const value = { start: from, end: from + source.slice(from, close).trimEnd().length };
  const path = pathOf(source.slice(first, equals));
  return { kind: "pair", path, value, start, end: endOfLine(source, close) };
}

/** Where `what`, or a comment, comes first outside of strings and, where `inBrackets` counts, of brackets. */
function endOf(source: string, start: number, what: string, inBrackets: boolean): number {
  let depth = 0;
  for (let at = start; at < source.length; at++) {
    const char = source.charAt(at);
    if (char === '"' || char === "'") at = endOfString(source, at) - 1;
    else if (inBrackets && "[{".includes(char)) depth++;
    else if (inBrackets && "]}".includes(char)) depth--;
    else if (char === "#" && depth === 0) return at;
    else if (char === "#") at = endOfLine(source, at) - 1;
    else if (char === what && depth === 0) return at;
  }
  return source.length;
}

function endOfLine(source: string, at: number): number {
  const end = source.indexOf("\n", at);
  return end < 0 ? source.length : end + 1;
}

// Quotes right before the closing three belong to the string.
const STRINGS = [
  /"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}/y,
  /'''(?:[^']|'(?!''))*'{3,5}/y,
  /"(?:[^"\\\n]|\\.)*"/y,
  /'[^'\n]*'/y,
];

function endOfString(source: string, start: number): number {
  for (const pattern of STRINGS) {
    pattern.lastIndex = start;
    if (pattern.test(source)) return pattern.lastIndex;
  }
  return start + 1;
}

/** The parts of a key such as `a."b.c"`, by the parser itself. */
function pathOf(key: string): readonly string[] {
  const path: string[] = [];
  let value: unknown = parse(`${key} = 0`);
  while (isDict(value)) {
    const [name, inner] = Object.entries(value)[0] ?? [""];
    path.push(name);
    value = inner;
  }
  return path;
}
