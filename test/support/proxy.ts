import { chmod, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, startApp } from "../../src/app.ts";
import { loadConfig } from "../../src/config/load.ts";
import { readKeys } from "../../src/store/keys.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";
import { type Dict, dict, list, parseDict, text } from "../../src/wire/json.ts";
import { createLog, redact } from "../../src/wire/log.ts";
import type { FakeAccount } from "./backend/account.ts";
import type { FakeBackend } from "./backend/backend.ts";
import type { TestDatabase } from "./databases.ts";
import type { StoreKind } from "./each-database.ts";
import { databasePlace, filePlace, type Place } from "./places.ts";
import { until, within } from "./until.ts";

const ROOT = join(import.meta.dirname, "../..");

/** The compiled program. */
export const PROGRAM = join(
  ROOT,
  "dist",
  process.platform === "win32" ? "codex-proxy.exe" : "codex-proxy",
);

/** Another program to test: the words that start it, as in `node codex-proxy.cjs`. */
const OTHER = process.env["CODEX_PROXY_TEST_PROGRAM"]?.split(" ");

/** What a proxy under test is started with. */
export type ProxySetup = {
  readonly backend: FakeBackend;
  /** Their files lie in the folder when the proxy starts. */
  readonly accounts: readonly FakeAccount[];
  /** Keys of the configuration, over what the harness needs itself. */
  readonly config?: { readonly [key: string]: unknown };
  /**
   * True: the compiled program in a process of its own. False, the default: the same app inside this process, but where
   * another program is tested that is it, unless its clock is moved by hand or it does not log where it listens.
   */
  readonly binary?: boolean;
  /** The words that start the program, where it is another one than the compiled one. Then it is a process of its own. */
  readonly program?: readonly string[];
  /** A folder of account files that is there already; it is left where it is. */
  readonly authDir?: string;
  /** Where its accounts are: a database of its own of this kind, which takes the folder's files in. By default in files. */
  readonly store?: Pick<StoreKind, "database">;
  /** A database that is there already; it is left as it is. */
  readonly database?: TestDatabase;
  /** Words before the program's own, such as `setpriv`. */
  readonly launcher?: readonly string[];
  /** More of the environment. Only where it is a process. */
  readonly env?: Readonly<Record<string, string>>;
  /** The time of an app inside this process; default the machine's. */
  readonly clock?: Clock;
};

/** A running proxy. */
export type TestProxy = AsyncDisposable & {
  readonly url: string;
  readonly authDir: string;
  /** Where its accounts are. */
  readonly place: Place;
  /** Everything that it has logged or printed so far. */
  readonly logs: () => string;
  /** Puts an account file into the folder, whole or not at all, and returns its path. */
  readonly put: (name: string, content: Dict | string) => Promise<string>;
  readonly stats: () => Promise<Stats>;
  /** Sends a signal to the program. Only where it is a process. */
  readonly kill: (signal: NodeJS.Signals) => void;
  /** The process's id; of an app inside this process, none. */
  readonly pid: number | undefined;
  /** The exit code; never resolves for an app inside this process. */
  readonly exited: Promise<number>;
  /** Ends it as its owner would, and removes what was made for it. */
  readonly stop: () => Promise<void>;
};

/** `/stats`, as far as tests look at it. */
export type Stats = {
  readonly summary: Dict;
  readonly accounts: readonly AccountStats[];
  /** The row of an account, found by its file. */
  readonly of: (account: Pick<FakeAccount, "name"> & Partial<FakeAccount>) => AccountStats;
};

/** One account's row in `/stats`. */
export type AccountStats = {
  readonly file: string;
  readonly state: string;
  readonly reason: string;
  /** Unix milliseconds; NaN where there is no end. */
  readonly untilMs: number;
  readonly inFlight: number;
  readonly consecutiveFailures: number;
  readonly requests: number;
  readonly errors: number;
  readonly restingModels: readonly string[];
  readonly whole: Dict;
};

/** The key of a proxy that was given none other. */
export const KEY = "sk-e2e-0123456789abcdef";

/**
 * Starts a proxy in front of a scripted backend, on a free loopback port and with a temporary folder of accounts.
 * @throws Error with all that it said, when it does not start
 */
