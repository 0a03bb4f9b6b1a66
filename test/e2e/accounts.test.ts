import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { chmod, mkdtemp, readFile, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Dict, dict, parseDict, text } from "../../src/wire/json.ts";
import {
  countOf,
  expectServed,
  filesOf,
  refreshesOf,
  renewBeside,
  turnsTaken,
} from "../support/accounts.ts";
import type { AccountSeed, FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call, lastType } from "../support/call.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(30_000);

/** An access token of four minutes is due from its birth; one of an hour is not. */
const DUE = { lifetimeSeconds: 240 };

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

describe("account files, while the program runs", () => {
  test("a new file serves within 1 s, a deleted one no longer", async () => {
    const [first, second] = [fresh(), fresh()];
    await using proxy = await start([]);
    expect((await call(proxy)).status).toBe(503);
    const path = await proxy.put(`${first.name}.json`, first.file());
    const addedMs = performance.now();
    await untilAccounts(proxy, 1);
    expect(performance.now() - addedMs).toBeLessThan(1000);
    await expectServed(proxy);
    await proxy.put(`${second.name}.json`, second.file());
    await untilAccounts(proxy, 2);
    await unlink(path);
    const goneMs = performance.now();
    await untilAccounts(proxy, 1);
    expect(performance.now() - goneMs).toBeLessThan(1000);
    for (let turn = 0; turn < 4; turn++)
      await expectServed(proxy, { prompt_cache_key: `k${turn}` });
    expect(turnsTaken(backend, first)).toBe(1);
    expect(turnsTaken(backend, second)).toBe(4);
    await until("it is logged", () => proxy.logs().includes("account taken out"));
    expect(countOf(proxy.logs(), "account added")).toBe(2);
    expect(countOf(proxy.logs(), "account taken out")).toBe(1);
  });

  test("a stream that runs on an account whose file is deleted goes on to its end", async () => {
    const slow = await startBackend({ paceMs: 40 });
    try {
      const only = slow.account("going");
      await using under = await startProxy({ backend: slow, accounts: [only], binary: true });
      const answering = call(under, { headers: CODEX });
      await within(
        "the stream runs",
        slow.until(() => slow.openStreams() === 1),
      );
      await unlink(join(under.authDir, "going.json"));
      await untilAccounts(under, 0);
      expect(slow.openStreams()).toBe(1);
      expect(lastType((await answering).events)).toBe("response.completed");
    } finally {
      await slow.stop();
    }
  });

  test("B5-10: a changed file: its new tokens are used, and what else is in it stays", async () => {
    const account = fresh();
    const other = fresh();
    await using proxy = await start([account]);
    await expectServed(proxy);
    // Another login under the same name.
    await proxy.put(`${account.name}.json`, { ...other.file(), note: "mine" });
    await until("the other login is there", async () => {
      const [row] = (await proxy.stats()).accounts;
      return row?.whole["label"] !== undefined && proxy.logs().includes("account taken out");
    });
    await expectServed(proxy, { prompt_cache_key: "anew" });
    expect([turnsTaken(backend, account), turnsTaken(backend, other)]).toEqual([1, 1]);
  });

  test("an account that its owner switches off in the file, and on again", async () => {
    const account = fresh();
    await using proxy = await start([account]);
    await proxy.put(`${account.name}.json`, { ...account.file(), disabled: true });
    await until("it is off", async () => (await proxy.stats()).of(account).state === "disabled");
    expect((await call(proxy)).status).toBe(503);
    expect((await fetch(`${proxy.url}/health`)).status).toBe(503);
    await proxy.put(`${account.name}.json`, { ...account.file(), disabled: false });
    await until("it is on", async () => (await proxy.stats()).of(account).state === "ready");
    await expectServed(proxy);
    expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
  });

  test("the Codex CLI's own auth.json is an account too", async () => {
    const account = fresh();
    await using proxy = await start([]);
    await proxy.put("auth.json", account.authJson());
    await untilAccounts(proxy, 1);
    await expectServed(proxy);
    expect(turnsTaken(backend, account)).toBe(1);
  });

  test("one login in two files is one account, said once", async () => {
    const account = fresh();
    await using proxy = await start([account]);
    await proxy.put("copy.json", account.file());
    await until("it is told", () => proxy.logs().includes("an account file is not used"));
    expect((await proxy.stats()).accounts).toHaveLength(1);
    await expectServed(proxy);
  });

  const broken: readonly [name: string, content: string | Dict][] = [
    ["half a file", '{"access_token": "eyJhbGciOi'],
    ["an empty file", ""],
    ["a list", "[]"],
    ["no token", { email: "nobody@example.com", type: "codex" }],
    ["tokens of a wrong type", { access_token: 7, refresh_token: { a: 1 }, email: [] }],
    ["bytes that are no text", "\u0000\u0001\u0002"],
  ];
  for (const [name, content] of broken) {
    test(`${name}: one clear log line, the file untouched, the others serve`, async () => {
      const good = fresh();
      await using proxy = await start([good]);
      const path = await proxy.put("broken.json", content);
      const before = await readFile(path);
      await until("it is told", () => proxy.logs().includes("an account file was left alone"));
      await expectServed(proxy);
      // A further look at the folder does not tell it again.
      await proxy.put("another.json", fresh().file());
      await untilAccounts(proxy, 2);
      const lines = proxy
        .logs()
        .split("\n")
        .filter((line) => line.includes("broken.json"));
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain("WARN");
      expect(lines[0]).not.toContain("eyJ");
      expect((await readFile(path)).equals(before)).toBe(true);
    });
  }

  test("a good file that breaks: its account goes on", async () => {
    const account = fresh();
    await using proxy = await start([account]);
    await proxy.put(`${account.name}.json`, '{"access_token":');
    await until("it is told", () => proxy.logs().includes("an account file was left alone"));
    await expectServed(proxy);
    expect(turnsTaken(backend, account)).toBe(1);
  });
});

