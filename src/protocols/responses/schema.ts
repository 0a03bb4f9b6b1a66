import { type TSchema, Type } from "@sinclair/typebox";
import { type Check, shape } from "../schema.ts";

/** A shape of whatever. */
export type AnyShape = Check<unknown>;

const some = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
const text = Type.String();
const flag = Type.Boolean();
const object = Type.Object({});
// What is in a list has shapes of its own, so that a fault is told by its full path.
const anyList = Type.Array(Type.Unknown());

/** A request's own fields; those that are taken out of it are not looked at, and `input` has shapes of its own. */
export const REQUEST = shape(
  Type.Object({
    instructions: some(text),
    store: some(flag),
    tools: some(anyList),
    tool_choice: Type.Optional(Type.Union([text, object, Type.Null()])),
    parallel_tool_calls: some(flag),
    reasoning: some(object),
    text: some(object),
    include: some(anyList),
    service_tier: some(text),
    prompt_cache_key: some(text),
    session_id: some(text),
    client_metadata: some(object),
  }),
);

/** An entry of `include`. */
export const INCLUDE = shape(text);

/** `reasoning`. */
export const REASONING = shape(Type.Object({ effort: some(text), summary: some(text) }));

/** `text`: how the answer should look. */
export const TEXT = shape(Type.Object({ verbosity: some(text), format: some(object) }));

/** `text.format`, by its type. */
export const FORMATS: ReadonlyMap<unknown, AnyShape> = new Map<unknown, AnyShape>([
  ["json_schema", shape(Type.Object({ name: text, schema: object, strict: some(flag) }))],
]);

const name = Type.String({ minLength: 1, description: "a name" });

const FUNCTION = {
  name,
  description: some(text),
  parameters: some(object),
  strict: some(flag),
};

/** A function in the form of Chat Completions. */
export const CHAT_FUNCTION = shape(Type.Object({ function: Type.Object(FUNCTION) }));

/** Tools by their type; of others only that they have one is known. */
export const TOOLS: ReadonlyMap<unknown, AnyShape> = new Map<unknown, AnyShape>([
  ["function", shape(Type.Object(FUNCTION))],
  ["custom", shape(Type.Object({ name, description: some(text), format: some(object) }))],
  ["namespace", shape(Type.Object({ name, tools: anyList }))],
]);

/** Anything that says what it is. */
export const TYPED = shape(
  Type.Object({ type: Type.String({ description: "a word for what this is" }) }),
);

const id = some(text);
const textOrParts = Type.Union([text, anyList], { description: "a string or a list of parts" });
const calling = { id, call_id: text, name: text };
const answering = { id, call_id: text, output: textOrParts };

/** Input items by their type; an unknown one goes through as it is. */
export const ITEMS: ReadonlyMap<unknown, AnyShape> = new Map<unknown, AnyShape>([
  [
    "message",
    shape(
      Type.Object({
        id,
        role: Type.Union([
          Type.Literal("user"),
          Type.Literal("assistant"),
          Type.Literal("system"),
          Type.Literal("developer"),
        ]),
        content: textOrParts,
      }),
    ),
  ],
  ["function_call", shape(Type.Object({ ...calling, arguments: text }))],
  ["function_call_output", shape(Type.Object(answering))],
  ["custom_tool_call", shape(Type.Object({ ...calling, input: text }))],
  ["custom_tool_call_output", shape(Type.Object(answering))],
  ["reasoning", shape(Type.Object({ id, summary: some(anyList), encrypted_content: some(text) }))],
  ["item_reference", shape(Type.Object({ id: text }))],
  ["additional_tools", shape(Type.Object({ tools: anyList }))],
  ["tool_search_output", shape(Type.Object({ id, tools: anyList }))],
]);

const words = shape(Type.Object({ text }));

/** Parts of messages and of tools' outputs, by their type; an unknown one goes through as it is. */
export const PARTS: ReadonlyMap<unknown, AnyShape> = new Map<unknown, AnyShape>([
  ["text", words],
  ["input_text", words],
  ["output_text", words],
  ["refusal", shape(Type.Object({ refusal: text }))],
  [
    "input_image",
    shape(Type.Object({ image_url: some(text), file_id: some(text), detail: some(text) })),
  ],
  [
    "input_file",
    shape(
      Type.Object({
        filename: some(text),
        file_data: some(text),
        file_url: some(text),
        file_id: some(text),
      }),
    ),
  ],
]);
