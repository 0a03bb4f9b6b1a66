import { AsyncLocalStorage } from "node:async_hooks";
import { basename } from "node:path";
import { isNewer, type Login } from "../../pool/account.ts";
import { areSame, type Credential, isAlive } from "../../pool/credential.ts";
import type { Clock, Millis } from "../../wire/clock.ts";
import { sha256 } from "../../wire/digest.ts";
import { createLanes } from "../../wire/lanes.ts";
import { type Log, redact } from "../../wire/log.ts";
import { areOfOthers, areOthers, areStrangers, payloadsOf } from "../claims.ts";
import { diskSteps, type Steps } from "../durable.ts";
import { editJson } from "../edit.ts";
import { mergeLogins } from "../merge.ts";
import { accountName, numbered } from "../names.ts";
import { readLogin, writeCredential } from "../record.ts";
import type { Sealer } from "../seal.ts";
import type { Added, LockWish, Saved, Snapshot, Store, StoreFault } from "../store.ts";
import { type Database, type DatabaseOptions, type Param, prepareFile } from "./database.ts";
import type { Feed } from "./feed.ts";
import { createLeases, type Lease } from "./leases.ts";
import { ACCOUNTS, exclusively, IMPORTS, migrate } from "./schema.ts";
import { checkVersion, createDatabase } from "./server.ts";
import { createShelf, type Kept, loginOf, nameOf, sourceOf } from "./shelf.ts";
import { createSpill, type Spilled, type SpillSlot } from "./spill.ts";
import { foreignValues, hasForeignColumns, identityDigest, takeOver } from "./takeover.ts";
import { DatabaseTrouble } from "./trouble.ts";

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
};

/** An account that a task of this process has for itself. */
type Holding = {
  readonly name: string;
  readonly lease: Lease;
  /** The account as it was when its renewal was prepared, and the file that takes the new tokens meanwhile. */
  prepared: { readonly kept: Kept; readonly slot: SpillSlot } | undefined;
};

/** Tokens that are only on this machine. */
type Pending = { readonly file: string | undefined; readonly spilled: Spilled; login?: Login };

// The owner's own acts wait so long for a renewal that is under way somewhere.
const ACT: LockWish = { holdMs: 30_000, waitMs: 60_000 };
// So many digests are asked for at a time.
const PAGE = 200;
// Somebody changed the account between a reading and the writing: from the top.
const TRIES = 5;
// Whoever was about to spend a token when they went silent may come back with what they got for it.
const SILENT_MS: Millis = 120_000;

const BUSY =
  "another instance is renewing this login and did not finish in time; this instance tries again later.";
const GONE = "it is not in the database any more.";

