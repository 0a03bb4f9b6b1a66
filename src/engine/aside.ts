import { basename } from "node:path";
import type { Login } from "../pool/account.ts";
import { areSame, isAlive } from "../pool/credential.ts";
import type { Pool } from "../pool/pool.ts";
import type { LockWish, Store } from "../store/store.ts";
import type { Exchange, RefreshReason } from "../upstream/oauth.ts";
import type { Clock } from "../wire/clock.ts";
import { type Log, redact } from "../wire/log.ts";
import { createBackoff } from "./backoff.ts";
import type { DeadTokens } from "./dead.ts";
import { failed, merge, NO_REFRESH_TOKEN, type Renewed, SPENT } from "./fresh.ts";
import { BRIEFLY, type FreshTokens, LOST_LOCK } from "./unsaved.ts";

/** What renewing logins that lie aside needs. */
export type AsidePorts = {
  readonly pool: Pick<Pool, "view">;
  readonly store: Pick<Store, "reread" | "locked" | "canSave" | "save">;
  /** How long the lock of a login is wanted. */
  readonly wish: () => LockWish;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly dead: DeadTokens;
  /** Spends a refresh token, within the time that an issuer has. */
  readonly ask: (login: Login, refreshToken: string, reason: RefreshReason) => Promise<Exchange>;
  readonly chance: () => number;
};

/** Renews logins that were set aside, where they lie. */
export type Aside = {
  /** Only for whoever holds the login's families. Afterwards the new tokens are in the file that lies aside. */
  readonly renew: (login: Login, isByHand: boolean) => Promise<Renewed>;
  /** Stores tokens that the store would not take before. */
  readonly saveLate: () => Promise<void>;
  /** The logins whose tokens are only in memory. */
  readonly unsaved: () => readonly Login[];
};

/**
 * Renewals of logins that no account runs on. Their new tokens go into the file where it lies, and it is brought back
 * after that: whatever cuts this short, the newest tokens are in the one file there is, and it is tried again from there.
 */
export function createAside(ports: AsidePorts): Aside {
  const { store, clock, log, dead } = ports;
  const backoff = createBackoff(ports.chance);
  const unsaved = new Map<string, { readonly login: Login; readonly tokens: FreshTokens }>();
  /** The access token that each file has got here, so that one that could not be brought back is not renewed again. */
  const renewed = new Map<string, string | undefined>();

  const keep = async (login: Login, tokens: FreshTokens): Promise<Renewed> => {
    const { source } = login;
    const saved = await store.save(source, tokens.credential, tokens.atMs);
    if (saved.ok) {
      unsaved.delete(source);
      renewed.set(source, tokens.credential.accessToken);
      return { type: "renewed" };
    }
    if (!unsaved.has(source)) {
      log.error("new tokens could not be stored; they are kept in memory and tried again", {
        file: basename(source),
        reason: saved.reason,
      });
    }
    unsaved.set(source, { login, tokens });
    return failed(redact(saved.reason));
  };

  /** Stores what could not be stored before; undefined where its owner has put other tokens there meanwhile. */
  const keepLate = async (source: string): Promise<Renewed | undefined> => {
    const held = unsaved.get(source);
    if (held === undefined) return undefined;
    const stored = await store.reread(source);
    if (stored === undefined || areSame(stored.credential, held.tokens.spent)) {
      return keep(held.login, held.tokens);
    }
    unsaved.delete(source);
    return undefined;
  };

  const isInUse = ({ identity, credential }: Login): boolean =>
    ports.pool.view(clock.now()).some(({ account: { login } }) => {
      const isSameToken = login.credential.refreshToken === credential.refreshToken;
      return login.identity === identity || isSameToken;
    });

  const obstacle = (login: Login, isByHand: boolean): Renewed | undefined => {
    const { refreshToken } = login.credential;
    if (refreshToken === undefined) return failed(NO_REFRESH_TOKEN, true);
    if (isInUse(login)) return failed("Its login is in use from another file.");
    const why = dead.reasonOf(refreshToken);
    if (why !== undefined) return failed(redact(why), true);
    const failure = isByHand ? undefined : backoff.pending(login.source, refreshToken, clock.now());
    return failure === undefined ? undefined : { type: "failed", failure, isPermanent: false };
  };

  const spend = async (login: Login, isStillOurs: () => Promise<boolean>): Promise<Renewed> => {
    const { source, credential: old } = login;
    const { refreshToken = "" } = old;
    const writable = await store.canSave(source);
    if (!writable.ok) return failed(redact(writable.reason));
    if (!(await isStillOurs())) return failed(LOST_LOCK);
    const result = await ports.ask(login, refreshToken, "proactive_expiry");
    const atMs = clock.now();
    if (!result.ok) {
      const failure = failed(result.message, result.isPermanent);
      const { retryAfterMs, isUnasked: isOurs = false } = result;
      const setback = { ...failure, retryAfterMs, isOurs };
      if (result.isPermanent) dead.add(refreshToken, result.message);
      else backoff.fail(source, refreshToken, setback, atMs);
      return failure;
    }
    const credential = merge(old, result, atMs);
    if (credential.refreshToken !== refreshToken) dead.add(refreshToken, SPENT);
    backoff.succeed(source, atMs);
    return keep(login, { credential, spent: old, atMs });
  };

  const renewLocked = async (
    { source, identity }: Login,
    isByHand: boolean,
    isStillOurs: () => Promise<boolean>,
  ): Promise<Renewed> => {
    const late = await keepLate(source);
    if (late !== undefined) return late;
    const login = await store.reread(source);
    if (login === undefined || login.identity !== identity) return failed("Its file has changed.");
    const isOurs = renewed.get(source) === login.credential.accessToken;
    if (isOurs && isAlive(login.credential, clock.now())) return { type: "in-order" };
    const refusal = obstacle(login, isByHand);
    if (refusal !== undefined) return refusal;
    return spend(login, isStillOurs);
  };

  const renew: Aside["renew"] = async (login, isByHand) => {
    const done = await store.locked(login.source, ports.wish(), (isStillOurs) =>
      renewLocked(login, isByHand, isStillOurs),
    );
    return done.ok ? done.value : failed(redact(`Not renewed: ${done.reason}`));
  };

  const saveLate = async (): Promise<void> => {
    for (const source of unsaved.keys()) {
      await store.locked(source, BRIEFLY, () => keepLate(source));
    }
  };
  return { renew, saveLate, unsaved: () => [...unsaved.values()].map(({ login }) => login) };
}
