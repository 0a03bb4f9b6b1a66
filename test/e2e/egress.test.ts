import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "../../src/wire/json.ts";
import { turnsOn } from "../support/accounts.ts";
import type { AccountSeed, FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { call } from "../support/call.ts";
import { createAuthority } from "../support/certificates.ts";
import { holdUntilEnd } from "../support/held.ts";
import { freePort, type Listener, listen } from "../support/listener.ts";
import {
  DEBIAN,
  PROXY_ADDRESS,
  startHttpProxy,
  startSocksServer,
  type TestProxyServer,
} from "../support/proxies.ts";
import {
  buildIfMissing,
  runProgram,
  startProxy,
  type TestProxy,
  yamlOf,
} from "../support/proxy.ts";
import { onPosix } from "../support/system.ts";
import { until } from "../support/until.ts";

// The compiled program, a backend and an issuer behind TLS, and every kind of proxy between them.

setDefaultTimeout(60_000);

const authority = createAuthority();
const LOGIN = { user: "proxy user", password: "hunter22@proxy/%" };
const PASSWORD = /hunter22/;

let trust = "";
let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "egress-test-"));
  trust = join(home, "ca.pem");
  await writeFile(trust, authority.certificate);
});
afterAll(() => rm(home, { recursive: true, force: true }));

const { hold, use } = holdUntilEnd();

type Scene = {
  readonly backend: FakeBackend;
  readonly accounts: readonly FakeAccount[];
  readonly proxy: TestProxy;
  /** Where backend and issuer are reached. */
  readonly front: Listener;
  /** Connections to backend or issuer that came by no proxy. */
  readonly direct: () => readonly string[];
};

type Setup = {
  readonly accounts?: readonly Partial<AccountSeed>[];
  readonly config?: (front: Listener) => Readonly<Record<string, unknown>>;
  /** Of each account's file, over what is in it. */
  readonly files?: readonly Readonly<Record<string, unknown>>[];
  readonly names?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
};

async function scene(proxyUrl: string, setup: Setup = {}): Promise<Scene> {
  const { accounts: seeds = [{}, {}], config, files = [], names = ["localhost"], env = {} } = setup;
  const backend = await startBackend();
  hold({ [Symbol.asyncDispose]: backend.stop });
  const accounts = seeds.map((seed, number) => backend.account(`behind-${number}`, seed));
  const { port } = new URL(backend.url);
  const front = await use(
    listen((client) => {
      const server = connect({ host: "127.0.0.1", port: Number(port), noDelay: true });
      client.pipe(server).pipe(client);
      server.on("error", () => client.destroy());
      client.on("close", () => server.destroy());
    }, authority.issue(names)),
  );
  const secure = (url: string) => url.replace(/^http:\/\/[^/]+/, `https://localhost:${front.port}`);
  const proxy = await startProxy({
    backend,
    accounts: accounts.map((account, number) => ({
      ...account,
      file: () => ({ ...account.file(), ...files[number] }),
    })),
    binary: true,
    env: { NODE_EXTRA_CA_CERTS: trust, HTTPS_PROXY: "", NO_PROXY: "localhost,127.0.0.1", ...env },
    config: {
      "base-url": secure(backend.url),
      "oauth-issuer": secure(backend.issuer),
      "proxy-url": proxyUrl,
      // A proxy that says nothing is given up after four fifths of it.
      "connect-timeout-sec": 1,
      "health-check-start-delay": 0,
      "health-check-max-failures": 1,
      ...config?.(front),
    },
  });
  hold(proxy);
  const direct = () => front.peers.filter((peer) => !peer.startsWith(`${PROXY_ADDRESS}:`));
  return { backend, accounts, proxy, front, direct };
}

let turns = 0;

/** A turn of a conversation of its own. */
function turn(proxy: TestProxy) {
  turns += 1;
  return call(proxy, { body: turnBody("hi", { prompt_cache_key: `conversation ${turns}` }) });
}

