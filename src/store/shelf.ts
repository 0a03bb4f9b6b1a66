import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Login } from "../pool/account.ts";
import { parseDict } from "../wire/json.ts";
import { createDurably, diskSteps, explain, type Steps, writeDurably } from "./durable.ts";
import { editJson } from "./edit.ts";
import {
  ASIDE,
  accountName,
  formerName,
  freeName,
  isAccountName,
  isThere,
  numbered,
} from "./names.ts";
import { readLogin } from "./record.ts";
import type { Pen } from "./rotation.ts";
import type { Sealer } from "./seal.ts";
import type { Added, Saved } from "./store.ts";

/** Renames an account's file so that it is one no more; its content stays. */
export async function setAside(path: string, steps: Steps = diskSteps): Promise<Saved> {
  return act(path, async () => moveTo(path, await freeName(`${path}${ASIDE}`), steps));
}

/** Makes a file that was set aside an account again. */
export async function bringBack(path: string, steps: Steps = diskSteps): Promise<Saved> {
  return act(path, async () => {
    const back = formerName(path);
    if (back === path) return { ok: false, reason: `${basename(path)}: it is not set aside.` };
    if (await isThere(back)) {
      const reason = `${basename(path)}: there is a ${basename(back)} by now, which stays as it is.`;
      return { ok: false, reason };
    }
    return moveTo(path, back, steps);
  });
}

/**
 * The logins that were set aside in `dir`; files that hold none are left out. Where the owner has named the files that
 * count, they are those of these, wherever they are.
 */
export async function listAside(
  dir: string,
  sealer: Sealer,
  named: readonly string[] = [],
): Promise<readonly Login[]> {
  const logins: Login[] = [];
  for (const path of await pathsAside(dir, named)) {
    const opened = sealer.open(await readFile(path, "utf8").catch(() => ""));
    const reading = readLogin(opened.ok ? opened.text : "", path);
    if (reading.ok) logins.push(reading.login);
  }
  return logins;
}

/** The files that were set aside, whatever is in them. */
export async function pathsAside(
  dir: string,
  named: readonly string[] = [],
): Promise<readonly string[]> {
  const wanted = new Set(named.map((name) => resolve(dir, name)));
  const folders =
    wanted.size === 0 ? [dir] : [...new Set([...wanted].map((path) => dirname(path)))];
  const found = await Promise.all(folders.map(filesIn));
  return found.flat().filter((path) => {
    const former = formerName(path);
    if (former === path) return false;
    return wanted.size === 0 ? isAccountName(basename(former)) : wanted.has(former);
  });
}

/** Deletes an account's file. Only ever called because its owner, or a policy that they wrote, says so. */
export async function discard(path: string, steps: Steps = diskSteps): Promise<Saved> {
  return act(path, async () => {
    await steps.remove(path);
    await steps.syncFolder(dirname(path));
    return { ok: true };
  });
}

/** Writes into an account's file whether its owner has switched it off; every other byte stays. */
export async function switchOff(
  path: string,
  isOff: boolean,
  { steps, sealer }: Pen,
): Promise<Saved> {
  return act(path, async () => {
    const opened = sealer.open(await readFile(path, "utf8"));
    if (!opened.ok) return { ok: false, reason: `${basename(path)}: ${opened.reason}` };
    if (parseDict(opened.text) === undefined) {
      return { ok: false, reason: `${basename(path)}: it is not a JSON object.` };
    }
    const content = editJson(opened.text, [{ path: ["disabled"], value: isOff }]);
    return writeDurably(path, sealer.seal(content), { steps });
  });
}

/**
 * Puts a login into a new file in `dir`. It is called after the account where that name is free; nothing that is
 * there is ever replaced.
 */
export async function putNew(
  dir: string,
  wanted: string,
  content: string,
  steps: Steps = diskSteps,
): Promise<Added> {
  const path = join(dir, accountName(wanted));
  return act<Added>(path, async () => {
    for (let number = 1; ; number++) {
      const source = numbered(path, number);
      if (await isThere(source)) continue;
      // Free a moment ago: another process may have taken the name since.
      const saved = await createDurably(source, content, steps);
      if (saved !== "taken") return saved.ok ? { ok: true, source } : saved;
    }
  });
}

async function moveTo(from: string, to: string, steps: Steps): Promise<Saved> {
  await steps.rename(from, to);
  await steps.syncFolder(dirname(to));
  return { ok: true };
}

async function filesIn(dir: string): Promise<readonly string[]> {
  const names = await readdir(dir).catch(() => []);
  return names.sort().map((name) => join(dir, name));
}

async function act<T extends Saved>(
  path: string,
  job: () => Promise<T>,
): Promise<T | Extract<Saved, { readonly ok: false }>> {
  try {
    return await job();
  } catch (cause) {
    return { ok: false, reason: `${basename(path)}: not changed, because ${explain(cause)}` };
  }
}
