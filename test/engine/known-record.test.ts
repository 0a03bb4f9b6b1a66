import { describe, expect, test } from "bun:test";
import { decodeKnown, encodeKnown } from "../../src/engine/known-record.ts";
import { type Known, modelTrouble, NOTHING_KNOWN } from "../../src/pool/findings.ts";
import { DAY, HOUR, NOON, quotaOf } from "../pool/logins.ts";

const WHOLE: Known = {
  found: [
    { trouble: "quota", sinceMs: NOON, untilMs: NOON + HOUR, reason: "spent", tokens: undefined },
    {
      trouble: "backend",
      sinceMs: NOON - 1,
      untilMs: Number.POSITIVE_INFINITY,
      reason: "gone",
      tokens: "0123456789ab",
    },
    {
      trouble: modelTrouble("gpt-5.4"),
      sinceMs: NOON,
      untilMs: NOON + HOUR,
      reason: "slow",
      tokens: undefined,
    },
  ],
  over: new Map([["rate-limit", NOON - 5]]),
  spentMs: NOON,
  quota: quotaOf([["5h", 10, HOUR]]),
};

describe("what is known of an account, as text", () => {
  test("is read as it was written", () => {
    expect(decodeKnown(encodeKnown(WHOLE), NOON)).toEqual(WHOLE);
    expect(decodeKnown(encodeKnown(NOTHING_KNOWN), NOON)).toEqual(NOTHING_KNOWN);
  });

  test("holds no secret, and no text without end", () => {
    const [first] = WHOLE.found;
    if (first === undefined) throw new Error("there is one");
    const token = `eyJ${"a".repeat(40)}.${"b".repeat(40)}.${"c".repeat(40)}`;
    const reason = `Bearer ${token} ${"x".repeat(5000)}`;
    const model = { ...first, trouble: modelTrouble(token) };
    const written = encodeKnown({ ...WHOLE, found: [{ ...first, reason }, model] });
    expect(written).not.toContain(token);
    expect(written.length).toBeLessThan(1500);
    expect(decodeKnown(written, NOON)?.found).toHaveLength(1);
  });

  test("keeps the members of a later version, and takes none of its own from there", () => {
    const former = JSON.stringify({ v: 1, spent: 5, later: { a: 1 }, found: "x" });
    const written = JSON.parse(encodeKnown(NOTHING_KNOWN, former));
    expect(written).toEqual({ v: 1, found: [], over: {}, later: { a: 1 } });
  });

  test.each(["", "rubbish", "[]", '{"found":[]}', '{"v":2,"found":[]}', '{"v":"1"}'])(
    "%j cannot be read",
    (text) => {
      expect(decodeKnown(text, NOON)).toBeUndefined();
    },
  );

  test("what is wrong in it is left out", () => {
    const good = { trouble: "quota", since: NOON, until: NOON + HOUR, reason: "r" };
    const bad = [
      5,
      { ...good, trouble: "file" },
      { ...good, trouble: 7 },
      { ...good, since: "noon" },
      { ...good, since: -1 },
      { ...good, until: "later" },
      // For a year: no window is as long.
      { ...good, until: NOON + 365 * DAY },
      { ...good, until: undefined },
      { ...good, trouble: "backend" },
    ];
    const body = {
      v: 1,
      found: [...bad, good],
      over: { quota: "x", nobody: 1 },
      spent: {},
      quota: 9,
    };
    expect(decodeKnown(JSON.stringify(body), NOON)).toEqual({
      ...NOTHING_KNOWN,
      found: [
        {
          ...good,
          sinceMs: NOON,
          untilMs: NOON + HOUR,
          tokens: undefined,
          since: undefined,
          until: undefined,
        },
      ].map(({ since: _since, until: _until, ...kept }) => ({
        ...kept,
        trouble: "quota" as const,
      })),
    });
  });

  test("what begins or ends in the future does so now: nobody could end it otherwise", () => {
    const far = NOON + DAY;
    const body = {
      v: 1,
      found: [{ trouble: "policy", since: far, reason: "r" }],
      over: { quota: far },
      spent: far,
    };
    const read = decodeKnown(JSON.stringify(body), NOON);
    expect(read?.found[0]?.sinceMs).toBe(NOON);
    expect([read?.over.get("quota"), read?.spentMs]).toEqual([NOON, NOON]);
  });
});
