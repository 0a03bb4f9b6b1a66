import type { Login } from "../../src/pool/account.ts";
import type { Credential } from "../../src/pool/credential.ts";
import { createPool, type Pool } from "../../src/pool/pool.ts";
import type { Saved, Snapshot, Store } from "../../src/store/store.ts";

/** A store in memory, with the faults that a test gives it. */
export type Vault = Store & {
  readonly logins: Map<string, Login>;
  /** What `canSave` and `save` answer; undefined = well. */
  locked: string | undefined;
  full: string | undefined;
  snapshot: Partial<Snapshot>;
  readonly saved: Credential[];
  /** Runs before each reread. */
  onReread: () => void;
};

/** A vault that holds these logins. */
export function createVault(...logins: readonly Login[]): Vault {
  const held = new Map(logins.map((login) => [login.source, login]));
  const saved: Credential[] = [];
  const vault: Vault = {
    logins: held,
    locked: undefined,
    full: undefined,
    snapshot: {},
    saved,
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
      return held.get(source);
    },
    canSave: async () => verdict(vault.locked),
    save: async (source, credential) => {
      const login = held.get(source);
      if (login === undefined) return { ok: false, reason: "it is not there any more." };
      if (vault.full !== undefined) return { ok: false, reason: vault.full };
      held.set(source, { ...login, credential });
      saved.push(credential);
      return { ok: true };
    },
    watch: () => () => {},
  };
  return vault;
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
