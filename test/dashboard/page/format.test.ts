import { describe, expect, test } from "bun:test";
import { createFormat } from "../../../src/dashboard/page/format.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const NOON = Date.UTC(2026, 10, 20, 12, 3, 27);

describe.each([
  ["en", ["59 s", "2 min", "2 h 10 min", "3 h", "4 d 15 h", "0 s"]],
  ["zh", ["59 秒", "2 分", "2 小时 10 分", "3 小时", "4 天 15 小时", "0 秒"]],
] as const)("%s", (language, spans) => {
  const format = createFormat(language, "UTC");

  test("lengths of time are told in their two largest units", () => {
    const lengths = [59.9 * SECOND, 2.5 * MINUTE, 130 * MINUTE, 3 * HOUR, 111.5 * HOUR, -5];
    expect(lengths.map(format.span)).toEqual([...spans]);
  });

  test("times of day have 24 hours", () => {
    expect([format.clock(NOON), format.minute(NOON)]).toEqual(["12:03:27", "12:03"]);
    expect(format.minute(NOON + 12 * HOUR)).toBe("00:03");
    expect(format.moment(NOON)).toContain("2026");
  });
});

test("numbers and shares", () => {
  const { count, short, share } = createFormat("en");
  expect([count(12_345), short(9999), short(1_234_567), short(12_340)]).toEqual([
    "12,345",
    "9,999",
    "1.23M",
    "12.3K",
  ]);
  expect([share(0.345), share(1), share(0)]).toEqual(["35%", "100%", "0%"]);
  expect(createFormat("zh").short(123_456)).toBe("12.3万");
});

test("measured times have three digits", () => {
  const { measured } = createFormat("en");
  expect([0.4, 820, 1420, 42_400, 125_000].map(measured)).toEqual([
    "0 ms",
    "820 ms",
    "1.42 s",
    "42.4 s",
    "2 min 5 s",
  ]);
});
