import type { Json } from "../../wire/json.ts";
import { redact } from "../../wire/log.ts";

/** How a finding is to be taken: all well; something that may be regretted; something that does not work. */
export type Level = "ok" | "warning" | "problem";

/** One thing that was looked at. */
export type Finding = {
  readonly level: Level;
  /** What was looked at, in a word or two. */
  readonly check: string;
  /** The account, by its label; absent where it is about none. */
  readonly account?: string;
  /** What was found and what it means: a sentence, without a secret. */
  readonly says: string;
  /** What to do about it. */
  readonly todo?: string;
  /** The same for programs. */
  readonly facts?: { readonly [name: string]: Json };
};

/** Takes findings as they come. */
export type Report = {
  readonly add: (finding: Finding) => void;
  readonly findings: readonly Finding[];
};

/** A report that hands each finding on, with everything secret taken out. */
export function createReport(onFinding: (finding: Finding) => void): Report {
  const findings: Finding[] = [];
  return {
    findings,
    add: (finding) => {
      const clean = cleaned(finding);
      findings.push(clean);
      onFinding(clean);
    },
  };
}

function cleaned({ says, todo, facts, ...rest }: Finding): Finding {
  return {
    ...rest,
    says: redact(says),
    ...(todo === undefined ? {} : { todo: redact(todo) }),
    ...(facts === undefined ? {} : { facts: cleanedFacts(facts) }),
  };
}

function cleanedFacts(facts: NonNullable<Finding["facts"]>): NonNullable<Finding["facts"]> {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [name, cleanedJson(value)]),
  );
}

function cleanedJson(value: Json): Json {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map(cleanedJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, cleanedJson(each)]));
}

/** How many findings there are of each level. */
export function countLevels(findings: readonly Finding[]): Readonly<Record<Level, number>> {
  const counts = { ok: 0, warning: 0, problem: 0 };
  for (const { level } of findings) counts[level] += 1;
  return counts;
}

const CHECK_WIDTH = 13;

/** A finding for people: one line, and one more where there is something to do. */
export function linesOf({ level, check, account, says, todo }: Finding): readonly string[] {
  const who = account === undefined ? "" : `${account}: `;
  const first = `${level.padEnd(8)} ${check.padEnd(CHECK_WIDTH)} ${who}${says}`;
  return todo === undefined ? [first] : [first, `${" ".repeat(8 + CHECK_WIDTH)}  -> ${todo}`];
}

/** The whole report for programs. */
export function jsonOf(version: string, findings: readonly Finding[]): Json {
  const counts = countLevels(findings);
  return {
    result: counts.problem > 0 ? "problem" : counts.warning > 0 ? "warning" : "ok",
    version,
    counts: { ...counts },
    findings: findings.map((finding) => ({ ...finding })),
  };
}
