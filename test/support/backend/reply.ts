import type { ServerResponse } from "node:http";
import { setImmediate as nextTick, setTimeout as sleep } from "node:timers/promises";
import { formatEvent } from "../../../src/wire/sse.ts";
import type { Refusal } from "./faults.ts";
import type { TurnPlan } from "./turn.ts";

/** Headers by lower-case name. */
export type Headers = Readonly<Record<string, string>>;

/** What goes back for one request. */
export type Reply =
  | { readonly kind: "answer"; readonly answer: Refusal; readonly headers?: Headers }
  | { readonly kind: "stream"; readonly plan: TurnPlan; readonly headers: Headers }
  | {
      readonly kind: "raw";
      readonly status: number;
      readonly headers: Headers;
      readonly chunks: readonly (string | Uint8Array)[];
    }
  /** Nothing, until the client leaves. */
  | { readonly kind: "silence" }
  /** A reset connection. */
  | { readonly kind: "reset" }
  | { readonly kind: "later"; readonly wait: Promise<unknown>; readonly reply: Reply };

/** How bytes are portioned. */
export type Pace = {
  readonly paceMs: number;
  /** 0: one write per event. */
  readonly chunkBytes: number;
  readonly keepalives: boolean;
};

/** One request's response while it lasts. */
export type Exchange = {
  readonly response: ServerResponse;
  /** Resolves when the response is over, however it ended. */
  readonly closed: Promise<void>;
  readonly isClosed: () => boolean;
  readonly onStream: () => void;
  readonly onBytes: (bytes: number) => void;
  /** The backend itself breaks the connection, so the client did not leave. */
  readonly onCut: () => void;
};

const CUT_DELAY_MS = 10;

const encoder = new TextEncoder();

/** Sends a reply to its end, or until the client leaves. */
export async function send(reply: Reply, exchange: Exchange, pace: Pace): Promise<void> {
  const { response } = exchange;
  switch (reply.kind) {
    case "answer":
      return sendAnswer(reply.answer, reply.headers ?? {}, response);
    case "stream":
      response.writeHead(200, reply.headers);
      response.flushHeaders();
      exchange.onStream();
      await pour(sliced(reply.plan.frames, pace.chunkBytes), exchange, pace);
      return finish(reply.plan.ending, exchange, pace);
    case "raw":
      response.writeHead(reply.status, reply.headers);
      response.flushHeaders();
      exchange.onStream();
      await pour(
        reply.chunks.map((chunk) => (typeof chunk === "string" ? encoder.encode(chunk) : chunk)),
        exchange,
        pace,
      );
      return finish("end", exchange, pace);
    case "silence":
      return exchange.closed;
    case "reset":
      exchange.onCut();
      response.socket?.resetAndDestroy();
      return;
    case "later":
      await Promise.race([reply.wait, exchange.closed]);
      return exchange.isClosed() ? undefined : send(reply.reply, exchange, pace);
  }
}

function sendAnswer(answer: Refusal, headers: Headers, response: ServerResponse): void {
  const isText = typeof answer.body === "string";
  const body = isText ? answer.body : JSON.stringify(answer.body);
  response.writeHead(answer.status, {
    "content-type": isText ? "text/plain; charset=utf-8" : "application/json",
    ...headers,
    ...answer.headers,
  });
  response.end(answer.status === 304 ? undefined : body);
}

async function pour(chunks: Iterable<Uint8Array>, exchange: Exchange, pace: Pace): Promise<void> {
  let isFirst = true;
  for (const chunk of chunks) {
    if (!isFirst && pace.paceMs > 0) {
      await Promise.race([sleep(pace.paceMs), exchange.closed]);
    }
    isFirst = false;
    if (exchange.isClosed()) return;
    const hasRoom = exchange.response.write(chunk);
    exchange.onBytes(chunk.length);
    if (!hasRoom) await drained(exchange);
    // A turn of the event loop between slices, or the kernel would join them again.
    else if (pace.chunkBytes > 0) await nextTick();
  }
}

async function drained(exchange: Exchange): Promise<void> {
  const { response } = exchange;
  await Promise.race([
    new Promise<void>((resolve) => {
      response.once("drain", resolve);
    }),
    exchange.closed,
  ]);
}

async function finish(ending: TurnPlan["ending"], exchange: Exchange, pace: Pace): Promise<void> {
  const { response } = exchange;
  if (exchange.isClosed()) return;
  switch (ending) {
    case "end":
      response.end();
      return;
    case "hang":
      return hang(exchange, pace);
    case "cut":
      await settled();
      exchange.onCut();
      // A close, not a reset: under Bun a reset also throws away what was sent before it.
      response.socket?.destroy();
      return;
  }
}

/** Time for a client to read what it has: Bun's fetch drops bytes that arrive together with the break. */
async function settled(): Promise<void> {
  await sleep(CUT_DELAY_MS);
  // Where the client lives in this process, it reads between these turns of the loop even if the timer was late.
  await nextTick();
  await nextTick();
}

async function hang(exchange: Exchange, pace: Pace): Promise<void> {
  if (!pace.keepalives || pace.paceMs <= 0) return exchange.closed;
  for (let sequence = 1000; ; sequence++) {
    await Promise.race([sleep(pace.paceMs), exchange.closed]);
    if (exchange.isClosed()) return;
    const keepalive = { type: "keepalive", sequence_number: sequence };
    exchange.response.write(formatEvent("keepalive", keepalive));
  }
}

function* sliced(frames: Iterable<Uint8Array>, chunkBytes: number): Generator<Uint8Array> {
  if (chunkBytes <= 0) {
    yield* frames;
    return;
  }
  let held = new Uint8Array(0);
  for (const frame of frames) {
    const all = new Uint8Array(held.length + frame.length);
    all.set(held);
    all.set(frame, held.length);
    let at = 0;
    for (; all.length - at >= chunkBytes; at += chunkBytes) yield all.subarray(at, at + chunkBytes);
    held = all.slice(at);
  }
  if (held.length > 0) yield held;
}
