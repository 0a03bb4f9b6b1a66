import { join } from "node:path";
import { isNewer, type Login } from "../pool/account.ts";
import { besideOf } from "./beside.ts";
import { type Listing, readContent } from "./listing.ts";
import { readLogin } from "./record.ts";

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
export async function orphansOf(dir: string, { names, copies }: Folder): Promise<string[]> {
  if (copies.length === 0) return [];
  const wanted = new Set<string>();
  for (const name of names) {
    wanted.add(besideOf(join(dir, name), "next"));
    wanted.add(besideOf(join(dir, name), "last"));
  }
  const orphans = copies.filter((path) => !wanted.has(path));
  const logins = orphans.some((path) => path.endsWith(NEXT)) ? await loginsIn(dir, names) : [];
  for (const next of orphans.filter((path) => path.endsWith(NEXT))) {
    const last = `${next.slice(0, -NEXT.length)}${LAST}`;
    if (!(await isNeeded(next, last, logins))) continue;
    wanted.add(next);
    wanted.add(last);
  }
  return orphans.filter((path) => !wanted.has(path));
}

const NEXT = ".next";
const LAST = ".last";
/** Accounts, and logins that were set aside. */
const HOLDER = /\.json(?:\.disabled(?:\.\d+)?)?$/;

/** Whether a file still has the tokens that were spent for those in `next`. */
async function isNeeded(next: string, last: string, logins: readonly Login[]): Promise<boolean> {
  const [fresh, spent] = [await loginIn(next), await loginIn(last)];
  if (fresh === undefined) return false;
  return logins.some((login) => {
    const { refreshToken } = login.credential;
    if (refreshToken === fresh.credential.refreshToken) return false;
    const isSpent = refreshToken !== undefined && refreshToken === spent?.credential.refreshToken;
    return isSpent || (login.identity === fresh.identity && !isNewer(login, fresh));
  });
}

async function loginsIn(dir: string, names: readonly string[]): Promise<readonly Login[]> {
  const logins: Login[] = [];
  for (const name of names.filter((each) => HOLDER.test(each))) {
    const login = await loginIn(join(dir, name));
    if (login !== undefined) logins.push(login);
  }
  return logins;
}

async function loginIn(path: string): Promise<Login | undefined> {
  const found = await readContent(path);
  const reading = found.ok ? readLogin(found.content, path) : undefined;
  return reading?.ok ? reading.login : undefined;
}
