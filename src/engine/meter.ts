import type { Account } from "../pool/account.ts";
import { shareOf } from "../pool/due.ts";
import type { AccountView, Pool } from "../pool/pool.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { type Gauge, type LastReading, whyUnreadable } from "./gauge.ts";

/** What the background readings need. */
export type MeterPorts = {
  readonly pool: Pool;
  readonly clock: Pick<Clock, "now">;
  readonly gauge: Gauge;
  /** How many readings may run at a time. */
  readonly most: () => number;
  /** Whether it is this instance that looks after an account. */
  readonly isMine: (accountId: string) => boolean;
};

/** Keeps the pool's knowledge of quotas fresh, so that no request ever waits for it. */
export type Meter = {
  /** Wait before the next look: some seconds after the start, then short. */
  readonly everyMs: () => Millis;
  /** Reads those that are due, the most urgent first. Never throws. */
  readonly look: () => Promise<void>;
};

const START_MS = 3000;
const LOOK_MS = 2000;
// Of those that are due, so many at one look: whoever becomes urgent meanwhile must not wait for hundreds.
const MOST_AT_ONCE = 10;

// How often an exhausted account is read. An early reset should be noticed within the minute where nobody else can
// serve; where others can, every few minutes is enough.
const PRESSING_MS = 45_000;
const EXHAUSTED_MS = 3 * 60_000;
// Of an account that was refused without a reset, nothing is known; the backend's own books need a moment.
const SPENT_MS = 15_000;
const UNKNOWN_MS = 5 * 60_000;
const STALE_MS = 30 * 60_000;
// After a promised reset, at least and at most.
const AFTER_RESET_MS = [2000, 20_000] as const;

/** A meter over the accounts of a pool. */
export function createMeter({ pool, clock, gauge, most, isMine }: MeterPorts): Meter {
  let waitMs = START_MS;
  return {
    everyMs: () => waitMs,
    look: async () => {
      waitMs = LOOK_MS;
      if (gauge.isTroubled()) return;
      const now = clock.now();
      const views = pool.view(now);
      // Looking at ten thousand accounts takes some milliseconds, which nobody should notice.
      waitMs = LOOK_MS + views.length;
      const isPressing = !views.some(({ standing }) => standing.kind === "ready");
      const due: { readonly id: string; readonly rank: number }[] = [];
      for (const view of views) {
        const id = view.account.login.identity;
        const rank = urgencyOf(view, gauge.last(id), isPressing, now);
        if (rank !== undefined && isMine(id)) due.push({ id, rank });
      }
      due.sort((one, other) => one.rank - other.rank);
      const first = due.slice(0, MOST_AT_ONCE);
      await Promise.all(first.map(({ id }) => gauge.read(id, most())));
    },
  };
}

/**
 * How urgently an account should be read, the smaller the more; undefined when it need not be now. Moments that lie in
 * the future are from before the clock was set back, and say nothing.
 */
export function urgencyOf(
  { account, standing }: AccountView,
  last: LastReading | undefined,
  isPressing: boolean,
  now: Millis,
): number | undefined {
  if (last?.againMs !== undefined) {
    return last.againMs <= now || last.atMs > now ? 0 : undefined;
  }
  if (whyUnreadable(account) !== undefined) return undefined;
  const triedMs = since(last?.atMs, now);
  const knownMs = Math.min(triedMs, since(account.quota?.measuredAtMs, now));
  if (standing.kind === "ready") {
    if (hasJustReset(account, last?.atMs, now)) return 0;
    if (account.quota === undefined) return triedMs >= UNKNOWN_MS ? 2 : undefined;
    return knownMs >= STALE_MS ? 3 : undefined;
  }
  // What ails the others is no matter of quota; the health check looks after them.
  if (standing.kind !== "cooling" || standing.why !== "quota") return undefined;
  // What the refusal itself said is as good as a reading, where it said anything.
  const quietMs = Math.min(knownMs, since(standing.sinceMs, now));
  return quietMs >= spentEveryMs(account, isPressing) ? 1 : undefined;
}

function spentEveryMs({ tag, quota }: Account, isPressing: boolean): Millis {
  const usualMs = (isPressing ? PRESSING_MS : EXHAUSTED_MS) * (0.85 + 0.3 * shareOf(tag));
  return quota === undefined ? Math.min(usualMs, SPENT_MS) : usualMs;
}

/** Whether a rest or a full window has ended that nobody has looked at since. */
function hasJustReset(
  { availability, quota, tag }: Account,
  triedMs: Millis | undefined,
  now: Millis,
): boolean {
  const [least, most] = AFTER_RESET_MS;
  const delayMs = least + (most - least) * shareOf(tag);
  const ends = (quota?.windows ?? []).flatMap(({ usedPercent, resetsAtMs }) =>
    usedPercent >= 100 && resetsAtMs !== undefined ? [resetsAtMs] : [],
  );
  if (availability.kind === "cooling" && availability.why === "quota") {
    ends.push(availability.untilMs);
  }
  const lookedMs = Math.max(triedMs ?? 0, quota?.measuredAtMs ?? 0);
  return ends.some((endMs) => endMs + delayMs <= now && lookedMs < endMs);
}

function since(atMs: Millis | undefined, now: Millis): Millis {
  return atMs === undefined || atMs > now ? Number.POSITIVE_INFINITY : now - atMs;
}
