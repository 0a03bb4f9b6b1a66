import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CLIENTS, type Installed, installClient } from "../../scripts/clients.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { buildIfMissing, KEY, plainEnvironment, runProgram, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(120_000);

const clients = {
  codex: await installClient(CLIENTS.codex),
  claude: await installClient(CLIENTS.claude),
  opencode: await installClient(CLIENTS.opencode),
};
for (const [name, installed] of Object.entries(clients)) {
  if (!installed.ok)
    console.warn(`The set-up of the real ${name} is not tried: ${installed.reason}.`);
}

/** How each client is asked one thing. */
const ASK = {
  codex: ["exec", "--skip-git-repo-check", "Say hi"],
  claude: ["-p", "Say hi"],
  opencode: ["run", "Say hi"],
} as const;

type Client = keyof typeof ASK;

let backend: FakeBackend;

beforeAll(async () => {
  await buildIfMissing();
  backend = await startBackend({ keepalives: true, obfuscation: true });
});
afterAll(() => backend.stop());

type Place = AsyncDisposable & { readonly path: string; readonly home: string };

/** A folder to work in, and a home of the person's. */
async function placeOf(): Promise<Place> {
  const path = await mkdtemp(join(tmpdir(), "codex-proxy-setup-"));
  const home = join(path, "home");
  await mkdir(home);
  return {
    path,
    home,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

type Run = { readonly code: number; readonly output: string };

/** Runs the program in this place, with this home. */
async function program({ path, home }: Place, words: readonly string[], more = {}): Promise<Run> {
  const env = { HOME: home, USERPROFILE: home, ...more };
  const running = runProgram(words, { cwd: path, env });
  return { code: await running.exited, output: running.logs() };
}

/** Asks a client that knows of the proxy by nothing but its own files. */
async function ask(client: Client, { path, home }: Place): Promise<Run> {
  const installed: Installed = clients[client];
  if (!installed.ok) throw new Error(installed.reason);
  const work = join(path, "work");
  await mkdir(work, { recursive: true });
  const child = Bun.spawn([installed.path, ...ASK[client]], {
    cwd: work,
    env: {
      ...plainEnvironment(),
      HOME: home,
      USERPROFILE: home,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 100_000,
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, output: stdout + stderr };
}

function expectDone({ code, output }: Run, words: string): void {
  expect(output).toContain(words);
  expect(code).toBe(0);
}

/** What a person has in a client's file already, and how that is read. */
const BEFORE = {
  codex: {
    file: ".codex/config.toml",
    text: '# mine\r\nsandbox_mode = "read-only" # careful\r\n\r\n[mcp_servers.none]\r\ncommand = "true"\r\nenabled = false\r\n',
    kept: ["# mine\r\n", "# careful\r\n", "[mcp_servers.none]\r\n"],
  },
  claude: {
    file: ".claude/settings.json",
    text: '{\n\t"includeCoAuthoredBy": false,\n\t"env": {"MINE": "1"}\n}\n',
    kept: ['\t"includeCoAuthoredBy": false,\n', '"MINE": "1"'],
  },
  opencode: {
    file: ".config/opencode/opencode.jsonc",
    text: '{\n  // mine\n  "share": "disabled", // never\n}\n',
    kept: ["// mine", "// never"],
  },
} as const satisfies Record<Client, { file: string; text: string; kept: readonly string[] }>;

describe.each(["codex", "claude", "opencode"] as const)("setup %s --write", (client) => {
  test.skipIf(!clients[client].ok)(
    "a real client makes a turn, and what was in its file stays",
    async () => {
      backend.forget();
      const account = backend.account(`setup-${client}`);
      await using place = await placeOf();
      await using proxy = await startProxy({ backend, accounts: [account], binary: true });
      const config = join(place.path, "config.yaml");
      const { port } = new URL(proxy.url);
      await writeFile(config, `listen: 127.0.0.1:${port}\napi-keys: ["${KEY}"]\n`, { mode: 0o600 });
      const { file, text, kept } = BEFORE[client];
      const path = join(place.home, file);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);

      const setUp = await program(place, ["setup", client, "--write"]);
      expectDone(setUp, `~/${file}: written`);
      expect(setUp.output).not.toContain(KEY);
      const after = await readFile(path, "utf8");
      for (const part of kept) expect(after).toContain(part);
      expect(await readFile(`${path}.backup`, "utf8")).toBe(text);

      const run = await ask(client, place);
      expectDone(run, "You said:");
      expect(run.output).toContain("Say hi");
      expect(backend.turns().length).toBeGreaterThan(0);
      await until("the turn is logged under the key's name", () =>
        / client=key#/.test(proxy.logs()),
      );
    },
  );

  test.skipIf(!clients[client].ok)("a proxy without keys serves it as well", async () => {
    backend.forget();
    const account = backend.account(`keyless-${client}`);
    await using place = await placeOf();
    const keyless = { "api-keys": [] };
    await using proxy = await startProxy({
      backend,
      accounts: [account],
      binary: true,
      config: keyless,
    });
    const { port } = new URL(proxy.url);
    const setUp = await program(place, [
      "-listen",
      `127.0.0.1:${port}`,
      "setup",
      client,
      "--write",
    ]);
    expect(setUp.code).toBe(0);
    expectDone(await ask(client, place), "You said:");
  });
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("a fresh directory and the program", () => {
  test.skipIf(!clients.codex.ok)(
    "init, import, serve, setup codex --write: a real Codex CLI makes a turn",
    async () => {
      backend.forget();
      await using place = await placeOf();
      const login = join(place.path, "login.json");
      await writeFile(login, JSON.stringify(backend.account("fresh").file()), { mode: 0o600 });
      const env = { CODEX_PROXY_BASE_URL: backend.url, CODEX_PROXY_OAUTH_ISSUER: backend.issuer };
      const port = await freePort();
      const made = await program(place, ["init", "-listen", `127.0.0.1:${port}`], env);
      expect(made.code).toBe(0);
      const config = await stat(join(place.path, "config.yaml"));
      expect(config.mode & 0o777).toBe(0o600);
      expect((await program(place, ["import", login], env)).code).toBe(0);
      const serving = runProgram(["serve"], { cwd: place.path, env });
      try {
        await until("it has the models", () => serving.logs().includes("model list"));
        // Not in a terminal, there are log lines only.
        expect(serving.logs()).not.toContain("Ctrl-C stops it");
        expect((await program(place, ["setup", "codex", "--write"], env)).code).toBe(0);
        const run = await ask("codex", place);
        expectDone(run, "You said: Say hi");
        const doctor = await program(place, ["doctor"], env);
        expect(doctor.output).toMatch(/^ok +proxy +one runs at/m);
        expect(doctor.code).toBe(0);
      } finally {
        serving.kill("SIGTERM");
        await serving.exited;
      }
    },
  );

  test("who else can read the secrets is told once for the configuration and once for the accounts", async () => {
    await using place = await placeOf();
    const auths = join(place.path, "auths");
    await mkdir(auths, { mode: 0o755 });
    for (const name of ["open-1", "open-2"]) {
      await writeFile(join(auths, `${name}.json`), JSON.stringify(backend.account(name).file()));
    }
    const config = `listen: 127.0.0.1:0\napi-keys: ["${KEY}"]\nbase-url: ${backend.url}\n`;
    await writeFile(join(place.path, "config.yaml"), config);
    await chmod(auths, 0o755);
    const serving = runProgram([], { cwd: place.path });
    try {
      await until(
        "both are told",
        () => (serving.logs().match(/other users of this machine/g) ?? []).length === 2,
      );
    } finally {
      serving.kill("SIGTERM");
      await serving.exited;
    }
    expect(serving.logs().match(/WARN .*can read config\.yaml/g)).toHaveLength(1);
    expect(serving.logs().match(/WARN .*2 account files/g)).toHaveLength(1);
  });
});
