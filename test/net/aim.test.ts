import { describe, expect, test } from "bun:test";
import { aimAt, leadTo } from "../../src/net/aim.ts";

describe("aimAt", () => {
  const rows: [url: string, host: string, name: string, target: { host: string; port: number }][] =
    [
      ["https://chatgpt.com/x", "chatgpt.com", "chatgpt.com", { host: "chatgpt.com", port: 443 }],
      [
        "HTTPS://ChatGPT.com:443/x",
        "chatgpt.com",
        "chatgpt.com",
        { host: "chatgpt.com", port: 443 },
      ],
      ["http://h/x", "h", "h", { host: "h", port: 80 }],
      ["https://h:8443/x", "h:8443", "h", { host: "h", port: 8443 }],
      ["https://[::1]:8443/x", "[::1]:8443", "::1", { host: "::1", port: 8443 }],
    ];
  test.each(rows)("%s", (url, host, name, target) => {
    const aim = aimAt(url, undefined);
    expect(aim).toMatchObject({ url, host, name, target, isDetoured: false });
    expect(aim.isEncrypted).toBe(/^https/i.test(url));
  });

  test("a detour is for its origin only, and keeps the name", () => {
    const detour = { origin: "https://h:8443", host: "10.0.0.1", port: undefined };
    expect(aimAt("https://h:8443/x", detour)).toMatchObject({
      isDetoured: true,
      host: "h:8443",
      name: "h",
      target: { host: "10.0.0.1", port: 8443 },
    });
    expect(aimAt("https://h:8443/x", { ...detour, port: 9 }).target.port).toBe(9);
    for (const url of ["https://h/x", "http://h:8443/x", "https://h.evil:8443/x"]) {
      expect(aimAt(url, detour).isDetoured).toBe(false);
    }
  });
});

test("a URL is led elsewhere with its path and query", () => {
  expect(leadTo({ host: "::1", port: 9 }, "https://h/a/b?c=d")).toBe("https://[::1]:9/a/b?c=d");
  expect(leadTo({ host: "10.0.0.1", port: 443 }, "https://h:8443/a")).toBe("https://10.0.0.1/a");
});
