import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Account, type Availability, type Login, standing } from "../../src/pool/account.ts";
import type { Credential } from "../../src/pool/credential.ts";
import type { Finding } from "../../src/pool/findings.ts";
import { exhaustedUntil, headroom, type Quota } from "../../src/pool/quota.ts";
import {
  admit,
  type Outcome,
  type Past,
  type Policy,
  type Shared,
  settle,
} from "../../src/pool/settle.ts";
import { FAILURES, type Failure, type FailureKind } from "../../src/turn/failure.ts";
import { accountOf, DAY, HOUR, loginOf, MINUTE, NOON, quotaOf } from "./logins.ts";

const POLICY: Policy = { unauthorizedMs: 30_000, limitedMs: 60_000 };
const fresh = accountOf();

function after(account: Account, outcome: Outcome, now = NOON): Account {
  return settle(account, outcome, POLICY, now);
}

function failed(kind: FailureKind, rest: Partial<Failure> = {}): Outcome {
  return { type: "failed", failure: { kind, message: "said so", ...rest } };
}

type Cooling = Extract<Availability, { readonly kind: "cooling" }>;

function cooling(why: Cooling["why"], untilMs: number): Cooling {
  return { kind: "cooling", why, untilMs, sinceMs: NOON - 1000, reason: "before" };
}

const OFF = after(fresh, { type: "reloaded", login: loginOf("ann", { isSwitchedOff: true }) });
const DEAD: Availability = { kind: "needs-login", sinceMs: NOON - 9, reason: "refused" };
const DISABLED: Availability = {
  kind: "disabled",
  by: "backend",
  sinceMs: NOON - 9,
  reason: "deactivated",
};

type Why = Cooling["why"] | Exclude<Availability["kind"], "cooling">;

describe("a failure", () => {
  const rows: Record<FailureKind, readonly [why: Why, restsMs: number, failures: number]> = {
    "bad-request": ["ready", 0, 0],
    "context-overflow": ["ready", 0, 0],
    "content-refused": ["ready", 0, 0],
    "unsupported-parameter": ["ready", 0, 0],
    "foreign-reasoning": ["ready", 0, 0],
    "unknown-compaction": ["ready", 0, 0],
    unauthorized: ["unauthorized", 30_000, 1],
    deactivated: ["disabled", 0, 1],
    forbidden: ["forbidden", 5 * MINUTE, 1],
    challenged: ["ready", 0, 0],
    exhausted: ["quota", 60_000, 1],
    "rate-limited": ["rate-limit", 60_000, 1],
    overloaded: ["ready", 0, 1],
    "server-error": ["ready", 0, 1],
    egress: ["ready", 0, 0],
    unreachable: ["ready", 0, 0],
    "turned-away": ["ready", 0, 0],
    network: ["ready", 0, 1],
    timeout: ["ready", 0, 1],
    "cut-short": ["ready", 0, 1],
    empty: ["ready", 0, 1],
    "no-compaction": ["ready", 0, 1],
    "renewal-failed": ["unauthorized", 30_000, 1],
    "no-account": ["ready", 0, 0],
    "out-of-time": ["ready", 0, 0],
    "client-limited": ["ready", 0, 0],
    "client-left": ["ready", 0, 0],
    internal: ["ready", 0, 0],
  };
  const kinds = Object.keys(FAILURES).filter((name): name is FailureKind => name in FAILURES);

  test.each(kinds)("of kind %s", (kind) => {
    const { availability, consecutiveFailures } = after(fresh, failed(kind));
    const [why, restsMs, failures] = rows[kind];
    expect(availability.kind === "cooling" ? availability.why : availability.kind).toBe(why);
    if (availability.kind === "cooling") expect(availability.untilMs).toBe(NOON + restsMs);
    if (availability.kind !== "ready")
      expect(availability).toMatchObject({ sinceMs: NOON, reason: "said so" });
    expect(consecutiveFailures).toBe(failures);
  });

  test("that is not the account's doing leaves it the very same", () => {
    expect(after(fresh, failed("client-left"))).toBe(fresh);
  });

  test("is counted with those before it, and forgiven by success", () => {
    const twice = after(after(fresh, failed("network")), failed("timeout"));
    expect(twice.consecutiveFailures).toBe(2);
    expect(after(twice, { type: "served" }).consecutiveFailures).toBe(0);
    expect(after(fresh, { type: "served" })).toBe(fresh);
  });
});

