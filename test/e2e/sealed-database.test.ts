import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expectServed, renewalsOf } from "../support/accounts.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { DATABASES, type TestDatabase } from "../support/databases.ts";
import { runProgram, startProxy, yamlOf } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

let backend: FakeBackend;
beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

/** Every byte that the database holds of the accounts, as text. */
async function dump({ run }: TestDatabase): Promise<string> {
  return JSON.stringify((await run("SELECT * FROM codex_accounts")).rows);
}

describe.each([...DATABASES])("credential-key with $name", (kind) => {
  test.skipIf(!kind.isHere)(
    "no token lies there in the clear; reseal brings all under a new key, and back",
    async () => {
      await using database = await kind.make();
      const [old, young] = [randomBytes(32), randomBytes(32)].map((key) => key.toString("base64"));
      const account = backend.account(`sealed-${kind.name}`, { lifetimeSeconds: 240 });
      const config = { ...database.config, "credential-key": [old] };
      const before = account.tokens();
      let dir = "";
      {
        await using proxy = await startProxy({ backend, accounts: [account], config });
        dir = proxy.authDir;
        await until("it is renewed", () => renewalsOf(backend, account).includes(200));
        await until("it is stored", async () => (await generation(database)) > 1);
        await expectServed(proxy);
        const lies = await dump(database);
        for (const { accessToken, refreshToken } of [before, account.tokens()]) {
          expect(lies).not.toContain(accessToken);
          expect(lies).not.toContain(refreshToken);
        }
        const reseal = async (keys: readonly (string | undefined)[], ...words: string[]) => {
          const path = join(dir, "..", "reseal.yaml");
          const given = { ...database.config, "auth-dir": dir, "credential-key": keys };
          await writeFile(path, yamlOf(given));
          const program = runProgram(["reseal", "-config", path, ...words], { cwd: dir });
          return { code: await program.exited, said: program.logs() };
        };
        const wrong = await reseal([young]);
        expect([wrong.code, wrong.said]).toEqual([1, expect.stringContaining("0 sealed")]);
        const moved = await reseal([young, old]);
        expect([moved.code, moved.said]).toEqual([0, expect.stringMatching(/^1 sealed with/m)]);
        expect((await reseal([young])).said).toContain("1 unchanged");
        const plain = await reseal([young], "--plain");
        expect([plain.code, plain.said]).toEqual([0, expect.stringContaining("1 unsealed")]);
        expect(await dump(database)).toContain(account.tokens().refreshToken);
      }
    },
  );
});

describe.each([...DATABASES])("credential-key with the Go program's rows in $name", (kind) => {
  test.skipIf(!kind.isHere)("no token of theirs stays in the clear either", async () => {
    await using database = await kind.make();
    const key = randomBytes(32).toString("base64");
    const account = backend.account(`sealed-go-${kind.name}`);
    const { accessToken, refreshToken } = account.tokens();
    const type = kind.name === "MariaDB" ? "MEDIUMTEXT" : "TEXT";
    await database.run(
      `CREATE TABLE codex_accounts (id INTEGER PRIMARY KEY, account_id ${type}, email ${type}, id_token ${type}, access_token ${type}, refresh_token ${type}, expire ${type})`,
    );
    await database.run(
      "INSERT INTO codex_accounts (id, email, access_token, refresh_token) VALUES (1, ?, ?, ?)",
      [account.email, accessToken, refreshToken],
    );
    const start = (config: Readonly<Record<string, unknown>>) =>
      startProxy({ backend, accounts: [], config: { ...database.config, ...config } });
    {
      // Taken over in the clear first, and under a key after that.
      await using plain = await start({});
      await expectServed(plain);
    }
    expect(await dump(database)).toContain(refreshToken);
    await using proxy = await start({ "credential-key": [key] });
    await expectServed(proxy);
    const path = join(proxy.authDir, "..", "seal.yaml");
    const given = { ...database.config, "auth-dir": proxy.authDir, "credential-key": [key] };
    await writeFile(path, yamlOf(given));
    const program = runProgram(["reseal", "-config", path], { cwd: proxy.authDir });
    expect([await program.exited, program.logs()]).toEqual([
      0,
      expect.stringMatching(/^1 sealed with/m),
    ]);
    const lies = await dump(database);
    expect([lies.includes(accessToken), lies.includes(refreshToken)]).toEqual([false, false]);
  });

  test.skipIf(!kind.isHere)("nor of those that are taken over under a key", async () => {
    await using database = await kind.make();
    const key = randomBytes(32).toString("base64");
    const account = backend.account(`sealed-go-new-${kind.name}`);
    const { accessToken, refreshToken } = account.tokens();
    const type = kind.name === "MariaDB" ? "MEDIUMTEXT" : "TEXT";
    await database.run(
      `CREATE TABLE codex_accounts (id INTEGER PRIMARY KEY, account_id ${type}, email ${type}, id_token ${type}, access_token ${type}, refresh_token ${type}, expire ${type})`,
    );
    await database.run(
      "INSERT INTO codex_accounts (id, email, access_token, refresh_token) VALUES (1, ?, ?, ?)",
      [account.email, accessToken, refreshToken],
    );
    const config = { ...database.config, "credential-key": [key] };
    await using proxy = await startProxy({ backend, accounts: [], config });
    await expectServed(proxy);
    const lies = await dump(database);
    expect([lies.includes(accessToken), lies.includes(refreshToken)]).toEqual([false, false]);
  });
});

async function generation({ run }: TestDatabase): Promise<number> {
  const { rows } = await run("SELECT generation FROM codex_accounts");
  return Number(rows[0]?.["generation"] ?? 0);
}
