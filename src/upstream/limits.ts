import type { Quota, QuotaWindow } from "../pool/quota.ts";
import type { Millis } from "../wire/clock.ts";
import { type Dict, dict, isDict, list, number, text } from "../wire/json.ts";

/**
 * The quota reading in the backend's response headers, or undefined when they hold none.
 * A window counts only when it says something: values may be empty strings (seen live on exhausted plans).
 */
export function quotaFromHeaders(headers: Headers, now: Millis): Quota | undefined {
  const windows: QuotaWindow[] = [];
  for (const [name] of headers) {
    const family = /^x-codex-(?:(.+)-)?primary-used-percent$/.exec(name)?.[1];
    if (family === undefined && name !== "x-codex-primary-used-percent") continue;
    for (const position of ["primary", "secondary"] as const) {
      const window = headerWindow(headers, family, position, now);
      if (window !== undefined) windows.push(window);
    }
  }
  if (windows.length === 0) return undefined;
  const plan = text(headers.get("x-codex-plan-type"));
  const hasCredits =
    isTrue(headers.get("x-codex-credits-has-credits")) ||
    isTrue(headers.get("x-codex-credits-unlimited"));
  return { windows, measuredAtMs: now, hasCredits, ...(plan === undefined ? {} : { plan }) };
}

/** The quota reading of a `codex.rate_limits` event, or undefined when it holds none. */
export function quotaFromEvent(event: Dict, now: Millis): Quota | undefined {
  const windows = eventWindows(dict(event["rate_limits"]), undefined, now);
  for (const extra of list(event["additional_rate_limits"])) {
    const { metered_feature: id, limit_name: name, rate_limit: limit } = dict(extra);
    windows.push(...eventWindows(dict(limit), text(id) ?? text(name) ?? "extra", now));
  }
  if (windows.length === 0) return undefined;
  const plan = text(event["plan_type"]);
  const credits = dict(event["credits"]);
  const hasCredits = credits["has_credits"] === true || credits["unlimited"] === true;
  return { windows, measuredAtMs: now, hasCredits, ...(plan === undefined ? {} : { plan }) };
}

function headerWindow(
  headers: Headers,
  family: string | undefined,
  position: "primary" | "secondary",
  now: Millis,
): QuotaWindow | undefined {
  const prefix = `x-codex-${family === undefined ? "" : `${family}-`}${position}`;
  const value = (name: string) => number(headers.get(`${prefix}-${name}`));
  const usedPercent = value("used-percent");
  const minutes = value("window-minutes");
  const resetAt = value("reset-at");
  // The official client's rule: a zero reading without length and reset is no window.
  if (usedPercent === undefined || (usedPercent === 0 && !minutes && resetAt === undefined)) {
    return undefined;
  }
  return makeWindow({
    // Events and the usage endpoint spell the same family with underscores.
    family: family?.replaceAll("-", "_"),
    usedPercent,
    windowSeconds: minutes === undefined ? undefined : minutes * 60,
    resetsAtMs: resetTime(resetAt, value("reset-after-seconds"), now),
  });
}

function eventWindows(limits: Dict, family: string | undefined, now: Millis): QuotaWindow[] {
  const windows: QuotaWindow[] = [];
  for (const position of ["primary", "secondary", "primary_window", "secondary_window"]) {
    const limit = limits[position];
    if (!isDict(limit)) continue;
    const usedPercent = number(limit["used_percent"]);
    if (usedPercent === undefined) continue;
    const minutes = number(limit["window_minutes"]);
    windows.push(
      makeWindow({
        family,
        usedPercent,
        windowSeconds:
          number(limit["limit_window_seconds"]) ??
          (minutes === undefined ? undefined : minutes * 60),
        resetsAtMs: resetTime(number(limit["reset_at"]), number(limit["reset_after_seconds"]), now),
      }),
    );
  }
  return windows;
}

type RawWindow = {
  readonly family: string | undefined;
  readonly usedPercent: number;
  readonly windowSeconds: number | undefined;
  readonly resetsAtMs: Millis | undefined;
};

function makeWindow({ family, usedPercent, windowSeconds, resetsAtMs }: RawWindow): QuotaWindow {
  const length =
    windowSeconds === undefined || windowSeconds <= 0 ? "window" : lengthName(windowSeconds);
  return {
    name: family === undefined ? length : `${family} ${length}`,
    usedPercent: Math.min(Math.max(usedPercent, 0), 100),
    isPartial: family !== undefined,
    ...(windowSeconds === undefined || windowSeconds <= 0 ? {} : { windowSeconds }),
    ...(resetsAtMs === undefined ? {} : { resetsAtMs }),
  };
}

/** A length of time in the largest unit that divides it: 18000 is `5h`, 604800 is `7d`. */
function lengthName(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400}d`;
  if (seconds % 3_600 === 0) return `${seconds / 3_600}h`;
  return `${Math.round(seconds / 60)}m`;
}

function resetTime(
  atSeconds: number | undefined,
  afterSeconds: number | undefined,
  now: Millis,
): Millis | undefined {
  if (atSeconds !== undefined && atSeconds > 0) return atSeconds * 1000;
  return afterSeconds === undefined ? undefined : now + afterSeconds * 1000;
}

function isTrue(value: string | null): boolean {
  return value !== null && /^(?:true|1)$/i.test(value.trim());
}
