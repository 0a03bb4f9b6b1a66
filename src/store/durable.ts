import { type Stats, writeSync } from "node:fs";
import {
  type FileHandle,
  link,
  lstat,
  open,
  realpath,
  rename,
  stat,
  unlink,
  writeFile,
} from "node:fs/promises";
import { basename, dirname } from "node:path";
import { dict, text } from "../wire/json.ts";
import { temporaryBeside } from "./beside.ts";
import type { Saved } from "./store.ts";

/** A file with room in it, open for what is to come. */
export type Slot = {
  /** Puts the content at its beginning, at once and in one go. What is behind it is blank. */
  readonly write: (content: string) => void;
  /** Cuts off the blanks, and returns when the content is on the disk. */
  readonly settle: () => Promise<Stats>;
  readonly close: () => Promise<void>;
};

/** The steps of a durable write, apart, so that a test can fail between any two of them. */
export type Steps = {
  /** Makes a file that must not exist yet, 0600; it need not survive a power cut. */
  readonly put: (path: string, content: string) => Promise<void>;
  /** A second name, which must be free, for a file. */
  readonly link: (from: string, to: string) => Promise<void>;
  /** Makes a file, 0600, whose room is taken on the disk: `bytes` blanks. It replaces one that is there. */
  readonly reserve: (path: string, bytes: number, like: Stats | undefined) => Promise<Slot>;
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
export const diskSteps: Steps = {
  create,
  put: (path, content) => writeFile(path, content, { flag: "wx", mode: 0o600 }),
  link,
  reserve,
  rename,
  syncFolder,
  remove: unlink,
};

/** What the caller of a durable write may set. */
export type WriteOptions = {
  readonly steps?: Steps;
  /** Called with the facts of the new file at the moment before it takes its place; the rename keeps them. */
  readonly onReady?: (stats: Stats) => void;
};

/** Enough to find out that the disk is full, and more than a credential file holds. */
export const ROOM_BYTES = 16_384;

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
    const target = await realTarget(path);
    const temp = temporaryBeside(target);
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

/**
 * Makes the file `path`, or says "taken" where there is something of that name, however short a time: of several
 * processes that want one name, one gets it. There is never half a file, and a success survives a power cut.
 */
export async function createDurably(
  path: string,
  content: string,
  steps: Steps = diskSteps,
): Promise<Saved | "taken"> {
  try {
    const temp = temporaryBeside(path);
    try {
      await steps.create(temp, content, undefined);
      if (!(await claimName(temp, path, steps))) return "taken";
    } finally {
      await steps.remove(temp).catch(() => {});
    }
    await steps.syncFolder(dirname(path));
    return { ok: true };
  } catch (cause) {
    return { ok: false, reason: `${basename(path)}: cannot be written, because ${explain(cause)}` };
  }
}

/**
 * Makes `path` another name of `temp`, or, where there are no hard links, a file of its own that holds `instead`; in
 * one step either way, so that of two who want the name one gets it.
 */
export async function enter(
  path: string,
  temp: string,
  instead: () => Promise<string>,
  steps: Steps,
): Promise<"linked" | "put" | "taken"> {
  try {
    await steps.link(temp, path);
    return "linked";
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return "taken";
    if (!CANNOT_LINK.has(codeOf(cause))) throw cause;
  }
  try {
    await steps.put(path, await instead());
    return "put";
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return "taken";
    throw cause;
  }
}

/** Gives `temp` the name `path` unless that is taken. Where there are no hard links, an empty file holds the name first. */
async function claimName(temp: string, path: string, steps: Steps): Promise<boolean> {
  const linked = await enter(path, temp, async () => "", steps);
  if (linked !== "put") return linked === "linked";
  try {
    await steps.rename(temp, path);
    return true;
  } catch (cause) {
    await steps.remove(path).catch(() => {});
    throw cause;
  }
}

/** File systems without hard links (FAT, some network shares) say so in these ways. */
const CANNOT_LINK: ReadonlySet<string> = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EMLINK",
]);

/** Whether a file can be put beside `path` now. It really makes one and takes it away again. */
export async function canWriteBeside(path: string, steps: Steps = diskSteps): Promise<Saved> {
  try {
    const temp = temporaryBeside(await realTarget(path));
    try {
      await steps.create(temp, " ".repeat(ROOM_BYTES), undefined);
    } finally {
      await steps.remove(temp).catch(() => {});
    }
    return { ok: true };
  } catch (cause) {
    return { ok: false, reason: `${basename(path)}: cannot be written, because ${explain(cause)}` };
  }
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
    await giveTo(like, file);
    await file.sync();
    return await file.stat();
  } finally {
    await file.close();
  }
}

async function reserve(path: string, bytes: number, like: Stats | undefined): Promise<Slot> {
  const file = await open(path, "w", 0o600);
  let size = 0;
  const write = (content: string): void => {
    const whole = Buffer.from(content);
    // A second, shorter content must not leave the end of the first.
    const padded = Buffer.alloc(Math.max(size, whole.length), " ");
    whole.copy(padded);
    for (let at = 0; at < padded.length; ) {
      // Bun 1.4.5 writes at the file's own position where the length is left out.
      at += writeSync(file.fd, padded, at, padded.length - at, at);
    }
    size = whole.length;
  };
  try {
    await file.writeFile(" ".repeat(bytes));
    await giveTo(like, file);
    await file.sync();
  } catch (cause) {
    await file.close();
    throw cause;
  }
  return {
    write,
    settle: async () => {
      await file.truncate(size);
      await file.sync();
      return file.stat();
    },
    close: () => file.close(),
  };
}

async function giveTo(like: Stats | undefined, file: FileHandle): Promise<void> {
  const stats = await file.stat();
  if (like === undefined || (like.uid === stats.uid && like.gid === stats.gid)) return;
  // Allowed to root only; anybody else keeps a file of their own.
  await file.chown(like.uid, like.gid).catch(() => {});
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

/** The file that a write to `path` must replace: where links lead to. A link that leads nowhere is an error, not a place for a new file. */
export async function realTarget(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    if (codeOf(cause) !== "ENOENT" || (await isLink(path))) throw cause;
    return path;
  }
}

/** What is known of a file, if it can be reached. */
export async function statsOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined);
}
