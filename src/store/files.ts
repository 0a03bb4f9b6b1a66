import { AsyncLocalStorage } from "node:async_hooks";
import type { Stats } from "node:fs";
import { mkdir, realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Login } from "../pool/account.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { createLanes } from "../wire/lanes.ts";
import { areOthers, hasNewerTokens, isAnotherLogin, whyOthers } from "./claims.ts";
import {
  canWriteBeside,
  diskSteps,
  explain,
  realTarget,
  type Steps,
  writeDurably,
} from "./durable.ts";
import {
  compare,
  differ,
  type Listing,
  list,
  MOST_AT_ONCE,
  readContent,
  readStored,
  type Signature,
  signatureOf,
} from "./listing.ts";
import { createLocks } from "./lock.ts";
import { mergeLogins } from "./merge.ts";
import { begunIn, orphansOf, ownerless } from "./orphans.ts";
import { type Reading, readLogin, writeCredential } from "./record.ts";
import {
  finishRotation,
  forgetAll,
  forgetLast,
  type Pen,
  prepareRotation,
  type Rotation,
  resealLast,
} from "./rotation.ts";
import { createSealer, type Sealer } from "./seal.ts";
import { bringBack, discard, listAside, pathsAside, putNew, setAside, switchOff } from "./shelf.ts";
import { removeStale } from "./stale.ts";
import type {
  LockWish,
  Resealed,
  Saved,
  Sealing,
  Snapshot,
  Store,
  Stored,
  StoreFault,
} from "./store.ts";
import { watchFolder } from "./watch.ts";

/** Where account files are, and how often to look for changes that the platform did not report. */
export type FileStoreOptions = {
  readonly dir: string;
  readonly clock: Clock;
  /** Asked before each interval, so that a configuration reload takes effect. 0 turns regular scans off. */
  readonly scanIntervalMs: () => Millis;
  /** The owner's list of account files, names in `dir` or whole paths: only these count then. */
  readonly files?: readonly string[];
  /** The program's own file, which may lie in `dir` and be called like an account; "" for none. */
  readonly stateFile?: string;
  /** How contents are written and read; without one, in the clear. */
  readonly sealer?: Sealer;
  /** The real disk, unless a test puts a crash between two steps. */
  readonly steps?: Steps;
};

type Known = {
  readonly signature: Signature;
  readonly reading: Reading;
  /** Why the login is not the one that the file holds now. */
  readonly warning: string | undefined;
};

/** An account whose lock this process holds. */
type Holding = { readonly target: string; rotation: Rotation | undefined };

// The owner's own acts on a file wait so long for a renewal in another process.
const ACT: LockWish = { holdMs: 30_000, waitMs: 60_000 };
const UNLISTED =
  "it is not used yet: only the files that 'accounts' lists in the configuration are, so add this one there";
// What a crash left is finished at once, or by whoever holds the lock.
const AT_ONCE: LockWish = { holdMs: 30_000, waitMs: 0 };

/**
 * The accounts in a folder, one JSON object per `*.json` file; the folder is made when it is missing. Nothing is
 * thrown for a folder or a file that cannot be used: that is a fault in the snapshot. Nothing is ever deleted but our own
 * temporary files, except by `discard`.
 */
