// The backend of the bench: one process that answers every turn with the same events, encoded beforehand, so that it
// costs as little as possible beside what is measured. `bun scripts/bench/upstream.ts`; it prints its port.
// `GET /style?events=N&pace=MS` chooses how the next turns are answered; pace 0 is one write for all events.

import type { Socket } from "bun";
import { limitHeaders } from "../../test/support/backend/limits.ts";
import { framesOf, LIMITS, NOW_MS } from "./turn.ts";

const TICK_MS = 1;

const HEAD = [
  "HTTP/1.1 200 OK",
  "content-type: text/event-stream; charset=utf-8",
  "cache-control: no-cache",
  "transfer-encoding: chunked",
  "server: cloudflare",
  "cf-ray: 9f0000000000abcd-FRA",
  "openai-model: gpt-5.4",
  "x-reasoning-included: true",
  ...Object.entries(limitHeaders(LIMITS, "full", NOW_MS)).map(
    ([name, value]) => `${name}: ${value}`,
  ),
].join("\r\n");

function chunkOf(frame: Uint8Array): Buffer {
  const size = Buffer.from(`${frame.length.toString(16)}\r\n`);
  return Buffer.concat([size, frame, Buffer.from("\r\n")]);
}

type Style = {
  readonly paceMs: number;
  /** Everything, for one write. */
  readonly whole: Buffer;
  /** The head with the first event, each other event, and the last one with the end. */
  readonly parts: readonly Buffer[];
};

function styleOf(events: number, paceMs: number): Style {
  const chunks = framesOf(events).map(chunkOf);
  const head = Buffer.from(`${HEAD}\r\n\r\n`);
  const end = Buffer.from("0\r\n\r\n");
  const parts = chunks.map((chunk, index) =>
    Buffer.concat([
      ...(index === 0 ? [head] : []),
      chunk,
      ...(index === chunks.length - 1 ? [end] : []),
    ]),
  );
  return { paceMs, whole: Buffer.concat([head, ...chunks, end]), parts };
}

type State = { held: Buffer; unsent: Buffer };
type Client = Socket<State>;
type Stream = { readonly client: Client; readonly style: Style; next: number; dueMs: number };

const NOTHING = Buffer.alloc(0);
const HEAD_END = Buffer.from("\r\n\r\n");
const LENGTH = /content-length: *(\d+)/i;

let style = styleOf(20, 0);
const streams = new Set<Stream>();

function send(client: Client, bytes: Buffer): void {
  const { data } = client;
  if (data.unsent.length > 0) {
    data.unsent = Buffer.concat([data.unsent, bytes]);
    return;
  }
  const sent = client.write(bytes);
  if (sent >= 0 && sent < bytes.length) data.unsent = bytes.subarray(sent);
}

function sendJson(client: Client, body: string): void {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
  send(client, Buffer.from(`${head}\r\n\r\n${body}`));
}

function answer(client: Client, line: string): void {
  if (line.startsWith("GET /style?")) {
    const query = new URLSearchParams(line.slice(11, line.lastIndexOf(" ")));
    style = styleOf(Number(query.get("events")), Number(query.get("pace")));
    sendJson(client, JSON.stringify({ events: style.parts.length, bytes: style.whole.length }));
  } else if (line.startsWith("GET ")) {
    // The model list: an empty one is as good as any.
    sendJson(client, '{"models":[]}');
  } else if (style.paceMs <= 0) {
    send(client, style.whole);
  } else {
    streams.add({ client, style, next: 0, dueMs: performance.now() });
  }
}

setInterval(() => {
  const now = performance.now();
  for (const stream of streams) {
    const { client, style: its } = stream;
    while (stream.dueMs <= now) {
      const part = its.parts[stream.next];
      if (part === undefined) {
        streams.delete(stream);
        break;
      }
      send(client, part);
      stream.next += 1;
      stream.dueMs += its.paceMs;
    }
  }
}, TICK_MS);

/** Answers every request that has arrived whole. */
function take(client: Client, bytes: Buffer): void {
  const { data } = client;
  data.held = data.held.length === 0 ? bytes : Buffer.concat([data.held, bytes]);
  for (;;) {
    const headEnd = data.held.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = data.held.toString("latin1", 0, headEnd);
    const length = headEnd + 4 + Number(LENGTH.exec(head)?.[1] ?? 0);
    if (data.held.length < length) return;
    data.held = data.held.length === length ? NOTHING : data.held.subarray(length);
    answer(client, head.slice(0, head.indexOf("\r\n")));
  }
}

const server = Bun.listen<State>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open: (client) => {
      client.data = { held: NOTHING, unsent: NOTHING };
      client.setNoDelay(true);
    },
    // The runtime uses its buffer again: what is not whole yet must be copied.
    data: (client, bytes) => take(client, Buffer.from(bytes)),
    drain: (client) => {
      const { unsent } = client.data;
      client.data.unsent = NOTHING;
      if (unsent.length > 0) send(client, unsent);
    },
    close: (client) => {
      for (const stream of streams) if (stream.client === client) streams.delete(stream);
    },
  },
});
console.log(server.port);
