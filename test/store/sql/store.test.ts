import { describe, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import type { DatabasePlace } from "../../../src/config/database.ts";
import { createSealer } from "../../../src/store/seal.ts";
import { ACCOUNTS, CHANGES } from "../../../src/store/sql/schema.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { DATABASES, SERVERS, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { contract } from "../contract.ts";
import { makePlaceIn } from "../kinds.ts";
import { accessTokenOf, WORKSPACE } from "../tokens.ts";
import { openInstance, troubleIn } from "./instance.ts";
import { outageOf } from "./outage.ts";

const recordOf = (user: string, iat = 1000): string =>
  JSON.stringify({
    access_token: accessTokenOf({ user, workspace: WORKSPACE, iat, exp: iat + 900 }),
    refresh_token: `rt_${user}_${iat}`,
  });

describeEach(DATABASES, (kind) => {
  describe("as any store", () => contract(makePlaceIn(kind)));
});

describeEach(DATABASES, ({ make, name }) => {
  test("opening asks nothing; the first use makes what is needed, once for all that come at a time", async () => {
    await using here = await make();
    const { store, database } = openInstance(here);
    expect(database.statements()).toBe(0);
    const [read, aside] = await Promise.all([
      store.read(),
      store.aside(),
      store.reread("a.json"),
      store.ready(),
    ]);
    expect(read).toEqual({ logins: [], faults: [], duplicates: [], complete: true });
    expect(aside).toEqual([]);
    const { rows } = await here.run(`SELECT revision FROM ${CHANGES} WHERE id = 1`);
    expect(rows).toHaveLength(1);
  });

  test("reading what has not changed costs one look", async () => {
    await using here = await make();
    const { store, database } = openInstance(here);
    for (const user of ["ann", "bob", "carl"]) await store.add(user, recordOf(user));
    await store.read();
    const before = database.statements();
    await store.read();
    expect(database.statements() - before).toBe(1);
  });

  test("a login that another instance adds in the same moment is there once", async () => {
    await using here = await make();
    const stores = [1, 2, 3, 4].map(() => openInstance(here).store);
    const added = await Promise.all(
      stores.map((store, at) => store.add(`name${at}`, recordOf("ann"))),
    );
    expect(added.filter(({ ok }) => ok)).toHaveLength(1);
    for (const each of added) {
      if (!each.ok)
        expect(each.reason).toMatch(/^name\d\.json: another instance has just added this login/);
    }
    expect((await stores[0]?.read())?.logins).toHaveLength(1);
  });

  test("a login that says nothing of whose it is becomes one account, however many add it at once", async () => {
    await using here = await make();
    const instances = [openInstance(here), openInstance(here), openInstance(here)];
    await Promise.all(instances.map(({ store }) => store.ready()));
    const added = await Promise.all(
      instances.map(({ store }) => store.add("auth", '{"refresh_token":"rt_opaque"}')),
    );
    expect(added.filter(({ ok }) => ok)).toHaveLength(1);
    const { logins } = await openInstance(here).store.read();
    expect(logins.map(({ credential }) => credential.refreshToken)).toEqual(["rt_opaque"]);
  });

  test("what was taken in from files is known to all, whatever number is asked for", async () => {
    await using here = await make();
    const [one, other] = [openInstance(here).store, openInstance(here).store];
    const digests = Array.from({ length: 450 }, (_, at) => `digest-${at}`);
    expect((await one.knownImports(digests)).size).toBe(0);
    expect((await one.knownImports([])).size).toBe(0);
    for (const digest of ["digest-0", "digest-200", "digest-449"]) await one.noteImport(digest);
    await one.noteImport("digest-0");
    expect([...(await other.knownImports(digests))].toSorted()).toEqual([
      "digest-0",
      "digest-200",
      "digest-449",
    ]);
  });

  test("a database that is away at the start is told, and used as soon as it is back", async () => {
    await using here = await make();
    await openInstance(here).store.add("ann", recordOf("ann"));
    const outage = outageOf(here);
    const { store } = openInstance(here, { client: outage.client });
    outage.begin();
    expect(await store.read()).toEqual({
      logins: [],
      duplicates: [],
      faults: [{ source: "the database", reason: "the database: it is not reachable." }],
      complete: false,
    });
    expect((await troubleIn(store.ready()))?.kind).toBe("away");
    expect(await store.canAdd()).toMatchObject({ ok: false });
    expect(store.trouble()).toBe("the database: it is not reachable.");
    outage.end();
    expect((await store.read()).logins).toHaveLength(1);
    expect(store.trouble()).toBeUndefined();
  });

  test("while it is away later, all that is known stays known, and nothing is gone", async () => {
    await using here = await make();
    const outage = outageOf(here);
    const { store } = openInstance(here, { client: outage.client });
    await store.add("ann", recordOf("ann"));
    const { logins } = await store.read();
    outage.begin();
    const without = await store.read();
    expect(without.complete).toBe(false);
    expect(without.logins).toEqual(logins);
    expect(without.logins[0] === logins[0]).toBe(true);
    expect((await store.aside()).length).toBe(0);
    await openInstance(here).store.add("bob", recordOf("bob"));
    outage.end();
    expect((await store.read()).logins).toHaveLength(2);
  });

  test("a thousand accounts", async () => {
    await using here = await make();
    await openInstance(here).store.ready();
    const { database } = here.connect();
    await database.begin(async (run) => {
      for (let at = 0; at < 1000; at += 250) {
        const users = Array.from({ length: 250 }, (_, more) => `user${at + more}`);
        await run(
          `INSERT INTO ${ACCOUNTS} (name, content) VALUES ${users.map(() => "(?, ?)").join(", ")}`,
          users.flatMap((user) => [`${user}.json`, recordOf(user)]),
        );
      }
    });
    expect((await openInstance(here).store.read()).logins).toHaveLength(1000);
  });

  test("keys are set, and what is written from then on is sealed; without the key it is told and left", async () => {
    await using here = await make();
    await openInstance(here).store.add("ann", recordOf("ann"));
    const sealer = createSealer([new Uint8Array(32).fill(7)]);
    const { store } = openInstance(here, { sealer });
    expect((await store.read()).logins).toHaveLength(1);
    expect(await store.switchOff("ann.json", true)).toEqual({ ok: true });
    expect(await store.add("bob", recordOf("bob"))).toMatchObject({ ok: true });
    const { rows } = await here.run(`SELECT content FROM ${ACCOUNTS}`);
    for (const { content } of rows) expect(String(content)).not.toContain("rt_");
    expect(await store.content("ann.json")).toContain("rt_ann");
    const without = openInstance(here).store;
    const { logins, faults, complete } = await without.read();
    expect([logins, complete]).toEqual([[], true]);
    expect(faults.map(({ source }) => source).toSorted()).toEqual(["ann.json", "bob.json"]);
    expect(await without.save("ann.json", { refreshToken: "rt_x" }, 0)).toMatchObject({
      ok: false,
    });
    expect(await without.switchOff("ann.json", false)).toMatchObject({ ok: false });
    expect((await store.read()).logins).toHaveLength(2);
  });

  test(`its name is no secret, ${name}'s logs and reasons hold none`, async () => {
    await using here = await make();
    const outage = outageOf(here);
    const { store, logs } = openInstance(here, { client: outage.client });
    await store.add("ann", recordOf("ann"));
    await store.locked("ann.json", { holdMs: 60_000, waitMs: 0 }, async () => {
      await store.canSave("ann.json");
      outage.begin();
      await store.save(
        "ann.json",
        { refreshToken: "rt_secret_2", accessToken: accessTokenOf({ user: "ann", iat: 5 }) },
        0,
      );
    });
    outage.end();
    await store.read();
    expect(logs()).toContain("are in the database now");
    expect(logs()).not.toMatch(/rt_|eyJ/);
  });
});

async function missing(here: TestDatabase): Promise<DatabasePlace> {
  if (here.place.driver === "sqlite") throw new Error("a file is made by opening it");
  return { ...here.place, name: `${here.place.name}_new` };
}

describeEach(SERVERS, ({ make }) => {
  test("a database that is not there is made, by whichever of four instances is first", async () => {
    await using here = await make();
    const place = await missing(here);
    const instances = [1, 2, 3, 4].map(() =>
      openInstance(here, { client: here.connect(systemClock, { place }) }),
    );
    try {
      const read = await Promise.all(instances.map(({ store }) => store.read()));
      for (const { complete } of read) expect(complete).toBe(true);
      expect(await instances[0]?.store.add("ann", recordOf("ann"))).toMatchObject({ ok: true });
      expect((await instances[3]?.store.read())?.logins).toHaveLength(1);
      const told = instances.filter(({ logs }) =>
        logs().includes("the database was not there and has been made"),
      );
      expect(told.length).toBeGreaterThan(0);
    } finally {
      for (const { database } of instances) await database.close();
      await here.run(
        `DROP DATABASE IF EXISTS ${here.place.driver === "sqlite" ? "" : `${here.place.name}_new`}`,
      );
    }
  });

  test("a wrong user is told, and what is known of them is not", async () => {
    await using here = await make();
    if (here.place.driver === "sqlite") return;
    const place = { ...here.place, user: "codex_test_nobody", password: "tok3n-of-mine" };
    const { store, logs } = openInstance(here, { client: here.connect(systemClock, { place }) });
    const { faults } = await store.read();
    expect(faults[0]?.reason).toStartWith(
      "the database: the server refuses the user or the password (",
    );
    expect(store.trouble()).toBe(faults[0]?.reason);
    expect(JSON.stringify(faults) + logs()).not.toContain("tok3n");
  });
});

describe("a file of SQLite", () => {
  const [file] = DATABASES;
  test("is made with room for a writer beside readers, and outlives a power cut", async () => {
    if (file === undefined) throw new Error("SQLite is always there");
    await using here = await file.make();
    const { store, database } = openInstance(here);
    await store.ready();
    const { rows: mode } = await database.run("PRAGMA journal_mode");
    const { rows: synchronous } = await database.run("PRAGMA synchronous");
    expect([Object.values(mode[0] ?? {}), Object.values(synchronous[0] ?? {})]).toEqual([
      ["wal"],
      [2],
    ]);
    if (here.place.driver === "sqlite") expect(existsSync(here.place.path)).toBe(true);
  });

  test.skipIf(process.platform === "win32")(
    "is for its owner's eyes alone, and so is what lies beside it",
    async () => {
      if (file === undefined) throw new Error("SQLite is always there");
      await using here = await file.make();
      await openInstance(here).store.ready();
      const path = here.place.driver === "sqlite" ? here.place.path : "";
      const modes = ["", "-wal", "-shm"].map((end) => statSync(`${path}${end}`).mode & 0o777);
      expect(modes).toEqual([0o600, 0o600, 0o600]);
    },
  );
});
