import { AsyncLocalStorage } from "node:async_hooks";
import type { Login } from "../../pool/account.ts";
import { areSame, isAlive } from "../../pool/credential.ts";
import type { Clock, Millis } from "../../wire/clock.ts";
import { sha256 } from "../../wire/digest.ts";
import type { Lanes } from "../../wire/lanes.ts";
import { type Log, redact } from "../../wire/log.ts";
import { areOthers, hasNewerTokens, isAnotherLogin, whyOthers } from "../claims.ts";
import { writeCredential } from "../record.ts";
import type { LockWish, Saved, Store, Stored } from "../store.ts";
import type { Database } from "./database.ts";
import { type LateTokens, markOfTokens } from "./late.ts";
import type { Lease, Leases } from "./leases.ts";
import { anyLoginOf, type Kept, loginOf, nameOf, type Shelf } from "./shelf.ts";
import type { Spill, Spilled, SpillSlot } from "./spill.ts";
import { DatabaseTrouble } from "./trouble.ts";
import { ALWAYS_CHANGED, GONE, TRIES, type Writer, whyUnread } from "./writer.ts";

/** What having accounts for oneself needs. */
export type TenurePorts = {
  readonly database: Pick<Database, "run">;
  /** The schema is up to date. @throws DatabaseTrouble */
  readonly ready: () => Promise<void>;
  readonly leases: Leases;
  readonly shelf: Shelf;
  readonly writer: Pick<Writer, "replace">;
  readonly spill: Spill;
  readonly late: LateTokens;
  readonly takeTurns: Lanes["run"];
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
};

/** Accounts for one task at a time, among all instances, and the change of their tokens within it. */
export type Tenure = Pick<Store, "locked" | "canSave" | "save"> & {
  /** Does `job` while nobody else has the account: under its lease, which the task that asks may have already. */
  readonly guarded: <T extends Saved>(
    source: string,
    job: (name: string) => Promise<T>,
  ) => Promise<T | Extract<Saved, { ok: false }>>;
  /** What comes of `work`, or why the database cannot be used. */
  readonly act: <T extends Saved>(
    work: () => Promise<T>,
  ) => Promise<T | Extract<Saved, { ok: false }>>;
};

/** An account that a task of this process has for itself. */
type Holding = {
  readonly name: string;
  readonly lease: Lease;
  /** The longest that a renewal takes, by what whoever asked for the account said. */
  readonly holdMs: Millis;
  /** The account as it was when its renewal was prepared, and the file that takes the new tokens meanwhile. */
  prepared: { readonly kept: Kept; readonly slot: SpillSlot } | undefined;
  /** Its refresh token is spent, and the database has not got the new one. */
  isSpent: boolean;
  isOver: boolean;
};

/** What became of new tokens. `isFinal`: there is no place for them, and never will be. */
type Put = Stored & { readonly isFinal?: true };

// The owner's own acts wait so long for a renewal that is under way somewhere.
const ACT: LockWish = { holdMs: 30_000, waitMs: 60_000 };
// Whoever was about to spend a token when they went silent may come back with what they got for it; at least so long,
// and for as long as a renewal may take.
const SILENT_MS: Millis = 120_000;

const BUSY =
  "another instance is renewing this login and did not finish in time; this instance tries again later.";

