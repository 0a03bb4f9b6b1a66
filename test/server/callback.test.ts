import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { openBrowserLogin } from "../../src/server/callback.ts";
import type { LoginTokens } from "../../src/upstream/login.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { browse, loginPorts } from "../engine/scene.ts";
import { startBackend } from "../support/backend/backend.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function open(ports: readonly number[] = [0]) {
  const backend = await startBackend();
  backend.account("ann");
  const kept: LoginTokens[] = [];
  const login = await openBrowserLogin(loginPorts(backend.issuer, systemClock, kept), ports);
  ends.push(async () => {
    login.run.cancel();
    await login.closed;
    await backend.stop();
  });
  return { backend, kept, ...login, uri: login.redirectUri ?? "" };
}

async function look(url: string, init?: RequestInit) {
  const response = await fetch(url, init);
  return { status: response.status, headers: response.headers, page: await response.text() };
}

/** Takes a free port and keeps it. */
function occupy() {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("mine") });
  ends.push(() => server.stop(true));
  return server.port ?? 0;
}

describe("the browser's way back", () => {
  test("ends the login, says so on a page that needs nothing, and frees the port", async () => {
    const { run, kept, closed, uri } = await open();
    const { status, headers, page } = await look(await browse(run.url, "ann"));
    expect(status).toBe(200);
    expect(page).toContain("Logged in");
    expect(page).not.toMatch(/https?:|src=|<script|<link/);
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(kept).toHaveLength(1);
    await closed;
    expect(fetch(uri)).rejects.toThrow();
  });

  test("a wrong state, no code, a favicon, another method: each gets a page, and the login waits on", async () => {
    const { run, uri, kept } = await open();
    const back = new URL(await browse(run.url, "ann"));
    const stray: [url: string, status: number, init?: RequestInit][] = [
      [`${uri}?code=ac_1&state=forged`, 400],
      [`${uri}?error=access_denied&state=forged`, 400],
      [uri, 400],
      [`${uri}?${"x".repeat(9000)}`, 400],
      [new URL("/favicon.ico", uri).href, 404],
      [new URL("/", uri).href, 404],
      [back.href, 405, { method: "POST", body: "x" }],
      [back.href, 405, { method: "HEAD" }],
    ];
    for (const [url, status, init] of stray) {
      expect(await look(url, init)).toMatchObject({ status });
      expect(run.ending()).toBeUndefined();
    }
    expect((await look(back.href)).status).toBe(200);
    expect(kept).toHaveLength(1);
  });

  test("bytes that are no request change nothing", async () => {
    const { run, uri } = await open();
    const { port } = new URL(uri);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), "127.0.0.1", () =>
        socket.end("\u0000\u0001garbage\r\n\r\n"),
      );
      socket.on("close", () => resolve());
      socket.on("error", () => resolve());
      socket.resume();
    });
    expect(run.ending()).toBeUndefined();
    expect((await look(await browse(run.url, "ann"))).status).toBe(200);
  });

  test("a refusal is told, escaped", async () => {
    const { run } = await open();
    const back = new URL(await browse(run.url, "deny"));
    back.searchParams.set("error_description", '<img src=x onerror=alert(1)> & "more"');
    const { status, page } = await look(back.href);
    expect(status).toBe(400);
    expect(page).toContain("&lt;img src=x onerror=alert(1)&gt; &amp; &quot;more&quot;");
    expect(page).not.toContain("<img");
    expect(await run.ended).toMatchObject({ kind: "failed" });
  });

  test("of two answers the second is told that it is late", async () => {
    const { run, kept } = await open();
    const back = await browse(run.url, "ann");
    const statuses = await Promise.all([look(back), look(back)]);
    expect(statuses.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(kept).toHaveLength(1);
  });

  test("where the first port is taken the second is used, and the issuer is told so", async () => {
    const { run, redirectUri } = await open([occupy(), 0]);
    expect(redirectUri).toBeDefined();
    expect(new URL(run.url).searchParams.get("redirect_uri")).toBe(redirectUri ?? "");
    expect((await look(await browse(run.url, "ann"))).status).toBe(200);
  });

  test("where both are taken nothing listens, and a pasted address ends it", async () => {
    const ports = [occupy(), occupy()];
    const { run, redirectUri, closed } = await open(ports);
    expect(redirectUri).toBeUndefined();
    const back = await browse(run.url, "ann");
    expect(back).toStartWith(`http://127.0.0.1:${ports[0]}/auth/callback?`);
    expect(await run.finish(back)).toMatchObject({ kind: "ended", ending: { kind: "done" } });
    await closed;
  });

  test("two logins do not share a port", async () => {
    const { uri } = await open();
    const { redirectUri } = await open([Number(new URL(uri).port)]);
    expect(redirectUri).toBeUndefined();
  });

  test("a body is not read, and a connection that says nothing holds up no end", async () => {
    const { run, uri, closed } = await open();
    const { port } = new URL(uri);
    const silent = connect(Number(port), "127.0.0.1");
    ends.push(() => silent.destroy());
    await new Promise<void>((resolve) => silent.on("connect", () => resolve()));
    const { status, headers } = await look(uri, { method: "POST", body: "x".repeat(1_000_000) });
    expect(status).toBe(405);
    expect(headers.get("connection")).toBe("close");
    run.cancel();
    await closed;
    expect(fetch(uri)).rejects.toThrow();
  });

  test("listens on this machine only", async () => {
    const { uri } = await open();
    expect(new URL(uri).hostname).toBe("127.0.0.1");
  });
});
