import { basename } from "node:path";
import type { Account } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import type { Stop } from "../turn/stop.ts";
import { type Clock, isoOf } from "../wire/clock.ts";
import type { Dict } from "../wire/json.ts";
import { type Log, redact } from "../wire/log.ts";
import { NO_REFRESH_TOKEN, type Renewed } from "./fresh.ts";
import type { Renewer } from "./renew.ts";
import { isSelected, type Selection } from "./selection.ts";

/** Work on many accounts that tells how far it has come, and ends early when nobody waits any more. */
export type AccountWork = (
  report: { readonly start: (total: number) => void; readonly item: (item: Dict) => void },
  stop: Pick<Stop, "reason">,
) => Promise<Dict>;

/** What renewing by hand needs. */
export type RefreshPorts = {
  readonly pool: Pick<Pool, "get" | "view">;
  readonly renewByHand: Renewer["renewByHand"];
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
};

type Item = {
  readonly outcome: "renewed" | "adopted" | "skipped" | "failed";
  readonly reason?: string;
};

/**
 * Renews tokens because their owner asks, whether they are due or not; of all, those that are not disabled. The work,
 * or undefined where there is no such account.
 */
export function createRefresh({
  pool,
  renewByHand,
  clock,
  log,
}: RefreshPorts): (selection: Selection) => AccountWork | undefined {
  const renew = async (account: Account, stop: Pick<Stop, "reason">): Promise<Item | undefined> => {
    const { identity, credential } = account.login;
    if (credential.refreshToken === undefined)
      return { outcome: "skipped", reason: NO_REFRESH_TOKEN };
    const result = await renewByHand(identity, () => stop.reason() === undefined);
    return itemOf(result);
  };
  return (selection) => {
    const chosen = pool
      .view(clock.now())
      .map(({ account }) => account)
      .filter(({ login }) => isSelected(login, selection))
      .filter(({ availability }) => selection.by !== "all" || availability.kind !== "disabled");
    if (chosen.length === 0 && selection.by !== "all") return undefined;
    return async (report, stop) => {
      report.start(chosen.length);
      const counts = { renewed: 0, adopted: 0, skipped: 0, failed: 0 };
      const each = async (account: Account): Promise<void> => {
        const item = await renew(account, stop).catch((cause: unknown) =>
          broken(account, cause, log),
        );
        if (item === undefined) return;
        counts[item.outcome] += 1;
        const { login } = pool.get(account.login.identity) ?? account;
        const expires = isoOf(login.credential.expiresAtMs);
        report.item({ ...nameOf(account), ...item, token_expires_at: expires });
      };
      await Promise.all(chosen.map(each));
      return { total: chosen.length, ...counts };
    };
  };
}

/** How an account is called in what its owner reads: never by its address or a token. */
export function nameOf({ label, login }: Pick<Account, "label" | "login">): Dict {
  return { account: label, file: redact(basename(login.source)) };
}

/** A fault of the program's own, on one account: the others go on. */
export function broken(
  { label }: Pick<Account, "label">,
  cause: unknown,
  log: Log,
): { readonly outcome: "failed"; readonly reason: string } {
  const reason = cause instanceof Error ? cause.message : String(cause);
  log.error("work on an account broke", { account: label, reason });
  return { outcome: "failed", reason: "The proxy itself failed; its log says more." };
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
