import type { Account, Login } from "../pool/account.ts";
import { areSame, type Credential, isAlive } from "../pool/credential.ts";
import { isDue } from "../pool/due.ts";
import type { LockWish } from "../store/store.ts";
import type { Failure } from "../turn/failure.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import type { Exchange, RefreshReason, Refused } from "../upstream/oauth.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Backoff } from "./backoff.ts";
import type { DeadTokens } from "./dead.ts";
import { failed, merge, NO_REFRESH_TOKEN, type Renewed, SPENT } from "./fresh.ts";
import type { Refusals, RenewalWish } from "./refusals.ts";
import { type Keeper, type KeeperPorts, LATE_ANSWER_MS, LOST_LOCK, lockWish } from "./unsaved.ts";

/** What spending a refresh token needs. */
export type SpendPorts = KeeperPorts & {
  readonly clock: Clock;
  readonly exchange: ExchangeToken;
  /** How long an answer of the issuer's should take. */
  readonly timeoutMs: () => Millis;
  /** Reads the store again: a login that did not say whose it is may do so with its new tokens. */
  readonly reload: () => Promise<void>;
  readonly keeper: Keeper;
  readonly refusals: Refusals;
  readonly backoff: Backoff;
  readonly dead: DeadTokens;
  /** The issuer has been asked on this login's behalf. */
  readonly onAsked: (login: Login) => void;
  /** False ends the waiting for a lock. */
  readonly isWanted: () => boolean;
};

/** Gives a refresh token for new ones, by the account's own way out where it has one. */
export type ExchangeToken = (
  token: string,
  reason: RefreshReason,
  stop: Stop,
  proxy: Login["proxy"],
) => Promise<Exchange>;

/** Renews one account at a time; who is renewed when, is not its business. */
export type Spender = {
  /** Looks at the stored tokens first, under the login's lock, and spends the account's own only where that is needed. */
  readonly renew: (accountId: string, wish: RenewalWish) => Promise<Renewed>;
  /** One question to the issuer, for whoever holds the login's lock. */
  readonly ask: (login: Login, refreshToken: string, reason: RefreshReason) => Promise<Exchange>;
  readonly wantLock: () => LockWish;
  /** For the end of the program: waits for no answer any more. */
  readonly giveUp: () => void;
};

