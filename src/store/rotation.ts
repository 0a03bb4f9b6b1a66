import type { Stats } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { isNewer, type Login } from "../pool/account.ts";
import { parseDict } from "../wire/json.ts";
import { besideOf, temporaryBeside } from "./beside.ts";
import { areOthers, areStrangers, payloadsOf } from "./claims.ts";
import { explain, ROOM_BYTES, type Slot, type Steps, statsOf } from "./durable.ts";
import { freeName } from "./names.ts";
import { readLogin, withoutBom } from "./record.ts";
import type { Opened, Sealer, Unopened } from "./seal.ts";
import type { Saved } from "./store.ts";

/** A change of an account's tokens for which everything is prepared, so that one write keeps the new ones. */
export type Rotation = {
  /** The file as it was when this was prepared, in the clear. */
  readonly original: string;
  /** Keeps a whole new file from being lost: from here on a later start would find it. What fails here, `finish` tells. */
  readonly write: (content: string) => void;
  /**
   * Puts `content` in the account file's place, which may say more than what was written before, since others may
   * have changed the file meanwhile. `onReady` is told of the new file just before.
   */
  readonly finish: (content: string, onReady: (stats: Stats) => void) => Promise<Saved>;
  /** Removes what was prepared: the owner's own tokens are in the file by now. Never throws. */
  readonly abandon: () => Promise<void>;
  /** Removes what was prepared, unless it holds tokens that are nowhere else. Never throws. */
  readonly close: () => Promise<void>;
};

/** Everything is ready, or why the tokens could not be stored. */
export type Prepared =
  | { readonly ok: true; readonly rotation: Rotation }
  | Extract<Saved, { readonly ok: false }>;

/** By which steps, and in which form, contents are written. */
export type Pen = { readonly steps: Steps; readonly sealer: Sealer };

/**
 * Prepares the replacement of the account file `target`, which holds `original`. To be called under its lock, before
 * the refresh token is spent. Afterwards there is a copy of the original on the disk, and an open file with room for
 * the new content. Contents are given in the clear, and lie on the disk as the sealer writes them.
 *
 * What a kill can still cost, and no program can prevent: the issuer has rotated the token and its answer is on its
 * way, or has arrived and is not yet in the one write that follows. A kill inside that write tears it only where
 * the kernel stops between two of its pages.
 */
export async function prepareRotation(
  target: string,
  original: string,
  pen: Pen,
): Promise<Prepared> {
  const { steps, sealer } = pen;
  const next = besideOf(target, "next");
  const last = besideOf(target, "last");
  let written: string | undefined;
  let isUsed = false;
  let isLastOurs = false;
  let slot: Slot;
  const abandon = async (): Promise<void> => {
    await steps.remove(next).catch(() => {});
    // A copy from before may be all that there is of an account whose file is spoilt, or has been meanwhile.
    if (isLastOurs && (await isWhole(target, sealer))) await steps.remove(last).catch(() => {});
  };
  try {
    const like = await statsOf(target);
    isLastOurs = await keepLast(last, original, like, pen);
    const bytes = Math.max(ROOM_BYTES, 2 * Buffer.byteLength(sealer.seal(original)));
    slot = await steps.reserve(next, bytes, like);
  } catch (cause) {
    await abandon();
    return {
      ok: false,
      reason: `${basename(target)}: cannot be written, because ${explain(cause)}`,
    };
  }
  const put = (content: string): void => {
    isUsed = true;
    slot.write(sealer.seal(content));
    written = content;
  };
  return {
    ok: true,
    rotation: {
      original,
      write: (content) => {
        try {
          put(content);
        } catch {
          // Tried again at the end, which says why.
        }
      },
      finish: async (content, onReady) => {
        try {
          if (written !== content) put(content);
          onReady(await slot.settle());
          await replace(next, target, pen);
          await steps.syncFolder(dirname(target));
          return { ok: true };
        } catch (cause) {
          const reason = `${basename(target)}: cannot be written, because ${explain(cause)}`;
          return { ok: false, reason };
        }
      },
      abandon,
      close: async () => {
        await slot.close().catch(() => {});
        if (!isUsed) await abandon();
      },
    },
  };
}

/**
 * Finishes what a kill interrupted, under the lock: new tokens that were written and had not taken the account file's
 * place do so now. What is broken, or holds nothing newer, is removed. While this fails, nothing may be spent: the
 * account file may hold a token that was spent already.
 */
export async function finishRotation(target: string, pen: Pen): Promise<Saved> {
  try {
    const locked = await finishWritten(target, pen);
    if (locked === undefined) return { ok: true };
    return { ok: false, reason: `${unfinished(target)} ${locked.reason}` };
  } catch (cause) {
    return { ok: false, reason: `${unfinished(target)} ${explain(cause)}` };
  }
}

function unfinished(target: string): string {
  return `${basename(target)}: its new tokens lie beside it and cannot be put in, because`;
}

