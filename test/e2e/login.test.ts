import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { openFileStore } from "../../src/store/files.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { dict, list, parseDict } from "../../src/wire/json.ts";
import { browse } from "../engine/scene.ts";
import { makeFolder } from "../store/folder.ts";
import { openInstance } from "../store/sql/instance.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { call } from "../support/call.ts";
import { describeStores, LOCAL_STORES, STORES, type StoreKind } from "../support/each-database.ts";
import { databasePlace, filePlace } from "../support/places.ts";
import {
  buildIfMissing,
  KEY,
  PROGRAM,
  type Program,
  runProgram,
  startProxy,
  type TestProxy,
  yamlOf,
} from "../support/proxy.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A folder with a configuration for the scripted issuer, where the program is run, and a store that is empty. */
async function newUser(store: Pick<StoreKind, "database"> = {}) {
  await buildIfMissing();
  const backend = await startBackend();
  ends.push(backend.stop);
  for (const name of ["ann", "bob"]) backend.account(name);
  const home = makeFolder();
  const database = await store.database?.make();
  if (database !== undefined) ends.push(() => database[Symbol.asyncDispose]());
  const config = {
    "base-url": backend.url,
    "oauth-issuer": backend.issuer,
    listen: "127.0.0.1:0",
    ...database?.config,
  };
  writeFileSync(join(home, "config.yaml"), yamlOf(config));
  const run = (words: string, hasInput = false): Program => {
    const program = runProgram(words.split(" "), { cwd: home, env: { HOME: home }, hasInput });
    ends.push(() => program.kill("SIGKILL"));
    return program;
  };
  const auths = join(home, "auths");
  const place = database === undefined ? filePlace(auths) : databasePlace(database);
  return { backend, home, auths, place, run, ...(database === undefined ? {} : { database }) };
}

async function printed(program: Pick<Program, "logs">, pattern: RegExp): Promise<string> {
  let found: string | undefined;
  await until(`it prints ${pattern}`, () => {
    found = pattern.exec(program.logs())?.[1];
    return found !== undefined;
  });
  return found ?? "";
}

const ADDRESS = /(http:\S+\/oauth\/authorize\?\S+)/;
const USER_CODE = /2\. enter\s+(\S+)/;

function secretsOf(backend: FakeBackend, name: string): readonly string[] {
  const { accessToken, refreshToken, idToken } = backend.account(name).tokens();
  return [accessToken, refreshToken, idToken];
}

function expectNoSecret(text: string, backend: FakeBackend, ...names: readonly string[]): void {
  for (const name of names) {
    for (const secret of secretsOf(backend, name)) expect(text).not.toContain(secret);
  }
}

