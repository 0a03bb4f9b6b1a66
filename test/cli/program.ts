import { afterEach } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gate } from "../engine/parts.ts";
import { makeFolder } from "../store/folder.ts";
import { accessTokenOf, WORKSPACE } from "../store/tokens.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");
const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

/** A run of the program from source. */
export type Program = {
  readonly root: string;
  readonly pid: number;
  /** Every line of standard error so far. */
  readonly lines: readonly string[];
  /** The first line that holds `words`, after the `after`th one; fails when the program ends without it. */
  readonly line: (words: string, after?: number) => Promise<string>;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** Exit code and standard output. */
  readonly end: () => Promise<{ readonly code: number; readonly stdout: string }>;
};

/** Runs `bun src/main.ts` with these words in a folder of its own, and with `more` in its environment. */
export function run(
  words: readonly string[],
  folder = makeFolder(),
  more: Readonly<Record<string, string>> = {},
): Program {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !name.startsWith("CODEX_PROXY_")) env[name] = value;
  }
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    cwd: folder,
    env: { ...env, NO_COLOR: "1", ...more },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let isOver = false;
  const reading = (async () => {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of child.stderr) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
      for (const look of waiting) look();
    }
    if (rest !== "") lines.push(rest);
    isOver = true;
    for (const look of waiting) look();
  })();
  ends.push(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const line = (wanted: string, after = 0): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.slice(after).find((each) => each.includes(wanted));
        if (found === undefined && !isOver) return;
        waiting.delete(look);
        if (found === undefined) reject(new Error(`no '${wanted}' in:\n${lines.join("\n")}`));
        else resolve(found);
      };
      waiting.add(look);
      look();
    });
  return {
    get root() {
      const listening = lines.find((each) => each.includes("listening"));
      return /http:\/\/\S+?:\d+/.exec(listening ?? "")?.[0] ?? "";
    },
    pid: child.pid,
    lines,
    line,
    kill: (signal) => child.kill(signal),
    end: async () => {
      const [stdout] = await Promise.all([new Response(child.stdout).text(), reading]);
      return { code: await child.exited, stdout };
    },
  };
}

/** A folder with one account and this configuration; the program is to run in it. */
export function homeOf(config: string): { readonly folder: string; readonly path: string } {
  const folder = makeFolder();
  const auths = join(folder, "auths");
  mkdirSync(auths, { mode: 0o700 });
  const times = { iat: Math.floor(Date.now() / 1000), exp: 4e9 };
  const access_token = accessTokenOf({
    user: "u1",
    workspace: WORKSPACE,
    email: "ann@example.com",
    ...times,
  });
  writeFileSync(join(auths, "ann.json"), JSON.stringify({ access_token, type: "codex" }));
  const path = join(folder, "config.yaml");
  writeFileSync(path, config);
  return { folder, path };
}

/** A backend whose one turn goes on when it is told to. */
export type SlowBackend = {
  readonly url: string;
  /** Ends the running turn well. */
  readonly finish: () => void;
  /** Resolves when the proxy has let go of the turn. */
  readonly left: Promise<void>;
};

const CREATED = event("response.created", { response: { id: "resp_1" } });
const DELTA = event("response.output_text.delta", { delta: "Hello" });
const COMPLETED = event("response.completed", {
  response: {
    id: "resp_1",
    status: "completed",
    output: [],
    usage: { input_tokens: 1, output_tokens: 1 },
  },
});

function event(type: string, more: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
}

/** Starts such a backend on the loopback interface. */
export function startSlowBackend(): SlowBackend {
  const done = gate<void>();
  const left = gate<void>();
  const encoder = new TextEncoder();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: (request) => {
      if (request.method !== "POST") return Response.json({ models: [] });
      request.signal.addEventListener("abort", () => left.open());
      const body = new ReadableStream<Uint8Array>({
        start: async (controller) => {
          controller.enqueue(encoder.encode(CREATED + DELTA));
          await done.promise;
          controller.enqueue(encoder.encode(COMPLETED));
          controller.close();
        },
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  ends.push(() => server.stop(true));
  return {
    url: `http://127.0.0.1:${server.port}/backend-api/codex`,
    finish: () => done.open(),
    left: left.promise,
  };
}
