import { describe, expect, test } from "bun:test";
import { createStreamEncoder } from "../../../src/protocols/chat/stream.ts";
import type { Failure } from "../../../src/turn/failure.ts";
import { list } from "../../../src/wire/json.ts";
import { eventsIn, joinAll, NOON } from "../turns.ts";
import {
  ask,
  choiceOf,
  customCall,
  deltasOf,
  functionCall,
  message,
  step,
  streamOf,
  turnOf,
} from "./ask.ts";

const CUT: Failure = { kind: "cut-short", message: "The stream ended before its last event." };
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("a stream of chunks", () => {
  test("begins with who speaks, and with a content only where there are words", () => {
    const opening = (items: Parameters<typeof turnOf>[0]) =>
      deltasOf(streamOf(ask({ stream: true }), turnOf(items)))[0];
    expect(opening([message("Hi.")])).toEqual({ role: "assistant", content: "", refusal: null });
    const silent = { role: "assistant", content: null, refusal: null };
    expect(opening([functionCall("call_1")])).toEqual(silent);
    expect(opening([])).toEqual(silent);
  });

  test("writes a push in one piece, and nothing where nothing is told", () => {
    const encoder = ask({ stream: true }).stream();
    const steps = turnOf([message("Hi.")]);
    expect(encoder.push(steps.slice(0, 1))).toEqual([]);
    expect(encoder.push(steps.slice(1))).toHaveLength(1);
  });

  test("tells a call's name and id first, then what it passes on", () => {
    const bytes = streamOf(ask({ stream: true }), turnOf([functionCall("call_1", "f", "{}")]));
    expect(deltasOf(bytes).slice(1)).toEqual([
      {
        tool_calls: [
          { index: 0, id: "call_1", type: "function", function: { name: "f", arguments: "" } },
        ],
      },
      { tool_calls: [{ index: 0, function: { arguments: "{}" } }] },
      {},
    ]);
  });

  test("B2-4: tells Cursor's custom calls in both forms", () => {
    const exchange = ask({ stream: true, tools: [{ type: "custom", name: "ApplyPatch" }] });
    const bytes = streamOf(exchange, turnOf([customCall("call_1", "ApplyPatch", "***")]));
    expect(deltasOf(bytes).slice(1, 3)).toEqual([
      {
        tool_calls: [
          {
            index: 0,
            id: "call_1",
            type: "custom",
            custom: { name: "ApplyPatch", input: "" },
            function: { name: "ApplyPatch", arguments: "" },
          },
        ],
      },
      { tool_calls: [{ index: 0, custom: { input: "***" }, function: { arguments: "***" } }] },
    ]);
  });

  test("tells a function call of old without an id", () => {
    const exchange = ask({ stream: true, functions: [{ name: "f" }] });
    const bytes = streamOf(exchange, turnOf([functionCall("call_1", "f", "{}")]));
    expect(deltasOf(bytes).slice(1, 3)).toEqual([
      { function_call: { name: "f", arguments: "" } },
      { function_call: { arguments: "{}" } },
    ]);
    expect(choiceOf(eventsIn(bytes).at(-1))["finish_reason"]).toBe("function_call");
  });

  test("counts tokens in a chunk of its own, for those who ask", () => {
    const steps = turnOf([message("Hi.")], { service_tier: "priority" });
    const asked = eventsIn(
      streamOf(ask({ stream: true, stream_options: { include_usage: true } }), steps),
    );
    expect(asked.at(-1)).toMatchObject({
      choices: [],
      service_tier: "priority",
      usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    });
    expect(asked.slice(0, -1).every((chunk) => chunk["usage"] === null)).toBe(true);
    const others = eventsIn(streamOf(ask({ stream: true }), steps));
    expect(others.some((chunk) => "usage" in chunk)).toBe(false);
    expect(others).toHaveLength(asked.length - 1);
  });

  test("counts nothing where the backend did not", () => {
    const exchange = ask({ stream: true, stream_options: { include_usage: true } });
    const chunks = eventsIn(streamOf(exchange, turnOf([message("Hi.")], { usage: null })));
    expect(chunks.every((chunk) => list(chunk["choices"]).length === 1)).toBe(true);
  });

  test("names the model as it was asked for", () => {
    const exchange = ask({ stream: true, model: "gpt-5.4-high-fast" });
    const chunks = eventsIn(streamOf(exchange, turnOf([message("Hi.")])));
    expect(new Set(chunks.map(({ model }) => model))).toEqual(new Set(["gpt-5.4-high-fast"]));
  });

  test("ends by an error alone when it breaks off, in OpenAI's own form", () => {
    const encoder = ask({ stream: true }).stream();
    const begun = encoder.push(turnOf([message("Hi.")]).slice(0, -1));
    const words = textOf(joinAll([...begun, ...encoder.fail(CUT)]));
    expect(words).toEndWith(
      'data: {"error":{"message":"The stream ended before its last event.","type":"server_error","param":null,"code":"server_error"}}\n\n',
    );
    expect(words).not.toContain("[DONE]");
    expect(words).not.toMatch(/"finish_reason":"/);
    expect(encoder.push(turnOf([]))).toEqual([]);
  });

  test("says nothing after its end", () => {
    const encoder = ask({ stream: true }).stream();
    expect(textOf(joinAll(encoder.push(turnOf([]))))).toEndWith("data: [DONE]\n\n");
    expect(encoder.fail(CUT)).toEqual([]);
    expect(encoder.push([step("response.output_text.delta", { delta: "x" })])).toEqual([]);
  });

  test("shows that it lives by a comment", () => {
    const options = {
      classify: () => CUT,
      nowMs: () => NOON,
      model: "m",
      wantsUsage: false,
      tools: {
        names: {
          toWire: (name: string) => name,
          fromWire: (name: string) => name,
          hasAliases: () => false,
        },
        kindOf: () => undefined,
        isLegacy: false,
      },
      stops: [],
      keep: () => {},
    };
    expect(textOf(createStreamEncoder(options).heartbeat)).toBe(": ping\n\n");
  });
});
