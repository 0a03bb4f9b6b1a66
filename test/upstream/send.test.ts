import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { EgressError } from "../../src/net/trouble.ts";
import { clientStatus, type FailureKind } from "../../src/turn/failure.ts";
import type { Compaction } from "../../src/turn/request.ts";
import { createStop, type Stop } from "../../src/turn/stop.ts";
import {
  type Attempt,
  describeNetwork,
  type SendOptions,
  type SendPorts,
  sendTurn,
} from "../../src/upstream/send.ts";
import { systemClock } from "../../src/wire/clock.ts";
import type { Dict } from "../../src/wire/json.ts";
import { join } from "../../src/wire/sse.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { eventsOf, itemsOf, streamedText, turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { FAULTS, type FaultName } from "../support/backend/faults.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { createManualClock } from "../support/clock.ts";
import { ask } from "../support/egress.ts";
import { chunk, type Peer, type RawServer, STREAM_HEAD, startRaw } from "./raw.ts";
import { advanceUntil, identityOf, makeTurn, settleDown, watchRejections } from "./scene.ts";

const rejections = watchRejections();
let backend: FakeBackend;
let raw: RawServer;

beforeAll(async () => {
  backend = await startBackend();
});
beforeEach(async () => {
  raw = await startRaw();
});
afterEach(() => {
  raw.stop();
  backend.forget();
});
afterAll(async () => {
  await backend.stop();
  await settleDown();
  rejections.stop();
  expect(rejections.seen).toEqual([]);
});

const OPTIONS: Omit<SendOptions, "baseUrl"> = {
  headers: { originator: "codex_cli_rs", "user-agent": "codex_cli_rs/0.169.0", version: "0.169.0" },
  connectMs: 0,
  firstEventMs: 0,
  idleMs: 0,
};

let accounts = 0;
function newAccount(...outcomes: readonly Outcome[]): FakeAccount {
  accounts += 1;
  const account = backend.account(`sender-${accounts}`);
  account.script(...outcomes);
  return account;
}

/** Sends a turn to the scripted backend. */
function send(
  account: FakeAccount,
  request: Stop = createStop(),
  ports: Partial<SendPorts> = {},
): Promise<Attempt> {
  const options = { ...OPTIONS, baseUrl: backend.url };
  return sendTurn(makeTurn(), identityOf(account), request, {
    options,
    clock: systemClock,
    ask,
    ...ports,
  });
}

/** Sends a turn to the raw server, with a clock that stands still. */
function sendRaw(limits: Partial<SendOptions> = {}, request: Stop = createStop()) {
  const clock = createManualClock(1_795_219_200_000);
  const identity = { accessToken: "token", workspaceId: "workspace", tag: "one" };
  const options = { ...OPTIONS, ...limits, baseUrl: raw.url };
  const attempt = sendTurn(makeTurn(), identity, request, { options, clock, ask });
  return { attempt, clock, request };
}

type Served = Extract<Attempt, { readonly ok: true }>;

async function served(attempt: Promise<Attempt>): Promise<Served> {
  const done = await attempt;
  if (!done.ok) throw new Error(`The attempt failed: ${done.failure.message}`);
  return done;
}

async function failed(attempt: Promise<Attempt>) {
  const done = await attempt;
  if (done.ok) throw new Error("The attempt was served.");
  return done;
}

/** The rest of a turn and how it ended; the stream is closed. */
async function readOn({ held, stream }: Served) {
  const parts = held.map(({ frame }) => frame.bytes);
  for (;;) {
    const batch = await stream.read();
    if (batch.type === "steps") parts.push(...batch.steps.map(({ frame }) => frame.bytes));
    if (batch.type === "steps") continue;
    stream.close();
    return { events: eventsOf(join(parts, new Uint8Array(0))), batch };
  }
}

const CREATED =
  'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n';
const DELTA =
  'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n';
const COMPLETED =
  'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r"}}\n\n';

