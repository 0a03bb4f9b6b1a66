import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLIENTS, installClient } from "../../scripts/clients.ts";
import { type Dict, dict, list, text } from "../../src/wire/json.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { TOOL_ECHO } from "../support/backend/codex-tool.ts";
import { listenBetween } from "../support/between.ts";
import { KEY, plainEnvironment, startProxy } from "../support/proxy.ts";
import { lastInput, PNG } from "../support/sdk.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(120_000);

// The real client is 400 MB, so it is no dependency: it is installed when these tests run for the first time.
const claude = await installClient(CLIENTS.claude);
if (!claude.ok) console.warn(`The tests of the real Claude Code are skipped: ${claude.reason}.`);

let backend: FakeBackend;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true, obfuscation: true });
});
afterAll(() => backend.stop());

describe.skipIf(!claude.ok)(
  `Claude Code ${CLIENTS.claude.version} through the compiled program`,
  () => {
    test("B3-1, B5-7: a file is read by a tool, and the thought that led to it comes back", async () => {
      backend.forget();
      const account = backend.account("claude-reads");
      await using folder = await workFolder({ "notes.txt": "periwinkle-4711\n" });
      account.always(readCall(folder.path, "notes.txt"));
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      const run = await runClaude(proxy.url, folder, "What is in notes.txt?");
      expect(run.exitCode).toBe(0);
      expect(run.output).toContain("The tool answered:");
      expect(run.output).toContain("periwinkle-4711");
      const items = lastInput(backend);
      const types = items.map(({ type }) => type);
      expect(types.slice(-3)).toEqual(["reasoning", "function_call", "function_call_output"]);
      expect(items.at(-3)?.["encrypted_content"]).toEqual(expect.stringMatching(/^gAAAA/));
      // One conversation is one session, and what is cached of it stays (B5-7).
      const keys = new Set(backend.turns().map(({ body }) => text(dict(body)["prompt_cache_key"])));
      expect(keys.size).toBe(1);
      expectPrefixes();
    });

    test("B3-2: an image that it reads reaches the backend as an image", async () => {
      backend.forget();
      const account = backend.account("claude-sees");
      await using folder = await workFolder({ "dot.png": Buffer.from(PNG, "base64") });
      account.always(readCall(folder.path, "dot.png"));
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      const run = await runClaude(proxy.url, folder, "What is in dot.png?");
      expect(run.exitCode).toBe(0);
      const parts = lastInput(backend).flatMap(({ output, content }) => [
        ...list(output),
        ...list(content),
      ]);
      const image = parts.map(dict).find(({ type }) => type === "input_image");
      expect(image?.["image_url"]).toEqual(expect.stringMatching(/^data:image\/\w+;base64,/));
    });

    test("a shell command, after its first account was overloaded inside a 200", async () => {
      backend.forget();
      const full = backend.account("claude-full");
      const good = backend.account("claude-good");
      full.always({ kind: "failed", code: "server_is_overloaded", after: "created" });
      good.always({ kind: "ok", tool: "shell-echo" });
      await using folder = await workFolder();
      await using proxy = await startProxy({ backend, accounts: [full, good], binary: true });
      const run = await runClaude(proxy.url, folder, "Print a line, please");
      expect(run.exitCode).toBe(0);
      expect(run.output).toContain(TOOL_ECHO);
    });

    test("B3-11: it searches the web by a request of its own, and reads what was found", async () => {
      backend.forget();
      const account = backend.account("claude-search");
      const tool = { name: "WebSearch", arguments: { query: "queueing theory" } };
      account.script({ kind: "ok", tool }, { kind: "ok", items: SEARCH }, { kind: "ok", tool });
      await using folder = await workFolder();
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      const run = await runClaude(proxy.url, folder, "Search the web for queueing theory");
      expect(run.exitCode).toBe(0);
      const [, search] = backend.turns();
      expect(dict(search?.body)["tools"]).toMatchObject([{ type: "web_search" }]);
      expect(run.output).toContain("https://example.com/queues");
      expect(run.output).toContain("L = λW.");
    });

    test("B3-3: what its context holds is counted here, without a turn", async () => {
      backend.forget();
      const account = backend.account("claude-context");
      await using folder = await workFolder();
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      await using between = await listenBetween(proxy.url);
      const run = await runClaude(between.url, folder, "/context");
      expect(run.exitCode).toBe(0);
      expect(run.output).toMatch(/System tools\D+\d/);
      const counts = between.requests.filter(({ path }) => path === "/v1/messages/count_tokens");
      expect(counts.length).toBeGreaterThan(1);
      expect(counts.filter(({ status }) => status !== 200)).toEqual([]);
      expect(backend.turns()).toEqual([]);
    });

    test("B3-4: a conversation that is too long is told as such", async () => {
      backend.forget();
      const account = backend.account("claude-long");
      account.always({ kind: "failed", code: "context_length_exceeded", after: "created" });
      await using folder = await workFolder();
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      const run = await runClaude(proxy.url, folder, "Hello");
      expect(run.output).toMatch(/prompt is too long/i);
      expect(backend.turns().length).toBeLessThan(5);
    });

    test("B3-4: one that becomes too long is compacted by the client itself, and goes on", async () => {
      backend.forget();
      const account = backend.account("claude-compacts");
      await using folder = await workFolder({ "notes.txt": "periwinkle-4711\n" });
      const read = readCall(folder.path, "notes.txt");
      account.script(read, read);
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      expect((await runClaude(proxy.url, folder, "Read notes.txt")).exitCode).toBe(0);
      const before = backend.turns().length;
      account.script({ kind: "failed", code: "context_length_exceeded", after: "created" });
      const run = await runClaude(proxy.url, folder, "And now?", ["--continue"]);
      expect(run.exitCode).toBe(0);
      expect(run.output).toContain("You said:");
      // The one that was too long, its summary, and the question again.
      const [long, summary, again] = backend
        .turns()
        .slice(before)
        .map(({ body }) => dict(body));
      expect(JSON.stringify(long?.["input"])).toContain("And now?");
      expect(JSON.stringify(summary?.["input"])).toContain("summary of the conversation");
      expect(list(again?.["input"]).length).toBeLessThan(list(long?.["input"]).length);
      expect(backend.turns()).toHaveLength(before + 3);
    });

    test("all accounts exhausted: it stops at once and says so", async () => {
      backend.forget();
      const account = backend.account("claude-exhausted");
      account.always({ kind: "fault", name: "429-usage" });
      await using folder = await workFolder();
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      const run = await runClaude(proxy.url, folder, "Hello");
      expect(run.exitCode).not.toBe(0);
      expect(run.output).toMatch(/429|limit/i);
      expect(run.tookMs).toBeLessThan(15_000);
      await until("the request is logged", () => requestsIn(proxy.logs()) > 0);
      expect(requestsIn(proxy.logs())).toBe(1);
    });

    test("a stream that breaks in the middle: it tries again, and has an answer", async () => {
      backend.forget();
      const account = backend.account("claude-broken");
      account.script({ kind: "cut-mid-text" });
      await using folder = await workFolder();
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      const run = await runClaude(proxy.url, folder, "Hello there");
      expect(run.exitCode).toBe(0);
      expect(run.output).toContain("You said:");
    });
  },
);

