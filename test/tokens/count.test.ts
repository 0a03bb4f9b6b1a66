import { describe, expect, test } from "bun:test";
import { countTokens } from "../../src/tokens/count.ts";
import { loadVocabulary } from "../../src/tokens/vocabulary.ts";
import type { Dict } from "../../src/wire/json.ts";

const countText = await loadVocabulary();

function count(body: Dict): Promise<number> {
  return countTokens(body, { countText, pause: async () => {} });
}

function message(role: string, text: string): Dict {
  return { type: "message", role, content: [{ type: "input_text", text }] };
}

/** An object schema that requires all it has. */
function object(properties: Dict): Dict {
  return { type: "object", properties, required: Object.keys(properties) };
}

function tool(name: string, description: string | undefined, parameters: Dict): Dict {
  return {
    type: "function",
    name,
    parameters,
    ...(description === undefined ? {} : { description }),
  };
}

function call(type: string, name: string, input: Dict, output: string): readonly Dict[] {
  const call_id = `call_${name}`;
  return [
    { type: `${type}_call`, call_id, name, ...input },
    { type: `${type}_call_output`, call_id, output },
  ];
}

const WEATHER = [
  tool(
    "weather",
    "Get weather information for a location",
    object({ location: { description: "the city", type: "string" } }),
  ),
];
const NUMBERS = object({
  a: { description: "first number", type: "integer" },
  b: { description: "second number", type: "integer" },
});
const MATHS = [
  tool("add", "Add two numbers", NUMBERS),
  tool("multiply", "Multiply two numbers", NUMBERS),
];
const FLORENCE = [
  message("developer", "You are a helpful assistant"),
  message("user", "What's the weather in Florence,Italy?"),
];
const BOTH = [
  message(
    "developer",
    "You are a helpful assistant. CRITICAL: Always use both add and multiply at the same time ALWAYS.",
  ),
  message("user", "Add and multiply the number 2 and 3"),
];
const CAPITAL = [tool("get_capital", undefined, object({ country: { type: "string" } }))];
const NARRATE = "Briefly narrate what you are about to do before calling each tool.";
const SQL = [
  { type: "custom", name: "execute_sql", description: "Execute SQL query on the database." },
];
const GRAMMAR =
  '\n    start: select_stmt\n    select_stmt: "SELECT" columns "FROM" table\n    columns: "*" | WORD ("," WORD)*\n' +
  "    table: WORD\n    %import common.WORD\n    %import common.WS\n    %ignore WS\n    ";
const GRAMMAR_SQL = [
  {
    type: "custom",
    name: "run_sql",
    description: "Execute a constrained SQL SELECT query.",
    format: { type: "grammar", syntax: "lark", definition: GRAMMAR },
  },
];

/** A ciphertext as long as the one in the recording; what it says does not count. */
function thought(length: number): Dict {
  return { type: "reasoning", summary: [], encrypted_content: "g".repeat(length) };
}

