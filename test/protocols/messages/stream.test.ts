import { describe, expect, test } from "bun:test";
import { APIError } from "@anthropic-ai/sdk";
import type { Failure } from "../../../src/turn/failure.ts";
import { isTerminal } from "../../../src/turn/step.ts";
import { batchesOf, encode, eventsIn, joinAll, recordingOf, TURNS } from "../turns.ts";
import { messageIn } from "./judge.ts";
import { openExchange } from "./requests.ts";

const stepsOf = (turn: string) => batchesOf([recordingOf(turn)]).flat();
const isFailed = (turn: string) =>
  stepsOf(turn).some(({ role }) => role === "failed" || role === "error");
const typesIn = (bytes: Uint8Array) => eventsIn(bytes).map(({ type }) => type);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const CUT: Failure = { kind: "cut-short", message: "The stream ended before its last event." };

// The SDK guesses what half an input was to be; a body leaves it out.
const HALF_INPUT = "incomplete-tool";

describe.each(TURNS.filter((turn) => !isFailed(turn) && turn !== HALF_INPUT))(
  "the turn %s",
  (turn) => {
    test("is a stream that Anthropic's own SDK takes, and comes to the same message as the body", async () => {
      const exchange = openExchange();
      const streamed = encode(exchange.stream(), [recordingOf(turn)]);
      const body = exchange.body();
      body.push(stepsOf(turn));
      expect(body.end()).toEqual(JSON.parse(JSON.stringify(await messageIn(textOf(streamed)))));
    });

    test("B3-6: has one beginning and one end", () => {
      const types = typesIn(encode(openExchange().stream(), [recordingOf(turn)]));
      expect(types[0]).toBe("message_start");
      expect(types.slice(-2)).toEqual(["message_delta", "message_stop"]);
      expect(types.filter((type) => type === "message_start")).toHaveLength(1);
      expect(types.filter((type) => type === "message_stop")).toHaveLength(1);
    });
  },
);

describe.each(TURNS.filter(isFailed))("the failed turn %s", (turn) => {
  test("B3-7: makes Anthropic's own SDK throw a typed error", async () => {
    const streamed = encode(openExchange().stream(), [recordingOf(turn)]);
    const error: unknown = await messageIn(textOf(streamed)).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(APIError);
    if (error instanceof APIError) expect(String(error.type)).toMatch(/_error$/);
    expect(typesIn(streamed)).not.toContain("message_stop");
  });
});

describe("a stream", () => {
  test("B3-6, B3-7: that breaks off after any event is closed in good order", () => {
    for (const turn of TURNS) {
      const steps = stepsOf(turn);
      const last = steps.findIndex(({ role }) => isTerminal(role));
      for (let at = 0; at <= last; at++) {
        const encoder = openExchange().stream();
        const types = typesIn(joinAll([...encoder.push(steps.slice(0, at)), ...encoder.fail(CUT)]));
        const count = (type: string) => types.filter((each) => each === type).length;
        expect(count("content_block_start")).toBe(count("content_block_stop"));
        expect(count("message_stop")).toBe(0);
        expect(types.indexOf("error")).toBe(types.length - 1);
        expect(types.length === 1 || types[0] === "message_start").toBe(true);
      }
    }
  });

  test("B3-8: is kept alive by a ping after its beginning, and by a comment before", () => {
    const encoder = openExchange().stream();
    expect(textOf(encoder.heartbeat)).toBe(": ping\n\n");
    encoder.push(stepsOf("text").slice(0, 1));
    expect(textOf(encoder.heartbeat)).toBe('event: ping\ndata: {"type":"ping"}\n\n');
  });

  test("B3-8: means the same to the SDK with pings between its events", async () => {
    const encoder = openExchange().stream();
    const pieces = stepsOf("tools-interleaved").flatMap((step) => [
      ...encoder.push([step]),
      encoder.heartbeat,
    ]);
    const plain = encode(openExchange().stream(), [recordingOf("tools-interleaved")]);
    expect(await messageIn(textOf(joinAll(pieces)))).toEqual(await messageIn(textOf(plain)));
  });

  test("B3-4: that fails for its length says so in the words that make Claude Code compact", () => {
    const encoder = openExchange().stream();
    const last = eventsIn(joinAll(encoder.push(stepsOf("failed-context")))).at(-1);
    expect(last).toMatchObject({
      type: "error",
      error: {
        type: "invalid_request_error",
        message: expect.stringMatching(/prompt is too long: \d+ tokens > \d+ maximum/),
      },
    });
  });

  test("writes the events of a chunk at once", () => {
    expect(openExchange().stream().push(stepsOf("text"))).toHaveLength(1);
    expect(openExchange().stream().push([])).toEqual([]);
  });
});
