import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { EgressOptions, EgressPorts, Outgoing } from "../../src/net/egress.ts";
import { EgressError } from "../../src/net/trouble.ts";
import { createAuthority } from "../support/certificates.ts";
import { createManualClock } from "../support/clock.ts";
import { NO_PROXY, openEgress } from "../support/egress.ts";
import { holdUntilEnd } from "../support/held.ts";
import { proxyOf } from "../support/link.ts";
import { freePort, type Listener, listen } from "../support/listener.ts";
import {
  DEBIAN,
  PROXY_ADDRESS,
  startHttpProxy,
  startSocksServer,
  type TestProxyServer,
} from "../support/proxies.ts";
import { until } from "../support/until.ts";

const authority = createAuthority();
const LOGIN = { user: "us er", password: "p@ss:w/rd%" };
const PLAIN_LOGIN = { user: "user", password: "hunter22" };

/** What a server saw of a request. */
type Seen = { readonly from: string; readonly path: string; readonly host: string };
const seen: Seen[] = [];

const answer = async (request: Request, server: Bun.Server<undefined>): Promise<Response> => {
  const { pathname } = new URL(request.url);
  const from = server.requestIP(request)?.address ?? "";
  seen.push({ from, path: pathname, host: request.headers.get("host") ?? "" });
  if (pathname === "/hang") await new Promise(() => {});
  if (pathname === "/moved") {
    return new Response(null, { status: 307, headers: { location: "/elsewhere" } });
  }
  return new Response(await request.bytes());
};
const serve = { hostname: "127.0.0.1", port: 0, idleTimeout: 0, fetch: answer } as const;
const secure = Bun.serve({ ...serve, tls: authority.issue(["localhost", "backend.test"]) });
const other = Bun.serve({ ...serve, tls: authority.issue(["other.test"]) });
const stranger = Bun.serve({ ...serve, tls: createAuthority("a stranger").issue(["localhost"]) });
const plain = Bun.serve(serve);
afterAll(async () => {
  for (const server of [secure, other, stranger, plain]) await server.stop(true);
});

const { hold, use } = holdUntilEnd();
afterEach(() => {
  seen.length = 0;
});

type Told = (string | undefined)[];

/** A way out that is configured so. */
function way(options: Partial<EgressOptions>, ports: Partial<EgressPorts> = {}) {
  const told: Told = [];
  const egress = openEgress({
    options: () => ({ ...NO_PROXY, ...options }),
    authorities: authority.certificate,
    onProxy: (_proxy, trouble) => told.push(trouble),
    ...ports,
  });
  hold({ [Symbol.asyncDispose]: egress.close });
  const ask = (url: string, more: Partial<Outgoing> = {}): Promise<Response> =>
    egress.ask(url, {
      headers: {},
      signal: new AbortController().signal,
      proxy: undefined,
      ...more,
    });
  return { ask, told };
}

const through = (url: string, ports: Partial<EgressPorts> = {}) =>
  way({ proxy: proxyOf(url) }, ports);

/** Why a request failed: the sentence where it was the way out, else the runtime's code. */
async function whyNot(asked: Promise<Response>): Promise<string> {
  const cause = await asked.then(
    ({ status }) => `it was answered with ${status}`,
    (each: unknown) => each,
  );
  if (cause instanceof EgressError) return cause.message;
  return cause instanceof Error ? String(Reflect.get(cause, "code") ?? cause.name) : String(cause);
}

test("a request goes out as it is, and a redirect comes back as an answer", async () => {
  const { ask } = way({});
  const answered = await ask(`http://127.0.0.1:${plain.port}/moved`, {
    method: "POST",
    body: "words",
  });
  expect(answered.status).toBe(307);
  expect(seen.map(({ path }) => path)).toEqual(["/moved"]);
  const echoed = await ask(`http://127.0.0.1:${plain.port}/x`, { method: "POST", body: "words" });
  expect(await echoed.text()).toBe("words");
});

