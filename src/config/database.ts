import { readEndpoint } from "./endpoint.ts";
import type { Verdict } from "./rules.ts";
import type { Config } from "./schema.ts";

/** The databases that accounts can be kept in. MariaDB is spoken to as MySQL is. */
export type DatabaseDriver = "postgres" | "mysql" | "sqlite";

/** How a connection is secured, in PostgreSQL's words. */
export const SSL_MODES = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
] as const;

export type SslMode = (typeof SSL_MODES)[number];

/** The database that accounts are kept in, as its owner has named it. */
export type DatabasePlace = DatabaseServer | DatabaseFile;

export type DatabaseServer = {
  readonly driver: "postgres" | "mysql";
  /** Without brackets; a path is a folder of a Unix socket, or the socket itself. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Never shown. */
  readonly password: string;
  readonly name: string;
  readonly sslMode: SslMode;
  /** A file with the certificates that the server's must come from; undefined: those that the system trusts. */
  readonly caFile?: string;
};

export type DatabaseFile = { readonly driver: "sqlite"; readonly path: string };

/** Every spelling of a driver that is taken. */
export const DRIVERS: ReadonlyMap<string, DatabaseDriver> = new Map([
  ["postgres", "postgres"],
  ["postgresql", "postgres"],
  ["pg", "postgres"],
  ["mysql", "mysql"],
  ["mariadb", "mysql"],
  ["sqlite", "sqlite"],
  ["sqlite3", "sqlite"],
]);

const PORTS = { postgres: 5432, mysql: 3306 } as const;
const DEFAULT_NAME = "codex_proxy";
const DEFAULT_FILE = "codex_proxy.db";

/** The keys of the configuration that say where the database is. */
export type DatabaseKeys = Pick<
  Config,
  | "db-driver"
  | "db-host"
  | "db-port"
  | "db-user"
  | "db-password"
  | "db-name"
  | "db-sslmode"
  | "db-sslrootcert"
  | "db-dsn"
>;

/** The place, or a sentence that says what is wrong and quotes nothing that may be a password. */
export type PlaceReading =
  | { readonly ok: true; readonly place: DatabasePlace }
  | { readonly ok: false; readonly reason: string };

/** Where the database is, by its keys. `db-dsn` wins over all others but the driver, which it must not contradict. */
export function readPlace(keys: DatabaseKeys): PlaceReading {
  const driver = DRIVERS.get(keys["db-driver"].toLowerCase());
  if (driver === undefined)
    return { ok: false, reason: "db-driver is none of those that there are." };
  const dsn = keys["db-dsn"].trim();
  if (dsn === "") return placeOf(driver, keys);
  const reading =
    driver === "sqlite" ? fileDsn(dsn) : driver === "mysql" ? mysqlDsn(dsn) : postgresDsn(dsn);
  if (typeof reading === "string") return { ok: false, reason: reading };
  if (reading.driver === "sqlite") return { ok: true, place: reading };
  const caFile = reading.caFile ?? fileOf(keys["db-sslrootcert"]);
  return { ok: true, place: { ...reading, ...(caFile === undefined ? {} : { caFile }) } };
}

/** The place in one line, without user and password. */
export function showPlace(place: DatabasePlace): string {
  if (place.driver === "sqlite") return `sqlite, ${place.path}`;
  const { driver, host, port, name } = place;
  const at = host.startsWith("/") ? host : `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return `${driver}, ${at}, database ${name}`;
}

/** Rule of `db-driver`. */
export function databaseDriver(text: string): Verdict {
  const driver = DRIVERS.get(text.toLowerCase());
  return driver === undefined ? { ok: false } : { ok: true, value: driver };
}

function placeOf(driver: DatabaseDriver, keys: DatabaseKeys): PlaceReading {
  const name = keys["db-name"];
  if (driver === "sqlite") {
    if (name === IN_MEMORY) return { ok: false, reason: FORGETFUL };
    return { ok: true, place: { driver, path: name === "" ? DEFAULT_FILE : name } };
  }
  const caFile = fileOf(keys["db-sslrootcert"]);
  const host = keys["db-host"];
  return {
    ok: true,
    place: {
      driver,
      host: host.replace(/^\[(.*)\]$/, "$1"),
      port: keys["db-port"] === 0 ? PORTS[driver] : keys["db-port"],
      user: keys["db-user"] === "" ? USERS[driver] : keys["db-user"],
      password: keys["db-password"],
      name: name === "" ? DEFAULT_NAME : name,
      sslMode: keys["db-sslmode"],
      ...(caFile === undefined ? {} : { caFile }),
    },
  };
}

// Whom the servers' own tools take where nobody is named.
const USERS = { postgres: "postgres", mysql: "root" } as const;

function fileOf(path: string | null | undefined): string | undefined {
  return path === null || path === undefined || path === "" ? undefined : path;
}

const IN_MEMORY = ":memory:";
const FORGETFUL = "name a file: what is only in memory would be lost with the program.";

/** `sqlite:path`, `sqlite://path`, `file:path?...` as the Go drivers take it, or a bare path. */
function fileDsn(dsn: string): DatabaseFile | string {
  const path = dsn.replace(/^(?:sqlite3?|file):(?:\/\/)?/i, "").replace(/\?.*$/s, "");
  if (path === "" || path === IN_MEMORY) return FORGETFUL;
  return { driver: "sqlite", path };
}

/** A URL, or the words of libpq: `host=... user=... password='...' dbname=...`. */
function postgresDsn(dsn: string): DatabaseServer | string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(dsn)) return urlDsn(dsn, "postgres");
  const words = new Map<string, string>();
  const pattern = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/gsy;
  let end = 0;
  for (let match = pattern.exec(dsn); match !== null; match = pattern.exec(dsn)) {
    const [whole, key = "", quoted, bare = ""] = match;
    words.set(key, (quoted ?? bare).replaceAll(/\\(.)/gs, "$1"));
    end += whole.length;
  }
  if (words.size === 0 || dsn.slice(end).trim() !== "") {
    return "it should be postgres://user:password@host:port/database, or host=... user=... password=... dbname=...";
  }
  const sslMode = sslModeOf(words.get("sslmode"));
  if (sslMode === undefined) return `its sslmode should be one of ${SSL_MODES.join(", ")}.`;
  const port = portOf(words.get("port") ?? "", "postgres");
  if (port === undefined) return "its port should be a number from 1 to 65535.";
  const caFile = fileOf(words.get("sslrootcert"));
  return {
    driver: "postgres",
    host: words.get("hostaddr") ?? words.get("host") ?? "127.0.0.1",
    port,
    user: words.get("user") ?? USERS.postgres,
    password: words.get("password") ?? "",
    name: words.get("dbname") ?? DEFAULT_NAME,
    sslMode,
    ...(caFile === undefined ? {} : { caFile }),
  };
}

