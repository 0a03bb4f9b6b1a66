import type { Account } from "../pool/account.ts";
import type { Affinity } from "../pool/affinity.ts";
import type { AccountView, Pool, Tally } from "../pool/pool.ts";
import { type StateFile, type StateReading, stateHead } from "../store/state.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { dict, list } from "../wire/json.ts";
import type { Log } from "../wire/log.ts";
import type { Allowances } from "./allowance.ts";
import { type DeadTokens, decodeMark, encodeMark } from "./dead.ts";
import type { Ledger, Made } from "./ledger.ts";
import {
  type Ciphertext,
  type Conversation,
  decodeDays,
  decodeRemembered,
  encodeDays,
  encodePast,
  encodeTally,
  keyOf,
  larger,
  markOf,
  pastOf,
  type Remembered,
} from "./remembered.ts";

/** What remembering needs. */
export type StatePorts = {
  readonly pool: Pool;
  readonly affinity: Affinity;
  readonly ledger: Ledger;
  readonly dead: Pick<DeadTokens, "marks" | "restore" | "count">;
  /** What keys with a budget have used today. */
  readonly allowances: Pick<Allowances, "days" | "restore" | "version">;
  readonly file: StateFile;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  /** Lets what waits have the processor. */
  readonly giveWay: () => Promise<void>;
};

/** What the program knows of its accounts and conversations, from one run to the next. */
export type State = {
  /** Reads the file, once, before the first `restore`. One that is of no use is set aside with one warning. */
  readonly open: () => Promise<void>;
  /** Gives accounts that have come into the pool what is remembered of them. Call it whenever the store was read. */
  readonly restore: () => void;
  /** Writes the file if anything has changed since. Never throws; what fails is tried again by the next call. */
  readonly save: () => Promise<void>;
  /** Whether the file could not be written when it was last tried, or is not written at all. */
  readonly isFailing: () => boolean;
};

/** What was last seen of an account in the pool. */
type Seen = {
  readonly key: string;
  readonly account: Account;
  readonly tally: Tally;
  /** When the account was last seen to differ, its counters apart. */
  readonly changedMs: Millis;
};

// The newest are kept. Of a conversation that is forgotten the next turn picks an account anew.
const MOST_CONVERSATIONS = 10_000;
const MOST_CIPHERTEXTS = 10_000;
// An account that has been away for longer comes back as a new one.
const FORGET_MS = 30 * 24 * 3_600_000;
const MOST_ABSENT = 20_000;
// So many things are put into words before others may have the processor: some milliseconds.
const SLICE = 250;

/**
 * A memory of the accounts' states, in a file. What is not kept: the ways of compaction and the parameters that the
 * backend refuses (a new process asks anew, which costs a post and finds a backend that has changed), and the totals.
 *
 * Two processes on one file: whoever writes reads first what the other has written, and of each account keeps what
 * changed last. Between that reading and the writing another write can be lost; as each process writes all that it
 * knows, its next one brings it back.
 */
