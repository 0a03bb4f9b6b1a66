// Compiles src/main.ts to dist/codex-proxy, one executable for the platform that this runs on.

import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { EMBEDDED_AS } from "../src/dashboard/assets.ts";
import { bundlePage } from "../src/dashboard/bundle.ts";
import { parseDict, text } from "../src/wire/json.ts";

/** The folder of the sources. */
export const ROOT = join(import.meta.dirname, "..");

/** What the program says about itself; it reaches the code as the globals BUILD_VERSION and BUILD_COMMIT. */
export type BuildInfo = { readonly version: string; readonly commit: string };

/** One executable to make. */
export type BuildPlan = {
  /** The entry point. */
  readonly entry: string;
  /** Where the executable goes. It is replaced only by one that has proved that it starts. */
  readonly outfile: string;
  readonly info: BuildInfo;
  /** For which platform, and the file that is Bun there. By default it is this platform, and this very Bun. */
  readonly runtime?: { readonly compileAs: string; readonly path: string };
};

/** The executable's file name on this platform. */
export const EXECUTABLE = process.platform === "win32" ? "codex-proxy.exe" : "codex-proxy";

/**
 * The compiler's arguments; `page` is the folder of the dashboard's files, which are embedded under its name.
 * Bytecode needs `esm` because of top-level await. A `.env` or `bunfig.toml` that lies in the owner's folder is not ours
 * to read.
 */
export function compileArguments(
  { entry, outfile, info, runtime }: BuildPlan,
  page: string,
): string[] {
  return [
    "build",
    "--compile",
    "--minify",
    "--bytecode",
    "--format=esm",
    "--sourcemap",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--define=BUILD_VERSION=${JSON.stringify(info.version)}`,
    `--define=BUILD_COMMIT=${JSON.stringify(info.commit)}`,
    `--asset=${page}`,
    ...(runtime === undefined
      ? []
      : [`--target=${runtime.compileAs}`, `--compile-executable-path=${runtime.path}`]),
    entry,
    `--outfile=${outfile}`,
  ];
}

/**
 * Makes the executable and returns what it answers to `-version`.
 * A failed compilation would leave an older file in place looking like a new one (Bun 1.4.5), so the work is done in a
 * folder of its own. The file keeps its name there, because the name goes into the bytes.
 * @throws Error when it cannot be compiled, does not start or does not tell the version that it was given
 */
export async function build(plan: BuildPlan, say: (line: string) => void): Promise<string> {
  const staging = `${plan.outfile}.building`;
  const staged = join(staging, EXECUTABLE);
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  try {
    say("bundling the dashboard");
    const page = await writePage(staging);
    say(`compiling ${plan.info.version} (${plan.info.commit})`);
    // This very Bun is both compiler and runtime of the result: nothing is downloaded.
    await run([process.execPath, ...compileArguments({ ...plan, outfile: staged }, page)]);
    say("starting it once");
    const answer = (await run([staged, "-version"])).trim();
    if (!answer.includes(plan.info.version)) {
      throw new Error(`-version answers "${answer}", which lacks ${plan.info.version}`);
    }
    await rename(staged, plan.outfile);
    return answer;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Bundles the dashboard into a folder inside `folder`, and returns that folder's path, for `compileArguments`. */
export async function writePage(folder: string): Promise<string> {
  const page = join(folder, EMBEDDED_AS);
  for (const [name, bytes] of await bundlePage()) await Bun.write(join(page, name), bytes);
  return page;
}

const RUN_LIMIT_MS = 120_000;

/**
 * What a command prints on standard output when it is run at the root of the sources.
 * @throws Error with all that it printed, when it fails
 */
export async function run(command: string[]): Promise<string> {
  const child = Bun.spawn(command, {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: RUN_LIMIT_MS,
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode === 0) return stdout;
  throw new Error(`${command.slice(0, 2).join(" ")} ended with ${exitCode}\n${stdout}${stderr}`);
}

/**
 * Version from package.json; the commit from BUILD_COMMIT, for builds that see the sources alone, or from git. "unknown"
 * where nobody tells. Twelve digits of it: left to itself git gives more of them the more a clone knows, and one commit
 * would make different executables.
 */
export async function readInfo(): Promise<BuildInfo> {
  const manifest = parseDict(await Bun.file(join(ROOT, "package.json")).text());
  const named = process.env["BUILD_COMMIT"] ?? "";
  const commit =
    named === "" ? await run(["git", "rev-parse", "--short=12", "HEAD"]).catch(() => "") : named;
  return {
    version: text(manifest?.["version"]) ?? "0.0.0",
    commit: text(commit.trim()) ?? "unknown",
  };
}

if (import.meta.main) {
  const startedMs = performance.now();
  const outfile = join(ROOT, "dist", EXECUTABLE);
  const plan = { entry: join(ROOT, "src/main.ts"), outfile, info: await readInfo() };
  try {
    const answer = await build(plan, (line) => console.log(`build: ${line}`));
    const megabytes = ((await stat(outfile)).size / 1e6).toFixed(1);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`build: dist/${EXECUTABLE}, ${megabytes} MB, ${seconds} s: ${answer}`);
  } catch (fault) {
    console.error(`build: failed: ${fault instanceof Error ? fault.message : fault}`);
    process.exit(1);
  }
}
