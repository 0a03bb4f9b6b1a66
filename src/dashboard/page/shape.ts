import { type Dict, dict, list, number, text } from "../../wire/json.ts";

/** How an account stands. */
export const STATES = ["ready", "cooling", "needs-login", "disabled"] as const;
export type State = (typeof STATES)[number];

/** One window of a quota. */
export type QuotaBar = {
  readonly name: string;
  /** From 0 to 1, and beyond where the backend says so. */
  readonly used: number;
  readonly resetsAtMs: number | undefined;
};

/** Tokens by kind. */
export type Tokens = {
  readonly input: number;
  readonly cached: number;
  readonly output: number;
  readonly reasoning: number;
};

/** One account, as `/stats` tells of it. */
export type AccountRow = {
  readonly id: string;
  readonly label: string;
  readonly plan: string | undefined;
  readonly state: State | undefined;
  readonly why: string | undefined;
  readonly reason: string | undefined;
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  readonly windows: readonly QuotaBar[];
  readonly measuredAtMs: number | undefined;
  readonly hasCredits: boolean | undefined;
  readonly creditBalance: string | undefined;
  readonly modelRests: readonly { readonly model: string; readonly untilMs: number | undefined }[];
  readonly requests: number;
  readonly errors: number;
  readonly failuresInRow: number;
  readonly failedChecks: number;
  readonly inFlight: number;
  readonly tokens: Tokens;
  readonly cachedShare: number | undefined;
  readonly lastUsedMs: number | undefined;
  readonly lastRefreshedMs: number | undefined;
  readonly replacedMs: number | undefined;
  readonly tokenEndsMs: number | undefined;
  readonly isUnsaved: boolean;
  readonly file: string;
};

/** What `/stats` says of all. */
export type Summary = {
  readonly total: number;
  readonly states: Readonly<Record<State, number>>;
  readonly requests: number;
  readonly errors: number;
  readonly perMinute: number;
  readonly waiting: number;
  readonly tokens: Tokens;
  readonly uptimeMs: number;
  readonly connections: number;
};

/** One page of accounts. */
export type StatsPage = {
  readonly summary: Summary;
  readonly accounts: readonly AccountRow[];
  readonly page: number;
  readonly pages: number;
  readonly total: number;
};

/** What the holder of a key has used, and what it may; what is undefined has no limit. */
export type KeyRow = {
  readonly name: string;
  readonly requests: number;
  readonly errors: number;
  readonly refused: number;
  readonly inFlight: number;
  readonly tokens: Tokens;
  readonly tokensToday: number;
  readonly tokensPerDay: number | undefined;
  readonly models: readonly string[] | undefined;
  readonly rpm: number | undefined;
  readonly concurrency: number | undefined;
  readonly lastUsedMs: number | undefined;
  readonly expiresMs: number | undefined;
  readonly isExpired: boolean;
};

/** One request that is over, as the live list tells of it. */
export type RequestRow = {
  readonly id: string;
  readonly endedMs: number | undefined;
  readonly durationMs: number;
  readonly ttftMs: number | undefined;
  readonly client: string;
  readonly protocol: string;
  readonly askedModel: string;
  readonly model: string;
  readonly effort: string | undefined;
  readonly status: number;
  readonly failure: string | undefined;
  readonly account: string | undefined;
  readonly attempts: number;
  readonly tokens: Tokens | undefined;
};

/** One minute of the history. */
export type Minute = {
  readonly atMs: number;
  readonly requests: number;
  readonly errors: number;
  readonly failures: ReadonlyMap<string, number>;
  readonly tokens: Tokens;
  readonly duration: Quantiles;
  readonly ttft: Quantiles;
};

/** How long things took within a minute, in milliseconds. */
export type Quantiles = {
  readonly p50: number | undefined;
  readonly p95: number | undefined;
  readonly max: number | undefined;
};

/** The history of the last hours. */
export type HistoryView = {
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepMs: number;
  readonly minutes: readonly Minute[];
};

/** A page of `/stats`; what is missing counts as nothing, so that no answer breaks the page. */
export function readStats(body: Dict): StatsPage {
  const pagination = dict(body["pagination"]);
  return {
    summary: readSummary(dict(body["summary"]), dict(body["connections"])),
    accounts: list(body["accounts"]).map(dict).map(readAccount),
    page: count(pagination["page"]),
    pages: count(pagination["pages"]),
    total: count(pagination["total"]),
  };
}

function readSummary(summary: Dict, connections: Dict): Summary {
  return {
    total: count(summary["total"]),
    states: {
      ready: count(summary["ready"]),
      cooling: count(summary["cooling"]),
      "needs-login": count(summary["needs_login"]),
      disabled: count(summary["disabled"]),
    },
    requests: count(summary["requests"]),
    errors: count(summary["errors"]),
    perMinute: count(summary["rpm"]),
    waiting: count(summary["waiting"]),
    tokens: readTokens(summary["tokens"]),
    uptimeMs: count(summary["uptime"]) * 1000,
    connections: count(connections["in_use"]) + count(connections["http2_streams"]),
  };
}

