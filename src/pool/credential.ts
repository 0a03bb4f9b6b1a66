import type { Millis } from "../wire/clock.ts";

/** The secrets of one login. At least one of the first two is there; an account may live on either alone. */
export type Credential = {
  readonly accessToken?: string;
  readonly refreshToken?: string;
  readonly idToken?: string;
  /** When the access token was made and when it ends, as far as it says so. */
  readonly issuedAtMs?: Millis;
  readonly expiresAtMs?: Millis;
};

/** Whether there is an access token that has not ended, as far as it says so. */
export function isAlive({ accessToken, expiresAtMs }: Credential, now: Millis): boolean {
  return accessToken !== undefined && (expiresAtMs ?? Number.POSITIVE_INFINITY) > now;
}

const ENDING_MS = 5 * 60_000;

/** Whether it must be renewed before it is used again: it is not there, or ends within five minutes. */
export function isEnding({ accessToken, expiresAtMs }: Credential, now: Millis): boolean {
  if (accessToken === undefined) return true;
  return expiresAtMs !== undefined && expiresAtMs - now < ENDING_MS;
}

/** Whether both hold the same tokens. */
export function areSame(one: Credential, other: Credential): boolean {
  return one.accessToken === other.accessToken && one.refreshToken === other.refreshToken;
}
