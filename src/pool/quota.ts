import type { Millis } from "../wire/clock.ts";

/** One window of a quota, as the backend reported it. */
export type QuotaWindow = {
  /** From its length, never from its position: `5h`, `7d`, with the limit's family in front where there is one. */
  readonly name: string;
  /** 0 to 100. */
  readonly usedPercent: number;
  readonly windowSeconds?: number;
  readonly resetsAtMs?: Millis;
  /** Whether it meters only some feature or model, so that its end does not exhaust the account. */
  readonly isPartial: boolean;
  /** The model that it meters, where the backend names one. */
  readonly model?: string;
  /** It meters something that this program never asks for, such as code reviews: shown, and counted nowhere. */
  readonly isForeign?: true;
};

/** A reading of an account's quota. */
export type Quota = {
  readonly windows: readonly QuotaWindow[];
  readonly measuredAtMs: Millis;
  readonly plan?: string;
  /** Whether bought credits carry on where the windows end. */
  readonly hasCredits: boolean;
  /** It does not mention credits, so that what is known of them stays. */
  readonly isSilentOnCredits?: true;
  /** How much credit is left, in the backend's own decimal spelling. */
  readonly balance?: string;
  /** The backend says that a limit is reached, whatever the windows say. */
  readonly isSpent?: true;
  /** It names every window that there is, so that none of an older reading is left beside it. */
  readonly isComplete?: true;
};

/**
 * The smallest remaining share over all windows, 0 to 1; undefined while nobody has measured it.
 * A window whose reset has passed counts as fresh.
 */
export function headroom(quota: Quota | undefined, now: Millis): number | undefined {
  let least: number | undefined;
  for (const window of quota?.windows ?? []) {
    if (window.isForeign !== true) least = Math.min(least ?? 1, remaining(window, now));
  }
  return least;
}

/** When an exhausted account has room again; undefined when it is not exhausted. */
export function exhaustedUntil(quota: Quota | undefined, now: Millis): Millis | undefined {
  if (quota === undefined || quota.hasCredits) return undefined;
  let untilMs: Millis | undefined;
  for (const window of quota.windows) {
    const { resetsAtMs } = window;
    // Without a promised reset there is nothing to wait for: the next refusal tells more.
    if (window.isPartial || resetsAtMs === undefined || remaining(window, now) > 0) continue;
    untilMs = Math.max(untilMs ?? 0, resetsAtMs);
  }
  return untilMs;
}

/**
 * Two readings as one: windows that the newer one does not mention are kept, unless the plan has changed, which
 * brings windows of its own.
 */
export function mergeQuota(older: Quota | undefined, newer: Quota): Quota {
  if (older === undefined) return newer;
  const plan = newer.plan ?? older.plan;
  if (older.plan !== undefined && older.plan !== plan) return newer;
  const named = new Set(newer.windows.map((window) => window.name));
  // Without a reset of its own, a window that is not mentioned any more would stand as it was for ever.
  const kept = older.windows.filter(
    ({ name, resetsAtMs, isPartial }) =>
      !named.has(name) && resetsAtMs !== undefined && (isPartial || newer.isComplete !== true),
  );
  return {
    ...newer,
    ...(newer.isSilentOnCredits === true ? creditsOf(older) : {}),
    windows: [...newer.windows, ...kept],
    ...(plan === undefined ? {} : { plan }),
  };
}

function creditsOf({ hasCredits, balance }: Quota): Pick<Quota, "hasCredits" | "balance"> {
  return { hasCredits, ...(balance === undefined ? {} : { balance }) };
}

/** The next moment after `now` at which this quota looks different by itself. */
export function nextReset(quota: Quota | undefined, now: Millis): Millis {
  let next = Number.POSITIVE_INFINITY;
  for (const { resetsAtMs } of quota?.windows ?? []) {
    if (resetsAtMs !== undefined && resetsAtMs > now) next = Math.min(next, resetsAtMs);
  }
  return next;
}

/** The share of a window that is left, 0 to 1. One whose reset has passed counts as fresh. */
export function remaining(window: QuotaWindow, now: Millis): number {
  if (window.resetsAtMs !== undefined && window.resetsAtMs <= now) return 1;
  return Math.min(Math.max(1 - window.usedPercent / 100, 0), 1);
}
