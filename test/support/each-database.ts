import { afterAll, describe } from "bun:test";
import { DATABASES, type Kind, type TestDatabase } from "./databases.ts";

/** Describes the same of each kind; of one whose server is not here it is skipped, and the summary of the run says so. */
export function describeEach(kinds: readonly Kind[], define: (kind: Kind) => void): void {
  for (const kind of kinds) {
    describe.skipIf(!kind.isHere)(kind.name, () => {
      define(kind.name === "PostgreSQL" ? reusing(kind) : kind);
    });
  }
}

/** A kind of place that accounts can be in; without a database, they are in files. */
export type StoreKind = {
  readonly name: string;
  readonly isHere: boolean;
  readonly database?: Kind;
};

/** Every kind there is. */
export const STORES: readonly StoreKind[] = [
  { name: "files", isHere: true },
  ...DATABASES.map((kind) => ({ name: kind.name, isHere: kind.isHere, database: kind })),
];

/** Files, and SQLite for all databases: for what takes its time and touches the store in passing only. */
export const LOCAL_STORES = STORES.slice(0, 2);

/** Files alone, for what is the same whatever keeps the accounts. */
export const FILES = STORES.slice(0, 1);

/** Describes the same of each kind of store. */
export function describeStores(
  kinds: readonly StoreKind[],
  define: (kind: StoreKind) => void,
): void {
  for (const { database, ...kind } of kinds) {
    if (database === undefined) describe(kind.name, () => define(kind));
    else describeEach([database], (own) => define({ ...kind, database: own }));
  }
}

/** One test after the other uses the same databases, each emptied after it. */
function reusing(kind: Kind): Kind {
  const spare: TestDatabase[] = [];
  afterAll(async () => {
    for (const each of spare) await each[Symbol.asyncDispose]();
  });
  return {
    ...kind,
    make: async () => {
      const made = spare.pop() ?? (await kind.make());
      const giveBack = async (): Promise<void> => {
        await made.empty();
        spare.push(made);
      };
      return { ...made, [Symbol.asyncDispose]: giveBack };
    },
  };
}
