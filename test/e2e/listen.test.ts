import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocketClient from "ws";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX } from "../support/call.ts";
import { openH2 } from "../support/h2.ts";
import { hasOpenssl, makeCertificate, type Pem } from "../support/pem.ts";
import {
  buildIfMissing,
  KEY,
  type ProxySetup,
  runProgram,
  startProxy,
  type TestProxy,
  yamlOf,
} from "../support/proxy.ts";
import { openLine, postBytes } from "../support/socket.ts";
import { within } from "../support/until.ts";
import { openTalk } from "../support/websocket.ts";

setDefaultTimeout(60_000);

let backend: FakeBackend;
beforeAll(async () => {
  await buildIfMissing();
  backend = await startBackend();
});
afterAll(() => backend.stop());

const start = (config: ProxySetup["config"] = {}): Promise<TestProxy> =>
  startProxy({ backend, accounts: [backend.account("listen")], config, binary: true });

const DONE = '"type":"response.completed"';
const BODY = JSON.stringify(turnBody());
const AUTHORIZED = { authorization: `Bearer ${KEY}` };

/** What a program prints on its standard output; fails where it fails. */
async function output(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [said, complained] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command[0]}: ${complained || said}`);
  return said;
}

const hasCurl = Bun.which("curl") !== null;
const hasNghttp = Bun.which("nghttp") !== null;
const hasH2load = Bun.which("h2load") !== null;

describe("one port", () => {
  let proxy: TestProxy;
  beforeAll(async () => {
    proxy = await start();
  });
  afterAll(() => proxy.stop());

  test("serves HTTP/1.1, HTTP/2 by prior knowledge and WebSockets side by side", async () => {
    using h2 = openH2(proxy.url);
    const talk = await openTalk(proxy);
    const old = fetch(`${proxy.url}/v1/responses`, {
      method: "POST",
      headers: AUTHORIZED,
      body: BODY,
    });
    const turns = Array.from({ length: 20 }, () => h2.post());
    talk.ask("Hello over a WebSocket");
    for (const turn of turns) {
      expect(await turn.status()).toBe(200);
      expect(turn.header("content-type")).toStartWith("text/event-stream");
      expect(await turn.whole()).toContain(DONE);
    }
    expect(await (await old).text()).toContain(DONE);
    expect((await talk.answer()).at(-1)).toMatchObject({ type: "response.completed" });
    talk.close();
  });

  test("the ws package and the Codex CLI's handshake get their socket", async () => {
    const socket = new WebSocketClient(`${proxy.url.replace("http", "ws")}/v1/responses`, {
      headers: { ...AUTHORIZED, ...CODEX, "openai-beta": "responses_websockets=2026-02-06" },
    });
    const events: string[] = [];
    const done = new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("message", (data) => {
        events.push(String(data));
        if (String(data).includes(DONE)) resolve();
      });
    });
    socket.on("open", () => {
      socket.send(JSON.stringify({ type: "response.create", ...turnBody() }));
    });
    await within("the turn ends", done);
    expect(events.length).toBeGreaterThan(3);
    socket.close();
  });

  test.each(["/v1/responses", "/v1/chat/completions", "/v1/messages"])(
    "answers %s over HTTP/2 as it does over HTTP/1.1, whole and streamed, refusals too",
    async (path) => {
      using h2 = openH2(proxy.url);
      const asked = {
        "/v1/responses": { model: "gpt-5.5", input: "Say hi" },
        "/v1/chat/completions": {
          model: "gpt-5.5",
          messages: [{ role: "user", content: "Say hi" }],
        },
        "/v1/messages": {
          model: "gpt-5.5",
          max_tokens: 100,
          messages: [{ role: "user", content: "Say hi" }],
        },
      }[path];
      for (const body of [{ ...asked, stream: false }, { ...asked, stream: true }, { model: 7 }]) {
        const call = h2.post({ path, body });
        const old = await fetch(`${proxy.url}${path}`, {
          method: "POST",
          headers: AUTHORIZED,
          body: JSON.stringify(body),
        });
        expect(await call.status()).toBe(old.status);
        expect(call.header("content-type")).toBe(old.headers.get("content-type") ?? "none");
        const [whole, older] = [await call.whole(), await old.text()];
        // Ids and times differ; how much is said, and in which events, does not.
        const eventsIn = (text: string) => text.match(/^event: .*$/gm) ?? [];
        expect(eventsIn(whole)).toEqual(eventsIn(older));
        expect(Math.abs(whole.length - older.length)).toBeLessThan(40);
      }
    },
  );

  test("a client that would change over with Upgrade: h2c is answered in HTTP/1.1", async () => {
    const line = await openLine(proxy.url);
    const headers = {
      ...AUTHORIZED,
      connection: "Upgrade, HTTP2-Settings",
      upgrade: "h2c",
      "http2-settings": "AAMAAABkAAQAAP__",
    };
    line.send(postBytes(`${proxy.url}/v1/responses`, BODY, headers));
    await line.hears(DONE);
    expect(line.received()).toStartWith("HTTP/1.1 200 OK\r\n");
    line.leave("close");
  });

  test("a WebSocket is not to be had over HTTP/2, and that is said", async () => {
    using h2 = openH2(proxy.url);
    const call = h2.get("/v1/responses", AUTHORIZED);
    expect(await call.status()).toBe(405);
  });

  test.skipIf(!hasCurl)("serves curl whatever HTTP it speaks (needs curl)", async () => {
    const told = await Promise.all(
      [[], ["--http1.1"], ["--http2"], ["--http2-prior-knowledge"]].map((flags) =>
        output([
          "curl",
          "--silent",
          "--fail",
          ...flags,
          ...["--write-out", "\n%{http_version}", "--header", `authorization: Bearer ${KEY}`],
          ...["--data", BODY, `${proxy.url}/v1/responses`],
        ]),
      ),
    );
    expect(told.map((text) => text.slice(text.lastIndexOf("\n") + 1))).toEqual([
      "1.1",
      "1.1",
      "1.1",
      "2",
    ]);
    for (const text of told) expect(text).toContain(DONE);
  });

  test.skipIf(!hasNghttp)("serves nghttp (needs nghttp2-client)", async () => {
    const told = await output(["nghttp", "--null-out", "--stat", `${proxy.url}/health/live`]);
    expect(told).toMatch(/ 200 +15 \/health\/live/);
  });

  test.skipIf(!hasH2load)(
    "serves h2load 10,000 requests without an error (needs nghttp2-client)",
    async () => {
      const told = await output([
        ..."h2load -n 10000 -c 32 -m 8".split(" "),
        `${proxy.url}/health/live`,
      ]);
      expect(told).toContain("10000 succeeded, 0 failed, 0 errored, 0 timeout");
      expect(told).toContain("10000 2xx");
    },
  );

  test.skipIf(!hasH2load)(
    "serves h2load 1,000 turns without an error (needs nghttp2-client)",
    async () => {
      const home = await mkdtemp(join(tmpdir(), "codex-proxy-h2load-"));
      const path = join(home, "turn.json");
      await writeFile(path, BODY);
      const headers = ["-H", `authorization: Bearer ${KEY}`, "-d", path];
      const told = await output([
        ..."h2load -n 1000 -c 16 -m 8".split(" "),
        ...headers,
        `${proxy.url}/v1/responses`,
      ]);
      await rm(home, { recursive: true, force: true });
      expect(told).toContain("1000 succeeded, 0 failed, 0 errored, 0 timeout");
      expect(proxy.logs()).not.toContain("a fault of the proxy itself");
    },
  );
});

test("without keys, a foreign host name is refused over HTTP/2 as over HTTP/1.1", async () => {
  await using proxy = await start({ "api-keys": [] });
  const { port } = new URL(proxy.url);
  using h2 = openH2(proxy.url);
  const statusAt = (host: string) =>
    h2.get("/v1/models", { ":authority": `${host}:${port}` }).status();
  expect(await statusAt("rebound.example.com")).toBe(403);
  expect(await statusAt("localhost")).toBe(200);
});

describe("heads of requests", () => {
  const statuses = async (proxy: TestProxy, bytes: number): Promise<readonly number[]> => {
    using h2 = openH2(proxy.url);
    const headers = { "x-large": "a".repeat(bytes) };
    const old = await fetch(`${proxy.url}/health/live`, { headers });
    return [old.status, await h2.get("/health/live", headers).status()];
  };

  test("may be as large as the runtime's own limit does not allow, and no larger than the key's", async () => {
    await using proxy = await start();
    expect(await statuses(proxy, 40_000)).toEqual([200, 200]);
    expect((await statuses(proxy, 70_000))[0]).toBe(431);
  });

  test("may be smaller or larger where listen-max-header-bytes says so", async () => {
    await using small = await start({ "listen-max-header-bytes": 5000 });
    expect(await statuses(small, 4000)).toEqual([200, 200]);
    expect(await statuses(small, 6000)).toEqual([431, 431]);
    await using large = await start({ "listen-max-header-bytes": 200_000 });
    expect((await statuses(large, 150_000))[0]).toBe(200);
    expect(large.logs()).toContain("listen-max-header-bytes: 200000 holds for HTTP/1.1 only");
  });
});

describe("wishes", () => {
  test("that the runtime cannot grant are told in one line at the start, defaults are not", async () => {
    await using usual = await start();
    expect(usual.logs()).not.toContain("h2-max-concurrent-streams");
    await using other = await start({ "h2-max-concurrent-streams": 100 });
    const lines = other.logs().split("\n");
    expect(lines.filter((line) => line.includes("h2-max-concurrent-streams"))).toHaveLength(1);
  });
});

describe("enable-listen-h2c: false", () => {
  test("leaves HTTP/1.1 and WebSockets, and nothing of HTTP/2", async () => {
    await using proxy = await start({ "enable-listen-h2c": false });
    const answer = await fetch(`${proxy.url}/health/live`);
    expect(answer.status).toBe(200);
    const talk = await openTalk(proxy);
    talk.ask("Hello");
    expect((await talk.answer()).at(-1)).toMatchObject({ type: "response.completed" });
    talk.close();
    using h2 = openH2(proxy.url);
    h2.get("/health/live");
    await within("the connection ends", h2.closed);
  });
});

describe.skipIf(!hasOpenssl)("TLS (needs openssl to make a certificate)", () => {
  let pem: Pem;
  beforeAll(async () => {
    pem = await makeCertificate(90);
  });
  afterAll(() => pem[Symbol.asyncDispose]());
  const paths = (): Record<string, string> => ({
    "tls-cert": pem.certPath,
    "tls-key": pem.keyPath,
  });
  const ca = async () => ({ ca: await Bun.file(pem.certPath).text() });

  test("serves HTTP/1.1, HTTP/2 by ALPN and WebSockets", async () => {
    await using proxy = await start(paths());
    expect(proxy.url).toStartWith("https://");
    const url = `${proxy.url}/v1/responses`;
    const tls = await ca();
    const answer = await fetch(url, { method: "POST", headers: AUTHORIZED, body: BODY, tls });
    expect(await answer.text()).toContain(DONE);
    using h2 = openH2(proxy.url);
    expect(await h2.post().whole()).toContain(DONE);
    const socket = new WebSocketClient(url.replace("https", "wss"), {
      headers: AUTHORIZED,
      ...tls,
    });
    const opened = new Promise<void>((resolve, reject) => {
      socket.on("open", resolve);
      socket.on("error", reject);
    });
    await within("a WebSocket opens over TLS", opened);
    socket.close();
  });

  test("speaks HTTP/1.1 only where enable-listen-h2c is off", async () => {
    await using proxy = await start({ ...paths(), "enable-listen-h2c": false });
    const answer = await fetch(`${proxy.url}/health/live`, { tls: await ca() });
    expect(answer.status).toBe(200);
    using h2 = openH2(proxy.url);
    h2.get("/health/live");
    await within("the connection ends", h2.closed);
  });

  test("answers nobody who comes without it", async () => {
    await using proxy = await start(paths());
    const line = await openLine(proxy.url.replace("https", "http"));
    line.send("GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await within("the connection ends", line.closed);
    expect(line.received()).toBe("");
  });

  test.skipIf(!hasCurl)("serves curl over HTTP/2 (needs curl)", async () => {
    await using proxy = await start(paths());
    const flags = ["--silent", "--fail", "--http2", "--cacert", pem.certPath];
    const url = `${proxy.url}/health/live`;
    const told = await output(["curl", ...flags, "--write-out", " %{http_version}", url]);
    expect(told).toBe('{"status":"ok"} 2');
  });

  test("with files that cannot be used ends the start with 2, naming key and file; check says the same", async () => {
    const home = await mkdtemp(join(tmpdir(), "codex-proxy-tls-"));
    try {
      const config = { listen: "127.0.0.1:0", "auth-dir": home, "tls-cert": pem.certPath };
      const path = join(home, "config.yaml");
      await writeFile(path, yamlOf({ ...config, "tls-key": join(home, "gone.pem") }));
      const said = `tls-key: ${join(home, "gone.pem")}: there is no such file`;
      for (const words of [[], ["check"]]) {
        const run = runProgram([...words, "-config", path], { cwd: home });
        expect(await within("it ends", run.exited)).toBe(2);
        expect(run.logs()).toContain(said);
      }
      await writeFile(path, yamlOf(config));
      const alone = runProgram(["-config", path], { cwd: home });
      expect(await within("it ends", alone.exited)).toBe(2);
      expect(alone.logs()).toMatch(/config\.yaml:3: tls-cert: found no tls-key beside it/);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });

  test("with a certificate near its end is warned of once", async () => {
    await using short = await makeCertificate(3);
    const config = { "tls-cert": short.certPath, "tls-key": short.keyPath };
    await using proxy = await start(config);
    expect(proxy.logs().match(/it expires on .* renew it/g)).toHaveLength(1);
  });
});
