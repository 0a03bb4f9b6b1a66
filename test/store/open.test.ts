import { expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type OpenPorts, openStore, type StorePlace } from "../../src/store/open.ts";
import { createSealer } from "../../src/store/seal.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { SILENT } from "../../src/wire/log.ts";
import { DATABASES } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { makeFolder } from "./folder.ts";

const RECORD = '{"refresh_token":"rt_1","email":"ann@example.com"}';

function portsIn(dir: string): OpenPorts {
  return {
    clock: systemClock,
    log: SILENT,
    sealer: createSealer([]),
    chance: Math.random,
    scanIntervalMs: () => 0,
    stateDir: join(dir, ".codex-proxy"),
  };
}

function folderOf(dir: string): Omit<StorePlace, "database"> {
  return { dir, files: [], stateFile: "" };
}

test("without a database, accounts are in the folder, and there is nothing besides", async () => {
  const dir = makeFolder();
  writeFileSync(join(dir, "ann.json"), RECORD);
  const { store, shared, close } = await openStore(
    { ...folderOf(dir), database: undefined },
    portsIn(dir),
  );
  expect((await store.read()).logins.map(({ source }) => source)).toEqual([join(dir, "ann.json")]);
  expect([shared, store.trouble()]).toEqual([undefined, undefined]);
  await close();
});

describeEach(DATABASES, ({ make }) => {
  test("with one, they are there; the folder is beside it, and its files are no accounts", async () => {
    await using here = await make();
    const dir = makeFolder();
    writeFileSync(join(dir, "bob.json"), RECORD);
    const database = { place: here.place, mostConnections: 2, lifetimeSec: 0 };
    const { store, shared, close } = await openStore({ ...folderOf(dir), database }, portsIn(dir));
    // Nothing is asked before somebody wants to know.
    expect(shared?.database.statements()).toBe(0);
    expect(await store.read()).toEqual({ logins: [], faults: [], duplicates: [], complete: true });
    expect(await store.add("ann", RECORD)).toEqual({ ok: true, source: "ann.json" });
    expect((await store.read()).logins.map(({ source }) => source)).toEqual(["ann.json"]);
    expect((await shared?.folder.read())?.logins.map(({ source }) => source)).toEqual([
      join(dir, "bob.json"),
    ]);
    // What is on its way to the database lies where this instance keeps what is its own.
    await store.locked("ann.json", { holdMs: 60_000, waitMs: 0 }, async () => {
      expect(await store.canSave("ann.json")).toEqual({ ok: true });
      expect(readdirSync(join(dir, ".codex-proxy", "unsaved"))).toHaveLength(1);
    });
    expect(readdirSync(dir).filter((name) => name.endsWith(".json"))).toEqual(["bob.json"]);
    await close();
  });
});

test("a database that cannot be reached is told by what is asked, not by opening it", async () => {
  const dir = makeFolder();
  const database = {
    place: { driver: "sqlite", path: join(dir, "not", "there", "accounts.db") },
    mostConnections: 0,
    lifetimeSec: 0,
  } as const;
  const { store, close } = await openStore({ ...folderOf(dir), database }, portsIn(dir));
  expect(store.trouble()).toBeUndefined();
  const { complete, faults } = await store.read();
  expect(complete).toBe(false);
  expect(faults).toEqual([
    {
      source: "the database",
      reason: expect.stringMatching(/^the database: its file cannot be opened/),
    },
  ]);
  expect(store.trouble()).toBe(faults[0]?.reason);
  expect(existsSync(join(dir, "not"))).toBe(false);
  await close();
});
