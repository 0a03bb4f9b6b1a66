import { expect, test } from "bun:test";
import fc from "fast-check";
import { createSessions, keepAliveOf } from "../../src/net/sessions.ts";
import { startRaw } from "../upstream/raw.ts";

const KEEP = { most: 8, pingEveryMs: 60_000 };

const route = (key: string) => ({ key, connection: {} });

test("requests of one route share their connections, those of two do not", () => {
  const sessions = createSessions(() => KEEP);
  const one = sessions.of(route("one"));
  expect(sessions.of(route("one"))).toBe(one);
  expect(sessions.of(route("other"))).not.toBe(one);
  expect(sessions.of(route("one"))).toBe(one);
});

test("routes are forgotten, those first that were not used for longest", () => {
  const sessions = createSessions(() => KEEP);
  const used = sessions.of(route("used"));
  const unused = sessions.of(route("unused"));
  for (let count = 0; count < 1023; count++) {
    sessions.of(route(String(count)));
    expect(sessions.of(route("used"))).toBe(used);
  }
  expect(sessions.of(route("unused"))).not.toBe(unused);
});

test("kept connections outlast the wait for their next sign of life", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 3600 }), fc.integer({ min: 1, max: 64 }), (sec, most) => {
      const keep = keepAliveOf({ most, pingEveryMs: sec * 1000 });
      if (keep === false) throw new Error("connections are kept");
      expect(keep.idleTimeout).toBeGreaterThan(sec);
      expect(keep.idleTimeout).toBeLessThanOrEqual(14_280);
      expect(keep.maxIdleSockets).toBe(most);
    }),
  );
  expect(keepAliveOf({ most: 0, pingEveryMs: 60_000 })).toBe(false);
});

test("no more idle connections are kept than the option says, and each way keeps its own", async () => {
  const server = await startRaw();
  const options = { most: 2, pingEveryMs: 60_000 };
  const { signal } = new AbortController();
  const sessions = createSessions(() => ({ ...options }));
  /** So many requests at once; how many connections that has opened. */
  const rush = async (count: number, way = "direct"): Promise<number> => {
    const before = server.connections();
    const session = sessions.of(route(way));
    const asked = Array.from({ length: count }, () =>
      session.ask(server.url, { headers: {}, signal }),
    );
    const peers = await Promise.all(asked.map(() => server.next()));
    await Promise.all(
      peers.map((peer) => peer.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
    );
    await Promise.all(asked.map(async (answer) => (await answer).bytes()));
    return server.connections() - before;
  };
  try {
    expect([await rush(5), await rush(5), await rush(2)]).toEqual([5, 3, 0]);
    expect([await rush(1, "other"), await rush(1, "other")]).toEqual([1, 0]);
    options.most = 0;
    expect([await rush(1), await rush(1)]).toEqual([1, 1]);
    options.most = 4;
    expect([await rush(4), await rush(4)]).toEqual([4, 0]);
  } finally {
    server.stop();
  }
});
