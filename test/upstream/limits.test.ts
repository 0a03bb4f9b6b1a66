import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { quotaFromEvent, quotaFromHeaders, quotaFromUsage } from "../../src/upstream/limits.ts";
import type { Dict } from "../../src/wire/json.ts";
import {
  type LimitsShape,
  limitHeaders,
  limitsEvent,
  usageBody,
} from "../support/backend/limits.ts";

const NOON = 1_795_219_200_000;
const at = (seconds: number): number => NOON / 1000 + seconds;

const fiveHours = { usedPercent: 46, windowSeconds: 18_000, resetAt: at(3600) };
const week = { usedPercent: 12.5, windowSeconds: 604_800, resetAt: at(400_000) };
const limits = { plan: "plus", primary: fiveHours, secondary: week };

const FIVE_HOURS = {
  name: "5h",
  usedPercent: 46,
  isPartial: false,
  windowSeconds: 18_000,
  resetsAtMs: at(3600) * 1000,
};
const WEEK = {
  name: "7d",
  usedPercent: 12.5,
  isPartial: false,
  windowSeconds: 604_800,
  resetsAtMs: at(400_000) * 1000,
};

/** What headers say, with `x-codex-` before each name. */
function fromHeaders(parts: Readonly<Record<string, string>>) {
  const named = Object.entries(parts).map(([name, value]) => [`x-codex-${name}`, value] as const);
  return quotaFromHeaders(Object.fromEntries(named), NOON);
}

describe("quotaFromHeaders", () => {
  test("reads both windows, the plan and the moment", () => {
    expect(quotaFromHeaders(limitHeaders(limits, "full", NOON), NOON)).toEqual({
      windows: [FIVE_HOURS, WEEK],
      plan: "plus",
      hasCredits: false,
      measuredAtMs: NOON,
    });
  });

  test("names windows by their length, wherever they stand", () => {
    const headers = limitHeaders(limits, "weekly-only", NOON);
    expect(quotaFromHeaders(headers, NOON)?.windows).toEqual([WEEK]);
  });

  test.each<LimitsShape>(["null-windows", "missing"])("%s: no reading", (shape) => {
    expect(quotaFromHeaders(limitHeaders(limits, shape, NOON), NOON)).toBeUndefined();
  });

  test("does without length and reset where they are empty strings", () => {
    const headers = limitHeaders(limits, "blank", NOON);
    expect(quotaFromHeaders(headers, NOON)?.windows).toEqual([
      { name: "window", usedPercent: 46, isPartial: false },
      { name: "window", usedPercent: 12.5, isPartial: false },
    ]);
  });

  const windows: [name: string, parts: Record<string, string>, has: boolean][] = [
    ["an empty share", { "primary-used-percent": "" }, false],
    ["no number for a share", { "primary-used-percent": "many" }, false],
    ["a share of nothing", { "primary-used-percent": "0", "primary-window-minutes": "0" }, false],
    [
      "0 % and empty fields",
      { "primary-used-percent": "0", "primary-window-minutes": "", "primary-reset-at": "" },
      false,
    ],
    ["0 % of a length", { "primary-used-percent": "0", "primary-window-minutes": "300" }, true],
    ["0 % until a reset", { "primary-used-percent": "0", "primary-reset-at": "1795209520" }, true],
    ["a bare share", { "primary-used-percent": "3" }, true],
    ["a length alone", { "primary-window-minutes": "300" }, false],
    ["another position alone", { "secondary-used-percent": "3" }, false],
    ["another header", { "primary-over-secondary-limit-percent": "0", "plan-type": "plus" }, false],
  ];
  test.each(windows)("%s: a window is there: %p", (_name, parts, has) => {
    expect(fromHeaders(parts) !== undefined).toBe(has);
  });

  test("counts the reset from now where no time is given", () => {
    const quota = fromHeaders({
      "primary-used-percent": "100",
      "primary-reset-at": "",
      "primary-reset-after-seconds": "90",
    });
    expect(quota?.windows[0]?.resetsAtMs).toBe(NOON + 90_000);
  });

  test("keeps shares between 0 and 100", () => {
    const quota = fromHeaders({ "primary-used-percent": "130", "secondary-used-percent": "-4" });
    expect(quota?.windows.map(({ usedPercent }) => usedPercent)).toEqual([100, 0]);
  });

  test("reads further families as partial, under the names that events use", () => {
    const quota = fromHeaders({
      "primary-used-percent": "46",
      "primary-window-minutes": "300",
      "bengal-fox-primary-used-percent": "70",
      "bengal-fox-primary-window-minutes": "300",
      "bengal-fox-secondary-used-percent": "1",
      "bengal-fox-secondary-window-minutes": "10080",
      "bengal-fox-limit-name": "Bengal",
    });
    expect(quota?.windows.map(({ name, isPartial }) => [name, isPartial]).toSorted()).toEqual([
      ["5h", false],
      ["bengal_fox 5h", true],
      ["bengal_fox 7d", true],
    ]);
  });

  const lengths: [minutes: string, name: string][] = [
    ["300", "5h"],
    ["10080", "7d"],
    ["43200", "30d"],
    ["1440", "1d"],
    ["90", "90m"],
    ["-5", "window"],
  ];
  test.each(lengths)("a window of %s minutes is called %s", (minutes, name) => {
    const quota = fromHeaders({ "primary-used-percent": "1", "primary-window-minutes": minutes });
    expect(quota?.windows[0]?.name).toBe(name);
  });

  const credits: [header: string, value: string, has: boolean][] = [
    ["has-credits", "True", true],
    ["has-credits", "true", true],
    ["has-credits", "1", true],
    ["unlimited", " TRUE ", true],
    ["has-credits", "False", false],
    ["has-credits", "0", false],
    ["has-credits", "", false],
    ["balance", "12.50", false],
  ];
  test.each(credits)("credits-%s: %p means credits: %p", (header, value, has) => {
    const quota = fromHeaders({ "primary-used-percent": "1", [`credits-${header}`]: value });
    expect(quota?.hasCredits).toBe(has);
  });
});

