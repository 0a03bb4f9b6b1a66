import { isNewer, type Login } from "../pool/account.ts";
import { areSame } from "../pool/credential.ts";
import { areOthers } from "../store/claims.ts";
import { flatRecord } from "../store/flat.ts";
import { type Entry, readAll } from "../store/record.ts";
import type { LockWish, Store } from "../store/store.ts";
import type { LoginTokens } from "../upstream/login.ts";
import type { Clock } from "../wire/clock.ts";

/** What became of one login that was offered to the store. */
export type Adoption = {
  readonly outcome: "added" | "updated" | "unchanged" | "failed";
  /** Where it came from, in words: a file, and the entry or line in it. */
  readonly at: string;
  /** Why nothing was done, or what its owner should know besides. No secret. */
  readonly reason?: string;
  /** Whose it is; undefined where that could not be read. */
  readonly login?: Login;
  /** Where it is kept. */
  readonly source?: string;
};

/** What taking logins into the store needs. */
export type AdoptPorts = { readonly store: Store; readonly clock: Pick<Clock, "now"> };

/** Told of each login as soon as its outcome is known. */
export type Tell = (adoption: Adoption) => void;

/** A text that was offered, and how it is called. */
export type Offer = { readonly content: string; readonly source: string };

/**
 * Takes every login of these texts into the store, in any of the shapes that are read. New tokens of a login that is
 * there go into its own place; older ones change nothing; of one login in two texts the newer one counts. A login
 * that lies aside is an account again; one that its owner switched off stays so, and it is said.
 */
export async function adoptAll(
  offers: readonly Offer[],
  ports: AdoptPorts,
  tell: Tell = () => {},
): Promise<readonly Adoption[]> {
  const adoptions: Adoption[] = [];
  const put = (adoption: Adoption): void => {
    adoptions.push(adoption);
    tell(adoption);
  };
  const entries: Entry[] = [];
  for (const { content, source } of offers) {
    const batch = readAll(content, source);
    entries.push(...batch.entries);
    for (const { reason } of batch.faults) put(faultOf(reason));
  }
  const best = newestOf(entries);
  const stock = await takeStock(ports.store);
  for (const entry of entries) {
    const winner = best.get(entry) ?? entry;
    if (winner === entry) put(await adoptOne(entry, stock, ports));
    else put({ ...about(entry), outcome: "unchanged", reason: whyLost(entry, winner) });
  }
  return adoptions;
}

function whyLost({ login }: Entry, winner: Entry): string {
  const isSame = areSame(login.credential, winner.login.credential);
  return `${isSame ? "the very same" : "a newer one"} is in ${winner.at}`;
}

/** Takes a login that has just been made into the store. Its tokens win over whatever is stored. */
export async function adoptTokens(
  tokens: LoginTokens,
  { store, clock }: AdoptPorts,
): Promise<Adoption> {
  const { accessToken, refreshToken, idToken, expiresInSeconds } = tokens;
  const nowMs = clock.now();
  const credential = {
    accessToken,
    refreshToken,
    ...(idToken === undefined ? {} : { idToken }),
    ...(expiresInSeconds === undefined ? {} : { expiresAtMs: nowMs + expiresInSeconds * 1000 }),
  };
  const content = JSON.stringify(flatRecord(credential, nowMs));
  const { entries, faults } = readAll(content, "the new login");
  const [entry] = entries;
  if (entry === undefined) return faultOf(faults[0]?.reason ?? "the new login cannot be read");
  return adoptOne(entry, await takeStock(store), { store, clock }, true);
}

/** How many logins came to which outcome. */
export function countOutcomes(
  adoptions: readonly Adoption[],
): Readonly<Record<Adoption["outcome"], number>> {
  const counts = { added: 0, updated: 0, unchanged: 0, failed: 0 };
  for (const { outcome } of adoptions) counts[outcome] += 1;
  return counts;
}

