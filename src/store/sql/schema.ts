import type { Database, Row, Run } from "./database.ts";
import type { Dialect } from "./dialect.ts";
import { DatabaseTrouble } from "./trouble.ts";

/** The table of accounts. The Go program has one of this name, which is gone on with. */
export const ACCOUNTS = "codex_accounts";
/** How far the changes have come, and how many accounts were deleted: a row for the accounts, one for the sharing. */
export const CHANGES = "codex_proxy_changes";
const COUNTERS = [1, 2];
/** What an instance has found out about an account, for the others. */
export const STATES = "codex_proxy_states";
/** Which account a conversation is on. */
export const HOMES = "codex_proxy_homes";
/** The instances that live. */
export const INSTANCES = "codex_proxy_instances";
/** Logins that were taken in from files, so that each comes in once. */
export const IMPORTS = "codex_proxy_imports";
const SCHEMA = "codex_proxy_schema";

/** One step from a schema to the next. It may have been broken off by a crash, so that each of its parts looks first. */
type Migration = (run: Run, dialect: Dialect) => Promise<void>;

/**
 * The steps in their order; the number of a schema is how many of them it has gone through. A published one is never
 * changed.
 */
const MIGRATIONS: readonly Migration[] = [
  async (run, dialect) => {
    const { text, key, tableEnd, serial } = dialect;
    await run(`CREATE TABLE IF NOT EXISTS ${ACCOUNTS} (id ${serial}, name ${key})${tableEnd}`);
    // The Go program's table has an id and none of these. All may be missing in a row of its own.
    await addColumns(run, dialect, ACCOUNTS, {
      name: key,
      identity: key,
      content: text,
      generation: "BIGINT NOT NULL DEFAULT 1",
      revision: "BIGINT NOT NULL DEFAULT 0",
      aside: "SMALLINT NOT NULL DEFAULT 0",
      lease_owner: key,
      lease_until: "BIGINT NOT NULL DEFAULT 0",
      spending: key,
      spending_ms: "BIGINT NOT NULL DEFAULT 0",
    });
    await addIndex(run, dialect, ACCOUNTS, "codex_accounts_name", "name", true);
    await addIndex(run, dialect, ACCOUNTS, "codex_accounts_identity", "identity", true);
    await addIndex(run, dialect, ACCOUNTS, "codex_accounts_revision", "revision", false);
    await run(
      `CREATE TABLE IF NOT EXISTS ${CHANGES} (id SMALLINT PRIMARY KEY, revision BIGINT NOT NULL, deletions BIGINT NOT NULL)${tableEnd}`,
    );
    const counted = new Set(
      (await run(`SELECT id FROM ${CHANGES}`)).rows.map((row) => numberOf(row["id"])),
    );
    for (const id of COUNTERS) {
      if (counted.has(id)) continue;
      await run(`INSERT INTO ${CHANGES} (id, revision, deletions) VALUES (?, 1, 0)`, [id]);
    }
    await run(
      `CREATE TABLE IF NOT EXISTS ${STATES} (account ${key} PRIMARY KEY, body ${text} NOT NULL, at_ms BIGINT NOT NULL, revision BIGINT NOT NULL)${tableEnd}`,
    );
    await addIndex(run, dialect, STATES, "codex_proxy_states_revision", "revision", false);
    await run(
      `CREATE TABLE IF NOT EXISTS ${HOMES} (conversation ${key} PRIMARY KEY, account ${key} NOT NULL, used_ms BIGINT NOT NULL, revision BIGINT NOT NULL)${tableEnd}`,
    );
    await addIndex(run, dialect, HOMES, "codex_proxy_homes_revision", "revision", false);
    await addIndex(run, dialect, HOMES, "codex_proxy_homes_used", "used_ms", false);
    await run(
      `CREATE TABLE IF NOT EXISTS ${INSTANCES} (id ${key} PRIMARY KEY, until_ms BIGINT NOT NULL, version ${key} NOT NULL)${tableEnd}`,
    );
    await run(
      `CREATE TABLE IF NOT EXISTS ${IMPORTS} (digest ${key} PRIMARY KEY, at_ms BIGINT NOT NULL)${tableEnd}`,
    );
  },
];

/** The schema that this program makes and uses. */
export const SCHEMA_VERSION = MIGRATIONS.length;
/**
 * The oldest schema whose programs can go on beside this one. To be raised by a step that an older program could not
 * live with: it then stops, and says so, instead of spoiling something.
 */
const OLDEST_PROGRAM = 1;

/**
 * Brings the database to the schema of this program, once among all instances that start together. A schema of a newer
 * program is used as it is where that program says that this one can.
 * @throws DatabaseTrouble where it is too new, or may not be changed
 */
