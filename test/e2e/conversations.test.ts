import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";
import { dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { call } from "../support/call.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";

setDefaultTimeout(30_000);

let backend: FakeBackend;
let account: FakeAccount;
let proxy: TestProxy;
let client: OpenAI;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true, obfuscation: true });
  account = backend.account("talk");
  proxy = await startProxy({ backend, accounts: [account] });
  client = new OpenAI({ apiKey: KEY, baseURL: `${proxy.url}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

const MODEL = "gpt-5.4";

/** The input of the last turn as the backend got it. */
function lastInput() {
  return list(dict(backend.turns().at(-1)?.body)["input"]).map(dict);
}

const typesOf = (items: readonly { readonly [key: string]: unknown }[]) =>
  items.map(({ type, role }) => (type === "message" ? role : type));

describe("the official OpenAI SDK, going on by the id of a response", () => {
  test("B5-9: holds a conversation, in one piece and as a stream", async () => {
    const first = await client.responses.create({ model: MODEL, input: "One" });
    expect(first).toMatchObject({ store: true, previous_response_id: null });
    const second = await client.responses
      .stream({ model: MODEL, input: "Two", previous_response_id: first.id })
      .finalResponse();
    expect(second.output_text).toContain("You said: Two");
    expect(second.previous_response_id).toBe(first.id);
    const third = await client.responses.create({
      model: MODEL,
      input: "Three",
      previous_response_id: second.id,
    });
    expect(third.output_text).toContain("You said: Three");
    const said = ["user", "reasoning", "assistant"];
    expect(typesOf(lastInput())).toEqual([...said, ...said, "user"]);
    expect(dict(backend.turns().at(-1)?.body)).not.toHaveProperty("previous_response_id");
  });

  test("sends only a tool's output after its call", async () => {
    const outcome: Outcome = { kind: "ok", tool: { name: "look_up", arguments: { word: "naïf" } } };
    account.script(outcome, outcome);
    const first = await client.responses.create({ model: MODEL, input: "What is a naïf?" });
    const asked = first.output.find((item) => item.type === "function_call");
    const second = await client.responses.create({
      model: MODEL,
      previous_response_id: first.id,
      input: [
        { type: "function_call_output", call_id: asked?.call_id ?? "", output: "A simple person" },
      ],
    });
    expect(second.output_text).toContain("The tool answered: A simple person");
  });

  test("B5-9: is told when the response is not held, and no account is asked", async () => {
    const kept = await client.responses.create({ model: MODEL, input: "One", store: false });
    expect(dict({ ...kept })["store"]).toBe(false);
    const before = backend.turns().length;
    for (const id of [kept.id, "resp_unheard_of"]) {
      const fault: unknown = await client.responses
        .create({ model: MODEL, input: "Two", previous_response_id: id })
        .catch((cause: unknown) => cause);
      expect(fault).toMatchObject({
        status: 400,
        code: "previous_response_not_found",
        param: "previous_response_id",
      });
    }
    expect(backend.turns().length).toBe(before);
  });
});

describe("the AI SDK, which refers to items instead of sending them", () => {
  const openai = () => createOpenAI({ apiKey: KEY, baseURL: `${proxy.url}/v1` });
  const tools = {
    look_up: tool({
      description: "Looks a word up",
      inputSchema: z.object({ word: z.string() }),
      execute: async ({ word }) => `A simple person (${word})`,
    }),
  };
  const outcome: Outcome = { kind: "ok", tool: { name: "look_up", arguments: { word: "naïf" } } };

  test("runs a loop with a tool, its references found in the answers before", async () => {
    account.script(outcome, outcome);
    const { text, steps } = await generateText({
      model: openai()(MODEL),
      prompt: "What is a naïf?",
      tools,
      stopWhen: stepCountIs(3),
    });
    expect(text).toContain("The tool answered: A simple person (naïf)");
    expect(steps).toHaveLength(2);
    expect(typesOf(lastInput())).toContain("reasoning");
    expect(typesOf(lastInput())).not.toContain("item_reference");
  });

  test("does so streaming", async () => {
    account.script(outcome, outcome);
    const result = streamText({
      model: openai()(MODEL),
      prompt: "What is a naïf?",
      tools,
      stopWhen: stepCountIs(3),
    });
    expect(await result.text).toContain("The tool answered: A simple person (naïf)");
  });

  test.each(["cut-mid-text", "end-mid-text"] as const)(
    "reads how a stream ends that was %s, without finding fault with its form (cases.md B1-17)",
    async (kind) => {
      account.script({ kind });
      const errors: unknown[] = [];
      const result = streamText({
        model: openai()(MODEL),
        prompt: "Hello",
        maxRetries: 0,
        onError: ({ error }) => void errors.push(error),
      });
      const parts: string[] = [];
      for await (const part of result.stream) parts.push(part.type);
      expect(parts).toContain("text-delta");
      expect(parts.at(-1)).toBe("finish");
      expect(await result.finishReason).toBe("error");
      expect(JSON.stringify(errors)).not.toMatch(/valid|pars/i);
    },
  );
});

describe("an answer in one piece, for every way in which a turn ends (cases.md B1-11)", () => {
  const body = { model: MODEL, input: "Hello" };

  test("completed, with what was said", async () => {
    const { status, json } = await call(proxy, { body });
    expect(status).toBe(200);
    expect(json).toMatchObject({ object: "response", status: "completed" });
  });

  test("incomplete, with its reason", async () => {
    account.script({ kind: "incomplete", reason: "max_output_tokens" });
    const { status, json } = await call(proxy, { body });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
    });
  });

  test("failed, as an error with its own status", async () => {
    account.script({ kind: "failed", code: "context_length_exceeded", after: "text" });
    const { status, error } = await call(proxy, { body });
    expect(status).toBe(400);
    expect(error["code"]).toBe("context_length_exceeded");
  });

  test("cut, once more elsewhere and then as an error, never as an answer", async () => {
    account.script({ kind: "cut-mid-text" });
    const { status, error } = await call(proxy, { body });
    expect(status).toBe(502);
    expect(error["type"]).toBe("server_error");
  });
});

describe("bad input (cases.md B4)", () => {
  test("is refused by its path before any account is asked", async () => {
    const before = backend.turns().length;
    const content = [
      { type: "input_text", text: "What is it?" },
      { type: "input_image", image_url: { url: "data:," } },
    ];
    const body = { model: MODEL, input: [{ role: "user", content }] };
    const { status, error } = await call(proxy, { body });
    expect(status).toBe(400);
    expect(error["param"]).toBe("input[0].content[1].image_url");
    expect(backend.turns().length).toBe(before);
  });
});
