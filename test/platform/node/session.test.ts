import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { gzipSync } from "node:zlib";
import { openSession } from "../../../src/platform/node/session.ts";
import { createAuthority } from "../../support/certificates.ts";
import { freePort } from "../../support/listener.ts";
import { runInNode } from "../../support/node/run.ts";
import type { Heard, SessionWork } from "../../support/node/session-program.ts";

const KEEP = { idleTimeout: 60, maxIdleSockets: 4 };
const EMPTY = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

const ends: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function hear(
  work: Partial<SessionWork> & Pick<SessionWork, "asks">,
  env: Readonly<Record<string, string>> = {},
): Promise<Heard[]> {
  const { stdout, stderr } = await runInNode(
    "session-program",
    { connecting: {}, keep: KEEP, ...work },
    env,
  );
  const heard = stdout.trim().split("\n").filter(Boolean);
  if (heard.length < work.asks.length) throw new Error(`it told too little: ${stdout}${stderr}`);
  return heard.map((line): Heard => JSON.parse(line));
}

type Told = { readonly url: string; readonly heads: string[]; readonly connections: () => number };

/** A server that does with each request on a connection what `answer` says. */
async function serve(
  answer: (socket: Socket, head: string) => unknown,
  { tls, path }: { readonly tls?: { cert: string; key: string }; readonly path?: string } = {},
): Promise<Told> {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const take = (socket: Socket): void => {
    connections += 1;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (data) => {
      heads.push(String(data));
      answer(socket, String(data));
    });
  };
  const server: Server = tls === undefined ? createServer(take) : createTlsServer(tls, take);
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, "127.0.0.1", resolve);
    else server.listen(path, resolve);
  });
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const origin = tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
  return { url: `${origin}/a?b=c`, heads, connections: () => connections };
}

test("requests of one session share a connection, those of two do not", async () => {
  const { url, connections } = await serve((socket) => socket.write(EMPTY));
  await hear({ asks: [{ url }, { url }, { url, isFirst: true }] });
  expect(connections()).toBe(2);
});

test("connections that are not to be kept are not", async () => {
  const { url, connections } = await serve((socket) => socket.write(EMPTY));
  await hear({ keep: false, asks: [{ url }, { url }] });
  expect(connections()).toBe(2);
});

test("an idle connection ends in its time, one in use does not", async () => {
  const slow = `HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab`;
  const { url } = await serve((socket) => {
    socket.write(slow);
    setTimeout(() => socket.write("cd"), 700);
  });
  const [heard] = await hear({ keep: { idleTimeout: 0.2, maxIdleSockets: 4 }, asks: [{ url }] });
  expect(heard?.text).toBe("abcd");
});

test("a redirect is an answer like any other, and a request is sent as it is", async () => {
  const { url, heads } = await serve((socket) =>
    socket.write("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"),
  );
  const headers = { host: "somebody.test", "user-agent": "me/1" };
  const [heard] = await hear({ asks: [{ url, method: "POST", headers, body: "grüß" }] });
  expect(heard).toMatchObject({ status: 302, text: "" });
  expect(heads).toHaveLength(1);
  expect(heads[0]).toMatch(/^POST \/a\?b=c HTTP\/1\.1\r\n/);
  expect(heads[0]).toContain("host: somebody.test\r\n");
  expect(heads[0]).toContain("user-agent: me/1\r\n");
  expect(heads[0]?.toLowerCase()).toContain("content-length: 6\r\n");
  expect(heads[0]).toEndWith("\r\n\r\ngrüß");
});

test("an answer without a body is one, whatever its head says", async () => {
  const { url } = await serve((socket, head) =>
    socket.write(
      head.startsWith("HEAD")
        ? "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"
        : "HTTP/1.1 204 No Content\r\n\r\n",
    ),
  );
  expect(await hear({ asks: [{ url, method: "HEAD" }, { url }] })).toMatchObject([
    { status: 200, text: "" },
    { status: 204, text: "" },
  ]);
});

