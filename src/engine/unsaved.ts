import type { Account } from "../pool/account.ts";
import { areSame, type Credential } from "../pool/credential.ts";
import type { Pool } from "../pool/pool.ts";
import type { LockWish, Store } from "../store/store.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";

/** New tokens on their way to the store, and those that were spent for them. */
export type FreshTokens = {
  readonly credential: Credential;
  readonly spent: Credential;
  readonly atMs: Millis;
};

/** What bringing tokens into the store needs. */
export type KeeperPorts = {
  readonly pool: Pool;
  readonly store: Store;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
};

/** Brings new tokens into the store, and holds on to those that the store would not take. */
export type Keeper = {
  /** Stores the tokens, then lets them be used; true when they are on disk. */
  readonly keep: (account: Account, tokens: FreshTokens) => Promise<boolean>;
  /** The account, with the tokens that could not be stored where a rescan has brought the spent ones back. */
  readonly look: (accountId: string) => Account | undefined;
  /** Whether `credential` was spent for tokens that are still only in memory. */
  readonly isSpent: (accountId: string, credential: Credential) => boolean;
  /** Stores what could not be stored before, unless its owner has put other tokens there meanwhile. */
  readonly retry: (accountId: string) => Promise<void>;
  /** The accounts whose tokens are only in memory. */
  readonly pending: () => readonly string[];
  /** The backend has accepted this token: told to the store once for each token. */
  readonly accepted: (accountId: string, accessToken: string) => void;
};

/** A keeper that remembers, by account, the tokens that are not on disk yet. */
export function createKeeper({ pool, store, clock, log }: KeeperPorts): Keeper {
  const unsaved = new Map<string, FreshTokens>();
  const proven = new WeakSet<Credential>();

  const isSpent = (accountId: string, credential: Credential): boolean => {
    const tokens = unsaved.get(accountId);
    return tokens !== undefined && areSame(credential, tokens.spent);
  };

  const use = (accountId: string, { credential, atMs }: FreshTokens): void =>
    pool.settle(accountId, { type: "renewed", credential, atMs }, clock.now());

  /** The owner's own tokens are in the store by now, newer than those that were just had. */
  const adopt = async ({ login: { identity, source } }: Account): Promise<void> => {
    const login = await store.reread(source);
    if (login?.identity !== identity) return;
    pool.settle(identity, { type: "reloaded", login }, clock.now());
  };

  const keep = async (account: Account, tokens: FreshTokens): Promise<boolean> => {
    const { identity, source } = account.login;
    const saved = await store.save(source, tokens.credential, tokens.atMs);
    if (saved.ok && saved.isReplaced === true) {
      unsaved.delete(identity);
      await adopt(account);
      return true;
    }
    if (saved.ok) {
      unsaved.delete(identity);
    } else {
      // The old refresh token is spent: the new one must at least live on in memory, and be stored when that works.
      unsaved.set(identity, tokens);
      log.error("new tokens could not be stored; they are kept in memory and tried again", {
        account: account.label,
        reason: saved.reason,
      });
    }
    use(identity, tokens);
    return saved.ok;
  };

  const look = (accountId: string): Account | undefined => {
    const account = pool.get(accountId);
    const tokens = unsaved.get(accountId);
    if (account === undefined || tokens === undefined) return account;
    if (!isSpent(accountId, account.login.credential)) return account;
    use(accountId, tokens);
    return pool.get(accountId);
  };

  const retryAlone = async (accountId: string): Promise<void> => {
    const account = look(accountId);
    const tokens = unsaved.get(accountId);
    if (account === undefined || tokens === undefined) return;
    const stored = await store.reread(account.login.source);
    const isOurs = stored === undefined || isSpent(accountId, stored.credential);
    if (isOurs) await keep(account, tokens);
    else unsaved.delete(accountId);
  };

  const retry = async (accountId: string): Promise<void> => {
    const account = look(accountId);
    if (account === undefined) return;
    const { source } = account.login;
    const done = await store.locked(source, BRIEFLY, () => retryAlone(accountId));
    // Where no lock can be made, nothing can be stored either: the next time, then.
    if (!done.ok) log.debug("new tokens are still only in memory", { account: account.label });
  };

  /** Of accounts that are there: tokens of one whose file is gone wait for it without a word. */
  const pending = (): readonly string[] =>
    [...unsaved.keys()].filter((accountId) => pool.get(accountId) !== undefined);

  const accepted = (accountId: string, accessToken: string): void => {
    const login = pool.get(accountId)?.login;
    // A turn that began before the renewal proves nothing about the new token.
    if (login?.credential.accessToken !== accessToken || proven.has(login.credential)) return;
    if (unsaved.has(accountId)) return;
    proven.add(login.credential);
    store.proved(login.source).catch((cause: unknown) => {
      log.error("a copy could not be removed", { reason: String(cause) });
    });
  };

  return { keep, look, isSpent, retry, pending, accepted };
}

/** The lock for storing what is only in memory: nobody is asked anything meanwhile, and it is tried again soon. */
export const BRIEFLY: LockWish = { holdMs: 30_000, waitMs: 5000 };
const MARGIN_MS = 30_000;

/** How long an answer of the issuer's is waited for beyond its time: it holds the only token that works. */
export const LATE_ANSWER_MS = 90_000;

/** How long a login's lock is wanted, by the time that the issuer has for an answer. A status policy may ask twice. */
export function lockWish(timeoutMs: Millis): LockWish {
  const usualMs = 2 * timeoutMs + MARGIN_MS;
  return { holdMs: usualMs + LATE_ANSWER_MS, waitMs: usualMs };
}

/** Why a token was not spent by a process that had stood still. */
export const LOST_LOCK =
  "Not renewed, since this process stood still for so long that another one may be renewing the login by now.";
