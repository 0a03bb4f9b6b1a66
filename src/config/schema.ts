import { type Static, type TSchema, Type, TypeGuard } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { sha256 } from "../wire/digest.ts";
import { ALLOWED_CREDENTIAL_KEY, credentialKey } from "./credential-key.ts";
import { databaseDriver, SSL_MODES } from "./database.ts";
import { readEndpoint } from "./endpoint.ts";
import { ALLOWED_PROXY, proxyUrl } from "./proxy-url.ts";
import {
  accessKey,
  clientName,
  headerName,
  headerValue,
  hostName,
  httpUrl,
  keyDigest,
  modelGlob,
  modelName,
  moment,
  path,
  type Rule,
  statusPolicy,
  statusRange,
  type Verdict,
  webOrigin,
} from "./rules.ts";

/** Headings of the documentation, in its order. */
export const GROUPS = {
  access: "Listening and access",
  backend: "The backend",
  connections: "Connections to the backend",
  accounts: "Accounts and tokens",
  database: "Accounts in a database",
  health: "Quota and health of accounts",
  choice: "Choosing an account and retrying",
  clocks: "Time limits and signs of life",
  models: "Models",
  responses: "Held conversations",
  logs: "Logs",
} as const;

/** What a key needs beside its TypeBox type: for the documentation, for faults and for a reload. */
export type About = {
  readonly description: string;
  readonly group: keyof typeof GROUPS;
  /** Whether a change of the file takes effect without a restart. */
  readonly live: boolean;
  readonly unit?: "s" | "bytes";
  /** What may stand there, where the type does not say it. */
  readonly allowed?: string;
  /** The default in words, where the value itself would say little. */
  readonly fallback?: string;
  /** Its values are never quoted. */
  readonly isSecret?: boolean;
  /** Checks the text, or each entry of a list or map. */
  readonly rule?: Rule;
  /** Checks the names of a map. */
  readonly nameRule?: Rule;
  /** An entry of a map may be a map of these names itself: it comes to their values, joined by slashes. */
  readonly fields?: readonly string[];
  /** An entry of a list may be a map instead, of this form. */
  readonly entry?: EntryForm;
  /** Written into the example commented out: these lines, or the default where there are none. */
  readonly sample?: readonly string[];
};

/** A map that may stand in a list. */
export type EntryForm = {
  /** What may stand in it, each read like a key of its own. */
  readonly fields: Readonly<Record<string, Spec>>;
  /** What is wrong with an entry as a whole, or beside the entries before it. */
  readonly judge: (entry: Entry, before: readonly Entry[]) => EntryFault | undefined;
};

/** An entry of such a list, read. */
export type Entry = string | { readonly [field: string]: unknown };

/** What is wrong with it, in words that quote no secret. */
export type EntryFault = { readonly found: string; readonly allowed: string };

function key<T extends TSchema>(schema: T, about: About): T & About {
  return { ...schema, ...about };
}

type Bounds = { readonly default: number; readonly minimum: number; readonly maximum: number };

const DAY_SEC = 86_400;

/** How many requests Bun lets a client run over one HTTP/2 connection; it cannot be told otherwise. */
export const RUNTIME_H2_STREAMS = 256;

/** The largest head of a request that Bun reads over HTTP/2, in bytes. */
export const RUNTIME_H2_HEADER_BYTES = 65_536;

function seconds(bounds: Bounds, about: Omit<About, "unit">) {
  return key(Type.Integer(bounds), { ...about, unit: "s" });
}

type Phases = { readonly once: string; readonly rest: string };

function policies(description: string, { once, rest }: Phases, group: keyof typeof GROUPS) {
  return key(Type.Record(Type.String(), Type.String(), { default: {} }), {
    group,
    live: true,
    description: `${description} Phase: none, refresh_once (${once}) or cooldown_then_retry (${rest}); final, if that does not help: cooldown, disable or remove. remove deletes the account file, which only the status policies and DELETE /admin/accounts ever do.`,
    allowed:
      "a map of statuses (429, 5xx) to policies such as {phase: refresh_once, final: cooldown}, or none/cooldown for short",
    fallback: "none",
    nameRule: statusRange,
    rule: statusPolicy,
    fields: ["phase", "final"],
    sample: [],
  });
}

type FieldAbout = Omit<About, "group" | "live">;

function field<T extends TSchema>(schema: T, about: FieldAbout) {
  return Type.Optional(key(schema, { ...about, group: "access", live: true }));
}

const KEY_FORM = "a string of at least 8 visible ASCII characters without spaces";

