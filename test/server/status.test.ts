import { describe, expect, test } from "bun:test";
import type { Login } from "../../src/pool/account.ts";
import type { AccountView, Pool } from "../../src/pool/pool.ts";
import { WORDS } from "../../src/pool/words.ts";
import { healthOf, type StatusSource, statsOf } from "../../src/server/status.ts";
import { NO_USAGE } from "../../src/turn/usage.ts";
import { dict, list } from "../../src/wire/json.ts";
import { failure, loginOf, NOON } from "../engine/parts.ts";
import { poolOf } from "../engine/vault.ts";

const TOTALS = {
  requests: 7,
  errors: 2,
  rpm: 3,
  tokens: { input: 100, cached: 40, output: 20, reasoning: 5 },
};

function sourceOf(pool: Pool): StatusSource {
  return {
    views: pool.view(NOON),
    unsaved: [],
    totals: TOTALS,
    waiting: 3,
    connections: {
      now: { limit: 12, inUse: 10, streams: 3, waiting: 1 },
      waits: { now: 2, total: 9, long: 4 },
      mostIdle: 8,
    },
    clients: [],
    startedMs: NOON - 61_500,
    nowMs: NOON,
  };
}

function ask(pool: Pool, query = "") {
  return dict(statsOf(sourceOf(pool), new URLSearchParams(query)));
}

/** One account in each state. */
function zoo(): Pool {
  const names = ["ready", "cooling", "disabled", "dead"];
  const pool = poolOf(NOON, ...names.map((name) => loginOf(name)));
  const settle = (name: string, kind: "exhausted" | "deactivated") =>
    pool.settle(
      loginOf(name).identity,
      { type: "failed", failure: failure(kind, { resetsAtMs: NOON + 60_000 }) },
      NOON,
    );
  settle("cooling", "exhausted");
  settle("disabled", "deactivated");
  const dead = loginOf("dead").identity;
  pool.settle(
    dead,
    { type: "renewal-refused", reason: "The token of dead@example.com is spent." },
    NOON,
  );
  return pool;
}

test("/stats tells how the connections to the backend stand", () => {
  expect(ask(zoo())["connections"]).toEqual({
    limit: 12,
    in_use: 10,
    http2_streams: 3,
    idle_limit: 8,
    waiting: 3,
    waited_total: 9,
    waited_long_total: 4,
  });
  expect(ask(zoo(), "page=1")["connections"]).toBeDefined();
});

describe("healthOf", () => {
  test("200 while one account can be used, and counts alone", () => {
    expect(healthOf(zoo().view(NOON), [], false)).toEqual({
      status: 200,
      body: {
        status: "ok",
        accounts: { total: 4, ready: 1, cooling: 1, disabled: 1, needs_login: 1 },
      },
    });
  });

  test("accounts whose new tokens could not be stored are told, and do not make it unhealthy", () => {
    const { identity } = loginOf("ready");
    expect(healthOf(zoo().view(NOON), [identity], false)).toMatchObject({
      status: 200,
      body: { unsaved_tokens: 1 },
    });
    const source = { ...sourceOf(zoo()), unsaved: [identity] };
    const rows = list(dict(statsOf(source, new URLSearchParams()))["accounts"]).map(dict);
    const marked = rows.filter((row) => row["unsaved_tokens"] === true);
    expect(marked.map(({ file }) => file)).toEqual(["ready.json"]);
  });

  test("503 without any", () => {
    expect(healthOf([], [], false)).toMatchObject({
      status: 503,
      body: { accounts: { total: 0 } },
    });
    const off = poolOf(NOON, loginOf("off", { isSwitchedOff: true }));
    expect(healthOf(off.view(NOON), [], false).status).toBe(503);
  });
});

