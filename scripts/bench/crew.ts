// Starts whatever takes part in a run, and talks to the load.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plan, Reply } from "./load.ts";
import type { Result } from "./result.ts";
import { createRoster, type Roster, tailOf } from "./roster.ts";
import { type Keys, writeAccounts, writeNginxSetup, writeProgramSetup } from "./setup.ts";

/** A process that serves a port. */
export type Server = { readonly port: number; readonly pid: number };

/** The processes of a run, and the folder in which they keep their files. */
export type Crew = {
  /** A script of this folder that prints its port as its first line. */
  readonly startScript: (name: string, ...words: string[]) => Promise<Server>;
  /** Makes the account files of such a pool, so that a start need not wait for them. */
  readonly prepareAccounts: (accounts: number) => Promise<string>;
  /** The measured program, answering `/health/live`. */
  readonly startProgram: (accounts: number, base: string, more?: Keys) => Promise<Server>;
  /** nginx, or undefined where it is not installed. */
  readonly startNginx: (base: string) => Promise<Server | undefined>;
  /** What a script of this folder prints. */
  readonly ask: (name: string) => Promise<string>;
  /** Has the load process perform a plan. @throws Error when a request of it went wrong. */
  readonly load: (plan: Plan) => Promise<readonly Result[]>;
  /** Ends one process. */
  readonly end: (server: Server) => Promise<void>;
  /** Ends all of them and removes their files. */
  readonly close: () => Promise<void>;
};

// A proxy or a configuration of the person who measures must not be in the way.
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^CODEX_PROXY_|_proxy$/i.test(name)),
);
// Bun lets 256 requests run at a time (runtime.md 4).
const RELAY_ENVIRONMENT = { ...ENVIRONMENT, BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" };
const START_LIMIT_MS = 60_000;
const EXIT_MS = 200;
const HERE = import.meta.dirname;

/** A crew without members, for the program at the path `program`. */
export async function openCrew(program: string): Promise<Crew> {
  const folder = await mkdtemp(join(tmpdir(), "codex-proxy-bench-"));
  const roster = createRoster();
  const loader = createLoader(roster);
  let closing: Promise<void> | undefined;
  const closeAll = async (): Promise<void> => {
    await roster.endAll();
    await rm(folder, { recursive: true, force: true });
  };
  return {
    startScript: (name, ...words) => startScript(roster, name, words),
    prepareAccounts: (accounts) => writeAccounts(folder, accounts),
    startProgram: async (accounts, base, more = {}) => {
      const port = freePort();
      const authDir = await writeAccounts(folder, accounts);
      const config = await writeProgramSetup(folder, { port, base, authDir, more });
      return startProgram(roster, program, { port, config, folder });
    },
    startNginx: (base) => startNginx(roster, folder, base),
    ask: (name) => ask(roster, name),
    load: async (plan) => {
      const reply = await loader(plan);
      const fault = "fault" in reply ? reply.fault : faultOf(reply.results);
      if (fault === undefined) return "fault" in reply ? [] : reply.results;
      // That a process has ended is told a little later than that its connections have.
      await Bun.sleep(EXIT_MS);
      throw new Error([fault, ...roster.wrecks()].join("; "));
    },
    end: ({ pid }) => roster.end(pid),
    close: () => {
      closing ??= closeAll();
      return closing;
    },
  };
}

function faultOf(results: readonly Result[]): string | undefined {
  const failed = results.find(({ errors }) => errors > 0);
  return failed && `${failed.name}: ${failed.fault} (requests that went wrong: ${failed.errors})`;
}

function spawnScript(name: string, words: readonly string[], environment = ENVIRONMENT) {
  return Bun.spawn([process.execPath, join(HERE, name), ...words], {
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

async function startScript(
  roster: Roster,
  name: string,
  words: readonly string[],
): Promise<Server> {
  const title = [name, ...words.slice(0, -1)].join(" ");
  const child = spawnScript(name, words, RELAY_ENVIRONMENT);
  roster.enlist({ child, name: title });
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  if (!(port > 0)) throw new Error(`${title} does not start`);
  return { port, pid: child.pid };
}

async function ask(roster: Roster, name: string): Promise<string> {
  const child = spawnScript(name, []);
  roster.enlist({ child, name });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${name} has failed`);
  return text;
}

async function startProgram(
  roster: Roster,
  program: string,
  {
    port,
    config,
    folder,
  }: {
    readonly port: number;
    readonly config: string;
    readonly folder: string;
  },
): Promise<Server> {
  const log = join(folder, `program-${port}.log`);
  const child = Bun.spawn([program, "-config", config], {
    env: ENVIRONMENT,
    cwd: folder,
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(log),
  });
  roster.enlist({ child, name: "codex-proxy", log });
  if (!(await isLive(`http://127.0.0.1:${port}/health/live`, child))) {
    throw new Error(`codex-proxy does not start${await tailOf(log)}`);
  }
  return { port, pid: child.pid };
}

async function startNginx(
  roster: Roster,
  folder: string,
  base: string,
): Promise<Server | undefined> {
  // Debian keeps it where only the administrator looks.
  const nginx = Bun.which("nginx", { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` });
  if (nginx === null) return undefined;
  const port = freePort();
  const config = await writeNginxSetup(folder, port, base);
  const child = Bun.spawn([nginx, "-p", folder, "-c", config, "-e", "stderr"], {
    env: ENVIRONMENT,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  roster.enlist({ child, name: "nginx" });
  if (!(await isLive(`http://127.0.0.1:${port}/`, child))) throw new Error("nginx does not start");
  return { port, pid: child.pid };
}

/** Asks again and again until there is an answer, or there will be none. */
async function isLive(url: string, child: Bun.Subprocess): Promise<boolean> {
  const deadlineMs = performance.now() + START_LIMIT_MS;
  while (child.exitCode === null && performance.now() < deadlineMs) {
    const init = { proxy: false, keepalive: false } as const;
    const response = await fetch(url, init).catch(() => undefined);
    await response?.arrayBuffer();
    if (response !== undefined && response.status < 500) return true;
    await Bun.sleep(1);
  }
  return false;
}

/** The load process, started when it is first needed. */
function createLoader(roster: Roster): (plan: Plan) => Promise<Reply> {
  let child: Bun.Subprocess | undefined;
  let settle: (reply: Reply) => void = () => {};
  const start = (): Bun.Subprocess => {
    const started = Bun.spawn([process.execPath, join(HERE, "load.ts")], {
      env: ENVIRONMENT,
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      ipc: (reply: Reply) => settle(reply),
      onExit: () => settle({ fault: "the load has ended" }),
    });
    roster.enlist({ child: started, name: "the load" });
    return started;
  };
  return async (plan) => {
    child ??= start();
    const reply = Promise.withResolvers<Reply>();
    settle = reply.resolve;
    child.send(plan);
    return reply.promise;
  };
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
