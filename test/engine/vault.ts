import type { Login } from "../../src/pool/account.ts";
import type { Credential } from "../../src/pool/credential.ts";
import { createPool, type Pool } from "../../src/pool/pool.ts";
import { readLogin } from "../../src/store/record.ts";
import type { Saved, Snapshot, Store } from "../../src/store/store.ts";

/** A store in memory, with the faults that a test gives it. */
export type Vault = Store & {
  readonly logins: Map<string, Login>;
  /** What `canSave` and `save` answer; undefined = well. */
  unwritable: string | undefined;
  full: string | undefined;
  /** Whether `save` finds newer tokens of the owner's, which stay. */
  isReplaced: boolean;
  /** Why nobody gets a lock; undefined = everybody does. */
  busy: string | undefined;
  /** What whoever holds a lock is told when asking whether that is still so. */
  isStillOurs: boolean;
  /** Sources whose tokens have proved themselves, in order. */
  readonly proofs: string[];
  snapshot: Partial<Snapshot>;
  readonly saved: Credential[];
  /** Logins that were set aside, by their source. */
  readonly shelved: Map<string, Login>;
  /** Runs before each reread. */
  onReread: () => void;
};

/** A vault that holds these logins. */
export function createVault(...logins: readonly Login[]): Vault {
  const held = new Map(logins.map((login) => [login.source, login]));
  const saved: Credential[] = [];
  const shelved = new Map<string, Login>();
  const vault: Vault = {
    logins: held,
    unwritable: undefined,
    full: undefined,
    isReplaced: false,
    busy: undefined,
    isStillOurs: true,
    proofs: [],
    snapshot: {},
    saved,
    shelved,
    onReread: () => {},
    read: async () => ({
      logins: [...held.values()],
      faults: [],
      duplicates: [],
      complete: true,
      ...vault.snapshot,
    }),
    reread: async (source) => {
      vault.onReread();
      return held.get(source) ?? shelved.get(source);
    },
    content: async (source) => {
      const login = held.get(source);
      return login === undefined ? undefined : JSON.stringify(login.credential);
    },
    locked: async (_source, _wish, task) => {
      if (vault.busy !== undefined) return { ok: false, reason: vault.busy };
      return { ok: true, value: await task(async () => vault.isStillOurs) };
    },
    proved: async (source) => {
      vault.proofs.push(source);
    },
    canSave: async () => verdict(vault.unwritable),
    save: async (source, credential) => {
      const place = shelved.has(source) ? shelved : held;
      const login = place.get(source);
      if (login === undefined) return GONE;
      if (vault.full !== undefined) return { ok: false, reason: vault.full };
      if (vault.isReplaced) return { ok: true, isReplaced: true };
      place.set(source, { ...login, credential });
      saved.push(credential);
      return { ok: true };
    },
    setAside: async (source) => move(source, `${source}.disabled`, held, shelved),
    aside: async () => [...shelved.values()],
    bringBack: async (source) => move(source, source.replace(/\.disabled$/, ""), shelved, held),
    discard: async (source) => (held.delete(source) ? { ok: true } : GONE),
    switchOff: async (source, isSwitchedOff) => {
      const login = held.get(source);
      if (login === undefined) return GONE;
      held.set(source, { ...login, isSwitchedOff });
      return { ok: true };
    },
    add: async (name, content) => {
      const source = `${name}.json`;
      const reading = readLogin(content, source);
      if (!reading.ok) return { ok: false, reason: reading.fault.reason };
      held.set(source, reading.login);
      return { ok: true, source };
    },
    canAdd: async () => verdict(vault.unwritable),
    trouble: () => undefined,
    sealing: async () => [],
    reseal: async () => ({ ok: true, isChanged: false }),
    watch: () => () => {},
  };
  return vault;
}

const GONE: Saved = { ok: false, reason: "it is not there any more." };

function move(
  from: string,
  to: string,
  here: Map<string, Login>,
  there: Map<string, Login>,
): Saved {
  const login = here.get(from);
  if (login === undefined) return GONE;
  here.delete(from);
  there.set(to, { ...login, source: to });
  return { ok: true };
}

function verdict(reason: string | undefined): Saved {
  return reason === undefined ? { ok: true } : { ok: false, reason };
}

/** A pool with these logins. */
export function poolOf(now: number, ...logins: readonly Login[]): Pool {
  const pool = createPool(() => ({
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector: "round-robin",
    affinityTtlMs: 3_600_000,
  }));
  pool.sync(logins, now);
  return pool;
}
