import { createServer, type Socket } from "node:net";

/** One request on a raw connection, and the bytes that go back. */
export type Peer = {
  /** Request line and headers. */
  readonly head: string;
  readonly body: string;
  /** Resolves when the bytes have been taken over by the system, to false when the connection is gone. */
  readonly write: (data: string | Uint8Array) => Promise<boolean>;
  /** Ends the connection in order. */
  readonly end: () => void;
  /** Breaks it. */
  readonly reset: () => void;
  readonly closed: Promise<void>;
};

/** A server that says nothing but what a test writes. */
export type RawServer = {
  readonly url: string;
  readonly connections: () => number;
  /** How many requests have been read whole. */
  readonly requests: () => number;
  /** The next request that has been read whole. */
  readonly next: () => Promise<Peer>;
  readonly stop: () => void;
};

/** The head of a 200 with an event stream, its body chunked. */
export const STREAM_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/** `data` as one chunk of a chunked body; "" is the last one. */
export function chunk(data: string): string {
  return `${Buffer.byteLength(data).toString(16)}\r\n${data}\r\n`;
}

/** Starts a raw server on the loopback interface. */
export async function startRaw(): Promise<RawServer> {
  const waiting: ((peer: Peer) => void)[] = [];
  const ready: Peer[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let requests = 0;
  const arrive = (peer: Peer): void => {
    requests += 1;
    const taker = waiting.shift();
    if (taker === undefined) ready.push(peer);
    else taker(peer);
  };
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    const closed = new Promise<void>((resolve) => {
      socket.once("close", () => {
        sockets.delete(socket);
        resolve();
      });
    });
    // A client that leaves is what these tests are about.
    socket.on("error", () => {});
    let held = "";
    socket.on("data", (data) => {
      held += data.toString("latin1");
      for (let request = cutRequest(held); request !== undefined; request = cutRequest(held)) {
        held = request.rest;
        arrive({ head: request.head, body: request.body, closed, ...pen(socket) });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    connections: () => connections,
    requests: () => requests,
    next: () =>
      new Promise((resolve) => {
        const peer = ready.shift();
        if (peer === undefined) waiting.push(resolve);
        else resolve(peer);
      }),
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function pen(socket: Socket): Pick<Peer, "write" | "end" | "reset"> {
  return {
    write: (data) =>
      new Promise((resolve) => {
        if (socket.destroyed) return resolve(false);
        const settle = (isWritten: boolean): void => {
          socket.off("close", gone);
          resolve(isWritten);
        };
        const gone = (): void => settle(false);
        socket.once("close", gone);
        socket.write(data, (error) => settle(!error));
      }),
    end: () => socket.end(),
    reset: () => socket.resetAndDestroy(),
  };
}

type Request = { readonly head: string; readonly body: string; readonly rest: string };

function cutRequest(held: string): Request | undefined {
  const end = held.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = held.slice(0, end);
  const from = end + 4;
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  if (held.length < from + length) return undefined;
  return { head, body: held.slice(from, from + length), rest: held.slice(from + length) };
}
