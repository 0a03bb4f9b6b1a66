/** Writes the documents that are made from the configuration schema; with `--check` only says whether they are up to date. */
import { configurationMarkdown, exampleYaml } from "../src/config/describe.ts";

const root = new URL("../", import.meta.url);

const documents: readonly (readonly [path: string, text: string])[] = [
  ["config.example.yaml", exampleYaml()],
  ["docs/CONFIGURATION.md", configurationMarkdown()],
];

const isCheck = process.argv.includes("--check");
for (const [path, text] of documents) {
  const file = Bun.file(new URL(path, root));
  const isCurrent = (await file.exists()) && (await file.text()) === text;
  if (isCurrent) continue;
  if (isCheck) {
    console.error(
      `${path} differs from the schema in src/config: run \`bun run docs\` and commit it`,
    );
    process.exitCode = 1;
    continue;
  }
  await Bun.write(file, text);
  console.log(`wrote ${path}`);
}
