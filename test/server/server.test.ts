import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Job } from "../../src/engine/execute.ts";
import { createLogins } from "../../src/engine/logins.ts";
import type { Watched } from "../../src/engine/watch.ts";
import type { DoorOptions, Wire } from "../../src/platform/platform.ts";
import type { LocalRoute } from "../../src/protocols/protocol.ts";
import { createProtocols } from "../../src/protocols/registry.ts";
import { createPages } from "../../src/server/dashboard.ts";
import { createGuesses, MOST_WRONG, PAUSE_MS } from "../../src/server/guesses.ts";
import { readBody } from "../../src/server/intake.ts";
import type { AccessOptions } from "../../src/server/keys.ts";
import type { LocalCall } from "../../src/server/local.ts";
import { createProxy, type ProxyCall } from "../../src/server/proxy.ts";
import { buildApp, routesOf, type ServerPorts, startServer } from "../../src/server/server.ts";
import { mergeCatalog } from "../../src/turn/catalog.ts";
import { clientStatus, type Failure, refuse } from "../../src/turn/failure.ts";
import { resolveModel } from "../../src/turn/model.ts";
import { NO_USAGE } from "../../src/turn/usage.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { sha256 } from "../../src/wire/digest.ts";
import { dict, type Json } from "../../src/wire/json.ts";
import { listen, loginOf, NOON, step, steps } from "../engine/parts.ts";
import { loginPorts } from "../engine/scene.ts";
import { createVault, poolOf } from "../engine/vault.ts";
import { portsOf } from "../protocols/turns.ts";
import { UNLIMITED } from "../support/callers.ts";

const KEY = "a-client-key-1";
const ADMIN = "an-admin-key-1";
const ALLOWED = "https://app.example.com";
const CATALOG = mergeCatalog([{ slug: "gpt-9" }, { slug: "vendor/model x" }]);
const AUTHORIZED = { authorization: `Bearer ${KEY}` };

let access: AccessOptions = keyed();
let answer: (call: ProxyCall) => Promise<Response> = async () => new Response("served");
let ids = 0;
const faults: string[] = [];
const turnedAway: string[] = [];
const pool = poolOf(NOON, loginOf("ann"));

/** Greets, and says what it hears. */
const WIRE: Wire = {
  open: (ws) => {
    ws.send("hello", false);
  },
  message: (ws, data) => {
    ws.send(String(data), false);
  },
  drain: () => {},
  pong: () => {},
  close: () => {},
};
let hasSockets = true;
let hasViewers = false;
let nowMs = NOON;
let guesses = createGuesses();
const LOCAL: LocalRoute = {
  name: "echo",
  path: "/echo",
  fail: (failure) => ({
    status: clientStatus(failure),
    headers: { "x-shape": "own" },
    body: { message: failure.message },
  }),
  answer: async () => ({ ok: true, body: null }),
};
let answerLocally: (call: LocalCall) => Promise<Json | Failure> = async () => ({ echoed: true });

const ports: ServerPorts = {
  access: () => access,
  proxy: (call) => answer(call),
  readBody: (request, limitBytes) => readBody(request, { limitBytes, idleMs: 0 }, systemClock),
  sockets: { accept: () => WIRE },
  connections: () => ({
    now: { limit: 0, inUse: 0, streams: 0, waiting: 0 },
    waits: { now: 0, total: 0, long: 0 },
    mostIdle: 8,
  }),
  hasSockets: () => hasSockets,
  protocols: createProtocols(portsOf()),
  local: (call) => answerLocally(call),
  localRoutes: [LOCAL],
  catalog: () => CATALOG,
  resolve: (model) => resolveModel(model, CATALOG, []),
  clients: () => [],
  metrics: async () => "a_metric 1\n",
  onTurnedAway: (code) => turnedAway.push(code),
  admin: {
    views: () => pool.view(NOON),
    store: createVault(),
    adopt: async () => [],
    reload: async () => {},
    release: () => {},
    logins: createLogins(systemClock, () => "login_1"),
    login: () => loginPorts("http://127.0.0.1:9", systemClock, []),
    log: listen().log,
  },
  accounts: {
    refresh: () => undefined,
    recover: async () => undefined,
    checkQuota: () => undefined,
  },
  views: () => pool.view(NOON),
  explain: (id) => (id === "req_known" ? { id } : undefined),
  pages: createPages(async (file) => new Uint8Array(Buffer.from(`the file ${file}`))),
  live: () => (hasViewers ? undefined : new Response("live")),
  history: () => ({ minutes: [] }),
  guesses: {
    blockedUntil: (address, now) => guesses.blockedUntil(address, now),
    wrong: (address, now) => guesses.wrong(address, now),
  },
  unsaved: () => [],
  storeTrouble: () => undefined,
  totals: () => ({ requests: 0, errors: 0, rpm: 0, tokens: NO_USAGE }),
  waiting: () => 0,
  nowMs: () => nowMs,
  startedMs: NOON - 1000,
  newRequestId: () => `req_${++ids}`,
  onFault: (id, cause) => faults.push(`${id}: ${String(cause)}`),
};

