import type { Dict } from "../../../src/wire/json.ts";

/** One quota window. */
export type Window = {
  readonly usedPercent: number;
  readonly windowSeconds: number;
  /** Unix seconds. */
  readonly resetAt: number;
};

/** What an account has used of its plan. */
export type Limits = {
  readonly plan: string;
  readonly primary: Window;
  readonly secondary: Window;
};

/**
 * How the quota is told. "weekly-only": the primary window is the weekly one and there is no other.
 * "null-windows": both null. "missing": `rate_limit` is null, no headers. "blank": headers hold empty strings, as seen live.
 * "credits": bought credits carry on where the windows end.
 */
export type LimitsShape = "full" | "weekly-only" | "null-windows" | "missing" | "blank" | "credits";

/** The windows in the order the backend would report them; undefined where it reports none. */
type Reported = { readonly primary: Window | undefined; readonly secondary: Window | undefined };

function reported(limits: Limits, shape: LimitsShape): Reported {
  if (shape === "weekly-only") return { primary: limits.secondary, secondary: undefined };
  if (shape === "null-windows" || shape === "missing") {
    return { primary: undefined, secondary: undefined };
  }
  return limits;
}

/** The `x-codex-*` response headers of a turn (and of a 429). */
export function limitHeaders(
  limits: Limits,
  shape: LimitsShape,
  nowMs: number,
): Record<string, string> {
  if (shape === "missing") return {};
  const { primary, secondary } = reported(limits, shape);
  return {
    "x-codex-active-limit": "premium",
    "x-codex-plan-type": limits.plan,
    ...windowHeaders("primary", primary, shape, nowMs),
    ...windowHeaders("secondary", secondary, shape, nowMs),
    "x-codex-primary-over-secondary-limit-percent": "0",
    "x-codex-credits-has-credits": shape === "credits" ? "True" : "False",
    "x-codex-credits-unlimited": "False",
    "x-codex-credits-balance": shape === "credits" ? "12.50" : "",
  };
}

function windowHeaders(
  name: "primary" | "secondary",
  window: Window | undefined,
  shape: LimitsShape,
  nowMs: number,
): Record<string, string> {
  if (!window) return {};
  const isBlank = shape === "blank";
  return {
    [`x-codex-${name}-used-percent`]: String(window.usedPercent),
    [`x-codex-${name}-window-minutes`]: isBlank ? "0" : String(window.windowSeconds / 60),
    [`x-codex-${name}-reset-at`]: isBlank ? "" : String(window.resetAt),
    [`x-codex-${name}-reset-after-seconds`]: isBlank ? "" : String(resetAfter(window, nowMs)),
  };
}

/** The `codex.rate_limits` event of a stream, without its sequence number. */
export function limitsEvent(limits: Limits, shape: LimitsShape, nowMs: number): Dict {
  const { primary, secondary } = reported(limits, shape);
  const isReached = isExhausted(limits);
  return {
    type: "codex.rate_limits",
    plan_type: limits.plan,
    rate_limits: {
      allowed: !isReached,
      limit_reached: isReached,
      primary: windowEvent(primary, nowMs),
      secondary: windowEvent(secondary, nowMs),
    },
    code_review_rate_limits: null,
    additional_rate_limits: null,
    credits: {
      has_credits: shape === "credits",
      unlimited: false,
      balance: shape === "credits" ? "12.50" : "0",
    },
    metered_limit_name: "codex",
    promo: null,
  };
}

function windowEvent(window: Window | undefined, nowMs: number): Dict | null {
  if (!window) return null;
  return {
    used_percent: window.usedPercent,
    window_minutes: window.windowSeconds / 60,
    reset_at: window.resetAt,
    reset_after_seconds: resetAfter(window, nowMs),
  };
}

/** The answer of `/wham/usage`. */
export function usageBody(
  owner: { readonly userId: string; readonly workspaceId: string; readonly email: string },
  limits: Limits,
  shape: LimitsShape,
  nowMs: number,
): Dict {
  const { primary, secondary } = reported(limits, shape);
  const isReached = isExhausted(limits);
  return {
    user_id: owner.userId,
    account_id: owner.workspaceId,
    email: owner.email,
    plan_type: limits.plan,
    rate_limit:
      shape === "missing"
        ? null
        : {
            allowed: !isReached,
            limit_reached: isReached,
            primary_window: windowUsage(primary, nowMs),
            secondary_window: windowUsage(secondary, nowMs),
          },
    code_review_rate_limit: null,
    additional_rate_limits: [],
    credits: {
      has_credits: shape === "credits",
      unlimited: false,
      overage_limit_reached: false,
      balance: shape === "credits" ? "12.50" : "0",
      approx_local_messages: [0, 0],
      approx_cloud_messages: [0, 0],
    },
    spend_control: { reached: false, individual_limit: null },
    rate_limit_reset_credits: { available_count: 0 },
    rate_limit_reached_type: isReached ? { type: "rate_limit_reached", details: null } : null,
    rate_limit_upsell: null,
    promo: null,
  };
}

function windowUsage(window: Window | undefined, nowMs: number): Dict | null {
  if (!window) return null;
  return {
    used_percent: window.usedPercent,
    limit_window_seconds: window.windowSeconds,
    reset_after_seconds: resetAfter(window, nowMs),
    reset_at: window.resetAt,
  };
}

function isExhausted(limits: Limits): boolean {
  return limits.primary.usedPercent >= 100 || limits.secondary.usedPercent >= 100;
}

function resetAfter(window: Window, nowMs: number): number {
  return Math.max(0, window.resetAt - Math.floor(nowMs / 1000));
}
