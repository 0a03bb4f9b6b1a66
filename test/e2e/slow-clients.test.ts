import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { call, readAnswer } from "../support/call.ts";
import { createManualClock } from "../support/clock.ts";
import { openH2 } from "../support/h2.ts";
import { hasOpenssl, makeCertificate, type Pem } from "../support/pem.ts";
import { buildIfMissing, KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { openLine, postBytes } from "../support/socket.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

const NOON = Date.UTC(2026, 10, 20, 12);
const AUTHORIZED = { authorization: `Bearer ${KEY}` };
const LEFT_LIMIT_MS = 1000;
const IS_LINUX = process.platform === "linux";

let backend: FakeBackend;
let pem: Pem | undefined;
beforeAll(async () => {
  await buildIfMissing();
  backend = await startBackend();
  pem = hasOpenssl ? await makeCertificate(90) : undefined;
});
afterAll(async () => {
  await pem?.[Symbol.asyncDispose]();
  await backend.stop();
});

let names = 0;
const freshAccount = (): FakeAccount => backend.account(`slow-${++names}`);

/** A turn as a client sees it, whatever it came by. */
type Turn = {
  readonly hears: (words: string) => Promise<void>;
  readonly received: () => string;
  readonly pause: () => void;
  readonly leave: () => void;
};

type Way = {
  readonly name: string;
  readonly config: () => Record<string, unknown>;
  /** Opens a connection of its own and begins a turn on it. */
  readonly begin: (proxy: TestProxy, body?: string) => Promise<Turn>;
};

const overH2 = async (proxy: TestProxy, body?: string): Promise<Turn> => {
  const client = openH2(proxy.url);
  return client.post(body === undefined ? {} : { body });
};

const WAYS: readonly Way[] = [
  {
    name: "HTTP/1.1",
    config: () => ({}),
    begin: async (proxy, body = JSON.stringify(turnBody())) => {
      const line = await openLine(proxy.url);
      line.send(postBytes(`${proxy.url}/v1/responses`, body, AUTHORIZED));
      return { ...line, leave: () => line.leave("close") };
    },
  },
  { name: "h2c", config: () => ({}), begin: overH2 },
  ...(hasOpenssl
    ? [
        {
          name: "HTTP/2 over TLS",
          config: () => ({ "tls-cert": pem?.certPath ?? "", "tls-key": pem?.keyPath ?? "" }),
          begin: overH2,
        },
      ]
    : []),
];

describe.each(WAYS)("over $name", ({ config, begin }) => {
  const serveTurns = async (proxy: TestProxy): Promise<void> => {
    for (let turn = 0; turn < 60; turn++) {
      const other = await begin(proxy);
      await other.hears("response.completed");
      other.leave();
    }
  };
  let proxy: TestProxy;
  let account: FakeAccount;
  beforeAll(async () => {
    account = freshAccount();
    proxy = await startProxy({ backend, accounts: [account], config: config(), binary: true });
  });
  afterAll(() => proxy.stop());

  test("a client that leaves in the middle of a turn stops the backend at once", async () => {
    account.script({ kind: "hang-mid-text" }, { kind: "hang-mid-text" });
    const [leaving, staying] = [await begin(proxy), await begin(proxy)];
    await Promise.all([leaving, staying].map((turn) => turn.hears("output_text.delta")));
    expect(backend.openStreams()).toBe(2);
    leaving.leave();
    const isOne = backend.until(() => backend.openStreams() === 1);
    await within("the backend is left", isOne, LEFT_LIMIT_MS);
    staying.leave();
    const isNone = backend.until(() => backend.openStreams() === 0);
    await within("the backend is left again", isNone, LEFT_LIMIT_MS);
    await until("it is logged", () => (proxy.logs().match(/ status=499 /g) ?? []).length === 2);
  });

  test("a client that leaves before anything has come stops the backend at once", async () => {
    account.script({ kind: "hang-before-headers" });
    const turn = await begin(proxy);
    await backend.until(() => backend.openRequests() === 1);
    turn.leave();
    const isNone = backend.until(() => backend.openRequests() === 0);
    await within("the backend is left", isNone, LEFT_LIMIT_MS);
  });

  test.skipIf(!IS_LINUX)("a client that does not read is not read for (needs /proc)", async () => {
    account.script(
      ...Array.from({ length: 4 }, () => ({ kind: "flood" as const, bytes: 2 ** 40 })),
    );
    const turns = await Promise.all(Array.from({ length: 4 }, () => begin(proxy)));
    for (const turn of turns) {
      await turn.hears("output_text.delta");
      turn.pause();
    }
    // A program that has done little yet grows with whatever it does.
    await serveTurns(proxy);
    const before = await residentBytes(proxy);
    // Others are served meanwhile, which gives the floods the time to come by hundreds of megabytes.
    for (let round = 0; round < 8; round++) await serveTurns(proxy);
    expect((await residentBytes(proxy)) - before).toBeLessThan(50e6);
    for (const turn of turns) turn.leave();
    await backend.until(() => backend.openStreams() === 0);
  });
});

/** The memory of the program that is really there. */
async function residentBytes({ pid }: TestProxy): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

test("several requests on one connection: one leaves, the others go on", async () => {
  const account = freshAccount();
  account.script({ kind: "hang-mid-text" }, { kind: "hang-mid-text" });
  await using proxy = await startProxy({ backend, accounts: [account] });
  using h2 = openH2(proxy.url);
  const [leaving, staying] = [h2.post(), h2.post()];
  await Promise.all([leaving.hears("output_text.delta"), staying.hears("output_text.delta")]);
  leaving.leave();
  await within(
    "one is gone",
    backend.until(() => backend.openStreams() === 1),
  );
  expect(await h2.post().whole()).toContain("response.completed");
  expect(backend.openStreams()).toBe(1);
});

describe("real time", () => {
  // Waited for in one go, since the runtime's own clocks cannot be moved by hand.
  test("what is idle ends, heads that trickle end, and a silent turn never does (M12)", async () => {
    const account = freshAccount();
    account.script({ kind: "hang-after-created" }, { kind: "hang-after-created" });
    await using proxy = await startProxy({
      backend,
      accounts: [account],
      binary: true,
      // No signs of life: nothing at all moves on the connection of a silent turn.
      config: { "listen-idle-timeout-sec": 4, "heartbeat-sec": 0 },
    });
    const silent = await openLine(proxy.url);
    silent.send(postBytes(`${proxy.url}/v1/responses`, JSON.stringify(turnBody()), AUTHORIZED));
    using silentH2 = openH2(proxy.url);
    const silentCall = silentH2.post();
    await backend.until(() => backend.openStreams() === 2);
    // Another request of the same connection ends: that is no reason to end the silent one.
    expect(await silentH2.post().whole()).toContain("response.completed");

    const finished = async (path: string, body: string): Promise<void> => {
      const line = await openLine(proxy.url);
      line.send(postBytes(`${proxy.url}${path}`, body, AUTHORIZED));
      await line.hears("\r\n\r\n");
      await within(`the connection of ${path} ${body.slice(0, 20)} ends`, line.closed, 20_000);
    };
    const trickled = async (begin: string): Promise<void> => {
      const line = await openLine(proxy.url);
      line.send(begin);
      const drip = setInterval(() => line.send("a"), 500);
      await within("a head that never ends", line.closed, 20_000).finally(() =>
        clearInterval(drip),
      );
    };
    const h2 = openH2(proxy.url);
    await h2.get("/health/live").status();
    const whole = { model: "gpt-5.5", input: "hi", stream: false };
    await Promise.all([
      finished("/v1/responses", JSON.stringify(turnBody("Say hi"))),
      finished("/v1/responses", JSON.stringify(whole)),
      finished("/v1/responses", '{"model":7}'),
      finished("/v1/messages/count_tokens", "{}"),
      finished("/check-quota", "{}"),
      finished("/admin/accounts", "{}"),
      trickled("GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-drip: "),
      trickled("GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\nx-drip: "),
      trickled(""),
      within("the idle HTTP/2 connection ends", h2.closed, 20_000),
    ]);
    expect(backend.openStreams()).toBe(2);
    expect(silentCall.received()).toBe("");
    expect(proxy.logs()).not.toContain("status=499");
    silent.leave("close");
  });
});

// listen-idle-timeout-sec
const IDLE_MS = 180_000;

describe("a request body that comes in drops", () => {
  test.each(["/v1/responses", "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"])(
    "is answered with 408 in the words of %s, over HTTP/1.1 and HTTP/2, and logged once",
    async (path) => {
      const clock = createManualClock(NOON);
      const account = freshAccount();
      await using proxy = await startProxy({ backend, accounts: [account], clock });
      const line = await openLine(proxy.url);
      line.send(
        `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${KEY}\r\ncontent-length: 4096\r\n\r\n{`,
      );
      const chunked = await openLine(proxy.url);
      chunked.send(
        `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${KEY}\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n`,
      );
      using h2 = openH2(proxy.url);
      const call = h2.post({ path, body: "" });
      call.send("{");
      await haveArrived(proxy);
      clock.advance(IDLE_MS + 999);
      expect(call.received() + chunked.received() + line.received()).not.toContain("408");
      clock.advance(1001);
      await Promise.all([line.closed, chunked.closed]);
      expect(await call.status()).toBe(408);
      for (const text of [line.received(), chunked.received()]) {
        expect(text).toStartWith("HTTP/1.1 408 ");
        expect(text).toMatch(/^connection: close\r$/im);
        expect(text).toContain("listen-idle-timeout-sec");
      }
      const { error } = JSON.parse(await call.whole());
      expect(error.message).toContain("listen-idle-timeout-sec");
      if (path.startsWith("/v1/messages")) expect(error.type).toBe("invalid_request_error");
      else expect(error.code).toBe("request_timeout");
      const lines = proxy.logs().match(/ status=408 /g) ?? [];
      expect(lines).toHaveLength(path.endsWith("count_tokens") ? 0 : 3);
      expect(backend.turns().filter(({ account: by }) => by === account.name)).toEqual([]);
      // The next request of the same HTTP/2 connection is served.
      expect(await h2.post().status()).toBe(200);
    },
  );
});

/** What was sent before this call has been read: requests are read in the order of their coming. */
async function haveArrived(proxy: TestProxy): Promise<void> {
  for (let round = 0; round < 5; round++) await call(proxy, { path: "/health/live" });
}

describe("a reader", () => {
  const QUARTER_MS = IDLE_MS / 4;

  test.each(WAYS.filter(({ name }) => name !== "HTTP/2 over TLS"))(
    "who takes nothing any more holds no account for ever, over $name",
    async ({ begin }) => {
      const clock = createManualClock(NOON);
      const account = freshAccount();
      await using proxy = await startProxy({ backend, accounts: [account], clock });
      account.script({ kind: "flood", bytes: 2 ** 40 });
      const turn = await begin(proxy);
      await turn.hears("output_text.delta");
      turn.pause();
      await until("the account is in use", async () => (await inFlight(proxy, account)) === 1);
      // What the kernel takes on its behalf is soon full. Time is moved only after that.
      await until("it is given up", async () => {
        clock.advance(QUARTER_MS);
        return (await inFlight(proxy, account)) === 0;
      });
      await within(
        "the backend is left",
        backend.until(() => backend.openStreams() === 0),
      );
      turn.leave();
      const logged = [...proxy.logs().matchAll(/ id=(\S+) .* status=499 /g)];
      expect(logged).toHaveLength(1);
      const told = await fetch(`${proxy.url}/explain/${logged[0]?.[1]}`, { headers: AUTHORIZED });
      expect(await told.text()).toContain("The client took nothing of its answer");
      const again = await call(proxy);
      expect(again.status).toBe(200);
    },
  );

  test.skipIf(!IS_LINUX)(
    "who takes nothing is cut off within seconds of that (needs /proc)",
    async () => {
      const clock = createManualClock(NOON);
      const account = freshAccount();
      await using proxy = await startProxy({ backend, accounts: [account], clock });
      account.script({ kind: "flood", bytes: 2 ** 40 });
      const line = await openLine(proxy.url);
      line.send(postBytes(`${proxy.url}/v1/responses`, JSON.stringify(turnBody()), AUTHORIZED));
      await line.hears("output_text.delta");
      line.pause();
      const { port } = new URL(proxy.url);
      await until("the kernel is full", () => hasUnsent(port));
      await until("it is given up", async () => {
        clock.advance(QUARTER_MS);
        return (await inFlight(proxy, account)) === 0;
      });
      await until("the connection is gone", async () => !(await hasUnsent(port)), 20_000);
      line.leave("close");
    },
  );

  test("is not taken for one where request-timeout-sec ends the turn first", async () => {
    const clock = createManualClock(NOON);
    const account = freshAccount();
    const config = { "request-timeout-sec": 60, "heartbeat-sec": 0 };
    await using proxy = await startProxy({ backend, accounts: [account], clock, config });
    account.script({ kind: "flood", bytes: 2 ** 40 });
    const line = await openLine(proxy.url);
    line.send(postBytes(`${proxy.url}/v1/responses`, JSON.stringify(turnBody()), AUTHORIZED));
    await line.hears("output_text.delta");
    line.pause();
    clock.advance(60_000);
    await until("the account is free", async () => (await inFlight(proxy, account)) === 0);
    await within(
      "the backend is left",
      backend.until(() => backend.openStreams() === 0),
    );
    line.leave("close");
  });
});

async function inFlight(proxy: TestProxy, account: FakeAccount): Promise<number> {
  return (await proxy.stats()).of(account).inFlight;
}

/** Whether something waits to be sent on an open connection of this port's, as the kernel sees it. */
async function hasUnsent(port: string): Promise<boolean> {
  const hex = Number(port).toString(16).toUpperCase().padStart(4, "0");
  const table = await readFile("/proc/net/tcp", "utf8");
  return table.split("\n").some((row) => {
    const [, local = "", , state = "", queues = ""] = row.trim().split(/\s+/);
    return local.endsWith(`:${hex}`) && state === "01" && !queues.startsWith("00000000:");
  });
}

test("an answer that is read in the end is whole", async () => {
  const account = freshAccount();
  account.script({ kind: "flood", bytes: 20_000_000 });
  await using proxy = await startProxy({ backend, accounts: [account] });
  using h2 = openH2(proxy.url);
  const call2 = h2.post();
  await call2.hears("output_text.delta");
  call2.pause();
  const other = await readAnswer(
    await fetch(`${proxy.url}/v1/responses`, {
      method: "POST",
      headers: AUTHORIZED,
      body: JSON.stringify(turnBody()),
    }),
  );
  expect(other.status).toBe(200);
  call2.resume();
  const whole = await call2.whole();
  expect(whole.length).toBeGreaterThan(20_000_000);
  expect(whole).toContain("response.completed");
});