/** A URL, or what Go's driver takes: `user:password@tcp(host:port)/database?parameters`, `unix(/path)` for a socket. */
function mysqlDsn(dsn: string): DatabaseServer | string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(dsn)) return urlDsn(dsn, "mysql");
  // The password may hold anything, so that the last @ before the address counts.
  const match = /^(?:(.*)@)?(?:(tcp6?|unix)\(([^()]*)\))?\/([^/?]*)(?:\?(.*))?$/s.exec(dsn);
  const advice =
    "it should be mysql://user:password@host:port/database, or user:password@tcp(host:port)/database";
  if (match === null) return advice;
  const [, login = "", kind = "tcp", address = "", name = "", query = ""] = match;
  const colon = login.indexOf(":");
  const [user, password] =
    colon < 0 ? [login, ""] : [login.slice(0, colon), login.slice(colon + 1)];
  const endpoint =
    kind === "unix" ? { host: address, port: undefined } : readEndpoint(address || "127.0.0.1");
  if (endpoint === undefined) return advice;
  const tls = new URLSearchParams(query).get("tls") ?? "preferred";
  const sslMode = MYSQL_TLS.get(tls.toLowerCase());
  if (sslMode === undefined) return `its tls should be one of ${[...MYSQL_TLS.keys()].join(", ")}.`;
  return {
    driver: "mysql",
    host: endpoint.host,
    port: endpoint.port ?? PORTS.mysql,
    user: user === "" ? USERS.mysql : user,
    password,
    name: name === "" ? DEFAULT_NAME : decode(name),
    sslMode,
  };
}

/** The words of Go's MySQL driver for what PostgreSQL calls an SSL mode. */
const MYSQL_TLS: ReadonlyMap<string, SslMode> = new Map([
  ["false", "disable"],
  ["preferred", "prefer"],
  ["skip-verify", "require"],
  ["true", "verify-full"],
]);

function urlDsn(dsn: string, driver: "postgres" | "mysql"): DatabaseServer | string {
  const [scheme = ""] = dsn.split("://");
  if (DRIVERS.get(scheme.toLowerCase()) !== driver)
    return `its scheme does not fit db-driver, which is ${driver}.`;
  const url = readUrl(dsn.slice(scheme.length + "://".length));
  if (url === undefined) {
    return `it cannot be read as a URL: write characters such as @ / ? # % in user and password as %40 %2F %3F %23 %25.`;
  }
  const { searchParams } = url;
  const sslMode = sslModeOf(searchParams.get("sslmode") ?? undefined);
  if (sslMode === undefined) return `its sslmode should be one of ${SSL_MODES.join(", ")}.`;
  const port = portOf(url.port, driver);
  if (port === undefined) return "its port should be a number from 1 to 65535.";
  const caFile = fileOf(searchParams.get("sslrootcert"));
  const name = decode(url.pathname.replace(/^\//, ""));
  return {
    driver,
    host: searchParams.get("host") ?? decode(url.hostname.replace(/^\[(.*)\]$/, "$1")),
    port,
    user: url.username === "" ? USERS[driver] : decode(url.username),
    password: decode(url.password),
    name: name === "" ? DEFAULT_NAME : name,
    sslMode,
    ...(caFile === undefined ? {} : { caFile }),
  };
}

/** What follows a scheme. A password may hold what ends a URL's host: undefined then, since nothing is to be guessed. */
function readUrl(rest: string): URL | undefined {
  // Where a socket is named behind it, there need be no host. A scheme that nobody knows has no usual port, which would be left out.
  const named = rest.replace(/^(?:[^/?#]*@)?(?=[/?#]|$)/, (login) => `${login}127.0.0.1`);
  const plain = `codex-proxy://${named}`;
  if (!URL.canParse(plain)) return undefined;
  const url = new URL(plain);
  const strange = url.search
    .slice(1)
    .split("&")
    .filter((part) => !/^(?:host|sslmode|sslrootcert)=/.test(part));
  const parts = [url.pathname, ...strange];
  return url.hash === "" && !parts.some((part) => part.includes("@")) ? url : undefined;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function sslModeOf(text: string | undefined): SslMode | undefined {
  return text === undefined ? "prefer" : SSL_MODES.find((mode) => mode === text);
}

function portOf(text: string, driver: "postgres" | "mysql"): number | undefined {
  if (text === "") return PORTS[driver];
  const port = Number(text);
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}
