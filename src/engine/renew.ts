import type { Account } from "../pool/account.ts";
import { type Credential, isAlive, isDue, isEnding } from "../pool/credential.ts";
import { lifetimeOf, payloadsOf } from "../store/claims.ts";
import type { Failure } from "../turn/failure.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import type { Identity } from "../upstream/headers.ts";
import type { Exchange, RefreshReason } from "../upstream/oauth.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { createLanes } from "../wire/lanes.ts";
import { redact } from "../wire/log.ts";
import { createBackoff } from "./backoff.ts";
import { areSame, createKeeper, type KeeperPorts, lockWish } from "./unsaved.ts";

/** What renewing needs from outside. */
export type RenewPorts = KeeperPorts & {
  readonly clock: Clock;
  readonly exchange: (token: string, reason: RefreshReason, stop: Stop) => Promise<Exchange>;
  readonly options: () => { readonly concurrency: number; readonly timeoutMs: Millis };
  /** Reads the store again: a login that did not say whose it is may do so with its new tokens. */
  readonly reload: () => Promise<void>;
};

/** Keeps access tokens alive. */
export type Renewer = {
  /** The account's token, renewed first when it is about to end; a failure when it has none that works. */
  readonly identify: (accountId: string) => Identity | Failure | Promise<Identity | Failure>;
  /** After a 401 on `usedToken`: a failure when no newer token could be had. */
  readonly renew: (accountId: string, usedToken: string) => Promise<Failure | undefined>;
  /** Renews every account that is due. Never throws. */
  readonly sweep: () => Promise<void>;
  /** Stores tokens that could not be stored before. Never throws. */
  readonly saveLate: () => Promise<void>;
  /** The accounts whose tokens could not be stored yet: a restart now would lose their logins. */
  readonly unsaved: () => readonly string[];
  /** The backend has accepted this token of the account's. Cheap enough for every turn; never throws. */
  readonly accepted: (accountId: string, accessToken: string) => void;
  /**
   * For the end of the program: waits for renewals under way, since one that is cut between the issuer's answer and
   * the disk loses a login, and tries once more to store what is only in memory.
   */
  readonly settled: () => Promise<void>;
};

type Renewal = {
  readonly reason: RefreshReason;
  readonly done: Promise<Failure | undefined>;
};

/**
 * Renews tokens: one renewal per account at a time, however many requests wait for it; accounts of one login one
 * after the other; the stored token looked at again first, and a newer one adopted instead of spending the old;
 * the new tokens on disk before anyone uses them.
 */