const LISTENING: DoorOptions = {
  hostname: "127.0.0.1",
  port: 0,
  maxFrameBytes: 1000,
  maxHeaderBytes: 65_536,
  hasHttp2: true,
  idleSec: 10,
  certificate: undefined,
};

const door = await startServer(ports, LISTENING);
const port = door.port();
const root = `http://127.0.0.1:${port}`;

function keyed(): AccessOptions {
  return { clientKeys: [sha256(KEY)], adminKey: sha256(ADMIN), allowedOrigins: [ALLOWED] };
}

afterEach(() => {
  access = keyed();
  hasSockets = true;
  hasViewers = false;
  nowMs = NOON;
  guesses = createGuesses();
  answer = async () => new Response("served");
  answerLocally = async () => ({ echoed: true });
  faults.length = 0;
  turnedAway.length = 0;
});

afterAll(() => door.stop(true));

function ask(method: string, path: string, headers: Record<string, string> = {}) {
  return fetch(root + path, { method, headers, redirect: "manual" });
}

/** What a bare connection gets until it says `until`, or is closed. */
function raw(request: string, until: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.on("error", reject);
    socket.on("close", () => resolve(got));
    socket.on("data", (chunk) => {
      got += chunk.toString();
      if (got.includes(until)) socket.destroy();
    });
  });
}

/** Opens a WebSocket, and tells what the server's answer to the handshake said. */
async function knock(path: string): Promise<{ socket: WebSocket; headers: string }> {
  const headers = await raw(
    [
      `GET ${path} HTTP/1.1`,
      "host: localhost",
      `x-api-key: ${KEY}`,
      "connection: Upgrade",
      "upgrade: websocket",
      "sec-websocket-version: 13",
      "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
      "\r\n",
    ].join("\r\n"),
    "\r\n\r\n",
  );
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { "x-api-key": KEY } });
  return { socket, headers: headers.toLowerCase() };
}

/** The next message. */
function heard(socket: WebSocket): Promise<string> {
  return new Promise((resolve) => {
    socket.onmessage = ({ data }) => resolve(String(data));
  });
}

const called = (path: string): string => path.replace("*", "gpt-9").replace(/:\w+/g, "1");
const ROUTES = routesOf(ports).map(({ method, path, guard }) => ({
  method,
  path: called(path),
  guard,
}));
const OPEN = [
  "/",
  "/dashboard/app.js",
  "/dashboard/app.css",
  "/dashboard/icon.svg",
  "/health",
  "/health/live",
];

/** Every way in that the running app has, whoever made it; `ALL` stands for each method that no route takes. */
const WAYS = buildApp(ports, {}, door, 0).routes.map(({ method, path }) => ({
  method: method === "ALL" ? "PUT" : method,
  path: called(path === "*" ? "/*" : path),
}));

describe("every way in of the running app", () => {
  test("is asked below, those of the table among them", () => {
    for (const { method, path } of ROUTES) expect(WAYS).toContainEqual({ method, path });
  });

  const closed = WAYS.filter(({ path }) => !OPEN.includes(path));

  test.each(closed)("$method $path is closed without a key", async ({ method, path }) => {
    const statuses: number[] = [];
    for (const headers of [{}, { authorization: "Bearer wrong" }]) {
      statuses.push((await ask(method, path, headers)).status);
    }
    expect(statuses).toEqual([401, 401]);
    expect(turnedAway).toEqual(["missing_api_key", "invalid_api_key"]);
  });

  test.each(closed)(
    "$method $path is closed to a foreign page where there are no keys",
    async (way) => {
      access = { clientKeys: [], adminKey: undefined, allowedOrigins: [] };
      const { method, path } = way;
      for (const [headers, code] of [
        [{ origin: "https://evil.example" }, "foreign_origin"],
        [{ origin: "null" }, "foreign_origin"],
        // DNS rebinding: for the browser it is the page's own host.
        [{ host: "evil.example" }, "foreign_host"],
        [{ host: `evil.example:${port}`, origin: `http://evil.example:${port}` }, "foreign_origin"],
      ] as const) {
        const response = await ask(method, path, headers);
        expect([response.status, turnedAway.at(-1)]).toEqual([403, code]);
      }
    },
  );
});

