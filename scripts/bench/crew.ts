// Every process of a run: starts them, tells which one broke down, and ends them all.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plan, Reply } from "./load.ts";
import type { Result } from "./result.ts";
import { writeAccounts, writeNginxSetup, writeProgramSetup } from "./setup.ts";

/** A process that serves a port. */
export type Server = { readonly port: number; readonly pid: number };

/** The processes of a run, and the folder in which they keep their files. */
export type Crew = {
  /** A script of this folder that prints its port as its first line. */
  readonly startScript: (name: string, ...words: string[]) => Promise<Server>;
  /** Makes the account files of such a pool, so that a start need not wait for them. */
  readonly prepareAccounts: (accounts: number) => Promise<void>;
  /** The measured program, answering `/health/live`. */
  readonly startProgram: (accounts: number, base: string) => Promise<Server>;
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

type Member = {
  readonly child: Bun.Subprocess;
  readonly name: string;
  /** Where it writes what it has to say. */
  readonly log?: string;
};

/** A crew without members, for the program at the path `program`. */
export async function openCrew(program: string): Promise<Crew> {
  const folder = await mkdtemp(join(tmpdir(), "codex-proxy-bench-"));
  const members = new Map<number, Member>();
  const leaving = new Set<number>();
  const wrecks: string[] = [];
  let logs = 0;
  let closing: Promise<void> | undefined;

  const enlist = (member: Member): void => {
    const { child, name, log } = member;
    const { pid } = child;
    members.set(pid, member);
    const onExit = async (code: number): Promise<void> => {
      members.delete(pid);
      if (leaving.has(pid)) return;
      wrecks.push(`${name} has ended with ${code}${log === undefined ? "" : await tailOf(log)}`);
    };
    child.exited.then(onExit).catch(() => {});
  };
  const closeAll = async (): Promise<void> => {
    const pids = [...members.keys()];
    await Promise.all(pids.map((pid) => end({ pid, port: 0 })));
    await rm(folder, { recursive: true, force: true });
  };
  const spawnScript = (name: string, words: readonly string[], env = ENVIRONMENT) =>
    Bun.spawn([process.execPath, join(HERE, name), ...words], {
      env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
  /** Waits until somebody answers. */
  const untilLive = async (url: string, child: Bun.Subprocess, name: string): Promise<void> => {
    const deadlineMs = performance.now() + START_LIMIT_MS;
    for (;;) {
      const init = { proxy: false, keepalive: false } as const;
      const response = await fetch(url, init).catch(() => undefined);
      await response?.arrayBuffer();
      if (response !== undefined && response.status < 500) return;
      const isOver = child.exitCode !== null || performance.now() > deadlineMs;
      if (isOver) throw new Error(`${name} does not start`);
      await Bun.sleep(1);
    }
  };
  const end = async ({ pid }: Server): Promise<void> => {
    const member = members.get(pid);
    if (member === undefined) return;
    leaving.add(pid);
    member.child.kill("SIGKILL");
    await member.child.exited;
  };
  const loader = createLoader(enlist);

  return {
    startScript: async (name, ...words) => {
      const title = [name, ...words.slice(0, -1)].join(" ");
      const child = spawnScript(name, words, RELAY_ENVIRONMENT);
      enlist({ child, name: title });
      const { value } = await child.stdout.getReader().read();
      const port = Number(new TextDecoder().decode(value));
      if (!(port > 0)) throw new Error(`${title} does not start`);
      return { port, pid: child.pid };
    },
    prepareAccounts: async (accounts) => {
      await writeAccounts(folder, accounts);
    },
    startProgram: async (accounts, base) => {
      const port = freePort();
      const authDir = await writeAccounts(folder, accounts);
      const config = await writeProgramSetup(folder, { port, base, authDir });
      logs += 1;
      const log = join(folder, `program-${logs}.log`);
      const child = Bun.spawn([program, "-config", config], {
        env: ENVIRONMENT,
        cwd: folder,
        stdin: "ignore",
        stdout: "ignore",
        stderr: Bun.file(log),
      });
      enlist({ child, name: "codex-proxy", log });
      try {
        await untilLive(`http://127.0.0.1:${port}/health/live`, child, "codex-proxy");
      } catch (cause) {
        throw new Error(`codex-proxy does not start${await tailOf(log)}`, { cause });
      }
      return { port, pid: child.pid };
    },
    startNginx: async (base) => {
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
      enlist({ child, name: "nginx" });
      await untilLive(`http://127.0.0.1:${port}/`, child, "nginx");
      return { port, pid: child.pid };
    },
    ask: async (name) => {
      const child = spawnScript(name, []);
      enlist({ child, name });
      const text = await new Response(child.stdout).text();
      if ((await child.exited) !== 0) throw new Error(`${name} has failed`);
      return text;
    },
    load: async (plan) => {
      const reply = await loader(plan);
      const fault = "fault" in reply ? reply.fault : faultOf(reply.results);
      if (fault !== undefined) {
        // That a process has ended is told a little later than that its connections have.
        await Bun.sleep(EXIT_MS);
        throw new Error([fault, ...wrecks].join("; "));
      }
      return "fault" in reply ? [] : reply.results;
    },
    end,
    close: () => {
      closing ??= closeAll();
      return closing;
    },
  };
}

/** The load process, started when it is first needed. */
function createLoader(enlist: (member: Member) => void): (plan: Plan) => Promise<Reply> {
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
    enlist({ child: started, name: "the load" });
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

function faultOf(results: readonly Result[]): string | undefined {
  const failed = results.find(({ errors }) => errors > 0);
  return failed && `${failed.name}: ${failed.fault} (requests that went wrong: ${failed.errors})`;
}

async function tailOf(log: string): Promise<string> {
  const text = await Bun.file(log).text();
  return `; its log ends with:\n${text.trim().split("\n").slice(-5).join("\n")}`;
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
