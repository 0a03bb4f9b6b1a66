import { readdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { besideOf } from "../../src/store/beside.ts";
import { ASIDE } from "../../src/store/names.ts";
import type { Param } from "../../src/store/sql/database.ts";
import { ACCOUNTS, migrate } from "../../src/store/sql/schema.ts";
import type { FakeAccount } from "./backend/account.ts";
import type { TestDatabase } from "./databases.ts";

/** Where logins are kept, as their owner and other programs see it: past every store that is open on it. */
export type Place = {
  /** What a login of this account is called there once it was taken in from its own file. */
  readonly nameOf: (account: Pick<FakeAccount, "name" | "email">) => string;
  /** What a store calls the entry of that name. */
  readonly sourceOf: (name: string) => string;
  /** Puts an entry there, or another one in its place, whole or not at all. */
  readonly put: (name: string, record: unknown) => Promise<void>;
  /** Puts one there that lies aside. */
  readonly putAside: (name: string, record: unknown) => Promise<void>;
  /** Takes one away. */
  readonly take: (name: string) => Promise<void>;
  /** What is there, byte for byte; undefined where nothing is. */
  readonly look: (name: string) => Promise<string | undefined>;
  /** The names of all that is there, in order, of those that lie aside with what says so. */
  readonly names: () => Promise<readonly string[]>;
  /** Whether anybody has an entry for themselves at the moment. */
  readonly isHeld: () => Promise<boolean>;
  /** Whoever has the entry for themselves stood still for so long that it is given to others. */
  readonly outwait: (name: string) => Promise<void>;
};

/** An entry as it is written: a text as it is, anything else as JSON. */
export function textOf(record: unknown): string {
  return typeof record === "string" ? record : `${JSON.stringify(record, null, 2)}\n`;
}

/** A folder of account files. */
export function filePlace(dir: string): Place {
  const pathOf = (name: string): string => join(dir, name);
  const put = async (name: string, record: unknown): Promise<void> => {
    const beside = join(dir, `.${name}.${crypto.randomUUID()}.part`);
    writeFileSync(beside, textOf(record), { mode: 0o600 });
    renameSync(beside, pathOf(name));
  };
  return {
    nameOf: ({ name }) => `${name}.json`,
    sourceOf: pathOf,
    put,
    putAside: (name, record) => put(`${name}${ASIDE}`, record),
    take: async (name) => unlinkSync(pathOf(name)),
    look: async (name) => {
      try {
        return readFileSync(pathOf(name), "utf8");
      } catch {
        return undefined;
      }
    },
    names: async () =>
      readdirSync(dir)
        .filter((name) => !name.startsWith("."))
        .toSorted(),
    isHeld: async () => readdirSync(dir).some((name) => name.endsWith(".lock")),
    outwait: async (name) => rmSync(besideOf(pathOf(name), "lock")),
  };
}

/** The accounts table of a database, in which a further instance makes the changes. */
export function databasePlace(here: TestDatabase): Place {
  const { database, feed } = here.connect();
  const { run } = database;
  const { nowMs } = database.dialect;
  let made: Promise<void> | undefined;
  const isMade = (): Promise<void> => {
    made ??= migrate(database);
    return made;
  };
  const look = async (name: string): Promise<string | undefined> => {
    await isMade();
    const { rows } = await run(`SELECT content FROM ${ACCOUNTS} WHERE name = ?`, [name]);
    return rows[0] === undefined ? undefined : String(rows[0]["content"]);
  };
  const insert = (name: string, record: unknown, isAside: boolean) =>
    database.begin(async (own) => {
      const values: readonly Param[] = [
        name,
        textOf(record),
        isAside ? 1 : 0,
        await feed.mark(own),
      ];
      await own(
        `INSERT INTO ${ACCOUNTS} (name, content, aside, revision) VALUES (?, ?, ?, ?)`,
        values,
      );
    });
  return {
    nameOf: ({ email }) => `${email}.json`,
    sourceOf: (name) => name,
    put: async (name, record) => {
      if ((await look(name)) === undefined) return insert(name, record, false);
      await database.begin(async (own) => {
        const revision = await feed.mark(own);
        await own(
          `UPDATE ${ACCOUNTS} SET content = ?, generation = generation + 1, revision = ? WHERE name = ?`,
          [textOf(record), revision, name],
        );
      });
    },
    putAside: async (name, record) => {
      await isMade();
      await insert(name, record, true);
    },
    take: async (name) => {
      await database.begin(async (own) => {
        await feed.mark(own, true);
        await own(`DELETE FROM ${ACCOUNTS} WHERE name = ?`, [name]);
      });
    },
    look,
    names: async () => {
      await isMade();
      const { rows } = await run(`SELECT name, aside FROM ${ACCOUNTS}`);
      return rows
        .map(({ name, aside }) => `${String(name)}${Number(aside) === 0 ? "" : ASIDE}`)
        .toSorted();
    },
    isHeld: async () => {
      await isMade();
      const { rows } = await run(`SELECT id FROM ${ACCOUNTS} WHERE lease_until > ${nowMs}`);
      return rows.length > 0;
    },
    outwait: async (name) => {
      await run(`UPDATE ${ACCOUNTS} SET lease_until = 1 WHERE name = ?`, [name]);
    },
  };
}