describe("the end of a rest", () => {
  const rows: [
    name: string,
    before: Availability,
    outcome: Outcome,
    untilMs: number,
    why: Cooling["why"],
  ][] = [
    [
      "is what was promised",
      { kind: "ready" },
      failed("exhausted", { resetsAtMs: NOON + DAY }),
      NOON + DAY,
      "quota",
    ],
    [
      "is a guess where the promise is past",
      { kind: "ready" },
      failed("exhausted", { resetsAtMs: NOON - 1 }),
      NOON + MINUTE,
      "quota",
    ],
    [
      "is a guess where the promise is now",
      { kind: "ready" },
      failed("exhausted", { resetsAtMs: NOON }),
      NOON + MINUTE,
      "quota",
    ],
    [
      "is a guess where the promise is absurd",
      { kind: "ready" },
      failed("exhausted", { resetsAtMs: Date.parse("2099-01-01") }),
      NOON + MINUTE,
      "quota",
    ],
    [
      "may be a month away",
      { kind: "ready" },
      failed("exhausted", { resetsAtMs: NOON + 31 * DAY }),
      NOON + 31 * DAY,
      "quota",
    ],
    [
      "is no number: a guess",
      { kind: "ready" },
      failed("rate-limited", { resetsAtMs: Number.NaN }),
      NOON + MINUTE,
      "rate-limit",
    ],
    [
      "may be a second away",
      { kind: "ready" },
      failed("rate-limited", { resetsAtMs: NOON + 1000 }),
      NOON + 1000,
      "rate-limit",
    ],
    [
      "is not shortened by a guess",
      cooling("quota", NOON + HOUR),
      failed("rate-limited"),
      NOON + HOUR,
      "quota",
    ],
    [
      "is not shortened by a promise",
      cooling("quota", NOON + HOUR),
      failed("rate-limited", { resetsAtMs: NOON + 5 }),
      NOON + HOUR,
      "quota",
    ],
    [
      "is not shortened by another trouble",
      cooling("quota", NOON + HOUR),
      failed("unauthorized"),
      NOON + HOUR,
      "quota",
    ],
    [
      "is put off by a longer one",
      cooling("rate-limit", NOON + 5),
      failed("exhausted", { resetsAtMs: NOON + HOUR }),
      NOON + HOUR,
      "quota",
    ],
    [
      "begins anew after one that is over",
      cooling("quota", NOON - 5),
      failed("forbidden"),
      NOON + 5 * MINUTE,
      "forbidden",
    ],
  ];
  test.each(rows)("%s", (_name, availability, outcome, untilMs, why) => {
    expect(after(accountOf({ availability }), outcome).availability).toMatchObject({
      kind: "cooling",
      untilMs,
      why,
    });
  });

  test.each([
    ["a dead login", DEAD],
    ["a disabled account", DISABLED],
  ])("%s is not brought back by a request that was under way", (_name, availability) => {
    for (const kind of ["exhausted", "rate-limited", "unauthorized", "forbidden"] as const) {
      expect(after(accountOf({ availability }), failed(kind)).availability).toBe(availability);
    }
  });

  test("a deactivation counts for a dead login too, and does not hide who switched the account off", () => {
    expect(after(accountOf({ availability: DEAD }), failed("deactivated")).availability.kind).toBe(
      "disabled",
    );
    expect(after(OFF, failed("deactivated")).availability).toBe(OFF.availability);
  });
});

describe("a limit of one model", () => {
  const limited = (model: string, resetsAtMs?: number) =>
    failed("rate-limited", { model, ...(resetsAtMs === undefined ? {} : { resetsAtMs }) });

  test("rests that model on that account, and nothing else", () => {
    const account = after(fresh, limited("gpt-5.4", NOON + 5000));
    expect(account.availability).toEqual({ kind: "ready" });
    expect([...account.modelCooldowns]).toEqual([["gpt-5.4", NOON + 5000]]);
    expect(account.consecutiveFailures).toBe(1);
    expect(fresh.modelCooldowns.size).toBe(0);
  });

  test("is guessed, not shortened, and forgotten when it is over", () => {
    const guessed = after(fresh, limited("a"));
    expect(guessed.modelCooldowns.get("a")).toBe(NOON + MINUTE);
    const still = after(guessed, limited("a", NOON + 1000));
    expect(still.modelCooldowns.get("a")).toBe(NOON + MINUTE);
    const later = after(still, limited("b"), NOON + MINUTE);
    expect([...later.modelCooldowns.keys()]).toEqual(["b"]);
  });
});

describe("a reading of the quota", () => {
  const tired = accountOf({ availability: { ...cooling("quota", NOON + DAY), sinceMs: NOON } });
  const read = (quota: Quota): Outcome => ({
    type: "measured",
    quota: { ...quota, measuredAtMs: NOON + 1 },
  });
  const rows: [name: string, before: Account, outcome: Outcome, kind: Availability["kind"]][] = [
    [
      "with room ends a quota's rest",
      tired,
      read(
        quotaOf([
          ["5h", 0, HOUR],
          ["7d", 99, DAY],
        ]),
      ),
      "ready",
    ],
    [
      "with one window full does not",
      tired,
      read(
        quotaOf([
          ["5h", 0, HOUR],
          ["7d", 100, DAY],
        ]),
      ),
      "cooling",
    ],
    [
      "with one window full, of unknown end, does not",
      tired,
      read(
        quotaOf([
          ["5h", 0, HOUR],
          ["7d", 100],
        ]),
      ),
      "cooling",
    ],
    [
      "of one feature's window only does not",
      tired,
      read(quotaOf([["codex_other 5h", 0, HOUR]])),
      "cooling",
    ],
    ["without windows does not", tired, read(quotaOf([])), "cooling"],
    [
      "with credits does, whatever the windows",
      tired,
      read(quotaOf([["5h", 100, HOUR]], { hasCredits: true })),
      "ready",
    ],
    [
      "beside an older window that is full does not",
      { ...tired, quota: quotaOf([["7d", 100, DAY]]) },
      read(quotaOf([["5h", 0, HOUR]])),
      "cooling",
    ],
    [
      "from before the rest began does not",
      tired,
      { type: "measured", quota: quotaOf([["5h", 0, HOUR]]) },
      "cooling",
    ],
    [
      "ends no other rest",
      accountOf({ availability: cooling("forbidden", NOON + DAY) }),
      read(quotaOf([["5h", 0, HOUR]])),
      "cooling",
    ],
    [
      "brings back no dead login",
      accountOf({ availability: DEAD }),
      read(quotaOf([["5h", 0, HOUR]])),
      "needs-login",
    ],
    [
      "brings back no disabled account",
      accountOf({ availability: DISABLED }),
      read(quotaOf([["5h", 0, HOUR]])),
      "disabled",
    ],
  ];
  test.each(rows)("%s", (_name, before, outcome, kind) => {
    const account = after(before, outcome, NOON + 1);
    expect(account.availability.kind).toBe(kind);
  });

  test.each([
    ["past", NOON - 1],
    ["absurd", Date.parse("2099-01-01")],
    ["no date at all", 1e21],
  ])("with a reset that is %s is believed but for that", (_name, resetsAtMs) => {
    const windows = [{ name: "5h", usedPercent: 100, isPartial: false, resetsAtMs }];
    const account = after(fresh, {
      type: "measured",
      quota: { windows, measuredAtMs: NOON, hasCredits: false },
    });
    expect(account.quota?.windows).toEqual([{ name: "5h", usedPercent: 100, isPartial: false }]);
  });
});

