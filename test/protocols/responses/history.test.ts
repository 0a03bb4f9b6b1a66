import { describe, expect, test } from "bun:test";
import { createHistory, inputItems } from "../../../src/protocols/responses/history.ts";

const question = (text: string) => ({
  type: "message",
  role: "user",
  content: [{ type: "input_text", text }],
});
const answer = (id: string) => ({ type: "message", id, role: "assistant", content: [] });

const history = (mostBytes = 100_000) => createHistory(() => ({ mostBytes, ttlMs: 1000 }));

const outcome = (responseId: string, ...items: readonly object[]) => ({
  responseId,
  items: items.map((item) =>
    JSON.stringify({ type: "response.output_item.done", output_index: 0, item }),
  ),
});

describe("createHistory", () => {
  test("a request that goes on from a response becomes a whole one, its other fields as they are", () => {
    const said = history();
    said.keep(
      { previousId: undefined, items: [question("a")] },
      outcome("r1", answer("m1")),
      10,
      0,
    );
    said.keep({ previousId: "r1", items: [question("b")] }, outcome("r2", answer("m2")), 10, 0);
    const body = { model: "m", previous_response_id: "r2", input: [question("c")], tools: [] };
    expect(said.resume(body, 1)).toEqual({
      body: {
        model: "m",
        input: [question("a"), answer("m1"), question("b"), answer("m2"), question("c")],
        tools: [],
      },
      previousId: "r2",
    });
    expect(said.knows("r1", 1)).toBe(true);
  });

  test("new input may be a string, or nothing", () => {
    const said = history();
    said.keep({ previousId: undefined, items: [question("a")] }, outcome("r1"), 10, 0);
    expect(said.resume({ previous_response_id: "r1", input: "b" }, 0).body).toEqual({
      input: [question("a"), question("b")],
    });
    expect(said.resume({ previous_response_id: "r1" }, 0).body).toEqual({ input: [question("a")] });
  });

  test("a request that names no response, or one that is not known here, stays as it is", () => {
    const said = history();
    for (const body of [{ input: [] }, { input: [], previous_response_id: "r9" }]) {
      expect(said.resume(body, 0)).toEqual({ body, previousId: undefined });
    }
    expect(said.knows("r9", 0)).toBe(false);
  });

  test("what is too large is not kept", () => {
    const said = history(1000);
    said.keep({ previousId: undefined, items: [] }, outcome("r1"), 2000, 0);
    said.keep(
      { previousId: undefined, items: [] },
      outcome("r2", { text: "x".repeat(900) }),
      10,
      0,
    );
    expect(said.knows("r1", 0)).toBe(false);
    expect(said.knows("r2", 0)).toBe(false);
  });
});

describe("inputItems", () => {
  test("words are one message, a list is itself, nothing is an empty list", () => {
    expect(inputItems("a")).toEqual([question("a")]);
    expect(inputItems([1])).toEqual([1]);
    expect(inputItems(undefined)).toEqual([]);
    expect(inputItems(null)).toEqual([]);
    expect(inputItems(7)).toBeUndefined();
  });
});
