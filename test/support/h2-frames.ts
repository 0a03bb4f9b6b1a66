import { connect } from "node:net";
import { within } from "./until.ts";

/** HTTP/2 frame by frame (RFC 9113), for what no client's library sends. */
export type FrameLine = {
  readonly send: (bytes: Uint8Array) => void;
  /** How many bytes are waiting to be sent, since the other side does not read. */
  readonly backlog: () => number;
  /** Resolves when the other side has taken what waits, or the connection is over. */
  readonly drained: () => Promise<void>;
  /** How many frames of a type have come. */
  readonly count: (type: number) => number;
  /** Resolves when a frame of this type has come, or the connection is over. */
  readonly hears: (type: number) => Promise<void>;
  readonly isClosed: () => boolean;
  readonly closed: Promise<void>;
  /** Reads no more: what the server sends stays in the kernel, and then with the server. */
  readonly pause: () => void;
  readonly leave: () => void;
};

/** Types of frames. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;

/** Flags of HEADERS and DATA. */
export const END_STREAM = 1;
/** The flag of HEADERS and CONTINUATION after which no more headers come. */
export const END_HEADERS = 4;

/** What a client says first; its settings come right after. */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** One frame. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A number of four bytes, as in RST_STREAM, WINDOW_UPDATE and settings. */
export function fourBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Headers in HPACK's plainest form (RFC 7541, 6.2.2): literal, without an index, not compressed. */
export function block(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(
    headers.flatMap(([name, value]) => [Buffer.from([0]), hpackText(name), hpackText(value)]),
  );
}

/** A header that goes into the table of the connection, where it is number 62 (RFC 7541, 6.2.1). */
export function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), hpackText(name), hpackText(value)]);
}

/** What a request needs. */
export function requestBlock(
  method: string,
  path: string,
  more: readonly (readonly [string, string])[] = [],
): Buffer {
  return block([
    [":method", method],
    [":scheme", "http"],
    [":authority", "localhost"],
    [":path", path],
    ...more,
  ]);
}

function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([hpackNumber(bytes.length), bytes]);
}

/** RFC 7541, 5.1, with a prefix of seven bits. */
function hpackNumber(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** Opens a connection and, unless told otherwise, greets with the preface and empty settings. */
export async function openFrames(url: string, hasPreface = true): Promise<FrameLine> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  const counts = new Map<number, number>();
  const waiting = new Set<() => void>();
  let held: Buffer = Buffer.alloc(0);
  let isClosed = false;
  const look = (): void => {
    for (const each of waiting) each();
  };
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => {
      isClosed = true;
      resolve();
      look();
    });
  });
  // A connection that the other side breaks is over, and no more than that.
  socket.on("error", () => {});
  socket.on("data", (bytes: Uint8Array) => {
    held = Buffer.concat([held, bytes]);
    let at = 0;
    while (held.length - at >= 9 && held.length - at >= 9 + held.readUIntBE(at, 3)) {
      const type = held[at + 3] ?? 0;
      counts.set(type, (counts.get(type) ?? 0) + 1);
      at += 9 + held.readUIntBE(at, 3);
    }
    held = held.subarray(at);
    look();
  });
  const connected = new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  await within("a connection opens", Promise.race([connected, closed]));
  if (hasPreface) socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0)]));
  const count = (type: number): number => counts.get(type) ?? 0;
  return {
    send: (bytes) => {
      if (!socket.destroyed) socket.write(bytes);
    },
    backlog: () => socket.writableLength,
    drained: () =>
      socket.writableLength === 0 || isClosed
        ? Promise.resolve()
        : Promise.race([new Promise<void>((resolve) => socket.once("drain", resolve)), closed]),
    count,
    hears: (type) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const each = (): void => {
        if (!isClosed && count(type) === 0) return;
        waiting.delete(each);
        resolve();
      };
      waiting.add(each);
      each();
      return promise;
    },
    isClosed: () => isClosed,
    closed,
    pause: () => void socket.pause(),
    leave: () => socket.destroy(),
  };
}
