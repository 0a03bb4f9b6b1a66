import { describe, expect, test } from "bun:test";
import {
  isClearlyBetter,
  isReady,
  LEVELS,
  levelAt,
  middleOf,
  restsFor,
  score,
} from "../../src/pool/rank.ts";
import { accountOf, HOUR, loginOf, NOON, quotaOf } from "./logins.ts";

const used = (percent: number) => accountOf({ quota: quotaOf([["5h", percent, HOUR]]) });

describe("score", () => {
  test.each([
    ["the headroom of an idle account", used(40), 0, 0.6],
    ["less a share for each request in flight", used(40), 3, 0.54],
    ["below nothing where it serves more than it has", used(99), 7, -0.13],
    ["but not without end", used(99), 700, -1],
    [
      "less half the share where it is twice as heavy",
      accountOf({ quota: quotaOf([["5h", 40, HOUR]]) }, loginOf("b", { weight: 2 })),
      3,
      0.57,
    ],
    ["what is assumed where nothing is known", accountOf(), 1, 0.68],
  ])("is %s", (_name, account, inFlight, expected) => {
    expect(score(account, inFlight, NOON, 0.7)).toBeCloseTo(expected, 10);
  });
});

describe("middleOf", () => {
  test.each([
    ["nobody measured: half", 0, 0, 0.5],
    ["one with much room: as much", 0.9, 1, 0.9],
    ["some: their mean", 1.5, 2, 0.75],
    ["all nearly spent: still half, which may be better", 0.3, 3, 0.5],
  ])("%s", (_name, total, count, expected) => {
    expect(middleOf(total, count)).toBeCloseTo(expected, 10);
  });
});

test.each([
  [0, 0],
  [0.0999, 0],
  [0.1, 1],
  [1 - 0.9, 1],
  [0.5, 5],
  [0.95, 9],
  [1, 9],
  [-0.01, -1],
  [-1, -10],
])("a score of %p is on level %p of ten", (worth, level) => {
  expect(levelAt(worth, 10)).toBe(level);
});

test("quota-first tells every whole percent from the next, busy or not", () => {
  for (let inFlight = 0; inFlight < 20; inFlight++) {
    const levels = Array.from({ length: 100 }, (_, percent) =>
      levelAt(score(used(percent), inFlight, NOON, 1), LEVELS["quota-first"]),
    );
    expect(new Set(levels).size).toBe(100);
  }
});

describe("isReady", () => {
  test.each([
    ["an unused account", used(0), true],
    ["one that is nearly used up", used(99), true],
    ["one that is used up", used(100), false],
    ["one that is used up without a promise", accountOf({ quota: quotaOf([["5h", 100]]) }), true],
    ["one that nobody has measured", accountOf(), true],
    [
      "one that is disabled",
      accountOf({ availability: { kind: "disabled", by: "backend", sinceMs: NOON, reason: "x" } }),
      false,
    ],
  ])("%s", (_name, account, expected) => {
    expect(isReady(account, NOON)).toBe(expected);
  });
});

test.each([
  [0.5, 0.44, true],
  [0.5, 0.45, true],
  [0.5, 0.46, false],
  [0.19, 0.18, false],
  [0.18, 0.19, false],
])("whether %p is clearly better than %p: %p", (other, home, expected) => {
  expect(isClearlyBetter(other, home)).toBe(expected);
});

describe("restsFor", () => {
  const account = accountOf({ modelCooldowns: new Map([["gpt-5.4", NOON + 1]]) });
  test.each([
    ["gpt-5.4", NOON, true],
    ["gpt-5.4", NOON + 1, false],
    ["gpt-5.2", NOON, false],
  ])("%p at %p: %p", (model, now, expected) => {
    expect(restsFor(account, model, now)).toBe(expected);
  });
});
