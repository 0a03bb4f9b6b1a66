import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { readFile } from "node:fs/promises";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { call, lastType } from "../support/call.ts";
import { openH2 } from "../support/h2.ts";
import {
  block,
  END_HEADERS,
  END_STREAM,
  FRAME,
  type FrameLine,
  fourBytes,
  frame,
  indexed,
  openFrames,
  requestBlock,
} from "../support/h2-frames.ts";
import { buildIfMissing, KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

const MEGABYTE = 1e6;
const WHOLE = END_STREAM | END_HEADERS;

let backend: FakeBackend;
let proxy: TestProxy;
beforeAll(async () => {
  await buildIfMissing();
  backend = await startBackend();
  const accounts = [backend.account("prey")];
  // What is looked at here is what one port bears.
  const config = { "max-conns-per-host": 0 };
  proxy = await startProxy({ backend, accounts, config, binary: true });
  // A program that has done nothing yet grows with whatever it does.
  for (let turn = 0; turn < 100; turn++) await call(proxy);
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

let beforeBytes = 0;
beforeEach(async () => {
  beforeBytes = await residentBytes();
});

async function residentBytes(): Promise<number> {
  // Elsewhere than on Linux only the rest is looked at.
  if (process.platform !== "linux") return 0;
  const status = await readFile(`/proc/${proxy.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

/** What must hold during and after every attack. */
async function expectUnharmed(): Promise<void> {
  expect((await residentBytes()) - beforeBytes).toBeLessThan(60 * MEGABYTE);
  using other = openH2(proxy.url);
  expect(await other.post().whole()).toContain("response.completed");
  expect(lastType((await call(proxy)).events)).toBe("response.completed");
  expect(proxy.logs()).not.toContain("a fault of the proxy itself");
}

/** Sends `bytes` again and again, as fast as they are taken, until `times` are through or the server ends it. */
async function flood(line: FrameLine, bytes: Uint8Array, times: number): Promise<void> {
  for (let round = 0; round < times && !line.isClosed(); round++) {
    line.send(bytes);
    if (line.backlog() > MEGABYTE) await line.drained();
    // Others need their turn in this process too.
    if (round % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** While `attack` goes on, another client's requests are answered. */
async function withOthersServed(attack: Promise<void>): Promise<void> {
  let isOver = false;
  const done = attack.finally(() => {
    isOver = true;
  });
  do {
    const answer = await fetch(`${proxy.url}/health/live`);
    expect(answer.status).toBe(200);
  } while (!isOver);
  await done;
  await expectUnharmed();
}

const many = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array(count).fill(bytes));
const healthy = requestBlock("GET", "/health/live");
const turnHead = requestBlock("POST", "/v1/responses", [["authorization", `Bearer ${KEY}`]]);

describe("floods of frames that cost the sender little", () => {
  const settings = Buffer.concat([Buffer.from([0, 3]), fourBytes(100)]);
  const floods: readonly (readonly [name: string, bytes: Buffer])[] = [
    ["SETTINGS", frame(FRAME.settings, 0, 0, settings)],
    ["PING", frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
    ["WINDOW_UPDATE", frame(FRAME.window, 0, 0, fourBytes(1))],
    ["PRIORITY", frame(FRAME.priority, 0, 1, Buffer.from([0, 0, 0, 0, 1]))],
    ["frames of an unknown type", frame(0x55, 0, 0, Buffer.alloc(8))],
  ];

  test.each(floods)("%s: a million of them", async (_name, bytes) => {
    const line = await openFrames(proxy.url);
    const thousand = many(1000, bytes);
    await withOthersServed(flood(line, thousand, 1000));
    line.leave();
  });

  test.each(floods.slice(0, 2))(
    "%s from one who does not read the answers",
    async (_name, bytes) => {
      const line = await openFrames(proxy.url);
      await line.hears(FRAME.settings);
      line.pause();
      const thousand = many(1000, bytes);
      await withOthersServed(flood(line, thousand, 3000));
      line.leave();
    },
  );

  test("empty DATA frames in a body that never ends", async () => {
    const line = await openFrames(proxy.url);
    line.send(frame(FRAME.headers, END_HEADERS, 1, turnHead));
    await withOthersServed(flood(line, many(1000, frame(FRAME.data, 0, 1)), 500));
    line.leave();
  });
});

describe("rapid reset", () => {
  const pairs = (from: number, count: number, head: Buffer): Buffer =>
    Buffer.concat(
      Array.from({ length: count }, (_, at) => {
        const stream = from + 2 * at;
        const reset = frame(FRAME.reset, 0, stream, fourBytes(8));
        return Buffer.concat([frame(FRAME.headers, WHOLE, stream, head), reset]);
      }),
    );

  test("is ended by the server", async () => {
    const lines = await Promise.all(Array.from({ length: 8 }, () => openFrames(proxy.url)));
    await withOthersServed(
      Promise.all(
        lines.map(async (line) => {
          for (let round = 0; round < 100 && !line.isClosed(); round++) {
            line.send(pairs(1 + 200 * round, 100, healthy));
            await line.drained();
          }
          await within("the server ends it", line.closed);
        }),
      ).then(() => {}),
    );
  });

  test("of turns leaves no turn running and no account in use", async () => {
    const turns = backend.turns().length;
    const line = await openFrames(proxy.url);
    for (let round = 0; round < 20 && !line.isClosed(); round++) {
      line.send(pairs(1 + 200 * round, 100, turnHead));
      await line.drained();
    }
    await within("the server ends it", line.closed);
    await until("nothing is in flight", async () => {
      const { accounts } = await proxy.stats();
      return accounts.every(({ inFlight }) => inFlight === 0);
    });
    expect(backend.openRequests()).toBe(0);
    // Not one of them had a body, so none got as far as the backend.
    expect(backend.turns().length).toBe(turns);
    await expectUnharmed();
  });
});

describe("headers", () => {
  test("that go on in CONTINUATION frames for ever are ended", async () => {
    const line = await openFrames(proxy.url);
    line.send(frame(FRAME.headers, END_STREAM, 1, healthy));
    await withOthersServed(flood(line, many(100, frame(FRAME.continuation, 0, 1)), 1000));
    await within("the server ends it", line.closed);
  });

  test("that fill CONTINUATION frames are ended at the limit", async () => {
    const line = await openFrames(proxy.url);
    line.send(frame(FRAME.headers, END_STREAM, 1, healthy));
    const full = frame(FRAME.continuation, 0, 1, block([["x-full", "a".repeat(16_000)]]));
    await withOthersServed(flood(line, full, 1000));
    await within("the server ends it", line.closed);
  });

  test("that unpack into a thousand times their size are refused", async () => {
    const line = await openFrames(proxy.url);
    // One header of 4 KB into the table, and then 16,000 times that header in 16,000 bytes: 64 MB (HPACK bomb).
    const seed = Buffer.concat([healthy, indexed("x-bomb", "a".repeat(4000))]);
    line.send(frame(FRAME.headers, WHOLE, 1, seed));
    await line.hears(FRAME.headers);
    const bomb = Buffer.concat([healthy, Buffer.alloc(16_000, 0x80 | 62)]);
    for (let stream = 3; stream < 403; stream += 2) {
      line.send(frame(FRAME.headers, WHOLE, stream, bomb));
    }
    await withOthersServed(line.drained());
    line.leave();
  });
});

describe("streams", () => {
  test("beyond those that may run at a time are refused, and the others go on", async () => {
    backend.account("prey").always({ kind: "hang-before-headers" });
    using client = openH2(proxy.url);
    const calls = Array.from({ length: 200 }, () => client.post());
    await backend.until(() => backend.openRequests() === calls.length);
    const line = await openFrames(proxy.url);
    for (let stream = 1; stream < 20_000; stream += 2) {
      // Each begins a body and sends none of it.
      line.send(frame(FRAME.headers, END_HEADERS, stream, turnHead));
    }
    await withOthersGoing(line);
    expect(line.count(FRAME.reset)).toBeGreaterThan(9000);
    line.leave();
    backend.account("prey").always(undefined);
    expect(backend.openRequests()).toBe(calls.length);
    for (const each of calls) each.leave();
    await backend.until(() => backend.openRequests() === 0);
    await expectUnharmed();
  });

  async function withOthersGoing(line: FrameLine): Promise<void> {
    await until("the server has looked at all of them", () => line.count(FRAME.reset) > 9000);
    expect((await fetch(`${proxy.url}/health/live`)).status).toBe(200);
  }

  test("whose answers nobody lets through hold no more than their own answers", async () => {
    const lines = await Promise.all(Array.from({ length: 20 }, () => openFrames(proxy.url)));
    // Windows of zero: not a byte of an answer may be sent.
    const shut = frame(FRAME.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), fourBytes(0)]));
    for (const line of lines) {
      line.send(shut);
      for (let stream = 1; stream < 512; stream += 2) {
        line.send(frame(FRAME.headers, WHOLE, stream, requestBlock("GET", "/v1/models")));
      }
    }
    await withOthersServed(Promise.all(lines.map((line) => line.drained())).then(() => {}));
    for (const line of lines) line.leave();
  });
});

describe("frames that no client may send", () => {
  const wrong: readonly (readonly [name: string, bytes: Buffer])[] = [
    ["a frame larger than allowed", frame(FRAME.headers, WHOLE, 1, Buffer.alloc(20_000))],
    ["DATA on stream 0", frame(FRAME.data, 0, 0, Buffer.alloc(1))],
    ["RST_STREAM of a stream that never was", frame(FRAME.reset, 0, 1, fourBytes(8))],
    ["CONTINUATION without HEADERS", frame(FRAME.continuation, END_HEADERS, 1, healthy)],
    ["an even stream", frame(FRAME.headers, WHOLE, 2, healthy)],
    ["a window that overflows", many(3, frame(FRAME.window, 0, 0, fourBytes(0x7fffffff)))],
    ["SETTINGS of a wrong length", frame(FRAME.settings, 0, 0, Buffer.alloc(5))],
    ["headers that are no HPACK", frame(FRAME.headers, WHOLE, 1, Buffer.alloc(100, 0xff))],
  ];

  test.each(wrong)("%s ends the connection and harms nobody", async (_name, bytes) => {
    const line = await openFrames(proxy.url);
    line.send(bytes);
    await within("the server ends it", line.closed);
    await expectUnharmed();
  });

  const odd: readonly (readonly [name: string, head: Buffer])[] = [
    [
      "no path",
      block([
        [":method", "GET"],
        [":scheme", "http"],
      ]),
    ],
    ["a header in capitals", requestBlock("GET", "/health/live", [["X-Odd", "1"]])],
    ["a line break in a value", requestBlock("GET", "/health/live", [["x-odd", "a\r\nb: c"]])],
    ["connection headers", requestBlock("GET", "/health/live", [["connection", "keep-alive"]])],
    ["a path that is none", requestBlock("GET", "no-slash")],
    ["a path of zero bytes", requestBlock("GET", "")],
  ];

  test.each(odd)(
    "a request with %s is refused or answered, and the next one served",
    async (_name, head) => {
      const line = await openFrames(proxy.url);
      line.send(frame(FRAME.headers, WHOLE, 1, head));
      line.send(frame(FRAME.headers, WHOLE, 3, healthy));
      await within("something comes", line.hears(FRAME.headers));
      line.leave();
      await expectUnharmed();
    },
  );

  test("more body than was announced is no way around max-body-bytes", async () => {
    const line = await openFrames(proxy.url);
    const head = requestBlock("POST", "/v1/responses", [
      ["authorization", `Bearer ${KEY}`],
      ["content-length", "10"],
    ]);
    line.send(frame(FRAME.headers, END_HEADERS, 1, head));
    await withOthersServed(flood(line, frame(FRAME.data, 0, 1, Buffer.alloc(16_000, 0x20)), 2000));
    line.leave();
  });
});