describe("deny by default", () => {
  test("there are routes to ask", () => {
    expect(ROUTES.length).toBeGreaterThan(10);
    expect(ROUTES.filter(({ guard }) => guard === "open").map(({ path }) => path)).toEqual(OPEN);
  });

  test.each(ROUTES)("$method $path", async ({ method, path, guard }) => {
    const wrong = [{}, { authorization: "Bearer wrong" }, { "x-api-key": sha256(KEY) }];
    for (const headers of wrong) {
      const response = await ask(method, path, headers);
      expect(response.status === 401).toBe(guard !== "open");
      if (guard !== "open") expect(await response.text()).not.toContain("gpt-9");
    }
    const isOwners = guard === "admin" || guard === "credentials";
    const right = isOwners ? ADMIN : KEY;
    expect((await ask(method, path, { "x-api-key": right })).status).not.toBe(401);
    const other = isOwners ? KEY : ADMIN;
    const refused = (await ask(method, path, { "x-api-key": other })).status === 401;
    expect(refused).toBe(guard !== "open");
  });

  test("what does not exist, and methods that do not, need a key too", async () => {
    for (const [method, path] of [
      ["GET", "/dashboard"],
      ["GET", "/dashboard/main.tsx"],
      ["POST", "/"],
      ["GET", "/admin/accounts"],
      ["GET", "/v1/nothing"],
      ["DELETE", "/v1/responses"],
      ["PUT", "/stats"],
      ["OPTIONS", "/v1/responses"],
      ["GET", "//v1/models"],
      ["GET", "/v1/../stats"],
    ] as const) {
      expect((await ask(method, path)).status).toBe(401);
    }
  });

  test("the open routes tell nothing about accounts", async () => {
    const health = await ask("GET", "/health");
    expect([health.status, await health.json()]).toEqual([
      200,
      { status: "ok", accounts: { total: 1, ready: 1, cooling: 0, disabled: 0, needs_login: 0 } },
    ]);
    const live = await ask("GET", "/health/live");
    expect([live.status, await live.json()]).toEqual([200, { status: "ok" }]);
  });

  test("a refusal is worded in the protocol, with the request's id", async () => {
    const response = await ask("POST", "/v1/responses");
    const id = response.headers.get("x-request-id");
    expect(await response.json()).toMatchObject({
      error: { type: "invalid_request_error", code: "missing_api_key", request_id: id },
    });
  });

  test("who tries key after key on the owner's routes waits, whatever key comes meanwhile", async () => {
    const wrong = { "x-api-key": "a-guess" };
    for (let tries = 0; tries < MOST_WRONG; tries++) {
      expect((await ask("GET", "/stats", wrong)).status).toBe(401);
    }
    const slowed = await ask("GET", "/explain/req_known", { "x-api-key": ADMIN });
    expect([slowed.status, slowed.headers.get("retry-after")]).toEqual([429, "60"]);
    expect(await slowed.json()).toMatchObject({ error: { code: "too_many_wrong_keys" } });
    // Nothing was guessed here.
    expect((await ask("GET", "/stats")).status).toBe(401);
    expect((await ask("GET", "/v1/models", { "x-api-key": KEY })).status).toBe(200);
    expect((await ask("GET", "/health")).status).toBe(200);
    nowMs += PAUSE_MS;
    expect((await ask("GET", "/explain/req_known", { "x-api-key": ADMIN })).status).toBe(200);
  });

  test("a foreign page is refused where there are no keys, on open routes too", async () => {
    access = { clientKeys: [], adminKey: undefined, allowedOrigins: [] };
    for (const { method, path } of ROUTES) {
      expect((await ask(method, path, { origin: "https://evil.example" })).status).toBe(403);
      expect((await ask(method, path, { origin: "null" })).status).toBe(403);
    }
    expect((await ask("GET", "/v1/models", { origin: root })).status).toBe(200);
  });
});

