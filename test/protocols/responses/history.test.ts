import { describe, expect, test } from "bun:test";
import { createHistory } from "../../../src/protocols/responses/history.ts";

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

const turn = (previousId: string | undefined, said: string, recalled: readonly object[] = []) => ({
  previousId,
  recalled,
  said: [question(said)],
});

describe("createHistory", () => {
  test("finds all that was said up to a response, each turn held once", () => {
    const said = history();
    said.keep(turn(undefined, "a"), outcome("r1", answer("m1")), 10, 0);
    const first = [question("a"), answer("m1")];
    said.keep(turn("r1", "b", first), outcome("r2", answer("m2")), 10, 0);
    expect(said.recall("r2", 1)).toEqual([...first, question("b"), answer("m2")]);
    expect(said.recall("r1", 1)).toEqual(first);
    expect(said.knows("r1", 1)).toBe(true);
  });

  test("keeps the whole of a conversation that it did not hold before", () => {
    const said = history();
    const before = [question("a"), answer("m1")];
    said.keep(turn("from elsewhere", "b", before), outcome("r2", answer("m2")), 10, 0);
    expect(said.recall("r2", 1)).toEqual([...before, question("b"), answer("m2")]);
    expect(said.knows("from elsewhere", 1)).toBe(false);
  });

  test("knows no other response", () => {
    expect([history().recall("r9", 0), history().knows("r9", 0)]).toEqual([undefined, false]);
  });

  test("what is too large is not kept, wherever its size comes from", () => {
    const said = history(1000);
    const large = "x".repeat(900);
    said.keep(turn(undefined, large), outcome("r1"), 10, 0);
    said.keep(turn(undefined, "a"), outcome("r2", { text: large }), 10, 0);
    said.keep(turn("r0", "a", [question(large)]), outcome("r3"), 10, 0);
    said.keep(turn(undefined, "a"), outcome("r4"), 2_000_000, 0);
    said.keep(turn(undefined, "a"), outcome("r5"), 10, 0);
    const ids = ["r1", "r2", "r3", "r4", "r5"];
    expect(ids.filter((id) => said.knows(id, 0))).toEqual(["r5"]);
  });
});