describe("new tokens", () => {
  const credential: Credential = {
    accessToken: "new",
    refreshToken: "newer",
    expiresAtMs: NOON + DAY,
  };
  const rows: [name: string, before: Availability, kind: Availability["kind"]][] = [
    ["end a rest for an old token's sake", cooling("unauthorized", NOON + DAY), "ready"],
    ["end the need of a login", DEAD, "ready"],
    ["do not end a quota's rest", cooling("quota", NOON + DAY), "cooling"],
    ["do not end a rate limit's rest", cooling("rate-limit", NOON + DAY), "cooling"],
    ["do not end a refusal's rest", cooling("forbidden", NOON + DAY), "cooling"],
    ["do not switch an account on", OFF.availability, "disabled"],
    ["leave a ready account ready", { kind: "ready" }, "ready"],
  ];
  test.each(rows)("from the issuer %s", (_name, availability, kind) => {
    const account = after(accountOf({ availability }), {
      type: "renewed",
      credential,
      atMs: NOON + 5,
    });
    expect(account.availability.kind).toBe(kind);
    expect(account.login).toEqual({ ...fresh.login, credential, lastRefreshedMs: NOON + 5 });
  });
  test.each(rows)("from the file %s", (_name, availability, kind) => {
    const account = after(accountOf({ availability }), {
      type: "reloaded",
      login: loginOf("ann", { credential }),
    });
    // The file says that it is not switched off: that is its owner's word.
    expect(account.availability.kind).toBe(availability === OFF.availability ? "ready" : kind);
  });

  test("in the file of an account that the backend had deactivated are tried", () => {
    const before = accountOf({ availability: DISABLED });
    expect(
      after(before, { type: "reloaded", login: loginOf("ann", { credential }) }).availability.kind,
    ).toBe("ready");
    expect(
      after(before, { type: "reloaded", login: loginOf("ann", { plan: "pro" }) }).availability,
    ).toBe(DISABLED);
  });
});

describe("a renewal that is refused for good", () => {
  const refused: Outcome = { type: "renewal-refused", reason: "invalid_grant" };
  test("asks for a login", () => {
    expect(after(fresh, refused).availability).toEqual({
      kind: "needs-login",
      sinceMs: NOON,
      reason: "invalid_grant",
    });
    expect(
      after(accountOf({ availability: cooling("quota", NOON + DAY) }), refused).availability.kind,
    ).toBe("needs-login");
  });

  test("leaves an account off that its owner switched off", () => {
    expect(after(OFF, refused).availability).toBe(OFF.availability);
  });
});

test("B6-6: a promise of weeks is believed of a quota only", () => {
  const promise = { resetsAtMs: NOON + 20 * DAY };
  expect(after(fresh, failed("exhausted", promise)).availability).toMatchObject({
    untilMs: NOON + 20 * DAY,
  });
  for (const kind of ["rate-limited", "forbidden", "unauthorized"] as const) {
    expect(after(fresh, failed(kind, promise)).availability).toMatchObject({
      untilMs: NOON + DAY,
    });
  }
  const limited = after(fresh, failed("rate-limited", { ...promise, model: "gpt-5.4" }));
  expect(limited.modelCooldowns.get("gpt-5.4")).toBe(NOON + DAY);
});

describe("an owner who wants an account used again", () => {
  const release = (account: Account) => after(account, { type: "released" }).availability;

  test("gets it back where the backend took it out, not where its file still says no", () => {
    expect(release(accountOf({ availability: DISABLED }))).toEqual({ kind: "ready" });
    expect(release(OFF)).toBe(OFF.availability);
    expect(release(accountOf({ availability: DEAD }))).toBe(DEAD);
  });

  test("gets it back from any rest, that of a model too", () => {
    for (const why of ["quota", "rate-limit", "forbidden"] as const) {
      const availability = cooling(why, NOON + DAY);
      expect(release(accountOf({ availability }))).toEqual({ kind: "ready" });
    }
    const modelCooldowns = new Map([["gpt-5.4", NOON + DAY]]);
    expect(after(accountOf({ modelCooldowns }), { type: "released" }).modelCooldowns.size).toBe(0);
    expect(after(fresh, { type: "released" })).toBe(fresh);
  });
});

