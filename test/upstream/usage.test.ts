import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Ask } from "../../src/net/egress.ts";
import { EgressError } from "../../src/net/trouble.ts";
import type { FailureKind } from "../../src/turn/failure.ts";
import { createStop } from "../../src/turn/stop.ts";
import { fetchUsage, usageUrl } from "../../src/upstream/usage.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { FaultName } from "../support/backend/faults.ts";
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

const HEADERS = { "User-Agent": "codex_cli_rs/0.169.0", Originator: "codex", version: "0.169.0" };
const IDENTITY = { accessToken: "token", workspaceId: "workspace" };

function read(identity: {
  readonly accessToken: string;
  readonly workspaceId: string | undefined;
}) {
  const options = { baseUrl: backend.url, headers: HEADERS, ask };
  return fetchUsage(identity, options, createStop(), systemClock);
}

test.each([
  ["https://chatgpt.com/backend-api/codex", "https://chatgpt.com/backend-api/wham/usage"],
  ["https://chatgpt.com/backend-api/codex/", "https://chatgpt.com/backend-api/wham/usage"],
  ["https://chatgpt.com/backend-api", "https://chatgpt.com/backend-api/wham/usage"],
  ["https://relay.example/my-codex", "https://relay.example/my-codex/wham/usage"],
  ["http://127.0.0.1:9", "http://127.0.0.1:9/wham/usage"],
])("the usage of %s is at %s", (base, url) => {
  expect(usageUrl(base)).toBe(url);
});

describe("fetchUsage", () => {
  test("goes by the account's own proxy, and says where that is the trouble", async () => {
    const proxies: unknown[] = [];
    const proxy = proxyOf("socks5h://h:1", "proxy_url");
    const blocked: Ask = async (_url, request) => {
      proxies.push(request.proxy);
      throw new EgressError("The proxy is asleep.");
    };
    const options = { baseUrl: backend.url, headers: {}, ask: blocked };
    const identity = { ...IDENTITY, proxy };
    const answer = await fetchUsage(identity, options, createStop(), systemClock);
    expect(answer).toMatchObject({ failure: { kind: "egress", message: "The proxy is asleep." } });
    expect(proxies).toEqual([proxy]);
  });

  test("brings a reading, asked for with the headers of the official client and no more", async () => {
    const account = backend.account("reader");
    account.usage(29, 58);
    const answer = await read(identityOf(account));
    expect(answer).toMatchObject({
      ok: true,
      quota: {
        plan: "plus",
        windows: [
          { name: "5h", usedPercent: 29 },
          { name: "7d", usedPercent: 58 },
        ],
      },
    });
    const request = backend.requests.at(-1);
    expect(request).toMatchObject({ method: "GET", path: "/backend-api/wham/usage" });
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${account.tokens().accessToken}`,
      "chatgpt-account-id": account.workspaceId,
      "user-agent": "codex_cli_rs/0.169.0",
      accept: "*/*",
    });
    expect(request?.headers).not.toHaveProperty("originator");
    expect(request?.headers).not.toHaveProperty("version");
  });

  const faults: [fault: FaultName, kind: FailureKind][] = [
    ["401-expired", "unauthorized"],
    ["401-revoked", "unauthorized"],
    ["401-deactivated", "deactivated"],
    ["402-workspace", "deactivated"],
    ["403-cloudflare", "challenged"],
    ["403-cloudflare-block", "challenged"],
    ["403-workspace", "deactivated"],
    ["404-detail", "bad-request"],
    ["429-usage", "exhausted"],
    ["429-detail", "rate-limited"],
    ["429-plain-retry-after", "rate-limited"],
    ["500", "server-error"],
    ["502-html", "server-error"],
    ["503-overloaded", "overloaded"],
  ];
  test.each(faults)("%s is a failure of kind %s", async (fault, kind) => {
    const account = backend.account(`with ${fault}`);
    account.usageFault(fault);
    expect(await read(identityOf(account))).toMatchObject({ ok: false, failure: { kind } });
  });

  const page = "<!doctype html><title>Just a moment...</title>";
  const bodies: [name: string, head: string, body: string, kind: FailureKind][] = [
    ["a page", "200 OK", "<html>hello</html>", "server-error"],
    ["a page that holds requests back", "200 OK", page, "challenged"],
    ["nothing", "200 OK", "", "server-error"],
    ["a list", "200 OK", "[1]", "server-error"],
    ["an error inside a 200", "200 OK", '{"error":{"code":"token_revoked"}}', "unauthorized"],
    ["a word inside a 200", "200 OK", '{"detail":"Unauthorized"}', "server-error"],
    ["a redirect", "302 Found\r\nlocation: /elsewhere", "", "server-error"],
  ];
  test.each(bodies)("%s is a failure, and nobody is followed", async (_name, head, body, kind) => {
    const raw = await startRaw();
    try {
      const options = { baseUrl: raw.url, headers: {}, ask };
      const answer = fetchUsage(IDENTITY, options, createStop(), systemClock);
      const peer = await raw.next();
      expect(peer.head).not.toMatch(/version:|originator:/i);
      await peer.write(`HTTP/1.1 ${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      expect(await answer).toMatchObject({ ok: false, failure: { kind } });
      expect(raw.connections()).toBe(1);
    } finally {
      raw.stop();
    }
  });

  test("a body without end is not read to its end", async () => {
    const raw = await startRaw();
    try {
      const options = { baseUrl: raw.url, headers: {}, ask };
      const answer = fetchUsage(IDENTITY, options, createStop(), systemClock);
      const peer = await raw.next();
      await peer.write("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n");
      await peer.write(`{"a":"${"x".repeat(300 * 1024)}`);
      expect(await answer).toMatchObject({ ok: false, failure: { kind: "server-error" } });
      await peer.closed;
    } finally {
      raw.stop();
    }
  });

  test("never throws: silence until it is stopped, and nobody at the address", async () => {
    const raw = await startRaw();
    const options = { baseUrl: raw.url, headers: {}, ask };
    const stop = createStop();
    const answer = fetchUsage(IDENTITY, options, stop, systemClock);
    const peer = await raw.next();
    stop.stop({ kind: "timeout", message: "Too slow." });
    expect(await answer).toEqual({
      ok: false,
      failure: { kind: "timeout", message: "Too slow." },
    });
    await peer.closed;
    raw.stop();
    const refused = await fetchUsage(IDENTITY, options, createStop(), systemClock);
    expect(refused).toMatchObject({ ok: false, failure: { kind: "unreachable" } });
  });
});
