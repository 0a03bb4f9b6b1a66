// Its main file asks for its parts in a way that no bundler follows.
import { type ParseError, parse, printParseErrorCode } from "jsonc-parser/lib/esm/main.js";
import { parse as parseText } from "smol-toml";

/** TOML; its tables are objects like any other. @throws where the text is none */
export function parseToml(text: string): unknown {
  return plain(parseText(text));
}

/** With the usual prototype in place of none, so that what is read equals what is written in code. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  const isTable =
    typeof value === "object" && value !== null && Object.getPrototypeOf(value) === null;
  if (!isTable) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** JSON with comments and trailing commas. @throws where the text is none */
export function parseJsonc(text: string): unknown {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (first !== undefined) {
    throw new SyntaxError(`${printParseErrorCode(first.error)} at ${first.offset}`);
  }
  return value;
}
