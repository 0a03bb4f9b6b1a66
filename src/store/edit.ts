import type { Json } from "../wire/json.ts";

/** A member of a JSON object to be set: where it is, and its new value. */
export type Edit = {
  readonly path: readonly [string, ...string[]];
  readonly value: Json;
  /** Whether objects on the way that are missing are made; otherwise nothing is changed where one is. */
  readonly makesWay?: boolean;
};

type Span = { readonly start: number; readonly end: number };

/** One object in a JSON text: where its members' values are, and how its last member is laid out. */
type Members = {
  readonly values: ReadonlyMap<string, Span>;
  /** Where a further member goes: after the last value or the comma behind it, or after the opening brace. */
  readonly end: number;
  /** Whether a comma is what stands before `end`, as it may at the end of an object with comments. */
  readonly hasComma: boolean;
  /** The white space before the last key and after its colon. */
  readonly lead: string;
  readonly gap: string;
};

/**
 * Sets members of the object that `source` is, and leaves every other byte alone: order, layout, long numbers and
 * whatever else other tools keep in the file. `source` must be a valid JSON object; comments and a comma behind the
 * last member are taken, too.
 */
export function editJson(source: string, edits: readonly Edit[]): string {
  return edits.reduce(setMember, source);
}

function setMember(source: string, { path, value, makesWay = false }: Edit): string {
  let members = membersAt(source, tokensFrom(source, 0)().start);
  for (const [depth, key] of path.entries()) {
    const span = members.values.get(key);
    const rest = path.slice(depth + 1);
    if (span === undefined) {
      if (rest.length > 0 && !makesWay) return source;
      const inner = rest.reduceRight<Json>((content, name) => ({ [name]: content }), value);
      return withMember(source, members, { key, value: inner, depth, isLaidOut: makesWay });
    }
    if (rest.length === 0) {
      const lead = indentBefore(source, span.start);
      return source.slice(0, span.start) + written(value, lead, source) + source.slice(span.end);
    }
    if (source[span.start] !== "{") return source;
    members = membersAt(source, span.start);
  }
  return source;
}

type Member = {
  readonly key: string;
  readonly value: Json;
  readonly depth: number;
  /** Whether the first member of an object gets a line of its own. */
  readonly isLaidOut: boolean;
};

function withMember(source: string, members: Members, member: Member): string {
  const { key, value, depth, isLaidOut } = member;
  const name = JSON.stringify(key);
  const { end, lead, gap, hasComma } = members;
  const unit = unitOf(source);
  const line = eolOf(source);
  const inside = line + unit.repeat(depth + 1);
  if (members.values.size > 0) {
    const at = behindRemark(source, end);
    const remark = source.slice(end, at);
    const start = remark.includes("//") && !lead.includes("\n") ? inside : lead;
    const text = `${start}${name}:${gap}${written(value, lastLine(start), source)}`;
    return source.slice(0, end) + (hasComma ? "" : ",") + remark + text + source.slice(at);
  }
  const text = isLaidOut
    ? `${inside}${name}: ${written(value, inside, source)}${line}${unit.repeat(depth)}`
    : `${name}:${written(value, "", source)}`;
  return source.slice(0, end) + text + source.slice(isLaidOut ? behindBlanks(source, end) : end);
}

/** A value as text; an object gets lines of its own where `lead`, the line break and indent before it, has a break. */
function written(value: Json, lead: string, source: string): string {
  if (!lead.includes("\n")) return JSON.stringify(value);
  return JSON.stringify(value, null, unitOf(source)).replaceAll("\n", lead);
}

/** The line break and the indent of the line in which `at` is; "" on the first one. */
function indentBefore(source: string, at: number): string {
  const start = source.lastIndexOf("\n", at - 1);
  if (start < 0) return "";
  const indent = /^[ \t]*/.exec(source.slice(start + 1, at))?.[0] ?? "";
  return eolOf(source) + indent;
}

/** How the file indents. */
function unitOf(source: string): string {
  return /\n([ \t]+)"/.exec(source)?.[1] ?? "  ";
}

function lastLine(lead: string): string {
  return /\r?\n[^\n]*$/.exec(lead)?.[0] ?? lead;
}

function eolOf(source: string): string {
  return source.includes("\r\n") ? "\r\n" : "\n";
}

/** Behind a comment that stands on the same line and so speaks of what is before it. */
function behindRemark(source: string, at: number): number {
  const rest = source.slice(at);
  const remark = /^[ \t]*(?:\/\/[^\r\n]*|\/\*[^\r\n]*?\*\/)/.exec(rest);
  return at + (remark?.[0].length ?? 0);
}

function behindBlanks(source: string, at: number): number {
  const blanks = /^\s*(?=\})/.exec(source.slice(at));
  return at + (blanks?.[0].length ?? 0);
}

type Token = Span & { readonly text: string };

const TOKEN = /\/\/[^\r\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s{}[\],:"/]+/g;

/** The tokens of a valid JSON text from `start` on, comments apart, one per call; at its end, closing braces for ever. */
function tokensFrom(source: string, start: number): () => Token {
  const scanner = new RegExp(TOKEN);
  scanner.lastIndex = start;
  return () => {
    let match = scanner.exec(source);
    while (match?.[0].startsWith("/") === true) match = scanner.exec(source);
    if (match === null) return { text: "}", start: source.length, end: source.length };
    return { text: match[0], start: match.index, end: scanner.lastIndex };
  };
}

/** Reads the object whose brace is at `open`. A repeated key counts where it is last, as in JSON.parse. */
function membersAt(source: string, open: number): Members {
  const values = new Map<string, Span>();
  const next = tokensFrom(source, open + 1);
  let end = open + 1;
  let hasComma = false;
  let lead = "";
  let gap = "";
  for (let key = next(); key.text !== "}"; key = next()) {
    if (key.text === ",") {
      hasComma = true;
      end = key.end;
      continue;
    }
    const between = source.slice(end, key.start);
    const blanks = /\s*$/.exec(between)?.[0] ?? "";
    // A comment before the key, on its line, is not laid out anew.
    const isBehindComment = between.includes("\n") && !blanks.includes("\n");
    lead = isBehindComment ? indentBefore(source, key.start) : blanks;
    const colon = next();
    const first = next();
    gap = source.slice(colon.end, first.start);
    end = endOfValue(first, next);
    hasComma = false;
    values.set(String(JSON.parse(key.text)), { start: first.start, end });
  }
  return { values, end, hasComma, lead, gap };
}

function endOfValue(first: Token, next: () => Token): number {
  let depth = 0;
  for (let token = first; ; token = next()) {
    if (token.text === "{" || token.text === "[") depth++;
    if (token.text === "}" || token.text === "]") depth--;
    if (depth <= 0) return token.end;
  }
}