const refresh = (proxy: TestProxy, account?: FakeAccount) =>
  call(proxy, { path: "/refresh", body: { email: account?.email } });
const usage = (proxy: TestProxy, account?: FakeAccount) =>
  call(proxy, { path: "/check-quota", body: { email: account?.email } });

async function states(proxy: TestProxy): Promise<readonly string[]> {
  return (await proxy.stats()).accounts.map(({ state }) => state);
}

const pair = authority.issue(["localhost"]);
const UP: Readonly<Record<string, () => Promise<TestProxyServer>>> = {
  http: startHttpProxy,
  "http with a login": () => startHttpProxy({ login: LOGIN }),
  https: () => startHttpProxy({ tls: pair }),
  "https with a login": () => startHttpProxy({ tls: pair, login: LOGIN }),
  socks5h: startSocksServer,
  "socks5h with a login": () => startSocksServer({ login: LOGIN }),
  ...Object.fromEntries(
    Object.values(DEBIAN).flatMap(({ name, isThere, start }) =>
      isThere ? [[`Debian's ${name}`, () => start()]] : [],
    ),
  ),
};
const SCHEMES = ["http", "https", "socks5", "socks5h"] as const;

describe.if(process.platform === "linux")("turns, renewals and usage", () => {
  for (const [name, start] of Object.entries(UP)) {
    const schemes = /socks|danted/.test(name) ? ["socks5h", "socks5"] : [undefined];
    for (const scheme of schemes) {
      test(`${name}${scheme === "socks5" ? " as socks5" : ""}: all of them, and the models, go by the proxy`, async () => {
        const server = await use(start());
        const url = scheme === undefined ? server.url : server.url.replace(/^socks5h/, scheme);
        // One of them has to be renewed before it can serve.
        const { proxy, backend, accounts, direct, front } = await scene(url, {
          files: [{}, { access_token: undefined }],
        });
        for (let count = 0; count < 4; count++) expect((await turn(proxy)).status).toBe(200);
        expect(accounts.map((account) => turnsOn(backend, account))).toEqual([2, 2]);
        expect((await refresh(proxy, accounts[0])).status).toBe(200);
        expect((await usage(proxy, accounts[0])).status).toBe(200);
        expect(backend.refreshes().map(({ status }) => status)).toEqual([200, 200]);
        const asked = new Set(backend.requests.map(({ path }) => path.replace(/\?.*/, "")));
        expect([...asked].sort()).toEqual([
          "/backend-api/codex/models",
          "/backend-api/codex/responses",
          "/backend-api/wham/usage",
          "/oauth/token",
        ]);
        expect(await states(proxy)).toEqual(["ready", "ready"]);
        expect(direct()).toEqual([]);
        expect(front.peers.length).toBeGreaterThan(0);
        expect(proxy.logs()).not.toMatch(PASSWORD);
        const shown = `${url.split("://")[0]}://${new URL(url.replace(/^\w+/, "http")).hostname}:${server.port}`;
        expect(proxy.logs()).toContain(`requests leave through a proxy proxy=${shown}`);
      });
    }
  }

  const troubles: [name: string, says: RegExp, port: () => Promise<number>][] = [
    ["refused", /cannot be reached: connection refused/, freePort],
    [
      "silent",
      /did not open a connection within 0\.8 s/,
      async () => (await use(listen((socket) => void socket.resume()))).port,
    ],
  ];
  for (const [name, says, makePort] of troubles) {
    for (const scheme of SCHEMES) {
      test(`${scheme}, ${name}: nothing leaves, the client is told, and no account is held to be at fault`, async () => {
        const port = await makePort();
        const url = `${scheme}://user:hunter22@127.0.0.1:${port}`;
        const { proxy, backend, front, accounts } = await scene(url);
        for (let count = 0; count < 2; count++) {
          const answer = await turn(proxy);
          expect(answer.status).toBe(503);
          const message = text(answer.error["message"]) ?? "";
          expect(message).toMatch(says);
          expect(message).toContain(`${scheme}://127.0.0.1:${port} (proxy-url)`);
          expect(message).toContain("nothing is sent around it");
        }
        const renewed = await refresh(proxy, accounts[0]);
        expect(renewed.text).toMatch(says);
        const read = await usage(proxy, accounts[0]);
        expect(read.text).toMatch(name === "silent" ? /did not/ : says);
        expect(await states(proxy)).toEqual(["ready", "ready"]);
        const { accounts: rows } = await proxy.stats();
        expect(rows.map(({ consecutiveFailures, errors }) => consecutiveFailures + errors)).toEqual(
          [0, 0],
        );
        // One post for each request: nobody else behind it would get out.
        expect(proxy.logs()).not.toMatch(/tried=/);
        expect([front.peers, backend.requests]).toEqual([[], []]);
        expect(proxy.logs() + renewed.text + read.text).not.toMatch(PASSWORD);
        // Told when it began, and not at each request.
        const told = proxy.logs().match(/requests do not get out through the egress proxy/g);
        expect(told).toHaveLength(1);
      });
    }
  }

  test("a proxy that comes up is used at once, and one that is exchanged without a restart", async () => {
    const port = await freePort();
    const { proxy, direct } = await scene(`http://127.0.0.1:${port}`);
    expect((await turn(proxy)).status).toBe(503);
    const server = await use(startHttpProxy({ port }));
    expect((await turn(proxy)).status).toBe(200);
    expect(server.asked.length).toBeGreaterThan(0);
    await until("that is told", () => proxy.logs().includes("the egress proxy works again"));
    expect(direct()).toEqual([]);
  });

  test("a refused password is told as such", async () => {
    for (const start of [startHttpProxy, startSocksServer]) {
      const server = await use(start({ login: LOGIN }));
      const { proxy, front } = await scene(server.url.replace(/hunter22[^@]*@/, "hunter33@"));
      const answer = await turn(proxy);
      expect([answer.status, text(answer.error["message"])]).toEqual([
        503,
        expect.stringContaining("refuses the user or the password. Correct them in proxy-url."),
      ]);
      expect(front.peers).toEqual([]);
      expect(proxy.logs()).not.toMatch(/hunter/);
    }
  });

  test("a backend that cannot prove its name gets no token, behind each kind", async () => {
    const kinds = [startHttpProxy, () => startHttpProxy({ tls: pair }), startSocksServer];
    for (const start of kinds) {
      const server = await use(start());
      const { proxy, backend } = await scene(server.url, { names: ["somebody.else.test"] });
      const answer = await turn(proxy);
      expect(answer.status).toBe(503);
      expect(text(answer.error["message"])).toMatch(
        /what answers there for localhost:\d+ has a certificate for another name/,
      );
      expect(backend.requests).toEqual([]);
    }
  });

  test("the environment cannot switch the check of certificates off, of backends or of proxies", async () => {
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    const direct = await scene("", { names: ["somebody.else.test"], env });
    expect((await turn(direct.proxy)).status).toBe(502);
    const stranger = await use(startHttpProxy({ tls: authority.issue(["somebody.else.test"]) }));
    const behind = await scene(stranger.url, { env });
    expect((await turn(behind.proxy)).status).toBe(503);
    expect([direct.backend.requests, behind.backend.requests, stranger.asked]).toEqual([
      [],
      [],
      [],
    ]);
  });

  test("without a proxy, a certificate that is not trusted is told with what to do", async () => {
    const { proxy, backend } = await scene("", { names: ["somebody.else.test"] });
    const answer = await turn(proxy);
    expect(answer.status).toBe(502);
    expect(text(answer.error["message"])).toMatch(
      /^The backend has a certificate for another name .*NODE_EXTRA_CA_CERTS/,
    );
    expect(backend.requests).toEqual([]);
  });
});

