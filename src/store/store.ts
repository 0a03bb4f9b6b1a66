import type { Login } from "../pool/account.ts";
import type { Credential } from "../pool/credential.ts";

/** Outcome of writing: a full disk or a read-only folder is an expected state, not an exception. */
export type Saved = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** What became of new tokens. `isReplaced`: its owner has stored newer ones meanwhile, which stay; these were not written. */
export type Stored =
  | { readonly ok: true; readonly isReplaced?: true }
  | Extract<Saved, { ok: false }>;

/** What became of a new entry: where it is kept now, and what its owner must do besides for it to count. */
export type Added =
  | { readonly ok: true; readonly source: string; readonly note?: string }
  | Extract<Saved, { ok: false }>;

/**
 * Something in the store that is no account; `reason` says what to do and holds no secret. `isBarring`: an account must
 * not run on from an earlier state of it, since its owner has ruled out the way by which that would go.
 */
export type StoreFault = {
  readonly source: string;
  readonly reason: string;
  readonly isBarring?: boolean;
};

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
  /** What could not be read. Unless it `isBarring`, an account that runs from an earlier state of it keeps running. */
  readonly faults: readonly StoreFault[];
  readonly duplicates: readonly Duplicate[];
  /** False when the store itself could not be read: `logins` is then what was last known, and nothing is gone. */
  readonly complete: boolean;
};

/** How long a login's lock is wanted at most, and how long it is worth waiting for. */
export type LockWish = {
  readonly holdMs: number;
  readonly waitMs: number;
  /** False ends the waiting. */
  readonly isWanted?: () => boolean;
};

/** How an entry is kept. */
export type Sealing = {
  readonly source: string;
  /** Id of the key that it is sealed with, as far as it says so; undefined where it is kept in the clear. */
  readonly keyId: string | undefined;
  /** Whether it is kept as it would be written now. */
  readonly isCurrent: boolean;
  /** Why it cannot be read. */
  readonly fault?: string;
};

/** What became of an entry that was to be written anew. */
export type Resealed =
  | { readonly ok: true; readonly isChanged: boolean }
  | Extract<Saved, { readonly ok: false }>;

/** What came of a task that needs a login for itself. */
export type Locked<T> =
  | { readonly ok: true; readonly value: T }
  | Extract<Saved, { readonly ok: false }>;

/** Where logins are kept: files, or a database. */
export type Store = {
  readonly read: () => Promise<Snapshot>;
  /** The login as it is stored at this moment, or undefined when it is gone or unreadable. */
  readonly reread: (source: string) => Promise<Login | undefined>;
  /** The entry as it is kept, with every field; undefined when it is gone or unreadable. For an export. */
  readonly content: (source: string) => Promise<string | undefined>;
  /**
   * Runs `task` while nobody else, in this process or another, renews or changes that login, and says whether that is
   * still so whenever the task asks: before it spends a token. What an earlier holder that was killed had begun is
   * finished first. `ok: false` means that the task was not run, and why. A task does not take the same lock again;
   * every other method here may be called within it.
   */
  readonly locked: <T>(
    source: string,
    wish: LockWish,
    task: (isStillOurs: () => Promise<boolean>) => Promise<T>,
  ) => Promise<Locked<T>>;
  /**
   * Whether `save` would succeed now; asked before a refresh token is spent. Under the lock it also prepares that.
   * `isPressing`: the access token does not work any more, or the owner asks; a token that somebody may have spent when
   * they were killed is then tried all the same, after a while.
   */
  readonly canSave: (source: string, isPressing?: boolean) => Promise<Saved>;
  /**
   * Writes new tokens durably and keeps every field it does not know. Another login that is there by now is never
   * overwritten. Resolves only when they would survive a power cut.
   */
  readonly save: (source: string, credential: Credential, nowMs: number) => Promise<Stored>;
  /** The backend has accepted the tokens that were saved last: what was kept from before them can go. Never throws. */
  readonly proved: (source: string) => Promise<void>;
  /**
   * Takes a login out without losing it: it is kept aside, and `aside` lists it. This, `bringBack` and `discard` wait
   * for a task that has the login for itself, unless they are called within it.
   */
  readonly setAside: (source: string) => Promise<Saved>;
  /** The logins that are kept aside; the source of each is where it lies now. */
  readonly aside: () => Promise<readonly Login[]>;
  /** Makes a login that was kept aside an account again, with the tokens that it has by now. */
  readonly bringBack: (source: string) => Promise<Saved>;
  /** Deletes a login for good: only where its owner, or a policy that they wrote, says so. */
  readonly discard: (source: string) => Promise<Saved>;
  /** Writes down whether the owner has switched the login off. */
  readonly switchOff: (source: string, isOff: boolean) => Promise<Saved>;
  /** Whether `add` would succeed now. */
  readonly canAdd: () => Promise<Saved>;
  /** Keeps a further login, written as `content`, under about that name; nothing that is there is replaced. */
  readonly add: (name: string, content: string) => Promise<Added>;
  /** Why it cannot be used at the moment, for people; undefined while it can. Looks at nothing. */
  readonly trouble: () => string | undefined;
  /** How every entry is kept, those aside and what a killed renewal left included, in an order that stays. */
  readonly sealing: () => Promise<readonly Sealing[]>;
  /**
   * Writes an entry anew as the store writes now: sealed with the first key, or in the clear. One that is so already is
   * left alone, and so is what is no login. Waits for a renewal that is under way.
   */
  readonly reseal: (source: string) => Promise<Resealed>;
  /** Calls `onChange` soon after somebody else changed the store, until the returned function is called. */
  readonly watch: (onChange: () => void) => () => void;
};
