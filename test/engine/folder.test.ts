import { expect, test } from "bun:test";
import { chmodSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createFolderImport } from "../../src/engine/folder.ts";
import { openFileStore } from "../../src/store/files.ts";
import type { SqlStore } from "../../src/store/sql/store.ts";
import { DatabaseTrouble } from "../../src/store/sql/trouble.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { createLanes } from "../../src/wire/lanes.ts";
import { createLog } from "../../src/wire/log.ts";
import { makeFolder } from "../store/folder.ts";
import { openInstance } from "../store/sql/instance.ts";
import { accessTokenOf, WORKSPACE } from "../store/tokens.ts";
import { DATABASES, type TestDatabase } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";

function recordOf(user: string, iat: number, more: object = {}): string {
  const email = `${user}@example.com`;
  const access_token = accessTokenOf({
    user,
    workspace: WORKSPACE,
    email,
    iat,
    exp: iat + 864_000,
  });
  return JSON.stringify({
    access_token,
    refresh_token: `rt_${user}_${iat}`,
    email,
    type: "codex",
    ...more,
  });
}

/** An instance that takes in what lies in a folder. */
async function importing(here: TestDatabase, dir: string, store?: SqlStore) {
  const folder = await openFileStore({ dir, clock: systemClock, scanIntervalMs: () => 0 });
  const into = store ?? openInstance(here).store;
  const lines: string[] = [];
  const log = createLog(
    () => ({ level: "info", format: "text" }),
    systemClock,
    (line) => lines.push(line.slice(13).trim()),
  );
  const { run } = createLanes(() => 1);
  const { take, isDue } = createFolderImport({
    folder,
    store: into,
    clock: systemClock,
    log,
    adopting: (task) => run("adopt", task),
  });
  return { take, isDue, store: into, lines };
}

async function tokensIn(store: SqlStore): Promise<readonly (string | undefined)[]> {
  const { logins } = await store.read();
  return logins.map(({ credential }) => credential.refreshToken).toSorted();
}

