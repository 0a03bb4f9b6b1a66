import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { brotliCompressSync, deflateSync } from "node:zlib";
import { type Dict, dict, list } from "../../../src/wire/json.ts";
import { ask, eventsOf, itemsOf, loginHeaders, readAll, streamedText, turnBody } from "./ask.ts";
import { type BackendOptions, type FakeBackend, startBackend } from "./backend.ts";
import { FAULTS, type FaultName, refusalOf } from "./faults.ts";
import { CLIENT_ID } from "./tokens.ts";

const running: FakeBackend[] = [];

async function start(options?: BackendOptions): Promise<FakeBackend> {
  const backend = await startBackend(options);
  running.push(backend);
  return backend;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((backend) => backend.stop()));
});

async function json(response: Response): Promise<Dict> {
  return dict(await response.json());
}

describe("a turn", () => {
  test("streams an answer and is recorded", async () => {
    const backend = await start();
    const account = backend.account("one");
    const response = await ask(backend, account);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    expect(response.headers.get("x-codex-primary-used-percent")).toBe("12");
    expect(response.headers.get("set-cookie")).toContain("__cf_bm=");
    expect(response.headers.get("cf-ray")).toEndWith("-FRA");
    const events = eventsOf(await response.bytes());
    expect(streamedText(events)).toStartWith("You said: Say hi.");
    expect(events.at(-1)?.["type"]).toBe("response.completed");
    expect(backend.turns()).toMatchObject([
      {
        path: "/backend-api/codex/responses",
        method: "POST",
        account: "one",
        body: { model: "gpt-5.5" },
      },
    ]);
    await backend.until(() => backend.openRequests() === 0);
    expect(backend.requests[0]).toMatchObject({ aborted: false, status: 200 });
    expect(backend.maxOpenStreams()).toBe(1);
    expect(backend.connections()).toBe(1);
    backend.forget();
    expect(backend.requests).toEqual([]);
  });

  const encodings: [name: string, encode: (bytes: Uint8Array) => Uint8Array][] = [
    ["zstd", (bytes) => Bun.zstdCompressSync(bytes)],
    ["gzip", (bytes) => Bun.gzipSync(Buffer.from(bytes))],
    ["deflate", (bytes) => deflateSync(bytes)],
    ["br", (bytes) => brotliCompressSync(bytes)],
  ];
  test.each(encodings)("may come in %s", async (name, encode) => {
    const backend = await start();
    const account = backend.account("one");
    const body = encode(Buffer.from(JSON.stringify(turnBody())));
    const headers = { ...loginHeaders(account), "content-encoding": name };
    const response = await ask(backend, account, {}, { headers, body: Buffer.from(body) });
    expect(response.status).toBe(200);
    await response.bytes();
    expect(backend.turns()[0]?.body).toEqual(turnBody());
  });

  test("that does not decode or parse is refused", async () => {
    const backend = await start();
    const account = backend.account("one");
    const headers = { ...loginHeaders(account), "content-encoding": "zstd" };
    expect((await ask(backend, account, {}, { headers })).status).toBe(400);
    expect((await ask(backend, account, {}, { body: "{" })).status).toBe(400);
  });

  test("needs a token of a known account and its workspace", async () => {
    const backend = await start();
    const account = backend.account("one");
    const good = loginHeaders(account);
    const { authorization = "", ...anonymous } = good;
    for (const headers of [
      anonymous,
      { ...good, authorization: "Bearer nonsense" },
      { authorization, "chatgpt-account-id": backend.account("two").workspaceId },
    ]) {
      const response = await ask(backend, account, turnBody(), { headers });
      expect(response.status).toBe(401);
      expect(await json(response)).toEqual({ detail: "Unauthorized" });
    }
    const response = await ask(backend, account, turnBody(), { headers: { authorization } });
    expect(response.status).toBe(200);
    await response.bytes();
  });

  test("takes its outcome from the queue, then the standing one, but only when it is sound", async () => {
    const backend = await start();
    const account = backend.account("one");
    account.script({ kind: "fault", name: "500" }, { kind: "ok" });
    account.always({ kind: "status", status: 418, body: { detail: "teapot" } });
    const statuses: number[] = [];
    for (const body of [turnBody("x", { store: true }), turnBody(), turnBody(), turnBody()]) {
      const response = await ask(backend, account, body);
      statuses.push(response.status);
      await response.bytes();
    }
    expect(statuses).toEqual([400, 500, 200, 418]);
    account.always(undefined);
    const response = await ask(backend, account);
    expect(response.status).toBe(200);
    await response.bytes();
  });

  test("of one account cannot carry the reasoning of another", async () => {
    const backend = await start();
    const [one, two] = [backend.account("one"), backend.account("two")];
    const first = itemsOf(eventsOf(await (await ask(backend, one)).bytes()));
    const input = [...list(turnBody()["input"]), ...first, ...list(turnBody("And?")["input"])];
    const next = turnBody("", { input });
    const again = await ask(backend, one, next);
    expect(again.status).toBe(200);
    await again.bytes();
    expect(await json(await ask(backend, two, next))).toMatchObject({
      error: { code: "invalid_encrypted_content" },
    });
  });

  test("reports the quota where the options say", async () => {
    const expected = {
      headers: [true, false],
      event: [false, true],
      none: [false, false],
    } as const;
    for (const rateLimits of ["headers", "event", "none"] as const) {
      const backend = await start({ rateLimits });
      const account = backend.account("one");
      account.usage(99, 50, 60);
      const response = await ask(backend, account);
      const hasHeaders = response.headers.has("x-codex-primary-used-percent");
      const events = eventsOf(await response.bytes());
      const hasEvent = events.some((event) => event["type"] === "codex.rate_limits");
      expect([hasHeaders, hasEvent]).toEqual([...expected[rateLimits]]);
    }
  });

  test("is the same however its bytes are sliced", async () => {
    for (const chunkBytes of [1, 7, 1000, 1 << 20]) {
      const backend = await start({ chunkBytes });
      const response = await ask(backend, backend.account("one"), turnBody("你好"));
      expect(streamedText(eventsOf(await response.bytes()))).toContain("你好. That");
    }
  });

  test("may only name a model of the catalogue or the seed, unless told otherwise", async () => {
    const statusOf = async (model: string, options: BackendOptions): Promise<number> => {
      const backend = await start(options);
      const response = await ask(backend, backend.account("one"), turnBody("x", { model }));
      await response.bytes();
      return response.status;
    };
    expect(await statusOf("gpt-5.1", {})).toBe(200);
    expect(await statusOf("gpt-5.1-high", {})).toBe(400);
    expect(await statusOf("gpt-5.1", { acceptUnknownModels: false })).toBe(400);
    expect(await statusOf("anything", { acceptUnknownModels: true })).toBe(200);
  });
});

