import { describe, expect, test } from "bun:test";
import {
  createChance,
  type Goal,
  isMet,
  quantile,
  ratios,
  shuffled,
  slopePerMinute,
  summarize,
} from "../../../scripts/bench/figure.ts";

describe("quantile", () => {
  test("is the value below which that share lies", () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([0, 0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([1, 51, 100, 100]);
  });

  test("of nothing is no number", () => {
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe("summarize", () => {
  const heading = { section: "s", name: "n", unit: "ms" };

  test.each([
    [[3, 1, 2], { median: 2, least: 1, most: 3 }],
    [[4, 1, 2, 3], { median: 2.5, least: 1, most: 4 }],
    [[Number.NaN, 2], { median: 2, least: 2, most: 2 }],
    [[], { median: Number.NaN, least: Number.NaN, most: Number.NaN }],
  ])("%p", (values, expected) => {
    expect(summarize(heading, values)).toEqual({ ...heading, ...expected });
  });
});

test("ratios are made within a round, and a round that is missing has none", () => {
  expect(ratios([2, 9], [1, 3])).toEqual([2, 3]);
  expect(ratios([2, 9], [1])[1]).toBeNaN();
});

describe("isMet", () => {
  test.each<[goal: Goal | undefined, median: number, expected: boolean | undefined]>([
    [{ atMost: 2 }, 2, true],
    [{ atMost: 2 }, 2.1, false],
    [{ atLeast: 0.75 }, 0.8, true],
    [{ atLeast: 0.75 }, 0.7, false],
    // What could not be measured is not met.
    [{ atMost: 2 }, Number.NaN, false],
    [undefined, 1, undefined],
  ])("%p with a median of %p", (goal, median, expected) => {
    const figure = { section: "s", name: "n", unit: "x", median, least: median, most: median };
    expect(isMet(goal === undefined ? figure : { ...figure, goal })).toBe(expected);
  });
});

describe("slopePerMinute", () => {
  const samples = (values: readonly number[]) =>
    values.map((value, second) => ({ atMs: 5000 + second * 1000, value }));

  test("of a straight line is what it grows by in a minute", () => {
    expect(slopePerMinute(samples([10, 11, 12, 13]))).toBeCloseTo(60);
  });

  test("of what swings about one level is almost nothing, whatever its ends are", () => {
    const swing = Array.from({ length: 601 }, (_, second) => (second % 2 === 0 ? 100 : 90));
    expect(Math.abs(slopePerMinute(samples(swing)))).toBeLessThan(0.01);
  });

  test("of one sample is no number", () => {
    expect(slopePerMinute(samples([1]))).toBeNaN();
  });
});

test("another order has the same items, and is the same in every run", () => {
  const items = [1, 2, 3, 4, 5, 6, 7, 8];
  const orders = (): readonly (readonly number[])[] => {
    const chance = createChance(3);
    return [shuffled(items, chance), shuffled(items, chance)];
  };
  const [first = [], second = []] = orders();
  expect(first.toSorted()).toEqual(items);
  expect(first).not.toEqual(second);
  expect(orders()).toEqual([first, second]);
});