export async function startProxy(setup: ProxySetup): Promise<TestProxy> {
  const home = await mkdtemp(join(tmpdir(), "codex-proxy-e2e-"));
  // A program that runs as somebody else must get in.
  await chmod(home, 0o755);
  const authDir = setup.authDir ?? join(home, "auths");
  await mkdir(authDir, { recursive: true, mode: 0o700 }).catch(() => {});
  for (const account of setup.accounts) {
    await putFile(authDir, `${account.name}.json`, account.file());
  }
  const own = setup.database === undefined ? await setup.store?.database?.make() : undefined;
  const database = setup.database ?? own;
  const config = {
    listen: "127.0.0.1:0",
    "base-url": setup.backend.url,
    "oauth-issuer": setup.backend.issuer,
    "auth-dir": authDir,
    "api-keys": [KEY],
    "log-level": "debug",
    "shutdown-timeout": 1,
    ...database?.config,
    ...setup.config,
  };
  const clear = async (): Promise<void> => {
    await own?.[Symbol.asyncDispose]();
    await rm(home, { recursive: true, force: true });
  };
  const keys = list(config["api-keys"]);
  const adminKey = text(dict(config)["admin-key"]) ?? text(keys[0]);
  try {
    const isTold = ["debug", "info"].includes(config["log-level"]);
    const mayBeOther = setup.clock === undefined && isTold;
    const running =
      setup.binary === true || setup.program !== undefined || (OTHER !== undefined && mayBeOther)
        ? await startProgram(config, home, setup)
        : await startInside(config, home, setup.clock ?? systemClock);
    if (setup.accounts.length > 0) await hasBegun(running);
    const stop = async (): Promise<void> => {
      try {
        await running.stop();
      } finally {
        await clear();
      }
    };
    let stopping: Promise<void> | undefined;
    const stopOnce = (): Promise<void> => {
      stopping ??= stop();
      return stopping;
    };
    return {
      ...running,
      authDir,
      place: database === undefined ? filePlace(authDir) : databasePlace(database),
      put: (name, content) => putFile(authDir, name, content),
      stats: () => readStats(running.url, adminKey),
      stop: stopOnce,
      [Symbol.asyncDispose]: stopOnce,
    };
  } catch (cause) {
    await clear();
    throw cause;
  }
}

const BEGINNING_MS = 300;

/**
 * Waits until the program has read the model list, as it does on its own at the start: a test that makes tokens
 * invalid right after would otherwise meet it by chance. Where that hangs, as it may be meant to, nobody waits long.
 */
async function hasBegun({ logs }: Pick<TestProxy, "logs">): Promise<void> {
  await until("the model list", () => logs().includes("model list"), BEGINNING_MS).catch(() => {});
}

type Running = Pick<TestProxy, "url" | "logs" | "kill" | "pid" | "exited" | "stop">;

/** A configuration file's text. JSON is YAML too. */
export function yamlOf(config: { readonly [key: string]: unknown }): string {
  const lines = Object.entries(config).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return `${lines.join("\n")}\n`;
}

async function startInside(config: Dict, home: string, clock: Clock): Promise<Running> {
  const file = { path: join(home, "config.yaml"), text: yamlOf(config) };
  const loaded = loadConfig({ file, env: {}, flags: {} });
  if (!loaded.ok)
    throw new Error(loaded.faults.map(({ key, message }) => `${key}: ${message}`).join("\n"));
  const lines: string[] = [];
  const options = {
    level: loaded.config["log-level"],
    format: loaded.config["log-format"],
  };
  const log = createLog(
    () => options,
    clock,
    (line) => lines.push(line),
  );
  const keys = await readKeys(loaded.config);
  if (!keys.ok) throw new Error(keys.faults.join("\n"));
  const app: App = await startApp(loaded.config, clock, log, keys);
  return {
    url: `http://127.0.0.1:${app.port}`,
    logs: () => lines.join(""),
    kill: () => {
      throw new Error("an app inside this process takes no signals");
    },
    pid: undefined,
    exited: new Promise(() => {}),
    stop: app.stop,
  };
}

