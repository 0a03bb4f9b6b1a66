import { basename } from "node:path";
import type { Account, Login } from "../pool/account.ts";
import { isAlive, isEnding } from "../pool/credential.ts";
import { isDue } from "../pool/due.ts";
import type { Failure } from "../turn/failure.ts";
import type { Identity } from "../upstream/headers.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { createAside } from "./aside.ts";
import { createBackoff } from "./backoff.ts";
import type { DeadTokens } from "./dead.ts";
import { createFamilies, type Place } from "./families.ts";
import { familiesOf, type Renewed } from "./fresh.ts";
import { createPatience, SLOW } from "./patience.ts";
import { createRefusals, type RenewalWish } from "./refusals.ts";
import { createSpender, type ExchangeToken, GONE } from "./spend.ts";
import { createKeeper, type KeeperPorts } from "./unsaved.ts";

/** What renewing needs from outside. */
export type RenewPorts = KeeperPorts & {
  readonly clock: Clock;
  readonly exchange: ExchangeToken;
  readonly options: () => RenewOptions;
  /** Reads the store again: a login that did not say whose it is may do so with its new tokens. */
  readonly reload: () => Promise<void>;
  /** Which refresh tokens are never sent again. */
  readonly dead: DeadTokens;
  /** A number from 0 to 1, for pauses that differ. */
  readonly chance: () => number;
  /**
   * Whether it is this instance that renews an account's token in good time. One that is about to end is renewed by
   * anybody.
   */
  readonly isMine: (accountId: string) => boolean;
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
  let isStopping = false;
  const spender = createSpender({
    ...ports,
    keeper,
    refusals,
    backoff,
    timeoutMs: () => ports.options().timeoutMs,
    // Others of the family wait a moment after it.
    onAsked: (login) => families.rest(familiesOf(login)),
    isWanted: () => !isStopping,
  });
  const patience = createPatience(ports);

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
      return spender.renew(accountId, renewal.wish);
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

  const renew: Renewer["renew"] = async (accountId, usedToken) => {
    const account = keeper.look(accountId);
    if (account === undefined) return GONE.failure;
    const { credential } = account.login;
    if (credential.accessToken !== usedToken && isAlive(credential, clock.now())) return undefined;
    const wish = { reason: "unauthorized_recovery", usedToken } as const;
    const begin = () => force(accountId, wish, { isUrgent: true });
    const waiting = patience.waitAfterRefusal(accountId, begin);
    if (waiting !== undefined) return waiting;
    inBackground(force(accountId, wish));
    return NO_PLACE;
  };

  /** What must be waited for before the account's token can be used. */
  const makeReady = (account: Account): Promise<Failure | undefined> | undefined => {
    const { identity, credential } = account.login;
    const current = running.get(identity);
    // Somebody's token was refused: it is this one's as well.
    if (current?.wish.reason === "unauthorized_recovery") {
      const waiting = patience.waitAfterRefusal(identity, () => {
        current.hurry();
        return current.done;
      });
      if (waiting === undefined) return Promise.resolve(NO_PLACE);
      return waiting.then((failure) => (failure === SLOW ? STILL_REFUSED : failure));
    }
    if (!isDue(account, clock.now())) return undefined;
    if (isEnding(credential, clock.now())) {
      const renewal = once(identity, PROACTIVE);
      renewal.hurry();
      return patience.waitFor(identity, renewal.done);
    }
    // What has just failed is not looked into again by each request.
    const isHopeless =
      backoff.isRecent(identity, clock.now()) ||
      refusals.standing(account, PROACTIVE) !== undefined;
    if (!isHopeless && ports.isMine(identity)) inBackground(once(identity, PROACTIVE).done);
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
    const { credential, workspaceId, proxy } = account.login;
    const { accessToken } = credential;
    // One that was refused and could not be replaced for want of a place or of time is as good as ended.
    if (failure === NO_PLACE || failure === STILL_REFUSED) return failure;
    if (accessToken === undefined || !isAlive(credential, clock.now()))
      return failure ?? rest(accountId);
    return { accessToken, workspaceId, tag: account.tag, proxy };
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
      // Whoever should have renewed it in good time has not.
      const isLate = isEnding(account.login.credential, clock.now());
      if (!isLate && !ports.isMine(account.login.identity)) continue;
      due.push(once(account.login.identity, PROACTIVE).done);
    }
    await Promise.allSettled(due);
  };

  const aside = createAside({
    pool,
    store,
    clock,
    log,
    dead,
    chance,
    ask: spender.ask,
    wish: spender.wantLock,
  });

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
      const cancel = clock.after(ports.options().timeoutMs, spender.giveUp);
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
const NO_PLACE: Failure = {
  kind: "renewal-failed",
  message:
    "The account's token was refused and is renewed in the background: as many requests as auth-401-sync-refresh-concurrency allows wait for theirs.",
};
const ENDED: Failure = {
  kind: "renewal-failed",
  message: "The account's access token has ended and could not be renewed.",
};
/** The same, for a token that the backend has refused. */
const STILL_REFUSED: Failure = { ...SLOW };

/** One renewal for two wishes: what either wants. */
function both(one: RenewalWish, other: RenewalWish): RenewalWish {
  const isRefused = [one, other].some(({ reason }) => reason === "unauthorized_recovery");
  return {
    reason: isRefused ? "unauthorized_recovery" : "proactive_expiry",
    usedToken: other.usedToken ?? one.usedToken,
    isByHand: one.isByHand === true || other.isByHand === true,
  };
}
