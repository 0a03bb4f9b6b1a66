import { basename } from "node:path";
import type { Account, Login } from "../pool/account.ts";
import { areSame, type Credential, isAlive, isEnding } from "../pool/credential.ts";
import { isDue } from "../pool/due.ts";
import type { Failure } from "../turn/failure.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import type { Identity } from "../upstream/headers.ts";
import type { Exchange, RefreshReason, Refused } from "../upstream/oauth.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { createAside } from "./aside.ts";
import { createBackoff } from "./backoff.ts";
import type { DeadTokens } from "./dead.ts";
import { createFamilies, type Place } from "./families.ts";
import { failed, familiesOf, merge, NO_REFRESH_TOKEN, type Renewed, SPENT } from "./fresh.ts";
import { createRefusals, type RenewalWish } from "./refusals.ts";
import { createKeeper, type KeeperPorts, LATE_ANSWER_MS, LOST_LOCK, lockWish } from "./unsaved.ts";

/** What renewing needs from outside. */
export type RenewPorts = KeeperPorts & {
  readonly clock: Clock;
  readonly exchange: (token: string, reason: RefreshReason, stop: Stop) => Promise<Exchange>;
  readonly options: () => RenewOptions;
  /** Reads the store again: a login that did not say whose it is may do so with its new tokens. */
  readonly reload: () => Promise<void>;
  /** Which refresh tokens are never sent again. */
  readonly dead: DeadTokens;
  /** A number from 0 to 1, for pauses that differ. */
  readonly chance: () => number;
};

/** What renewing takes from the configuration; read anew at each use. */
export type RenewOptions = {
  /** `refresh-concurrency`. */
  readonly concurrency: number;
  readonly timeoutMs: Millis;
  /** `auth-401-sync-refresh-concurrency`: for how many accounts requests may wait after a 401. 0 = no limit of its own. */
  readonly mostAwaited: number;
  /** `refresh-http-status-policy`. */
  readonly policies: Readonly<Record<string, string>>;
};

/** Keeps access tokens alive. */
export type Renewer = {
  /** The account's token, renewed first when it is about to end; a failure when it has none that works. */
  readonly identify: (accountId: string) => Identity | Failure | Promise<Identity | Failure>;
  /** After a 401 on `usedToken`: a failure when no newer token could be had. */
  readonly renew: (accountId: string, usedToken: string) => Promise<Failure | undefined>;
  /** Because its owner asks: whether it is due or not. Nothing is done where it `isWanted` no more when its turn comes. */
  readonly renewByHand: (accountId: string, isWanted?: () => boolean) => Promise<Renewed>;
  /** Renews a login that lies aside, where it lies. `isByHand`: a pause after a temporary failure does not count. */
  readonly renewAside: (
    login: Login,
    isByHand: boolean,
    isWanted?: () => boolean,
  ) => Promise<Renewed>;
  /** Renews every account that is due. Never throws. */
  readonly sweep: () => Promise<void>;
  /** Stores tokens that could not be stored before. Never throws. */
  readonly saveLate: () => Promise<void>;
  /** The identities whose tokens could not be stored yet, aside or not: a restart now would lose their logins. */
  readonly unsaved: () => readonly string[];
  /** The backend has accepted this token of the account's. Cheap enough for every turn; never throws. */
  readonly accepted: (accountId: string, accessToken: string) => void;
  /**
   * For the end of the program: waits for renewals under way, since one that is cut between the issuer's answer and
   * the disk loses a login, and tries once more to store what is only in memory. What has not begun is left.
   */
  readonly settled: () => Promise<void>;
};

/** A renewal that waits for its turn or runs; requests join it. */
type Renewal = Place<Renewed> & {
  wish: RenewalWish;
  hasBegun: boolean;
  readonly wanted: (() => boolean)[];
};

/** How a renewal is pressed for. */
type Force = { readonly isWanted?: () => boolean; readonly isUrgent?: boolean };

/**
 * Renews tokens: one renewal per account at a time, however many requests wait for it; accounts of one login or
 * workspace one after the other; the stored token looked at again first, and a newer one adopted instead of spending
 * the old; the new tokens on disk before anyone uses them.
 */
