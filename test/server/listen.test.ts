import { afterAll, describe, expect, test } from "bun:test";
import http from "node:http";
import { connectionOf, limitHeaders, unmet } from "../../src/server/listen.ts";

describe("what the owner wishes", () => {
  const USUAL = {
    "enable-listen-h2c": true,
    "h2-max-concurrent-streams": 1000,
    "listen-max-header-bytes": 65_536,
  };

  test("is not spoken of where nobody wished for anything", () => {
    expect(unmet(USUAL)).toEqual([]);
  });

  test("and the runtime does otherwise is told, a line for each key", () => {
    const told = unmet({
      ...USUAL,
      "h2-max-concurrent-streams": 500,
      "listen-max-header-bytes": 100_000,
    });
    expect(told).toHaveLength(2);
    expect(told[0]).toMatch(/^h2-max-concurrent-streams: 500 .* 256 /);
    expect(told[1]).toMatch(/^listen-max-header-bytes: 100000 .* 65536 /);
  });

  test("and the runtime does by chance is not told", () => {
    expect(unmet({ ...USUAL, "h2-max-concurrent-streams": 256 })).toEqual([]);
  });

  test("of HTTP/2 does not matter where that is off", () => {
    const wishes = { "h2-max-concurrent-streams": 5, "listen-max-header-bytes": 1_000_000 };
    expect(unmet({ ...wishes, "enable-listen-h2c": false })).toEqual([]);
  });
});

describe("the time of a connection", () => {
  test("stands still while it is held, counts while it rests, and is up when it is cut", () => {
    const told: number[] = [];
    const request = new Request("http://localhost/");
    const server = {
      timeout: (of: Request, seconds: number) => {
        expect(of).toBe(request);
        told.push(seconds);
      },
    };
    const connection = connectionOf(request, server, 180);
    connection.hold();
    connection.rest();
    connection.cut();
    expect(told).toEqual([0, 180, 1]);
  });
});

describe("the limit of headers", () => {
  const before = http.maxHeaderSize;
  afterAll(() => limitHeaders(before));

  const statusWith = async (port: number, bytes: number): Promise<number> => {
    const headers = { "x-large": "a".repeat(bytes) };
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers });
    return response.status;
  };

  test("is what was set, above the runtime's own and below it", async () => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("ok") });
    const port = server.port ?? 0;
    limitHeaders(50_000);
    expect(await statusWith(port, 40_000)).toBe(200);
    expect(await statusWith(port, 51_000)).toBe(431);
    limitHeaders(8000);
    expect(await statusWith(port, 9000)).toBe(431);
    await server.stop(true);
  });
});
