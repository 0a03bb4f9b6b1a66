import { describe, expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { onPosix } from "../support/system.ts";
import { homeOf, type Program, run, startSlowBackend } from "./program.ts";

const LIMIT_MS = 20_000;
const LOCAL = "listen: 127.0.0.1:0\n";

async function start(config: string, words: readonly string[] = []) {
  const { folder, path } = homeOf(config);
  const program = run(words, folder);
  await program.line("listening");
  return { program, folder, path };
}

/** Begins a streamed turn and reads up to its first text. */
async function beginTurn(program: Program) {
  const response = await fetch(`${program.root}/v1/responses`, {
    method: "POST",
    body: JSON.stringify({ model: "gpt-5.4", input: "hi", stream: true }),
  });
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const more = async (): Promise<boolean> => {
    const chunk = await reader?.read();
    text += decoder.decode(chunk?.value, { stream: true });
    return chunk?.done === false;
  };
  while (!text.includes("Hello")) await more();
  return {
    status: response.status,
    /** The rest, or how the connection broke. */
    rest: async () => {
      try {
        while (await more());
        return text;
      } catch (cause) {
        return `broken: ${String(cause)}`;
      }
    },
  };
}

describe("serve, at its start", () => {
  onPosix(
    "says where it listens and that there is no configuration, and stops well",
    async () => {
      const program = run(["-listen", "127.0.0.1:0"]);
      await program.line("listening");
      expect((await fetch(`${program.root}/health/live`)).status).toBe(200);
      expect(await program.line("codex-proxy starts")).toContain("built-in defaults");
      program.kill("SIGTERM");
      expect(await program.end()).toEqual({ code: 0, stdout: "" });
      expect(program.lines.at(-1)).toContain("stopped");
    },
    LIMIT_MS,
  );

  test(
    "says through which proxy requests leave, without its login, and when that changes",
    async () => {
      const config = `${LOCAL}proxy-url: "http://user:hunter22@127.0.0.1:9"\n`;
      const { program, path } = await start(config);
      const told = await program.line("requests leave through a proxy");
      expect(told).toContain("proxy=http://127.0.0.1:9");
      const before = program.lines.length;
      writeFileSync(path, `${LOCAL}proxy-url: "socks5h://user:hunter22@127.0.0.1"\n`);
      const again = await program.line("requests leave through a proxy", before);
      expect(again).toContain("proxy=socks5h://127.0.0.1:1080");
      expect(program.lines.join("\n")).not.toContain("hunter22");
    },
    LIMIT_MS,
  );

  test(
    "a port in use is one line and exit code 1, on whichever of the two addresses",
    async () => {
      const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("") });
      const program = run(["serve", "-listen", `127.0.0.1:${other.port}`]);
      expect((await program.end()).code).toBe(1);
      const told = program.lines.filter((line) => line.startsWith("codex-proxy:"));
      expect(told).toEqual([
        `codex-proxy: 127.0.0.1:${other.port} is in use by another program: stop it, or set 'listen' to another port.`,
      ]);
      await other.stop(true);
    },
    LIMIT_MS,
  );

  test(
    "a second codex-proxy on the same port does not share it",
    async () => {
      const { program } = await start(LOCAL);
      const second = run(["-listen", new URL(program.root).host]);
      expect((await second.end()).code).toBe(1);
      expect((await fetch(`${program.root}/health/live`)).status).toBe(200);
    },
    LIMIT_MS,
  );

  test(
    "an address that is not this machine's is one line and exit code 1",
    async () => {
      const program = run(["-listen", "203.0.113.7:8080"]);
      expect((await program.end()).code).toBe(1);
      expect(program.lines.at(-1)).toBe(
        "codex-proxy: 203.0.113.7:8080 is no address of this machine: set 'listen' to one, or to :PORT for all of them.",
      );
    },
    LIMIT_MS,
  );

  test(
    "a configuration with faults is exit code 2 and all of them, a line each",
    async () => {
      const { folder } = homeOf("listen: nowhere\nmax-retry: many\nheartbeat: 3\n");
      const program = run([], folder);
      expect((await program.end()).code).toBe(2);
      expect(program.lines).toEqual([
        expect.stringMatching(/^codex-proxy: config\.yaml:1: listen: /),
        expect.stringMatching(/^codex-proxy: config\.yaml:2: max-retry: /),
        expect.stringMatching(/^codex-proxy: config\.yaml:3: heartbeat: unknown key/),
      ]);
    },
    LIMIT_MS,
  );

  test.each<[string, readonly string[], number, RegExp]>([
    ["version", ["version"], 0, /^codex-proxy /],
    ["-version", ["-version"], 0, /^codex-proxy /],
    ["help", ["help"], 0, /Exit codes/],
    ["a command that is none", ["frob"], 2, /^$/],
    ["check", ["check"], 0, /accounts: 0, errors: 0/],
  ])(
    "%s",
    async (_name, words, code, stdout) => {
      const program = run(words);
      const ended = await program.end();
      expect([ended.code, program.lines.length]).toEqual([code, words[0] === "frob" ? 1 : 0]);
      expect(ended.stdout).toMatch(stdout);
    },
    LIMIT_MS,
  );

  test(
    "check without a file says so on standard error",
    async () => {
      const program = run(["check", "-config", "none.yaml"]);
      expect((await program.end()).code).toBe(2);
      expect(program.lines.join("\n")).toContain("error: none.yaml");
    },
    LIMIT_MS,
  );

  test.each<[string, string, boolean]>([
    ["beyond loopback without keys", "listen: :0\n", true],
    ["on one address of the network without keys", "listen: 0.0.0.0:0\n", true],
    ["beyond loopback with a key", "listen: :0\napi-keys: [a-key-of-mine]\n", false],
    ["on loopback without keys", LOCAL, false],
    ["on loopback by name", "listen: localhost:0\n", false],
    ["on the other loopback", 'listen: "[::1]:0"\n', false],
  ])(
    "%s it warns as it must",
    async (_name, config, isWarned) => {
      const { program } = await start(config);
      program.kill("SIGTERM");
      await program.end();
      expect(program.lines.some((line) => line.includes("WARN  ANYONE"))).toBe(isWarned);
    },
    LIMIT_MS,
  );
});

