/** A member of a JSON object to be set: where it is, and its new value. Objects on the way must exist. */
export type Edit = {
  readonly path: readonly [string, ...string[]];
  readonly value: string | number | boolean | null;
};

type Span = { readonly start: number; readonly end: number };

/** One object in a JSON text: where its members' values are, and how its last member is laid out. */
type Members = {
  readonly values: ReadonlyMap<string, Span>;
  /** Where a further member goes: after the last value, or after the opening brace. */
  readonly end: number;
  /** The white space before the last key and after its colon. */
  readonly lead: string;
  readonly gap: string;
};

/**
 * Sets members of the object that `source` is, and leaves every other byte alone: order, layout, long numbers and
 * whatever else other tools keep in the file. `source` must be a valid JSON object.
 */
export function editJson(source: string, edits: readonly Edit[]): string {
  return edits.reduce(setMember, source);
}

function setMember(source: string, edit: Edit): string {
  let members = membersAt(source, source.indexOf("{"));
  for (const key of edit.path.slice(0, -1)) {
    const span = members.values.get(key);
    if (span === undefined) return source;
    members = membersAt(source, span.start);
  }
  const key = edit.path.at(-1) ?? "";
  const value = JSON.stringify(edit.value);
  const span = members.values.get(key);
  if (span !== undefined) return source.slice(0, span.start) + value + source.slice(span.end);
  const comma = members.values.size === 0 ? "" : ",";
  const member = `${comma}${members.lead}${JSON.stringify(key)}:${members.gap}${value}`;
  return source.slice(0, members.end) + member + source.slice(members.end);
}

type Token = Span & { readonly text: string };

const TOKEN = /"(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** The tokens of a valid JSON text from `start` on, one per call; at its end, closing braces for ever. */
function tokensFrom(source: string, start: number): () => Token {
  const scanner = new RegExp(TOKEN);
  scanner.lastIndex = start;
  return () => {
    const match = scanner.exec(source);
    if (match === null) return { text: "}", start: source.length, end: source.length };
    return { text: match[0], start: match.index, end: scanner.lastIndex };
  };
}

/** Reads the object whose brace is at `open`. A repeated key counts where it is last, as in JSON.parse. */
function membersAt(source: string, open: number): Members {
  const values = new Map<string, Span>();
  const next = tokensFrom(source, open + 1);
  let end = open + 1;
  let lead = "";
  let gap = "";
  for (let key = next(); key.text !== "}"; key = next()) {
    if (key.text === ",") continue;
    lead = /\s*$/.exec(source.slice(end, key.start))?.[0] ?? "";
    const colon = next();
    const first = next();
    gap = source.slice(colon.end, first.start);
    end = endOfValue(first, next);
    values.set(String(JSON.parse(key.text)), { start: first.start, end });
  }
  return { values, end, lead, gap };
}

function endOfValue(first: Token, next: () => Token): number {
  let depth = 0;
  for (let token = first; ; token = next()) {
    if (token.text === "{" || token.text === "[") depth++;
    if (token.text === "}" || token.text === "]") depth--;
    if (depth <= 0) return token.end;
  }
}
