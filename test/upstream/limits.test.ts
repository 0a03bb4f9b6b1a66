import { describe, expect, test } from "bun:test";
import { quotaFromEvent, quotaFromHeaders } from "../../src/upstream/limits.ts";
import { type LimitsShape, limitHeaders, limitsEvent } from "../support/backend/limits.ts";

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
  return quotaFromHeaders(new Headers(Object.fromEntries(named)), NOON);
}

describe("quotaFromHeaders", () => {
  test("reads both windows, the plan and the moment", () => {
    expect(quotaFromHeaders(new Headers(limitHeaders(limits, "full", NOON)), NOON)).toEqual({
      windows: [FIVE_HOURS, WEEK],
      plan: "plus",
      hasCredits: false,
      measuredAtMs: NOON,
    });
  });

  test("names windows by their length, wherever they stand", () => {
    const headers = new Headers(limitHeaders(limits, "weekly-only", NOON));
    expect(quotaFromHeaders(headers, NOON)?.windows).toEqual([WEEK]);
  });

  test.each<LimitsShape>(["null-windows", "missing"])("%s: no reading", (shape) => {
    expect(quotaFromHeaders(new Headers(limitHeaders(limits, shape, NOON)), NOON)).toBeUndefined();
  });

  test("does without length and reset where they are empty strings", () => {
    const headers = new Headers(limitHeaders(limits, "blank", NOON));
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
    const headers = new Headers(limitHeaders(limits, "full", NOON));
    expect(quotaFromEvent(event, NOON)).toEqual(quotaFromHeaders(headers, NOON));
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
      ...["bengal_fox", "codex_other", "extra"].map((family) => ({
        name: `${family} 5h`,
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
