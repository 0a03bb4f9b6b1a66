import { expect, test } from "bun:test";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { dict, parseDict } from "../../src/wire/json.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What stands below a heading of docs/ARCHITECTURE.md. */
async function section(heading: string): Promise<string> {
  const page = await readFile(join(ROOT, "docs/ARCHITECTURE.md"), "utf8");
  const text = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  if (text === undefined) throw new Error(`docs/ARCHITECTURE.md has no section ${heading}`);
  return text;
}

test("every package has its reason among the dependencies, and nothing else has", async () => {
  const text = await section("Dependencies");
  const manifest = parseDict(await readFile(join(ROOT, "package.json"), "utf8"));
  const packages = ["dependencies", "devDependencies"].flatMap((kind) =>
    Object.keys(dict(manifest?.[kind])),
  );
  expect(packages.length).toBeGreaterThan(20);
  expect(packages.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  const rows = [...text.matchAll(/^\| `([^`]+)`/gm)].map(([, name = ""]) => name);
  expect(rows.filter((name) => !packages.includes(name))).toEqual([]);
});

test("what is said to lie among the scripts lies there", async () => {
  const text = await section("Where is it?");
  const paths = [...text.matchAll(/`(scripts\/[^`]+|\.github\/[^`]+|Dockerfile)`/g)].map(
    ([, path = ""]) => path,
  );
  const there = [...text.matchAll(/^\|[^|]*\| there: ([^|]*)\|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => `scripts/release/${name}`),
  );
  expect(there).not.toBeEmpty();
  for (const path of [...paths, ...there])
    expect((await stat(join(ROOT, path))).isFile()).toBe(true);
});
