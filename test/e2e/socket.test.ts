import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { itemsOf, streamedText } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { CODEX, streamError } from "../support/call.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { onPosix } from "../support/system.ts";
import { until, within } from "../support/until.ts";
import { openTalk, type Talk } from "../support/websocket.ts";
import { openWire, type Wire } from "../support/wire.ts";

setDefaultTimeout(60_000);

const MIB = 1024 * 1024;
const PREFIXES = ["/v1", "/codex/v1", "/backend-api/codex"];

let backend: FakeBackend;
let account: FakeAccount;
let proxy: TestProxy;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true });
  account = backend.account("socket");
  proxy = await startProxy({ backend, accounts: [account], binary: true });
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
});

const question = (text: string) => ({
  type: "message",
  role: "user",
  content: [{ type: "input_text", text }],
});

const types = (events: readonly Dict[]) => events.map((event) => String(event["type"]));
const errorOf = (events: readonly Dict[]) => dict(events.at(-1)?.["error"]);

/** The id of the response that a turn ended with. */
function responseId(events: readonly Dict[]): string {
  return String(dict(events.at(-1)?.["response"])["id"]);
}

/** What the backend was sent as input with its latest turn. */
function lastInput(): readonly Dict[] {
  return list(dict(backend.turns().at(-1)?.body)["input"]).map(dict);
}

/** Waits for log lines of turns over sockets, from this mark on, that hold these words. Lines come late. */
async function logged(mark: number, words: string, count = 1): Promise<void> {
  const isEnough = (): boolean => {
    const lines = proxy.logs().slice(mark).split("\n");
    const ours = lines.filter((line) => line.includes(" protocol=websocket "));
    return ours.filter((line) => line.includes(words)).length >= count;
  };
  await until(`${count} turns with '${words}' are logged`, isEnough);
}

/** Nothing is left of any client: no stream at the backend, no account in use. */
async function idle(): Promise<void> {
  await backend.until(() => backend.openRequests() === 0 && backend.openStreams() === 0);
  await until("every account is given back", async () => {
    const { accounts } = await proxy.stats();
    return accounts.every(({ inFlight }) => inFlight === 0);
  });
}

/** A socket whose turn has said something and does not end by itself. */
async function openBusy(): Promise<{ talk: Talk; responseId: string }> {
  account.script({ kind: "hang-mid-text" });
  const talk = await openTalk(proxy, CODEX);
  talk.ask("Go on and on");
  const events = await talk.hear("response.output_text.delta");
  const opening = events.find((event) => event["type"] === "response.created");
  return { talk, responseId: String(dict(opening?.["response"])["id"]) };
}

