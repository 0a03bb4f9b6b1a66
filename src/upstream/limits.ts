import type { Quota, QuotaWindow } from "../pool/quota.ts";
import { resetOf } from "../turn/failure.ts";
import type { Millis } from "../wire/clock.ts";
import type { PlainHeaders } from "../wire/headers.ts";
import { type Dict, dict, isDict, list, number, text } from "../wire/json.ts";

const CODEX = "x-codex-";
const SHARE = "primary-used-percent";

/**
 * The quota reading in the backend's response headers, or undefined when they hold none.
 * A window counts only when it says something: values may be empty strings (seen live on exhausted plans).
 */
export function quotaFromHeaders(headers: PlainHeaders, now: Millis): Quota | undefined {
  const windows: QuotaWindow[] = [];
  for (const name in headers) {
    if (!name.startsWith(CODEX) || !name.endsWith(SHARE)) continue;
    const family = name.slice(CODEX.length, -SHARE.length);
    // What stands between the two is a family's name and its hyphen, or nothing.
    if (family !== "" && (family === "-" || !family.endsWith("-"))) continue;
    for (const position of ["primary", "secondary"] as const) {
      const window = headerWindow(headers, family, position, now);
      if (window !== undefined) windows.push(window);
    }
  }
  if (windows.length === 0) return undefined;
  const plan = text(headers["x-codex-plan-type"]);
  const has = headers["x-codex-credits-has-credits"];
  const unlimited = headers["x-codex-credits-unlimited"];
  const isSilent = text(has) === undefined && text(unlimited) === undefined;
  const balance = headers["x-codex-credits-balance"];
  const credits = creditsOf(
    isSilent ? undefined : { has_credits: isTrue(has), unlimited: isTrue(unlimited), balance },
  );
  return { windows, measuredAtMs: now, ...credits, ...(plan === undefined ? {} : { plan }) };
}

/** The quota reading of a `codex.rate_limits` event, or undefined when it holds none. */
export function quotaFromEvent(event: Dict, now: Millis): Quota | undefined {
  const limits = dict(event["rate_limits"]);
  const extras = list(event["additional_rate_limits"]);
  const windows = [...limitWindows(limits, NO_FAMILY, now), ...extraWindows(extras, now)];
  if (windows.length === 0) return undefined;
  const plan = text(event["plan_type"]);
  return {
    windows,
    measuredAtMs: now,
    ...creditsOf(event["credits"]),
    ...(isReached(limits) ? { isSpent: true } : {}),
    ...(plan === undefined ? {} : { plan }),
  };
}

/**
 * The quota reading in an answer of the usage endpoint (upstream.md 1.1). Every field may be missing or null, a number
 * may be a text, and where nothing is told the reading is empty.
 */
export function quotaFromUsage(usage: Dict, now: Millis): Quota {
  const limits = dict(usage["rate_limit"]);
  const spending = dict(usage["spend_control"]);
  const own = limitWindows(limits, NO_FAMILY, now);
  const reviews = limitWindows(dict(usage["code_review_rate_limit"]), CODE_REVIEW, now);
  const extras = extraWindows(list(usage["additional_rate_limits"]), now);
  const plan = text(usage["plan_type"]);
  const credits = creditsOf(usage["credits"]);
  // Whose spending is capped, has no use of the credits of others.
  const isCapped = spending["reached"] === true;
  const isSpent =
    isReached(limits) ||
    isDict(usage["rate_limit_reached_type"]) ||
    (isCapped && limits["allowed"] !== true);
  return {
    windows: [...own, ...reviews, ...extras],
    measuredAtMs: now,
    ...credits,
    hasCredits: credits.hasCredits && !isCapped,
    ...(isSpent ? { isSpent: true } : {}),
    ...(own.length > 0 ? { isComplete: true } : {}),
    ...(plan === undefined ? {} : { plan }),
  };
}

function isReached(limits: Dict): boolean {
  return limits["allowed"] === false || limits["limit_reached"] === true;
}

/** What credits there are to carry on with. `balance` is a decimal text; one of nothing is none. */
function creditsOf(credits: unknown): Pick<Quota, "hasCredits" | "balance" | "isSilentOnCredits"> {
  if (!isDict(credits)) return { hasCredits: false, isSilentOnCredits: true };
  const { balance } = credits;
  const left = typeof balance === "number" ? String(balance) : text(balance);
  const isEmpty = left !== undefined && (number(left) ?? 1) <= 0;
  const isOver = credits["overage_limit_reached"] === true;
  const hasCredits =
    credits["unlimited"] === true || (credits["has_credits"] === true && !isEmpty && !isOver);
  return { hasCredits, ...(left === undefined ? {} : { balance: left }) };
}

