import type { Millis } from "../wire/clock.ts";
import { type Account, standing } from "./account.ts";
import { headroom } from "./quota.ts";

/** Accounts whose headroom differs by less than a band are equals and take turns. */
export const BANDS = 10;

// A running request is taken for this share of a window, so that a burst spreads before any reading comes back.
const IN_FLIGHT_SHARE = 0.02;

/** How much an account has to give, 0 to 1: its headroom less a share for each request it is serving. */
export function score(account: Account, inFlight: number, now: Millis): number {
  return Math.max(headroom(account.quota, now) - inFlight * IN_FLIGHT_SHARE, 0);
}

/** The band an account belongs to, 0 (least room) to BANDS - 1; undefined when it may not be used now. */
export function bandOf(account: Account, inFlight: number, now: Millis): number | undefined {
  if (standing(account, now).kind !== "ready") return undefined;
  return Math.min(Math.floor(score(account, inFlight, now) * BANDS), BANDS - 1);
}

/** Whether `account` rests for `model` alone. */
export function restsFor(account: Account, model: string, now: Millis): boolean {
  return (account.modelCooldowns.get(model) ?? 0) > now;
}
