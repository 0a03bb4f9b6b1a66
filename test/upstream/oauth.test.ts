import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createStop } from "../../src/turn/stop.ts";
import { exchange, readAnswer } from "../../src/upstream/oauth.ts";
import type { IssuerFault } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { ask } from "../support/egress.ts";
import { startRaw } from "./raw.ts";
import { settleDown, watchRejections } from "./scene.ts";

const rejections = watchRejections();
let backend: FakeBackend;
beforeAll(async () => {
  backend = await startBackend();
});
afterEach(() => backend.forget());
afterAll(async () => {
  await backend.stop();
  await settleDown();
  rejections.stop();
  expect(rejections.seen).toEqual([]);
});

const json = (value: unknown): string => JSON.stringify(value);
const coded = (code: string): string => json({ error: { code, message: "Words.", param: null } });

describe("readAnswer", () => {
  test("takes the tokens that are there", () => {
    const body = { access_token: "a", refresh_token: "r", id_token: "i", expires_in: 864_000 };
    expect(readAnswer(200, json({ ...body, token_type: "Bearer", scope: "openid" }))).toEqual({
      ok: true,
      accessToken: "a",
      refreshToken: "r",
      idToken: "i",
      expiresInSeconds: 864_000,
    });
    expect(readAnswer(200, json({ access_token: "a", refresh_token: null, id_token: "" }))).toEqual(
      {
        ok: true,
        accessToken: "a",
      },
    );
    expect(readAnswer(200, json({ refresh_token: "r", expires_in: "60" }))).toEqual({
      ok: true,
      refreshToken: "r",
      expiresInSeconds: 60,
    });
  });

  const rows: [name: string, status: number, body: string, isPermanent: boolean][] = [
    ["a used token", 401, coded("refresh_token_reused"), true],
    ["a used token, said with 400", 400, coded("refresh_token_reused"), true],
    ["an ended token", 401, coded("refresh_token_expired"), true],
    ["an invalidated token", 401, coded("refresh_token_invalidated"), true],
    ["an ended session", 403, coded("app_session_terminated"), true],
    ["another ended session", 400, coded("account_session_expired"), true],
    ["a deactivated account", 403, coded("account_deactivated"), true],
    [
      "an error that is a word",
      400,
      json({ error: "invalid_grant", error_description: "No." }),
      true,
    ],
    ["a code at the top", 400, json({ code: "refresh_token_reused" }), true],
    ["a 401 of any kind", 401, json({ error: { message: "No." } }), true],
    ["a 401 with nothing in it", 401, "{}", true],
    ["a 401 that is a page", 401, "<html>Log in to the network</html>", false],
    ["a 401 without a body", 401, "", false],
    ["a 403 that is a page", 403, "<!DOCTYPE html><title>Just a moment...</title>", false],
    ["an unknown code", 400, coded("invalid_request"), false],
    ["an unknown word", 400, json({ error: "temporarily_unavailable" }), false],
    ["too many requests", 429, json({ error: "rate_limit_exceeded" }), false],
    ["too many requests, with a hard word", 429, json({ error: "invalid_grant" }), false],
    ["a timeout", 408, coded("token_expired"), false],
    ["an outage", 500, json({ error: "server_error" }), false],
    ["an outage with a hard word", 503, coded("token_expired"), false],
    ["a gateway's page", 502, "<html>Bad gateway</html>", false],
    ["a redirect", 302, "", false],
    ["a 200 without tokens", 200, json({ token_type: "Bearer", expires_in: 1 }), false],
    ["a 200 with an id token only", 200, json({ id_token: "i" }), false],
    ["a 200 that is a page", 200, "<html>Welcome</html>", false],
    ["a 200 that is a list", 200, "[]", false],
  ];
  test.each(rows)("%s", (_name, status, body, isPermanent) => {
    const answer = readAnswer(status, body);
    expect(answer).toMatchObject({ ok: false, isPermanent });
    expect(answer).toHaveProperty("message", expect.stringContaining(String(status)));
    expect(json(answer)).not.toContain("<");
  });

  test("takes the status along, and the pause that the issuer asks for in either form", () => {
    const busy = json({ error: "rate_limit_exceeded" });
    const pause = (headers: Record<string, string>) => readAnswer(429, busy, new Headers(headers));
    const date = "Thu, 20 Nov 2026 12:00:00 GMT";
    const later = "Thu, 20 Nov 2026 12:02:00 GMT";
    expect(pause({ "retry-after": "90" })).toMatchObject({ status: 429, retryAfterMs: 90_000 });
    expect(pause({ "retry-after": later, date })).toMatchObject({ retryAfterMs: 120_000 });
    for (const headers of [{}, { "retry-after": "0" }, { "retry-after": later }]) {
      expect(pause({ ...headers })).not.toHaveProperty("retryAfterMs");
    }
    expect(readAnswer(200, "<html>")).toMatchObject({ ok: false, status: 200 });
  });

  test("says what the issuer said, without what is secret in it", () => {
    const message = `Token rt_secret-of-somebody is used. ${"x".repeat(2000)}`;
    const answer = readAnswer(400, json({ error: { code: "invalid_grant", message } }));
    if (answer.ok) throw new Error("It was taken.");
    expect(answer.message).toStartWith("The issuer answered 400 (invalid_grant): Token [token] is");
    expect(answer.message.length).toBeLessThan(700);
  });
});

