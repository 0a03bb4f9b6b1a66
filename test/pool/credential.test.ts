import { describe, expect, test } from "bun:test";
import { type Credential, isAlive, isDue, isEnding } from "../../src/pool/credential.ts";

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

describe("isDue", () => {
  const MINUTE = 60_000;
  const DAY = 24 * 60 * MINUTE;
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
  test.each(rows)("%s", (_name, credential, due) => {
    expect(isDue(credential, 0)).toBe(due);
  });
});
