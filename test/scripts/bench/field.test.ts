import { describe, expect, test } from "bun:test";
import { inRounds, sightFault } from "../../../scripts/bench/field.ts";

test("each round measures every item once, in an order of its own", async () => {
  const order: string[] = [];
  const items = ["a", "b", "c", "d", "e"].map((name) => ({ name }));
  const rounds: number[] = [];
  const values = await inRounds(items, 4, {
    measure: ({ name }) => {
      order.push(name);
      return Promise.resolve(order.length);
    },
    onRound: (round) => rounds.push(round),
  });
  expect(rounds).toEqual([1, 2, 3, 4]);
  expect([...values.keys()]).toEqual(items.map(({ name }) => name));
  const inRound = [0, 1, 2, 3].map((round) => order.slice(round * 5, round * 5 + 5).join(""));
  expect(inRound.map((names) => [...names].toSorted().join(""))).toEqual(Array(4).fill("abcde"));
  expect(new Set(inRound).size).toBeGreaterThan(1);
  expect(values.get("a")).toHaveLength(4);
});

describe("an answer", () => {
  const model = { bytes: 100, events: 20, words: 11, text: "t", hash: "h" };

  test("that is passed on must have every byte", () => {
    expect(sightFault("relay that reads", model, model)).toBeUndefined();
    expect(sightFault("nginx", { ...model, hash: "i" }, model)).toBe("hash i instead of h");
  });

  test("that is translated must have the text in as many pieces", () => {
    const told = { bytes: 50, events: 14, words: 11, text: "t", hash: "other" };
    expect(sightFault("floor, Chat Completions", told, model)).toBeUndefined();
    expect(sightFault("floor, Chat Completions", { ...told, words: 10 }, model)).toBe(
      "words 10 instead of 11",
    );
  });
});
