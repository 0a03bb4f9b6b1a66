import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SQL } from "bun";
import type { DatabasePlace, DatabaseServer } from "../../src/config/database.ts";
import { type Database, type DatabaseOptions, openDatabase } from "../../src/store/sql/database.ts";
import { createFeed, type Feed } from "../../src/store/sql/feed.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";

/** A database of a test's own, which goes with it. */
export type TestDatabase = AsyncDisposable & {
  readonly place: DatabasePlace;
  /** The keys of a configuration that uses it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** A further client of it, closed with it; its feed goes by `clock`. */
  readonly connect: (
    clock?: Clock,
    more?: Partial<DatabaseOptions>,
  ) => { readonly database: Database; readonly feed: Feed };
  /** Asks it in its owner's name. */
  readonly run: Database["run"];
  /**
   * On a server: how a further user sees it, who may log in and do no more there than these rights say, such as
   * "SELECT"; goes with the database.
   */
  readonly addUser: (rights: readonly string[]) => Promise<DatabaseServer>;
  /** PostgreSQL: closes all clients and takes all out that is in it, since to make a new database takes PostgreSQL half a second. */
  readonly empty: () => Promise<void>;
};

/** A kind of database that tests run against. */
export type Kind = {
  readonly name: string;
  /** False where no server of the kind answers here: its tests are skipped then. */
  readonly isHere: boolean;
  readonly make: () => Promise<TestDatabase>;
};

type Server = {
  readonly title: string;
  readonly driver: "postgres" | "mysql";
  readonly port: number;
  readonly user: string;
  readonly always: string;
};

// The servers' usual local ports, unless the environment says others, with the users that need no password there.
const POSTGRES: Server = {
  title: "PostgreSQL",
  driver: "postgres",
  port: Number(process.env["CODEX_TEST_POSTGRES_PORT"] ?? 5432),
  user: "postgres",
  always: "postgres",
};
const MARIADB: Server = {
  title: "MariaDB",
  driver: "mysql",
  port: Number(process.env["CODEX_TEST_MARIADB_PORT"] ?? 3306),
  user: "root",
  always: "information_schema",
};

/** Every kind of database, SQLite always and the others where a server answers. */
export const DATABASES: readonly Kind[] = [
  { name: "SQLite", isHere: true, make: makeFile },
  await kindOf(POSTGRES),
  await kindOf(MARIADB),
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

async function kindOf(server: Server): Promise<Kind> {
  return { name: server.title, isHere: await answers(server), make: () => makeOn(server) };
}

async function answers(server: Server): Promise<boolean> {
  const client = clientOf(server, server.always);
  try {
    await client.unsafe("SELECT 1");
    return true;
  } catch {
    // The command that runs all tests repeats this line at its end.
    process.stderr.write(`skipped: ${server.title} does not answer on 127.0.0.1:${server.port}\n`);
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

type UserSql = {
  readonly add: (
    user: string,
    password: string,
    database: string,
    rights: readonly string[],
  ) => readonly string[];
  readonly drop: (user: string) => readonly string[];
};

// MariaDB takes whoever comes over the loopback interface for one of localhost, or not, by how it resolves names.
const HERE = ["localhost", "127.0.0.1"];

const USERS: Readonly<Record<DatabasePlace["driver"], UserSql>> = {
  sqlite: { add: () => [], drop: () => [] },
  postgres: {
    add: (user, password, _database, rights) => [
      `CREATE ROLE ${user} LOGIN PASSWORD '${password}'`,
      ...rights.map((right) => `GRANT ${right} ON ALL TABLES IN SCHEMA public TO ${user}`),
      `GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${user}`,
    ],
    drop: (user) => [`DROP OWNED BY ${user}`, `DROP ROLE ${user}`],
  },
  mysql: {
    add: (user, password, database, rights) =>
      HERE.flatMap((host) => [
        `CREATE USER '${user}'@'${host}' IDENTIFIED BY '${password}'`,
        ...rights.map((right) => `GRANT ${right} ON ${database}.* TO '${user}'@'${host}'`),
      ]),
    drop: (user) => HERE.map((host) => `DROP USER '${user}'@'${host}'`),
  },
};

/** The flags of a command that uses it. */
export function flagsOf({ config }: Pick<TestDatabase, "config">): Record<string, string> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, String(value)]));
}

/** How a database is used where a test does not care. */
export const USUAL = {
  clock: systemClock,
  chance: Math.random,
  mostConnections: 2,
  lifetimeSec: 0,
} as const;

function testDatabase(
  place: DatabasePlace,
  config: Readonly<Record<string, unknown>>,
  drop: () => Promise<void>,
): TestDatabase {
  const open: Database[] = [];
  const connect: TestDatabase["connect"] = (clock = systemClock, more = {}) => {
    const database = openDatabase({ ...USUAL, place, ...more });
    open.push(database);
    return { database, feed: createFeed(database, clock) };
  };
  const { database: own } = connect();
  const users: string[] = [];
  const close = async (): Promise<void> => {
    for (const database of open.splice(1)) await database.close();
    for (const user of users.splice(0)) {
      for (const statement of USERS[place.driver].drop(user)) await own.run(statement);
    }
  };
  return {
    place,
    config,
    connect,
    run: own.run,
    addUser: async (rights) => {
      if (place.driver === "sqlite") throw new Error("a file has no users");
      const user = freshName();
      users.push(user);
      const password = `pw-${user}`;
      for (const statement of USERS[place.driver].add(user, password, place.name, rights))
        await own.run(statement);
      return { ...place, user, password };
    },
    empty: async () => {
      await close();
      await own.run("DROP SCHEMA public CASCADE");
      await own.run("CREATE SCHEMA public");
      await own.run("GRANT USAGE ON SCHEMA public TO PUBLIC");
    },
    [Symbol.asyncDispose]: async () => {
      await close();
      await own.close();
      await drop();
    },
  };
}
