/** All that the program needs of a runtime and that Bun and Node do not offer in the same way. */
export type Platform = {
  /** The runtime's name and version. */
  readonly name: string;
  /** What the program does without here. */
  readonly lacks: ReadonlySet<Feature>;
  /**
   * Sees to it that the runtime's own settings are as this program needs them, which may begin the process anew, with
   * the same id. For commands that serve; call it before anything else.
   */
  readonly settle: () => void;
  /** Opens the program's port. Rejects where the address cannot be had. */
  readonly openDoor: (build: BuildApp, options: DoorOptions) => Promise<Door>;
  /** The body of an answer that is written and not pulled from. */
  readonly openBody: (writing: BodyWriting) => ReadableStream<Uint8Array>;
  /** Connections that requests of one way out share. */
  readonly openSession: (connecting: Connecting, keep: Keep) => Session;
  /** Undefined where there is no client for databases. */
  readonly openSql: ((options: SqlOptions) => Sql) | undefined;
  /** Undoes one encoding of a body. */
  readonly decompressor: (coding: Coding) => Decompressor;
  /** Standard error; nothing that is written waits for its reader. */
  readonly openStandardError: () => Sink;
  readonly openStandardInput: () => ReadableStream<Uint8Array>;
  /** @throws where the text is none */
  readonly parseToml: (text: string) => unknown;
  /** JSON with comments and trailing commas. @throws where the text is none */
  readonly parseJsonc: (text: string) => unknown;
  /** A file that the executable has inside it; undefined where it has not, as when the program runs from source. */
  readonly embedded: (name: string) => Promise<Uint8Array<ArrayBuffer>> | undefined;
};

/** What not every runtime can do for the program. */
export type Feature = "databases" | "http2-inbound" | "http2-outbound";

/** Makes the application with the options that its framework must have in this runtime; requests find `door` open. */
export type BuildApp = (options: AppOptions, door: Door) => App;

/** What the framework hands on to the runtime: Bun's own options, where it is Bun. */
export type AppOptions = {
  readonly serve?: {
    readonly idleTimeout: number;
    readonly http2: boolean;
    readonly development: boolean;
    readonly reusePort: boolean;
    readonly maxRequestBodySize: number;
    readonly tls?: { readonly cert: string; readonly key: string };
  };
  readonly websocket?: {
    readonly maxPayloadLength: number;
    readonly perMessageDeflate: boolean;
    readonly idleTimeout: number;
    readonly sendPings: boolean;
    readonly backpressureLimit: number;
    readonly closeOnBackpressureLimit: boolean;
  };
};

/** An application of the framework, as far as a runtime serves it. */
export type App = {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly listen: (options: { readonly port: number; readonly hostname?: string }) => unknown;
  /** The runtime's server, once it listens; only where the framework has opened it. */
  readonly server: AppServer | null;
};

/** A server as Bun has it. */
export type AppServer = {
  readonly port: number | undefined;
  readonly requestIP: (request: Request) => { readonly address: string } | null;
  readonly upgrade: (
    request: Request,
    options: { readonly data: Wire; readonly headers: Readonly<Record<string, string>> },
  ) => boolean;
  readonly timeout: (request: Request, seconds: number) => void;
  readonly stop: (isAtOnce: boolean) => Promise<void>;
};

/** How the port is opened. */
export type DoorOptions = {
  /** Undefined = all addresses, IPv4 and IPv6. */
  readonly hostname: string | undefined;
  readonly port: number;
  /** Largest frame of a WebSocket, also once it is unpacked. */
  readonly maxFrameBytes: number;
  /** Largest head of a request. */
  readonly maxHeaderBytes: number;
  /** Whether clients may speak HTTP/2. */
  readonly hasHttp2: boolean;
  /** Silence that ends a connection on which nothing is under way. 0 = none does. */
  readonly idleSec: number;
  /** In PEM; undefined = no TLS. */
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
};

/** The open port. */
export type Door = {
  readonly port: () => number;
  /** The address of who has sent the request. */
  readonly addressOf: (request: Request) => string;
  /** Turns a request into a WebSocket that `wire` serves; false where its handshake is none. */
  readonly upgrade: (
    request: Request,
    wire: Wire,
    headers: Readonly<Record<string, string>>,
  ) => boolean;
  /** How long the request's connection may be silent from now on, in seconds; 0 = for ever. */
  readonly timeout: (request: Request, seconds: number) => void;
  /** Takes no more connections. Resolves once all that is under way has ended, which `isAtOnce` cuts. */
  readonly stop: (isAtOnce: boolean) => Promise<void>;
};

