import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { sha256 } from "../wire/digest.ts";

/** What lies hidden beside an account file: its lock, its next content on the way, its last good content. */
export type Beside = "lock" | "next" | "last";

// Short and of fixed length, whatever the account file is called: a long name plus a suffix may be too long. They start
// with a dot and do not end in .json, so that no scan takes them for accounts.
const PREFIX = ".codex-proxy-";

/** Where something of the account file at `target` lies; `target` is the real file, not a link to it. */
export function besideOf(target: string, kind: Beside): string {
  return join(dirname(target), `${PREFIX}${sha256(basename(target)).slice(0, 16)}.${kind}`);
}

/** Where the right to remove the lock `path` with exactly this content lies: one file for each content. */
export function claimOf(path: string, content: string): string {
  const digest = sha256(`${basename(path)}\n${content}`).slice(0, 16);
  return join(dirname(path), `${PREFIX}${digest}.claim`);
}

/** A new name for a file that is on its way, in the folder of `path`. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `${PREFIX}${randomBytes(8).toString("hex")}.tmp`);
}

/** Whether a file name is one of those that only a crash leaves behind, so that an old one can go. */
export function isTemporary(name: string): boolean {
  return /^\.codex-proxy-[0-9a-f]{16}\.(?:tmp|claim)$/.test(name);
}

/** Whether a file name is that of an account's next or last content, which holds tokens. */
export function isCopy(name: string): boolean {
  return /^\.codex-proxy-[0-9a-f]{16}\.(?:next|last)$/.test(name);
}
