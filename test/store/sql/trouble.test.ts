import { describe, expect, test } from "bun:test";
import { SQL } from "bun";
import type { DatabaseServer } from "../../../src/config/database.ts";
import {
  adviceFor,
  DatabaseTrouble,
  type TroubleKind,
  troubleOf,
} from "../../../src/store/sql/trouble.ts";
import { DATABASES } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { jwtOf } from "../tokens.ts";

/** An error as Bun's clients throw it: `errno` is the SQLSTATE, or the number. */
function thrown(message: string, code: string, errno?: string | number): Error {
  return Object.assign(new Error(message), { code, errno });
}

const PG = "ERR_POSTGRES_SERVER_ERROR";
const MY = "ERR_MYSQL_SERVER_ERROR";

// Measured with Bun 1.4.5, PostgreSQL 15, MariaDB 10.11 and SQLite 3; those that need a broken server are from the manuals.
const ERRORS: readonly [
  message: string,
  code: string,
  errno: string | number | undefined,
  kind: TroubleKind,
][] = [
  ['role "x" is not permitted to log in', PG, "28000", "login"],
  ['password authentication failed for user "x"', PG, "28P01", "login"],
  ["Access denied for user 'x'@'localhost' (using password: YES)", MY, 1045, "login"],
  ["Access denied for user 'root'@'localhost'", MY, 1698, "login"],
  ['database "x" does not exist', PG, "3D000", "no-database"],
  ["Unknown database 'x'", MY, 1049, "no-database"],
  ["permission denied for schema public", PG, "42501", "rights"],
  ["permission denied to create database", PG, "42501", "rights"],
  ["Access denied for user 'x'@'localhost' to database 'y'", MY, 1044, "rights"],
  ["CREATE command denied to user 'x'@'localhost' for table `y`.`z`", MY, 1142, "rights"],
  ["attempt to write a readonly database", "SQLITE_READONLY", 8, "rights"],
  ['duplicate key value violates unique constraint "k_pkey"', PG, "23505", "taken"],
  ['database "x" already exists', PG, "42P04", "taken"],
  ["Duplicate entry '1' for key 'PRIMARY'", MY, 1062, "taken"],
  ["Can't create database 'x'; database exists", MY, 1007, "taken"],
  ["UNIQUE constraint failed: k.id", "SQLITE_CONSTRAINT_PRIMARYKEY", 1555, "taken"],
  ["UNIQUE constraint failed: k.v", "SQLITE_CONSTRAINT_UNIQUE", 2067, "taken"],
  ["could not serialize access due to concurrent update", PG, "40001", "clash"],
  ["deadlock detected", PG, "40P01", "clash"],
  ['source database "template1" is being accessed by other users', PG, "55006", "clash"],
  ["Deadlock found when trying to get lock", MY, 1213, "clash"],
  ["Lock wait timeout exceeded", MY, 1205, "clash"],
  ["database is locked", "SQLITE_BUSY", 5, "clash"],
  ["database is locked", "SQLITE_BUSY_SNAPSHOT", 517, "clash"],
  ["terminating connection due to administrator command", PG, "57P01", "away"],
  ["the database system is starting up", PG, "57P03", "away"],
  ["sorry, too many clients already", PG, "53300", "away"],
  ["Too many connections", MY, 1040, "away"],
  ["Server shutdown in progress", MY, 1053, "away"],
  ["Failed to connect", "ERR_POSTGRES_CONNECTION_REFUSED", undefined, "away"],
  ["Failed to connect", "ERR_MYSQL_CONNECTION_REFUSED", undefined, "away"],
  ["Connection closed", "ERR_MYSQL_CONNECTION_CLOSED", undefined, "away"],
  ["Connection timeout after 5s", "ERR_POSTGRES_CONNECTION_TIMEOUT", undefined, "away"],
  ["unable to open database file", "SQLITE_CANTOPEN", 14, "away"],
  ["disk I/O error", "SQLITE_IOERR_WRITE", 778, "away"],
  ["Server does not support SSL", "ERR_POSTGRES_TLS_NOT_AVAILABLE", undefined, "security"],
  ["Authentication failed", "ERR_MYSQL_AUTHENTICATION_FAILED", undefined, "security"],
  ["self signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT", undefined, "security"],
  ["file is not a database", "SQLITE_NOTADB", 26, "other"],
  ['syntax error at or near "SELEC"', PG, "42601", "other"],
  ["Table 'x.y' doesn't exist", MY, 1146, "other"],
  ["NOT NULL constraint failed: k.v", "SQLITE_CONSTRAINT_NOTNULL", 1299, "other"],
];