describe("quotaFromEvent", () => {
  test("reads what the headers say", () => {
    const event = limitsEvent(limits, "full", NOON);
    const headers = limitHeaders(limits, "full", NOON);
    const said = quotaFromEvent(event, NOON);
    expect(said).toMatchObject(quotaFromHeaders(headers, NOON) ?? {});
    expect(said?.balance).toBe("0");
  });

  test.each<LimitsShape>(["null-windows", "missing"])("%s: no reading", (shape) => {
    expect(quotaFromEvent(limitsEvent(limits, shape, NOON), NOON)).toBeUndefined();
  });

  test.each([{}, { rate_limits: null }, { rate_limits: [] }, { rate_limits: { primary: 5 } }])(
    "%p: no reading",
    (event) => {
      expect(quotaFromEvent(event, NOON)).toBeUndefined();
    },
  );

  test("reads further limits in the usage endpoint's spelling, under their id", () => {
    const window = { used_percent: 70, limit_window_seconds: 18_000, reset_after_seconds: 60 };
    const rate_limit = { primary_window: window, secondary_window: null };
    const event = {
      rate_limits: { primary: { used_percent: "5", window_minutes: 300 } },
      additional_rate_limits: [
        { limit_name: "Bengal", metered_feature: "bengal_fox", rate_limit },
        { limit_name: "codex_other", rate_limit },
        { rate_limit },
        null,
      ],
    };
    expect(quotaFromEvent(event, NOON)?.windows).toEqual([
      { name: "5h", usedPercent: 5, isPartial: false, windowSeconds: 18_000 },
      ...[
        { name: "bengal_fox 5h", model: "Bengal" },
        { name: "other 5h", model: "codex_other" },
        { name: "extra 5h" },
      ].map((named) => ({
        ...named,
        usedPercent: 70,
        isPartial: true,
        windowSeconds: 18_000,
        resetsAtMs: NOON + 60_000,
      })),
    ]);
  });

  test("reads credits", () => {
    const rate_limits = { primary: { used_percent: 100, window_minutes: 300 } };
    for (const credits of [{ has_credits: true }, { unlimited: true }]) {
      expect(quotaFromEvent({ rate_limits, credits }, NOON)?.hasCredits).toBe(true);
    }
    expect(quotaFromEvent({ rate_limits, credits: null }, NOON)?.hasCredits).toBe(false);
  });
});

const OWNER = { userId: "user-1", workspaceId: "w", email: "ann@example.com" };
const HOUR_5 = { used_percent: 46, limit_window_seconds: 18_000, reset_at: at(3600) };

