import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addressOf, stateOf, turnsOn } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call } from "../support/call.ts";
import { describeStores, LOCAL_STORES, STORES, type StoreKind } from "../support/each-database.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

function fresh(): FakeAccount {
  made += 1;
  const name = `restart-${made}`;
  return backend.account(name, { email: addressOf(name), lifetimeSeconds: 3600 });
}

async function say(proxy: TestProxy, conversation: string): Promise<number> {
  const headers = { ...CODEX, "session-id": conversation };
  return (await call(proxy, { headers })).status;
}

/** Two runs of the compiled program on one folder and one store; `first` may end the first one. */
async function twoRuns(
  store: StoreKind,
  accounts: readonly FakeAccount[],
  first: (proxy: TestProxy, state: string) => Promise<void>,
  second: (proxy: TestProxy, state: string) => Promise<void>,
): Promise<void> {
  const authDir = await mkdtemp(join(tmpdir(), "codex-proxy-restart-"));
  const state = join(authDir, ".codex-proxy", "state.json");
  const database = await store.database?.make();
  const setup = { backend, authDir, binary: true, ...(database === undefined ? {} : { database }) };
  try {
    {
      await using proxy = await startProxy({ ...setup, accounts });
      await first(proxy, state);
    }
    await using proxy = await startProxy({ ...setup, accounts: [] });
    await second(proxy, state);
  } finally {
    await database?.[Symbol.asyncDispose]();
    await rm(authDir, { recursive: true, force: true });
  }
}

describeStores(STORES, (store) => {
  test("a login that was refused stays so until its file has other tokens", async () => {
    const account = fresh();
    await twoRuns(
      store,
      [account],
      async (proxy) => {
        account.expireAccessToken();
        account.revokeRefreshToken();
        expect(await say(proxy, "a")).toBeGreaterThan(500);
        expect((await proxy.stats()).of(account).state).toBe("needs-login");
      },
      async (proxy) => {
        expect(await stateOf(proxy, account)).toBe("needs-login");
        const asked = turnsOn(backend, account);
        expect(await say(proxy, "b")).toBe(503);
        expect(turnsOn(backend, account)).toBe(asked);
        // Its owner logs in anew: other tokens in the same file.
        account.signIn();
        await proxy.place.put(proxy.place.nameOf(account), account.file());
        await until("it is tried", async () => (await stateOf(proxy, account)) === "ready");
        expect(await say(proxy, "c")).toBe(200);
      },
    );
  });

  test("B7-3: a refresh token that was refused for good is not sent again by the next run, however short this one was", async () => {
    // Due for renewal, and good for some minutes still.
    made += 1;
    const name = `restart-${made}`;
    const account = backend.account(name, { email: addressOf(name), lifetimeSeconds: 240 });
    account.revokeRefreshToken();
    const sends = (): number =>
      backend.refreshes().filter((refresh) => refresh.account === account.name).length;
    await twoRuns(
      store,
      [account],
      async (proxy, state) => {
        await until("the issuer has refused it", () => sends() === 1);
        // A mark that is on disk soon, well before the state is written as a rule.
        await until(
          "the mark is on disk",
          async () => (await readFile(state, "utf8").catch(() => "")).includes('"dead":[["'),
          3000,
        );
        proxy.kill("SIGKILL");
        await proxy.exited;
      },
      async (proxy) => {
        // While the access token lives, it serves.
        expect(await say(proxy, "a")).toBe(200);
        expect((await proxy.stats()).of(account).state).toBe("ready");
        expect(sends()).toBe(1);
        // And then it needs a new login, without another question.
        account.expireAccessToken();
        expect(await say(proxy, "a")).toBeGreaterThan(500);
        expect((await proxy.stats()).of(account).state).toBe("needs-login");
        expect(sends()).toBe(1);
      },
    );
  });
});

// The state is in a file of this instance whatever keeps the accounts.
describeStores(LOCAL_STORES, (store) => {
  test("after a restart an exhausted account is not asked, counters go on, conversations stay", async () => {
    const accounts = [fresh(), fresh(), fresh()];
    const [spent] = accounts;
    if (spent === undefined) throw new Error("nobody is there");
    const conversations = Array.from({ length: 9 }, (_, at) => `talk-${at}`);
    spent.always({ kind: "fault", name: "429-usage" });
    const homes = (): string[] =>
      conversations.map((talk) => {
        const turns = backend.turns().filter(({ headers }) => headers["session-id"] === talk);
        return turns.at(-1)?.account ?? "";
      });
    let before: string[] = [];
    let asked = 0;
    let requests: number[] = [];
    await twoRuns(
      store,
      accounts,
      async (proxy, state) => {
        for (const talk of conversations) expect(await say(proxy, talk)).toBe(200);
        const stats = await proxy.stats();
        expect(stats.of(spent).state).toBe("cooling");
        requests = accounts.map((account) => stats.of(account).requests);
        before = homes();
        asked = turnsOn(backend, spent);
        expect(asked).toBe(1);
        // Killed without warning: what was written some seconds after it happened is all there is.
        await until(
          "the state is on disk",
          async () => {
            const written = await readFile(state, "utf8").catch(() => "");
            return (
              written.includes('"cooling"') && written.split(/"[0-9a-f]{64}",\d+,[01]/).length > 9
            );
          },
          20_000,
        );
        expect((await stat(state)).mode & 0o777).toBe(0o600);
        proxy.kill("SIGKILL");
        await proxy.exited;
      },
      async (proxy, state) => {
        const stats = await proxy.stats();
        expect(stats.of(spent)).toMatchObject({ state: "cooling" });
        expect(stats.of(spent).untilMs).toBeGreaterThan(Date.now());
        expect(accounts.map((account) => stats.of(account).requests)).toEqual(requests);
        expect(stats.summary["requests"]).toBe(0);
        for (const talk of conversations) expect(await say(proxy, talk)).toBe(200);
        expect(homes()).toEqual(before);
        expect(turnsOn(backend, spent)).toBe(asked);
        const later = await proxy.stats();
        const total = accounts.reduce((sum, account) => sum + later.of(account).requests, 0);
        expect(total).toBe(requests.reduce((sum, count) => sum + count, 0) + conversations.length);
        expect((await readdir(join(state, ".."))).filter((name) => name.endsWith(".tmp"))).toEqual(
          [],
        );
      },
    );
  });

  test("a restart by SIGTERM keeps what happened in the last moment", async () => {
    const account = fresh();
    await twoRuns(
      store,
      [account],
      async (proxy) => {
        expect(await say(proxy, "last words")).toBe(200);
      },
      async (proxy) => {
        const { whole, requests } = (await proxy.stats()).of(account);
        expect(requests).toBe(1);
        expect(whole["windows"]).not.toEqual([]);
      },
    );
  });

  test("a broken state file costs one warning and nothing else", async () => {
    const account = fresh();
    const broken = '{"format":"codex-proxy state","version":"1.0","accounts":{"ab';
    await twoRuns(
      store,
      [account],
      async (proxy, state) => {
        expect(await say(proxy, "a")).toBe(200);
        await proxy.stop();
        await writeFile(state, broken);
      },
      async (proxy, state) => {
        expect(await say(proxy, "a")).toBe(200);
        expect(proxy.logs().split("the state file is of no use")).toHaveLength(2);
        expect(await readFile(`${state}.aside`, "utf8")).toBe(broken);
      },
    );
  });
});
