import type { Account, Credential } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import { lifetimeOf, payloadsOf } from "../store/claims.ts";
import type { Store } from "../store/store.ts";
import type { Failure } from "../turn/failure.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import { type Identity, isDue } from "../upstream/headers.ts";
import type { Exchange, RefreshReason } from "../upstream/oauth.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import { createLanes } from "./lanes.ts";

/** What renewing needs from outside. */
export type RenewPorts = {
  readonly pool: Pool;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly exchange: (token: string, reason: RefreshReason, stop: Stop) => Promise<Exchange>;
  readonly options: () => { readonly concurrency: number; readonly timeoutMs: Millis };
};

/** Keeps access tokens alive. */
export type Renewer = {
  /** The account's token, renewed first when it is about to end; a failure when it has none that works. */
  readonly identify: (accountId: string) => Promise<Identity | Failure>;
  /** After a 401 on `usedToken`: a failure when no newer token could be had. */
  readonly renew: (accountId: string, usedToken: string) => Promise<Failure | undefined>;
  /** Renews every account that is due, and stores tokens that could not be stored before. Never throws. */
  readonly sweep: () => Promise<void>;
};

// After a failed try the next waits, so that a broken issuer is not asked once per request.
const BACKOFF_MS = 30_000;

/**
 * Renews tokens: one renewal per account at a time, however many requests wait for it; accounts of one login one
 * after the other; the stored token looked at again first, and a newer one adopted instead of spending the old;
 * the new tokens on disk before anyone uses them.
 */