/** What cannot be opened for want of its key, so that nothing was done. */
async function finishWritten(
  target: string,
  { steps, sealer }: Pen,
): Promise<Unopened | undefined> {
  const next = besideOf(target, "next");
  const content = await textOf(next);
  if (content === undefined) return undefined;
  const present = await textOf(target);
  // A file that its owner has taken away is not brought back. A scan removes this one when it is old.
  if (present === undefined) return undefined;
  const last = await textOf(besideOf(target, "last"));
  const [fresh, now] = [sealer.open(content), sealer.open(present)];
  // It may be the only place of its tokens, and what it is to replace may be newer still.
  if (isLocked(fresh)) return fresh;
  if (isLocked(now) && loginIn(textIn(fresh), target) !== undefined) return now;
  if (!follows(textIn(fresh) ?? "", textIn(now), last && textIn(sealer.open(last)), target)) {
    await steps.remove(next);
    return undefined;
  }
  const file = await open(next, "r+");
  try {
    // The room that was taken for it and not used.
    await file.truncate(Buffer.byteLength(content.replace(/ +$/, "")));
    await file.sync();
  } finally {
    await file.close();
  }
  await replace(next, target, { steps, sealer });
  await steps.syncFolder(dirname(target));
  return undefined;
}

/** The account's last good content, where it is kept. */
export async function lastGood(target: string, sealer: Sealer): Promise<string | undefined> {
  const content = await openedAt(besideOf(target, "last"), sealer);
  return content !== undefined && readLogin(content, target).ok ? content : undefined;
}

/** Writes the last good content as the sealer has it now; false where there is none to be written anew. */
export async function resealLast(target: string, pen: Pen): Promise<boolean> {
  const last = besideOf(target, "last");
  const stored = await textOf(last);
  const opened = stored === undefined ? undefined : pen.sealer.open(stored);
  if (!opened?.ok || opened.isCurrent) return false;
  await writeLast(last, opened.text, await statsOf(last), pen);
  return true;
}

/** Removes the last good content: the new tokens have proved themselves, or the account is gone. Never throws. */
export async function forgetLast(target: string, steps: Steps): Promise<void> {
  await steps.remove(besideOf(target, "last")).catch(() => {});
}

/** Removes everything of an account's that may hold tokens. Never throws. */
export async function forgetAll(target: string, steps: Steps): Promise<void> {
  await steps.remove(besideOf(target, "next")).catch(() => {});
  await forgetLast(target, steps);
}

/** Makes the copy of the file as it is; false where that lay there already, in whatever form. */
async function keepLast(
  last: string,
  original: string,
  like: Stats | undefined,
  pen: Pen,
): Promise<boolean> {
  const there = pen.sealer.open((await textOf(last)) ?? "");
  const isThere = there.ok && there.text === original;
  if (isThere && there.isCurrent) return false;
  await writeLast(last, original, like, pen);
  return !isThere;
}

async function writeLast(
  last: string,
  content: string,
  like: Stats | undefined,
  { steps, sealer }: Pen,
): Promise<void> {
  const temp = temporaryBeside(last);
  try {
    await steps.create(temp, sealer.seal(content), like);
    await steps.rename(temp, last);
  } catch (cause) {
    await steps.remove(temp).catch(() => {});
    throw cause;
  }
}

/** Whether the file holds a login, so that nothing but it is needed. */
async function isWhole(target: string, sealer: Sealer): Promise<boolean> {
  return loginIn(await openedAt(target, sealer), target) !== undefined;
}

/** Whether `content` is what the account file should hold after `present`, which is undefined where it cannot be read. */
function follows(
  content: string,
  present: string | undefined,
  last: string | undefined,
  target: string,
): boolean {
  const login = loginIn(content, target);
  if (login === undefined) return false;
  const before = loginIn(last, target);
  // Spoilt since this was written: our own account of it counts.
  if (present === undefined || parseDict(present) === undefined)
    return before === undefined || !isStranger(login, before);
  // Untouched since this was prepared: nothing but the rename is missing, whatever dates are in it.
  if (present === last) return present !== content && !isStranger(login, before);
  const now = loginIn(present, target);
  if (now === undefined || isStranger(login, now)) return false;
  if (before !== undefined && areOthers(now, before)) return false;
  return isNewer(login, now);
}

function loginIn(content: string | undefined, target: string): Login | undefined {
  const reading = readLogin(content ?? "", target);
  return reading.ok ? reading.login : undefined;
}

function isStranger(one: Login, other: Login | undefined): boolean {
  if (other === undefined) return true;
  return areStrangers(payloadsOf(one.credential), payloadsOf(other.credential));
}

/** Renames; what is there and cannot be read as an account is set aside instead of lost. */
async function replace(next: string, target: string, { steps, sealer }: Pen): Promise<void> {
  const present = (await textOf(target)) ?? "";
  const isBroken = parseDict(textIn(sealer.open(present)) ?? "") === undefined;
  if (present.trim() !== "" && isBroken) {
    await steps.link(target, await freeName(`${target}.broken`));
  }
  await steps.rename(next, target);
}

/** Whether it is whole as far as anybody can tell, and its key is missing. */
function isLocked(opened: Opened): opened is Unopened {
  return !opened.ok && !opened.isDamaged;
}

function textIn(opened: Opened): string | undefined {
  return opened.ok ? opened.text : undefined;
}

async function openedAt(path: string, sealer: Sealer): Promise<string | undefined> {
  const content = await textOf(path);
  return content === undefined ? undefined : textIn(sealer.open(content));
}

async function textOf(path: string): Promise<string | undefined> {
  const content = await readFile(path, "utf8").catch(() => undefined);
  return content && withoutBom(content);
}