/** Every kind of proxy: this project's own, and Debian's where they are. */
const OWN: Readonly<Record<string, () => Promise<TestProxyServer>>> = {
  http: () => startHttpProxy(),
  "http with a login": () => startHttpProxy({ login: LOGIN }),
  https: () => startHttpProxy({ tls: authority.issue(["localhost"]) }),
  "https with a login": () => startHttpProxy({ tls: authority.issue(["localhost"]), login: LOGIN }),
  socks: () => startSocksServer(),
  "socks with a login": () => startSocksServer({ login: LOGIN }),
};
const DEBIANS: Readonly<Record<string, () => Promise<TestProxyServer>>> = Object.fromEntries(
  Object.values(DEBIAN).flatMap(({ name, isThere, start }) => {
    const rows: [string, () => Promise<TestProxyServer>][] = [[name, () => start()]];
    if (name !== "danted") rows.push([`${name} with a login`, () => start(PLAIN_LOGIN)]);
    return isThere ? rows : [];
  }),
);

for (const { name, isThere } of Object.values(DEBIAN)) {
  if (!isThere)
    test.skip(`${name} is not installed: apt-get install it to test against it`, () => {});
}

// 127.0.0.2, from where the proxies connect, is an address of its own on Linux only.
describe.if(process.platform === "linux")("through a proxy", () => {
  for (const [name, start] of Object.entries({ ...OWN, ...DEBIANS })) {
    describe(name, () => {
      let proxy: TestProxyServer;
      beforeAll(async () => {
        proxy = await start();
      });
      afterAll(() => proxy.stop());
      const urls = () =>
        proxy.url.startsWith("socks")
          ? [proxy.url, proxy.url.replace("socks5h", "socks5")]
          : [proxy.url];

      test("everything goes by it, and TLS reaches from here to the server", async () => {
        for (const url of urls()) {
          const { ask, told } = through(url);
          const body = randomBytes(300_000);
          for (const port of [secure.port, secure.port]) {
            const answered = await ask(`https://localhost:${port}/x`, { method: "POST", body });
            expect(Buffer.from(await answered.bytes()).equals(body)).toBe(true);
          }
          const echoed = await ask(`http://localhost:${plain.port}/y?z`, { method: "POST", body });
          expect(Buffer.from(await echoed.bytes()).equals(body)).toBe(true);
          expect(told).toEqual([]);
        }
        expect(seen.map(({ from }) => from)).toEqual(seen.map(() => PROXY_ADDRESS));
        expect(seen.filter(({ path }) => path === "/y")).toHaveLength(urls().length);
        expect(seen[0]?.host).toBe(`localhost:${secure.port}`);
      });

      test("a server that does not prove its name gets nothing", async () => {
        for (const url of urls()) {
          const { ask } = through(url);
          const named = await whyNot(ask(`https://localhost:${other.port}/`));
          expect(named).toMatch(
            /what answers there for localhost:\d+ has a certificate for another name/,
          );
          const strange = await whyNot(ask(`https://localhost:${stranger.port}/`));
          expect(strange).toMatch(/a certificate that is not trusted .*NODE_EXTRA_CA_CERTS/);
        }
        expect(seen).toEqual([]);
      });

      test("a wrong password is told as such, without it", async () => {
        if (!name.includes("login")) return;
        for (const url of urls()) {
          const wrong = url.replace(/:[^:@]*@/, ":wrong@");
          for (const target of [
            `https://localhost:${secure.port}/`,
            `http://localhost:${plain.port}/`,
          ]) {
            const said = await whyNot(through(wrong).ask(target));
            expect(said).toMatch(
              /\(proxy-url\) (?:refuses the user|wants a login|closed|did not connect)/,
            );
            expect(said).not.toMatch(/wrong|hunter22|us%20er/);
          }
        }
        expect(seen).toEqual([]);
      });

      test("a server that is not there is told as the proxy tells it", async () => {
        const port = await freePort();
        for (const url of urls()) {
          const said = await whyNot(through(url).ask(`https://localhost:${port}/`));
          expect(said).toMatch(
            /did not connect to localhost:\d+(?: at 127\.0\.0\.1)?\. (?:SOCKS server: .*\(\d\)|It answered: 50\d.*)\.$/,
          );
        }
      });

      test("whoever leaves ends it at the server", async () => {
        const { ask } = through(proxy.url);
        const holder = await use(
          listen((socket) => void socket.resume(), authority.issue(["localhost"])),
        );
        const gone = new AbortController();
        const asked = whyNot(ask(`https://localhost:${holder.port}/`, { signal: gone.signal }));
        await until("the server is connected to", () => holder.open() === 1);
        gone.abort();
        await asked;
        await until("the server's connection is closed", () => holder.open() === 0);
      });
    });
  }

  test("what danted's rules forbid is told in its own words", async () => {
    if (!DEBIAN.danted.isThere) return;
    const proxy = await use(DEBIAN.danted.start());
    const said = await whyNot(through(proxy.url).ask("https://127.0.0.3:9/"));
    expect(said).toContain("SOCKS server: connection refused by ruleset (2).");
  });
});