/** The logins that the store holds, where a further one is looked for. */
type Stock = {
  readonly logins: readonly Login[];
  readonly aside: readonly Login[];
  /** Why the store cannot be looked into. */
  readonly fault?: string;
};

async function takeStock(store: Store): Promise<Stock> {
  const [{ logins, faults, complete }, aside] = [await store.read(), await store.aside()];
  if (complete) return { logins, aside };
  return { logins, aside, fault: faults[0]?.reason ?? "the accounts cannot be read" };
}

async function adoptOne(
  entry: Entry,
  stock: Stock,
  ports: AdoptPorts,
  isFresh = false,
): Promise<Adoption> {
  const known = about(entry);
  if (stock.fault !== undefined) return { ...known, outcome: "failed", reason: stock.fault };
  const { login } = entry;
  const stored = stock.logins.find((other) => isOneLogin(other, login));
  const shelved = stock.aside.find((other) => isOneLogin(other, login));
  const there = stored ?? shelved;
  if (there === undefined) return addNew(entry, ports.store);
  return renewStored({ entry, seen: there, isAside: stored === undefined, isFresh }, ports);
}

/** New tokens for a login that the store has. */
type Renewal = {
  readonly entry: Entry;
  /** The login as it was when the store was looked through. */
  readonly seen: Login;
  readonly isAside: boolean;
  /** The tokens have just been made, so they win over whatever is stored. */
  readonly isFresh: boolean;
};

// Longer than a renewal takes: a login that has just been made must not be lost to one.
const LOCK: LockWish = { holdMs: 30_000, waitMs: 120_000 };

/** Puts the new tokens into the login's place, unless that has newer ones by now. */
async function renewStored(renewal: Renewal, ports: AdoptPorts): Promise<Adoption> {
  const { entry, seen } = renewal;
  // A proxy that runs may be renewing it in this very moment.
  const done = await ports.store.locked(seen.source, LOCK, () => replaceTokens(renewal, ports));
  if (done.ok) return done.value;
  return { ...about(entry), source: seen.source, outcome: "failed", reason: done.reason };
}

/** As `renewStored`, for whoever holds the login's lock. */
async function replaceTokens(
  { entry, seen, isAside, isFresh }: Renewal,
  { store, clock }: AdoptPorts,
): Promise<Adoption> {
  const { login } = entry;
  const place = { ...about(entry), source: seen.source };
  // Read again, since it may have been renewed while other entries were dealt with.
  const there = (await store.reread(seen.source)) ?? seen;
  // Its owner has put another login there in this very moment.
  if (areOthers(there, seen)) return addNew(entry, store);
  const idle = isFresh ? undefined : whyIdle(login, there, isAside);
  if (idle !== undefined) return { ...place, outcome: "unchanged", reason: idle };
  const atMs = isFresh ? clock.now() : (login.lastRefreshedMs ?? clock.now());
  const saved = await store.save(there.source, login.credential, atMs);
  if (!saved.ok) return { ...place, outcome: "failed", reason: saved.reason };
  if (isAside) return bringBack(entry, there, store);
  return { ...place, outcome: "updated", ...(there.isSwitchedOff ? { reason: OFF } : {}) };
}

/** Why nothing has to be done: the stored tokens are these, or newer ones. */
function whyIdle(login: Login, there: Login, isAside: boolean): string | undefined {
  const rest = isAside ? "; it lies aside: log in again to use it" : "";
  if (areSame(login.credential, there.credential)) return `it has these very tokens${rest}`;
  if (isNewer(there, login)) return `the stored tokens are newer${rest}`;
  return undefined;
}

