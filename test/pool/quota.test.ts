import { describe, expect, test } from "bun:test";
import {
  exhaustedUntil,
  headroom,
  mergeQuota,
  nextReset,
  type Quota,
} from "../../src/pool/quota.ts";
import { DAY, HOUR, NOON, quotaOf } from "./logins.ts";

describe("headroom", () => {
  const rows: [name: string, quota: Quota | undefined, expected: number | undefined][] = [
    ["of no reading is unknown", undefined, undefined],
    ["of a reading without windows is unknown", quotaOf([]), undefined],
    ["is what is left", quotaOf([["5h", 25, HOUR]]), 0.75],
    [
      "is the least of all windows",
      quotaOf([
        ["5h", 25, HOUR],
        ["7d", 75, DAY],
      ]),
      0.25,
    ],
    [
      "is the least of all windows in any order",
      quotaOf([
        ["7d", 75, DAY],
        ["5h", 25, HOUR],
      ]),
      0.25,
    ],
    [
      "counts a window of one feature",
      quotaOf([
        ["5h", 25, HOUR],
        ["codex_other 5h", 90],
      ]),
      0.1,
    ],
    ["of a window whose reset has passed is all", quotaOf([["5h", 99, -1]]), 1],
    ["of a window that resets now is all", quotaOf([["5h", 99, 0]]), 1],
    ["of a window without a reset is what is left", quotaOf([["5h", 99]]), 0.01],
    ["is never below nothing", quotaOf([["5h", 140, HOUR]]), 0],
    ["is never above all", quotaOf([["5h", -3, HOUR]]), 1],
  ];
  test.each(rows)("%s", (_name, quota, expected) => {
    const left = headroom(quota, NOON);
    expect(left === undefined ? left : Math.round(left * 1e6) / 1e6).toBe(expected);
  });
});

describe("exhaustedUntil", () => {
  const rows: [name: string, quota: Quota | undefined, expected: number | undefined][] = [
    ["no reading", undefined, undefined],
    ["room", quotaOf([["5h", 99.9, HOUR]]), undefined],
    ["a full window", quotaOf([["5h", 100, HOUR]]), HOUR],
    [
      "two full windows: the later",
      quotaOf([
        ["5h", 100, HOUR],
        ["7d", 100, DAY],
      ]),
      DAY,
    ],
    [
      "a full window beside one with room",
      quotaOf([
        ["5h", 3, HOUR],
        ["7d", 100, DAY],
      ]),
      DAY,
    ],
    [
      "a full window of one feature only",
      quotaOf([
        ["5h", 3, HOUR],
        ["codex_other 5h", 100, DAY],
      ]),
      undefined,
    ],
    ["a full window whose reset has passed", quotaOf([["5h", 100, 0]]), undefined],
    ["a full window that promises nothing", quotaOf([["5h", 100]]), undefined],
    ["credits", quotaOf([["5h", 100, HOUR]], { hasCredits: true }), undefined],
  ];
  test.each(rows)("%s", (_name, quota, expected) => {
    expect(exhaustedUntil(quota, NOON)).toBe(expected === undefined ? undefined : NOON + expected);
  });
});

describe("mergeQuota", () => {
  test("the first reading is the reading", () => {
    const first = quotaOf([["5h", 1]]);
    expect(mergeQuota(undefined, first)).toBe(first);
  });

  test("replaces the windows it names, and keeps the others as long as they end by themselves", () => {
    const older = quotaOf(
      [
        ["5h", 1],
        ["7d", 2, 1000],
        ["window", 100],
      ],
      { plan: "plus", hasCredits: true },
    );
    const newer = quotaOf([["5h", 50]], { measuredAtMs: NOON + 9 });
    expect(mergeQuota(older, newer)).toEqual(
      quotaOf(
        [
          ["5h", 50],
          ["7d", 2, 1000],
        ],
        { measuredAtMs: NOON + 9, plan: "plus", hasCredits: false },
      ),
    );
  });

  test("another plan has windows of its own: none of the old ones is left", () => {
    const free = quotaOf([["30d", 100, 20 * DAY]], { plan: "free" });
    const plus = quotaOf(
      [
        ["5h", 0, HOUR],
        ["7d", 0, DAY],
      ],
      { plan: "plus" },
    );
    expect(mergeQuota(free, plus)).toEqual(plus);
  });

  test("a plan that becomes known changes nothing", () => {
    const older = quotaOf([["7d", 2, 1000]]);
    const merged = mergeQuota(older, quotaOf([["5h", 50]], { plan: "plus" }));
    expect(merged.windows.map(({ name }) => name)).toEqual(["5h", "7d"]);
  });
});

test("a window of something that this program never asks for takes no headroom", () => {
  const windows = [
    { name: "code_review 7d", usedPercent: 100, isPartial: true, isForeign: true as const },
    { name: "5h", usedPercent: 20, isPartial: false },
  ];
  expect(headroom({ ...quotaOf([]), windows }, NOON)).toBe(0.8);
  expect(headroom({ ...quotaOf([]), windows: windows.slice(0, 1) }, NOON)).toBeUndefined();
});

test("a reading that names every window leaves none of the account's own beside it", () => {
  const older = quotaOf([
    ["5h", 100, HOUR],
    ["spark 5h", 50, HOUR],
  ]);
  const merged = mergeQuota(older, quotaOf([["7d", 3, DAY]], { isComplete: true }));
  expect(merged.windows.map(({ name }) => name)).toEqual(["7d", "spark 5h"]);
});

test("B6-7: a reading that does not mention credits does not take them away", () => {
  const older = quotaOf([["5h", 100, HOUR]], { hasCredits: true, balance: "9.5" });
  const silent = quotaOf([["5h", 100, HOUR]], { isSilentOnCredits: true });
  const merged = mergeQuota(older, silent);
  expect(merged).toMatchObject({ hasCredits: true, balance: "9.5" });
  expect(exhaustedUntil(merged, NOON)).toBeUndefined();
  const told = mergeQuota(older, quotaOf([["5h", 100, HOUR]]));
  expect(told).toMatchObject({ hasCredits: false });
  expect(told).not.toHaveProperty("balance");
});

describe("nextReset", () => {
  const rows: [name: string, quota: Quota | undefined, expected: number][] = [
    ["never, without a reading", undefined, Number.POSITIVE_INFINITY],
    ["never, without resets", quotaOf([["5h", 3]]), Number.POSITIVE_INFINITY],
    [
      "at the first that is to come",
      quotaOf([
        ["5h", 3, 0],
        ["7d", 3, 70],
        ["1d", 3, 7],
      ]),
      NOON + 7,
    ],
  ];
  test.each(rows)("%s", (_name, quota, expected) => {
    expect(nextReset(quota, NOON)).toBe(expected);
  });
});
