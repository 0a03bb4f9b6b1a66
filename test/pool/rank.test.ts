import { describe, expect, test } from "bun:test";
import { BANDS, bandAt, bandOf, middleOf, restsFor, score } from "../../src/pool/rank.ts";
import { accountOf, HOUR, NOON, quotaOf } from "./logins.ts";

const used = (percent: number) => accountOf({ quota: quotaOf([["5h", percent, HOUR]]) });

describe("score", () => {
  test.each([
    ["the headroom of an idle account", used(40), 0, 0.6],
    ["less a share for each request in flight", used(40), 3, 0.54],
    ["never below nothing", used(99), 7, 0],
    ["what is assumed where nothing is known", accountOf(), 1, 0.68],
  ])("is %s", (_name, account, inFlight, expected) => {
    expect(score(account, inFlight, NOON, 0.7)).toBeCloseTo(expected, 10);
  });
});

describe("bandOf", () => {
  test.each([
    ["an unused account: the best", used(0), 0, BANDS - 1],
    ["one that has just begun: the same", used(9), 0, BANDS - 1],
    ["half used", used(50), 0, 5],
    ["nearly used up", used(99), 0, 0],
    [
      "used up without a promise: the last, but usable",
      accountOf({ quota: quotaOf([["5h", 100]]) }),
      0,
      0,
    ],
    ["used up: none", used(100), 0, undefined],
    ["unmeasured: what is assumed", accountOf(), 0, 7],
    ["unmeasured and busy: below its equals", accountOf(), 1, 6],
    ["busy beyond measure", used(0), 500, 0],
    [
      "disabled: none",
      accountOf({ availability: { kind: "disabled", sinceMs: NOON, reason: "x" } }),
      0,
      undefined,
    ],
  ])("%s", (_name, account, inFlight, expected) => {
    expect(bandOf(account, inFlight, NOON, 0.7)).toBe(expected);
  });

  test("a requests's weight falls with more of them, never rises", () => {
    for (let percent = 0; percent < 100; percent++) {
      for (let inFlight = 0; inFlight < 60; inFlight++) {
        const band = bandOf(used(percent), inFlight, NOON, 0.7) ?? -1;
        expect(band).toBeGreaterThanOrEqual(bandOf(used(percent), inFlight + 1, NOON, 0.7) ?? -1);
        expect(band).toBeWithin(0, BANDS);
      }
    }
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
])("a score of %p is in band %p", (worth, band) => {
  expect(bandAt(worth)).toBe(band);
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