describe("serve, when the configuration changes", () => {
  const KEYED = `${LOCAL}api-keys: [a-key-of-mine]\n`;
  const models = async (program: Program) => (await fetch(`${program.root}/v1/models`)).status;

  test(
    "a changed file takes effect by itself, whether written or replaced",
    async () => {
      const { program, path, folder } = await start(LOCAL);
      expect(await models(program)).toBe(200);
      writeFileSync(path, KEYED);
      expect(await program.line("configuration changed")).toContain("api-keys");
      expect(await models(program)).toBe(401);
      const after = program.lines.length;
      const next = join(folder, "config.yaml.new");
      writeFileSync(next, LOCAL);
      renameSync(next, path);
      await program.line("configuration changed", after);
      expect(await models(program)).toBe(200);
    },
    LIMIT_MS,
  );

  test(
    "an emptied file does not open a proxy that others can reach",
    async () => {
      const { program, path } = await start(KEYED.replace("127.0.0.1", "0.0.0.0"));
      writeFileSync(path, "");
      expect(await program.line("stays as it was")).toContain("api-keys are gone");
      expect(await models(program)).toBe(401);
    },
    LIMIT_MS,
  );

  test(
    "keys that need a restart say so and change nothing",
    async () => {
      const { program, path } = await start(LOCAL);
      writeFileSync(path, "listen: 127.0.0.1:1\nmax-retry: 5\n");
      expect(await program.line("wait for a restart")).toContain("listen");
      expect(await program.line("configuration changed ")).toContain("max-retry");
      expect(await models(program)).toBe(200);
    },
    LIMIT_MS,
  );

  onPosix(
    "a broken file keeps the old configuration and says why; SIGHUP reads it again",
    async () => {
      const { program, path } = await start(KEYED);
      writeFileSync(path, "max-retry: many\napi-keys: []\nlisten: x\n");
      await program.line("config.yaml:1: max-retry");
      await program.line("config.yaml:3: listen");
      expect(await models(program)).toBe(401);
      const after = program.lines.length;
      program.kill("SIGHUP");
      await program.line("config.yaml:1: max-retry", after);
      writeFileSync(path, LOCAL);
      program.kill("SIGHUP");
      await program.line("configuration changed");
      expect(await models(program)).toBe(200);
    },
    LIMIT_MS,
  );

  test(
    "a log level takes effect for the next line",
    async () => {
      const { program, path } = await start(LOCAL);
      writeFileSync(path, `${LOCAL}log-format: json\n`);
      const line = await program.line("configuration changed");
      expect(JSON.parse(line)).toMatchObject({ level: "info", keys: "log-format" });
    },
    LIMIT_MS,
  );

  test(
    "a flag still wins over the file",
    async () => {
      const { program, path } = await start(LOCAL, ["-max-retry", "1"]);
      writeFileSync(path, `${LOCAL}max-retry: 9\nempty-retry-max: 1\n`);
      expect(await program.line("configuration changed")).toMatch(/keys=empty-retry-max$/);
    },
    LIMIT_MS,
  );

  onPosix(
    "SIGHUP without a file does no harm",
    async () => {
      const program = run(["-listen", "127.0.0.1:0"]);
      await program.line("listening");
      program.kill("SIGHUP");
      expect(await models(program)).toBe(200);
    },
    LIMIT_MS,
  );
});

