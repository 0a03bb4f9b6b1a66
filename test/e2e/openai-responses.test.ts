import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { contentSent, failureOf, lastBody, lastInput, PDF, PNG } from "../support/sdk.ts";

setDefaultTimeout(30_000);

let backend: FakeBackend;
let account: FakeAccount;
let proxy: TestProxy;
let client: OpenAI;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true, obfuscation: true });
  account = backend.account("sdk");
  proxy = await startProxy({ backend, accounts: [account], binary: true });
  client = clientOf(proxy);
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

const MODEL = "gpt-5.4-high";
const Word = z.object({ word: z.string() });
const TOOL = {
  type: "function",
  name: "look_up",
  description: "Looks a word up",
  strict: true,
  parameters: {
    type: "object",
    properties: { word: { type: "string" } },
    required: ["word"],
    additionalProperties: false,
  },
} as const;

describe("the official OpenAI SDK", () => {
  test("responses.create in one piece", async () => {
    const response = await client.responses.create({ model: MODEL, input: "Hello there" });
    expect(response.status).toBe("completed");
    expect(response.output_text).toContain("You said: Hello there");
    expect(response.output.map(({ type }) => type)).toEqual(["reasoning", "message"]);
    expect(response.usage?.total_tokens).toBeGreaterThan(0);
    expect(lastBody(backend)).toMatchObject({
      model: "gpt-5.4",
      reasoning: { effort: "high" },
      stream: true,
      store: false,
    });
  });

  test("what the SDK sends and the backend refuses is taken out", async () => {
    const response = await client.responses.create({
      model: MODEL,
      instructions: "Be brief.",
      input: [
        { role: "system", content: "You are a poet." },
        { role: "user", content: "Hello" },
      ],
      temperature: 0.2,
      top_p: 0.9,
      max_output_tokens: 500,
      metadata: { a: "b" },
      user: "somebody",
      truncation: "auto",
      store: true,
      parallel_tool_calls: true,
      service_tier: "auto",
    });
    expect(response.status).toBe("completed");
    const sent = lastBody(backend);
    expect(sent).toMatchObject({ instructions: "Be brief.", parallel_tool_calls: true });
    expect(dict(list(sent["input"])[0])).toMatchObject({
      role: "developer",
      content: "You are a poet.",
    });
    for (const name of [
      "temperature",
      "top_p",
      "max_output_tokens",
      "metadata",
      "user",
      "truncation",
    ]) {
      expect(sent).not.toHaveProperty(name);
    }
  });

  test("responses.create as a stream of public events", async () => {
    const stream = await client.responses.create({ model: MODEL, input: "Hello", stream: true });
    const types: string[] = [];
    let words = "";
    let last = "";
    let output = 0;
    for await (const event of stream) {
      types.push(event.type);
      last = event.type;
      if (event.type === "response.output_text.delta") words += event.delta;
      if (event.type === "response.completed") output = event.response.output.length;
    }
    expect(words).toContain("You said: Hello");
    expect(last).toBe("response.completed");
    expect(output).toBe(2);
    expect(types.filter((type) => !type.startsWith("response."))).toEqual([]);
    expect(types[0]).toBe("response.created");
  });

  test("the stream helper and its finalResponse", async () => {
    const seen: string[] = [];
    const stream = client.responses
      .stream({ model: MODEL, input: "Hello" })
      .on("response.output_text.delta", ({ snapshot }) => seen.push(snapshot));
    const response = await stream.finalResponse();
    expect(response.status).toBe("completed");
    expect(response.output_text).toContain("You said: Hello");
    expect(seen.at(-1)).toBe(response.output_text);
  });

  test("a loop with a tool, in one piece and as a stream", async () => {
    account.script(TOOL_CALL, TOOL_CALL);
    const input: OpenAI.Responses.ResponseInput = [{ role: "user", content: "What is a naïf?" }];
    const first = await client.responses.create({ model: MODEL, input, tools: [TOOL] });
    const call = first.output.find((item) => item.type === "function_call");
    expect(call).toMatchObject({ name: "look_up", arguments: '{"word":"naïf"}' });
    for (const item of first.output) {
      if (item.type === "reasoning" || item.type === "function_call") input.push(item);
    }
    const call_id = call?.call_id ?? "";
    input.push({ type: "function_call_output", call_id, output: "A simple person" });
    const second = await client.responses
      .stream({ model: MODEL, input, tools: [TOOL] })
      .finalResponse();
    expect(second.output_text).toContain("The tool answered: A simple person");
    // The model's thoughts went back with their ciphertext, and without an id that nobody could look up.
    const items = lastInput(backend);
    const thought = items.find(({ type }) => type === "reasoning");
    expect(thought?.["encrypted_content"]).toEqual(expect.stringMatching(/^gAAAA/));
  });

  test("parse with a text format and a tool made of zod schemas", async () => {
    account.script({ kind: "ok", text: '{"word":"naïf"}' }, TOOL_CALL);
    const ask = { model: MODEL, input: "A word, please" };
    const text = { format: zodTextFormat(Word, "a_word") };
    const parsed = await client.responses.parse({ ...ask, text });
    expect(parsed.output_parsed).toEqual({ word: "naïf" });
    expect(dict(lastBody(backend)["text"])["format"]).toMatchObject({
      type: "json_schema",
      name: "a_word",
      strict: true,
    });
    const tool = zodResponsesFunction({ name: "look_up", parameters: Word });
    const called = await client.responses.stream({ ...ask, tools: [tool] }).finalResponse();
    const call = called.output.find((item) => item.type === "function_call");
    expect(call?.parsed_arguments).toEqual({ word: "naïf" });
  });

  test("an image and a PDF", async () => {
    const image_url = `data:image/png;base64,${PNG}`;
    const file_data = `data:application/pdf;base64,${PDF}`;
    const content: OpenAI.Responses.ResponseInputContent[] = [
      { type: "input_image", image_url, detail: "auto" },
      { type: "input_file", filename: "one.pdf", file_data },
    ];
    await client.responses.create({ model: MODEL, input: [{ role: "user", content }] });
    expect(contentSent(backend)).toEqual(content.map((part) => ({ ...part })));
  });

  test("B4-10: compact, and a conversation that goes on from what it gives", async () => {
    const compacted = await client.responses.compact({
      model: MODEL,
      input: [
        { type: "message", role: "user", content: "My word is periwinkle" },
        { type: "message", role: "assistant", content: "Noted." },
      ],
    });
    expect(compacted.object).toBe("response.compaction");
    expect(compacted.usage.total_tokens).toBeGreaterThan(0);
    expect(compacted.output.map(({ type }) => type)).toEqual(["message", "compaction"]);
    // The type of what is given is one of those that are taken, but for roles that only the model has.
    const input = compacted.output.filter((item) => item.type === "compaction");
    const response = await client.responses.create({
      model: MODEL,
      input: [...input, { role: "user", content: "And now?" }],
    });
    expect(response.output_text).toContain("You said: And now?");
    expect(lastInput(backend)[0]).toMatchObject({
      type: "compaction",
      encrypted_content: expect.stringMatching(/^gAAAA/),
    });
  });

  test("an aborted stream ends the backend's work", async () => {
    account.script({ kind: "hang-mid-text" });
    const stream = await client.responses.create({ model: MODEL, input: "Hello", stream: true });
    for await (const event of stream) if (event.type === "response.output_text.delta") break;
    await backend.until(() => backend.openStreams() === 0);
    expect(backend.turns().at(-1)?.aborted).toBe(true);
  });

  test("models.list and models.retrieve", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) {
      ids.push(model.id);
      expect(model.created).toBeGreaterThan(0);
    }
    expect(ids).toContain("gpt-5.4-high-fast");
    expect(new Set(ids).size).toBe(ids.length);
    expect((await client.models.retrieve("gpt-5.1-codex-max")).object).toBe("model");
    const missing = await failureOf(client.models.retrieve("gpt-0"));
    expect(missing).toBeInstanceOf(OpenAI.NotFoundError);
  });
});