function fromUsage(rest: Dict) {
  return quotaFromUsage({ plan_type: "plus", ...rest }, NOON);
}

describe("quotaFromUsage", () => {
  test("says the same windows, by the same names, as headers and events", () => {
    const usage = quotaFromUsage(usageBody(OWNER, limits, "full", NOON), NOON);
    expect(usage).toEqual({
      windows: [FIVE_HOURS, WEEK],
      plan: "plus",
      hasCredits: false,
      balance: "0",
      isComplete: true,
      measuredAtMs: NOON,
    });
    const event = quotaFromEvent(limitsEvent(limits, "full", NOON), NOON);
    expect(event?.windows).toEqual([...usage.windows]);
  });

  test("B6-4: a window is called by the length that the backend gives it, whatever the plan and the place", () => {
    const month = { used_percent: 9, limit_window_seconds: 2_592_000, reset_at: at(90_000) };
    const rate_limit = { primary_window: month, secondary_window: null };
    const usage = quotaFromUsage({ plan_type: "free", rate_limit }, NOON);
    expect(usage.windows).toMatchObject([{ name: "30d", windowSeconds: 2_592_000 }]);
    const weekly = quotaFromUsage(usageBody(OWNER, limits, "weekly-only", NOON), NOON);
    expect(weekly.windows).toEqual([WEEK]);
  });

  test.each<[name: string, usage: Dict]>([
    ["nothing at all", {}],
    ["null windows", usageBody(OWNER, limits, "null-windows", NOON)],
    ["no rate_limit", usageBody(OWNER, limits, "missing", NOON)],
    ["texts that are empty", { rate_limit: { primary_window: { used_percent: "" } } }],
    ["no number", { rate_limit: { primary_window: { used_percent: Number.NaN, reset_at: 5 } } }],
    ["NaN as a text", { rate_limit: { primary_window: { used_percent: "NaN" } } }],
    ["windows that are lists", { rate_limit: { primary_window: [1], secondary_window: "x" } }],
    ["a zero without length and end", { rate_limit: { primary_window: { used_percent: 0 } } }],
    ["fields of other kinds", { rate_limit: 5, credits: [], additional_rate_limits: {} }],
  ])("%s is an empty reading", (_name, usage) => {
    const quota = quotaFromUsage(usage, NOON);
    expect(quota.windows).toEqual([]);
    expect(quota).toMatchObject({ hasCredits: false });
    expect(quota).not.toHaveProperty("isSpent");
    expect(quota).not.toHaveProperty("isComplete");
  });

  test.each<[value: unknown, percent: number]>([
    [12.5, 12.5],
    ["12.5", 12.5],
    ["100", 100],
    [-4, 0],
    [140, 100],
  ])("%p percent are %p", (value, percent) => {
    const quota = fromUsage({ rate_limit: { primary_window: { ...HOUR_5, used_percent: value } } });
    expect(quota.windows[0]?.usedPercent).toBe(percent);
  });

  test("further limits and code reviews are partial; reviews are none of this program's", () => {
    const quota = fromUsage({
      code_review_rate_limit: { primary_window: { ...HOUR_5, used_percent: 100 } },
      additional_rate_limits: [
        {
          limit_name: "GPT-5.3-Codex-Spark",
          metered_feature: "codex_bengalfox",
          rate_limit: { primary_window: HOUR_5, secondary_window: null },
        },
        { limit_name: "x", rate_limit: null },
        null,
      ],
    });
    expect(quota.windows).toMatchObject([
      { name: "code_review 5h", isPartial: true, isForeign: true },
      { name: "bengalfox 5h", isPartial: true, model: "GPT-5.3-Codex-Spark" },
    ]);
    const headers = fromHeaders({
      "bengalfox-primary-used-percent": "46",
      "bengalfox-primary-window-minutes": "300",
    });
    expect(headers?.windows[0]?.name).toBe("bengalfox 5h");
  });

  const room = { primary_window: HOUR_5 };
  test.each<[name: string, usage: Dict, isSpent: boolean]>([
    ["room", { rate_limit: { ...room, allowed: true, limit_reached: false } }, false],
    ["not allowed, below 100 %", { rate_limit: { ...room, allowed: false } }, true],
    ["limit reached, below 100 %", { rate_limit: { ...room, limit_reached: true } }, true],
    ["not allowed, without windows", { rate_limit: { allowed: false } }, true],
    ["a type of limit", { rate_limit: room, rate_limit_reached_type: { type: "x" } }, true],
    ["a cap on spending alone", { spend_control: { reached: true } }, true],
    [
      "a cap on spending beside a plan with room",
      { rate_limit: { ...room, allowed: true }, spend_control: { reached: true } },
      false,
    ],
  ])("%s: spent is %p", (_name, usage, isSpent) => {
    expect(fromUsage(usage).isSpent).toBe(isSpent ? true : undefined);
  });

  test.each<[credits: unknown, hasCredits: boolean, balance: string | undefined]>([
    [{ has_credits: true, balance: "12.50" }, true, "12.50"],
    [{ has_credits: true, balance: 3 }, true, "3"],
    [{ has_credits: true, balance: "0.00" }, false, "0.00"],
    [{ has_credits: true, balance: "" }, true, undefined],
    [{ has_credits: true, overage_limit_reached: true, balance: "9" }, false, "9"],
    [{ unlimited: true, balance: "0" }, true, "0"],
    [{ has_credits: "yes" }, false, undefined],
    [null, false, undefined],
  ])("credits %p", (credits, hasCredits, balance) => {
    const quota = fromUsage({ credits });
    expect([quota.hasCredits, quota.balance]).toEqual([hasCredits, balance]);
  });

  test("a reading that does not mention credits says so", () => {
    const silent = { isSilentOnCredits: true, hasCredits: false };
    expect(fromUsage({})).toMatchObject(silent);
    expect(fromUsage({ credits: {} })).not.toHaveProperty("isSilentOnCredits");
    const rate_limits = { primary: { used_percent: 5, window_minutes: 300 } };
    expect(quotaFromEvent({ rate_limits, credits: null }, NOON)).toMatchObject(silent);
    expect(fromHeaders({ "primary-used-percent": "1" })).toMatchObject(silent);
    const told = fromHeaders({ "primary-used-percent": "1", "credits-has-credits": "False" });
    expect(told).not.toHaveProperty("isSilentOnCredits");
  });

  test("whose spending is capped has no use of credits", () => {
    const quota = fromUsage({ credits: { has_credits: true }, spend_control: { reached: true } });
    expect(quota).toMatchObject({ hasCredits: false, isSpent: true });
  });

  test("B6-6: of two ends the one that can be believed counts", () => {
    const ends = (window: Dict) =>
      fromUsage({ rate_limit: { primary_window: { used_percent: 5, ...window } } }).windows[0]
        ?.resetsAtMs;
    expect(ends({ reset_at: at(-5), reset_after_seconds: 60 })).toBe(NOON + 60_000);
    expect(ends({ reset_at: at(73 * 365 * 86_400), reset_after_seconds: 60 })).toBe(NOON + 60_000);
    expect(ends({ reset_at: 0, reset_after_seconds: -5 })).toBeUndefined();
  });

  test("any JSON whatever is a reading whose numbers can be used", () => {
    const leaf = fc.oneof(
      fc.constantFrom(null, "", "12", "NaN", -1, 0, 99.5, 1e300, at(60), "x", true, []),
      fc.double(),
    );
    const window = fc.oneof(
      leaf,
      fc.record(
        { used_percent: leaf, reset_at: leaf, reset_after_seconds: leaf, window_minutes: leaf },
        { requiredKeys: [] },
      ),
    );
    const limit = fc.oneof(
      leaf,
      fc.record(
        { primary_window: window, secondary_window: window, allowed: leaf },
        { requiredKeys: [] },
      ),
    );
    const extras = fc.array(fc.record({ metered_feature: leaf, rate_limit: limit }), {
      maxLength: 2,
    });
    const usages = fc.record(
      { rate_limit: limit, additional_rate_limits: fc.oneof(leaf, extras), credits: leaf },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(usages, (usage) => {
        const quota = quotaFromUsage(usage, NOON);
        for (const { usedPercent, resetsAtMs } of quota.windows) {
          expect(usedPercent).toBeWithin(0, 101);
          if (resetsAtMs !== undefined) expect(resetsAtMs).toBeGreaterThan(NOON);
        }
      }),
    );
  });
});
