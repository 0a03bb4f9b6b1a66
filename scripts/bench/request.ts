// What the load of the bench asks for, in each of the dialects.

/** A dialect of clients; a Codex client's request passes unchanged, another's is brought into the backend's form. */
export type Dialect = "codex" | "responses" | "chat" | "messages";

/** The words at the beginning of the last event of an answer. */
export const LAST_EVENTS = {
  codex: "event: response.completed",
  responses: "event: response.completed",
  chat: "data: [DONE]",
  messages: "event: message_stop",
} as const satisfies Record<Dialect, string>;

/** Where each dialect is spoken. */
export const PATHS = {
  codex: "/v1/responses",
  responses: "/v1/responses",
  chat: "/v1/chat/completions",
  messages: "/v1/messages",
} as const satisfies Record<Dialect, string>;

/** How large a request is, and of what. */
export type Content = {
  readonly bytes: number;
  /**
   * `text`: one question. `conversation`: an agent's turns, each a question, an answer, a call and what the tool said.
   * `broken-tools`: the same, and a tenth of it are schemas of tools, every one of them in need of repair.
   */
  readonly kind: "text" | "conversation" | "broken-tools";
};

/** What is said, before it is put into a dialect. */
type Talk = {
  readonly text: string;
  readonly key: string;
  readonly turns: readonly string[];
  readonly tools: readonly object[];
};

/** The JSON of a streamed request of exactly `bytes` bytes, like a turn of an agent's in that dialect. */
export function requestBody(dialect: Dialect, { bytes, kind }: Content, key: string): string {
  const tools = kind === "broken-tools" ? brokenTools(dialect, bytes / 10) : [];
  const whole = (turns: number, text: string): string =>
    JSON.stringify(bodyOf(dialect, { text, key, turns: turnIds(turns), tools }));
  const empty = whole(0, "").length;
  const one = (whole(3, "").length - empty) / 3;
  const turns = kind === "text" ? 0 : Math.max(Math.floor((bytes - empty) / one) - 1, 0);
  const left = Math.max(bytes - whole(turns, "").length, 0);
  return whole(turns, "carry ".repeat(left).slice(0, left));
}

function turnIds(count: number): readonly string[] {
  return Array.from({ length: count }, (_, number) => `${number}`.padStart(8, "0"));
}

function bodyOf(dialect: Dialect, talk: Talk): object {
  switch (dialect) {
    case "codex":
      return {
        ...responsesBody(talk),
        tools: talk.tools,
        store: false,
        include: ["reasoning.encrypted_content"],
      };
    case "responses":
      return { ...responsesBody(talk), tools: talk.tools };
    case "chat":
      return chatBody(talk);
    case "messages":
      return messagesBody(talk);
  }
}

const MODEL = "gpt-5.4";
const SYSTEM = "You are measured.";
const OPENING = "What follows is there to be carried.";
// Of an agent's texts most are code, which JSON escapes.
const ASKED = 'Say why "first" is\n\tbefore "second". '.repeat(8);
const ANSWERED = "I look into the file, and into what calls it. ".repeat(6);
const CALL_INPUT = JSON.stringify({ path: "src/first.ts", from: 1, to: 400, why: "to see it" });
const TOOL_SAID = 'const word = words.get("first") ?? "none";\n\treturn [word];\n'.repeat(20);
const TOOL_NAME = "read_file";

function responsesBody({ text, key, turns }: Talk): object {
  const message = (role: string, type: string, said: string): object => ({
    type: "message",
    role,
    content: [{ type, text: said }],
  });
  const user = (said: string): object => message("user", "input_text", said);
  return {
    model: MODEL,
    instructions: SYSTEM,
    input: [
      user(OPENING),
      ...turns.flatMap((id) => [
        user(ASKED),
        message("assistant", "output_text", ANSWERED),
        { type: "function_call", call_id: `call_${id}`, name: TOOL_NAME, arguments: CALL_INPUT },
        { type: "function_call_output", call_id: `call_${id}`, output: TOOL_SAID },
      ]),
      user(text),
    ],
    tool_choice: "auto",
    parallel_tool_calls: false,
    reasoning: { effort: "medium", summary: "auto" },
    stream: true,
    prompt_cache_key: key,
  };
}

function chatBody({ text, key, turns, tools }: Talk): object {
  const call = { name: TOOL_NAME, arguments: CALL_INPUT };
  return {
    model: MODEL,
    messages: [
      { role: "system", content: SYSTEM },
      { role: "user", content: OPENING },
      ...turns.flatMap((id) => [
        { role: "user", content: ASKED },
        {
          role: "assistant",
          content: ANSWERED,
          tool_calls: [{ id: `call_${id}`, type: "function", function: call }],
        },
        { role: "tool", tool_call_id: `call_${id}`, content: TOOL_SAID },
      ]),
      { role: "user", content: text },
    ],
    ...(tools.length > 0 ? { tools } : {}),
    reasoning_effort: "medium",
    stream: true,
    stream_options: { include_usage: true },
    prompt_cache_key: key,
  };
}

function messagesBody({ text, key, turns, tools }: Talk): object {
  const words = (said: string): object => ({ type: "text", text: said });
  const input: unknown = JSON.parse(CALL_INPUT);
  return {
    model: MODEL,
    max_tokens: 32_000,
    system: [words(SYSTEM)],
    messages: [
      { role: "user", content: [words(OPENING)] },
      ...turns.flatMap((id) => [
        { role: "user", content: [words(ASKED)] },
        {
          role: "assistant",
          content: [
            words(ANSWERED),
            { type: "tool_use", id: `call_${id}`, name: TOOL_NAME, input },
          ],
        },
        {
          role: "user",
          content: [{ type: "tool_result", tool_use_id: `call_${id}`, content: TOOL_SAID }],
        },
      ]),
      { role: "user", content: [words(text)] },
    ],
    ...(tools.length > 0 ? { tools } : {}),
    output_config: { effort: "medium" },
    stream: true,
    metadata: { user_id: JSON.stringify({ session_id: key }) },
  };
}

function brokenTools(dialect: Dialect, bytes: number): readonly object[] {
  const one = JSON.stringify(brokenTool(dialect, 0)).length;
  return Array.from({ length: Math.ceil(bytes / one) }, (_, number) => brokenTool(dialect, number));
}

/** A function with an array that does not say what it holds. */
function brokenTool(dialect: Dialect, number: number): object {
  const name = `look_up_${number}`;
  const description = "Looks words up in a list of words, and says what it has found there.";
  const word = { type: "string", description: "A word to be looked up." };
  const schema = {
    type: "object",
    properties: {
      words: { type: "array", description: "All of the words." },
      by: { anyOf: [word, { type: "null" }] },
      deep: { type: "object", properties: { first: word, second: word } },
    },
    required: ["words"],
  };
  switch (dialect) {
    case "codex":
    case "responses":
      return { type: "function", name, description, parameters: schema };
    case "chat":
      return { type: "function", function: { name, description, parameters: schema } };
    case "messages":
      return { name, description, input_schema: schema };
  }
}