describe("the folder of account files", () => {
  test("one that is missing is made, for its owner alone", async () => {
    const home = await mkdtemp(join(tmpdir(), "codex-proxy-missing-"));
    const authDir = join(home, "deep", "auths");
    try {
      await using proxy = await startProxy({
        backend,
        accounts: [],
        config: { "auth-dir": authDir },
        binary: true,
      });
      expect((await stat(authDir)).mode & 0o777).toBe(0o700);
      expect((await call(proxy)).status).toBe(503);
      const account = fresh();
      const path = join(authDir, "late.json");
      await writeFile(path, JSON.stringify(account.file()), { mode: 0o600 });
      await untilAccounts(proxy, 1);
      await expectServed(proxy);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });

  test("one that is a file: the program says so and runs", async () => {
    const home = await mkdtemp(join(tmpdir(), "codex-proxy-file-"));
    const authDir = join(home, "auths");
    try {
      await writeFile(authDir, "I am a file");
      const config = { "auth-dir": authDir };
      await using proxy = await startProxy({ backend, accounts: [], config, binary: true });
      expect((await call(proxy)).status).toBe(503);
      expect(proxy.logs()).toContain("cannot be read");
      expect(await readFile(authDir, "utf8")).toBe("I am a file");
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });

  // Nobody forbids root anything, so that there the program runs as nobody.
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const isRoot = process.getuid?.() === 0;
  const canTry = process.platform !== "win32" && (!isRoot || Bun.which("setpriv") !== null);

  test.skipIf(!canTry)(
    "one that cannot be written to: the tokens there serve as long as they live",
    async () => {
      const authDir = await mkdtemp(join(tmpdir(), "codex-proxy-readonly-"));
      const account = fresh(DUE);
      const path = join(authDir, `${account.name}.json`);
      await writeFile(path, JSON.stringify(account.file()));
      await chmod(path, 0o444);
      await chmod(authDir, 0o555);
      try {
        const launcher = isRoot ? nobody : [];
        const setup = { backend, accounts: [], authDir, binary: true, launcher };
        await using proxy = await startProxy(setup);
        await expectServed(proxy);
        await expectServed(proxy);
        // A refresh token that could not be stored afterwards is not spent.
        expect(refreshesOf(backend, account)).toBe(0);
        await until("it is told", () => proxy.logs().includes("could not be stored"));
        expect(dict(parseDict(await readFile(path, "utf8")))).toEqual(account.file());
        expect(countOf(proxy.logs(), "could not be stored")).toBeLessThan(3);
      } finally {
        await chmod(authDir, 0o755);
        await rm(authDir, { recursive: true, force: true });
      }
    },
  );

  test("one that is taken away: accounts go on, and come back with it", async () => {
    const account = fresh();
    await using proxy = await start([account], { "auth-scan-interval": 1 });
    await until("it is at rest", () => proxy.logs().includes("read the backend's model list"));
    const away = `${proxy.authDir}-away`;
    await rename(proxy.authDir, away);
    await until("it is told", () =>
      /folder of the account files cannot be read/.test(proxy.logs()),
    );
    await expectServed(proxy);
    await rename(away, proxy.authDir);
    const late = fresh();
    await proxy.put(`${late.name}.json`, late.file());
    await untilAccounts(proxy, 2);
  });

  test("one that is taken away while a token is renewed: nothing is lost", async () => {
    const account = fresh(DUE);
    const answer = Promise.withResolvers<void>();
    account.refreshGate = answer.promise;
    await using proxy = await start([account], { "auth-scan-interval": 1, "refresh-interval": 1 });
    await within(
      "a token is being renewed",
      backend.until(() => refreshesOf(backend, account) > 0),
    );
    const away = `${proxy.authDir}-away`;
    await rename(proxy.authDir, away);
    answer.resolve();
    account.refreshGate = undefined;
    await until("it is told", () => proxy.logs().includes("could not be stored"));
    await until("all is read", () => proxy.logs().includes("read the backend's model list"));
    // The proxy must not make the folder anew: an empty one would mean that there are no accounts.
    await until("the folder was looked at", () => proxy.logs().includes("cannot be read"));
    await expectServed(proxy);
    expect((await proxy.stats()).of(account).whole["unsaved_tokens"]).toBe(true);
    expect(await healthOf(proxy)).toMatchObject({ status: "degraded", unsaved_tokens: 1 });
    expect(await stat(proxy.authDir).catch(() => "gone")).toBe("gone");
    await rename(away, proxy.authDir);
    account.refreshDelayMs = 0;
    await until("the tokens are stored", async () => {
      const file = await readFile(join(proxy.authDir, `${account.name}.json`), "utf8");
      return dict(parseDict(file))["refresh_token"] === account.tokens().refreshToken;
    });
    await until("that is over", async () => {
      return (await proxy.stats()).of(account).whole["unsaved_tokens"] === false;
    });
    expect(await healthOf(proxy)).not.toHaveProperty("unsaved_tokens");
    await expectServed(proxy);
  });
});

async function healthOf(proxy: TestProxy): Promise<Dict> {
  return dict(parseDict(await (await fetch(`${proxy.url}/health`)).text()));
}

describe("tokens", () => {
  test("one that is due is renewed once for 20 requests, and stored before it is used", async () => {
    const account = fresh(DUE);
    account.refreshDelayMs = 100;
    const old = account.file();
    // The sweep at the start is what renews first; the requests come while it runs.
    await using proxy = await start([account]);
    const path = join(proxy.authDir, `${account.name}.json`);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => call(proxy, { body: turnBody(`Question ${at}`) })),
    );
    for (const answer of answers) expect(answer.status).toBe(200);
    // A new token of four minutes is due again; what matters is that no two were renewed at a time.
    expect(refreshesOf(backend, account)).toBeLessThanOrEqual(3);
    const stored = dict(parseDict(await readFile(path, "utf8")));
    expect(stored["refresh_token"]).toBe(account.tokens().refreshToken);
    expect(stored["refresh_token"]).not.toBe(old["refresh_token"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await proxy.stats()).of(account).state).toBe("ready");
  });

  test("a long-lived token that expired is renewed once for 20 requests", async () => {
    const account = fresh();
    account.expireAccessToken();
    account.refreshDelayMs = 50;
    await using proxy = await start([account]);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => call(proxy, { body: turnBody(`Question ${at}`) })),
    );
    // Each of them was refused once and sent again.
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(refreshesOf(backend, account)).toBe(1);
    // The last of the 401s came after the renewal: they must not rest an account that is well again.
    expect((await proxy.stats()).of(account).state).toBe("ready");
    await expectServed(proxy);
  });

  test("who comes while a refused token is renewed waits for it, and is served", async () => {
    const account = fresh();
    account.expireAccessToken();
    account.refreshDelayMs = 200;
    await using proxy = await start([account]);
    const first = call(proxy, { body: turnBody("First") });
    await within(
      "the renewal runs",
      backend.until(() => refreshesOf(backend, account) === 1),
    );
    const second = call(proxy, { body: turnBody("Second") });
    expect([(await first).status, (await second).status]).toEqual([200, 200]);
    expect(refreshesOf(backend, account)).toBe(1);
  });

  test("an account with a refresh token alone names its workspace from the first renewal on", async () => {
    const account = fresh();
    const { refreshToken } = account.tokens();
    await using proxy = await start([]);
    await proxy.put("bare.json", { type: "codex", refresh_token: refreshToken });
    await untilAccounts(proxy, 1);
    await expectServed(proxy);
    await expectServed(proxy);
    const sent = backend.turns().filter((turn) => turn.account === account.name);
    expect(sent.at(-1)?.headers["chatgpt-account-id"]).toBe(account.workspaceId);
  });

  test("the file holds the new tokens before the backend sees them", async () => {
    const account = fresh({ lifetimeSeconds: 3600 });
    await using proxy = await start([account]);
    // Reading the model list would mend the token by itself.
    await within(
      "the models are read",
      backend.until(() =>
        backend.requests.some(
          (each) => each.account === account.name && each.path.endsWith("/models"),
        ),
      ),
    );
    account.expireAccessToken();
    const path = join(proxy.authDir, `${account.name}.json`);
    const before = backend.turns().length;
    const answering = call(proxy);
    await within(
      "it is sent again",
      backend.until(() => backend.turns().length === before + 2),
    );
    const stored = dict(parseDict(await readFile(path, "utf8")));
    const bearer = backend.turns().at(-1)?.headers["authorization"];
    expect(bearer).toBe(`Bearer ${text(stored["access_token"])}`);
    expect((await answering).status).toBe(200);
  });

  test("fields of other tools survive a renewal, in their order", async () => {
    const account = fresh();
    account.expireAccessToken();
    await using proxy = await start([]);
    const path = await proxy.put("mine.json", {
      note: "keep",
      ...account.file(),
      weight: 3,
      deep: { a: [1] },
    });
    await untilAccounts(proxy, 1);
    await expectServed(proxy);
    const stored = dict(parseDict(await readFile(path, "utf8")));
    expect(stored).toMatchObject({ note: "keep", weight: 3, deep: { a: [1] }, type: "codex" });
    expect(Object.keys(stored)[0]).toBe("note");
    expect(stored["access_token"]).toBe(account.tokens().accessToken);
  });

  test("B7-7: a token that the backend takes for expired: renewed, sent again, and the client sees 200", async () => {
    const account = fresh();
    account.expireAccessToken();
    await using proxy = await start([account]);
    const answer = await call(proxy, { headers: CODEX });
    expect([answer.status, lastType(answer.events)]).toEqual([200, "response.completed"]);
    expect(turnsTaken(backend, account)).toBe(1);
    expect(refreshesOf(backend, account)).toBe(1);
    expect((await proxy.stats()).of(account).state).toBe("ready");
  });

  for (const refusal of [
    "refresh_token_reused",
    "refresh_token_expired",
    "refresh_token_invalidated",
    "app_session_terminated",
    "invalid_grant",
  ] as const) {
    test(`${refusal}: the account needs a login, its file stays, another serves`, async () => {
      const [dead, good] = [fresh(), fresh()];
      dead.expireAccessToken();
      dead.revokeRefreshToken(refusal);
      await using proxy = await start([dead, good]);
      await expectServed(proxy);
      await expectServed(proxy, { prompt_cache_key: "next" });
      const { of } = await proxy.stats();
      expect(of(dead).state).toBe("needs-login");
      expect(of(dead).reason).not.toBe("");
      expect(of(good).state).toBe("ready");
      expect(refreshesOf(backend, dead)).toBe(1);
      expect(turnsTaken(backend, good)).toBe(2);
      await expectFiles(proxy, [dead, good]);
    });
  }

  test("B7-4: a consumed refresh token does not end an access token that lives", async () => {
    const account = fresh(DUE);
    account.revokeRefreshToken("refresh_token_reused");
    await using proxy = await start([account]);
    await expectServed(proxy);
    await expectServed(proxy);
    expect(refreshesOf(backend, account)).toBe(1);
    await expectFiles(proxy, [account]);
  });

  for (const fault of ["500", "429", "html", "no-tokens"] as const) {
    test(`an issuer that answers ${fault}: temporary, and the living token serves`, async () => {
      const account = fresh(DUE);
      account.issuerFault(fault);
      await using proxy = await start([account]);
      for (let turn = 0; turn < 5; turn++)
        await expectServed(proxy, { prompt_cache_key: `k${turn}` });
      expect((await proxy.stats()).of(account).state).toBe("ready");
      // Not asked again for each request.
      expect(refreshesOf(backend, account)).toBeLessThanOrEqual(2);
      await expectFiles(proxy, [account]);
    });
  }

  test("all logins dead: 503 that says so, and nothing is deleted", async () => {
    const both = [fresh(), fresh()];
    for (const account of both) {
      account.expireAccessToken();
      account.revokeRefreshToken();
    }
    await using proxy = await start(both);
    const answer = await call(proxy);
    expect(answer.status).toBe(503);
    expect(String(answer.error["message"])).toContain("2 in need of a new login");
    await expectFiles(proxy, both);
  });

  test("tokens that another program stored are adopted instead of spending the old", async () => {
    const account = fresh();
    await using proxy = await start([account], { "auth-scan-interval": 3600 });
    await expectServed(proxy);
    account.expireAccessToken();
    // What the Codex CLI does meanwhile: it renews, and writes the same file.
    await renewBeside(backend, account);
    await proxy.put(`${account.name}.json`, account.file());
    await expectServed(proxy, { prompt_cache_key: "later" });
    expect((await proxy.stats()).of(account).state).toBe("ready");
    expect(refreshesOf(backend, account)).toBe(1);
    expect(proxy.logs()).not.toContain("needs a new login");
  });
});