/** What an entry of `api-keys` may say of a key. */
const CLIENT_KEY = Type.Object(
  {
    key: field(Type.String(), {
      description: "The key itself.",
      allowed: KEY_FORM,
      isSecret: true,
      rule: accessKey,
    }),
    "key-sha256": field(Type.String(), {
      description: "In its place, its SHA-256 digest, so that the file does not hold the key.",
      allowed: "64 hexadecimal digits",
      isSecret: true,
      rule: keyDigest,
    }),
    name: field(Type.String(), {
      description:
        "What logs, /stats and metrics call its holder. Without one it is called after the first digits of its digest.",
      allowed: "1 to 40 letters, digits, dots, dashes and underscores",
      rule: clientName,
    }),
    models: field(Type.Array(Type.String()), {
      description:
        "The models that it may use, * for any characters. A model is allowed by the name that the client asks for or by the one that this stands for, so that gpt-5.4 allows all its levels and gpt-5.4-low only that one.",
      allowed: "a list of model names, with * as a wildcard",
      rule: modelGlob,
    }),
    rpm: field(Type.Integer({ minimum: 1, maximum: 1_000_000 }), {
      description: "Turns that it may begin within any 60 seconds.",
    }),
    concurrency: field(Type.Integer({ minimum: 1, maximum: 65_535 }), {
      description: "Turns that it may have running at a time.",
    }),
    "tokens-per-day": field(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), {
      description:
        "Tokens, input and output together, that it may use in a day of UTC. What is running when they are used up comes to its end.",
    }),
    expires: field(Type.String(), {
      description: "When it ends. A day alone means the end of that day in UTC.",
      allowed: "a day such as 2027-03-31, or a moment such as 2027-03-31T18:00:00Z",
      rule: moment,
    }),
  },
  { additionalProperties: false },
);

/** An entry of `api-keys` in object form. */
export type ClientKeyEntry = Readonly<Static<typeof CLIENT_KEY>>;

/** The fields of `api-keys` in object form, for their reader and for the documentation. */
export const CLIENT_KEY_FIELDS: Readonly<Record<string, Spec>> = Object.fromEntries(
  Object.entries(CLIENT_KEY.properties).map(([name, property]): [string, Spec] => {
    const about: About = property;
    return [name, { ...about, form: formOf(property) }];
  }),
);

