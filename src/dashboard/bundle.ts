import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The dashboard's sources, as they lie beside this file. */
const PAGE = join(import.meta.dirname, "page");

/** What is served as it is. */
const PLAIN = ["index.html", "icon.svg"];

/**
 * The dashboard's files by name: script and style made of their sources, the others as they are.
 * @throws Error with what the bundler says, where a source is broken
 */
export async function bundlePage(): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const built = await Bun.build({
    entrypoints: [join(PAGE, "main.tsx")],
    target: "browser",
    format: "esm",
    minify: true,
    naming: { entry: "app.[ext]", asset: "app.[ext]" },
    define: { "process.env.NODE_ENV": '"production"' },
    throw: false,
  });
  if (!built.success) throw new Error(`the dashboard: ${built.logs.map(String).join("\n")}`);
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const output of built.outputs) {
    files.set(output.path.replace(/^\.\//, ""), new Uint8Array(await output.arrayBuffer()));
  }
  for (const name of PLAIN) files.set(name, new Uint8Array(await readFile(join(PAGE, name))));
  return files;
}
