import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler, type ValueError } from "@sinclair/typebox/compiler";
import { type Failure, refuse } from "../turn/failure.ts";
import { isDict } from "../wire/json.ts";

/** A check of what a client sent. */
export type Check<T> = {
  readonly fits: (value: unknown) => value is T;
  /** The first fault of a value that does not fit, told by its path: `messages[3].content[1].image_url.url`. */
  readonly fault: (value: unknown, path: string) => Failure;
};

/** A shape whose check is compiled when it is first needed, because a start must not wait for protocols nobody calls. */
export function shape<T extends TSchema>(schema: T): Check<Static<T>> {
  let compiled: TypeCheck<T> | undefined;
  const check = (): TypeCheck<T> => {
    compiled ??= TypeCompiler.Compile(schema);
    return compiled;
  };
  return {
    fits: (value): value is Static<T> => check().Check(value),
    fault: (value, path) => {
      const first = check().Errors(value).First();
      if (first === undefined) return refuseShape(path, "something else");
      const error = innermost(first);
      return refuseShape(join(path, error.path), wanted(error.schema), error.value === undefined);
    },
  };
}

/** What has the kind of one of several allowed things is at fault where it differs from that one, not as a whole. */
function innermost(error: ValueError): ValueError {
  for (const errors of error.errors) {
    const inner = errors.First();
    if (inner !== undefined && inner.path !== error.path) return innermost(inner);
  }
  return error;
}

/** The client's mistake at `path`: missing, or not what is allowed there. */
export function refuseShape(path: string, allowed: string, isMissing = false): Failure {
  return isMissing
    ? refuse(400, "missing_required_parameter", `'${path}' is missing: ${allowed}.`, path)
    : refuse(400, "invalid_type", `'${path}' must be ${allowed}.`, path);
}

/** `a.b` and `/0/c` as `a.b[0].c`. */
function join(path: string, pointer: string): string {
  let joined = path;
  for (const raw of pointer.split("/").slice(1)) {
    const word = raw.replaceAll("~1", "/").replaceAll("~0", "~");
    if (/^\d+$/.test(word)) joined += `[${word}]`;
    else joined += joined === "" ? word : `.${word}`;
  }
  return joined;
}

/** What a schema allows, in words: its description where it has one. */
function wanted(schema: TSchema): string {
  if (typeof schema.description === "string") return schema.description;
  if ("const" in schema) return JSON.stringify(schema["const"]);
  const options: unknown = schema["anyOf"];
  if (Array.isArray(options)) {
    return options.map((option) => (isDict(option) ? wantedOf(option) : "")).join(" or ");
  }
  return wantedOf(schema);
}

const WORDS: { readonly [type: string]: string } = {
  string: "a string",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  object: "an object",
  array: "a list",
  null: "null",
};

function wantedOf(schema: { readonly [key: string]: unknown }): string {
  if ("const" in schema) return JSON.stringify(schema["const"]);
  const { type, minimum, maximum } = schema;
  const word = WORDS[String(type)] ?? "something else";
  const from = typeof minimum === "number" ? ` of at least ${minimum}` : "";
  const to = typeof maximum === "number" ? ` of at most ${maximum}` : "";
  return `${word}${from}${to}`;
}
