import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { contentSent, failureOf, lastBody, lastInput, PDF, PNG } from "../support/sdk.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(30_000);

let backend: FakeBackend;
let account: FakeAccount;
let proxy: TestProxy;
let client: Anthropic;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true, obfuscation: true });
  account = backend.account("claude");
  proxy = await startProxy({ backend, accounts: [account], binary: true });
  client = clientOf(proxy);
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

type Param = Anthropic.MessageParam;

const MODEL = "gpt-5.4";
const HELLO: Param[] = [{ role: "user", content: "Hello there" }];
const ASK = { model: MODEL, max_tokens: 1024, messages: HELLO };
const THINKING = { type: "enabled", budget_tokens: 8192 } as const;
const LOOK_UP: Anthropic.Tool = {
  name: "look_up",
  description: "Looks a word up",
  input_schema: { type: "object", properties: { word: { type: "string" } }, required: ["word"] },
};
const CALL: Outcome = { kind: "ok", tool: { name: "look_up", arguments: { word: "naïf" } } };
const IMAGE = {
  type: "image",
  source: { type: "base64", media_type: "image/png", data: PNG },
} as const;

describe("the official Anthropic SDK", () => {
  test("finds the id of its request in every answer, as the log has it", async () => {
    const message = await client.messages.create(ASK);
    const streamed = await client.messages.create({ ...ASK, stream: true }).withResponse();
    for await (const _ of streamed.data);
    const { messages, model } = ASK;
    const counted = await client.messages.countTokens({ messages, model }).withResponse();
    const refused: unknown = await client.messages
      .create({ ...ASK, messages: [] })
      .catch((cause: unknown) => cause);
    const ids = [
      message._request_id,
      streamed.request_id,
      counted.request_id,
      refused instanceof Anthropic.APIError ? refused.requestID : undefined,
    ];
    for (const id of ids) expect(id).toMatch(/^req_/);
    expect(new Set(ids).size).toBe(4);
    await until("the turn is logged", () => proxy.logs().includes(String(message._request_id)));
  });

  test("messages.create in one piece", async () => {
    const message = await client.messages.create({ ...ASK, system: "You are a poet." });
    expect(message.id).toStartWith("msg_");
    expect(message).toMatchObject({ type: "message", role: "assistant", model: MODEL });
    expect(message).toMatchObject({ stop_reason: "end_turn", stop_sequence: null });
    expect(textOf(message)).toContain("You said: Hello there");
    expect(message.usage.input_tokens).toBeGreaterThan(0);
    expect(message.usage.output_tokens).toBeGreaterThan(0);
    expect(lastBody(backend)).toMatchObject({ model: "gpt-5.4", stream: true, store: false });
    expect(lastBody(backend)).not.toHaveProperty("max_output_tokens");
    expect(JSON.stringify(lastBody(backend))).toContain("You are a poet.");
  });

  test("messages.create as a stream: each block opened, fed and closed in its turn", async () => {
    const types: string[] = [];
    for await (const event of await client.messages.create({ ...ASK, stream: true })) {
      if (event.type !== types.at(-1)) types.push(event.type);
    }
    const block = ["content_block_start", "content_block_delta", "content_block_stop"];
    const blocks = types.slice(1, -2);
    expect(types[0]).toBe("message_start");
    expect(types.slice(-2)).toEqual(["message_delta", "message_stop"]);
    expect(blocks).toEqual(Array.from({ length: blocks.length / 3 }, () => block).flat());
    expect(blocks.length).toBeGreaterThan(0);
  });

  test("the stream helper and its finalMessage", async () => {
    const words: string[] = [];
    const thoughts: string[] = [];
    const stream = client.messages
      .stream({ ...ASK, max_tokens: 20_000, thinking: THINKING })
      .on("thinking", (_delta, snapshot) => thoughts.push(snapshot))
      .on("text", (_delta, snapshot) => words.push(snapshot));
    const message = await stream.finalMessage();
    expect(message.content.map(({ type }) => type)).toEqual(["thinking", "text"]);
    expect(message.stop_reason).toBe("end_turn");
    expect(words.at(-1)).toBe(textOf(message));
    expect(thoughts.at(-1)).toBe("**Thinking it over**");
    expect(message.usage.output_tokens).toBeGreaterThan(0);
    expect(dict(lastBody(backend)["reasoning"])["effort"]).toBe("high");
  });

  test.each([false, true])("the tool runner goes round its loop (stream: %p)", async (stream) => {
    account.script(CALL, CALL);
    const asked: string[] = [];
    const tool = betaZodTool({
      name: "look_up",
      description: "Looks a word up",
      inputSchema: z.object({ word: z.string() }),
      run: ({ word }) => {
        asked.push(word);
        return "A simple person";
      },
    });
    const params = { ...ASK, tools: [tool] };
    let last: Anthropic.Beta.BetaMessage;
    if (stream) {
      const runner = client.beta.messages.toolRunner({ ...params, stream });
      for await (const turn of runner) await turn.finalMessage();
      last = await runner.runUntilDone();
    } else {
      last = await client.beta.messages.toolRunner(params);
    }
    expect(textOf(last)).toContain("The tool answered: A simple person");
    expect(asked).toEqual(["naïf"]);
  });

  test("B3-1: a thought comes back with its own ciphertext in a loop of two turns", async () => {
    account.script(CALL, CALL);
    const tools = [LOOK_UP];
    const params = { ...ASK, max_tokens: 20_000, thinking: THINKING, tools };
    const first = await client.messages.stream(params).finalMessage();
    expect(first.content.map(({ type }) => type)).toEqual(["thinking", "tool_use"]);
    expect(first.stop_reason).toBe("tool_use");
    const [thought, use] = first.content;
    if (thought?.type !== "thinking" || use?.type !== "tool_use") throw new Error("no loop");
    expect(use.input).toEqual({ word: "naïf" });
    const result = {
      type: "tool_result",
      tool_use_id: use.id,
      content: "A simple person",
    } as const;
    const messages: Param[] = [
      ...HELLO,
      { role: "assistant", content: first.content },
      { role: "user", content: [result] },
    ];
    const second = await client.messages.create({ ...params, messages });
    // The backend refuses what another account has encrypted, and what nobody has.
    expect(textOf(second)).toContain("The tool answered: A simple person");
    const items = lastInput(backend);
    expect(items.map(({ type }) => type)).toEqual([
      "message",
      "reasoning",
      "function_call",
      "function_call_output",
    ]);
    expect(items[1]?.["encrypted_content"]).toEqual(expect.stringMatching(/^gAAAA/));
    expect(items[1]).not.toHaveProperty("id");

    const forged: Param = {
      role: "assistant",
      content: [{ ...thought, signature: "ErUBCkYIBRgCIkDmade+up/by+Claude==" }, use],
    };
    account.script(CALL);
    const third = await client.messages.create({
      ...params,
      messages: [...HELLO, forged, { role: "user", content: [result] }],
    });
    expect(textOf(third)).toContain("The tool answered: A simple person");
    expect(lastInput(backend).map(({ type }) => type)).not.toContain("reasoning");
  });

  test("B3-2: an image in a tool's result stays an image", async () => {
    const use = { type: "tool_use", id: "toolu_01", name: "look_up", input: {} } as const;
    await client.messages.create({
      ...ASK,
      tools: [LOOK_UP],
      messages: [
        ...HELLO,
        { role: "assistant", content: [use] },
        {
          role: "user",
          content: [
            {
              type: "tool_result",
              tool_use_id: use.id,
              content: [{ type: "text", text: "One dot" }, IMAGE],
            },
          ],
        },
      ],
    });
    expect(lastInput(backend).at(-1)).toMatchObject({
      type: "function_call_output",
      call_id: "toolu_01",
      output: [
        { type: "input_text", text: "One dot" },
        { type: "input_image", image_url: `data:image/png;base64,${PNG}` },
      ],
    });
  });

  test("an image and a PDF in a message", async () => {
    const source = { type: "base64", media_type: "application/pdf", data: PDF } as const;
    const content = [IMAGE, { type: "document", source, title: "one.pdf" } as const];
    await client.messages.create({ ...ASK, messages: [{ role: "user", content }] });
    expect(contentSent(backend)).toMatchObject([
      { type: "input_image", image_url: `data:image/png;base64,${PNG}` },
      { type: "input_file", file_data: `data:application/pdf;base64,${PDF}` },
    ]);
  });

  test("B3-11: a web search that the server runs, with its sources", async () => {
    account.script(...Array.from({ length: 2 }, () => ({ kind: "ok", items: SEARCH }) as const));
    const tools = [{ type: "web_search_20250305", name: "web_search", max_uses: 3 } as const];
    const streamed = await client.messages.stream({ ...ASK, tools }).finalMessage();
    const whole = await client.messages.create({ ...ASK, tools });
    expect(list(lastBody(backend)["tools"])).toMatchObject([{ type: "web_search" }]);
    for (const message of [streamed, whole]) {
      const use = message.content.find((block) => block.type === "server_tool_use");
      expect(use).toMatchObject({ name: "web_search", input: { query: "queueing theory" } });
      const result = message.content.find((block) => block.type === "web_search_tool_result");
      expect(result).toMatchObject({ tool_use_id: use?.id ?? "" });
      expect(list(result?.content)).toMatchObject([
        { type: "web_search_result", url: "https://example.com/queues" },
      ]);
      expect(message.usage.server_tool_use?.web_search_requests).toBe(1);
      expect(message.stop_reason).toBe("end_turn");
    }
    expect(withoutIds(streamed.content)).toEqual(withoutIds(whole.content));
  });

  test("parse with an output format made of a zod schema", async () => {
    account.script({ kind: "ok", text: '{"word":"naïf"}' });
    const format = zodOutputFormat(z.object({ word: z.string() }));
    const message = await client.messages.parse({ ...ASK, output_config: { format } });
    expect(message.parsed_output).toEqual({ word: "naïf" });
    expect(dict(lastBody(backend)["text"])["format"]).toMatchObject({
      type: "json_schema",
      schema: { type: "object", required: ["word"] },
    });
  });

  test("B3-10: parallel calls can be forbidden", async () => {
    await client.messages.create({
      ...ASK,
      tools: [LOOK_UP],
      tool_choice: { type: "any", disable_parallel_tool_use: true },
    });
    expect(lastBody(backend)).toMatchObject({
      parallel_tool_calls: false,
      tool_choice: "required",
    });
  });

  test("B3-3: countTokens, without a turn", async () => {
    const before = backend.turns().length;
    const short = await client.messages.countTokens({ model: MODEL, messages: HELLO });
    const long = await client.messages.countTokens({
      model: MODEL,
      system: "You are a poet. ".repeat(100),
      messages: HELLO,
      tools: [LOOK_UP],
    });
    expect(short.input_tokens).toBeGreaterThan(2);
    expect(long.input_tokens).toBeGreaterThan(short.input_tokens + 300);
    expect(backend.turns()).toHaveLength(before);
  });

  test("an aborted stream ends the backend's work", async () => {
    account.script({ kind: "hang-mid-text" });
    const stream = client.messages.stream(ASK);
    stream.on("text", () => stream.abort());
    expect(await failureOf(stream.finalMessage())).toBeInstanceOf(Anthropic.APIUserAbortError);
    await backend.until(() => backend.openStreams() === 0);
    expect(backend.turns().at(-1)?.aborted).toBe(true);
  });
});

