import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, call, lastType } from "../support/call.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { type Line, openLine, postBytes } from "../support/socket.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

/** More than the 256 requests that Bun's `fetch` runs at a time unless it is told otherwise (runtime.md 4). */
const MANY = 400;

let backend: FakeBackend;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

test(`${MANY} streams held open all make progress, and the program stops cleanly under them`, async () => {
  const accounts = ["1-a", "1-b", "1-c"].map((name) => backend.account(name));
  for (const account of accounts) account.always({ kind: "hang-mid-text" });
  const config = { "max-conns-per-host": 0 };
  const proxy = await startProxy({ backend, accounts, config, binary: true });
  try {
    const lines = await openTurns(proxy, MANY);
    const begun = Promise.all(lines.map((line) => line.hears("output_text.delta")));
    await within(`all ${MANY} streams have text`, begun, 30_000);
    expect(backend.openStreams()).toBe(MANY);
    const { accounts: rows, summary } = await proxy.stats();
    expect(rows.reduce((sum, { inFlight }) => sum + inFlight, 0)).toBe(MANY);
    // Equals share the load.
    for (const { inFlight } of rows) expect(inFlight).toBeGreaterThan(MANY / 5);
    expect(summary["ready"]).toBe(3);

    const startedMs = performance.now();
    proxy.kill("SIGTERM");
    const exitCode = await within("the program ends", proxy.exited, 10_000);
    expect(exitCode).toBe(0);
    // shutdown-timeout is 1 s here.
    expect(performance.now() - startedMs).toBeLessThan(5000);
    await within("every client was hung up on", Promise.all(lines.map(({ closed }) => closed)));
    await within(
      "the backend is idle",
      backend.until(() => backend.openStreams() === 0),
    );
    // A stream that was cut must not look like one that ended well.
    for (const line of lines) expect(line.received()).not.toContain("response.completed");
    expect(proxy.logs()).toContain("stopped");
    expect(proxy.logs()).not.toContain("a fault of the proxy itself");
  } finally {
    await proxy.stop();
  }
});

test("a turn that can end within shutdown-timeout does", async () => {
  const slow = await startBackend({ paceMs: 30 });
  try {
    const account = slow.account("slow");
    const config = { "shutdown-timeout": 20 };
    await using proxy = await startProxy({
      backend: slow,
      accounts: [account],
      config,
      binary: true,
    });
    const [line] = await openTurns(proxy, 1);
    await line?.hears("output_text.delta");
    proxy.kill("SIGTERM");
    await until("the program has the signal", () => proxy.logs().includes("stopping"));
    const refused = await call(proxy).then(
      ({ status }) => status >= 500,
      () => true,
    );
    expect(refused).toBe(true);
    await within("the turn ends", line?.hears("response.completed") ?? Promise.reject(), 15_000);
    expect(line?.received()).toContain("response.completed");
    // The client need not hang up first: its connection is idle once the turn is over.
    expect(await within("the program ends", proxy.exited, 10_000)).toBe(0);
  } finally {
    await slow.stop();
  }
});

test("a request waits for an account that serves as many as it may", async () => {
  const account = backend.account("2-full");
  account.script({ kind: "hang-mid-text" });
  const config = { "account-max-in-flight": 1, "account-wait-sec": 60 };
  await using proxy = await startProxy({ backend, accounts: [account], config });
  const [first] = await openTurns(proxy, 1);
  await within("the first has begun", first?.hears("output_text.delta") ?? Promise.reject());
  const waiting = call(proxy, { body: turnBody("Another"), headers: CODEX });
  await until("the second waits", async () => (await proxy.stats()).summary["waiting"] === 1);
  first?.leave("close");
  expect(lastType((await within("the second is served", waiting)).events)).toBe(
    "response.completed",
  );
  expect((await proxy.stats()).summary["waiting"]).toBe(0);
  await until("both are in the log", () => /waited_ms=\d+/.test(proxy.logs()));

  // Whoever leaves while waiting is gone from the line, and the account never hears of it.
  account.script({ kind: "hang-mid-text" });
  const [third] = await openTurns(proxy, 1);
  await within("the third has begun", third?.hears("output_text.delta") ?? Promise.reject());
  const turns = backend.turns().length;
  const [gone] = await openTurns(proxy, 1);
  await until("the fourth waits", async () => (await proxy.stats()).summary["waiting"] === 1);
  gone?.leave("close");
  await until("nobody waits", async () => (await proxy.stats()).summary["waiting"] === 0);
  expect(backend.turns()).toHaveLength(turns);

  third?.leave("close");
});

test("where nobody may wait, the client is told so in words of its protocol", async () => {
  const account = backend.account("4-full");
  account.script({ kind: "hang-mid-text" });
  const config = { "account-max-in-flight": 1, "account-wait-sec": 0 };
  await using proxy = await startProxy({ backend, accounts: [account], config });
  const [first] = await openTurns(proxy, 1);
  await within("the first has begun", first?.hears("output_text.delta") ?? Promise.reject());
  const refused = await call(proxy, { body: turnBody("Another") });
  expect([refused.status, refused.error["code"]]).toEqual([429, "rate_limit_exceeded"]);
  expect(refused.error["message"]).toContain("account-max-in-flight allows (1)");
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  first?.leave("close");
});

/** Turns of as many conversations, begun and not waited for. */
async function openTurns(proxy: TestProxy, count: number): Promise<readonly Line[]> {
  const lines = await Promise.all(Array.from({ length: count }, () => openLine(proxy.url)));
  for (const [number, line] of lines.entries()) {
    const body = JSON.stringify(
      turnBody(`Conversation ${number}`, { prompt_cache_key: `c${number}` }),
    );
    const headers = { authorization: `Bearer ${KEY}`, ...CODEX };
    line.send(postBytes(`${proxy.url}/v1/responses`, body, headers));
  }
  return lines;
}