describe.if(process.platform === "linux")("an account's own proxy", () => {
  test("carries its turns, renewals, usage and nothing of the others'", async () => {
    const [usual, own] = [
      await use(startHttpProxy()),
      await use(startSocksServer({ login: LOGIN })),
    ];
    const { proxy, backend, accounts, direct } = await scene(usual.url, {
      files: [{ proxy_url: own.url }, {}],
    });
    for (let count = 0; count < 6; count++) expect((await turn(proxy)).status).toBe(200);
    expect(accounts.map((account) => turnsOn(backend, account))).toEqual([3, 3]);
    expect(usual.asked.length).toBeGreaterThan(0);
    expect(own.asked.length).toBeGreaterThan(0);
    // What could have gone by a connection that is kept cannot any more.
    await usual.stop();
    expect((await refresh(proxy, accounts[0])).json).toMatchObject({ renewed: 1, failed: 0 });
    expect((await usage(proxy, accounts[0])).json).toMatchObject({ total: 1, failed: 0 });
    expect(backend.refreshes().map(({ account, status }) => [account, status])).toEqual([
      ["behind-0", 200],
    ]);
    expect((await usage(proxy, accounts[1])).text).toMatch(/cannot be reached/);
    expect(direct()).toEqual([]);
    expect(proxy.logs()).not.toMatch(PASSWORD);
  });

  test("that is down takes only that account out of the way", async () => {
    const usual = await use(startHttpProxy());
    const dead = `http://user:hunter22@127.0.0.1:${await freePort()}`;
    const { proxy, backend, accounts, direct } = await scene(usual.url, {
      files: [{ proxy_url: dead }, {}],
      config: () => ({ "max-retry": 1 }),
    });
    for (let count = 0; count < 6; count++) expect((await turn(proxy)).status).toBe(200);
    expect(accounts.map((account) => turnsOn(backend, account))).toEqual([0, 6]);
    expect(await states(proxy)).toEqual(["ready", "ready"]);
    expect(direct()).toEqual([]);
    expect(proxy.logs()).toContain("(the account's proxy_url) cannot be reached");
    expect(proxy.logs()).not.toMatch(PASSWORD);
  });

  test("is taken from its file as that changes; one that is none takes the account out at once", async () => {
    const [usual, own] = [await use(startHttpProxy()), await use(startSocksServer())];
    const { proxy, backend, accounts, direct } = await scene(usual.url, { accounts: [{}] });
    const [account] = accounts;
    if (account === undefined) throw new Error("there is one");
    expect((await turn(proxy)).status).toBe(200);
    expect(own.asked).toEqual([]);
    await proxy.put(`${account.name}.json`, { ...account.file(), proxy_url: own.url });
    await until("the file is read", () => proxy.logs().includes("account changed"));
    expect((await turn(proxy)).status).toBe(200);
    expect(own.asked.length).toBeGreaterThan(0);
    const bad = "sock5://user:hunter22@127.0.0.1:1080";
    await proxy.put(`${account.name}.json`, { ...account.file(), proxy_url: bad });
    await until("the account is taken out", () => proxy.logs().includes("account taken out"));
    const answer = await turn(proxy);
    expect(answer.status).toBe(503);
    expect(proxy.logs()).toMatch(
      /behind-0\.json: .{0,2}"proxy_url.{0,2}" should be http.*the scheme sock5/,
    );
    expect(proxy.logs()).not.toMatch(PASSWORD);
    await proxy.put(`${account.name}.json`, account.file());
    await until("it is back", async () => (await states(proxy))[0] === "ready");
    expect((await turn(proxy)).status).toBe(200);
    expect(turnsOn(backend, account)).toBe(3);
    expect(direct()).toEqual([]);
  });

  test("is used for an account that lies aside", async () => {
    const [usual, own] = [await use(startHttpProxy()), await use(startSocksServer())];
    const { proxy, backend, accounts, direct } = await scene(usual.url, { accounts: [{}] });
    const [account] = accounts;
    if (account === undefined) throw new Error("there is one");
    await rm(join(proxy.authDir, `${account.name}.json`));
    await until("it is gone", () => proxy.logs().includes("account taken out"));
    const aside = { ...account.file(), proxy_url: own.url };
    await proxy.put(`${account.name}.json.disabled`, aside);
    const recovered = await call(proxy, { path: "/recover-auth", body: { all: true } });
    expect(recovered.text).toContain("recovered");
    expect(backend.refreshes()).toHaveLength(1);
    expect(own.asked).toHaveLength(1);
    expect(direct()).toEqual([]);
  });
});

