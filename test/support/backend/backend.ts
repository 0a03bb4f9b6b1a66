import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Socket } from "node:net";
import { type Dict, dict } from "../../../src/wire/json.ts";
import { type AccountSeed, createLedger, type FakeAccount } from "./account.ts";
import { refreshOwner } from "./issuer.ts";
import { CATALOGUE, SEED_MODELS } from "./models.ts";
import { decodeBody, parseBody, type RecordedRequest } from "./recording.ts";
import { type Exchange, type Headers, type Pace, send } from "./reply.ts";
import { answerRequest, type BackendState, bearerOwner, type Incoming, PATHS } from "./routes.ts";
import { createSignIns } from "./sign-in.ts";

/** How a scripted backend is set up; every field has a default. */
export type BackendOptions = {
  /** Default 0: any free port. */
  readonly port?: number;
  /** Delay between the events of a stream; default 0. */
  readonly paceMs?: number;
  /** Cuts streams into writes of this size, across lines and characters; default 0: one write per event. */
  readonly chunkBytes?: number;
  /** Where turns report the quota; default "both". */
  readonly rateLimits?: "headers" | "event" | "both" | "none";
  /** The terminal event repeats all items; default false, as the real backend. */
  readonly fullOutput?: boolean;
  /** `keepalive` events, also while a stream hangs if `paceMs` is set; default false. */
  readonly keepalives?: boolean;
  readonly obfuscation?: boolean;
  readonly unknownEvents?: boolean;
  /** The catalogue; default `CATALOGUE`. */
  readonly models?: readonly Dict[];
  /** True: any model runs. False: only the catalogue's. Default: the catalogue's and the seed's (`SEED_MODELS`). */
  readonly acceptUnknownModels?: boolean;
  /** By which ways a conversation can be compacted; default "both". */
  readonly compaction?: "both" | "endpoint" | "trigger" | "neither";
  /** Keeps what came in; default true. A bench turns it off. */
  readonly record?: boolean;
  /** The backend's clock; default the machine's. */
  readonly now?: () => number;
};

/** A running scripted backend and issuer. */
export type FakeBackend = {
  /** For the configuration's `base-url`. */
  readonly url: string;
  /** For the configuration's `oauth-issuer`. */
  readonly issuer: string;
  /** Registers an account, or finds the one of that name. */
  readonly account: (name: string, seed?: Partial<AccountSeed>) => FakeAccount;
  /** Every request, in the order in which they were read to their end. */
  readonly requests: readonly RecordedRequest[];
  /** The model turns among them. */
  readonly turns: () => readonly RecordedRequest[];
  /** The posts to `/codex/responses/compact` among them. */
  readonly compactions: () => readonly RecordedRequest[];
  /** The token refreshes among them. */
  readonly refreshes: () => readonly RecordedRequest[];
  /** Turns whose response headers are out and whose body is not finished. */
  readonly openStreams: () => number;
  /** Requests that came in and whose response is not finished. */
  readonly openRequests: () => number;
  /** The most streams at once since `forget`. */
  readonly maxOpenStreams: () => number;
  /** Connections opened since `forget`. */
  readonly connections: () => number;
  /** Connections that are open now. At 0, all that clients have sent has been read, whatever became of them. */
  readonly openConnections: () => number;
  readonly setModels: (models: readonly Dict[]) => void;
  /** Resolves as soon as `isTrue` holds; it is looked at whenever something happens here. Instead of sleeping. */
  readonly until: (isTrue: () => boolean) => Promise<void>;
  /** Drops the recordings and starts the counters anew. */
  readonly forget: () => void;
  /** Breaks what is open and frees the port. */
  readonly stop: () => Promise<void>;
};

type Recording = {
  -readonly [key in keyof RecordedRequest]: RecordedRequest[key];
};

