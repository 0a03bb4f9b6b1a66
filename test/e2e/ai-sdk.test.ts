import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import {
  APICallError,
  generateObject,
  generateText,
  isStepCount,
  type LanguageModel,
  streamText,
  TypeValidationError,
  tool,
} from "ai";
import { z } from "zod";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { textOf } from "../support/backend/stream.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { contentSent, failureOf, lastBody, lastInput, PDF, PNG } from "../support/sdk.ts";

setDefaultTimeout(30_000);

// The AI SDK warns of models that it does not know.
Reflect.set(globalThis, "AI_SDK_LOG_WARNINGS", false);

let backend: FakeBackend;
let account: FakeAccount;
let proxy: TestProxy;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true, obfuscation: true });
  account = backend.account("ai-sdk");
  proxy = await startProxy({ backend, accounts: [account], binary: true });
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

const FACES = ["chat", "responses", "messages"] as const;

/** A model as the AI SDK calls it over one of the protocols. */
function modelOf(face: (typeof FACES)[number], model = "gpt-5.4", apiKey = KEY): LanguageModel {
  const baseURL = `${proxy.url}/v1`;
  if (face === "messages") return createAnthropic({ baseURL, apiKey })(model);
  const openai = createOpenAI({ baseURL, apiKey });
  return face === "chat" ? openai.chat(model) : openai(model);
}

const CALL: Outcome = { kind: "ok", tool: { name: "look_up", arguments: { word: "naïf" } } };
const look_up = tool({
  description: "Looks a word up",
  inputSchema: z.object({ word: z.string() }),
  execute: ({ word }) => `A simple person, ${word}`,
});

describe.each(FACES)("the AI SDK over %s", (face) => {
  test("streamText: parts, usage and an end", async () => {
    const result = streamText({ model: modelOf(face), prompt: "Hello there", maxRetries: 0 });
    const types = new Set<string>();
    let words = "";
    for await (const part of result.stream) {
      if (part.type === "error") throw part.error;
      types.add(part.type);
      if (part.type === "text-delta") words += part.text;
    }
    expect(words).toContain("You said: Hello there");
    expect(await result.finishReason).toBe("stop");
    expect((await result.totalUsage).outputTokens).toBeGreaterThan(0);
    expect([...types]).toEqual(expect.arrayContaining(["text-start", "text-end", "finish"]));
  });

  test("streamText: a tool in several steps", async () => {
    account.script(CALL, CALL);
    const result = streamText({
      model: modelOf(face),
      prompt: "What is a naïf?",
      tools: { look_up },
      stopWhen: isStepCount(4),
      maxRetries: 0,
      onError: ({ error }) => {
        throw error;
      },
    });
    expect(await result.text).toContain("The tool answered: A simple person, naïf");
    const steps = await result.steps;
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
    expect(steps[0]?.toolCalls.map(({ toolName, input }) => ({ toolName, input }))).toEqual([
      { toolName: "look_up", input: { word: "naïf" } },
    ]);
    const types = lastInput(backend).map(({ type }) => type);
    expect(types.slice(-2)).toEqual(["function_call", "function_call_output"]);
  });

  test("generateText: the same in one piece", async () => {
    account.script(CALL, CALL);
    const result = await generateText({
      model: modelOf(face),
      prompt: "What is a naïf?",
      tools: { look_up },
      stopWhen: isStepCount(4),
      maxRetries: 0,
    });
    expect(result.text).toContain("The tool answered: A simple person, naïf");
    expect(result.totalUsage.inputTokens).toBeGreaterThan(0);
  });

  test("generateObject: the schema reaches the backend", async () => {
    account.script({ kind: "ok", text: '{"word":"naïf"}' });
    const { object } = await generateObject({
      model: modelOf(face),
      schema: z.object({ word: z.string() }),
      prompt: "A word, please",
      maxRetries: 0,
      ...(face === "messages"
        ? { providerOptions: { anthropic: { structuredOutputMode: "outputFormat" } } }
        : {}),
    });
    expect(object).toEqual({ word: "naïf" });
    expect(dict(lastBody(backend)["text"])["format"]).toMatchObject({
      type: "json_schema",
      schema: { properties: { word: { type: "string" } } },
    });
  });

  test("an image and a PDF", async () => {
    await generateText({
      model: modelOf(face),
      maxRetries: 0,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "file", data: PNG, mediaType: "image/png" },
            { type: "file", data: PDF, mediaType: "application/pdf", filename: "one.pdf" },
          ],
        },
      ],
    });
    expect(textOf(lastInput(backend).at(-1)?.["content"])).toStartWith("What is this?");
    expect(contentSent(backend)).toMatchObject([
      { type: "input_image", image_url: `data:image/png;base64,${PNG}` },
      { type: "input_file", file_data: `data:application/pdf;base64,${PDF}` },
    ]);
  });

  const breaks: Outcome[] = [
    { kind: "end-mid-text" },
    { kind: "cut-mid-text" },
    { kind: "failed", code: "server_error", after: "text" },
    { kind: "failed", code: "invalid_prompt", after: "text" },
    { kind: "error-event", code: "server_error", after: "text" },
    { kind: "error-event", code: "server_error", after: "text", shape: "flat" },
  ];
  test.each(breaks)("B1-17: $kind in the middle is an error that it can read", async (outcome) => {
    account.script(outcome);
    const result = streamText({
      model: modelOf(face),
      prompt: "Hello",
      maxRetries: 0,
      onError: () => {},
    });
    const errors: unknown[] = [];
    const finishes: unknown[] = [];
    for await (const part of result.stream) {
      if (part.type === "error") errors.push(part.error);
      if (part.type === "finish-step") finishes.push(part.finishReason);
    }
    expect(errors).not.toEqual([]);
    for (const error of errors) expect(TypeValidationError.isInstance(error)).toBe(false);
    expect(finishes).not.toContain("stop");
  });

  test("a refused request: an APICallError with the proxy's own words", async () => {
    const ask = (model: LanguageModel) =>
      failureOf(generateText({ model, prompt: "Hello", maxRetries: 0 }));
    const denied = await ask(modelOf(face, "gpt-5.4", "sk-wrong-0123456789"));
    const faulty = await ask(modelOf(face, "gpt-5-codex-xhigh"));
    if (!APICallError.isInstance(denied) || !APICallError.isInstance(faulty)) throw denied;
    expect([denied.statusCode, faulty.statusCode]).toEqual([401, 400]);
    expect(faulty.message).toContain("low, medium, high");
  });
});

