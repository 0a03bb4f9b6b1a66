import { connect } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { createAuthority } from "./certificates.ts";
import { END_HEADERS, END_STREAM, FRAME, fourBytes, frame } from "./h2-frames.ts";

/** A stream whose request has been read whole, and what a test can do with it. */
export type Stream = {
  /** Its number, and of which connection, from 0. */
  readonly id: number;
  readonly connection: number;
  /** The head of a 200 with an event stream, and what follows. */
  readonly answer: (text: string, isEnd: boolean) => void;
  readonly data: (text: string, isEnd: boolean) => void;
  readonly reset: (code: number) => void;
  /** GOAWAY on its connection: streams above `last` have not been worked on. */
  readonly goAway: (last: number, code: number) => void;
  /** Ends the connection below. */
  readonly hangUp: () => void;
};

/** An HTTP/2 server that says what a test writes, frame by frame (RFC 9113). */
export type H2Server = {
  readonly url: string;
  /** The certificate to trust. */
  readonly authority: string;
  readonly connections: () => number;
  /** How many streams have been opened. */
  readonly streams: () => number;
  /** How many are open, at most, on one connection. */
  readonly mostOpen: () => number;
  /** How many connections have been passed on at a time. */
  readonly mostPassedOn: () => number;
  /** From now on hears nothing on the connections that are there. */
  readonly forget: () => void;
  readonly stop: () => void;
};

/** What else the server is. */
export type H2Options = {
  readonly maxStreams?: number;
  /** The server to which clients without HTTP/2 are passed on; absent: there are none. */
  readonly behind?: string;
};

/** Codes of RST_STREAM and GOAWAY. */
export const CODE = { none: 0, internal: 2, refused: 7, calm: 11 } as const;

const ACK = 1;
const MAX_CONCURRENT_STREAMS = 3;
const PREFACE_BYTES = 24;
// HPACK: the indexed `:status: 200`, then a literal with the name of `content-type` from the static table.
const ANSWER_HEAD = Buffer.concat([
  Buffer.from([0x88, 0x0f, 0x10, 17]),
  Buffer.from("text/event-stream"),
]);

/** Starts one on the loopback interface; `onRequest` is called for each request that has been read whole. */
export async function startH2(
  onRequest: (stream: Stream) => void,
  { maxStreams, behind }: H2Options = {},
): Promise<H2Server> {
  const authority = createAuthority();
  const sockets = new Set<TLSSocket>();
  const deaf = new Set<TLSSocket>();
  const counts = { connections: 0, streams: 0, mostOpen: 0, passedOn: 0, mostPassedOn: 0 };

  const passOn = (socket: TLSSocket, target: string): void => {
    const { hostname, port: far } = new URL(target);
    counts.passedOn += 1;
    counts.mostPassedOn = Math.max(counts.mostPassedOn, counts.passedOn);
    const server = connect({ host: hostname, port: Number(far), noDelay: true });
    socket.pipe(server).pipe(socket);
    socket.on("close", () => {
      counts.passedOn -= 1;
      server.destroy();
    });
    for (const end of [socket, server]) end.on("error", () => socket.destroy());
  };

  const serve = (socket: TLSSocket): void => {
    if (socket.alpnProtocol !== "h2" && behind !== undefined) {
      passOn(socket, behind);
      return;
    }
    const connection = counts.connections;
    counts.connections += 1;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    const open = new Set<number>();
    const send = (type: number, flags: number, id: number, payload: Buffer): void => {
      if (!socket.destroyed) socket.write(frame(type, flags, id, payload));
    };
    const data = (id: number, text: string, isEnd: boolean): void => {
      if (isEnd) open.delete(id);
      send(FRAME.data, isEnd ? END_STREAM : 0, id, Buffer.from(text));
    };
    const streamOf = (id: number): Stream => ({
      id,
      connection,
      answer: (text, isEnd) => {
        send(FRAME.headers, END_HEADERS, id, ANSWER_HEAD);
        data(id, text, isEnd);
      },
      data: (text, isEnd) => data(id, text, isEnd),
      reset: (code) => {
        open.delete(id);
        send(FRAME.reset, 0, id, fourBytes(code));
      },
      goAway: (last, code) =>
        send(FRAME.goAway, 0, 0, Buffer.concat([fourBytes(last), fourBytes(code)])),
      hangUp: () => socket.end(),
    });
    const begin = (id: number): void => {
      counts.streams += 1;
      open.add(id);
      counts.mostOpen = Math.max(counts.mostOpen, open.size);
    };
    const take = (type: number, flags: number, id: number, payload: Buffer): void => {
      const isAck = flags === ACK;
      switch (type) {
        case FRAME.settings:
          if (!isAck) send(FRAME.settings, ACK, 0, Buffer.alloc(0));
          return;
        case FRAME.ping:
          if (!isAck) send(FRAME.ping, ACK, 0, payload);
          return;
        case FRAME.reset:
          open.delete(id);
          return;
        case FRAME.headers:
          begin(id);
          break;
        case FRAME.data:
          if (payload.length > 0) send(FRAME.window, 0, 0, fourBytes(payload.length));
          break;
        default:
          return;
      }
      if ((flags & END_STREAM) !== 0) onRequest(streamOf(id));
    };
    const limit = maxStreams === undefined ? [] : [setting(MAX_CONCURRENT_STREAMS, maxStreams)];
    send(FRAME.settings, 0, 0, Buffer.concat(limit));
    let held: Buffer = Buffer.alloc(0);
    let skip = PREFACE_BYTES;
    socket.on("data", (bytes: Buffer) => {
      if (deaf.has(socket)) return;
      held = Buffer.concat([held, bytes]);
      if (held.length < skip) return;
      held = held.subarray(skip);
      skip = 0;
      while (held.length >= 9 && held.length >= 9 + held.readUIntBE(0, 3)) {
        const end = 9 + held.readUIntBE(0, 3);
        const id = held.readUInt32BE(5) & 0x7fff_ffff;
        take(held[3] ?? 0, held[4] ?? 0, id, held.subarray(9, end));
        held = held.subarray(end);
      }
    });
  };

  const ALPNProtocols = behind === undefined ? ["h2"] : ["h2", "http/1.1"];
  const options = { ...authority.issue(["localhost"]), ALPNProtocols };
  const server = createServer(options, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `https://localhost:${port}/codex/responses`,
    authority: authority.certificate,
    connections: () => counts.connections,
    streams: () => counts.streams,
    mostOpen: () => counts.mostOpen,
    mostPassedOn: () => counts.mostPassedOn,
    forget: () => {
      for (const socket of sockets) deaf.add(socket);
    },
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}
