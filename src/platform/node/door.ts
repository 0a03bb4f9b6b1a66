import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  ServerResponse,
} from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { Socket } from "node:net";
import type { App, BuildApp, Door, DoorOptions } from "../platform.ts";
import { breakOff, requestOf, sendResponse } from "./exchange.ts";
import { createWires, type Handshake } from "./wires.ts";

/** A request under way. It holds the request as long: the signal of one that is let go would never abort (undici). */
type Exchange = {
  readonly request: Request;
  readonly socket: Socket;
  readonly outgoing: ServerResponse;
  /** Of a request to change over to a WebSocket. */
  readonly handshake: Handshake | undefined;
  /** The client has gone. */
  readonly leave: () => void;
  isUpgraded: boolean;
};

/** Opens the program's port with Node's HTTP server, for HTTP/1.1 and WebSockets. */
export async function openDoor(build: BuildApp, options: DoorOptions): Promise<Door> {
  const { hostname, port, idleSec, certificate } = options;
  const idleMs = idleSec * 1000;
  const server = createHttpServer(options, idleMs);
  const wires = createWires(options.maxFrameBytes);
  const exchanges = new WeakMap<Request, Exchange>();
  // What is under way on each open connection.
  const open = new Map<Socket, Set<Exchange>>();
  const connections = new Set<Socket>();
  let isStopping = false;

  const serve = async (
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    handshake?: Handshake,
  ): Promise<void> => {
    const { socket } = incoming;
    const leaving = new AbortController();
    let request: Request;
    try {
      request = requestOf(incoming, leaving);
    } catch {
      return refuse(outgoing, 400);
    }
    const leave = (): void => leaving.abort();
    const exchange = { request, socket, outgoing, handshake, leave, isUpgraded: false };
    exchanges.set(request, exchange);
    open.get(socket)?.add(exchange);
    // Written to a client that is gone; the end of the connection says it better.
    outgoing.on("error", () => {});
    outgoing.once("close", () => {
      if (!outgoing.writableFinished && !exchange.isUpgraded) leave();
      open.get(socket)?.delete(exchange);
      if (isStopping) endIfIdle(socket, open);
    });
    const response = await ask(app, request);
    if (exchange.isUpgraded) return;
    if (isStopping) outgoing.setHeader("connection", "close");
    await sendResponse(response, outgoing);
    // What nobody has read of the body stands before the connection's next request.
    incoming.resume();
  };

  const door: Door = {
    port: () => {
      const at = server.address();
      return typeof at === "object" && at !== null ? at.port : 0;
    },
    addressOf: (request) => exchanges.get(request)?.socket.remoteAddress ?? "",
    upgrade: (request, wire, headers) => {
      const exchange = exchanges.get(request);
      if (exchange?.handshake === undefined || exchange.outgoing.destroyed) return false;
      exchange.outgoing.detachSocket(exchange.socket);
      exchange.isUpgraded = wires.accept(exchange.handshake, wire, headers);
      if (!exchange.isUpgraded) exchange.outgoing.assignSocket(exchange.socket);
      return exchange.isUpgraded;
    },
    timeout: (request, seconds) => {
      const exchange = exchanges.get(request);
      // The connection may be at another request already.
      if (exchange === undefined || exchange.outgoing.writableFinished) return;
      exchange.socket.setTimeout(seconds * 1000);
    },
    stop: (isAtOnce) => {
      isStopping = true;
      server.close();
      const begun = new Set([...open.keys()].map(placeOf));
      // Those that have not even shaken hands in TLS.
      for (const socket of connections) if (!begun.has(placeOf(socket))) socket.destroy();
      for (const socket of open.keys()) endIfIdle(socket, open);
      if (isAtOnce) for (const socket of connections) breakOff({ socket });
      return closed;
    },
  };
  const app = build({}, door);

  const closed = new Promise<void>((resolve) => server.once("close", () => resolve()));
  const arrival = certificate === undefined ? "connection" : "secureConnection";
  server.on("connection", (socket: Socket) => {
    if (connections.has(socket)) return;
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  server.on(arrival, (socket: Socket) => {
    if (open.has(socket)) return;
    const underWay = new Set<Exchange>();
    open.set(socket, underWay);
    // Node's own listener is gone while a request to change over is looked at.
    socket.on("error", () => {});
    socket.once("close", () => {
      open.delete(socket);
      for (const { leave, isUpgraded } of underWay) if (!isUpgraded) leave();
    });
  });
  server.on("request", (incoming, outgoing) => void serve(incoming, outgoing));
  const changeOver = async (incoming: IncomingMessage, head: Buffer): Promise<void> => {
    const { socket } = incoming;
    await allAnswered(socket, open.get(socket));
    // It may have been ended meanwhile.
    if (!socket.writable) return;
    if (incoming.method !== "GET" || incoming.headers.upgrade?.toLowerCase() !== "websocket") {
      // Nothing else is to be had here, and who asks may refuse by going on as before (RFC 9110, 7.8).
      socket.unshift(Buffer.concat([plainHead(incoming), head]));
      server.emit(arrival, socket);
      return;
    }
    const outgoing = new ServerResponse(incoming);
    outgoing.shouldKeepAlive = false;
    outgoing.assignSocket(socket);
    outgoing.once("finish", () => socket.destroySoon());
    await serve(incoming, outgoing, { incoming, socket, head });
  };
  server.on("upgrade", (incoming, _stream, head) => void changeOver(incoming, head));
  // Nobody reads what still waits: the kernel need not keep it.
  server.on("timeout", (socket) => {
    if (socket.writableLength > 0) breakOff({ socket });
    else socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(
      { port, ...(hostname === undefined ? {} : { host: hostname }), exclusive: true },
      () => {
        server.off("error", reject);
        // A connection that could not be taken, for want of file descriptors, is its client's loss only.
        server.on("error", () => {});
        resolve();
      },
    );
  });
  return door;
}

function createHttpServer({ maxHeaderBytes, certificate }: DoorOptions, idleMs: number): Server {
  const options: ServerOptions = {
    maxHeaderSize: maxHeaderBytes,
    noDelay: true,
    keepAliveTimeout: idleMs,
    // Heads that trickle in; how long a body may take is for the application to say.
    headersTimeout: idleMs,
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(Math.max(idleMs / 4, 1000), 30_000),
  };
  const server =
    certificate === undefined
      ? createServer(options)
      : createSecureServer({ ...options, ...certificate, handshakeTimeout: idleMs || 120_000 });
  // Their bytes are limited, and what is above Node's limit of their number would vanish without a word.
  server.maxHeadersCount = 0;
  server.timeout = idleMs;
  return server;
}

async function ask(app: App, request: Request): Promise<Response> {
  try {
    return await app.fetch(request);
  } catch {
    return new Response("Internal Server Error\n", { status: 500 });
  }
}

function refuse(outgoing: ServerResponse, status: number): void {
  outgoing.writeHead(status, { connection: "close", "content-length": "0" });
  outgoing.end();
}

/** By what a connection's own socket and the one for the TLS in it are known to be one. */
function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Ends a connection on which nothing is under way, once all that was written has gone out. */
function endIfIdle(socket: Socket, open: ReadonlyMap<Socket, ReadonlySet<Exchange>>): void {
  if ((open.get(socket)?.size ?? 0) === 0) socket.destroySoon();
}

/**
 * Waits until all that was asked before on a connection is answered: clients need not wait for one answer before they
 * ask for the next (RFC 9112, 9.3.2). Node has let go of a connection that is to change over, so it tells the answers no
 * more that there is room again.
 */
async function allAnswered(
  socket: Socket,
  before: ReadonlySet<Exchange> = new Set(),
): Promise<void> {
  if (before.size === 0) return;
  const answers = [...before].map(({ outgoing }) => outgoing);
  const tellRoom = (): void => {
    for (const outgoing of answers) if (outgoing.socket === socket) outgoing.emit("drain");
  };
  socket.on("drain", tellRoom);
  await new Promise<void>((resolve) => {
    let left = answers.length;
    for (const outgoing of answers) {
      outgoing.once("close", () => {
        left -= 1;
        if (left === 0) resolve();
      });
    }
    socket.once("close", () => resolve());
  });
  socket.off("drain", tellRoom);
}

/** A request's head without its wish to change over. */
function plainHead({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    const value = rawHeaders[at + 1] ?? "";
    if (!/^(?:connection|upgrade|http2-settings)$/i.test(name)) lines.push(`${name}: ${value}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}
