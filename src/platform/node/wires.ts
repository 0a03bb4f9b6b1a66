import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Wire, Ws } from "../platform.ts";

/** The WebSockets of one port. */
export type Wires = {
  /**
   * Answers a handshake, with `headers` in the answer, and has its socket served by `wire`. False where the handshake
   * is none: nothing has been sent then.
   */
  readonly accept: (
    handshake: Handshake,
    wire: Wire,
    headers: Readonly<Record<string, string>>,
  ) => boolean;
};

/** A request to change over, and what came with it. */
export type Handshake = {
  readonly incoming: IncomingMessage;
  readonly socket: Duplex;
  /** What the client has sent already after its request. */
  readonly head: Buffer;
};

// For a client that never reads; as on Bun's side.
const MOST_WAITING_BYTES = 64 * 1024 * 1024;
const LOOK_EVERY_MS = 1000;

/** Opens WebSockets whose frames have `maxFrameBytes` at most, also once they are unpacked (1009). */
export function createWires(maxFrameBytes: number): Wires {
  const answers = new WeakMap<IncomingMessage, readonly string[]>();
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: maxFrameBytes,
    perMessageDeflate: {
      // Whoever sends says what is worth it.
      threshold: 0,
      // As on Bun's side: a window for each connection costs more memory than it saves.
      serverNoContextTakeover: true,
      clientNoContextTakeover: true,
    },
  });
  server.on("headers", (lines, incoming) => lines.push(...(answers.get(incoming) ?? [])));
  return {
    accept: ({ incoming, socket, head }, wire, headers) => {
      if (!isHandshake(incoming)) return false;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
      answers.set(incoming, lines);
      server.handleUpgrade(incoming, socket, head, (ws) => serve(ws, socket, wire));
      return true;
    },
  };
}

/** Whether `ws` would take it; what it would not, it answers in words of its own. */
function isHandshake({ method, headers }: IncomingMessage): boolean {
  const key = headers["sec-websocket-key"] ?? "";
  const isComplete = /^[+/0-9A-Za-z]{22}==$/.test(key) && headers["sec-websocket-version"] === "13";
  return method === "GET" && headers.upgrade?.toLowerCase() === "websocket" && isComplete;
}

function serve(ws: WebSocket, socket: Duplex, wire: Wire): void {
  let isCorked = false;
  // Something could not go out at once.
  let isWaiting = false;
  let stopLooking = (): void => {};

  /** Looks at what a send has left behind. */
  const look = (): void => {
    if (isCorked || ws.bufferedAmount === 0) return;
    if (ws.bufferedAmount > MOST_WAITING_BYTES) ws.terminate();
    if (isWaiting || ws.bufferedAmount === 0) return;
    isWaiting = true;
    stopLooking = watchProgress(socket, () => wire.drain(face));
  };
  const rest = (): void => {
    isWaiting = false;
    stopLooking();
  };
  const sent = (error?: Error | null): void => {
    // What went out at once says nothing of the other side.
    if (!isWaiting || (error !== undefined && error !== null)) return;
    if (ws.bufferedAmount === 0) rest();
    wire.drain(face);
  };

  const face: Ws = {
    send: (text, isCompressed) => {
      ws.send(text, { compress: isCompressed }, sent);
      look();
    },
    ping: () => ws.ping(),
    close: (code, reason) => ws.close(code, reason),
    terminate: () => ws.terminate(),
    cork: (task) => {
      socket.cork();
      isCorked = true;
      try {
        task();
      } finally {
        isCorked = false;
        socket.uncork();
      }
      look();
    },
    getBufferedAmount: () => ws.bufferedAmount,
  };

  // It ends the connection by itself, with the code that belongs to the mistake.
  ws.on("error", () => {});
  ws.on("pong", wire.pong);
  ws.on("message", (data, isBinary) => {
    const bytes = bytesOf(data);
    wire.message(face, isBinary ? bytes : bytes.toString("utf8"));
  });
  ws.on("close", () => {
    rest();
    wire.close();
  });
  wire.open(face);
}

function bytesOf(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

/**
 * Calls `onProgress` now and then while the other side takes some of what waits. A frame's own end is told only when
 * all of it has gone out, and an image on a slow line may take minutes.
 */
function watchProgress(socket: Duplex, onProgress: () => void): () => void {
  let before = queuedBytes(socket);
  const timer = setInterval(() => {
    const now = queuedBytes(socket);
    if (now < before) onProgress();
    before = now;
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** What libuv holds for the kernel, by which Node's own time limits go (`_onTimeout` in its lib/net.js); 0 = not known. */
function queuedBytes(socket: Duplex): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null) return 0;
  const size: unknown = Reflect.get(handle, "writeQueueSize");
  return typeof size === "number" ? size : 0;
}
