import { describe, expect, test } from "bun:test";
import type { Figure, Goal } from "../../../scripts/bench/figure.ts";
import {
  measuredMarkdown,
  type Report,
  rewriteMeasured,
  summaryOf,
  table,
} from "../../../scripts/bench/report.ts";

function figure(section: string, name: string, median: number, goal?: Goal): Figure {
  const spread = { median, least: median / 2, most: median * 2 };
  return { section, name, unit: "ms", ...spread, ...(goal === undefined ? {} : { goal }) };
}

const REPORT: Report = {
  version: "codex-proxy 1.2.3 (abcdef0)",
  date: "2026-11-26",
  machine: { kernel: "linux 6.18 x64", cores: 2, processor: "A", bun: "1.4.5", loadBefore: 0.1 },
  rounds: 5,
  seconds: 90,
  leftOut: ["nginx: it is not installed"],
  figures: [
    figure("One", "fast", 0.2, { atMost: 0.25 }),
    figure("One", "slow", 300, { atMost: 150 }),
    figure("Two", "free", 1.5),
    { ...figure("Two", "many", 0.8, { atLeast: 0.75 }), unit: "x", least: 0.8, most: 0.8 },
  ],
};

test("the table puts figures under their sections, and says whether a target is met", () => {
  expect(table(REPORT.figures).map((line) => line.replace(/ +/g, " "))).toEqual([
    "One",
    " fast 0.200 ms 0.100..0.400 <= 0.25: met",
    " slow 300 ms 150..600 <= 150: MISSED",
    "",
    "Two",
    " free 1.50 ms 0.750..3.00",
    " many 0.800 x 0.800..0.800 >= 0.75: met",
  ]);
});

test("figures of a section stand together, wherever they come from", () => {
  const scattered = [figure("One", "a", 1), figure("Two", "b", 1), figure("One", "c", 1)];
  const names = table(scattered).map((line) => line.trim().split(" ")[0]);
  expect(names).toEqual(["One", "a", "c", "", "Two", "b"]);
});

test("the summary says what was measured, when and where", () => {
  expect(summaryOf(REPORT)).toBe(
    "codex-proxy 1.2.3 (abcdef0), 2026-11-26, linux 6.18 x64, 2 cores (A), Bun 1.4.5, load before 0.1; median of up to 5 rounds (least to most); 1.5 minutes",
  );
});

test("the page gets what was asked for beside what was measured, and then everything, in even columns", () => {
  expect(measuredMarkdown(REPORT)).toBe(`${summaryOf(REPORT)}.

Left out: nginx: it is not installed.

### Targets

| figure  | target    | measured            | range          |
| ------- | --------- | ------------------- | -------------- |
| **One** |           |                     |                |
| fast    | ≤ 0.25 ms | 0.200 ms (met)      | 0.100 to 0.400 |
| slow    | ≤ 150 ms  | 300 ms (**missed**) | 150 to 600     |
| **Two** |           |                     |                |
| many    | ≥ 0.75 ×  | 0.800 × (met)       |                |

### All figures

#### One

| figure | median   | range          |
| ------ | -------- | -------------- |
| fast   | 0.200 ms | 0.100 to 0.400 |
| slow   | 300 ms   | 150 to 600     |

#### Two

| figure | median  | range         |
| ------ | ------- | ------------- |
| free   | 1.50 ms | 0.750 to 3.00 |
| many   | 0.800 × |               |`);
});

describe("the page", () => {
  const page = "before\n\n<!-- measured: begin -->\n\nold\n\n<!-- measured: end -->\n\nafter\n";

  test("keeps all but what is between its marks", () => {
    const next = rewriteMeasured(page, "new") ?? "";
    expect(next).toBe(page.replace("old", "new"));
    expect(rewriteMeasured(next, "new")).toBe(next);
  });

  test("without its marks, or with them in the wrong order, is not written", () => {
    expect(rewriteMeasured("before\n\nafter\n", "new")).toBeUndefined();
    const turned = "<!-- measured: end -->\n<!-- measured: begin -->\n";
    expect(rewriteMeasured(turned, "new")).toBeUndefined();
  });

  test("that is kept in docs/PERFORMANCE.md has them", async () => {
    const kept = await Bun.file("docs/PERFORMANCE.md").text();
    expect(rewriteMeasured(kept, "new")).toContain("new");
  });
});