const SCHEMES = ["http", "https", "socks5", "socks5h"];

describe("a proxy in trouble", () => {
  const targets = () => [`https://localhost:${secure.port}/`, `http://localhost:${plain.port}/`];

  for (const scheme of SCHEMES) {
    test(`${scheme}: down, nothing is sent around it`, async () => {
      const { ask } = through(`${scheme}://user:hunter22@127.0.0.1:${await freePort()}`);
      for (const target of targets()) {
        const said = await whyNot(ask(target));
        expect(said).toMatch(/cannot be reached: connection refused .*nothing is sent around it/);
        expect(said).not.toContain("hunter22");
      }
      expect(seen).toEqual([]);
    });

    test(`${scheme}: silent, it is given up in time`, async () => {
      const clock = createManualClock(0);
      const silent = await use(listen((socket) => void socket.resume()));
      const { ask } = through(`${scheme}://127.0.0.1:${silent.port}`, { clock });
      const said = whyNot(ask(`https://localhost:${secure.port}/`));
      await until("the proxy is connected to", () => silent.open() === 1);
      clock.advance(NO_PROXY.tunnelMs);
      expect(await said).toContain("did not open a connection within 10 s");
      await until("the connection is closed", () => silent.open() === 0);
      expect(seen).toEqual([]);
    });
  }

  const page = "HTTP/1.1 503 Busy\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
  const captive =
    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html><h1>Log in to the hotel</h1>";
  const lies: [name: string, said: string, url: string, words: RegExp][] = [
    [
      "a page",
      page,
      "https://localhost:1/",
      /did not connect to localhost:1\. It answered: 503 Busy\.$/,
    ],
    [
      "a page, where nothing is encrypted",
      page,
      "http://localhost:1/",
      /answered 503 with a web page\. Find out/,
    ],
    [
      "a page as if it were the tunnel",
      captive,
      "https://localhost:1/",
      /opens a connection, but what answers there for localhost:1 does not speak TLS/,
    ],
    [
      "407, where nothing is encrypted",
      "HTTP/1.1 407 x\r\ncontent-length: 0\r\n\r\n",
      "http://localhost:1/",
      /wants a login/,
    ],
    ["an end, where nothing is encrypted", "", "http://localhost:1/", /broke the connection off/],
  ];
  test.each(lies)("it answers with %s", async (_name, said, url, words) => {
    const proxy = await use(listen((socket) => void socket.once("data", () => socket.end(said))));
    expect(await whyNot(through(`http://127.0.0.1:${proxy.port}`).ask(url))).toMatch(words);
  });

  test("it is told once while it lasts, and when it is over", async () => {
    const port = await freePort();
    const { ask, told } = through(`http://127.0.0.1:${port}`);
    const url = `https://localhost:${secure.port}/`;
    for (let count = 0; count < 3; count++) await whyNot(ask(url));
    expect(told).toEqual([expect.stringContaining("connection refused")]);
    await use(startHttpProxy({ port }));
    for (let count = 0; count < 3; count++) expect((await ask(url)).status).toBe(200);
    expect(told).toEqual([expect.any(String), undefined]);
  });

  test("one request's trouble is not taken for another's", async () => {
    const proxy = await use(startHttpProxy());
    const { ask } = through(proxy.url);
    const hanging = new AbortController();
    const asked = whyNot(ask(`https://localhost:${secure.port}/hang`, { signal: hanging.signal }));
    await until("it hangs", () => seen.length === 1);
    expect(await whyNot(ask(`https://localhost:${await freePort()}/`))).toContain(
      "502 Bad Gateway",
    );
    hanging.abort();
    expect(await asked).toBe("20");
  });
});

