import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  availabilityBy,
  type Finding,
  type Findings,
  findingOf,
  heaviest,
  joinFindings,
  joinKnown,
  modelRestsBy,
  modelTrouble,
  NOTHING_KNOWN,
  shiftFinding,
  shiftQuota,
  TROUBLES,
  type TroubleKey,
} from "../../src/pool/findings.ts";
import { accountOf, HOUR, loginOf, MINUTE, NOON, quotaOf } from "./logins.ts";

const MODEL = modelTrouble("gpt-5.4");

function rest(sinceMs: number, untilMs: number, more: Partial<Finding> = {}): Finding {
  const reason = "said so";
  return {
    ...{ trouble: "quota", reason, tokens: undefined, ...more },
    sinceMs: NOON + sinceMs,
    untilMs: NOON + untilMs,
  };
}

function found(...all: readonly Finding[]): Findings {
  return { found: all, over: new Map(), spentMs: 0 };
}

function over(trouble: TroubleKey, atMs: number): Findings {
  return { found: [], over: new Map([[trouble, NOON + atMs]]), spentMs: 0 };
}

const keys = fc.constantFrom<TroubleKey>(...TROUBLES, MODEL, modelTrouble("o3"));
const aFinding = fc.record({
  trouble: keys,
  sinceMs: fc.integer({ min: NOON - 50, max: NOON }),
  untilMs: fc.oneof(
    fc.integer({ min: NOON - 20, max: NOON + 60 }),
    fc.constant(Number.POSITIVE_INFINITY),
  ),
  reason: fc.constantFrom("one", "two"),
  tokens: fc.constantFrom(undefined, "old", "new"),
});
const someFindings: fc.Arbitrary<Findings> = fc.record({
  found: fc.array(aFinding, { maxLength: 6 }),
  over: fc
    .array(fc.tuple(keys, fc.integer({ min: NOON - 50, max: NOON })), { maxLength: 4 })
    .map((entries) => new Map(entries)),
  spentMs: fc.integer({ min: 0, max: 50 }),
});

function told({ found: all, over: ends, spentMs }: Findings): string {
  return JSON.stringify([all, [...ends].toSorted(), spentMs]);
}

describe("joining what was found", () => {
  test("comes to the same in whatever order and however often", () => {
    fc.assert(
      fc.property(someFindings, someFindings, someFindings, (one, other, third) => {
        const join = (a: Findings, b: Findings) => joinFindings(a, b, NOON);
        const left = join(join(one, other), third);
        expect(told(join(one, join(other, third)))).toBe(told(left));
        expect(told(join(third, join(other, one)))).toBe(told(left));
        expect(told(join(left, other))).toBe(told(left));
      }),
    );
  });

  test("keeps every rest that goes on and that nothing has ended, in how it stands", () => {
    fc.assert(
      fc.property(someFindings, someFindings, (one, other) => {
        const joined = joinFindings(one, other, NOON);
        for (const each of [...one.found, ...other.found]) {
          const ends = [one, other].map(({ over: its }) => its.get(each.trouble) ?? 0);
          if (each.untilMs <= NOON || ends.some((atMs) => atMs >= each.sinceMs)) continue;
          const kept = joined.found.filter(
            ({ trouble, tokens }) => trouble === each.trouble && tokens === each.tokens,
          );
          expect(kept.some(({ untilMs }) => untilMs >= each.untilMs)).toBe(true);
        }
      }),
    );
  });

  test("a longer rest hides no younger one: it is left when the longer one ends", () => {
    const long = rest(-10, 1000);
    const young = rest(-2, 100);
    const both = joinFindings(found(long), found(young), NOON);
    expect(both.found).toEqual([long, young]);
    expect(joinFindings(both, over("quota", -5), NOON).found).toEqual([young]);
  });

  test("an older and shorter one says nothing", () => {
    const joined = joinFindings(found(rest(-10, 100)), found(rest(-5, 100)), NOON);
    expect(joined.found).toEqual([rest(-5, 100)]);
  });

  test("what has ended is forgotten, and the end of a model's rest after a day", () => {
    const both = joinFindings(over(MODEL, 0), over("quota", 0), NOON + 26 * HOUR);
    expect([...both.over.keys()]).toEqual(["quota"]);
    expect(joinFindings(found(rest(-10, 0)), NOTHING_KNOWN, NOON).found).toEqual([]);
  });

  test("cannot grow without bounds", () => {
    const many = Array.from({ length: 500 }, (_, at) => rest(-at - 1, 1000 + at));
    const joined = joinFindings(found(...many), NOTHING_KNOWN, NOON);
    expect(joined.found).toHaveLength(64);
    // The youngest are kept.
    expect(joined.found.at(-1)).toEqual(rest(-1, 1000));
  });
});

