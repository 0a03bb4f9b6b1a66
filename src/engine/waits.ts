import type { Log } from "../wire/log.ts";

/** How often turns have had to wait for a connection since the start. */
export type WaitCounts = { readonly total: number; readonly long: number };

/** Keeps count of turns that wait for a connection, and tells their owner which limit makes them wait. */
export type Waits = {
  /** One has begun to wait. */
  readonly begun: () => void;
  /** One has waited so long that somebody may wonder why. */
  readonly long: () => void;
  readonly counts: () => WaitCounts;
};

/** Nobody has waited yet. `limit` is what keeps them waiting: each value of it is warned of once. */
export function createWaits({
  limit,
  log,
}: {
  readonly limit: () => number;
  readonly log: Log;
}): Waits {
  let total = 0;
  let long = 0;
  let warnedOf: number | undefined;
  return {
    begun: () => {
      total += 1;
    },
    long: () => {
      long += 1;
      if (warnedOf === limit()) return;
      warnedOf = limit();
      log.warn(
        "requests wait for a connection to the backend: max-conns-per-host allows no more at a time; raise it for more requests side by side (0: no limit)",
        { limit: limit() },
      );
    },
    counts: () => ({ total, long }),
  };
}
