import type { DatabaseDriver } from "../../config/database.ts";

/** What the three databases say differently. All other SQL is written once, with `?` for each parameter. */
export type Dialect = {
  readonly driver: DatabaseDriver;
  /** Takes any text without a limit. */
  readonly text: string;
  /** A short text that can be an index's key, compared byte by byte. */
  readonly key: string;
  /** What comes after a table's closing parenthesis. */
  readonly tableEnd: string;
  /** The beginning of a number that the database counts up by itself. */
  readonly serial: string;
  /** The database's own time in Unix milliseconds, as an expression: instances' clocks may differ by minutes. */
  readonly nowMs: string;
  /** Makes an index, where it is not there yet; only MySQL cannot say that, so that whoever asks looks first. */
  readonly index: (isUnique: boolean, name: string, table: string, column: string) => string;
  /** The columns of a table, one per row in `name`; no rows where there is none. One parameter: the table. */
  readonly columnsOf: string;
  /** Makes an INSERT put new values where its key is there already. */
  readonly upsert: (key: string, columns: readonly string[]) => string;
  /**
   * How a transaction begins and ends. One that stands still is ended by the server, where the server can, since all
   * others wait for it; and these give up before the client does, which would leave the server waiting without them.
   */
  readonly begin: string;
  readonly commit: string;
  readonly rollback: string;
  /** The statement as the driver takes it. */
  readonly spell: (statement: string) => string;
};

// A transaction of ours is a few statements, one right after the other. Both are far below what a statement may take.
const STILL_SEC = 4;
const BLOCKED_SEC = 6;
// MySQL has no limit for a transaction that stands still, but one for a connection; what is idle in the pool keeps its own.
const MYSQL_USUAL = "SET SESSION wait_timeout = DEFAULT";

const POSTGRES: Dialect = {
  driver: "postgres",
  text: "TEXT",
  key: "VARCHAR(255)",
  tableEnd: "",
  serial: "BIGSERIAL PRIMARY KEY",
  nowMs: "CAST(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) * 1000 AS BIGINT)",
  index: (isUnique, name, table, column) =>
    `CREATE ${isUnique ? "UNIQUE " : ""}INDEX IF NOT EXISTS ${name} ON ${table} (${column})`,
  columnsOf:
    "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = CURRENT_SCHEMA() AND table_name = ?",
  upsert: (key, columns) =>
    ` ON CONFLICT (${key}) DO UPDATE SET ${columns.map((name) => `${name} = excluded.${name}`).join(", ")}`,
  begin: `BEGIN; SET LOCAL idle_in_transaction_session_timeout = '${STILL_SEC}s'; SET LOCAL lock_timeout = '${BLOCKED_SEC}s'`,
  commit: "COMMIT",
  rollback: "ROLLBACK",
  spell: numbered,
};

const MYSQL: Dialect = {
  driver: "mysql",
  // More than 64 KiB, which TEXT ends at.
  text: "MEDIUMTEXT",
  // Without this collation, names that differ in case alone would be one.
  key: "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
  tableEnd: " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4",
  serial: "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
  // Of the local time, UNIX_TIMESTAMP could not tell the two hours apart that a clock goes through in autumn.
  nowMs: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
  index: (isUnique, name, table, column) =>
    `CREATE ${isUnique ? "UNIQUE " : ""}INDEX ${name} ON ${table} (${column})`,
  columnsOf:
    "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?",
  upsert: (_key, columns) =>
    ` ON DUPLICATE KEY UPDATE ${columns.map((name) => `${name} = VALUES(${name})`).join(", ")}`,
  begin: `SET SESSION wait_timeout = ${STILL_SEC}, innodb_lock_wait_timeout = ${BLOCKED_SEC}; BEGIN`,
  commit: `COMMIT; ${MYSQL_USUAL}`,
  rollback: `ROLLBACK; ${MYSQL_USUAL}`,
  spell: (statement) => statement,
};

const SQLITE: Dialect = {
  driver: "sqlite",
  text: "TEXT",
  key: "VARCHAR(255)",
  tableEnd: "",
  serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
  nowMs: "CAST((JULIANDAY('now') - 2440587.5) * 86400000 AS INTEGER)",
  index: POSTGRES.index,
  columnsOf: "SELECT name FROM pragma_table_info(?)",
  upsert: POSTGRES.upsert,
  // A transaction on a file that only reads at first could not write when another one has begun to.
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  spell: (statement) => statement,
};

/** The one table of what differs. */
export const DIALECTS: Readonly<Record<DatabaseDriver, Dialect>> = {
  postgres: POSTGRES,
  mysql: MYSQL,
  sqlite: SQLITE,
};

/** PostgreSQL numbers its parameters. No text of ours holds a question mark of its own. */
function numbered(statement: string): string {
  let count = 0;
  return statement.replaceAll("?", () => {
    count += 1;
    return `$${count}`;
  });
}