describe("exchange", () => {
  const headers = { originator: "codex_cli_rs", "User-Agent": "codex_cli_rs/0.169.0" };
  const spend = (token: string, stop = createStop()) =>
    exchange(token, "proactive_expiry", { issuer: backend.issuer, headers, ask }, stop);

  test("asks as the Codex CLI does, and brings new tokens", async () => {
    const account = backend.account("asker");
    const { refreshToken } = account.tokens();
    const answer = await spend(refreshToken);
    const fresh = account.tokens();
    expect(answer).toEqual({
      ok: true,
      accessToken: fresh.accessToken,
      refreshToken: fresh.refreshToken,
      idToken: fresh.idToken,
      expiresInSeconds: 864_000,
    });
    const [request] = backend.refreshes();
    expect(request?.body).toEqual({
      client_id: "app_EMoamEEZ73f0CkXaXp7hrann",
      grant_type: "refresh_token",
      refresh_reason: "proactive_expiry",
      refresh_token: refreshToken,
    });
    expect(request?.headers).toMatchObject({
      originator: "codex_cli_rs",
      "user-agent": "codex_cli_rs/0.169.0",
      "content-type": "application/json",
      accept: "*/*",
    });
    expect(await spend(refreshToken)).toMatchObject({ ok: false, isPermanent: true });
  });

  test.each<IssuerFault>(["500", "429", "html", "html-200", "no-tokens", "lost-answer"])(
    "%s is a temporary failure",
    async (fault) => {
      const account = backend.account(`faulty-${fault}`);
      account.issuerFault(fault);
      const answer = await spend(account.tokens().refreshToken);
      expect(answer).toMatchObject({ ok: false, isPermanent: false });
    },
  );

  test("a revoked token is a permanent one", async () => {
    const account = backend.account("revoked");
    account.revokeRefreshToken();
    expect(await spend(account.tokens().refreshToken)).toMatchObject({ isPermanent: true });
  });

  test("silence lasts until it is stopped, and the reason is told", async () => {
    const account = backend.account("silent");
    account.issuerFault("hang");
    const stop = createStop();
    const answer = spend(account.tokens().refreshToken, stop);
    await backend.until(() => backend.refreshes().length === 1);
    stop.stop({ kind: "timeout", message: "Too slow." });
    expect(await answer).toEqual({ ok: false, isPermanent: false, message: "Too slow." });
    await backend.until(() => backend.openRequests() === 0);
  });

  test("an issuer that cannot be reached is told by its name, without the token", async () => {
    const raw = await startRaw();
    raw.stop();
    const answer = await exchange(
      "rt_secret-token",
      "unauthorized_recovery",
      { issuer: raw.url, headers, ask },
      createStop(),
    );
    expect(answer).toMatchObject({ ok: false, isPermanent: false });
    expect(answer).toHaveProperty(
      "message",
      expect.stringMatching(/^The issuer could not be reached/),
    );
    expect(json(answer)).not.toContain("secret");
  });

  test("an answer without end is given up, but tokens in what came of it are not lost", async () => {
    const raw = await startRaw();
    const endless = async (beginning: string) => {
      const options = { issuer: raw.url, headers, ask };
      const answer = exchange("rt_x", "proactive_expiry", options, createStop());
      const peer = await raw.next();
      const body = `${beginning}${" ".repeat(300_000)}`;
      await peer.write(`HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n${body}`);
      const exchanged = await answer;
      await peer.closed;
      return exchanged;
    };
    try {
      const whole = json({ access_token: "a", refresh_token: "r" });
      expect(await endless(whole)).toMatchObject({ ok: true, refreshToken: "r" });
      expect(await endless(whole.slice(0, 20))).toEqual({
        ok: false,
        isPermanent: false,
        status: 200,
        message: "The issuer's answer broke off, or is far too long.",
      });
    } finally {
      raw.stop();
    }
  });

  test("a redirect is not followed: the token goes nowhere else", async () => {
    const raw = await startRaw();
    const elsewhere = await startRaw();
    try {
      const options = { issuer: raw.url, headers, ask };
      const answer = exchange("rt_x", "proactive_expiry", options, createStop());
      const peer = await raw.next();
      await peer.write(
        `HTTP/1.1 307 Moved\r\nlocation: ${elsewhere.url}/\r\ncontent-length: 0\r\n\r\n`,
      );
      expect(await answer).toMatchObject({ ok: false, isPermanent: false });
      expect(elsewhere.connections()).toBe(0);
    } finally {
      raw.stop();
      elsewhere.stop();
    }
  });
});