/** Every key: the only source of its type, default, bounds, unit and text. */
export const SCHEMA = Type.Object(
  {
    listen: key(Type.String({ default: ":8080" }), {
      group: "access",
      live: false,
      description:
        'Address to listen on. ":8080" means every address of this machine, IPv4 and IPv6; "127.0.0.1:8080" means this machine only. Port 0 takes any free port.',
      allowed: "host:port, :port or [IPv6 address]:port, with a port from 0 to 65535",
      rule: listenAddress,
    }),
    "api-keys": key(Type.Array(Type.Union([Type.String(), CLIENT_KEY]), { default: [] }), {
      group: "access",
      live: true,
      description:
        "Keys that callers must show, one of them each. Without any, everybody who reaches the port may use your accounts. Make one with: openssl rand -hex 24. An entry may be a map that gives a key a name and limits.",
      allowed:
        "a list of strings, each of at least 8 visible ASCII characters without spaces, or of maps with a key or key-sha256",
      fallback: "none: no check",
      isSecret: true,
      rule: accessKey,
      entry: { fields: CLIENT_KEY_FIELDS, judge: clientKeyFault },
      sample: [
        "api-keys:",
        '  - "sk-your-custom-key"',
        '  - key: "sk-your-second-key"',
        "    name: laptop",
        '    models: ["gpt-5.4*", "claude-*"]',
        "    rpm: 60",
        "    concurrency: 4",
        "    tokens-per-day: 5000000",
        "    expires: 2027-03-31",
      ],
    }),
    "admin-key": key(Type.String({ default: "" }), {
      group: "access",
      live: true,
      description:
        "Key for the owner's routes: /stats, /metrics, /explain, /refresh, /check-quota, /recover-auth and /admin. Without it the api-keys open them too.",
      allowed: "a string of at least 8 visible ASCII characters without spaces",
      fallback: "none: the api-keys count",
      isSecret: true,
      rule: accessKey,
      sample: ['admin-key: "sk-your-admin-key"'],
    }),
    "allowed-origins": key(Type.Array(Type.String(), { default: [] }), {
      group: "access",
      live: true,
      description:
        "Web pages that may call the proxy from a browser, by their origin. Without any, no CORS headers are sent.",
      allowed: "a list of origins such as https://app.example.com or http://localhost:3000",
      fallback: "none",
      rule: webOrigin,
      sample: ["allowed-origins:", '  - "http://localhost:3000"'],
    }),
    "max-body-bytes": key(
      Type.Integer({ default: 67_108_864, minimum: 1024, maximum: 1_073_741_824 }),
      {
        group: "access",
        live: true,
        unit: "bytes",
        description:
          "Largest request body, before and after decompression. A larger one is answered with 413. Also the largest WebSocket frame as of the start: a larger one ends its connection with code 1009.",
      },
    ),
    "enable-websocket": key(Type.Boolean({ default: true }), {
      group: "access",
      live: true,
      description:
        "Whether clients may speak Responses over a WebSocket, as the Codex CLI does where it can. Off, a handshake is answered with 426, and the CLI turns to HTTP at once; sockets that are open stay.",
    }),
    "enable-listen-h2c": key(Type.Boolean({ default: true }), {
      group: "access",
      live: false,
      description:
        "Whether clients may speak HTTP/2 on the port beside HTTP/1.1: without TLS by prior knowledge (h2c), with tls-cert by ALPN. A client that asks to change over with Upgrade: h2c is answered in HTTP/1.1. WebSockets always go over HTTP/1.1.",
    }),
    "h2-max-concurrent-streams": key(
      Type.Integer({ default: 1000, minimum: 1, maximum: 1_000_000 }),
      {
        group: "access",
        live: false,
        description: `Requests that a client may run at a time over one HTTP/2 connection. Bun, which this program runs on, has ${RUNTIME_H2_STREAMS} built in, and so ${RUNTIME_H2_STREAMS} it is whatever stands here; a value that says otherwise is told at the start. A client with more to do waits or opens another connection.`,
      },
    ),
    "listen-idle-timeout-sec": seconds(
      { default: 180, minimum: 0, maximum: 255 },
      {
        group: "access",
        live: false,
        description:
          "How long a client's connection may do nothing. One that is kept open without a request is closed then; an answer that is ready and of which the client takes nothing is given up; a request body has this much time, and one second more for each 4 KiB of it, before it is answered with 408. A turn that is silent because the model thinks is never ended by it. Counted in steps of 4 s; below a minute, and for lines of some KB/s also above, a slow reader may be taken for idle, since the runtime tells of room in steps of about 1.5 MB. 0 means no limit.",
      },
    ),
    "listen-max-header-bytes": key(
      Type.Integer({ default: RUNTIME_H2_HEADER_BYTES, minimum: 4096, maximum: 1_048_576 }),
      {
        group: "access",
        live: false,
        unit: "bytes",
        description: `Largest head of a request: its first line and all headers. A larger one is answered with 431. Over HTTP/2 the most is ${RUNTIME_H2_HEADER_BYTES}, whatever stands here.`,
      },
    ),
    "tls-cert": key(Type.String({ default: "" }), {
      group: "access",
      live: false,
      description:
        "Certificate for TLS on the port, a PEM file with the certificates that lead to its root below it. With tls-key; one of them alone is a fault. A renewed certificate takes effect with a restart.",
      allowed: "the path of a PEM file",
      fallback: "none: no TLS",
      rule: path,
      sample: ['tls-cert: "./cert.pem"'],
    }),
    "tls-key": key(Type.String({ default: "" }), {
      group: "access",
      live: false,
      description: "Private key of tls-cert, a PEM file without a passphrase.",
      allowed: "the path of a PEM file",
      fallback: "none: no TLS",
      rule: path,
      sample: ['tls-key: "./key.pem"'],
    }),
    "shutdown-timeout": seconds(
      { default: 5, minimum: 0, maximum: 3600 },
      {
        group: "access",
        live: true,
        description:
          "How long running requests may go on after the signal to stop. What is left then is ended.",
      },
    ),

    "backend-domain": key(Type.String({ default: "chatgpt.com" }), {
      group: "backend",
      live: false,
      description:
        "Host of the backend. The base URL is https://<backend-domain>/backend-api/codex when base-url is empty.",
      allowed: "a host name, with :port where it is not 443",
      rule: hostName,
    }),
    "base-url": key(Type.String({ default: "" }), {
      group: "backend",
      live: false,
      description: "Whole URL of the Codex API. Wins over backend-domain.",
      allowed: "an absolute http or https URL without user name, query and fragment",
      fallback: "derived from backend-domain",
      rule: httpUrl,
      sample: ['base-url: "https://chatgpt.com/backend-api/codex"'],
    }),
    "oauth-issuer": key(Type.String({ default: "https://auth.openai.com" }), {
      group: "backend",
      live: false,
      description:
        "Where tokens are refreshed and logins are made, under /oauth/token and beside it.",
      allowed: "an absolute http or https URL without user name, query and fragment",
      rule: httpUrl,
    }),
    "proxy-url": key(Type.String({ default: "" }), {
      group: "backend",
      live: true,
      description:
        "Egress proxy: every call to backend and issuer leaves through it, and none around it, also when it is down. With socks5 names are resolved here, with socks5h by the proxy; user and password are percent-encoded; without a port it is 80, 443 or 1080 by scheme. An account's own proxy_url wins over it. HTTP_PROXY and the like of the environment are never used.",
      allowed: ALLOWED_PROXY,
      fallback: "none: direct connections",
      isSecret: true,
      rule: proxyUrl,
      sample: ['proxy-url: "socks5h://user:password@127.0.0.1:1080"'],
    }),
    "backend-resolve-address": key(Type.String({ default: "" }), {
      group: "backend",
      live: true,
      description:
        "Where the backend is dialled instead of what its name resolves to. It is still asked for by its name, and must prove to have it. Through a proxy, this is where the proxy is told to connect to. The issuer is not affected.",
      allowed:
        "an IP address or a host name, with :port where it is another one than the backend's",
      fallback: "none: the backend's name is resolved",
      rule: address,
      sample: ['backend-resolve-address: "203.0.113.7"'],
    }),
    "upstream-headers": key(
      Type.Record(Type.String(), Type.String(), {
        default: {
          originator: "codex_cli_rs",
          version: "0.169.0",
          "user-agent": "codex_cli_rs/0.169.0 (codex-proxy)",
        },
      }),
      {
        group: "backend",
        live: true,
        description:
          "Identity headers sent to the backend for clients that are not Codex; a Codex client's own headers pass through. A map of yours replaces the default whole.",
        allowed:
          "a map of header names to values of visible ASCII characters, without the headers that the proxy sets itself",
        isSecret: true,
        nameRule: headerName,
        rule: headerValue,
        sample: [],
      },
    ),

    "max-conns-per-host": key(Type.Integer({ default: 12, minimum: 0, maximum: 65_535 }), {
      group: "connections",
      live: true,
      description:
        "How many connections to the backend are in use at a time, at most, whichever way they go out; 0 means no limit. A running turn has one to itself until its stream ends, so no more turns than that run side by side: for many parallel agents set it to their number, sub-agents included, and some more. Further turns wait in a line, each caller in its turn, for account-wait-sec at most; the first that waits for over a second is told in the log. Over HTTP/2 a hundred turns share one. Readings of the usage and of the models count too.",
    }),
    "max-idle-conns-per-host": key(Type.Integer({ default: 8, minimum: 0, maximum: 65_535 }), {
      group: "connections",
      live: true,
      description:
        "How many idle connections to the backend are kept for the next turns, at most, for each way out of its own; the runtime keeps no more than 64. 0: none, so that each turn connects anew.",
    }),
    "keepalive-interval": seconds(
      { default: 60, minimum: 0, maximum: 3600 },
      {
        group: "connections",
        live: true,
        description:
          "How often a small request without credentials goes over each kept connection, so that the first turn after a pause need not connect anew, and one that has died is noticed before. As many as max-idle-conns-per-host says are kept warm, less those in use; an account's own proxy_url is left out. Should be shorter than what the backend allows an idle connection. 0 turns it off.",
      },
    ),
    "enable-http2": key(Type.Boolean({ default: false }), {
      group: "connections",
      live: true,
      description:
        "Whether the backend is asked over HTTP/2 where that is possible: over https, through no egress proxy, and where the backend speaks it. Elsewhere HTTP/1.1 is used, and also for a while after the backend has ended an HTTP/2 connection with an error (GOAWAY, such as ENHANCE_YOUR_CALM), which ends all turns on it: the runtime's HTTP/2 is experimental, and HTTP/1.1 is the safer choice.",
    }),

    "auth-dir": key(Type.String({ default: "./auths" }), {
      group: "accounts",
      live: false,
      description:
        "Folder of the account files, one JSON file per account. Made if missing. New, changed and deleted files take effect by themselves.",
      allowed: "the path of a folder",
      rule: path,
    }),
    accounts: key(Type.Array(Type.String(), { default: [] }), {
      group: "accounts",
      live: false,
      description:
        "Account files to use, by their names in auth-dir or by whole paths; all others are left alone, by the commands too. Without any, every file in auth-dir is used.",
      allowed: "a list of file names or paths that end in .json",
      fallback: "none: all of auth-dir",
      rule: accountFile,
      sample: ["accounts:", '  - "me.json"'],
    }),
    "state-file": key(Type.String({ default: "" }), {
      group: "accounts",
      live: false,
      description:
        "Where cooldowns, quota readings and counters are kept, so that they survive a restart. It holds no token. A file that cannot be read is set aside, and the program starts without it.",
      allowed: "the path of a file",
      fallback: "`.codex-proxy/state.json` in auth-dir",
      rule: path,
      sample: ['state-file: "./auths/.codex-proxy/state.json"'],
    }),
    "credential-key": key(Type.Array(Type.String(), { default: [] }), {
      group: "accounts",
      live: false,
      description:
        "Keys under which the logins are encrypted where they are kept (AES-256-GCM). The first encrypts what is written, each of them opens. What lies there in the clear is read as ever, and encrypted when it is next written or by codex-proxy reseal. Lose the key, and you log in anew.",
      allowed: `a list of strings, each ${ALLOWED_CREDENTIAL_KEY}`,
      fallback: "none: logins are kept in the clear",
      isSecret: true,
      rule: credentialKey,
      sample: ["credential-key:", '  - "what openssl rand -base64 32 prints"'],
    }),
    "credential-key-file": key(Type.String({ default: "" }), {
      group: "accounts",
      live: false,
      description:
        "The same keys in a file of their own, one on each line; blank lines and those that begin with # do not count. Instead of credential-key. Should be readable for the proxy's user alone, and not lie in auth-dir.",
      allowed: "the path of a file",
      fallback: "none",
      rule: path,
      sample: ['credential-key-file: "./credential.key"'],
    }),
    "startup-async-load": key(Type.Boolean({ default: true }), {
      group: "accounts",
      live: false,
      description:
        "Whether the port is opened before the accounts are read: requests that come earlier are told that the accounts are still being loaded. Off, the program opens its port only when they are there, and ends with an error where the database cannot be used.",
    }),
    "startup-load-retry-interval": seconds(
      { default: 10, minimum: 1, maximum: 3600 },
      {
        group: "accounts",
        live: true,
        description:
          "How long to wait before the next try where the database could not be used at the start.",
      },
    ),
    "db-enabled": key(Type.Boolean({ default: false }), {
      group: "database",
      live: false,
      description:
        "Whether accounts are kept in a database instead of in auth-dir; several instances can share one. Files in auth-dir are then taken in, once each, and stay where they are. See docs/DEPLOY.md.",
      sample: ["db-enabled: true", "db-driver: postgres", "db-host: 127.0.0.1"],
    }),
    "db-driver": key(Type.String({ default: "postgres" }), {
      group: "database",
      live: false,
      description:
        "Which kind of database. pg, postgresql, mariadb and sqlite3 are understood too.",
      allowed: "postgres, mysql or sqlite",
      rule: databaseDriver,
      sample: ["db-driver: sqlite"],
    }),
    "db-host": key(Type.String({ default: "127.0.0.1" }), {
      group: "database",
      live: false,
      description:
        "The database server: a name, an address, or the path of a Unix socket (PostgreSQL: of its folder).",
      allowed: "a host name, an address or a path",
      rule: path,
      sample: ["db-host: 127.0.0.1"],
    }),
    "db-port": key(Type.Integer({ default: 0, minimum: 0, maximum: 65_535 }), {
      group: "database",
      live: false,
      description: "The server's port. 0 means the usual one: 5432 for PostgreSQL, 3306 for MySQL.",
      fallback: "5432 or 3306, by the driver",
      sample: ["db-port: 5432"],
    }),
    "db-user": key(Type.String({ default: "" }), {
      group: "database",
      live: false,
      description: "Who logs in to the database server.",
      allowed: "a user name",
      fallback: "postgres or root, by the driver",
      rule: path,
      sample: ["db-user: codex_proxy"],
    }),
    "db-password": key(Type.String({ default: "" }), {
      group: "database",
      live: false,
      description:
        "The password. In the environment (CODEX_PROXY_DB_PASSWORD) it is in no file that others may read.",
      allowed: "a string",
      fallback: "none",
      isSecret: true,
      rule: path,
      sample: ['db-password: "..."'],
    }),
    "db-name": key(Type.String({ default: "" }), {
      group: "database",
      live: false,
      description:
        "The database, which is made where it is missing and the user may do so. For sqlite, the path of its file.",
      allowed: "a name; for sqlite the path of a file",
      fallback: "`codex_proxy`; for sqlite `codex_proxy.db`",
      rule: path,
      sample: ["db-name: codex_proxy"],
    }),
    "db-sslmode": key(
      Type.Union(
        SSL_MODES.map((mode) => Type.Literal(mode)),
        { default: "prefer" },
      ),
      {
        group: "database",
        live: false,
        description:
          "How the connection is secured. disable: not at all; allow and prefer: where the server can; require: always, whoever the server is; verify-ca and verify-full: always, and the server's certificate must be good, for verify-full its name too.",
      },
    ),
    "db-sslrootcert": key(Type.String({ default: "" }), {
      group: "database",
      live: false,
      description: "A file of certificates that the server's must come from, in PEM.",
      allowed: "the path of a file",
      fallback: "those that the system trusts",
      rule: path,
      sample: ['db-sslrootcert: "./db-ca.pem"'],
    }),
    "db-dsn": key(Type.String({ default: "" }), {
      group: "database",
      live: false,
      description:
        "The whole address of the database in one; it wins over db-host to db-sslmode. A URL (postgres://user:password@host:5432/name?sslmode=require), the words of libpq (host=... user=... dbname=...), what Go's MySQL driver takes (user:password@tcp(host:3306)/name), or the path of a file.",
      allowed: "a URL or a connection string of the driver",
      fallback: "none: made of the other keys",
      isSecret: true,
      rule: path,
      sample: ['db-dsn: "postgres://codex_proxy@127.0.0.1:5432/codex_proxy"'],
    }),
    "db-max-open-conns": key(Type.Integer({ default: 0, minimum: 0, maximum: 1000 }), {
      group: "database",
      live: false,
      description:
        "How many connections to the database are opened at most. No request waits for one, so that a few are plenty. 0 means 4.",
      fallback: "4",
      sample: ["db-max-open-conns: 4"],
    }),
    "db-conn-max-lifetime-sec": seconds(
      { default: 1800, minimum: 0, maximum: DAY_SEC },
      {
        group: "database",
        live: false,
        description:
          "How long a connection to the database is used before a new one takes its place. 0: for ever.",
      },
    ),
    "auth-scan-interval": seconds(
      { default: 30, minimum: 1, maximum: DAY_SEC },
      {
        group: "accounts",
        live: true,
        description:
          "How often auth-dir is read again where the platform does not notify of changes, and files elsewhere that accounts names.",
      },
    ),
    "refresh-interval": seconds(
      { default: 3000, minimum: 0, maximum: DAY_SEC },
      {
        group: "accounts",
        live: true,
        description:
          "Time between two sweeps that refresh the tokens which are due. Tokens that still have long to live are left alone. 0 turns the sweep off; a token that is due is then refreshed when a request needs it.",
      },
    ),
    "refresh-concurrency": key(Type.Integer({ default: 50, minimum: 1, maximum: 1000 }), {
      group: "accounts",
      live: true,
      description:
        "How many accounts are refreshed at the same time, at most. Accounts of one login or of one workspace are always refreshed one after another, with a pause of one to three seconds.",
    }),
    "refresh-single-timeout-sec": seconds(
      { default: 30, minimum: 1, maximum: 600 },
      {
        group: "accounts",
        live: true,
        description: "Longest wait for one answer of the token endpoint.",
      },
    ),
    "auth-401-sync-refresh-concurrency": key(
      Type.Integer({ default: 0, minimum: 0, maximum: 1000 }),
      {
        group: "accounts",
        live: true,
        description:
          "How many accounts may be refreshed at a time while a request waits after a 401. A request that finds no place goes on with another account. 0 means no limit of its own.",
      },
    ),
    "disabled-recovery-interval-sec": seconds(
      { default: 0, minimum: 0, maximum: 7 * DAY_SEC },
      {
        group: "accounts",
        live: true,
        description:
          "How often accounts that /recover-auth set aside (*.json.disabled) are tried again. One that can be refreshed by then comes back. 0: only by hand.",
      },
    ),
    "refresh-http-status-policy": policies(
      "What an answer of the token endpoint means, by its HTTP status. Without an entry, temporary answers are tried again later and a refused token means that the account needs a new login. A token that is refused for good is not asked with again: disable and remove then apply at once, and cooldown changes nothing.",
      { once: "the same token is tried again at once", rest: "it is tried again after a pause" },
      "accounts",
    ),
    "cooldown-401-sec": seconds(
      { default: 30, minimum: 0, maximum: DAY_SEC },
      {
        group: "accounts",
        live: true,
        description: "How long an account rests after the backend refused its token (401).",
      },
    ),
    "cooldown-429-sec": seconds(
      { default: 60, minimum: 1, maximum: DAY_SEC },
      {
        group: "accounts",
        live: true,
        description:
          "How long an account rests after a 429 that does not say when its limit ends. One that says so is believed instead.",
      },
    ),

    "health-check-interval": seconds(
      { default: 300, minimum: 0, maximum: DAY_SEC },
      {
        group: "health",
        live: true,
        description:
          "How long an account may be idle before its usage is read to see whether it still works. Costs no quota and calls no model. 0 turns it off.",
      },
    ),
    "health-check-max-failures": key(Type.Integer({ default: 3, minimum: 0, maximum: 1000 }), {
      group: "health",
      live: true,
      description:
        "How many checks in a row must fail by the account's own fault before it is disabled. Requests have a counter of their own, and an outage counts for nobody. 0: never.",
    }),
    "health-check-concurrency": key(Type.Integer({ default: 5, minimum: 1, maximum: 1000 }), {
      group: "health",
      live: true,
      description: "How many accounts are checked at the same time, at most.",
    }),
    "health-check-start-delay": seconds(
      { default: 45, minimum: 0, maximum: DAY_SEC },
      { group: "health", live: true, description: "Wait from the start to the first check." },
    ),
    "health-check-batch-size": key(Type.Integer({ default: 20, minimum: 1, maximum: 100_000 }), {
      group: "health",
      live: true,
      description:
        "How many accounts one round of checks looks at. The next round goes on from there.",
    }),
    "health-check-request-timeout": seconds(
      { default: 8, minimum: 1, maximum: 600 },
      { group: "health", live: true, description: "Longest wait for one reading of the usage." },
    ),
    "quota-check-concurrency": key(Type.Integer({ default: 0, minimum: 0, maximum: 1000 }), {
      group: "health",
      live: true,
      description:
        "How many accounts /check-quota and the readings in the background ask at the same time, at most. 0 leaves it to the program: a few, with a pause between them, since the backend dislikes bursts.",
    }),
    "quota-http-status-policy": policies(
      "What an answer of the usage endpoint means, by its HTTP status. Without an entry, a refused token is refreshed, a deactivated account is disabled and everything else is tried again later.",
      {
        once: "the token is refreshed, and the usage asked for again",
        rest: "the account rests, and is asked once more",
      },
      "health",
    ),

    selector: key(
      Type.Union([Type.Literal("round-robin"), Type.Literal("quota-first")], {
        default: "round-robin",
      }),
      {
        group: "choice",
        live: true,
        description:
          "How a new conversation gets its account. round-robin: accounts with about the same quota left take turns, those with more come first. quota-first: always the one with most quota left.",
      },
    ),
    "session-affinity-ttl-sec": seconds(
      { default: 3600, minimum: 0, maximum: 7 * DAY_SEC },
      {
        group: "choice",
        live: true,
        description:
          "How long after its last request a conversation stays on its account, so that the prompt cache works. After 15 minutes, when the cache is cold, it may move to one with clearly more left. 0: every request is placed anew.",
      },
    ),
    "account-max-in-flight": key(Type.Integer({ default: 0, minimum: 0, maximum: 10_000 }), {
      group: "choice",
      live: true,
      description: "How many requests one account serves at a time, at most. 0 means no limit.",
    }),
    "account-wait-sec": seconds(
      { default: 20, minimum: 0, maximum: 3600 },
      {
        group: "choice",
        live: true,
        description:
          "How long a request waits where every account that could serve it has as many requests as account-max-in-flight allows, or the backend as many as max-conns-per-host does. Then it is answered with 429. 0: it does not wait.",
      },
    ),
    "max-retry": key(Type.Integer({ default: 2, minimum: 0, maximum: 20 }), {
      group: "choice",
      live: true,
      description:
        "Further attempts on other accounts after the first. One request makes at most max-retry + 1 calls of the model.",
    }),
    "empty-retry-max": key(Type.Integer({ default: 2, minimum: 0, maximum: 20 }), {
      group: "choice",
      live: true,
      description:
        "How many of these attempts may be spent on answers that came back empty. Counted inside max-retry, not on top.",
    }),

    "connect-timeout-sec": seconds(
      { default: 60, minimum: 0, maximum: 3600 },
      {
        group: "clocks",
        live: true,
        description:
          "Longest wait for the backend's response headers, i.e. connecting, TLS and its first answer. 0 means no limit.",
      },
    ),
    "first-event-timeout-sec": seconds(
      { default: 120, minimum: 0, maximum: DAY_SEC },
      {
        group: "clocks",
        live: true,
        description: "Longest wait for the first event of an answer. 0 means no limit.",
      },
    ),
    "event-idle-timeout-sec": seconds(
      { default: 240, minimum: 0, maximum: DAY_SEC },
      {
        group: "clocks",
        live: true,
        description:
          "Longest silence of the backend inside an answer. Long silent thinking is normal with high effort. 0 means no limit.",
      },
    ),
    "request-timeout-sec": seconds(
      { default: 3600, minimum: 0, maximum: DAY_SEC },
      {
        group: "clocks",
        live: true,
        description: "Longest time for a whole request, all attempts together. 0 means no limit.",
      },
    ),
    "heartbeat-sec": seconds(
      { default: 15, minimum: 0, maximum: 3600 },
      {
        group: "clocks",
        live: true,
        description:
          "After this much silence in a running stream the client gets a sign of life. 0 turns it off.",
      },
    ),
    "early-heartbeat-sec": seconds(
      { default: 0, minimum: 0, maximum: 3600 },
      {
        group: "clocks",
        live: true,
        description:
          "Sends that sign of life already before the answer has begun, after this much waiting, for clients behind something that closes quiet connections. It gives up invisible retry from then on: a later failure is told inside the stream. 0 turns it off.",
      },
    ),

    "model-aliases": key(
      Type.Record(Type.String(), Type.String(), {
        default: { "claude-*haiku*": "gpt-5.4-mini", "claude-*": "gpt-5.4" },
      }),
      {
        group: "models",
        live: true,
        description:
          "Names of models that stand for others; * stands for any characters. The first match wins, in the order of the file. A map of yours replaces the default whole; {} means no aliases.",
        allowed: "a map of model names, with * as a wildcard, to model names",
        nameRule: modelGlob,
        rule: modelName,
        sample: [],
      },
    ),

    "response-store-max-bytes": key(
      Type.Integer({ default: 67_108_864, minimum: 0, maximum: 1_073_741_824 }),
      {
        group: "responses",
        live: true,
        unit: "bytes",
        description:
          "Memory for conversations that clients of the Responses API go on with by previous_response_id; the backend stores none. What was longest unused goes first. Requests with store: false are not held. 0 turns it off: such a request is then refused with previous_response_not_found.",
      },
    ),
    "response-store-ttl-sec": seconds(
      { default: 3600, minimum: 1, maximum: 7 * DAY_SEC },
      {
        group: "responses",
        live: true,
        description: "How long a held conversation is kept after its last use.",
      },
    ),

    "log-level": key(
      Type.Union(
        [Type.Literal("debug"), Type.Literal("info"), Type.Literal("warn"), Type.Literal("error")],
        { default: "info" },
      ),
      { group: "logs", live: true, description: "The least loud lines that are written." },
    ),
    "log-format": key(
      Type.Union([Type.Literal("text"), Type.Literal("json")], { default: "text" }),
      {
        group: "logs",
        live: true,
        description: "text for people, json for machines: one object per line.",
      },
    ),
    "otlp-endpoint": key(Type.String({ default: "" }), {
      group: "logs",
      live: true,
      description:
        "OpenTelemetry collector that gets a trace of each turn, by OTLP over HTTP in JSON; /v1/traces is put behind it. One on this machine is asked directly, any other through proxy-url where that is set. Never in a turn's way: what a collector that is down or slow does not take is dropped and counted.",
      allowed: "an absolute http or https URL without user name, query and fragment",
      fallback: "none: no traces",
      rule: httpUrl,
      sample: ['otlp-endpoint: "http://127.0.0.1:4318"'],
    }),
  },
  { additionalProperties: false },
);

