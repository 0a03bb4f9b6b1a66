import type { Login } from "../pool/account.ts";
import type { Credential } from "../pool/credential.ts";

/** Outcome of writing: a full disk or a read-only folder is an expected state, not an exception. */
export type Saved = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Something in the store that is no account; `reason` says what to do and holds no secret. */
export type StoreFault = { readonly source: string; readonly reason: string };

/** One login found in two places: the newer tokens count, the other place is left alone. */
export type Duplicate = {
  readonly identity: string;
  /** Sources of the entry that counts and of the one that does not. */
  readonly kept: string;
  readonly ignored: string;
};

/** Everything the store holds now, one entry per login. */
export type Snapshot = {
  /** An entry that has not changed since the last reading is the same object as then. */
  readonly logins: readonly Login[];
  /** What could not be read. An account that runs from an earlier good state of that source keeps running. */
  readonly faults: readonly StoreFault[];
  readonly duplicates: readonly Duplicate[];
  /** False when the store itself could not be read: `logins` is then what was last known, and nothing is gone. */
  readonly complete: boolean;
};

/** Where logins are kept. Files today; a database behind the same interface later. */
export type Store = {
  readonly read: () => Promise<Snapshot>;
  /** The login as it is stored at this moment, or undefined when it is gone or unreadable. */
  readonly reread: (source: string) => Promise<Login | undefined>;
  /** Whether `save` would succeed now; asked before a refresh token is spent. */
  readonly canSave: (source: string) => Promise<Saved>;
  /** Writes new tokens durably and keeps every field it does not know. Resolves only when they would survive a power cut. */
  readonly save: (source: string, credential: Credential, nowMs: number) => Promise<Saved>;
  /** Calls `onChange` soon after somebody else changed the store, until the returned function is called. */
  readonly watch: (onChange: () => void) => () => void;
};
