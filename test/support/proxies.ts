import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, listen } from "./listener.ts";
import { until } from "./until.ts";

/**
 * From where proxies connect in tests: another address of this machine than the one that programs connect from by
 * themselves. So a server sees whether anybody came to it directly. Linux has the whole of 127.0.0.0/8.
 */
export const PROXY_ADDRESS = "127.0.0.2";

/** A proxy under test. */
export type TestProxyServer = AsyncDisposable & {
  /** For `proxy-url`, with the login where it wants one. */
  readonly url: string;
  readonly port: number;
  /** What it was asked to connect to, as it was asked. Empty for programs that do not tell. */
  readonly asked: readonly string[];
  readonly stop: () => Promise<void>;
};

/** Who may use a proxy. */
export type ProxyLogin = { readonly user: string; readonly password: string };

/** How the proxies of this project's own are set up. */
export type ProxyOptions = {
  readonly login?: ProxyLogin;
  /** Encrypts the connection to the proxy itself. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Default: any free port. */
  readonly port?: number;
};

// A SOCKS server that resolves names is one that this machine's own resolver need not know.
const HOSTS: ReadonlyMap<string, string> = new Map([["backend.test", "127.0.0.1"]]);

/** An HTTP proxy: CONNECT, and requests in the absolute form. */
export async function startHttpProxy({
  login,
  tls,
  port,
}: ProxyOptions = {}): Promise<TestProxyServer> {
  const asked: string[] = [];
  const wanted =
    login && `basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`;
  const listener = await listen(
    (client) => {
      readHead(client, (head, rest) => {
        const [method = "", place = ""] = head.split(" ");
        const given = /^proxy-authorization: *(.*)$/im.exec(head)?.[1]?.trim();
        if (wanted !== undefined && given?.replace(/^basic/i, "basic") !== wanted) {
          client.end("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
          return;
        }
        asked.push(`${method} ${place}`);
        if (method === "CONNECT") {
          const [host = "", port = ""] = place.split(":");
          reach(client, host, Number(port), "HTTP/1.1 502 Bad Gateway\r\n\r\n", (server) => {
            client.write("HTTP/1.1 200 Connection established\r\n\r\n");
            server.write(rest);
          });
          return;
        }
        const url = new URL(place);
        const page = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\n\r\n<html>no</html>";
        reach(client, url.hostname, Number(url.port || 80), page, (server) => {
          const plain = head.replace(place, `${url.pathname}${url.search}`);
          const lines = plain.split("\r\n").filter((line) => !/^proxy-/i.test(line));
          // As RFC 9112, 3.2.2 has it: the name in the URL is the one that counts.
          const named = lines.map((line) => (/^host:/i.test(line) ? `host: ${url.host}` : line));
          server.write(`${named.join("\r\n")}\r\n\r\n`);
          server.write(rest);
        });
      });
    },
    tls,
    port,
  );
  return {
    url: urlOf(tls === undefined ? "http" : "https", listener.port, login),
    asked,
    ...listener,
  };
}

/** A SOCKS5 server (RFC 1928, RFC 1929). */
export async function startSocksServer({
  login,
  port,
}: Omit<ProxyOptions, "tls"> = {}): Promise<TestProxyServer> {
  const asked: string[] = [];
  const serve = async (client: Socket): Promise<void> => {
    const { take, rest } = readerOf(client);
    if (!(await isAdmitted(client, take, login))) return;
    const place = await takePlace(take);
    asked.push(`${place.kind} ${place.host}:${place.port}`);
    const refusal = Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    reach(client, place.host, place.port, refusal, (server) => {
      client.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]));
      server.write(rest());
    });
  };
  const listener = await listen(
    (client) => {
      serve(client).catch(() => client.destroy());
    },
    undefined,
    port,
  );
  return { url: urlOf("socks5h", listener.port, login), asked, ...listener };
}

type Take = (count: number) => Promise<Buffer>;

async function isAdmitted(client: Socket, take: Take, login?: ProxyLogin): Promise<boolean> {
  const method = login === undefined ? 0 : 2;
  const [, count = 0] = await take(2);
  const isOffered = [...(await take(count))].includes(method);
  client.write(Buffer.from([5, isOffered ? method : 255]));
  if (!isOffered || login === undefined) return isOffered;
  const [, nameLength = 0] = await take(2);
  const name = await take(nameLength);
  const word = await take((await take(1))[0] ?? 0);
  const isRight = `${name}` === login.user && `${word}` === login.password;
  client.write(Buffer.from([1, isRight ? 0 : 1]));
  if (!isRight) client.end();
  return isRight;
}

async function takePlace(take: Take) {
  const [, , , type = 0] = await take(4);
  const length = type === 1 ? 4 : type === 4 ? 16 : ((await take(1))[0] ?? 0);
  const raw = await take(length);
  const port = (await take(2)).readUInt16BE();
  if (type === 3) return { kind: "name", host: raw.toString(), port };
  return { kind: "address", host: type === 1 ? [...raw].join(".") : raw.toString("hex"), port };
}

