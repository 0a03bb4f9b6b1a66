import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

/** A server that a test writes itself, byte by byte, on this machine's own address. */
export type Listener = AsyncDisposable & {
  readonly port: number;
  /** From which addresses and ports it was connected to. */
  readonly peers: readonly string[];
  /** Connections that are open now. */
  readonly open: () => number;
  readonly stop: () => Promise<void>;
};

/** Listens; each connection is `onConnection`'s. With `tls`, each is encrypted. */
export async function listen(
  onConnection: (socket: Socket) => void,
  tls?: { readonly cert: string; readonly key: string },
  wantedPort = 0,
): Promise<Listener> {
  const peers: string[] = [];
  const sockets = new Set<Socket>();
  const take = (socket: Socket): void => {
    peers.push(`${socket.remoteAddress}:${socket.remotePort}`);
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // What breaks is the test's own doing.
    socket.on("error", () => {});
    onConnection(socket);
  };
  const server: Server =
    tls === undefined ? createServer({ noDelay: true }, take) : createTlsServer(tls, take);
  // A client that trusts nobody here ends in the midst of the handshake.
  server.on("tlsClientError", () => {});
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  const port = await new Promise<number>((resolve, reject) => {
    server.once("error", reject);
    server.listen(wantedPort, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  return { port, peers, open: () => sockets.size, stop, [Symbol.asyncDispose]: stop };
}

/** A port of this machine on which nobody listens. */
export async function freePort(): Promise<number> {
  const listener = await listen(() => {});
  await listener.stop();
  return listener.port;
}
