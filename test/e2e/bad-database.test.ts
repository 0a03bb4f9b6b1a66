import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "../../src/store/sql/schema.ts";
import { type Dict, dict, parseDict } from "../../src/wire/json.ts";
import { countOf } from "../support/accounts.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { call } from "../support/call.ts";
import { DATABASES, SERVERS, type TestDatabase } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import {
  buildIfMissing,
  type Program,
  runProgram,
  startProxy,
  type TestProxy,
  yamlOf,
} from "../support/proxy.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

// What the owner of a database that does not work reads, in the compiled program's own words.

let backend: FakeBackend;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  await buildIfMissing();
  backend = await startBackend();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});
afterAll(() => backend.stop());

/** Runs a command in a folder with this configuration, and an account file. */
async function run(words: string, config: Dict): Promise<Program> {
  const home = await mkdtemp(join(tmpdir(), "codex-proxy-bad-"));
  ends.push(() => rm(home, { recursive: true, force: true }));
  await mkdir(join(home, "auths"));
  await writeFile(join(home, "auths", "ann.json"), JSON.stringify(backend.account("ann").file()));
  await writeFile(
    join(home, "config.yaml"),
    yamlOf({ "base-url": backend.url, listen: "127.0.0.1:0", ...config }),
  );
  const program = runProgram(words.split(" "), { cwd: home });
  ends.push(() => program.kill("SIGKILL"));
  return program;
}

/** That `check` says what is wrong with the database in one line, that begins so, and nothing is there that must not be. */
async function expectChecked(config: Dict, words: readonly string[]): Promise<void> {
  const check = await run("check", config);
  expect(await within("it ends", check.exited)).toBe(2);
  const errors = check
    .logs()
    .split("\n")
    .filter((line) => line.includes("error: "));
  expect(errors).toHaveLength(1);
  for (const word of words) expect(errors[0]).toContain(word);
  expect(errors[0]).toStartWith("codex-proxy: error: the database: ");
  expect(check.logs()).toContain("accounts: 0, errors: 1");
  expect(check.logs()).not.toMatch(/tok3n|eyJ|rt_|\n\s+at /);
}

/** That the proxy serves on without accounts, says why once, and takes them up when `mend` has helped. */
async function expectServes(
  config: Dict,
  words: string,
  mend?: () => Promise<unknown>,
): Promise<void> {
  const ann = backend.account("ann");
  const setup = { ...config, "startup-load-retry-interval": 1 };
  await using proxy = await startProxy({ backend, accounts: [ann], config: setup, binary: true });
  expect((await fetch(`${proxy.url}/health/live`)).status).toBe(200);
  const health = await fetch(`${proxy.url}/health`);
  expect(health.status).toBe(503);
  expect(dict(parseDict(await health.text()))).toMatchObject({
    status: "no usable account",
    store: "unreachable",
  });
  const answer = await call(proxy);
  expect([answer.status, answer.error["message"]]).toEqual([
    503,
    "The accounts are still being loaded. Try again in a moment.",
  ]);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  const told = linesOf(proxy, "ERROR");
  expect(told).toHaveLength(1);
  expect(told[0]).toContain(words);
  expect(told[0]).toContain("it is tried again");
  if (mend !== undefined) {
    await mend();
    await until("it is loaded", () => proxy.logs().includes("the accounts are loaded"));
    expect((await call(proxy)).status).toBe(200);
    expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
    expect(linesOf(proxy, "ERROR")).toHaveLength(1);
  }
  expect(proxy.logs()).not.toMatch(/tok3n|eyJ|a fault of the proxy itself/);
}

function linesOf(proxy: Pick<TestProxy, "logs">, level: string): readonly string[] {
  return proxy
    .logs()
    .split("\n")
    .filter((line) => line.includes(` ${level} `));
}

