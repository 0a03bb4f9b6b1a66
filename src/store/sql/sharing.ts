import type { Clock, Millis } from "../../wire/clock.ts";
import { text } from "../../wire/json.ts";
import type { Database, Param, Row, Run } from "./database.ts";
import type { Feed } from "./feed.ts";
import { CHANGES, HOMES, INSTANCES, numberOf, STATES } from "./schema.ts";

/** The database's time, and between which moments of this machine's it was that. */
export type Moment = { readonly sentMs: Millis; readonly atMs: Millis; readonly gotMs: Millis };

/** What is known of an account, as it is written: its key says whose it is. */
export type SharedState = { readonly account: string; readonly body: string };

/** Which account a conversation is on, by the accounts' key, and when it was used last. */
export type SharedHome = {
  readonly conversation: string;
  readonly account: string;
  readonly usedMs: Millis;
};

/** How far somebody has read. */
export type Position = { readonly states: number; readonly homes: number };

/** What has been written since a position. */
export type Pulled = {
  readonly moment: Moment;
  readonly states: readonly SharedState[];
  readonly homes: readonly SharedHome[];
  readonly position: Position;
  /** The database was put back to an earlier state: what it holds was read from the beginning. */
  readonly isAnew: boolean;
};

/** An instance of this program that lives. */
export type Instance = { readonly id: string; readonly version: string };

/** What the instances of one database tell each other. All moments in it are the database's. */
export type Sharing = {
  /** @throws DatabaseTrouble */
  readonly pull: (since: Position | undefined) => Promise<Pulled>;
  /**
   * Rewrites the states of these accounts: `make` is given what is written there now, while nobody else can write, and
   * returns what is to be there instead. It may be called more than once. @throws DatabaseTrouble
   */
  readonly writeStates: (
    accounts: readonly string[],
    make: (present: ReadonlyMap<string, string>, moment: Moment) => readonly SharedState[],
  ) => Promise<void>;
  /** Writes where conversations are, unless they have been used elsewhere since. @throws DatabaseTrouble */
  readonly writeHomes: (homes: readonly SharedHome[]) => Promise<void>;
  /** Says that this instance lives, for a while; who else does. @throws DatabaseTrouble */
  readonly beat: (
    self: Instance,
  ) => Promise<{ readonly moment: Moment; readonly living: readonly Instance[] }>;
  /** Says that this instance has ended. @throws DatabaseTrouble */
  readonly leave: (id: string) => Promise<void>;
  /** Removes what nobody needs any more. @throws DatabaseTrouble */
  readonly sweep: () => Promise<void>;
  /** Calls `onChange` soon after another instance has written something. */
  readonly watch: Feed["watch"];
};

// An instance that has been silent for so long is taken to be dead.
const ALIVE_MS: Millis = 15_000;
const PAGE = 500;
// As many rows in one statement: three databases take some thousands of parameters.
const ROWS = 100;
/** What is read at most of where conversations are, and kept. */
export const MOST_HOMES = 20_000;
const MOST_HOMES_KEPT = 200_000;
// The longest life of a conversation's home without use, whatever an instance's own configuration says.
const HOMES_MS: Millis = 24 * 3_600_000;
const DEAD_MS: Millis = 3_600_000;
// As long as the state file remembers an account that is away.
const STATES_MS: Millis = 30 * 24 * 3_600_000;

/** What sharing needs. */
export type SharingPorts = {
  readonly database: Database;
  /** The one about the sharing. */
  readonly feed: Feed;
  readonly clock: Pick<Clock, "now">;
  /** Waits until the tables are there. @throws DatabaseTrouble */
  readonly ready: () => Promise<void>;
};

