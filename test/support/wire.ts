import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { within } from "./until.ts";

/** A WebSocket byte by byte: for frames that no client sends, and for a client that does not read. */
export type Wire = {
  /** What the server answered to the handshake. */
  readonly handshake: string;
  /** Sends a text frame; `isPacked` by the rules of permessage-deflate (RFC 7692). */
  readonly send: (text: string, isPacked?: boolean) => void;
  /** The texts that came so far, and whether each was compressed. */
  readonly received: () => readonly Received[];
  /** Stops reading: what the server sends stays in the kernel, and then with the server. */
  readonly pause: () => void;
  readonly resume: () => void;
  readonly closed: Promise<void>;
  readonly leave: () => void;
};

/** One message. */
export type Received = { readonly text: string; readonly isPacked: boolean };

const TEXT = 1;
// The empty block that ends a compressed message and is left out on the wire.
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** Opens a WebSocket that offers compression. */
export async function openWire(
  url: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Wire> {
  const { hostname, port, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  const all = {
    host,
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": randomBytes(16).toString("base64"),
    "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  let held: Buffer = Buffer.alloc(0);
  let handshake = "";
  const received: Received[] = [];
  const opened = Promise.withResolvers<void>();
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => resolve());
  });
  // A connection that the other side breaks is over, and no more than that.
  socket.on("error", () => {});
  socket.on("data", (bytes: Uint8Array) => {
    held = Buffer.concat([held, bytes]);
    if (handshake === "") {
      const end = held.indexOf("\r\n\r\n");
      if (end < 0) return;
      handshake = held.subarray(0, end).toString();
      held = held.subarray(end + 4);
      opened.resolve();
    }
    held = takeFrames(held, received);
  });
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  await within("a WebSocket opens", Promise.race([opened.promise, closed]));
  return {
    handshake,
    send: (text, isPacked = false) => socket.write(frameOf(Buffer.from(text), isPacked)),
    received: () => received,
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    closed,
    leave: () => socket.destroy(),
  };
}

/** A masked text frame, as clients send them. */
function frameOf(text: Buffer, isPacked: boolean): Buffer {
  const packed = isPacked ? deflateRawSync(text, { finishFlush: 2 }) : text;
  const payload = isPacked ? packed.subarray(0, packed.length - TAIL.length) : packed;
  const head = Buffer.alloc(14);
  head[0] = 0x80 | (isPacked ? 0x40 : 0) | TEXT;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  const mask = randomBytes(4);
  mask.copy(head, 10);
  const masked = payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0));
  return Buffer.concat([head, masked]);
}

/** Takes whole frames off the front; what is left is the beginning of the next. */
function takeFrames(bytes: Buffer, into: Received[]): Buffer {
  let rest = bytes;
  for (;;) {
    const [first = 0, second = 0] = rest;
    const short = second & 0x7f;
    const start = short === 127 ? 10 : short === 126 ? 4 : 2;
    if (rest.length < start) return rest;
    const length =
      short === 127
        ? Number(rest.readBigUInt64BE(2))
        : short === 126
          ? rest.readUInt16BE(2)
          : short;
    if (rest.length < start + length) return rest;
    const payload = rest.subarray(start, start + length);
    const isPacked = (first & 0x40) !== 0;
    if ((first & 0x0f) === TEXT) {
      const text = isPacked
        ? inflateRawSync(Buffer.concat([payload, TAIL]), { finishFlush: 2 })
        : payload;
      into.push({ text: text.toString(), isPacked });
    }
    rest = rest.subarray(start + length);
  }
}
