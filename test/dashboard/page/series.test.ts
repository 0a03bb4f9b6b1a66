import { describe, expect, test } from "bun:test";
import {
  CLASSES,
  classOf,
  columnsOf,
  failuresOf,
  largestOf,
  stacked,
  sumOf,
} from "../../../src/dashboard/page/series.ts";
import { readHistory } from "../../../src/dashboard/page/shape.ts";
import { FAILURES } from "../../../src/turn/failure.ts";
import { NOON } from "../../engine/parts.ts";

const MINUTE = 60_000;

const HISTORY = readHistory({
  from: new Date(NOON - 6 * 60 * MINUTE).toISOString(),
  to: new Date(NOON).toISOString(),
  step_seconds: 60,
  minutes: [
    { at: new Date(NOON - 90 * MINUTE).toISOString(), requests: 9 },
    {
      at: new Date(NOON - 3 * MINUTE).toISOString(),
      requests: 4,
      failures: { exhausted: 1, "rate-limited": 2, "made-up-later": 1 },
      duration_ms: { p50: 120, p95: 300, max: 310 },
    },
    { at: new Date(NOON - MINUTE).toISOString(), requests: 2 },
  ],
});

describe("columns", () => {
  test("have one step for each minute of the span, up to the one that runs", () => {
    const { seconds, line, minutes } = columnsOf(HISTORY, 5 * MINUTE);
    expect(seconds).toEqual([5, 4, 3, 2, 1].map((ago) => NOON / 1000 - ago * 60));
    expect(line(({ requests }) => requests, 0)).toEqual([0, 0, 4, 0, 2]);
    expect(line(({ duration }) => duration.p50, null)).toEqual([null, null, 120, null, null]);
    expect(minutes.length).toBe(2);
  });

  test("of a longer span know more", () => {
    const { line } = columnsOf(HISTORY, 120 * MINUTE);
    expect(sumOf(line(({ requests }) => requests, 0))).toBe(15);
  });
});

test("every kind of failure has a class, and one that nobody knows yet is the proxy's", () => {
  const classes = new Set<string>(CLASSES.map(([kind]) => kind));
  for (const kind of Object.keys(FAILURES)) expect(classes).toContain(classOf(kind));
  expect(classOf("made-up-later")).toBe("proxy");
  expect(classOf("toString")).toBe("proxy");
  const minute = HISTORY.minutes[1];
  if (minute === undefined) throw new Error("there is one");
  expect([failuresOf(minute, "quota"), failuresOf(minute, "proxy")]).toEqual([3, 1]);
});

test("lines are stacked on those below them", () => {
  expect(
    stacked([
      [1, null, 3],
      [10, 20, null],
    ]),
  ).toEqual([
    [1, 0, 3],
    [11, 20, 3],
  ]);
});

test("sums and largest values leave out what is missing", () => {
  expect([sumOf([1, null, 2]), largestOf([1, null, 2]), largestOf([null])]).toEqual([
    3,
    2,
    undefined,
  ]);
});
