import { afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openFileStore } from "../../src/store/files.ts";
import { keyIdOf, type Sealer } from "../../src/store/seal.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { dict, parseDict } from "../../src/wire/json.ts";
import { makeFolder } from "../store/folder.ts";
import { renewalsOf } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call } from "../support/call.ts";
import {
  buildIfMissing,
  KEY,
  type Program,
  runProgram,
  startProxy,
  type TestProxy,
} from "../support/proxy.ts";
import { KEYS, plain, readOpened, withBoth, withNew, withOld } from "../support/sealing.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

let backend: FakeBackend;
let made = 0;
const ends: (() => Promise<unknown>)[] = [];

beforeAll(buildIfMissing);
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function fresh(count: number): Promise<readonly FakeAccount[]> {
  backend = await startBackend();
  ends.push(backend.stop);
  return Array.from({ length: count }, () => {
    made += 1;
    return backend.account(`sealed-${made}`);
  });
}

/** A folder of accounts whose files say that their tokens are about to end. */
function folderOf(accounts: readonly FakeAccount[], sealer: Sealer): string {
  const dir = makeFolder();
  for (const account of accounts) {
    const content = { ...account.file(), expired: new Date(Date.now() + 60_000).toISOString() };
    writeFileSync(pathOf(dir, account), sealer.seal(JSON.stringify(content)), { mode: 0o600 });
  }
  return dir;
}

function pathOf(dir: string, { name }: FakeAccount): string {
  return join(dir, `${name}.json`);
}

function start(authDir: string, config: object, isProcess = true): Promise<TestProxy> {
  return startProxy({ backend, accounts: [], authDir, binary: isProcess, config: { ...config } });
}

function program(authDir: string, keys: string, ...words: readonly string[]): Program {
  const running = runProgram([...words, "-auth-dir", authDir], {
    cwd: makeFolder(),
    env: keys === "" ? {} : { CODEX_PROXY_CREDENTIAL_KEY: keys },
  });
  ends.push(async () => {
    running.kill("SIGKILL");
    await running.exited;
  });
  return running;
}

async function refreshAll({ url }: TestProxy): Promise<unknown> {
  const headers = { authorization: `Bearer ${KEY}` };
  const response = await fetch(`${url}/refresh`, { method: "POST", headers });
  return parseDict(await response.text());
}

/** All that lies in the folder and below it, as it lies there. What goes while this looks is looked over. */
function bytesIn(dir: string): string {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true });
  return files
    .filter((entry) => entry.isFile())
    .map((entry) => {
      try {
        return readFileSync(join(entry.parentPath, entry.name), "latin1");
      } catch {
        return "";
      }
    })
    .join("\n");
}

function tokensOf(accounts: readonly FakeAccount[]): readonly string[] {
  return accounts.flatMap((account) => {
    const { accessToken, refreshToken, idToken } = account.tokens();
    return [accessToken, accessToken.split(".")[1] ?? accessToken, refreshToken, idToken];
  });
}

function storedToken(dir: string, account: FakeAccount): unknown {
  return dict(parseDict(readOpened(pathOf(dir, account))))["refresh_token"];
}

function expectNoKey(words: string): void {
  for (const key of Object.values(KEYS)) expect(words.includes(key.replace(/=+$/, ""))).toBe(false);
}

const BOTH = { "credential-key": [KEYS.new, KEYS.old] };

test("with a key no token is in any file of the folder, while two processes renew it, serve and end", async () => {
  const accounts = await fresh(6);
  const secrets = new Set(tokensOf(accounts));
  for (const account of accounts) {
    account.refreshDelayMs = 30;
    // A list of models would prove the new token, and the copy of the old one go, before any turn.
    account.modelsFault("500");
  }
  const authDir = folderOf(accounts, withOld);
  let looks = 0;
  const look = (): void => {
    looks += 1;
    for (const token of tokensOf(accounts)) secrets.add(token);
    const bytes = bytesIn(authDir);
    expect([...secrets].filter((secret) => bytes.includes(secret))).toEqual([]);
  };
  const starting = Promise.all([start(authDir, BOTH), start(authDir, BOTH)]);
  await until("all are renewed", () => {
    look();
    return accounts.every(
      (account) =>
        renewalsOf(backend, account).length > 0 &&
        withNew.open(readFileSync(pathOf(authDir, account), "utf8")).ok,
    );
  });
  const proxies = await starting;
  for (const proxy of proxies) ends.push(proxy.stop);
  expect(readdirSync(authDir).filter((name) => name.endsWith(".last"))).toHaveLength(6);
  look();
  for (const proxy of proxies) {
    for (let turn = 0; turn < 6; turn++) {
      expect((await call(proxy, { headers: CODEX })).status).toBe(200);
    }
    await refreshAll(proxy);
    look();
    await proxy.stop();
    expectNoKey(proxy.logs());
    expect(proxy.logs()).toContain(
      `logins are encrypted where they are kept key=${withNew.keyIds}`,
    );
  }
  look();
  expect(readdirSync(authDir)).toContain(".codex-proxy");
  expect(secrets.size).toBeGreaterThan(tokensOf(accounts).length);
  expect(looks).toBeGreaterThan(5);
  for (const account of accounts) {
    expect(renewalsOf(backend, account).every((status) => status === 200)).toBe(true);
    expect(storedToken(authDir, account)).toBe(account.tokens().refreshToken);
  }
});

