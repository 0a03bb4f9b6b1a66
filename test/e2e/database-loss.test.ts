import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dict, parseDict } from "../../src/wire/json.ts";
import { renewalsOf } from "../support/accounts.ts";
import type { AccountSeed, FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call } from "../support/call.ts";
import { type DatabaseTap, tapDatabase } from "../support/database-tap.ts";
import { SERVERS, type TestDatabase } from "../support/databases.ts";
import { holdUntilEnd } from "../support/held.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

/** How long the database is away under load; CODEX_PROXY_TEST_OUTAGE_SECONDS=30 for the whole drill. */
const OUTAGE_MS = 1000 * Number(process.env["CODEX_PROXY_TEST_OUTAGE_SECONDS"] ?? 3);
setDefaultTimeout(OUTAGE_MS + 60_000);

const { use } = holdUntilEnd();
/** Due from its birth. */
const DUE = { lifetimeSeconds: 240 };

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

function fresh(seed: Partial<AccountSeed> = {}): FakeAccount {
  made += 1;
  return backend.account(`loss-${made}`, seed);
}

describe.each([...SERVERS])("$name", (kind) => {
  let database: TestDatabase;
  let tap: DatabaseTap;

  const scene = async (): Promise<void> => {
    database = await use(kind.make());
    tap = await use(tapDatabase(database));
  };

  const start = async (
    accounts: readonly FakeAccount[],
    more: Partial<Parameters<typeof startProxy>[0]> = {},
  ): Promise<TestProxy> => {
    const proxy = await use(
      startProxy({
        backend,
        accounts,
        ...more,
        config: { ...tap.config, "health-check-interval": 0, ...more.config },
      }),
    );
    await until("the accounts are there", async () => (await ready(proxy)) >= accounts.length);
    return proxy;
  };

  test.skipIf(!kind.isHere)(
    "stopped under load: no request fails, /health says degraded, and all is well after it",
    async () => {
      await scene();
      const proxy = await start([fresh(), fresh()]);
      const statuses: number[] = [];
      let isOver = false;
      const client = async (): Promise<void> => {
        while (!isOver) statuses.push((await call(proxy, { headers: CODEX })).status);
      };
      const clients = Array.from({ length: 8 }, client);
      await until("turns run", () => statuses.length > 20);
      await tap.stop();
      await until("it is noticed", async () => (await health(proxy))["status"] === "degraded");
      expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
      const before = statuses.length;
      await Bun.sleep(OUTAGE_MS);
      await tap.start();
      await until("it is back", async () => (await health(proxy))["status"] === "ok", 20_000);
      expect(statuses.length).toBeGreaterThan(before + 20);
      isOver = true;
      await Promise.all(clients);
      expect(statuses.filter((status) => status !== 200)).toEqual([]);
    },
  );

  test.skipIf(!kind.isHere)(
    "standing still: no turn waits for it, and a turn asks it nothing",
    async () => {
      await scene();
      const proxy = await start([fresh(), fresh()]);
      const turns = async (count: number): Promise<void> => {
        for (let turn = 0; turn < count; turn++) {
          const { status } = await call(proxy, { headers: CODEX });
          expect(status).toBe(200);
        }
      };
      await turns(5);
      const [beforeMs, before] = [performance.now(), tap.pieces()];
      await turns(200);
      const seconds = (performance.now() - beforeMs) / 1000;
      // What comes on its own: a look for changes and a sign of life, some times a second.
      expect(tap.pieces() - before).toBeLessThan(20 + 20 * seconds);
      tap.freeze();
      await turns(200);
    },
  );

  test.skipIf(!kind.isHere)(
    "lost while a token is renewed: the new one is kept here first, used, and brought in later",
    async () => {
      await scene();
      const account = fresh(DUE);
      const authDir = await mkdtemp(join(tmpdir(), "codex-proxy-loss-"));
      const spill = join(authDir, ".codex-proxy", "unsaved");
      const gate = Promise.withResolvers<void>();
      account.refreshGate = gate.promise;
      try {
        const setup = { authDir, binary: true };
        const proxy = await start([account], setup);
        await backend.until(() => renewalsOf(backend, account).length === 1);
        await tap.stop();
        gate.resolve();
        await until("it is kept here", () => proxy.logs().includes("are kept on this machine"));
        const [file = ""] = await readdir(spill);
        expect((await stat(join(spill, file))).mode & 0o777).toBe(0o600);
        expect(await readFile(join(spill, file), "utf8")).toContain(account.tokens().refreshToken);
        account.refreshGate = undefined;
        expect((await call(proxy, { headers: CODEX })).status).toBe(200);
        // A kill now, and the tokens that the database does not have are found by the next start.
        proxy.kill("SIGKILL");
        await proxy.exited;
        await tap.start();
        // As if its lease's time had passed.
        await database.run("UPDATE codex_accounts SET lease_until = 1");
        const next = await start([], setup);
        await until("the database has them", async () =>
          (await stored(database)).includes(account.tokens().refreshToken),
        );
        await until("nothing is left here", async () => (await readdir(spill)).length === 0);
        expect((await call(next, { headers: CODEX })).status).toBe(200);
        expect(renewalsOf(backend, account).filter((status) => status !== 200)).toEqual([]);
      } finally {
        await rm(authDir, { recursive: true, force: true });
      }
    },
  );

  test.skipIf(!kind.isHere)(
    "not there at the start: the program listens, says so, and has its accounts once it is there",
    async () => {
      await scene();
      await tap.stop();
      const account = fresh();
      const proxy = await use(
        startProxy({
          backend,
          accounts: [account],
          binary: true,
          config: { ...tap.config, "startup-load-retry-interval": 1 },
        }),
      );
      const { status, text } = await call(proxy, { headers: CODEX });
      expect([status, text]).toEqual([503, expect.stringContaining("still being loaded")]);
      expect((await fetch(`${proxy.url}/health`)).status).toBe(503);
      expect((await fetch(`${proxy.url}/health/live`)).status).toBe(200);
      await tap.start();
      await until("the accounts are there", async () => (await ready(proxy)) === 1, 20_000);
      expect((await call(proxy, { headers: CODEX })).status).toBe(200);
    },
  );

  test.skipIf(!kind.isHere)(
    "an instance that stands still with a token in its hand: the others leave it alone, and it loses nothing",
    async () => {
      await scene();
      const account = fresh(DUE);
      const gate = Promise.withResolvers<void>();
      account.refreshGate = gate.promise;
      const frozen = await start([account], { binary: true });
      await backend.until(() => renewalsOf(backend, account).length === 1);
      frozen.kill("SIGSTOP");
      // As if the lease's time had passed.
      await database.run("UPDATE codex_accounts SET lease_until = 1");
      const other = await start([], { config: { ...tap.config, "refresh-interval": 1 } });
      await until("it leaves the token alone", () => other.logs().includes("may be spent"), 20_000);
      expect((await call(other, { headers: CODEX })).status).toBe(200);
      gate.resolve();
      account.refreshGate = undefined;
      frozen.kill("SIGCONT");
      await until("the new token is stored", async () =>
        (await stored(database)).includes(account.tokens().refreshToken),
      );
      expect(renewalsOf(backend, account)[0]).toBe(200);
      expect(renewalsOf(backend, account).filter((status) => status !== 200)).toEqual([]);
      await until("the other has it", async () => {
        const { accounts } = await other.stats();
        return accounts.every(({ state }) => state === "ready");
      });
    },
  );
});

async function health(proxy: TestProxy): Promise<Record<string, unknown>> {
  return dict(parseDict(await (await fetch(`${proxy.url}/health`)).text()));
}

async function ready(proxy: TestProxy): Promise<number> {
  return Number(dict((await health(proxy))["accounts"])["ready"]);
}

async function stored({ run }: TestDatabase): Promise<string> {
  const { rows } = await run("SELECT content FROM codex_accounts");
  return rows.map((row) => String(row["content"])).join("\n");
}
