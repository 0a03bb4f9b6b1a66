import { describe, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { createMessages } from "../../../src/protocols/messages/index.ts";
import type { Protocol } from "../../../src/protocols/protocol.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import type { Step } from "../../../src/turn/step.ts";
import { type Dict, dict, list } from "../../../src/wire/json.ts";
import { bodyOf, functionCall, message, reasoning, streamOf, turnOf } from "../chat/ask.ts";
import { NOON, portsOf } from "../turns.ts";
import { clientOf } from "./judge.ts";
import { openExchange } from "./requests.ts";

const QUESTION = { role: "user", content: "What is bun?" };

const TURNS: readonly (readonly Step[])[] = [
  turnOf([reasoning("a"), message("Let me see."), functionCall("call_1"), functionCall("call_2")]),
  turnOf([reasoning("b"), functionCall("call_3")]),
];

/** What a client sends that runs the tools of all turns, and what of it goes to the backend each time. */
function loop(more: Dict, protocol: Protocol, scope = ""): readonly (readonly Dict[])[] {
  const asked: Dict[] = [QUESTION];
  const ask = (isStream: boolean) =>
    openExchange({ thinking: null, ...more, messages: asked, stream: isStream }, protocol, scope);
  const sent = () => list(ask(false).turn.body["input"]).map(dict);
  const inputs = [sent()];
  for (const turn of TURNS) {
    if (more["stream"] === true) streamOf(ask(true), turn);
    // A protocol of its own tells what the message is; only the one that is asked remembers.
    const teller = more["stream"] === true ? createMessages(portsOf()) : protocol;
    const whole = openExchange({ thinking: null, ...more, messages: [QUESTION] }, teller, scope);
    const { content } = bodyOf(whole, turn);
    const results = list(content)
      .map(dict)
      .filter(({ type }) => type === "tool_use")
      .map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "Found." }));
    asked.push({ role: "assistant", content }, { role: "user", content: results });
    inputs.push(sent());
  }
  return inputs;
}

const secretsIn = (items: readonly Dict[] = []): readonly unknown[] =>
  items.flatMap((item) => item["encrypted_content"] ?? []);

describe("B5-1, B5-7: a tool loop of a client that is told no thoughts", () => {
  test.each([true, false])("gets its reasoning back, streaming or not (%p)", (stream) => {
    const inputs = loop({ stream }, createMessages(portsOf()));
    expect(inputs.map(secretsIn)).toEqual([[], ["a"], ["a", "b"]]);
    expect(inputs[2]?.map(({ type }) => type)).toEqual([
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
    for (const [at, input] of inputs.entries()) {
      const next = inputs[at + 1]?.slice(0, input.length);
      if (next !== undefined) expect(next).toEqual([...input]);
    }
  });

  test("sends the same for a client that was told its thoughts, and keeps none of them", () => {
    const ports = portsOf();
    const told = loop({ thinking: { type: "adaptive" } }, createMessages(ports));
    expect(told.map(secretsIn)).toEqual([[], ["a"], ["a", "b"]]);
    expect(ports.reasoning.recall("", "call_1", NOON)).toEqual([]);
    expect(told).toEqual([...loop({}, createMessages(portsOf()))]);
  });

  test("keeps one caller's thoughts from another", () => {
    const ports = portsOf();
    loop({}, createMessages(ports), "ann");
    expect(ports.reasoning.recall("ann", "call_1", NOON)).toHaveLength(1);
    expect(ports.reasoning.recall("bob", "call_1", NOON)).toEqual([]);
  });
});

const messages = createMessages(portsOf());

describe("Messages", () => {
  test("is served at /messages", () => {
    expect(messages).toMatchObject({ name: "messages", path: "/messages" });
  });

  test("refuses what the SDK then throws as an error of its own class", async () => {
    const decoded = messages.decode({
      bytes: new TextEncoder().encode(
        JSON.stringify({
          model: "gpt-5.4",
          messages: [{ role: "user", content: "Say hi" }],
          thread: { type: "create" },
        }),
      ),
      headers: new Headers(),
      resolve: (model) => resolveModel(model, SEED_CATALOG, []),
      scope: "",
    });
    if (decoded.ok) throw new Error("it was taken");
    const { status, headers, body } = messages.fail(decoded.failure, "req_1", NOON);
    const { idHeader = "" } = messages;
    const client = clientOf(() =>
      Response.json(body, { status, headers: { ...headers, [idHeader]: "req_1" } }),
    );
    const asked = client.messages.create({
      model: "m",
      max_tokens: 1,
      messages: [{ role: "user", content: "Say hi" }],
    });
    const error: unknown = await asked.catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error).toMatchObject({
      name: "ThreadUnsupportedRequestError",
      errorCode: "thread_unsupported_request",
      requestID: "req_1",
    });
  });

  test("B3-4: says of a request that is too long how long it is", () => {
    const exchange = openExchange();
    const failure = exchange.explain?.({ kind: "context-overflow", message: "Too long." });
    expect(failure?.message).toStartWith("prompt is too long: 272001 tokens > 272000 maximum");
  });
});