describe("joining readings", () => {
  const older = quotaOf([["5h", 10, HOUR]], { measuredAtMs: NOON - MINUTE });
  const newer = quotaOf([["7d", 20, HOUR]]);
  const known = (quota: typeof older) => ({ ...NOTHING_KNOWN, quota });

  test("the newer one counts, with what only the older one tells, whichever comes first", () => {
    const wanted = { measuredAtMs: NOON, windows: [...newer.windows, ...older.windows] };
    expect(joinKnown(known(older), known(newer), NOON).quota).toMatchObject(wanted);
    expect(joinKnown(known(newer), known(older), NOON).quota).toMatchObject(wanted);
  });

  test("B6-5: one that shows room says nothing after a refusal, also when that is over", () => {
    const spent = { ...NOTHING_KNOWN, spentMs: NOON };
    expect(joinKnown(known(older), spent, NOON).quota).toBeUndefined();
    const full = quotaOf([["5h", 100, HOUR]], { measuredAtMs: NOON - MINUTE });
    expect(joinKnown(known(full), spent, NOON).quota).toBe(full);
    const later = quotaOf([["5h", 10, HOUR]], { measuredAtMs: NOON + 1 });
    expect(joinKnown(known(later), spent, NOON).quota).toBe(later);
  });
});

describe("how an account stands", () => {
  const by = (...all: readonly Finding[]) => availabilityBy(heaviest({ found: all }, "now", NOON));

  test("what only its owner can end comes first, then the dead login, then the longest rest", () => {
    const endless = { untilMs: Number.POSITIVE_INFINITY };
    const rests = [rest(0, 100), rest(0, 200, { trouble: "forbidden" })];
    const dead = { ...rest(0, 0, { trouble: "needs-login" }), ...endless };
    const out = { ...rest(0, 0, { trouble: "backend" }), ...endless };
    const policy = { ...rest(0, 0, { trouble: "policy" }), ...endless };
    expect(by(...rests)).toMatchObject({ kind: "cooling", why: "forbidden", untilMs: NOON + 200 });
    expect(by(...rests, dead)).toMatchObject({ kind: "needs-login" });
    expect(by(dead, out, ...rests)).toMatchObject({ kind: "disabled", by: "backend" });
    expect(by(out, policy)).toMatchObject({ kind: "disabled", by: "policy" });
  });

  test("what was found with other tokens, is over, or is of one model does not count", () => {
    expect(by(rest(0, 100, { trouble: "unauthorized", tokens: "before" }))).toEqual({
      kind: "ready",
    });
    expect(by(rest(-10, 0), rest(0, 100, { trouble: MODEL }))).toEqual({ kind: "ready" });
    expect(by(rest(0, 100, { trouble: "unauthorized", tokens: "now" })).kind).toBe("cooling");
  });

  test("goes there and back", () => {
    for (const trouble of TROUBLES) {
      const isRest = ["quota", "rate-limit", "unauthorized", "forbidden"].includes(trouble);
      const finding = { ...rest(-1, 100, { trouble, tokens: "t" }) };
      const whole = isRest ? finding : { ...finding, untilMs: Number.POSITIVE_INFINITY };
      const account = accountOf({ availability: availabilityBy(whole) });
      const isOfTokens = trouble !== "quota" && trouble !== "rate-limit" && trouble !== "forbidden";
      expect(findingOf(account, "t")).toEqual({ ...whole, tokens: isOfTokens ? "t" : undefined });
    }
    expect(findingOf(accountOf(), "t")).toBeUndefined();
    const off = accountOf({}, loginOf("ann", { isSwitchedOff: true }));
    expect(findingOf(off, "t")).toBeUndefined();
  });

  test("rests of models are by model, the longest of each", () => {
    const all = [
      rest(-9, 100, { trouble: MODEL }),
      rest(-1, 50, { trouble: MODEL }),
      rest(-1, 0, { trouble: modelTrouble("o3") }),
      rest(-1, 100),
    ];
    expect([...modelRestsBy({ found: all }, NOON)]).toEqual([["gpt-5.4", NOON + 100]]);
  });
});

test("moments go by another clock", () => {
  expect(shiftFinding(rest(0, 100), 5)).toEqual(rest(5, 105));
  const shifted = shiftQuota(
    quotaOf([
      ["5h", 10, HOUR],
      ["7d", 1],
    ]),
    5,
  );
  expect(shifted).toEqual({
    ...quotaOf([
      ["5h", 10, HOUR + 5],
      ["7d", 1],
    ]),
    measuredAtMs: NOON + 5,
  });
});