async function bringBack(entry: Entry, there: Login, store: Store): Promise<Adoption> {
  const back = await store.bringBack(there.source);
  // Somebody else's file has its name by now: then it gets one of its own.
  if (!back.ok) return moveToNew(entry, there, store);
  const found = (await store.read()).logins.find((login) => isOneLogin(login, entry.login));
  const isOff = found?.isSwitchedOff === true;
  return {
    ...about(entry),
    outcome: "updated",
    source: found?.source ?? there.source,
    reason: `it lay aside and is an account again${isOff ? `, but ${OFF}` : ""}`,
  };
}

/** Gives a login that lies aside a new file, with all that is in its old one, which goes: one token in two files is spent twice. */
async function moveToNew(entry: Entry, there: Login, store: Store): Promise<Adoption> {
  const content = await store.content(there.source);
  const added = await addNew(entry, store, content);
  if (added.outcome !== "added" || content === undefined) return added;
  const gone = await store.discard(there.source);
  const off = there.isSwitchedOff ? OFF : undefined;
  const stays = gone.ok ? undefined : `its old file stays aside: ${gone.reason}`;
  return withReasons(added, [off, added.reason, stays]);
}

async function addNew(entry: Entry, store: Store, present?: string): Promise<Adoption> {
  const { login, record } = entry;
  const name = login.email ?? nameFrom(entry.at);
  const added = await store.add(name, present ?? `${JSON.stringify(record, null, 2)}\n`);
  if (!added.ok) return { ...about(entry), outcome: "failed", reason: added.reason };
  const { source, note } = added;
  const isOff = present === undefined && login.isSwitchedOff;
  return withReasons({ ...about(entry), outcome: "added", source }, [
    isOff ? OFF : undefined,
    note,
  ]);
}

/** An outcome with what its owner should know besides. */
function withReasons(
  { reason: _former, ...adoption }: Adoption,
  reasons: readonly (string | undefined)[],
): Adoption {
  const told = reasons.filter((each) => each !== undefined);
  return told.length === 0 ? adoption : { ...adoption, reason: told.join("; ") };
}

const OFF = 'it is switched off: set "disabled" to false in its file to use it';

/** Which entry counts for each: of one login, the newest; of equals, the first. */
function newestOf(entries: readonly Entry[]): ReadonlyMap<Entry, Entry> {
  const groups: Entry[][] = [];
  const byName = new Map<string, Entry[]>();
  for (const entry of entries) {
    const names = namesOf(entry.login);
    const group = names.map((name) => byName.get(name)).find((found) => found !== undefined) ?? [];
    if (group.length === 0) groups.push(group);
    group.push(entry);
    for (const name of names) byName.set(name, group);
  }
  const best = new Map<Entry, Entry>();
  for (const group of groups) {
    const winner = group.reduce((one, other) => (isNewer(other.login, one.login) ? other : one));
    for (const entry of group) best.set(entry, winner);
  }
  return best;
}

/** By what a login is known again: who it is, and its tokens, where an opaque one does not say whose it is. */
function namesOf({ identity, credential }: Login): readonly string[] {
  const { accessToken, refreshToken } = credential;
  return [
    // An opaque token is called after its file, and many files are called auth.json.
    ...(identity.startsWith("file:") ? [] : [`identity ${identity}`]),
    ...(accessToken === undefined ? [] : [`access ${accessToken}`]),
    ...(refreshToken === undefined ? [] : [`refresh ${refreshToken}`]),
  ];
}

function isOneLogin(one: Login, other: Login): boolean {
  const names = new Set(namesOf(one));
  return namesOf(other).some((name) => names.has(name));
}

function about({ at, login }: Entry): Pick<Adoption, "at" | "login"> {
  return { at, login };
}

/** The reason of a fault begins with the place. */
function faultOf(reason: string): Adoption {
  const [at = "", ...rest] = reason.split(": ");
  return { outcome: "failed", at, reason: rest.join(": ") };
}

/** A name for the file of a login without an e-mail address: that of the file it came from. */
function nameFrom(at: string): string {
  return at.replace(/,.*$/, "").replace(/\.(?:json|ndjson|jsonl|txt)$/i, "");
}