async function ask(proxy: Pick<TestProxy, "url">, method: string, path: string, body?: unknown) {
  const response = await fetch(proxy.url + path, {
    method,
    headers: { authorization: `Bearer ${KEY}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: dict(parseDict(await response.text())) };
}

describeStores(STORES, (store) => {
  test("is ended by the browser; a proxy that runs on the folder serves with the account at once", async () => {
    const { backend, auths, place, run, database } = await newUser(store);
    await using proxy = await startProxy({
      backend,
      accounts: [],
      binary: true,
      authDir: auths,
      ...(database === undefined ? {} : { database }),
    });
    const login = run("login");
    const page = await fetch(await browse(await printed(login, ADDRESS), "ann"));
    expect(page.status).toBe(200);
    expect(await within("it ends", login.exited)).toBe(0);
    expect(login.logs()).toContain(
      "added: an***@example.com, plan plus, file ann@example.com.json",
    );
    expectNoSecret(login.logs() + (await page.text()), backend, "ann");
    expect(await place.names()).toEqual(["ann@example.com.json"]);
    if (database === undefined) {
      expect(statSync(join(auths, "ann@example.com.json")).mode & 0o777).toBe(0o600);
    }
    await until("the proxy has it", async () => (await proxy.stats()).accounts.length === 1);
    expect((await call(proxy)).status).toBe(200);
  });

  test("a new user's way: import of the CLI's login, warned; export; import elsewhere", async () => {
    const { backend, home, place, run, database } = await newUser(store);
    mkdirSync(join(home, ".codex"));
    const auth = join(home, ".codex", "auth.json");
    writeFileSync(auth, JSON.stringify(backend.account("ann").authJson()));
    const first = run(`import ${auth}`);
    expect(await first.exited).toBe(0);
    expect(first.logs()).toContain(
      "added: auth.json: an***@example.com, plan plus, file ann@example.com.json",
    );
    expect(first.logs()).toContain("warning: auth.json is the Codex CLI's own login");
    expect(first.logs()).toContain("1 added, 0 updated, 0 unchanged, 0 failed");
    const again = run(`import ${auth} nowhere.json`);
    expect(await again.exited).toBe(1);
    expect(again.logs()).toContain("unchanged: auth.json");
    const out = run("-tojson out");
    expect(await out.exited).toBe(0);
    expect(readFileSync(join(home, "out", "ann@example.com.json"), "utf8")).toBe(
      (await place.look("ann@example.com.json")) ?? "",
    );
    // From a database into files, too.
    const elsewhere = run(
      `import out -auth-dir other${database === undefined ? "" : " -db-enabled=false"}`,
    );
    expect(await elsewhere.exited).toBe(0);
    expect(readdirSync(join(home, "other"))).toEqual(["ann@example.com.json"]);
    expectNoSecret(first.logs() + again.logs() + out.logs(), backend, "ann");
  });

  test("imports, switches off and on, and deletes; requests follow at once", async () => {
    const { backend } = await newUser();
    await using proxy = await startProxy({ backend, accounts: [], binary: true, store });
    const account = backend.account("ann");
    const put = await ask(proxy, "POST", "/admin/accounts", account.authJson());
    expect(put).toMatchObject({ status: 200, body: { added: 1 } });
    const id = String(dict(list(put.body["items"])[0])["id"]);
    expect((await proxy.stats()).accounts[0]?.whole["id"]).toBe(id);
    expect((await call(proxy)).status).toBe(200);
    expect((await ask(proxy, "POST", `/admin/accounts/${id}/disable`)).status).toBe(200);
    expect((await call(proxy)).status).toBe(503);
    expect((await ask(proxy, "POST", `/admin/accounts/${id}/enable`)).status).toBe(200);
    expect((await call(proxy)).status).toBe(200);
    const unsure = await ask(proxy, "DELETE", `/admin/accounts/${id}`);
    expect(unsure).toMatchObject({
      status: 400,
      body: { error: { code: "confirmation_required" } },
    });
    expect((await ask(proxy, "DELETE", `/admin/accounts/${id}?confirm=${id}`)).status).toBe(200);
    expect(await proxy.place.names()).toEqual([]);
    expect((await call(proxy)).status).toBe(503);
    await until("it is logged", () => proxy.logs().includes("account deleted by its owner"));
    expectNoSecret(proxy.logs(), backend, "ann");
    expect(proxy.logs()).not.toContain("ann@example.com");
  });

  test("a login that is being stored when the program stops is stored", async () => {
    const { backend, database } = await newUser(store);
    const ann = backend.account("ann");
    await using proxy = await startProxy({
      backend,
      accounts: [ann],
      binary: true,
      ...(database === undefined ? {} : { database }),
    });
    const { place } = proxy;
    const name = place.nameOf(ann);
    const old = await place.look(name);
    ann.expireAccessToken();
    const login = dict((await ask(proxy, "POST", "/admin/login", { method: "browser" })).body);
    const beside =
      database === undefined
        ? await openFileStore({ dir: proxy.authDir, clock: systemClock, scanIntervalMs: () => 0 })
        : openInstance(database).store;
    const wish = { holdMs: 60_000, waitMs: 1000 };
    const held = await beside.locked(place.sourceOf(name), wish, async () => {
      const back = await browse(String(login["url"]), "ann");
      const id = String(login["login_id"]);
      const finish = ask(proxy, "POST", `/admin/login/${id}`, { redirect_url: back }).catch(
        () => "cut off",
      );
      await until("the tokens are given", () =>
        backend.requests.some(
          ({ body, status }) =>
            dict(body)["grant_type"] === "authorization_code" && status !== undefined,
        ),
      );
      proxy.kill("SIGTERM");
      // Past shutdown-timeout, which is a second here.
      expect(await finish).toBe("cut off");
      expect(await place.look(name)).toBe(old);
    });
    expect(held.ok).toBe(true);
    expect(await within("it stops", proxy.exited)).toBe(0);
    expect(await place.look(name)).toContain(ann.tokens().refreshToken);
    expect(await place.look(name)).not.toBe(old);
  });
});

describeStores(LOCAL_STORES, (store) => {
  test("is ended by pasting, past an address with a wrong state; again, it is an update", async () => {
    const { backend, place, run } = await newUser(store);
    for (const outcome of ["added", "updated"]) {
      const login = run("login", true);
      const back = await browse(await printed(login, ADDRESS), "ann");
      login.type(`${back.replace("state=", "state=x")}\n`);
      await printed(login, /(another login)/);
      login.type(`${back}\n`);
      expect(await within("it ends", login.exited)).toBe(0);
      expect(login.logs()).toContain(`${outcome}: an***@example.com`);
    }
    expect(await place.names()).toEqual(["ann@example.com.json"]);
    const stored = await place.look("ann@example.com.json");
    expect(stored).toContain(backend.account("ann").tokens().refreshToken);
  });

  test("--device ends when the code has been entered elsewhere", async () => {
    const { backend, place, run } = await newUser(store);
    const login = run("login --device");
    const userCode = await printed(login, USER_CODE);
    await fetch(`${backend.issuer}/codex/device?user_code=${userCode}&as=bob`);
    expect(await within("it ends", login.exited)).toBe(0);
    expect(await place.names()).toEqual(["bob@example.com.json"]);
    expectNoSecret(login.logs(), backend, "bob");
  });

  test("standard input is read for -, one account per line", async () => {
    const { backend, place, run } = await newUser(store);
    const lines = ["ann", "bob"].map((name) => JSON.stringify(backend.account(name).file()));
    const taken = run("import -", true);
    taken.type(`${lines.join("\n")}\n`);
    taken.end();
    expect(await within("it ends", taken.exited)).toBe(0);
    expect(await place.names()).toEqual(["ann@example.com.json", "bob@example.com.json"]);
  });

  test("logs in by browser on the proxy's own machine, and by device", async () => {
    const { backend } = await newUser();
    await using proxy = await startProxy({ backend, accounts: [], binary: true, store });
    const browser = await ask(proxy, "POST", "/admin/login", { method: "browser" });
    const page = await fetch(await browse(String(browser.body["url"]), "ann"));
    expect(page.status).toBe(200);
    const device = await ask(proxy, "POST", "/admin/login", { method: "device" });
    const { url, user_code: userCode, login_id: id } = device.body;
    await fetch(`${String(url)}?user_code=${String(userCode)}&as=bob`);
    await until("it is done", async () => {
      const { body } = await ask(proxy, "GET", `/admin/login/${String(id)}`);
      return body["state"] === "done";
    });
    expect((await proxy.stats()).accounts).toHaveLength(2);
    expectNoSecret(proxy.logs(), backend, "ann", "bob");
  });
});

// What a login says and how it ends is the same whatever keeps what comes of it.
describe("codex-proxy login", () => {
  test("with both ports taken it says so, and pasting still works; without input it ends with 1", async () => {
    const { run } = await newUser();
    for (const port of [1455, 1457]) await occupy(port);
    const login = run("login", true);
    const url = await printed(login, ADDRESS);
    await printed(login, /(Ports 1455 and 1457 are in use)/);
    login.type(`${await browse(url, "ann")}\n`);
    expect(await within("it ends", login.exited)).toBe(0);
    const deaf = run("login");
    expect(await within("it ends", deaf.exited)).toBe(1);
    expect(deaf.logs()).toContain("codex-proxy login --device");
  });

  test.each(["login", "login --device"])("%s ends with 1 when its user ends it", async (words) => {
    const { auths, run } = await newUser();
    const login = run(words);
    await printed(login, words === "login" ? /(Waiting for)/ : /(waiting, 15)/);
    login.kill("SIGINT");
    expect(await within("it ends", login.exited)).toBe(1);
    expect(login.logs()).toEndWith("codex-proxy: The login was cancelled.\n");
    expect(readdirSync(auths)).toEqual([]);
  });

  test.skipIf(Bun.which("script") === null)(
    "in a terminal the time runs in one line, and Ctrl-C ends it",
    async () => {
      const { home } = await newUser();
      const words = ["script", "-qefc", `exec '${PROGRAM}' login --device`, "/dev/null"];
      const child = Bun.spawn(words, {
        cwd: home,
        stdin: "pipe",
        stdout: "pipe",
        stderr: "ignore",
      });
      ends.push(() => child.kill("SIGKILL"));
      let text = "";
      const reading = (async () => {
        const decoder = new TextDecoder();
        for await (const part of child.stdout) text += decoder.decode(part, { stream: true });
      })();
      await until("the line is renewed", () => text.split("\rWaiting, 14:5").length > 2);
      void child.stdin.write("\u0003");
      await child.stdin.flush();
      expect(await within("it ends", child.exited)).toBe(1);
      await reading;
      expect(text).toContain("The login was cancelled.");
    },
  );

  test("an issuer that answers with a page, or not at all, is one clear sentence", async () => {
    const { run } = await newUser();
    const page = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("<!doctype html>", { headers: { "content-type": "text/html" } }),
    });
    ends.push(() => page.stop(true));
    const answers: [issuer: string, words: string][] = [
      [`http://127.0.0.1:${page.port}`, "web page instead of JSON"],
      ["http://127.0.0.1:9", "The issuer could not be reached"],
    ];
    for (const [issuer, words] of answers) {
      const login = run(`login --device -oauth-issuer ${issuer}`);
      expect(await within("it ends", login.exited)).toBe(1);
      expect(login.logs()).toContain(words);
      expect(login.logs().trimEnd().split("\n")).toHaveLength(1);
    }
  });
});

