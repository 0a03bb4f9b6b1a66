import { describe, expect, test } from "bun:test";
import { type Figure, quantile, summarize } from "../../scripts/bench/figure.ts";
import { pickNanoseconds } from "../../scripts/bench/pick.ts";
import { aggregateMicroseconds, protocols } from "../../scripts/bench/pieces.ts";
import { cpuMs, residentKilobytes } from "../../scripts/bench/process.ts";
import { table } from "../../scripts/bench/report.ts";
import { PATHS, requestBody } from "../../scripts/bench/request.ts";

// That the figures are put together rightly. Speed itself is no test's business.

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
  const what = { section: "s", name: "n", unit: "ms" };

  test.each([
    [[3, 1, 2], { median: 2, least: 1, most: 3 }],
    [[4, 1, 2, 3], { median: 2.5, least: 1, most: 4 }],
    [[Number.NaN, 2], { median: 2, least: 2, most: 2 }],
  ])("%p", (values, expected) => {
    expect(summarize(what, values)).toEqual({ ...what, ...expected });
  });
});

test("the table puts figures under their sections, and says whether a target is met", () => {
  const figure = (section: string, median: number, target?: number): Figure => ({
    section,
    name: "a name",
    unit: "ms",
    median,
    least: median / 2,
    most: median * 2,
    ...(target === undefined ? {} : { goal: { atMost: target } }),
  });
  const lines = table([figure("One", 0.2, 0.25), figure("One", 300, 150), figure("Two", 1.5)]);
  expect(lines.map((line) => line.replace(/ +/g, " "))).toEqual([
    "One",
    " a name 0.200 ms 0.100..0.400 <= 0.25: met",
    " a name 300 ms 150..600 <= 150: MISSED",
    "",
    "Two",
    " a name 1.50 ms 0.750..3.00",
  ]);
});

test("choosing an account has a cost that can be measured", () => {
  expect(pickNanoseconds(3, "round-robin", 10)).toBeGreaterThan(0);
});

test("the kernel tells CPU time and memory on Linux, and nothing about a process that is not there", () => {
  const isLinux = process.platform === "linux";
  expect([typeof cpuMs(process.pid), typeof residentKilobytes(process.pid)]).toEqual(
    isLinux ? ["number", "number"] : ["undefined", "undefined"],
  );
  expect([cpuMs(-1), residentKilobytes(-1)]).toEqual([undefined, undefined]);
});

describe("a request of the bench", () => {
  const dialects = ["codex", "responses", "chat", "messages"] as const;

  test.each(dialects)(
    "in the dialect %s is as large as it should be, and understood",
    (dialect) => {
      for (const content of [
        { bytes: 8192, kind: "text" },
        { bytes: 50_000, kind: "conversation" },
        { bytes: 50_000, kind: "broken-tools" },
      ] as const) {
        const body = requestBody(dialect, content, "bench-1");
        expect(body).toHaveLength(content.bytes);
        const protocol = protocols().find(({ path }) => PATHS[dialect] === `/v1${path}`);
        const decoded = protocol?.decode({
          bytes: new TextEncoder().encode(body),
          headers: new Headers(),
          scope: "bench",
          resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
        });
        expect(decoded).toMatchObject({ ok: true, exchange: { wantsStream: true } });
      }
    },
  );
});

test("an answer in one piece has a cost for each event that can be measured, in every protocol", () => {
  for (const protocol of protocols()) {
    expect(aggregateMicroseconds(protocol, 100)).toBeGreaterThan(0);
  }
});
