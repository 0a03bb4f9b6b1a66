import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createStop } from "../../src/turn/stop.ts";
import {
  awaitDevice,
  type DeviceGrant,
  exchangeCode,
  grantBrowser,
  grantDevice,
  type IssuerOptions,
} from "../../src/upstream/login.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { NOON } from "../engine/parts.ts";
import { browse, countedRandom } from "../engine/scene.ts";
import { startBackend } from "../support/backend/backend.ts";
import { createManualClock } from "../support/clock.ts";
import { ask } from "../support/egress.ts";
import { until } from "../support/until.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

type Answer = () => Response | Promise<Response>;

/** An issuer that gives these answers in turn, the last one for ever. */
function scripted(...answers: readonly Answer[]) {
  const asked: { path: string; type: string; body: string }[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname: path } = new URL(request.url);
      const type = request.headers.get("content-type") ?? "";
      asked.push({ path, type, body: await request.text() });
      const answer = answers[Math.min(asked.length, answers.length) - 1];
      return answer?.() ?? new Response("", { status: 404 });
    },
  });
  ends.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}`, asked };
}

function optionsFor(issuer: string, more: Partial<IssuerOptions> = {}): IssuerOptions {
  const headers = { Originator: "my-tool", "user-agent": "a/1" };
  return { issuer, headers, ask, clock: systemClock, timeoutMs: 5000, ...more };
}

const REDIRECT = "http://127.0.0.1:1455/auth/callback";
const PROOF = { verifier: "v".repeat(43), redirectUri: REDIRECT };
const TOKENS = { access_token: "at", refresh_token: "rt_1", id_token: "it", expires_in: 864_000 };
const json =
  (status: number, body: unknown): Answer =>
  () =>
    Response.json(body, { status });
const html =
  (status: number): Answer =>
  () =>
    new Response("<!DOCTYPE html><title>Just a moment...</title>", {
      status,
      headers: { "content-type": "text/html" },
    });
const hang: Answer = () => new Promise<Response>(() => {});

describe("a browser login", () => {
  test("asks for what the Codex CLI asks for, with a proof that fits", () => {
    const grant = grantBrowser(REDIRECT, optionsFor("https://issuer.example"), countedRandom());
    const url = new URL(grant.url);
    expect(url.origin + url.pathname).toBe("https://issuer.example/oauth/authorize");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      response_type: "code",
      client_id: "app_EMoamEEZ73f0CkXaXp7hrann",
      redirect_uri: REDIRECT,
      code_challenge: createHash("sha256").update(grant.verifier).digest("base64url"),
      code_challenge_method: "S256",
      state: grant.state,
      scope: "openid profile email offline_access api.connectors.read api.connectors.invoke",
      id_token_add_organizations: "true",
      codex_cli_simplified_flow: "true",
      originator: "my-tool",
    });
    expect(grant.verifier).toMatch(/^[\w-]{43,128}$/);
    expect(grant.url).not.toContain(grant.verifier);
  });

  test("no two have the same state or proof", () => {
    const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));
    const grants = [1, 2].map(() =>
      grantBrowser(REDIRECT, optionsFor("https://i.example"), random),
    );
    expect(new Set(grants.map(({ state }) => state)).size).toBe(2);
    expect(new Set(grants.map(({ verifier }) => verifier)).size).toBe(2);
  });

  test("the code is given for tokens by a form, with the proof", async () => {
    const issuer = scripted(json(200, TOKENS));
    const result = await exchangeCode("ac_1", PROOF, optionsFor(issuer.url), createStop());
    expect(result).toEqual({
      ok: true,
      tokens: { accessToken: "at", refreshToken: "rt_1", idToken: "it", expiresInSeconds: 864_000 },
    });
    const [asked] = issuer.asked;
    expect(asked?.path).toBe("/oauth/token");
    expect(asked?.type).toBe("application/x-www-form-urlencoded");
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: "authorization_code",
      client_id: "app_EMoamEEZ73f0CkXaXp7hrann",
      code: "ac_1",
      redirect_uri: REDIRECT,
      code_verifier: PROOF.verifier,
    });
  });

  const bad: [name: string, answer: Answer, words: string, isTemporary: boolean][] = [
    [
      "a refusal",
      json(400, { error: "invalid_grant", error_description: "Spent." }),
      "Spent.",
      false,
    ],
    [
      "no access token",
      json(200, { ...TOKENS, access_token: null }),
      "without access_token",
      false,
    ],
    [
      "no refresh token",
      json(200, { ...TOKENS, refresh_token: "" }),
      "without refresh_token",
      false,
    ],
    ["no token at all", json(200, {}), "without any token", false],
    ["a list", json(200, []), "without any token", false],
    ["a page", html(200), "web page", true],
    ["a page that says 403", html(403), "web page", true],
    ["an outage", json(503, { error: "server_error" }), "503", true],
    ["a redirect", () => Response.redirect("https://elsewhere.example/", 302), "302", false],
    ["an answer without end", () => new Response("x".repeat(400_000)), "far too long", true],
  ];
  test.each(bad)("%s becomes one sentence", async (_name, answer, words, isTemporary) => {
    const issuer = scripted(answer);
    const result = await exchangeCode("ac_1", PROOF, optionsFor(issuer.url), createStop());
    expect(result).toEqual({ ok: false, message: expect.stringContaining(words), isTemporary });
    expect(issuer.asked).toHaveLength(1);
  });

  test("nobody there becomes one sentence too", async () => {
    const result = await exchangeCode("ac", PROOF, optionsFor("http://127.0.0.1:9"), createStop());
    expect(result).toMatchObject({
      ok: false,
      message: expect.stringContaining("The issuer could"),
    });
  });

  test("silence ends with the time limit, and a stop ends it at once", async () => {
    const issuer = scripted(hang);
    const clock = createManualClock(NOON);
    const options = optionsFor(issuer.url, { clock, timeoutMs: 30_000 });
    const slow = exchangeCode("ac", PROOF, options, createStop());
    await until("it is asked", () => issuer.asked.length === 1);
    clock.advance(30_000);
    expect(await slow).toMatchObject({ message: "The issuer did not answer in time." });
    const stop = createStop();
    const left = exchangeCode("ac", PROOF, options, stop);
    await until("it is asked again", () => issuer.asked.length === 2);
    stop.stop({ kind: "client-left", message: "Enough." });
    expect(await left).toMatchObject({ ok: false, message: "Enough." });
  });

  test("the scripted issuer agrees, and takes a code once", async () => {
    const backend = await startBackend();
    ends.push(backend.stop);
    backend.account("ann");
    const options = optionsFor(backend.issuer);
    const grant = grantBrowser(REDIRECT, options, countedRandom());
    const back = new URL(await browse(grant.url, "ann"));
    expect(back.searchParams.get("state")).toBe(grant.state);
    const code = back.searchParams.get("code") ?? "";
    expect(await exchangeCode(code, grant, options, createStop())).toMatchObject({ ok: true });
    expect(await exchangeCode(code, grant, options, createStop())).toMatchObject({ ok: false });
    const again = new URL(await browse(grant.url, "ann")).searchParams.get("code") ?? "";
    const wrong = { ...grant, verifier: "another-verifier" };
    expect(await exchangeCode(again, wrong, options, createStop())).toMatchObject({ ok: false });
  });
});

describe("a device login", () => {
  const OPENED = { device_auth_id: "da_1", user_code: "ABCD-12345", interval: "5" };
  const READY = { authorization_code: "ac_1", code_challenge: "c", code_verifier: "cv" };

  test("is opened, with an interval that is a string", async () => {
    const issuer = scripted(json(200, OPENED));
    expect(await grantDevice(optionsFor(issuer.url), createStop())).toEqual({
      ok: true,
      url: `${issuer.url}/codex/device`,
      userCode: "ABCD-12345",
      deviceAuthId: "da_1",
      intervalMs: 5000,
    });
    expect(issuer.asked[0]).toEqual({
      path: "/api/accounts/deviceauth/usercode",
      type: "application/json",
      body: '{"client_id":"app_EMoamEEZ73f0CkXaXp7hrann"}',
    });
  });

  const intervals: [interval: unknown, ms: number][] = [
    [undefined, 5000],
    ["soon", 5000],
    [0, 1000],
    ["-3", 1000],
    [7, 7000],
    ["86400", 60_000],
  ];
  test.each(intervals)("an interval of %p is %d ms", async (interval, ms) => {
    const issuer = scripted(json(200, { ...OPENED, interval }));
    const grant = await grantDevice(optionsFor(issuer.url), createStop());
    expect(grant).toMatchObject({ intervalMs: ms });
  });

  const bad: [name: string, answer: Answer, words: string][] = [
    ["not offered", json(404, {}), "does not offer device logins"],
    ["refused", json(403, { error: { code: "no", message: "Not you." } }), "403 (no): Not you."],
    ["without a code", json(200, { device_auth_id: "x" }), "no usable code"],
    [
      "with a code that no terminal should show",
      json(200, { ...OPENED, user_code: "\u001b[2J" }),
      "no usable",
    ],
    ["a page", html(403), "web page"],
    ["no JSON", () => new Response("hello"), "no usable code"],
  ];
  test.each(bad)("%s becomes one sentence", async (_name, answer, words) => {
    const grant = await grantDevice(optionsFor(scripted(answer).url), createStop());
    expect(grant).toMatchObject({ ok: false, message: expect.stringContaining(words) });
  });

  /** Waits for a device login whose questions are answered so; the clock is moved whenever it waits. */
  async function wait(answers: readonly Answer[], enough = 1000) {
    const issuer = scripted(...answers);
    const clock = createManualClock(NOON);
    const grant: DeviceGrant = {
      ok: true,
      url: `${issuer.url}/codex/device`,
      userCode: "ABCD-12345",
      deviceAuthId: "da_1",
      intervalMs: 5000,
    };
    const stop = createStop();
    let isOver = false;
    const waiting = awaitDevice(grant, optionsFor(issuer.url, { clock, timeoutMs: 1e9 }), stop);
    const result = waiting.finally(() => {
      isOver = true;
    });
    await until("it ends", () => {
      clock.advance(1000);
      if (issuer.asked.length >= enough) stop.stop({ kind: "out-of-time", message: "Too late." });
      return isOver;
    });
    return { result: await result, asked: issuer.asked };
  }

  test("403 and 404 are patience; then the code is given for tokens at once", async () => {
    const { result, asked } = await wait([
      json(403, {}),
      json(404, {}),
      json(200, READY),
      json(200, TOKENS),
    ]);
    expect(result).toMatchObject({ ok: true, tokens: { refreshToken: "rt_1" } });
    expect(asked.map(({ path }) => path.split("/").at(-1))).toEqual([
      "token",
      "token",
      "token",
      "token",
    ]);
    expect(asked[0]?.body).toBe('{"device_auth_id":"da_1","user_code":"ABCD-12345"}');
    const form = Object.fromEntries(new URLSearchParams(asked[3]?.body));
    expect(form).toMatchObject({ code: "ac_1", code_verifier: "cv" });
    expect(form["redirect_uri"]).toEndWith("/deviceauth/callback");
  });

  test("an outage in between is borne, one without end is told", async () => {
    const borne = await wait([
      json(500, {}),
      html(403),
      json(429, {}),
      json(200, READY),
      json(200, TOKENS),
    ]);
    expect(borne.result.ok).toBe(true);
    const endless = await wait([html(403)]);
    expect(endless.result).toMatchObject({
      ok: false,
      message: expect.stringContaining("web page"),
    });
    expect(endless.asked).toHaveLength(10);
  });

  test("a verdict ends it, and so does an answer without a code", async () => {
    const refused = await wait([json(400, { error: "expired_token" })]);
    expect(refused.result).toMatchObject({ message: "The issuer answered 400 (expired_token)." });
    expect(refused.asked).toHaveLength(1);
    const empty = await wait([json(200, {})]);
    expect(empty.result).toMatchObject({ message: expect.stringContaining("without a code") });
  });

  test("whoever waits may stop it", async () => {
    const { result } = await wait([json(403, {})], 3);
    expect(result).toMatchObject({ ok: false, message: "Too late." });
  });
});