describe("serve, told to stop", () => {
  onPosix(
    "lets a running stream end, and takes no new request",
    async () => {
      const backend = startSlowBackend();
      const { program } = await start(`${LOCAL}base-url: ${backend.url}\nshutdown-timeout: 60\n`);
      const turn = await beginTurn(program);
      program.kill("SIGTERM");
      await program.line("stopping");
      expect(fetch(`${program.root}/health/live`)).rejects.toThrow();
      backend.finish();
      expect(await turn.rest()).toContain("response.completed");
      expect((await program.end()).code).toBe(0);
      expect(await program.line(" request ")).toContain("status=200");
    },
    LIMIT_MS,
  );

  test.each([0, 1])(
    "cuts what is left after shutdown-timeout %i, and stops the backend's work",
    async (seconds) => {
      const backend = startSlowBackend();
      const { program } = await start(
        `${LOCAL}base-url: ${backend.url}\nshutdown-timeout: ${seconds}\n`,
      );
      const turn = await beginTurn(program);
      program.kill(seconds === 0 ? "SIGINT" : "SIGTERM");
      // No normal end: a client must not take half an answer for a whole one.
      expect(await turn.rest()).toStartWith("broken: ");
      await backend.left;
      expect((await program.end()).code).toBe(0);
    },
    LIMIT_MS,
  );

  onPosix(
    "does not wait for connections that are only kept open",
    async () => {
      const { program } = await start(`${LOCAL}shutdown-timeout: 3600\n`);
      const { hostname, port } = new URL(program.root);
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {});
      const heard = new Promise((resolve) => socket.once("data", resolve));
      socket.write("GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
      await heard;
      program.kill("SIGTERM");
      expect((await program.end()).code).toBe(0);
      socket.destroy();
    },
    LIMIT_MS,
  );

  test(
    "a client that leaves is 499, and the backend's work is stopped",
    async () => {
      const backend = startSlowBackend();
      const { program } = await start(`${LOCAL}base-url: ${backend.url}\n`);
      const leaving = new AbortController();
      const response = await fetch(`${program.root}/v1/responses`, {
        method: "POST",
        body: JSON.stringify({ model: "gpt-5.4", input: "hi", stream: true }),
        signal: leaving.signal,
      });
      expect(response.status).toBe(200);
      leaving.abort();
      await backend.left;
      expect(await program.line("status=499")).toContain("failure=client-left");
      expect((await fetch(`${program.root}/health`)).status).toBe(200);
    },
    LIMIT_MS,
  );
});
