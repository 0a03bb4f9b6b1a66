import { join } from "node:path";
import type { Steps } from "../../../src/store/durable.ts";
import { createSealer, type Sealer } from "../../../src/store/seal.ts";
import type { Database } from "../../../src/store/sql/database.ts";
import type { Feed } from "../../../src/store/sql/feed.ts";
import { createSqlStore, type SqlStore } from "../../../src/store/sql/store.ts";
import { DatabaseTrouble } from "../../../src/store/sql/trouble.ts";
import { type Clock, systemClock } from "../../../src/wire/clock.ts";
import { createLog } from "../../../src/wire/log.ts";
import { type TestDatabase, USUAL } from "../../support/databases.ts";
import { makeFolder } from "../folder.ts";

/** A store as one of several instances has it. */
export type Instance = {
  readonly store: SqlStore;
  readonly database: Database;
  readonly feed: Feed;
  /** Where it keeps tokens that the database has not got. */
  readonly spillDir: string;
  /** All that it has logged so far. */
  readonly logs: () => string;
};

/** What a test may set of an instance. */
export type InstanceSetup = {
  readonly clock?: Clock;
  readonly steps?: Steps;
  readonly spillDir?: string;
  readonly sealer?: Sealer;
  /** In place of a client of the test's database. */
  readonly client?: { readonly database: Database; readonly feed: Feed };
};

/** A further instance on a test's database. */
export function openInstance(here: TestDatabase, setup: InstanceSetup = {}): Instance {
  const { clock = systemClock, steps, spillDir = join(makeFolder(), "unsaved") } = setup;
  const { sealer = createSealer([]), client = here.connect(clock) } = setup;
  const lines: string[] = [];
  const log = createLog(
    () => ({ level: "debug", format: "text" }),
    clock,
    (line) => lines.push(line),
  );
  const store = createSqlStore({
    ...client,
    clock,
    log,
    sealer,
    chance: Math.random,
    spillDir,
    options: USUAL,
    ...(steps === undefined ? {} : { steps }),
  });
  return { ...client, store, spillDir, logs: () => lines.join("") };
}

/** What `work` fails with; undefined where it does not. */
export async function troubleIn(work: Promise<unknown>): Promise<DatabaseTrouble | undefined> {
  try {
    await work;
    return undefined;
  } catch (cause) {
    if (cause instanceof DatabaseTrouble) return cause;
    throw cause;
  }
}
