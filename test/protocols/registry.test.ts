import { describe, expect, test } from "bun:test";
import type { Exchange, Protocol } from "../../src/protocols/protocol.ts";
import { createProtocols, wordingFor } from "../../src/protocols/registry.ts";
import { SEED_CATALOG } from "../../src/turn/catalog.ts";
import { type Failure, refuse } from "../../src/turn/failure.ts";
import { resolveModel } from "../../src/turn/model.ts";
import { isTerminal, type Step } from "../../src/turn/step.ts";
import type { Json } from "../../src/wire/json.ts";
import type { Frame } from "../../src/wire/sse.ts";
import { CLIENTS, type Client, exchangeOf } from "./clients.ts";
import { expectGolden } from "./golden.ts";
import {
  batchesOf,
  encode,
  eventsIn,
  joinAll,
  NOON,
  portsOf,
  recordingOf,
  TURNS,
  terminalOf,
} from "./turns.ts";

const protocols = createProtocols(portsOf());

describe("the registry", () => {
  test("has every protocol under a name and a path of its own", () => {
    for (const field of ["name", "path"] as const) {
      const values = protocols.map((protocol) => protocol[field]);
      expect(new Set(values).size).toBe(values.length);
    }
  });

  test.each(protocols.map((protocol) => [protocol.name, protocol] as const))(
    "%s refuses what is no request, with the request's id in the answer",
    (_name, protocol) => {
      const decoded = protocol.decode({
        bytes: new TextEncoder().encode("[]"),
        headers: new Headers(),
        scope: "",
        resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      });
      if (decoded.ok) throw new Error("it was taken");
      const { status, body } = protocol.fail(decoded.failure, "req_1", NOON);
      expect(status).toBe(400);
      expect(JSON.stringify(body)).toContain("req_1");
    },
  );

  test("words a refusal for a client that called no protocol as its own API does", () => {
    const failure = refuse(404, "not_found", "There is nothing.");
    const plain = wordingFor(new Headers(), protocols).fail(failure, "req_1", NOON);
    expect(plain.body).toMatchObject({ error: { code: "not_found" } });
    const claude = wordingFor(new Headers({ "anthropic-version": "2023-06-01" }), protocols);
    expect(claude.idHeader).toBe("request-id");
    expect(claude.fail(failure, "req_1", NOON).body).toMatchObject({
      type: "error",
      error: { type: "not_found_error" },
    });
  });

  test("has no protocol without a client to replay the turns for", () => {
    const spoken = new Set(CLIENTS.map(({ protocol }) => protocol));
    expect(protocols.map(({ name }) => name).filter((name) => !spoken.has(name))).toEqual([]);
  });
});

const recordings = TURNS.map((turn) => [turn, recordingOf(turn)] as const);

describe("a recorded turn", () => {
  test.each(recordings)(
    "%s comes in the same events wherever the network cut its bytes",
    (_turn, recording) => {
      const wanted = framesOf([recording]);
      for (let cut = 1; cut < recording.length; cut++) {
        const frames = framesOf([recording.subarray(0, cut), recording.subarray(cut)]);
        if (!areSame(frames, wanted)) expect({ cut, frames }).toEqual({ cut, frames: wanted });
      }
      expect(framesOf(Array.from(recording, (_, at) => recording.slice(at, at + 1)))).toEqual(
        wanted,
      );
    },
  );
});

const spoken = protocols.flatMap((protocol) =>
  CLIENTS.filter((client) => client.protocol === protocol.name).map(
    (client) => [client.golden, client, protocol] as const,
  ),
);

/** Streams that have begun, and weak references to the bytes of their requests. */
function beginStreams({ request, headers }: Client, protocol: Protocol, count: number) {
  return Array.from({ length: count }, () => {
    const bytes = new TextEncoder().encode(JSON.stringify(request));
    const decoded = protocol.decode({
      bytes,
      headers: new Headers(headers),
      scope: "",
      resolve: (model) => resolveModel(model, SEED_CATALOG, []),
    });
    if (!decoded.ok) throw new Error(decoded.failure.message);
    return { stream: decoded.exchange.stream(), bytes: new WeakRef(bytes) };
  });
}

