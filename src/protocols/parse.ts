import { type Failure, refuse } from "../turn/failure.ts";
import { type Dict, dict, isDict, parseJson } from "../wire/json.ts";

const decoder = new TextDecoder();

// Deeper than any request is meant, and shallow enough for functions that call themselves.
const DEEPEST = 256;

/** What a client sent as a JSON object, or the client's mistake. */
export type ParsedBody =
  | { readonly ok: true; readonly body: Dict }
  | { readonly ok: false; readonly failure: Failure };

/** Parses a request's body: one JSON object, not nested beyond reason. */
export function parseBody(bytes: Uint8Array): ParsedBody {
  return parseObject(decoder.decode(bytes), "The request body");
}

/** Parses one JSON object, not nested beyond reason; `what` begins the sentence that tells a mistake. */
export function parseObject(text: string, what: string): ParsedBody {
  const parsed = parseJson(text);
  if (!parsed.ok) return refused("invalid_json", `${what} is no JSON: ${parsed.message}.`);
  const { value } = parsed;
  if (!isDict(value)) return refused("invalid_type", `${what} must be a JSON object.`);
  const deep = Object.keys(value).find((key) => isDeeper(value[key], DEEPEST - 1));
  if (deep === undefined) return { ok: true, body: value };
  const message = `'${deep}' is nested more than ${DEEPEST} levels deep.`;
  return refused("nested_too_deeply", message, deep);
}

function refused(code: string, message: string, param?: string): ParsedBody {
  return { ok: false, failure: refuse(400, code, message, param) };
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.some((each) => isDeeper(each, levels - 1));
  // Neither lists of names nor of values are made for this: every request is gone through.
  const inner = dict(value);
  for (const name in inner) if (isDeeper(inner[name], levels - 1)) return true;
  return false;
}
