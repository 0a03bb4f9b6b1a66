// How figures are shown: as a table on the terminal, as JSON, and in docs/PERFORMANCE.md.

import { type Figure, type Goal, isMet } from "./figure.ts";

/** The figures as lines of a table, section by section. */
export function table(figures: readonly Figure[]): string[] {
  const lines: string[] = [];
  let section = "";
  for (const figure of figures) {
    if (figure.section !== section) {
      section = figure.section;
      if (lines.length > 0) lines.push("");
      lines.push(section);
    }
    lines.push(row(figure));
  }
  return lines;
}

function row(figure: Figure): string {
  const { name, unit, median, least, most } = figure;
  const value = `${shown(median)} ${unit}`.trim();
  const range = `${shown(least)}..${shown(most)}`;
  const goal = figure.goal === undefined ? "" : `${goalShown(figure.goal)}: ${verdict(figure)}`;
  return `  ${name.padEnd(52)}${value.padStart(12)}  ${range.padEnd(18)} ${goal}`.trimEnd();
}

function goalShown(goal: Goal): string {
  return "atMost" in goal ? `<= ${goal.atMost}` : `>= ${goal.atLeast}`;
}

function verdict(figure: Figure): string {
  return isMet(figure) === true ? "met" : "MISSED";
}

function shown(value: number): string {
  if (!Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