describe("a turn that is served", () => {
  test("holds back what means nothing, and hands all of it on in order", async () => {
    const attempt = await served(send(newAccount({ kind: "ok", text: "One two three." })));
    expect(attempt.held.slice(0, 4).map(({ frame }) => frame.event)).toEqual([
      "response.created",
      "response.in_progress",
      "codex.rate_limits",
      "response.output_item.added",
    ]);
    const { events, batch } = await readOn(attempt);
    expect(batch.type).toBe("end");
    expect(streamedText(events)).toBe("One two three.");
    expect(events.map((event) => event["sequence_number"])).toEqual(events.map((_, at) => at));
    expect(attempt.stream.headers["x-codex-primary-used-percent"]).toBe("12");
  });

  test("was posted with the body's very bytes, the account's headers and our identity", async () => {
    const account = newAccount();
    const turn = makeTurn();
    const options = { ...OPTIONS, baseUrl: backend.url };
    const ports = { options, clock: systemClock, ask };
    await readOn(await served(sendTurn(turn, identityOf(account), createStop(), ports)));
    const [request] = backend.turns();
    expect(request?.method).toBe("POST");
    expect(Buffer.from(request?.rawBody ?? [])).toEqual(Buffer.from(turn.bytes));
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${account.tokens().accessToken}`,
      "chatgpt-account-id": account.workspaceId,
      "content-type": "application/json",
      accept: "text/event-stream",
      "accept-encoding": "identity",
      originator: "codex_cli_rs",
      "user-agent": "codex_cli_rs/0.169.0",
      version: "0.169.0",
      "session-id": "one",
    });
    expect(request?.headers).not.toHaveProperty("cookie");
  });

  test("does not commit before the first event of output", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    let isSettled = false;
    const settled = attempt.then(() => {
      isSettled = true;
    });
    await peer.write(STREAM_HEAD);
    for (const type of ["response.created", "response.in_progress", "response.queued"]) {
      await peer.write(chunk(`event: ${type}\ndata: {}\n\n`));
    }
    await peer.write(chunk(": words\n\nevent: codex.rate_limits\ndata: {}\n\n"));
    await peer.write(chunk("event: keepalive\ndata: {}\n\nevent: response.metadata\ndata: {}\n\n"));
    await settleDown(20);
    expect(isSettled).toBe(false);
    await peer.write(chunk(DELTA));
    await settled;
    const { held, stream } = await served(attempt);
    const roles = held.map(({ role }) => role).join(" ");
    expect(roles).toBe("preamble preamble preamble preamble rate-limits keepalive preamble output");
    stream.close();
    await peer.closed;
  });

  test("commits at an event that nobody knows", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(STREAM_HEAD + chunk(`${CREATED}event: response.of_tomorrow\ndata: {}\n\n`));
    const { held, stream } = await served(attempt);
    expect(held).toHaveLength(2);
    stream.close();
  });

  test("may end in the chunk in which it begins", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(STREAM_HEAD + chunk(CREATED + DELTA + COMPLETED) + chunk(""));
    const { batch, events } = await readOn(await served(attempt));
    expect(batch.type).toBe("end");
    expect(events).toHaveLength(3);
  });

  test("may be unfinished by the backend's own word", async () => {
    const attempt = await served(
      send(newAccount({ kind: "incomplete", reason: "content_filter" })),
    );
    const { events, batch } = await readOn(attempt);
    expect(batch.type).toBe("end");
    expect(events.at(-1)?.["type"]).toBe("response.incomplete");
  });

  test("may say nothing but that it spent tokens", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    const response = { id: "r", output: [], usage: { input_tokens: 9, output_tokens: 3 } };
    const data = JSON.stringify({ type: "response.completed", response });
    await peer.write(
      STREAM_HEAD + chunk(`event: response.completed\ndata: ${data}\n\n`) + chunk(""),
    );
    expect((await readOn(await served(attempt))).batch.type).toBe("end");
  });

  test("comes through whole however its bytes are cut", async () => {
    const sliced = await startBackend({ chunkBytes: 7, keepalives: true, obfuscation: true });
    try {
      const account = sliced.account("sliced");
      const options = { ...OPTIONS, baseUrl: sliced.url };
      const ports = { options, clock: systemClock, ask };
      const attempt = await served(sendTurn(makeTurn(), identityOf(account), createStop(), ports));
      const { events, batch } = await readOn(attempt);
      expect(batch.type).toBe("end");
      expect(streamedText(events)).toContain("naïve as it is — 好的.");
    } finally {
      await sliced.stop();
    }
  });
});

describe("a failure before any output", () => {
  const codes: [code: string, kind: FailureKind][] = [
    ["server_is_overloaded", "overloaded"],
    ["slow_down", "overloaded"],
    ["rate_limit_exceeded", "rate-limited"],
    ["usage_limit_reached", "exhausted"],
    ["insufficient_quota", "exhausted"],
    ["context_length_exceeded", "context-overflow"],
    ["cyber_policy", "content-refused"],
    ["invalid_prompt", "content-refused"],
    ["invalid_encrypted_content", "foreign-reasoning"],
    ["server_error", "server-error"],
  ];
  test.each(codes)("inside a 200 with %s is a failure: %s", async (code, kind) => {
    const outcomes: Outcome[] = [
      { kind: "failed", code, after: "created" },
      { kind: "error-event", code, after: "created", shape: "nested" },
      { kind: "error-event", code, after: "created", shape: "flat" },
    ];
    for (const outcome of outcomes) {
      const { failure, headers } = await failed(send(newAccount(outcome)));
      expect(failure.kind).toBe(kind);
      expect(headers?.["x-codex-plan-type"]).toBe("plus");
    }
    await backend.until(() => backend.openRequests() === 0);
  });

  test("is one also in the chunk that brings the preamble", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    const end = 'event: error\ndata: {"error":{"code":"server_is_overloaded"}}\n\n';
    await peer.write(STREAM_HEAD + chunk(CREATED + end) + chunk(""));
    expect((await failed(attempt)).failure.kind).toBe("overloaded");
  });

  test("leaves its connection idle, or closed where the backend does not end the body", async () => {
    const end = 'event: error\ndata: {"error":{"code":"server_is_overloaded"}}\n\n';
    const ended = sendRaw();
    const first = await raw.next();
    await first.write(STREAM_HEAD + chunk(CREATED + end) + chunk(""));
    expect((await failed(ended.attempt)).failure.kind).toBe("overloaded");
    const open = sendRaw();
    const second = await raw.next();
    await second.write(STREAM_HEAD + chunk(CREATED + end));
    const given = advanceUntil(failed(open.attempt), open.clock, 10);
    expect((await given).failure.kind).toBe("overloaded");
    await second.closed;
    expect(raw.connections()).toBe(1);
  });

  test("after output it is the stream's own affair", async () => {
    const attempt = await served(
      send(newAccount({ kind: "failed", code: "server_is_overloaded", after: "text" })),
    );
    const { events, batch } = await readOn(attempt);
    expect(batch.type).toBe("end");
    expect(events.at(-1)?.["type"]).toBe("response.failed");
  });

  test("a turn without anything in it is empty", async () => {
    expect((await failed(send(newAccount({ kind: "empty" })))).failure.kind).toBe("empty");
  });

  const breaks: [outcome: Outcome["kind"], kind: FailureKind][] = [
    ["cut-before-headers", "network"],
    ["cut-after-created", "cut-short"],
    ["end-after-created", "cut-short"],
  ];
  test.each(breaks)("%s is %s", async (outcome, kind) => {
    const { failure } = await failed(send(newAccount(breakOf(outcome))));
    expect(failure.kind).toBe(kind);
    expect(failure.message).not.toContain("Bearer");
  });

  test("a connection that ends right after the headers is one of the two", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(STREAM_HEAD);
    peer.end();
    expect(["network", "cut-short"]).toContain((await failed(attempt)).failure.kind);
  });

  test("nobody at the address has not seen the request", async () => {
    raw.stop();
    const { failure } = await failed(sendRaw().attempt);
    expect(failure).toMatchObject({ kind: "unreachable" });
    expect(clientStatus(failure)).toBe(502);
  });

  test("half an answer's head is a failure of the network", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write("HTTP/1.1 200 OK\r\ncontent-ty");
    peer.end();
    expect((await failed(attempt)).failure.kind).toBe("network");
  });
});

function breakOf(kind: string): Outcome {
  const kinds = [
    "cut-before-headers",
    "cut-after-created",
    "cut-mid-text",
    "cut-mid-frame",
    "end-after-created",
    "end-mid-text",
  ] as const;
  const known = kinds.find((one) => one === kind);
  if (known === undefined) throw new Error(`There is no outcome ${kind}.`);
  return { kind: known };
}

describe("a stream that breaks after output", () => {
  test.each(["cut-mid-text", "cut-mid-frame", "end-mid-text"])("%s is cut short", async (kind) => {
    const attempt = await served(send(newAccount(breakOf(kind))));
    const { batch, events } = await readOn(attempt);
    expect(batch).toMatchObject({ type: "broken", failure: { kind: "cut-short" } });
    expect(events.map(({ type }) => type)).toContain("response.output_text.delta");
    expect(events.map(({ type }) => type)).not.toContain("response.completed");
  });

  test("a reset is cut short, however often one asks", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(STREAM_HEAD + chunk(CREATED + DELTA));
    const { stream } = await served(attempt);
    peer.reset();
    for (const batch of [await stream.read(), await stream.read()]) {
      expect(batch).toMatchObject({ type: "broken", failure: { kind: "cut-short" } });
    }
    stream.close();
  });

  test("a last event without its blank line still counts at the end of the body", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(STREAM_HEAD + chunk(CREATED + DELTA));
    const begun = await served(attempt);
    await peer.write(chunk(COMPLETED.slice(0, -2)) + chunk(""));
    const { batch, events } = await readOn(begun);
    expect(batch.type).toBe("end");
    expect(events.map(({ type }) => type)).not.toContain(undefined);
    expect(begun.stream.headers["content-type"]).toContain("text/event-stream");
  });
});

describe("an answer that is no stream", () => {
  test.each(Object.keys(FAULTS).filter((name): name is FaultName => name in FAULTS))(
    "%s is a failure with the backend's own status",
    async (name) => {
      const { failure, headers } = await failed(send(newAccount({ kind: "fault", name })));
      expect(failure.status).toBe(FAULTS[name].status);
      expect(headers?.["cf-ray"]).toBeString();
      expect(failure.message).not.toContain("<");
    },
  );

  const pages: [name: string, head: string, body: string, kind: FailureKind, status: number][] = [
    [
      "HTML in a 200",
      "200 OK\r\ncontent-type: text/html",
      "<html>Welcome</html>",
      "server-error",
      502,
    ],
    [
      "a challenge in a 200",
      "200 OK\r\ncontent-type: text/html",
      "<html>Just a moment...</html>",
      "challenged",
      503,
    ],
    ["JSON in a 200", "200 OK\r\ncontent-type: application/json", "{}", "server-error", 502],
    [
      "an error in a 200",
      "200 OK\r\ncontent-type: application/json",
      '{"error":{"code":"slow_down"}}',
      "overloaded",
      503,
    ],
    ["a 200 without a type", "200 OK", "data: {}", "server-error", 502],
    ["a 204", "204 No Content", "", "server-error", 502],
    [
      "a stream in a 500",
      "500 Oops\r\ncontent-type: text/event-stream",
      DELTA,
      "server-error",
      500,
    ],
  ];
  test.each(pages)("%s is no turn", async (_name, head, body, kind, status) => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(`HTTP/1.1 ${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    const { failure } = await failed(attempt);
    expect(failure.kind).toBe(kind);
    expect(clientStatus(failure)).toBe(status);
  });

  test("the type of a stream is known in any spelling", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(STREAM_HEAD.replace("text/event-stream", "Text/Event-Stream") + chunk(DELTA));
    (await served(attempt)).stream.close();
    await peer.closed;
  });

  test.each([301, 302, 303, 307, 308])("a redirect (%p) is not followed", async (status) => {
    const elsewhere = await startRaw();
    try {
      const { attempt } = sendRaw();
      const peer = await raw.next();
      const location = `location: ${elsewhere.url}/responses`;
      await peer.write(`HTTP/1.1 ${status} Moved\r\n${location}\r\ncontent-length: 0\r\n\r\n`);
      const { failure } = await failed(attempt);
      expect(failure).toMatchObject({ kind: "server-error", status });
      expect(clientStatus(failure)).toBe(502);
      await settleDown();
      expect(elsewhere.connections()).toBe(0);
      expect(raw.connections()).toBe(1);
    } finally {
      elsewhere.stop();
    }
  });

  test("an error page without end is read only so far, and its connection closed", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(
      "HTTP/1.1 500 Oops\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let written = 0;
    const pouring = (async () => {
      while (await peer.write(chunk("a".repeat(16_384)))) written += 16_384;
    })();
    expect((await failed(attempt)).failure).toMatchObject({ kind: "server-error", status: 500 });
    await peer.closed;
    await pouring;
    // What lies in the system's buffers comes on top.
    expect(written).toBeLessThan(32 * 1024 * 1024);
  });

  test("an error body that stops half-way is waited for only so long", async () => {
    const { attempt, clock } = sendRaw();
    const peer = await raw.next();
    const head = "HTTP/1.1 429 Slow\r\ncontent-type: application/json\r\ncontent-length: 500";
    await peer.write(`${head}\r\nretry-after: 7\r\n\r\n{"error":`);
    const { failure } = await failed(advanceUntil(attempt, clock, 1000));
    expect(failure).toMatchObject({ kind: "rate-limited", status: 429 });
    await peer.closed;
  });

  test("an error body that breaks off is classified by its status", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write('HTTP/1.1 401 No\r\ncontent-length: 500\r\n\r\n{"error":');
    peer.end();
    expect((await failed(attempt)).failure).toMatchObject({ kind: "unauthorized", status: 401 });
  });
});

