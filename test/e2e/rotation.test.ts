import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renewalsOf, storedToken } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call } from "../support/call.ts";
import { filePlace } from "../support/places.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const DAY_MS = 86_400_000;

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

function fresh(count: number): readonly FakeAccount[] {
  return Array.from({ length: count }, () => {
    made += 1;
    return backend.account(`shared-${made}`);
  });
}

/** A folder of accounts whose files say that their tokens are about to end; those that come after live for days. */
async function folderOf(accounts: readonly FakeAccount[]): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "codex-proxy-shared-"));
  for (const account of accounts) {
    const content = { ...account.file(), expired: new Date(Date.now() + 60_000).toISOString() };
    await writeFile(join(dir, `${account.name}.json`), JSON.stringify(content));
  }
  return dir;
}

async function isRenewed(proxy: TestProxy): Promise<boolean> {
  const { accounts } = await proxy.stats();
  return accounts.every(
    ({ whole }) => Date.parse(String(whole["token_expires_at"])) > Date.now() + DAY_MS,
  );
}

describe("several processes on one folder, all tokens due", () => {
  test.each([2, 4])(
    "B7-1: %i of them renew each login once, and none is spent twice",
    async (count) => {
      const accounts = fresh(8);
      // Long enough that each of the others comes while it is under way.
      for (const account of accounts) account.refreshDelayMs = 50;
      const authDir = await folderOf(accounts);
      const proxies: TestProxy[] = [];
      try {
        const setup = { backend, accounts: [], authDir, binary: true };
        const starts = Array.from({ length: count }, () => startProxy(setup));
        proxies.push(...(await Promise.all(starts)));
        for (const proxy of proxies) {
          await until("all have the new tokens", () => isRenewed(proxy), 20_000);
          expect((await proxy.stats()).summary["ready"]).toBe(accounts.length);
          expect((await call(proxy, { headers: CODEX })).status).toBe(200);
          expect(proxy.logs()).not.toContain("needs a new login");
        }
        for (const account of accounts) {
          expect([account.name, renewalsOf(backend, account)]).toEqual([account.name, [200]]);
          expect(await storedToken({ place: filePlace(authDir) }, account)).toBe(
            account.tokens().refreshToken,
          );
        }
        expect((await readdir(authDir)).filter((name) => name.endsWith(".lock"))).toEqual([]);
      } finally {
        await Promise.all(proxies.map((proxy) => proxy.stop()));
        await rm(authDir, { recursive: true, force: true });
      }
    },
  );

  test("B7-1: one that is killed while it renews holds nobody up", async () => {
    const accounts = fresh(4);
    const authDir = await folderOf(accounts);
    const setup = { backend, accounts: [], authDir, binary: true };
    try {
      // The issuer keeps the first one waiting, its tokens unspent.
      for (const account of accounts) account.issuerFault("hang");
      const dying = await startProxy(setup);
      await backend.until(() =>
        accounts.every((account) => renewalsOf(backend, account).length === 1),
      );
      dying.kill("SIGKILL");
      await dying.exited;
      for (const account of accounts) account.issuerFault(undefined);
      expect((await readdir(authDir)).filter((name) => name.endsWith(".lock"))).toHaveLength(4);
      const startedMs = performance.now();
      await using proxy = await startProxy(setup);
      await until("all have the new tokens", () => isRenewed(proxy), 20_000);
      expect(performance.now() - startedMs).toBeLessThan(10_000);
      for (const account of accounts)
        expect(renewalsOf(backend, account)).toEqual([undefined, 200]);
      await dying.stop();
    } finally {
      await rm(authDir, { recursive: true, force: true });
    }
  });
});

test("what was kept from before a renewal goes once the backend has accepted the new token", async () => {
  const [account] = fresh(1);
  if (account === undefined) throw new Error("there is one");
  // A list of models would prove the new token before any turn does.
  account.modelsFault("500");
  const authDir = await folderOf([account]);
  try {
    await using proxy = await startProxy({ backend, accounts: [], authDir });
    await until("it is renewed", () => isRenewed(proxy));
    const isKept = async (): Promise<boolean> =>
      (await readdir(authDir)).some((name) => name.endsWith(".last"));
    expect(await isKept()).toBe(true);
    expect((await call(proxy, { headers: CODEX })).status).toBe(200);
    await until("the copy is gone", async () => !(await isKept()));
  } finally {
    await rm(authDir, { recursive: true, force: true });
  }
});

test("B7-6: a file that was spoilt after a renewal: its account serves, and one warning names the file", async () => {
  const [account] = fresh(1);
  if (account === undefined) throw new Error("there is one");
  // A list of models would prove the new token before any turn does.
  account.modelsFault("500");
  const authDir = await folderOf([account]);
  const path = join(authDir, `${account.name}.json`);
  try {
    const first = await startProxy({ backend, accounts: [], authDir });
    await until("it is renewed", () => isRenewed(first));
    await writeFile(path, "");
    // The running program has newer tokens than the copy, and goes on with them.
    await until("it is told", () => first.logs().includes("is used instead"));
    expect((await call(first, { headers: CODEX })).status).toBe(200);
    expect((await first.stats()).accounts).toHaveLength(1);
    await first.stop();
    expect(first.logs().split("is used instead")).toHaveLength(2);
    expect(first.logs()).toContain(`${account.name}.json`);
    expect(await readFile(path, "utf8")).toBe("");
  } finally {
    await rm(authDir, { recursive: true, force: true });
  }
});

test("accounts: only the files that the owner names are used, inside the folder or outside", async () => {
  const [named, other, far] = fresh(3);
  if (named === undefined || other === undefined || far === undefined) throw new Error("three");
  const elsewhere = await folderOf([far]);
  const farPath = join(elsewhere, `${far.name}.json`);
  const config = { accounts: [`${named.name}.json`, farPath], "auth-scan-interval": 1 };
  try {
    await using proxy = await startProxy({ backend, accounts: [named, other], config });
    const files = (await proxy.stats()).accounts.map(({ file }) => file);
    expect(files.toSorted()).toEqual([named, far].map(({ name }) => `${name}.json`).toSorted());
    await until("it is renewed where it lies", async () => {
      const token = await storedToken({ place: filePlace(elsewhere) }, far);
      return token === far.tokens().refreshToken && (await isRenewed(proxy));
    });
    await rm(farPath);
    await until("it is out", async () => (await proxy.stats()).accounts.length === 1);
  } finally {
    await rm(elsewhere, { recursive: true, force: true });
  }
});
