import type { Wire, Ws } from "../platform/platform.ts";
import type { Caller } from "./keys.ts";
import type { Channel } from "./outlet.ts";
import { createSocket, type Socket, type SocketPorts } from "./socket.ts";

/** All open sockets. */
export type Sockets = {
  /** What serves a connection that is about to be opened. */
  readonly accept: (handshake: Headers, caller: Caller) => Wire;
  readonly count: () => number;
  /** Takes no more turns: idle sockets end now, others after their turn. */
  readonly retire: () => void;
  /** Ends what is left. */
  readonly cut: () => void;
};

/** Serves Responses over WebSockets. */
export function createSockets(ports: Omit<SocketPorts, "isRetiring">): Sockets {
  const sockets = new Set<Socket>();
  let isRetiring = false;
  const socketPorts = { ...ports, isRetiring: () => isRetiring };
  return {
    accept: (handshake, caller) => {
      let socket: Socket | undefined;
      return {
        open: (ws) => {
          const channel = channelOf(ws);
          socket = createSocket({ channel, handshake, caller }, socketPorts);
          sockets.add(socket);
          if (isRetiring) socket.closeIfIdle();
        },
        message: (_ws, data) => socket?.message(data),
        drain: (ws) => {
          // It is called for each part that has gone out.
          socket?.heard();
          if (ws.getBufferedAmount() === 0) socket?.drain();
        },
        pong: () => socket?.heard(),
        close: () => {
          if (socket === undefined) return;
          sockets.delete(socket);
          socket.close();
        },
      };
    },
    count: () => sockets.size,
    retire: () => {
      isRetiring = true;
      for (const socket of sockets) socket.closeIfIdle();
    },
    cut: () => {
      for (const socket of sockets) socket.cut();
    },
  };
}

// Below that, compressing costs more time than the bytes do. Above, it is mostly an image, which hardly shrinks, and
// everybody's events would wait the while.
const COMPRESS_FROM = 1024;
const COMPRESS_TO = 262_144;

function channelOf(ws: Ws): Channel {
  return {
    send: (frames) => {
      // Together they are one write to the kernel.
      ws.cork(() => {
        for (const frame of frames) ws.send(frame, isWorthCompressing(frame));
      });
      return ws.getBufferedAmount() === 0;
    },
    ping: () => {
      ws.ping();
    },
    close: (code, reason) => {
      ws.close(code, reason);
    },
    end: () => {
      ws.terminate();
    },
  };
}

function isWorthCompressing({ length }: string): boolean {
  return length >= COMPRESS_FROM && length <= COMPRESS_TO;
}