/** The events of a message that says `words` in as many deltas as it has words, and of its turn. */
function saying(words: string, more: readonly Dict[] = []): Outcome {
  const item = { id: "msg_1", type: "message", role: "assistant" };
  const at = { item_id: "msg_1", output_index: 0, content_index: 0 };
  const part = { type: "output_text", annotations: [], text: "" };
  const pieces = words.match(/\s*\S+/g) ?? [];
  return {
    kind: "ok",
    events: [
      { type: "response.output_item.added", output_index: 0, item: { ...item, content: [] } },
      { type: "response.content_part.added", ...at, part },
      ...pieces.map((delta) => ({ type: "response.output_text.delta", ...at, delta })),
      { type: "response.output_text.done", ...at, text: words },
      { type: "response.content_part.done", ...at, part: { ...part, text: words } },
      {
        type: "response.output_item.done",
        output_index: 0,
        item: { ...item, content: [{ ...part, text: words }] },
      },
      ...more,
    ],
  };
}

describe("an overload told as ordinary text (B1-2)", () => {
  const sentence = "Our servers are currently overloaded. Please try again later.";

  test("is an overload, whatever it claims to have cost", async () => {
    const { failure } = await failed(send(newAccount(saying(sentence))));
    expect(failure).toMatchObject({ kind: "overloaded" });
    const usage = { input_tokens: 1, output_tokens: 0, total_tokens: 1 };
    const free = { type: "response.completed", response: { id: "resp_1", output: [], usage } };
    expect((await failed(send(newAccount(saying(sentence, [free]))))).failure.kind).toBe(
      "overloaded",
    );
  });

  test.each([`${sentence} That is what it said.`, `It said: ${sentence}`, "Our servers are fine."])(
    "is not, quoted: %s",
    async (words) => {
      const { events } = await readOn(await served(send(newAccount(saying(words)))));
      expect(streamedText(events)).toBe(words);
    },
  );

  test("holds an ordinary message back until its first words only", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    const added =
      'event: response.output_item.added\ndata: {"type":"response.output_item.added","item":{"type":"message"}}\n\n';
    await peer.write(STREAM_HEAD + chunk(CREATED + added));
    await settleDown();
    await peer.write(chunk(DELTA));
    const { held, stream } = await served(attempt);
    expect(held.map(({ frame }) => frame.event)).toEqual([
      "response.created",
      "response.output_item.added",
      "response.output_text.delta",
    ]);
    stream.close();
  });

  test("cut in the middle of the sentence is a failure that nobody has seen", async () => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    const begun = DELTA.replace('"x"', '"Our servers"');
    await peer.write(STREAM_HEAD + chunk(CREATED + begun));
    peer.end();
    expect((await failed(attempt)).failure.kind).toBe("cut-short");
  });
});

