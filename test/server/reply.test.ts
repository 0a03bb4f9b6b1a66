import { afterEach, describe, expect, test } from "bun:test";
import type { Watched } from "../../src/engine/watch.ts";
import type { StreamEncoder } from "../../src/protocols/protocol.ts";
import {
  type ReplyOptions,
  type Source,
  streamReply,
  wholeReply,
  writeReply,
} from "../../src/server/reply.ts";
import type { Failure } from "../../src/turn/failure.ts";
import type { Batch } from "../../src/upstream/stream.ts";
import { completed, failure, gate, NOON, settled, step, steps } from "../engine/parts.ts";
import { createManualClock } from "../support/clock.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const DELTA = steps(step("response.output_text.delta"));
const END = steps(completed());

/** Writes what it is told by name, so that an answer can be read as text. */
function plainEncoder(more: Partial<StreamEncoder> = {}): StreamEncoder {
  return {
    heartbeat: encoder.encode("[beat]"),
    push: (all) => all.map(({ role }) => encoder.encode(`[${role}]`)),
    fail: ({ kind }) => [encoder.encode(`[fail ${kind}]`)],
    ...more,
  };
}

type Play = {
  /** By read; a function makes a batch at that moment. */
  readonly batches?: readonly (Batch | (() => Promise<Batch>))[];
  readonly heartbeatMs?: number;
  readonly unreadMs?: number;
  readonly encoder?: StreamEncoder;
  /** Wraps the turn into what the reply is given. */
  readonly source?: (turn: Watched) => Source;
};

// A rejection that nobody waited for fails the test that is running: leave it time to come up.
afterEach(() => new Promise((resolve) => setImmediate(resolve)));

/** A turn, and what becomes of it. */
function scene({ batches = [DELTA, END], heartbeatMs = 0, unreadMs = 0 }: Play) {
  const clock = createManualClock(NOON);
  const ends: (Failure | undefined)[] = [];
  const faults: unknown[] = [];
  let reads = 0;
  let closes = 0;
  let leaves = 0;
  let unread = 0;
  let bytes = 0;
  const turn: Watched = {
    headers: {},
    tag: "t",
    read: async () => {
      const batch = batches[reads++] ?? { type: "end" };
      return typeof batch === "function" ? batch() : batch;
    },
    close: () => {
      closes += 1;
    },
  };
  const options: ReplyOptions = {
    clock,
    heartbeatMs,
    unreadMs,
    onUnread: () => {
      unread += 1;
    },
    onWrite: (count) => {
      bytes += count;
    },
    onEnd: (ended) => ends.push(ended),
    onLeave: () => {
      leaves += 1;
    },
    onFault: (cause) => {
      faults.push(cause);
      return failure("internal");
    },
  };
  return {
    clock,
    turn,
    options,
    faults,
    ends: () => ends.map((ended) => ended?.kind ?? "well"),
    counts: () => ({ reads, closes, leaves, bytes }),
    unread: () => unread,
  };
}

/** An answer that is read as a stream. */
function stage(play: Play = {}) {
  const setting = scene(play);
  const { turn, options } = setting;
  const source = play.source?.(turn) ?? turn;
  const reader = streamReply(source, play.encoder ?? plainEncoder(), options).getReader();
  return {
    ...setting,
    reader,
    next: async () => {
      const { done, value } = await reader.read();
      return done ? "END" : decoder.decode(value);
    },
    all: async () => {
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return text;
        text += decoder.decode(value);
      }
    },
  };
}

describe("wholeReply", () => {
  test("writes all of a turn at once, then gives it back", async () => {
    const batches = [steps(step("response.output_text.delta"), completed())];
    const { turn, options, ends, counts } = scene({ batches });
    const body = await wholeReply(turn, plainEncoder(), options);
    expect(decoder.decode(body)).toBe("[output][completed]");
    expect(ends()).toEqual(["well"]);
    expect(counts()).toMatchObject({ reads: 1, closes: 1, bytes: 19 });
  });

  test("where the encoder fails, nothing has been told and the turn is given back", async () => {
    const { turn, options, ends, counts } = scene({ batches: [END] });
    const broken = plainEncoder({
      push: () => {
        throw new Error("a bug");
      },
    });
    await expect(wholeReply(turn, broken, options)).rejects.toThrow("a bug");
    expect(ends()).toEqual([]);
    expect(counts()).toMatchObject({ closes: 1, bytes: 0 });
  });
});

