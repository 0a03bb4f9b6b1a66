import type { Dirent, Stats } from "node:fs";
import { mkdir, readdir, readFile, stat, unlink } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { isNewer, type Login } from "../pool/account.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { createLanes } from "../wire/lanes.ts";
import { areStrangers, payloadsOf } from "./claims.ts";
import { canWriteBeside, codeOf, explain, isLink, isTemporary, writeDurably } from "./durable.ts";
import { type Reading, readLogin, writeCredential } from "./record.ts";
import { bringBack, discard, listAside, putNew, setAside, switchOff } from "./shelf.ts";
import type { Duplicate, Saved, Snapshot, Store, StoreFault } from "./store.ts";
import { watchFolder } from "./watch.ts";

/** Where account files are, and how often to look for changes that the platform did not report. */
export type FileStoreOptions = {
  readonly dir: string;
  readonly clock: Clock;
  /** Asked before each interval, so that a configuration reload takes effect. 0 turns regular scans off. */
  readonly scanIntervalMs: () => Millis;
};

/** Changes whenever a file does. Kept by a rename. */
type Signature = string;

/** What is in the folder: every `*.json`, and what is wrong with those that cannot even be looked at. */
type Listing = {
  readonly signatures: ReadonlyMap<string, Signature>;
  readonly faults: ReadonlyMap<string, string>;
  readonly temporaries: readonly string[];
};

/**
 * A file's text. A failure with a signature is one of the content, and lasts until that changes.
 * A file that is gone is no account any more, which is a fault only to whoever asked for that file.
 */
type Content =
  | { readonly ok: true; readonly signature: Signature; readonly content: string }
  | {
      readonly ok: false;
      readonly signature?: Signature;
      readonly isGone?: boolean;
      readonly reason: string;
    };

const LIMIT_BYTES = 1024 * 1024;
const STALE_AFTER_MS = 3_600_000;
const LANES = 32;

/**
 * The accounts in a folder, one JSON object per `*.json` file; the folder is made when it is missing. Nothing is
 * thrown for a folder or a file that cannot be used: that is a fault in the snapshot. Nothing is ever deleted but our own
 * temporary files, except by `discard`.
 */