describe("the SDK's error classes", () => {
  test("a wrong key: AuthenticationError", async () => {
    const error = await errorOf(clientOf(proxy, "sk-wrong-0123456789"));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error.code).toBe("invalid_api_key");
  });

  test("a request at fault: BadRequestError with its parameter", async () => {
    const error = await errorOf(client, "gpt-5-codex-xhigh");
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.param).toBe("model");
    expect(error.message).toContain("low, medium, high");
    account.script({ kind: "fault", name: "400-error" });
    const refused = await errorOf(client);
    expect(refused).toBeInstanceOf(OpenAI.BadRequestError);
    expect([refused.param, refused.code]).toEqual(["tool_choice", "invalid_value"]);
  });

  test("a spent pool: RateLimitError with the time of the reset", async () => {
    const spent = backend.account("sdk-spent");
    spent.always({ kind: "fault", name: "429-usage" });
    await using poor = await startProxy({ backend, accounts: [spent], binary: true });
    const error = await errorOf(clientOf(poor));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error.type).toBe("usage_limit_reached");
    expect(Number(error.headers?.get("retry-after"))).toBeGreaterThan(8000);
    expect(dict(error.error)["resets_at"]).toBeGreaterThan(Date.now() / 1000);
  });

  test("a backend that fails: InternalServerError, and the request's id", async () => {
    account.script({ kind: "fault", name: "500" });
    const error = await errorOf(client);
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error.requestID).toMatch(/^req_/);
  });

  test("a stream that fails in the middle: no response passes for complete", async () => {
    account.script({ kind: "end-mid-text" });
    const response = await client.responses
      .stream({ model: MODEL, input: "Hello" })
      .finalResponse();
    expect(response.status).toBe("failed");
    expect(response.error?.code).toBe("server_error");
  });
});

const TOOL_CALL: Outcome = { kind: "ok", tool: { name: "look_up", arguments: { word: "naïf" } } };

function clientOf({ url }: Pick<TestProxy, "url">, apiKey = KEY): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: 20_000 });
}

type ApiError = InstanceType<typeof OpenAI.APIError>;

/** The error that a request ends in. */
async function errorOf(from: OpenAI, model = MODEL): Promise<ApiError> {
  const error = await failureOf(from.responses.create({ model, input: "Hello" }));
  if (error instanceof OpenAI.APIError) return error;
  throw error;
}