describe("conversations", () => {
  // A backend that tells no quota, so that all accounts are equals.
  let quiet: FakeBackend;
  let three: readonly FakeAccount[];
  let proxy: TestProxy;

  beforeAll(async () => {
    quiet = await startBackend({ rateLimits: "none" });
  });
  beforeEach(async () => {
    made += 1;
    three = ["a", "b", "c"].map((name) => quiet.account(`${made}-${name}`));
    proxy = await startProxy({ backend: quiet, accounts: three, binary: true });
    quiet.forget();
  });
  afterEach(() => proxy.stop());
  afterAll(() => quiet.stop());

  const turnsBy = (account: FakeAccount): number =>
    quiet.turns().filter((turn) => turn.account === account.name).length;
  const lastHome = (): string => quiet.turns().at(-1)?.account ?? "";

  test("B5-3: each stays on its account, and many spread", async () => {
    const homes = new Map<string, Set<string>>();
    for (let round = 0; round < 4; round++) {
      for (let session = 0; session < 6; session++) {
        const key = `session-${session}`;
        await expectServed(proxy, { session_id: key });
        homes.set(key, (homes.get(key) ?? new Set<string>()).add(lastHome()));
      }
    }
    for (const [key, home] of homes) expect([key, home.size]).toEqual([key, 1]);
    expect(three.map(turnsBy)).toEqual([8, 8, 8]);
    // How well that works for the prompt cache can be seen.
    for (const { whole } of (await proxy.stats()).accounts) {
      expect(whole["cached_ratio"]).toBeWithin(0, 1);
    }
  });

  test("every spelling of the key counts", async () => {
    const spellings: readonly { body?: Dict; headers?: Record<string, string> }[] = [
      { body: { session_id: "same" } },
      { body: { prompt_cache_key: "same" } },
      { headers: { "session-id": "same" } },
      { headers: { session_id: "same" } },
      { headers: { "thread-id": "same" } },
      { body: { conversation_id: "same" } },
    ];
    const homes = new Set<string>();
    for (const { body = {}, headers = {} } of spellings) {
      const whole = turnBody(crypto.randomUUID(), body);
      expect((await call(proxy, { body: whole, headers })).status).toBe(200);
      homes.add(lastHome());
    }
    expect(homes.size).toBe(1);
  });

  test("one without a key is known by its first messages", async () => {
    const input: Dict[] = [{ role: "user", content: "Where were we?" }];
    const homes = new Set<string>();
    for (let turn = 0; turn < 4; turn++) {
      const body = { model: "gpt-5.4", input: [...input] };
      expect((await call(proxy, { body })).status).toBe(200);
      homes.add(lastHome());
      input.push({ role: "assistant", content: [{ type: "output_text", text: `Answer ${turn}` }] });
      input.push({ role: "user", content: `And then? ${turn}` });
    }
    expect(homes.size).toBe(1);
    expect(quiet.turns().at(-1)?.headers["session-id"]).toBeDefined();
  });

  test("B5-4: a bound account that is exhausted: the conversation moves once, and stays there", async () => {
    const session = { session_id: "moving" };
    await expectServed(proxy, session);
    const home = three.find(({ name }) => name === lastHome());
    home?.always({ kind: "fault", name: "429-usage" });
    const seen: string[] = [];
    for (let turn = 0; turn < 5; turn++) {
      await expectServed(proxy, session);
      seen.push(lastHome());
    }
    expect(new Set(seen).size).toBe(1);
    expect(seen[0]).not.toBe(home?.name);
    // One refusal was enough to know.
    expect(home === undefined ? 0 : turnsBy(home)).toBe(2);
  });

  test("one stays with the account that served its first turn, not with one that could not", async () => {
    const [full] = three;
    full?.script({ kind: "fault", name: "503-overloaded" });
    await expectServed(proxy, { session_id: "begun elsewhere" });
    const home = lastHome();
    await expectServed(proxy, { session_id: "begun elsewhere" });
    // Its prompt cache and its encrypted reasoning are there.
    expect(home).not.toBe(full?.name ?? "");
    expect(lastHome()).toBe(home);
  });

  test("the first account used does not win all new conversations (product.md 7, 3)", async () => {
    // As the real backend: each turn reports the quota, here the same for everybody.
    const four = [fresh(), fresh(), fresh(), fresh()];
    await using telling = await start(four);
    for (let session = 0; session < 16; session++) {
      await expectServed(telling, { session_id: `new-${session}` });
    }
    for (const account of four) expect(turnsTaken(backend, account)).toBeGreaterThan(0);
  });
});

// A name that sorts in the order of making, so that the first is taken first.
function fresh(seed: Partial<AccountSeed> = {}): FakeAccount {
  made += 1;
  return backend.account(`acc-${String(made).padStart(4, "0")}`, seed);
}

function start(
  accounts: readonly FakeAccount[],
  config: { readonly [key: string]: unknown } = {},
): Promise<TestProxy> {
  return startProxy({ backend, accounts, config, binary: true });
}

function untilAccounts(proxy: TestProxy, count: number): Promise<void> {
  return until(`there are ${count} accounts`, async () => {
    return (await proxy.stats()).accounts.length === count;
  });
}

async function expectFiles(proxy: TestProxy, accounts: readonly FakeAccount[]): Promise<void> {
  expect(await filesOf(proxy)).toEqual(accounts.map(({ name }) => `${name}.json`));
}