export async function openFileStore(options: FileStoreOptions): Promise<Store> {
  const { clock, scanIntervalMs } = options;
  const dir = resolve(options.dir);
  const readings = new Map<string, { readonly signature: Signature; readonly reading: Reading }>();
  // By the signature of a file we wrote, the one of the file that others last wrote: our writes are no change to it.
  const origins = new Map<Signature, Signature>();
  // Files that were there and could not be read, which may pass without a change of the file.
  const unread = new Set<string>();
  const { run: takeTurns } = createLanes(() => Number.POSITIVE_INFINITY);
  let known: ReadonlyMap<string, Signature> = new Map();
  let last: Snapshot = { logins: [], faults: [], duplicates: [], complete: true };

  const load = async (path: string, signature?: Signature): Promise<Reading> => {
    const found = await readContent(path, signature);
    const reading: Reading = found.ok
      ? readLogin(found.content, path)
      : { ok: false, fault: { source: path, reason: found.reason } };
    if (found.signature === undefined) readings.delete(path);
    else readings.set(path, { signature: found.signature, reading });
    if (found.ok || found.signature !== undefined || found.isGone) unread.delete(path);
    else unread.add(path);
    return reading;
  };

  const scan = async (): Promise<Snapshot> => {
    const listing = await list(dir);
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
    const faults = new Map<string, StoreFault>();
    for (const [source, reason] of listing.faults) faults.set(source, { source, reason });
    const changed = [...signatures].filter(
      ([path, signature]) => !faults.has(path) && readings.get(path)?.signature !== signature,
    );
    await inLanes(changed, async ([path, signature]) => {
      const reading = await takeTurns(path, () => load(path, signature));
      if (!reading.ok && unread.has(path)) faults.set(path, reading.fault);
    });
    await removeStale(listing.temporaries, clock.now());
    known = signatures;
    // Put together without a pause from the newest readings, so that a write of ours in the meantime is in it.
    const logins: Login[] = [];
    for (const path of signatures.keys()) {
      const reading = readings.get(path)?.reading;
      if (reading?.ok) logins.push(reading.login);
      else if (reading !== undefined) faults.set(path, reading.fault);
    }
    last = { ...merge(logins), faults: [...faults.values()].sort(bySource), complete: true };
    return last;
  };

  const save: Store["save"] = (source, credential, nowMs) =>
    takeTurns(source, async () => {
      const found = await readContent(source);
      if (!found.ok) return { ok: false, reason: found.reason };
      const reading = readLogin(found.content, source);
      if (!reading.ok) return { ok: false, reason: reading.fault.reason };
      if (areStrangers(payloadsOf(reading.login.credential), payloadsOf(credential))) {
        const reason = `${basename(source)}: it holds another login by now, so the new tokens were not written to it. Log in again with "codex-proxy login".`;
        return { ok: false, reason };
      }
      const content = writeCredential(found.content, credential, nowMs) ?? found.content;
      let signature = "";
      const onReady = (stats: Stats): void => {
        signature = signatureOf(stats);
        origins.set(signature, origins.get(found.signature) ?? found.signature);
      };
      const saved = await writeDurably(source, content, { onReady });
      if (saved.ok) readings.set(source, { signature, reading: readLogin(content, source) });
      return saved;
    });

  const canSave = (source: string): Promise<Saved> =>
    takeTurns(source, async () => {
      const reading = await load(source);
      return reading.ok ? canWriteBeside(source) : { ok: false, reason: reading.fault.reason };
    });

  const watch = (onChange: () => void): (() => void) => {
    let seen = known;
    let isReadable = last.complete;
    let isStopped = false;
    const look = async (isScan: boolean): Promise<void> => {
      const listing = await list(dir);
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
    const stop = watchFolder({ dir, clock, scanIntervalMs, look });
    return () => {
      isStopped = true;
      stop();
    };
  };

  // What cannot be made is told by the first reading.
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch(() => {});
  const listing = await list(dir);
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
        const found = await readContent(source);
        return found.ok ? found.content : undefined;
      }),
    canSave,
    save,
    setAside: (source) => takeTurns(source, () => setAside(source)),
    aside: () => listAside(dir),
    bringBack: (source) => takeTurns(source, () => bringBack(source)),
    discard: (source) => takeTurns(source, () => discard(source)),
    switchOff: (source, isOff) => takeTurns(source, () => switchOff(source, isOff)),
    add: (name, content) => takeTurns(dir, () => putNew(dir, name, content)),
    watch,
  };
}

/** The folder's account files, or why it cannot be read. */
async function list(dir: string): Promise<Listing | string> {
  let entries: Dirent[];
  try {
    entries = await readdir(dir, { withFileTypes: true });
  } catch (cause) {
    return `${basename(dir)}: the folder of the account files cannot be read, because ${explain(cause)}`;
  }
  const found = new Map<string, Signature>();
  const faults = new Map<string, string>();
  const temporaries = entries.filter(({ name }) => isTemporary(name));
  const files = entries.filter(({ name }) => name.endsWith(".json") && !name.startsWith("."));
  await inLanes(files, async ({ name }) => {
    const path = join(dir, name);
    const stats = await stat(path).catch((cause: unknown) => codeOf(cause));
    if (typeof stats !== "string") {
      found.set(path, signatureOf(stats));
      const reason = unusable(stats);
      if (reason !== undefined) faults.set(path, `${name}: ${reason}`);
      return;
    }
    const isGone = stats === "ENOENT" && !(await isLink(path));
    if (isGone) return;
    found.set(path, `unusable:${stats}`);
    faults.set(path, `${name}: ${unreachable(stats)}`);
  });
  // In the order of their names, whatever the disk's: the same folder always gives the same snapshot.
  const signatures = new Map([...found].sort(([a], [b]) => compare(a, b)));
  return { signatures, faults, temporaries: temporaries.map(({ name }) => join(dir, name)) };
}