/** Calls Claude's `Read`, once in a conversation. */
function readCall(folder: string, name: string) {
  const file_path = join(folder, name);
  return { kind: "ok", tool: { name: "Read", arguments: { file_path } } } as const;
}

type Folder = AsyncDisposable & {
  /** Where the client works. */
  readonly path: string;
  /** Where it keeps its own files, conversations among them. */
  readonly home: string;
};

async function workFolder(
  files: Readonly<Record<string, string | Uint8Array>> = {},
): Promise<Folder> {
  const [path, home] = await Promise.all(
    ["claude-work-", "claude-home-"].map((name) => mkdtemp(join(tmpdir(), name))),
  );
  if (path === undefined || home === undefined) throw new Error("there are no folders");
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content);
  return {
    path,
    home,
    [Symbol.asyncDispose]: async () => {
      for (const folder of [path, home]) await rm(folder, { recursive: true, force: true });
    },
  };
}

type Run = { readonly exitCode: number; readonly output: string; readonly tookMs: number };

/** Asks Claude Code one thing. */
async function runClaude(
  url: string,
  folder: Folder,
  prompt: string,
  more: readonly string[] = [],
): Promise<Run> {
  if (!claude.ok) throw new Error(claude.reason);
  const startedMs = performance.now();
  const words = ["-p", prompt, "--allowedTools", "Read,WebSearch,Bash(echo:*)", ...more];
  const child = Bun.spawn([claude.path, ...words], {
    cwd: folder.path,
    env: {
      ...plainEnvironment(),
      HOME: folder.home,
      USERPROFILE: folder.home,
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_AUTH_TOKEN: KEY,
      ANTHROPIC_MODEL: "gpt-5.4",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 100_000,
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, output: stdout + stderr, tookMs: performance.now() - startedMs };
}

/** Each turn's input begins with the whole input of the one before. */
function expectPrefixes(): void {
  const inputs = backend.turns().map(({ body }) => list(dict(body)["input"]));
  for (const [at, input] of inputs.entries()) {
    const before = inputs[at - 1] ?? [];
    expect(input.slice(0, before.length)).toEqual([...before]);
  }
}

function requestsIn(logs: string): number {
  return logs.match(/ protocol=messages /g)?.length ?? 0;
}

const SEARCH: readonly Dict[] = [
  {
    type: "web_search_call",
    status: "completed",
    action: {
      type: "search",
      query: "queueing theory",
      sources: [{ type: "url", url: "https://example.com/queues" }],
    },
  },
  { type: "message", content: [{ type: "output_text", text: "L = λW." }] },
];