/** Starts a scripted backend on the loopback interface. */
export async function startBackend(options: BackendOptions = {}): Promise<FakeBackend> {
  const now = options.now ?? Date.now;
  const rateLimits = options.rateLimits ?? "both";
  const compaction = options.compaction ?? "both";
  const ledger = createLedger(now);
  let models = options.models ?? CATALOGUE;
  const state: BackendState = {
    ledger,
    signIns: createSignIns(ledger),
    now,
    style: {
      hasLimitsEvent: rateLimits === "both" || rateLimits === "event",
      fullOutput: options.fullOutput ?? false,
      keepalives: options.keepalives ?? false,
      obfuscation: options.obfuscation ?? false,
      unknownEvents: options.unknownEvents ?? false,
    },
    hasLimitHeaders: rateLimits === "both" || rateLimits === "headers",
    hasCompactEndpoint: compaction === "both" || compaction === "endpoint",
    knowsTrigger: compaction === "both" || compaction === "trigger",
    models: () => models,
    knowsModel: (model) =>
      options.acceptUnknownModels === true ||
      models.some((info) => info["slug"] === model) ||
      (options.acceptUnknownModels === undefined && SEED_MODELS.includes(model)),
  };
  const pace: Pace = {
    paceMs: options.paceMs ?? 0,
    chunkBytes: options.chunkBytes ?? 0,
    keepalives: state.style.keepalives,
  };
  const watch = createWatch(options.record ?? true);

  const read = (request: IncomingMessage, raw: Uint8Array, atMs: number): [Incoming, Recording] => {
    const headers = plainHeaders(request.headers);
    const url = new URL(request.url ?? "/", "http://backend");
    const { pathname, search, searchParams: query } = url;
    const bytes = decodeBody(raw, headers["content-encoding"]);
    const body = bytes && bytes.length > 0 ? parseBody(bytes, headers["content-type"]) : undefined;
    const method = request.method ?? "GET";
    const owner =
      pathname === PATHS.token ? refreshOwner(body, ledger) : bearerOwner(headers, ledger);
    const recording: Recording = {
      path: pathname,
      query: search,
      method,
      headers,
      body,
      rawBody: raw,
      account: owner?.handle.name,
      atMs,
      aborted: false,
      sentBytes: 0,
      status: undefined,
    };
    const bodyBytes = bytes?.length ?? 0;
    return [{ method, path: pathname, query, headers, body, bodyBytes }, recording];
  };

  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const atMs = now();
    const visit = watch.visit(response);
    const parts: Uint8Array[] = [];
    request.on("data", (part: Uint8Array) => parts.push(part));
    request.on("end", () => {
      const [incoming, recording] = read(request, Buffer.concat(parts), atMs);
      visit.record(recording);
      const exchange = visit.exchange(recording);
      send(answerRequest(incoming, state), exchange, pace).catch((cause: unknown) => {
        // A bug in the backend itself: the test must not mistake it for a scripted fault.
        console.error("scripted backend:", cause);
        response.destroy();
      });
    });
  };

  const server = createServer({ maxHeaderSize: 65_536 }, serve);
  server.keepAliveTimeout = 600_000;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.timeout = 0;
  server.on("connection", watch.connected);
  server.on("upgrade", (request: IncomingMessage, socket: Socket) => {
    const [incoming, recording] = read(request, new Uint8Array(0), now());
    const isTurn = incoming.path === PATHS.turn;
    recording.status = isTurn ? 426 : 404;
    watch.add(recording);
    const line = isTurn ? "426 Upgrade Required" : "404 Not Found";
    socket.end(`HTTP/1.1 ${line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
  });
  const origin = `http://127.0.0.1:${await listen(server, options.port ?? 0)}`;

  return {
    url: `${origin}/backend-api/codex`,
    issuer: origin,
    account: ledger.account,
    requests: watch.recordings,
    turns: () => watch.recordings.filter((each) => isPost(each, PATHS.turn)),
    compactions: () => watch.recordings.filter((each) => isPost(each, PATHS.compact)),
    refreshes: () =>
      watch.recordings.filter((each) => isPost(each, PATHS.token) && !isRedemption(each)),
    openStreams: watch.openStreams,
    openRequests: watch.openRequests,
    maxOpenStreams: watch.maxOpenStreams,
    connections: watch.connections,
    openConnections: watch.openConnections,
    until: watch.until,
    forget: watch.forget,
    setModels: (next) => {
      models = next;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A code of a login that is given for tokens, at the same endpoint as refreshes. */
function isRedemption({ body }: RecordedRequest): boolean {
  return dict(body)["grant_type"] === "authorization_code";
}

function isPost(request: RecordedRequest, path: string): boolean {
  return request.path === path && request.method === "POST";
}

function plainHeaders(headers: IncomingHttpHeaders): Headers {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return plain;
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

type Visit = {
  readonly record: (recording: Recording) => void;
  readonly exchange: (recording: Recording) => Exchange;
};

/** Counts and records what happens, and wakes who waits for it. */
function createWatch(isRecording: boolean) {
  const recordings: Recording[] = [];
  const waiting = new Set<() => void>();
  const counts = { streams: 0, maxStreams: 0, requests: 0, connections: 0, openConnections: 0 };

  const changed = (): void => {
    for (const look of waiting) look();
  };
  const add = (recording: Recording): void => {
    if (isRecording) recordings.push(recording);
    changed();
  };

  const visit = (response: ServerResponse): Visit => {
    counts.requests += 1;
    let recorded: Recording | undefined;
    let isClosed = false;
    let isStream = false;
    let isCut = false;
    const closed = new Promise<void>((resolve) => {
      response.once("close", () => {
        isClosed = true;
        counts.requests -= 1;
        if (isStream) counts.streams -= 1;
        if (recorded) {
          recorded.aborted = !response.writableFinished && !isCut;
          if (response.headersSent) recorded.status = response.statusCode;
        }
        resolve();
        changed();
      });
    });
    return {
      record: (recording) => {
        recorded = recording;
        add(recording);
      },
      exchange: (recording) => ({
        response,
        closed,
        isClosed: () => isClosed,
        onStream: () => {
          recording.status = response.statusCode;
          if (isClosed) return;
          isStream = true;
          counts.streams += 1;
          counts.maxStreams = Math.max(counts.maxStreams, counts.streams);
          changed();
        },
        onBytes: (bytes) => {
          recording.sentBytes += bytes;
          if (waiting.size > 0) changed();
        },
        onCut: () => {
          isCut = true;
        },
      }),
    };
  };

  return {
    recordings,
    add,
    visit,
    connected: (socket: Socket) => {
      counts.connections += 1;
      counts.openConnections += 1;
      socket.once("close", () => {
        counts.openConnections -= 1;
        changed();
      });
      changed();
    },
    openStreams: () => counts.streams,
    openRequests: () => counts.requests,
    maxOpenStreams: () => counts.maxStreams,
    connections: () => counts.connections,
    openConnections: () => counts.openConnections,
    forget: () => {
      recordings.length = 0;
      counts.maxStreams = counts.streams;
      counts.connections = 0;
    },
    until: (isTrue: () => boolean) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (!isTrue()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}
