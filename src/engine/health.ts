import { isFinal } from "../pool/account.ts";
import type { AccountView, Pool } from "../pool/pool.ts";
import type { FailureKind } from "../turn/failure.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { type Log, redact } from "../wire/log.ts";
import { type Gauge, whyUnreadable } from "./gauge.ts";

/** What the health check is told by the configuration; read anew at each use. */
export type HealthOptions = {
  /** How long an account may be idle; 0 = off. */
  readonly intervalMs: Millis;
  readonly startDelayMs: Millis;
  readonly batchSize: number;
  readonly concurrency: number;
  /** Failures in a row that disable; 0 = never. */
  readonly maxFailures: number;
};

/** What the health check needs. */
export type HealthPorts = {
  readonly pool: Pool;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly gauge: Gauge;
  readonly options: () => HealthOptions;
  /** Whether it is this instance that looks after an account. */
  readonly isMine: (accountId: string) => boolean;
};

/** Finds out which idle accounts still work, by reading their usage and never by a model call. */
export type Health = {
  /** Wait before the next round; 0 while it is off. */
  readonly everyMs: () => Millis;
  /** Checks the accounts that have been idle for the interval, those longest idle first. Never throws. */
  readonly round: () => Promise<void>;
};

const LONGEST_ROUND_MS = 30_000;
const SHORTEST_ROUND_MS = 1000;

// Failures that a check counts. A deactivation is told by the backend in so many words and needs no counting.
const COUNTED: ReadonlySet<FailureKind> = new Set<FailureKind>(["unauthorized", "forbidden"]);

/** A health check over the accounts of a pool. Traffic and other readings count as signs of life. */
export function createHealth({ pool, clock, log, gauge, options, isMine }: HealthPorts): Health {
  let hasBegun = false;

  /** When an account last gave a sign, of whatever kind; one from the future is from before the clock was set back. */
  const seenMs = ({ account, tally }: AccountView, now: Millis): Millis => {
    const signs = [tally.lastUsedMs, gauge.last(account.login.identity)?.atMs];
    return Math.max(...signs.map((atMs) => (atMs === undefined || atMs > now ? 0 : atMs)));
  };

  const isChecked = ({ account, inFlight }: AccountView): boolean =>
    inFlight === 0 &&
    !isFinal(account.availability) &&
    whyUnreadable(account) === undefined &&
    isMine(account.login.identity);

  /** Whether all that were read lately fail in this same way: then it is the path, and no account's fault. */
  const isEverywhere = (kind: FailureKind, now: Millis): boolean => {
    const spanMs = 2 * options().intervalMs;
    const results = pool
      .view(now)
      .map(({ account }) => gauge.last(account.login.identity))
      .filter((last) => last !== undefined && Math.abs(now - last.atMs) <= spanMs);
    return results.length > 1 && results.every((last) => last?.result === kind);
  };

  const check = async ({ account }: AccountView): Promise<Check> => {
    const { identity } = account.login;
    return { identity, reading: await gauge.read(identity, options().concurrency) };
  };

  /** Counts a failed check against its account, unless everybody fails so. */
  const count = ({ identity, reading }: Check): void => {
    if (reading.type === "measured" || !COUNTED.has(reading.failure.kind)) return;
    const now = clock.now();
    if (isEverywhere(reading.failure.kind, now)) {
      log.warn(
        "every account that was checked fails in the same way; none is held to be at fault",
        {
          failure: reading.failure.kind,
        },
      );
      return;
    }
    const before = pool.get(identity)?.availability.kind;
    const reason = redact(reading.failure.message);
    pool.settle(identity, { type: "check-failed", reason, most: options().maxFailures }, now);
    const after = pool.get(identity);
    if (before !== "disabled" && after?.availability.kind === "disabled") {
      log.warn("disabled an account: its health checks fail", {
        account: after.label,
        failures: after.failedChecks,
        reason,
      });
    }
  };

  return {
    everyMs: () => {
      const { intervalMs, startDelayMs } = options();
      if (intervalMs <= 0) return 0;
      // Rounds come more often than an account's turn, so that accounts are checked spread out.
      const roundMs = Math.max(Math.min(intervalMs / 10, LONGEST_ROUND_MS), SHORTEST_ROUND_MS);
      return hasBegun ? roundMs : Math.max(startDelayMs, SHORTEST_ROUND_MS);
    },
    round: async () => {
      hasBegun = true;
      if (gauge.isTroubled()) return;
      const now = clock.now();
      const { intervalMs, batchSize } = options();
      const idle = pool
        .view(now)
        .map((view) => ({ view, atMs: seenMs(view, now) }))
        .filter(({ view, atMs }) => isChecked(view) && now - atMs >= intervalMs)
        .sort((one, other) => one.atMs - other.atMs)
        .slice(0, batchSize);
      const checks = await Promise.all(idle.map(({ view }) => check(view)));
      for (const each of checks) count(each);
    },
  };
}

type Check = {
  readonly identity: string;
  readonly reading: Awaited<ReturnType<Gauge["read"]>>;
};
