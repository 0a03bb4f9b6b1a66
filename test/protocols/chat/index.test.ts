import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import type { Protocol } from "../../../src/protocols/protocol.ts";
import type { Step } from "../../../src/turn/step.ts";
import { type Dict, dict, list, parseDict } from "../../../src/wire/json.ts";
import { eventsIn, joinAll, NOON } from "../turns.ts";
import {
  ask,
  bodyOf,
  choiceOf,
  customCall,
  functionCall,
  message,
  messageOf,
  openChat,
  reasoning,
  sent,
  step,
  streamOf,
  turnOf,
} from "./ask.ts";

const TOOLS = [{ type: "function", function: { name: "look_up" } }];
const USER = { role: "user", content: "What is bun?" };

/** The conversation after a turn, as a client keeps it: the answer's message, and a result for each call. */
function after(messages: readonly Dict[], answer: Dict): readonly Dict[] {
  const results = list(answer["tool_calls"]).map((call) => ({
    role: "tool",
    tool_call_id: dict(call)["id"],
    content: "Found.",
  }));
  return [...messages, answer, ...results];
}

describe("the Chat protocol", () => {
  test("has a name, a path and OpenAI's errors", () => {
    const chat = openChat();
    expect([chat.name, chat.path]).toEqual(["chat", "/chat/completions"]);
    const { status, body } = chat.fail({ kind: "no-account", message: "None." }, "req_1", NOON);
    expect(status).toBe(503);
    expect(body).toMatchObject({ error: { code: "no_account_available", request_id: "req_1" } });
  });

  test("classifies an error event for the turn's own model", () => {
    const message = "Rate limit reached for gpt-5.4 (TPM). Please try again in 2s.";
    const event = { type: "error", error: { code: "rate_limit_exceeded", message } };
    expect(ask({ model: "gpt-5.4-high" }).classify(event)).toMatchObject({
      kind: "rate-limited",
      model: "gpt-5.4",
      resetsAtMs: NOON + 2000,
    });
  });
});

describe("B2-6: a tool loop", () => {
  const turns: readonly (readonly Step[])[] = [
    turnOf([
      reasoning("a"),
      message("Let me see."),
      functionCall("call_1"),
      functionCall("call_2"),
    ]),
    turnOf([reasoning("b"), functionCall("call_3")]),
  ];

  const run = (chat: Protocol, isStream: boolean, scope = "ann"): readonly Dict[] => {
    let messages: readonly Dict[] = [USER];
    const inputs = [sent({ messages, tools: TOOLS }, { chat, scope })];
    for (const turn of turns) {
      const exchange = ask({ messages, tools: TOOLS, stream: isStream }, { chat, scope });
      if (isStream) streamOf(exchange, turn);
      messages = after(
        messages,
        messageOf(bodyOf(isStream ? ask({ messages, tools: TOOLS }) : exchange, turn)),
      );
      inputs.push(sent({ messages, tools: TOOLS }, { chat, scope }));
    }
    return inputs;
  };

  const secretsIn = (body: Dict | undefined): readonly unknown[] =>
    list(body?.["input"]).flatMap((item) => dict(item)["encrypted_content"] ?? []);

  test.each([true, false])("gets its reasoning back, streaming or not (%p)", (isStream) => {
    const inputs = run(openChat(), isStream);
    expect(inputs.map(secretsIn)).toEqual([[], ["a"], ["a", "b"]]);
    const types = list(inputs[2]?.["input"]).map((item) => dict(item)["type"]);
    expect(types).toEqual([
      "message",
      "reasoning",
      "message",
      "function_call",
      "function_call",
      "function_call_output",
      "function_call_output",
      "reasoning",
      "function_call",
      "function_call_output",
    ]);
  });

  test("B5-7: only ever adds to what was sent before", () => {
    const inputs = run(openChat(), true).map((body) => list(body["input"]));
    for (const [at, input] of inputs.entries()) {
      const next = inputs[at + 1]?.slice(0, input.length);
      if (next !== undefined) expect(next).toEqual([...input]);
    }
  });

  test("keeps one caller's thoughts from another", () => {
    const chat = openChat();
    run(chat, true, "ann");
    const messages = after([USER], messageOf(bodyOf(ask({}), turns[0] ?? [])));
    const others = sent({ messages, tools: TOOLS }, { chat, scope: "bob" });
    expect(secretsIn(others)).toEqual([]);
  });

  test("B4-6: sends no id that the backend would look for", () => {
    const body = run(openChat(), true).at(-1);
    const thoughts = list(body?.["input"]).filter((item) => dict(item)["type"] === "reasoning");
    for (const thought of thoughts) expect(dict(thought)).not.toHaveProperty("id");
  });
});

