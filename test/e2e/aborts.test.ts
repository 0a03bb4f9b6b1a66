import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { CODEX, call, lastType } from "../support/call.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { openLine, postBytes } from "../support/socket.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(120_000);

const SEED = 20_261_121;
const ROUNDS = 20;
const PER_ROUND = 50;
const FIRST_LIMIT_MS = 1000;

let backend: FakeBackend;
let accounts: readonly FakeAccount[];
let proxy: TestProxy;

beforeAll(async () => {
  backend = await startBackend();
  accounts = ["a", "b", "c"].map((name) => backend.account(`abort-${name}`));
  const config = { "max-conns-per-host": 0 };
  proxy = await startProxy({ backend, accounts, config, binary: true });
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

/** When a client leaves, and what the backend does to bring about that moment. */
const PHASES = {
  "while it sends its body": { kind: "ok" },
  "before headers": { kind: "hang-before-headers" },
  "in the preamble": { kind: "hang-after-created" },
  "in the middle of the text": { kind: "hang-mid-text" },
  "at the end": { kind: "ok" },
} as const satisfies Record<string, Outcome>;

type Phase = keyof typeof PHASES;

const NAMES: readonly Phase[] = [
  "while it sends its body",
  "before headers",
  "in the preamble",
  "in the middle of the text",
  "at the end",
];

test("B1-12, B1-13, B1-14: 1,000 clients that leave at random moments do no harm", async () => {
  const random = createRandom(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const phase = NAMES[round % NAMES.length] ?? "at the end";
    for (const account of accounts) account.always(PHASES[phase]);
    const clients = Array.from({ length: PER_ROUND }, (_, at) =>
      leave(phase, {
        words: `Client ${round * PER_ROUND + at} will not wait`,
        isStream: random() < 0.5,
        isReset: random() < 0.5,
        share: random(),
      }),
    );
    await within(`round ${round}, ${phase}: all clients have left`, Promise.all(clients), 20_000);
    await within(`round ${round}, ${phase}: the backend is idle`, idle(), 20_000);
  }
  // Nobody tries again for a client that has gone: no prompt came twice.
  const prompts = backend.turns().map(({ rawBody }) => Buffer.from(rawBody).toString());
  expect(prompts.length).toBeGreaterThan((ROUNDS * PER_ROUND) / 2);
  expect(new Set(prompts).size).toBe(prompts.length);
  for (const account of accounts) account.always(undefined);
  expect([backend.openRequests(), backend.openStreams()]).toEqual([0, 0]);
  await until("the proxy has put every account back", async () => {
    const { accounts: rows } = await proxy.stats();
    return rows.every(({ inFlight }) => inFlight === 0);
  });
  for (const row of (await proxy.stats()).accounts) {
    expect(row).toMatchObject({ state: "ready", consecutiveFailures: 0, errors: 0 });
  }
  const answer = await call(proxy, { headers: CODEX });
  expect([answer.status, lastType(answer.events)]).toEqual([200, "response.completed"]);
  expect(proxy.logs()).not.toContain("a fault of the proxy itself");
  expect(proxy.logs()).not.toMatch(/ status=5\d\d /);
});

test("B1-14: a client that leaves is logged as 499", async () => {
  const before = proxy.logs().length;
  for (const account of accounts) account.always({ kind: "hang-mid-text" });
  const leaving = { words: "Bye", isStream: true, isReset: false, share: 1 };
  await leave("in the middle of the text", leaving);
  await until("the log says so", () => /status=499 /.test(proxy.logs().slice(before)));
  for (const account of accounts) account.always(undefined);
});

for (const phase of ["before headers", "in the preamble", "in the middle of the text"] as const) {
  test(`${phase}: leaving stops the backend's work at once`, async () => {
    for (const account of accounts) account.always(PHASES[phase]);
    const took: number[] = [];
    for (let number = 0; number < 20; number++) {
      backend.forget();
      const line = await openLine(proxy.url);
      line.send(requestBytes(true));
      await within(
        "the backend works",
        backend.until(() => backend.turns().length === 1),
      );
      if (phase === "in the preamble") await backend.until(() => backend.openStreams() === 1);
      if (phase === "in the middle of the text") await line.hears("output_text.delta");
      const leftMs = performance.now();
      line.leave("close");
      await within("the backend is idle", idle());
      took.push(performance.now() - leftMs);
    }
    for (const account of accounts) account.always(undefined);
    // The promise is 100 ms; the bound is for a machine that is busy with something else.
    expect(Math.max(...took)).toBeLessThan(FIRST_LIMIT_MS);
    expect(took.toSorted((a, b) => a - b)[10]).toBeLessThan(100);
    expect(backend.turns()).toHaveLength(1);
  });
}

test("B1-12: a client that leaves while a failure is on its way costs no second post", async () => {
  const body: Outcome = { kind: "hang-before-headers" };
  for (const account of accounts) account.always(body);
  backend.forget();
  const lines = await Promise.all(Array.from({ length: 20 }, () => openLine(proxy.url)));
  for (const line of lines) line.send(requestBytes(true));
  await within(
    "all are at the backend",
    backend.until(() => backend.turns().length === 20),
  );
  for (const line of lines) line.leave("reset");
  await within("the backend is idle", idle());
  for (const account of accounts) account.always(undefined);
  expect((await call(proxy, { headers: CODEX })).status).toBe(200);
  expect(backend.turns()).toHaveLength(21);
});

type Leaving = {
  /** What it asks; no two ask the same. */
  readonly words: string;
  readonly isStream: boolean;
  readonly isReset: boolean;
  /** A number from 0 to 1 that decides how far it gets. */
  readonly share: number;
};

async function leave(phase: Phase, leaving: Leaving): Promise<void> {
  const { words, isStream, isReset, share } = leaving;
  const line = await openLine(proxy.url);
  const isLong = phase === "while it sends its body";
  const bytes = requestBytes(isStream, isLong ? words.repeat(5000) : words);
  const how = isReset ? "reset" : "close";
  if (isLong) {
    line.send(bytes.subarray(0, Math.floor(share * (bytes.length - 1))));
    // Some leave while the proxy is already reading, some before.
    if (share > 0.5) await Bun.sleep(share * 5);
    line.leave(how);
    return;
  }
  line.send(bytes);
  switch (phase) {
    case "at the end":
      await line.hears(isStream && share < 0.5 ? "response.completed" : "HTTP/1.1 200");
      break;
    case "in the middle of the text":
      // An answer in one piece shows nothing before its end.
      if (isStream) await line.hears("output_text.delta");
      else await Bun.sleep(share * 20);
      break;
    default:
      await Bun.sleep(share * 20);
  }
  line.leave(how);
}

function requestBytes(isStream: boolean, words = "I shall not wait for the answer"): Buffer {
  const body = turnBody(words, { stream: isStream });
  const url = `${proxy.url}/v1/responses`;
  return postBytes(url, JSON.stringify(body), { authorization: `Bearer ${KEY}`, ...CODEX });
}

function idle(): Promise<void> {
  return backend.until(() => backend.openRequests() === 0 && backend.openStreams() === 0);
}

/** Mulberry32: the same numbers each time, so that a failure can be seen again. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