export async function openFileStore(options: FileStoreOptions): Promise<Store> {
  const { clock, scanIntervalMs, files = [], stateFile = "", steps = diskSteps } = options;
  const { sealer = createSealer([]) } = options;
  const pen: Pen = { steps, sealer };
  const dir = resolve(options.dir);
  // What cannot be made is told by the first reading.
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch(() => {});
  const except = await listedAs(stateFile, dir);
  const lookOnce = (): Promise<Listing | string> => list(dir, files, except);
  const locks = createLocks(clock, steps);
  const holding = new Map<string, Holding>();
  // Which of these the running task has: in its own process, too, nobody else may take the file from under it.
  const tasks = new AsyncLocalStorage<readonly Holding[]>();
  const readings = new Map<string, Known>();
  // By the signature of a file we wrote, the one of the file that others last wrote: our writes are no change to it.
  const origins = new Map<Signature, Signature>();
  // Files that were there and could not be read, which may pass without a change of the file.
  const unread = new Set<string>();
  const { run: takeTurns } = createLanes(() => Number.POSITIVE_INFINITY);
  const readers = createLanes(() => MOST_AT_ONCE);
  let known: ReadonlyMap<string, Signature> = new Map();
  let last: Snapshot = { logins: [], faults: [], duplicates: [], complete: true };

  const load = async (path: string, signature?: Signature): Promise<Reading> => {
    const found = await readContent(path, sealer, signature);
    const reading: Reading = found.ok
      ? readLogin(found.content, path)
      : { ok: false, fault: { source: path, reason: found.reason } };
    const warning = found.ok ? found.warning : undefined;
    if (found.signature === undefined) readings.delete(path);
    else readings.set(path, { signature: found.signature, reading, warning });
    if (found.ok || found.signature !== undefined || found.isGone) unread.delete(path);
    else unread.add(path);
    return reading;
  };

  const isInTask = (source: string): boolean => {
    const held = holding.get(source);
    return held !== undefined && tasks.getStore()?.includes(held) === true;
  };

  /** Does `job` while nobody else touches the account: under its lock, which the task that asks may have already. */
  const guarded = async <T>(source: string, job: () => Promise<T>): Promise<T | Refused> => {
    if (isInTask(source)) return takeTurns(source, job);
    const target = await realTarget(source).catch(() => source);
    const taken = await locks.take(target, ACT);
    if (!taken.ok && taken.isBusy) return { ok: false, reason: taken.reason };
    try {
      const finished = taken.ok ? await finishRotation(target, pen) : taken;
      if (taken.ok && !finished.ok) return finished;
      // Where no lock can be made, the folder takes nothing: the job says so in its own words.
      return await takeTurns(source, job);
    } finally {
      if (taken.ok) await taken.lock.release();
    }
  };

  /** Finishes the renewals that a kill interrupted; those of a living process are left to it. */
  const finishAll = async (paths: readonly string[]): Promise<void> => {
    for (const path of paths) {
      const taken = await locks.take(path, AT_ONCE);
      if (!taken.ok) continue;
      try {
        await finishRotation(path, pen);
      } finally {
        await taken.lock.release();
      }
    }
  };

  const look = async (): Promise<Listing | string> => {
    const listing = await lookOnce();
    if (typeof listing === "string") return listing;
    const begun = [...begunIn(dir, listing), ...listing.elsewhere];
    if (begun.length === 0) return listing;
    await finishAll(begun);
    return lookOnce();
  };

  const scan = async (): Promise<Snapshot> => {
    const listing = await look();
    if (typeof listing === "string") {
      last = { ...last, faults: [{ source: dir, reason: listing }], complete: false };
      return last;
    }
    const { signatures } = listing;
    for (const path of [...readings.keys(), ...unread]) {
      if (signatures.has(path) && !listing.faults.has(path)) continue;
      readings.delete(path);
      unread.delete(path);
    }
    const faults = new Map(listing.faults);
    const changed = [...signatures].filter(
      ([path, signature]) => !faults.has(path) && readings.get(path)?.signature !== signature,
    );
    const readOne = async (path: string, signature: Signature): Promise<void> => {
      const reading = await takeTurns(path, () => load(path, signature));
      if (!reading.ok && unread.has(path)) faults.set(path, reading.fault);
    };
    await Promise.all(
      changed.map(([path, signature]) => readers.run(path, () => readOne(path, signature))),
    );
    const orphans = await orphansOf(dir, listing, sealer);
    await removeStale([...listing.temporaries, ...orphans], clock.now());
    known = signatures;
    // Put together without a pause from the newest readings, so that a write of ours in the meantime is in it.
    const logins: Login[] = [];
    for (const path of signatures.keys()) {
      const { reading, warning } = readings.get(path) ?? {};
      if (reading?.ok) logins.push(reading.login);
      else if (reading !== undefined) faults.set(path, reading.fault);
      if (warning !== undefined) faults.set(path, { source: path, reason: warning });
    }
    last = { ...mergeLogins(logins), faults: [...faults.values()].sort(bySource), complete: true };
    return last;
  };

  /** Remembers that a file which is about to take its place is ours, and holds what was in `before`. */
  const noteOwn = (stats: Stats, before: Signature): Signature => {
    const signature = signatureOf(stats);
    origins.set(signature, origins.get(before) ?? before);
    return signature;
  };

  const store = async (...[source, credential, nowMs]: SaveArguments): Promise<Stored> => {
    const held = holding.get(source);
    const rotation = held?.rotation;
    const found = await readContent(source, sealer);
    if (!found.ok) return { ok: false, reason: found.reason };
    const reading = readLogin(found.content, source);
    const present = loginIn(reading);
    if (typeof present === "string") return { ok: false, reason: present };
    const before = loginBefore(rotation, source);
    if (isAnotherLogin(present, credential, before)) return othersThere(source);
    // Its owner has logged in anew while the old tokens were renewed: theirs count. The next reading brings them.
    if (rotation !== undefined && hasNewerTokens(present, before)) {
      await rotation.abandon();
      return { ok: true, isReplaced: true };
    }
    const content = writeCredential(found.content, credential, nowMs) ?? found.content;
    let signature = "";
    const onReady = (stats: Stats): void => {
      signature = noteOwn(stats, found.signature);
    };
    const saved =
      rotation === undefined
        ? await writeDurably(source, sealer.seal(content), { steps, onReady })
        : await rotation.finish(content, onReady);
    if (held !== undefined) await endRotation(held);
    if (saved.ok) {
      readings.set(source, { signature, reading: readLogin(content, source), warning: undefined });
    }
    return saved;
  };

  const save: Store["save"] = (...given) => {
    const [source, credential, nowMs] = given;
    const rotation = holding.get(source)?.rotation;
    // At once, before anything is looked at or waited for: until this is done, a kill loses the login.
    const content = rotation && writeCredential(rotation.original, credential, nowMs);
    if (content !== undefined) rotation?.write(content);
    return takeTurns(source, () => store(...given));
  };

  const prepare = async (held: Holding, content: string): Promise<Saved> => {
    await endRotation(held);
    const prepared = await prepareRotation(held.target, content, pen);
    if (!prepared.ok) return prepared;
    held.rotation = prepared.rotation;
    return { ok: true };
  };

  const canSave = (source: string): Promise<Saved> =>
    takeTurns(source, async () => {
      const before = readings.get(source)?.reading;
      const reading = await load(source);
      if (!reading.ok) return { ok: false, reason: reading.fault.reason };
      // Put there since it was last read, so whoever asks means the one before.
      if (before?.ok && areOthers(before.login, reading.login)) return othersThere(source);
      const held = holding.get(source);
      if (held === undefined) return canWriteBeside(source, steps);
      const found = await readContent(source, sealer);
      return found.ok ? prepare(held, found.content) : { ok: false, reason: found.reason };
    });

  const locked: Store["locked"] = async (source, wish, task) => {
    const target = await realTarget(source).catch(() => source);
    const taken = await locks.take(target, wish);
    if (!taken.ok) return { ok: false, reason: taken.reason };
    const held: Holding = { target, rotation: undefined };
    holding.set(source, held);
    try {
      const finished = await finishRotation(target, pen);
      if (!finished.ok) return finished;
      const within = [...(tasks.getStore() ?? []), held];
      const value = await tasks.run(within, () => task(taken.lock.isStillOurs));
      return { ok: true, value };
    } finally {
      await endRotation(held);
      holding.delete(source);
      await taken.lock.release();
    }
  };

  const proved: Store["proved"] = async (source) => {
    // While it is being renewed again, the copy is the next one's.
    if (holding.has(source)) return;
    const found = await readContent(source, sealer);
    // Somebody has spoilt the file since: the copy is all that there is of it.
    if (!found.ok || found.warning !== undefined) return;
    await forgetLast(await realTarget(source).catch(() => source), steps);
  };

  const remove = async (source: string): Promise<Saved> => {
    const target = await realTarget(source).catch(() => source);
    const removed = await discard(source, steps);
    if (removed.ok) await forgetAll(target, steps);
    return removed;
  };

  const add: Store["add"] = async (name, content) => {
    const added = await putNew(dir, name, sealer.seal(content));
    if (!added.ok || files.length === 0) return added;
    const isListed = files.some((each) => resolve(dir, each) === added.source);
    return isListed ? added : { ...added, note: UNLISTED };
  };

  const sealing = async (): Promise<readonly Sealing[]> => {
    const listing = await look();
    if (typeof listing === "string") return [];
    const paths = [
      ...listing.signatures.keys(),
      ...(await pathsAside(dir, files)),
      ...ownerless(dir, listing),
    ];
    return Promise.all(paths.map((path) => readers.run(path, () => sealingOf(path, sealer))));
  };

  const reseal = async (source: string): Promise<Resealed> => {
    const found = await readStored(source, sealer);
    if (!found.ok) return { ok: false, reason: found.reason };
    const login = loginIn(readLogin(found.content, source));
    if (typeof login === "string") return { ok: false, reason: login };
    const target = await realTarget(source).catch(() => source);
    try {
      const isLastChanged = await resealLast(target, pen);
      if (found.isCurrent) return { ok: true, isChanged: isLastChanged };
    } catch (cause) {
      return { ok: false, reason: `${basename(source)}: not changed, because ${explain(cause)}` };
    }
    const onReady = (stats: Stats): void => void noteOwn(stats, found.signature);
    const content = sealer.seal(found.content);
    const saved = await writeDurably(source, content, { steps, onReady });
    return saved.ok ? { ok: true, isChanged: true } : saved;
  };

  const watch = (onChange: () => void): (() => void) => {
    let seen = known;
    let isReadable = last.complete;
    let isStopped = false;
    const peek = async (isScan: boolean): Promise<void> => {
      const listing = await lookOnce();
      if (isStopped) return;
      const wasReadable = isReadable;
      isReadable = typeof listing !== "string";
      const now = typeof listing === "string" ? seen : listing.signatures;
      const isChanged = isReadable !== wasReadable || differ(seen, now, origins);
      seen = now;
      if (!isChanged && !(isScan && unread.size > 0)) return;
      // On its own, so that an error of the caller's does not end the watching.
      queueMicrotask(() => {
        if (!isStopped) onChange();
      });
    };
    const stop = watchFolder({ dir, clock, scanIntervalMs, look: peek });
    return () => {
      isStopped = true;
      stop();
    };
  };

  const listing = await lookOnce();
  if (typeof listing !== "string") known = listing.signatures;
  return {
    read: () => takeTurns(dir, scan),
    reread: (source) =>
      takeTurns(source, async () => {
        const reading = await load(source);
        return reading.ok ? reading.login : undefined;
      }),
    content: (source) =>
      takeTurns(source, async () => {
        const found = await readContent(source, sealer);
        return found.ok ? found.content : undefined;
      }),
    locked,
    canSave,
    save,
    proved,
    setAside: (source) => guarded(source, () => setAside(source, steps)),
    aside: () => listAside(dir, sealer, files),
    bringBack: (source) => guarded(source, () => bringBack(source, steps)),
    discard: (source) => guarded(source, () => remove(source)),
    switchOff: (source, isOff) => {
      const job = () => switchOff(source, isOff, pen);
      // A renewal of this process puts its tokens into the file as it is by then: its owner need not wait for it.
      return holding.has(source) ? takeTurns(source, job) : guarded(source, job);
    },
    add: (name, content) => takeTurns(dir, () => add(name, content)),
    canAdd: () => canWriteBeside(join(dir, "the new account")),
    trouble: () => (last.complete ? undefined : last.faults[0]?.reason),
    sealing: () => takeTurns(dir, sealing),
    reseal: (source) => guarded(source, () => reseal(source)),
    watch,
  };
}