describe("routes", () => {
  test("the live list is refused where too many watch already", async () => {
    const admin = { "x-api-key": ADMIN };
    expect(await (await ask("GET", "/admin/requests", admin)).text()).toBe("live");
    hasViewers = true;
    const refused = await ask("GET", "/admin/requests", admin);
    expect([refused.status, await refused.json()]).toMatchObject([
      429,
      { error: { code: "too_many_viewers" } },
    ]);
  });

  test.each(["/v1", "/codex/v1", "/backend-api/codex"])("%s has the whole API", async (prefix) => {
    const calls: ProxyCall[] = [];
    answer = async (call) => {
      calls.push(call);
      return new Response(`served ${call.requestId}`);
    };
    const turn = await ask("POST", `${prefix}/responses?beta=true`, AUTHORIZED);
    expect(await turn.text()).toBe(`served ${turn.headers.get("x-request-id")}`);
    expect(calls[0]?.protocol.name).toBe("responses");
    expect(calls[0]?.caller.scope).toBe(sha256(KEY));
    const list = await ask("GET", `${prefix}/models`, AUTHORIZED);
    expect(dict(await list.json())["object"]).toBe("list");
    const one = await ask("GET", `${prefix}/models/gpt-9`, AUTHORIZED);
    expect(await one.json()).toMatchObject({ id: "gpt-9" });
    const codex = await ask("GET", `${prefix}/models?client_version=1`, AUTHORIZED);
    expect(dict(await codex.json())).toContainKey("models");
    const claude = { ...AUTHORIZED, "anthropic-version": "2023-06-01" };
    expect(dict(await (await ask("GET", `${prefix}/models`, claude)).json())["has_more"]).toBe(
      false,
    );
  });

  describe.each(["/v1", "/codex/v1", "/backend-api/codex"])("%s/responses", (prefix) => {
    const handshake = (...headers: readonly string[]): Promise<string> =>
      raw(
        [
          `GET ${prefix}/responses HTTP/1.1`,
          "host: localhost",
          "connection: Upgrade",
          "upgrade: websocket",
          "sec-websocket-version: 13",
          "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
          ...headers,
          "\r\n",
        ].join("\r\n"),
        "}}",
      );
    const authorization = `authorization: Bearer ${KEY}`;

    test("opens a WebSocket, compressed where that is offered, under a request id", async () => {
      const { socket, headers } = await knock(`${prefix}/responses`);
      expect(headers).toContain("sec-websocket-extensions: permessage-deflate");
      expect(headers).toMatch(/x-request-id: req_\d+/);
      expect(await heard(socket)).toBe("hello");
      socket.send("what I say");
      expect(await heard(socket)).toBe("what I say");
      socket.close();
    });

    test("a frame beyond the bound ends the connection with 1009", async () => {
      const { socket } = await knock(`${prefix}/responses`);
      await heard(socket);
      const closed = new Promise<number>((resolve) => {
        socket.onclose = ({ code }) => resolve(code);
      });
      socket.send("x".repeat(1001));
      expect(await closed).toBe(1009);
    });

    test("B9-2, M1: 426 where WebSockets are switched off, never 404; a plain GET is a 405", async () => {
      hasSockets = false;
      const got = await handshake(authorization);
      expect(got).toStartWith("HTTP/1.1 426 ");
      expect(got).toContain("upgrade_required");
      for (const isOn of [true, false]) {
        hasSockets = isOn;
        const plain = await ask("GET", `${prefix}/responses`, AUTHORIZED);
        expect([plain.status, plain.headers.get("allow")]).toEqual([405, "POST"]);
      }
    });

    test("a handshake that is none gets 426 too", async () => {
      const got = await raw(
        `GET ${prefix}/responses HTTP/1.1\r\nhost: localhost\r\n${authorization}\r\n` +
          "connection: Upgrade\r\nupgrade: websocket\r\n\r\n",
        "}}",
      );
      expect(got).toStartWith("HTTP/1.1 426 ");
      expect(got).toMatch(/sec-websocket-version: 13/i);
    });

    test("without a key, or with a wrong one, it gets 401 and no hint", async () => {
      expect(await handshake()).toStartWith("HTTP/1.1 401 ");
      expect(await handshake("authorization: Bearer wrong")).toStartWith("HTTP/1.1 401 ");
    });

    test("who tries key after key on the owner's routes waits, whatever key comes meanwhile", async () => {
      const wrong = { "x-api-key": "a-guess" };
      for (let tries = 0; tries < MOST_WRONG; tries++) {
        expect((await ask("GET", "/stats", wrong)).status).toBe(401);
      }
      const slowed = await ask("GET", "/explain/req_known", { "x-api-key": ADMIN });
      expect([slowed.status, slowed.headers.get("retry-after")]).toEqual([429, "60"]);
      expect(await slowed.json()).toMatchObject({ error: { code: "too_many_wrong_keys" } });
      // Nothing was guessed here.
      expect((await ask("GET", "/stats")).status).toBe(401);
      expect((await ask("GET", "/v1/models", { "x-api-key": KEY })).status).toBe(200);
      expect((await ask("GET", "/health")).status).toBe(200);
      nowMs += PAUSE_MS;
      expect((await ask("GET", "/explain/req_known", { "x-api-key": ADMIN })).status).toBe(200);
    });

    test("a foreign page is refused where there are no keys, also by a name that leads here", async () => {
      access = { clientKeys: [], adminKey: undefined, allowedOrigins: [] };
      const from = (origin: string, host = "localhost") =>
        raw(
          [
            `GET ${prefix}/responses HTTP/1.1`,
            `host: ${host}`,
            "connection: Upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            `origin: ${origin}`,
            "\r\n",
          ].join("\r\n"),
          "}}",
        );
      expect(await from("https://evil.example")).toStartWith("HTTP/1.1 403 ");
      expect(await from("null")).toStartWith("HTTP/1.1 403 ");
      expect(await from("http://evil.example", "evil.example")).toStartWith("HTTP/1.1 403 ");
      expect(await from("http://localhost:3000")).toStartWith("HTTP/1.1 403 ");
      expect(turnedAway).toEqual(new Array(4).fill("foreign_origin"));
    });

    test("with keys, a page that has none is refused whoever's it is", async () => {
      expect(await handshake("origin: https://evil.example")).toStartWith("HTTP/1.1 401 ");
      expect(await handshake(`origin: ${ALLOWED}`)).toStartWith("HTTP/1.1 401 ");
    });
  });

  test.each([
    "/v1/models/gpt-9%2Dauto",
    "/v1/models/vendor%2Fmodel%20x",
    "/v1/models/vendor/model%20x",
  ])("%s is found by what it means", async (path) => {
    expect((await ask("GET", path, AUTHORIZED)).status).toBe(200);
  });

  test.each(["/v1/models/%zz", "/v1/models/%E0%A4%A", "/v1/models/%", "/v1/models/nope"])(
    "%s is a 404 and no fault of ours",
    async (path) => {
      const got = await raw(
        `GET ${path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${KEY}\r\n\r\n`,
        "}}",
      );
      expect(got).toStartWith("HTTP/1.1 404 ");
      expect(got).toContain("model_not_found");
      expect(faults).toEqual([]);
    },
  );

  test("an unknown path is 404 in JSON", async () => {
    const response = await ask("GET", "/v1/nothing?x=1", AUTHORIZED);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { code: "not_found", message: "There is nothing at /v1/nothing." },
    });
  });

  test.each([
    ["GET", "/v1/responses", "POST"],
    ["PUT", "/v1/responses", "POST, GET, HEAD"],
    ["POST", "/v1/models", "GET, HEAD"],
    ["DELETE", "/v1/models/gpt-9", "GET, HEAD"],
    ["PATCH", "/health", "GET, HEAD"],
  ])("%s %s is 405 with allow: %s", async (method, path, allow) => {
    const response = await ask(method, path, AUTHORIZED);
    expect([response.status, response.headers.get("allow")]).toEqual([405, allow]);
    expect(await response.json()).toMatchObject({ error: { code: "method_not_allowed" } });
  });

  test("HEAD does what GET does, without a body", async () => {
    for (const path of ["/health", "/health/live", "/v1/models", "/v1/models/gpt-9", "/v1/none"]) {
      const [head, get] = await Promise.all([
        ask("HEAD", path, AUTHORIZED),
        ask("GET", path, AUTHORIZED),
      ]);
      expect(head.status).toBe(get.status);
      expect(await head.text()).toBe("");
    }
    expect((await ask("HEAD", "/v1/models")).status).toBe(401);
  });

  test("/stats answers the owner, and refuses a bad query by name", async () => {
    const owner = { "api-key": ADMIN };
    expect(await (await ask("GET", "/stats?page=1", owner)).json()).toMatchObject({
      summary: { total: 1, uptime: 1 },
      pagination: { page: 1 },
    });
    const bad = await ask("GET", "/stats?page_size=9999", owner);
    expect([bad.status, dict(dict(await bad.json())["error"])["param"]]).toEqual([
      400,
      "page_size",
    ]);
  });
});

