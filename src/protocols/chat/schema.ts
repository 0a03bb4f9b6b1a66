import { Type } from "@sinclair/typebox";
import { shape } from "../schema.ts";

const optionalText = Type.Optional(Type.String());
const optionalNumber = Type.Optional(Type.Number());
const optionalObject = Type.Optional(Type.Object({}));
const optionalList = Type.Optional(Type.Array(Type.Unknown()));
const optionalFlag = Type.Optional(Type.Boolean());
const name = (of: string) => Type.String({ minLength: 1, description: `the name of ${of}` });
const words = Type.Union([Type.String(), Type.Array(Type.Unknown())]);
const level = Type.Optional(
  Type.Union([Type.Literal("low"), Type.Literal("medium"), Type.Literal("high")]),
);

/**
 * A request without its null fields. It holds Chat's fields and, because Cursor posts Responses bodies here, those
 * of the Responses API that are read. What is refined further is only a list or an object here.
 */
export const REQUEST = shape(
  Type.Object({
    model: name("a model"),
    messages: optionalList,
    input: Type.Optional(words),
    instructions: optionalText,
    stream: optionalFlag,
    stream_options: Type.Optional(
      Type.Object({ include_usage: optionalFlag, include_obfuscation: optionalFlag }),
    ),
    tools: optionalList,
    tool_choice: Type.Optional(Type.Union([Type.String(), Type.Object({})])),
    parallel_tool_calls: optionalFlag,
    functions: optionalList,
    function_call: Type.Optional(Type.Union([Type.String(), Type.Object({})])),
    response_format: optionalObject,
    text: Type.Optional(Type.Object({ format: optionalObject, verbosity: level })),
    verbosity: level,
    reasoning_effort: optionalText,
    reasoning: Type.Optional(Type.Object({ effort: optionalText, summary: optionalText })),
    service_tier: optionalText,
    prompt_cache_key: optionalText,
    session_id: optionalText,
    web_search_options: Type.Optional(
      Type.Object({ search_context_size: level, user_location: optionalObject }),
    ),
    stop: Type.Optional(Type.Union([Type.String(), Type.Array(Type.Unknown())])),
    n: Type.Optional(Type.Integer({ minimum: 1 })),
    logprobs: optionalFlag,
    top_logprobs: Type.Optional(Type.Integer({ minimum: 0 })),
    modalities: Type.Optional(Type.Array(Type.String())),
    audio: optionalObject,
    moderation: optionalObject,
    store: optionalFlag,
    // Without a counterpart; a wrong type is the client's mistake all the same.
    frequency_penalty: optionalNumber,
    logit_bias: optionalObject,
    max_completion_tokens: Type.Optional(Type.Integer()),
    max_tokens: Type.Optional(Type.Integer()),
    max_output_tokens: Type.Optional(Type.Integer()),
    metadata: optionalObject,
    prediction: optionalObject,
    presence_penalty: optionalNumber,
    prompt_cache_options: optionalObject,
    prompt_cache_retention: optionalText,
    safety_identifier: optionalText,
    seed: Type.Optional(Type.Integer()),
    temperature: optionalNumber,
    top_p: optionalNumber,
    user: optionalText,
  }),
);

/** What a system, developer or user message says. */
export const SPOKEN = shape(Type.Object({ content: words, name: optionalText }));

/** An assistant message without its null fields. */
export const ASSISTANT = shape(
  Type.Object({
    content: Type.Optional(words),
    name: optionalText,
    refusal: optionalText,
    tool_calls: optionalList,
    function_call: Type.Optional(
      Type.Object({ name: name("a function"), arguments: Type.String() }),
    ),
  }),
);

const id = Type.String({ minLength: 1, description: "the id of a tool call" });

/** The result of a tool call. */
export const TOOL_RESULT = shape(Type.Object({ tool_call_id: id, content: words }));

/** The result of a legacy function call. */
export const FUNCTION_RESULT = shape(
  Type.Object({ name: name("a function"), content: Type.Optional(words) }),
);

