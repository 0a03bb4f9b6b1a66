import { describe, expect, test } from "bun:test";
import { flatRecord } from "../../src/store/flat.ts";
import { readLogin } from "../../src/store/record.ts";
import { accessTokenOf, WORKSPACE } from "./tokens.ts";

const NOW = Date.UTC(2026, 10, 20, 12);

describe("flatRecord", () => {
  test("is the seed's format, and reads back as the same login", () => {
    const accessToken = accessTokenOf({
      user: "u1",
      workspace: WORKSPACE,
      plan: "plus",
      email: "ann@example.com",
      iat: 1_790_000_000,
      exp: 1_790_864_000,
    });
    const record = flatRecord({ accessToken, refreshToken: "rt_1", idToken: "it_1" }, NOW);
    expect(record).toEqual({
      type: "codex",
      email: "ann@example.com",
      account_id: WORKSPACE,
      access_token: accessToken,
      refresh_token: "rt_1",
      id_token: "it_1",
      expired: "2026-10-01T14:13:20.000Z",
      last_refresh: "2026-11-20T12:00:00.000Z",
    });
    const reading = readLogin(JSON.stringify(record), "a.json");
    expect(reading).toMatchObject({
      ok: true,
      login: { identity: `u1/${WORKSPACE}`, plan: "plus", lastRefreshedMs: NOW },
    });
  });

  test("leaves out what opaque tokens do not tell", () => {
    const opaque = flatRecord({ accessToken: "at", refreshToken: "rt", expiresAtMs: NOW }, 9e15);
    expect(JSON.parse(JSON.stringify(opaque))).toEqual({
      type: "codex",
      access_token: "at",
      refresh_token: "rt",
      expired: "2026-11-20T12:00:00.000Z",
    });
  });
});
