import { describe, expect, test } from "bun:test";
import { areStrangers, claimsOf, lifetimeOf, payloadsOf } from "../../src/store/claims.ts";
import { accessTokenOf, jwtOf, WORKSPACE } from "./tokens.ts";

describe("payloadsOf", () => {
  test("takes anything that is no JWT as opaque", () => {
    for (const token of ["", "rt_1", "a.b", "a.!!!.c", "a..c", `a.${btoa("[1]")}.c`, "ey.ey.ey"]) {
      expect(payloadsOf({ accessToken: token })).toEqual({ access: {}, id: {} });
    }
  });

  test("reads text beyond ASCII", () => {
    const payloads = payloadsOf({ idToken: jwtOf({ email: "łucja@例え.jp" }) });
    expect(claimsOf(payloads).email).toBe("łucja@例え.jp");
  });
});

test("lifetimeOf is the access token's alone, and knows no nonsense", () => {
  const idToken = jwtOf({ iat: 10, exp: 20 });
  expect(lifetimeOf(payloadsOf({ accessToken: jwtOf({ iat: 1, exp: 2 }), idToken }))).toEqual({
    issuedAtMs: 1000,
    expiresAtMs: 2000,
  });
  expect(lifetimeOf(payloadsOf({ accessToken: jwtOf({ iat: -1, exp: "x" }), idToken }))).toEqual(
    {},
  );
});

test("areStrangers only where both say who they are", () => {
  const of = (user?: string) =>
    payloadsOf({ accessToken: accessTokenOf({ ...(user && { user }), workspace: WORKSPACE }) });
  expect(areStrangers(of("a"), of("b"))).toBe(true);
  expect(areStrangers(of("a"), of("a"))).toBe(false);
  expect(areStrangers(of("a"), of())).toBe(false);
});