function readAccount(row: Dict): AccountRow {
  return {
    id: word(row["id"]),
    label: word(row["label"]),
    plan: text(row["plan"]),
    state: STATES.find((state) => state === row["state"]),
    why: text(row["why"]),
    reason: text(row["reason"]),
    sinceMs: moment(row["since"]),
    untilMs: moment(row["until"]),
    windows: list(row["windows"]).map(dict).map(readWindow),
    measuredAtMs: moment(row["quota_measured_at"]),
    hasCredits: typeof row["credits"] === "boolean" ? row["credits"] : undefined,
    creditBalance: text(row["credit_balance"]) ?? number(row["credit_balance"])?.toString(),
    modelRests: list(row["model_cooldowns"])
      .map(dict)
      .map((rest) => ({ model: word(rest["model"]), untilMs: moment(rest["until"]) })),
    requests: count(row["requests"]),
    errors: count(row["errors"]),
    failuresInRow: count(row["consecutive_failures"]),
    failedChecks: count(row["health_failures"]),
    inFlight: count(row["in_flight"]),
    tokens: readTokens(row["tokens"]),
    cachedShare: number(row["cached_ratio"]),
    lastUsedMs: moment(row["last_used_at"]),
    lastRefreshedMs: moment(row["last_refreshed_at"]),
    replacedMs: moment(row["tokens_replaced_at"]),
    tokenEndsMs: moment(row["token_expires_at"]),
    isUnsaved: row["unsaved_tokens"] === true,
    file: word(row["file"]),
  };
}

function readWindow(window: Dict): QuotaBar {
  return {
    name: word(window["name"]),
    used: count(window["used_percent"]) / 100,
    resetsAtMs: moment(window["resets_at"]),
  };
}

/** The keys in an answer of `/stats`. */
export function readKeys(body: Dict): readonly KeyRow[] {
  return list(body["keys"])
    .map(dict)
    .map((key) => ({
      name: word(key["name"]),
      requests: count(key["requests"]),
      errors: count(key["errors"]),
      refused: count(key["refused"]),
      inFlight: count(key["in_flight"]),
      tokens: readTokens(key["tokens"]),
      tokensToday: count(key["tokens_today"]),
      tokensPerDay: number(key["tokens_per_day"]),
      models: Array.isArray(key["models"]) ? list(key["models"]).map(word) : undefined,
      rpm: number(key["rpm"]),
      concurrency: number(key["concurrency"]),
      lastUsedMs: moment(key["last_used_at"]),
      expiresMs: moment(key["expires_at"]),
      isExpired: key["expired"] === true,
    }));
}

/** One request of the live list. */
export function readRequest(row: Dict): RequestRow {
  const tokens = row["tokens"];
  return {
    id: word(row["id"]),
    endedMs: moment(row["ended_at"]),
    durationMs: count(row["duration_ms"]),
    ttftMs: number(row["ttft_ms"]),
    client: word(row["client"]),
    protocol: word(row["protocol"]),
    askedModel: word(row["asked_model"]),
    model: word(row["model"]),
    effort: text(row["effort"]),
    status: count(row["status"]),
    failure: text(row["failure"]),
    account: text(row["account"]),
    attempts: count(row["attempts"]),
    tokens: tokens === null || tokens === undefined ? undefined : readTokens(tokens),
  };
}

/** The history of the last hours. */
export function readHistory(body: Dict): HistoryView {
  return {
    fromMs: moment(body["from"]) ?? 0,
    toMs: moment(body["to"]) ?? 0,
    stepMs: Math.max(count(body["step_seconds"]), 1) * 1000,
    minutes: list(body["minutes"]).map(dict).map(readMinute),
  };
}

function readMinute(minute: Dict): Minute {
  return {
    atMs: moment(minute["at"]) ?? 0,
    requests: count(minute["requests"]),
    errors: count(minute["errors"]),
    failures: new Map(
      Object.entries(dict(minute["failures"])).map(([kind, times]) => [kind, count(times)]),
    ),
    tokens: readTokens(minute["tokens"]),
    duration: readQuantiles(minute["duration_ms"]),
    ttft: readQuantiles(minute["ttft_ms"]),
  };
}

function readQuantiles(value: unknown): Quantiles {
  const { p50, p95, max } = dict(value);
  return { p50: number(p50), p95: number(p95), max: number(max) };
}

function readTokens(value: unknown): Tokens {
  const tokens = dict(value);
  return {
    input: count(tokens["input"]),
    cached: count(tokens["cached"]),
    output: count(tokens["output"]),
    reasoning: count(tokens["reasoning"]),
  };
}

/** A text of the proxy's, or an empty one. */
export function word(value: unknown): string {
  return text(value) ?? "";
}

function count(value: unknown): number {
  return number(value) ?? 0;
}

/** A moment that the proxy has told as ISO 8601. */
export function moment(value: unknown): number | undefined {
  const ms = Date.parse(word(value));
  return Number.isNaN(ms) ? undefined : ms;
}
