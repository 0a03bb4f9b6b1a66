import { describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { dialTarget } from "../../src/net/dial.ts";
import { EgressError } from "../../src/net/trouble.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { createAuthority } from "../support/certificates.ts";
import { createManualClock } from "../support/clock.ts";
import { holdUntilEnd } from "../support/held.ts";
import { once, proxyOf } from "../support/link.ts";
import { freePort, listen } from "../support/listener.ts";
import { startHttpProxy, startSocksServer } from "../support/proxies.ts";
import { until } from "../support/until.ts";

const { use } = holdUntilEnd();

const LIMIT_MS = 15_000;
const target = (port: number, host = "localhost") => ({ host, port });
const never = new AbortController().signal;

function dial(
  url: string,
  port: number,
  more: { clock?: typeof systemClock; ca?: string; host?: string; signal?: AbortSignal } = {},
) {
  const { clock = systemClock, ca, host, signal = never } = more;
  const ports = { clock, limitMs: () => LIMIT_MS, authorities: ca };
  return dialTarget(proxyOf(url), target(port, host), ports, signal);
}

/** What is said when a dial fails. */
async function failing(dialled: Promise<unknown>): Promise<string> {
  const cause = await dialled.then(
    () => "it did not fail",
    (each: unknown) => each,
  );
  return cause instanceof EgressError ? cause.message : String(cause);
}

describe("dialTarget", () => {
  const authority = createAuthority();
  const pair = authority.issue(["localhost"]);

  const kinds = {
    http: () => startHttpProxy(),
    https: () => startHttpProxy({ tls: pair }),
    socks5h: () => startSocksServer(),
  };
  for (const [kind, start] of Object.entries(kinds)) {
    test(`${kind}: what is dialled is the target, and nothing that it says is lost`, async () => {
      const server = await use(
        listen((socket) => {
          socket.write("early ");
          socket.on("data", (bytes) => socket.end(`heard ${bytes}`));
        }),
      );
      const proxy = await use(start());
      const { socket, early } = await dial(proxy.url, server.port, { ca: authority.certificate });
      let heard = `${early}`;
      socket.on("data", (bytes) => {
        heard += bytes;
      });
      socket.resume().write("hello");
      await once(socket, "close");
      expect(heard).toBe("early heard hello");
      expect(proxy.asked).toHaveLength(1);
    });
  }

  test("socks5 resolves the name here, socks5h has the server resolve it", async () => {
    const server = await use(listen(() => {}));
    const proxy = await use(startSocksServer());
    for (const url of [proxy.url, proxy.url.replace("socks5h", "socks5")]) {
      (await dial(url, server.port)).socket.destroy();
    }
    expect(proxy.asked).toEqual([
      `name localhost:${server.port}`,
      `address 127.0.0.1:${server.port}`,
    ]);
  });

  test("a name that nobody knows here is told, and never sent to the server by socks5", async () => {
    const proxy = await use(startSocksServer());
    const url = proxy.url.replace("socks5h", "socks5");
    const said = await failing(dial(url, 443, { host: "no-such-host.invalid" }));
    expect(said).toMatch(/no-such-host\.invalid:443\. Its name cannot be resolved .*socks5h/);
    expect(proxy.asked).toEqual([]);
  });

  describe("socks5 and a host of several addresses", () => {
    // Which of them a server can reach, by the last byte of each.
    const reaching = (last: number) =>
      listen((socket) => {
        const [greet, answer] = [
          Buffer.from([5, 0]),
          (reply: number) => Buffer.from([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]),
        ];
        socket.once("data", () => {
          socket.write(greet);
          socket.once("data", (bytes) => socket.write(answer(bytes[7] === last ? 0 : 4)));
        });
      });
    const through = (
      server: { readonly port: number },
      addresses: readonly string[],
      clock = systemClock,
    ) =>
      dialTarget(
        proxyOf(`socks5://127.0.0.1:${server.port}`),
        target(443, "many.test"),
        { clock, limitMs: () => LIMIT_MS, lookup: async () => addresses },
        never,
      );

    test("the next one is tried where one cannot be reached", async () => {
      const server = await use(reaching(3));
      (await through(server, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])).socket.destroy();
      expect(server.peers).toHaveLength(3);
    });

    test("three are enough, and none is too few", async () => {
      const server = await use(reaching(4));
      const four = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
      expect(await failing(through(server, four))).toContain("SOCKS server: host unreachable (4).");
      expect(server.peers).toHaveLength(3);
      expect(await failing(through(server, []))).toContain("Its name has no address.");
    });

    test("a resolver that does not answer is given up in time", async () => {
      const clock = createManualClock(0);
      const lookup = () => new Promise<readonly string[]>(() => {});
      const ports = { clock, limitMs: () => LIMIT_MS, lookup };
      const said = failing(dialTarget(proxyOf("socks5://h"), target(443, "x.test"), ports, never));
      clock.advance(LIMIT_MS);
      expect(await said).toContain("x.test:443. Its name was not resolved in time");
    });
  });

  test("a target that refuses is told as the proxy tells it", async () => {
    const port = await freePort();
    const socks = await use(startSocksServer());
    expect(await failing(dial(socks.url, port))).toContain("SOCKS server: connection refused (5).");
    const http = await use(startHttpProxy());
    expect(await failing(dial(http.url, port))).toContain("It answered: 502 Bad Gateway.");
  });

  for (const kind of ["http", "https", "socks5", "socks5h"]) {
    test(`${kind}: a proxy that is not there`, async () => {
      const said = await failing(dial(`${kind}://user:hunter2@127.0.0.1:${await freePort()}`, 443));
      expect(said).toContain("cannot be reached: connection refused (ECONNREFUSED)");
      expect(said).not.toContain("hunter2");
    });

    test(`${kind}: a proxy that says nothing is given up in time, and its connection closed`, async () => {
      const clock = createManualClock(0);
      const silent = await use(listen((socket) => void socket.resume()));
      const said = failing(dial(`${kind}://127.0.0.1:${silent.port}`, 443, { clock }));
      await until("it is connected to", () => silent.peers.length === 1);
      clock.advance(LIMIT_MS - 1);
      expect(silent.open()).toBe(1);
      clock.advance(1);
      expect(await said).toContain("did not open a connection within 15 s. Start it,");
      await until("the connection is closed", () => silent.open() === 0);
    });

    test(`${kind}: whoever waits no more ends it`, async () => {
      const gone = new AbortController();
      const silent = await use(listen((socket) => void socket.resume()));
      const url = `${kind}://127.0.0.1:${silent.port}`;
      const dialled = failing(dial(url, 443, { signal: gone.signal }));
      await until("it is connected to", () => silent.peers.length === 1);
      gone.abort();
      await dialled;
      await until("the connection is closed", () => silent.open() === 0);
      await failing(dial(url, 443, { signal: gone.signal }));
      await until("the connection is closed", () => silent.open() === 0);
    });
  }

  test("a server that trickles is given up at the same time as one that says nothing", async () => {
    const clock = createManualClock(0);
    const trickle = await use(
      listen((socket) => {
        const timer = setInterval(() => socket.write("H"), 1);
        socket.resume().on("close", () => clearInterval(timer));
      }),
    );
    const said = failing(dial(`http://127.0.0.1:${trickle.port}`, 443, { clock }));
    await until("it is connected to", () => trickle.peers.length === 1);
    clock.advance(LIMIT_MS);
    expect(await said).toContain("did not open a connection within 15 s");
  });

  const breaks: [name: string, serve: (socket: Socket) => void, said: string][] = [
    [
      "closes at once",
      (socket) => void socket.resume().end(),
      "closed the connection before it had answered",
    ],
    ["resets", (socket) => void socket.resetAndDestroy(), "broke the connection off (ECONNRESET)"],
  ];
  for (const [name, serve, words] of breaks) {
    for (const kind of ["http", "socks5h"]) {
      test(`${kind}: one that ${name}`, async () => {
        const server = await use(listen(serve));
        expect(await failing(dial(`${kind}://127.0.0.1:${server.port}`, 443))).toContain(words);
      });
    }
  }

  test("an https proxy must prove its name", async () => {
    const others = await use(startHttpProxy({ tls: authority.issue(["other.test"]) }));
    expect(await failing(dial(others.url, 443, { ca: authority.certificate }))).toContain(
      "has a certificate for another name",
    );
    const proxy = await use(startHttpProxy({ tls: pair }));
    expect(await failing(dial(proxy.url, 443, { ca: createAuthority("b").certificate }))).toContain(
      "has a certificate that is not trusted",
    );
    expect([...others.asked, ...proxy.asked]).toEqual([]);
  });

  test("an https proxy that speaks no TLS", async () => {
    const plain = await use(
      listen((socket) => void socket.once("data", () => socket.end("HTTP/1.1 400 Bad\r\n\r\n"))),
    );
    const url = `https://localhost:${plain.port}`;
    expect(await failing(dial(url, 443))).toContain("does not speak TLS");
  });
});