/** Nobody has anything yet. */
export function createTenure(ports: TenurePorts): Tenure {
  const { database, ready, leases, shelf, writer, spill, late, takeTurns, clock, log } = ports;
  const { run } = database;
  // What the running task has: in its own process, too, nobody else may take an account from under it.
  const tasks = new AsyncLocalStorage<readonly Holding[]>();

  const act = async <T extends Saved>(
    work: () => Promise<T>,
  ): Promise<T | Extract<Saved, { ok: false }>> => {
    try {
      await ready();
      return await work();
    } catch (cause) {
      return { ok: false, reason: reasonOf(cause) };
    }
  };

  /** What the running task has of this account. */
  const ofTask = (name: string): Holding | undefined =>
    tasks.getStore()?.find((held) => held.name === name && !held.isOver);

  const take = async (source: string, wish: LockWish): Promise<Lease | string> => {
    const name = nameOf(source);
    const lease = await leases.take(name, wish);
    if (lease === "busy") return `${name}: ${BUSY}`;
    return lease === "gone" ? `${name}: ${GONE}` : lease;
  };

  const guarded: Tenure["guarded"] = (source, job) =>
    act(async () => {
      const name = nameOf(source);
      if (ofTask(name) !== undefined) return takeTurns(name, () => job(name));
      const lease = await take(source, ACT);
      if (typeof lease === "string") return { ok: false, reason: lease };
      try {
        return await takeTurns(name, () => job(name));
      } finally {
        await lease.release();
      }
    });

  const locked: Store["locked"] = async (source, wish, task) => {
    let lease: Lease | string;
    try {
      await ready();
      lease = await take(source, wish);
    } catch (cause) {
      return { ok: false, reason: reasonOf(cause) };
    }
    if (typeof lease === "string") return { ok: false, reason: lease };
    const { isStillOurs, release } = lease;
    const name = nameOf(source);
    const { holdMs } = wish;
    const held: Holding = {
      name,
      lease,
      holdMs,
      prepared: undefined,
      isSpent: false,
      isOver: false,
    };
    try {
      // What a task has begun, such as a timer, runs on as a part of it.
      const around = (tasks.getStore() ?? []).filter(({ isOver }) => !isOver);
      const within = [...around, held];
      const isOurs = (): Promise<boolean> => isStillOurs().catch(() => false);
      return { ok: true, value: await tasks.run(within, () => task(isOurs)) };
    } finally {
      held.isOver = true;
      await endPreparation(held);
      await release(held.isSpent);
    }
  };

  /** The account of that name; a sentence where it holds no login, or another one than it did. */
  const look = async (name: string): Promise<{ kept: Kept; login: Login } | string> => {
    const before = shelf.find(name);
    const kept = await shelf.fetch(run, name);
    if (kept === undefined) return `${name}: ${GONE}`;
    const login = late.loginOf(kept);
    if (login === undefined) return whyUnread(kept);
    const former = before && loginOf(before);
    const isOther = former !== undefined && areOthers(former, login);
    return isOther ? othersThere(name).reason : { kept, login };
  };

  const prepare = async (held: Holding, kept: Kept, token: string): Promise<Saved> => {
    await endPreparation(held);
    const slot = await spill.prepare(held.name);
    if ("ok" in slot) return slot;
    held.prepared = { kept, slot };
    const isOurs = await held.lease.announce(markOfToken(token));
    return isOurs ? { ok: true } : { ok: false, reason: `${held.name}: ${BUSY}` };
  };

  const canSave: Store["canSave"] = (source, isPressing = false) =>
    act(async () => {
      const name = nameOf(source);
      const found = await look(name);
      if (typeof found === "string") return { ok: false, reason: found };
      const { kept, login } = found;
      const held = ofTask(name);
      const { refreshToken } = login.credential;
      if (held === undefined || refreshToken === undefined) return { ok: true };
      const isNeeded = isPressing || !isAlive(login.credential, clock.now());
      const doubt = whyDoubtful(kept, login, isNeeded, Math.max(SILENT_MS, held.holdMs));
      return doubt === undefined ? prepare(held, kept, refreshToken) : { ok: false, reason: doubt };
    });

  /** Brings new tokens into the account; undefined where others have changed it in that moment. */
  const put = async (
    kept: Kept,
    { credential, atMs }: Spilled,
    prepared: Kept | undefined,
  ): Promise<Put | undefined> => {
    const { name, content } = kept;
    const login = anyLoginOf(kept);
    if (content === undefined || login === undefined) return { ok: false, reason: whyUnread(kept) };
    if (areSame(login.credential, credential)) return { ok: true };
    const before = prepared && loginOf(prepared);
    if (isAnotherLogin(login, credential, before)) return othersThere(name);
    // Its owner has logged in anew while the old tokens were renewed: theirs count.
    if (hasNewerTokens(login, before)) return { ok: true, isReplaced: true };
    const next = writeCredential(content, credential, atMs) ?? content;
    if (!(await writer.replace(kept, next, credential))) return undefined;
    await shelf.fetch(run, name).catch(() => {});
    return { ok: true };
  };

  const store = async (spilled: Spilled, prepared: Kept | undefined): Promise<Put> => {
    const { name } = spilled;
    await ready();
    for (let tried = 0; tried < TRIES; tried++) {
      const kept = await shelf.fetch(run, name);
      if (kept === undefined) return { ok: false, reason: `${name}: ${GONE}`, isFinal: true };
      const done = await put(kept, spilled, prepared);
      if (done !== undefined) return done;
    }
    return { ok: false, reason: `${name}: ${ALWAYS_CHANGED}` };
  };

  /** The database cannot take them: they stay on this machine, from where they are used, till it can. */
  const keepHere = async (held: Holding, spilled: Spilled, why: string): Promise<Saved> => {
    const { prepared } = held;
    if (prepared === undefined) return { ok: false, reason: why };
    held.prepared = undefined;
    const kept = await prepared.slot.keep();
    if (!kept.ok) return { ok: false, reason: `${why} And ${kept.reason}` };
    await late.keep(held.name, prepared.slot.file, spilled);
    log.warn("new tokens are kept on this machine till the database takes them", {
      file: held.name,
      reason: why,
    });
    return { ok: true };
  };

  const save: Store["save"] = (source, credential, nowMs) => {
    const name = nameOf(source);
    const held = ofTask(name);
    const prepared = held?.prepared;
    const from = prepared === undefined ? "" : markOfTokens(prepared.kept);
    const spilled: Spilled = { name, from, credential, atMs: nowMs };
    // At once, before anything is asked or waited for: until this is done, a kill loses the login.
    prepared?.slot.write(spilled);
    if (held !== undefined) held.isSpent = prepared !== undefined;
    return takeTurns(name, async () => {
      const stored = await store(spilled, prepared?.kept).catch(
        (cause: unknown): Put => ({ ok: false, reason: reasonOf(cause) }),
      );
      if (!stored.ok) {
        const { reason, isFinal = false } = stored;
        return held === undefined || isFinal
          ? { ok: false, reason }
          : keepHere(held, spilled, reason);
      }
      if (held !== undefined) {
        held.isSpent = false;
        await endPreparation(held);
      }
      await late.stored(name, credential);
      return stored;
    });
  };

  return { act, guarded, locked, canSave, save };
}

async function endPreparation(held: Holding): Promise<void> {
  const { prepared } = held;
  held.prepared = undefined;
  await prepared?.slot.drop();
}

/** Why the database cannot be used, for people. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof DatabaseTrouble) return `the database: ${cause.message}`;
  return redact(String(cause));
}

function othersThere(name: string): Extract<Put, { ok: false }> {
  return { ok: false, reason: whyOthers(name), isFinal: true };
}

/** What stands for a refresh token where others can read it. */
function markOfToken(token: string): string {
  return sha256(token).slice(0, 16);
}

/** Why a token must not be spent now, since somebody who went silent may have spent it; undefined where it may be. */
function whyDoubtful(
  { name, spending, spendingAgoMs }: Kept,
  { credential }: Login,
  isNeeded: boolean,
  silentMs: Millis,
): string | undefined {
  const { refreshToken } = credential;
  if (spending === undefined || refreshToken === undefined) return undefined;
  if (spending !== markOfToken(refreshToken)) return undefined;
  if (isNeeded && spendingAgoMs >= silentMs) return undefined;
  return `${name}: an instance was about to renew it when it went silent, so that its refresh token may be spent. It is not tried again while the access token works.`;
}
