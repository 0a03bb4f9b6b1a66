import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Ask } from "../../src/net/egress.ts";
import { EgressError } from "../../src/net/trouble.ts";
import { createStop } from "../../src/turn/stop.ts";
import { fetchModels } from "../../src/upstream/models.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CATALOGUE } from "../support/backend/models.ts";
import { ask } from "../support/egress.ts";
import { proxyOf } from "../support/link.ts";
import { startRaw } from "./raw.ts";
import { identityOf, settleDown, watchRejections } from "./scene.ts";

const rejections = watchRejections();
let backend: FakeBackend;
beforeAll(async () => {
  backend = await startBackend();
});
afterAll(async () => {
  await backend.stop();
  await settleDown();
  rejections.stop();
  expect(rejections.seen).toEqual([]);
});

const settings = (baseUrl: string, etag?: string) => ({
  baseUrl,
  headers: { "User-Agent": "codex_cli_rs/0.169.0" },
  clientVersion: "0.169.0",
  etag,
  ask,
});

describe("fetchModels", () => {
  test("goes by the account's own proxy, and says where that is the trouble", async () => {
    const proxies: unknown[] = [];
    const proxy = proxyOf("socks5h://h:1", "proxy_url");
    const blocked: Ask = async (_url, request) => {
      proxies.push(request.proxy);
      throw new EgressError("The proxy is asleep.");
    };
    const options = { ...settings(backend.url), ask: blocked };
    const identity = { accessToken: "token", workspaceId: undefined, proxy };
    const answer = await fetchModels(identity, options, createStop(), systemClock);
    expect(answer).toMatchObject({ failure: { kind: "egress", message: "The proxy is asleep." } });
    expect(proxies).toEqual([proxy]);
  });

  test("brings the catalogue and its mark, asked for as Codex does", async () => {
    const account = backend.account("reader");
    const answer = await fetchModels(
      identityOf(account),
      settings(backend.url),
      createStop(),
      systemClock,
    );
    expect(answer).toEqual({ type: "models", models: [...CATALOGUE], etag: expect.any(String) });
    const request = backend.requests.at(-1);
    expect(request).toMatchObject({ method: "GET", query: "?client_version=0.169.0" });
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${account.tokens().accessToken}`,
      "chatgpt-account-id": account.workspaceId,
      "user-agent": "codex_cli_rs/0.169.0",
      accept: "*/*",
    });
    expect(request?.headers).not.toHaveProperty("if-none-match");
  });

  test("says so when the list has not changed", async () => {
    const identity = identityOf(backend.account("reader"));
    const first = await fetchModels(identity, settings(backend.url), createStop(), systemClock);
    const etag = first.type === "models" ? first.etag : undefined;
    const again = await fetchModels(
      identity,
      settings(backend.url, etag),
      createStop(),
      systemClock,
    );
    expect(again).toEqual({ type: "unchanged" });
  });

  test("tells a refusal by its status", async () => {
    const account = backend.account("expired");
    account.expireAccessToken();
    const answer = await fetchModels(
      identityOf(account),
      settings(backend.url),
      createStop(),
      systemClock,
    );
    expect(answer).toMatchObject({
      type: "failed",
      failure: { kind: "unauthorized", status: 401 },
    });
  });

  const bodies: [name: string, head: string, body: string, status: number][] = [
    ["a page", "200 OK", "<html></html>", 200],
    ["another list", "200 OK", '{"object":"list","data":[]}', 200],
    ["models that are no list", "200 OK", '{"models":{}}', 200],
    ["a redirect", "302 Found\r\nlocation: /elsewhere", "", 302],
    ["an outage with a list", "500 Oops", '{"models":[]}', 500],
  ];
  test.each(bodies)("%s is a failure", async (_name, head, body, status) => {
    const raw = await startRaw();
    try {
      const identity = { accessToken: "token", workspaceId: undefined };
      const answer = fetchModels(identity, settings(raw.url), createStop(), systemClock);
      const peer = await raw.next();
      expect(peer.head).not.toMatch(/chatgpt-account-id/i);
      await peer.write(`HTTP/1.1 ${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      expect(await answer).toMatchObject({ type: "failed", failure: { status } });
      expect(raw.connections()).toBe(1);
    } finally {
      raw.stop();
    }
  });

  test("never throws: silence until it is stopped, and nobody at the address", async () => {
    const raw = await startRaw();
    const identity = { accessToken: "token", workspaceId: "workspace" };
    const stop = createStop();
    const answer = fetchModels(identity, settings(raw.url), stop, systemClock);
    const peer = await raw.next();
    stop.stop({ kind: "timeout", message: "Too slow." });
    expect(await answer).toEqual({
      type: "failed",
      failure: { kind: "timeout", message: "Too slow." },
    });
    await peer.closed;
    raw.stop();
    const refused = await fetchModels(identity, settings(raw.url), createStop(), systemClock);
    expect(refused).toMatchObject({ type: "failed", failure: { kind: "unreachable" } });
  });
});