/** A request that counts the parts of it which still run. */
function countingStop(): { readonly request: Stop; readonly parts: () => number } {
  const request = createStop();
  let parts = 0;
  const child: Stop["child"] = () => {
    const part = request.child();
    parts += 1;
    const detach = (): void => {
      parts -= 1;
      part.detach();
    };
    return { ...part, detach };
  };
  return { request: { ...request, child }, parts: () => parts };
}

describe("an attempt that is over leaves nothing on the request it was made for", () => {
  const rows: [name: string, outcome: Outcome][] = [
    ["served", { kind: "ok" }],
    ["refused", { kind: "status", status: 500, body: {} }],
    ["failed", { kind: "failed", code: "server_error", after: "created" }],
    ["broken before its headers", { kind: "cut-before-headers" }],
    ["cut before its first word", { kind: "end-after-created" }],
    ["cut in the middle", { kind: "cut-mid-text" }],
    ["empty", { kind: "empty" }],
  ];
  const compaction: Compaction = { asked: "endpoint", way: "endpoint" };
  const turns = { turn: makeTurn(), compaction: makeTurn({ compaction }) };
  for (const [what, turn] of Object.entries(turns)) {
    test.each(rows)(`a ${what}, %s`, async (_name, outcome) => {
      const { request, parts } = countingStop();
      const account = newAccount(outcome);
      const attempt = await sendTurn(turn, identityOf(account), request, {
        options: { ...OPTIONS, baseUrl: backend.url },
        clock: systemClock,
        ask,
      });
      if (attempt.ok) await readOn(attempt);
      expect(parts()).toBe(0);
    });
  }
});

