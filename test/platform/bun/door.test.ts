import { afterAll, describe, expect, test } from "bun:test";
import http from "node:http";
import { limitHeaders } from "../../../src/platform/bun/door.ts";

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