describe("the catalogue of faults", () => {
  test.each(Object.keys(FAULTS).map((name) => [name]))("%s goes out as written", async (key) => {
    const name = faultName(key);
    const nowMs = 1_795_000_000_000;
    const backend = await start({ now: () => nowMs });
    const account = backend.account("one");
    account.script({ kind: "fault", name });
    const response = await ask(backend, account);
    const window = { usedPercent: 12, windowSeconds: 18_000, resetAt: nowMs / 1000 + 9000 };
    const limits = { plan: "plus", primary: window, secondary: window };
    const expected = refusalOf(name, { limits, model: "gpt-5.5", nowMs });
    const text = await response.text();
    expect(response.status).toBe(expected.status);
    expect(text).toBe(
      typeof expected.body === "string" ? expected.body : JSON.stringify(expected.body),
    );
    expect(response.headers.get("content-type")).toStartWith(
      typeof expected.body === "string" ? "text/html" : "application/json",
    );
    expect(response.headers.has("x-codex-primary-used-percent")).toBe(expected.status === 429);
    if (name === "429-usage") {
      expect(response.headers.get("x-codex-primary-used-percent")).toBe("100");
    }
  });
});

function faultName(key: string): FaultName {
  const names: readonly string[] = Object.keys(FAULTS);
  const isName = (word: string): word is FaultName => names.includes(word);
  if (!isName(key)) throw new Error(`no such fault: ${key}`);
  return key;
}