describe("a compaction by the endpoint", () => {
  const hi = { type: "message", role: "user", content: [{ type: "input_text", text: "hi" }] };
  const compaction: Compaction = { asked: "endpoint", way: "endpoint" };
  const turn = makeTurn({ compaction }, { model: "gpt-5.5", input: [hi], instructions: "" });
  const compact = (account: FakeAccount, request: Stop = createStop()): Promise<Attempt> =>
    sendTurn(turn, identityOf(account), request, {
      options: { ...OPTIONS, baseUrl: backend.url },
      clock: systemClock,
      ask,
    });

  test("is posted there as it is, and its answer comes as finished events", async () => {
    const attempt = await served(compact(newAccount()));
    const [request] = backend.compactions();
    expect(request?.body).toEqual(turn.body);
    expect(request?.headers["accept"]).toBe("*/*");
    expect(attempt.held.at(-1)?.data()["response"]).toMatchObject({
      object: "response.compaction",
      output: [hi, { type: "compaction" }],
    });
    expect(await attempt.stream.read()).toEqual({ type: "end" });
    expect(attempt.stream.headers["content-type"]).toContain("json");
    attempt.stream.close();
  });

  test("without a compaction in it is a failure of the attempt", async () => {
    const { failure } = await failed(compact(newAccount({ kind: "ok", items: [hi] })));
    expect(failure.kind).toBe("no-compaction");
  });

  const rows: [status: number, kind: FailureKind][] = [
    [404, "unknown-compaction"],
    [405, "unknown-compaction"],
    [410, "unknown-compaction"],
    [400, "bad-request"],
    [500, "server-error"],
  ];
  test.each(rows)("%p is %s", async (status, kind) => {
    const account = newAccount({ kind: "status", status, body: { detail: "No." } });
    expect((await failed(compact(account))).failure).toMatchObject({ kind, status });
  });

  const sendCompact = (limits: Partial<SendOptions>) => {
    const clock = createManualClock(1_795_219_200_000);
    const options = { ...OPTIONS, ...limits, baseUrl: raw.url };
    const identity = { accessToken: "token", workspaceId: "workspace", tag: "one" };
    return { attempt: sendTurn(turn, identity, createStop(), { options, clock, ask }), clock };
  };
  const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";

  test("takes its time before the headers: the work is done by then", async () => {
    const { attempt, clock } = sendCompact({ connectMs: 3000, idleMs: 7000 });
    const peer = await raw.next();
    clock.advance(6999);
    await settleDown();
    clock.advance(1);
    const { failure } = await failed(attempt);
    expect(failure.kind).toBe("timeout");
    expect(failure.message).toContain("event-idle-timeout-sec");
    await peer.closed;
  });

  test("that breaks off, or does not end, is told so", async () => {
    const broken = sendCompact({});
    const peer = await raw.next();
    await peer.write(`${HEAD}{"id":`);
    peer.end();
    expect((await failed(broken.attempt)).failure.kind).toBe("cut-short");
    const silent = sendCompact({ idleMs: 7000 });
    const other = await raw.next();
    await other.write(`${HEAD}{"id":`);
    const { failure } = await failed(advanceUntil(silent.attempt, silent.clock, 100));
    expect(failure).toMatchObject({ kind: "timeout" });
    await other.closed;
  });

  test("that is no JSON is no answer of the backend's", async () => {
    const account = newAccount({
      kind: "raw",
      status: 200,
      headers: { "content-type": "text/html" },
      chunks: ["<html>Welcome to the hotel</html>"],
    });
    expect((await failed(compact(account))).failure.kind).toBe("server-error");
  });

  test("ends with the request", async () => {
    const request = createStop();
    const attempt = compact(newAccount({ kind: "hang-before-headers" }), request);
    await backend.until(() => backend.compactions().length === 1);
    request.stop({ kind: "client-left", message: "The client went away." });
    expect((await failed(attempt)).failure.kind).toBe("client-left");
    await backend.until(() => backend.openRequests() === 0);
  });
});