/** What a limit is for, beside the account as a whole. */
type Family = {
  readonly id: string | undefined;
  readonly model?: string | undefined;
  readonly isForeign?: true;
};

const NO_FAMILY: Family = { id: undefined };
const CODE_REVIEW: Family = { id: "code_review", isForeign: true };

function extraWindows(extras: readonly unknown[], now: Millis): readonly QuotaWindow[] {
  return extras.flatMap((extra) => {
    const { metered_feature: id, limit_name: name, rate_limit: limit } = dict(extra);
    const model = text(name);
    return limitWindows(dict(limit), { id: text(id) ?? model ?? "extra", model }, now);
  });
}

function headerWindow(
  headers: PlainHeaders,
  family: string,
  position: "primary" | "secondary",
  now: Millis,
): QuotaWindow | undefined {
  const prefix = `${CODEX}${family}${position}`;
  const value = (name: string) => number(headers[`${prefix}-${name}`]);
  const usedPercent = value("used-percent");
  const minutes = value("window-minutes");
  const resetAt = value("reset-at");
  // The official client's rule: a zero reading without length and reset is no window.
  if (usedPercent === undefined || (usedPercent === 0 && !minutes && resetAt === undefined)) {
    return undefined;
  }
  const id = family === "" ? undefined : family.slice(0, -1);
  const model = id && text(headers[`${CODEX}${id}-limit-name`]);
  return makeWindow({
    family: { id, model },
    usedPercent,
    windowSeconds: minutes === undefined ? undefined : minutes * 60,
    resetsAtMs: resetTime(resetAt, value("reset-after-seconds"), now),
  });
}

function limitWindows(limits: Dict, family: Family, now: Millis): readonly QuotaWindow[] {
  const windows: QuotaWindow[] = [];
  for (const position of ["primary", "secondary", "primary_window", "secondary_window"]) {
    const limit = dict(limits[position]);
    const usedPercent = number(limit["used_percent"]);
    const minutes = number(limit["window_minutes"]);
    const windowSeconds =
      number(limit["limit_window_seconds"]) ?? (minutes === undefined ? undefined : minutes * 60);
    const resetsAtMs = resetTime(
      number(limit["reset_at"]),
      number(limit["reset_after_seconds"]),
      now,
    );
    const isNothing = usedPercent === 0 && !windowSeconds && resetsAtMs === undefined;
    if (usedPercent === undefined || isNothing) continue;
    windows.push(makeWindow({ family, usedPercent, windowSeconds, resetsAtMs }));
  }
  return windows;
}

type RawWindow = {
  readonly family: Family;
  readonly usedPercent: number;
  readonly windowSeconds: number | undefined;
  readonly resetsAtMs: Millis | undefined;
};

function makeWindow({ family, usedPercent, windowSeconds, resetsAtMs }: RawWindow): QuotaWindow {
  const { id, model, isForeign } = family;
  const hasLength = windowSeconds !== undefined && windowSeconds > 0;
  const length = hasLength ? lengthName(windowSeconds) : "window";
  return {
    name: id === undefined ? length : `${familyName(id)} ${length}`,
    usedPercent: Math.min(Math.max(usedPercent, 0), 100),
    isPartial: id !== undefined,
    ...(isForeign === undefined ? {} : { isForeign }),
    ...(model === undefined ? {} : { model }),
    ...(hasLength ? { windowSeconds } : {}),
    ...(resetsAtMs === undefined ? {} : { resetsAtMs }),
  };
}

/**
 * One name for one family, so that readings from all places meet: in headers it is `bengal-fox`, elsewhere `bengal_fox`
 * or `codex_bengal_fox` (the official client reads the `codex` in front of a header's name as a part of it).
 */
function familyName(id: string): string {
  return id
    .toLowerCase()
    .replaceAll("-", "_")
    .replace(/^codex_(?=.)/, "");
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
  const atMs = atSeconds === undefined ? undefined : atSeconds * 1000;
  const afterMs = afterSeconds === undefined ? undefined : now + afterSeconds * 1000;
  return resetOf(atMs, afterMs, now);
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && /^(?:true|1)$/i.test(value.trim());
}
