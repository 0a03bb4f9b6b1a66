import { closeSync, openSync } from "node:fs";
import { platform } from "#platform";
import type { DatabasePlace } from "../../config/database.ts";
import type { Sql, SqlOptions, SqlRun } from "../../platform/platform.ts";
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
  /** Calls `undo` if the transaction that `run` belongs to is undone. */
  readonly onUndone: (run: Run, undo: () => void) => void;
  /** PostgreSQL: listens to a channel. Undefined where the database cannot do this. @throws DatabaseTrouble */
  readonly listen: ((channel: string, ear: Ear) => Promise<() => void>) | undefined;
  /** How many statements have been sent so far. */
  readonly statements: () => number;
  /** Why the last statement did not get through to the database; undefined while it answers. */
  readonly trouble: () => string | undefined;
  readonly close: () => Promise<void>;
};

/** Whoever listens to a channel. */
export type Ear = {
  /** Somebody has said something. */
  readonly onNote: () => void;
  /** From here on nothing is missed: after the beginning, and again after each connection that was lost. */
  readonly onReady: () => void;
  /** Nothing comes any more; whoever wants to hear on listens anew. */
  readonly onLost: () => void;
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
  const undos = new WeakMap<Run, (() => void)[]>();
  const ears = new Set<Ear>();
  let client: Sql | undefined;
  let statements = 0;
  let trouble: string | undefined;

  const note = (cause: unknown): DatabaseTrouble => {
    const met = troubleOf(cause);
    const said = new DatabaseTrouble(met.kind, adviceFor(met, server));
    if (met.kind === "away" || met.kind === "login") trouble = said.message;
    return said;
  };

  const open = (): Sql => {
    try {
      if (client === undefined && place.driver === "sqlite") makeFile(place.path);
      client ??= openClient(settingsOf(place, options));
      return client;
    } catch (cause) {
      throw note(cause);
    }
  };

  /**
   * Gives up connections of which one has fallen silent: what lies between may have forgotten all of them, which shows
   * on none of them for a quarter of an hour, and new ones may work at once.
   */
  const abandon = (pool: Sql): void => {
    if (client !== pool) return;
    client = undefined;
    void pool.close({ timeout: 0 }).catch(() => {});
    const deaf = [...ears];
    ears.clear();
    for (const { onLost } of deaf) onLost();
  };

  /** What comes of `work`, unless it takes too long: a server that stands still must not hold its callers for ever. */
  const bounded = async <T>(pool: Sql, work: () => PromiseLike<T>): Promise<T> => {
    try {
      // Nothing can come between this process and a file of its own machine.
      if (server === undefined) return await work();
      const done = await inTime(
        Promise.resolve(work()).then((value) => ({ value })),
        options.limitMs ?? LIMIT_MS,
        clock,
      );
      if (done !== undefined) return done.value;
      abandon(pool);
      throw new DatabaseTrouble("away", "it did not answer in time");
    } catch (cause) {
      throw note(cause);
    }
  };

  const runOn =
    (pool: Sql, connection: SqlRun): Run =>
    async (statement, params = []) => {
      statements += 1;
      // Those who share a file share a machine: its clock is this program's own, which a test moves.
      const said =
        server === undefined
          ? statement.replaceAll(dialect.nowMs, String(Math.trunc(clock.now())))
          : statement;
      const send = () => connection.unsafe(dialect.spell(said), [...params]);
      const result = await bounded(pool, send);
      trouble = undefined;
      return answerOf(result);
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

  /** A connection for `task` alone, and whether it can still be used. */
  const reserved = async <T>(
    task: (run: Run, isUsable: () => boolean) => Promise<T>,
  ): Promise<T> => {
    const pool = open();
    if (server === undefined) return task(runOn(pool, pool), () => true);
    const connection = await bounded(pool, () => pool.reserve());
    try {
      return await task(runOn(pool, connection), () => client === pool);
    } finally {
      connection.release();
    }
  };

  const transact = <T>(task: (run: Run) => Promise<T>): Promise<T> =>
    reserved(async (run, isUsable) => {
      const undo: (() => void)[] = [];
      undos.set(run, undo);
      try {
        await run(dialect.begin);
        const value = await task(run);
        await run(dialect.commit);
        return value;
      } catch (cause) {
        if (isUsable()) await run(dialect.rollback).catch(() => {});
        for (const each of undo) each();
        throw cause;
      }
    });

  return {
    dialect,
    place,
    run: (statement, params) =>
      alone(() =>
        persistently(() => {
          const pool = open();
          return runOn(pool, pool)(statement, params);
        }),
      ),
    begin: (task) => alone(() => persistently(() => transact(task))),
    reserve: (task) => alone(() => reserved(task)),
    onUndone: (run, undo) => void undos.get(run)?.push(undo),
    listen:
      place.driver === "postgres"
        ? async (channel, ear) => {
            const pool = open();
            const heard = await bounded(pool, () => pool.listen(channel, ear.onNote, ear.onReady));
            ears.add(ear);
            return () => {
              ears.delete(ear);
              void heard.unlisten().catch(() => {});
            };
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

/** Makes the file, where it is not there yet, for its owner's eyes alone; what the client puts beside it goes by it. */
function makeFile(path: string): void {
  try {
    closeSync(openSync(path, "a", 0o600));
  } catch {
    // The client tells why.
  }
}

function openClient(options: SqlOptions): Sql {
  const { openSql } = platform;
  // Configurations that would come to this are refused before.
  if (openSql === undefined) throw new Error(`${platform.name} has no client for databases`);
  return openSql(options);
}

/** The name that the server's own lists show for our connections. */
const APPLICATION = "codex-proxy";

function settingsOf(
  place: DatabasePlace,
  { mostConnections, lifetimeSec }: DatabaseOptions,
): SqlOptions {
  if (place.driver === "sqlite") return place;
  return {
    ...place,
    caFile: place.caFile,
    most: mostConnections === 0 ? USUAL_CONNECTIONS : mostConnections,
    connectSec: CONNECT_SEC,
    lifetimeSec,
    application: APPLICATION,
  };
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
