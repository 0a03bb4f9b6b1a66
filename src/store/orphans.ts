import { join } from "node:path";
import { isNewer, type Login } from "../pool/account.ts";
import { besideOf } from "./beside.ts";
import { type Listing, readContent } from "./listing.ts";
import { readLogin } from "./record.ts";
import type { Sealer } from "./seal.ts";

/** What is in a folder, as far as this is about it. */
type Folder = Pick<Listing, "names" | "copies">;

/**
 * The files of which a next content lies in the folder. They need not be accounts of this process: one may have been
 * set aside, be on another proxy's list, or be what a link points to.
 */
export function begunIn(dir: string, { names, copies }: Folder): readonly string[] {
  const begun = new Set(copies.filter((path) => path.endsWith(NEXT)));
  if (begun.size === 0) return [];
  return names.map((name) => join(dir, name)).filter((path) => begun.has(besideOf(path, "next")));
}

/**
 * The hidden contents that belong to no file of the folder, whatever that is called, and are needed by none. Where a
 * renewal was killed and the account's file has got another name since, its new tokens are nowhere else.
 */
export async function orphansOf(dir: string, folder: Folder, sealer: Sealer): Promise<string[]> {
  const orphans = ownerless(dir, folder);
  const nexts = orphans.filter((path) => path.endsWith(NEXT));
  if (nexts.length === 0) return orphans;
  const wanted = new Set<string>();
  const holders = await holdersIn(dir, folder.names, sealer);
  for (const next of nexts) {
    const last = `${next.slice(0, -NEXT.length)}${LAST}`;
    if (!(await isNeeded({ next, last }, holders, sealer))) continue;
    wanted.add(next);
    wanted.add(last);
  }
  return orphans.filter((path) => !wanted.has(path));
}

/** The hidden contents that belong to no file of the folder, needed or not. */
export function ownerless(dir: string, { names, copies }: Folder): string[] {
  if (copies.length === 0) return [];
  const owned = new Set<string>();
  for (const name of names) {
    owned.add(besideOf(join(dir, name), "next"));
    owned.add(besideOf(join(dir, name), "last"));
  }
  return copies.filter((path) => !owned.has(path));
}

const NEXT = ".next";
const LAST = ".last";
/** Accounts, and logins that were set aside. */
const HOLDER = /\.json(?:\.disabled(?:\.\d+)?)?$/;

/** What a file holds; "locked" where it may be a login whose key is missing. */
type Holder = Login | "locked";

/** Whether a file still has the tokens that were spent for those in `next`, or may have. */
async function isNeeded(
  { next, last }: { readonly next: string; readonly last: string },
  holders: readonly Holder[],
  sealer: Sealer,
): Promise<boolean> {
  const [fresh, spent] = [await holderAt(next, sealer), await holderAt(last, sealer)];
  if (fresh === undefined) return false;
  return holders.some((login) => {
    if (login === "locked" || fresh === "locked") return true;
    const { refreshToken } = login.credential;
    if (refreshToken === fresh.credential.refreshToken) return false;
    const spentToken = spent === "locked" ? undefined : spent?.credential.refreshToken;
    const isSpent = refreshToken !== undefined && refreshToken === spentToken;
    return isSpent || (login.identity === fresh.identity && !isNewer(login, fresh));
  });
}

async function holdersIn(
  dir: string,
  names: readonly string[],
  sealer: Sealer,
): Promise<readonly Holder[]> {
  const holders: Holder[] = [];
  for (const name of names.filter((each) => HOLDER.test(each))) {
    const holder = await holderAt(join(dir, name), sealer);
    if (holder !== undefined) holders.push(holder);
  }
  return holders;
}

async function holderAt(path: string, sealer: Sealer): Promise<Holder | undefined> {
  const found = await readContent(path, sealer);
  if (!found.ok) return found.unopened?.isDamaged === false ? "locked" : undefined;
  const reading = readLogin(found.content, path);
  return reading.ok ? reading.login : undefined;
}
