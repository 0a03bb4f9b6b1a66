import { type ClientRequest, type IncomingMessage, Agent as PlainAgent, request } from "node:http";
import { request as requestTls, Agent as TlsAgent } from "node:https";
import { isIP } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import { CODINGS, isCodingName } from "../codings.ts";
import type { Connecting, Keep, Session, SessionRequest } from "../platform.ts";
import { decompressor } from "./decompressor.ts";

/** What is sent where the request does not say it: who asks, and what of the answer can be read. */
const USUAL_HEADERS = {
  accept: "*/*",
  "accept-encoding": "gzip, deflate, br, zstd",
  // What Node's own fetch says.
  "user-agent": "node",
};

const MOST_HEADER_BYTES = 64 * 1024;
// Node tries a host's addresses one after another and gives each 250 ms, too little for a server that is far away.
const ATTEMPT_MS = 2000;
const PROBE_MS = 30_000;
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * Connections that are kept apart from all others. It is made of Node's own client, whose errors have the system's
 * codes as Bun's have, and which can ask a proxy for a whole URL; its fetch can neither.
 */
export function openSession(connecting: Connecting, keep: Keep): Session {
  const agents = agentsFor(connecting, keep);
  return {
    ask: (url, asked) => ask(new URL(url), asked, connecting, agents),
    close: () => {
      for (const agent of [agents.plain, agents.encrypted]) {
        // Those in use end with what runs on them.
        agent.maxFreeSockets = 0;
        for (const sockets of Object.values(agent.freeSockets)) {
          for (const socket of sockets ?? []) socket.destroy();
        }
      }
    },
  };
}

type Agents = { readonly plain: PlainAgent; readonly encrypted: TlsAgent };

function agentsFor({ authorities }: Connecting, keep: Keep): Agents {
  const options = {
    maxSockets: Number.POSITIVE_INFINITY,
    autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
    ...(keep === false
      ? { keepAlive: false }
      : {
          keepAlive: true,
          keepAliveMsecs: PROBE_MS,
          maxFreeSockets: keep.maxIdleSockets,
          // Ends idle connections only: one in use is not cut by it.
          timeout: keep.idleTimeout * 1000,
        }),
  };
  return {
    plain: new PlainAgent(options),
    encrypted: new TlsAgent({
      ...options,
      // Whatever the environment says.
      rejectUnauthorized: true,
      ...(authorities === undefined ? {} : { ca: authorities }),
    }),
  };
}

function ask(
  url: URL,
  { method = "GET", headers, body, signal, protocol }: SessionRequest,
  connecting: Connecting,
  agents: Agents,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    if (protocol !== undefined) throw lackOfHttp2();
    const { isEncrypted, ...place } = wayTo(url, connecting);
    const options = {
      ...place,
      method,
      headers: Object.fromEntries(
        new Headers({ host: url.host, ...USUAL_HEADERS, ...connecting.proxy?.headers, ...headers }),
      ),
      maxHeaderSize: MOST_HEADER_BYTES,
    };
    const outgoing = isEncrypted
      ? requestTls({ ...options, agent: agents.encrypted })
      : request({ ...options, agent: agents.plain });
    const leave = (): void => {
      reject(signal.reason);
      outgoing.destroy();
    };
    signal.addEventListener("abort", leave, { once: true });
    outgoing.on("close", () => {
      signal.removeEventListener("abort", leave);
      // Who answers with a change of protocol that nobody asked for is left by Node without a word.
      reject(Object.assign(new Error("no answer"), { code: "ECONNRESET" }));
    });
    outgoing.on("error", reject);
    outgoing.on("response", (incoming) => {
      try {
        resolve(responseOf(incoming, outgoing, method, signal));
      } catch (cause) {
        reject(cause);
        outgoing.destroy();
      }
    });
    outgoing.end(body);
  });
}

type Where = {
  readonly isEncrypted: boolean;
  readonly host: string;
  readonly port: string;
  readonly path: string;
  readonly socketPath?: string;
} & Pick<ConnectionOptions, "servername" | "checkServerIdentity">;

/** Where the request goes, and what it asks for there. */
function wayTo(url: URL, { proxy, serverName, unix }: Connecting): Where {
  const path = `${url.pathname}${url.search}`;
  const first = proxy === undefined ? url : new URL(proxy.url);
  const isEncrypted = first.protocol === "https:";
  const host = first.hostname.replace(/^\[|\]$/g, "");
  const place = {
    isEncrypted,
    host,
    port: first.port === "" ? (isEncrypted ? "443" : "80") : first.port,
    path: proxy === undefined ? path : `${url.origin}${path}`,
    ...(unix === undefined ? {} : { socketPath: unix }),
  };
  if (!isEncrypted) return place;
  const name = (proxy === undefined ? serverName : undefined) ?? host;
  return {
    ...place,
    // An address is no name to ask for, and has to be proved all the same.
    servername: isIP(name) === 0 ? name : "",
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  };
}

function responseOf(
  incoming: IncomingMessage,
  outgoing: ClientRequest,
  method: string,
  signal: AbortSignal,
): Response {
  const status = incoming.statusCode ?? 0;
  const headers = new Headers();
  for (let at = 0; at + 1 < incoming.rawHeaders.length; at += 2) {
    headers.append(incoming.rawHeaders[at] ?? "", incoming.rawHeaders[at + 1] ?? "");
  }
  // An empty body is none, also where its head says that it is packed.
  const isEmpty = headers.get("content-length") === "0";
  if (method === "HEAD" || isEmpty || BODILESS.has(status)) {
    incoming.resume();
    return new Response(null, { status, headers });
  }
  const raw = bodyOf(incoming, outgoing, signal);
  const coding = codingOf(headers);
  const body = coding === undefined ? raw : raw.pipeThrough(decompressor(coding));
  return new Response(body, { status, headers });
}

/** How the body is packed; undefined where it is not, or in a way that nobody asked for. */
function codingOf(headers: Headers) {
  const said = (headers.get("content-encoding") ?? "").trim().toLowerCase();
  return isCodingName(said) ? CODINGS[said] : undefined;
}

/** The body as it comes; nobody reads on while nobody takes it. Left unread, it breaks the connection off. */
function bodyOf(
  incoming: IncomingMessage,
  outgoing: ClientRequest,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  let isOver = false;
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      const end = (finish: () => void): void => {
        if (isOver) return;
        isOver = true;
        finish();
      };
      const fail = (cause: unknown): void => end(() => controller.error(cause));
      incoming.on("data", (chunk: Buffer) => {
        if (isOver) return;
        controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
        if ((controller.desiredSize ?? 0) <= 0) incoming.pause();
      });
      incoming.pause();
      incoming.on("end", () => end(() => controller.close()));
      // Also where nobody wants it any more, which ends the request.
      incoming.on("error", (cause) => fail(signal.aborted ? signal.reason : cause));
      // What its parser cannot read is told here.
      outgoing.on("error", fail);
    },
    pull: () => {
      incoming.resume();
    },
    cancel: () => {
      isOver = true;
      outgoing.destroy();
    },
  });
}

function lackOfHttp2(): Error {
  return Object.assign(new Error("HTTP/2 is not spoken here"), { code: "HTTP2Unsupported" });
}
