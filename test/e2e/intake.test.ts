import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dict, list, parseDict } from "../../src/wire/json.ts";
import { addressOf, countOf, expectServed, storedIn, storedToken } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { DATABASES } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

// With a database, account files in auth-dir are taken in and stay where they are. What files do where there is none is
// in accounts.test.ts.

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

function fresh(): FakeAccount {
  made += 1;
  const name = `intake-${made}`;
  return backend.account(name, { email: addressOf(name) });
}

function untilAccounts(proxy: TestProxy, count: number): Promise<void> {
  return until(`there are ${count} accounts`, async () => {
    return (await proxy.stats()).accounts.length === count;
  });
}

describeEach(DATABASES, (database) => {
  test("a file serves within a second, stays, and what becomes of it then changes nothing", async () => {
    const [first, second] = [fresh(), fresh()];
    await using proxy = await startProxy({
      backend,
      accounts: [first],
      binary: true,
      store: { database },
    });
    const path = join(proxy.authDir, `${first.name}.json`);
    const before = await readFile(path, "utf8");
    expect(await storedIn(proxy)).toEqual([proxy.place.nameOf(first)]);
    const addedMs = performance.now();
    await proxy.put(`${second.name}.json`, second.file());
    await untilAccounts(proxy, 2);
    expect(performance.now() - addedMs).toBeLessThan(1000);
    await expectServed(proxy);
    expect(await readFile(path, "utf8")).toBe(before);
    await unlink(path);
    await proxy.put(`${second.name}.json`, "{");
    await until("it is told", () => proxy.logs().includes("an account file was left alone"));
    expect((await proxy.stats()).accounts.map(({ state }) => state)).toEqual(["ready", "ready"]);
    await expectServed(proxy);
    expect(countOf(proxy.logs(), "an account file was taken into the database")).toBe(2);
  });

  test("newer tokens in a file count; those of an account that its owner has deleted do not bring it back", async () => {
    const authDir = await mkdtemp(join(tmpdir(), "codex-proxy-intake-"));
    const here = await database.make();
    const [ann, bob] = [fresh(), fresh()];
    const setup = { backend, authDir, binary: true, database: here };
    try {
      {
        await using proxy = await startProxy({ ...setup, accounts: [ann, bob] });
        ann.signIn();
        await proxy.put(`${ann.name}.json`, ann.file());
        await until(
          "they are stored",
          async () => (await storedToken(proxy, ann)) === ann.tokens().refreshToken,
        );
        await expectServed(proxy);
        const { whole } = (await proxy.stats()).of(bob);
        const id = String(whole["id"]);
        const response = await fetch(`${proxy.url}/admin/accounts/${id}?confirm=${id}`, {
          method: "DELETE",
          headers: { authorization: `Bearer ${KEY}` },
        });
        expect(response.status).toBe(200);
        expect(await storedIn(proxy)).toEqual([proxy.place.nameOf(ann)]);
      }
      await using again = await startProxy({ ...setup, accounts: [] });
      expect(list((await again.stats()).accounts)).toHaveLength(1);
      expect(dict(parseDict(await readFile(join(authDir, `${bob.name}.json`), "utf8")))).toEqual(
        bob.file(),
      );
      // A login that is made anew is one that was never deleted.
      bob.signIn();
      await again.put(`${bob.name}.json`, bob.file());
      await untilAccounts(again, 2);
    } finally {
      await here[Symbol.asyncDispose]();
      await rm(authDir, { recursive: true, force: true });
    }
  });
});