describe("streamReply, a turn at hand", () => {
  test("is written to its end and closed once", async () => {
    const { all, ends, counts } = stage({ batches: [DELTA, DELTA, END] });
    expect(await all()).toBe("[output][output][completed]");
    expect(ends()).toEqual(["well"]);
    expect(counts()).toMatchObject({ reads: 3, closes: 1, leaves: 0, bytes: 27 });
  });

  test("ends with its last event, whatever may follow", async () => {
    const { all, counts } = stage({ batches: [END, DELTA, DELTA] });
    expect(await all()).toBe("[completed]");
    expect(counts().reads).toBe(1);
  });

  test("batches of which nothing is written are read on through", async () => {
    const quiet = plainEncoder({
      push: (all) =>
        all.flatMap(({ role }) => (role === "preamble" ? [] : [encoder.encode(`[${role}]`)])),
    });
    const preamble = steps(step("response.created"));
    const { next, counts } = stage({ batches: [preamble, preamble, DELTA, END], encoder: quiet });
    expect(await next()).toBe("[output]");
    expect(counts().reads).toBeGreaterThanOrEqual(3);
  });

  test("a failure of the backend's own is its last event", async () => {
    const failed = steps(step("response.failed", { response: {} }));
    const { all, ends } = stage({ batches: [DELTA, failed] });
    expect(await all()).toBe("[output][failed]");
    expect(ends()).toEqual(["well"]);
  });

  test("a stream that breaks is told in the protocol's form, then ends cleanly", async () => {
    const broken: Batch = { type: "broken", failure: failure("cut-short") };
    const { all, ends, counts } = stage({ batches: [DELTA, broken] });
    expect(await all()).toBe("[output][fail cut-short]");
    expect(ends()).toEqual(["cut-short"]);
    expect(counts()).toMatchObject({ closes: 1, leaves: 0 });
  });

  test("a fault of ours is told to the log and to the client, and ends cleanly", async () => {
    const bugs: readonly Partial<Play>[] = [
      { batches: [DELTA, () => Promise.reject(new Error("a bug"))] },
      {
        encoder: plainEncoder({
          push: () => {
            throw new Error("a bug");
          },
        }),
      },
    ];
    for (const bug of bugs) {
      const { all, ends, counts, faults } = stage(bug);
      expect(await all()).toEndWith("[fail internal]");
      expect(faults).toEqual([new Error("a bug")]);
      expect(ends()).toEqual(["internal"]);
      expect(counts().closes).toBe(1);
    }
  });

  test("a fault in telling a fault breaks the connection, and still frees the account", async () => {
    const { all, ends, counts } = stage({
      encoder: plainEncoder({
        push: () => {
          throw new Error("a bug");
        },
        fail: () => {
          throw new Error("another bug");
        },
      }),
    });
    expect(await all().catch(String)).toContain("another bug");
    expect(ends()).toEqual(["internal"]);
    expect(counts().closes).toBe(1);
  });
});

/** An answer that is written to a client who takes what is there only when told to. */
function writeTo(play: Play) {
  const { turn, options, ...setting } = scene(play);
  let room: PromiseWithResolvers<number> | undefined;
  let text = "";
  const written = writeReply(turn, plainEncoder(), options).pull({
    write: (piece) => {
      text += decoder.decode(piece);
      room ??= Promise.withResolvers();
      return room.promise;
    },
    flush: () => 0,
    close: () => {
      text += "[close]";
    },
  });
  return {
    ...setting,
    written,
    text: () => text,
    take: async () => {
      room?.resolve(0);
      room = undefined;
      await settled();
    },
  };
}

describe("writeReply, back-pressure", () => {
  test("the backend is read no further than what the client has taken", async () => {
    const { take, counts } = writeTo({ batches: Array.from({ length: 100 }, () => DELTA) });
    await settled();
    for (let reads = 1; reads <= 20; reads++) {
      expect(counts().reads).toBe(reads);
      await take();
    }
  });

  test("who has not read everything when the turn ends keeps nobody's account", async () => {
    const { written, text, ends, counts } = writeTo({ batches: [END] });
    await written;
    expect(text()).toBe("[completed][close]");
    expect(ends()).toEqual(["well"]);
    expect(counts().closes).toBe(1);
  });
});