/** Spends refresh tokens, each once, with the new ones on disk before anyone uses them. */
export function createSpender(ports: SpendPorts): Spender {
  const { pool, store, clock, log, keeper, refusals, backoff, dead } = ports;
  // Questions to the issuer that are open.
  const open = new Set<Stop>();

  const lookAnew = (): void => {
    ports.reload().catch((cause: unknown) => {
      log.error("the accounts could not be read again", { reason: String(cause) });
    });
  };

  const adoptNewer = async (account: Account): Promise<Account | undefined> => {
    const stored = await store.reread(account.login.source);
    if (stored === undefined) return account;
    if (stored.identity !== account.login.identity) {
      // A login that does not say whose it is may do so since its file was last read.
      if (isNameless(stored) || isNameless(account.login)) return account;
      // Its owner has put another login there, which is to be seen before anything is written to it.
      lookAnew();
      return undefined;
    }
    const isOlder = ageOf(stored) < ageOf(account.login);
    const isSpent = keeper.isSpent(stored.identity, stored.credential);
    if (areSame(stored.credential, account.login.credential) || isOlder || isSpent) return account;
    pool.settle(stored.identity, { type: "reloaded", login: stored }, clock.now());
    log.info("adopted newer tokens that another program had stored", { account: account.label });
    return pool.get(stored.identity);
  };

  /** The issuer spends a token as it reads the question, so that an answer that comes late is still the only one there is. */
  const ask: Spender["ask"] = async (login, refreshToken, reason) => {
    const stop = createStop();
    open.add(stop);
    const bound = ports.timeoutMs() + LATE_ANSWER_MS;
    const cancel = clock.after(bound, () => stop.stop(TOO_SLOW));
    try {
      return await ports.exchange(refreshToken, reason, stop, login.proxy);
    } finally {
      cancel();
      open.delete(stop);
      ports.onAsked(login);
    }
  };

  /**
   * Whether the account has other tokens than those that were refused: somebody else has spent them first, and has
   * stored what they got.
   */
  const isOvertaken = async ({ login }: Account, result: Refused): Promise<boolean> => {
    const present = pool.get(login.identity);
    if (present !== undefined) await adoptNewer(present);
    const now = pool.get(login.identity)?.login.credential;
    if (now === undefined || areSame(now, login.credential)) return false;
    if (result.isPermanent) dead.add(login.credential.refreshToken ?? "", result.message);
    return true;
  };

  const spend = async (
    account: Account,
    { reason, isByHand = false }: RenewalWish,
    isStillOurs: () => Promise<boolean>,
  ): Promise<Renewed> => {
    const { identity, source, credential } = account.login;
    const { refreshToken } = credential;
    if (refreshToken === undefined) return refusals.giveUp(account, NO_REFRESH_TOKEN, reason);
    const isPressing = isByHand || reason === "unauthorized_recovery";
    const writable = await store.canSave(source, isPressing);
    if (!writable.ok) {
      const why = `Not renewed, since it could not be stored: ${writable.reason}`;
      return refusals.postpone(account, why);
    }
    if (!(await isStillOurs())) return refusals.postpone(account, LOST_LOCK);
    const first = await ask(account.login, refreshToken, reason);
    const isAgain = !first.ok && refusals.asksAgain(first) && (await isStillOurs());
    const result = isAgain ? await ask(account.login, refreshToken, reason) : first;
    if (!result.ok) {
      const isBeside = await isOvertaken(account, result);
      return isBeside ? { type: "adopted" } : refusals.take(account, result, reason);
    }
    const atMs = clock.now();
    const fresh = merge(credential, result, atMs);
    backoff.succeed(identity, atMs, lifeOf(fresh));
    if (fresh.refreshToken !== refreshToken) dead.add(refreshToken, SPENT);
    const isSaved = await keeper.keep(account, { credential: fresh, spent: credential, atMs });
    log.info("renewed a token", { account: account.label, reason });
    if (isSaved && account.login.workspaceId === undefined) await ports.reload();
    return { type: "renewed" };
  };

  /** Whether there is nothing to renew: the refused token has been replaced, or the present one is not due. */
  const isInOrder = (account: Account, { usedToken, isByHand = false }: RenewalWish): boolean => {
    const { identity, credential } = account.login;
    const { accessToken } = credential;
    if (usedToken !== undefined)
      return accessToken !== usedToken && isAlive(credential, clock.now());
    if (isByHand) return accessToken !== undefined && isAlive(credential, clock.now());
    return !isDue(account, clock.now()) || backoff.isRecent(identity, clock.now());
  };

  /** Looks at the stored tokens, and spends the account's own only where that is needed and allowed. */
  const renewNow = async (
    accountId: string,
    wish: RenewalWish,
    go: (current: Account) => Renewed | Promise<Renewed>,
  ): Promise<Renewed> => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE;
    const current = await adoptNewer(account);
    if (current === undefined) return GONE;
    if (isInOrder(current, wish)) return { type: current === account ? "in-order" : "adopted" };
    return refusals.standing(current, wish) ?? go(current);
  };

  const wantLock = () => ({
    ...lockWish(ports.timeoutMs()),
    isWanted: ports.isWanted,
  });

  /** Renews under the lock; where that cannot be had, tokens that others have stored are adopted all the same. */
  const renewLocked = async (accountId: string, wish: RenewalWish): Promise<Renewed> => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE;
    const done = await store.locked(account.login.source, wantLock(), (isStillOurs) =>
      renewNow(accountId, wish, (current) => spend(current, wish, isStillOurs)),
    );
    if (done.ok) return done.value;
    const why = `Not renewed: ${done.reason}`;
    return renewNow(accountId, wish, (current) => refusals.postpone(current, why));
  };

  return {
    renew: renewLocked,
    ask,
    wantLock,
    giveUp: () => {
      for (const stop of open) stop.stop(TOO_SLOW);
    },
  };
}

/** The account was taken out of the pool meanwhile. */
export const GONE = failed("The account was taken out of the pool.");

const TOO_SLOW: Failure = {
  kind: "timeout",
  message: "The issuer did not answer in time (refresh-single-timeout-sec).",
};

/** How long an access token lives, as far as it says so. */
function lifeOf({ issuedAtMs, expiresAtMs }: Credential): Millis | undefined {
  return issuedAtMs === undefined || expiresAtMs === undefined
    ? undefined
    : expiresAtMs - issuedAtMs;
}

/** Whether a login does not say whose it is. */
function isNameless({ identity }: Login): boolean {
  return identity.startsWith("file:");
}

/** Of two states of one login the one with the later moment has the newer tokens. */
function ageOf({ credential, lastRefreshedMs }: Login): Millis {
  return credential.issuedAtMs ?? lastRefreshedMs ?? 0;
}
