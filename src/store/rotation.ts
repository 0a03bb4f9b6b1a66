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
import type { Saved } from "./store.ts";

/** A change of an account's tokens for which everything is prepared, so that one write keeps the new ones. */
export type Rotation = {
  /** The file as it was when this was prepared. */
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

/**
 * Prepares the replacement of the account file `target`, which holds `original`. To be called under its lock, before
 * the refresh token is spent. Afterwards there is a copy of the original on the disk, and an open file with room for
 * the new content.
 *
 * What a kill can still cost, and no program can prevent: the issuer has rotated the token and its answer is on its
 * way, or has arrived and is not yet in the one write that follows. A kill inside that write tears it only where
 * the kernel stops between two of its pages.
 */
export async function prepareRotation(
  target: string,
  original: string,
  steps: Steps,
): Promise<Prepared> {
  const next = besideOf(target, "next");
  const last = besideOf(target, "last");
  let written: string | undefined;
  let isUsed = false;
  let isLastOurs = false;
  let slot: Slot;
  const abandon = async (): Promise<void> => {
    await steps.remove(next).catch(() => {});
    // A copy from before may be all that there is of an account whose file is spoilt, or has been meanwhile.
    if (isLastOurs && (await isWhole(target))) await steps.remove(last).catch(() => {});
  };
  try {
    const like = await statsOf(target);
    isLastOurs = await keepLast(last, original, like, steps);
    const bytes = Math.max(ROOM_BYTES, 2 * Buffer.byteLength(original));
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
    slot.write(content);
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
          await replace(next, target, steps);
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
export async function finishRotation(target: string, steps: Steps): Promise<Saved> {
  try {
    await finishWritten(target, steps);
    return { ok: true };
  } catch (cause) {
    const reason = `${basename(target)}: its new tokens lie beside it and cannot be put in, because ${explain(cause)}`;
    return { ok: false, reason };
  }
}

async function finishWritten(target: string, steps: Steps): Promise<void> {
  const next = besideOf(target, "next");
  const content = await textOf(next);
  if (content === undefined) return;
  const present = await textOf(target);
  // A file that its owner has taken away is not brought back. A scan removes this one when it is old.
  if (present === undefined) return;
  const last = await textOf(besideOf(target, "last"));
  if (!follows(content, present, last, target)) {
    await steps.remove(next);
    return;
  }
  const file = await open(next, "r+");
  try {
    // The room that was taken for it and not used.
    await file.truncate(Buffer.byteLength(content.replace(/ +$/, "")));
    await file.sync();
  } finally {
    await file.close();
  }
  await replace(next, target, steps);
  await steps.syncFolder(dirname(target));
}

/** The account's last good content, where it is kept. */
export async function lastGood(target: string): Promise<string | undefined> {
  const content = await textOf(besideOf(target, "last"));
  return content !== undefined && readLogin(content, target).ok ? content : undefined;
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

/** Makes the copy of the file as it is; false where that lay there already. */
async function keepLast(
  last: string,
  original: string,
  like: Stats | undefined,
  steps: Steps,
): Promise<boolean> {
  if ((await textOf(last)) === original) return false;
  const temp = temporaryBeside(last);
  try {
    await steps.create(temp, original, like);
    await steps.rename(temp, last);
    return true;
  } catch (cause) {
    await steps.remove(temp).catch(() => {});
    throw cause;
  }
}

/** Whether the file holds a login, so that nothing but it is needed. */
async function isWhole(target: string): Promise<boolean> {
  return loginIn((await textOf(target)) ?? "", target) !== undefined;
}

/** Whether `content` is what the account file should hold after `present`. */
function follows(
  content: string,
  present: string,
  last: string | undefined,
  target: string,
): boolean {
  const login = loginIn(content, target);
  if (login === undefined) return false;
  const before = loginIn(last ?? "", target);
  // Spoilt since this was written: our own account of it counts.
  if (parseDict(present) === undefined) return before === undefined || !isStranger(login, before);
  // Untouched since this was prepared: nothing but the rename is missing, whatever dates are in it.
  if (present === last) return present !== content && !isStranger(login, before);
  const now = loginIn(present, target);
  if (now === undefined || isStranger(login, now)) return false;
  if (before !== undefined && areOthers(now, before)) return false;
  return isNewer(login, now);
}

function loginIn(content: string, target: string): Login | undefined {
  const reading = readLogin(content, target);
  return reading.ok ? reading.login : undefined;
}

function isStranger(one: Login, other: Login | undefined): boolean {
  if (other === undefined) return true;
  return areStrangers(payloadsOf(one.credential), payloadsOf(other.credential));
}

/** Renames; what is there and cannot be read as an account is set aside instead of lost. */
async function replace(next: string, target: string, steps: Steps): Promise<void> {
  const present = await textOf(target);
  if (present !== undefined && present.trim() !== "" && parseDict(present) === undefined) {
    await steps.link(target, await freeName(`${target}.broken`));
  }
  await steps.rename(next, target);
}

async function textOf(path: string): Promise<string | undefined> {
  const content = await readFile(path, "utf8").catch(() => undefined);
  return content && withoutBom(content);
}
