import type { FailureKind } from "../../turn/failure.ts";
import type { HistoryView, Minute } from "./shape.ts";
import type { TextKey } from "./texts.ts";

/** What a failure has to do with, as far as somebody looking at a chart wants to know. */
export type FailureClass = "quota" | "account" | "backend" | "path" | "proxy" | "client" | "left";

/** The classes in the order in which they are drawn, and what they are called. */
export const CLASSES: readonly (readonly [FailureClass, TextKey])[] = [
  ["quota", "classQuota"],
  ["account", "classAccount"],
  ["backend", "classBackend"],
  ["path", "classPath"],
  ["proxy", "classProxy"],
  ["client", "classClient"],
  ["left", "classLeft"],
];

const CLASS_OF: Readonly<Record<FailureKind, FailureClass>> = {
  "bad-request": "client",
  "context-overflow": "client",
  "content-refused": "client",
  "unsupported-parameter": "client",
  "foreign-reasoning": "client",
  "unknown-compaction": "client",
  "client-limited": "client",
  unauthorized: "account",
  deactivated: "account",
  forbidden: "account",
  "renewal-failed": "account",
  "no-account": "account",
  exhausted: "quota",
  "rate-limited": "quota",
  overloaded: "backend",
  "server-error": "backend",
  "cut-short": "backend",
  empty: "backend",
  "no-compaction": "backend",
  timeout: "backend",
  challenged: "path",
  egress: "path",
  unreachable: "path",
  "turned-away": "path",
  network: "path",
  "out-of-time": "proxy",
  internal: "proxy",
  "client-left": "left",
};

const CLASS_BY_NAME: ReadonlyMap<string, FailureClass> = new Map(Object.entries(CLASS_OF));

/** What a kind of failure has to do with; one that a newer proxy has is counted as its own. */
export function classOf(kind: string): FailureClass {
  return CLASS_BY_NAME.get(kind) ?? "proxy";
}

/** One line of a chart: a value for each step, null where there is none. */
export type Line = readonly (number | null)[];

/** A span of the history as columns, one value for each step of time. */
export type Columns = {
  /** Beginnings of the steps, in seconds since 1970. */
  readonly seconds: readonly number[];
  /** A line of what `pick` finds in each minute; `without` stands for minutes in which nothing ended. */
  readonly line: (pick: (minute: Minute) => number | undefined, without: number | null) => Line;
  /** The minutes themselves, those without anything left out. */
  readonly minutes: readonly Minute[];
};

/** The last `spanMs` of a history, the minute that runs included. */
export function columnsOf({ toMs, stepMs, minutes }: HistoryView, spanMs: number): Columns {
  const steps = Math.max(Math.floor(spanMs / stepMs), 1);
  const lastMs = toMs - stepMs;
  const firstMs = lastMs - (steps - 1) * stepMs;
  const byStart = new Map(minutes.map((minute) => [minute.atMs, minute]));
  const starts = Array.from({ length: steps }, (_, at) => firstMs + at * stepMs);
  return {
    seconds: starts.map((ms) => ms / 1000),
    line: (pick, without) =>
      starts.map((ms) => {
        const minute = byStart.get(ms);
        return minute === undefined ? without : (pick(minute) ?? null);
      }),
    minutes: starts.flatMap((ms) => byStart.get(ms) ?? []),
  };
}

/** How many failures of a class a minute has seen. */
export function failuresOf({ failures }: Minute, wanted: FailureClass): number {
  let sum = 0;
  for (const [kind, times] of failures) if (classOf(kind) === wanted) sum += times;
  return sum;
}

/** Each line with those below it added, and the topmost first, so that a chart can fill them one behind the other. */
export function stacked(lines: readonly Line[]): readonly Line[] {
  const sums: Line[] = [];
  for (const line of lines) {
    const below = sums.at(-1);
    sums.push(line.map((value, at) => (value ?? 0) + (below?.[at] ?? 0)));
  }
  return sums;
}

/** The sum of a line. */
export function sumOf(line: Line): number {
  return line.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

/** The largest value of a line; undefined where it has none. */
export function largestOf(line: Line): number | undefined {
  const values = line.filter((value) => value !== null);
  return values.length === 0 ? undefined : Math.max(...values);
}