describe("turns over a WebSocket", () => {
  test.each(PREFIXES)("on %s/responses", async (prefix) => {
    const talk = await openTalk(proxy, CODEX, `${prefix}/responses`);
    talk.ask("Say hi");
    const events = await talk.answer();
    expect(types(events)).toContain("keepalive");
    expect(streamedText(events)).toStartWith("You said: Say hi");
    talk.close();
  });

  test("a foreign client gets public events only, and the whole output at the end", async () => {
    const talk = await openTalk(proxy);
    talk.ask("Say hi");
    const events = await talk.answer();
    expect(types(events).filter((type) => !type.startsWith("response."))).toEqual([]);
    expect(list(dict(events.at(-1)?.["response"])["output"])).toEqual([...itemsOf(events)]);
    talk.close();
  });

  test("the openai SDK's own client", async () => {
    const client = new OpenAI({ apiKey: KEY, baseURL: `${proxy.url}/v1` });
    const socket = new ResponsesWS(client);
    const told = new Promise<string>((resolve, reject) => {
      let words = "";
      socket.on("response.output_text.delta", ({ delta }) => {
        words += delta;
      });
      socket.on("response.completed", ({ response }) => {
        resolve(`${words}|${response.status}|${response.output.length}`);
      });
      socket.on("error", reject);
    });
    socket.send({ type: "response.create", model: "gpt-5.5", input: "Say hi", store: false });
    expect(await within("the SDK hears the answer", told)).toMatch(
      /^You said: Say hi.*\|completed\|2$/,
    );
    socket.close();
  });

  test("an account that fails before the first event is not seen; one log line tells of both", async () => {
    backend.forget();
    const [full, good] = ["1-full", "1-good"].map((name) => backend.account(name));
    if (full === undefined || good === undefined) throw new Error("two accounts are needed");
    full.script({ kind: "failed", code: "server_is_overloaded", after: "created" });
    await using own = await startProxy({ backend, accounts: [full, good], binary: true });
    const talk = await openTalk(own, CODEX);
    talk.ask("Who answers?");
    const events = await talk.answer();
    expect(types(events).filter((type) => type === "response.created")).toHaveLength(1);
    expect(events.at(-1)?.["type"]).toBe("response.completed");
    expect(backend.turns().map(({ account: name }) => name)).toEqual(["1-full", "1-good"]);
    await until("it is logged", () => own.logs().includes(" protocol=websocket "));
    expect(own.logs().match(/ protocol=websocket .*attempts=2 /g)).toHaveLength(1);
    talk.close();
  });

  test("all accounts exhausted: an error event that Codex stops on, and the socket stays", async () => {
    const spent = backend.account("2-spent");
    spent.script({ kind: "fault", name: "429-usage" });
    await using own = await startProxy({ backend, accounts: [spent], config: { "max-retry": 0 } });
    const talk = await openTalk(own, CODEX);
    talk.ask("Say hi");
    const events = await talk.answer();
    expect(events).toMatchObject([
      {
        type: "error",
        status: 429,
        error: { type: "usage_limit_reached", plan_type: "plus", resets_at: expect.any(Number) },
      },
    ]);
    talk.ask("And now?");
    expect((await talk.answer()).at(-1)).toMatchObject({ type: "error", status: 429 });
    talk.close();
  });

  test("a failure in the middle is a `response.failed`, and the socket takes the next turn", async () => {
    account.script({ kind: "cut-mid-text" });
    const talk = await openTalk(proxy, CODEX);
    talk.ask("Say hi");
    expect(streamError(await talk.answer())).toMatchObject({ code: "server_error" });
    talk.ask("Say hi again");
    expect(streamedText(await talk.answer())).toStartWith("You said: Say hi again");
    talk.close();
  });

  test("B5-10: a token that is renewed between two turns is used by the second", async () => {
    const talk = await openTalk(proxy, CODEX);
    talk.ask("Before");
    await talk.answer();
    backend.forget();
    account.expireAccessToken();
    talk.ask("After");
    expect((await talk.answer()).at(-1)?.["type"]).toBe("response.completed");
    expect(backend.refreshes()).toHaveLength(1);
    const tokens = backend.turns().map(({ headers }) => headers["authorization"]);
    expect(new Set(tokens).size).toBe(2);
    expect(tokens.at(-1)).toBe(`Bearer ${account.tokens().accessToken}`);
    talk.close();
  });
});

