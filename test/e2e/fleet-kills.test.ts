import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Dict, dict, parseDict, text } from "../../src/wire/json.ts";
import { renewalsOf } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { DATABASES, type TestDatabase } from "../support/databases.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

/** How long instances are killed; CODEX_PROXY_TEST_KILL_SECONDS=120 for the whole drill. */
const KILL_MS = 1000 * Number(process.env["CODEX_PROXY_TEST_KILL_SECONDS"] ?? 4);
setDefaultTimeout(KILL_MS + 60_000);

const INSTANCES = 4;
const ACCOUNTS = 40;
// Tokens that are due from their birth, and outlive the test.
const DUE = { lifetimeSeconds: 290 };

type Stored = { readonly account: string; readonly tokens: Dict; readonly isInDoubt: boolean };

for (const kind of DATABASES) {
  test.skipIf(!kind.isHere)(
    `four instances on one ${kind.name}, all tokens due, killed at random: none is spent twice, every account has one that works`,
    async () => {
      const backend = await startBackend();
      await using database = await kind.make();
      const dirs = await Promise.all(
        Array.from({ length: INSTANCES }, () => mkdtemp(join(tmpdir(), "codex-proxy-fleet-"))),
      );
      const accounts = Array.from({ length: ACCOUNTS }, (_, index) =>
        backend.account(`fleet-${index}`, DUE),
      );
      for (const account of accounts) account.refreshDelayMs = 20;
      const start = (authDir: string): Promise<TestProxy> =>
        startProxy({
          backend,
          accounts: [],
          authDir,
          binary: true,
          config: { ...database.config, "refresh-interval": 1 },
        });
      try {
        const [first = ""] = dirs;
        for (const account of accounts) await put(first, account);
        const fleet = await Promise.all(dirs.map(start));
        const tally = { kills: 0, logins: 0 };
        const endMs = performance.now() + KILL_MS;
        while (performance.now() < endMs) {
          const index = Math.floor(Math.random() * INSTANCES);
          const victim = fleet[index];
          if (victim === undefined) break;
          await Bun.sleep(Math.random() * 300);
          victim.kill("SIGKILL");
          await victim.exited;
          tally.kills += 1;
          tally.logins += await loginAnew(database, backend, accounts, dirs[index] ?? first);
          fleet[index] = await start(dirs[index] ?? first);
        }
        // As if the time of the dead ones' leases had passed: their files' import waits for that.
        await database.run("UPDATE codex_accounts SET lease_until = 1");
        await Promise.all(fleet.map((proxy) => proxy.stop()));
        await using last = await start(first);
        await until("all are there", async () => (await last.stats()).accounts.length === ACCOUNTS);
        const statuses = accounts.flatMap((account) => renewalsOf(backend, account));
        const counts = {
          ...tally,
          renewed: statuses.filter((status) => status === 200).length,
          cut: statuses.filter((status) => status === undefined).length,
        };
        console.log(`${kind.name}: ${JSON.stringify(counts)}`);
        expect(statuses.filter((status) => status !== undefined && status !== 200)).toEqual([]);
        expect(counts.renewed).toBeGreaterThan(ACCOUNTS / 4);
        for (const { account, tokens } of await storedIn(database)) {
          expect([account, await isTaken(backend, tokens)]).toEqual([account, true]);
        }
        expect((await last.stats()).summary["ready"]).toBe(ACCOUNTS);
      } finally {
        await backend.stop();
        for (const dir of dirs) await rm(dir, { recursive: true, force: true });
      }
    },
  );
}

async function put(dir: string, account: FakeAccount): Promise<void> {
  await writeFile(join(dir, `${account.name}.json`), JSON.stringify(account.file()));
}

async function storedIn({ run }: TestDatabase): Promise<readonly Stored[]> {
  const { rows } = await run("SELECT content, spending, lease_until FROM codex_accounts");
  return rows.map((row) => {
    const tokens = dict(parseDict(String(row["content"])));
    const isInDoubt = text(row["spending"]) !== undefined;
    return { account: String(tokens["email"]), tokens, isInDoubt };
  });
}

/**
 * The owner logs in anew where an instance was killed with the issuer's answer on its way, which no program can keep.
 * Otherwise such accounts, which are left alone from then on, would soon be all that there are.
 */
async function loginAnew(
  database: TestDatabase,
  backend: FakeBackend,
  accounts: readonly FakeAccount[],
  dir: string,
): Promise<number> {
  let count = 0;
  for (const { account: email, tokens, isInDoubt } of await storedIn(database)) {
    const account = accounts.find((each) => each.email === email);
    if (!isInDoubt || account === undefined) continue;
    if (account.tokens().refreshToken === tokens["refresh_token"]) continue;
    if (backend.openRequests() > 0 || Math.random() < 0.5) continue;
    account.signIn();
    await put(dir, account);
    count += 1;
  }
  return count;
}

async function isTaken(backend: FakeBackend, tokens: Dict): Promise<boolean> {
  const usage = backend.url.replace(/\/codex$/, "/wham/usage");
  const response = await fetch(usage, {
    headers: {
      authorization: `Bearer ${String(tokens["access_token"])}`,
      "chatgpt-account-id": String(tokens["account_id"]),
    },
  });
  return response.status === 200;
}
