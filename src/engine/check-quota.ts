import { type Account, standing } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import type { Quota } from "../pool/quota.ts";
import { type Clock, isoOf, type Millis } from "../wire/clock.ts";
import { type Log, redact } from "../wire/log.ts";
import { type Gauge, whyUnreadable } from "./gauge.ts";
import type { Selection } from "./selection.ts";
import { chosenFrom, type Done, type Work, workOf } from "./work.ts";

/** What reading quotas by hand needs. */
export type CheckQuotaPorts = {
  readonly pool: Pick<Pool, "get" | "view">;
  readonly gauge: Pick<Gauge, "read">;
  /** How many readings may run at a time. */
  readonly most: () => number;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
};

const OUTCOMES = ["measured", "failed", "skipped"] as const;

type Item = Done<(typeof OUTCOMES)[number]>;

/**
 * Reads usage because the owner asks, never in a burst, and tells each account as soon as it is known. The work, or
 * undefined where there is no such account.
 */
export function createCheckQuota(
  ports: CheckQuotaPorts,
): (selection: Selection) => Work | undefined {
  const { pool, clock, log } = ports;

  const measure = async (account: Account): Promise<Item> => {
    const why = whyUnreadable(account);
    if (why !== undefined) return { outcome: "skipped", reason: why };
    const reading = await ports.gauge.read(account.login.identity, ports.most());
    if (reading.type === "measured") return { outcome: "measured" };
    return { outcome: "failed", reason: redact(reading.failure.message) };
  };

  return (selection) => {
    const tasks = chosenFrom(pool, selection, clock.now()).map((account) => ({
      who: account,
      run: () => measure(account),
      describe: () => describe(pool.get(account.login.identity) ?? account, clock.now()),
    }));
    const outcomes = OUTCOMES;
    return workOf(selection, { tasks, outcomes, atFault: "failed", most: ports.most(), log });
  };
}

function describe(account: Account, now: Millis) {
  return {
    state: standing(account, now).kind,
    windows: windowsOf(account.quota),
    credits: account.quota?.hasCredits ?? null,
  };
}

/** The windows of a quota as the owner reads them. */
export function windowsOf(quota: Quota | undefined) {
  return (quota?.windows ?? []).map((window) => ({
    name: window.name,
    used_percent: window.usedPercent,
    resets_at: isoOf(window.resetsAtMs),
    window_seconds: window.windowSeconds ?? null,
  }));
}
