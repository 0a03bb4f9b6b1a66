import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { dict } from "../../src/wire/json.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { CODEX, call, lastType } from "../support/call.ts";
import { createManualClock } from "../support/clock.ts";
import { elapse } from "../support/drill.ts";
import { startForwarder } from "../support/forwarder.ts";
import { startHttpProxy } from "../support/proxies.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { openLine, postBytes } from "../support/socket.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(120_000);

let backend: FakeBackend;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

/** `connections` of `/stats`. */
async function connectionsOf(proxy: TestProxy) {
  const response = await fetch(`${proxy.url}/stats`, {
    headers: { authorization: `Bearer ${KEY}` },
  });
  return dict(dict(await response.json())["connections"]);
}

function postTurn(proxy: TestProxy, words: string): Buffer {
  const headers = { authorization: `Bearer ${KEY}`, ...CODEX };
  return postBytes(`${proxy.url}/v1/responses`, JSON.stringify(turnBody(words)), headers);
}

describe("max-conns-per-host", () => {
  test("keeps further turns waiting, and says so", async () => {
    const account = backend.account("wait");
    account.script({ kind: "hang-mid-text" });
    const config = { "max-conns-per-host": 1, "account-wait-sec": 60 };
    await using proxy = await startProxy({ backend, accounts: [account], config });
    const first = await openLine(proxy.url);
    first.send(postTurn(proxy, "The first"));
    await within("the first has begun", first.hears("output_text.delta"));
    const second = call(proxy, { body: turnBody("The second"), headers: CODEX });
    await until("it is in the log", () => proxy.logs().includes("max-conns-per-host"));
    expect(await connectionsOf(proxy)).toEqual({
      limit: 1,
      in_use: 1,
      http2_streams: 0,
      idle_limit: 8,
      waiting: 1,
      waited_total: 1,
      waited_long_total: 1,
    });
    first.leave("close");
    expect(lastType((await within("the second is served", second)).events)).toBe(
      "response.completed",
    );
    await until("all is given back", async () => (await connectionsOf(proxy))["in_use"] === 0);
    expect(proxy.logs().match(/max-conns-per-host/g)).toHaveLength(1);
  });

  test("tells a client that waits in vain which limit it was", async () => {
    const account = backend.account("vain");
    account.script({ kind: "hang-mid-text" });
    const config = { "max-conns-per-host": 1, "account-wait-sec": 0 };
    await using proxy = await startProxy({ backend, accounts: [account], config });
    const first = await openLine(proxy.url);
    first.send(postTurn(proxy, "The first"));
    await within("the first has begun", first.hears("output_text.delta"));
    const refused = await call(proxy, { body: turnBody("Another") });
    expect([refused.status, refused.error["code"]]).toEqual([429, "rate_limit_exceeded"]);
    expect(refused.error["message"]).toContain("max-conns-per-host allows (1)");
    first.leave("close");
  });

  test("is never exceeded at the backend, whenever and however clients leave", async () => {
    const LIMIT = 3;
    const accounts = ["a", "b"].map((name) => backend.account(`limit-${name}`));
    await using router = await startForwarder(backend.url);
    const config = {
      "base-url": router.url,
      "max-conns-per-host": LIMIT,
      "account-wait-sec": 60,
      "health-check-start-delay": 0,
    };
    await using proxy = await startProxy({ backend, accounts, config, binary: true });
    const random = createRandom(20_261_128);
    const outcomes: readonly Outcome[] = [
      { kind: "ok" },
      { kind: "hang-before-headers" },
      { kind: "hang-after-created" },
      { kind: "hang-mid-text" },
      { kind: "cut-mid-text" },
      { kind: "fault", name: "500" },
    ];
    for (let round = 0; round < 12; round++) {
      for (const account of accounts) {
        account.always(outcomes[Math.floor(random() * outcomes.length)]);
      }
      const clients = Array.from({ length: 20 }, async (_, at) => {
        const line = await openLine(proxy.url);
        line.send(postTurn(proxy, `Round ${round}, client ${at}`));
        await Promise.race([line.closed, Bun.sleep(random() * 150)]);
        line.leave(random() < 0.5 ? "close" : "reset");
      });
      await within(`round ${round}`, Promise.all(clients), 30_000);
    }
    for (const account of accounts) account.always(undefined);
    await until("all is given back", async () => (await connectionsOf(proxy))["in_use"] === 0);
    expect(await connectionsOf(proxy)).toMatchObject({ waiting: 0, limit: LIMIT });
    expect(router.mostOpen()).toBe(LIMIT);
    const answers = Array.from({ length: 10 }, () => call(proxy, { headers: CODEX }));
    for (const answer of await Promise.all(answers)) {
      expect(lastType(answer.events)).toBe("response.completed");
    }
    expect(router.mostOpen()).toBe(LIMIT);
  });

  test("turns that end well use one connection again and again", async () => {
    const account = backend.account("again");
    await using router = await startForwarder(backend.url);
    const config = { "base-url": router.url, "max-conns-per-host": 1 };
    await using proxy = await startProxy({ backend, accounts: [account], config });
    await Promise.all(Array.from({ length: 25 }, () => call(proxy, { headers: CODEX })));
    expect([router.opened(), router.mostOpen()]).toEqual([1, 1]);
  });
});