describe("B3-3: countTokens comes within 5 % of what OpenAI's API counted for", () => {
  // Recorded usages: of gpt-5 with functions in the tests of charmbracelet/fantasy, of gpt-5.4, 5.5 and custom tools in
  // those of pydantic/pydantic-ai; of gpt-4o in OpenAI's cookbook "How to count tokens with tiktoken".
  test.each<[string, number, Dict]>([
    [
      "two messages",
      19,
      { model: "gpt-5", input: [FLORENCE[0], message("user", "Say hi in Portuguese")] },
    ],
    [
      "a question to 5.4",
      18,
      {
        model: "gpt-5.4",
        input: [message("user", "What is the capital of France? Answer in one word.")],
      },
    ],
    ["a tool", 63, { model: "gpt-5", input: FLORENCE, tools: WEATHER }],
    [
      "a tool's call and its output",
      92,
      {
        model: "gpt-5",
        input: [
          ...FLORENCE,
          ...call("function", "weather", { arguments: '{"location":"Florence, Italy"}' }, "40 C"),
        ],
        tools: WEATHER,
      },
    ],
    ["two tools", 113, { model: "gpt-5", input: BOTH, tools: MATHS }],
    [
      "two calls and their outputs",
      171,
      {
        model: "gpt-5",
        input: [
          ...BOTH,
          ...call("function", "add", { arguments: '{"a":2,"b":3}' }, "5"),
          ...call("function", "multiply", { arguments: '{"a":2,"b":3}' }, "6"),
        ],
        tools: MATHS,
      },
    ],
    [
      "instructions and a tool without description",
      63,
      {
        model: "gpt-5.5",
        instructions: NARRATE,
        input: [message("user", "What is the capital of PotatoLand?")],
        tools: CAPITAL,
      },
    ],
    [
      "reasoning, a commentary, a call and its output",
      150,
      {
        model: "gpt-5.5",
        instructions: NARRATE,
        input: [
          message("user", "What is the capital of PotatoLand?"),
          thought(1100),
          message("assistant", 'I\'ll check the capital lookup tool for "PotatoLand."'),
          ...call(
            "function",
            "get_capital",
            { arguments: '{"country":"PotatoLand"}' },
            "Potato City",
          ),
        ],
        tools: CAPITAL,
      },
    ],
    [
      "a free-form tool",
      61,
      {
        model: "gpt-5",
        input: [message("user", "Show me all users from the users table")],
        tools: SQL,
      },
    ],
    [
      "reasoning, a free-form call and its output",
      231,
      {
        model: "gpt-5",
        input: [
          message("user", "Show me all users from the users table"),
          thought(1676),
          ...call(
            "custom_tool",
            "execute_sql",
            { input: '{"query":"SELECT * FROM users;"}' },
            "Result: 3 rows returned",
          ),
        ],
        tools: SQL,
      },
    ],
    [
      "a tool with a grammar",
      146,
      {
        model: "gpt-5",
        input: [message("user", "Get all data from the users table")],
        tools: GRAMMAR_SQL,
      },
    ],
    [
      "reasoning, a call by a grammar and its output",
      498,
      {
        model: "gpt-5",
        input: [
          message("user", "Get all data from the users table"),
          thought(2828),
          ...call(
            "custom_tool",
            "run_sql",
            { input: '{"query":"SELECT * FROM users"}' },
            "Executed successfully: 5 rows",
          ),
        ],
        tools: GRAMMAR_SQL,
      },
    ],
    [
      "the cookbook's tool with an enumeration",
      101,
      {
        model: "gpt-4o",
        input: [
          message(
            "developer",
            "You are a helpful assistant that can answer to questions about the weather.",
          ),
          message("user", "What's the weather like in San Francisco?"),
        ],
        tools: [
          tool("get_current_weather", "Get the current weather in a given location", {
            type: "object",
            properties: {
              location: {
                type: "string",
                description: "The city and state, e.g. San Francisco, CA",
              },
              unit: {
                type: "string",
                description: "The unit of temperature to return",
                enum: ["celsius", "fahrenheit"],
              },
            },
            required: ["location"],
          }),
        ],
      },
    ],
  ])("%s", async (_name, counted, body) => {
    const tokens = await count(body);
    if (process.env["SHOW"])
      console.log(_name, counted, tokens, (((tokens - counted) / counted) * 100).toFixed(1));
    expect(Math.abs(tokens - counted)).toBeLessThanOrEqual(counted * 0.05);
  });
});

/** What an item costs beyond an empty request. */
async function costOf(item: Dict, more: Dict = {}): Promise<number> {
  const model = "gpt-5.4";
  const rest = { model, input: [], ...more };
  return (await count({ ...rest, input: [item] })) - (await count(rest));
}

const PNG = `${btoa("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x04\0")}${"A".repeat(1000)}`;
const PDF = btoa("%PDF-1.4 /Type /Page /Type /Page ");

