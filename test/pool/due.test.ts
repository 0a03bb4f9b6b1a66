import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Login } from "../../src/pool/account.ts";
import type { Credential } from "../../src/pool/credential.ts";
import { isDue, shareOf } from "../../src/pool/due.ts";
import { sha256 } from "../../src/wire/digest.ts";
import { loginOf } from "../engine/parts.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** The account that comes last of all, and the one that comes first. */
const LAST = "00000000";
const FIRST = "ffffffff";

function due(credential: Credential, tag = LAST, lastRefreshedMs?: number): boolean {
  const login: Login = {
    ...loginOf("ann"),
    credential: { refreshToken: "r", ...credential },
    ...(lastRefreshedMs === undefined ? {} : { lastRefreshedMs }),
  };
  return isDue({ login, tag }, 0);
}

describe("isDue", () => {
  const rows: [name: string, credential: Credential, isDue: boolean][] = [
    ["no access token", {}, true],
    ["a token that says nothing of its end", { accessToken: "t" }, false],
    ["an ended one", { accessToken: "t", expiresAtMs: -1 }, true],
    ["4 minutes left", { accessToken: "t", expiresAtMs: 4 * MINUTE }, true],
    ["5 minutes left", { accessToken: "t", expiresAtMs: 5 * MINUTE }, false],
    ["a day left of ten", { accessToken: "t", issuedAtMs: -9 * DAY, expiresAtMs: DAY }, false],
    [
      "less than a day left of ten",
      { accessToken: "t", issuedAtMs: -9 * DAY - 10, expiresAtMs: DAY - 10 },
      true,
    ],
    [
      "an hour left of two",
      { accessToken: "t", issuedAtMs: -60 * MINUTE, expiresAtMs: 60 * MINUTE },
      false,
    ],
    [
      "an issue after its end",
      { accessToken: "t", issuedAtMs: DAY, expiresAtMs: 10 * MINUTE },
      false,
    ],
  ];
  test.each(rows)("%s", (_name, credential, expected) => {
    expect(due(credential)).toBe(expected);
  });

  test("nothing is due where there is nothing to renew it with", () => {
    const { credential } = loginOf("ann");
    const { refreshToken: _none, ...bare } = { ...credential, expiresAtMs: 1 };
    expect(isDue({ login: { ...loginOf("ann"), credential: bare }, tag: FIRST }, 0)).toBe(false);
  });

  test("a token without an end is due eight days after its last renewal", () => {
    const opaque = { accessToken: "t" };
    expect(due(opaque, LAST, -8 * DAY)).toBe(false);
    expect(due(opaque, LAST, -8 * DAY - 1)).toBe(true);
    expect(due(opaque, FIRST, -7 * DAY)).toBe(false);
    expect(due(opaque, FIRST, -7.7 * DAY)).toBe(true);
    // Where no renewal is known of, its birth counts; a renewal in the future says that a clock is wrong.
    expect(due({ ...opaque, issuedAtMs: -9 * DAY })).toBe(true);
    expect(due(opaque, FIRST, 30 * DAY)).toBe(false);
  });

  test("an account is due sooner by a share of its own, at most by half a tenth of its life", () => {
    const left = (days: number): Credential => ({
      accessToken: "t",
      issuedAtMs: (days - 10) * DAY,
      expiresAtMs: days * DAY,
    });
    expect(due(left(1.49), FIRST)).toBe(true);
    expect(due(left(1.49), LAST)).toBe(false);
    expect(due(left(1.51), FIRST)).toBe(false);
  });

  test("B7-2: a hundred accounts that were imported together are due over half a day, not together", () => {
    const hours = new Set<number>();
    for (let index = 0; index < 100; index++) {
      const tag = sha256(`user-${index}/workspace`).slice(0, 8);
      let hour = 0;
      while (
        !due(
          {
            accessToken: "t",
            issuedAtMs: -hour * 60 * MINUTE,
            expiresAtMs: 10 * DAY - hour * 60 * MINUTE,
          },
          tag,
        )
      )
        hour += 1;
      hours.add(hour);
    }
    expect(Math.min(...hours)).toBeGreaterThanOrEqual(8.5 * 24);
    expect(Math.max(...hours)).toBeLessThanOrEqual(9 * 24 + 1);
    expect(hours.size).toBeGreaterThan(9);
  });

  test("whatever the account, it is due with a tenth left and not before three twentieths", () => {
    const tags = fc
      .integer({ min: 0, max: 2 ** 32 - 1 })
      .map((n) => n.toString(16).padStart(8, "0"));
    const life = fc.integer({ min: 60 * MINUTE, max: 90 * DAY });
    fc.assert(
      fc.property(tags, life, (tag, lifeMs) => {
        const left = (share: number): Credential => ({
          accessToken: "t",
          issuedAtMs: (share - 1) * lifeMs,
          expiresAtMs: share * lifeMs,
        });
        expect(due(left(0.0999), tag)).toBe(true);
        expect(due(left(0.1501), tag)).toBe(false);
      }),
    );
  });
});

test("a share is from 0 to 1, and a tag's own", () => {
  fc.assert(
    fc.property(fc.string(), (name) => {
      const tag = sha256(name).slice(0, 8);
      expect(shareOf(tag)).toBeWithin(0, 1);
      expect(shareOf(tag)).toBe(shareOf(tag));
    }),
  );
  expect([shareOf(LAST), shareOf("80000000"), shareOf("")]).toEqual([0, 0.5, 0]);
});