describe("statsOf", () => {
  test("the summary has our names and those that scripts for the Go program read", () => {
    expect(ask(zoo())["summary"]).toEqual({
      total: 4,
      ready: 1,
      cooling: 1,
      disabled: 1,
      needs_login: 1,
      requests: 7,
      errors: 2,
      rpm: 3,
      waiting: 3,
      tokens: { input: 100, cached: 40, output: 20, reasoning: 5 },
      uptime: 61,
      active: 1,
      cooldown: 1,
      total_input_tokens: 100,
      total_output_tokens: 20,
    });
  });

  test("an account with a history shows every field of product.md 9", () => {
    const pool = poolOf(NOON, loginOf("ann", { lastRefreshedMs: NOON - 1000 }));
    const { identity } = loginOf("ann");
    const lease = pool.pick({ sessionKey: "s", model: "gpt-5.4", tried: new Set() }, NOON);
    const window = { name: "5h", usedPercent: 25, windowSeconds: 18_000, resetsAtMs: NOON + 9000 };
    const quota = {
      windows: [{ ...window, isPartial: false }],
      measuredAtMs: NOON,
      plan: "pro",
      hasCredits: true,
    };
    pool.settle(identity, { type: "measured", quota }, NOON);
    pool.settle(identity, { type: "failed", failure: failure("network") }, NOON);
    pool.count(identity, { input: 300, cached: 100, output: 9, reasoning: 2 });
    expect(lease).toBeDefined();
    expect(list(ask(pool)["accounts"])).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{8}$/),
        label: expect.stringMatching(/^an\*\*\*@example\.com#[0-9a-f]{4}$/),
        email: "an***@example.com",
        plan: "pro",
        state: "ready",
        why: null,
        reason: null,
        since: null,
        until: null,
        windows: [
          {
            name: "5h",
            used_percent: 25,
            resets_at: "2026-11-20T12:00:09.000Z",
            window_seconds: 18_000,
          },
        ],
        quota_measured_at: "2026-11-20T12:00:00.000Z",
        credits: true,
        credit_balance: null,
        model_cooldowns: [],
        requests: 1,
        errors: 1,
        consecutive_failures: 1,
        health_failures: 0,
        in_flight: 1,
        tokens: { input: 300, cached: 100, output: 9, reasoning: 2 },
        cached_ratio: 0.333,
        last_used_at: "2026-11-20T12:00:00.000Z",
        last_refreshed_at: "2026-11-20T11:59:59.000Z",
        tokens_replaced_at: null,
        token_expires_at: "2026-11-30T12:00:00.000Z",
        unsaved_tokens: false,
        file: "ann.json",
      },
    ]);
  });

  test("an account without one shows nulls, and no number that was not measured", () => {
    const bare = loginOf("ann", { credential: { refreshToken: "r" } });
    const { email: _email, plan: _plan, ...login }: Login = bare;
    expect(list(ask(poolOf(NOON, login))["accounts"])[0]).toMatchObject({
      email: null,
      plan: null,
      windows: [],
      quota_measured_at: null,
      credits: null,
      cached_ratio: null,
      last_used_at: null,
      last_refreshed_at: null,
      tokens_replaced_at: null,
      token_expires_at: null,
      unsaved_tokens: false,
    });
  });

  test("each state with its reason, since and until", () => {
    const accounts = list(ask(zoo())["accounts"]).map(dict);
    expect(accounts.map(({ state }) => state)).toEqual([
      "ready",
      "cooling",
      "disabled",
      "needs-login",
    ]);
    // In the words that /explain and a client's error have too.
    expect(accounts.map(({ why }) => why)).toEqual([
      null,
      WORDS.quota,
      WORDS.disabled,
      WORDS["needs-login"],
    ]);
    expect(accounts[1]).toMatchObject({
      reason: "it was exhausted",
      since: "2026-11-20T12:00:00.000Z",
      until: "2026-11-20T12:01:00.000Z",
    });
    expect(accounts[2]).toMatchObject({ reason: "it was deactivated", until: null });
    expect(accounts[3]?.["reason"]).toBe("The token of de***@example.com is spent.");
  });

  test("a model that rests on one account is shown while it rests", () => {
    const pool = poolOf(NOON, loginOf("ann"));
    const limited = failure("rate-limited", { model: "gpt-5.4", resetsAtMs: NOON + 5000 });
    pool.settle(loginOf("ann").identity, { type: "failed", failure: limited }, NOON);
    expect(list(ask(pool)["accounts"])[0]).toMatchObject({
      state: "ready",
      model_cooldowns: [{ model: "gpt-5.4", until: "2026-11-20T12:00:05.000Z" }],
    });
    const later = statsOf({ ...sourceOf(pool), nowMs: NOON + 5000 }, new URLSearchParams());
    expect(list(dict(later)["accounts"])[0]).toMatchObject({ model_cooldowns: [] });
  });

  test("a date that no calendar has is left out instead of ending in an error", () => {
    const pool = poolOf(NOON, loginOf("ann"));
    const windows = [1e20, Number.POSITIVE_INFINITY, Number.NaN, -1e20].map((resetsAtMs) => ({
      name: `${resetsAtMs}`,
      usedPercent: 1,
      resetsAtMs,
      isPartial: false,
    }));
    const views = pool.view(NOON).map(
      (view): AccountView => ({
        ...view,
        account: { ...view.account, quota: { windows, measuredAtMs: NOON, hasCredits: false } },
      }),
    );
    const answer = statsOf({ ...sourceOf(pool), views }, new URLSearchParams());
    const shown = list(dict(list(dict(answer)["accounts"])[0])["windows"]).map(dict);
    expect(shown.map((window) => window["resets_at"])).toEqual([null, null, null, null]);
  });

  test("no token, no whole address, no path", () => {
    const pool = zoo();
    const said = JSON.stringify(ask(pool)) + JSON.stringify(healthOf(pool.view(NOON), [], false));
    for (const name of ["ready", "cooling", "disabled", "dead"]) {
      const { credential, email } = loginOf(name);
      for (const secret of [credential.accessToken, credential.refreshToken, email, "/auths/"]) {
        expect(said).not.toContain(secret ?? "missing");
      }
    }
    const named = poolOf(NOON, loginOf("ann", { source: "/auths/ann.lee@example.com.json" }));
    expect(JSON.stringify(ask(named))).not.toContain("ann.lee@example.com");
  });
});