describeEach(DATABASES, ({ make }) => {
  test("each file comes in once, whole, and stays where it is", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 1000, { note: "mine", disabled: true }));
    writeFileSync(join(dir, "bob.json"), recordOf("bob", 1000));
    const { take, store, lines } = await importing(here, dir);
    expect(await take()).toBe(true);
    expect(await tokensIn(store)).toEqual(["rt_ann_1000", "rt_bob_1000"]);
    expect(await store.content("ann@example.com.json")).toContain('"note": "mine"');
    expect((await store.reread("ann@example.com.json"))?.isSwitchedOff).toBe(true);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toBe(
      "INFO  an account file was taken into the database file=bob.json outcome=added",
    );
    expect(await take()).toBe(false);
    expect(lines).toHaveLength(2);
    // Another instance with the same folder has nothing to do either.
    const other = await importing(here, dir);
    expect([await other.take(), other.lines]).toEqual([false, []]);
  });

  test("one that its owner has deleted since does not come back, unless its file has newer tokens", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 1000));
    const { take, store } = await importing(here, dir);
    await take();
    expect(await store.discard("ann@example.com.json")).toEqual({ ok: true });
    expect(await take()).toBe(false);
    expect(await (await importing(here, dir)).take()).toBe(false);
    expect(await tokensIn(store)).toEqual([]);
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 2000));
    expect(await take()).toBe(true);
    expect(await tokensIn(store)).toEqual(["rt_ann_2000"]);
  });

  test("newer tokens in a file count, older ones do not", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 2000));
    const { take, store, lines } = await importing(here, dir);
    await take();
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 3000));
    expect(await take()).toBe(true);
    expect(await tokensIn(store)).toEqual(["rt_ann_3000"]);
    expect(lines.at(-1)).toContain("outcome=updated");
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 1000));
    expect(await take()).toBe(false);
    expect(await tokensIn(store)).toEqual(["rt_ann_3000"]);
    expect(lines.at(-1)).toContain("outcome=unchanged");
    const told = lines.length;
    expect([await take(), lines.length]).toEqual([false, told]);
    // A file that goes takes nothing with it.
    unlinkSync(join(dir, "ann.json"));
    await take();
    expect(await tokensIn(store)).toEqual(["rt_ann_3000"]);
  });

  test("four instances that start together take each login in once", async () => {
    await using here = await make();
    const dir = makeFolder();
    const users = Array.from({ length: 6 }, (_, at) => `user${at}`);
    for (const user of users) writeFileSync(join(dir, `${user}.json`), recordOf(user, 1000));
    const instances = await Promise.all([1, 2, 3, 4].map(() => importing(here, dir)));
    const taken = await Promise.all(instances.map(({ take }) => take()));
    expect(taken).toContain(true);
    for (const { store, lines } of instances) {
      expect(await tokensIn(store)).toEqual(users.map((user) => `rt_${user}_1000`));
      expect(lines.filter((line) => line.startsWith("WARN"))).toEqual([]);
    }
    const { rows } = await here.run("SELECT name FROM codex_accounts");
    expect(rows).toHaveLength(users.length);
  });

  test("a file that is no account is told once, and the others come in", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "broken.json"), '{"access_token": "eyJ');
    writeFileSync(join(dir, "bob.json"), recordOf("bob", 1000));
    const { take, store, lines } = await importing(here, dir);
    await take();
    await take();
    expect(await tokensIn(store)).toEqual(["rt_bob_1000"]);
    const told = lines.filter((line) => line.includes("broken.json"));
    expect(told).toHaveLength(1);
    expect(told[0]).toStartWith("WARN  an account file was left alone");
    expect(told[0]).not.toContain("eyJ");
    // Broken anew after it was whole, it is told anew.
    writeFileSync(join(dir, "broken.json"), recordOf("ann", 1000));
    expect(await take()).toBe(true);
    writeFileSync(join(dir, "broken.json"), "{");
    await take();
    expect(lines.filter((line) => line.startsWith("WARN"))).toHaveLength(2);
  });

  test("what the database does not take is told, and tried again", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 1000));
    const { store } = openInstance(here);
    let isFull = true;
    const unsure: SqlStore = {
      ...store,
      add: async (name, content) =>
        isFull
          ? { ok: false, reason: "the database: no room for rt_secret_0123456789." }
          : store.add(name, content),
    };
    const { take, isDue, lines } = await importing(here, dir, unsure);
    expect(await take()).toBe(false);
    // Said once, however often it is tried.
    expect(await take()).toBe(false);
    expect(isDue()).toBe(true);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith(
      "WARN  an account file could not be taken into the database; it is tried again",
    );
    isFull = false;
    expect(await take()).toBe(true);
    expect(isDue()).toBe(false);
    expect(await tokensIn(store)).toEqual(["rt_ann_1000"]);
  });

  test("a login that is in, and could not be noted, is an account all the same", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 1000));
    const { store } = openInstance(here);
    let isAway = true;
    const away: SqlStore = {
      ...store,
      noteImport: async (digest) => {
        if (isAway) throw new DatabaseTrouble("away", "it is not reachable.");
        await store.noteImport(digest);
      },
    };
    const { take, isDue } = await importing(here, dir, away);
    expect([await take(), isDue()]).toEqual([true, true]);
    isAway = false;
    expect([await take(), isDue()]).toEqual([false, false]);
    expect(await tokensIn(store)).toEqual(["rt_ann_1000"]);
  });

  test("a database that is away takes the files when it is back, and that is no fault of the program's", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "ann.json"), recordOf("ann", 1000));
    const { store } = openInstance(here);
    let isAway = true;
    const away: SqlStore = {
      ...store,
      knownImports: async (digests) => {
        if (isAway) throw new DatabaseTrouble("away", "it is not reachable.");
        return store.knownImports(digests);
      },
    };
    const { take, isDue, lines } = await importing(here, dir, away);
    expect([await take(), await take(), isDue()]).toEqual([false, false, true]);
    expect(lines).toEqual([
      'WARN  account files cannot be taken into the database now; it is tried again reason="it is not reachable."',
    ]);
    isAway = false;
    expect([await take(), isDue()]).toEqual([true, false]);
    expect(await tokensIn(store)).toEqual(["rt_ann_1000"]);
  });

  test.skipIf(process.getuid?.() === 0)(
    "a folder that cannot be read is told, and nothing is lost",
    async () => {
      await using here = await make();
      const dir = makeFolder();
      writeFileSync(join(dir, "ann.json"), recordOf("ann", 1000));
      const { take, store } = await importing(here, dir);
      await take();
      chmodSync(dir, 0);
      expect(await take()).toBe(false);
      chmodSync(dir, 0o700);
      expect(await tokensIn(store)).toEqual(["rt_ann_1000"]);
    },
  );
});