describe("what an explicit sign has ended, for other instances", () => {
  const ended = (account: Account, outcome: Outcome, now = NOON) =>
    after(account, outcome, now).ended;
  const room = (measuredAtMs: number): Outcome => ({
    type: "measured",
    quota: quotaOf([["5h", 5, HOUR]], { measuredAtMs }),
  });

  test("a reading with room: the account's own rest, and others' that began some seconds before", () => {
    expect(ended(fresh, room(NOON))).toEqual({ quota: NOON - 2000 });
    const resting = accountOf({ availability: cooling("quota", NOON + DAY) });
    // It began a second before: that is why the reading counts.
    expect(ended(resting, room(NOON))).toEqual({ quota: NOON - 1000 });
    expect(
      ended(accountOf({ availability: cooling("forbidden", NOON + DAY) }), room(NOON)),
    ).toEqual({
      quota: NOON - 2000,
    });
    expect(ended(resting, room(NOON - 1500))).toEqual({ quota: NOON - 3500 });
  });

  test("nothing by a reading without room, by a success, by its coming in or back, by new tokens", () => {
    const full: Outcome = { type: "measured", quota: quotaOf([["5h", 100, HOUR]]) };
    const spent: Outcome = {
      type: "measured",
      quota: quotaOf([["5h", 5, HOUR]], { isSpent: true }),
    };
    const renewed: Outcome = { type: "renewed", credential: { accessToken: "b" }, atMs: NOON };
    const past: Past = { ...fresh, savedMs: NOON, hasSameTokens: true };
    for (const outcome of [
      full,
      spent,
      renewed,
      { type: "served" },
      { type: "restored", past },
    ] as const) {
      expect(
        ended(accountOf({ availability: cooling("quota", NOON + DAY) }), outcome),
      ).toBeUndefined();
    }
    expect(fresh.ended).toBeUndefined();
  });

  test("a check that succeeds: what took the account out, unless that was its owner", () => {
    const checked: Outcome = { type: "checked", quota: quotaOf([["5h", 5, HOUR]]) };
    const health: Availability = { kind: "disabled", by: "health", sinceMs: NOON - 5, reason: "" };
    expect(ended(accountOf({ availability: DISABLED }), checked)?.backend).toBe(NOON - 9);
    expect(ended(accountOf({ availability: health }), checked)?.health).toBe(NOON - 5);
    expect(ended(OFF, checked)).toEqual({ quota: NOON - 2000 });
  });

  test("its owner's word: everything but a login that is over", () => {
    const all = ended(accountOf({ availability: DISABLED }), { type: "released" }) ?? {};
    expect(Object.keys(all).toSorted()).toEqual(
      [
        "backend",
        "forbidden",
        "health",
        "policy",
        "quota",
        "rate-limit",
        "unauthorized",
      ].toSorted(),
    );
    expect(new Set(Object.values(all))).toEqual(new Set([NOON]));
    expect(ended(accountOf({ availability: DEAD }), { type: "released" })).toBeUndefined();
  });
});

describe("what all instances know of an account", () => {
  const finding: Finding = {
    trouble: "quota",
    sinceMs: NOON - 5,
    untilMs: NOON + HOUR,
    reason: "spent",
    tokens: undefined,
  };
  const none: Shared = { finding: undefined, modelCooldowns: new Map(), quota: undefined };
  const shared = (account: Account, more: Partial<Shared>): Account =>
    after(account, { type: "shared", shared: { ...none, ...more } });

  test("is how it stands, with its reading and the rests of its models", () => {
    const quota = quotaOf([["5h", 50, HOUR]]);
    const modelCooldowns = new Map([["o3", NOON + HOUR]]);
    const account = shared(fresh, { finding, quota, modelCooldowns });
    expect(account).toEqual({
      ...fresh,
      availability: {
        kind: "cooling",
        why: "quota",
        untilMs: NOON + HOUR,
        sinceMs: NOON - 5,
        reason: "spent",
      },
      quota,
      modelCooldowns,
    });
    expect(shared(account, {}).availability).toEqual({ kind: "ready" });
  });

  test("changes nothing where it says the same, or a rest that is over is all there was", () => {
    const account = shared(fresh, { finding });
    expect(shared(account, { finding: { ...finding, reason: "in other words" } })).toBe(account);
    const over = accountOf({ availability: cooling("quota", NOON) });
    expect(shared(over, {})).toBe(over);
    const rested = accountOf({ modelCooldowns: new Map([["o3", NOON]]) });
    expect(shared(rested, {})).toBe(rested);
    expect(shared(account, { finding: { ...finding, untilMs: NOON + 1 } })).not.toBe(account);
  });

  test("is not how it stands where its owner has switched it off", () => {
    expect(shared(OFF, { finding }).availability).toBe(OFF.availability);
  });

  test("counts no failure here", () => {
    expect(shared(fresh, { finding }).consecutiveFailures).toBe(0);
  });
});

describe("an account that a policy disables", () => {
  const disabled: Outcome = { type: "disabled", reason: "a policy" };

  test("is out with the reason, unless a policy or its owner has taken it out already", () => {
    const out = after(fresh, disabled, NOON + 5);
    expect(out.availability).toEqual({
      kind: "disabled",
      by: "policy",
      sinceMs: NOON + 5,
      reason: "a policy",
    });
    expect(after(out, { type: "disabled", reason: "another" })).toBe(out);
    expect(after(OFF, disabled)).toBe(OFF);
    expect(after(accountOf({ availability: DEAD }), disabled).availability.kind).toBe("disabled");
  });
});

