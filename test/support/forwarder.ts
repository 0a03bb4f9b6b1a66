import { connect, createServer, type Socket } from "node:net";

/** Stands between a client and a server and passes bytes on, as a router would; it sees connections and no more. */
export type Forwarder = AsyncDisposable & {
  /** The server's URL as clients of the forwarder must call it. */
  readonly url: string;
  /** How many connections clients have opened, ever. */
  readonly opened: () => number;
  /** How many are open, and how many have been at a time. */
  readonly open: () => number;
  readonly mostOpen: () => number;
  /** From now on nothing comes through on the connections that are there, and nobody is told: a router that has forgotten them. */
  readonly forget: () => void;
  /** How many pieces have come from clients on connections that it has forgotten. */
  readonly swallowed: () => number;
  /** Ends those that are there, by a FIN or a RST to the client. */
  readonly cut: (how: "fin" | "rst") => void;
};

/** Starts a forwarder in front of `target`, on a free port of the loopback interface. */
export async function startForwarder(target: string): Promise<Forwarder> {
  const { hostname, port } = new URL(target);
  const links = new Set<{ readonly near: Socket; readonly far: Socket }>();
  const forgotten = new Set<Socket>();
  let opened = 0;
  let swallowed = 0;
  let most = 0;
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: hostname, port: Number(port), noDelay: true });
    const link = { near, far };
    opened += 1;
    links.add(link);
    // Connections that were closed before this one was opened may be told of after it, in the same turn of the event loop.
    setImmediate(() => {
      most = Math.max(most, links.size);
    });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const over = (): void => {
        links.delete(link);
        if (!forgotten.has(from)) to.destroy();
      };
      from.on("data", (bytes) => {
        if (!forgotten.has(from)) to.write(bytes);
        else if (from === near) swallowed += 1;
      });
      from.on("end", over);
      from.on("error", over);
      from.on("close", over);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const own = typeof address === "object" && address !== null ? address.port : 0;
  const sockets = (): readonly Socket[] => [...links].flatMap(({ near, far }) => [near, far]);
  return {
    url: target.replace(`:${port}`, `:${own}`),
    opened: () => opened,
    open: () => links.size,
    mostOpen: () => most,
    forget: () => {
      for (const socket of sockets()) forgotten.add(socket);
    },
    swallowed: () => swallowed,
    cut: (how) => {
      for (const { near } of links) {
        if (how === "fin") near.end();
        else near.resetAndDestroy();
      }
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of [...sockets(), ...forgotten]) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
