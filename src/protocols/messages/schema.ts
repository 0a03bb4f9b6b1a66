import { type TSchema, Type } from "@sinclair/typebox";
import { shape } from "../schema.ts";

/** A field that may be left out or be null. */
const maybe = <T extends TSchema>(schema: T) => {
  const { description } = schema;
  const words = description === undefined ? {} : { description };
  return Type.Optional(Type.Union([schema, Type.Null()], words));
};

const oneOf = <const T extends string>(...words: readonly T[]) => {
  const description = words.map((word) => JSON.stringify(word)).join(" or ");
  return Type.Union(
    words.map((word) => Type.Literal(word)),
    { description },
  );
};

const name = Type.String({ pattern: "\\S", description: "a name" });
const listed = Type.Array(Type.Unknown());
const object = Type.Object({});
const share = Type.Number({ minimum: 0, maximum: 1 });
const web = Type.String({ pattern: "^https?://", description: "an http or https URL" });

/** A request's own fields. What has parts of its own is looked at with their shapes, which name the path better. */
export const REQUEST = shape(
  Type.Object({
    model: Type.String({ pattern: "\\S", description: "the name of a model" }),
    messages: Type.Array(Type.Unknown(), {
      minItems: 1,
      description: "a list of at least one message",
    }),
    // 0 asks to fill the cache without an answer, which cannot be asked of the backend.
    max_tokens: maybe(Type.Integer({ minimum: 1 })),
    // Without a counterpart; a wrong type is the client's mistake all the same.
    cache_control: maybe(object),
    container: maybe(
      Type.Union([Type.String(), object], { description: "the id of a container or an object" }),
    ),
    context_management: maybe(object),
    inference_geo: maybe(Type.String()),
    metadata: Type.Optional(Type.Unknown()),
    output_config: Type.Optional(Type.Unknown()),
    output_format: Type.Optional(Type.Unknown()),
    mcp_servers: maybe(listed),
    service_tier: maybe(Type.String()),
    speed: maybe(oneOf("standard", "fast")),
    stop_sequences: Type.Optional(Type.Unknown()),
    stream: maybe(Type.Boolean()),
    system: Type.Optional(Type.Unknown()),
    temperature: maybe(share),
    thinking: Type.Optional(Type.Unknown()),
    tool_choice: Type.Optional(Type.Unknown()),
    tools: maybe(listed),
    top_k: maybe(Type.Integer({ minimum: 0 })),
    top_p: maybe(share),
  }),
);

/** `stop_sequences`. */
export const STOP_SEQUENCES = shape(
  Type.Array(Type.String({ pattern: "\\S", description: "a text that is not blank" })),
);

/** `metadata`. */
export const METADATA = shape(Type.Object({ user_id: maybe(Type.String()) }));

/** `thinking`. */
export const THINKING = shape(
  Type.Object({
    type: oneOf("enabled", "adaptive", "between_tools", "disabled"),
    budget_tokens: maybe(Type.Integer({ minimum: 0 })),
    // `summarized`, `omitted`, and what clients of a beta say: Claude Code 2.1.329 sends `updates`.
    display: maybe(Type.String()),
  }),
);

/** `output_config`. */
export const OUTPUT_CONFIG = shape(
  Type.Object({
    effort: maybe(oneOf("low", "medium", "high", "xhigh", "max")),
    format: Type.Optional(Type.Unknown()),
  }),
);

/** `output_config.format`, and `output_format` as it was called before. */
export const FORMAT = shape(
  Type.Object({
    type: Type.Literal("json_schema"),
    schema: Type.Object({}, { description: "a JSON Schema" }),
  }),
);

/** `tool_choice`. */
export const TOOL_CHOICE = shape(
  Type.Object({
    type: oneOf("auto", "any", "tool", "none"),
    name: Type.Optional(name),
    disable_parallel_tool_use: maybe(Type.Boolean()),
  }),
);

/** What all tools have. */
export const TOOL = shape(
  Type.Object({
    name: Type.Optional(name),
    type: maybe(Type.String()),
    defer_loading: maybe(Type.Boolean()),
  }),
);

/** A tool of the client's own. */
export const CUSTOM_TOOL = shape(
  Type.Object({
    name,
    description: maybe(Type.String()),
    input_schema: Type.Object({}, { description: "a JSON Schema" }),
    strict: maybe(Type.Boolean()),
  }),
);