describe("what the Anthropic SDK makes of a turn that did not end well", () => {
  const cuts: [reason: "max_output_tokens" | "content_filter", told: string][] = [
    ["max_output_tokens", "max_tokens"],
    ["content_filter", "refusal"],
  ];
  test.each(cuts)("%s: stop_reason %s, in one piece and as a stream", async (reason, told) => {
    account.script({ kind: "incomplete", reason }, { kind: "incomplete", reason });
    const whole = await client.messages.create(ASK);
    const streamed = await client.messages.stream(ASK).finalMessage();
    expect([whole.stop_reason, streamed.stop_reason].map(String)).toEqual([told, told]);
  });

  const breaks: Outcome[] = [
    { kind: "end-mid-text" },
    { kind: "cut-mid-text" },
    { kind: "cut-mid-frame" },
    { kind: "failed", code: "server_error", after: "text" },
    { kind: "error-event", code: "server_error", after: "text" },
  ];
  test.each(breaks)("B3-7: $kind: a typed APIError, and no message_stop", async (outcome) => {
    account.script(outcome, outcome);
    const types: string[] = [];
    const read = async (): Promise<void> => {
      for await (const { type } of await client.messages.create({ ...ASK, stream: true })) {
        types.push(type);
      }
    };
    const error = await failureOf(read());
    if (!(error instanceof Anthropic.APIError)) throw error;
    expect(error.type).toBe("api_error");
    expect(types).toContain("content_block_delta");
    expect(types.filter((type) => type === "content_block_stop")).toHaveLength(
      types.filter((type) => type === "content_block_start").length,
    );
    expect(types).not.toContain("message_stop");
    const helper = client.messages.stream(ASK);
    expect(await failureOf(helper.finalMessage())).toBeInstanceOf(Anthropic.APIError);
  });
});

