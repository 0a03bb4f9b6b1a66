import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { lstat, open, realpath, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { dict, text } from "../wire/json.ts";
import type { Saved } from "./store.ts";

/** The steps of a durable write, apart, so that a test can fail between any two of them. */
export type Steps = {
  /**
   * Makes a file that must not exist yet, 0600, and returns when its bytes are on the disk. It goes to the owner of
   * `like` where that is allowed: a proxy run by root must not take a file away from the user's other tools.
   */
  readonly create: (path: string, content: string, like: Stats | undefined) => Promise<Stats>;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly syncFolder: (path: string) => Promise<void>;
  readonly remove: (path: string) => Promise<void>;
};

/** The real disk. */
export const diskSteps: Steps = { create, rename, syncFolder, remove: unlink };

/** What the caller of a durable write may set. */
export type WriteOptions = {
  readonly steps?: Steps;
  /** Called with the facts of the new file at the moment before it takes its place; the rename keeps them. */
  readonly onReady?: (stats: Stats) => void;
};

/** Enough to find out that the disk is full, and more than a credential file holds. */
const PROBE_BYTES = 16_384;

/**
 * Replaces the file at `path` by `content`, or leaves it as it was: at no moment is there half a file, and a success
 * survives a power cut. Where `path` is a symbolic link, the file it points to is replaced.
 */
export async function writeDurably(
  path: string,
  content: string,
  options: WriteOptions = {},
): Promise<Saved> {
  const { steps = diskSteps, onReady } = options;
  try {
    const target = await targetOf(path);
    const temp = tempBeside(target);
    try {
      const stats = await steps.create(temp, content, await statsOf(target));
      onReady?.(stats);
      await steps.rename(temp, target);
    } catch (cause) {
      await steps.remove(temp).catch(() => {});
      throw cause;
    }
    await steps.syncFolder(dirname(target));
    return { ok: true };
  } catch (cause) {
    return { ok: false, reason: `${basename(path)}: cannot be written, because ${explain(cause)}` };
  }
}

/** Whether a file can be put beside `path` now. It really makes one and takes it away again. */
export async function canWriteBeside(path: string, steps: Steps = diskSteps): Promise<Saved> {
  try {
    const temp = tempBeside(await targetOf(path));
    try {
      await steps.create(temp, " ".repeat(PROBE_BYTES), undefined);
    } finally {
      await steps.remove(temp).catch(() => {});
    }
    return { ok: true };
  } catch (cause) {
    return { ok: false, reason: `${basename(path)}: cannot be written, because ${explain(cause)}` };
  }
}

/** Whether a file name is one that a durable write uses for its temporary file. */
export function isTemporary(name: string): boolean {
  return /^\.codex-proxy-[0-9a-f]{16}\.tmp$/.test(name);
}

const REASONS: { readonly [code: string]: string } = {
  ENOSPC: "the disk is full. Free some space.",
  EDQUOT: "the disk quota is used up. Free some space.",
  EROFS: "the file system is read-only. Mount it writable.",
  EACCES: "the permission is missing. Give the proxy's user access to it.",
  EPERM: "the system forbids it. Check its owner, its permissions and what else has it open.",
  EBUSY: "another program has it open. Close that program.",
  ENOENT: "it does not exist (any more). Put it back, or correct auth-dir.",
  ENOTDIR: "there is a file where a folder should be. Correct auth-dir.",
  EISDIR: "there is a folder where a file should be. Move it away.",
  ELOOP: "its symbolic links lead in a circle. Correct them.",
  EMFILE: "too many files are open. Raise the limit (ulimit -n).",
  ENFILE: "too many files are open. Raise the system's limit.",
  EIO: "the disk reports an error. Check the disk.",
};

/** Why the system refused something, and what to do, as the end of a sentence. Never holds a path or file content. */
export function explain(cause: unknown): string {
  const code = codeOf(cause);
  return REASONS[code] ?? `the system reports ${code}. Check the file and its folder.`;
}

/** The system's short name of an error, such as ENOENT. */
export function codeOf(cause: unknown): string {
  return text(dict(cause)["code"]) ?? "an unknown error";
}

/** Whether `path` is a symbolic link, wherever it leads. */
export async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
}

async function create(path: string, content: string, like: Stats | undefined): Promise<Stats> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(content);
    const stats = await file.stat();
    if (like !== undefined && (like.uid !== stats.uid || like.gid !== stats.gid)) {
      // Allowed to root only; anybody else keeps a file of their own.
      await file.chown(like.uid, like.gid).catch(() => {});
    }
    await file.sync();
    return await file.stat();
  } finally {
    await file.close();
  }
}

// Windows and some network file systems cannot sync a folder; the rename has happened all the same.
const CANNOT_SYNC_FOLDERS = new Set([
  "EPERM",
  "EACCES",
  "EISDIR",
  "EINVAL",
  "EBADF",
  "ENOTSUP",
  "ENOSYS",
]);

async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (cause) {
    if (!CANNOT_SYNC_FOLDERS.has(codeOf(cause))) throw cause;
  }
}

/** The file that a write to `path` must replace. A link that leads nowhere is an error, not a place for a new file. */
async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    if (codeOf(cause) !== "ENOENT" || (await isLink(path))) throw cause;
    return path;
  }
}

async function statsOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined);
}

// Short and fixed, whatever the account file is called: a long name plus a suffix may be too long. Starts with a dot
// and does not end in .json, so that no scan takes it for an account.
function tempBeside(path: string): string {
  return join(dirname(path), `.codex-proxy-${randomBytes(8).toString("hex")}.tmp`);
}
