import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { inBrackets, readEndpoint, withoutBrackets } from "../../src/config/endpoint.ts";

describe("readEndpoint", () => {
  const good: [text: string, host: string, port: number | undefined][] = [
    ["localhost", "localhost", undefined],
    ["Proxy.Example.COM:3128", "proxy.example.com", 3128],
    ["10.0.0.1:1", "10.0.0.1", 1],
    ["my_proxy:65535", "my_proxy", 65_535],
    ["::1", "::1", undefined],
    ["[::1]", "::1", undefined],
    ["[2001:DB8:0::7]:443", "2001:db8::7", 443],
    ["2001:db8::7", "2001:db8::7", undefined],
    ["bücher.example:80", "xn--bcher-kva.example", 80],
  ];
  test.each(good)("%s", (text, host, port) => {
    expect(readEndpoint(text)).toEqual({ host, port });
  });

  test.each([
    "",
    ":80",
    "host:",
    "host:0",
    "host:65536",
    "host:123456",
    "host:80:80",
    "host:x",
    "ho st",
    "user@host",
    "host/",
    "host/path",
    "host?q",
    "host#f",
    "a\\b",
    "a%41",
    "[::1",
    "::1]:80",
    "[host]:80",
    "[fe80::1%eth0]:1",
    "999.1.1.1",
    "host\n",
  ])("%p is no place", (text) => {
    expect(readEndpoint(text)).toBeUndefined();
  });

  test("whatever it reads can stand in a URL, and comes out of it the same", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 30 }), (text) => {
        const read = readEndpoint(text);
        if (read === undefined) return;
        const url = new URL(`http://${inBrackets(read.host)}:${read.port ?? 81}/`);
        expect(withoutBrackets(url.hostname)).toBe(read.host);
        expect(url.username + url.password + url.search + url.hash).toBe("");
      }),
      { numRuns: 2000 },
    );
  });
});