export function createRenewer(ports: RenewPorts): Renewer {
  const { pool, store, clock, log } = ports;
  const lanes = createLanes(() => ports.options().concurrency);
  const running = new Map<string, Promise<Failure | undefined>>();
  const failed = new Map<
    string,
    { readonly refreshToken: string; readonly again: Millis; readonly failure: Failure }
  >();
  const unsaved = new Map<string, Credential>();

  const adoptNewer = async (account: Account): Promise<Account | undefined> => {
    const stored = await store.reread(account.login.source);
    if (stored === undefined || stored.identity !== account.login.identity) return account;
    const ours = account.login.credential;
    const isOlder = (stored.credential.issuedAtMs ?? 0) < (ours.issuedAtMs ?? 0);
    const isSame =
      stored.credential.accessToken === ours.accessToken &&
      stored.credential.refreshToken === ours.refreshToken;
    if (isSame || isOlder) return account;
    pool.settle(stored.identity, { type: "reloaded", login: stored }, clock.now());
    log.info("adopted newer tokens that another program had stored", { account: account.label });
    return pool.get(stored.identity);
  };

  const keep = async (account: Account, credential: Credential): Promise<void> => {
    const { identity, source } = account.login;
    const now = clock.now();
    const saved = await store.save(source, credential, now);
    if (saved.ok) {
      unsaved.delete(identity);
    } else {
      // The old refresh token is spent: the new one must at least live on in memory, and be stored when that works.
      unsaved.set(identity, credential);
      log.error("new tokens could not be stored; they are kept in memory and tried again", {
        account: account.label,
        reason: saved.reason,
      });
    }
    pool.settle(identity, { type: "renewed", credential, atMs: now }, now);
  };

  const fail = (account: Account, message: string, isPermanent: boolean): Failure => {
    const { identity, credential } = account.login;
    const failure: Failure = { kind: "renewal-failed", message };
    const again = isPermanent ? Number.POSITIVE_INFINITY : clock.now() + BACKOFF_MS;
    failed.set(identity, { refreshToken: credential.refreshToken ?? "", again, failure });
    log.warn(isPermanent ? "an account needs a new login" : "a token could not be renewed", {
      account: account.label,
      reason: message,
    });
    return failure;
  };

  const spend = async (account: Account, reason: RefreshReason): Promise<Failure | undefined> => {
    const { identity, source, credential } = account.login;
    const { refreshToken } = credential;
    if (refreshToken === undefined) {
      return giveUp(
        account,
        "The account has no refresh token, so its access token cannot be renewed.",
      );
    }
    const writable = await store.canSave(source);
    if (!writable.ok)
      return fail(account, `Not renewed, since it could not be stored: ${writable.reason}`, false);
    const stop = createStop();
    const { timeoutMs } = ports.options();
    const cancel = timeoutMs > 0 ? clock.after(timeoutMs, () => stop.stop(TOO_SLOW)) : () => {};
    const result = await ports.exchange(refreshToken, reason, stop);
    cancel();
    if (!result.ok) {
      const failure = fail(account, result.message, result.isPermanent);
      return result.isPermanent ? giveUp(account, result.message) : failure;
    }
    failed.delete(identity);
    await keep(account, merge(credential, result, clock.now()));
    log.info("renewed a token", { account: account.label, reason });
    return undefined;
  };

  /** The account needs a new login, unless its access token still works: a spent refresh token does not end that. */
  const giveUp = (account: Account, message: string): Failure => {
    const { identity, credential } = account.login;
    const isAlive = (credential.expiresAtMs ?? 0) > clock.now();
    const now = pool.get(identity)?.availability;
    const isRefused = now?.kind === "cooling" && now.why === "unauthorized";
    if (!isAlive || isRefused) {
      pool.settle(identity, { type: "renewal-refused", reason: message }, clock.now());
    }
    return { kind: "renewal-failed", message };
  };

  const renewNow = async (
    accountId: string,
    reason: RefreshReason,
    usedToken: string | undefined,
  ): Promise<Failure | undefined> => {
    const account = pool.get(accountId);
    if (account === undefined) return GONE;
    const current = await adoptNewer(account);
    if (current === undefined) return GONE;
    const { credential } = current.login;
    const isFresh = usedToken !== undefined && credential.accessToken !== usedToken;
    if (isFresh || (usedToken === undefined && !isDue(credential, clock.now()))) return undefined;
    const before = failed.get(accountId);
    if (
      before?.refreshToken === credential.refreshToken &&
      before !== undefined &&
      before.again > clock.now()
    ) {
      return before.again === Number.POSITIVE_INFINITY
        ? giveUp(current, before.failure.message)
        : before.failure;
    }
    return spend(current, reason);
  };

  const once = (
    accountId: string,
    reason: RefreshReason,
    usedToken?: string,
  ): Promise<Failure | undefined> => {
    const current = running.get(accountId);
    if (current !== undefined) return current;
    // The subject before the slash: one login may have several workspaces, and issuers dislike bursts from one.
    const family = accountId.split("/")[0] ?? accountId;
    const renewal = lanes
      .run(family, () => renewNow(accountId, reason, usedToken))
      .finally(() => running.delete(accountId));
    running.set(accountId, renewal);
    return renewal;
  };

  const identify = async (accountId: string): Promise<Identity | Failure> => {
    const before = pool.get(accountId);
    if (before === undefined) return GONE;
    const { refreshToken } = before.login.credential;
    const isWanted = isDue(before.login.credential, clock.now()) && refreshToken !== undefined;
    const failure = isWanted ? await once(accountId, "proactive_expiry") : undefined;
    const account = pool.get(accountId);
    const { accessToken, expiresAtMs } = account?.login.credential ?? {};
    if (account === undefined) return GONE;
    const isAlive =
      accessToken !== undefined && (expiresAtMs ?? Number.POSITIVE_INFINITY) > clock.now();
    if (!isAlive) return failure ?? ENDED;
    return { accessToken, workspaceId: account.login.workspaceId, tag: account.tag };
  };

  const sweep = async (): Promise<void> => {
    const due: Promise<unknown>[] = [];
    for (const { account } of pool.view(clock.now())) {
      const { identity, credential } = account.login;
      const pending = unsaved.get(identity);
      if (pending !== undefined) due.push(keep(account, pending));
      const { kind } = account.availability;
      const isOut = kind === "disabled" || kind === "needs-login";
      if (isOut || credential.refreshToken === undefined || !isDue(credential, clock.now()))
        continue;
      due.push(once(identity, "proactive_expiry"));
    }
    await Promise.allSettled(due);
  };

  return {
    identify,
    renew: (accountId, usedToken) => once(accountId, "unauthorized_recovery", usedToken),
    sweep,
  };
}

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
  const accessToken = fresh.accessToken ?? old.accessToken;
  const refreshToken = fresh.refreshToken ?? old.refreshToken;
  const idToken = fresh.idToken ?? old.idToken;
  const life =
    fresh.accessToken === undefined
      ? {}
      : lifetimeOf(payloadsOf({ accessToken: fresh.accessToken }));
  const expiresAtMs =
    life.expiresAtMs ??
    (fresh.accessToken !== undefined && fresh.expiresInSeconds !== undefined
      ? now + fresh.expiresInSeconds * 1000
      : fresh.accessToken === undefined
        ? old.expiresAtMs
        : undefined);
  const issuedAtMs = fresh.accessToken === undefined ? old.issuedAtMs : (life.issuedAtMs ?? now);
  return {
    ...(accessToken === undefined ? {} : { accessToken }),
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(idToken === undefined ? {} : { idToken }),
    ...(issuedAtMs === undefined ? {} : { issuedAtMs }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}