describe("the Anthropic SDK's error classes", () => {
  test("a wrong key: AuthenticationError", async () => {
    const error = await errorOf({}, clientOf(proxy, "sk-wrong-0123456789"));
    expect(error).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(error.type).toBe("authentication_error");
  });

  test("a key as x-api-key is as good as a bearer token", async () => {
    const other = new Anthropic({ baseURL: proxy.url, apiKey: KEY, maxRetries: 0 });
    expect(textOf(await other.messages.create(ASK))).toContain("You said: Hello there");
  });

  const faults: [name: string, more: Dict, where: string][] = [
    ["no messages", { messages: [] }, "messages"],
    ["a role that is none", { messages: [{ role: "poet", content: "x" }] }, "messages[0].role"],
    ["a model without that level", { model: "gpt-5-codex-xhigh" }, "low, medium, high"],
    [
      "a block that is none",
      { messages: [{ role: "user", content: [{ type: "smell" }] }] },
      "messages[0].content[0]",
    ],
    [
      "a result of no use",
      {
        messages: [
          { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_9", content: "" }] },
        ],
      },
      "messages[0].content[0]",
    ],
  ];
  test.each(faults)(
    "%s: BadRequestError that names it, and no turn",
    async (_name, more, where) => {
      const before = backend.turns().length;
      const error = await errorOf(more);
      expect(error).toBeInstanceOf(Anthropic.BadRequestError);
      expect(error.type).toBe("invalid_request_error");
      expect(error.message).toContain(where);
      expect(backend.turns()).toHaveLength(before);
    },
  );

  test("B3-4: a conversation that is too long is said in the words that Claude's clients know", async () => {
    account.script({ kind: "failed", code: "context_length_exceeded", after: "created" });
    const error = await errorOf({});
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.message).toMatch(/prompt is too long: \d+ tokens > \d+ maximum/);
  });

  test("a body over the limit: 413, request_too_large", async () => {
    const config = { "max-body-bytes": 65_536 };
    await using small = await startProxy({ backend, accounts: [account], config, binary: true });
    const error = await errorOf({ system: "x".repeat(100_000) }, clientOf(small));
    expect(error.status).toBe(413);
    expect(String(error.type)).toBe("request_too_large");
  });

  test("a spent pool: RateLimitError with the time of the reset, not to be tried again", async () => {
    const spent = backend.account("claude-spent");
    spent.always({ kind: "fault", name: "429-usage" });
    await using poor = await startProxy({ backend, accounts: [spent], binary: true });
    // Retries on: the SDK must obey.
    const patient = clientOf(poor, KEY, 2);
    const error = await errorOf({}, patient);
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect(error.type).toBe("rate_limit_error");
    expect(Number(error.headers?.get("retry-after"))).toBeGreaterThan(8000);
    await until("the request is logged", () => requestsIn(poor.logs()) > 0);
    expect(requestsIn(poor.logs())).toBe(1);
  });

  test("no login at all: 503, InternalServerError", async () => {
    await using empty = await startProxy({ backend, accounts: [], binary: true });
    const error = await errorOf({}, clientOf(empty));
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect(error.status).toBe(503);
    expect(["overloaded_error", "api_error"]).toContain(String(error.type));
  });

  test("a backend without capacity: overloaded_error, which the SDK may try again", async () => {
    account.script({ kind: "fault", name: "503-overloaded" });
    const error = await errorOf({});
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect(error.type).toBe("overloaded_error");
    account.script({ kind: "fault", name: "503-overloaded" });
    const message = await clientOf(proxy, KEY, 1).messages.create(ASK);
    expect(message.stop_reason).toBe("end_turn");
  });

  test("an unknown path: NotFoundError", async () => {
    const error = await failureOf(client.post("/v1/nothing", { body: {} }));
    expect(error).toBeInstanceOf(Anthropic.NotFoundError);
  });
});

