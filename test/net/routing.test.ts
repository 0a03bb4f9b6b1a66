import { describe, expect, test } from "bun:test";
import { aimAt, type Detour } from "../../src/net/aim.ts";
import type { Gate, Place } from "../../src/net/gate.ts";
import { createRouting } from "../../src/net/routing.ts";
import { EgressError } from "../../src/net/trouble.ts";
import { proxyOf } from "../support/link.ts";

const SOCKET: Place = { kind: "socket", path: "/tmp/gate/1" };
const PORT: Place = { kind: "port", port: 4711 };
const DETOUR: Detour = { origin: "https://backend.test", host: "10.0.0.1", port: undefined };

/** Ways out over a gate that is never entered; `fail` is what becomes of its proxy. */
function stage(place: Place = SOCKET) {
  const asked: string[] = [];
  let faults: EgressError[] = [];
  const gate: Gate = {
    place,
    countFaults: () => faults.length,
    lastFault: () => faults.at(-1),
  };
  const to = async (_proxy: unknown, { host, port }: { host: string; port: number }) => {
    asked.push(`${host}:${port}`);
    return gate;
  };
  const fail = (message: string) => {
    faults = [...faults, new EgressError(message)];
  };
  return { ...createRouting({ to }, undefined), asked, fail };
}

const broken = (code: string) => Object.assign(new Error(code), { code });

describe("a way out", () => {
  test("is direct, with no proxy and with the certificate checked", () => {
    const { route, url, headers } = stage().direct(aimAt("https://backend.test/x", undefined));
    expect(route).toEqual({ key: "direct", connection: {} });
    expect([url, headers]).toEqual(["https://backend.test/x", {}]);
  });

  test("leads elsewhere under the name that is meant", () => {
    const { route, url, headers } = stage().direct(aimAt("https://backend.test/x", DETOUR));
    expect([url, headers]).toEqual(["https://10.0.0.1/x", { host: "backend.test" }]);
    expect(route.connection).toEqual({ serverName: "backend.test" });
    expect(route.key).toContain("backend.test");
  });

  test.each(["http", "https", "socks5", "socks5h"])(
    "%s: is a gate to the server",
    async (scheme) => {
      const { through, asked } = stage();
      const aim = aimAt("https://backend.test/x", undefined);
      const { route, url, headers } = await through(proxyOf(`${scheme}://u:p@h`), aim);
      expect(asked).toEqual(["backend.test:443"]);
      expect(route.connection).toEqual({ unix: SOCKET.path });
      expect([url, headers]).toEqual(["https://backend.test/x", {}]);
    },
  );

  test("is a gate to the other address, which keeps the name", async () => {
    const { through, asked } = stage();
    const { url } = await through(proxyOf("http://h"), aimAt("https://backend.test/x", DETOUR));
    expect([url, asked]).toEqual(["https://backend.test/x", ["10.0.0.1:443"]]);
  });

  test("is a port of this machine where there are no sockets, under the name that is meant", async () => {
    const { through } = stage(PORT);
    const aim = aimAt("https://backend.test:8443/x", undefined);
    const { route, url, headers } = await through(proxyOf("socks5h://h"), aim);
    expect([url, headers]).toEqual(["https://127.0.0.1:4711/x", { host: "backend.test:8443" }]);
    expect(route.connection).toEqual({ serverName: "backend.test" });
  });

  test("is the HTTP proxy itself for what is not encrypted, unless the name would be lost", async () => {
    const { through, asked } = stage();
    const aim = aimAt("http://backend.test/x", undefined);
    const { route } = await through(proxyOf("http://u:p@h:1"), aim);
    expect(route.connection.proxy).toEqual({
      url: "http://h:1",
      headers: { "proxy-authorization": `Basic ${btoa("u:p")}` },
    });
    expect(asked).toEqual([]);
    await through(proxyOf("socks5://h"), aim);
    const detoured = aimAt("http://backend.test/x", { ...DETOUR, origin: "http://backend.test" });
    await through(proxyOf("http://h"), detoured);
    expect(asked).toEqual(["backend.test:80", "10.0.0.1:80"]);
  });

  test("two logins at one proxy share no connections", async () => {
    const { through } = stage();
    const aim = aimAt("http://backend.test/x", undefined);
    const keys = ["http://a:b@h", "http://a:c@h", "http://h"].map(
      async (url) => (await through(proxyOf(url), aim)).route.key,
    );
    expect(new Set(await Promise.all(keys)).size).toBe(3);
  });
});

describe("what broke a request", () => {
  const aim = aimAt("https://backend.test/x", undefined);

  test("is what its gate says has happened since it began", async () => {
    const { through, fail } = stage();
    fail("an earlier one");
    const { faultOf } = await through(proxyOf("socks5://h"), aim);
    expect(faultOf(broken("ECONNRESET"))).toBeUndefined();
    fail("the proxy is down");
    expect(faultOf(broken("ECONNRESET"))?.message).toBe("the proxy is down");
  });

  test("is the proxy's doing where TLS fails behind it", async () => {
    const { faultOf } = await stage().through(proxyOf("socks5://h"), aim);
    expect(faultOf(broken("SELF_SIGNED_CERT_IN_CHAIN"))?.message).toMatch(
      /answers there for backend\.test has a certificate that is not trusted .*NODE_EXTRA_CA_CERTS/,
    );
    expect(faultOf(broken("EPROTO"))?.message).toMatch(
      /does not speak TLS .*Find out what it does/,
    );
  });

  test("is nobody's word without a proxy", () => {
    const { faultOf, faultIn } = stage().direct(aim);
    expect(faultOf(broken("SELF_SIGNED_CERT_IN_CHAIN"))).toBeUndefined();
    expect(faultIn(new Response("", { status: 407 }))).toBeUndefined();
  });

  test("is in the answer where an HTTP proxy can give one in the server's place", async () => {
    const plain = aimAt("http://backend.test/x", undefined);
    const { faultIn } = await stage().through(proxyOf("http://u:p@h"), plain);
    const page = (status: number, type = "text/html; charset=utf-8") =>
      faultIn(new Response("<html>", { status, headers: { "content-type": type } }))?.message;
    expect(page(407)).toMatch(/refuses the user or the password/);
    expect(page(401)).toMatch(/refuses the user or the password/);
    expect(page(502)).toMatch(/answered 502 with a web page/);
    for (const status of [401, 403, 429, 500])
      expect(page(status, "application/json")).toBeUndefined();
    expect(page(200)).toBeUndefined();
  });
});