describe("a compaction by a trigger", () => {
  const trigger = { type: "compaction_trigger" };
  const compaction: Compaction = { asked: "trigger", way: "trigger" };
  const turn = makeTurn({ compaction }, turnBody("", { input: [trigger] }));
  const compact = (account: FakeAccount): Promise<Attempt> =>
    sendTurn(turn, identityOf(account), createStop(), {
      options: { ...OPTIONS, baseUrl: backend.url },
      clock: systemClock,
      ask,
    });
  const item = (id: string) => ({ type: "compaction", id, encrypted_content: `g${id}` });

  test("is handed on whole, the backend's own bytes", async () => {
    const attempt = await served(compact(newAccount()));
    expect(attempt.held.at(-1)?.role).toBe("completed");
    const { events, batch } = await readOn(attempt);
    expect(batch.type).toBe("end");
    expect(itemsOf(events)).toMatchObject([{ type: "compaction" }]);
    expect(events.map((event) => event["sequence_number"])).toEqual(events.map((_, at) => at));
  });

  test("of several compactions the last one is told", async () => {
    const outcome: Outcome = { kind: "ok", items: [item("cmp_1"), item("cmp_2")] };
    const { events } = await readOn(await served(compact(newAccount(outcome))));
    expect(itemsOf(events)).toEqual([item("cmp_2")]);
    expect(events.filter((event) => event["type"] === "response.output_item.added")).toHaveLength(
      1,
    );
  });

  const rows: [outcome: Outcome, kind: FailureKind][] = [
    [{ kind: "ok", items: [{ type: "message", content: [{ text: "No." }] }] }, "no-compaction"],
    [{ kind: "empty" }, "no-compaction"],
    [{ kind: "incomplete", reason: "max_output_tokens" }, "no-compaction"],
    [{ kind: "failed", code: "server_is_overloaded", after: "text" }, "overloaded"],
    [{ kind: "cut-mid-text" }, "cut-short"],
    [{ kind: "end-after-created" }, "cut-short"],
    [{ kind: "fault", name: "404-detail" }, "bad-request"],
    [
      {
        kind: "error-event",
        code: "invalid_value",
        message: "No compaction_trigger.",
        after: "created",
      },
      "unknown-compaction",
    ],
  ];
  test.each(rows)("%j is %s, and nothing is handed on", async (outcome, kind) => {
    expect((await failed(compact(newAccount(outcome)))).failure.kind).toBe(kind);
  });
});

