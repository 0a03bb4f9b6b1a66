import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { proxyUrl, readProxy, showProxy } from "../../src/config/proxy-url.ts";

const read = (text: string) => {
  const reading = readProxy(text, "proxy-url");
  if (!reading.ok) throw new Error(`${text}: ${reading.found}`);
  return reading.proxy;
};

describe("readProxy", () => {
  const good: [text: string, shown: string, login: readonly [string, string] | null][] = [
    ["http://127.0.0.1:3128", "http://127.0.0.1:3128", null],
    ["http://proxy.example", "http://proxy.example:80", null],
    // What URL parsers take away, because it is the scheme's own, stays the same port.
    ["http://proxy.example:80", "http://proxy.example:80", null],
    ["https://proxy.example", "https://proxy.example:443", null],
    ["socks5://h", "socks5://h:1080", null],
    ["SOCKS5H://H:9/", "socks5h://h:9", null],
    ["socks5h://[::1]:1080", "socks5h://[::1]:1080", null],
    ["http://u:p@h:1", "http://h:1", ["u", "p"]],
    ["http://u@h:1", "http://h:1", ["u", ""]],
    ["http://:p@h:1", "http://h:1", ["", "p"]],
    ["http://@h:1", "http://h:1", null],
    ["http://us%20er:p%40%2F%3A%25%C3%A9@h:1", "http://h:1", ["us er", "p@/:%é"]],
    // The last @ is the one before the host.
    ["http://u:p@ss:word@h:1", "http://h:1", ["u", "p@ss:word"]],
    ["socks5://u:@h:1", "socks5://h:1", ["u", ""]],
  ];
  test.each(good)("%s", (text, shown, login) => {
    const proxy = read(text);
    expect(showProxy(proxy)).toBe(shown);
    const { user, password } = proxy.login ?? {};
    expect(proxy.login === undefined ? null : [user, password]).toEqual(login && [...login]);
    expect(proxyUrl(text)).toEqual({ ok: true, value: text });
  });

  const bad: [text: string, found: RegExp][] = [
    ["", /without a scheme/],
    ["10.0.0.1:1080", /without a scheme/],
    ["hunter2:hunter2@10.0.0.1:1080", /without a scheme/],
    ["socks4://h:1", /scheme socks4$/],
    ["socks://h:1", /scheme socks$/],
    ["ftp://u:hunter2@h", /scheme ftp$/],
    ["hunter2hunter2hunter2://h", /scheme of that name/],
    ["http://", /host or port/],
    ["http://:80", /host or port/],
    ["http://h:0", /host or port/],
    ["http://h:65536", /host or port/],
    ["http://h:port", /host or port/],
    ["socks5://h:1080:user:hunter2", /host or port/],
    ["http://h h:1", /host or port/],
    ["http://::1:80", /host or port/],
    ["http://h:1/path", /path/],
    ["http://h:1//", /path/],
    ["http://h:1?x=hunter2", /query/],
    ["http://h:1#hunter2", /query/],
    ["http://u:hunter2/x@h:1", /before the @/],
    ["http://u:hunter2#@h:1", /before the @/],
    ["http://u:hunter2%@h:1", /begins no code/],
    ["http://u:hunter2%ff@h:1", /begins no code/],
    ["http://u:hunter2%0d%0ax@h:1", /control/],
    ["http://u%3Ax:hunter2@h:1", /colon/],
    ["socks5://:hunter2@h:1", /without a user/],
    [`socks5h://u:${"hunter2".repeat(40)}@h:1`, /255 bytes/],
    [`socks5h://${"é".repeat(128)}:hunter2@h:1`, /255 bytes/],
  ];
  test.each(bad)("%s is refused", (text, found) => {
    const reading = readProxy(text, "proxy-url");
    expect(reading.ok || reading.found).toMatch(found);
    expect(JSON.stringify(reading)).not.toContain("hunter2");
    expect(proxyUrl(text).ok).toBe(false);
  });

  test("what is shown never holds user or password, whatever they are", () => {
    const word = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.constantFrom("http", "socks5h"), word, word, (scheme, user, password) => {
        const secret = `${password}-hunter2`;
        const url = `${scheme}://${encodeURIComponent(user)}:${encodeURIComponent(secret)}@h:1`;
        const reading = readProxy(url, "proxy_url");
        if (reading.ok) {
          expect(reading.proxy.login).toEqual({ user, password: secret });
          expect(showProxy(reading.proxy)).toBe(`${scheme}://h:1`);
        } else {
          expect(reading.found).not.toContain("hunter2");
        }
      }),
    );
  });

  test("two logins are two ways out", () => {
    expect(read("http://a:b@h:1").url).not.toBe(read("http://a:c@h:1").url);
  });
});