describe("conversations over a WebSocket", () => {
  test("M2: input sent ahead touches no account; the turns after it send only what is new", async () => {
    backend.forget();
    const mark = proxy.logs().length;
    const talk = await openTalk(proxy, CODEX);
    talk.ask("Be brief", { generate: false });
    const prewarmed = await talk.answer();
    expect(types(prewarmed)).toEqual(["response.created", "response.completed"]);
    expect(backend.turns()).toHaveLength(0);
    talk.ask("One", { previous_response_id: responseId(prewarmed) });
    const first = await talk.answer();
    talk.ask("Two", { previous_response_id: responseId(first) });
    await talk.answer();
    expect(lastInput()).toEqual([
      question("Be brief"),
      question("One"),
      ...itemsOf(first),
      question("Two"),
    ]);
    await logged(mark, " prewarm=true ");
    await logged(mark, " attempts=1 ", 2);
    expect(
      proxy
        .logs()
        .slice(mark)
        .match(/ prewarm=/g),
    ).toHaveLength(1);
    talk.close();
  });

  test("B5-9: another socket's response is not known; the client is told so and sends all", async () => {
    const before = await openTalk(proxy, CODEX);
    before.ask("One");
    const previous_response_id = responseId(await before.answer());
    before.kill();
    const talk = await openTalk(proxy, CODEX);
    talk.ask("Two", { previous_response_id });
    const refused = await talk.answer();
    expect(refused).toMatchObject([{ type: "error", status: 400 }]);
    expect(errorOf(refused)["code"]).toBe("previous_response_not_found");
    talk.ask("One and two");
    expect((await talk.answer()).at(-1)?.["type"]).toBe("response.completed");
    talk.close();
  });

  test("the openai SDK's own client goes on by ids, from HTTP to the socket and back", async () => {
    const client = new OpenAI({ apiKey: KEY, baseURL: `${proxy.url}/v1` });
    const first = await client.responses.create({ model: "gpt-5.5", input: "One" });
    const socket = new ResponsesWS(client);
    const ended = new Promise<OpenAI.Responses.Response>((resolve, reject) => {
      socket.on("response.completed", ({ response }) => resolve(response));
      socket.on("error", reject);
    });
    socket.send({
      type: "response.create",
      model: "gpt-5.5",
      input: "Two",
      previous_response_id: first.id,
    });
    const second = await within("the SDK hears the answer", ended);
    socket.close();
    expect(second.previous_response_id).toBe(first.id);
    const third = await client.responses.create({
      model: "gpt-5.5",
      input: "Three",
      previous_response_id: second.id,
    });
    expect(third.previous_response_id).toBe(second.id);
    const said = lastInput().map(({ type, role }) => role ?? type);
    const turn = ["user", "reasoning", "assistant"];
    expect(said).toEqual([...turn, ...turn, "user"]);
  });

  test("the sticky token of a turn is told in an event and goes back to its account", async () => {
    backend.forget();
    const talk = await openTalk(proxy, CODEX);
    talk.ask("One");
    const [metadata] = await talk.answer();
    const state = dict(metadata?.["headers"])["x-codex-turn-state"];
    talk.ask("Two", { client_metadata: { "x-codex-turn-state": state, turn_id: "t" } });
    await talk.answer();
    const [first, second] = backend.turns();
    expect(first?.headers["x-codex-turn-state"]).toBeUndefined();
    expect(state).toEndWith(`.${second?.headers["x-codex-turn-state"]}`);
    expect(dict(second?.body)["client_metadata"]).toEqual({ turn_id: "t" });
    talk.close();
  });
});

describe("ending a response", () => {
  test("an interruption stops the backend at once, and the turn can be gone on from", async () => {
    await idle();
    const mark = proxy.logs().length;
    const before = (await proxy.stats()).of(account);
    const { talk, responseId: response_id } = await openBusy();
    talk.send({ type: "response.interrupt", response_id, mode: "discard_partial_items" });
    const startMs = performance.now();
    await backend.until(() => backend.openStreams() === 0);
    expect(performance.now() - startMs).toBeLessThan(500);
    const events = await talk.answer();
    expect(types(events).slice(-3)).toEqual([
      "response.interrupt.accepted",
      "response.output_item.interrupted",
      "response.incomplete",
    ]);
    await logged(mark, " status=499 ");
    const after = (await proxy.stats()).of(account);
    expect([after.state, after.errors]).toEqual([before.state, before.errors]);
    talk.ask("Instead, say hi", { previous_response_id: response_id });
    expect((await talk.answer()).at(-1)?.["type"]).toBe("response.completed");
    const kinds = lastInput().map(({ type }) => type);
    expect(kinds).toEqual(["message", "reasoning", "message"]);
    talk.close();
  });

  test("so does a cancellation", async () => {
    const { talk } = await openBusy();
    talk.send({ type: "response.cancel" });
    expect((await talk.answer()).at(-1)).toMatchObject({
      type: "response.incomplete",
      response: { status: "incomplete", incomplete_details: { reason: "interrupted" } },
    });
    await idle();
    talk.close();
  });

  test("a client that breaks off stops the backend within 100 ms", async () => {
    await idle();
    const mark = proxy.logs().length;
    const { talk } = await openBusy();
    const startMs = performance.now();
    talk.kill();
    await backend.until(() => backend.openStreams() === 0);
    // The bound is the product's; a busy test machine gets some more.
    expect(performance.now() - startMs).toBeLessThan(500);
    await logged(mark, " status=499 ");
    await idle();
  });
});

