import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { failureOf, lastBody, lastInput, PDF, PNG } from "../support/sdk.ts";

setDefaultTimeout(30_000);

let backend: FakeBackend;
let account: FakeAccount;
let proxy: TestProxy;
let client: OpenAI;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true, obfuscation: true });
  account = backend.account("chat");
  proxy = await startProxy({ backend, accounts: [account], binary: true });
  client = clientOf(proxy);
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

type Message = OpenAI.Chat.ChatCompletionMessageParam;
type Tool = OpenAI.Chat.ChatCompletionTool;

const MODEL = "gpt-5.4-high";
const HELLO: Message[] = [
  { role: "system", content: "You are a poet." },
  { role: "user", content: "Hello there" },
];
const Word = z.object({ word: z.string() });
const LOOK_UP = {
  name: "look_up",
  description: "Looks a word up",
  parameters: {
    type: "object",
    properties: { word: { type: "string" } },
    required: ["word"],
    additionalProperties: false,
  },
} as const;
const CALL: Outcome = { kind: "ok", tool: { name: "look_up", arguments: { word: "naïf" } } };

describe("the official OpenAI SDK on Chat Completions", () => {
  test("create in one piece", async () => {
    const completion = await client.chat.completions.create({ model: MODEL, messages: HELLO });
    expect(completion.id).toStartWith("chatcmpl-");
    expect(completion).toMatchObject({ object: "chat.completion", model: MODEL });
    expect(completion.choices).toHaveLength(1);
    const [choice] = completion.choices;
    expect(choice).toMatchObject({ index: 0, finish_reason: "stop", logprobs: null });
    expect(choice?.message).toMatchObject({ role: "assistant", refusal: null });
    expect(choice?.message.content).toContain("You said: Hello there");
    const { usage } = completion;
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBe(5);
    expect(lastBody(backend)).toMatchObject({
      model: "gpt-5.4",
      reasoning: { effort: "high" },
      stream: true,
      store: false,
    });
    expect(JSON.stringify(lastBody(backend))).toContain("You are a poet.");
  });

  test("create as a stream: one role, one finish, no usage unless asked for", async () => {
    const chunks = await chunksOf({ model: MODEL, messages: HELLO });
    const choices = chunks.flatMap((chunk) => chunk.choices);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(choices.map(({ delta }) => delta.content ?? "").join("")).toContain("You said: Hello");
    expect(choices.flatMap(({ delta }) => delta.role ?? [])).toEqual(["assistant"]);
    expect(choices.flatMap((choice) => choice.finish_reason ?? [])).toEqual(["stop"]);
    expect(chunks.filter(({ usage }) => usage)).toEqual([]);
    expect(chunks.every(({ model }) => model === MODEL)).toBe(true);
  });

  test("stream_options.include_usage: one last chunk with nothing else", async () => {
    const chunks = await chunksOf({
      model: MODEL,
      messages: HELLO,
      stream_options: { include_usage: true },
    });
    const last = chunks.at(-1);
    expect(last?.choices).toEqual([]);
    expect(last?.usage?.total_tokens).toBeGreaterThan(0);
    expect(chunks.slice(0, -1).map(({ usage }) => usage)).toEqual(chunks.slice(1).map(() => null));
  });

  test("the stream helper, its events and finalChatCompletion", async () => {
    const seen: string[] = [];
    const stream = client.chat.completions
      .stream({ model: MODEL, messages: HELLO, stream_options: { include_usage: true } })
      .on("content.delta", ({ snapshot }) => seen.push(snapshot))
      .on("content.done", ({ content }) => seen.push(content));
    const completion = await stream.finalChatCompletion();
    expect(completion.choices[0]?.finish_reason).toBe("stop");
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.at(-1)).toBe(completion.choices[0]?.message.content ?? "");
    expect((await stream.totalUsage()).total_tokens).toBeGreaterThan(0);
  });

  test.each([false, true])("runTools goes round its loop (stream: %p)", async (stream) => {
    account.script(CALL, CALL);
    const asked: string[] = [];
    const tool = zodFunction({
      name: "look_up",
      description: "Looks a word up",
      parameters: Word,
      function: ({ word }) => {
        asked.push(word);
        return "A simple person";
      },
    });
    const messages: Message[] = [{ role: "user", content: "What is a naïf?" }];
    const ask = { model: MODEL, messages, tools: [tool] };
    const runner = stream
      ? client.chat.completions.runTools({ ...ask, stream })
      : client.chat.completions.runTools(ask);
    expect(await runner.finalContent()).toContain("The tool answered: A simple person");
    expect(asked).toEqual(["naïf"]);
    // B2-6: the thoughts come back before the call that they led to, with their ciphertext and no id.
    const items = lastInput(backend);
    const call = items.findIndex(({ type }) => type === "function_call");
    expect(items[call - 1]).toMatchObject({
      type: "reasoning",
      encrypted_content: expect.stringMatching(/^gAAAA/),
    });
    expect(items[call - 1]).not.toHaveProperty("id");
    expect(items[call + 1]).toMatchObject({ type: "function_call_output" });
  });

  test("a call without arguments is one with none, not one that cannot be parsed", async () => {
    account.script({ kind: "ok", tool: { name: "now", arguments: "" } });
    const parameters = z.object({});
    const tool = zodFunction({ name: "now", parameters, function: () => "noon" });
    const runner = client.chat.completions.runTools({
      model: MODEL,
      messages: HELLO,
      tools: [tool],
      stream: true,
    });
    await runner.finalContent();
    const outputs = lastInput(backend).filter(({ type }) => type === "function_call_output");
    expect(outputs.map(({ output }) => output)).toEqual(["noon"]);
  });

  test.each([false, true])("parallel calls keep their indexes (stream: %p)", async (stream) => {
    account.script({
      kind: "ok",
      items: ["a", "b"].map((word, at) => ({
        type: "function_call",
        call_id: `call_${at}`,
        name: "look_up",
        arguments: JSON.stringify({ word }),
      })),
    });
    const tools: Tool[] = [{ type: "function", function: LOOK_UP }];
    const ask = { model: MODEL, messages: HELLO, tools };
    const completion = stream
      ? await client.chat.completions.stream(ask).finalChatCompletion()
      : await client.chat.completions.create(ask);
    const [choice] = completion.choices;
    expect(choice?.finish_reason).toBe("tool_calls");
    expect(choice?.message.content).toBeNull();
    expect(choice?.message.tool_calls).toMatchObject([
      { id: "call_0", type: "function", function: { name: "look_up", arguments: '{"word":"a"}' } },
      { id: "call_1", type: "function", function: { name: "look_up", arguments: '{"word":"b"}' } },
    ]);
  });

  test("parse with a response format made of a zod schema", async () => {
    account.script({ kind: "ok", text: '{"word":"naïf"}' });
    const completion = await client.chat.completions.parse({
      model: MODEL,
      messages: HELLO,
      response_format: zodResponseFormat(Word, "a_word"),
    });
    expect(completion.choices[0]?.message.parsed).toEqual({ word: "naïf" });
    expect(dict(lastBody(backend)["text"])["format"]).toMatchObject({
      type: "json_schema",
      name: "a_word",
      strict: true,
      schema: { type: "object", required: ["word"], additionalProperties: false },
    });
  });

  test("functions, as they were before there were tools", async () => {
    account.script(CALL, CALL);
    const messages: Message[] = [{ role: "user", content: "What is a naïf?" }];
    const functions = [LOOK_UP];
    const first = await client.chat.completions.create({
      model: MODEL,
      messages,
      functions,
      function_call: { name: "look_up" },
    });
    const [choice] = first.choices;
    expect(choice?.finish_reason).toBe("function_call");
    const call = choice?.message.function_call;
    expect(call).toEqual({ name: "look_up", arguments: '{"word":"naïf"}' });
    expect(lastBody(backend)["tool_choice"]).toEqual({ type: "function", name: "look_up" });
    const second = await client.chat.completions.create({
      model: MODEL,
      functions,
      messages: [
        ...messages,
        { role: "assistant", content: null, ...(call ? { function_call: call } : {}) },
        { role: "function", name: "look_up", content: "A simple person" },
      ],
    });
    expect(second.choices[0]?.message.content).toContain("The tool answered: A simple person");
  });

  test("a custom tool with a grammar, there and back", async () => {
    const patch = "*** Begin Patch\n*** End Patch\n";
    const tool = { name: "apply_patch", arguments: patch, custom: true };
    account.script({ kind: "ok", tool }, { kind: "ok", tool });
    const tools: Tool[] = [
      {
        type: "custom",
        custom: {
          name: "apply_patch",
          format: {
            type: "grammar",
            grammar: { syntax: "lark", definition: 'start: "*** Begin Patch"' },
          },
        },
      },
    ];
    const messages: Message[] = [{ role: "user", content: "Patch it" }];
    const first = await client.chat.completions
      .stream({ model: MODEL, messages, tools })
      .finalChatCompletion();
    const message = first.choices[0]?.message;
    expect(message?.tool_calls).toMatchObject([
      { type: "custom", custom: { name: "apply_patch", input: patch } },
    ]);
    expect(list(lastBody(backend)["tools"])).toMatchObject([
      { type: "custom", name: "apply_patch", format: { type: "grammar", syntax: "lark" } },
    ]);
    const tool_call_id = message?.tool_calls?.[0]?.id ?? "";
    if (message) messages.push(message);
    messages.push({ role: "tool", tool_call_id, content: "Done" });
    const second = await client.chat.completions.create({ model: MODEL, messages, tools });
    expect(second.choices[0]?.message.content).toContain("The tool answered: Done");
    expect(lastInput(backend).map(({ type }) => type)).toContain("custom_tool_call_output");
  });

  test("images and a PDF", async () => {
    const url = `data:image/png;base64,${PNG}`;
    const file_data = `data:application/pdf;base64,${PDF}`;
    await client.chat.completions.create({
      model: MODEL,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url, detail: "low" } },
            { type: "file", file: { filename: "one.pdf", file_data } },
          ],
        },
      ],
    });
    expect(lastInput(backend).at(-1)).toMatchObject({
      role: "user",
      content: [
        { type: "input_text", text: "What is this?" },
        { type: "input_image", image_url: url, detail: "low" },
        { type: "input_file", filename: "one.pdf", file_data },
      ],
    });
  });

  test("an aborted stream ends the backend's work", async () => {
    account.script({ kind: "hang-mid-text" });
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: HELLO,
      stream: true,
    });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await backend.until(() => backend.openStreams() === 0);
    expect(backend.turns().at(-1)?.aborted).toBe(true);
  });
});