async function closedPort(): Promise<number> {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

describeEach(SERVERS, ({ make, name }) => {
  test("nobody is there", async () => {
    await using here = await make();
    const config = {
      ...here.config,
      "db-port": await closedPort(),
      "db-password": "tok3n-of-mine",
    };
    await expectChecked(config, ["it is not reachable", "db-host", "db-port"]);
    await expectServes(config, "it is not reachable");
    // Who wants the accounts before anything else is told so, and does not get a program without them.
    const strict = await run("serve", { ...config, "startup-async-load": false });
    expect(await within("it ends", strict.exited)).toBe(1);
    expect(strict.logs()).toContain(
      "could not start: the accounts cannot be loaded: the database: it is not reachable",
    );
  });

  test("a wrong password, or a user who may not log in", async () => {
    await using here = await make();
    const user = await here.addUser(["SELECT", "INSERT", "UPDATE", "DELETE"]);
    await migrate(here.connect().database);
    // The PostgreSQL of a test machine asks nobody for a password: there it is a user who is none.
    const config = {
      ...here.config,
      "db-user": name === "PostgreSQL" ? "codex_test_nobody" : user.user,
      "db-password": "tok3n-of-mine",
    };
    await expectChecked(config, ["refuses the user or the password", "db-user", "db-password"]);
    await expectServes(config, "refuses the user or the password");
  });

  test("missing rights: once they are given it goes on by itself", async () => {
    await using here = await make();
    const user = await here.addUser(["SELECT", "INSERT", "UPDATE", "DELETE"]);
    const config = { ...here.config, "db-user": user.user, "db-password": user.password };
    await expectChecked(config, [
      "the user may not do this in the database",
      "create, alter, select",
    ]);
    await expectServes(config, "the user may not do this", async () => {
      await migrate(here.connect().database);
      if (name !== "PostgreSQL") return;
      await here.run(
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${user.user}`,
      );
      await here.run(`GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${user.user}`);
    });
  });

  test("a connection that is to be secured, where the server offers none", async () => {
    await using here = await make();
    const config = { ...here.config, "db-sslmode": "verify-full" };
    await expectChecked(config, ["no secured connection came about", "db-sslmode"]);
  });
});

function setVersion(here: TestDatabase, version: number, oldest: number) {
  return here.run("UPDATE codex_proxy_schema SET version = ?, oldest = ?", [version, oldest]);
}

describeEach(DATABASES, ({ make }) => {
  test("a schema that is too new: once this program may use it, it does", async () => {
    await using here = await make();
    await migrate(here.connect().database);
    await setVersion(here, 99, 99);
    await expectChecked(here.config, ["its schema is number 99", "Update this program."]);
    await expectServes(here.config, "Update this program.", () => setVersion(here, 99, 1));
  });

  test("rows with garbage: each is told by its name, and the others serve", async () => {
    await using here = await make();
    await migrate(here.connect().database);
    const put = (name: string, content: string | null) =>
      here.run("INSERT INTO codex_accounts (name, content) VALUES (?, ?)", [name, content]);
    await put("broken.json", '{"access_token": "eyJhbGci');
    await put("empty.json", null);
    await put("list.json", "[1]");
    await put("good.json", JSON.stringify(backend.account("bob").file()));
    const check = await run("check", here.config);
    expect(await within("it ends", check.exited)).toBe(2);
    for (const name of ["broken", "empty", "list"])
      expect(countOf(check.logs(), `error: ${name}.json: `)).toBe(1);
    expect(check.logs()).toContain("account: good.json: bo***@example.com, plan plus, readable");
    expect(check.logs()).toContain("accounts: 1, errors: 3");
    await using proxy = await startProxy({
      backend,
      accounts: [],
      config: here.config,
      binary: true,
    });
    expect((await call(proxy)).status).toBe(200);
    expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
    for (const name of ["broken", "empty", "list"])
      expect(countOf(proxy.logs(), `${name}.json`)).toBe(1);
    expect(proxy.logs() + check.logs()).not.toContain("eyJ");
  });
});

describe("a file of SQLite", () => {
  test("that cannot be, and one that is something else", async () => {
    const home = await mkdtemp(join(tmpdir(), "codex-proxy-nofile-"));
    ends.push(() => rm(home, { recursive: true, force: true }));
    const other = join(home, "other.db");
    const text = "This is a letter. ".repeat(500);
    await writeFile(other, text);
    for (const path of [join(home, "not", "there.db"), other]) {
      const config = { "db-enabled": true, "db-driver": "sqlite", "db-name": path };
      await expectChecked(config, ["its file cannot be opened, read or written", "db-name"]);
      await expectServes(config, "its file cannot be opened");
    }
    expect(await Bun.file(other).text()).toBe(text);
  });
});