describe("a file that was read again", () => {
  const reload = (account: Account, rest: Partial<Login>) =>
    after(account, { type: "reloaded", login: loginOf("ann", rest) }, NOON + 5);

  test("switches an account off, and on again", () => {
    const off = reload(fresh, { isSwitchedOff: true });
    expect(off.availability).toMatchObject({ kind: "disabled", by: "file", sinceMs: NOON + 5 });
    const still = reload(off, { isSwitchedOff: true, plan: "pro" });
    expect(still.availability).toBe(off.availability);
    expect(still.login.plan).toBe("pro");
    expect(reload(still, {}).availability).toEqual({ kind: "ready" });
  });

  test("B7-5: tells when somebody else has put other tokens there", () => {
    expect(reload(fresh, { plan: "pro" }).replacedMs).toBeUndefined();
    const other = reload(fresh, { credential: { accessToken: "other" } });
    expect(other.replacedMs).toBe(NOON + 5);
    const credential = { accessToken: "ours", refreshToken: "r" };
    const ours = after(other, { type: "renewed", credential, atMs: NOON + 9 }, NOON + 9);
    expect(ours.replacedMs).toBe(NOON + 5);
  });

  test("without new tokens ends no trouble", () => {
    for (const availability of [DEAD, DISABLED, cooling("unauthorized", NOON + DAY)]) {
      expect(reload(accountOf({ availability }), { plan: "pro" }).availability).toBe(availability);
    }
  });

  test("keeps what is known of the account", () => {
    const before = after(
      after(fresh, { type: "measured", quota: quotaOf([["5h", 7, HOUR]]) }),
      failed("network"),
    );
    const account = reload(before, { plan: "pro" });
    expect(account).toEqual({ ...before, login: loginOf("ann", { plan: "pro" }) });
  });

  test("names the account once its e-mail address is known, by the same hash", () => {
    const named = reload(fresh, { email: "ann.lee@example.com" });
    expect(named.label).toBe(fresh.label.replace("account", "an***@example.com"));
    expect(named.tag).toBe(fresh.tag);
  });
});

describe("a new account", () => {
  test("is ready, unmeasured, and known by a label and a tag that do not tell who it is", () => {
    const login = loginOf("user-1", { email: "ann.lee@example.com" });
    expect(admit(login, "0123456789abcdef", NOON)).toEqual({
      login,
      label: "an***@example.com#0123",
      tag: "01234567",
      availability: { kind: "ready" },
      quota: undefined,
      modelCooldowns: new Map(),
      consecutiveFailures: 0,
      failedChecks: 0,
    });
  });

  test("may be switched off from the start", () => {
    const { availability } = admit(loginOf("ann", { isSwitchedOff: true }), "0123", NOON);
    expect(availability).toMatchObject({ kind: "disabled", sinceMs: NOON });
  });
});

test("no outcome changes the account that it is given", () => {
  const before = accountOf({
    availability: cooling("quota", NOON + 5),
    quota: quotaOf([["5h", 1]]),
  });
  const copy = structuredClone(before);
  for (const kind of Object.keys(FAILURES))
    if (kind in FAILURES) after(before, failed("rate-limited", { model: kind }));
  after(before, { type: "served" });
  after(before, { type: "measured", quota: quotaOf([["5h", 2]]) });
  after(before, { type: "renewal-refused", reason: "x" });
  after(before, { type: "reloaded", login: loginOf("ann", { isSwitchedOff: true }) });
  expect(before).toEqual(copy);
});

describe("a 401 that comes late", () => {
  test("says nothing of an account whose token has been renewed meanwhile", () => {
    const late = { ...failed("unauthorized"), usedToken: "the old one" };
    expect(settle(fresh, late, POLICY, NOON)).toBe(fresh);
  });

  test("counts where the token is still the same", () => {
    const { accessToken = "" } = fresh.login.credential;
    const refused = { ...failed("unauthorized"), usedToken: accessToken };
    expect(settle(fresh, refused, POLICY, NOON).availability.kind).toBe("cooling");
  });
});

