import type { Account } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import { type Clock, isoOf } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import { NO_REFRESH_TOKEN, type Renewed } from "./fresh.ts";
import type { Renewer } from "./renew.ts";
import type { Selection } from "./selection.ts";
import { chosenFrom, type Done, type Work, workOf } from "./work.ts";

/** What renewing by hand needs. */
export type RefreshPorts = {
  readonly pool: Pick<Pool, "get" | "view">;
  readonly renewByHand: Renewer["renewByHand"];
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
};

const OUTCOMES = ["renewed", "adopted", "skipped", "failed"] as const;

type Item = Done<(typeof OUTCOMES)[number]>;

/**
 * Renews tokens because their owner asks, whether they are due or not; of all, those that are not disabled. The work,
 * or undefined where there is no such account.
 */
export function createRefresh({
  pool,
  renewByHand,
  clock,
  log,
}: RefreshPorts): (selection: Selection) => Work | undefined {
  const renew = async ({ login }: Account, isWanted: () => boolean): Promise<Item | undefined> => {
    if (login.credential.refreshToken === undefined) {
      return { outcome: "skipped", reason: NO_REFRESH_TOKEN };
    }
    return itemOf(await renewByHand(login.identity, isWanted));
  };
  return (selection) => {
    const tasks = chosenFrom(pool, selection, clock.now())
      .filter(({ availability }) => selection.by !== "all" || availability.kind !== "disabled")
      .map((account) => ({
        who: account,
        run: (isWanted: () => boolean) => renew(account, isWanted),
        describe: () => {
          const { login } = pool.get(account.login.identity) ?? account;
          return { token_expires_at: isoOf(login.credential.expiresAtMs) };
        },
      }));
    return workOf(selection, { tasks, outcomes: OUTCOMES, atFault: "failed", log });
  };
}

function itemOf(result: Renewed): Item | undefined {
  switch (result.type) {
    case "renewed":
    case "adopted":
      return { outcome: result.type };
    case "in-order":
      return { outcome: "skipped", reason: "Its token was renewed a moment ago." };
    case "left":
      return undefined;
    case "failed":
      return { outcome: "failed", reason: result.failure.message };
  }
}
