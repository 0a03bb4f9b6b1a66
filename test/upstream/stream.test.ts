import { afterAll, describe, expect, test } from "bun:test";
import type { Step } from "../../src/turn/step.ts";
import { createStop } from "../../src/turn/stop.ts";
import { type Batch, readTurn, type StreamLimits } from "../../src/upstream/stream.ts";
import { createManualClock } from "../support/clock.ts";
import { settleDown, watchRejections } from "./scene.ts";

const rejections = watchRejections();
afterAll(async () => {
  await settleDown();
  rejections.stop();
  expect(rejections.seen).toEqual([]);
});

const encoder = new TextEncoder();
const NO_LIMITS: StreamLimits = { firstEventMs: 0, idleMs: 0 };

/** A stream under a test's thumb: what arrives, how it ends, what time it is. */
function open(limits: StreamLimits = NO_LIMITS) {
  const clock = createManualClock(0);
  const request = createStop();
  const stop = request.child();
  let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
  let isOpen = true;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      feed = controller;
    },
  });
  const breakOff = (): void => {
    if (isOpen) feed?.error(new Error("broken"));
    isOpen = false;
  };
  // As fetch does with its body.
  stop.signal.addEventListener("abort", breakOff);
  const headers = { "openai-model": "gpt-5.5" };
  const causes: unknown[] = [];
  const onBroken = (cause: unknown): void => void causes.push(cause);
  return {
    causes,
    clock,
    request,
    stop,
    stream: readTurn({ headers, body, onBroken }, stop, limits, clock),
    say: (text: string) => feed?.enqueue(encoder.encode(text)),
    end: () => {
      isOpen = false;
      feed?.close();
    },
    breakOff,
  };
}

const CREATED = 'event: response.created\ndata: {"type":"response.created"}\n\n';
const DELTA = 'event: response.output_text.delta\ndata: {"delta":"x"}\n\n';
const COMPLETED =
  'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n';

const rolesOf = (batch: Batch): readonly string[] =>
  batch.type === "steps" ? batch.steps.map(({ role }: Step) => role) : [batch.type];

describe("readTurn", () => {
  test("brings the events of each chunk, then the end", async () => {
    const { stream, say, end } = open();
    say(CREATED + DELTA);
    expect(rolesOf(await stream.read())).toEqual(["preamble", "output"]);
    say(DELTA);
    expect(rolesOf(await stream.read())).toEqual(["output"]);
    say(COMPLETED);
    end();
    expect(rolesOf(await stream.read())).toEqual(["completed"]);
    expect(rolesOf(await stream.read())).toEqual(["end"]);
    expect(rolesOf(await stream.read())).toEqual(["end"]);
    expect(stream.headers["openai-model"]).toBe("gpt-5.5");
    stream.close();
  });

  test("waits through chunks that complete no event", async () => {
    const { stream, say } = open();
    const read = stream.read();
    for (const letter of DELTA) {
      say(letter);
      await settleDown(1);
    }
    expect(rolesOf(await read)).toEqual(["output"]);
    stream.close();
  });

  test.each(["response.completed", "response.incomplete", "response.failed", "error"])(
    "takes nothing after %s",
    async (type) => {
      const { stream, say } = open();
      say(`${DELTA}event: ${type}\ndata: {}\n\n${DELTA}${CREATED}`);
      expect((await stream.read()).type).toBe("steps");
      say(DELTA);
      expect(rolesOf(await stream.read())).toEqual(["end"]);
      stream.close();
    },
  );

  test("reads the rest of a finished response, so that its connection can be used again", async () => {
    const { stream, stop, say, end } = open();
    say(COMPLETED);
    await stream.read();
    stream.close();
    say(": late\n\n");
    end();
    await settleDown();
    expect(stop.reason()).toBeUndefined();
  });

  test("does not read on for ever when a finished response stays open", async () => {
    const { clock, stream, stop, say } = open();
    say(COMPLETED);
    await stream.read();
    stream.close();
    clock.advance(999);
    expect(stop.reason()).toBeUndefined();
    clock.advance(1);
    expect(stop.reason()).toBeDefined();
  });

  const endings: [name: string, last: string][] = [
    ["without its blank line", COMPLETED.slice(0, -1)],
    ["without any line end", COMPLETED.slice(0, -2)],
    ["with half a CRLF", COMPLETED.replaceAll("\n", "\r\n").slice(0, -3)],
    ["with CRLF and no blank line", COMPLETED.replaceAll("\n", "\r\n").slice(0, -2)],
    ["without an event line", 'data: {"type":"response.completed"}'],
  ];
  test.each(endings)("takes a last event %s at the end of the body", async (_name, last) => {
    const { stream, say, end } = open();
    say(DELTA + last);
    end();
    expect(rolesOf(await stream.read())).toEqual(["output"]);
    expect(rolesOf(await stream.read())).toEqual(["completed"]);
    expect(rolesOf(await stream.read())).toEqual(["end"]);
    stream.close();
  });

  const cuts: [name: string, text: string][] = [
    ["nothing", ""],
    ["a whole event", DELTA],
    ["half an event", DELTA + DELTA.slice(0, 50)],
    ["a last event with half its data", COMPLETED.slice(0, -20)],
    ["a last event with its name only", "event: response.completed\n"],
    ["an event that is not the last, without its blank line", DELTA.slice(0, -1)],
  ];
  test.each(cuts)(
    "calls a body that ends after %s cut short, each time it is asked",
    async (_name, text) => {
      const { stream, say, end } = open();
      if (text !== "") say(text);
      end();
      let batch = await stream.read();
      if (batch.type === "steps") batch = await stream.read();
      for (const again of [batch, await stream.read(), await stream.read()]) {
        expect(again).toMatchObject({ type: "broken", failure: { kind: "cut-short" } });
      }
      stream.close();
    },
  );

  test("calls a connection that breaks cut short, and not the client's leaving", async () => {
    const { stream, say, breakOff, causes } = open();
    say(DELTA);
    await stream.read();
    breakOff();
    for (const batch of [await stream.read(), await stream.read()]) {
      expect(batch).toMatchObject({ type: "broken", failure: { kind: "cut-short" } });
    }
    stream.close();
    expect(causes).toEqual([new Error("broken")]);
  });

  test("keeps its connection busy until the backend has ended the body, or for a second", async () => {
    const { stream, say, end } = open();
    expect(stream.drained()).toBeUndefined();
    say(COMPLETED);
    await stream.read();
    stream.close();
    const isFree = Bun.peek.status(stream.drained() ?? Promise.resolve());
    expect(isFree).toBe("pending");
    end();
    await stream.drained();
    const endless = open();
    endless.say(COMPLETED);
    await endless.stream.read();
    endless.clock.advance(1000);
    await endless.stream.drained();
    expect(endless.stop.reason()).toMatchObject({ kind: "client-left" });
  });

  test("tells the reason for which the request was stopped", async () => {
    const { stream, request, say } = open();
    say(DELTA);
    await stream.read();
    const read = stream.read();
    request.stop({ kind: "client-left", message: "Gone." });
    expect(await read).toEqual({
      type: "broken",
      failure: { kind: "client-left", message: "Gone." },
    });
    stream.close();
  });

  test("ends the backend's work when it is closed early, and only its own", async () => {
    const { stream, request, stop, say } = open();
    say(DELTA);
    await stream.read();
    stream.close();
    stream.close();
    expect(stop.signal.aborted).toBe(true);
    expect(request.reason()).toBeUndefined();
    expect((await stream.read()).type).toBe("broken");
  });

  test("a close while somebody reads ends the read", async () => {
    const { stream } = open();
    const read = stream.read();
    stream.close();
    expect(await read).toMatchObject({ type: "broken", failure: { kind: "client-left" } });
  });
});

