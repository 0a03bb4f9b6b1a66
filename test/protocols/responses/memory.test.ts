import { describe, expect, test } from "bun:test";
import { createResponseMemory } from "../../../src/protocols/responses/memory.ts";

const memory = (mostBytes = 100_000, ttlMs = 1000) =>
  createResponseMemory(() => ({ mostBytes, ttlMs }));

const turn = (previousId: string | undefined, items: readonly unknown[], bytes = 100) => ({
  previousId,
  items,
  bytes,
});

describe("the memory of responses", () => {
  test("recalls a conversation from its beginning, at every response that it has reached", () => {
    const responses = memory();
    responses.keep("me", "r1", turn(undefined, ["q1", "a1"]), 0);
    responses.keep("me", "r2", turn("r1", ["q2", "a2"]), 0);
    responses.keep("me", "r2b", turn("r1", ["q2b", "a2b"]), 0);
    expect(responses.recall("me", "r1", 1)).toEqual(["q1", "a1"]);
    expect(responses.recall("me", "r2", 1)).toEqual(["q1", "a1", "q2", "a2"]);
    const ids = ["r1", "r2", "r2b", "r3"];
    expect(ids.filter((id) => responses.knows("me", id, 1))).toEqual(["r1", "r2", "r2b"]);
    expect(responses.recall("me", "r2b", 1)).toEqual(["q1", "a1", "q2b", "a2b"]);
  });

  test("tells nobody of another's conversation, nor of one that never was", () => {
    const responses = memory();
    responses.keep("me", "r1", turn(undefined, ["q1"]), 0);
    expect(responses.recall("you", "r1", 0)).toBeUndefined();
    expect(responses.recall("me", "r0", 0)).toBeUndefined();
  });

  test("forgets a conversation that was not used for its time; going on with it counts as use", () => {
    const responses = memory();
    responses.keep("me", "r1", turn(undefined, ["q1"]), 0);
    responses.keep("me", "r2", turn("r1", ["q2"]), 900);
    expect(responses.recall("me", "r2", 1800)).toEqual(["q1", "q2"]);
    expect(responses.recall("me", "r2", 2800)).toBeUndefined();
  });

  test("makes room by dropping a conversation's end before its beginning", () => {
    const responses = memory(3000);
    responses.keep("me", "r1", turn(undefined, ["q1"], 600), 0);
    responses.keep("me", "r2", turn("r1", ["q2"], 600), 0);
    responses.recall("me", "r2", 1);
    responses.keep("me", "other1", turn(undefined, ["o1"], 600), 2);
    responses.keep("me", "other2", turn(undefined, ["o2"], 600), 3);
    expect(responses.recall("me", "r2", 4)).toBeUndefined();
    expect(responses.recall("me", "r1", 4)).toEqual(["q1"]);
  });

  test("does not drop what the newest turn rests on to make room for it", () => {
    const responses = memory(3000);
    responses.keep("me", "r1", turn(undefined, ["q1"], 600), 0);
    responses.keep("me", "other1", turn(undefined, ["o1"], 600), 1);
    responses.keep("me", "other2", turn(undefined, ["o2"], 600), 2);
    responses.keep("me", "r2", turn("r1", ["q2"], 600), 3);
    expect(responses.recall("me", "r2", 4)).toEqual(["q1", "q2"]);
    expect(responses.recall("me", "other1", 4)).toBeUndefined();
  });

  test("keeps no turn whose beginning is gone or does not fit", () => {
    const responses = memory(2000);
    responses.keep("me", "r2", turn("r1", ["q2"]), 0);
    expect(responses.recall("me", "r2", 0)).toBeUndefined();
    responses.keep("me", "r1", turn(undefined, ["q1"], 1000), 0);
    responses.keep("me", "r2", turn("r1", ["q2"], 1000), 0);
    expect(responses.recall("me", "r2", 0)).toBeUndefined();
  });

  test("is not led in circles by an id that comes twice", () => {
    const responses = memory();
    responses.keep("me", "r1", turn(undefined, ["q1"]), 0);
    responses.keep("me", "r1", turn("r1", ["q2"]), 0);
    expect(responses.recall("me", "r1", 0)).toBeUndefined();
  });

  test("finds an item by its id, for its own caller, as long as its turn is held", () => {
    const responses = memory(3000);
    const item = { id: "msg_1", type: "message" };
    responses.keep("me", "r1", turn(undefined, ["q1", {}, item]), 0);
    expect(responses.find("me", "msg_1", 0)).toBe(item);
    expect(responses.find("me", "msg_2", 0)).toBeUndefined();
    expect(responses.find("you", "msg_1", 0)).toBeUndefined();
    // A response's id and an item's are two things.
    expect(responses.find("me", "r1", 0)).toBeUndefined();
    expect(responses.recall("me", "msg_1", 0)).toBeUndefined();
    responses.keep("me", "r2", turn(undefined, ["q2"], 2500), 1);
    expect(responses.find("me", "msg_1", 2)).toBeUndefined();
  });

  test("a bound of nothing turns it off", () => {
    const responses = memory(0);
    expect([responses.isOn(), memory().isOn()]).toEqual([false, true]);
    responses.keep("me", "r1", turn(undefined, [], 0), 0);
    expect(responses.recall("me", "r1", 0)).toBeUndefined();
  });

  test("grows with what is said, not with its square", () => {
    const responses = memory(100 * 500);
    for (let at = 1; at <= 100; at++) {
      responses.keep("me", `r${at}`, turn(at === 1 ? undefined : `r${at - 1}`, [at], 200), 0);
    }
    expect(responses.recall("me", "r100", 0)).toHaveLength(100);
  });
});