/** Who serves a WebSocket. */
export type Wire = {
  readonly open: (ws: Ws) => void;
  readonly message: (ws: Ws, data: string | Uint8Array) => void;
  /** Some of what was sent has gone out. */
  readonly drain: (ws: Ws) => void;
  readonly pong: () => void;
  readonly close: () => void;
};

/** An open WebSocket. */
export type Ws = {
  readonly send: (text: string, isCompressed: boolean) => unknown;
  readonly ping: () => unknown;
  readonly close: (code: number, reason: string) => void;
  readonly terminate: () => void;
  /** What is sent in `task` goes out together. */
  readonly cork: (task: () => void) => unknown;
  /** Bytes that wait for the reader. */
  readonly getBufferedAmount: () => number;
};

/** A body that writes itself once somebody takes it. */
export type BodyWriting = {
  /** Writes it all; the body breaks off where this rejects. */
  readonly pull: (to: BodyOutlet) => Promise<void>;
  /** Whoever took it has left. */
  readonly cancel: () => void;
};

/** Where such a body goes. */
export type BodyOutlet = {
  /** Gives a promise for the moment when there is room again, where there is none. */
  readonly write: (piece: Uint8Array) => number | Promise<number>;
  readonly flush: () => unknown;
  readonly close: () => void;
};

/** Where connections lead. Whoever answers in TLS must prove to be who was meant, whatever the environment says. */
export type Connecting = {
  /** Absent: none, whatever the environment says. */
  readonly proxy?: Via;
  /** The name to be proved, where it is another one than the URL's. */
  readonly serverName?: string;
  /** Who is trusted instead of the system's authorities, in PEM. */
  readonly authorities?: string;
  /** The path of a socket inside this machine that leads there. */
  readonly unix?: string;
};

/** An HTTP proxy that takes requests as they are. */
export type Via = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
};

/** How connections are kept for further requests; false = not at all. */
export type Keep = false | { readonly idleTimeout: number; readonly maxIdleSockets: number };

/** A way out. */
export type Session = {
  /** Sends a request; redirects are answers like any other. No time limit but `signal`. */
  readonly ask: (url: string, request: SessionRequest) => Promise<Response>;
  readonly close: () => void;
};

/** A request that leaves by a session. */
export type SessionRequest = {
  readonly method?: "GET" | "POST" | "HEAD";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly signal: AbortSignal;
  /** Absent: HTTP/1.1. */
  readonly protocol?: "http2";
};

/** An encoding of HTTP bodies. */
export type Coding = "gzip" | "deflate" | "deflate-raw" | "brotli" | "zstd";

export type Decompressor = {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array<ArrayBuffer>>;
};

/** Where lines go. Both may answer with a promise. */
export type Sink = {
  readonly write: (text: string) => unknown;
  readonly flush: () => unknown;
};

/** A database as its client is told. */
export type SqlOptions =
  | { readonly driver: "sqlite"; readonly path: string }
  | {
      readonly driver: "postgres" | "mysql";
      /** A path where it begins with a slash. */
      readonly host: string;
      readonly port: number;
      readonly user: string;
      readonly password: string;
      readonly name: string;
      readonly sslMode: "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full";
      /** The file of the authorities to trust instead of the system's. */
      readonly caFile: string | undefined;
      readonly most: number;
      readonly connectSec: number;
      /** How long a connection lives; 0 = for ever. */
      readonly lifetimeSec: number;
      /** What the server's own lists call this program. */
      readonly application: string;
    };

/** Sends statements; what it answers with is the runtime's own. */
export type SqlRun = {
  readonly unsafe: (text: string, params: (string | number | null)[]) => PromiseLike<unknown>;
};

/** A client of a database. */
export type Sql = SqlRun & {
  readonly reserve: () => PromiseLike<SqlRun & { readonly release: () => void }>;
  /** PostgreSQL only. */
  readonly listen: (
    channel: string,
    onNote: () => void,
    onReady: () => void,
  ) => PromiseLike<{ readonly unlisten: () => Promise<unknown> }>;
  readonly close: (options: { readonly timeout: number }) => Promise<unknown>;
};
