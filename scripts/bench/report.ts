// How figures are shown: as a table on the terminal, as JSON, and in docs/PERFORMANCE.md.

import { type Figure, type Goal, isMet } from "./figure.ts";

/** Where it was measured; no name of a machine, and no path. */
export type Machine = {
  readonly kernel: string;
  readonly cores: number;
  readonly processor: string;
  readonly bun: string;
  /** What others did on the machine before: the load average of a minute. */
  readonly loadBefore: number;
};

/** Everything that one run brought. */
export type Report = {
  readonly version: string;
  readonly date: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  /** What could not be measured, and why. */
  readonly leftOut: readonly string[];
  readonly figures: readonly Figure[];
};

/** One line about what was measured, when and where. */
export function summaryOf({ version, date, machine, rounds, seconds }: Report): string {
  const { kernel, cores, processor, bun, loadBefore } = machine;
  const place = `${kernel}, ${cores} cores (${processor}), Bun ${bun}`;
  const minutes = (seconds / 60).toFixed(1);
  return `${version}, ${date}, ${place}, load before ${loadBefore}; median of up to ${rounds} rounds (least to most); ${minutes} minutes`;
}

/** The figures as lines of a table, section by section. */
export function table(figures: readonly Figure[]): string[] {
  return sectionsOf(figures).flatMap(([section, members], at) => [
    ...(at > 0 ? [""] : []),
    section,
    ...members.map(row),
  ]);
}

function row(figure: Figure): string {
  const { name, unit, median, least, most, goal } = figure;
  const value = `${shown(median)} ${unit}`.trim();
  const range = `${shown(least)}..${shown(most)}`;
  const told = goal === undefined ? "" : `${goalShown(goal, "<=", ">=")}: ${verdict(figure)}`;
  return `  ${name.padEnd(58)}${value.padStart(12)}  ${range.padEnd(18)} ${told}`.trimEnd();
}

/** Figures of one section side by side, in the order of their first. */
function sectionsOf(figures: readonly Figure[]): readonly (readonly [string, readonly Figure[]])[] {
  return [...Map.groupBy(figures, ({ section }) => section)];
}

function goalShown(goal: Goal, atMost: string, atLeast: string): string {
  return "atMost" in goal ? `${atMost} ${goal.atMost}` : `${atLeast} ${goal.atLeast}`;
}

function verdict(figure: Figure): "met" | "MISSED" {
  return isMet(figure) === true ? "met" : "MISSED";
}

function shown(value: number): string {
  if (!Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** The run as Markdown: what was asked for beside what was measured, then everything. */
export function measuredMarkdown(report: Report): string {
  const asked = report.figures.filter(({ goal }) => goal !== undefined);
  const everything = sectionsOf(report.figures).map(
    ([section, figures]) => `#### ${section}\n\n${markdownTable(LONG_HEAD, figures.map(longRow))}`,
  );
  const targets = sectionsOf(asked).flatMap(([section, figures]) => [
    [`**${section}**`, "", "", ""],
    ...figures.map(askedRow),
  ]);
  return [
    `${summaryOf(report)}.`,
    ...report.leftOut.map((what) => `Left out: ${what}.`),
    "### Targets",
    markdownTable(["figure", "target", "measured", "range"], targets),
    "### All figures",
    ...everything,
  ].join("\n\n");
}

const LONG_HEAD = ["figure", "median", "range"];

function longRow({ name, unit, median, least, most }: Figure): string[] {
  return [name, withUnit(median, unit), rangeShown(least, most)];
}

function askedRow(figure: Figure): string[] {
  const { name, unit, median, least, most, goal } = figure;
  const target = goal === undefined ? "" : `${goalShown(goal, "≤", "≥")} ${unitShown(unit)}`.trim();
  const measured = `${withUnit(median, unit)} (${isMet(figure) === true ? "met" : "**missed**"})`;
  return [name, target, measured, rangeShown(least, most)];
}

function withUnit(value: number, unit: string): string {
  return `${shown(value)} ${unitShown(unit)}`.trim();
}

function rangeShown(least: number, most: number): string {
  return least === most ? "" : `${shown(least)} to ${shown(most)}`;
}

function unitShown(unit: string): string {
  switch (unit) {
    case "us":
      return "µs";
    case "x":
      return "×";
    default:
      return unit;
  }
}

/** A table of Markdown with cells of equal width, as the formatter wants them. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  return [head, rule, ...rows].map(line).join("\n");
}

const BEGIN = "<!-- measured: begin -->";
const END = "<!-- measured: end -->";

/** The page with another text between its marks; undefined when it does not have them. */
export function rewriteMeasured(page: string, measured: string): string | undefined {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END, begin);
  if (begin < 0 || end < 0) return undefined;
  return `${page.slice(0, begin + BEGIN.length)}\n\n${measured}\n\n${page.slice(end)}`;
}