export function createState(ports: StatePorts): State {
  const { pool, affinity, ledger, dead, allowances, file, clock, log, giveWay } = ports;
  const seen = new Map<string, Seen>();
  // Remembered, but not in the pool: their file is away, for now or for good.
  const absent = new Map<string, Remembered>();
  // Of accounts in the pool, what another process has written later than anything happened here.
  const others = new Map<string, Remembered>();
  const words = new WeakMap<Account, string>();
  let deadCount = dead.count();
  let usesSeen = allowances.version();
  let isDirty = false;
  let isOff = false;
  let hasFailed = false;
  let saving: Promise<void> = Promise.resolve();
  let waiting: Promise<void> | undefined;

  /** Takes up which tokens are dead; what is remembered of the accounts is for the caller. */
  const take = (reading: StateReading): ReadonlyMap<string, Remembered> => {
    const found = new Map<string, Remembered>();
    if (reading.type !== "state") return found;
    dead.restore(list(reading.body["dead"]).flatMap(decodeMark));
    for (const use of decodeDays(reading.body["clients"])) allowances.restore(use);
    for (const [key, value] of Object.entries(dict(reading.body["accounts"]))) {
      const entry = decodeRemembered(dict(value));
      if (entry !== undefined) found.set(key, entry);
    }
    return found;
  };

  const open = async (): Promise<void> => {
    const reading = await file.read();
    for (const [key, entry] of take(reading)) absent.set(key, entry);
    if (reading.type !== "strange") return;
    const aside = await file.putAside();
    // What cannot be moved out of the way is not ours to replace.
    isOff = !aside.ok;
    log.warn("the state file is of no use; the program starts without what it remembered", {
      reason: reading.reason,
      ...(aside.ok ? { kept_as: aside.name } : { not_written: aside.reason }),
    });
  };

  const meet = ({ account }: AccountView, now: Millis): Remembered | undefined => {
    const id = account.login.identity;
    const key = keyOf(id);
    const entry = absent.get(key);
    if (entry === undefined) return undefined;
    absent.delete(key);
    const past = {
      ...entry.account,
      savedMs: entry.changedMs,
      hasSameTokens: entry.tokens === markOf(account.login),
    };
    pool.restore(id, past, entry.tally, now);
    return entry;
  };

  /** Conversations and ciphertexts of accounts that have come; what is known here stays. */
  const adopt = (met: ReadonlyMap<string, Remembered>): void => {
    if (met.size === 0) return;
    const now = clock.now();
    // Looked at from outside: to ask for a conversation would count as use of it.
    const bound = new Set(keysOf(affinity.entries()));
    const conversations = [...met].flatMap(([accountId, entry]) =>
      entry.conversations.map((one) => ({ one, accountId })),
    );
    for (const { one, accountId } of conversations.sort((a, b) => a.one[1] - b.one[1])) {
      const [key, usedMs, isProven] = one;
      if (bound.has(key)) continue;
      const atMs = Math.min(usedMs, now);
      affinity.bind(key, { accountId, isProven, usedMs: atMs, running: 0, left: undefined }, atMs);
    }
    const known = new Set(keysOf(ledger.makers()));
    const made = [...met].flatMap(([id, { ciphertexts }]) =>
      ciphertexts.map(([digest, usedMs]): Made => [digest, id, Math.min(usedMs, now)]),
    );
    for (const one of made.sort(([, , a], [, , b]) => a - b)) {
      if (!known.has(one[0])) ledger.restore(one);
    }
  };

  /** Keeps what was last seen of accounts that have left the pool, for when their files come back. */
  const missLeft = (now: Millis): void => {
    for (const [id, last] of seen) {
      if (pool.get(id)?.login.identity === id) continue;
      seen.delete(id);
      absent.set(last.key, asRemembered(last, now));
      isDirty = true;
    }
  };

  const restore = (): void => {
    const now = clock.now();
    missLeft(now);
    if (absent.size === 0) return;
    const met = new Map<string, Remembered>();
    for (const view of pool.view(now)) {
      const id = view.account.login.identity;
      const entry = seen.has(id) ? undefined : meet(view, now);
      if (entry !== undefined) met.set(id, entry);
    }
    adopt(met);
    for (const { account, tally } of met.size === 0 ? [] : pool.view(now)) {
      const id = account.login.identity;
      const entry = met.get(id);
      // As old as it is: what another process has seen since is newer.
      const changedMs = Math.min(entry?.changedMs ?? now, now);
      if (entry !== undefined) seen.set(id, { key: keyOf(id), account, tally, changedMs });
    }
  };

  /** Notes what has changed since the last look. */
  const look = (now: Millis): void => {
    missLeft(now);
    isDirty ||= dead.count() !== deadCount || allowances.version() !== usesSeen;
    deadCount = dead.count();
    usesSeen = allowances.version();
    for (const { account, tally } of pool.view(now)) {
      const id = account.login.identity;
      const last = seen.get(id);
      if (last !== undefined && last.account === account && isSameTally(last.tally, tally))
        continue;
      // To be used says nothing about how an account stands.
      const changedMs = last?.account === account ? last.changedMs : now;
      seen.set(id, { key: last?.key ?? keyOf(id), account, tally, changedMs });
      isDirty = true;
    }
    for (const [key, { changedMs }] of absent) {
      // Of too many, those that came in first go first.
      if (changedMs + FORGET_MS <= now || absent.size > MOST_ABSENT) absent.delete(key);
    }
  };

  /** Takes in what another process has written. False when the file is not one to go on with. */
  const merge = async (): Promise<boolean> => {
    if (!(await file.isForeign())) return true;
    const reading = await file.read();
    if (reading.type === "strange") {
      isOff = true;
      log.warn(
        "another program has put something else in the place of the state file; nothing is written there any more",
        { reason: reading.reason },
      );
      return false;
    }
    const ids = new Map([...seen].map(([id, { key }]) => [key, id]));
    const met = new Map<string, Remembered>();
    others.clear();
    for (const [key, entry] of take(reading)) {
      const id = ids.get(key);
      if (id === undefined) {
        if (entry.changedMs > (absent.get(key)?.changedMs ?? 0)) absent.set(key, entry);
        continue;
      }
      others.set(key, entry);
      met.set(id, entry);
    }
    adopt(met);
    return true;
  };

  const wordsOf = (account: Account): string => {
    const known = words.get(account);
    if (known !== undefined) return known;
    const made = JSON.stringify(encodePast(pastOf(account), markOf(account.login))).slice(1, -1);
    words.set(account, made);
    return made;
  };

  /** One account's member of the file. What another process knew last goes before what was known here. */
  const memberOf = ({ key, account, tally, changedMs }: Seen, held: Held, now: Millis): string => {
    const other = others.get(key);
    const isTheirs = other !== undefined && other.changedMs > changedMs && other.changedMs <= now;
    const counted = other === undefined ? tally : larger(tally, other.tally);
    if (isTheirs) return absentMember(key, { ...other, tally: counted }, held);
    const rest = JSON.stringify({ ...encodeTally(counted), ...held }).slice(1);
    return `${JSON.stringify(key)}:{"changed":${changedMs},${wordsOf(account)},${rest}`;
  };

  const render = async (now: Millis): Promise<string> => {
    const isTime = createPace();
    const held = await holdings(isTime);
    const pieces: string[] = [];
    for (const one of [...seen.values()]) {
      pieces.push(memberOf(one, held(one.key), now));
      if (isTime()) await giveWay();
    }
    for (const [key, entry] of [...absent]) {
      pieces.push(absentMember(key, entry, held(key)));
      if (isTime()) await giveWay();
    }
    const marks = JSON.stringify(dead.marks().map(encodeMark));
    const days = JSON.stringify(encodeDays(allowances.days()));
    return `{${stateHead},"saved":${now},"dead":${marks},"clients":${days},"accounts":{\n${pieces.join(",\n")}\n}}\n`;
  };

  /** By account, the conversations on it and the ciphertexts it made, as the file has them. */
  const holdings = async (isTime: () => boolean): Promise<(key: string) => Held> => {
    const all = new Map<string, MutableHeld>();
    const of = (accountId: string): MutableHeld => {
      // One that goes on under another name is found by the name that it has now.
      const id = pool.get(accountId)?.login.identity ?? accountId;
      const key = seen.get(id)?.key ?? keyOf(id);
      const held = all.get(key) ?? { conversations: [], ciphertexts: [] };
      all.set(key, held);
      return held;
    };
    // Taken at one moment, since both change while others have the processor.
    const conversations = [...first(affinity.entries(), MOST_CONVERSATIONS)];
    const ciphertexts = [...first(ledger.makers(), MOST_CIPHERTEXTS)];
    for (const [key, { accountId, isProven }, usedMs] of conversations) {
      of(accountId).conversations.push([key, usedMs, isProven ? 1 : 0]);
      if (isTime()) await giveWay();
    }
    for (const [digest, accountId, usedMs] of ciphertexts) {
      of(accountId).ciphertexts.push([digest, usedMs]);
      if (isTime()) await giveWay();
    }
    return (key) => all.get(key) ?? NOTHING_HELD;
  };

  const write = async (): Promise<void> => {
    const now = clock.now();
    look(now);
    if (!isDirty || isOff || !(await merge())) return;
    isDirty = false;
    const saved = await file.write(await render(now));
    if (saved.ok) {
      if (hasFailed) log.info("the state file can be written again");
      hasFailed = false;
      return;
    }
    isDirty = true;
    if (!hasFailed) {
      log.warn("the state file could not be written; it is tried again", { reason: saved.reason });
    }
    hasFailed = true;
  };

  const begin = (): Promise<void> => {
    waiting = undefined;
    return write();
  };

  return {
    open,
    restore,
    isFailing: () => hasFailed || isOff,
    save: () => {
      // One that has not begun sees all that has happened by now: a thousand refusals at once are one writing.
      waiting ??= saving.then(begin).catch((cause: unknown) => {
        isDirty = true;
        log.error("the state could not be put together", { reason: String(cause) });
      });
      saving = waiting;
      return saving;
    },
  };
}