describe("silence", () => {
  const limits = { connectMs: 3000, firstEventMs: 5000, idleMs: 7000 };

  test("before the headers ends after connectMs", async () => {
    const { attempt, clock } = sendRaw(limits);
    const peer = await raw.next();
    clock.advance(2999);
    await settleDown();
    clock.advance(1);
    const { failure } = await failed(attempt);
    expect(failure).toMatchObject({ kind: "timeout" });
    expect(failure.message).toContain("connect-timeout-sec");
    await peer.closed;
  });

  test("after the headers ends after firstEventMs", async () => {
    const { attempt, clock } = sendRaw({ ...limits, connectMs: 0 });
    const peer = await raw.next();
    await peer.write(STREAM_HEAD);
    const { failure } = await failed(advanceUntil(attempt, clock, 100));
    expect(failure.message).toContain("first-event-timeout-sec");
    await peer.closed;
  });

  test.each([CREATED, ": words\n\n", "event: keepalive\ndata: {}\n\n"])(
    "after %p ends after idleMs",
    async (text) => {
      const { attempt, clock } = sendRaw({ connectMs: 0, firstEventMs: 0, idleMs: 1000 });
      const peer = await raw.next();
      await peer.write(STREAM_HEAD + chunk(text));
      const { failure } = await failed(advanceUntil(attempt, clock, 100));
      expect(failure).toMatchObject({ kind: "timeout" });
      expect(failure.message).toContain("event-idle-timeout-sec");
      await peer.closed;
    },
  );

  test("in the middle of the text is told inside the stream, and costs a slow client nothing", async () => {
    const { attempt, clock } = sendRaw(limits);
    const peer = await raw.next();
    await peer.write(STREAM_HEAD + chunk(CREATED + DELTA));
    const { stream } = await served(attempt);
    clock.advance(1_000_000);
    await peer.write(chunk(DELTA));
    expect((await stream.read()).type).toBe("steps");
    const batch = await advanceUntil(stream.read(), clock, 1000);
    expect(batch).toMatchObject({ type: "broken", failure: { kind: "timeout" } });
    stream.close();
    await peer.closed;
  });
});

describe("stopping", () => {
  const LEFT = { kind: "client-left", message: "The client went away." } as const;
  const phases: [outcome: Outcome["kind"], isOut: () => boolean][] = [
    ["hang-before-headers", () => backend.openRequests() === 1 && backend.turns().length === 1],
    ["hang-after-headers", () => backend.openStreams() === 1],
    ["hang-after-created", () => (backend.turns()[0]?.sentBytes ?? 0) > 0],
  ];
  test.each(phases)("ends a turn that does %s", async (kind, isOut) => {
    const request = createStop();
    const attempt = send(newAccount(hangOf(kind)), request);
    await backend.until(isOut);
    request.stop(LEFT);
    expect((await failed(attempt)).failure).toEqual(LEFT);
    await backend.until(() => backend.openRequests() === 0);
    expect(backend.turns()[0]?.aborted).toBe(true);
  });

  test("ends a turn in the middle of its text, at the request's word or by closing it", async () => {
    for (const way of ["request", "close"] as const) {
      backend.forget();
      const request = createStop();
      const { stream } = await served(send(newAccount({ kind: "hang-mid-text" }), request));
      const read = readAll(stream.read);
      if (way === "request") request.stop(LEFT);
      else stream.close();
      expect(await read).toMatchObject({ type: "broken", failure: { kind: "client-left" } });
      stream.close();
      await backend.until(() => backend.openRequests() === 0);
      expect(backend.turns()[0]?.aborted).toBe(true);
    }
  });

  test("ends an error body that is being read", async () => {
    const { attempt, request } = sendRaw();
    const peer = await raw.next();
    await peer.write("HTTP/1.1 500 Oops\r\ncontent-length: 500\r\n\r\n{");
    await settleDown();
    request.stop(LEFT);
    expect((await failed(attempt)).failure).toEqual(LEFT);
    await peer.closed;
  });

  test("beforehand sends nothing", async () => {
    const request = createStop();
    request.stop(LEFT);
    const { attempt } = sendRaw({}, request);
    expect((await failed(attempt)).failure).toEqual(LEFT);
    expect(raw.connections()).toBe(0);
  });

  test("ends a flood that nobody reads", async () => {
    const { stream } = await served(send(newAccount({ kind: "flood", bytes: 1e9 })));
    await stream.read();
    stream.close();
    await backend.until(() => backend.openRequests() === 0);
    expect(backend.turns()[0]?.sentBytes).toBeLessThan(100e6);
  });
});

async function readAll(read: Served["stream"]["read"]) {
  for (;;) {
    const batch = await read();
    if (batch.type !== "steps") return batch;
  }
}

function hangOf(kind: string): Outcome {
  const kinds = ["hang-before-headers", "hang-after-headers", "hang-after-created"] as const;
  const known = kinds.find((one) => one === kind);
  if (known === undefined) throw new Error(`There is no outcome ${kind}.`);
  return { kind: known };
}

