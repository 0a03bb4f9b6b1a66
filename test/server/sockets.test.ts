import { describe, expect, test } from "bun:test";
import type { Watched } from "../../src/engine/watch.ts";
import { pastOf } from "../../src/protocols/responses/conversation.ts";
import { createResponses } from "../../src/protocols/responses/index.ts";
import type { SocketPorts } from "../../src/server/socket.ts";
import { createSockets } from "../../src/server/sockets.ts";
import type { Batch } from "../../src/upstream/stream.ts";
import { failure, NOON, settled, step, steps } from "../engine/parts.ts";
import { memoryOf } from "../protocols/turns.ts";
import { UNLIMITED } from "../support/callers.ts";
import { createManualClock } from "../support/clock.ts";

function scene({
  maxBodyBytes = 1000,
  execute = async () => ({ ok: false, failure: failure("no-account") }),
}: {
  readonly maxBodyBytes?: number;
  readonly execute?: SocketPorts["execute"];
} = {}) {
  const clock = createManualClock(NOON);
  const memory = memoryOf();
  let ids = 0;
  const sockets = createSockets({
    clock,
    protocol: createResponses({ clock, memory }),
    past: (scope) => pastOf(memory, { scope }, clock.now()),
    options: () => ({
      maxBodyBytes,
      clientIdleMs: 0,
      requestMs: 0,
      heartbeatMs: 1000,
      earlyHeartbeatMs: 0,
    }),
    access: () => ({ clientKeys: [], adminKey: undefined, allowedOrigins: [] }),
    newRequestId: () => `req_${++ids}`,
    resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
    execute,
    ...UNLIMITED,
    onEnd: () => {},
    onFault: () => {},
  });
  return { clock, sockets };
}

function prewarm(instructions: string): string {
  return JSON.stringify({ type: "response.create", model: "m", generate: false, instructions });
}

/** Bun's side of a socket, as far as it is used. */
function wsOf() {
  const sent: { frame: string; isCompressed: boolean }[] = [];
  const state = { pings: 0, closes: [] as number[], buffered: 0 };
  const ws = {
    send: (frame: string | Bun.BufferSource, isCompressed = false) => {
      sent.push({ frame: String(frame), isCompressed });
      return 1;
    },
    ping: () => {
      state.pings += 1;
      return 1;
    },
    close: (code = 0) => {
      state.closes.push(code);
    },
    terminate: () => {
      state.closes.push(1006);
    },
    cork: <T>(write: (socket: never) => T) => Reflect.apply(write, undefined, []),
    getBufferedAmount: () => state.buffered,
  };
  return { ws, sent, state };
}

describe("createSockets", () => {
  test("counts what is open", () => {
    const { sockets } = scene();
    const wire = sockets.accept(new Headers(), { name: "anyone", scope: "" });
    expect(sockets.count()).toBe(0);
    wire.open(wsOf().ws);
    expect(sockets.count()).toBe(1);
    wire.close();
    wire.close();
    expect(sockets.count()).toBe(0);
  });

  test("sends answers, the longer ones compressed where the client takes that", () => {
    const { sockets } = scene();
    const { ws, sent } = wsOf();
    const wire = sockets.accept(new Headers(), { name: "anyone", scope: "" });
    wire.open(ws);
    wire.message(ws, "{");
    wire.message(ws, prewarm("x".repeat(600)));
    expect(sent.map(({ isCompressed }) => isCompressed)).toEqual([false, true, true]);
  });

  test("does not compress what is so large that everybody would wait for it", () => {
    const { sockets } = scene({ maxBodyBytes: 1_000_000 });
    const { ws, sent } = wsOf();
    const wire = sockets.accept(new Headers(), { name: "anyone", scope: "" });
    wire.open(ws);
    wire.message(ws, prewarm("x".repeat(300_000)));
    expect(sent.map(({ isCompressed }) => isCompressed)).toEqual([false, false]);
  });

  test("a turn goes on when all that waited has gone out, and ends with its connection", async () => {
    const stop = Promise.withResolvers<string>();
    const read = async (): Promise<Batch> => steps(step("response.output_text.delta"));
    const turn: Watched = { headers: {}, tag: "t", read, close: () => {} };
    const { sockets } = scene({
      execute: async (job) => {
        job.stop.signal.addEventListener("abort", () => stop.resolve("stopped"));
        return { ok: true, turn, body: undefined };
      },
    });
    const { ws, sent, state } = wsOf();
    state.buffered = 1;
    const wire = sockets.accept(new Headers(), { name: "anyone", scope: "" });
    wire.open(ws);
    wire.message(ws, JSON.stringify({ type: "response.create", model: "m", input: "hi" }));
    await settled();
    expect(sent).toHaveLength(1);
    wire.drain(ws);
    await settled();
    expect(sent).toHaveLength(1);
    state.buffered = 0;
    wire.drain(ws);
    state.buffered = 1;
    await settled();
    expect(sent).toHaveLength(2);
    wire.close();
    expect(await stop.promise).toBe("stopped");
  });

  test("breaks off with a client that has vanished: what shows that it is there is a frame, a pong, or its reading", () => {
    const { sockets, clock } = scene();
    const { ws, state } = wsOf();
    const wire = sockets.accept(new Headers(), { name: "anyone", scope: "" });
    wire.open(ws);
    for (const sign of [() => wire.message(ws, "{"), wire.pong, () => wire.drain(ws)]) {
      clock.advance(119_000);
      sign();
    }
    clock.advance(119_000);
    expect(state.closes).toEqual([]);
    clock.advance(1000);
    expect(state.closes).toEqual([1006]);
  });

  test("pings in silence", () => {
    const { sockets, clock } = scene();
    const { ws, state } = wsOf();
    sockets.accept(new Headers(), { name: "anyone", scope: "" }).open(ws);
    clock.advance(3000);
    expect(state.pings).toBe(3);
  });

  test("ends all idle sockets when the program stops, and those that come too late", () => {
    const { sockets } = scene();
    const first = wsOf();
    sockets.accept(new Headers(), { name: "anyone", scope: "" }).open(first.ws);
    const late = sockets.accept(new Headers(), { name: "anyone", scope: "" });
    sockets.retire();
    expect(first.state.closes).toEqual([1001]);
    const second = wsOf();
    late.open(second.ws);
    expect(second.state.closes).toEqual([1001]);
    sockets.cut();
    expect(first.state.closes).toEqual([1001, 1001]);
  });
});
