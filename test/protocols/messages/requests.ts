import type { MessagesRequest } from "../../../src/protocols/messages/decode.ts";
import { decode } from "../../../src/protocols/messages/decode.ts";
import { createMessages } from "../../../src/protocols/messages/index.ts";
import type { Call, Exchange, Protocol } from "../../../src/protocols/protocol.ts";
import { SEED_CATALOG } from "../../../src/turn/catalog.ts";
import type { Failure } from "../../../src/turn/failure.ts";
import type { Alias } from "../../../src/turn/model.ts";
import { resolveModel } from "../../../src/turn/model.ts";
import { type Dict, list } from "../../../src/wire/json.ts";
import { portsOf } from "../turns.ts";

const ALIASES: readonly Alias[] = [{ pattern: "claude-*", target: "gpt-5.4" }];

/** What becomes of a request's bytes, with the models and the alias of a fresh installation. */
export function decodeText(
  text: string,
  headers: Readonly<Record<string, string>> = {},
): MessagesRequest | Failure {
  return decode(callOf(text, headers), () => []);
}

/** A request with `more` in it, understood. */
export function understand(
  more: Dict,
  headers: Readonly<Record<string, string>> = {},
): MessagesRequest {
  const request = decodeText(JSON.stringify(asking(more)), headers);
  if ("kind" in request) throw new Error(request.message);
  return request;
}

/** The refusal of a request with `more` in it. */
export function refusalOf(more: Dict): Failure {
  const request = decodeText(JSON.stringify(asking(more)));
  if ("kind" in request) return request;
  throw new Error("The request was taken.");
}

/** The items that the backend gets for messages. */
export function itemsOf(messages: readonly Dict[], more: Dict = {}): readonly unknown[] {
  return list(understand({ messages, ...more }).turn.body["input"]);
}

function asking(more: Dict): Dict {
  return {
    model: "gpt-5.4",
    max_tokens: 1024,
    messages: [{ role: "user", content: "Say hi" }],
    ...more,
  };
}

function callOf(text: string, headers: Readonly<Record<string, string>>, scope = ""): Call {
  return {
    bytes: new TextEncoder().encode(text),
    headers: new Headers(headers),
    resolve: (model) => resolveModel(model, SEED_CATALOG, ALIASES),
    scope,
  };
}

/** An exchange with a client that wants to see the model think; by a fresh protocol, if it is not given. */
export function openExchange(
  more: Dict = {},
  protocol: Protocol = createMessages(portsOf()),
  scope = "",
): Exchange {
  const body = asking({ thinking: { type: "adaptive" }, stream: true, ...more });
  const decoded = protocol.decode(callOf(JSON.stringify(body), {}, scope));
  if (!decoded.ok) throw new Error(decoded.failure.message);
  return decoded.exchange;
}
