import { expect } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLIENTS, installClient } from "../../scripts/clients.ts";
import { KEY, plainEnvironment } from "./proxy.ts";

/** The real Codex CLI. It is over 400 MB, so it is no dependency: it is installed when first asked for. */
export const codex = await installClient(CLIENTS.codex);
if (!codex.ok) console.warn(`The tests of the real Codex CLI are skipped: ${codex.reason}.`);

/** The provider's line for a proxy that speaks WebSocket. */
export const SOCKETS = "supports_websockets = true";

/** How the CLI is set up, over what every test needs. */
export type CodexSetup = {
  /** What the CLI takes the provider for; by "OpenAI" it compacts remotely. */
  readonly providerName?: string;
  /** More lines of the provider's table. */
  readonly provider?: readonly string[];
  /** More lines before it. */
  readonly settings?: readonly string[];
  readonly key?: string;
  readonly model?: string;
};

/** What became of one turn of the CLI's. */
export type CodexRun = {
  readonly exitCode: number;
  readonly stdout: string;
  /** Standard output, then standard error. */
  readonly output: string;
  readonly tookMs: number;
};

/** Runs one turn of the CLI in an empty folder and with a home of its own. */
export async function runCodex(
  url: string,
  prompt: string,
  setup: CodexSetup = {},
): Promise<CodexRun> {
  if (!codex.ok) throw new Error(codex.reason);
  const { providerName = "proxy", provider = [], settings = [], key = KEY } = setup;
  const home = await mkdtemp(join(tmpdir(), "codex-home-"));
  const folder = await mkdtemp(join(tmpdir(), "codex-work-"));
  const config = [
    `model = "${setup.model ?? "gpt-5.5"}"`,
    'model_provider = "proxy"',
    ...settings,
    "[model_providers.proxy]",
    `name = "${providerName}"`,
    `base_url = "${url}/v1"`,
    'wire_api = "responses"',
    'env_key = "CODEX_PROXY_KEY"',
    ...provider,
    "[analytics]",
    "enabled = false",
  ];
  try {
    await writeFile(join(home, "config.toml"), `${config.join("\n")}\n`);
    const startedMs = performance.now();
    const words = ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", prompt];
    const child = Bun.spawn([codex.path, ...words], {
      cwd: folder,
      env: { ...plainEnvironment(), CODEX_HOME: home, CODEX_PROXY_KEY: key },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 50_000,
    });
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    const tookMs = performance.now() - startedMs;
    return { exitCode, stdout, output: stdout + stderr, tookMs };
  } finally {
    await rm(home, { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
  }
}

/** The user has noticed nothing. */
export function expectCalm({ exitCode, output }: CodexRun): void {
  expect(output).not.toMatch(/Reconnecting|ERROR|Falling back|at capacity/);
  expect(exitCode).toBe(0);
}