/** Accounts in a database, for several instances. Nothing is sent before the first use; nothing is thrown but by `ready`. */
export function createSqlStore(ports: SqlStorePorts): SqlStore {
  const { database, feed, clock, log, sealer, spillDir, steps = diskSteps } = ports;
  const { run, begin, dialect } = database;
  const shelf = createShelf(sealer, dialect);
  const leases = createLeases(database, clock, ports.chance);
  const spill = createSpill(spillDir, sealer, steps, clock.now);
  const holding = new Map<string, Holding>();
  const tasks = new AsyncLocalStorage<readonly Holding[]>();
  const pending = new Map<string, Pending>();
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
      await exclusively(database, async (own) => {
        const taken = await takeOver(own, await feed.mark(own), sealer);
        if (taken > 0) log.info("accounts of the Go program were taken over", { accounts: taken });
      });
    }
    for (const [file, spilled] of await spill.read()) {
      const known = pending.get(spilled.name)?.spilled;
      if (known === undefined || known.atMs < spilled.atMs)
        pending.set(spilled.name, { file, spilled });
    }
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

  /** The account's login, with the tokens that only this machine has where those are newer. */
  const present = (kept: Kept): Login | undefined => {
    const login = loginOf(kept);
    const held = pending.get(kept.name);
    if (login === undefined || held === undefined || kept.content === undefined) return login;
    if (kept.generation > held.spilled.generation) return login;
    const { credential, atMs } = held.spilled;
    if (held.login?.source !== login.source) {
      const reading = readLogin(
        writeCredential(kept.content, credential, atMs) ?? kept.content,
        login.source,
      );
      if (reading.ok) held.login = reading.login;
    }
    return held.login ?? login;
  };

  /** Puts a new content in place of the one that was read; false where somebody has changed it since. */
  const replace = async (
    kept: Kept,
    content: string,
    credential?: Credential,
  ): Promise<boolean> => {
    const reading = readLogin(content, sourceOf(kept.name, kept.isAside));
    const digest = reading.ok ? identityDigest(reading.login.identity) : null;
    const stored = sealer.seal(content);
    const isSealed = stored !== content;
    const values: Record<string, Param> = {
      content: stored,
      // A login may say whose it is only after its first renewal.
      ...(digest !== null && kept.identity === undefined ? { identity: digest } : {}),
      ...(credential === undefined ? {} : { spending: null }),
      ...(isForeign && reading.ok ? foreignValues(reading.login.credential, isSealed) : {}),
    };
    const write = (given: Record<string, Param>): Promise<boolean> =>
      begin(async (own) => {
        const revision = await feed.mark(own);
        const sets = Object.keys(given).map((column) => `${column} = ?`);
        const { count } = await own(
          `UPDATE ${ACCOUNTS} SET ${sets.join(", ")}, generation = generation + 1, revision = ? WHERE id = ? AND generation = ?`,
          [...Object.values(given), revision, kept.id, kept.generation],
        );
        return count > 0;
      });
    try {
      return await write(values);
    } catch (cause) {
      const isTwin =
        cause instanceof DatabaseTrouble && cause.kind === "taken" && "identity" in values;
      if (!isTwin) throw cause;
      // Another row holds the same login: which of the two counts is told at the next reading.
      const { identity: _taken, ...others } = values;
      return write(others);
    }
  };

  /** Changes an account's content, on top of whatever it is by then. */
  const edit = async (
    name: string,
    change: (kept: Kept, content: string) => string | Saved,
  ): Promise<Saved> => {
    for (let tried = 0; tried < TRIES; tried++) {
      const kept = await shelf.fetch(run, name);
      if (kept === undefined) return { ok: false, reason: `${name}: ${GONE}` };
      if (kept.content === undefined) return { ok: false, reason: whyUnread(kept) };
      const changed = change(kept, kept.content);
      if (typeof changed !== "string") return changed;
      if (await replace(kept, changed)) {
        await shelf.fetch(run, name);
        return { ok: true };
      }
    }
    return { ok: false, reason: `${name}: others change it all the time.` };
  };

  const act = async (work: () => Promise<Saved>): Promise<Saved> => {
    try {
      await ready();
      return await work();
    } catch (cause) {
      return { ok: false, reason: reasonOf(cause) };
    }
  };

  const isInTask = (name: string): boolean => {
    const held = holding.get(name);
    return held !== undefined && tasks.getStore()?.includes(held) === true;
  };

  /** Does `job` while nobody else has the account: under its lease, which the task that asks may have already. */
  const guarded = (source: string, job: (name: string) => Promise<Saved>): Promise<Saved> =>
    act(async () => {
      const name = nameOf(source);
      if (isInTask(name)) return takeTurns(name, () => job(name));
      const lease = await leases.take(name, ACT);
      if (lease === "busy") return { ok: false, reason: `${name}: ${BUSY}` };
      if (lease === "gone") return { ok: false, reason: `${name}: ${GONE}` };
      try {
        return await takeTurns(name, () => job(name));
      } finally {
        await lease.release();
      }
    });

  const move = (source: string, isAside: boolean): Promise<Saved> =>
    guarded(source, async (name) => {
      await begin(async (own) => {
        const revision = await feed.mark(own);
        await own(`UPDATE ${ACCOUNTS} SET aside = ?, revision = ? WHERE name = ?`, [
          isAside ? 1 : 0,
          revision,
          name,
        ]);
      });
      await shelf.fetch(run, name);
      return { ok: true };
    });

  const locked: Store["locked"] = async (source, wish, task) => {
    const name = nameOf(source);
    let lease: Lease | "busy" | "gone";
    try {
      await ready();
      lease = await leases.take(name, wish);
    } catch (cause) {
      return { ok: false, reason: reasonOf(cause) };
    }
    if (lease === "busy") return { ok: false, reason: BUSY };
    if (lease === "gone") return { ok: false, reason: `${name}: ${GONE}` };
    const { isStillOurs, release } = lease;
    const held: Holding = { name, lease, prepared: undefined };
    holding.set(name, held);
    try {
      const within = [...(tasks.getStore() ?? []), held];
      const isOurs = (): Promise<boolean> => isStillOurs().catch(() => false);
      return { ok: true, value: await tasks.run(within, () => task(isOurs)) };
    } finally {
      await endPreparation(held);
      if (holding.get(name) === held) holding.delete(name);
      await release();
    }
  };

  const prepare = async (held: Holding, kept: Kept, token: string): Promise<Saved> => {
    await endPreparation(held);
    const slot = await spill.prepare(held.name);
    if ("ok" in slot) return slot;
    held.prepared = { kept, slot };
    const isOurs = await held.lease.announce(markOfToken(token));
    return isOurs ? { ok: true } : { ok: false, reason: `${held.name}: ${BUSY}` };
  };

  /** The account of that name; a sentence where it holds no login, or another one than it did. */
  const look = async (name: string): Promise<{ kept: Kept; login: Login } | string> => {
    const before = shelf.find(name);
    const kept = await shelf.fetch(run, name);
    if (kept === undefined) return `${name}: ${GONE}`;
    const login = present(kept);
    if (login === undefined) return whyUnread(kept);
    const former = before && loginOf(before);
    const isOther = former !== undefined && areOthers(former, login);
    return isOther ? othersThere(name).reason : { kept, login };
  };

  const canSave: Store["canSave"] = (source, isPressing = false) =>
    act(async () => {
      const name = nameOf(source);
      const found = await look(name);
      if (typeof found === "string") return { ok: false, reason: found };
      const { kept, login } = found;
      const held = isInTask(name) ? holding.get(name) : undefined;
      const { refreshToken } = login.credential;
      if (held === undefined || refreshToken === undefined) return { ok: true };
      const doubt = whyDoubtful(kept, login, isPressing, clock.now());
      return doubt === undefined ? prepare(held, kept, refreshToken) : { ok: false, reason: doubt };
    });

  /** Brings new tokens into the account; undefined where others have changed it in that moment. */
  const put = async (
    kept: Kept,
    credential: Credential,
    nowMs: Millis,
    prepared: Kept | undefined,
  ): Promise<Awaited<ReturnType<Store["save"]>> | undefined> => {
    const { name, content, reading } = kept;
    const login = reading.ok ? reading.login : reading.barred;
    if (content === undefined || login === undefined) return { ok: false, reason: whyUnread(kept) };
    if (areSame(login.credential, credential)) return { ok: true };
    if (isAnother(login, credential, prepared)) return othersThere(name);
    const former = prepared && loginOf(prepared);
    const isReplaced =
      former !== undefined &&
      !areSame(former.credential, login.credential) &&
      isNewer(login, former);
    if (isReplaced) return { ok: true, isReplaced: true };
    const next = writeCredential(content, credential, nowMs) ?? content;
    if (!(await replace(kept, next, credential))) return undefined;
    await shelf.fetch(run, name).catch(() => {});
    return { ok: true };
  };

  const store = async (
    name: string,
    credential: Credential,
    nowMs: Millis,
    prepared: Kept | undefined,
  ): ReturnType<Store["save"]> => {
    await ready();
    for (let tried = 0; tried < TRIES; tried++) {
      const kept = await shelf.fetch(run, name);
      if (kept === undefined) return { ok: false, reason: `${name}: ${GONE}` };
      const done = await put(kept, credential, nowMs, prepared);
      if (done !== undefined) return done;
    }
    return { ok: false, reason: `${name}: others change it all the time.` };
  };

  /** The database cannot take them: they stay on this machine, from where they are used, till it can. */
  const keepHere = async (held: Holding, spilled: Spilled, why: string): Promise<Saved> => {
    const { prepared } = held;
    if (prepared === undefined) return { ok: false, reason: why };
    held.prepared = undefined;
    const kept = await prepared.slot.keep();
    if (!kept.ok) return { ok: false, reason: `${why} And ${kept.reason}` };
    pending.set(held.name, { file: prepared.slot.file, spilled });
    log.warn("new tokens are kept on this machine till the database takes them", {
      file: held.name,
      reason: why,
    });
    return { ok: true };
  };

  const save: Store["save"] = (source, credential, nowMs) => {
    const name = nameOf(source);
    const held = isInTask(name) ? holding.get(name) : undefined;
    const prepared = held?.prepared;
    const generation = prepared?.kept.generation ?? 0;
    const spilled: Spilled = { name, generation, credential, atMs: nowMs };
    // At once, before anything is asked or waited for: until this is done, a kill loses the login.
    prepared?.slot.write(spilled);
    return takeTurns(name, async () => {
      try {
        const stored = await store(name, credential, nowMs, prepared?.kept);
        if (stored.ok && held !== undefined) await endPreparation(held);
        if (stored.ok) await settlePending(name, credential);
        return stored;
      } catch (cause) {
        const why = reasonOf(cause);
        return held === undefined ? { ok: false, reason: why } : keepHere(held, spilled, why);
      }
    });
  };

  const endPending = async (name: string, { file }: Pending): Promise<void> => {
    pending.delete(name);
    if (file !== undefined) await spill.remove(file);
  };

  /** What lay here of an account is of no use any more, since it has newer tokens. */
  const settlePending = async (name: string, credential: Credential): Promise<void> => {
    const held = pending.get(name);
    if (held !== undefined && !areSame(held.spilled.credential, credential)) {
      await endPending(name, held);
    }
  };

  /** Brings what is only on this machine into the database: of two states of a login the newer one counts. */
  const reconcileOne = async (name: string, held: Pending): Promise<void> => {
    const { credential, generation, atMs } = held.spilled;
    const kept = await shelf.fetch(run, name);
    if (kept?.content === undefined) return;
    const next = writeCredential(kept.content, credential, atMs) ?? kept.content;
    const ours = readLogin(next, name);
    const theirs = loginOf(kept);
    const isDone = theirs !== undefined && areSame(theirs.credential, credential);
    const isOutdated =
      !isDone &&
      kept.generation > generation &&
      theirs !== undefined &&
      ours.ok &&
      (areOthers(theirs, ours.login) || !isNewer(ours.login, theirs));
    if (!isDone && !isOutdated && !(await replace(kept, next, credential))) return;
    await endPending(name, held);
    await shelf.fetch(run, name);
    if (isDone) return;
    log.info(
      isOutdated
        ? "tokens that were kept on this machine are older than those in the database, which count"
        : "tokens that were kept on this machine are in the database now",
      { file: name },
    );
  };

  const reconcile = async (): Promise<void> => {
    for (const [name, held] of pending) {
      await takeTurns(name, () => reconcileOne(name, held));
    }
  };

  const snapshot = (complete: boolean, faults: readonly StoreFault[]): Snapshot => {
    const kept = shelf.all().filter(({ isAside }) => !isAside);
    const logins = kept.flatMap((each) => present(each) ?? []);
    const unread = kept.flatMap(({ reading }) => (reading.ok ? [] : [reading.fault]));
    return { ...mergeLogins(logins), faults: [...faults, ...unread], complete };
  };

  const readAll = async (): Promise<Snapshot> => {
    try {
      await ready();
      await shelf.pull(run, feed.cursor);
      await reconcile();
      return snapshot(true, []);
    } catch (cause) {
      return snapshot(false, [{ source: DATABASE, reason: reasonOf(cause) }]);
    }
  };

  const add: Store["add"] = async (wanted, content) => {
    const first = accountName(wanted);
    const reading = readLogin(content, first);
    const identity = reading.ok ? identityDigest(reading.login.identity) : null;
    const stored = sealer.seal(content);
    const insert = async (name: string): Promise<Added | "taken"> => {
      const values: Record<string, Param> = {
        name,
        identity,
        content: stored,
        ...(isForeign && reading.ok
          ? foreignValues(reading.login.credential, stored !== content)
          : {}),
      };
      try {
        await begin(async (own) => {
          const revision = await feed.mark(own);
          const columns = [...Object.keys(values), "revision"];
          await own(
            `INSERT INTO ${ACCOUNTS} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
            [...Object.values(values), revision],
          );
        });
        await shelf.fetch(run, name);
        return { ok: true, source: name };
      } catch (cause) {
        if (cause instanceof DatabaseTrouble && cause.kind === "taken") return "taken";
        throw cause;
      }
    };
    try {
      await ready();
      for (let number = 1; ; number++) {
        const name = numbered(first, number);
        const added = await insert(name);
        if (added !== "taken") return added;
        const twin =
          identity === null
            ? []
            : (await run(`SELECT name FROM ${ACCOUNTS} WHERE identity = ?`, [identity])).rows;
        if (twin.length > 0) {
          return {
            ok: false,
            reason: `${name}: another instance has just added this login. Try again.`,
          };
        }
      }
    } catch (cause) {
      return { ok: false, reason: reasonOf(cause) };
    }
  };

  return {
    ready,
    read: () => takeTurns(DATABASE, readAll),
    reread: async (source) => {
      try {
        await ready();
        const kept = await shelf.fetch(run, nameOf(source));
        return kept && present(kept);
      } catch {
        return undefined;
      }
    },
    content: async (source) => {
      try {
        await ready();
        const kept = await shelf.fetch(run, nameOf(source));
        const spilled = kept && pending.get(kept.name)?.spilled;
        if (kept?.content === undefined || spilled === undefined) return kept?.content;
        if (kept.generation > spilled.generation) return kept.content;
        return writeCredential(kept.content, spilled.credential, spilled.atMs) ?? kept.content;
      } catch {
        return undefined;
      }
    },
    locked,
    canSave,
    save,
    proved: async () => {},
    setAside: (source) => move(source, true),
    aside: async () => {
      await takeTurns(DATABASE, readAll);
      return shelf
        .all()
        .filter(({ isAside }) => isAside)
        .flatMap((kept) => present(kept) ?? []);
    },
    bringBack: (source) => move(source, false),
    discard: (source) =>
      guarded(source, async (name) => {
        await begin(async (own) => {
          await feed.mark(own, true);
          await own(`DELETE FROM ${ACCOUNTS} WHERE name = ?`, [name]);
        });
        shelf.forget(name);
        const held = pending.get(name);
        if (held !== undefined) await endPending(name, held);
        return { ok: true };
      }),
    switchOff: (source, isOff) =>
      act(() =>
        edit(nameOf(source), (_kept, content) =>
          editJson(content, [{ path: ["disabled"], value: isOff }]),
        ),
      ),
    add,
    canAdd: () => act(async () => ({ ok: true })),
    trouble: () => fault ?? database.trouble(),
    watch: feed.watch,
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

const DATABASE = "the database";

async function endPreparation(held: Holding): Promise<void> {
  const { prepared } = held;
  held.prepared = undefined;
  await prepared?.slot.drop();
}

function reasonOf(cause: unknown): string {
  if (cause instanceof DatabaseTrouble) return `the database: ${cause.message}`;
  return redact(String(cause));
}

function whyUnread({ name, reading }: Kept): string {
  return reading.ok ? `${name}: it cannot be read.` : reading.fault.reason;
}

function othersThere(name: string): Extract<Saved, { ok: false }> {
  const reason = `${basename(name)}: it holds another login by now, so new tokens are not written to it. Log in again with "codex-proxy login".`;
  return { ok: false, reason };
}

/** What stands for a refresh token where others can read it. */
function markOfToken(token: string): string {
  return sha256(token).slice(0, 16);
}

/** Why a token must not be spent now, since somebody who went silent may have spent it; undefined where it may be. */
function whyDoubtful(
  { name, spending, spendingAgoMs }: Kept,
  { credential }: Login,
  isPressing: boolean,
  now: Millis,
): string | undefined {
  const { refreshToken } = credential;
  if (spending === undefined || refreshToken === undefined) return undefined;
  if (spending !== markOfToken(refreshToken)) return undefined;
  const isNeeded = isPressing || !isAlive(credential, now);
  if (isNeeded && spendingAgoMs >= SILENT_MS) return undefined;
  return `${name}: an instance was about to renew it when it went silent, so that its refresh token may be spent. It is not tried again while the access token works.`;
}

/** Whether an account holds another login by now than the one that `credential` belongs to. */
function isAnother(present: Login, credential: Credential, prepared: Kept | undefined): boolean {
  const [theirs, ours] = [payloadsOf(present.credential), payloadsOf(credential)];
  if (areStrangers(theirs, ours)) return true;
  const before = prepared && loginOf(prepared);
  return before === undefined ? areOfOthers(theirs, ours) : areOthers(present, before);
}
