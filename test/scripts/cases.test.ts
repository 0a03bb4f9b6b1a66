import { expect, test } from "bun:test";
import { join } from "node:path";

// The cases of protocols and streams that users of similar programs have reported: how many there are in each group.
const GROUPS = { B1: 17, B2: 9, B3: 14, B4: 15, B5: 10 } as const;

const ROOT = join(import.meta.dirname, "../..");
const CASE = /\bB[1-5]-\d+\b/g;

/** The ids in the names of tests, one of which may name several. */
async function testedCases(): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for await (const path of new Bun.Glob("test/**/*.test.ts").scan({ cwd: ROOT })) {
    if (path.endsWith("scripts/cases.test.ts")) continue;
    const source = await Bun.file(join(ROOT, path)).text();
    // A name is a string or a template behind `test(`, `describe(` or the like, or a row's first column.
    for (const [name] of source.matchAll(/"(?:\\.|[^"\\\n])*"|`[^`]*`/g)) {
      for (const [id] of name.matchAll(CASE)) found.add(id);
    }
  }
  return found;
}

/** The ids that docs/PROTOCOLS.md explains instead. */
async function explainedCases(): Promise<ReadonlySet<string>> {
  const page = await Bun.file(join(ROOT, "docs/PROTOCOLS.md")).text();
  const section = /\n## Cases that need no test here\n([\s\S]*?)(?:\n## |$)/.exec(page)?.[1] ?? "";
  return new Set([...section.matchAll(CASE)].map(([id]) => id));
}

test("every reported case has a test named by its id, or a line in docs/PROTOCOLS.md why not", async () => {
  const covered = new Set([...(await testedCases()), ...(await explainedCases())]);
  const missing = Object.entries(GROUPS)
    .flatMap(([group, count]) => Array.from({ length: count }, (_, at) => `${group}-${at + 1}`))
    .filter((id) => !covered.has(id));
  expect(missing).toEqual([]);
});
