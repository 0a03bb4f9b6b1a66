import { describe, expect, test } from "bun:test";
import type { Call } from "../../src/protocols/protocol.ts";
import { createLocalRoutes } from "../../src/protocols/registry.ts";
import { refuse } from "../../src/turn/failure.ts";
import { dict } from "../../src/wire/json.ts";
import { portsOf } from "./turns.ts";

const ports = portsOf(() => 0);
const [count] = createLocalRoutes(ports, async () => {});
if (count === undefined) throw new Error("there is no local route");
const { answer, fail, idHeader, path } = count;

function callOf(body: unknown): Call {
  return {
    bytes: new TextEncoder().encode(JSON.stringify(body)),
    headers: new Headers(),
    scope: "",
    resolve: (model) =>
      model === "gpt-5-max"
        ? {
            ok: false,
            failure: refuse(400, "invalid_model_level", "gpt-5 has no level max.", "model"),
          }
        : { ok: true, choice: { model, isFast: false, levels: [] } },
  };
}

/** The count of a request to gpt-5.4. */
async function tokensOf(body: object): Promise<number> {
  const said = await answer(callOf({ model: "gpt-5.4", ...body }));
  if (!said.ok) throw new Error(said.failure.message);
  return Number(dict(said.body)["input_tokens"]);
}

const QUESTION = { role: "user", content: "What is the capital of France? Answer in one word." };
const TOOL = {
  name: "weather",
  description: "Get weather information for a location",
  input_schema: {
    type: "object",
    properties: { location: { description: "the city", type: "string" } },
    required: ["location"],
  },
};

describe("B3-3: count_tokens", () => {
  test("is where Claude's clients look for it", () => {
    expect([path, idHeader]).toEqual(["/messages/count_tokens", "request-id"]);
  });

  test("counts the reasoning that is put back into a turn", async () => {
    const use = { type: "tool_use", id: "toolu_0", name: "weather", input: {} };
    const result = { type: "tool_result", tool_use_id: "toolu_0", content: "40 C" };
    const messages = [
      QUESTION,
      { role: "assistant", content: [use] },
      { role: "user", content: [result] },
    ];
    const before = await tokensOf({ messages, tools: [TOOL] });
    const item = { type: "reasoning", summary: [], encrypted_content: "A".repeat(2000) };
    ports.reasoning.keep("", "toolu_0", [{ item, isBeforeText: false }], 0);
    expect(await tokensOf({ messages, tools: [TOOL] })).toBeGreaterThan(before);
  });

  test("says one number", async () => {
    expect(await answer(callOf({ model: "gpt-5.4", messages: [QUESTION], tools: [] }))).toEqual({
      ok: true,
      body: { input_tokens: 18 },
    });
  });

  test("counts system, tools, calls, results and pictures", async () => {
    const plain = await tokensOf({ messages: [QUESTION] });
    expect(await tokensOf({ messages: [QUESTION], system: "hello world" })).toBe(plain + 6);
    expect(await tokensOf({ messages: [QUESTION], tools: [TOOL] })).toBe(plain + 40);
    const use = { type: "tool_use", id: "toolu_1", name: "weather", input: { location: "Rome" } };
    const source = { type: "url", url: "https://example.com/a.png" };
    const results = ["40 C", [{ type: "image", source }]].map((content) =>
      tokensOf({
        tools: [TOOL],
        messages: [
          QUESTION,
          { role: "assistant", content: [use] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content }] },
        ],
      }),
    );
    const [words, picture] = await Promise.all(results);
    expect(words).toBeWithin(plain + 40 + 20, plain + 40 + 30);
    expect(picture).toBeGreaterThan(1200);
  });

  test("refuses what the protocol refuses, in its words", async () => {
    const refusals = [
      { model: "gpt-5.4", messages: 7 },
      { model: "gpt-5.4", messages: [{ role: "user", content: [{ type: "image" }] }] },
      { model: "gpt-5-max", messages: [QUESTION] },
    ].map((body) => answer(callOf(body)));
    const params = (await Promise.all(refusals)).map((said) => said.ok || said.failure.param);
    expect(params).toEqual(["messages", "messages[0].content[0].source", "model"]);
    const { status, body } = fail({ kind: "bad-request", message: "No." }, "req_1", 0);
    expect(status).toBe(400);
    expect(body).toMatchObject({ type: "error", error: { type: "invalid_request_error" } });
  });
});
