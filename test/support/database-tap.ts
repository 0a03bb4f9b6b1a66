import { connect, createServer, type Server, type Socket } from "node:net";
import type { TestDatabase } from "./databases.ts";

/** Stands before a database server as its network does, and can take it away. */
export type DatabaseTap = AsyncDisposable & {
  /** The keys of a configuration that goes through it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The server is stopped: what is open breaks, and nobody can connect. */
  readonly stop: () => Promise<void>;
  /** The server stands still: connections stay and can be made, and nothing is answered. */
  readonly freeze: () => void;
  /** It is there again, and goes on where it stood still. */
  readonly start: () => Promise<void>;
  /** How long each answer takes from now on. */
  readonly delay: (ms: number) => void;
  /** How many pieces have come from clients: at least one for each statement. */
  readonly pieces: () => number;
};

/** A tap before a server's database. */
export async function tapDatabase({ place, config }: TestDatabase): Promise<DatabaseTap> {
  if (place.driver === "sqlite") throw new Error("a file has no network before it");
  const { host, port } = place;
  const open = new Set<Socket>();
  const held: (() => void)[] = [];
  let isFrozen = false;
  let delayMs = 0;
  let pieces = 0;
  let own = 0;

  /** Hands a piece on, now, later, or when the server goes on. */
  const pass = (to: Socket, bytes: Buffer): void => {
    const write = (): void => {
      if (!to.destroyed) to.write(bytes);
    };
    if (isFrozen) held.push(write);
    else if (delayMs > 0) setTimeout(write, delayMs);
    else write();
  };

  const take = (near: Socket): void => {
    const far = connect({ host, port, noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      const over = (): void => {
        open.delete(from);
        to.destroy();
      };
      from.on("data", (bytes: Buffer) => {
        if (from === near) pieces += 1;
        if (from === near && !isFrozen) to.write(bytes);
        else pass(to, bytes);
      });
      for (const event of ["end", "error", "close"] as const) from.on(event, over);
    }
  };

  const listen = async (): Promise<Server> => {
    const server = createServer({ noDelay: true }, take);
    await new Promise<void>((resolve) => server.listen(own, "127.0.0.1", resolve));
    const address = server.address();
    own = typeof address === "object" && address !== null ? address.port : 0;
    return server;
  };
  let server: Server | undefined = await listen();

  const stop = async (): Promise<void> => {
    const stopping = server;
    server = undefined;
    for (const socket of open) socket.resetAndDestroy();
    if (stopping !== undefined) await new Promise((resolve) => stopping.close(resolve));
  };

  return {
    config: { ...config, "db-port": own },
    stop,
    freeze: () => {
      isFrozen = true;
    },
    start: async () => {
      isFrozen = false;
      for (const write of held.splice(0)) write();
      server ??= await listen();
    },
    delay: (ms) => {
      delayMs = ms;
    },
    pieces: () => pieces,
    [Symbol.asyncDispose]: stop,
  };
}
