import type { Login } from "../../pool/account.ts";
import type { Millis } from "../../wire/clock.ts";
import { text } from "../../wire/json.ts";
import { ASIDE, formerName } from "../names.ts";
import { type Reading, readLogin } from "../record.ts";
import type { Sealer } from "../seal.ts";
import type { Param, Row, Run } from "./database.ts";
import type { Dialect } from "./dialect.ts";
import type { Cursor } from "./feed.ts";
import { ACCOUNTS, numberOf } from "./schema.ts";

/** An account as its row had it when it was last read. */
export type Kept = {
  readonly id: string;
  readonly name: string;
  /** Grows with each change of the content: who writes says which one they have read. */
  readonly generation: number;
  /** The number of the last change to the row, whatever it changed. */
  readonly revision: number;
  readonly isAside: boolean;
  /** A digest of whose login it is; undefined where that is not known, or another row has it. */
  readonly identity: string | undefined;
  /** In the clear; undefined where it could not be opened. */
  readonly content: string | undefined;
  readonly reading: Reading;
  /** How the content lies there; see `Sealing`. */
  readonly keyId: string | undefined;
  readonly isCurrent: boolean;
  /** A mark of the refresh token that somebody is spending, or was when they were killed. */
  readonly spending: string | undefined;
  /** How long ago that was written down, by the database's clock. */
  readonly spendingAgoMs: Millis;
};

/** What was last read of all accounts. */
export type Shelf = {
  /** Reads what has changed since the last time. @throws DatabaseTrouble */
  readonly pull: (run: Run, cursor: () => Promise<Cursor>) => Promise<void>;
  /** Reads one account; undefined where there is none of that name. @throws DatabaseTrouble */
  readonly fetch: (run: Run, name: string) => Promise<Kept | undefined>;
  readonly all: () => readonly Kept[];
  /** An account as it was last read. */
  readonly find: (name: string) => Kept | undefined;
  readonly forget: (name: string) => void;
};

const PAGE = 500;

/** Nothing has been read yet. */
export function createShelf(sealer: Sealer, { nowMs }: Pick<Dialect, "nowMs">): Shelf {
  const columns = `id, name, identity, content, generation, revision, aside, spending, ${nowMs} - spending_ms AS spending_ago`;
  const byId = new Map<string, Kept>();
  // Rows that this process has deleted since the last reading began.
  const forgotten = new Set<string>();
  let seen: Cursor | undefined;

  const put = (row: Row): Kept => {
    const id = String(row["id"]);
    const before = byId.get(id);
    const kept = keptOf(row, sealer, before);
    byId.set(id, kept);
    return kept;
  };

  /** All rows that fit, a page at a time, so that thousands of accounts do not come in one piece. */
  const readPages = async (
    run: Run,
    where: string,
    params: readonly Param[],
    isWanted: (row: Row) => boolean,
  ): Promise<void> => {
    let last = 0;
    for (;;) {
      const { rows } = await run(
        `SELECT ${columns} FROM ${ACCOUNTS} WHERE ${where} AND name IS NOT NULL AND id > ? ORDER BY id LIMIT ${PAGE}`,
        [...params, last],
      );
      for (const row of rows) if (isWanted(row)) put(row);
      last = numberOf(rows.at(-1)?.["id"]);
      if (rows.length < PAGE) return;
    }
  };

  /** Whether a row is no older than what is known: this process changes some while others are on their way to it. */
  const isNews = (row: Row): boolean => {
    const id = String(row["id"]);
    const known = byId.get(id)?.revision ?? 0;
    return !forgotten.has(id) && numberOf(row["revision"]) >= known;
  };

  const dropDeleted = async (run: Run): Promise<void> => {
    const { rows } = await run(`SELECT id FROM ${ACCOUNTS}`);
    const there = new Set(rows.map((row) => String(row["id"])));
    for (const id of byId.keys()) if (!there.has(id)) byId.delete(id);
  };

  const find = (name: string): Kept | undefined => {
    for (const kept of byId.values()) if (kept.name === name) return kept;
    return undefined;
  };

  return {
    pull: async (run, cursor) => {
      // Before the rows: what is changed meanwhile is read again the next time.
      const now = await cursor();
      forgotten.clear();
      // A database that was put back to an earlier state counts from there.
      const isPutBack = seen !== undefined && now.revision < seen.revision;
      const from = isPutBack ? undefined : seen;
      // Some may have been fetched before the first reading, and deleted since.
      const hasDeleted = from === undefined ? byId.size > 0 : from.deletions !== now.deletions;
      if (from === undefined) await readPages(run, "1 = 1", [], isPutBack ? () => true : isNews);
      else if (from.revision !== now.revision)
        await readPages(run, "revision > ?", [from.revision], isNews);
      if (hasDeleted) await dropDeleted(run);
      seen = now;
    },
    fetch: async (run, name) => {
      const { rows } = await run(`SELECT ${columns} FROM ${ACCOUNTS} WHERE name = ?`, [name]);
      const [row] = rows;
      return row === undefined ? undefined : put(row);
    },
    all: () => [...byId.values()],
    find,
    forget: (name) => {
      const kept = find(name);
      if (kept === undefined) return;
      byId.delete(kept.id);
      forgotten.add(kept.id);
    },
  };
}

/** How an account is called outside of the store: as its file would be. */
export function sourceOf(name: string, isAside: boolean): string {
  return isAside ? `${name}${ASIDE}` : name;
}

/** The account's name, whatever became of it since somebody was told its source. */
export function nameOf(source: string): string {
  return formerName(source);
}

/** The login in a row, where it holds one. */
export function loginOf({ reading }: Kept): Login | undefined {
  return reading.ok ? reading.login : undefined;
}

/** The same, with one that must not be used for now. */
export function anyLoginOf({ reading }: Pick<Kept, "reading">): Login | undefined {
  return reading.ok ? reading.login : reading.barred;
}

function keptOf(row: Row, sealer: Sealer, before: Kept | undefined): Kept {
  const name = String(row["name"]);
  const isAside = numberOf(row["aside"]) !== 0;
  const generation = numberOf(row["generation"]);
  const facts = {
    id: String(row["id"]),
    name,
    generation,
    revision: numberOf(row["revision"]),
    isAside,
    identity: text(row["identity"]),
    spending: text(row["spending"]),
    spendingAgoMs: numberOf(row["spending_ago"]),
  };
  const source = sourceOf(name, isAside);
  const stored = text(row["content"]);
  const opened = stored === undefined ? undefined : sealer.open(stored);
  if (opened === undefined || !opened.ok) {
    const why = opened === undefined ? "its row holds nothing." : opened.reason;
    const reading: Reading = { ok: false, fault: { source, reason: `${name}: ${why}` } };
    const keyId = opened?.keyId;
    return { ...facts, content: undefined, reading, keyId, isCurrent: false };
  }
  const content = opened.text;
  // What has not changed is the same object as before: nobody need look at it again.
  const isSame = before?.content === content && before.isAside === isAside && before.name === name;
  const reading = isSame ? before.reading : readLogin(content, source);
  return { ...facts, content, reading, keyId: opened.keyId, isCurrent: opened.isCurrent };
}