function unreachable(code: string): string {
  if (code === "ENOENT")
    return "this is a symbolic link to a file that does not exist. Correct or remove it.";
  return `it cannot be read, because ${explain({ code })}`;
}

function unusable(stats: Stats): string | undefined {
  if (stats.isDirectory())
    return "this is a folder; account files are not looked for in it. Rename or move it.";
  if (!stats.isFile()) return "this is not a regular file. Remove it.";
  if (stats.size <= LIMIT_BYTES) return undefined;
  return "it is larger than 1 MiB, which no account file is. Move it to another folder.";
}

/**
 * Reads a file. `listed` is its signature when it has just been looked at; taken before the reading, a signature is at
 * worst too old, and the file is read once more at the next scan.
 */
async function readContent(path: string, listed?: Signature): Promise<Content> {
  const name = basename(path);
  try {
    let signature = listed;
    if (signature === undefined) {
      const stats = await stat(path);
      const reason = unusable(stats);
      if (reason !== undefined) return { ok: false, reason: `${name}: ${reason}` };
      signature = signatureOf(stats);
    }
    const content = decode(await readFile(path));
    if (content !== undefined) return { ok: true, signature, content };
    return { ok: false, signature, reason: `${name}: this is not UTF-8 text. Save it as UTF-8.` };
  } catch (cause) {
    const isGone = codeOf(cause) === "ENOENT" && !(await isLink(path));
    const why = isGone ? "it is not there any more." : unreachable(codeOf(cause));
    return { ok: false, isGone, reason: `${name}: ${why}` };
  }
}

/** UTF-8 only: a letter lost in reading would be lost in the file at the next save. */
function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

// Mode and owner belong to it, because a file that could not be read may be readable after a change of these.
function signatureOf(stats: Stats): Signature {
  return [stats.mtimeMs, stats.size, stats.ino, stats.mode, stats.uid].join(":");
}

/** Whether the folder changed otherwise than by our own writes. */
function differ(
  before: ReadonlyMap<string, Signature>,
  after: ReadonlyMap<string, Signature>,
  origins: ReadonlyMap<Signature, Signature>,
): boolean {
  if (before.size !== after.size) return true;
  for (const [path, signature] of after) {
    const old = before.get(path);
    if (old === undefined) return true;
    if ((origins.get(old) ?? old) !== (origins.get(signature) ?? signature)) return true;
  }
  return false;
}

/** One entry per identity, the newer tokens each time. */
function merge(logins: readonly Login[]): Pick<Snapshot, "logins" | "duplicates"> {
  const kept = new Map<string, Login>();
  for (const login of logins) {
    const rival = kept.get(login.identity);
    if (rival === undefined || isNewer(login, rival)) kept.set(login.identity, login);
  }
  const duplicates: Duplicate[] = [];
  for (const { identity, source } of logins) {
    const winner = kept.get(identity)?.source ?? source;
    if (winner !== source) duplicates.push({ identity, kept: winner, ignored: source });
  }
  return { logins: [...kept.values()], duplicates };
}

/** Removes what a crash left behind. A young one may belong to another process that is writing now. */
async function removeStale(paths: readonly string[], nowMs: Millis): Promise<void> {
  for (const path of paths) {
    const stats = await stat(path).catch(() => undefined);
    // One that cannot be removed is in nobody's way.
    if (stats && nowMs - stats.mtimeMs > STALE_AFTER_MS) await unlink(path).catch(() => {});
  }
}

/** Runs `job` on every item, a bounded number at a time. */
async function inLanes<T>(items: readonly T[], job: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) await job(item);
  };
  await Promise.all(Array.from({ length: Math.min(LANES, items.length) }, lane));
}

function bySource(a: StoreFault, b: StoreFault): number {
  return compare(a.source, b.source);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