test("backend-resolve-address: the backend is dialled there and asked by its name; the issuer is not affected", async () => {
  const { backend, proxy, front } = await scene("", {
    names: ["localhost", "backend.test"],
    config: ({ port }) => ({
      "base-url": "https://backend.test/backend-api/codex",
      "backend-resolve-address": `127.0.0.1:${port}`,
    }),
  });
  expect((await turn(proxy)).status).toBe(200);
  expect((await refresh(proxy)).status).toBe(200);
  const hosts = (path: RegExp) => [
    ...new Set(
      backend.requests.filter((each) => path.test(each.path)).map((each) => each.headers["host"]),
    ),
  ];
  expect(hosts(/backend-api/)).toEqual(["backend.test"]);
  expect(hosts(/oauth/)).toEqual([`localhost:${front.port}`]);
});

onPosix("a login leaves by the proxy too, and says where that is the trouble", async () => {
  const backend = await startBackend();
  hold({ [Symbol.asyncDispose]: backend.stop });
  backend.account("somebody");
  await buildIfMissing();
  const server = await use(startSocksServer({ login: LOGIN }));
  const login = async (proxyUrl: string) => {
    const cwd = await mkdtemp(join(home, "login-"));
    const config = { "oauth-issuer": backend.issuer, "proxy-url": proxyUrl };
    await writeFile(join(cwd, "config.yaml"), yamlOf(config));
    return runProgram(["login", "--device"], { cwd });
  };
  const begun = await login(server.url);
  await until("it shows a code", () => begun.logs().includes("2. enter"));
  begun.kill("SIGINT");
  await begun.exited;
  expect(server.asked).toEqual([`address 127.0.0.1:${new URL(backend.url).port}`]);
  await server.stop();
  const failed = await login(server.url);
  expect(await failed.exited).toBe(1);
  expect(failed.logs()).toMatch(/The egress proxy socks5h:\S+ \(proxy-url\) cannot be reached/);
  expect(begun.logs() + failed.logs()).not.toMatch(PASSWORD);
  expect(backend.requests).toHaveLength(1);
});

