import { describe, expect, test } from "bun:test";
import { readSession, wireKey } from "../../src/protocols/session.ts";
import type { Dict } from "../../src/wire/json.ts";

const none = { headers: new Headers(), scope: "" };

function keyOf(body: Dict): string {
  return readSession(body, none).key;
}

describe("readSession", () => {
  test("takes the client's own key, the most explicit first", () => {
    const sources: [place: "body" | "headers", name: string][] = [
      ["body", "session_id"],
      ["body", "prompt_cache_key"],
      ["headers", "session-id"],
      ["headers", "session_id"],
      ["headers", "thread-id"],
      ["headers", "thread_id"],
      ["headers", "conversation_id"],
      ["headers", "x-claude-code-session-id"],
      ["body", "conversation_id"],
    ];
    for (const [from, [, wanted]] of sources.entries()) {
      const body: Record<string, string> = {};
      const headers: Record<string, string> = {};
      for (const [place, name] of sources.slice(from)) {
        (place === "body" ? body : headers)[name] = `by ${name}`;
      }
      const session = readSession(body, { headers: new Headers(headers), scope: "a" });
      expect(session).toEqual({ key: `by ${wanted}`, isExplicit: true });
    }
  });

  test("B5-8: keeps callers apart who begin with the same words, and nothing apart that has a name", () => {
    const body = { input: "Hello" };
    const of = (scope: string) => readSession(body, { ...none, scope }).key;
    expect(of("one")).not.toBe(of("other"));
    expect(of("one")).toBe(of("one"));
    const named = (scope: string) => readSession({ session_id: "s" }, { ...none, scope }).key;
    expect(named("one")).toBe(named("other"));
  });

  test("passes over keys that are blank or no text", () => {
    const session = readSession({ session_id: " ", prompt_cache_key: 7 }, none);
    expect(session.isExplicit).toBe(false);
  });

  test("derives a key that stays as the conversation grows", () => {
    const first = { role: "user", content: "One" };
    const grown = [
      first,
      { role: "assistant", content: "Two" },
      { role: "user", content: "Three" },
    ];
    const key = keyOf({ instructions: "Be brief.", input: [first] });
    expect(keyOf({ instructions: "Be brief.", input: grown })).toBe(key);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
  });

  test("derives one key from the spellings of one message", () => {
    const part = { type: "input_text", text: "One" };
    const spellings = [
      "One",
      [{ role: "user", content: "One" }],
      [{ type: "message", role: "user", content: [part] }],
      [{ type: "message", id: "msg_1", status: "completed", role: "user", content: [part] }],
    ];
    expect(new Set(spellings.map((input) => keyOf({ input }))).size).toBe(1);
  });

  test("derives other keys from other conversations", () => {
    const developer = { role: "developer", content: "Be brief." };
    const user = { role: "user", content: "One" };
    const bodies: Dict[] = [
      { input: "One" },
      { input: "Two" },
      { input: "One", instructions: "Be brief." },
      { input: [developer, user] },
      { input: [developer] },
      { input: [{ type: "additional_tools", role: "developer", tools: [] }, user] },
      { input: [] },
    ];
    expect(new Set(bodies.map(keyOf)).size).toBe(bodies.length);
  });
});

describe("wireKey", () => {
  test.each(["a", "conversation 7", "k".repeat(64)])("leaves %p", (key) => {
    expect(wireKey(key)).toBe(key);
  });

  test.each(["k".repeat(65), "会話", "a\nb", "a\r\nx: y", " a", "a ", "é"])("hashes %p", (key) => {
    expect(wireKey(key)).toMatch(/^[0-9a-f]{64}$/);
    expect(wireKey(key)).toBe(wireKey(key));
  });

  test("keeps long keys with the same beginning apart", () => {
    expect(wireKey(`${"k".repeat(64)}1`)).not.toBe(wireKey(`${"k".repeat(64)}2`));
  });
});
