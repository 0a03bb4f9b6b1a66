import { describe, expect, test } from "bun:test";
import type { Database, Run } from "../../../src/store/sql/database.ts";
import {
  ACCOUNTS,
  CHANGES,
  exclusively,
  HOMES,
  IMPORTS,
  INSTANCES,
  migrate,
  namesOf,
  numberOf,
  SCHEMA_VERSION,
  STATES,
} from "../../../src/store/sql/schema.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { DATABASES, SERVERS, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { until } from "../../support/until.ts";
import { openInstance, troubleIn } from "./instance.ts";

const SCHEMA = "codex_proxy_schema";

async function versionIn({ run }: Pick<Database, "run">) {
  const { rows } = await run(`SELECT version, oldest FROM ${SCHEMA}`);
  return rows.map(({ version, oldest }) => [numberOf(version), numberOf(oldest)]);
}

/** Whether all is there that the newest schema has, and once. */
async function expectWhole(here: TestDatabase): Promise<void> {
  const { dialect } = here.connect().database;
  expect(await versionIn(here)).toEqual([[SCHEMA_VERSION, 1]]);
  const { rows } = await here.run(`SELECT id, revision, deletions FROM ${CHANGES} ORDER BY id`);
  // One counter for accounts, one for what instances tell each other.
  expect(rows.map((row) => Object.values(row).map(numberOf))).toEqual([
    [1, 1, 0],
    [2, 1, 0],
  ]);
  for (const table of [ACCOUNTS, STATES, HOMES, INSTANCES, IMPORTS]) {
    expect(namesOf((await here.run(dialect.columnsOf, [table])).rows).size).toBeGreaterThan(1);
  }
  const add = (name: string, identity: string | null) =>
    here.run(`INSERT INTO ${ACCOUNTS} (name, identity, content) VALUES (?, ?, ?)`, [
      name,
      identity,
      "{}",
    ]);
  await add("a.json", "one");
  await add("b.json", null);
  await add("c.json", null);
  expect((await troubleIn(add("a.json", "two")))?.kind).toBe("taken");
  expect((await troubleIn(add("d.json", "one")))?.kind).toBe("taken");
  await add("A.json", "two");
  const { rows: accounts } = await here.run(
    `SELECT generation, revision, aside, lease_until, spending_ms, lease_owner, spending FROM ${ACCOUNTS} WHERE name = 'a.json'`,
  );
  expect(
    Object.values(accounts[0] ?? {}).map((value) => (value === null ? null : numberOf(value))),
  ).toEqual([1, 0, 0, 0, 0, null, null]);
}

/** The database, but that from the `after`th statement on it breaks off. */
function breaking(database: Database, after: number): Database {
  let sent = 0;
  const broken =
    (run: Run): Run =>
    async (statement, params) => {
      sent += 1;
      // Whoever is killed has no lock any more.
      const isOver = statement.includes("RELEASE_LOCK");
      if (sent > after && !isOver) throw new Error("killed");
      return run(statement, params);
    };
  return {
    ...database,
    run: broken(database.run),
    begin: (task) => database.begin((run) => task(broken(run))),
    reserve: (task) => database.reserve((run) => task(broken(run))),
  };
}

describeEach(DATABASES, ({ make, name }) => {
  test("makes all that is needed, and once it is there sends no more than a look", async () => {
    await using here = await make();
    const { database } = here.connect();
    await migrate(database);
    const sent = database.statements();
    await migrate(database);
    expect(database.statements() - sent).toBe(2);
    await expectWhole(here);
  });

  test("four that start together make it once", async () => {
    await using here = await make();
    await Promise.all([1, 2, 3, 4].map(() => migrate(here.connect().database)));
    await expectWhole(here);
  });

  test("one that was broken off at any moment is gone on with", async () => {
    await using here = await make();
    const { database } = here.connect();
    let breaks = 0;
    for (let after = 0; after < 200; after++) {
      const outcome = await migrate(breaking(database, after)).then(
        () => "done",
        () => "broken",
      );
      if (outcome === "done") break;
      breaks += 1;
    }
    // What a transaction has made is gone each time; where there is none, each try finds what the ones before left.
    expect(breaks).toBeGreaterThan(name === "MariaDB" ? 5 : 20);
    await expectWhole(here);
  });

  test("a newer one is used as it is where it says that this program can", async () => {
    await using here = await make();
    await migrate(here.connect().database);
    await here.run(`UPDATE ${SCHEMA} SET version = 99, oldest = ${SCHEMA_VERSION}`);
    await here.run(`ALTER TABLE ${ACCOUNTS} ADD COLUMN of_tomorrow INTEGER`);
    await migrate(here.connect().database);
    expect(await versionIn(here)).toEqual([[99, SCHEMA_VERSION]]);
    const { store } = openInstance(here);
    expect(await store.add("ann", '{"refresh_token":"rt_1"}')).toMatchObject({ ok: true });
    expect((await store.read()).logins).toHaveLength(1);
  });

  test("and refused where it says that it cannot, with what to do", async () => {
    await using here = await make();
    await migrate(here.connect().database);
    await here.run(`UPDATE ${SCHEMA} SET version = 99, oldest = 98`);
    const trouble = await troubleIn(migrate(here.connect().database));
    expect(trouble?.message).toBe(
      `its schema is number 99, made by a newer version of this program, and this one (schema ${SCHEMA_VERSION}) cannot work with it. Update this program.`,
    );
    expect(await versionIn(here)).toEqual([[99, 98]]);
    const { store } = openInstance(here);
    expect(await store.read()).toMatchObject({ complete: false, logins: [] });
    expect(store.trouble()).toContain("Update this program.");
    // As soon as that is settled it works, without a new start.
    await here.run(`UPDATE ${SCHEMA} SET version = 99, oldest = 1`);
    expect(await store.read()).toMatchObject({ complete: true });
    expect(store.trouble()).toBeUndefined();
  });

  test("one at a time changes it", async () => {
    await using here = await make();
    await migrate(here.connect().database);
    let inside = 0;
    let most = 0;
    const turns = [1, 2, 3].map(() =>
      exclusively(here.connect().database, async (run) => {
        inside += 1;
        most = Math.max(most, inside);
        await run("SELECT 1");
        await Bun.sleep(1);
        inside -= 1;
      }),
    );
    await Promise.all(turns);
    expect([most, inside]).toEqual([1, 0]);
    // A task that fails gives the turn back.
    const failing = exclusively(here.connect().database, async () => {
      throw new Error("broken");
    });
    await expect(failing).rejects.toThrow("broken");
    await exclusively(here.connect().database, async () => {});
  });
});

