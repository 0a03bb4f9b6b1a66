import { describe, expect, test } from "bun:test";
import {
  createReasoningMemory,
  createThoughts,
  type Kept,
  statelessReasoning,
} from "../../src/protocols/reasoning.ts";
import { dict } from "../../src/wire/json.ts";

const HOUR_MS = 60 * 60 * 1000;
const kept = (secret: string) => [
  { item: { type: "reasoning", summary: [], encrypted_content: secret }, isBeforeText: false },
];

describe("the memory of reasoning", () => {
  test("gives back what led to a call, to its own caller only", () => {
    const memory = createReasoningMemory();
    memory.keep("ann", "call_1", kept("a"), 0);
    expect(memory.recall("ann", "call_1", 1)).toEqual(kept("a"));
    expect(memory.recall("bob", "call_1", 1)).toEqual([]);
    expect(memory.recall("ann", "call_2", 1)).toEqual([]);
  });

  test("forgets after an hour without use", () => {
    const memory = createReasoningMemory();
    memory.keep("", "call_1", kept("a"), 0);
    expect(memory.recall("", "call_1", HOUR_MS - 1)).toHaveLength(1);
    expect(memory.recall("", "call_1", 2 * HOUR_MS - 2)).toHaveLength(1);
    expect(memory.recall("", "call_1", 3 * HOUR_MS)).toEqual([]);
  });

  test("holds at most 16 MiB and lets the longest unused go", () => {
    const memory = createReasoningMemory();
    const secret = "x".repeat(1024 * 1024);
    for (let at = 0; at < 20; at++) memory.keep("", `call_${at}`, kept(secret), at);
    expect(memory.recall("", "call_0", 20)).toEqual([]);
    expect(memory.recall("", "call_19", 20)).toHaveLength(1);
    memory.keep("", "call_large", kept("x".repeat(17 * 1024 * 1024)), 21);
    expect(memory.recall("", "call_large", 21)).toEqual([]);
  });
});

describe("B4-6: reasoning that goes back", () => {
  test("loses its id and keeps its ciphertext and a summary", () => {
    const item = { type: "reasoning", id: "rs_1", status: "completed", encrypted_content: "gAAA" };
    expect(statelessReasoning(item)).toEqual({
      type: "reasoning",
      summary: [],
      encrypted_content: "gAAA",
    });
    const summary = [{ type: "summary_text", text: "Hm" }];
    expect(statelessReasoning({ ...item, summary })).toMatchObject({ summary });
  });

  test("is nothing without its ciphertext", () => {
    expect(statelessReasoning({ type: "reasoning", id: "rs_1", summary: [] })).toBeUndefined();
  });
});

describe("a turn's thoughts", () => {
  const thought = (secret: string) => ({ type: "reasoning", encrypted_content: secret });

  test("are handed on by the call that they led to, with their place, at the turn's end", () => {
    const led = new Map<string, readonly Kept[]>();
    const thoughts = createThoughts((callId, each) => led.set(callId, each));
    thoughts.think(thought("a"));
    thoughts.speak();
    thoughts.think(thought("b"));
    thoughts.call("call_1");
    thoughts.call("call_2");
    thoughts.think(thought("c"));
    thoughts.think({ type: "reasoning" });
    thoughts.call("call_3");
    thoughts.think(thought("led to nothing"));
    expect(led.size).toBe(0);
    thoughts.keep();
    const [a] = kept("a");
    expect(Object.fromEntries(led)).toEqual({
      call_1: [{ item: dict(a?.item), isBeforeText: true }, ...kept("b")],
      call_3: kept("c"),
    });
  });
});
