import { describe, expect, test } from "bun:test";
import { areSame, type Credential, isAlive, isEnding } from "../../src/pool/credential.ts";

describe("isAlive", () => {
  const rows: [name: string, credential: Credential, isAlive: boolean][] = [
    ["no access token", { refreshToken: "r", expiresAtMs: 9 }, false],
    ["one that says nothing of its end", { accessToken: "t" }, true],
    ["one that ends now", { accessToken: "t", expiresAtMs: 0 }, false],
    ["one that ends later", { accessToken: "t", expiresAtMs: 1 }, true],
  ];
  test.each(rows)("%s", (_name, credential, alive) => {
    expect(isAlive(credential, 0)).toBe(alive);
  });
});

describe("isEnding", () => {
  const rows: [name: string, credential: Credential, isEnding: boolean][] = [
    ["no access token", {}, true],
    ["one that says nothing of its end", { accessToken: "t" }, false],
    ["less than 5 minutes left", { accessToken: "t", expiresAtMs: 299_999 }, true],
    ["5 minutes left", { accessToken: "t", expiresAtMs: 300_000 }, false],
  ];
  test.each(rows)("%s", (_name, credential, ending) => {
    expect(isEnding(credential, 0)).toBe(ending);
  });
});

test("areSame compares both tokens and nothing else", () => {
  const tokens: Credential = { accessToken: "a", refreshToken: "r", expiresAtMs: 1 };
  expect(areSame(tokens, { ...tokens, idToken: "x", expiresAtMs: 2 })).toBe(true);
  expect(areSame(tokens, { ...tokens, refreshToken: "y" })).toBe(false);
  expect(areSame(tokens, { ...tokens, accessToken: "y" })).toBe(false);
});
