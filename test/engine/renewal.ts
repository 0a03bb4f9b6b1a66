import { createDeadTokens } from "../../src/engine/dead.ts";
import type { Renewed } from "../../src/engine/fresh.ts";
import { createReload } from "../../src/engine/reload.ts";
import { createRenewer, type RenewOptions } from "../../src/engine/renew.ts";
import type { Login } from "../../src/pool/account.ts";
import type { Exchange, Refused } from "../../src/upstream/oauth.ts";
import { createManualClock } from "../support/clock.ts";
import { accessOf, listen, loginOf, NOON, settled } from "./parts.ts";
import { createVault, poolOf } from "./vault.ts";

/** A day in milliseconds. */
export const DAY = 86_400_000;
/** Tokens that end at noon, and a minute after. */
export const GONE_BY = { issuedAtMs: NOON - 10 * DAY, lifeMs: 10 * DAY };
export const NEARLY = { issuedAtMs: NOON - 10 * DAY, lifeMs: 10 * DAY + 60_000 };
/** Answers of an issuer. */
export const REFUSED: Exchange = {
  ok: false,
  isPermanent: true,
  message: "The issuer answered 401 (refresh_token_reused).",
};
export const BROKEN: Refused = {
  ok: false,
  isPermanent: false,
  message: "The issuer answered 500.",
};

/** What the issuer gives out, numbered. */
export function tokens(
  name: string,
  count: number,
  issuedAtMs = NOON,
): Extract<Exchange, { ok: true }> {
  return {
    ok: true,
    accessToken: accessOf(`${name}-${count}`, issuedAtMs, 10 * DAY),
    refreshToken: `refresh ${name} ${count + 1}`,
  };
}

/** A login of a family of its own, its token ended. */
export function stranger(name: string, more: Parameters<typeof loginOf>[1] = {}): Login {
  return loginOf(name, { ...GONE_BY, workspaceId: `of ${name}`, ...more });
}

/** What the issuer answers; `count` is how often it has been asked. */
export type Issuer = (token: string, count: number) => Exchange | Promise<Exchange>;

/** A renewer over a pool and a store in memory, with a scripted issuer. `chance` is always 0. */
export function stage(
  logins: readonly Login[],
  issuer: Issuer = (token, count) => tokens(token, count),
  options: Partial<RenewOptions> = {},
  isMine: (accountId: string) => boolean = () => true,
) {
  const clock = createManualClock(NOON);
  const pool = poolOf(NOON, ...logins);
  const vault = createVault(...logins);
  const { log, lines } = listen();
  const spent: string[] = [];
  const reasons: string[] = [];
  const reload = createReload({ pool, store: vault, clock, log });
  const renewer = createRenewer({
    pool,
    store: vault,
    clock,
    log,
    reload,
    dead: createDeadTokens({ now: clock.now, onRefused: () => {} }),
    options: () => ({
      concurrency: 50,
      timeoutMs: 30_000,
      mostAwaited: 0,
      policies: {},
      ...options,
    }),
    chance: () => 0,
    isMine,
    exchange: async (token, reason, stop) => {
      spent.push(token);
      reasons.push(reason);
      const answer = issuer(token, spent.length);
      if (!(answer instanceof Promise)) return answer;
      // As fetch does: silence ends with the stop.
      const silence = new Promise<Exchange>((resolve) => {
        stop.signal.addEventListener("abort", () =>
          resolve({ ok: false, isPermanent: false, message: stop.reason()?.message ?? "" }),
        );
      });
      return Promise.race([answer, silence]);
    },
  });
  return {
    clock,
    pool,
    vault,
    log,
    lines,
    spent,
    reasons,
    renewer,
    reload,
    /** Renews as its owner asks, past the pause of its family. */
    byHand: async (accountId: string, isWanted?: () => boolean): Promise<Renewed> => {
      const asked = renewer.renewByHand(accountId, isWanted);
      await settled();
      clock.advance(3000);
      return asked;
    },
    credential: (login: Login) => pool.get(login.identity)?.login.credential,
    state: (login: Login) => pool.get(login.identity)?.availability.kind,
  };
}
