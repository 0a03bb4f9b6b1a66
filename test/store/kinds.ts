import { readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { besideOf } from "../../src/store/beside.ts";
import { openFileStore } from "../../src/store/files.ts";
import { ACCOUNTS } from "../../src/store/sql/schema.ts";
import type { Store } from "../../src/store/store.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";
import { DATABASES, type Kind, type TestDatabase } from "../support/databases.ts";
import { makeFolder } from "./folder.ts";
import { openInstance } from "./sql/instance.ts";

/** A place where logins are kept, as its owner and other programs see it. */
export type Place = AsyncDisposable & {
  /** A further store on it, as another process has it. */
  readonly open: (clock?: Clock) => Promise<Store>;
  /** Puts an entry there, or another one in its place, past every store. */
  readonly put: (name: string, record: unknown) => Promise<void>;
  /** Takes it away. */
  readonly take: (name: string) => Promise<void>;
  /** What is there, byte for byte; undefined where nothing is. */
  readonly look: (name: string) => Promise<string | undefined>;
  /** What a store calls it. */
  readonly sourceOf: (name: string) => string;
  /** Whoever has the entry for themselves stood still for so long that it is given to others. */
  readonly outwait: (name: string) => Promise<void>;
};

/** A kind of place. */
export type PlaceKind = {
  readonly name: string;
  readonly isHere: boolean;
  readonly make: () => Promise<Place>;
};

/** Every kind there is. */
export const PLACES: readonly PlaceKind[] = [
  { name: "files", isHere: true, make: async () => filePlace(makeFolder()) },
  ...DATABASES.map(({ name, isHere, make }) => ({
    name,
    isHere,
    make: async () => databasePlace(await make()),
  })),
];

/** The same place in each database that a test makes. */
export function placeKindOf({ name, isHere, make }: Kind): PlaceKind {
  return { name, isHere, make: async () => databasePlace(await make()) };
}

function textOf(record: unknown): string {
  return typeof record === "string" ? record : JSON.stringify(record);
}

function filePlace(dir: string): Place {
  const pathOf = (name: string): string => join(dir, name);
  return {
    open: (clock = systemClock) => openFileStore({ dir, clock, scanIntervalMs: () => 0 }),
    put: async (name, record) => writeFileSync(pathOf(name), textOf(record)),
    take: async (name) => unlinkSync(pathOf(name)),
    look: async (name) => {
      try {
        return readFileSync(pathOf(name), "utf8");
      } catch {
        return undefined;
      }
    },
    sourceOf: pathOf,
    outwait: async (name) => rmSync(besideOf(pathOf(name), "lock")),
    [Symbol.asyncDispose]: async () => rmSync(dir, { recursive: true, force: true }),
  };
}

function databasePlace(here: TestDatabase): Place {
  const writer = here.connect();
  /** One change, as another instance makes it. */
  const change = (
    isDeletion: boolean,
    statements: (revision: number) => readonly (readonly [string, readonly (string | number)[]])[],
  ) =>
    writer.database.begin(async (run) => {
      const revision = await writer.feed.mark(run, isDeletion);
      for (const [statement, params] of statements(revision)) await run(statement, params);
    });
  const look = async (name: string): Promise<string | undefined> => {
    const { rows } = await here.run(`SELECT content FROM ${ACCOUNTS} WHERE name = ?`, [name]);
    return rows[0] === undefined ? undefined : String(rows[0]["content"]);
  };
  let made: Promise<void> | undefined;
  const isMade = (): Promise<void> => {
    made ??= openInstance(here).store.ready();
    return made;
  };
  return {
    open: async (clock = systemClock) => openInstance(here, { clock }).store,
    put: async (name, record) => {
      await isMade();
      const isThere = (await look(name)) !== undefined;
      await change(false, (revision) => [
        isThere
          ? [
              `UPDATE ${ACCOUNTS} SET content = ?, generation = generation + 1, revision = ? WHERE name = ?`,
              [textOf(record), revision, name],
            ]
          : [
              `INSERT INTO ${ACCOUNTS} (content, revision, name) VALUES (?, ?, ?)`,
              [textOf(record), revision, name],
            ],
      ]);
    },
    take: (name) => change(true, () => [[`DELETE FROM ${ACCOUNTS} WHERE name = ?`, [name]]]),
    look: async (name) => {
      await isMade();
      return look(name);
    },
    sourceOf: (name) => name,
    outwait: async (name) => {
      await here.run(`UPDATE ${ACCOUNTS} SET lease_until = 1 WHERE name = ?`, [name]);
    },
    [Symbol.asyncDispose]: here[Symbol.asyncDispose],
  };
}