describeEach(SERVERS, ({ make, name }) => {
  test("a user who may only read and write rows can work with one that is up to date", async () => {
    await using here = await make();
    await migrate(here.connect().database);
    const place = await here.addUser(["SELECT", "INSERT", "UPDATE", "DELETE"]);
    const { store } = openInstance(here, { client: here.connect(systemClock, { place }) });
    const added = await store.add("ann", '{"refresh_token":"rt_1"}');
    expect(added).toEqual({ ok: true, source: "ann.json" });
    expect(await store.switchOff("ann.json", true)).toEqual({ ok: true });
    const held = await store.locked("ann.json", { holdMs: 1000, waitMs: 0 }, () =>
      store.save("ann.json", { refreshToken: "rt_2" }, 0),
    );
    expect(held).toEqual({ ok: true, value: { ok: true } });
    expect(await store.setAside("ann.json")).toEqual({ ok: true });
    expect(await store.discard("ann.json.disabled")).toEqual({ ok: true });
    expect(store.trouble()).toBeUndefined();
  });

  test("and is told what is missing where there is none yet", async () => {
    await using here = await make();
    const place = await here.addUser(["SELECT", "INSERT", "UPDATE", "DELETE"]);
    const { store, database } = openInstance(here, {
      client: here.connect(systemClock, { place }),
    });
    const { complete, faults } = await store.read();
    expect(complete).toBe(false);
    const reason = faults[0]?.reason ?? "";
    expect(reason).toStartWith(
      `the database: the user may not do this in the database "${place.name}" (`,
    );
    expect(reason).toContain("Let somebody who may give it the rights to create, alter, select");
    // Said once, not within itself.
    expect(reason.match(/may not do this/g)).toHaveLength(1);
    expect(reason).not.toContain(place.password);
    expect(store.trouble()).toBe(reason);
    // Once it has been given, it goes on.
    await migrate(here.connect().database);
    if (name === "PostgreSQL") {
      await here.run(
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${place.user}`,
      );
    }
    expect(await store.read()).toMatchObject({ complete: true });
    expect([store.trouble(), database.trouble()]).toEqual([undefined, undefined]);
  });

  test("whoever waits for another's change goes on after it", async () => {
    await using here = await make();
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const first = exclusively(here.connect().database, async () => {
      begun.resolve();
      await end.promise;
    });
    await begun.promise;
    let isOver = false;
    const second = migrate(here.connect().database).then(() => {
      isOver = true;
    });
    await until("it waits", async () => {
      const { rows } = await here.run(
        name === "PostgreSQL"
          ? "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = CURRENT_DATABASE())"
          : "SELECT 1 FROM information_schema.processlist WHERE state = 'User lock'",
      );
      return rows.length > 0;
    });
    expect(isOver).toBe(false);
    end.resolve();
    await Promise.all([first, second]);
    await expectWhole(here);
  });

  if (name === "MariaDB") {
    test("and gives up when that takes too long, without getting the lock later", async () => {
      await using here = await make();
      const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const first = exclusively(here.connect().database, async () => {
        begun.resolve();
        await end.promise;
      });
      await begun.promise;
      const trouble = await troubleIn(migrate(here.connect().database));
      expect(trouble?.kind).toBe("clash");
      expect(trouble?.message).toContain("another instance is changing the schema");
      end.resolve();
      await first;
      const { rows } = await here.run(
        "SELECT IS_FREE_LOCK(CONCAT('codex_proxy_schema_', LEFT(MD5(DATABASE()), 16))) AS free",
      );
      expect(numberOf(rows[0]?.["free"])).toBe(1);
      // It is this database's own.
      await using other = await make();
      await exclusively(here.connect().database, () => migrate(other.connect().database));
    });
  }
});

describe("what databases call a number", () => {
  test.each([
    ["12", 12],
    [12, 12],
    [12n, 12],
    [null, 0],
    [undefined, 0],
    ["x", 0],
  ])("%p is %p", (value, number) => {
    expect(numberOf(value)).toBe(number);
  });
});