const SEARCH: readonly Dict[] = [
  {
    type: "web_search_call",
    status: "completed",
    action: {
      type: "search",
      query: "queueing theory",
      sources: [{ type: "url", url: "https://example.com/queues" }],
    },
  },
  { type: "message", content: [{ type: "output_text", text: "L = λW." }] },
];

function clientOf({ url }: Pick<TestProxy, "url">, authToken = KEY, maxRetries = 0): Anthropic {
  return new Anthropic({ baseURL: url, authToken, apiKey: null, maxRetries, timeout: 20_000 });
}

function textOf({ content }: { readonly content: readonly { readonly type: string }[] }): string {
  return content.map((block) => String(dict(block)["text"] ?? "")).join("");
}

function withoutIds(content: readonly unknown[]): readonly Dict[] {
  return content.map((block) => ({ ...dict(block), id: "", tool_use_id: "", signature: "" }));
}

function requestsIn(logs: string): number {
  return logs.match(/ protocol=messages /g)?.length ?? 0;
}

type ApiError = InstanceType<typeof Anthropic.APIError>;

/** The error that a request ends in which differs from a good one by `more`. */
async function errorOf(more: Dict, from = client): Promise<ApiError> {
  const error = await failureOf(from.post("/v1/messages", { body: { ...ASK, ...more } }));
  if (error instanceof Anthropic.APIError) return error;
  throw error;
}
