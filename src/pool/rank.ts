import type { Millis } from "../wire/clock.ts";
import { type Account, standing } from "./account.ts";
import { headroom } from "./quota.ts";

/** How an account is chosen among those that may serve. */
export type Selector = "round-robin" | "quota-first";

/**
 * How finely scores are told apart: accounts of one level are equals and take turns. Readings are whole percents, so
 * that quota-first tells all of them apart.
 */
export const LEVELS = {
  "round-robin": 50,
  "quota-first": 1000,
} as const satisfies Readonly<Record<Selector, number>>;

// A running request is taken for this share of a window, so that a burst spreads before any reading comes back.
const IN_FLIGHT_SHARE = 0.02;

// Scores are sums of fractions: what lies on an edge but for so much lies on it.
const ROUNDING = 1e-9;

// What an account is taken to have left that nobody has measured, unless those that were measured have more.
const UNMEASURED_HEADROOM = 0.5;

/**
 * After so long without a request a conversation's prompt cache counts as cold, and moving costs nothing any more.
 * OpenAI's prompt caching guide says that a prefix lives for 5 to 10 minutes without use, and for an hour at most;
 * a few minutes more than the usual are waited, because moving a warm one costs its whole prompt anew.
 */
export const COLD_AFTER_MS: Millis = 15 * 60_000;

/**
 * How much more room another account must have for a cold conversation to move there. It is more than readings and
 * taking turns make accounts differ by, so that no conversation goes to and fro.
 */
export const MOVE_MARGIN = 0.05;

/**
 * For so long a conversation does not go back to the account that it left, unless it must: where two accounts take the
 * lead by turns, it does not follow each time.
 */
export const RETURN_AFTER_MS: Millis = 60 * 60_000;

/** How much of the new conversations an account takes beside an equal; 1 where its file says nothing. */
export function weightOf({ login }: Account): number {
  return login.weight ?? 1;
}

/**
 * How much an account has to give: its headroom less a share for each request it is serving. At most 1, and below
 * nothing, down to -1, where it serves more than its headroom may bear. `assumed` is the headroom of an account that
 * nobody has measured yet.
 */
export function score(account: Account, inFlight: number, now: Millis, assumed: number): number {
  return scoreOf(headroom(account.quota, now) ?? assumed, inFlight, weightOf(account));
}

/** `score` where the headroom is known. A heavier account bears more at once. */
export function scoreOf(room: number, inFlight: number, weight: number): number {
  return Math.max(room - (inFlight * IN_FLIGHT_SHARE) / weight, -1);
}

/** The level of a score, of so many in 0 to 1; a full score belongs to the highest. What lies on an edge but for rounding, lies on it. */
export function levelAt(worth: number, levels: number): number {
  return Math.min(Math.floor(worth * levels + ROUNDING), levels - 1);
}

/**
 * The headroom to assume where nothing is known: in the middle of the measured accounts, `total` over `count`, so
 * that the first account to be measured does not win all that comes next.
 */
export function middleOf(total: number, count: number): number {
  return count === 0 ? UNMEASURED_HEADROOM : Math.max(total / count, UNMEASURED_HEADROOM);
}

/** Whether `account` may be used at all now. */
export function isReady(account: Account, now: Millis): boolean {
  return standing(account, now).kind === "ready";
}

/** Whether `account` rests for `model` alone. */
export function restsFor(account: Account, model: string, now: Millis): boolean {
  return (account.modelCooldowns.get(model) ?? 0) > now;
}

/**
 * Whether a conversation on an account with headroom `home` should be placed anew on one with headroom `other`, moving
 * being free. What runs at the moment does not count: that is over before the conversation is.
 */
export function isClearlyBetter(other: number, home: number): boolean {
  return other - home >= MOVE_MARGIN - ROUNDING;
}

// Of two accounts the one with half the room of the other gets one conversation where that gets sixteen.
const SHARPNESS = 4;
const LEAST_SHARE = 0.01;

/**
 * The claim of an account on a conversation that it fits so well (0 to 1), by weighted rendezvous hashing: of equal
 * accounts each gets as many, and where one comes to have more room, conversations go to it and to no other. One that
 * serves more than its room may bear comes after all others.
 */
export function claimOf(fit: number, room: number, inFlight: number, weight: number): number {
  const share = weight * Math.max(room, LEAST_SHARE) ** SHARPNESS;
  const claim = -share / Math.log(fit);
  return scoreOf(room, inFlight, weight) < 0 ? -1 / claim : claim;
}
