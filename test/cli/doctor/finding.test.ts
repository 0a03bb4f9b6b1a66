import { describe, expect, test } from "bun:test";
import {
  countLevels,
  createReport,
  type Finding,
  jsonOf,
  linesOf,
} from "../../../src/cli/doctor/finding.ts";

const TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.sig";

const FINDING: Finding = {
  level: "warning",
  check: "quota",
  account: "an***@example.com#1",
  says: "used up",
  todo: "wait",
};

describe("a report", () => {
  test("hands on what is found, with secrets taken out at every depth", () => {
    const heard: Finding[] = [];
    const report = createReport((finding) => heard.push(finding));
    report.add({
      ...FINDING,
      says: `token ${TOKEN} of ann.lee@example.com`,
      todo: `Bearer ${TOKEN}`,
      facts: { list: [{ key: "sk-0123456789abcdef" }], plain: 1, none: null },
    });
    const shown = JSON.stringify([heard, jsonOf("1", report.findings)]);
    for (const secret of [TOKEN, "ann.lee@", "sk-0123456789abcdef"])
      expect(shown).not.toContain(secret);
    expect(report.findings).toEqual(heard);
    expect(heard[0]?.facts).toEqual({ list: [{ key: "[key]" }], plain: 1, none: null });
  });
});

test("linesOf is a line, and one for what to do", () => {
  expect(linesOf(FINDING)).toEqual([
    "warning  quota         an***@example.com#1: used up",
    "                       -> wait",
  ]);
  expect(linesOf({ level: "ok", check: "dns", says: "fine" })).toEqual([
    "ok       dns           fine",
  ]);
});

test("jsonOf counts, and says the worst", () => {
  const ok = { level: "ok", check: "a", says: "b" } as const;
  const problem = { ...ok, level: "problem" } as const;
  expect(countLevels([ok, FINDING, ok])).toEqual({ ok: 2, warning: 1, problem: 0 });
  expect(jsonOf("1", [ok])).toMatchObject({ result: "ok", version: "1", findings: [ok] });
  expect(jsonOf("1", [ok, FINDING])).toMatchObject({ result: "warning" });
  expect(jsonOf("1", [FINDING, problem])).toMatchObject({
    result: "problem",
    counts: { problem: 1 },
  });
});