describe("what an earlier run knew", () => {
  const past = (rest: Partial<Past> = {}): Past => ({
    availability: { kind: "ready" },
    quota: undefined,
    modelCooldowns: new Map(),
    consecutiveFailures: 0,
    failedChecks: 0,
    savedMs: NOON - MINUTE,
    hasSameTokens: true,
    ...rest,
  });
  const restored = (rest: Partial<Past>, account = fresh, now = NOON): Account =>
    after(account, { type: "restored", past: past(rest) }, now);
  const spent = (untilMs: number) => ({ availability: cooling("quota", untilMs) });

  const rows: [
    name: string,
    past: Partial<Past>,
    kind: Availability["kind"],
    untilMs: number | undefined,
  ][] = [
    ["a rest that goes on goes on", spent(NOON + HOUR), "cooling", NOON + HOUR],
    ["a rest that is over is over", spent(NOON), "ready", undefined],
    ["B6-6: a rest until 2099 becomes a guess", spent(4.07e12), "cooling", NOON + MINUTE],
    [
      "a clock set back by a day: the rest has left what it had",
      {
        availability: { ...cooling("rate-limit", NOON + DAY + MINUTE), sinceMs: NOON + DAY },
        savedMs: NOON + DAY,
      },
      "cooling",
      NOON + MINUTE,
    ],
    [
      "a clock that is a day ahead ends a rest too early",
      { ...spent(NOON - HOUR), savedMs: NOON - DAY },
      "ready",
      undefined,
    ],
    ["a dead login is dead", { availability: DEAD }, "needs-login", undefined],
    [
      "a dead login with other tokens is tried",
      { availability: DEAD, hasSameTokens: false },
      "ready",
      undefined,
    ],
    ["a disabled account is disabled", { availability: DISABLED }, "disabled", undefined],
    [
      "a disabled account with other tokens is tried",
      { availability: DISABLED, hasSameTokens: false },
      "ready",
      undefined,
    ],
    [
      "a refused token that is another one now is tried",
      { availability: cooling("unauthorized", NOON + HOUR), hasSameTokens: false },
      "ready",
      undefined,
    ],
    [
      "other tokens end no spent quota",
      { ...spent(NOON + HOUR), hasSameTokens: false },
      "cooling",
      NOON + HOUR,
    ],
  ];
  test.each(rows)("%s", (_name, former, kind, untilMs) => {
    const { availability } = restored(former);
    expect(availability.kind).toBe(kind);
    expect(availability.kind === "cooling" ? availability.untilMs : undefined).toBe(untilMs);
    if (availability.kind !== "ready") expect(availability.sinceMs).toBeLessThanOrEqual(NOON);
  });

  test("the owner's word and what this run has found out stay", () => {
    expect(restored(spent(NOON + HOUR), OFF).availability).toBe(OFF.availability);
    const dead = accountOf({ availability: DEAD });
    expect(restored(spent(NOON + HOUR), dead).availability).toBe(DEAD);
    const measured = accountOf({ quota: quotaOf([["5h", 3, HOUR]]) });
    expect(restored({ quota: quotaOf([["5h", 99, HOUR]]) }, measured).quota).toBe(measured.quota);
  });

  test("B6-2: a restored cooldown is a hint that a reading with room ends", () => {
    const account = restored({ ...spent(NOON + DAY), quota: quotaOf([["5h", 100, DAY]]) });
    expect(standing(account, NOON).kind).toBe("cooling");
    const quota = quotaOf([["5h", 0, DAY]], { measuredAtMs: NOON + 1000 });
    expect(
      standing(after(account, { type: "measured", quota }, NOON + 1000), NOON + 1000).kind,
    ).toBe("ready");
  });

  test("a reading never looks newer than it can be, and a window whose reset has passed has begun anew", () => {
    const quota = quotaOf(
      [
        ["5h", 100, -HOUR],
        ["7d", 60, DAY],
      ],
      { measuredAtMs: NOON + DAY },
    );
    const account = restored({ quota, savedMs: NOON + DAY + 5 });
    expect(account.quota?.measuredAtMs).toBe(NOON - 5);
    expect(account.quota?.windows).toEqual(quota.windows);
    expect(standing(account, NOON).kind).toBe("ready");
  });

  test("models rest on, failures count on", () => {
    const modelCooldowns = new Map([
      ["a", NOON + 5],
      ["b", NOON - 5],
      ["c", 4.07e12],
    ]);
    const account = restored({ modelCooldowns, consecutiveFailures: 3 });
    expect([...account.modelCooldowns]).toEqual([
      ["a", NOON + 5],
      ["c", NOON + MINUTE],
    ]);
    expect(account.consecutiveFailures).toBe(3);
  });

  const time = fc.oneof(
    fc.integer({ min: NOON - 40 * DAY, max: NOON + 40 * DAY }),
    fc.constantFrom(0, 8.64e15, Number.NaN, Number.POSITIVE_INFINITY),
  );
  const evidence = { sinceMs: time, reason: fc.string() };
  const availability: fc.Arbitrary<Availability> = fc.oneof(
    fc.constant({ kind: "ready" } as const),
    fc.record({ kind: fc.constant("needs-login"), ...evidence }),
    fc.record({
      kind: fc.constant("disabled"),
      by: fc.constantFrom("file", "policy", "backend", "health"),
      ...evidence,
    }),
    fc.record({
      kind: fc.constant("cooling"),
      why: fc.constantFrom("quota", "rate-limit", "unauthorized", "forbidden"),
      untilMs: time,
      ...evidence,
    }),
  );

  test("whatever was written, nothing rests beyond the longest promise, and nothing began in the future", () => {
    const former = fc.record({
      availability,
      modelCooldowns: fc.array(fc.tuple(fc.string(), time)).map((all) => new Map(all)),
      consecutiveFailures: fc.nat(),
      failedChecks: fc.nat(),
      savedMs: time,
      hasSameTokens: fc.boolean(),
      quota: fc.option(
        fc.record({
          measuredAtMs: time,
          hasCredits: fc.boolean(),
          windows: fc.array(
            fc.record({
              name: fc.string(),
              usedPercent: fc.nat(100),
              resetsAtMs: time,
              isPartial: fc.boolean(),
            }),
          ),
        }),
        { nil: undefined },
      ),
    });
    fc.assert(
      fc.property(former, (all) => {
        const before = structuredClone(all);
        const account = restored(all);
        const latest = NOON + 32 * DAY;
        const ends = [...account.modelCooldowns.values()];
        const now = standing(account, NOON);
        if (now.kind === "cooling") ends.push(now.untilMs);
        for (const untilMs of ends) {
          expect(untilMs).toBeGreaterThan(NOON);
          expect(untilMs).toBeLessThanOrEqual(latest);
        }
        if (account.availability.kind !== "ready")
          expect(account.availability.sinceMs > NOON).toBe(false);
        expect((account.quota?.measuredAtMs ?? 0) > NOON).toBe(false);
        expect(all).toEqual(before);
      }),
    );
  });
});

