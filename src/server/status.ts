import { basename } from "node:path";
import type { ClientUse } from "../engine/allowance.ts";
import { windowsOf } from "../engine/check-quota.ts";
import type { Totals } from "../engine/totals.ts";
import type { WaitCounts } from "../engine/waits.ts";
import type { ConnectionCounts } from "../net/connections.ts";
import type { AccountView } from "../pool/pool.ts";
import { obstacleOf, WORDS } from "../pool/words.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import type { Usage } from "../turn/usage.ts";
import { isoOf, type Millis } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import { maskEmail, redact } from "../wire/log.ts";

/** What the owner's pages are made of. */
export type StatusSource = {
  readonly views: readonly AccountView[];
  /** The identities, aside or not, whose new tokens are only in memory: a restart would lose their logins. */
  readonly unsaved: readonly string[];
  readonly totals: Totals;
  /** How many requests wait for a place on an account. */
  readonly waiting: number;
  readonly connections: ConnectionStatus;
  readonly clients: readonly ClientUse[];
  readonly startedMs: Millis;
  readonly nowMs: Millis;
};

/** The connections to the backend, as far as this program knows of them: the runtime does not tell how many are idle. */
export type ConnectionStatus = {
  readonly now: ConnectionCounts;
  /** Turns that wait for one, and those that ever have. */
  readonly waits: WaitCounts & { readonly now: number };
  /** How many idle ones are kept, at most. */
  readonly mostIdle: number;
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

/**
 * The answer of `/health`: 200 while at least one account can be used. Where new tokens could not be stored it says
 * of how many accounts, and where the store cannot be used that all goes on from memory: both serve, and want their
 * owner's attention.
 */
export function healthOf(
  views: readonly AccountView[],
  unsaved: readonly string[],
  isStoreAway: boolean,
): {
  readonly status: number;
  readonly body: Json;
} {
  const accounts = countStates(views);
  const isHealthy = accounts.ready > 0;
  return {
    status: isHealthy ? 200 : 503,
    body: {
      status: !isHealthy ? "no usable account" : isStoreAway ? "degraded" : "ok",
      accounts,
      ...(isStoreAway && { store: "unreachable" }),
      ...(unsaved.length > 0 && { unsaved_tokens: unsaved.length }),
    },
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
  const connections = connectionsOf(source.connections);
  const keys = source.clients.map((use) => keyOf(use, source.nowMs));
  const isPaged = ["page", "page_size", "q", "state"].some((name) => query.has(name));
  if (!isPaged) {
    const accounts = source.views.map((view) => accountOf(view, source));
    return { summary, connections, keys, accounts };
  }
  const wanted = source.views.filter(
    (view) =>
      (state === null || view.standing.kind === state) && isNamed(view, query.get("q") ?? ""),
  );
  const shown = wanted.slice((page - 1) * size, page * size);
  return {
    summary,
    connections,
    keys,
    accounts: shown.map((view) => accountOf(view, source)),
    pagination: {
      page,
      page_size: size,
      total: wanted.length,
      pages: Math.max(Math.ceil(wanted.length / size), 1),
    },
  };
}

function summaryOf({ views, totals, waiting, startedMs, nowMs }: StatusSource) {
  const states = countStates(views);
  return {
    ...states,
    requests: totals.requests,
    errors: totals.errors,
    rpm: totals.rpm,
    waiting,
    tokens: tokensOf(totals.tokens),
    uptime: Math.floor((nowMs - startedMs) / 1000),
    // The names that scripts for the Go program read.
    active: states.ready,
    cooldown: states.cooling,
    total_input_tokens: totals.tokens.input,
    total_output_tokens: totals.tokens.output,
  };
}

function connectionsOf({ now, waits, mostIdle }: ConnectionStatus) {
  return {
    limit: now.limit,
    in_use: now.inUse,
    http2_streams: now.streams,
    idle_limit: mostIdle,
    waiting: waits.now + now.waiting,
    waited_total: waits.total,
    waited_long_total: waits.long,
  };
}

function tokensOf({ input, cached, output, reasoning }: Usage) {
  return { input, cached, output, reasoning };
}

/** A key by its holder's name: never the key, nor its digest. */
function keyOf(use: ClientUse, nowMs: Millis) {
  const { name, models, expiresMs, rpm, concurrency, tokensPerDay } = use.client;
  return {
    name,
    requests: use.requests,
    errors: use.errors,
    refused: use.refused,
    in_flight: use.inFlight,
    tokens: tokensOf(use.tokens),
    tokens_today: use.tokensToday,
    next_day_at: isoOf(use.nextDayMs),
    last_used_at: isoOf(use.lastUsedMs),
    models: models ?? null,
    rpm: rpm ?? null,
    concurrency: concurrency ?? null,
    tokens_per_day: tokensPerDay ?? null,
    expires_at: isoOf(expiresMs),
    expired: expiresMs !== undefined && expiresMs <= nowMs,
  };
}

function isNamed({ account }: AccountView, part: string): boolean {
  const { email = "", source } = account.login;
  const wanted = part.toLowerCase();
  return [email, basename(source), account.label].some((name) =>
    name.toLowerCase().includes(wanted),
  );
}

function accountOf(
  { account, standing, inFlight, tally }: AccountView,
  { nowMs, unsaved }: StatusSource,
) {
  const { login, quota } = account;
  const state = standing.kind === "ready" ? undefined : standing;
  const obstacle = obstacleOf(standing);
  const rests = [...account.modelCooldowns].filter(([, untilMs]) => untilMs > nowMs);
  return {
    // Names it in the routes under /admin.
    id: account.tag,
    label: account.label,
    email: login.email === undefined ? null : maskEmail(login.email),
    plan: quota?.plan ?? login.plan ?? null,
    state: standing.kind,
    why: obstacle === undefined ? null : WORDS[obstacle],
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
    tokens_replaced_at: isoOf(account.replacedMs),
    token_expires_at: isoOf(login.credential.expiresAtMs),
    unsaved_tokens: unsaved.includes(login.identity),
    file: redact(basename(login.source)),
  };
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
