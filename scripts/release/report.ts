// What docs/RELEASE.md says about the zips of a release, made of what was found and measured.

import { markdownTable } from "../bench/report.ts";
import type { BuildInfo } from "../build.ts";
import { versionText } from "./inspect.ts";
import { megabytes } from "./make.ts";
import type { Parts } from "./measure.ts";
import type { Proof } from "./proof.ts";

/** One platform's line. */
export type Row = {
  readonly target: string;
  /** Undefined for a target that was not made. */
  readonly sizes: { readonly unpacked: number; readonly zip: number } | undefined;
  readonly found: string;
  /** Why it was not made, or failed when it was tried. */
  readonly fault?: string;
  readonly proof: Proof | undefined;
};

/** Everything that a run tells. */
export type ReleaseReport = {
  readonly info: BuildInfo;
  /** The day, as 2026-11-26. */
  readonly date: string;
  /** The kernel and processor that it was made on, without a name or a path. */
  readonly machine: string;
  readonly seconds: number;
  /** Whether everything was made twice, and came out the same. */
  readonly isSameTwice: boolean;
  readonly rows: readonly Row[];
  readonly parts: Parts | undefined;
};

/** The report as Markdown. */
export function releaseMarkdown(report: ReleaseReport): string {
  const { info, date, machine, seconds, isSameTwice, rows, parts } = report;
  const twice = isSameTwice ? "; made twice, with the same checksums" : "";
  const notes = rows.flatMap(({ target, fault, proof }) =>
    [...(fault === undefined ? [] : [firstLine(fault)]), ...(proof?.notes ?? [])].map(
      (note) => `- ${target}: ${note}`,
    ),
  );
  return [
    `codex-proxy ${versionText(info)}, ${date}, ${machine}; ${(seconds / 60).toFixed(1)} minutes${twice}.`,
    markdownTable(
      ["platform", "unpacked", "zip", "start-up", "idle memory", "proved", "looked at"],
      rows.map(cellsOf),
    ),
    ...(notes.length > 0 ? [notes.join("\n")] : []),
    ...(parts === undefined ? [] : partsMarkdown(parts)),
  ].join("\n\n");
}

function firstLine(text: string): string {
  return text.split("\n", 1).join("");
}

function cellsOf({ target, sizes, found, fault, proof }: Row): string[] {
  if (sizes === undefined) return [target, "not made", "", "", "", "", ""];
  const { startMs, idleRssBytes } = proof ?? {};
  return [
    target,
    megabytes(sizes.unpacked),
    megabytes(sizes.zip),
    startMs === undefined ? "" : `${startMs.toFixed(0)} ms`,
    idleRssBytes === undefined ? "" : megabytes(idleRssBytes),
    fault === undefined ? (proof?.how ?? "not tried") : "**failed**",
    found,
  ];
}

function partsMarkdown(parts: Parts): string[] {
  const { whole, runtime, code, bytecode, sourceMap, dashboard, codeBy, startMs } = parts;
  const share = (bytes: number): string => `${((100 * bytes) / whole).toFixed(1)} %`;
  const row = (name: string, bytes: number): string[] => [name, megabytes(bytes), share(bytes)];
  const start =
    startMs === undefined
      ? []
      : [
          `\`-version\` takes ${startMs.withBytecode.toFixed(0)} ms from start to end with bytecode, and ${startMs.without.toFixed(0)} ms without.`,
        ];
  const [most, ...others] = codeBy.filter(([, bytes]) => bytes >= 0.01 * code);
  const named = [most, ...others].flatMap((one) => (one === undefined ? [] : [one]));
  const rest = codeBy.reduce((sum, [, bytes]) => sum + bytes, 0);
  const told = named.reduce((sum, [, bytes]) => sum + bytes, 0);
  return [
    "### What is in linux-amd64",
    markdownTable(
      ["part", "size", "share"],
      [
        row("Bun's runtime", runtime),
        row("the program as text", code),
        row("the program as bytecode", bytecode),
        row("source map, with the sources", sourceMap),
        row("dashboard", dashboard),
        row("all", whole),
      ],
    ),
    ...start,
    "Whose the program's text is:",
    markdownTable(
      ["package", "size"],
      [
        ...named.map(([whose, bytes]) => [whose, kilobytes(bytes)]),
        ["all others", kilobytes(rest - told)],
      ],
    ),
  ];
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1e3).toFixed(0)} kB`;
}
