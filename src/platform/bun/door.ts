import http from "node:http";
import type { AppOptions, AppServer, BuildApp, Door, DoorOptions } from "../platform.ts";

/** Opens the program's port with Bun's own server. */
export async function openDoor(build: BuildApp, options: DoorOptions): Promise<Door> {
  const server = (): AppServer => {
    if (app.server === null) throw new Error("the port is not open");
    return app.server;
  };
  const door: Door = {
    port: () => server().port ?? 0,
    addressOf: (request) => server().requestIP(request)?.address ?? "",
    upgrade: (request, data, headers) => server().upgrade(request, { data, headers }),
    timeout: (request, seconds) => server().timeout(request, seconds),
    stop: (isAtOnce) => server().stop(isAtOnce),
  };
  limitHeaders(options.maxHeaderBytes);
  const app = build(appOptions(options), door);
  const { hostname, port } = options;
  app.listen({ port, ...(hostname === undefined ? {} : { hostname }) });
  return door;
}

function appOptions({ hasHttp2, idleSec, maxFrameBytes, certificate }: DoorOptions): AppOptions {
  return {
    serve: {
      // It also ends requests that are answered in silence; those hold their connection.
      idleTimeout: idleSec,
      http2: hasHttp2,
      development: false,
      // Two programs on one port would share its connections between them, without a word to anybody.
      reusePort: false,
      // The limit of `max-body-bytes` is enforced with an answer in the protocol's words.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      ...(certificate === undefined ? {} : { tls: certificate }),
    },
    websocket: {
      // It also counts after decompression, and ends the connection with 1009.
      maxPayloadLength: maxFrameBytes,
      perMessageDeflate: true,
      // Each ping that is sent would put it off; who is still there is the outlet's business.
      idleTimeout: 0,
      sendPings: false,
      // For a client that sends mistakes and never reads what is said about them. Turns wait for their reader with one
      // event at the most, which may be an image: with that in memory, an answer to something else must still fit.
      backpressureLimit: 64 * 1024 * 1024,
      closeOnBackpressureLimit: true,
    },
  };
}

/** Sets how large the head of a request may be, for every server of the process, since Bun knows one limit only. */
export function limitHeaders(bytes: number): void {
  // The types say that it can only be read (node:http); in Bun it is what its servers go by.
  Reflect.set(http, "maxHeaderSize", bytes);
}
