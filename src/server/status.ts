import { basename } from "node:path";
import type { Totals } from "../engine/totals.ts";
import type { AccountView } from "../pool/pool.ts";
import type { Quota } from "../pool/quota.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import type { Usage } from "../turn/usage.ts";
import type { Millis } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import { maskEmail, redact } from "../wire/log.ts";

/** What the owner's pages are made of. */
export type StatusSource = {
  readonly views: readonly AccountView[];
  readonly totals: Totals;
  readonly startedMs: Millis;
  readonly nowMs: Millis;
};

/** How many accounts are in each state. */
export function countStates(views: readonly AccountView[]) {
  const count = (kind: AccountView["standing"]["kind"]) =>
    views.filter(({ standing }) => standing.kind === kind).length;
  return {
    total: views.length,
    ready: count("ready"),
    cooling: count("cooling"),
    disabled: count("disabled"),
    needs_login: count("needs-login"),
  };
}

/** The answer of `/health`: 200 while at least one account can be used. */
export function healthOf(views: readonly AccountView[]): {
  readonly status: number;
  readonly body: Json;
} {
  const accounts = countStates(views);
  const isHealthy = accounts.ready > 0;
  return {
    status: isHealthy ? 200 : 503,
    body: { status: isHealthy ? "ok" : "no usable account", accounts },
  };
}

const STATES = ["ready", "cooling", "disabled", "needs-login"];
const MOST_PER_PAGE = 200;

/** The answer of `/stats`; with any of `page`, `page_size`, `q` and `state` only the accounts asked for, and their count. */
export function statsOf(source: StatusSource, query: URLSearchParams): Json | Failure {
  const page = readCount(query, "page", 1, 1_000_000);
  const size = readCount(query, "page_size", 50, MOST_PER_PAGE);
  if (typeof page !== "number") return page;
  if (typeof size !== "number") return size;
  const state = query.get("state");
  if (state !== null && !STATES.includes(state)) {
    return refuse(400, "invalid_value", `'state' must be one of ${STATES.join(", ")}.`, "state");
  }
  const summary = summaryOf(source);
  const isPaged = ["page", "page_size", "q", "state"].some((name) => query.has(name));
  if (!isPaged) {
    return { summary, accounts: source.views.map((view) => accountOf(view, source.nowMs)) };
  }
  const wanted = source.views.filter(
    (view) =>
      (state === null || view.standing.kind === state) && isNamed(view, query.get("q") ?? ""),
  );
  const shown = wanted.slice((page - 1) * size, page * size);
  return {
    summary,
    accounts: shown.map((view) => accountOf(view, source.nowMs)),
    pagination: {
      page,
      page_size: size,
      total: wanted.length,
      pages: Math.max(Math.ceil(wanted.length / size), 1),
    },
  };
}

function summaryOf({ views, totals, startedMs, nowMs }: StatusSource) {
  const states = countStates(views);
  return {
    ...states,
    requests: totals.requests,
    errors: totals.errors,
    rpm: totals.rpm,
    tokens: tokensOf(totals.tokens),
    uptime: Math.floor((nowMs - startedMs) / 1000),
    // The names that scripts for the Go program read.
    active: states.ready,
    cooldown: states.cooling,
    total_input_tokens: totals.tokens.input,
    total_output_tokens: totals.tokens.output,
  };
}

function tokensOf({ input, cached, output, reasoning }: Usage) {
  return { input, cached, output, reasoning };
}

function isNamed({ account }: AccountView, part: string): boolean {
  const { email = "", source } = account.login;
  const wanted = part.toLowerCase();
  return [email, basename(source), account.label].some((name) =>
    name.toLowerCase().includes(wanted),
  );
}

function accountOf({ account, standing, inFlight, tally }: AccountView, nowMs: Millis) {
  const { login, quota } = account;
  const state = standing.kind === "ready" ? undefined : standing;
  const rests = [...account.modelCooldowns].filter(([, untilMs]) => untilMs > nowMs);
  return {
    label: account.label,
    email: login.email === undefined ? null : maskEmail(login.email),
    plan: quota?.plan ?? login.plan ?? null,
    state: standing.kind,
    reason: state === undefined ? null : redact(state.reason),
    since: isoOf(state?.sinceMs),
    until: isoOf(standing.kind === "cooling" ? standing.untilMs : undefined),
    windows: windowsOf(quota),
    quota_measured_at: isoOf(quota?.measuredAtMs),
    credits: quota?.hasCredits ?? null,
    credit_balance: quota?.balance ?? null,
    model_cooldowns: rests.map(([model, untilMs]) => ({ model, until: isoOf(untilMs) })),
    requests: tally.requests,
    errors: tally.errors,
    consecutive_failures: account.consecutiveFailures,
    health_failures: account.failedChecks,
    in_flight: inFlight,
    tokens: tokensOf(tally.tokens),
    cached_ratio:
      tally.tokens.input === 0
        ? null
        : Math.round((tally.tokens.cached / tally.tokens.input) * 1000) / 1000,
    last_used_at: isoOf(tally.lastUsedMs),
    last_refreshed_at: isoOf(login.lastRefreshedMs),
    token_expires_at: isoOf(login.credential.expiresAtMs),
    file: redact(basename(login.source)),
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

// The furthest moment that a Date can tell (ECMA-262, 21.4.1.1); a backend may promise a later one.
const LAST_MS = 8.64e15;

function isoOf(ms: Millis | undefined): string | null {
  return ms === undefined || !(Math.abs(ms) <= LAST_MS) ? null : new Date(ms).toISOString();
}

function readCount(
  query: URLSearchParams,
  name: string,
  fallback: number,
  most: number,
): number | Failure {
  const given = query.get(name);
  if (given === null) return fallback;
  const count = Number(given);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  return refuse(400, "invalid_value", `'${name}' must be a whole number from 1 to ${most}.`, name);
}
