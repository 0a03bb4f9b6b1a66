import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dict } from "../../src/wire/json.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call, lastType } from "../support/call.ts";
import { CODE, type H2Server, type Stream, startH2 } from "../support/h2-server.ts";
import { NGINX, type Nginx, type NginxOptions, startNginx } from "../support/nginx.ts";
import { startHttpProxy } from "../support/proxies.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { type Line, openLine, postBytes } from "../support/socket.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

let backend: FakeBackend;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

let accounts = 0;

/** The program before nginx before the backend. */
async function begin(options: NginxOptions, config: { readonly [key: string]: unknown } = {}) {
  accounts += 1;
  const account = backend.account(`h2-${accounts}`);
  const nginx = await startNginx(backend.url, options);
  const proxy = await startProxy({
    backend,
    accounts: [account],
    config: { "base-url": nginx.url, "enable-http2": true, ...config },
    binary: true,
    env: nginx.trusting,
  });
  return {
    account,
    nginx,
    proxy,
    [Symbol.asyncDispose]: async () => {
      await proxy.stop();
      await nginx[Symbol.asyncDispose]();
    },
  };
}

/** So many turns at a time; how each ended. */
async function turns(proxy: TestProxy, count: number): Promise<readonly unknown[]> {
  const answers = Array.from({ length: count }, () => call(proxy, { headers: CODEX }));
  return (await Promise.all(answers)).map(({ events }) => lastType(events));
}

/** How many turns went by which protocol, and over how many connections. */
async function passed(nginx: Nginx) {
  const posts = (await nginx.passed()).filter(({ method }) => method === "POST");
  return {
    protocols: [...new Set(posts.map(({ protocol }) => protocol))],
    connections: new Set(posts.map(({ connection }) => connection)).size,
    statuses: [...new Set(posts.map(({ status }) => status))],
    count: posts.length,
  };
}

// Debian has it as nginx-light.
describe.skipIf(NGINX === null)("HTTP/2 with nginx", () => {
  test("turns share a connection", async () => {
    await using scene = await begin({ hasHttp2: true }, { "max-conns-per-host": 1 });
    const { proxy, nginx } = scene;
    const ends = await turns(proxy, 30);
    expect(new Set(ends)).toEqual(new Set(["response.completed"]));
    const seen = await passed(nginx);
    expect(seen).toMatchObject({ protocols: ["HTTP/2.0"], statuses: ["200"], count: 30 });
    expect(seen.connections).toBe(1);
    expect(proxy.logs()).not.toContain("HTTP/1.1");
  });

  test("a connection that the server retires costs no turn", async () => {
    await using scene = await begin({ hasHttp2: true, requestsPerConnection: 5 });
    const { proxy, nginx } = scene;
    for (let round = 0; round < 4; round++) {
      expect(new Set(await turns(proxy, 12))).toEqual(new Set(["response.completed"]));
    }
    const seen = await passed(nginx);
    expect(seen).toMatchObject({ protocols: ["HTTP/2.0"], statuses: ["200"] });
    expect(seen.connections).toBeGreaterThan(4);
    expect(proxy.logs()).not.toContain("tried=");
  });

  test("where the server has none, HTTP/1.1 is used, and that is said once", async () => {
    await using scene = await begin({ hasHttp2: false });
    const { proxy, nginx } = scene;
    expect(new Set(await turns(proxy, 20))).toEqual(new Set(["response.completed"]));
    expect(await passed(nginx)).toMatchObject({ protocols: ["HTTP/1.1"], count: 20 });
    expect(proxy.logs().match(/does not speak HTTP\/2/g)).toHaveLength(1);
    expect(proxy.logs()).not.toContain("tried=");
  });

  test("through an egress proxy HTTP/1.1 is used, and that is said once", async () => {
    await using server = await startHttpProxy();
    await using scene = await begin({ hasHttp2: true }, { "proxy-url": server.url });
    const { proxy, nginx } = scene;
    expect(new Set(await turns(proxy, 5))).toEqual(new Set(["response.completed"]));
    expect(await passed(nginx)).toMatchObject({ protocols: ["HTTP/1.1"], count: 5 });
    expect(server.asked.length).toBeGreaterThan(0);
    const told = proxy.logs().match(/enable-http2 has no effect.*egress proxy/g);
    expect(told).toHaveLength(1);
  });

  const MANY = 350;
  test.each([true, false])(
    `${MANY} streams at a time all make progress, with HTTP/2: %p`,
    async (hasHttp2) => {
      await using scene = await begin({ hasHttp2 }, { "max-conns-per-host": hasHttp2 ? 12 : 0 });
      const { account, proxy } = scene;
      // So that it is known what the server speaks.
      expect(await turns(proxy, 1)).toEqual(["response.completed"]);
      account.always({ kind: "hang-mid-text" });
      const lines = await openTurns(proxy, MANY);
      const begun = Promise.all(lines.map((line) => line.hears("output_text.delta")));
      await within("all have text", begun, 30_000);
      expect(backend.openStreams()).toBe(MANY);
      expect(await connectionsOf(proxy)).toMatchObject(
        hasHttp2 ? { http2_streams: MANY, in_use: 0 } : { http2_streams: 0, in_use: MANY },
      );
      for (const line of lines) line.leave("close");
      await until("the backend is idle", () => backend.openStreams() === 0);
    },
  );
});