describe("a check", () => {
  const quota = quotaOf([["5h", 5, HOUR]], { measuredAtMs: NOON + 1 });
  const good: Outcome = { type: "checked", quota };
  const empty: Outcome = { type: "checked", quota: quotaOf([]) };
  const bad = (most: number): Outcome => ({ type: "check-failed", reason: "401", most });

  test("that succeeds brings back whom a refusal or failed checks took out", () => {
    for (const outcome of [good, empty]) {
      const back = after(accountOf({ availability: DISABLED, failedChecks: 3 }), outcome);
      expect(back).toMatchObject({ availability: { kind: "ready" }, failedChecks: 0 });
    }
  });

  test("that succeeds brings back neither whom the owner or a policy took out, nor a dead login", () => {
    const byPolicy = after(fresh, { type: "disabled", reason: "policy" });
    expect(byPolicy.availability).toMatchObject({ kind: "disabled", reason: "policy" });
    for (const account of [OFF, byPolicy, accountOf({ availability: DEAD })]) {
      expect(after(account, good).availability).toBe(account.availability);
    }
  });

  test("a policy's word goes over a refusal's, but not over the owner's", () => {
    const policy: Outcome = { type: "disabled", reason: "policy" };
    const before = accountOf({ availability: DISABLED });
    expect(after(before, policy).availability).toMatchObject({ reason: "policy", sinceMs: NOON });
    expect(after(OFF, policy)).toBe(OFF);
  });

  test("that fails is counted apart from requests, and disables at the number that was set", () => {
    const once = after(fresh, bad(2));
    expect(once).toMatchObject({
      availability: { kind: "ready" },
      failedChecks: 1,
      consecutiveFailures: 0,
    });
    const twice = after(once, bad(2), NOON + 5);
    expect(twice.availability).toEqual({
      kind: "disabled",
      by: "health",
      sinceMs: NOON + 5,
      reason: "2 health checks in a row failed; the last one: 401",
    });
    expect(after(after(fresh, bad(0)), bad(0)).availability.kind).toBe("ready");
  });

  test("is forgiven by one that succeeds, and by a turn that was served", () => {
    const once = after(fresh, bad(2));
    expect(after(once, good).failedChecks).toBe(0);
    expect(after(once, { type: "served" }).failedChecks).toBe(0);
    expect(after(after(after(once, good), bad(2)), bad(3)).availability.kind).toBe("ready");
  });

  test("that fails hides no reason that is there", () => {
    for (const availability of [DEAD, DISABLED]) {
      expect(after(accountOf({ availability }), bad(1)).availability).toBe(availability);
    }
  });
});

describe("B7-11: a refusal outside of a turn", () => {
  test.each<[kind: FailureKind, why: Why]>([
    ["unauthorized", "unauthorized"],
    ["forbidden", "forbidden"],
    ["deactivated", "disabled"],
    ["exhausted", "quota"],
    ["challenged", "ready"],
    ["network", "ready"],
  ])("of kind %s means the same, and counts as no failed request", (kind, why) => {
    const account = after(fresh, { type: "refused", failure: { kind, message: "said so" } });
    const { availability } = account;
    expect(availability.kind === "cooling" ? availability.why : availability.kind).toBe(why);
    expect([account.consecutiveFailures, account.failedChecks]).toEqual([0, 0]);
  });

  test("of a token that has been replaced says nothing", () => {
    const failure: Failure = { kind: "unauthorized", message: "old" };
    expect(after(fresh, { type: "refused", failure, usedToken: "old" })).toBe(fresh);
  });
});

describe("B6-5: whoever is told that the quota is spent", () => {
  const roomy = accountOf({ quota: quotaOf([["5h", 10, HOUR]]) });

  test("loses a reading that says there is room", () => {
    const account = after(roomy, failed("exhausted"));
    expect(account.quota).toBeUndefined();
    expect(account.availability).toMatchObject({ kind: "cooling", why: "quota" });
  });

  test("keeps a reading that says so too", () => {
    const quota = quotaOf([
      ["5h", 10, HOUR],
      ["7d", 100, DAY],
    ]);
    const account = after(accountOf({ quota }), failed("exhausted"));
    expect(account.quota).toBe(quota);
    expect(standing(account, NOON)).toMatchObject({ kind: "cooling", untilMs: NOON + DAY });
  });

  test("loses one that counts on credits", () => {
    const quota = quotaOf([["5h", 100, HOUR]], { hasCredits: true });
    expect(after(accountOf({ quota }), failed("exhausted")).quota).toBeUndefined();
  });

  test.each(["rate-limited", "network", "unauthorized"] as const)(
    "%s takes no reading away",
    (kind) => {
      expect(after(roomy, failed(kind)).quota).toBe(roomy.quota);
    },
  );

  test("the 5 h window counts as the weekly one does", () => {
    const windows = (five: number, week: number) =>
      quotaOf([
        ["5h", five, HOUR],
        ["7d", week, DAY],
      ]);
    expect(headroom(windows(100, 0), NOON)).toBe(0);
    expect(headroom(windows(0, 100), NOON)).toBe(0);
    expect(exhaustedUntil(windows(100, 0), NOON)).toBe(NOON + HOUR);
    expect(exhaustedUntil(windows(0, 100), NOON)).toBe(NOON + DAY);
  });
});