describe("what the SDK makes of a turn that did not end well", () => {
  const cuts: [reason: "max_output_tokens" | "content_filter", told: string][] = [
    ["max_output_tokens", "length"],
    ["content_filter", "content_filter"],
  ];
  test.each(cuts)("%s: finish_reason %s, in one piece and as a stream", async (reason, told) => {
    account.script({ kind: "incomplete", reason }, { kind: "incomplete", reason });
    const ask = { model: MODEL, messages: HELLO };
    const completion = await client.chat.completions.create(ask);
    const chunks = await chunksOf(ask);
    expect(completion.choices[0]?.finish_reason ?? "").toBe(told);
    const reasons = chunks.flatMap(({ choices }) =>
      choices.flatMap((one) => one.finish_reason ?? []),
    );
    expect(reasons.map(String)).toEqual([told]);
  });

  test.each<Outcome["kind"] & ("end-mid-text" | "cut-mid-text" | "cut-mid-frame")>([
    "end-mid-text",
    "cut-mid-text",
    "cut-mid-frame",
  ])("%s: an APIError, and no finish", async (kind) => {
    account.script({ kind }, { kind });
    let words = "";
    const reasons: unknown[] = [];
    const read = async (): Promise<void> => {
      const ask = { model: MODEL, messages: HELLO, stream: true } as const;
      for await (const { choices } of await client.chat.completions.create(ask)) {
        words += choices[0]?.delta.content ?? "";
        reasons.push(...choices.flatMap((choice) => choice.finish_reason ?? []));
      }
    };
    const error = await failureOf(read());
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(words).not.toBe("");
    expect(reasons).toEqual([]);
    const helper = client.chat.completions.stream({ model: MODEL, messages: HELLO });
    expect(await failureOf(helper.finalChatCompletion())).toBeInstanceOf(OpenAI.APIError);
  });
});

