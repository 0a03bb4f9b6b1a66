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

async function generation({ run }: TestDatabase): Promise<number> {
  const { rows } = await run("SELECT generation FROM codex_accounts");
  return Number(rows[0]?.["generation"] ?? 0);
}
