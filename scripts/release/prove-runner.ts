// Starts programs of an artefact in the way that this machine can.

import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Way } from "./prove-host.ts";
import { inRoot, prepareRoot, WINE_ENVIRONMENT } from "./prove-root.ts";

/** A way to run an artefact. */
export type Runner = {
  /** The folder in which the artefact may be unpacked, as this machine sees it. */
  readonly place: string;
  /** The words that start the file `program` of the folder `home`, in that folder. */
  readonly words: (home: string, program: string) => readonly string[];
  /** More of the environment. */
  readonly env: Readonly<Record<string, string>>;
  /** How much longer than a native program one may take. */
  readonly patience: number;
  /** How often it is started to measure how long that takes. */
  readonly starts: number;
  /** How its owner asks it to end: by a signal, or by Ctrl-C on its console. */
  readonly stop: "SIGTERM" | "SIGINT" | "console";
  /** What the reader of the measurements must know. */
  readonly notes: readonly string[];
};

/** Everything that must be there to run artefacts this way is made. @throws Error when it cannot be */
export async function openRunner(
  way: Exclude<Way, { how: "structure only" }>,
  say: (line: string) => void,
): Promise<Runner> {
  const native: Runner = {
    place: tmpdir(),
    words: (home, program) => [join(home, program)],
    env: {},
    patience: 1,
    starts: 5,
    stop: process.platform === "win32" ? "console" : "SIGTERM",
    notes: [],
  };
  if (way.how === "native") {
    const { note } = way;
    return note === undefined ? native : { ...native, patience: 5, notes: [note] };
  }
  const root = await prepareRoot(way.root, say);
  const inside = (home: string, ...words: readonly string[]): readonly string[] =>
    inRoot(root, ["env", "-C", home.slice(root.length), ...words]);
  switch (way.how) {
    case "chroot":
      return {
        ...native,
        place: join(root, "tmp"),
        words: (home, program) => inside(home, `./${program}`),
        notes: ["in a bare Debian 12 of its own; the start includes entering it"],
      };
    case "qemu-user":
      return {
        ...native,
        words: (home, program) => [way.emulator, "-L", root, join(home, program)],
        patience: 20,
        starts: 3,
        notes: ["start and memory are those of the emulator with the program in it"],
      };
    case "wine":
      return {
        ...native,
        place: join(root, "tmp"),
        words: (home, program) => inside(home, way.loader, program),
        env: WINE_ENVIRONMENT,
        patience: 10,
        starts: 3,
        // Wine hands it to the program as Ctrl-C.
        stop: "SIGINT",
        notes: ["start and memory are those of Wine with the program in it"],
      };
  }
}

/** A program that was started. */
export type Running = {
  readonly pid: number;
  readonly exitCode: () => number | null;
  readonly exited: Promise<number>;
  /** All that it has printed so far. */
  readonly printed: () => Promise<string>;
  readonly kill: (signal: NodeJS.Signals) => void;
};

/**
 * Starts a program of the folder `home`. Nothing of the caller's own settings reaches it, and it does not outlive this
 * process.
 */
export function start(
  runner: Runner,
  home: string,
  words: readonly string[],
  log: string,
  env: Readonly<Record<string, string>> = {},
): Running {
  const [program = "", ...args] = words;
  const command = [...runner.words(home, program), ...args];
  const options = {
    cwd: home,
    env: { ...plainEnvironment(process.env), ...runner.env, ...env },
    stdin: "ignore",
    // With nothing inherited it gets a console of its own, on which Ctrl-C meets nobody else.
    windowsHide: true,
  } as const;
  return runner.stop === "console"
    ? intoPipes(Bun.spawn(command, { ...options, stdout: "pipe", stderr: "pipe" }))
    : intoFile(log, (file) => Bun.spawn(command, { ...options, stdout: file, stderr: file }));
}

function intoPipes(child: Bun.Subprocess<"ignore", "pipe", "pipe">): Running {
  const parts: string[] = [];
  const drain = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const part of stream) parts.push(decoder.decode(part, { stream: true }));
  };
  const drained = Promise.all([drain(child.stdout), drain(child.stderr)]);
  return {
    ...handleOf(child),
    exited: child.exited.then(async (code) => {
      await drained;
      return code;
    }),
    printed: async () => parts.join(""),
  };
}

/** Node's executables cannot write into pipes under Wine. */
function intoFile(log: string, spawn: (file: number) => Bun.Subprocess): Running {
  const file = openSync(log, "w");
  try {
    const child = spawn(file);
    return { ...handleOf(child), exited: child.exited, printed: () => readFile(log, "utf8") };
  } finally {
    closeSync(file);
  }
}

function handleOf(child: Bun.Subprocess): Pick<Running, "pid" | "exitCode" | "kill"> {
  const end = (): void => child.kill("SIGKILL");
  process.once("exit", end);
  void child.exited.finally(() => process.off("exit", end));
  return {
    pid: child.pid,
    exitCode: () => child.exitCode,
    kill: (signal) => child.kill(signal),
  };
}

/** An environment without what would change how the program behaves: its own keys, its runtime's settings, proxies. */
export function plainEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    const isLeft = !/^(?:CODEX_|BUN_|NODE_|MIMALLOC_|npm_)|_proxy$|^FORCE_COLOR$/i.test(name);
    if (value !== undefined && isLeft) plain[name] = value;
  }
  return { ...plain, NO_COLOR: "1" };
}
