import { describe, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { createMessages } from "../../../src/protocols/messages/index.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import { NOON } from "../turns.ts";
import { clientOf } from "./judge.ts";
import { openExchange } from "./requests.ts";

const messages = createMessages({ now: () => NOON });

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
    const client = clientOf(() => Response.json(body, { status, headers }));
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