describe("countTokens", () => {
  test.each<[string, Dict]>([
    ["a message", { type: "input_image", image_url: `data:image/png;base64,${PNG}` }],
    [
      "a message in line ends",
      { type: "input_image", image_url: `data:image/png;base64,\n${PNG}\n` },
    ],
    ["a message by its address", { type: "input_image", image_url: "https://example.com/a.png" }],
    ["a message by its id", { type: "input_image", file_id: "file_1" }],
    ["a message, broken", { type: "input_image", image_url: "data:image/png;base64,%%%" }],
  ])("counts a picture in %s by its size, not by its characters", async (_name, part) => {
    const picture = Math.ceil(1024 * 1.2);
    expect(await costOf({ role: "user", content: [part] })).toBe(4 + picture);
    const output = { type: "function_call_output", call_id: "c", output: [part] };
    expect(await costOf(output)).toBe(8 + picture);
  });

  test("counts a picture that the backend made by its size", async () => {
    const item = { type: "image_generation_call", id: "ig_1", result: PNG };
    expect(await costOf(item)).toBeWithin(1229, 1260);
  });

  test("counts a PDF by its pages, a text by its words, and something for what is elsewhere", async () => {
    const fileOf = (part: Dict) =>
      costOf({ role: "user", content: [{ type: "input_file", ...part }] });
    expect(await fileOf({ file_data: `data:application/pdf;base64,${PDF}` })).toBe(4 + 4000);
    expect(await fileOf({ file_data: PDF, filename: "a" })).toBe(4 + 1 + 4000);
    expect(await fileOf({ file_data: `data:text/plain;base64,${btoa("hello world")}` })).toBe(6);
    for (const part of [{ file_url: "https://example.com/a.pdf" }, { file_data: "%" }, {}]) {
      expect(await fileOf(part)).toBe(4 + 10_000);
    }
  });

  test("counts reasoning of the running turn only, unless all of it is to be kept", async () => {
    const input = [thought(1676), message("user", "hello world"), thought(1676)];
    const bare = await count({ input: [message("user", "hello world")] });
    expect((await count({ input })) - bare).toBe(134);
    expect((await count({ input, reasoning: { context: "all_turns" } })) - bare).toBe(268);
  });

  test("counts tools in namespaces, and not those that are still to be found", async () => {
    const flat = await count({ tools: MATHS });
    expect(await count({ tools: [{ type: "namespace", name: "n", tools: MATHS }] })).toBe(flat);
    const hidden = { ...WEATHER[0], defer_loading: true };
    expect(await count({ tools: [...MATHS, hidden] })).toBe(flat);
    expect(await count({ tools: [...MATHS, { type: "web_search" }] })).toBeGreaterThan(flat);
  });

  test("counts the wanted form of an answer", async () => {
    const text = { format: { type: "json_schema", name: "point", schema: NUMBERS } };
    expect((await count({ text })) - (await count({}))).toBeGreaterThan(40);
    expect(await count({ text: { format: { type: "text" } } })).toBe(await count({}));
  });

  test("makes something of whatever comes", async () => {
    const odd = [null, 7, {}, { type: "odd", a: "b" }, { role: "user", content: [7, {}] }];
    expect(await count({ input: odd, tools: [7, {}], instructions: 3, text: [] })).toBeGreaterThan(
      0,
    );
  });

  test("is the same for a text in one part and in many, and lets others have the processor", async () => {
    const words = "The quick brown fox jumps over the lazy dog.\n".repeat(4000);
    let pauses = 0;
    const pause = async (): Promise<void> => {
      pauses += 1;
    };
    const input = [message("user", words)];
    expect(await countTokens({ input }, { countText, pause })).toBe(countText(words) + 6);
    expect(pauses).toBe(Math.floor(words.length / 32_768));
  });

  test("pauses in a long text without blanks, and in many short ones", async () => {
    let pauses = 0;
    const pause = async (): Promise<void> => {
      pauses += 1;
    };
    await countTokens({ input: [message("user", "漢".repeat(100_000))] }, { countText, pause });
    expect(pauses).toBe(3);
    const short = Array.from({ length: 1000 }, () => message("user", "word ".repeat(20)));
    await countTokens({ input: short }, { countText, pause });
    expect(pauses).toBe(6);
  });
});
