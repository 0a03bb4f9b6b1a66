import type { Clock } from "../../wire/clock.ts";
import { createLanes } from "../../wire/lanes.ts";
import type { Log } from "../../wire/log.ts";
import { diskSteps, type Steps } from "../durable.ts";
import { editJson } from "../edit.ts";
import { mergeLogins } from "../merge.ts";
import { accountName, numbered } from "../names.ts";
import type { Sealer } from "../seal.ts";
import type { Resealed, Sealing, Snapshot, Store, StoreFault } from "../store.ts";
import { type Database, type DatabaseOptions, prepareFile } from "./database.ts";
import type { Feed } from "./feed.ts";
import { createLateTokens } from "./late.ts";
import { createLeases } from "./leases.ts";
import { IMPORTS, migrate } from "./schema.ts";
import { checkVersion, createDatabase } from "./server.ts";
import { createShelf, type Kept, nameOf, sourceOf } from "./shelf.ts";
import { createSpill } from "./spill.ts";
import { hasForeignColumns, takeOver } from "./takeover.ts";
import { createTenure, reasonOf } from "./tenure.ts";
import { DatabaseTrouble } from "./trouble.ts";
import { ALWAYS_CHANGED, createWriter, GONE, TRIES, whyUnread } from "./writer.ts";

/** What a store in a database needs. */
export type SqlStorePorts = {
  readonly database: Database;
  readonly feed: Feed;
  readonly clock: Clock;
  readonly log: Log;
  readonly sealer: Sealer;
  /** From 0 to 1, for pauses that differ among instances. */
  readonly chance: () => number;
  /** A folder on this machine for tokens that the database cannot take. */
  readonly spillDir: string;
  /** How to reach the server itself, where its database has to be made first. */
  readonly options: Omit<DatabaseOptions, "place">;
  /** The real disk, unless a test puts a crash between two steps. */
  readonly steps?: Steps;
};

