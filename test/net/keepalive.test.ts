import { afterEach, describe, expect, test } from "bun:test";
import { createConnections } from "../../src/net/connections.ts";
import type { Ask, Outgoing } from "../../src/net/egress.ts";
import { createKeepAlive } from "../../src/net/keepalive.ts";
import { listen, NOON } from "../engine/parts.ts";
import { createManualClock } from "../support/clock.ts";
import { NO_PROXY, openEgress } from "../support/egress.ts";
import { startForwarder } from "../support/forwarder.ts";
import { startTls, type TlsServer } from "../support/tls.ts";
import { until } from "../support/until.ts";
import { startRaw } from "../upstream/raw.ts";

/** Signs of life that go to `answer`. */
function stage(answer: Ask, { limit = 12, mostIdle = 8 } = {}) {
  const clock = createManualClock(NOON);
  const { log, lines } = listen();
  const scene = { isShared: false, mostIdle };
  const asked: (Outgoing & { readonly url: string })[] = [];
  const connections = createConnections({ clock, limit: () => limit, onFree: () => {} });
  const keepAlive = createKeepAlive({
    ask: (url, request) => {
      asked.push({ ...request, url });
      return answer(url, request);
    },
    connections,
    isShared: () => scene.isShared,
    clock,
    log,
    options: () => ({ url: "https://backend.test/codex", userAgent: "agent/1", ...scene }),
  });
  return { clock, lines, scene, asked, connections, round: keepAlive.round };
}

const answered: Ask = async () =>
  new Response(null, { status: 404, headers: { "content-length": "9" } });

describe("signs of life", () => {
  test("are small requests without credentials, one for each connection that is not in use", async () => {
    const { round, asked, connections } = stage(answered);
    const turns = [connections.take(false), connections.take(false)];
    await round();
    expect(asked).toHaveLength(6);
    const { url, method, headers, body } = asked[0] ?? {};
    expect([url, method, body]).toEqual(["https://backend.test/codex", "HEAD", undefined]);
    expect(headers).toEqual({ accept: "*/*", "user-agent": "agent/1" });
    expect(connections.counts().inUse).toBe(2);
    for (const turn of turns) turn.release();
    await round();
    expect(asked).toHaveLength(14);
  });

  test("are no more than the limit leaves, nor than the runtime keeps, and one where connections are shared", async () => {
    const few = stage(answered, { limit: 3 });
    few.connections.take(false);
    await few.round();
    expect(few.asked).toHaveLength(2);
    const many = stage(answered, { limit: 0, mostIdle: 500 });
    await many.round();
    expect(many.asked).toHaveLength(64);
    const shared = stage(answered);
    shared.scene.isShared = true;
    shared.connections.take(true);
    await shared.round();
    expect(shared.asked.map(({ isShared }) => isShared)).toEqual([true]);
    const none = stage(answered, { mostIdle: 0 });
    await none.round();
    none.scene.isShared = true;
    await none.round();
    expect(none.asked).toEqual([]);
  });

  test("are GETs where an answer to a HEAD would end the connection", async () => {
    const server = await startRaw();
    try {
      const { ask } = openEgress({
        options: () => ({ ...NO_PROXY, keep: { most: 3, pingEveryMs: 60_000 } }),
      });
      const { round, asked } = stage((_url, request) => ask(server.url, request), { mostIdle: 3 });
      const serve = async (count: number, answer: string): Promise<void> => {
        const peers = await Promise.all(Array.from({ length: count }, () => server.next()));
        await Promise.all(peers.map((peer) => peer.write(answer)));
      };
      const first = round();
      await serve(3, "HTTP/1.1 404 Not Found\r\nserver: quiet\r\n\r\n");
      await serve(3, "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
      await first;
      const second = round();
      await serve(3, "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
      await second;
      const methods = asked.map(({ method }) => String(method)).join(" ");
      expect(methods).toBe("HEAD HEAD HEAD GET GET GET GET GET GET");
      expect(server.connections()).toBe(6);
    } finally {
      server.stop();
    }
  });

  test("are read to their end, but for those that have none", async () => {
    let pulled = 0;
    const endless: Ask = async () => {
      const body = new ReadableStream({
        pull: (controller) => {
          pulled += 1;
          controller.enqueue(new Uint8Array(1024));
        },
      });
      return new Response(body, { headers: { "transfer-encoding": "chunked" } });
    };
    const { round, connections, clock } = stage(endless, { mostIdle: 1 });
    await round();
    expect(pulled).toBeLessThan(100);
    clock.advance(50);
    expect(connections.counts().inUse).toBe(0);
  });

  test("that fail are told in one quiet line, and keep nothing", async () => {
    const broken = Object.assign(new Error("No."), { code: "ECONNREFUSED" });
    const { round, lines, connections } = stage(() => Promise.reject(broken));
    await round();
    expect(lines.map(({ level, facts }) => [level, facts])).toEqual([
      ["debug", '{"of":8,"failed":8,"reason":"ECONNREFUSED"}'],
    ]);
    expect(connections.counts().inUse).toBe(0);
  });

  test("that nobody answers are given up, and their connections closed", async () => {
    const silent: Ask = (_url, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("aborted")));
      });
    const { round, clock, lines, connections } = stage(silent, { mostIdle: 2 });
    const done = round();
    clock.advance(9999);
    expect(connections.counts().inUse).toBe(2);
    clock.advance(1);
    await done;
    expect(lines).toMatchObject([{ facts: '{"of":2,"failed":2,"reason":"no answer in time"}' }]);
    clock.advance(50);
    expect(connections.counts().inUse).toBe(0);
  });
});