/** Sharing in a database. */
export function createSharing({ database, feed, clock, ready }: SharingPorts): Sharing {
  const { dialect } = database;
  const { nowMs } = dialect;
  // The furthest that the changes have come, by others' and by this instance's own.
  let highest = 0;

  const run: Run = async (statement, params) => {
    await ready();
    return database.run(statement, params);
  };

  /** One change: `task` is given its number. */
  const change = async (task: (own: Run, revision: number) => Promise<void>): Promise<void> => {
    await ready();
    const revision = await database.begin(async (own) => {
      const number = await feed.mark(own);
      await task(own, number);
      return number;
    });
    highest = Math.max(highest, revision);
  };

  /** One statement whose rows tell the database's time as `now`. */
  const timed = async (
    own: Run,
    statement: string,
    params: readonly Param[] = [],
  ): Promise<{ rows: readonly Row[]; moment: Moment }> => {
    const sentMs = clock.now();
    const { rows } = await own(statement, params);
    return { rows, moment: { sentMs, atMs: numberOf(rows[0]?.["now"]), gotMs: clock.now() } };
  };

  /** All rows of a table that were written after a revision, in the order in which they were. */
  const readSince = async (
    table: string,
    key: string,
    columns: string,
    since: number,
  ): Promise<{ rows: readonly Row[]; last: number }> => {
    const all: Row[] = [];
    let [last, lastKey] = [since, ""];
    for (;;) {
      const { rows } = await run(
        `SELECT ${key}, ${columns}, revision FROM ${table} WHERE revision > ? OR (revision = ? AND ${key} > ?) ORDER BY revision, ${key} LIMIT ${PAGE}`,
        [last, lastKey === "" ? -1 : last, lastKey],
      );
      all.push(...rows);
      const end = rows.at(-1);
      if (end !== undefined) [last, lastKey] = [numberOf(end["revision"]), String(end[key])];
      if (rows.length < PAGE) return { rows: all, last };
    }
  };

  /** Those that were used last: what an instance that has just begun may need. */
  const readNewest = async (): Promise<readonly Row[]> => {
    const { rows } = await run(
      `SELECT conversation, account, used_ms FROM ${HOMES} ORDER BY used_ms DESC LIMIT ${MOST_HOMES}`,
    );
    return rows;
  };

  const pull: Sharing["pull"] = async (since) => {
    const { moment, revision } = await cursor();
    const isAnew = since !== undefined && revision < highest;
    highest = revision;
    const from = isAnew ? undefined : since;
    if (from?.states === revision && from.homes === revision) {
      return { moment, states: [], homes: [], position: from, isAnew };
    }
    const states = await readSince(STATES, "account", "body", from?.states ?? -1);
    const homes =
      from === undefined
        ? { rows: await readNewest() }
        : await readSince(HOMES, "conversation", "account, used_ms", from.homes);
    // What was written while the rows were read is read again the next time, or has been already.
    return {
      moment,
      states: states.rows.map(stateOf),
      homes: homes.rows.map(homeOf),
      position: { states: Math.max(states.last, revision), homes: revision },
      isAnew,
    };
  };

  const cursor = async (): Promise<{ moment: Moment; revision: number }> => {
    const { rows, moment } = await timed(
      run,
      `SELECT revision, ${nowMs} AS now FROM ${CHANGES} WHERE id = ${feed.counter}`,
    );
    return { moment, revision: numberOf(rows[0]?.["revision"]) };
  };

  /** Puts rows in, or in the place of those with their keys. */
  const put = async (
    own: Run,
    table: string,
    columns: readonly string[],
    rows: readonly (readonly Param[])[],
  ): Promise<void> => {
    const [key = "", ...others] = columns;
    const places = `(${columns.map(() => "?").join(", ")})`;
    for (const some of inPieces(rows, ROWS)) {
      const values = some.map(() => places).join(", ");
      await own(
        `INSERT INTO ${table} (${columns.join(", ")}) VALUES ${values}${dialect.upsert(key, others)}`,
        some.flat(),
      );
    }
  };

  const among = async (
    own: Run,
    table: string,
    key: string,
    column: string,
    keys: readonly string[],
  ): Promise<readonly Row[]> => {
    const found: Row[] = [];
    for (const some of inPieces(keys, PAGE)) {
      const places = some.map(() => "?").join(", ");
      const { rows } = await own(
        `SELECT ${key}, ${column} FROM ${table} WHERE ${key} IN (${places})`,
        some,
      );
      found.push(...rows);
    }
    return found;
  };

  return {
    pull,
    writeStates: (accounts, make) =>
      change(async (own, revision) => {
        const { moment } = await timed(own, `SELECT ${nowMs} AS now`);
        const rows = await among(own, STATES, "account", "body", accounts);
        const present = new Map(rows.map(stateOf).map(({ account, body }) => [account, body]));
        const next = make(present, moment);
        await put(
          own,
          STATES,
          ["account", "body", "at_ms", "revision"],
          next.map(({ account, body }) => [account, body, moment.atMs, revision]),
        );
      }),
    writeHomes: (homes) =>
      change(async (own, revision) => {
        const keys = homes.map(({ conversation }) => conversation);
        const rows = await among(own, HOMES, "conversation", "used_ms", keys);
        const used = new Map(
          rows.map((row) => [String(row["conversation"]), numberOf(row["used_ms"])]),
        );
        const newer = homes.filter(
          ({ conversation, usedMs }) => usedMs >= (used.get(conversation) ?? 0),
        );
        await put(
          own,
          HOMES,
          ["conversation", "account", "used_ms", "revision"],
          newer.map(({ conversation, account, usedMs }) => [
            conversation,
            account,
            usedMs,
            revision,
          ]),
        );
      }),
    beat: async ({ id, version }) => {
      await run(
        `INSERT INTO ${INSTANCES} (id, until_ms, version) VALUES (?, ${nowMs} + ${ALIVE_MS}, ?)${dialect.upsert("id", ["until_ms", "version"])}`,
        [id, version],
      );
      const { rows, moment } = await timed(
        run,
        `SELECT id, until_ms, version, ${nowMs} AS now FROM ${INSTANCES}`,
      );
      const living = rows.filter((row) => numberOf(row["until_ms"]) > moment.atMs);
      return { moment, living: living.map(instanceOf) };
    },
    leave: async (id) => {
      await run(`DELETE FROM ${INSTANCES} WHERE id = ?`, [id]);
    },
    sweep: async () => {
      await run(`DELETE FROM ${INSTANCES} WHERE until_ms < ${nowMs} - ${DEAD_MS}`);
      await run(`DELETE FROM ${STATES} WHERE at_ms < ${nowMs} - ${STATES_MS}`);
      await run(`DELETE FROM ${HOMES} WHERE used_ms < ${nowMs} - ${HOMES_MS}`);
      const { rows } = await run(
        `SELECT used_ms FROM ${HOMES} ORDER BY used_ms DESC LIMIT 1 OFFSET ${MOST_HOMES_KEPT}`,
      );
      const [oldest] = rows;
      if (oldest !== undefined) {
        await run(`DELETE FROM ${HOMES} WHERE used_ms <= ?`, [numberOf(oldest["used_ms"])]);
      }
    },
    watch: feed.watch,
  };
}

function stateOf(row: Row): SharedState {
  return { account: String(row["account"]), body: text(row["body"]) ?? "" };
}

function homeOf(row: Row): SharedHome {
  return {
    conversation: String(row["conversation"]),
    account: String(row["account"]),
    usedMs: numberOf(row["used_ms"]),
  };
}

function instanceOf(row: Row): Instance {
  return { id: String(row["id"]), version: String(row["version"]) };
}

function inPieces<T>(all: readonly T[], most: number): readonly (readonly T[])[] {
  const pieces: T[][] = [];
  for (let at = 0; at < all.length; at += most) pieces.push(all.slice(at, at + most));
  return pieces;
}
