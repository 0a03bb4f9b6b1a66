import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SQL } from "bun";
import type { DatabasePlace } from "../../src/config/database.ts";
import { type Database, openDatabase } from "../../src/store/sql/database.ts";
import { createFeed, type Feed } from "../../src/store/sql/feed.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";

/** A database of a test's own, which goes with it. */
export type TestDatabase = AsyncDisposable & {
  readonly place: DatabasePlace;
  /** The keys of a configuration that uses it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** A further client of it, closed with it. */
  readonly connect: (clock?: Clock) => { readonly database: Database; readonly feed: Feed };
  /** Asks it in its owner's name. */
  readonly run: Database["run"];
};

/** A kind of database that tests run against. */
export type Kind = {
  readonly name: string;
  /** False where no server of the kind answers here: its tests are skipped then. */
  readonly isHere: boolean;
  readonly make: () => Promise<TestDatabase>;
};

type Server = {
  readonly driver: "postgres" | "mysql";
  readonly port: number;
  readonly user: string;
  readonly always: string;
};

// The servers' usual local ports, with the users that need no password there.
const POSTGRES: Server = { driver: "postgres", port: 5432, user: "postgres", always: "postgres" };
const MARIADB: Server = { driver: "mysql", port: 3306, user: "root", always: "information_schema" };

/** Every kind of database, SQLite always and the others where a server answers. */
export const DATABASES: readonly Kind[] = [
  { name: "SQLite", isHere: true, make: makeFile },
  {
    name: "PostgreSQL",
    isHere: await answers(POSTGRES),
    make: () => makeOn(POSTGRES),
  },
  { name: "MariaDB", isHere: await answers(MARIADB), make: () => makeOn(MARIADB) },
];

/** Those that are servers. */
export const SERVERS = DATABASES.filter(({ name }) => name !== "SQLite");

function clientOf({ driver, port, user }: Server, database: string): SQL {
  return new SQL({
    adapter: driver,
    hostname: "127.0.0.1",
    port,
    username: user,
    password: "",
    database,
    max: 1,
    connectionTimeout: 2,
  });
}

async function answers(server: Server): Promise<boolean> {
  const client = clientOf(server, server.always);
  try {
    await client.unsafe("SELECT 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.close().catch(() => {});
  }
}

function freshName(): string {
  return `codex_test_${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
}

async function makeOn(server: Server): Promise<TestDatabase> {
  const name = freshName();
  const admin = clientOf(server, server.always);
  await admin.unsafe(`CREATE DATABASE ${name}`);
  const { driver, port, user } = server;
  const place = {
    driver,
    host: "127.0.0.1",
    port,
    user,
    password: "",
    name,
    sslMode: "disable",
  } as const;
  return testDatabase(
    place,
    {
      "db-enabled": true,
      "db-driver": driver,
      "db-host": place.host,
      "db-port": port,
      "db-user": user,
      "db-name": name,
      "db-sslmode": "disable",
    },
    async () => {
      await admin.unsafe(`DROP DATABASE ${name}${driver === "postgres" ? " WITH (FORCE)" : ""}`);
      await admin.close();
    },
  );
}

async function makeFile(): Promise<TestDatabase> {
  const dir = mkdtempSync(join(tmpdir(), "codex-proxy-sqlite-"));
  const path = join(dir, "accounts.db");
  return testDatabase(
    { driver: "sqlite", path },
    { "db-enabled": true, "db-driver": "sqlite", "db-name": path },
    async () => rmSync(dir, { recursive: true, force: true }),
  );
}

function testDatabase(
  place: DatabasePlace,
  config: Readonly<Record<string, unknown>>,
  drop: () => Promise<void>,
): TestDatabase {
  const open: Database[] = [];
  const connect = (clock: Clock = systemClock) => {
    const options = { clock: systemClock, chance: Math.random, mostConnections: 2, lifetimeSec: 0 };
    const database = openDatabase({ ...options, place });
    open.push(database);
    return { database, feed: createFeed(database, clock) };
  };
  const { database: own } = connect();
  return {
    place,
    config,
    connect,
    run: own.run,
    [Symbol.asyncDispose]: async () => {
      for (const database of open) await database.close();
      await drop();
    },
  };
}
