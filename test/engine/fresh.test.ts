import { describe, expect, test } from "bun:test";
import { failed, familiesOf, merge } from "../../src/engine/fresh.ts";
import { accessOf, NOON } from "./parts.ts";

describe("merge", () => {
  const old = { accessToken: "old", refreshToken: "r1", idToken: "i1", expiresAtMs: NOON };

  test("what the issuer does not mention stays, but not the end of the old access token", () => {
    expect(merge(old, { ok: true, accessToken: "new" }, NOON)).toEqual({
      accessToken: "new",
      refreshToken: "r1",
      idToken: "i1",
      issuedAtMs: NOON,
    });
    expect(merge(old, { ok: true, refreshToken: "r2" }, NOON)).toEqual({
      ...old,
      refreshToken: "r2",
    });
  });

  test("a token's own word of its life comes before the issuer's", () => {
    const accessToken = accessOf("ann", NOON - 1000, 60_000);
    expect(merge({}, { ok: true, accessToken, expiresInSeconds: 5 }, NOON)).toMatchObject({
      issuedAtMs: NOON - 1000,
      expiresAtMs: NOON + 59_000,
    });
    expect(merge({}, { ok: true, accessToken: "x", expiresInSeconds: 5 }, NOON)).toMatchObject({
      expiresAtMs: NOON + 5000,
    });
  });
});

test("a login belongs to its person and to its workspace", () => {
  expect(familiesOf({ identity: "user-1/w", workspaceId: "w" })).toEqual([
    "login user-1",
    "workspace w",
  ]);
  expect(familiesOf({ identity: "file:me.json" })).toEqual(["login file:me.json"]);
});

test("a failure is temporary where nothing else is said", () => {
  expect([failed("x").isPermanent, failed("x", true).isPermanent]).toEqual([false, true]);
});