test("/metrics is for whoever holds the owner's key, and is text as Prometheus reads it", async () => {
  expect((await ask("GET", "/metrics", AUTHORIZED)).status).toBe(401);
  const response = await ask("GET", "/metrics", { authorization: `Bearer ${ADMIN}` });
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  expect(await response.text()).toBe("a_metric 1\n");
  access = { ...keyed(), adminKey: undefined };
  expect((await ask("GET", "/metrics", AUTHORIZED)).status).toBe(200);
});

describe("every answer", () => {
  test("carries x-request-id, errors in the body too", async () => {
    const seen = new Set<string | null>();
    const asked: [string, string, Record<string, string>][] = [
      ["GET", "/health", {}],
      ["GET", "/v1/models", AUTHORIZED],
      ["GET", "/v1/models", {}],
      ["GET", "/nothing", AUTHORIZED],
      ["PUT", "/v1/models", AUTHORIZED],
      ["GET", "/v1/models/none", AUTHORIZED],
      ["GET", "/stats?page=0", { "x-api-key": ADMIN }],
      ["POST", "/v1/responses", AUTHORIZED],
      ["OPTIONS", "/v1/responses", { origin: ALLOWED }],
    ];
    for (const [method, path, headers] of asked) {
      const response = await ask(method, path, headers);
      const id = response.headers.get("x-request-id");
      expect(id).toStartWith("req_");
      seen.add(id);
      if (response.status < 400) continue;
      expect(dict(dict(await response.json())["error"])["request_id"]).toBe(id);
    }
    expect(seen.size).toBe(asked.length);
  });

  test("carries its id where Claude's clients look for it too, whatever became of the request", async () => {
    const claude = { ...AUTHORIZED, "anthropic-version": "2023-06-01" };
    answer = async () => new Response("served");
    const asked: [string, string, Record<string, string>][] = [
      ["POST", "/v1/messages", AUTHORIZED],
      ["POST", "/v1/messages", {}],
      ["PUT", "/v1/messages", AUTHORIZED],
      ["GET", "/v1/models", claude],
      ["GET", "/v1/nothing", claude],
    ];
    for (const [method, path, headers] of asked) {
      const response = await ask(method, path, headers);
      const id = response.headers.get("x-request-id");
      expect(id).toStartWith("req_");
      expect(response.headers.get("request-id")).toBe(id);
    }
    const plain = await ask("POST", "/v1/responses", AUTHORIZED);
    expect(plain.headers.has("request-id")).toBe(false);
  });

  test("a fault of ours is a 500 with the id, told once", async () => {
    answer = () => Promise.reject(new Error("a bug"));
    const response = await ask("POST", "/v1/responses", AUTHORIZED);
    const id = response.headers.get("x-request-id");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("a bug");
    expect(faults).toEqual([`${id}: Error: a bug`]);
  });

  test("an address that is none is the client's mistake, or does not matter", async () => {
    const get = (line: string, host: string) =>
      raw(`GET ${line} HTTP/1.1\r\nhost: ${host}\r\nx-api-key: ${KEY}\r\n\r\n`, "}");
    expect(await get("/health", "a b")).toStartWith("HTTP/1.1 200 ");
    expect(await get("/v1/models/gpt-9", "%%%")).toStartWith("HTTP/1.1 400 ");
    expect(await get("/nothing", "[::")).toStartWith("HTTP/1.1 400 ");
    expect(faults).toEqual([]);
  });

  test("the connection outlives errors", async () => {
    const one = `GET /nothing HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${KEY}\r\n\r\n`;
    const post = `POST /v1/models HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${KEY}\r\ncontent-length: 5\r\n\r\nhello`;
    const last = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    const got = await raw(one + post + last, '"ok"');
    expect(got.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 404", "HTTP/1.1 405", "HTTP/1.1 200"]);
  });
});

describe("CORS", () => {
  test("a preflight of an allowed origin, on any path, needs no key", async () => {
    const response = await ask("OPTIONS", "/v1/responses", {
      origin: ALLOWED,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,x-stainless-os",
    });
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "access-control-allow-origin": ALLOWED,
      "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
      "access-control-allow-headers": "authorization,x-stainless-os",
    });
  });

  test("answers to an allowed origin may be read there, errors too", async () => {
    for (const headers of [AUTHORIZED, {}]) {
      const response = await ask("GET", "/v1/models", { ...headers, origin: ALLOWED });
      expect(response.headers.get("access-control-allow-origin")).toBe(ALLOWED);
      expect(response.headers.get("access-control-expose-headers")).toContain("x-request-id");
      expect(response.headers.get("vary")).toContain("origin");
    }
  });

  test.each(["https://evil.example", "null", `${ALLOWED}.evil.example`])(
    "%s gets nothing",
    async (origin) => {
      const preflight = await ask("OPTIONS", "/v1/responses", { origin });
      expect(preflight.status).toBe(401);
      const get = await ask("GET", "/v1/models", { ...AUTHORIZED, origin });
      expect(get.status).toBe(200);
      for (const { headers } of [preflight, get]) {
        expect([...headers.keys()].some((name) => name.startsWith("access-control"))).toBe(false);
      }
    },
  );

  test("without allowed-origins there are no CORS headers at all", async () => {
    access = { ...keyed(), allowedOrigins: [] };
    const response = await ask("GET", "/v1/models", { ...AUTHORIZED, origin: ALLOWED });
    expect([...response.headers.keys()].some((name) => name.startsWith("access-control"))).toBe(
      false,
    );
  });
});