/** A store in a database, and what only such a one has. */
export type SqlStore = Store & {
  /** Of these digests of logins, those that have been taken in from files before. @throws DatabaseTrouble */
  readonly knownImports: (digests: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly noteImport: (digest: string) => Promise<void>;
  /** Brings the schema up to date and waits for it. @throws DatabaseTrouble */
  readonly ready: () => Promise<void>;
  /** Brings into the database what it could not take before. Never throws. */
  readonly saveLate: () => Promise<void>;
};

const DATABASE = "the database";
// So many digests are asked for at a time.
const PAGE = 200;

/** Accounts in a database, for several instances. Nothing is sent before the first use; nothing is thrown but by `ready`. */
export function createSqlStore(ports: SqlStorePorts): SqlStore {
  const { database, feed, clock, log, sealer, spillDir, steps = diskSteps } = ports;
  const { run, begin, dialect } = database;
  const { run: takeTurns } = createLanes(() => Number.POSITIVE_INFINITY);
  let opening: Promise<void> | undefined;
  let isForeign = false;
  let fault: string | undefined;

  /** Makes sure that there is a database to ask. */
  const makeSure = async (): Promise<void> => {
    const { place } = database;
    if (place.driver === "sqlite") return prepareFile(database);
    try {
      await checkVersion(database);
    } catch (cause) {
      if (!(cause instanceof DatabaseTrouble) || cause.kind !== "no-database") throw cause;
      await createDatabase(place, ports.options);
      log.info("the database was not there and has been made", { database: place.name });
      await checkVersion(database);
    }
  };

  const open = async (): Promise<void> => {
    await makeSure();
    await migrate(database);
    isForeign = await hasForeignColumns(run, dialect);
    if (isForeign) {
      // Within one transaction: its number is seen by others only together with the rows that bear it.
      // The Go program may have deleted some as well, and says so nowhere.
      const taken = await begin(async (own) => takeOver(own, await feed.mark(own, true), sealer));
      if (taken > 0) log.info("accounts of the Go program were taken over", { accounts: taken });
    }
    await late.restore();
  };

  const ready = (): Promise<void> => {
    opening ??= open().then(
      () => {
        fault = undefined;
      },
      (cause: unknown) => {
        opening = undefined;
        fault = reasonOf(cause);
        throw cause;
      },
    );
    return opening;
  };

  const shelf = createShelf(sealer, dialect);
  const writer = createWriter({ database, feed, sealer, shelf, isForeign: () => isForeign });
  const spill = createSpill(spillDir, sealer, steps, clock.now);
  const late = createLateTokens({ database, shelf, writer, spill, log });
  const leases = createLeases(database, clock, ports.chance);
  const inHand = { database, ready, leases, shelf, writer, spill, late };
  const tenure = createTenure({ ...inHand, takeTurns, clock, log });
  const { act, guarded } = tenure;

  const snapshot = (complete: boolean, faults: readonly StoreFault[]): Snapshot => {
    const kept = shelf.all().filter(({ isAside }) => !isAside);
    const logins = kept.flatMap((each) => late.loginOf(each) ?? []);
    const unread = kept.flatMap(({ reading }) => (reading.ok ? [] : [reading.fault]));
    return { ...mergeLogins(logins), faults: [...faults, ...unread], complete };
  };

  /** What cannot be brought in is used from here, and tried again later. */
  const bringLate = (): Promise<void> =>
    late.reconcile(takeTurns).catch((cause: unknown) => {
      log.debug("tokens are still only on this machine", { reason: reasonOf(cause) });
    });

  const readAll = async (): Promise<Snapshot> => {
    try {
      await ready();
      await shelf.pull(run, feed.cursor);
      await bringLate();
      return snapshot(true, []);
    } catch (cause) {
      return snapshot(false, [{ source: DATABASE, reason: reasonOf(cause) }]);
    }
  };

  const fetch = async (source: string) => {
    try {
      await ready();
      return await shelf.fetch(run, nameOf(source));
    } catch {
      return undefined;
    }
  };

  const reseal = async (name: string): Promise<Resealed> => {
    for (let tried = 0; tried < TRIES; tried++) {
      const kept = await shelf.fetch(run, name);
      if (kept === undefined) return { ok: false, reason: `${name}: ${GONE}` };
      if (kept.content === undefined) return { ok: false, reason: whyUnread(kept) };
      if (kept.isCurrent || !kept.reading.ok) return { ok: true, isChanged: false };
      if (await writer.replace(kept, kept.content)) return { ok: true, isChanged: true };
    }
    return { ok: false, reason: `${name}: ${ALWAYS_CHANGED}` };
  };

  const add: Store["add"] = (wanted, content) =>
    act(async () => {
      const first = accountName(wanted);
      for (let number = 1; ; number++) {
        const name = numbered(first, number);
        const inserted = await writer.insert(name, content);
        if (inserted === "added") return { ok: true, source: name };
        if (inserted === "identity") {
          const reason = `${name}: another instance has just added this login. Try again.`;
          return { ok: false, reason };
        }
      }
    });

  return {
    ...tenure,
    ready,
    read: () => takeTurns(DATABASE, readAll),
    reread: async (source) => {
      const kept = await fetch(source);
      return kept && late.loginOf(kept);
    },
    content: async (source) => {
      const kept = await fetch(source);
      return kept && late.contentOf(kept);
    },
    // No copy of the former tokens is kept: a transaction is whole or not at all.
    proved: async () => {},
    setAside: (source) => guarded(source, (name) => saved(writer.move(name, true))),
    bringBack: (source) => guarded(source, (name) => saved(writer.move(name, false))),
    aside: async () => {
      await takeTurns(DATABASE, readAll);
      const kept = shelf.all().filter(({ isAside }) => isAside);
      return kept.flatMap((each) => late.loginOf(each) ?? []);
    },
    discard: (source) =>
      guarded(source, async (name) => {
        await writer.remove(name);
        await late.drop(name);
        return { ok: true };
      }),
    switchOff: (source, isOff) =>
      act(() =>
        writer.edit(nameOf(source), (content) =>
          editJson(content, [{ path: ["disabled"], value: isOff }]),
        ),
      ),
    add,
    sealing: async () => {
      await takeTurns(DATABASE, readAll);
      return shelf.all().map(sealingOf);
    },
    reseal: (source) => guarded(source, reseal),
    canAdd: () => act(async () => ({ ok: true })),
    trouble: () => fault ?? database.trouble(),
    watch: feed.watch,
    saveLate: () => takeTurns(DATABASE, bringLate),
    knownImports: async (digests) => {
      await ready();
      const known = new Set<string>();
      for (let start = 0; start < digests.length; start += PAGE) {
        const page = digests.slice(start, start + PAGE);
        const { rows } = await run(
          `SELECT digest FROM ${IMPORTS} WHERE digest IN (${page.map(() => "?").join(", ")})`,
          page,
        );
        for (const row of rows) known.add(String(row["digest"]));
      }
      return known;
    },
    noteImport: async (digest) => {
      await run(
        `INSERT INTO ${IMPORTS} (digest, at_ms) VALUES (?, ${dialect.nowMs})${dialect.upsert("digest", ["at_ms"])}`,
        [digest],
      );
    },
  };
}

function sealingOf({ name, isAside, keyId, isCurrent, content, reading }: Kept): Sealing {
  const source = sourceOf(name, isAside);
  const isShut = content === undefined && !reading.ok;
  return { source, keyId, isCurrent, ...(isShut ? { fault: reading.fault.reason } : {}) };
}

async function saved(work: Promise<void>): Promise<{ readonly ok: true }> {
  await work;
  return { ok: true };
}