describe("with proxies", () => {
  test("max-conns-per-host is one limit over all ways out", async () => {
    const [direct, proxied] = [backend.account("way-direct"), backend.account("way-proxied")];
    for (const account of [direct, proxied]) account.always({ kind: "hang-mid-text" });
    await using server = await startHttpProxy();
    const config = { "max-conns-per-host": 2, "account-wait-sec": 60 };
    await using proxy = await startProxy({ backend, accounts: [direct], config });
    await proxy.put("proxied.json", { ...proxied.file(), proxy_url: server.url });
    await until("both are there", async () => (await proxy.stats()).accounts.length === 2);
    const lines = await Promise.all(Array.from({ length: 5 }, () => openLine(proxy.url)));
    for (const [at, line] of lines.entries()) line.send(postTurn(proxy, `Turn ${at}`));
    await until("the others wait", async () => (await connectionsOf(proxy))["waiting"] === 3);
    expect(await connectionsOf(proxy)).toMatchObject({ in_use: 2, limit: 2 });
    await until("two are at the backend", () => backend.openStreams() === 2);
    // One of the two went through the proxy.
    expect((await proxy.stats()).accounts.map(({ inFlight }) => inFlight)).toEqual([1, 1]);
    for (const line of lines) line.leave("close");
    await until("all is given back", async () => (await connectionsOf(proxy))["in_use"] === 0);
  });

  test("signs of life go through proxy-url, and none around it", async () => {
    const clock = createManualClock(Date.now());
    const quiet = await startBackend({ now: clock.now });
    try {
      const account = quiet.account("behind");
      await using server = await startHttpProxy();
      await using router = await startForwarder(quiet.url);
      // The proxy is told this name; nobody else knows the way.
      const config = { "base-url": router.url, "proxy-url": server.url };
      await using proxy = await startProxy({ backend: quiet, accounts: [account], config, clock });
      await elapse({ clock, backend: quiet, proxy }, 3 * 60_000);
      const signs = quiet.requests.filter(({ path }) => path === "/backend-api/codex");
      expect(signs.length).toBeGreaterThanOrEqual(16);
      const asked = server.asked.filter((line) =>
        /^(?:HEAD|GET) .*\/backend-api\/codex$/.test(line),
      );
      expect(asked.length).toBeGreaterThan(0);
    } finally {
      await quiet.stop();
    }
  });
});

describe("keepalive-interval", () => {
  const MINUTE = 60_000;

  /** The signs of life that a backend has seen. */
  const signs = ({ requests }: FakeBackend) =>
    requests.filter(({ path }) => path === "/backend-api/codex");

  test("keeps connections warm, without a credential and through the same way as turns", async () => {
    const clock = createManualClock(Date.now());
    const quiet = await startBackend({ now: clock.now });
    try {
      const account = quiet.account("warm");
      await using router = await startForwarder(quiet.url);
      const config = { "base-url": router.url, "oauth-issuer": quiet.issuer };
      await using proxy = await startProxy({ backend: quiet, accounts: [account], config, clock });
      await call(proxy, { headers: CODEX });
      await elapse({ clock, backend: quiet, proxy }, 10 * MINUTE);
      // A round is waited for before the next minute begins.
      expect(signs(quiet).length).toBeGreaterThanOrEqual(64);
      for (const { headers } of signs(quiet)) {
        expect(Object.keys(headers).filter((name) => /auth|account|session/.test(name))).toEqual(
          [],
        );
      }
      const opened = router.opened();
      // Once more than there are, where an answer to a HEAD ends its connection.
      expect(opened).toBeLessThanOrEqual(16);
      expect(lastType((await call(proxy, { headers: CODEX })).events)).toBe("response.completed");
      expect(router.opened()).toBe(opened);
    } finally {
      await quiet.stop();
    }
  });

  test.each([
    ["there is no account", [], {}],
    ["it is 0", ["off"], { "keepalive-interval": 0 }],
    ["no connection is kept", ["none"], { "max-idle-conns-per-host": 0 }],
  ])("sends nothing where %s", async (_name, names, config) => {
    const clock = createManualClock(Date.now());
    const quiet = await startBackend({ now: clock.now });
    try {
      const accounts = names.map((name) => quiet.account(name));
      await using proxy = await startProxy({ backend: quiet, accounts, config, clock });
      await elapse({ clock, backend: quiet, proxy }, 3 * MINUTE);
      expect(signs(quiet)).toEqual([]);
    } finally {
      await quiet.stop();
    }
  });
});

test.each(["fin", "rst"] as const)(
  "a connection that the backend has ended by a %s while it was idle costs no turn",
  async (how) => {
    const account = backend.account(`stale-${how}`);
    await using router = await startForwarder(backend.url);
    const config = { "base-url": router.url };
    await using proxy = await startProxy({ backend, accounts: [account], config });
    for (let round = 0; round < 3; round++) {
      expect(lastType((await call(proxy, { headers: CODEX })).events)).toBe("response.completed");
      router.cut(how);
      await until("they are gone", () => router.open() === 0);
    }
    expect(router.opened()).toBeGreaterThanOrEqual(3);
    expect(proxy.logs()).not.toContain("tried=");
    const turns = backend.turns().filter(({ account: name }) => name === account.name);
    expect(turns).toHaveLength(3);
  },
);

/** Numbers from 0 to 1 that are the same each time. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