describe("B2-4: Cursor", () => {
  const patch = {
    type: "custom",
    name: "ApplyPatch",
    format: { type: "grammar", syntax: "lark", definition: "start: /.+/" },
  };
  const input = "*** Begin Patch\n*** End Patch\n";

  test("gets Chat chunks for a Responses body, and its patch back and forth", () => {
    const first = ask({ input: [USER], tools: [patch], stream: true });
    const turn = turnOf([customCall("call_1", "ApplyPatch", input)]);
    const chunks = eventsIn(streamOf(first, turn));
    expect(chunks[0]).toMatchObject({ object: "chat.completion.chunk" });
    expect(choiceOf(chunks.at(-1))["finish_reason"]).toBe("tool_calls");

    const messages = after([USER], messageOf(bodyOf(first, turn)));
    const items = list(sent({ messages, tools: [patch] })["input"]);
    expect(items.slice(1)).toEqual([
      { type: "custom_tool_call", call_id: "call_1", name: "ApplyPatch", input },
      { type: "custom_tool_call_output", call_id: "call_1", output: "Found." },
    ]);
  });
});

/** The official SDK, answered by an exchange that plays `steps` instead of by a server. */
function clientOf(steps: readonly Step[], failure?: "cut"): OpenAI {
  const play = async (_url: unknown, init?: RequestInit): Promise<Response> => {
    const asked = dict(parseDict(String(init?.body)));
    const exchange = ask(asked);
    if (!exchange.wantsStream) return Response.json(bodyOf(exchange, steps));
    const encoder = exchange.stream();
    const pieces = [encoder.heartbeat, ...encoder.push(steps)];
    if (failure === "cut") {
      pieces.push(...encoder.fail({ kind: "cut-short", message: "The stream broke off." }));
    }
    return new Response(new Uint8Array(joinAll(pieces)), {
      headers: { "content-type": "text/event-stream" },
    });
  };
  return new OpenAI({ apiKey: "none", baseURL: "http://localhost/v1", fetch: play, maxRetries: 0 });
}

describe("the official OpenAI SDK", () => {
  const request = { model: "gpt-5.4-high", messages: [{ role: "user", content: "Hi" }] } as const;
  const steps = turnOf([message("Let me see."), functionCall("call_1", "look_up", '{"a":1}')]);

  test("reads a whole answer", async () => {
    const answer = await clientOf(steps).chat.completions.create({
      ...request,
      messages: [...request.messages],
    });
    expect(answer.model).toBe("gpt-5.4-high");
    expect(answer.choices[0]?.message.tool_calls).toHaveLength(1);
    expect(answer.usage?.total_tokens).toBe(15);
  });

  test("B2-1, B2-2: puts a stream together, with one end", async () => {
    const stream = clientOf(steps).chat.completions.stream({
      ...request,
      messages: [...request.messages],
      stream_options: { include_usage: true },
    });
    const answer = await stream.finalChatCompletion();
    expect(answer.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: {
        content: "Let me see.",
        tool_calls: [{ id: "call_1", function: { name: "look_up", arguments: '{"a":1}' } }],
      },
    });
    expect(answer.usage?.prompt_tokens).toBe(10);
  });

  test("raises an error for a stream that breaks off or fails", async () => {
    const whole = turnOf([message("Hi.")]);
    const failing = [
      ...whole.slice(0, -1),
      step("response.failed", {
        response: { error: { code: "server_error", message: "It broke." } },
      }),
    ];
    const plays = [
      [clientOf(whole.slice(0, -1), "cut"), "The stream broke off."],
      [clientOf(failing), "It broke."],
    ] as const;
    for (const [client, words] of plays) {
      const stream = await client.chat.completions.create({
        ...request,
        messages: [...request.messages],
        stream: true,
      });
      let text = "";
      const read = async (): Promise<void> => {
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
      };
      await expect(read()).rejects.toThrow(words);
      expect(text).toBe("Hi.");
    }
  });
});
