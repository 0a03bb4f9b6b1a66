import { SQL } from "bun";
import type { DatabasePlace, DatabaseServer } from "../../config/database.ts";
import { type Clock, inTime, type Millis } from "../../wire/clock.ts";
import { createLanes } from "../../wire/lanes.ts";
import { DIALECTS, type Dialect } from "./dialect.ts";
import { adviceFor, DatabaseTrouble, troubleOf } from "./trouble.ts";

/** What a statement is given for a `?`. */
export type Param = string | number | null;

export type Row = Readonly<Record<string, unknown>>;

/** The rows that a statement gave, and how many it touched. */
export type Answer = { readonly rows: readonly Row[]; readonly count: number };

/** Sends one statement, written with `?` for each parameter. @throws DatabaseTrouble */
export type Run = (statement: string, params?: readonly Param[]) => Promise<Answer>;

/** A database of the owner's. All that it is asked goes through here, and is counted. */
export type Database = {
  readonly dialect: Dialect;
  readonly place: DatabasePlace;
  readonly run: Run;
  /**
   * Runs `task` as one transaction, and once more where another one was in its way. What the task throws undoes all.
   * @throws DatabaseTrouble
   */
  readonly begin: <T>(task: (run: Run) => Promise<T>) => Promise<T>;
  /** A connection of its own for `task`, for what a server ties to a connection. @throws DatabaseTrouble */
  readonly reserve: <T>(task: (run: Run) => Promise<T>) => Promise<T>;
  /**
   * PostgreSQL: calls `onNote` whenever somebody says something on the channel, and `onReady` each time when that is
   * sure again after a connection was lost. Undefined where the database cannot do this.
   */
  readonly listen:
    | ((channel: string, onNote: () => void, onReady: () => void) => Promise<() => void>)
    | undefined;
  /** How many statements have been sent so far. */
  readonly statements: () => number;
  /** Why the last statement did not get through to the database; undefined while it answers. */
  readonly trouble: () => string | undefined;
  readonly close: () => Promise<void>;
};

/** How a database is used. */
export type DatabaseOptions = {
  readonly place: DatabasePlace;
  readonly clock: Clock;
  /** From 0 to 1, for pauses that differ among instances. */
  readonly chance: () => number;
  /** `db-max-open-conns`; 0 = the default. */
  readonly mostConnections: number;
  /** `db-conn-max-lifetime-sec`, in seconds; 0 = for ever. */
  readonly lifetimeSec: number;
  /** How long a statement may take before its sender goes on without it; only tests say it. */
  readonly limitMs?: Millis;
};

const USUAL_CONNECTIONS = 4;
const CONNECT_SEC = 5;
const LIMIT_MS: Millis = 10_000;
// Whoever is in another's way tries again so often, after pauses that double from the first.
const TRIES = 6;
const FIRST_PAUSE_MS = 20;
// SQLite waits for others without giving the processor back, so that it waits briefly and we wait longer.
const SQLITE_BUSY_MS = 20;
const SQLITE_TRIES = 12;