describe("what an error means", () => {
  test.each(ERRORS)("%s (%s %s): %s", (message, code, errno, kind) => {
    const trouble = troubleOf(thrown(message, code, errno));
    expect(trouble).toBeInstanceOf(DatabaseTrouble);
    expect([trouble.kind, trouble.message]).toEqual([kind, message]);
  });

  test("one that is none of the client's is told in its words, and a trouble stays what it is", () => {
    expect(troubleOf(new TypeError("x is undefined"))).toMatchObject({
      kind: "other",
      message: "x is undefined",
    });
    expect(troubleOf("a text.")).toMatchObject({ kind: "other", message: "a text" });
    expect(troubleOf(undefined)).toMatchObject({ kind: "other" });
    const trouble = new DatabaseTrouble("clash", "once more");
    expect(troubleOf(trouble)).toBe(trouble);
  });

  test("no secret that a server quotes is in it, and it is one line of bounded length", () => {
    const token = jwtOf({ sub: "ann" });
    const { message } = troubleOf(
      thrown(`Duplicate entry\n  '${token}'   for key 'x'! ${"long ".repeat(200)}`, MY, 1062),
    );
    expect(message).not.toContain(token.slice(10, 30));
    expect(message).toStartWith("Duplicate entry '");
    expect(message).not.toContain("\n");
    expect(message.length).toBeLessThanOrEqual(300);
  });
});

describe("what its owner is told to do", () => {
  const server: DatabaseServer = {
    driver: "postgres",
    host: "db.example",
    port: 5432,
    user: "ann",
    password: "pass-word-9",
    name: "pool",
    sslMode: "prefer",
  };
  const advice: readonly [kind: TroubleKind, words: readonly string[]][] = [
    ["login", ["refuses the user or the password (said so)", "db-user", "db-password", "db-dsn"]],
    [
      "rights",
      ['the database "pool"', "(said so)", "create, alter, select, insert, update and delete"],
    ],
    ["no-database", ['there is no database "pool"', "db-name"]],
    ["away", ["not reachable (said so)", "db-host", "db-port"]],
    ["security", ["(said so)", "db-sslmode", "db-sslrootcert"]],
    ["other", ["said so"]],
  ];
  test.each(advice)("%s", (kind, words) => {
    const told = adviceFor(new DatabaseTrouble(kind, "said so"), server);
    for (const word of words) expect(told).toContain(word);
    expect(told).not.toContain(server.password);
    // It is the middle of a sentence that begins with "the database: ".
    expect(told).toMatch(/^[a-z]/);
  });

  test("of a file there is no name to tell, and no server", () => {
    const away = adviceFor(new DatabaseTrouble("away", "said so"), undefined);
    expect(away).toContain("its file cannot be opened, read or written (said so)");
    const told = adviceFor(new DatabaseTrouble("rights", "said so"), undefined);
    expect(told).toContain("the user may not do this in the database (said so)");
  });
});

describe("the real thing", () => {
  describeEach(DATABASES, ({ make }) => {
    test("a key that is taken, a statement that is none, a table that is not there", async () => {
      await using here = await make();
      await here.run("CREATE TABLE k (id INTEGER PRIMARY KEY, v VARCHAR(20) UNIQUE)");
      await here.run("INSERT INTO k (id, v) VALUES (?, ?)", [1, "one"]);
      const troubles = [
        here.run("INSERT INTO k (id, v) VALUES (?, ?)", [1, "two"]),
        here.run("INSERT INTO k (id, v) VALUES (?, ?)", [2, "one"]),
        here.run("SELEC"),
        here.run("SELECT * FROM nowhere"),
      ];
      const kinds = await Promise.all(
        troubles.map((each) =>
          each.then(
            () => "none",
            (cause: unknown) => troubleOf(cause).kind,
          ),
        ),
      );
      expect(kinds).toEqual(["taken", "taken", "other", "other"]);
    });

    test("nobody there, and a database that is not there", async () => {
      await using here = await make();
      const { place } = here;
      const askAt = async (options: SQL.Options): Promise<string> => {
        const client = new SQL(options);
        try {
          await client.unsafe("SELECT 1");
          return "none";
        } catch (cause) {
          return troubleOf(cause).kind;
        } finally {
          await client.close().catch(() => {});
        }
      };
      if (place.driver === "sqlite") {
        const filename = "/nowhere/at/all/accounts.db";
        expect(await askAt({ adapter: "sqlite", filename, create: true })).toBe("away");
        return;
      }
      const usual = {
        adapter: place.driver,
        hostname: place.host,
        username: place.user,
        password: "",
        max: 1,
      };
      expect(await askAt({ ...usual, port: place.port, database: "codex_test_none" })).toBe(
        "no-database",
      );
      const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
      const { port } = listener;
      listener.stop(true);
      expect(await askAt({ ...usual, port, database: place.name })).toBe("away");
    });
  });
});
