// The backend of the bench: one process that answers every turn with the same events, encoded beforehand, so that it
// costs as little as possible beside what is measured. `bun scripts/bench/upstream.ts`; it prints its port.
// `GET /style?events=N&pace=MS` chooses how the next turns are answered, and tells what such an answer holds; pace 0 is
// one write for all events. `GET /style?endless` is a stream as fast as the client takes it, until it leaves.

import type { Socket } from "bun";
import { limitHeaders } from "../../test/support/backend/limits.ts";
import { lookAt } from "./sight.ts";
import { framesOf, LIMITS, NOW_MS } from "./turn.ts";

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
  readonly kind: "at-once" | "paced" | "endless";
  readonly paceMs: number;
  /** The body without its chunks. */
  readonly body: Buffer;
  /** Everything, for one write; of an endless one, what is written again and again. */
  readonly whole: Buffer;
  /** The head with the first event, each other event, and the last one with the end. */
  readonly parts: readonly Buffer[];
};

const HEAD_BYTES = Buffer.from(`${HEAD}\r\n\r\n`);
const END_BYTES = Buffer.from("0\r\n\r\n");

// Each turn has ids of its own: the same answer must stay the same, at whatever pace it comes.
const turns = new Map<number, readonly Uint8Array[]>();

function styleOf(events: number, paceMs: number): Style {
  const frames = turns.get(events) ?? framesOf(events);
  turns.set(events, frames);
  const chunks = frames.map(chunkOf);
  const parts = chunks.map((chunk, index) =>
    Buffer.concat([
      ...(index === 0 ? [HEAD_BYTES] : []),
      chunk,
      ...(index === chunks.length - 1 ? [END_BYTES] : []),
    ]),
  );
  const whole = Buffer.concat([HEAD_BYTES, ...chunks, END_BYTES]);
  const body = Buffer.concat(frames);
  return { kind: paceMs > 0 ? "paced" : "at-once", paceMs, body, whole, parts };
}

/** The opening of a turn, and then a word for ever. */
function endlessStyle(): Style {
  const chunks = framesOf(20).map(chunkOf);
  const opening = Buffer.concat([HEAD_BYTES, ...chunks.slice(0, 6)]);
  const word = chunks[6] ?? NOTHING;
  return {
    kind: "endless",
    paceMs: 0,
    body: NOTHING,
    whole: Buffer.concat(Array.from({ length: 256 }, () => word)),
    parts: [opening],
  };
}

type State = {
  /** The beginning of a head. */
  held: Buffer;
  /** The first line of the request whose body arrives. */
  line: string | undefined;
  /** Bytes of that body that are still to come. */
  left: number;
  unsent: Buffer;
  endless: Style | undefined;
};
type Client = Socket<State>;
type Stream = { readonly client: Client; readonly style: Style; next: number };

const NOTHING = Buffer.alloc(0);
const HEAD_END = Buffer.from("\r\n\r\n");
const LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;

let style = styleOf(20, 0);

function send(client: Client, bytes: Buffer): void {
  const { data } = client;
  if (data.unsent.length > 0) {
    data.unsent = Buffer.concat([data.unsent, bytes]);
    return;
  }
  const sent = client.write(bytes);
  if (sent >= 0 && sent < bytes.length) data.unsent = bytes.subarray(sent);
}

/** Writes until the client takes no more. */
function flood(client: Client): void {
  const { data } = client;
  while (data.endless !== undefined && data.unsent.length === 0) {
    const { whole } = data.endless;
    const sent = client.write(whole);
    if (sent < 0) return;
    data.unsent = whole.subarray(sent);
  }
}

function sendJson(client: Client, body: string): void {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
  send(client, Buffer.from(`${head}\r\n\r\n${body}`));
}

function setStyle(query: URLSearchParams): string {
  if (query.has("endless")) {
    style = endlessStyle();
    return "{}";
  }
  style = styleOf(Number(query.get("events")), Number(query.get("pace")));
  return JSON.stringify(lookAt("codex", style.body) ?? {});
}

function answer(client: Client, line: string): void {
  if (line.startsWith("GET /style?")) {
    sendJson(client, setStyle(new URLSearchParams(line.slice(11, line.lastIndexOf(" ")))));
  } else if (line === "chunked") {
    send(client, Buffer.from("HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\n\r\n"));
  } else if (line.startsWith("GET ")) {
    // The model list: an empty one is as good as any.
    sendJson(client, '{"models":[]}');
  } else {
    play(client);
  }
}

function play(client: Client): void {
  switch (style.kind) {
    case "at-once":
      send(client, style.whole);
      break;
    case "paced":
      schedule({ client, style, next: 0 }, 0);
      break;
    case "endless":
      send(client, style.parts[0] ?? NOTHING);
      client.data.endless = style;
      flood(client);
      break;
  }
}

// Streams wait in slots of a millisecond each, so that a tick touches only those that are due.
const SLOTS = 1024;
const wheel: Stream[][] = Array.from({ length: SLOTS }, () => []);
const startedMs = performance.now();
let tick = 0;

function schedule(stream: Stream, afterMs: number): void {
  wheel[(tick + Math.max(afterMs, 1)) % SLOTS]?.push(stream);
}

setInterval(() => {
  const now = Math.floor(performance.now() - startedMs);
  while (tick < now) {
    tick += 1;
    const due = wheel[tick % SLOTS]?.splice(0) ?? [];
    for (const stream of due) {
      const part = stream.style.parts[stream.next];
      if (part === undefined || stream.client.readyState <= 0) continue;
      send(stream.client, part);
      stream.next += 1;
      schedule(stream, stream.style.paceMs);
    }
  }
}, 1);

/** Answers every request that has arrived whole; bodies are counted and forgotten. */
function take(client: Client, bytes: Buffer): void {
  const { data } = client;
  let rest = bytes;
  while (rest.length > 0) {
    if (data.line === undefined) rest = takeHead(client, rest);
    if (data.line === undefined) return;
    const body = Math.min(data.left, rest.length);
    data.left -= body;
    rest = rest.subarray(body);
    if (data.left > 0) return;
    const { line } = data;
    data.line = undefined;
    answer(client, line);
  }
}

/** What lies behind the head, once that is whole. */
function takeHead({ data }: Client, bytes: Buffer): Buffer {
  const held = data.held.length === 0 ? bytes : Buffer.concat([data.held, bytes]);
  const end = held.indexOf(HEAD_END);
  // The runtime uses its buffer again: what is not whole yet must be copied.
  data.held = end < 0 ? Buffer.from(held) : NOTHING;
  if (end < 0) return NOTHING;
  const head = held.toString("latin1", 0, end);
  data.line = CHUNKED.test(head) ? "chunked" : head.slice(0, head.indexOf("\r\n"));
  data.left = Number(LENGTH.exec(head)?.[1] ?? 0);
  return held.subarray(end + HEAD_END.length);
}

const server = Bun.listen<State>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open: (client) => {
      client.data = {
        held: NOTHING,
        line: undefined,
        left: 0,
        unsent: NOTHING,
        endless: undefined,
      };
      client.setNoDelay(true);
    },
    data: take,
    drain: (client) => {
      const { unsent } = client.data;
      client.data.unsent = NOTHING;
      if (unsent.length > 0) send(client, unsent);
      flood(client);
    },
    close: (client) => {
      client.data.endless = undefined;
    },
  },
});
console.log(server.port);