describe("writeReply, a client that takes nothing", () => {
  const LIMIT_MS = 1000;
  const flood = Array.from({ length: 100 }, () => DELTA);
  const silent = (): Promise<Batch> => new Promise(() => {});

  test("is given up after unreadMs, and half of it at most; this is no normal end", async () => {
    const { clock, ends, counts, unread, text, written } = writeTo({
      batches: flood,
      unreadMs: LIMIT_MS,
    });
    await settled();
    clock.advance(LIMIT_MS);
    expect([unread(), ends()]).toEqual([0, []]);
    clock.advance(LIMIT_MS / 2);
    expect([unread(), ends()]).toEqual([1, ["client-left"]]);
    expect(counts()).toMatchObject({ reads: 1, closes: 1, leaves: 0 });
    expect(await written.catch(String)).toContain("took nothing");
    expect(text()).toBe("[output]");
  });

  test("is given up too where the backend is silent meanwhile", async () => {
    const { clock, unread, counts } = writeTo({ batches: [DELTA, silent], unreadMs: LIMIT_MS });
    await settled();
    clock.advance(2 * LIMIT_MS);
    expect(unread()).toBe(1);
    expect(counts().closes).toBe(1);
  });

  test("is let be as long as it takes a little", async () => {
    const { clock, take, unread } = writeTo({ batches: flood, unreadMs: LIMIT_MS });
    await settled();
    for (let read = 0; read < 50; read++) {
      clock.advance(LIMIT_MS * 0.9);
      await take();
    }
    expect(unread()).toBe(0);
  });

  test("because there is nothing is no such client, however long the silence", async () => {
    const { clock, take, unread } = writeTo({ batches: [DELTA, silent], unreadMs: LIMIT_MS });
    await settled();
    await take();
    clock.advance(1000 * LIMIT_MS);
    expect(unread()).toBe(0);
  });

  test("is not looked at any more once its answer has ended", async () => {
    const { clock, written, unread, ends } = writeTo({ batches: [END], unreadMs: LIMIT_MS });
    await written;
    clock.advance(100 * LIMIT_MS);
    expect([unread(), ends()]).toEqual([0, ["well"]]);
  });
});

describe("streamReply, signs of life", () => {
  const never = (): Promise<Batch> => new Promise(() => {});

  test("B1-8: come in silence only, by the clock", async () => {
    const { clock, next, reader } = stage({ batches: [DELTA, never], heartbeatMs: 15_000 });
    expect(await next()).toBe("[output]");
    await settled();
    clock.advance(14_999);
    const waiting = next();
    await settled();
    clock.advance(1);
    expect(await waiting).toBe("[beat]");
    const again = next();
    clock.advance(15_000);
    expect(await again).toBe("[beat]");
    await reader.cancel();
  });

  test("what is written puts them off", async () => {
    const late = gate<Batch>();
    const { clock, next, reader } = stage({
      batches: [DELTA, () => late.promise, never],
      heartbeatMs: 15_000,
    });
    expect(await next()).toBe("[output]");
    await settled();
    clock.advance(10_000);
    late.open(DELTA);
    expect(await next()).toBe("[output]");
    await settled();
    const waiting = next();
    clock.advance(14_999);
    await settled();
    clock.advance(1);
    expect(await waiting).toBe("[beat]");
    await reader.cancel();
  });

  test("do not pile up before a client that does not read", async () => {
    const { clock, text, take } = writeTo({ batches: [DELTA, never], heartbeatMs: 1000 });
    await settled();
    clock.advance(60_000);
    expect(text()).toBe("[output]");
    await take();
    clock.advance(600_000);
    expect(text()).toBe("[output][beat]");
    await take();
    clock.advance(1000);
    expect(text()).toBe("[output][beat][beat]");
  });

  test("0 turns them off, and none come after the end", async () => {
    const off = stage({ batches: [DELTA, never] });
    expect(await off.next()).toBe("[output]");
    off.clock.advance(86_400_000);
    await settled();
    await off.reader.cancel();
    const over = stage({ heartbeatMs: 1000 });
    expect(await over.all()).toBe("[output][completed]");
    over.clock.advance(86_400_000);
    const left = stage({ batches: [never], heartbeatMs: 1000 });
    await settled();
    await left.reader.cancel();
    left.clock.advance(86_400_000);
  });
});

