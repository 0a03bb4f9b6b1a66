import { describe, expect, test } from "bun:test";
import {
  areOfOthers,
  areOthers,
  areStrangers,
  claimsOf,
  lifetimeOf,
  payloadsOf,
} from "../../src/store/claims.ts";
import { accessTokenOf, jwtOf, OTHER_WORKSPACE, WORKSPACE } from "./tokens.ts";

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

test("areOthers only where both say who they are: two people, or two workspaces", () => {
  const of = (subject: string, workspaceId?: string) => ({
    identity: workspaceId === undefined ? subject : `${subject}/${workspaceId}`,
    ...(workspaceId !== undefined && { workspaceId }),
    credential: {},
    isSwitchedOff: false,
    source: "a.json",
  });
  const ann = of("ann", WORKSPACE);
  expect(areOthers(ann, of("ann", OTHER_WORKSPACE))).toBe(true);
  expect(areOthers(ann, of("bob", WORKSPACE))).toBe(true);
  expect(areOthers(ann, of("bob"))).toBe(true);
  for (const same of [ann, of("ann"), of("file:a.json"), of("file:a.json", OTHER_WORKSPACE)]) {
    expect([areOthers(ann, same), areOthers(same, ann)]).toEqual([false, false]);
  }
});

test("areOfOthers only where both sets of tokens name their workspace", () => {
  const of = (workspace?: string) =>
    payloadsOf({ accessToken: accessTokenOf({ user: "a", ...(workspace && { workspace }) }) });
  expect(areOfOthers(of(WORKSPACE), of(OTHER_WORKSPACE))).toBe(true);
  expect(areOfOthers(of(WORKSPACE), of(WORKSPACE))).toBe(false);
  expect(areOfOthers(of(WORKSPACE), of())).toBe(false);
});
