import type { Dirent, Stats } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { parseDict } from "../wire/json.ts";
import { createLanes } from "../wire/lanes.ts";
import { decodeUtf8 } from "../wire/utf8.ts";
import { besideOf, isCopy, isTemporary } from "./beside.ts";
import { codeOf, explain, isLink, realTarget, statsOf } from "./durable.ts";
import { isAccountName } from "./names.ts";
import { lastGood } from "./rotation.ts";
import type { Sealer, Unopened } from "./seal.ts";
import type { StoreFault } from "./store.ts";

/** Changes whenever a file does. Kept by a rename. */
export type Signature = string;

/** What is in the folder: every `*.json`, or those that the owner named, and what is wrong with those that cannot even be looked at. */
export type Listing = {
  readonly signatures: ReadonlyMap<string, Signature>;
  readonly faults: ReadonlyMap<string, StoreFault>;
  /** Every name in the folder, whatever it is. */
  readonly names: readonly string[];
  /** What only a crash leaves behind. */
  readonly temporaries: readonly string[];
  /** The hidden next and last contents of account files. */
  readonly copies: readonly string[];
  /** Named accounts outside the folder beside which a next content lies. */
  readonly elsewhere: readonly string[];
};

/** A file's text, in the clear. */
export type Content =
  | {
      readonly ok: true;
      readonly signature: Signature;
      readonly content: string;
      /** Why this is the last good content instead of what the file holds now. */
      readonly warning?: string;
    }
  | Unread;

/** A file's text, in the clear, and how it lies there. */
export type Stored =
  | {
      readonly ok: true;
      readonly signature: Signature;
      readonly content: string;
      /** The key that it is sealed with; undefined where it lies there in the clear. */
      readonly keyId: string | undefined;
      /** Whether it lies there as it would be written now. */
      readonly isCurrent: boolean;
    }
  | Unread;

/**
 * A file that gives no text. With a signature, that is because of its content, and lasts until that changes.
 * A file that is gone is no account any more, which is a fault only to whoever asked for that file.
 */
export type Unread = {
  readonly ok: false;
  readonly signature?: Signature;
  readonly isGone?: boolean;
  readonly reason: string;
  /** No program can make anything of it. */
  readonly isSpoilt?: boolean;
  /** Why, where it is sealed. */
  readonly unopened?: Unopened;
};

const LIMIT_BYTES = 1024 * 1024;
// Sealed, a text is longer by a third and a head.
const SEALED_LIMIT_BYTES = Math.ceil(LIMIT_BYTES / 3) * 4 + 1024;

/** Most files that are looked at, or read, at a time. */
export const MOST_AT_ONCE = 32;

/**
 * The account files of the folder `dir`, or why it cannot be read. Where the owner has named files, they alone count,
 * wherever they are. `except` is no account, whatever it is called.
 */
export async function list(
  dir: string,
  named: readonly string[] = [],
  except?: string,
): Promise<Listing | string> {
  let entries: Dirent[];
  try {
    entries = await readdir(dir, { withFileTypes: true });
  } catch (cause) {
    return `${basename(dir)}: the folder of the account files cannot be read, because ${explain(cause)}`;
  }
  const found = new Map<string, Signature>();
  const faults = new Map<string, StoreFault>();
  const add = (path: string, signature: Signature, reason?: string): void => {
    found.set(path, signature);
    if (reason === undefined) return;
    faults.set(path, { source: path, reason: `${basename(path)}: ${reason}` });
  };
  const paths = new Set(
    named.length > 0
      ? named.map((name) => resolve(dir, name))
      : entries.filter(({ name }) => isAccountName(name)).map(({ name }) => join(dir, name)),
  );
  if (except !== undefined) paths.delete(except);
  const look = async (path: string): Promise<void> => {
    const stats = await stat(path).catch((cause: unknown) => codeOf(cause));
    if (typeof stats !== "string") return add(path, signatureOf(stats), unusable(stats));
    const isGone = stats === "ENOENT" && !(await isLink(path));
    if (!isGone) return add(path, `unusable:${stats}`, unreachable(stats));
    if (named.length === 0) return;
    // Not a fault of that source: an account whose file was taken away must not go on running from it.
    const reason = `${basename(path)}: it is named under "accounts", but is not there. Put it there, or take its name out.`;
    faults.set(`named:${path}`, { source: dir, reason });
  };
  const { run } = createLanes(() => MOST_AT_ONCE);
  await Promise.all([...paths].map((path) => run(path, () => look(path))));
  // In the order of their names, whatever the disk's: the same folder always gives the same snapshot.
  const signatures = new Map([...found].sort(([a], [b]) => compare(a, b)));
  const pick = (isIt: (name: string) => boolean) =>
    entries.filter(({ name }) => isIt(name)).map(({ name }) => join(dir, name));
  const names = entries.map(({ name }) => name);
  const elsewhere = await begunBeside([...paths].filter((path) => dirname(path) !== dir));
  const copies = pick(isCopy);
  return { signatures, faults, names, temporaries: pick(isTemporary), copies, elsewhere };
}