/** The search of the web that the API runs by itself. */
export const SEARCH_TOOL = shape(
  Type.Object({
    name: Type.Literal("web_search"),
    allowed_domains: maybe(Type.Array(Type.String(), { description: "a list of domains" })),
    blocked_domains: maybe(Type.Array(Type.String(), { description: "a list of domains" })),
    max_uses: maybe(Type.Integer({ minimum: 1 })),
    user_location: maybe(
      Type.Object({
        city: maybe(Type.String()),
        country: maybe(Type.String()),
        region: maybe(Type.String()),
        timezone: maybe(Type.String()),
      }),
    ),
  }),
);

/** One message. */
export const MESSAGE = shape(
  Type.Object({
    role: oneOf("user", "assistant", "system"),
    // A system message may have nothing but an `output_config`.
    content: Type.Optional(
      Type.Union([Type.String(), listed], { description: "a text or a list of blocks" }),
    ),
    output_config: Type.Optional(Type.Unknown()),
  }),
);

/** A `tool_addition` or `tool_removal` block: from there on the model has one tool more, or one less. */
export const TOOL_CHANGE = shape(Type.Object({ tool: Type.Object({ type: Type.String() }) }));

/** A tool that a change names. */
export const CHANGED_TOOL = shape(Type.Object({ name }));

/** A tool that a change brings with it. */
export const DEFINED_TOOL = shape(Type.Object({ definition: Type.Object({ name }) }));

/** What all blocks have. */
export const BLOCK = shape(Type.Object({ type: Type.String() }));

/** A `text` block. */
export const TEXT = shape(Type.Object({ text: Type.String() }));

/** An `image` or `document` block, but for its source. */
export const SOURCED = shape(
  Type.Object({
    source: Type.Object({ type: Type.String() }),
    title: maybe(Type.String()),
    context: maybe(Type.String()),
  }),
);

/** An image's bytes. */
export const IMAGE_DATA = shape(
  Type.Object({
    media_type: oneOf("image/jpeg", "image/png", "image/gif", "image/webp"),
    data: Type.String({ minLength: 1, description: "Base64" }),
  }),
);

/** A PDF's bytes. */
export const PDF_DATA = shape(
  Type.Object({
    media_type: Type.Literal("application/pdf"),
    data: Type.String({ minLength: 1, description: "Base64" }),
  }),
);

/** A document that is plain text. */
export const PLAIN_DATA = shape(Type.Object({ data: Type.String() }));

/** An image or a document on the web. */
export const LINK = shape(Type.Object({ url: web }));

/** A document made of blocks. */
export const NESTED = shape(
  Type.Object({
    content: Type.Union([Type.String(), listed], { description: "a text or a list of blocks" }),
  }),
);

/** A `search_result` block: what a tool of the client's has found. */
export const SEARCH_RESULT = shape(
  Type.Object({ source: Type.String(), title: Type.String(), content: listed }),
);

/** A `thinking` block. */
export const THOUGHT = shape(
  Type.Object({ thinking: Type.String(), signature: maybe(Type.String()) }),
);

/** A `redacted_thinking` block. */
export const REDACTED = shape(Type.Object({ data: Type.String() }));

/** A `tool_use` or `server_tool_use` block. */
export const CALL = shape(
  Type.Object({
    id: Type.String({ minLength: 1, description: "the id of a call" }),
    name,
    input: Type.Object({}, { description: "an object" }),
  }),
);

/** A `tool_result` block. */
export const RESULT = shape(
  Type.Object({
    tool_use_id: Type.String({ minLength: 1, description: "the id of a call" }),
    content: maybe(
      Type.Union([Type.String(), listed], { description: "a text or a list of blocks" }),
    ),
    is_error: maybe(Type.Boolean()),
  }),
);

/** A `tool_reference` block: a tool that a search for tools has found. */
export const REFERENCE = shape(Type.Object({ tool_name: name }));

/** A `web_search_tool_result` or `tool_search_tool_result` block. */
export const SERVER_RESULT = shape(
  Type.Object({
    content: Type.Union([listed, Type.Object({})], { description: "a list or an object" }),
  }),
);
