import { describe, expect, test } from "bun:test";
import { connectionOf, unmet } from "../../src/server/listen.ts";

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
