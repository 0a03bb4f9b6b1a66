import type { Account, Login } from "../../src/pool/account.ts";
import type { Quota, QuotaWindow } from "../../src/pool/quota.ts";
import { admit } from "../../src/pool/settle.ts";
import { sha256 } from "../../src/wire/digest.ts";

/** Noon of a day; all tests of the pool begin here. */
export const NOON = Date.parse("2026-11-21T12:00:00Z");
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A login with both tokens and ten days to live. */
export function loginOf(identity: string, rest: Partial<Login> = {}): Login {
  return {
    identity,
    credential: {
      accessToken: `at-${identity}`,
      refreshToken: `rt-${identity}`,
      expiresAtMs: NOON + 10 * DAY,
    },
    isSwitchedOff: false,
    source: `/auths/${identity}.json`,
    ...rest,
  };
}

/** A new account, with what is said of it. */
export function accountOf(rest: Partial<Account> = {}, login: Login = loginOf("ann")): Account {
  return { ...admit(login, sha256(login.identity), NOON), ...rest };
}

/** A reading of windows: name, percent used, and when it resets, from noon. */
export function quotaOf(
  windows: readonly (readonly [name: string, usedPercent: number, resetsInMs?: number])[],
  rest: Partial<Quota> = {},
): Quota {
  return {
    windows: windows.map(
      ([name, usedPercent, resetsInMs]): QuotaWindow => ({
        name,
        usedPercent,
        isPartial: name.includes(" "),
        ...(resetsInMs === undefined ? {} : { resetsAtMs: NOON + resetsInMs }),
      }),
    ),
    measuredAtMs: NOON,
    hasCredits: false,
    ...rest,
  };
}
