import type { Millis } from "../wire/clock.ts";
import { type Account, standing } from "./account.ts";
import { headroom } from "./quota.ts";

/** Accounts whose headroom differs by less than a band are equals and take turns. */
export const BANDS = 10;

// A running request is taken for this share of a window, so that a burst spreads before any reading comes back.
const IN_FLIGHT_SHARE = 0.02;

/** Scores that differ by less are equal: they are sums of fractions. */
export const ROUNDING = 1e-9;

// What an account is taken to have left that nobody has measured, unless those that were measured have more.
const UNMEASURED_HEADROOM = 0.5;

/**
 * How much an account has to give, 0 to 1: its headroom less a share for each request it is serving.
 * `assumed` is the headroom of an account that nobody has measured yet.
 */
export function score(account: Account, inFlight: number, now: Millis, assumed: number): number {
  return Math.max((headroom(account.quota, now) ?? assumed) - inFlight * IN_FLIGHT_SHARE, 0);
}

/** The band an account belongs to, 0 (least room) to BANDS - 1; undefined when it may not be used now. */
export function bandOf(
  account: Account,
  inFlight: number,
  now: Millis,
  assumed: number,
): number | undefined {
  if (standing(account, now).kind !== "ready") return undefined;
  return bandAt(score(account, inFlight, now, assumed));
}

/** The band of a score. What lies on an edge but for rounding, lies on it. */
export function bandAt(worth: number): number {
  return Math.min(Math.floor(worth * BANDS + ROUNDING), BANDS - 1);
}

/**
 * The headroom to assume where nothing is known: in the middle of the measured accounts, `total` over `count`, so
 * that the first account to be measured does not win all that comes next.
 */
export function middleOf(total: number, count: number): number {
  return count === 0 ? UNMEASURED_HEADROOM : Math.max(total / count, UNMEASURED_HEADROOM);
}

/** Whether `account` rests for `model` alone. */
export function restsFor(account: Account, model: string, now: Millis): boolean {
  return (account.modelCooldowns.get(model) ?? 0) > now;
}