export function createRenewer(ports: RenewPorts): Renewer {
  const { pool, store, clock, log } = ports;
  const lanes = createLanes(() => ports.options().concurrency);
  const keeper = createKeeper(ports);
  const backoff = createBackoff();
  const running = new Map<string, Renewal>();
  let isStopping = false;

  const adoptNewer = async (account: Account): Promise<Account | undefined> => {
    const stored = await store.reread(account.login.source);
    if (stored === undefined || stored.identity !== account.login.identity) return account;
    const ours = account.login.credential;
    const isOlder = (stored.credential.issuedAtMs ?? 0) < (ours.issuedAtMs ?? 0);
    const isSpent = keeper.isSpent(stored.identity, stored.credential);
    if (areSame(stored.credential, ours) || isOlder || isSpent) return account;
    pool.settle(stored.identity, { type: "reloaded", login: stored }, clock.now());
    log.info("adopted newer tokens that another program had stored", { account: account.label });
    return pool.get(stored.identity);
  };

  const fail = (account: Account, said: string, isPermanent: boolean): Failure => {
    const { identity, credential } = account.login;
    // A reason of the store's begins with a file's name, which may be an e-mail address.
    const failure: Failure = { kind: "renewal-failed", message: redact(said) };
    const now = clock.now();
    const refusal = { failure, isPermanent };
    const againMs = backoff.fail(identity, credential.refreshToken ?? "", refusal, now);
    log.warn(isPermanent ? "an account needs a new login" : "a token could not be renewed", {
      account: account.label,
      reason: said,
    });
    if (!isPermanent && !isAlive(credential, now)) {
      // Till the next try it can serve nobody, and should not be picked to find that out.
      const resting = { ...failure, resetsAtMs: againMs };
      pool.settle(identity, { type: "failed", failure: resting }, now);
    }
    return failure;
  };

  const exchange = async (refreshToken: string, reason: RefreshReason): Promise<Exchange> => {
    const stop = createStop();
    const { timeoutMs } = ports.options();
    const cancel = timeoutMs > 0 ? clock.after(timeoutMs, () => stop.stop(TOO_SLOW)) : () => {};
    return ports.exchange(refreshToken, reason, stop).finally(cancel);
  };

  const spend = async (
    account: Account,
    reason: RefreshReason,
    isStillOurs: () => Promise<boolean>,
  ): Promise<Failure | undefined> => {
    const { identity, source, credential } = account.login;
    const { refreshToken = "" } = credential;
    const writable = await store.canSave(source);
    if (!writable.ok) {
      return fail(account, `Not renewed, since it could not be stored: ${writable.reason}`, false);
    }
    if (!(await isStillOurs())) return fail(account, LOST_LOCK, false);
    const result = await exchange(refreshToken, reason);
    if (!result.ok) {
      const failure = fail(account, result.message, result.isPermanent);
      return result.isPermanent ? giveUp(account, result.message, reason) : failure;
    }
    const atMs = clock.now();
    backoff.succeed(identity, atMs);
    const tokens = { credential: merge(credential, result, atMs), spent: credential, atMs };
    const isSaved = await keeper.keep(account, tokens);
    log.info("renewed a token", { account: account.label, reason });
    if (isSaved && account.login.workspaceId === undefined) await ports.reload();
    return undefined;
  };

  /** The account needs a new login, unless its access token still works: a spent refresh token does not end that. */
  const giveUp = (account: Account, message: string, reason: RefreshReason): Failure => {
    const { identity, credential } = account.login;
    const isRefused = reason === "unauthorized_recovery";
    if (isRefused || (credential.expiresAtMs ?? 0) <= clock.now()) {
      pool.settle(identity, { type: "renewal-refused", reason: message }, clock.now());
    }
    return { kind: "renewal-failed", message };
  };

  /** Whether there is nothing to renew: the refused token has been replaced, or the present one is not due. */
  const isInOrder = (account: Account, usedToken: string | undefined): boolean => {
    const { identity, credential } = account.login;
    if (usedToken !== undefined) return credential.accessToken !== usedToken;
    return !isDue(credential, clock.now()) || backoff.isRecent(identity, clock.now());
  };

  /** Looks at the stored tokens, and spends the account's own only where that is needed and allowed. */
  const renewNow = async (
    accountId: string,
    reason: RefreshReason,
    usedToken: string | undefined,
    go: (current: Account) => Failure | undefined | Promise<Failure | undefined>,
  ): Promise<Failure | undefined> => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE;
    const current = await adoptNewer(account);
    if (current === undefined) return GONE;
    if (isInOrder(current, usedToken)) return undefined;
    const { refreshToken = "" } = current.login.credential;
    if (refreshToken === "") return giveUp(current, NO_REFRESH_TOKEN, reason);
    const refusal = backoff.refusal(accountId, refreshToken, clock.now());
    if (refusal === undefined) return go(current);
    const { failure, isPermanent } = refusal;
    return isPermanent ? giveUp(current, failure.message, reason) : failure;
  };

  /** Renews under the lock; where that cannot be had, tokens that others have stored are adopted all the same. */
  const renewLocked = async (
    accountId: string,
    reason: RefreshReason,
    usedToken: string | undefined,
  ): Promise<Failure | undefined> => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE;
    const wish = lockWish(ports.options().timeoutMs);
    const done = await store.locked(
      account.login.source,
      { ...wish, isWanted: () => !isStopping },
      (isStillOurs) =>
        renewNow(accountId, reason, usedToken, (current) => spend(current, reason, isStillOurs)),
    );
    if (done.ok) return done.value;
    const said = `Not renewed: ${done.reason}`;
    return renewNow(accountId, reason, usedToken, (current) => fail(current, said, false));
  };

  const once = (
    accountId: string,
    reason: RefreshReason,
    usedToken?: string,
  ): Promise<Failure | undefined> => {
    const current = running.get(accountId);
    if (current !== undefined) return current.done;
    const done = lanes
      .run(familyOf(accountId), () => renewLocked(accountId, reason, usedToken))
      .finally(() => running.delete(accountId));
    running.set(accountId, { reason, done });
    return done;
  };

  /** What must be waited for before the account's token can be used. */
  const makeReady = (
    accountId: string,
    credential: Credential,
  ): Promise<Failure | undefined> | undefined => {
    const current = running.get(accountId);
    // Somebody's token was refused: it is this one's as well.
    if (current?.reason === "unauthorized_recovery") return current.done;
    if (credential.refreshToken === undefined || !isDue(credential, clock.now())) return undefined;
    const renewal = once(accountId, "proactive_expiry");
    if (isEnding(credential, clock.now())) return renewal;
    renewal.catch((cause: unknown) => {
      log.error("a renewal in the background broke", { reason: String(cause) });
    });
    return undefined;
  };

  const readIdentity = (accountId: string, failure?: Failure): Identity | Failure => {
    const account = pool.get(accountId);
    if (account === undefined) return GONE;
    const { credential, workspaceId } = account.login;
    const { accessToken } = credential;
    if (accessToken === undefined || !isAlive(credential, clock.now())) return failure ?? ENDED;
    return { accessToken, workspaceId, tag: account.tag };
  };

  const identify: Renewer["identify"] = (accountId) => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE;
    const renewal = makeReady(accountId, account.login.credential);
    return renewal === undefined
      ? readIdentity(accountId)
      : renewal.then((failure) => readIdentity(accountId, failure));
  };

  const sweep = async (): Promise<void> => {
    backoff.prune((accountId) => pool.get(accountId) !== undefined);
    const due: Promise<unknown>[] = [];
    for (const { account } of pool.view(clock.now())) {
      const { identity, credential } = account.login;
      const { kind } = account.availability;
      const isOut = kind === "disabled" || kind === "needs-login";
      const isWanted = credential.refreshToken !== undefined && isDue(credential, clock.now());
      if (!isOut && isWanted) due.push(once(identity, "proactive_expiry"));
    }
    await Promise.allSettled(due);
  };

  const saveLate = async (): Promise<void> => {
    const saving = keeper
      .pending()
      .map((accountId) => lanes.run(familyOf(accountId), () => keeper.retry(accountId)));
    await Promise.allSettled(saving);
  };

  return {
    identify,
    renew: (accountId, usedToken) => once(accountId, "unauthorized_recovery", usedToken),
    sweep,
    saveLate,
    unsaved: keeper.pending,
    accepted: keeper.accepted,
    settled: async () => {
      isStopping = true;
      await Promise.allSettled([...running.values()].map(({ done }) => done));
      await saveLate();
      for (const accountId of keeper.pending()) {
        log.error("its new tokens were never stored: this account will need a new login", {
          account: pool.get(accountId)?.label,
        });
      }
    },
  };
}