describe("several responses on one WebSocket", () => {
  test("a second one in the same lane is refused and does not disturb the first", async () => {
    const slow = await startBackend({ paceMs: 20 });
    try {
      const only = slow.account("lanes");
      await using own = await startProxy({ backend: slow, accounts: [only] });
      const talk = await openTalk(own, CODEX);
      talk.ask("First");
      const begun = await talk.hear("response.output_item.added");
      talk.ask("Second");
      const refused = await talk.hear("error");
      expect(errorOf(refused)["code"]).toBe("response_already_running");
      const rest = await talk.hear("response.completed");
      expect(streamedText([...begun, ...refused, ...rest])).toStartWith("You said: First");
      expect(slow.turns()).toHaveLength(1);
      talk.close();
    } finally {
      await slow.stop();
    }
  });

  test("lanes with names run beside each other", async () => {
    const talk = await openTalk(proxy, CODEX);
    talk.ask("From x", { stream_id: "x" });
    talk.ask("From y", { stream_id: "y" });
    const events = [
      ...(await talk.hear("response.completed")),
      ...(await talk.hear("response.completed")),
    ];
    for (const lane of ["x", "y"]) {
      const own = events.filter((event) => event["stream_id"] === lane);
      expect(streamedText(own)).toStartWith(`You said: From ${lane}`);
      expect(own.at(-1)?.["type"]).toBe("response.completed");
    }
    expect(events.every((event) => event["stream_id"] !== undefined)).toBe(true);
    talk.close();
  });
});

describe("the wire", () => {
  const HEADERS = { authorization: `Bearer ${KEY}`, ...CODEX };

  test("M2: compressed frames are read, and large ones are sent", async () => {
    const wire = await openWire(proxy.url, "/v1/responses", HEADERS);
    expect(wire.handshake).toMatch(/sec-websocket-extensions: permessage-deflate/i);
    const instructions = "x".repeat(5000);
    const event = { type: "response.create", model: "gpt-5.5", generate: false, instructions };
    wire.send(JSON.stringify(event), true);
    await until("the answer comes", () => wire.received().length === 2);
    for (const { text, isPacked } of wire.received()) {
      expect(isPacked).toBe(true);
      expect(JSON.parse(text)).toMatchObject({ response: { instructions } });
    }
    wire.leave();
  });

  test("a small frame that unpacks into a huge one ends its connection and nothing else", async () => {
    const wire = await openWire(proxy.url, "/v1/responses", HEADERS);
    wire.send(`{"type":"response.create","input":"${"x".repeat(80 * MIB)}"}`, true);
    await within("the connection ends", wire.closed);
    const talk = await openTalk(proxy, CODEX);
    talk.ask("Still there?");
    expect((await talk.answer()).at(-1)?.["type"]).toBe("response.completed");
    talk.close();
  });

  test("a client that does not read slows the backend down, and loses nothing", async () => {
    await idle();
    const bytes = 48 * MIB;
    account.script({ kind: "flood", bytes }, { kind: "flood", bytes });
    const flooded = JSON.stringify({
      type: "response.create",
      model: "gpt-5.5",
      input: [question("Go")],
    });
    const isOver = ({ received }: Wire) =>
      received().at(-1)?.text.includes('"type":"response.completed"') === true;
    const slow = await openWire(proxy.url, "/v1/responses", HEADERS);
    slow.pause();
    slow.send(flooded);
    await backend.until(() => backend.openStreams() === 1);
    // While another client reads as much to its end, this one's turn stands still.
    const quick = await openWire(proxy.url, "/v1/responses", HEADERS);
    quick.send(flooded);
    await until("the other client has all", () => isOver(quick), 30_000);
    expect(backend.openStreams()).toBe(1);
    slow.resume();
    await until("this client has all", () => isOver(slow), 30_000);
    const deltas = slow.received().filter(({ text }) => text.includes("output_text.delta"));
    expect(deltas.length).toBeGreaterThanOrEqual(bytes / 1024);
    slow.leave();
    quick.leave();
  });

  test("1,000 sockets that are opened and broken off leave nothing behind", async () => {
    await idle();
    const before = (await proxy.stats()).of(account);
    const round = async (): Promise<void> => {
      const talks = await Promise.all(Array.from({ length: 100 }, () => openTalk(proxy, CODEX)));
      for (const [at, talk] of talks.entries()) {
        if (at % 4 === 0) talk.ask("Nobody will read this");
        if (at % 4 === 1) talk.send("{");
        talk.kill();
      }
    };
    for (let at = 0; at < 10; at++) await within(`round ${at}`, round(), 20_000);
    await idle();
    const talk = await openTalk(proxy, CODEX);
    talk.ask("Still there?");
    expect((await talk.answer()).at(-1)?.["type"]).toBe("response.completed");
    talk.close();
    const { state, errors } = (await proxy.stats()).of(account);
    expect([state, errors]).toEqual([before.state, before.errors]);
  });

  test("frames that are none are answered, and the socket stays", async () => {
    const talk = await openTalk(proxy, CODEX);
    for (const frame of ["{", new Uint8Array([1, 2]), '{"type":"session.update"}']) {
      talk.send(frame);
      expect(await talk.answer()).toMatchObject([{ type: "error", status: 400 }]);
    }
    talk.send({ type: "response.processed", response_id: "resp_1" });
    talk.ask("Say hi");
    expect((await talk.answer()).at(-1)?.["type"]).toBe("response.completed");
    talk.close();
  });
});

