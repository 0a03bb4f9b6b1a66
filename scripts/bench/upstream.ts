// The backend of the bench: one process that answers every turn with the same bytes, so that it costs as little as
// possible beside what is measured. `bun scripts/bench/upstream.ts`; it prints its port.
// `GET /style?events=N&pace=MS` chooses how the next turns are answered, and tells what such an answer holds; pace 0 is
// one write for all events. `GET /style?endless` is a stream as fast as the client takes it, until it leaves.

import type { Socket } from "bun";
import { lookAt } from "./sight.ts";
import { endlessStyle, type Style, turnStyle } from "./style.ts";
import { framesOf } from "./turn.ts";

type State = {
  /** The beginning of a head. */
  held: Buffer;
  /** The first line of the request whose body arrives. */
  line: string | undefined;
  /** Bytes of that body that are still to come. */
  left: number;
  unsent: Buffer;
  /** What is written whenever there is room. */
  endless: Buffer | undefined;
};
type Client = Socket<State>;

const NOTHING = Buffer.alloc(0);
const HEAD_END = Buffer.from("\r\n\r\n");
const LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;

// Each turn has ids of its own: the same answer must stay the same, at whatever pace it comes.
const turns = new Map<string, readonly Uint8Array[]>();
let style: Style = turnStyle(framesOf(20), 0);

function setStyle(query: URLSearchParams): string {
  if (query.has("endless")) {
    style = endlessStyle();
    return "{}";
  }
  const events = query.get("events") ?? "";
  const frames = turns.get(events) ?? framesOf(Number(events));
  turns.set(events, frames);
  style = turnStyle(frames, Number(query.get("pace")));
  return JSON.stringify(lookAt("codex", Buffer.concat(frames)) ?? {});
}

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
    const sent = client.write(data.endless);
    if (sent < 0) return;
    data.unsent = data.endless.subarray(sent);
  }
}

function sendJson(client: Client, body: string): void {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
  send(client, Buffer.from(`${head}\r\n\r\n${body}`));
}

/** Answers a request by its first line. */
function answer(client: Client, line: string): void {
  if (line.startsWith("GET /style?")) {
    sendJson(client, setStyle(new URLSearchParams(line.slice(11, line.lastIndexOf(" ")))));
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
      schedule({ client, parts: style.parts, paceMs: style.paceMs, next: 0 }, 1);
      break;
    case "endless":
      send(client, style.opening);
      client.data.endless = style.piece;
      flood(client);
      break;
  }
}

type Stream = {
  readonly client: Client;
  readonly parts: readonly Buffer[];
  readonly paceMs: number;
  next: number;
};

// Streams wait in slots of a millisecond each, so that a tick touches only those that are due.
const SLOTS = 1024;
const wheel: Stream[][] = Array.from({ length: SLOTS }, () => []);
const startedMs = performance.now();
let tick = 0;

function schedule(stream: Stream, afterMs: number): void {
  wheel[(tick + afterMs) % SLOTS]?.push(stream);
}

setInterval(() => {
  const now = Math.floor(performance.now() - startedMs);
  while (tick < now) {
    tick += 1;
    const due = wheel[tick % SLOTS]?.splice(0) ?? [];
    for (const stream of due) {
      const part = stream.parts[stream.next];
      if (part === undefined || stream.client.readyState <= 0) continue;
      send(stream.client, part);
      stream.next += 1;
      schedule(stream, stream.paceMs);
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
function takeHead(client: Client, bytes: Buffer): Buffer {
  const { data } = client;
  const held = data.held.length === 0 ? bytes : Buffer.concat([data.held, bytes]);
  const end = held.indexOf(HEAD_END);
  // The runtime uses its buffer again: what is not whole yet must be copied.
  data.held = end < 0 ? Buffer.from(held) : NOTHING;
  if (end < 0) return NOTHING;
  const head = held.toString("latin1", 0, end);
  if (CHUNKED.test(head)) {
    client.end("HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\n\r\n");
    return NOTHING;
  }
  data.line = head.slice(0, head.indexOf("\r\n"));
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