describe("the clocks of a stream", () => {
  const limits: StreamLimits = { firstEventMs: 5000, idleMs: 1000 };

  test("cut a silence before the first event", async () => {
    const { clock, stream } = open(limits);
    const read = stream.read();
    clock.advance(4999);
    clock.advance(1);
    expect(await read).toMatchObject({ type: "broken", failure: { kind: "timeout" } });
    expect(await read).toHaveProperty("failure.message", expect.stringContaining("first-event"));
    stream.close();
  });

  test("cut a silence between events, however often there were events before", async () => {
    const { clock, stream, say } = open(limits);
    for (let event = 0; event < 5; event++) {
      say(DELTA);
      expect((await stream.read()).type).toBe("steps");
      const read = stream.read();
      clock.advance(900);
      say(DELTA);
      expect((await read).type).toBe("steps");
    }
    const read = stream.read();
    clock.advance(2000);
    expect(await read).toMatchObject({ type: "broken", failure: { kind: "timeout" } });
    expect(await read).toHaveProperty("failure.message", expect.stringContaining("event-idle"));
    stream.close();
  });

  test("do not run while nobody reads: a slow client is not the backend's silence", async () => {
    const { clock, stream, stop, say } = open(limits);
    say(DELTA);
    await stream.read();
    clock.advance(100_000);
    expect(stop.reason()).toBeUndefined();
    const read = stream.read();
    clock.advance(999);
    say(DELTA);
    expect(rolesOf(await read)).toEqual(["output"]);
    stream.close();
  });

  test("count bytes that complete no event as silence", async () => {
    const { clock, stream, say } = open(limits);
    say(DELTA);
    await stream.read();
    const read = stream.read();
    for (const letter of DELTA.slice(0, 4)) {
      say(letter);
      await settleDown(1);
      clock.advance(300);
    }
    expect(await read).toMatchObject({ type: "broken", failure: { kind: "timeout" } });
    stream.close();
  });

  test("are put back by a comment", async () => {
    const { clock, stream, say } = open(limits);
    say(DELTA);
    await stream.read();
    for (let comment = 0; comment < 5; comment++) {
      const read = stream.read();
      clock.advance(900);
      say(": still here\n\n");
      expect(rolesOf(await read)).toEqual(["preamble"]);
    }
    stream.close();
  });

  test("stop at the end and at the close", async () => {
    const ended = open(limits);
    ended.say(COMPLETED);
    ended.end();
    await ended.stream.read();
    await settleDown();
    ended.clock.advance(100_000);
    expect(ended.stop.reason()).toBeUndefined();
    ended.stream.close();

    const closed = open(limits);
    closed.stream.close();
    expect(closed.stop.reason()).toMatchObject({ kind: "client-left" });
  });

  test("are off at 0", async () => {
    const { clock, stream, stop, say } = open();
    const read = stream.read();
    clock.advance(1e9);
    say(DELTA);
    expect((await read).type).toBe("steps");
    expect(stop.reason()).toBeUndefined();
    stream.close();
  });
});
