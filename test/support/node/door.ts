import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DoorOptions } from "../../../src/platform/platform.ts";
import { until } from "../until.ts";

/** A door of Node's, open in a Node of its own: Bun has its own `ws`, and its own `node:http`. */
export type NodeDoor = AsyncDisposable & {
  readonly port: number;
  readonly url: string;
  /** Waits until the application has said a line that begins so, and returns it. */
  readonly says: (begin: string) => Promise<string>;
  readonly lines: () => readonly string[];
  /** Gives the application a word. */
  readonly tell: (words: string) => void;
};

/** Whether there is a Node to run it in. `CODEX_PROXY_TEST_NODE` names another one than the PATH has. */
export const NODE = process.env["CODEX_PROXY_TEST_NODE"] ?? Bun.which("node");

let bundling: Promise<string> | undefined;

/** The bundle of door-program.ts. */
function bundle(): Promise<string> {
  bundling ??= (async () => {
    const built = await Bun.build({
      entrypoints: [join(import.meta.dirname, "door-program.ts")],
      target: "node",
      format: "esm",
    });
    return (await built.outputs[0]?.text()) ?? "";
  })();
  return bundling;
}

/** Opens a door. @throws Error with what it said, where it does not open */
export async function openNodeDoor(options: Partial<DoorOptions> = {}): Promise<NodeDoor> {
  const home = await mkdtemp(join(tmpdir(), "codex-proxy-door-"));
  const path = join(home, "door.mjs");
  await writeFile(path, await bundle());
  const child = Bun.spawn([NODE ?? "node", path, JSON.stringify(options)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  let said = "";
  const drained = (async () => {
    const decoder = new TextDecoder();
    for await (const part of child.stdout) said += decoder.decode(part, { stream: true });
  })();
  const lines = (): readonly string[] => said.split("\n").slice(0, -1);
  const find = (begin: string) => lines().find((line) => line.startsWith(begin));
  const says = async (begin: string): Promise<string> => {
    await until(
      `it says ${begin}`,
      () => find(begin) !== undefined || child.exitCode !== null,
      20_000,
    );
    const line = find(begin);
    if (line === undefined) throw new Error(`it ended with ${child.exitCode}: ${said}`);
    return line;
  };
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
    await drained;
    await rm(home, { recursive: true, force: true });
  };
  try {
    const port = Number((await says("port ")).slice("port ".length));
    return {
      port,
      url: `http://127.0.0.1:${port}`,
      says,
      lines,
      tell: (words) => {
        void child.stdin.write(`${words}\n`);
        void child.stdin.flush();
      },
      [Symbol.asyncDispose]: end,
    };
  } catch (cause) {
    await end();
    throw cause;
  }
}