describe("the end of the program", () => {
  onPosix("idle sockets end at once with 1001, busy ones after their turn", async () => {
    const slow = await startBackend({ paceMs: 20 });
    try {
      const only = slow.account("ending");
      const config = { "shutdown-timeout": 20 };
      await using own = await startProxy({ backend: slow, accounts: [only], binary: true, config });
      const resting = await openTalk(own, CODEX);
      const busy = await openTalk(own, CODEX);
      busy.ask("Let me end");
      await busy.hear("response.output_item.added");
      own.kill("SIGTERM");
      expect(await within("the idle socket ends", resting.closed)).toBe(1001);
      expect((await busy.answer()).at(-1)?.["type"]).toBe("response.completed");
      expect(await within("the busy socket ends", busy.closed)).toBe(1001);
      expect(await within("the program ends", own.exited)).toBe(0);
    } finally {
      await slow.stop();
    }
  });

  onPosix("what still runs at the deadline is ended", async () => {
    const only = backend.account("3-hanging");
    only.script({ kind: "hang-mid-text" });
    const config = { "shutdown-timeout": 1 };
    await using own = await startProxy({ backend, accounts: [only], binary: true, config });
    const talk = await openTalk(own, CODEX);
    talk.ask("Go on and on");
    await talk.hear("response.output_text.delta");
    own.kill("SIGTERM");
    expect(await within("the socket ends", talk.closed)).toBe(1001);
    expect(await within("the program ends", own.exited)).toBe(0);
  });
});

test("B9-2, M1: switched off, a handshake is answered with 426 on every route", async () => {
  const config = { "enable-websocket": false };
  await using own = await startProxy({ backend, accounts: [account], config });
  for (const prefix of PREFIXES) {
    const wire = await openWire(own.url, `${prefix}/responses`, {
      authorization: `Bearer ${KEY}`,
    });
    expect([prefix, wire.handshake.split("\r\n")[0]]).toEqual([
      prefix,
      "HTTP/1.1 426 Upgrade Required",
    ]);
    wire.leave();
  }
});
