import { describe, expect, test } from "bun:test";
import type { Exchange } from "../../../src/protocols/protocol.ts";
import { createResponses } from "../../../src/protocols/responses/index.ts";
import { dict, type Json } from "../../../src/wire/json.ts";
import { formatEvent } from "../../../src/wire/sse.ts";
import {
  batchesOf,
  encode,
  eventsIn,
  joinAll,
  NOON,
  openExchange,
  recordingOf,
  TURNS,
  terminalOf,
} from "../turns.ts";

const responses = createResponses({ now: () => NOON });

/** What a client that wants its answer in one piece is told. */
function answerOf(exchange: Exchange, recording: Uint8Array): Json {
  const { role, data } = terminalOf(recording);
  if (role === "failed" || role === "error") {
    const { status, headers, body } = responses.fail(exchange.classify(data()), "req_1", NOON);
    return { status, headers, body };
  }
  const encoder = exchange.body();
  for (const steps of batchesOf([recording])) encoder.push(steps);
  return { status: 200, headers: {}, body: encoder.end() };
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe.each(TURNS)("the turn %s", (turn) => {
  const recording = recordingOf(turn);
  const native = encode(openExchange("native").stream(), [recording]);
  const foreign = encode(openExchange("foreign").stream(), [recording]);

  test("ends the stream with the answer in one piece", () => {
    const last = eventsIn(foreign).at(-1);
    const answer = dict(answerOf(openExchange("foreign"), recording));
    if (answer["status"] === 200) expect(last?.["response"]).toEqual(answer["body"]);
    else expect(last).toMatchObject({ type: "response.failed", response: { status: "failed" } });
  });

  test("numbers its events upwards", () => {
    for (const bytes of [native, foreign]) {
      const numbers = eventsIn(bytes).flatMap(({ sequence_number: at }) =>
        typeof at === "number" ? [at] : [],
      );
      expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
      expect(numbers.length).toBeGreaterThan(2);
    }
  });

  test("holds no overload word and, for an SDK, no private event", () => {
    const told = textOf(joinAll([native, foreign]));
    expect(told).not.toMatch(/server_is_overloaded|slow_down/);
    expect(textOf(foreign)).not.toMatch(/codex\.|keepalive|responsesapi\.|response\.metadata/);
  });
});

describe("createResponses", () => {
  test("refuses what cannot be decoded", () => {
    const decoded = responses.decode({
      bytes: new TextEncoder().encode("{"),
      headers: new Headers(),
      resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      scope: "",
    });
    expect(decoded).toMatchObject({ ok: false, failure: { kind: "bad-request", status: 400 } });
  });

  test("classifies an error event for the turn's own model", () => {
    const message = "Rate limit reached for gpt-5.4 (TPM). Please try again in 2s.";
    const event = { type: "error", error: { code: "rate_limit_exceeded", message } };
    expect(openExchange("foreign").classify(event)).toMatchObject({
      kind: "rate-limited",
      model: "gpt-5.4",
      resetsAtMs: NOON + 2000,
    });
  });

  test("gives every answer an encoder of its own", () => {
    const exchange = openExchange("foreign");
    const item = { id: "msg_1", type: "message" };
    const done = { type: "response.output_item.done", output_index: 0, item };
    const end = { type: "response.completed", response: { id: "resp_1", output: [] } };
    const bytes = joinAll([
      formatEvent("response.output_item.done", done),
      formatEvent("response.completed", end),
    ]);
    const first = encode(exchange.stream(), [bytes]);
    expect(encode(exchange.stream(), [bytes])).toEqual(first);
  });
});