/** A call of a function in an assistant message. */
export const FUNCTION_CALL = shape(
  Type.Object({
    id,
    function: Type.Object({ name: name("a function"), arguments: Type.String() }),
  }),
);

/** A call of a custom tool in an assistant message. */
export const CUSTOM_CALL = shape(
  Type.Object({ id, custom: Type.Object({ name: name("a tool"), input: Type.String() }) }),
);

/** A `function_call` item of the Responses API. */
export const FUNCTION_ITEM = shape(
  Type.Object({ call_id: id, name: name("a function"), arguments: Type.String() }),
);

/** A `custom_tool_call` item of the Responses API. */
export const CUSTOM_ITEM = shape(
  Type.Object({ call_id: id, name: name("a tool"), input: Type.String() }),
);

/** A `function_call_output` or `custom_tool_call_output` item of the Responses API. */
export const RESULT_ITEM = shape(Type.Object({ call_id: id, output: words }));

/** A text part. */
export const TEXT_PART = shape(Type.Object({ text: Type.String() }));

/** A refusal part. */
export const REFUSAL_PART = shape(Type.Object({ refusal: Type.String() }));

const url = Type.String({
  pattern: "^(?:https?://|data:)",
  description: "an http, https or data URL",
});
const detail = Type.Optional(
  Type.Union([
    Type.Literal("auto"),
    Type.Literal("low"),
    Type.Literal("high"),
    Type.Literal("original"),
  ]),
);
const FILE = {
  file_data: Type.Optional(Type.String({ minLength: 1, description: "the file as a data URL" })),
  file_id: Type.Optional(Type.String({ minLength: 1, description: "the id of a file" })),
  filename: optionalText,
};

/** An image part. */
export const IMAGE_PART = shape(Type.Object({ image_url: Type.Object({ url, detail }) }));

/** A file part. */
export const FILE_PART = shape(Type.Object({ file: Type.Object(FILE) }));

/** An `input_image` part of the Responses API. */
export const INPUT_IMAGE = shape(
  Type.Object({ image_url: Type.Optional(url), file_id: FILE.file_id, detail }),
);

/** An `input_file` part of the Responses API. */
export const INPUT_FILE = shape(Type.Object({ ...FILE, file_url: Type.Optional(url) }));

/** A function that may be called, without its null fields. */
export const FUNCTION = shape(
  Type.Object({
    name: name("a function"),
    description: optionalText,
    parameters: optionalObject,
    strict: optionalFlag,
  }),
);

/** A custom tool, without its null fields; its grammar in either of the two nestings. */
export const CUSTOM = shape(
  Type.Object({ name: name("a tool"), description: optionalText, format: optionalObject }),
);

/** A grammar, for what a custom tool takes. */
export const GRAMMAR = shape(
  Type.Object({
    syntax: Type.Union([Type.Literal("lark"), Type.Literal("regex")]),
    definition: Type.String(),
  }),
);

/** Tools under one name, as the Responses API groups them. */
export const NAMESPACE = shape(
  Type.Object({ name: name("a namespace"), tools: Type.Array(Type.Unknown()) }),
);

/** The one tool that must be called. */
export const NAMED = shape(Type.Object({ name: name("a tool") }));

/** The tools among which to choose. */
export const ALLOWED = shape(
  Type.Object({
    mode: Type.Union([Type.Literal("auto"), Type.Literal("required")]),
    tools: Type.Array(Type.Object({})),
  }),
);

/** The schema that an answer must have, without null fields. */
export const JSON_SCHEMA = shape(
  Type.Object({
    name: name("the format"),
    description: optionalText,
    strict: optionalFlag,
    schema: optionalObject,
  }),
);

/** Where the user is, with how exact that is. */
export const USER_LOCATION = shape(
  Type.Object({ type: Type.Literal("approximate"), approximate: optionalObject }),
);

/** Where the user is, about. */
export const LOCATION = shape(
  Type.Object({
    city: optionalText,
    country: optionalText,
    region: optionalText,
    timezone: optionalText,
  }),
);
