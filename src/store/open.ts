import { join } from "node:path";
import type { DatabasePlace } from "../config/database.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import { openFileStore } from "./files.ts";
import type { Sealer } from "./seal.ts";
import { type Database, openDatabase } from "./sql/database.ts";
import { createFeed, type Feed } from "./sql/feed.ts";
import { createSharing, type Sharing } from "./sql/sharing.ts";
import { createSqlStore, type SqlStore } from "./sql/store.ts";
import type { Store } from "./store.ts";

/** Where accounts are kept, by the configuration. */
export type StorePlace = {
  /** The folder of account files; with a database, those in it are taken in. */
  readonly dir: string;
  /** The owner's list of account files; none: every file in `dir`. */
  readonly files: readonly string[];
  /** The program's own file, which may lie in `dir`; "" for none. */
  readonly stateFile: string;
  readonly database: DatabaseUse | undefined;
};

/** A database and how many connections to it are opened, for how long. */
export type DatabaseUse = {
  readonly place: DatabasePlace;
  readonly mostConnections: number;
  readonly lifetimeSec: number;
};

/** What opening a store needs. */
export type OpenPorts = {
  readonly clock: Clock;
  readonly log: Log;
  /** Encrypts what is written, and opens it. */
  readonly sealer: Sealer;
  readonly chance: () => number;
  /** Asked before each interval; 0 turns regular scans of the folder off. */
  readonly scanIntervalMs: () => Millis;
  /** The folder for what this instance keeps to itself. */
  readonly stateDir: string;
};

/** A store that is open, and what there is of it beside. */
export type OpenStore = {
  readonly store: Store;
  /** Only where accounts are in a database. */
  readonly shared: Shared | undefined;
  readonly close: () => Promise<void>;
};

/** A database that several instances may share. */
export type Shared = {
  readonly store: SqlStore;
  readonly database: Database;
  readonly feed: Feed;
  /** What instances tell each other. */
  readonly sharing: Sharing;
  /** The folder whose files are taken in. */
  readonly folder: Store;
};

/** The accounts of a configuration: in files, or in a database, which is asked nothing yet. */
export async function openStore(place: StorePlace, ports: OpenPorts): Promise<OpenStore> {
  const { clock, log, sealer, chance, stateDir } = ports;
  const folder = await openFileStore({
    ...place,
    sealer,
    clock,
    scanIntervalMs: ports.scanIntervalMs,
  });
  if (place.database === undefined) {
    return { store: folder, shared: undefined, close: async () => {} };
  }
  const options = { ...place.database, clock, chance };
  const database = openDatabase(options);
  const feed = createFeed(database, clock);
  const spillDir = join(stateDir, "unsaved");
  const store = createSqlStore({ database, feed, clock, log, sealer, chance, spillDir, options });
  const sharing = createSharing({
    database,
    feed: createFeed(database, clock, "sharing"),
    clock,
    ready: store.ready,
  });
  return {
    store,
    shared: { store, database, feed, sharing, folder },
    close: database.close,
  };
}
