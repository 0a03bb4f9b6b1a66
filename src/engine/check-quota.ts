import type { Account } from "../pool/account.ts";
import type { AccountView, Pool } from "../pool/pool.ts";
import type { Quota } from "../pool/quota.ts";
import { type Clock, isoOf } from "../wire/clock.ts";
import { type Log, redact } from "../wire/log.ts";
import { type Gauge, whyUnreadable } from "./gauge.ts";
import { type AccountWork, broken, nameOf } from "./refresh.ts";
import { isSelected, type Selection } from "./selection.ts";

/** What reading quotas by hand needs. */
export type CheckQuotaPorts = {
  readonly pool: Pick<Pool, "view">;
  readonly gauge: Pick<Gauge, "read">;
  /** How many readings may run at a time. */
  readonly most: () => number;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
};

type Item = { readonly outcome: "measured" | "failed" | "skipped"; readonly reason?: string };

/**
 * Reads usage because the owner asks, never in a burst, and tells each account as soon as it is known. The work, or
 * undefined where there is no such account.
 */
export function createCheckQuota(
  ports: CheckQuotaPorts,
): (selection: Selection) => AccountWork | undefined {
  const { pool, clock, log } = ports;

  const measure = async (account: Account): Promise<Item> => {
    const why = whyUnreadable(account);
    if (why !== undefined) return { outcome: "skipped", reason: why };
    const reading = await ports.gauge.read(account.login.identity, ports.most());
    if (reading.type === "measured") return { outcome: "measured" };
    return { outcome: "failed", reason: redact(reading.failure.message) };
  };

  return (selection) => {
    const chosen = pool
      .view(clock.now())
      .filter(({ account: { login } }) => isSelected(login, selection));
    if (chosen.length === 0 && selection.by !== "all") return undefined;
    return async (report, stop) => {
      report.start(chosen.length);
      const counts = { measured: 0, failed: 0, skipped: 0 };
      const waiting = [...chosen];
      // No more are lined up than may run, so that what has not begun can be left when nobody waits any more.
      const work = async (): Promise<void> => {
        for (let view = waiting.shift(); view !== undefined; view = waiting.shift()) {
          if (stop.reason() !== undefined) return;
          const { account } = view;
          const item = await measure(account).catch((cause: unknown) =>
            broken(account, cause, log),
          );
          counts[item.outcome] += 1;
          const { identity } = account.login;
          const now = pool
            .view(clock.now())
            .find((each) => each.account.login.identity === identity);
          report.item({ ...item, ...describe(now ?? view) });
        }
      };
      const lanes = Math.min(Math.max(ports.most(), 1), chosen.length);
      await Promise.all(Array.from({ length: lanes }, work));
      return { total: chosen.length, ...counts };
    };
  };
}

function describe({ account, standing }: AccountView) {
  return {
    ...nameOf(account),
    state: standing.kind,
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