/** Takes bytes from a connection as they are wanted; it throws where the connection ends before. */
function readerOf(client: Socket) {
  let held = Buffer.alloc(0);
  let wake = (): void => {};
  const onData = (bytes: Buffer): void => {
    held = Buffer.concat([held, bytes]);
    wake();
  };
  client.on("data", onData).on("close", () => wake());
  const take = async (count: number): Promise<Buffer> => {
    while (held.length < count) {
      if (client.destroyed) throw new Error("the client is gone");
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const taken = held.subarray(0, count);
    held = held.subarray(count);
    return taken;
  };
  const rest = (): Buffer => {
    client.off("data", onData);
    client.pause();
    return held;
  };
  return { take, rest };
}

/** Reads up to the blank line, then hands on what came with it. */
export function readHead(client: Socket, onHead: (head: string, rest: Buffer) => void): void {
  let held = Buffer.alloc(0);
  const onData = (bytes: Buffer): void => {
    held = Buffer.concat([held, bytes]);
    const end = held.indexOf("\r\n\r\n");
    if (end < 0) return;
    client.off("data", onData);
    client.pause();
    onHead(held.subarray(0, end).toString("latin1"), held.subarray(end + 4));
  };
  client.on("data", onData);
}

function reach(
  client: Socket,
  host: string,
  port: number,
  refusal: string | Buffer,
  onReached: (server: Socket) => void,
): void {
  const server = connect({
    host: HOSTS.get(host) ?? host,
    port,
    localAddress: PROXY_ADDRESS,
    noDelay: true,
  });
  let isReached = false;
  server.once("connect", () => {
    isReached = true;
    onReached(server);
    client.pipe(server);
    server.pipe(client);
  });
  server.on("error", () => (isReached ? client.destroy() : client.end(refusal)));
  client.on("error", () => server.destroy());
  client.on("close", () => server.destroy());
}

function urlOf(scheme: string, port: number, login: ProxyLogin | undefined): string {
  const who =
    login === undefined
      ? ""
      : `${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}@`;
  // By name where a certificate must fit it.
  return `${scheme}://${who}${scheme === "https" ? "localhost" : "127.0.0.1"}:${port}`;
}

/** A proxy of Debian's, or why it is not there. */
export type DebianProxy = {
  readonly name: "tinyproxy" | "microsocks" | "danted";
  readonly isThere: boolean;
  readonly start: (login?: ProxyLogin) => Promise<TestProxyServer>;
};

/** The proxies that this machine may have of Debian: what this project's own proxies are measured by. */
export const DEBIAN: Readonly<Record<DebianProxy["name"], DebianProxy>> = {
  tinyproxy: debian("tinyproxy", "http", async (port, login, dir) => {
    const lines = [
      `Port ${port}`,
      "Listen 127.0.0.1",
      `Bind ${PROXY_ADDRESS}`,
      "Timeout 60",
      "Allow 127.0.0.1",
      "LogLevel Error",
      ...(login === undefined ? [] : [`BasicAuth ${login.user} ${login.password}`]),
    ];
    const path = join(dir, "tinyproxy.conf");
    await writeFile(path, `${lines.join("\n")}\n`);
    return ["-d", "-c", path];
  }),
  microsocks: debian("microsocks", "socks5h", async (port, login) => {
    const who = login === undefined ? [] : ["-u", login.user, "-P", login.password];
    return ["-i", "127.0.0.1", "-p", String(port), "-b", PROXY_ADDRESS, ...who];
  }),
  danted: debian("danted", "socks5h", async (port, _login, dir) => {
    const lines = [
      "logoutput: stderr",
      `internal: 127.0.0.1 port = ${port}`,
      `external: ${PROXY_ADDRESS}`,
      "clientmethod: none",
      "socksmethod: none",
      "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }",
      // What its rules forbid it tells as such.
      "socks block { from: 0.0.0.0/0 to: 127.0.0.3/32 }",
      "socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }",
    ];
    const path = join(dir, "danted.conf");
    await writeFile(path, `${lines.join("\n")}\n`);
    return ["-f", path, "-p", join(dir, "danted.pid"), "-N", "1"];
  }),
};

type Arguments = (
  port: number,
  login: ProxyLogin | undefined,
  dir: string,
) => Promise<readonly string[]>;

function debian(name: DebianProxy["name"], scheme: string, words: Arguments): DebianProxy {
  const program =
    Bun.which(name) ?? Bun.which(name, { PATH: "/usr/sbin:/usr/local/sbin" }) ?? undefined;
  return {
    name,
    isThere: program !== undefined && process.platform === "linux",
    start: async (login) => {
      const dir = await mkdtemp(join(tmpdir(), `${name}-`));
      const port = await freePort();
      const child = Bun.spawn([program ?? name, ...(await words(port, login, dir))], {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      await until(`${name} listens`, () => isListening(port));
      const stop = async (): Promise<void> => {
        child.kill();
        await child.exited;
        await rm(dir, { recursive: true, force: true });
      };
      return {
        url: urlOf(scheme, port, login),
        port,
        asked: [],
        stop,
        [Symbol.asyncDispose]: stop,
      };
    },
  };
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