/** A client of the database; nothing is sent before the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const { place, clock, chance } = options;
  const dialect = DIALECTS[place.driver];
  const server = place.driver === "sqlite" ? undefined : place;
  const { run: inTurn } = createLanes(() => 1);
  let client: SQL | undefined;
  let statements = 0;
  let trouble: string | undefined;

  const note = (cause: unknown): DatabaseTrouble => {
    const met = troubleOf(cause);
    const said = new DatabaseTrouble(met.kind, adviceFor(met, server));
    if (met.kind === "away" || met.kind === "login") trouble = said.message;
    return said;
  };

  const open = async (): Promise<SQL> => {
    client ??= new SQL(settingsOf(place, options));
    return client;
  };

  /** What comes of `work`, unless it takes too long: a server that stands still must not hold its callers for ever. */
  const bounded = async <T>(work: PromiseLike<T>): Promise<T> => {
    const done = await inTime(
      Promise.resolve(work).then((value) => ({ value })),
      options.limitMs ?? LIMIT_MS,
      clock,
    );
    if (done === undefined) throw new DatabaseTrouble("away", "it did not answer in time");
    return done.value;
  };

  const runOn =
    (connection: Pick<SQL, "unsafe">): Run =>
    async (statement, params = []) => {
      statements += 1;
      try {
        const result = await bounded(connection.unsafe(dialect.spell(statement), [...params]));
        trouble = undefined;
        return answerOf(result);
      } catch (cause) {
        throw note(cause);
      }
    };

  /** Once more, after a pause that is longer each time, where others were in the way. */
  const persistently = async <T>(attempt: () => Promise<T>): Promise<T> => {
    const tries = server === undefined ? SQLITE_TRIES : TRIES;
    for (let tried = 1; ; tried++) {
      try {
        return await attempt();
      } catch (cause) {
        if (!(cause instanceof DatabaseTrouble) || cause.kind !== "clash" || tried >= tries)
          throw cause;
        const pauseMs = FIRST_PAUSE_MS * 2 ** (tried - 1) * (0.5 + chance());
        await new Promise<void>((resolve) => void clock.after(Math.min(pauseMs, 1000), resolve));
      }
    }
  };

  // The client has one connection to a file: what comes beside a transaction would be within it.
  const alone = <T>(task: () => Promise<T>): Promise<T> =>
    server === undefined ? inTurn("file", task) : task();

  const transact = async <T>(task: (run: Run) => Promise<T>): Promise<T> => {
    try {
      const connection = await open();
      const within = (own: Pick<SQL, "unsafe">): Promise<T> => task(runOn(own));
      // A transaction on a file that only reads at first could not write when another one has begun to.
      return await (server === undefined
        ? connection.begin("immediate", within)
        : connection.begin(within));
    } catch (cause) {
      throw note(cause);
    }
  };

  return {
    dialect,
    place,
    run: (statement, params) =>
      alone(() => persistently(async () => runOn(await open())(statement, params))),
    begin: (task) => alone(() => persistently(() => transact(task))),
    reserve: async (task) => {
      if (server === undefined) return alone(async () => task(runOn(await open())));
      const connection = await (await open()).reserve().catch((cause: unknown) => {
        throw note(cause);
      });
      try {
        return await task(runOn(connection));
      } finally {
        connection.release();
      }
    },
    listen:
      place.driver === "postgres"
        ? async (channel, onNote, onReady) => {
            const heard = await (await open())
              .listen(channel, onNote, onReady)
              .catch((cause: unknown) => {
                throw note(cause);
              });
            return () => void heard.unlisten().catch(() => {});
          }
        : undefined,
    statements: () => statements,
    trouble: () => trouble,
    close: async () => {
      await client?.close({ timeout: 1 }).catch(() => {});
      client = undefined;
    },
  };
}

/** The name that the server's own lists show for our connections. */
const APPLICATION = "codex-proxy";

function settingsOf(
  place: DatabasePlace,
  { mostConnections, lifetimeSec }: DatabaseOptions,
): SQL.Options {
  if (place.driver === "sqlite") return { adapter: "sqlite", filename: place.path, create: true };
  const { driver, host, port, user, password, name } = place;
  const isPath = host.startsWith("/");
  return {
    adapter: driver,
    ...(isPath ? { path: host } : { hostname: host, port }),
    username: user,
    password,
    database: name,
    max: mostConnections === 0 ? USUAL_CONNECTIONS : mostConnections,
    connectionTimeout: CONNECT_SEC,
    maxLifetime: lifetimeSec,
    ...securityOf(place),
    ...(driver === "mysql"
      ? { foundRows: true }
      : // A named statement would belong to one of the connections that a pooler such as PgBouncer hands out by turns.
        { prepare: false, connection: { application_name: APPLICATION } }),
  };
}

/** The client takes a mode and certificates of one's own together only where the mode stands in a URL. */
function securityOf({
  driver,
  sslMode,
  caFile,
}: DatabaseServer): Pick<SQL.PostgresOrMySQLOptions, "tls" | "url"> {
  if (caFile === undefined) return { tls: sslMode };
  if (sslMode === "disable") return { tls: "disable" };
  return { url: `${driver}://?sslmode=${sslMode}`, tls: { ca: Bun.file(caFile) } };
}

function answerOf(result: unknown): Answer {
  const rows = Array.isArray(result) ? result : [];
  const { count, affectedRows } = Object(result);
  // For what changes rows, MySQL and SQLite tell the number in the one field, PostgreSQL in both.
  const touched = typeof affectedRows === "number" && affectedRows > 0 ? affectedRows : count;
  return { rows, count: typeof touched === "number" ? touched : 0 };
}

/** What a file of SQLite is told once it is open: readers beside a writer, and nothing lost by a power cut. */
export async function prepareFile({ run }: Pick<Database, "run">): Promise<void> {
  await run(`PRAGMA busy_timeout = ${SQLITE_BUSY_MS}`);
  await run("PRAGMA journal_mode = WAL");
  await run("PRAGMA synchronous = FULL");
}