test("files in the clear serve as ever, are sealed when they are next written, and one that comes in is at once", async () => {
  const [due, quiet, added] = await fresh(3);
  if (due === undefined || quiet === undefined || added === undefined) throw new Error("three");
  const authDir = folderOf([due], plain);
  await using proxy = await start(authDir, { "credential-key": [KEYS.new] }, false);
  await proxy.put(`${quiet.name}.json`, quiet.file());
  await until("both are there", async () => (await proxy.stats()).accounts.length === 2);
  await until("one is renewed", () => storedToken(authDir, due) === due.tokens().refreshToken);
  const admin = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const put = await fetch(`${proxy.url}/admin/accounts`, {
    method: "POST",
    headers: admin,
    body: JSON.stringify(added.authJson()),
  });
  expect(put.status).toBeLessThan(300);
  await until("all are there", async () => (await proxy.stats()).accounts.length === 3);
  for (let turn = 0; turn < 6; turn++) {
    expect((await call(proxy, { headers: CODEX })).status).toBe(200);
  }
  const bytes = bytesIn(authDir);
  const found = [due, quiet, added].filter((account) =>
    bytes.includes(account.tokens().refreshToken),
  );
  // Its owner put it there in the clear, and nobody has had a reason to write it.
  expect(found).toEqual([quiet]);
});

test("reseal brings a folder from an old key to a new one beside a proxy that renews, though it is killed on its way", async () => {
  const accounts = await fresh(24);
  // So that it meets renewals that are under way.
  for (const account of accounts) account.refreshDelayMs = 20;
  const authDir = folderOf(accounts, withOld);
  const proxy = await start(authDir, BOTH);
  ends.push(proxy.stop);
  let isDone = false;
  const renewing = (async () => {
    while (!isDone) await refreshAll(proxy);
  })();
  const keys = `${KEYS.new},${KEYS.old}`;
  const dying = program(authDir, keys, "reseal");
  await until("it has begun", () => /sealed: |unchanged: /.test(dying.logs()));
  dying.kill("SIGKILL");
  await dying.exited;
  expect(dying.logs()).not.toContain("sealed with key");
  const whole = program(authDir, keys, "reseal");
  expect([await within("it ends", whole.exited, 50_000), whole.logs()]).toEqual([0, whole.logs()]);
  expect(whole.logs()).toMatch(
    new RegExp(`\\d+ sealed with key ${withNew.keyIds}, \\d+ unchanged, 0 failed`),
  );
  isDone = true;
  await renewing;
  expect((await proxy.stats()).summary["ready"]).toBe(accounts.length);
  expect((await call(proxy, { headers: CODEX })).status).toBe(200);
  await proxy.stop();
  expect(proxy.logs()).not.toContain("needs a new login");
  for (const account of accounts) {
    const statuses = renewalsOf(backend, account);
    expect([account.name, statuses]).toEqual([account.name, statuses.map(() => 200)]);
    expect(storedToken(authDir, account)).toBe(account.tokens().refreshToken);
  }
  // The old key is not needed any more.
  const next = await start(authDir, { "credential-key": [KEYS.new] });
  ends.push(next.stop);
  expect((await next.stats()).summary["ready"]).toBe(accounts.length);
  expect(bytesIn(authDir)).not.toContain(String(withOld.keyIds));
  await next.stop();
  // And back in the clear.
  const out = program(authDir, KEYS.new, "reseal", "--plain");
  expect(await out.exited).toBe(0);
  const open = await start(authDir, {});
  ends.push(open.stop);
  expect((await open.stats()).summary["ready"]).toBe(accounts.length);
});

