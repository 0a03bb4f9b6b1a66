import type { Availability, CoolingReason } from "./account.ts";

/** Why an account is passed over, for one request or for all. */
export type Obstacle =
  | CoolingReason
  | "needs-login"
  | "disabled"
  | "model"
  | "full"
  | "tried"
  | "barred";

/** What people are told of each, wherever they are told: shortages, /stats and /explain. */
export const WORDS = {
  quota: "with quota used up",
  "rate-limit": "rate-limited",
  unauthorized: "waiting for a new token",
  forbidden: "refused by the backend for some minutes",
  "needs-login": "in need of a new login",
  disabled: "disabled",
  model: "resting for this model",
  full: "serving as many requests as account-max-in-flight allows",
  tried: "tried already by this request",
  barred: "behind an egress proxy that has failed this request",
} as const satisfies Record<Obstacle, string>;

/** Why an account that stands so is not used; undefined for one that may be. */
export function obstacleOf(
  standing: Availability,
): Exclude<Obstacle, "model" | "full" | "tried" | "barred"> | undefined {
  if (standing.kind === "ready") return undefined;
  return standing.kind === "cooling" ? standing.why : standing.kind;
}