describe("kept connections", () => {
  let server: TlsServer | undefined;
  afterEach(() => server?.stop());

  /** A way to a TLS server that closes what nobody uses, and turns that take it. */
  const begin = async () => {
    const backend = await startTls();
    server = backend;
    const router = await startForwarder(backend.url);
    const clock = createManualClock(NOON);
    const { ask } = openEgress({ authorities: backend.authority });
    const connections = createConnections({ clock, limit: () => 12, onFree: () => {} });
    const keepAlive = createKeepAlive({
      ask,
      connections,
      isShared: () => false,
      clock,
      log: listen().log,
      options: () => ({ url: router.url, userAgent: undefined, mostIdle: NO_PROXY.keep.most }),
    });
    const turn = async (): Promise<number> => {
      const { signal } = new AbortController();
      const answer = await ask(router.url, {
        method: "POST",
        headers: {},
        body: "{}",
        signal,
        proxy: undefined,
      });
      await answer.bytes();
      return answer.status;
    };
    return { backend, router, clock, turn, round: keepAlive.round };
  };

  test("the first turns after ten idle minutes pay no handshake", async () => {
    const { backend, turn, round } = await begin();
    await round();
    // As many minutes, each of which would be too long for a connection that nobody uses.
    for (let minute = 0; minute < 10; minute++) {
      await round();
      await backend.closeUnused();
    }
    const { handshakes } = backend.counts();
    expect(handshakes).toBe(8);
    expect(await Promise.all([turn(), turn(), turn()])).toEqual([200, 200, 200]);
    expect(backend.counts()).toEqual({ handshakes, open: 8 });
  });

  test("without signs of life they pay one", async () => {
    const { backend, turn, round } = await begin();
    await round();
    for (let minute = 0; minute < 2; minute++) await backend.closeUnused();
    expect(backend.counts()).toEqual({ handshakes: 8, open: 0 });
    expect(await turn()).toBe(200);
    expect(backend.counts().handshakes).toBe(9);
  });

  test("that only seem to be there are found out by them, and no turn is sent on one", async () => {
    const { turn, round, router, clock } = await begin();
    await round();
    router.forget();
    const found = round();
    await until("all signs are on their way", () => router.swallowed() === 8);
    clock.advance(10_000);
    await found;
    expect(await Promise.all([turn(), turn()])).toEqual([200, 200]);
    expect(router.swallowed()).toBe(8);
  });
});