/** What lies with an account beside its own state, as the file has it. */
type Held = {
  readonly conversations: readonly (readonly [string, Millis, 0 | 1])[];
  readonly ciphertexts: readonly Ciphertext[];
};

type MutableHeld = {
  readonly conversations: [string, Millis, 0 | 1][];
  readonly ciphertexts: Ciphertext[];
};

const NOTHING_HELD: Held = { conversations: [], ciphertexts: [] };

/** The member of an account that is not in the pool, or that another process knows better. */
function absentMember(key: string, entry: Remembered, held: Held): string {
  const { account, tokens, tally, changedMs } = entry;
  const conversations =
    held.conversations.length > 0 ? held.conversations : entry.conversations.map(asWritten);
  const ciphertexts = held.ciphertexts.length > 0 ? held.ciphertexts : entry.ciphertexts;
  const body = {
    changed: changedMs,
    ...encodePast(account, tokens),
    ...encodeTally(tally),
    conversations,
    ciphertexts,
  };
  return `${JSON.stringify(key)}:${JSON.stringify(body)}`;
}

function asWritten([key, usedMs, isProven]: Conversation): [string, Millis, 0 | 1] {
  return [key, usedMs, isProven ? 1 : 0];
}

function asRemembered({ account, tally }: Seen, changedMs: Millis): Remembered {
  return {
    account: pastOf(account),
    tokens: markOf(account.login),
    tally,
    changedMs,
    conversations: [],
    ciphertexts: [],
  };
}

function isSameTally(one: Tally, other: Tally): boolean {
  return (
    one.requests === other.requests &&
    one.errors === other.errors &&
    one.tokens === other.tokens &&
    one.lastUsedMs === other.lastUsedMs
  );
}

function* keysOf(
  all: Iterable<readonly [key: string, ...rest: readonly unknown[]]>,
): Generator<string> {
  for (const [key] of all) yield key;
}

/** Tells at each slice's end that others should have the processor. */
function createPace(): () => boolean {
  let done = 0;
  return () => {
    done += 1;
    return done % SLICE === 0;
  };
}

function* first<T>(all: Iterable<T>, most: number): Generator<T> {
  let count = 0;
  for (const one of all) {
    if (count === most) return;
    count += 1;
    yield one;
  }
}