async function startProgram(
  config: Dict,
  home: string,
  { launcher = [], env = {}, program: words }: Pick<ProxySetup, "launcher" | "env" | "program">,
): Promise<Running> {
  if (words === undefined) await buildIfMissing();
  const path = join(home, "config.yaml");
  await writeFile(path, yamlOf(config));
  const program = runProgram(["-config", path], {
    cwd: home,
    launcher,
    env,
    ...(words === undefined ? {} : { program: words }),
  });
  let url = "";
  const isUp = (): boolean => {
    url = /listening.*?(https?:\/\/[^\s"]+)/.exec(program.logs())?.[1] ?? "";
    return url !== "" || program.exitCode() !== null;
  };
  await until(`the program listens\n${program.logs()}`, isUp, 20_000);
  if (url === "") {
    throw new Error(`it ended with ${program.exitCode()} instead of listening:\n${program.logs()}`);
  }
  return {
    url,
    logs: program.logs,
    kill: program.kill,
    pid: program.pid,
    exited: program.exited,
    stop: async () => {
      program.kill("SIGTERM");
      try {
        await within("the program stops after SIGTERM", program.exited, 15_000);
      } finally {
        program.kill("SIGKILL");
        await program.exited;
      }
    },
  };
}

/** The compiled program while it runs, or after. */
export type Program = {
  /** Standard output and error, in the order in which they arrived. */
  readonly logs: () => string;
  readonly exitCode: () => number | null;
  readonly pid: number;
  readonly exited: Promise<number>;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** Writes to its standard input, as somebody who types or pastes. Only where it has one. */
  readonly type: (text: string) => void;
  /** Ends its standard input. */
  readonly end: () => void;
};

/** Runs the compiled program, standard input closed unless it is asked for. Build it first: `buildIfMissing`. */
export function runProgram(
  words: readonly string[],
  {
    cwd,
    launcher = [],
    env = {},
    hasInput = false,
    program = OTHER ?? [PROGRAM],
  }: {
    readonly program?: readonly string[];
    readonly cwd: string;
    readonly hasInput?: boolean;
    readonly launcher?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  },
): Program {
  const child = Bun.spawn([...launcher, ...program, ...words], {
    cwd,
    env: { ...plainEnvironment(), ...env },
    stdin: hasInput ? "pipe" : "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const parts: string[] = [];
  const drained = Promise.all([drain(child.stdout, parts), drain(child.stderr, parts)]);
  return {
    logs: () => parts.join(""),
    exitCode: () => child.exitCode,
    pid: child.pid,
    exited: child.exited.then(async (code) => {
      await drained;
      return code;
    }),
    kill: (signal) => child.kill(signal),
    type: (text) => {
      if (child.stdin === undefined) throw new Error("it was started without standard input");
      void child.stdin.write(text);
      void child.stdin.flush();
    },
    end: () => {
      void child.stdin?.end();
    },
  };
}

/** This process's environment without what would change how the program or a client behaves. */
export function plainEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    const isOurs = /^(?:CODEX_|OPENAI_|ANTHROPIC_|CLAUDE|BUN_CONFIG_)|_proxy$|^FORCE_COLOR$/i.test(
      name,
    );
    if (value !== undefined && !isOurs) environment[name] = value;
  }
  return { ...environment, NO_COLOR: "1", NO_PROXY: "127.0.0.1,localhost" };
}

async function drain(stream: ReadableStream<Uint8Array>, parts: string[]): Promise<void> {
  const decoder = new TextDecoder();
  for await (const part of stream) parts.push(decoder.decode(part, { stream: true }));
}

let building: Promise<void> | undefined;

/** Makes sure that there is a compiled program. One that is there already is taken as it is, and so is another one. */
export function buildIfMissing(): Promise<void> {
  if (OTHER !== undefined) return Promise.resolve();
  building ??= build();
  return building;
}

async function build(): Promise<void> {
  const isThere = await stat(PROGRAM).then(
    () => true,
    () => false,
  );
  if (isThere) return;
  const child = Bun.spawn([process.execPath, join(ROOT, "scripts/build.ts")], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error("the program could not be built");
}

let temporaries = 0;

/** Writes a file as an account's owner would: for them alone, and whole or not at all. */
async function putFile(dir: string, name: string, content: Dict | string): Promise<string> {
  const path = join(dir, name);
  temporaries += 1;
  const beside = join(dir, `.${name}.${temporaries}.part`);
  const written = typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`;
  await writeFile(beside, written, { mode: 0o600 });
  await rename(beside, path);
  return path;
}

async function readStats(url: string, key: string | undefined): Promise<Stats> {
  const response = await fetch(`${url}/stats`, {
    headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
  });
  const body = dict(parseDict(await response.text()));
  if (response.status !== 200) throw new Error(`/stats answers ${response.status}`);
  const accounts = list(body["accounts"]).map(dict).map(readAccount);
  return {
    summary: dict(body["summary"]),
    accounts,
    of: ({ name, email }) => {
      // In files an account is called after its file; taken into a database, after its address, of which a part is shown.
      const files = [`${name}.json`, ...(email === undefined ? [] : [redact(`${email}.json`)])];
      const row = accounts.find(({ file }) => files.includes(file));
      if (row === undefined) throw new Error(`/stats has no account of ${files.join(" or ")}`);
      return row;
    },
  };
}

function readAccount(row: Dict): AccountStats {
  return {
    file: String(row["file"]),
    state: String(row["state"]),
    reason: text(row["reason"]) ?? "",
    untilMs: Date.parse(String(row["until"])),
    inFlight: Number(row["in_flight"]),
    consecutiveFailures: Number(row["consecutive_failures"]),
    requests: Number(row["requests"]),
    errors: Number(row["errors"]),
    restingModels: list(row["model_cooldowns"]).map((rest) => String(dict(rest)["model"])),
    whole: row,
  };
}
