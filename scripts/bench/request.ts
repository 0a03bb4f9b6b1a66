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
  /** Whether a tenth of it are schemas of tools, every one of them in need of repair. */
  readonly hasTools: boolean;
};

/** The JSON of a streamed request of exactly `bytes` bytes, like a turn of an agent's in that dialect. */
export function requestBody(dialect: Dialect, { bytes, hasTools }: Content, key: string): string {
  const tools = hasTools ? brokenTools(dialect, bytes / 10) : [];
  const whole = (text: string): string => JSON.stringify(bodyOf(dialect, text, key, tools));
  return whole("carry ".repeat(bytes).slice(0, Math.max(bytes - whole("").length, 0)));
}

function bodyOf(dialect: Dialect, text: string, key: string, tools: readonly object[]): object {
  const offered = tools.length > 0 ? { tools } : {};
  switch (dialect) {
    case "codex":
      return { ...responsesBody(text, key), tools, store: false, include: [ENCRYPTED] };
    case "responses":
      return { ...responsesBody(text, key), tools };
    case "chat":
      return {
        model: "gpt-5.4",
        messages: [
          { role: "system", content: "You are measured." },
          { role: "user", content: "What follows is there to be carried." },
          { role: "user", content: text },
        ],
        ...offered,
        reasoning_effort: "medium",
        stream: true,
        stream_options: { include_usage: true },
        prompt_cache_key: key,
      };
    case "messages":
      return {
        model: "gpt-5.4",
        max_tokens: 32_000,
        system: [{ type: "text", text: "You are measured." }],
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "What follows is there to be carried." },
              { type: "text", text },
            ],
          },
        ],
        ...offered,
        output_config: { effort: "medium" },
        stream: true,
        metadata: { user_id: JSON.stringify({ session_id: key }) },
      };
  }
}

const ENCRYPTED = "reasoning.encrypted_content";

function responsesBody(text: string, key: string): object {
  const message = (said: string) => ({
    type: "message",
    role: "user",
    content: [{ type: "input_text", text: said }],
  });
  return {
    model: "gpt-5.4",
    instructions: "You are measured.",
    input: [message("What follows is there to be carried."), message(text)],
    tool_choice: "auto",
    parallel_tool_calls: false,
    reasoning: { effort: "medium", summary: "auto" },
    stream: true,
    prompt_cache_key: key,
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
