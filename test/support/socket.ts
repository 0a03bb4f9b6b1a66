import { connect, type Socket } from "node:net";
import { within } from "./until.ts";

/**
 * One HTTP/1.1 request on a connection of its own, byte by byte: for clients that leave in the middle, and for more
 * streams at a time than one runtime's `fetch` opens.
 */
export type Line = {
  readonly send: (bytes: string | Uint8Array) => void;
  /** All that has come back so far, headers and chunk marks included. */
  readonly received: () => string;
  /** Resolves as soon as the answer so far holds `words`, or the connection is over. */
  readonly hears: (words: string) => Promise<void>;
  /** Resolves when the other side has ended the connection, or it broke. */
  readonly closed: Promise<void>;
  /** Takes no more: what the server sends stays in the kernel, and then with the server. */
  readonly pause: () => void;
  /** Leaves: by closing, or by a reset. */
  readonly leave: (how: "close" | "reset") => void;
};

/** Opens a connection to a server on the loopback interface. */
export async function openLine(url: string): Promise<Line> {
  const { hostname, port } = new URL(url);
  const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true });
  const waiting = new Set<() => void>();
  const decoder = new TextDecoder();
  let text = "";
  let isOver = false;
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => {
      isOver = true;
      resolve();
      for (const look of waiting) look();
    });
  });
  // A connection that the other side breaks is over, and no more than that.
  socket.on("error", () => {});
  socket.on("data", (bytes: Uint8Array) => {
    text += decoder.decode(bytes, { stream: true });
    for (const look of waiting) look();
  });
  const connected = new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  await within("a connection opens", Promise.race([connected, closed]));
  return {
    send: (bytes) => {
      if (!socket.destroyed) socket.write(bytes);
    },
    received: () => text,
    hears: (words) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!isOver && !text.includes(words)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    closed,
    pause: () => void socket.pause(),
    leave: (how) => {
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    },
  };
}

/** The bytes of a POST. */
export function postBytes(
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Buffer {
  const { host, pathname } = new URL(url);
  const all = {
    host,
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
}
