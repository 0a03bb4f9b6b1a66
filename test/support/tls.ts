import { createServer, type TLSSocket } from "node:tls";
import { createAuthority } from "./certificates.ts";
import { until } from "./until.ts";

/** An HTTPS server that answers everything with an empty 200, and counts what a connection costs. */
export type TlsServer = {
  readonly url: string;
  /** The certificate to trust. */
  readonly authority: string;
  readonly counts: () => { readonly handshakes: number; readonly open: number };
  /** Time passes for it: closes the connections on which nothing has come since the last call, and waits for that. */
  readonly closeUnused: () => Promise<void>;
  readonly stop: () => void;
};

const WAY_MS = 5;

/** Starts one on the loopback interface. */
export async function startTls(): Promise<TlsServer> {
  const authority = createAuthority();
  const used = new Set<TLSSocket>();
  const open = new Set<TLSSocket>();
  let handshakes = 0;
  const server = createServer(authority.issue(["localhost"]), (socket) => {
    handshakes += 1;
    open.add(socket);
    // A client that leaves ends its connection as it likes.
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    socket.on("data", () => {
      used.add(socket);
      // As over a network: requests that leave together are under way together.
      setTimeout(() => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), WAY_MS);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `https://localhost:${port}/codex`,
    authority: authority.certificate,
    counts: () => ({ handshakes, open: open.size }),
    closeUnused: async () => {
      const unused = [...open].filter((socket) => !used.has(socket));
      used.clear();
      for (const socket of unused) socket.end();
      await until("they are closed", () => unused.every((socket) => !open.has(socket)));
    },
    stop: () => {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}