type Settings = Static<typeof SCHEMA>;

/** The whole configuration, checked. */
export type Config = { readonly [K in keyof Settings]: Readonly<Settings[K]> };

/** The name of a key. */
export type Key = keyof Config;

/** The value of some key. */
export type Setting = Config[Key] | boolean;

/** What kind of value a key takes. */
export type Form =
  | { readonly kind: "integer"; readonly minimum: number; readonly maximum: number }
  | { readonly kind: "boolean" }
  | { readonly kind: "choice"; readonly values: readonly string[] }
  | { readonly kind: "text" }
  | { readonly kind: "list" }
  | { readonly kind: "map" };

/** One key as the reader of values and the writer of documentation see it. */
export type Spec = About & { readonly form: Form };

/** Every key, in the order of the schema. */
export const KEYS: readonly Key[] = Object.keys(SCHEMA.properties).filter(isKey);

/** Whether `name` is a key of this version. */
export function isKey(name: string): name is Key {
  return Object.hasOwn(SCHEMA.properties, name);
}

/** What the schema says of `key`. */
export function specOf(key: Key): Spec {
  const about: About = SCHEMA.properties[key];
  return { ...about, form: formOf(SCHEMA.properties[key]) };
}

/** What kind of value a TypeBox schema describes, as far as configuration keys use them. */
export function formOf(schema: TSchema): Form {
  if (TypeGuard.IsInteger(schema)) {
    const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = schema;
    return { kind: "integer", minimum, maximum };
  }
  if (TypeGuard.IsBoolean(schema)) return { kind: "boolean" };
  if (TypeGuard.IsUnion(schema)) {
    const values = schema.anyOf.flatMap((each) =>
      TypeGuard.IsLiteral(each) ? [String(each.const)] : [],
    );
    return { kind: "choice", values };
  }
  if (TypeGuard.IsArray(schema)) return { kind: "list" };
  return TypeGuard.IsRecord(schema) ? { kind: "map" } : { kind: "text" };
}