describe("import and export", () => {
  test.each(["import", "export", "export a b", "login now", "check --device", "serve -tojson x"])(
    "%s is misuse and ends with 2",
    async (words) => {
      const { home, run } = await newUser();
      const program = run(words);
      expect(await within("it ends", program.exited)).toBe(2);
      expect(program.logs()).toMatch(
        /^codex-proxy: [^\n]+ 'codex-proxy help' lists what there is\n$/,
      );
      expect(existsSync(join(home, "auths"))).toBe(false);
    },
  );
});

describe("the admin API of a running proxy", () => {
  test("answers strangers nothing, and a login that waits does not keep the program from stopping", async () => {
    const { backend } = await newUser();
    await using proxy = await startProxy({
      backend,
      accounts: [],
      binary: true,
      config: { "admin-key": "an-admin-key-of-mine" },
    });
    expect((await ask(proxy, "POST", "/admin/login", { method: "browser" })).status).toBe(401);
    const started = await fetch(`${proxy.url}/admin/login`, {
      method: "POST",
      headers: { "x-api-key": "an-admin-key-of-mine" },
      body: '{"method":"browser"}',
    });
    expect(started.status).toBe(200);
    proxy.kill("SIGTERM");
    expect(await within("it stops", proxy.exited)).toBe(0);
  });
});

/** Makes sure that nobody can listen on a loopback port; somebody else may have it already. */
async function occupy(port: number): Promise<void> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => {
    server.once("error", () => resolve());
    server.listen(port, "127.0.0.1", () => resolve());
  });
  ends.push(() => server.close());
}