type SaveArguments = Parameters<Store["save"]>;
type Refused = Extract<Saved, { readonly ok: false }>;

async function sealingOf(source: string, sealer: Sealer): Promise<Sealing> {
  const found = await readStored(source, sealer);
  if (found.ok) {
    const { keyId, isCurrent, content } = found;
    const login = loginIn(readLogin(content, source));
    return { source, keyId, isCurrent, ...(typeof login === "string" && { fault: login }) };
  }
  return { source, keyId: found.unopened?.keyId, isCurrent: false, fault: found.reason };
}

/** The login that a file holds, or why it holds none. One that must not be used for now gets its new tokens all the same. */
function loginIn(reading: Reading): Login | string {
  return reading.ok ? reading.login : (reading.barred ?? reading.fault.reason);
}

function othersThere(source: string): Refused {
  return { ok: false, reason: whyOthers(basename(source)) };
}

/** The login as it was when its rotation was prepared. */
function loginBefore(rotation: Rotation | undefined, source: string): Login | undefined {
  const before = rotation && readLogin(rotation.original, source);
  return before?.ok ? before.login : undefined;
}

/** A rotation that is over must not be written to again: its file may be the account's by now. */
async function endRotation(held: Holding): Promise<void> {
  const { rotation } = held;
  held.rotation = undefined;
  await rotation?.close();
}

/** The path under which a listing of `dir` finds that file, by whichever way its folder is named. */
async function listedAs(path: string, dir: string): Promise<string | undefined> {
  if (path === "") return undefined;
  const [folder, own] = await Promise.all(
    [dirname(resolve(path)), dir].map((each) => realpath(each).catch(() => each)),
  );
  return folder === own ? join(dir, basename(path)) : resolve(path);
}

function bySource(a: StoreFault, b: StoreFault): number {
  return compare(a.source, b.source);
}