test("the environment's proxy is not used, and that is said", async () => {
  const trap = await use(listen((socket) => void socket.resume()));
  const backend = await startBackend();
  hold({ [Symbol.asyncDispose]: backend.stop });
  const name = `http://127.0.0.1:${trap.port}`;
  const proxy = await startProxy({
    backend,
    accounts: [backend.account("plain")],
    binary: true,
    env: { HTTP_PROXY: name, HTTPS_PROXY: name, ALL_PROXY: name, http_proxy: name, NO_PROXY: "" },
  });
  hold(proxy);
  expect((await turn(proxy)).status).toBe(200);
  expect(trap.peers).toEqual([]);
  expect(proxy.logs()).toMatch(/a proxy of the environment is not used.*variable=HTTPS_PROXY/);
});

for (const kind of ["hang-before-headers", "hang-after-created", "hang-mid-text"] as const) {
  test(`a client that leaves ends its turn at the backend, behind a proxy too: ${kind}`, async () => {
    const server = await use(startSocksServer());
    const { proxy, backend, accounts } = await scene(server.url, {
      accounts: [{}],
      config: () => ({ "connect-timeout-sec": 30 }),
    });
    accounts[0]?.always({ kind });
    const gone = new AbortController();
    const left = call(proxy, { body: turnBody("hi"), signal: gone.signal }).catch(() => undefined);
    await until("the turn has reached the backend", () => backend.openRequests() === 1);
    gone.abort();
    await left;
    await until("the backend's request is over", () => backend.openRequests() === 0, 1000);
  });
}