describe("streamReply, a client that leaves", () => {
  test("before the first read", async () => {
    const { reader, ends, counts } = stage();
    await reader.cancel();
    await settled();
    expect(ends()).toEqual(["client-left"]);
    expect(counts()).toMatchObject({ closes: 1, leaves: 1 });
  });

  test("with unread bytes before it", async () => {
    const { reader, ends, counts } = stage();
    await settled();
    await reader.cancel();
    expect(ends()).toEqual(["client-left"]);
    expect(counts()).toMatchObject({ closes: 1, leaves: 1 });
  });

  test("while the backend is silent; what it says then is nobody's", async () => {
    for (const late of [DELTA, END, { type: "broken", failure: failure("cut-short") }] as const) {
      const answer = gate<Batch>();
      const { next, reader, ends, counts } = stage({ batches: [DELTA, () => answer.promise] });
      expect(await next()).toBe("[output]");
      await settled();
      await reader.cancel();
      answer.open(late);
      await settled();
      expect(ends()).toEqual(["client-left"]);
      expect(counts()).toMatchObject({ closes: 1, leaves: 1 });
    }
  });

  test("while the backend is silent, which then breaks down", async () => {
    const answer = gate<Batch>();
    const { next, reader, ends, counts } = stage({ batches: [DELTA, () => answer.promise] });
    expect(await next()).toBe("[output]");
    await settled();
    await reader.cancel();
    answer.fail(new Error("too late"));
    await settled();
    expect(ends()).toEqual(["client-left"]);
    expect(counts().closes).toBe(1);
  });

  test("after the end, which changes nothing", async () => {
    const { all, reader, ends, counts } = stage();
    await all();
    await reader.cancel();
    await reader.cancel();
    expect(ends()).toEqual(["well"]);
    expect(counts()).toMatchObject({ closes: 1, leaves: 0 });
  });

  test("between any two moments: closed once, told once, never a rejection", async () => {
    for (let moment = 0; moment < 40; moment++) {
      for (const isEarly of [false, true]) {
        const late = gate<Watched | Failure>();
        const { turn, reader, ends, counts } = stage({
          batches: [DELTA, DELTA, DELTA, END],
          ...(isEarly ? { source: () => late.promise } : {}),
        });
        const reading = (async () => {
          while (!(await reader.read()).done);
        })();
        for (let turns = 0; turns < moment; turns++) {
          if (turns === 5) late.open(turn);
          await Promise.resolve();
        }
        const leaving = reader.cancel();
        late.open(turn);
        await Promise.all([reading, leaving]);
        await settled();
        expect(counts().closes).toBe(1);
        expect(ends()).toHaveLength(1);
      }
    }
  });
});

describe("streamReply, a turn that is still being fought for", () => {
  test("the client hears at once that somebody works for it", async () => {
    const { next, clock, reader } = stage({
      source: () => new Promise(() => {}),
      heartbeatMs: 5000,
    });
    expect(await next()).toBe("[beat]");
    const waiting = next();
    await settled();
    clock.advance(5000);
    expect(await waiting).toBe("[beat]");
    await reader.cancel();
  });

  test("once it comes it is written like any other", async () => {
    const late = gate<Watched>();
    const { all, turn, ends, counts } = stage({ source: () => late.promise });
    late.open(turn);
    expect(await all()).toBe("[beat][output][completed]");
    expect(ends()).toEqual(["well"]);
    expect(counts().closes).toBe(1);
  });

  test("a failure is told inside the stream", async () => {
    const { all, ends, counts } = stage({ source: async () => failure("exhausted") });
    expect(await all()).toBe("[beat][fail exhausted]");
    expect(ends()).toEqual(["exhausted"]);
    expect(counts().closes).toBe(0);
  });

  test("a fault of ours too", async () => {
    const { all, ends, faults } = stage({ source: () => Promise.reject(new Error("a bug")) });
    expect(await all()).toBe("[beat][fail internal]");
    expect([ends(), faults]).toEqual([["internal"], [new Error("a bug")]]);
  });

  test("a client that leaves before closes the turn that comes after, though nobody reads", async () => {
    for (const isFirst of [true, false]) {
      const late = gate<Watched>();
      const { turn, reader, ends, counts } = stage({ source: () => late.promise });
      if (!isFirst) await settled();
      await reader.cancel();
      expect(counts()).toMatchObject({ closes: 0, leaves: 1 });
      late.open(turn);
      await settled();
      expect(counts()).toMatchObject({ closes: 1, reads: 0 });
      expect(ends()).toEqual(["client-left"]);
    }
  });

  test("a client that leaves before a failure hears of nothing", async () => {
    const late = gate<Failure>();
    const { reader, ends } = stage({ source: () => late.promise });
    await reader.cancel();
    late.open(failure("client-left"));
    await settled();
    expect(ends()).toEqual(["client-left"]);
  });

  test("a client that leaves before a fault: it is still in the log", async () => {
    const late = gate<Failure>();
    const { reader, ends, faults } = stage({ source: () => late.promise });
    await reader.cancel();
    late.fail(new Error("a bug"));
    await settled();
    expect([ends(), faults]).toEqual([["client-left"], [new Error("a bug")]]);
  });
});