describe("clients that leave, over a real connection", () => {
  const DELTA = steps(step("response.output_text.delta", { delta: "x".repeat(500) }));
  const BODY = JSON.stringify({ model: "gpt-9", input: "hi", stream: true });

  /** A proxy whose turns never end, and the count of what is open. */
  function endless(earlyHeartbeatMs: number, begin: (job: Job) => Promise<void>) {
    const open = { turns: 0, requests: 0 };
    const statuses = new Set<number>();
    let hear = (): void => {};
    const proxy = createProxy({
      clock: systemClock,
      options: () => ({
        maxBodyBytes: 10_000,
        clientIdleMs: 0,
        requestMs: 0,
        heartbeatMs: 0,
        earlyHeartbeatMs,
      }),
      resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      onFault: (id, cause) => faults.push(`${id}: ${String(cause)}`),
      ...UNLIMITED,
      onEnd: ({ status }) => {
        open.requests -= 1;
        statuses.add(status);
        hear();
      },
      execute: async (job) => {
        await begin(job);
        const reason = job.stop.reason();
        if (reason !== undefined) return { ok: false, failure: reason };
        open.turns += 1;
        let isClosed = false;
        const turn: Watched = {
          headers: {},
          tag: "t",
          read: async () => {
            await new Promise((resolve) => setImmediate(resolve));
            return isClosed ? { type: "end" } : DELTA;
          },
          close: () => {
            if (!isClosed) open.turns -= 1;
            isClosed = true;
            hear();
          },
        };
        return { ok: true, turn, body: undefined };
      },
    });
    answer = (call) => {
      open.requests += 1;
      return proxy(call);
    };
    return {
      open,
      statuses,
      /** Resolves when nothing is open any more. */
      quiet: () =>
        new Promise<void>((resolve) => {
          hear = () => {
            if (open.turns === 0 && open.requests === 0) resolve();
          };
          hear();
        }),
    };
  }

  /** Sends a turn and leaves after `chunks` pieces of the answer. */
  async function leaveAfter(chunks: number): Promise<void> {
    const leaving = new AbortController();
    const { signal } = leaving;
    const asked = fetch(`${root}/v1/responses`, {
      method: "POST",
      headers: AUTHORIZED,
      body: BODY,
      signal,
    });
    if (chunks === 0) {
      // Somewhere between the connection and the headers.
      await new Promise((resolve) => setImmediate(resolve));
      leaving.abort();
    }
    const reader = await asked.then(
      (response) => response.body?.getReader(),
      () => undefined,
    );
    for (let read = 0; read < chunks; read++) await reader?.read();
    leaving.abort();
  }

  test.each([
    ["at once", 0],
    ["after an early sign of life", 1],
  ])(
    "hundreds of them leave nothing open, the answer begun %s",
    async (_name, earlyHeartbeatMs) => {
      const begin = async (): Promise<void> => {
        if (earlyHeartbeatMs > 0)
          await new Promise((resolve) => systemClock.after(2, () => resolve(undefined)));
      };
      const { quiet, statuses, open } = endless(earlyHeartbeatMs, begin);
      for (let round = 0; round < 20; round++) {
        await Promise.all(Array.from({ length: 15 }, (_, index) => leaveAfter(index % 5)));
      }
      await quiet();
      expect(open).toEqual({ turns: 0, requests: 0 });
      expect([...statuses]).toEqual([499]);
      expect(faults).toEqual([]);
      expect((await ask("GET", "/health/live")).status).toBe(200);
    },
  );

  test("a client that waits early hears a sign of life while the answer is fought for", async () => {
    const never = new Promise<void>(() => {});
    endless(1, (job) =>
      Promise.race([
        never,
        new Promise<void>((resolve) => job.stop.signal.addEventListener("abort", () => resolve())),
      ]),
    );
    const leaving = new AbortController();
    const response = await fetch(`${root}/v1/responses`, {
      method: "POST",
      headers: AUTHORIZED,
      body: BODY,
      signal: leaving.signal,
    });
    const { value } = (await response.body?.getReader().read()) ?? {};
    expect(new TextDecoder().decode(value)).toStartWith(": ping\n\n");
    leaving.abort();
  });
});