describe("without a proxy", () => {
  test("the environment's proxies are not used", async () => {
    const trap = await use(listen((socket) => void socket.resume()));
    const names = [
      "HTTP_PROXY",
      "HTTPS_PROXY",
      "ALL_PROXY",
      "http_proxy",
      "https_proxy",
      "all_proxy",
    ];
    const before = names.map((name) => [name, process.env[name]] as const);
    for (const name of names) process.env[name] = `http://127.0.0.1:${trap.port}`;
    try {
      const { ask } = way({});
      expect((await ask(`https://localhost:${secure.port}/`)).status).toBe(200);
      expect((await ask(`http://localhost:${plain.port}/`)).status).toBe(200);
      expect(trap.peers).toEqual([]);
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });

  test("NO_PROXY does not lead around a proxy that is set", async () => {
    const before = process.env["NO_PROXY"];
    process.env["NO_PROXY"] = "localhost,127.0.0.1,*";
    try {
      const proxy = await use(startHttpProxy());
      const { ask } = through(proxy.url);
      await ask(`https://localhost:${secure.port}/`);
      await ask(`http://localhost:${plain.port}/`);
      expect(proxy.asked).toHaveLength(2);
    } finally {
      if (before === undefined) delete process.env["NO_PROXY"];
      else process.env["NO_PROXY"] = before;
    }
  });

  test("a server must prove its name", async () => {
    const { ask } = way({});
    const named = await whyNot(ask(`https://localhost:${other.port}/`));
    expect(named).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
    const strange = await whyNot(ask(`https://localhost:${stranger.port}/`));
    expect(strange).toMatch(/VERIFY|SIGNATURE|SELF/);
    expect(seen).toEqual([]);
  });
});

describe("whose proxy it is", () => {
  test("an account's own wins over the configured one", async () => {
    const [usual, own] = [await use(startHttpProxy()), await use(startSocksServer())];
    const { ask } = through(usual.url);
    await ask(`https://localhost:${secure.port}/`, { proxy: proxyOf(own.url, "proxy_url") });
    expect([usual.asked.length, own.asked.length]).toEqual([0, 1]);
    await ask(`https://localhost:${secure.port}/`);
    expect([usual.asked.length, own.asked.length]).toEqual([1, 1]);
  });

  test("an account's own that is down is not gone around, and named as the account's", async () => {
    const usual = await use(startHttpProxy());
    const own = proxyOf(`http://127.0.0.1:${await freePort()}`, "proxy_url");
    const { ask } = through(usual.url);
    const said = await whyNot(ask(`https://localhost:${secure.port}/`, { proxy: own }));
    expect(said).toMatch(/\(the account's proxy_url\) cannot be reached/);
    expect([usual.asked, seen]).toEqual([[], []]);
  });

  test("a change takes effect for the next request, and what runs goes on", async () => {
    const [former, next] = [await use(startHttpProxy()), await use(startSocksServer())];
    let options: EgressOptions = { ...NO_PROXY, proxy: proxyOf(former.url) };
    const { ask } = way({}, { options: () => options });
    const gone = new AbortController();
    const running = whyNot(ask(`https://localhost:${secure.port}/hang`, { signal: gone.signal }));
    await until("it runs", () => seen.length === 1);
    options = { ...NO_PROXY, proxy: proxyOf(next.url) };
    await ask(`https://localhost:${secure.port}/`);
    expect([former.asked.length, next.asked.length]).toEqual([1, 1]);
    options = NO_PROXY;
    await ask(`https://localhost:${secure.port}/`);
    expect([former.asked.length, next.asked.length]).toEqual([1, 1]);
    gone.abort();
    expect(await running).toBe("20");
  });
});

describe("a server that is dialled at another address", () => {
  const detour = (origin: string, host: string, port: number | undefined) => ({
    origin,
    host,
    port,
  });
  const NAME = "https://backend.test";

  test("is asked for by its name, and proves it", async () => {
    const { ask } = way({ detour: detour(NAME, "127.0.0.1", secure.port) });
    const answered = await ask(`${NAME}/x?y`, { method: "POST", body: "hello" });
    expect(await answered.text()).toBe("hello");
    expect(seen).toMatchObject([{ path: "/x", host: "backend.test" }]);
    const named = way({ detour: detour(NAME, "localhost", secure.port) });
    expect((await named.ask(`${NAME}/`)).status).toBe(200);
  });

  test("keeps the port of its name where the address has none", async () => {
    const origin = `https://backend.test:${secure.port}`;
    const { ask } = way({ detour: detour(origin, "127.0.0.1", undefined) });
    expect((await ask(`${origin}/`)).status).toBe(200);
    expect(seen[0]?.host).toBe(`backend.test:${secure.port}`);
  });

  test("gets nothing where it cannot prove that name, though it could prove its address", async () => {
    const { ask } = way({ detour: detour("https://nobody.test", "localhost", secure.port) });
    expect(await whyNot(ask("https://nobody.test/"))).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
    expect(seen).toEqual([]);
  });

  test("others go where they say", async () => {
    const { ask } = way({ detour: detour(NAME, "127.0.0.1", await freePort()) });
    expect((await ask(`https://localhost:${secure.port}/`)).status).toBe(200);
  });

  test("without encryption its name is in the request all the same", async () => {
    const { ask } = way({ detour: detour("http://backend.test", "127.0.0.1", plain.port) });
    await ask("http://backend.test/x");
    expect(seen).toMatchObject([{ path: "/x", host: "backend.test" }]);
  });

  for (const [name, start] of Object.entries(OWN)) {
    test(`${name}: the proxy is told that address, and both names stay`, async () => {
      const proxy = await use(start());
      const options = { proxy: proxyOf(proxy.url), detour: detour(NAME, "127.0.0.1", secure.port) };
      expect((await way(options).ask(`${NAME}/`)).status).toBe(200);
      const unencrypted = detour("http://backend.test", "127.0.0.1", plain.port);
      expect(
        (await way({ ...options, detour: unencrypted }).ask("http://backend.test/")).status,
      ).toBe(200);
      expect(seen.map(({ host }) => host)).toEqual(["backend.test", "backend.test"]);
      expect(proxy.asked.join()).not.toContain("backend.test");
      expect(proxy.asked).toHaveLength(2);
    });
  }
});

describe("an answer that nobody reads", () => {
  const MEGABYTE = 1024 * 1024;
  const kinds: [name: string, start: () => Promise<TestProxyServer>][] = [
    ["http", startHttpProxy],
    ["socks", startSocksServer],
  ];
  for (const [name, start] of kinds) {
    for (const isPort of [false, true]) {
      test(`${name}${isPort ? ", by ports" : ""}: is not fetched into memory`, async () => {
        let sent = 0;
        const flood: Listener = await use(
          listen(
            (socket) => {
              const chunk = Buffer.alloc(64 * 1024, 65);
              const more = (): void => {
                while (socket.write(chunk)) sent += chunk.length;
                sent += chunk.length;
              };
              socket.once("data", () => {
                socket.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
                more();
              });
              socket.on("drain", more);
            },
            authority.issue(["localhost"]),
          ),
        );
        const proxy = await use(start());
        const ports = isPort ? { socketDir: "/dev/null/none" } : {};
        const { ask } = through(proxy.url, ports);
        const gone = new AbortController();
        const answered = await ask(`https://localhost:${flood.port}/`, { signal: gone.signal });
        await answered.body?.getReader().read();
        let before = -1;
        // All buffers on the way are full as soon as nothing more is sent.
        await until("the server is held up", async () => {
          const isStill = sent === before;
          before = sent;
          await Bun.sleep(100);
          return isStill && sent === before;
        });
        expect(sent).toBeLessThan(32 * MEGABYTE);
        gone.abort();
        await until("the server's connection is closed", () => flood.open() === 0);
      });
    }
  }
});

test("a proxy that leads to one server and not to another is told of once, until it leads to that one too", async () => {
  const proxy = await use(startHttpProxy());
  const { ask, told } = through(proxy.url);
  const closed = await freePort();
  const good = (): Promise<string> =>
    ask(`https://localhost:${secure.port}/x`).then((answer) => answer.text());
  for (let round = 0; round < 3; round++) {
    await whyNot(ask(`https://localhost:${closed}/x`));
    await good();
  }
  expect(told.map((each) => each === undefined)).toEqual([false]);
  const server = Bun.serve({
    port: closed,
    hostname: "127.0.0.1",
    tls: authority.issue(["localhost"]),
    fetch: () => new Response("at last"),
  });
  expect(await (await ask(`https://localhost:${closed}/x`)).text()).toBe("at last");
  expect(told.map((each) => each === undefined)).toEqual([false, true]);
  await server.stop(true);
});
