import { describe, expect, test } from "bun:test";
import { type Dict, dict, list, parseDict, text } from "../../../src/wire/json.ts";
import { expectGolden, namesIn, readFixture } from "../golden.ts";
import { decodeText, refusalOf, understand } from "./requests.ts";

/** What becomes of a recorded request. */
function answerTo(call: Dict): Dict {
  const headers = Object.fromEntries(
    Object.entries(dict(call["headers"])).map(([name, value]) => [name, String(value)]),
  );
  const request = decodeText(text(call["text"]) ?? JSON.stringify(call["body"]), headers);
  if ("kind" in request) return { refused: request };
  const { turn, names: _names, contextWindow: _window, ...rest } = request;
  const { bytes, ...sent } = turn;
  expect(parseDict(new TextDecoder().decode(bytes))).toEqual(sent.body);
  return { ...rest, ...sent };
}

const names = namesIn("requests/messages", ".json");

function recorded(name: string): Dict {
  return parseDict(new TextDecoder().decode(readFixture(`requests/messages/${name}.json`))) ?? {};
}

// All that the backend is known to take (upstream.md 3.2).
const TAKEN = new Set([
  "model",
  "instructions",
  "input",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "reasoning",
  "text",
  "service_tier",
  "include",
  "prompt_cache_key",
  "stream",
  "store",
]);