/** The subject before the slash: one login may have several workspaces, and issuers dislike bursts from one. */
function familyOf(accountId: string): string {
  return accountId.split("/")[0] ?? accountId;
}

const LOST_LOCK =
  "Not renewed, since this process stood still for so long that another one may be renewing the login by now.";
const NO_REFRESH_TOKEN = "The account has no refresh token, so its access token cannot be renewed.";
const GONE: Failure = { kind: "renewal-failed", message: "The account was taken out of the pool." };
const ENDED: Failure = {
  kind: "renewal-failed",
  message: "The account's access token has ended and could not be renewed.",
};
const TOO_SLOW: Failure = {
  kind: "timeout",
  message: "The issuer did not answer in time (refresh-single-timeout-sec).",
};

/** The new credential: what the issuer did not mention stays. */
function merge(old: Credential, fresh: Extract<Exchange, { ok: true }>, now: Millis): Credential {
  const { accessToken, expiresInSeconds } = fresh;
  const { refreshToken = old.refreshToken, idToken = old.idToken } = fresh;
  const kept = {
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(idToken === undefined ? {} : { idToken }),
  };
  if (accessToken === undefined) return { ...old, ...kept };
  const life = lifetimeOf(payloadsOf({ accessToken }));
  const saidMs = expiresInSeconds === undefined ? undefined : now + expiresInSeconds * 1000;
  const expiresAtMs = life.expiresAtMs ?? saidMs;
  return {
    accessToken,
    ...kept,
    issuedAtMs: life.issuedAtMs ?? now,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}