export function createRenewer(ports: RenewPorts): Renewer {
  const { pool, store, clock, log, chance, dead } = ports;
  const families = createFamilies({
    clock,
    limit: () => ports.options().concurrency,
    pauseMs: () => SHORTEST_PAUSE_MS + chance() * (LONGEST_PAUSE_MS - SHORTEST_PAUSE_MS),
  });
  const keeper = createKeeper(ports);
  const backoff = createBackoff(chance);
  const policies = () => ports.options().policies;
  const refusals = createRefusals({ ...ports, policies, backoff });
  const running = new Map<string, Renewal>();
  const runningAside = new Set<Promise<Renewed>>();
  /** For which accounts requests wait after a 401, and how many. */
  const awaited = new Map<string, number>();
  let isStopping = false;

  const adoptNewer = async (account: Account): Promise<Account | undefined> => {
    const stored = await store.reread(account.login.source);
    if (stored === undefined) return account;
    if (stored.identity !== account.login.identity) {
      // A login that does not say whose it is may do so since its file was last read.
      if (isNameless(stored) || isNameless(account.login)) return account;
      // Its owner has put another login there, which is to be seen before anything is written to it.
      inBackground(ports.reload());
      return undefined;
    }
    const isOlder = ageOf(stored) < ageOf(account.login);
    const isSpent = keeper.isSpent(stored.identity, stored.credential);
    if (areSame(stored.credential, account.login.credential) || isOlder || isSpent) return account;
    pool.settle(stored.identity, { type: "reloaded", login: stored }, clock.now());
    log.info("adopted newer tokens that another program had stored", { account: account.label });
    return pool.get(stored.identity);
  };

  // Questions to the issuer that are open.
  const open = new Set<Stop>();

  /** The issuer spends a token as it reads the question, so that an answer that comes late is still the only one there is. */
  const exchange = async (refreshToken: string, reason: RefreshReason): Promise<Exchange> => {
    const stop = createStop();
    open.add(stop);
    const bound = ports.options().timeoutMs + LATE_ANSWER_MS;
    const cancel = clock.after(bound, () => stop.stop(TOO_SLOW));
    return ports.exchange(refreshToken, reason, stop).finally(() => {
      cancel();
      open.delete(stop);
    });
  };

  /** What a renewal comes to for who waits no longer than the issuer should take; the renewal itself goes on. */
  const waitFor = async (
    accountId: string,
    done: Promise<Renewed>,
  ): Promise<Failure | undefined> => {
    const { timeoutMs } = ports.options();
    const late = Promise.withResolvers<undefined>();
    const cancel = clock.after(timeoutMs, () => late.resolve(undefined));
    const result = await Promise.race([done, late.promise]).finally(cancel);
    if (result !== undefined) return failureOf(result);
    const login = pool.get(accountId)?.login;
    const now = clock.now();
    if (login !== undefined && !isAlive(login.credential, now)) {
      // It can serve nobody till the answer comes, and the next request should not wait for that as well.
      const resting = { ...SLOW, resetsAtMs: now + timeoutMs };
      pool.settle(accountId, { type: "refused", failure: resting }, now);
    }
    return SLOW;
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

  /** One question to the issuer; others of the family wait a moment after it. */
  const ask = async (login: Login, refreshToken: string, reason: RefreshReason) => {
    const result = await exchange(refreshToken, reason);
    families.rest(familiesOf(login));
    return result;
  };

  const spend = async (
    account: Account,
    { reason }: RenewalWish,
    isStillOurs: () => Promise<boolean>,
  ): Promise<Renewed> => {
    const { identity, source, credential } = account.login;
    const { refreshToken } = credential;
    if (refreshToken === undefined) return refusals.giveUp(account, NO_REFRESH_TOKEN, reason);
    const writable = await store.canSave(source);
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
    ...lockWish(ports.options().timeoutMs),
    isWanted: () => !isStopping,
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

  /** The account's renewal: the one that waits or runs already, or a new one. */
  const once = (
    accountId: string,
    wish: RenewalWish,
    isWanted: () => boolean = () => true,
  ): Renewal => {
    const current = running.get(accountId);
    if (current !== undefined) {
      current.wanted.push(isWanted);
      if (!current.hasBegun) current.wish = both(current.wish, wish);
      return current;
    }
    const wanted = [isWanted];
    const keys = familiesOf(pool.get(accountId)?.login ?? { identity: accountId });
    const place = families.enter(keys, async (): Promise<Renewed> => {
      renewal.hasBegun = true;
      if (isStopping || !wanted.some((isStill) => isStill())) return { type: "left" };
      return renewLocked(accountId, renewal.wish);
    });
    const done = place.done.finally(() => running.delete(accountId));
    const renewal: Renewal = { wish, hasBegun: false, wanted, done, hurry: place.hurry };
    running.set(accountId, renewal);
    return renewal;
  };

  /** As `once`, and once more where a renewal that had begun before left the token in its place that is to go. */
  const force = async (accountId: string, wish: RenewalWish, how: Force = {}): Promise<Renewed> => {
    const isLate = running.get(accountId)?.hasBegun === true;
    const renewal = once(accountId, wish, how.isWanted);
    if (how.isUrgent === true) renewal.hurry();
    const result = await renewal.done;
    const isOver = result.type === "failed" || result.type === "left";
    if (!isLate || isOver || isStopping || wish.usedToken === undefined) return result;
    const { accessToken } = pool.get(accountId)?.login.credential ?? {};
    return accessToken === wish.usedToken ? force(accountId, wish, how) : result;
  };

  const inBackground = (work: Promise<unknown>): void => {
    work.catch((cause: unknown) => {
      log.error("a renewal in the background broke", { reason: String(cause) });
    });
  };

  /** Whether a further request may wait for the account after a 401. */
  const mayWait = (accountId: string): boolean => {
    const { mostAwaited } = ports.options();
    return mostAwaited <= 0 || awaited.has(accountId) || awaited.size < mostAwaited;
  };

  const awaitRenewal = async <T>(accountId: string, work: () => Promise<T>): Promise<T> => {
    awaited.set(accountId, (awaited.get(accountId) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (awaited.get(accountId) ?? 1) - 1;
      if (left > 0) awaited.set(accountId, left);
      else awaited.delete(accountId);
    }
  };

  const renew: Renewer["renew"] = async (accountId, usedToken) => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE.failure;
    const { credential } = account.login;
    if (credential.accessToken !== usedToken && isAlive(credential, clock.now())) return undefined;
    const wish = { reason: "unauthorized_recovery", usedToken } as const;
    if (!mayWait(accountId)) {
      inBackground(force(accountId, wish));
      return NO_PLACE;
    }
    const work = () => waitFor(accountId, force(accountId, wish, { isUrgent: true }));
    return awaitRenewal(accountId, work);
  };

  /** What must be waited for before the account's token can be used. */
  const makeReady = (account: Account): Promise<Failure | undefined> | undefined => {
    const { identity, credential } = account.login;
    const current = running.get(identity);
    // Somebody's token was refused: it is this one's as well.
    if (current?.wish.reason === "unauthorized_recovery") {
      if (!mayWait(identity)) return Promise.resolve(NO_PLACE);
      current.hurry();
      const work = () => waitFor(identity, current.done);
      return awaitRenewal(identity, work).then((failure) =>
        failure === SLOW ? STILL_REFUSED : failure,
      );
    }
    if (!isDue(account, clock.now())) return undefined;
    if (isEnding(credential, clock.now())) {
      const renewal = once(identity, PROACTIVE);
      renewal.hurry();
      return waitFor(identity, renewal.done);
    }
    // What has just failed is not looked into again by each request.
    const isHopeless =
      backoff.isRecent(identity, clock.now()) ||
      refusals.standing(account, PROACTIVE) !== undefined;
    if (!isHopeless) inBackground(once(identity, PROACTIVE).done);
    return undefined;
  };

  /** Where not even a renewal helps, nobody should be sent to the account for a while: its tokens end as they come. */
  const rest = (accountId: string): Failure => {
    const now = clock.now();
    const resting = { ...ENDED, resetsAtMs: now + ENDED_REST_MS };
    pool.settle(accountId, { type: "refused", failure: resting }, now);
    return ENDED;
  };

  const readIdentity = (accountId: string, failure?: Failure): Identity | Failure => {
    const account = pool.get(accountId);
    if (account === undefined) return GONE.failure;
    const { credential, workspaceId } = account.login;
    const { accessToken } = credential;
    // One that was refused and could not be replaced for want of a place or of time is as good as ended.
    if (failure === NO_PLACE || failure === STILL_REFUSED) return failure;
    if (accessToken === undefined || !isAlive(credential, clock.now()))
      return failure ?? rest(accountId);
    return { accessToken, workspaceId, tag: account.tag };
  };

  const identify: Renewer["identify"] = (accountId) => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE.failure;
    const renewal = makeReady(account);
    return renewal === undefined
      ? readIdentity(accountId)
      : renewal.then((failure) => readIdentity(accountId, failure));
  };

  const sweep = async (): Promise<void> => {
    backoff.prune((accountId) => pool.get(accountId) !== undefined);
    const due: Promise<unknown>[] = [];
    for (const { account } of pool.view(clock.now())) {
      const { kind } = account.availability;
      const isOut = kind === "disabled" || kind === "needs-login";
      if (isOut || !isDue(account, clock.now())) continue;
      due.push(once(account.login.identity, PROACTIVE).done);
    }
    await Promise.allSettled(due);
  };

  const aside = createAside({ pool, store, clock, log, dead, ask, chance, wish: wantLock });

  const saveLate = async (): Promise<void> => {
    const saving = keeper.pending().map((accountId) => {
      const keys = familiesOf(pool.get(accountId)?.login ?? { identity: accountId });
      const place = families.enter(keys, () => keeper.retry(accountId));
      place.hurry();
      return place.done;
    });
    await Promise.allSettled([...saving, aside.saveLate()]);
  };

  return {
    identify,
    renew,
    renewByHand: (accountId, isWanted) => {
      const { accessToken: usedToken } = pool.get(accountId)?.login.credential ?? {};
      const wish = { reason: "proactive_expiry", usedToken, isByHand: true } as const;
      return force(accountId, wish, isWanted === undefined ? {} : { isWanted });
    },
    renewAside: (login, isByHand, isWanted = () => true) => {
      const isLeft = () => isStopping || !isWanted();
      const { done } = families.enter(
        familiesOf(login),
        async (): Promise<Renewed> => (isLeft() ? { type: "left" } : aside.renew(login, isByHand)),
      );
      runningAside.add(done);
      return done.finally(() => runningAside.delete(done));
    },
    sweep,
    saveLate,
    unsaved: () => [...keeper.pending(), ...aside.unsaved().map(({ identity }) => identity)],
    accepted: keeper.accepted,
    settled: async () => {
      isStopping = true;
      families.close();
      const under = [...running.values()].map(({ done }) => done);
      const cancel = clock.after(ports.options().timeoutMs, () => {
        for (const stop of open) stop.stop(TOO_SLOW);
      });
      await Promise.allSettled([...under, ...runningAside]);
      cancel();
      await saveLate();
      for (const accountId of keeper.pending()) {
        log.error("its new tokens were never stored: this account will need a new login", {
          account: pool.get(accountId)?.label,
        });
      }
      for (const { source } of aside.unsaved()) {
        log.error("the new tokens of a login that lies aside were never stored: it is lost", {
          file: basename(source),
        });
      }
    },
  };
}

// A clock that is ahead makes every token look ended: each try costs a renewal.
const ENDED_REST_MS = 60_000;

// Between two renewals of one family.
const SHORTEST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 3000;

const PROACTIVE: RenewalWish = { reason: "proactive_expiry" };
const GONE = failed("The account was taken out of the pool.");
const NO_PLACE: Failure = {
  kind: "renewal-failed",
  message:
    "The account's token was refused and is renewed in the background: as many requests as auth-401-sync-refresh-concurrency allows wait for theirs.",
};
const ENDED: Failure = {
  kind: "renewal-failed",
  message: "The account's access token has ended and could not be renewed.",
};
const TOO_SLOW: Failure = {
  kind: "timeout",
  message: "The issuer did not answer in time (refresh-single-timeout-sec).",
};
const SLOW: Failure = { ...TOO_SLOW, kind: "renewal-failed" };
/** The same, for a token that the backend has refused. */
const STILL_REFUSED: Failure = { ...SLOW };

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

function failureOf(result: Renewed): Failure | undefined {
  return result.type === "failed" ? result.failure : undefined;
}

/** One renewal for two wishes: what either wants. */
function both(one: RenewalWish, other: RenewalWish): RenewalWish {
  const isRefused = [one, other].some(({ reason }) => reason === "unauthorized_recovery");
  return {
    reason: isRefused ? "unauthorized_recovery" : "proactive_expiry",
    usedToken: other.usedToken ?? one.usedToken,
    isByHand: one.isByHand === true || other.isByHand === true,
  };
}

/** Of two states of one login the one with the later moment has the newer tokens. */
function ageOf({ credential, lastRefreshedMs }: Login): Millis {
  return credential.issuedAtMs ?? lastRefreshedMs ?? 0;
}
