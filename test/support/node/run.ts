import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The Node that programs are run in. `CODEX_PROXY_TEST_NODE` names another one than the PATH has. */
export const NODE_PROGRAM = process.env["CODEX_PROXY_TEST_NODE"] ?? Bun.which("node") ?? "node";

/** What a program has come to. */
export type Ended = {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
};

const LIMIT_MS = 20_000;

/**
 * Runs one of this folder's programs in Node, with an argument in JSON: Bun has the same modules, and ways of its own
 * behind them. What it says on standard error is read after `readAfterMs` only.
 */
export async function runInNode(
  program: string,
  argument: unknown,
  env: Readonly<Record<string, string>> = {},
  readAfterMs = 0,
): Promise<Ended> {
  const built = await Bun.build({
    entrypoints: [join(import.meta.dirname, `${program}.ts`)],
    target: "node",
    format: "esm",
  });
  const home = await mkdtemp(join(tmpdir(), "codex-proxy-node-"));
  try {
    const path = join(home, `${program}.mjs`);
    await writeFile(path, (await built.outputs[0]?.text()) ?? "");
    const child = Bun.spawn([NODE_PROGRAM, path, JSON.stringify(argument)], {
      env: { ...process.env, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: LIMIT_MS,
    });
    const readLate = async (): Promise<string> => {
      await Bun.sleep(readAfterMs);
      return new Response(child.stderr).text();
    };
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      readLate(),
      child.exited,
    ]);
    return { stdout, stderr, exitCode };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