export async function migrate(database: Database): Promise<void> {
  if (isCurrent(await read(database.run, database.dialect))) return;
  await exclusively(database, async (run) => {
    const found = await read(run, database.dialect);
    if (isCurrent(found)) return;
    await run(
      `CREATE TABLE IF NOT EXISTS ${SCHEMA} (id SMALLINT PRIMARY KEY, version INTEGER NOT NULL, oldest INTEGER NOT NULL)${database.dialect.tableEnd}`,
    );
    for (const step of MIGRATIONS.slice(found.version)) await step(run, database.dialect);
    const { rows } = await run(`SELECT id FROM ${SCHEMA}`);
    const params = [SCHEMA_VERSION, OLDEST_PROGRAM];
    if (rows.length === 0)
      await run(`INSERT INTO ${SCHEMA} (id, version, oldest) VALUES (1, ?, ?)`, params);
    else await run(`UPDATE ${SCHEMA} SET version = ?, oldest = ? WHERE id = 1`, params);
  });
}

type Version = { readonly version: number; readonly oldest: number };

function isCurrent({ version, oldest }: Version): boolean {
  if (oldest > SCHEMA_VERSION) {
    const message = `its schema is number ${version}, made by a newer version of this program, and this one (schema ${SCHEMA_VERSION}) cannot work with it. Update this program.`;
    throw new DatabaseTrouble("other", message);
  }
  return version >= SCHEMA_VERSION;
}

async function read(run: Run, dialect: Dialect): Promise<Version> {
  const { rows: columns } = await run(dialect.columnsOf, [SCHEMA]);
  if (columns.length === 0) return { version: 0, oldest: 0 };
  const { rows } = await run(`SELECT version, oldest FROM ${SCHEMA} WHERE id = 1`);
  const [row] = rows;
  return { version: numberOf(row?.["version"]), oldest: numberOf(row?.["oldest"]) };
}

/** A number of the database's; PostgreSQL and MySQL give large ones as text. */
export function numberOf(value: unknown): number {
  const found = Number(value ?? 0);
  return Number.isFinite(found) ? found : 0;
}

// Any number that nobody else takes; the server's other users may have locks of their own.
const LOCK_NUMBER = 1_129_270_872;
// MySQL's locks are the whole server's, which may have several such databases; their names have 64 characters at most.
const LOCK = "CONCAT('codex_proxy_schema_', LEFT(MD5(DATABASE()), 16))";
// Less than a statement may take: whoever gave it up would get the lock later, and keep it.
const LOCK_WAIT_SEC = 3;

/** Runs `task` while no other instance changes the schema. */
export async function exclusively(
  database: Database,
  task: (run: Run) => Promise<void>,
): Promise<void> {
  switch (database.dialect.driver) {
    case "postgres":
      // All or nothing: its CREATE and ALTER are part of a transaction, and the lock ends with that.
      return database.begin(async (run) => {
        await run("SELECT PG_ADVISORY_XACT_LOCK(CAST(? AS BIGINT))", [LOCK_NUMBER]);
        await task(run);
      });
    case "mysql":
      return database.reserve(async (run) => {
        const { rows } = await run(`SELECT GET_LOCK(${LOCK}, ?) AS held`, [LOCK_WAIT_SEC]);
        if (numberOf(rows[0]?.["held"]) !== 1) {
          throw new DatabaseTrouble(
            "clash",
            "another instance is changing the schema for a long time",
          );
        }
        try {
          await task(run);
        } finally {
          await run(`SELECT RELEASE_LOCK(${LOCK})`).catch(() => {});
        }
      });
    case "sqlite":
      return database.begin(task);
  }
}

async function addColumns(
  run: Run,
  dialect: Dialect,
  table: string,
  columns: Readonly<Record<string, string>>,
): Promise<void> {
  const there = namesOf((await run(dialect.columnsOf, [table])).rows);
  for (const [name, type] of Object.entries(columns)) {
    if (!there.has(name)) await run(`ALTER TABLE ${table} ADD COLUMN ${name} ${type}`);
  }
}

async function addIndex(
  run: Run,
  dialect: Dialect,
  table: string,
  name: string,
  column: string,
  isUnique: boolean,
): Promise<void> {
  if (dialect.driver === "mysql") {
    const { rows } = await run(
      "SELECT index_name AS name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?",
      [table, name],
    );
    if (rows.length > 0) return;
  }
  await run(dialect.index(isUnique, name, table, column));
}

/** The names in rows of `columnsOf`; servers differ in the case of that word itself. */
export function namesOf(rows: readonly Row[]): ReadonlySet<string> {
  return new Set(rows.flatMap((row) => Object.values(row).map(String)));
}
