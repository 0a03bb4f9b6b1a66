import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { expectServed, renewalsOf, turnsTaken } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { DATABASES, type TestDatabase } from "../support/databases.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

/** The Go program's table, as it makes it for each database (its internal/db, in the versions of 2026). */
const TABLES: Readonly<Record<string, string>> = {
  SQLite: `CREATE TABLE codex_accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account_id TEXT UNIQUE, email TEXT UNIQUE, id_token TEXT, access_token TEXT,
    refresh_token TEXT, expire TEXT, plan_type TEXT, last_refresh TEXT, status INTEGER DEFAULT 0, cooldown_until TEXT,
    disable_reason TEXT, last_used_at TEXT, updated_at TEXT DEFAULT CURRENT_TIMESTAMP)`,
  PostgreSQL: `CREATE TABLE codex_accounts (
    id SERIAL PRIMARY KEY, account_id TEXT UNIQUE, email TEXT UNIQUE, id_token TEXT, access_token TEXT,
    refresh_token TEXT, expire TEXT, plan_type TEXT, last_refresh TIMESTAMPTZ, status SMALLINT DEFAULT 0,
    cooldown_until TIMESTAMPTZ, disable_reason TEXT, last_used_at TIMESTAMPTZ, updated_at TIMESTAMPTZ DEFAULT NOW()
    ) WITH (fillfactor=90)`,
  MariaDB: `CREATE TABLE codex_accounts (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, account_id VARCHAR(768) NULL, email VARCHAR(768) NULL,
    id_token MEDIUMTEXT, access_token MEDIUMTEXT, refresh_token MEDIUMTEXT, expire VARCHAR(128), plan_type VARCHAR(128),
    last_refresh DATETIME(6) NULL, status TINYINT DEFAULT 0, cooldown_until DATETIME(6) NULL, disable_reason VARCHAR(128),
    last_used_at DATETIME(6) NULL,
    updated_at DATETIME(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    UNIQUE KEY uk_codex_accounts_account_id (account_id), UNIQUE KEY uk_codex_accounts_email (email)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci`,
};

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

/** The row that the Go program has of an account. */
async function put({ run }: TestDatabase, account: FakeAccount): Promise<void> {
  const { idToken, accessToken, refreshToken, expiresAtMs } = account.tokens();
  await run(
    "INSERT INTO codex_accounts (account_id, email, id_token, access_token, refresh_token, expire, plan_type, last_refresh) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [
      account.workspaceId,
      account.email,
      idToken,
      accessToken,
      refreshToken,
      new Date(expiresAtMs).toISOString(),
      account.plan,
      "2026-11-20 10:00:00",
    ],
  );
}

describe.each([...DATABASES])("the Go program's database, $name", (kind) => {
  test.skipIf(!kind.isHere)(
    "is taken over with every account alive, nothing is dropped, and the way back stays open",
    async () => {
      await using database = await kind.make();
      await database.run(TABLES[kind.name] ?? "");
      const fresh = () => {
        made += 1;
        return backend.account(`go-${made}`);
      };
      const due = backend.account(`go-due-${kind.name}`, { lifetimeSeconds: 240 });
      const accounts = [fresh(), fresh(), fresh(), due];
      for (const account of accounts) await put(database, account);
      await database.run("INSERT INTO codex_accounts (email) VALUES ('nothing@example.com')");
      {
        await using proxy = await startProxy({ backend, accounts: [], config: database.config });
        await until("the due one is renewed", () => renewalsOf(backend, due).includes(200));
        const { summary } = await proxy.stats();
        expect([summary["total"], summary["ready"]]).toEqual([4, 4]);
        for (let turn = 0; turn < 8; turn++) {
          await expectServed(proxy, { prompt_cache_key: `k${turn}` });
        }
        for (const account of accounts) expect(turnsTaken(backend, account)).toBeGreaterThan(0);
      }
      const { rows } = await database.run(
        "SELECT email, account_id, refresh_token, plan_type FROM codex_accounts ORDER BY id",
      );
      expect(rows.map(({ email }) => email)).toEqual([
        ...accounts.map(({ email }) => email),
        "nothing@example.com",
      ]);
      // What the Go program would go on with is the token that works, not the one that was spent.
      expect(rows.slice(0, 4).map((row) => row["refresh_token"])).toEqual(
        accounts.map((account) => account.tokens().refreshToken),
      );
      // It renews one itself, and its owner comes back: that token counts.
      const [first] = accounts;
      if (first === undefined) throw new Error("there are four");
      first.signIn();
      const { accessToken, refreshToken, expiresAtMs } = first.tokens();
      await database.run(
        "UPDATE codex_accounts SET access_token = ?, refresh_token = ?, expire = ?, last_refresh = ? WHERE email = ?",
        [
          accessToken,
          refreshToken,
          new Date(expiresAtMs).toISOString(),
          "2026-11-27 10:00:00",
          first.email,
        ],
      );
      await using proxy = await startProxy({ backend, accounts: [], config: database.config });
      expect((await proxy.stats()).summary["ready"]).toBe(4);
      const { rows: after } = await database.run(
        "SELECT content FROM codex_accounts WHERE email = ?",
        [first.email],
      );
      expect(String(after[0]?.["content"])).toContain(refreshToken);
    },
  );
});