/** Whether `value` is a whole configuration of the right types and within its bounds. */
export function isConfig(value: unknown): value is Config {
  return Value.Check(SCHEMA, value);
}

/**
 * The configuration of somebody who configured nothing; a new object each time.
 * @throws Error when a default contradicts the schema, which a test rules out.
 */
export function defaults(): Config {
  const entries = KEYS.map((key): [string, unknown] => [key, SCHEMA.properties[key].default]);
  const config: unknown = structuredClone(Object.fromEntries(entries));
  if (!isConfig(config)) throw new Error("a default of the configuration breaks its own bounds");
  return config;
}

/** The environment variable of a key: `CODEX_PROXY_MAX_RETRY` for `max-retry`. */
export function envName(key: string): string {
  return `${ENV_PREFIX}${key.toUpperCase().replaceAll("-", "_")}`;
}

/** How every environment variable of ours begins. */
export const ENV_PREFIX = "CODEX_PROXY_";

/** An address to listen on. Without `hostname`, all addresses of the machine; IPv6 comes without brackets. */
export type Listen = { readonly hostname?: string; readonly port: number };

/** Reads `host:port`, `:port` or `[v6]:port`; undefined when it is none of them, never so for a loaded configuration. */
export function parseListen(text: string): Listen | undefined {
  const match = /^(\[([0-9a-f:.]+(?:%[\w.-]+)?)\]|[a-z0-9_.-]*):(\d{1,5})$/i.exec(text.trim());
  if (match === null) return undefined;
  const [, host = "", v6, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (v6 !== undefined) {
    const isV6 = URL.canParse(`http://[${v6.replace(/%.*/, "")}]`);
    return isV6 ? { hostname: v6, port } : undefined;
  }
  return host === "" ? { port } : { hostname: host, port };
}

/** The Codex API's root, without a slash at its end. */
export function baseUrl(config: Pick<Config, "base-url" | "backend-domain">): string {
  const given = config["base-url"].replace(/\/+$/, "");
  return given === "" ? `https://${config["backend-domain"]}/backend-api/codex` : given;
}

/** The issuer's base URL as paths are put behind it. */
export function issuerUrl(config: Pick<Config, "oauth-issuer">): string {
  return config["oauth-issuer"].replace(/\/+$/, "");
}

/** The digest of a client's key, by which it is known. */
export function keyDigestOf(entry: string | ClientKeyEntry): string {
  if (typeof entry === "string") return sha256(entry);
  return entry["key-sha256"] ?? sha256(entry.key ?? "");
}

function clientKeyFault(entry: Entry, before: readonly Entry[]): EntryFault | undefined {
  if (!isClientKey(entry)) return undefined;
  const others = before.filter(isClientKey);
  const isSame = (other: ClientKey): boolean => keyDigestOf(other) === keyDigestOf(entry);
  const isPlain = typeof entry === "string";
  if (!isPlain && (entry.key === undefined) === (entry["key-sha256"] === undefined)) {
    const found = entry.key === undefined ? "neither key nor key-sha256" : "key and key-sha256";
    return { found, allowed: "one of the two" };
  }
  // The same string twice does no harm; with limits it would not be clear which ones count.
  const twin = others.find((other) => isSame(other) && (!isPlain || typeof other !== "string"));
  if (twin !== undefined)
    return { found: "a key that stands before already", allowed: "each key once" };
  if (isPlain || entry.name === undefined) return undefined;
  const { name } = entry;
  const isTaken = others.some((other) => typeof other !== "string" && other.name === name);
  return isTaken
    ? { found: `the name ${name} a second time`, allowed: "each name once" }
    : undefined;
}

type ClientKey = string | ClientKeyEntry;

function isClientKey(value: unknown): value is ClientKey {
  return typeof value === "string" || Value.Check(CLIENT_KEY, value);
}

function accountFile(text: string): Verdict {
  return path(text).ok && /[^/\\]\.json$/.test(text)
    ? { ok: true, value: text }
    : { ok: false, hint: "the file of an account ends in .json" };
}

function address(text: string): Verdict {
  if (readEndpoint(text) !== undefined) return { ok: true, value: text };
  return text.includes("/")
    ? { ok: false, hint: "without https:// and without a path" }
    : { ok: false };
}

function listenAddress(text: string): Verdict {
  if (parseListen(text) !== undefined) return { ok: true, value: text };
  if (/^\d{1,5}$/.test(text)) return { ok: false, hint: `write ":${text}"` };
  if (text.includes("//")) return { ok: false, hint: "without http:// and without a path" };
  return text.split(":").length > 2
    ? { ok: false, hint: "an IPv6 address goes into brackets" }
    : { ok: false };
}
