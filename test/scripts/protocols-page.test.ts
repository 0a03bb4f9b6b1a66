import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const PAGE = await Bun.file(join(ROOT, "docs/PROTOCOLS.md")).text();

/** The fields of an interface in a package's type declarations: its owner's word on what a client may send. */
async function fieldsOf(file: string, name: string): Promise<readonly string[]> {
  const source = await Bun.file(join(ROOT, "node_modules", file)).text();
  const body = new RegExp(`interface ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(source)?.[1];
  if (body === undefined) throw new Error(`${file} has no interface ${name}`);
  return [...body.matchAll(/^ {4}"?(\w+)"?\??:/gm)].map(([, field = ""]) => field);
}

/** What stands in the first columns of a section's tables, in code marks. */
function rowsOf(section: string): ReadonlySet<string> {
  const text = new RegExp(`\\n## ${section}\\n([\\s\\S]*?)(?:\\n## |$)`).exec(PAGE)?.[1];
  if (text === undefined) throw new Error(`docs/PROTOCOLS.md has no section ${section}`);
  const cells = [...text.matchAll(/^\| ([^|]*) \|/gm)].map(([, cell = ""]) => cell);
  return new Set(
    cells.flatMap((cell) => [...cell.matchAll(/`(\w+)/g)].map(([, name = ""]) => name)),
  );
}

const OWNERS: [section: string, file: string, name: string][] = [
  [
    "Chat Completions",
    "openai/resources/chat/completions/completions.d.ts",
    "ChatCompletionCreateParamsBase",
  ],
  ["Responses", "openai/resources/responses/responses.d.ts", "ResponseCreateParamsBase"],
  [
    "Claude Messages",
    "@anthropic-ai/sdk/resources/messages/messages.d.ts",
    "MessageCreateParamsBase",
  ],
  [
    "Claude Messages",
    "@anthropic-ai/sdk/resources/beta/messages/messages.d.ts",
    "MessageCreateParamsBase",
  ],
];

describe("docs/PROTOCOLS.md", () => {
  test.each(OWNERS)("%s: has a row for every request field of %s", async (section, file, name) => {
    const rows = rowsOf(section);
    const fields = await fieldsOf(file, name);
    expect(fields.length).toBeGreaterThan(10);
    expect(fields.filter((field) => !rows.has(field))).toEqual([]);
  });
});
