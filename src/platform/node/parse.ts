// Its main file asks for its parts in a way that no bundler follows.
import { type ParseError, parse, printParseErrorCode } from "jsonc-parser/lib/esm/main.js";

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