describe("B6-2: a reading taken later", () => {
  const read = (quota: Quota): Outcome => ({
    type: "checked",
    quota: { ...quota, measuredAtMs: NOON + 1 },
  });
  const spent = after(fresh, failed("exhausted", { resetsAtMs: NOON + 6 * DAY }));

  test("of 0 % ends a rest that was to last for days", () => {
    const back = after(
      spent,
      read(
        quotaOf([
          ["5h", 0],
          ["7d", 0, 7 * DAY],
        ]),
      ),
      NOON + 1,
    );
    expect(standing(back, NOON + 1)).toEqual({ kind: "ready" });
  });

  test("that names every window ends what an older one said of others", () => {
    const full = accountOf({
      quota: quotaOf([["5h", 100, HOUR]]),
      availability: spent.availability,
    });
    const weekly = quotaOf([["7d", 0, DAY]], { isComplete: true });
    expect(standing(after(full, read(weekly), NOON + 1), NOON + 1)).toEqual({ kind: "ready" });
    const { isComplete: _, ...partial } = weekly;
    expect(standing(after(full, read(partial), NOON + 1), NOON + 1).kind).toBe("cooling");
  });

  test("of a model's own window ends that model's rest", () => {
    const model = "gpt-5.3-codex-spark";
    const resting = after(fresh, failed("rate-limited", { model, resetsAtMs: NOON + DAY }));
    const other = after(resting, failed("rate-limited", { model: "x", resetsAtMs: NOON + DAY }));
    const window = {
      name: "spark 5h",
      usedPercent: 10,
      isPartial: true,
      model: "GPT-5.3-Codex-Spark",
    };
    const reading = { ...quotaOf([]), windows: [window] };
    expect([...after(other, read(reading), NOON + 1).modelCooldowns.keys()]).toEqual(["x"]);
    const full = { ...reading, windows: [{ ...window, usedPercent: 100 }] };
    expect(after(other, read(full), NOON + 1).modelCooldowns.size).toBe(2);
  });

  test("that says that the limit is reached rests the account, whatever the windows", () => {
    const blocked = quotaOf([["5h", 29, HOUR]], { isSpent: true });
    const account = after(fresh, read(blocked), NOON + 1);
    expect(account.availability).toMatchObject({ kind: "cooling", why: "quota" });
    const again = after(
      account,
      { type: "checked", quota: { ...blocked, measuredAtMs: NOON + MINUTE } },
      NOON + MINUTE,
    );
    expect(again.availability).toMatchObject({ sinceMs: NOON + 1, untilMs: NOON + 11 * MINUTE });
    const room = { ...quotaOf([["5h", 29, HOUR]]), measuredAtMs: NOON + 2 * MINUTE };
    const back = after(again, { type: "checked", quota: room }, NOON + 2 * MINUTE);
    expect(back.availability).toEqual({ kind: "ready" });
  });

  test("that says so of an account with credits does not", () => {
    const quota = quotaOf([["5h", 29, HOUR]], { isSpent: true, hasCredits: true });
    expect(after(fresh, read(quota)).availability).toEqual({ kind: "ready" });
  });

  test("in which every field is missing changes nothing", () => {
    const measured = after(spent, read(quotaOf([["5h", 100, HOUR]])));
    expect(after(measured, read(quotaOf([])), NOON + MINUTE)).toBe(measured);
  });
});

describe("B6-3: the scope of a limit", () => {
  test("a spent quota is the account's even if a model is named, a rate limit that names it the model's", () => {
    const spent = after(fresh, failed("exhausted", { model: "gpt-5.4" }));
    expect(standing(spent, NOON).kind).toBe("cooling");
    expect(spent.modelCooldowns.size).toBe(0);
    const limited = after(fresh, failed("rate-limited", { model: "gpt-5.4" }));
    expect(standing(limited, NOON).kind).toBe("ready");
    expect([...limited.modelCooldowns.keys()]).toEqual(["gpt-5.4"]);
  });
});

describe("B6-6: whatever the backend promises", () => {
  const moments = fc.oneof(
    fc.constantFrom(
      undefined,
      Number.NaN,
      0,
      -1,
      Number.POSITIVE_INFINITY,
      Date.parse("2099-01-01"),
    ),
    fc.double(),
    fc.integer({ min: NOON - 60 * DAY, max: NOON + 60 * DAY }),
  );
  const kinds = fc.constantFrom("exhausted", "rate-limited", "unauthorized", "forbidden");
  const promise = (resetsAtMs: number | undefined) =>
    resetsAtMs === undefined ? {} : { resetsAtMs };

  test("a rest ends, within 32 days, and later than now", () => {
    fc.assert(
      fc.property(kinds, moments, (kind, resetsAtMs) => {
        const { availability } = after(fresh, failed(kind, promise(resetsAtMs)));
        const untilMs = availability.kind === "cooling" ? availability.untilMs : Number.NaN;
        expect(untilMs).toBeGreaterThan(NOON);
        expect(untilMs).toBeLessThanOrEqual(NOON + 32 * DAY);
      }),
    );
  });

  test("no failure shortens a rest", () => {
    fc.assert(
      fc.property(kinds, moments, kinds, moments, (first, one, second, other) => {
        const before = after(fresh, failed(first, promise(one)));
        const later = after(before, failed(second, promise(other)), NOON + 1);
        const end = ({ availability }: Account) =>
          availability.kind === "cooling" ? availability.untilMs : 0;
        expect(end(later)).toBeGreaterThanOrEqual(end(before));
      }),
    );
  });

  test("a reading's windows end after now or not at all, and within 32 days", () => {
    fc.assert(
      fc.property(moments, fc.integer({ min: 0, max: 100 }), (resetsAtMs, usedPercent) => {
        const windows = [{ name: "5h", usedPercent, isPartial: false, ...promise(resetsAtMs) }];
        const quota = { windows, measuredAtMs: NOON, hasCredits: false };
        const endMs = after(fresh, { type: "checked", quota }).quota?.windows[0]?.resetsAtMs;
        expect(endMs ?? NOON + 1).toBeWithin(NOON + 1, NOON + 32 * DAY + 1);
      }),
    );
  });
});

describe("a clock that jumps by a day", () => {
  test("forward: rests are over, and the next refusal rests it again", () => {
    const account = after(fresh, failed("exhausted", { resetsAtMs: NOON + HOUR }));
    expect(standing(account, NOON + DAY).kind).toBe("ready");
    expect(standing(after(account, failed("exhausted"), NOON + DAY), NOON + DAY).kind).toBe(
      "cooling",
    );
  });
});