describe.each(["responses", "messages"] as const)("reasoning in the AI SDK over %s", (face) => {
  const providerOptions = {
    openai: { reasoningSummary: "auto", include: ["reasoning.encrypted_content"], store: false },
    anthropic: { thinking: { type: "enabled", budgetTokens: 4096 } },
  };

  test("is streamed, and goes back with its ciphertext", async () => {
    account.script(CALL, CALL);
    const result = streamText({
      model: modelOf(face),
      prompt: "What is a naïf?",
      tools: { look_up },
      stopWhen: isStepCount(4),
      maxRetries: 0,
      providerOptions,
    });
    let thoughts = "";
    for await (const part of result.stream) {
      if (part.type === "error") throw part.error;
      if (part.type === "reasoning-delta") thoughts += part.text;
    }
    expect(thoughts).toContain("**Thinking it over**");
    expect(lastInput(backend).find(({ type }) => type === "reasoning")).toMatchObject({
      encrypted_content: expect.stringMatching(/^gAAAA/),
    });
  });
});

describe("the web search tools of the AI SDK's providers", () => {
  test.each([true, false])("anthropic's, with sources (stream: %p)", async (stream) => {
    account.script({ kind: "ok", items: SEARCH });
    const { webSearch_20250305 } = createAnthropic({ apiKey: KEY }).tools;
    const ask = {
      model: modelOf("messages"),
      prompt: "What is Little's law?",
      tools: { web_search: webSearch_20250305({ maxUses: 2 }) },
      maxRetries: 0,
    };
    const result = stream ? streamText(ask) : await generateText(ask);
    expect(await result.text).toBe("L = λW.");
    expect(await result.sources).toMatchObject([{ url: "https://example.com/queues" }]);
    expect(await result.toolResults).toHaveLength(1);
    expect(list(lastBody(backend)["tools"])).toMatchObject([{ type: "web_search" }]);
  });

  test("openai's, over responses", async () => {
    account.script({ kind: "ok", items: SEARCH });
    const openai = createOpenAI({ baseURL: `${proxy.url}/v1`, apiKey: KEY });
    const result = streamText({
      model: openai("gpt-5.4"),
      prompt: "What is Little's law?",
      tools: { web_search: openai.tools.webSearch({ searchContextSize: "low" }) },
      maxRetries: 0,
    });
    expect(await result.text).toBe("L = λW.");
    expect(await result.toolCalls).toMatchObject([{ toolName: "web_search" }]);
  });
});

const SEARCH: readonly Dict[] = [
  {
    type: "web_search_call",
    status: "completed",
    action: {
      type: "search",
      query: "Little's law",
      sources: [{ type: "url", url: "https://example.com/queues" }],
    },
  },
  { type: "message", content: [{ type: "output_text", text: "L = λW." }] },
];