describe("statsOf, pages", () => {
  const many = poolOf(NOON, ...Array.from({ length: 120 }, (_, index) => loginOf(`user${index}`)));

  test.each([
    ["", 120, undefined],
    ["page=1", 50, { page: 1, page_size: 50, total: 120, pages: 3 }],
    ["page=3", 20, { page: 3, page_size: 50, total: 120, pages: 3 }],
    ["page=4", 0, { page: 4, page_size: 50, total: 120, pages: 3 }],
    ["page_size=200", 120, { page: 1, page_size: 200, total: 120, pages: 1 }],
    ["q=user11", 11, { page: 1, page_size: 50, total: 11, pages: 1 }],
    ["q=USER7.JSON", 1, { page: 1, page_size: 50, total: 1, pages: 1 }],
    ["q=nobody", 0, { page: 1, page_size: 50, total: 0, pages: 1 }],
    ["state=ready&page_size=5", 5, { page: 1, page_size: 5, total: 120, pages: 24 }],
    ["state=cooling", 0, { page: 1, page_size: 50, total: 0, pages: 1 }],
  ])("?%s", (query, count, pagination) => {
    const answer = ask(many, query);
    expect(list(answer["accounts"])).toHaveLength(count);
    expect(answer["pagination"]).toEqual(pagination);
    expect(dict(answer["summary"])["total"]).toBe(120);
  });

  test.each([
    ["page=0", "page"],
    ["page=-1", "page"],
    ["page=1.5", "page"],
    ["page=x", "page"],
    ["page=", "page"],
    ["page=1e99", "page"],
    ["page_size=201", "page_size"],
    ["page_size=0", "page_size"],
    ["state=broken", "state"],
    ["state=", "state"],
  ])("?%s is refused by name", (query, param) => {
    expect(statsOf(sourceOf(many), new URLSearchParams(query))).toMatchObject({
      kind: "bad-request",
      status: 400,
      param,
    });
  });

  test("totals of nothing are nothing", () => {
    const totals = { requests: 0, errors: 0, rpm: 0, tokens: NO_USAGE };
    const answer = statsOf({ ...sourceOf(many), totals, views: [] }, new URLSearchParams());
    expect(dict(answer)).toMatchObject({ summary: { total: 0, requests: 0 }, accounts: [] });
  });
});

test("keys are told by their holders' names, with what they used and may use", () => {
  const client = {
    name: "laptop",
    models: ["gpt-5.4"],
    expiresMs: NOON,
    rpm: 60,
    concurrency: undefined,
    tokensPerDay: 1000,
  };
  const use = {
    client,
    requests: 3,
    errors: 1,
    refused: 2,
    inFlight: 1,
    tokens: { input: 10, cached: 5, output: 4, reasoning: 1 },
    lastUsedMs: NOON - 1000,
    tokensToday: 14,
    nextDayMs: NOON + 12 * 3_600_000,
  };
  const source = { ...sourceOf(zoo()), clients: [use] };
  for (const query of ["", "page=1"]) {
    expect(dict(statsOf(source, new URLSearchParams(query)))["keys"]).toEqual([
      {
        name: "laptop",
        requests: 3,
        errors: 1,
        refused: 2,
        in_flight: 1,
        tokens: { input: 10, cached: 5, output: 4, reasoning: 1 },
        tokens_today: 14,
        next_day_at: "2026-11-21T00:00:00.000Z",
        last_used_at: "2026-11-20T11:59:59.000Z",
        models: ["gpt-5.4"],
        rpm: 60,
        concurrency: null,
        tokens_per_day: 1000,
        expires_at: "2026-11-20T12:00:00.000Z",
        expired: true,
      },
    ]);
  }
});