describe("listening", () => {
  test("a port in use is an error, not shared without a word", async () => {
    await expect(startServer(ports, { ...LISTENING, port })).rejects.toThrow();
  });

  test("no host name means all addresses", async () => {
    const everywhere = await startServer(ports, { ...LISTENING, hostname: undefined });
    const at = (host: string) => fetch(`http://${host}:${everywhere.port()}/health/live`);
    expect((await at("127.0.0.1")).status).toBe(200);
    await everywhere.stop(true);
  });
});

describe("a local route", () => {
  test("is answered under every prefix, and not by the proxy", async () => {
    answer = async () => new Response("a turn", { status: 500 });
    for (const prefix of ["/v1", "/codex/v1", "/backend-api/codex"]) {
      const response = await ask("POST", `${prefix}/echo?beta=true`, AUTHORIZED);
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({ echoed: true });
      expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    }
  });

  test("words its refusals itself", async () => {
    answerLocally = async () => refuse(422, "no", "No.");
    const refused = await ask("POST", "/v1/echo", AUTHORIZED);
    const stranger = await ask("POST", "/v1/echo");
    const wrong = await ask("GET", "/v1/echo", AUTHORIZED);
    expect([refused, stranger, wrong].map(({ status }) => status)).toEqual([422, 401, 405]);
    for (const { headers } of [refused, stranger, wrong])
      expect(headers.get("x-shape")).toBe("own");
  });
});

describe("/explain", () => {
  const asked = { authorization: `Bearer ${ADMIN}` };

  test("answers the record of a request, to whoever may see the accounts", async () => {
    const known = await ask("GET", "/explain/req_known", asked);
    expect([known.status, await known.json()]).toEqual([200, { id: "req_known" }]);
    expect((await ask("GET", "/explain/req_known", AUTHORIZED)).status).toBe(401);
  });

  test("says in words that there is none, and what there is", async () => {
    const id = "x".repeat(500);
    for (const path of ["/explain/req_unknown", "/explain/", "/explain/%zz", `/explain/${id}`]) {
      const unknown = await ask("GET", path, asked);
      const { error } = dict(await unknown.json());
      expect([unknown.status, dict(error)["code"]]).toEqual([404, "request_not_found"]);
      expect(String(dict(error)["message"])).toContain("the last 1000 are kept");
      expect(String(dict(error)["message"])).not.toContain(id);
    }
  });
});
