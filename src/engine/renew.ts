import type { Account, Credential } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import { lifetimeOf, payloadsOf } from "../store/claims.ts";
import type { Store } from "../store/store.ts";
import type { Failure } from "../turn/failure.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import { type Identity, isDue } from "../upstream/headers.ts";
import type { Exchange, RefreshReason } from "../upstream/oauth.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { type Log, redact } from "../wire/log.ts";
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
  /** Resolves when no renewal is under way: one that is cut between the issuer's answer and the disk loses a login. */
  readonly settled: () => Promise<void>;
};

// After a try the next waits, so that a broken issuer, or a wrong clock here, does not lead to one try per request.
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
  const unsaved = new Map<string, Unsaved>();
  const renewedMs = new Map<string, Millis>();

  /** The account, with the tokens that could not be stored where a rescan has brought the spent ones back. */
  const look = (accountId: string): Account | undefined => {
    const account = pool.get(accountId);
    const pending = unsaved.get(accountId);
    if (account === undefined || pending === undefined) return account;
    if (!areSame(account.login.credential, pending.spent)) return account;
    const { credential, atMs } = pending;
    pool.settle(accountId, { type: "renewed", credential, atMs }, clock.now());
    return pool.get(accountId);
  };

  const adoptNewer = async (account: Account): Promise<Account | undefined> => {
    const stored = await store.reread(account.login.source);
    if (stored === undefined || stored.identity !== account.login.identity) return account;
    const ours = account.login.credential;
    const isOlder = (stored.credential.issuedAtMs ?? 0) < (ours.issuedAtMs ?? 0);
    const spent = unsaved.get(stored.identity)?.spent;
    const isSpent = spent !== undefined && areSame(stored.credential, spent);
    if (areSame(stored.credential, ours) || isOlder || isSpent) return account;
    pool.settle(stored.identity, { type: "reloaded", login: stored }, clock.now());
    log.info("adopted newer tokens that another program had stored", { account: account.label });
    return pool.get(stored.identity);
  };

  const keep = async (account: Account, tokens: Unsaved): Promise<void> => {
    const { identity, source } = account.login;
    const { credential, atMs } = tokens;
    const saved = await store.save(source, credential, atMs);
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
    pool.settle(identity, { type: "renewed", credential, atMs }, clock.now());
  };

  /** Stores what could not be stored before, unless its owner has put other tokens there meanwhile. */
  const saveLate = async (accountId: string): Promise<void> => {
    const account = look(accountId);
    const pending = unsaved.get(accountId);
    if (account === undefined || pending === undefined) return;
    const stored = await store.reread(account.login.source);
    const isOurs = stored === undefined || areSame(stored.credential, pending.spent);
    if (isOurs) await keep(account, pending);
    else unsaved.delete(accountId);
  };

  const fail = (account: Account, message: string, isPermanent: boolean): Failure => {
    const { identity, credential } = account.login;
    // A reason of the store's begins with a file's name, which may be an e-mail address.
    const failure: Failure = { kind: "renewal-failed", message: redact(message) };
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
    if (refreshToken === undefined) return giveUp(account, NO_REFRESH_TOKEN, reason);
    const writable = await store.canSave(source);
    if (!writable.ok)
      return fail(account, `Not renewed, since it could not be stored: ${writable.reason}`, false);
    const stop = createStop();
    const { timeoutMs } = ports.options();
    const cancel = timeoutMs > 0 ? clock.after(timeoutMs, () => stop.stop(TOO_SLOW)) : () => {};
    const result = await ports.exchange(refreshToken, reason, stop).finally(cancel);
    if (!result.ok) {
      const failure = fail(account, result.message, result.isPermanent);
      return result.isPermanent ? giveUp(account, result.message, reason) : failure;
    }
    failed.delete(identity);
    const atMs = clock.now();
    renewedMs.set(identity, atMs);
    await keep(account, { credential: merge(credential, result, atMs), spent: credential, atMs });
    log.info("renewed a token", { account: account.label, reason });
    return undefined;
  };

  /** The account needs a new login, unless its access token still works: a spent refresh token does not end that. */
  const giveUp = (account: Account, message: string, reason: RefreshReason): Failure => {
    const { identity, credential } = account.login;
    const isAlive = (credential.expiresAtMs ?? 0) > clock.now();
    const now = pool.get(identity)?.availability;
    const isRefused =
      reason === "unauthorized_recovery" || (now?.kind === "cooling" && now.why === "unauthorized");
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
    const account = look(accountId);
    if (account === undefined) return GONE;
    const current = await adoptNewer(account);
    if (current === undefined) return GONE;
    const { credential } = current.login;
    const now = clock.now();
    const isFresh =
      usedToken === undefined
        ? !isDue(credential, now) || now < (renewedMs.get(accountId) ?? -BACKOFF_MS) + BACKOFF_MS
        : credential.accessToken !== usedToken;
    if (isFresh) return undefined;
    const before = failed.get(accountId);
    if (
      before?.refreshToken === credential.refreshToken &&
      before !== undefined &&
      before.again > now
    ) {
      return before.again === Number.POSITIVE_INFINITY
        ? giveUp(current, before.failure.message, reason)
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
    const renewal = lanes
      .run(familyOf(accountId), () => renewNow(accountId, reason, usedToken))
      .finally(() => running.delete(accountId));
    running.set(accountId, renewal);
    return renewal;
  };

  const identify = async (accountId: string): Promise<Identity | Failure> => {
    const before = look(accountId);
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
      if (unsaved.has(identity)) due.push(lanes.run(familyOf(identity), () => saveLate(identity)));
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
    settled: async () => {
      await Promise.allSettled(running.values());
    },
  };
}

/** New tokens on their way to the store, and those they replace. */
type Unsaved = {
  readonly credential: Credential;
  readonly spent: Credential;
  readonly atMs: Millis;
};

function areSame(one: Credential, other: Credential): boolean {
  return one.accessToken === other.accessToken && one.refreshToken === other.refreshToken;
}

/** The subject before the slash: one login may have several workspaces, and issuers dislike bursts from one. */
function familyOf(accountId: string): string {
  return accountId.split("/")[0] ?? accountId;
}

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