describe("a connection", () => {
  test("is reset before the headers", async () => {
    const backend = await start();
    const account = backend.account("one");
    account.script({ kind: "cut-before-headers" });
    await expect(ask(backend, account)).rejects.toThrow("closed unexpectedly");
    await backend.until(() => backend.openRequests() === 0);
    expect(backend.turns()[0]?.aborted).toBe(false);
  });

  const breaks = [
    ["cut-after-created", "codex.rate_limits", true],
    ["cut-mid-text", "response.output_text.delta", true],
    ["cut-mid-frame", "response.output_text.delta", true],
    ["end-after-created", "codex.rate_limits", false],
    ["end-mid-text", "response.output_text.delta", false],
  ] as const;
  test.each(breaks)("%s: everything up to %s arrives", async (kind, last, isBroken) => {
    const backend = await start();
    const account = backend.account("one");
    account.script({ kind });
    const read = await readAll(await ask(backend, account));
    expect(read.isBroken).toBe(isBroken);
    expect(eventsOf(read.bytes).at(-1)?.["type"]).toBe(last);
    expect(Buffer.from(read.bytes).toString().endsWith("\n\n")).toBe(kind !== "cut-mid-frame");
    await backend.until(() => backend.openStreams() === 0);
    expect(backend.turns()[0]?.aborted).toBe(false);
  });

  test("stays silent until the client leaves", async () => {
    const backend = await start();
    const account = backend.account("one");
    account.script({ kind: "hang-before-headers" });
    const leaving = new AbortController();
    const asked = ask(backend, account, turnBody(), { signal: leaving.signal });
    await backend.until(() => backend.turns().length === 1);
    expect(backend.openRequests()).toBe(1);
    leaving.abort();
    await expect(asked).rejects.toThrow("aborted");
    await backend.until(() => backend.openRequests() === 0);
    expect(backend.turns()[0]).toMatchObject({ aborted: true, status: undefined });
  });

  test.each([["hang-after-headers"], ["hang-after-created"], ["hang-mid-text"]] as const)(
    "%s keeps the stream open until the client leaves",
    async (kind) => {
      const backend = await start();
      const account = backend.account("one");
      account.script({ kind });
      const leaving = new AbortController();
      const response = await ask(backend, account, turnBody(), { signal: leaving.signal });
      expect(response.status).toBe(200);
      expect(backend.openStreams()).toBe(1);
      leaving.abort();
      await backend.until(() => backend.openStreams() === 0);
      expect(backend.turns()[0]?.aborted).toBe(true);
    },
  );

  test("that hangs keeps sending keepalives if it has a pace", async () => {
    const backend = await start({ keepalives: true, paceMs: 1 });
    const account = backend.account("one");
    account.script({ kind: "hang-after-headers" });
    const response = await ask(backend, account);
    let seen = 0;
    for await (const part of response.body ?? []) {
      seen += eventsOf(part).filter((event) => event["type"] === "keepalive").length;
      if (seen >= 3) break;
    }
    expect(seen).toBeGreaterThanOrEqual(3);
  });

  test("floods no faster than the client reads, and stops when it leaves", async () => {
    const backend = await start();
    const account = backend.account("one");
    account.script({ kind: "flood", bytes: Number.POSITIVE_INFINITY });
    const socket = connect(Number(new URL(backend.issuer).port), "127.0.0.1");
    const body = JSON.stringify(turnBody());
    const head = Object.entries(loginHeaders(account)).map(([name, value]) => `${name}: ${value}`);
    socket.write(
      `POST /backend-api/codex/responses HTTP/1.1\r\nhost: x\r\n${head.join("\r\n")}\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
    socket.pause();
    await backend.until(() => (backend.turns()[0]?.sentBytes ?? 0) > 100_000);
    socket.destroy();
    await backend.until(() => backend.openStreams() === 0);
    expect(backend.turns()[0]?.aborted).toBe(true);
    expect(backend.turns()[0]?.sentBytes).toBeLessThan(100_000_000);
  });

  test("carries raw bytes as they are", async () => {
    const backend = await start();
    const account = backend.account("one");
    const headers = { "content-type": "text/event-stream" };
    account.script({
      kind: "raw",
      status: 203,
      headers,
      chunks: ["da", new Uint8Array([0xff, 10])],
    });
    const response = await ask(backend, account);
    expect(response.status).toBe(203);
    expect([...(await response.bytes())]).toEqual([100, 97, 255, 10]);
  });

  test("breaks when the backend stops", async () => {
    const backend = await startBackend();
    const account = backend.account("one");
    account.script({ kind: "hang-mid-text" });
    const response = await ask(backend, account);
    const read = readAll(response);
    await backend.stop();
    expect((await read).isBroken).toBe(true);
  });

  test("asking for a WebSocket gets 426", async () => {
    const backend = await start();
    const headers = { connection: "upgrade", upgrade: "websocket" };
    expect((await fetch(`${backend.url}/responses`, { headers })).status).toBe(426);
    expect(backend.requests).toMatchObject([{ method: "GET", status: 426 }]);
  });
});

describe("the other endpoints", () => {
  test("models come with an etag and 304", async () => {
    const backend = await start();
    const headers = loginHeaders(backend.account("one"));
    const url = `${backend.url}/models?client_version=0.169.0`;
    const response = await fetch(url, { headers });
    const etag = response.headers.get("etag") ?? "";
    const slugs = list((await json(response))["models"]).map((model) => dict(model)["slug"]);
    expect(slugs).toEqual(["gpt-6-sol", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "codex-auto-review"]);
    expect(backend.requests[0]?.query).toBe("?client_version=0.169.0");
    const known = { headers: { ...headers, "if-none-match": etag } };
    expect((await fetch(url, known)).status).toBe(304);
    backend.setModels([]);
    expect(await json(await fetch(url, known))).toEqual({ models: [] });
  });

  test("usage reports what the account was told to, in each shape", async () => {
    const backend = await start();
    const account = backend.account("one", { plan: "pro" });
    account.usage(100, 58, 60);
    const read = async (): Promise<Dict> =>
      json(
        await fetch(`${backend.issuer}/backend-api/wham/usage`, { headers: loginHeaders(account) }),
      );
    expect(await read()).toMatchObject({
      plan_type: "pro",
      email: "one@example.com",
      rate_limit: {
        limit_reached: true,
        primary_window: { used_percent: 100, limit_window_seconds: 18_000 },
        secondary_window: { used_percent: 58, limit_window_seconds: 604_800 },
      },
    });
    account.usageShape("weekly-only");
    expect(await read()).toMatchObject({
      rate_limit: { primary_window: { limit_window_seconds: 604_800 }, secondary_window: null },
    });
    account.usageShape("null-windows");
    expect(await read()).toMatchObject({ rate_limit: { primary_window: null } });
    account.usageShape("missing");
    expect(await read()).toMatchObject({ rate_limit: null });
    account.usageShape("blank");
    const turn = await ask(backend, account);
    expect(turn.headers.get("x-codex-primary-reset-after-seconds")).toBe("");
    await turn.bytes();
    account.usageFault("403-cloudflare");
    const refused = await fetch(`${backend.issuer}/backend-api/wham/usage`, {
      headers: loginHeaders(account),
    });
    expect(refused.headers.get("cf-mitigated")).toBe("challenge");
  });

  test("compact keeps the user's words and adds a compaction item", async () => {
    const backend = await start();
    const account = backend.account("one");
    const { model, input } = turnBody();
    const response = await fetch(`${backend.url}/responses/compact`, {
      method: "POST",
      headers: loginHeaders(account),
      body: JSON.stringify({ model, input, instructions: "" }),
    });
    expect(await json(response)).toMatchObject({
      object: "response.compaction",
      output: [{ role: "user" }, { type: "compaction" }],
    });
  });

  test("anything else is not found, and chat completions are forbidden", async () => {
    const backend = await start();
    const headers = loginHeaders(backend.account("one"));
    expect(await json(await fetch(`${backend.issuer}/nowhere`))).toEqual({ detail: "Not Found" });
    const chat = await fetch(`${backend.url}/chat/completions`, { method: "POST", headers });
    expect(chat.status).toBe(403);
    expect((await fetch(`${backend.url}/responses`, { headers })).status).toBe(405);
  });
});

describe("the issuer", () => {
  function refresh(backend: FakeBackend, token: string, init: RequestInit = {}): Promise<Response> {
    const fields = { client_id: CLIENT_ID, grant_type: "refresh_token", refresh_token: token };
    return fetch(`${backend.issuer}/oauth/token`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(fields),
      ...init,
    });
  }

  test("rotates the tokens; a refresh token works once", async () => {
    const backend = await start();
    const account = backend.account("one");
    const before = account.tokens();
    account.expireAccessToken();
    expect(await json(await ask(backend, account))).toMatchObject({
      error: { code: "token_expired" },
    });
    const body = await json(await refresh(backend, before.refreshToken));
    const after = account.tokens();
    expect(body).toEqual({
      access_token: after.accessToken,
      refresh_token: after.refreshToken,
      id_token: after.idToken,
      token_type: "Bearer",
      expires_in: 864_000,
      scope: "openid profile email offline_access",
    });
    expect(after.refreshToken).not.toBe(before.refreshToken);
    expect(account.file()).toMatchObject({ access_token: after.accessToken, type: "codex" });
    expect(account.authJson()).toMatchObject({ tokens: { refresh_token: after.refreshToken } });
    const answered = await ask(backend, account);
    expect(answered.status).toBe(200);
    await answered.bytes();
    const second = await refresh(backend, before.refreshToken);
    expect(second.status).toBe(401);
    expect(await json(second)).toMatchObject({ error: { code: "refresh_token_reused" } });
    expect(backend.refreshes().map((each) => each.account)).toEqual(["one", "one"]);
  });

  test("takes forms", async () => {
    const backend = await start();
    const { refreshToken } = backend.account("one").tokens();
    const body = new URLSearchParams({
      client_id: CLIENT_ID,
      grant_type: "refresh_token",
      refresh_token: refreshToken,
    });
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    expect((await refresh(backend, "", { headers, body: body.toString() })).status).toBe(200);
    expect(dict(backend.refreshes()[0]?.body)["grant_type"]).toBe("refresh_token");
  });

  test("lets a token run out by itself", async () => {
    let nowMs = 1_795_000_000_000;
    const backend = await start({ now: () => nowMs });
    const account = backend.account("one", { lifetimeSeconds: 60 });
    nowMs += 60_000;
    expect((await ask(backend, account)).status).toBe(401);
    const body = await json(await refresh(backend, account.tokens().refreshToken));
    expect(body["expires_in"]).toBe(60);
    const response = await ask(backend, account);
    expect(response.status).toBe(200);
    await response.bytes();
  });

  test.each([
    ["refresh_token_expired", 401],
    ["refresh_token_invalidated", 401],
    ["refresh_token_reused", 401],
    ["app_session_terminated", 403],
    ["invalid_grant", 400],
  ] as const)("refuses for good with %s", async (refusal, status) => {
    const backend = await start();
    const account = backend.account("one");
    account.revokeRefreshToken(refusal);
    const response = await refresh(backend, account.tokens().refreshToken);
    expect(response.status).toBe(status);
    expect(await response.text()).toContain(refusal);
  });

  test.each([
    ["500", 500],
    ["429", 429],
    ["html", 403],
    ["no-tokens", 200],
  ] as const)("fails with %s and leaves the refresh token good", async (fault, status) => {
    const backend = await start();
    const account = backend.account("one");
    const { refreshToken } = account.tokens();
    account.issuerFault(fault);
    expect((await refresh(backend, refreshToken)).status).toBe(status);
    account.issuerFault(undefined);
    expect((await refresh(backend, refreshToken)).status).toBe(200);
  });

  test("may hang, or lose its answer", async () => {
    const backend = await start();
    const account = backend.account("one");
    const { refreshToken } = account.tokens();
    account.issuerFault("hang");
    const leaving = new AbortController();
    const asked = refresh(backend, refreshToken, { signal: leaving.signal });
    await backend.until(() => backend.refreshes().length === 1);
    leaving.abort();
    await expect(asked).rejects.toThrow("aborted");
    account.issuerFault("lost-answer");
    await expect(refresh(backend, refreshToken)).rejects.toThrow("closed unexpectedly");
    expect(account.tokens().refreshToken).not.toBe(refreshToken);
  });

  test("spends the token at once, however slow its answer", async () => {
    const backend = await start();
    const account = backend.account("one");
    account.refreshDelayMs = 30;
    const { refreshToken } = account.tokens();
    const both = await Promise.all([
      refresh(backend, refreshToken),
      refresh(backend, refreshToken),
    ]);
    expect(both.map((response) => response.status).sort()).toEqual([200, 401]);
  });

  test("refuses strangers", async () => {
    const backend = await start();
    expect((await refresh(backend, "rt_unknown")).status).toBe(400);
    const body = JSON.stringify({ grant_type: "refresh_token", refresh_token: "x" });
    expect((await refresh(backend, "", { body })).status).toBe(401);
    expect((await refresh(backend, "", { body: "{}" })).status).toBe(400);
  });
});