test("reseal waits for a login that another process has, and goes on once it is given back", async () => {
  const accounts = await fresh(1);
  const authDir = folderOf(accounts, withOld);
  const keys = `${KEYS.new},${KEYS.old}`;
  const holder = await openFileStore({
    dir: authDir,
    sealer: withBoth,
    clock: systemClock,
    scanIntervalMs: () => 0,
  });
  const source = accounts.map((account) => pathOf(authDir, account)).join();
  const wish = { holdMs: 60_000, waitMs: 0 };
  const held = await holder.locked(source, wish, async () => {
    const waiting = program(authDir, keys, "reseal");
    // By the time that a whole one has ended elsewhere, it has come to the lock.
    expect(await program(makeFolder(), keys, "reseal").exited).toBe(0);
    expect(waiting.logs()).toBe("");
    return waiting;
  });
  if (!held.ok) throw new Error(held.reason);
  expect([await within("it ends", held.value.exited), held.value.logs()]).toEqual([
    0,
    expect.stringMatching(/^sealed: .*\n1 sealed with key/),
  ]);
});

describe("without the right key", () => {
  test.each([
    ["no key", {}],
    ["another key", { "credential-key": [KEYS.new] }],
  ])(
    "%s: the accounts are named, none is touched, and the key brings them back",
    async (_name, config) => {
      const accounts = await fresh(2);
      const authDir = folderOf(accounts, withOld);
      const before = bytesIn(authDir);
      const proxy = await start(authDir, config);
      ends.push(proxy.stop);
      expect((await fetch(`${proxy.url}/health`)).status).toBe(503);
      expect((await call(proxy, { headers: CODEX })).status).toBe(503);
      await refreshAll(proxy);
      await proxy.stop();
      for (const account of accounts) {
        expect(proxy.logs()).toContain(
          `${account.name}.json: it is encrypted with key ${withOld.keyIds}`,
        );
        expect(renewalsOf(backend, account)).toEqual([]);
        expect(before).toContain(readFileSync(pathOf(authDir, account), "latin1"));
      }
      const next = await start(authDir, BOTH);
      ends.push(next.stop);
      expect((await next.stats()).summary["ready"]).toBe(2);
    },
  );

  test("a proxy that runs goes on with what it has, and spends no token of a file that somebody sealed otherwise", async () => {
    const [account] = await fresh(1);
    if (account === undefined) throw new Error("there is one");
    const authDir = makeFolder();
    const path = pathOf(authDir, account);
    writeFileSync(path, withOld.seal(JSON.stringify(account.file())));
    await using proxy = await start(authDir, { "credential-key": [KEYS.old] }, false);
    expect((await call(proxy, { headers: CODEX })).status).toBe(200);
    const strange = withNew.seal(readOpened(path));
    writeFileSync(path, strange);
    await until("it is told", () => proxy.logs().includes(`encrypted with key ${withNew.keyIds}`));
    expect((await call(proxy, { headers: CODEX })).status).toBe(200);
    await refreshAll(proxy);
    expect(renewalsOf(backend, account)).toEqual([]);
    expect(readFileSync(path, "utf8")).toBe(strange);
  });
});

test("a configuration whose keys cannot be used is refused with 2, in words and without them", async () => {
  await fresh(0);
  const file = join(makeFolder(), "credential.key");
  const rows: [config: object, told: RegExp][] = [
    [
      { "credential-key": [KEYS.old], "credential-key-file": file },
      /credential-key-file: found credential-key beside it/,
    ],
    [{ "credential-key-file": file }, /credential\.key: there is no such file/],
    [{ "credential-key": [`${KEYS.old}x`] }, /credential-key: entry 1: found a string of 45/],
    [{ "credential-key": KEYS.old }, /line of its own/],
  ];
  const refusal = (config: object): Promise<string> =>
    start(makeFolder(), config).then(
      async (proxy) => {
        await proxy.stop();
        return "it started";
      },
      (cause: unknown) => String(cause),
    );
  for (const [config, told] of rows) {
    const words = await refusal(config);
    expect(words).toMatch(/it ended with 2/);
    expect(words).toMatch(told);
    expectNoKey(words);
  }
  writeFileSync(file, `# nothing yet\n`);
  expect(await refusal({ "credential-key-file": file })).toMatch(/it holds no key/);
  writeFileSync(file, `${KEYS.new}\n${KEYS.old.slice(1)}\n`);
  const words = await refusal({ "credential-key-file": file });
  expect(words).toMatch(/line 2: found a string of 43 characters/);
  expectNoKey(words);
  expect(words).not.toContain(KEYS.old.slice(1));
  writeFileSync(file, `${KEYS.new}\n`, { mode: 0o644 });
  const proxy = await start(makeFolder(), { "credential-key-file": file });
  ends.push(proxy.stop);
  expect(proxy.logs()).toMatch(/others than its owner have rights on it \(mode 0644\)/);
  expect(proxy.logs()).toContain(`key=${keyIdOf(new Uint8Array(Buffer.from(KEYS.new, "hex")))}`);
});
