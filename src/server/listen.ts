import http from "node:http";
import {
  type Config,
  defaults,
  RUNTIME_H2_HEADER_BYTES,
  RUNTIME_H2_STREAMS,
} from "../config/schema.ts";
import type { Certificate } from "./certificate.ts";

/** Where and how to listen. */
export type Listening = {
  /** Undefined = all addresses, IPv4 and IPv6. */
  readonly hostname: string | undefined;
  readonly port: number;
  /** Largest frame of a WebSocket. */
  readonly maxFrameBytes: number;
  /** Largest head of a request. */
  readonly maxHeaderBytes: number;
  /** Whether clients may speak HTTP/2. */
  readonly hasHttp2: boolean;
  /** Silence that ends a connection on which nothing is under way. 0 = none does. */
  readonly idleSec: number;
  /** Undefined = no TLS. */
  readonly certificate: Certificate | undefined;
};

/** The connection that a request came by, as far as time is concerned. */
export type Connection = {
  /** Something is under way that may be silent for long: that must not end the connection. */
  readonly hold: () => void;
  /** Nothing is under way any more: the idle time counts again. */
  readonly rest: () => void;
  /** Ends it within seconds, whatever is left to be read; over HTTP/2 once no other request holds it. */
  readonly cut: () => void;
};

/** What Bun.serve is told beside routes and address. */
export function serveOptions({ hasHttp2, idleSec, certificate }: Listening) {
  return {
    // It also ends requests that are answered in silence; those hold their connection.
    idleTimeout: idleSec,
    http2: hasHttp2,
    development: false,
    // Two programs on one port would share its connections between them, without a word to anybody.
    reusePort: false,
    // The limit of `max-body-bytes` is enforced with an answer in the protocol's words.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    ...(certificate === undefined ? {} : { tls: certificate }),
  };
}

/** Sets how large the head of a request may be, for every server of the process, since Bun knows one limit only. */
export function limitHeaders(bytes: number): void {
  // The types say that it can only be read (node:http); in Bun it is what its servers go by.
  Reflect.set(http, "maxHeaderSize", bytes);
}

/** A runtime's server, as far as connections are timed. */
type Timer = { readonly timeout: (request: Request, seconds: number) => void };

/** How a request's connection is timed. */
export function connectionOf(request: Request, server: Timer | null, idleSec: number): Connection {
  return {
    hold: () => server?.timeout(request, 0),
    rest: () => server?.timeout(request, idleSec),
    cut: () => server?.timeout(request, 1),
  };
}

type Wishes = Pick<
  Config,
  "enable-listen-h2c" | "h2-max-concurrent-streams" | "listen-max-header-bytes"
>;

/** What the owner wishes and the runtime cannot do, a sentence each. */
export function unmet(wishes: Wishes): readonly string[] {
  if (!wishes["enable-listen-h2c"]) return [];
  const told: string[] = [];
  const streams = wishes["h2-max-concurrent-streams"];
  const usual = defaults()["h2-max-concurrent-streams"];
  if (streams !== usual && streams !== RUNTIME_H2_STREAMS) {
    told.push(
      `h2-max-concurrent-streams: ${streams} cannot be had, the runtime allows ${RUNTIME_H2_STREAMS} for each connection`,
    );
  }
  const bytes = wishes["listen-max-header-bytes"];
  if (bytes > RUNTIME_H2_HEADER_BYTES) {
    told.push(
      `listen-max-header-bytes: ${bytes} holds for HTTP/1.1 only, HTTP/2 takes ${RUNTIME_H2_HEADER_BYTES} at most`,
    );
  }
  return told;
}