test("B8-2: ENHANCE_YOUR_CALM costs no turn that was not answered, and what follows keeps to the limit", async () => {
  const account = backend.account("calm");
  const waiting: Stream[] = [];
  const server: H2Server = await startH2(
    (stream) => {
      // What comes first tells the program that HTTP/2 is spoken here.
      if (server.streams() === 1) return stream.answer("", true);
      waiting.push(stream);
      if (waiting.length === 6) stream.goAway(0, CODE.calm);
    },
    { behind: backend.url },
  );
  const dir = await mkdtemp(join(tmpdir(), "codex-proxy-calm-"));
  try {
    await writeFile(join(dir, "ca.pem"), server.authority);
    await using proxy = await startProxy({
      backend,
      accounts: [account],
      config: {
        "base-url": backend.url.replace(/^http:\/\/[^/]+/, new URL(server.url).origin),
        "enable-http2": true,
        "max-conns-per-host": 2,
      },
      binary: true,
      env: { NODE_EXTRA_CA_CERTS: join(dir, "ca.pem") },
    });
    expect(server.streams()).toBe(1);
    const ends = await within("all have ended", turns(proxy, 6));
    expect(new Set(ends)).toEqual(new Set(["response.completed"]));
    expect([waiting.length, server.mostPassedOn()]).toEqual([6, 2]);
    const count = (words: RegExp): number => proxy.logs().match(words)?.length ?? 0;
    await until("all are in the log", () => count(/turned-away/g) === 6);
    expect(count(/ended an HTTP\/2 connection with an error/g)).toBe(1);
    expect(await connectionsOf(proxy)).toMatchObject({ in_use: 0, http2_streams: 0, waiting: 0 });
  } finally {
    server.stop();
    await rm(dir, { recursive: true, force: true });
  }
});

/** `connections` of `/stats`. */
async function connectionsOf(proxy: TestProxy) {
  const headers = { authorization: `Bearer ${KEY}` };
  const response = await fetch(`${proxy.url}/stats`, { headers });
  return dict(dict(await response.json())["connections"]);
}

async function openTurns(proxy: TestProxy, count: number): Promise<readonly Line[]> {
  const lines = await Promise.all(Array.from({ length: count }, () => openLine(proxy.url)));
  for (const [number, line] of lines.entries()) {
    const body = JSON.stringify(turnBody("Words", { prompt_cache_key: `c${number}` }));
    const headers = { authorization: `Bearer ${KEY}`, ...CODEX };
    line.send(postBytes(`${proxy.url}/v1/responses`, body, headers));
  }
  return lines;
}