test("a packed body is unpacked", async () => {
  const packed = gzipSync("words ".repeat(1000));
  const { url, heads } = await serve((socket) => {
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${packed.length}\r\n\r\n`,
    );
    socket.write(packed);
  });
  const [heard] = await hear({ asks: [{ url }] });
  expect(heard?.text).toBe("words ".repeat(1000));
  expect(heads[0]).toContain("accept-encoding: gzip, deflate, br, zstd\r\n");
});

test("a body that is empty is so, whatever packs it", async () => {
  const empty = EMPTY.replace("\r\n", "\r\ncontent-encoding: gzip\r\n");
  const { url, connections } = await serve((socket) => socket.write(empty));
  for (const { text, code } of await hear({ asks: [{ url }, { url }] })) {
    expect([text, code]).toEqual(["", undefined]);
  }
  expect(connections()).toBe(1);
});

test("a proxy is asked for the whole URL, with its login", async () => {
  const proxy = await serve((socket) => socket.write(EMPTY));
  const connecting = {
    proxy: { url: new URL(proxy.url).origin, headers: { "proxy-authorization": "Basic eA==" } },
  };
  await hear({ connecting, asks: [{ url: "http://backend.test:81/a?b=c" }] });
  expect(proxy.heads[0]).toMatch(/^GET http:\/\/backend\.test:81\/a\?b=c HTTP\/1\.1\r\n/);
  expect(proxy.heads[0]).toContain("host: backend.test:81\r\n");
  expect(proxy.heads[0]).toContain("proxy-authorization: Basic eA==\r\n");
});

describe("in TLS", () => {
  const authority = createAuthority();
  const tls = authority.issue(["localhost", "127.0.0.1"]);
  const authorities = authority.certificate;

  test("who is trusted is asked", async () => {
    const { url } = await serve((socket) => socket.write(EMPTY), { tls });
    const byAddress = url.replace("localhost", "127.0.0.1");
    expect(
      await hear({ connecting: { authorities }, asks: [{ url }, { url: byAddress }] }),
    ).toMatchObject([{ status: 200 }, { status: 200 }]);
  });

  test("who is not trusted, or another one, is not, whatever the environment says", async () => {
    const { url, heads } = await serve((socket) => socket.write(EMPTY), { tls });
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    const [stranger] = await hear({ asks: [{ url }] }, env);
    expect(stranger?.code).toMatch(/^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED)/);
    const connecting = { authorities, serverName: "somebody.test" };
    const [other] = await hear({ connecting, asks: [{ url }] }, env);
    expect(other?.code).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
    expect(heads).toEqual([]);
  });

  test("the name to be proved may be another one than the URL's", async () => {
    const named = authority.issue(["somebody.test"]);
    const { url } = await serve((socket) => socket.write(EMPTY), { tls: named });
    const connecting = { authorities, serverName: "somebody.test" };
    expect(await hear({ connecting, asks: [{ url }] })).toMatchObject([{ status: 200 }]);
  });

  test("a server may be behind a socket of this machine", async () => {
    const dir = await mkdtemp(join(tmpdir(), "codex-proxy-socket-"));
    ends.push(() => rm(dir, { recursive: true, force: true }));
    const path = join(dir, "s");
    const named = authority.issue(["somebody.test"]);
    await serve((socket) => socket.write(EMPTY), { tls: named, path });
    const connecting = { authorities, unix: path };
    const asks = [{ url: "https://somebody.test/" }, { url: "https://other.test/" }];
    expect(await hear({ connecting, asks })).toMatchObject([
      { status: 200 },
      { code: "ERR_TLS_CERT_ALTNAME_INVALID" },
    ]);
  });

  test("a server that speaks something else is told as such", async () => {
    const { url } = await serve((socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const [heard] = await hear({ asks: [{ url: url.replace("http:", "https:") }] });
    expect(heard?.code).toMatch(/^(?:EPROTO|ERR_SSL_)/);
  });
});

describe("what breaks has the system's own code", () => {
  const HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";

  test("nobody listens", async () => {
    const port = await freePort();
    expect(await hear({ asks: [{ url: `http://127.0.0.1:${port}/` }] })).toMatchObject([
      { code: "ECONNREFUSED" },
    ]);
    expect(await hear({ asks: [{ url: `http://localhost:${port}/` }] })).toMatchObject([
      { code: "ECONNREFUSED" },
    ]);
  });

  test("the connection ends before an answer", async () => {
    for (const end of ["end", "resetAndDestroy"] as const) {
      const { url } = await serve((socket) => socket[end]());
      expect(await hear({ asks: [{ url }] })).toMatchObject([{ code: "ECONNRESET" }]);
    }
  });

  test("the connection ends inside an answer, after what has come of it", async () => {
    for (const end of ["end", "resetAndDestroy"] as const) {
      const { url } = await serve((socket) => {
        socket.write(HEAD);
        setTimeout(() => socket[end](), 50);
      });
      expect(await hear({ asks: [{ url }] })).toMatchObject([
        { status: 200, text: "abc", code: "ECONNRESET" },
      ]);
    }
  });

  test("the answer is no HTTP", async () => {
    const { url } = await serve((socket) => socket.end("220 mail.test ESMTP\r\n"));
    const [heard] = await hear({ asks: [{ url }] });
    expect(heard?.code).toMatch(/^HPE_/);
  });

  test("the answer is a change of protocol that nobody has asked for", async () => {
    const { url } = await serve((socket) =>
      socket.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    );
    expect(await hear({ asks: [{ url }] })).toMatchObject([{ code: "ECONNRESET" }]);
  });

  test("a chunk that is none breaks the body off", async () => {
    const { url } = await serve((socket) =>
      socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
    );
    const [heard] = await hear({ asks: [{ url }] });
    expect(heard).toMatchObject({ status: 200, code: expect.stringMatching(/^HPE_/) });
  });
});

describe("a request that nobody wants any more", () => {
  test("ends at once, before and inside its answer", async () => {
    const gone: string[] = [];
    const { url } = await serve((socket, head) => {
      socket.on("close", () => gone.push(head.slice(0, 6)));
      if (head.includes("/a")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
    });
    const silent = url.replace("/a", "/s");
    const asks = [
      { url: silent, abortMs: 100 },
      { url, abortMs: 100 },
      { url: silent, abortMs: 0 },
    ];
    expect(await hear({ asks })).toMatchObject([
      { name: "AbortError" },
      { status: 200, text: "abc", name: "AbortError" },
      { name: "AbortError" },
    ]);
    expect(gone.slice(0, 2)).toEqual(["GET /s", "GET /a"]);
  });

  test("is not begun where it is known before", () => {
    const session = openSession({}, false);
    const signal = AbortSignal.abort();
    expect(session.ask("http://127.0.0.1:9/", { headers: {}, signal })).rejects.toThrow();
  });

  test("has its connection closed where its body is left", async () => {
    const { url, connections } = await serve((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
    });
    await hear({
      asks: [
        { url, mostBytes: 3 },
        { url, mostBytes: 3 },
      ],
    });
    expect(connections()).toBe(2);
  });
});

test("HTTP/2 is refused by the code that tells that nothing was sent", () => {
  const session = openSession({}, false);
  const { signal } = new AbortController();
  const asked = session.ask("http://127.0.0.1:9/", { headers: {}, signal, protocol: "http2" });
  expect(asked).rejects.toMatchObject({ code: "HTTP2Unsupported" });
});