describe("the SDK's error classes on Chat Completions", () => {
  test("a wrong key: AuthenticationError", async () => {
    const error = await errorOf({}, clientOf(proxy, "sk-wrong-0123456789"));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error.code).toBe("invalid_api_key");
  });

  const faults: [name: string, more: Dict, param: string][] = [
    ["two answers", { n: 2 }, "n"],
    ["log probabilities", { logprobs: true }, "logprobs"],
    ["a model without that level", { model: "gpt-5-codex-xhigh" }, "model"],
    ["no messages", { messages: [] }, "messages"],
    ["a role that is none", { messages: [{ role: "poet", content: "x" }] }, "messages[0].role"],
    [
      "an answer to no call",
      { messages: [...HELLO, { role: "tool", tool_call_id: "call_9", content: "x" }] },
      "messages[2]",
    ],
  ];
  test.each(faults)(
    "%s: BadRequestError that names it, and no turn",
    async (_name, more, param) => {
      const before = backend.turns().length;
      const error = await errorOf(more);
      expect(error).toBeInstanceOf(OpenAI.BadRequestError);
      expect(error.param).toStartWith(param);
      expect(backend.turns()).toHaveLength(before);
    },
  );

  test("a conversation that is too long: context_length_exceeded", async () => {
    account.script({ kind: "failed", code: "context_length_exceeded", after: "created" });
    const error = await errorOf({});
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.code).toBe("context_length_exceeded");
  });

  test("a spent pool: RateLimitError with the time of the reset", async () => {
    const spent = backend.account("chat-spent");
    spent.always({ kind: "fault", name: "429-usage" });
    await using poor = await startProxy({ backend, accounts: [spent], binary: true });
    const error = await errorOf({}, clientOf(poor));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(Number(error.headers?.get("retry-after"))).toBeGreaterThan(8000);
  });

  test("a backend that fails: InternalServerError, and the request's id", async () => {
    account.script({ kind: "fault", name: "500" });
    const error = await errorOf({});
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error.requestID).toMatch(/^req_/);
  });
});

function clientOf({ url }: Pick<TestProxy, "url">, apiKey = KEY): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: 20_000 });
}

async function chunksOf(
  ask: Omit<OpenAI.Chat.ChatCompletionCreateParamsStreaming, "stream">,
): Promise<OpenAI.Chat.ChatCompletionChunk[]> {
  const chunks: OpenAI.Chat.ChatCompletionChunk[] = [];
  const stream = await client.chat.completions.create({ ...ask, stream: true });
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

type ApiError = InstanceType<typeof OpenAI.APIError>;

/** The error that a request ends in which differs from a good one by `more`. */
async function errorOf(more: Dict, from = client): Promise<ApiError> {
  const body = { model: MODEL, messages: HELLO, ...more };
  const error = await failureOf(from.post("/chat/completions", { body }));
  if (error instanceof OpenAI.APIError) return error;
  throw error;
}