describe("the connection", () => {
  const TURNS = 6;

  test("is used again after turns that were read to their end", async () => {
    const fresh = await startRaw();
    try {
      for (let turn = 0; turn < TURNS; turn++) {
        const options = { ...OPTIONS, baseUrl: fresh.url };
        const identity = { accessToken: "token", workspaceId: undefined, tag: "one" };
        const ports = { options, clock: createManualClock(0), ask };
        const attempt = sendTurn(makeTurn(), identity, createStop(), ports);
        const peer = await fresh.next();
        await peer.write(STREAM_HEAD + chunk(CREATED + DELTA));
        const { stream } = await served(attempt);
        await peer.write(chunk(COMPLETED));
        expect(await readAll(stream.read)).toEqual({ type: "end" });
        // Closed before the backend has ended the body: that must not cost the connection.
        stream.close();
        await peer.write(chunk(""));
        await settleDown(10);
      }
      expect(fresh.connections()).toBeLessThan(TURNS / 2);
    } finally {
      fresh.stop();
    }
  });

  test("is used again after an error that was read to its end", async () => {
    for (let turn = 0; turn < TURNS; turn++) {
      const { attempt } = sendRaw();
      const peer = await raw.next();
      await peer.write("HTTP/1.1 503 Full\r\ncontent-length: 2\r\n\r\n{}");
      await failed(attempt);
      await settleDown(10);
    }
    expect(raw.connections()).toBeLessThan(TURNS / 2);
  });

  test("is given up where a turn was left in the middle", async () => {
    for (let turn = 0; turn < 3; turn++) {
      const { attempt } = sendRaw();
      const peer: Peer = await raw.next();
      await peer.write(STREAM_HEAD + chunk(DELTA));
      (await served(attempt)).stream.close();
      await peer.closed;
    }
    expect(raw.connections()).toBe(3);
  });
});

describe("a connection that has died while nobody used it", () => {
  /** A turn that goes well, so that its connection is kept. */
  const begin = async (): Promise<Peer> => {
    const { attempt } = sendRaw();
    const peer = await raw.next();
    await peer.write(STREAM_HEAD + chunk(CREATED + DELTA + COMPLETED) + chunk(""));
    expect(await readAll((await served(attempt)).stream.read)).toEqual({ type: "end" });
    return peer;
  };

  test.each(["end", "reset"] as const)("by the backend's %s is not used again", async (how) => {
    const peer = await begin();
    peer[how]();
    await peer.closed;
    await settleDown(10);
    await begin();
    expect(raw.connections()).toBe(2);
  });

  const deaths: [name: string, die: (peer: Peer) => Promise<void> | void][] = [
    ["a reset after the request", (peer) => peer.reset()],
    ["an end after the request", (peer) => peer.end()],
    [
      "an end in the answer's head",
      async (peer) => {
        await peer.write("HTTP/1.1 200 OK\r\ncontent-ty");
        peer.end();
      },
    ],
  ];
  // Whether the backend has begun to work on it cannot be known: only the attempts decide whether it is sent again.
  test.each(deaths)("and shows it by %s: the request is sent once", async (_name, die) => {
    await begin();
    const { attempt } = sendRaw();
    await die(await raw.next());
    expect((await failed(attempt)).failure.kind).toBe("network");
    await settleDown(10);
    await begin();
    // The second request came on the first connection, and the third on a new one: there was no other.
    expect([raw.connections(), raw.requests()]).toEqual([2, 3]);
  });
});

describe("describeNetwork", () => {
  test("a proxy in trouble is told in its own words, and is no failure of the backend's", () => {
    const message = "The egress proxy http://h:1 (proxy-url) is asleep.";
    expect(describeNetwork(new EgressError(message))).toEqual({ kind: "egress", message });
  });

  test("a certificate that is not trusted is told with what to do", () => {
    const cause = Object.assign(new Error("x"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    expect(describeNetwork(cause)).toEqual({
      kind: "unreachable",
      message:
        "The backend has a certificate that is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT). An authority of your own is trusted by its file in NODE_EXTRA_CA_CERTS.",
    });
  });

  const coded = (code: string) => Object.assign(new Error("No."), { code });
  const rows: [kind: FailureKind, message: string, cause: unknown][] = [
    ["unreachable", "The backend does not speak TLS (EPROTO).", coded("EPROTO")],
    ["unreachable", "The backend could not be reached (ECONNREFUSED).", coded("ECONNREFUSED")],
    [
      "turned-away",
      "The backend gave the request back before it had worked on it (HTTP2RefusedStream).",
      coded("HTTP2RefusedStream"),
    ],
    ...(
      [
        ["ECONNRESET", coded("ECONNRESET")],
        ["The socket closed.", new Error("The socket closed.")],
        ["Bearer [token] refused", new Error("Bearer abcdef0123456789 refused")],
        ["unknown error", "odd"],
        ["unknown error", undefined],
      ] as const
    ).map(([words, cause]): [FailureKind, string, unknown] => [
      "network",
      `The backend broke the connection before it answered (${words}).`,
      cause,
    ]),
  ];
  test.each(rows)("tells %s: %s", (kind, message, cause) => {
    expect(describeNetwork(cause)).toEqual({ kind, message });
  });
});