describe("decode", () => {
  test.each(names)("understands the request %s as recorded", (name) => {
    const { headers, text: raw, body } = recorded(name);
    const call = raw === undefined ? { headers, body } : { headers, text: raw };
    const answer = answerTo(call);
    const path = `requests/messages/${name}.json`;
    expectGolden(path, `${JSON.stringify({ ...call, answer }, null, 1)}\n`);
  });

  test("B4-1: sends only what the backend takes", () => {
    for (const name of names) {
      const sent = Object.keys(dict(answerTo(recorded(name))["body"]));
      expect(sent.filter((field) => !TAKEN.has(field))).toEqual([]);
    }
  });

  test("sends no header of the client's but the session", () => {
    for (const name of names) {
      expect(Object.keys(dict(answerTo(recorded(name))["headers"])).join()).toMatch(
        /^(?:session-id)?$/,
      );
    }
  });

  test("B4-11, M5: sends system messages as developer messages, wherever they stand", () => {
    const messages = [
      { role: "system", content: "First" },
      { role: "user", content: "Hi" },
      { role: "system", content: [{ type: "text", text: "Last" }] },
    ];
    const { turn } = understand({ system: "Top", messages });
    expect(list(turn.body["input"]).map((item) => dict(item)["role"])).toEqual([
      "developer",
      "developer",
      "user",
      "developer",
    ]);
  });

  test("B5-7: what is sent in one turn begins what is sent in the next, whatever the billing header says", () => {
    const first = dict(recorded("claude-first-turn")["body"]);
    const turn = (version: string, more: readonly unknown[]) => {
      const system = list(first["system"]).map((block) =>
        JSON.parse(JSON.stringify(block).replace("2.1.197.c40", version)),
      );
      const messages = [...list(first["messages"]), ...more];
      return JSON.stringify(understand({ ...first, system, messages }).turn.body["input"]);
    };
    const calling = [
      {
        role: "assistant",
        content: [{ type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls" } }],
      },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "a" }] },
    ];
    const before = turn("2.1.197.c40", []);
    expect(turn("2.1.197.0df", calling)).toStartWith(before.slice(0, -1));
  });

  const sessions: [name: string, more: Dict, headers: Record<string, string>, key: string][] = [
    ["the request's own", { session_id: "a" }, { "x-claude-code-session-id": "b" }, "a"],
    [
      "Claude's in the metadata",
      { metadata: { user_id: JSON.stringify({ session_id: "c" }) } },
      { "x-claude-code-session-id": "b" },
      "c",
    ],
    ["Claude's header", {}, { "x-claude-code-session-id": "b" }, "b"],
  ];
  test.each(sessions)("takes for the session %s", (_name, more, headers, key) => {
    const { turn } = understand(more, headers);
    expect(turn.session).toEqual({ key, isExplicit: true });
    expect(turn.body["prompt_cache_key"]).toBe(key);
    expect(turn.headers).toEqual({ "session-id": key });
  });

  test("derives a session from the first messages where there is none", () => {
    const key = (content: string, answer: string) =>
      understand({
        metadata: { user_id: "someone" },
        messages: [
          { role: "user", content },
          { role: "assistant", content: answer },
        ],
      }).turn.session;
    expect(key("Hi", "a")).toEqual(key("Hi", "b"));
    expect(key("Hi", "a").key).not.toBe(key("Ho", "a").key);
    expect(key("Hi", "a").isExplicit).toBe(false);
  });

  const user = (content: unknown): Dict => ({ messages: [{ role: "user", content }] });
  const block = (more: Dict): Dict => user([{ type: "text", text: "x" }, more]);
  const faults: [name: string, more: Dict, param: string][] = [
    ["no model", { model: null }, "model"],
    ["a blank model", { model: " " }, "model"],
    ["messages that are no list", { messages: {} }, "messages"],
    ["no message", { messages: [] }, "messages"],
    ["a message that is a text", { messages: ["x"] }, "messages[0]"],
    ["an unknown role", { messages: [{ role: "tool", content: "x" }] }, "messages[0].role"],
    ["a message without content", { messages: [{ role: "user" }] }, "messages[0].content"],
    ["an empty message", user([]), "messages[0].content"],
    ["an empty text for a message", user(""), "messages[0].content"],
    ["a block that is a text", user(["x"]), "messages[0].content[0]"],
    ["a block without a type", user([{ text: "x" }]), "messages[0].content[0].type"],
    ["an unknown block", block({ type: "hologram" }), "messages[0].content[1]"],
    [
      "a file of a container",
      block({ type: "container_upload", file_id: "f" }),
      "messages[0].content[1]",
    ],
    [
      "a call of the user's",
      block({ type: "tool_use", id: "a", name: "f", input: {} }),
      "messages[0].content[1]",
    ],
    ["a text that is a number", user([{ type: "text", text: 1 }]), "messages[0].content[0].text"],
    ["an image without a source", block({ type: "image" }), "messages[0].content[1].source"],
    [
      "an image of an unknown kind",
      block({ type: "image", source: { type: "base64", media_type: "image/bmp", data: "AA" } }),
      "messages[0].content[1].source.media_type",
    ],
    [
      "an image at no URL",
      block({ type: "image", source: { type: "url", url: "file:///a" } }),
      "messages[0].content[1].source.url",
    ],
    [
      "an image among Anthropic's files",
      block({ type: "image", source: { type: "file", file_id: "f" } }),
      "messages[0].content[1].source.type",
    ],
    [
      "a document that is no PDF",
      block({ type: "document", source: { type: "base64", media_type: "text/html", data: "AA" } }),
      "messages[0].content[1].source.media_type",
    ],
    [
      "a document within a document",
      block({ type: "document", source: { type: "content", content: [{ type: "document" }] } }),
      "messages[0].content[1].source.content[0]",
    ],
    ["a system prompt that is an object", { system: {} }, "system"],
    [
      "an image in the system prompt",
      { system: [{ type: "image", source: { type: "url", url: "https://a" } }] },
      "system[0]",
    ],
    ["a word for max_tokens", { max_tokens: "many" }, "max_tokens"],
    ["no token at all", { max_tokens: 0 }, "max_tokens"],
    ["a word for stream", { stream: "yes" }, "stream"],
    ["a word for context_management", { context_management: "all" }, "context_management"],
    ["a list for container", { container: [] }, "container"],
    ["a word for cache_control", { cache_control: "ephemeral" }, "cache_control"],
    [
      "a number for a city",
      {
        tools: [{ type: "web_search_20250305", name: "web_search", user_location: { city: 1 } }],
      },
      "tools[0].user_location.city",
    ],
    ["a temperature beyond 1", { temperature: 1.5 }, "temperature"],
    ["a blank stop sequence", { stop_sequences: [" "] }, "stop_sequences[0]"],
    ["tools that are no list", { tools: {} }, "tools"],
    ["a tool that is a text", { tools: ["x"] }, "tools[0]"],
    ["a tool without a schema", { tools: [{ name: "f" }] }, "tools[0].input_schema"],
    [
      "a tool that takes no object",
      { tools: [{ name: "f", input_schema: { type: "string" } }] },
      "tools[0].input_schema.type",
    ],
    [
      "a tool with a schema that is none",
      { tools: [{ name: "f", input_schema: { type: "object", properties: { a: "string" } } }] },
      "tools[0].input_schema.properties.a",
    ],
    [
      "a format with a schema that is none",
      { output_config: { format: { type: "json_schema", schema: { type: "text" } } } },
      "output_config.format.schema.type",
    ],
    ["a tool without a name", { tools: [{ input_schema: {} }] }, "tools[0].name"],
    [
      "a tool of Anthropic's own",
      { tools: [{ type: "code_execution_20260521", name: "code_execution" }] },
      "tools[0].type",
    ],
    [
      "two tools of one name",
      {
        tools: [
          { name: "f", input_schema: {} },
          { name: "f", input_schema: {} },
        ],
      },
      "tools[1].name",
    ],
    ["a choice of no kind", { tool_choice: { type: "some" } }, "tool_choice.type"],
    [
      "a choice of a tool that is not there",
      { tools: [{ name: "f", input_schema: {} }], tool_choice: { type: "tool", name: "g" } },
      "tool_choice.name",
    ],
    ["a choice without tools", { tool_choice: { type: "any" } }, "tools"],
    ["an unknown way of thinking", { thinking: { type: "deep" } }, "thinking.type"],
    [
      "a budget that is a word",
      { thinking: { type: "enabled", budget_tokens: "all" } },
      "thinking.budget_tokens",
    ],
    ["an unknown effort", { output_config: { effort: "huge" } }, "output_config.effort"],
    [
      "an unknown format",
      { output_config: { format: { type: "xml", schema: {} } } },
      "output_config.format.type",
    ],
    ["a user id that is a number", { metadata: { user_id: 5 } }, "metadata.user_id"],
    ["a thread", { thread: { type: "create" } }, "thread"],
    ["servers to call", { mcp_servers: [{}] }, "mcp_servers"],
  ];
  test.each(faults)("refuses %s", (_name, more, param) => {
    const refusal = refusalOf(more);
    expect(refusal).toMatchObject({ kind: "bad-request", status: 400, param });
    expect(refusal.message).toContain(param);
    expect(refusal.message).toEndWith(".");
  });

  test("refuses a request nested beyond reason", () => {
    const deep = `${"[".repeat(10_000)}${"]".repeat(10_000)}`;
    expect(decodeText(`{"model":"m","messages":${deep}}`)).toMatchObject({
      code: "nested_too_deeply",
    });
  });

  test("takes null for whatever may be left out", () => {
    const nothing = Object.fromEntries(
      ["system", "tools", "tool_choice", "thinking", "output_config", "output_format", "metadata"]
        .concat(["stop_sequences", "stream", "temperature", "max_tokens", "mcp_servers", "thread"])
        .map((field) => [field, null]),
    );
    expect(understand(nothing).turn.body).toEqual(understand({}).turn.body);
  });

  test("decodes a conversation of a megabyte in little time", () => {
    const messages = Array.from({ length: 1000 }, (_, at) => ({
      role: at % 2 === 0 ? "user" : "assistant",
      content: [{ type: "text", text: "word ".repeat(200) }],
    }));
    const body = JSON.stringify({
      model: "gpt-5.4",
      messages,
      tools: list(dict(recorded("claude-first-turn")["body"])["tools"]),
    });
    decodeText(body);
    const before = performance.now();
    for (let run = 0; run < 5; run++) decodeText(body);
    // The machine may be busy: 12 ms is what it takes alone.
    expect((performance.now() - before) / 5).toBeLessThan(120);
  });
});