/** Those of these files beside which a next content lies. */
async function begunBeside(paths: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(paths.map((path) => statsOf(besideOf(path, "next"))));
  return paths.filter((_, index) => found[index] !== undefined);
}

/**
 * Reads a file. `listed` is its signature when it has just been looked at; taken before the reading, a signature is at
 * worst too old, and the file is read once more at the next scan.
 * A file that is empty, cut off, damaged or no JSON is read from its last good content where that is still kept. Not so
 * one whose key is missing: it is whole, and newer than that.
 */
export async function readContent(
  path: string,
  sealer: Sealer,
  listed?: Signature,
): Promise<Content> {
  const read = await readStored(path, sealer, listed);
  const { signature } = read;
  const isSpoilt = read.ok ? parseDict(read.content) === undefined : read.isSpoilt === true;
  if (signature === undefined || !isSpoilt) return read;
  const target = await realTarget(path).catch(() => path);
  const content = await lastGood(target, sealer);
  if (content === undefined) return read;
  const warning = `${basename(path)}: it cannot be read as an account (empty, cut off or no JSON), so what it held before its tokens were last renewed is used instead. Put a whole file in its place, or log in again.`;
  return { ok: true, signature, content, warning };
}

/** Tells a file from what it was before. */
export function signatureOf(stats: Stats): Signature {
  // Mode and owner belong to it, because a file that could not be read may be readable after a change of these.
  return [stats.mtimeMs, stats.size, stats.ino, stats.mode, stats.uid].join(":");
}

/** Whether the folder changed otherwise than by our own writes. */
export function differ(
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

/** The order of names, the same on every machine. */
export function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
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
  return stats.size <= SEALED_LIMIT_BYTES ? undefined : TOO_LARGE;
}

const TOO_LARGE = "it is larger than 1 MiB, which no account file is. Move it to another folder.";

/** Reads a file as it lies there, and nothing in its stead. */
export async function readStored(
  path: string,
  sealer: Sealer,
  listed?: Signature,
): Promise<Stored> {
  const name = basename(path);
  try {
    let signature = listed;
    if (signature === undefined) {
      const stats = await stat(path);
      const reason = unusable(stats);
      if (reason !== undefined) return { ok: false, reason: `${name}: ${reason}` };
      signature = signatureOf(stats);
    }
    const text = decodeUtf8(await readFile(path));
    const unread = (why: string) => ({ ok: false, signature, reason: `${name}: ${why}` }) as const;
    if (text === undefined)
      return { ...unread("this is not UTF-8 text. Save it as UTF-8."), isSpoilt: true };
    const opened = sealer.open(text);
    if (!opened.ok)
      return { ...unread(opened.reason), isSpoilt: opened.isDamaged, unopened: opened };
    if (Buffer.byteLength(opened.text) > LIMIT_BYTES) return unread(TOO_LARGE);
    const { text: content, keyId, isCurrent } = opened;
    return { ok: true, signature, content, keyId, isCurrent };
  } catch (cause) {
    const isGone = codeOf(cause) === "ENOENT" && !(await isLink(path));
    const why = isGone ? "it is not there any more." : unreachable(codeOf(cause));
    return { ok: false, isGone, reason: `${name}: ${why}` };
  }
}