describe.each(spoken)("%s", (golden, client, protocol) => {
  test("a stream that goes on does not hold the bytes of its request", async () => {
    const begun = beginStreams(client, protocol, 50);
    await new Promise((resolve) => setImmediate(resolve));
    Bun.gc(true);
    // The collector looks at the stack without knowing what on it is a reference: one or two may seem to be held.
    const held = begun.filter(({ bytes }) => bytes.deref() !== undefined).length;
    expect(held).toBeLessThan(5);
    expect(begun.every(({ stream }) => stream.heartbeat.length > 0)).toBe(true);
  });

  describe.each(recordings)("the turn %s", (turn, recording) => {
    const steps = batchesOf([recording]).flat();
    const streamed = encode(exchangeOf(client, protocol).stream(), [recording]);

    test("is streamed as recorded", () => {
      expectGolden(`turns/${turn}/${golden}.sse`, textOf(streamed));
    });

    if (client.readsBodies) {
      test("is answered in one piece as recorded", () => {
        const answer = JSON.stringify(answerTo(client, protocol, recording), null, 1);
        expectGolden(`turns/${turn}/${golden}.json`, `${answer}\n`);
      });
    }

    // What the network cuts reaches an encoder as batches of whole events, which is all that can differ.
    test("is the same in whatever batches its events come", () => {
      const wanted = latin(streamed);
      const exchange = exchangeOf(client, protocol);
      for (let at = 1; at < steps.length; at++) {
        const other = written(exchange, [steps.slice(0, at), steps.slice(at)]);
        expect(other).toBe(wanted);
      }
      expect(
        written(
          exchange,
          steps.map((step) => [step]),
        ),
      ).toBe(wanted);
    });

    test("ends as the backend ended it", () => {
      const { role } = terminalOf(recording);
      expectEnd(client, streamed, role === "failed" || role === "error");
    });

    test("ends as a failure when it breaks off after any event", () => {
      const exchange = exchangeOf(client, protocol);
      const last = steps.findIndex(({ role }) => isTerminal(role));
      for (let at = 0; at <= last; at++) {
        const encoder = exchange.stream();
        const pieces = [...encoder.push(steps.slice(0, at)), ...encoder.fail(CUT)];
        expectEnd(client, joinAll(pieces), true);
      }
    });
  });
});

const CUT: Failure = { kind: "cut-short", message: "The stream ended before its last event." };

/** A stream says once how it ended, at its end, and what came before is well-formed. */
function expectEnd(client: Client, bytes: Uint8Array, hasFailed: boolean): void {
  const events = eventsIn(bytes);
  expect(client.faultsIn(events)).toEqual([]);
  expect(events.filter(client.isFinish)).toHaveLength(hasFailed ? 0 : 1);
  expect(events.filter(client.isFailure)).toHaveLength(hasFailed ? 1 : 0);
  const words = textOf(bytes);
  if (hasFailed) expect(events.findIndex(client.isFailure)).toBe(events.length - 1);
  if (client.closing !== "") expect(words.endsWith(client.closing)).toBe(!hasFailed);
  expect(words).toMatch(/(?:\n|\r\n){2}$/);
}

/** What a client that wants its answer in one piece is told. */
function answerTo(client: Client, protocol: Protocol, recording: Uint8Array): Json {
  const exchange = exchangeOf(client, protocol);
  const { role, data } = terminalOf(recording);
  if (role === "failed" || role === "error") {
    const { status, headers, body } = protocol.fail(exchange.classify(data()), "req_1", NOON);
    return { status, headers, body };
  }
  const encoder = exchange.body();
  for (const steps of batchesOf([recording])) encoder.push(steps);
  return { status: 200, headers: {}, body: encoder.end() };
}

function written(exchange: Exchange, batches: readonly (readonly Step[])[]): string {
  const encoder = exchange.stream();
  return latin(joinAll(batches.flatMap((steps) => encoder.push(steps))));
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Bytes as a string that compares quickly and loses nothing. */
const latin = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

const framesOf = (chunks: readonly Uint8Array[]): readonly Frame[] =>
  batchesOf(chunks)
    .flat()
    .map(({ frame }) => frame);

/** The same as `toEqual`, and quick enough for every offset. */
function areSame(some: readonly Frame[], others: readonly Frame[]): boolean {
  if (some.length !== others.length) return false;
  return some.every(({ event, bytes }, at) => {
    const other = others[at];
    return event === other?.event && Buffer.compare(bytes, other.bytes) === 0;
  });
}
