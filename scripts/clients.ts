// Real client programs for the end-to-end tests, in node_modules/.cache: too large to be development dependencies.
// `bun scripts/clients.ts` installs them ahead of the tests, which otherwise do it themselves.

import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");

/** A client program, pinned. */
export type ClientPackage = {
  readonly name: string;
  readonly version: string;
  /** The command that the package brings. */
  readonly command: string;
  /** Where the program lies in its installation, as a glob; by default it is the command in npm's `.bin`. */
  readonly program?: string;
};

/** The client programs that the tests know. */
export const CLIENTS = {
  codex: { name: "@openai/codex", version: "0.169.0", command: "codex" },
  claude: {
    name: "@anthropic-ai/claude-code",
    version: "2.1.332",
    command: "claude",
    // Its installation script would put the program of the platform's package into `.bin`; no scripts are run here.
    program: "node_modules/@anthropic-ai/claude-code-*/claude{,.exe}",
  },
  opencode: {
    name: "opencode-ai",
    version: "1.18.33",
    command: "opencode",
    // The same here. Of several builds for one processor any will do.
    program: "node_modules/opencode-{linux,darwin,windows}-*/bin/opencode{,.exe}",
  },
} as const satisfies Record<string, ClientPackage>;

/** Where a client's command is, or why it could not be had. */
export type Installed =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly reason: string };

const INSTALL_LIMIT_MS = 240_000;

/** npm's own words for a package registry that it cannot reach. */
const UNREACHABLE =
  /\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/;

/**
 * Installs a client unless it is there already. Where nobody can be asked for it, there is no npm or no network, that
 * is an answer; anything else that goes wrong is an error.
 * @throws Error when npm fails for another reason than the network
 */
export async function installClient(client: ClientPackage): Promise<Installed> {
  const folder = join(ROOT, "node_modules/.cache/clients", `${client.command}-${client.version}`);
  const present = await findProgram(client, folder);
  if (present !== undefined) return { ok: true, path: present };
  const npm = Bun.which("npm");
  if (npm === null) return { ok: false, reason: "npm is not installed" };
  // Whole or not at all: an installation that was broken off must not look like one.
  const staging = `${folder}.installing`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  const what = `${client.name}@${client.version}`;
  const child = Bun.spawn(
    [npm, "install", "--prefix", staging, "--ignore-scripts", "--no-audit", "--no-fund", what],
    { cwd: staging, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: INSTALL_LIMIT_MS },
  );
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode === 0) {
    await rm(folder, { recursive: true, force: true });
    await rename(staging, folder);
    const path = await findProgram(client, folder);
    if (path !== undefined) return { ok: true, path };
    return { ok: false, reason: `${client.name} has no program for this platform` };
  }
  await rm(staging, { recursive: true, force: true });
  if (child.signalCode !== null || UNREACHABLE.test(stderr)) {
    return { ok: false, reason: "the package registry cannot be reached" };
  }
  throw new Error(`npm install ${what} ended with ${exitCode}\n${stdout}${stderr}`);
}

async function findProgram(client: ClientPackage, folder: string): Promise<string | undefined> {
  const program = client.program ?? `node_modules/.bin/${client.command}`;
  const isThere = await stat(folder).catch(() => undefined);
  if (isThere === undefined) return undefined;
  const found = new Bun.Glob(program).scan({ cwd: folder, dot: true, absolute: true });
  return (await found.next()).value;
}

if (import.meta.main) {
  for (const client of Object.values(CLIENTS)) {
    const installed = await installClient(client);
    const told = installed.ok ? installed.path : `not installed: ${installed.reason}`;
    console.log(`${client.name} ${client.version}: ${told}`);
    if (!installed.ok) process.exitCode = 1;
  }
}
