import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBackend } from "../support/backend/backend.ts";
import { call } from "../support/call.ts";
import {
  buildIfMissing,
  KEY,
  runProgram,
  startProxy,
  type TestProxy,
  yamlOf,
} from "../support/proxy.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(30_000);

let home: string;

beforeAll(async () => {
  await buildIfMissing();
  home = await mkdtemp(join(tmpdir(), "codex-proxy-config-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

describe("a configuration that cannot be used", () => {
  test("a file that is not there", async () => {
    const run = await ended(["-config", "nowhere.yaml"]);
    expect(run.exitCode).toBe(2);
    expect(run.lines).toHaveLength(1);
    expect(run.lines[0]).toContain("nowhere.yaml: there is no such file");
  });

  test("a folder in place of a file", async () => {
    const run = await ended(["-config", home]);
    expect(run.exitCode).toBe(2);
    expect(run.lines).toHaveLength(1);
    expect(run.lines[0]).toContain("it is a folder");
  });

  test("an unknown key, with the nearest known one", async () => {
    const run = await startedWith('listen: "127.0.0.1:0"\nmax-retrys: 3\n');
    expect(run.exitCode).toBe(2);
    expect(run.lines).toHaveLength(1);
    expect(run.lines[0]).toMatch(
      /config\.yaml:2: max-retrys: unknown key; did you mean "?max-retry"?\?/,
    );
  });

  test("all faults in one run, each with its line, its key, what was found and what is allowed", async () => {
    const run = await startedWith(
      [
        'listen: "nonsense"',
        "max-retry: two",
        "refresh-interval: -1",
        "log-level: loud",
        "api-keys: 12345",
        "heartbeat-sec: 1.5",
        "auth-dir: [a, b]",
        "base-url: ftp://example.com",
        "selector: best",
        "bogus: 1",
        "",
      ].join("\n"),
    );
    expect(run.exitCode).toBe(2);
    const named = run.lines.map((line) => /config\.yaml:(\d+): ([\w-]+)/.exec(line)?.slice(1));
    expect(named).toEqual([
      ["1", "listen"],
      ["2", "max-retry"],
      ["3", "refresh-interval"],
      ["4", "log-level"],
      ["5", "api-keys"],
      ["6", "heartbeat-sec"],
      ["7", "auth-dir"],
      ["8", "base-url"],
      ["9", "selector"],
      ["10", "bogus"],
    ]);
    expect(run.lines[1]).toContain('"two"');
    expect(run.lines[1]).toContain("a whole number from 0 to 20");
    expect(run.lines[3]).toContain("debug, info, warn");
  });

  test("YAML that is none", async () => {
    const run = await startedWith('listen: ":8080\napi-keys: [\n');
    expect(run.exitCode).toBe(2);
    expect(run.lines.length).toBeGreaterThan(0);
    for (const line of run.lines) expect(line).toMatch(/config\.yaml:\d+/);
  });

  test("a placeholder for a key", async () => {
    const run = await startedWith('api-keys:\n  - "sk-your-custom-key"\n');
    expect(run.exitCode).toBe(2);
    expect(run.lines.join("\n")).toContain("placeholder");
  });

  test("an egress proxy that is none, without its password", async () => {
    for (const url of ["socks4://user:hunter22@127.0.0.1:1080", "http://user:hunter22@h:1/path"]) {
      const run = await startedWith(`proxy-url: "${url}"\n`);
      expect(run.exitCode).toBe(2);
      expect(run.output).toMatch(/config\.yaml:\d+: proxy-url: found /);
      expect(run.output).not.toContain("hunter22");
    }
  });

  test("a flag and a variable at fault name themselves", async () => {
    const run = await ended(["-max-retry", "many"], { CODEX_PROXY_LOG_LEVEL: "loud" });
    expect(run.exitCode).toBe(2);
    expect(run.output).toContain("-max-retry");
    expect(run.output).toContain("CODEX_PROXY_LOG_LEVEL");
  });

  test("an unknown command and an unknown flag: usage", async () => {
    for (const words of [["dance"], ["-dance"], ["serve", "now"]]) {
      const run = await ended(words);
      expect([words, run.exitCode, run.lines.length]).toEqual([words, 2, 1]);
    }
  });

  test("`check` lists the same faults and does not serve", async () => {
    const path = join(home, "check.yaml");
    await writeFile(path, "max-retry: two\nbogus: 1\n");
    for (const words of [
      ["check", "-config", path],
      ["-config", path, "check"],
    ]) {
      const run = await ended(words);
      expect(run.exitCode).toBe(2);
      expect(run.output).toContain("max-retry");
      expect(run.output).toContain("bogus");
    }
  });

  test("a file of the Go program: its own keys are ignored with one warning", async () => {
    const backend = await startBackend();
    try {
      const config = {
        "enable-codex-login": true,
        "debug-ws-stream": false,
        "health-check-interval": 300,
      };
      await using proxy = await startProxy({ backend, accounts: [], config, binary: true });
      const warnings = proxy
        .logs()
        .split("\n")
        .filter((line) => line.includes("WARN"));
      expect(warnings.filter((line) => line.includes("enable-codex-login"))).toHaveLength(1);
    } finally {
      await backend.stop();
    }
  });
});

describe("an address that cannot be had", () => {
  test("a port in use: one line, exit code 1", async () => {
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    try {
      const run = await startedWith(`listen: "127.0.0.1:${listener.port}"\n`);
      expect(run.exitCode).toBe(1);
      const faults = run.lines.filter((line) => !/ (?:INFO|DEBUG) /.test(line));
      expect(faults).toHaveLength(1);
      expect(faults[0]).toContain(`127.0.0.1:${listener.port} is in use by another program`);
    } finally {
      listener.stop(true);
    }
  });

  test("an address that this machine does not have: one line, exit code 1", async () => {
    const run = await startedWith('listen: "203.0.113.7:18080"\n');
    expect(run.exitCode).toBe(1);
    const faults = run.lines.filter((line) => !/ (?:INFO|DEBUG) /.test(line));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain("203.0.113.7");
  });
});

describe("a configuration that changes", () => {
  test("live keys take effect, others wait for a restart, a broken file changes nothing", async () => {
    const backend = await startBackend();
    const account = backend.account("live");
    const setup = { backend, accounts: [account], binary: true };
    try {
      await using proxy = await startProxy(setup);
      const path = join(proxy.authDir, "..", "config.yaml");
      const base = {
        listen: "127.0.0.1:0",
        "base-url": backend.url,
        "oauth-issuer": backend.issuer,
        "auth-dir": proxy.authDir,
        "log-level": "debug",
        "shutdown-timeout": 1,
      };
      const other = "sk-other-0123456789abcdef";
      await writeFile(path, yamlOf({ ...base, "api-keys": [other] }));
      await until("the key has changed", async () => (await call(proxy)).status === 401);
      expect(await statusWith(proxy, other)).toBe(200);

      await writeFile(path, "max-retry: two\n");
      await until("the broken file is told", () =>
        proxy.logs().includes("the configuration stays"),
      );
      expect(await statusWith(proxy, other)).toBe(200);
      expect(await statusWith(proxy, KEY)).toBe(401);

      await writeFile(path, yamlOf({ ...base, listen: "127.0.0.1:9", "api-keys": [KEY] }));
      await until("the new key counts", async () => (await statusWith(proxy, KEY)) === 200);
      await until("the restart is told", () => /wait for a restart.*listen/.test(proxy.logs()));

      await writeFile(path, yamlOf({ ...base, "api-keys": [other] }));
      proxy.kill("SIGHUP");
      await until("SIGHUP counts too", async () => (await statusWith(proxy, other)) === 200);
    } finally {
      await backend.stop();
    }
  });
});

describe("no configuration at all", () => {
  test("built-in defaults, said in one line, and a warning that anyone may call", async () => {
    const folder = join(home, "empty");
    await mkdir(folder);
    await chmod(folder, 0o700);
    const program = runProgram([], { cwd: folder, env: { CODEX_PROXY_LISTEN: ":0" } });
    await until("it listens", () => program.logs().includes("listening"));
    expect(program.logs()).toContain("built-in defaults");
    await until("it warns", () => program.logs().includes("ANYONE"));
    program.kill("SIGINT");
    expect(await within("it ends", program.exited)).toBe(0);
  });

  test("version and help", async () => {
    for (const words of [["version"], ["-version"], ["--version"]]) {
      const run = await ended(words);
      expect(run.exitCode).toBe(0);
      expect(run.output).toMatch(/^codex-proxy \d+\.\d+\.\d+/);
    }
    for (const words of [["help"], ["-help"]]) {
      const run = await ended(words);
      expect(run.exitCode).toBe(0);
      expect(run.output).toContain("-config FILE");
    }
  });
});

type Ended = {
  readonly exitCode: number;
  readonly output: string;
  readonly lines: readonly string[];
};

/** Runs the program, which is to end by itself. */
async function ended(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const program = runProgram(words, { cwd: home, env });
  try {
    const exitCode = await within(`it ends: ${words.join(" ")}`, program.exited);
    const output = program.logs();
    return { exitCode, output, lines: output.split("\n").filter((line) => line !== "") };
  } finally {
    program.kill("SIGKILL");
  }
}

async function startedWith(yaml: string): Promise<Ended> {
  const path = join(home, "config.yaml");
  await writeFile(path, yaml);
  try {
    return await ended(["-config", path]);
  } finally {
    await rm(path);
  }
}

async function statusWith(proxy: Pick<TestProxy, "url">, key: string): Promise<number> {
  return (await call(proxy, { headers: { authorization: `Bearer ${key}` } })).status;
}
