import type { Client } from "../engine/allowance.ts";
import { clip } from "../engine/record.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import { matchesGlob, type Resolved } from "../turn/model.ts";
import { isoOf, type Millis } from "../wire/clock.ts";
import { isSameDigest, sha256 } from "../wire/digest.ts";
import { redact } from "../wire/log.ts";

/** Who may call, from the configuration; read anew for each request. */
export type AccessOptions = {
  /** SHA-256 digests of `api-keys`; empty = no check. */
  readonly clientKeys: readonly string[];
  /** What the configuration says of them beyond that, by digest. */
  readonly clients?: ReadonlyMap<string, KnownClient>;
  /** SHA-256 digest of `admin-key`; undefined = the client keys guard the owner's routes too. */
  readonly adminKey: string | undefined;
  readonly allowedOrigins: readonly string[];
  /** The name of `listen`, under which the proxy may be called without a key; undefined = it has none. */
  readonly ownHost?: string | undefined;
};

type KnownClient = Pick<Client, "name" | "models" | "expiresMs">;

/** A caller that may pass. */
export type Caller = {
  /** For logs: which key, never the key. */
  readonly name: string;
  /** Keeps the conversations of callers apart. */
  readonly scope: string;
  /** Globs of the models that it may use; absent = all. */
  readonly models?: readonly string[];
};

/** When and from where a request comes. */
export type Approach = {
  /** Whether the connection comes from this machine. */
  readonly isLocal: boolean;
  readonly nowMs: Millis;
};

/**
 * What a route demands. `open` tells nothing about accounts; `credentials` adds, changes or shows logins, so that
 * without any key only this machine itself may call it.
 */
export type Guard = "open" | "client" | "admin" | "credentials";

const ADDRESS = /^(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/i;

const ANYONE: Caller = { name: "anyone", scope: "" };

/** Lets the caller of a request pass, or says why not. Keys are compared as digests in constant time. */
export function admitCaller(
  headers: Headers,
  guard: Guard,
  options: AccessOptions,
  { isLocal, nowMs }: Approach,
): Caller | Failure {
  const isKeyless = options.clientKeys.length === 0;
  if (isKeyless && isForeignOrigin(headers, options.allowedOrigins)) return FOREIGN_ORIGIN;
  if (guard === "open") return ANYONE;
  const isOwners = guard === "admin" || guard === "credentials";
  const needsAdmin = isOwners && options.adminKey !== undefined;
  if (isKeyless && !needsAdmin) {
    if (isForeignHost(headers, options)) return FOREIGN_HOST;
    // A proxy in front, on this machine, passes others' requests on.
    const isPassedOn = headers.has("x-forwarded-for") || headers.has("forwarded");
    return guard !== "credentials" || (isLocal && !isPassedOn) ? ANYONE : LOCAL_ONLY;
  }
  return needsAdmin
    ? findCaller(headers, [options.adminKey ?? ""], nowMs)
    : findCaller(headers, options.clientKeys, nowMs, options.clients);
}

/** Whose key it is that a request shows. */
function findCaller(
  headers: Headers,
  keys: readonly string[],
  nowMs: Millis,
  clients?: AccessOptions["clients"],
): Caller | Failure {
  const presented = presentedKeys(headers);
  let refusal = presented.length === 0 ? NO_KEY : WRONG_KEY;
  for (const key of presented) {
    const digest = sha256(key);
    // All are looked at, so that the time taken does not tell which one came near.
    const matching = keys.filter((known) => isSameDigest(known, digest));
    if (matching.length === 0) continue;
    const caller = callerOf(digest, clients?.get(digest), nowMs);
    if (!("kind" in caller)) return caller;
    refusal = caller;
  }
  return refusal;
}

/** What the holder of a key is called that has been given no name. */
export function nameByDigest(digest: string): string {
  return `key#${digest.slice(0, 4)}`;
}

function callerOf(
  digest: string,
  client: KnownClient | undefined,
  nowMs: Millis,
): Caller | Failure {
  if (client?.expiresMs !== undefined && client.expiresMs <= nowMs) {
    const message = `The API key has expired (${isoOf(client.expiresMs)}). Ask the proxy's owner for another one.`;
    return refuse(401, "expired_api_key", message);
  }
  return {
    name: client?.name ?? nameByDigest(digest),
    scope: digest,
    ...(client?.models === undefined ? {} : { models: client.models }),
  };
}

/** Whether a caller may use a model: by the name that it asks for, or by that of the model itself. */
export function mayUse({ models }: Caller, asked: string, model: string): boolean {
  return (
    models === undefined ||
    models.some((glob) => matchesGlob(glob, asked) || matchesGlob(glob, model))
  );
}

/** Reads model names for one caller: what its key does not allow is refused. */
export function resolveFor(
  caller: Caller,
  resolve: (model: string) => Resolved,
): (model: string) => Resolved {
  if (caller.models === undefined) return resolve;
  return (asked) => {
    const resolved = resolve(asked);
    if (!resolved.ok || mayUse(caller, asked, resolved.choice.model)) return resolved;
    return { ok: false, failure: notAllowed(caller, asked) };
  };
}

const LONGEST_NAME = 100;

/** Why a caller may not use a model. */
export function notAllowed({ name, models = [] }: Caller, asked: string): Failure {
  const model = redact(clip(asked, LONGEST_NAME));
  const message = `The API key '${name}' may not use the model '${model}'. It may use: ${models.join(", ")}.`;
  return refuse(403, "model_not_allowed", message, "model");
}

/** Whether a browser page of somebody else's is calling. Tools send no `Origin`. */
export function isForeignOrigin(headers: Headers, allowed: readonly string[]): boolean {
  const origin = headers.get("origin");
  if (origin === null || allowed.includes(origin)) return false;
  const url = URL.parse(origin);
  if (url === null) return true;
  // Only an address counts as our own. A name that resolves to this machine may be anybody's (DNS rebinding).
  const isAddress = ADDRESS.test(url.hostname);
  // Read the same way, so that the scheme's own port and the case of letters make no difference.
  const called = URL.parse(`${url.protocol}//${headers.get("host") ?? ""}`);
  return !isAddress || called?.host !== url.host;
}

/**
 * Whether the proxy is called by a name that is not its own. A page of such a name can be anybody's who lets it resolve
 * to this machine (DNS rebinding): for the browser it is one origin with us, so that its GET carries no `Origin`.
 */
export function isForeignHost(
  headers: Headers,
  { allowedOrigins, ownHost }: Pick<AccessOptions, "allowedOrigins" | "ownHost">,
): boolean {
  const host = headers.get("host");
  // A browser always names a host.
  if (host === null || host === "") return false;
  const called = URL.parse(`http://${host}`)?.hostname;
  if (called === undefined) return true;
  const named = [`http://${ownHost ?? ""}`, ...allowedOrigins].map(
    (origin) => URL.parse(origin)?.hostname,
  );
  return !ADDRESS.test(called) && !named.includes(called);
}

/** The keys in a request, in whichever of the four spellings. */
function presentedKeys(headers: Headers): readonly string[] {
  const authorization = headers.get("authorization")?.trim();
  const bearer = authorization?.replace(/^Bearer\s+/i, "");
  const keys = [bearer, headers.get("x-api-key")?.trim(), headers.get("api-key")?.trim()];
  return keys.flatMap((key) => (key === undefined || key === "" ? [] : [key]));
}

const HOW =
  "Send one of the proxy's api-keys as 'Authorization: Bearer KEY', 'x-api-key: KEY' or 'api-key: KEY'.";
const NO_KEY = refuse(401, "missing_api_key", `No API key was sent. ${HOW}`);
/** A key came, and nobody knows it. */
export const WRONG_KEY = refuse(
  401,
  "invalid_api_key",
  `The API key is not known to this proxy. ${HOW}`,
);
const LOCAL_ONLY = refuse(
  403,
  "local_only",
  "Without api-keys or an admin-key, this route answers callers on the proxy's own machine only. Set an admin-key.",
);
const FOREIGN_ORIGIN = refuse(
  403,
  "foreign_origin",
  "A web page may not call this proxy. Name its origin in allowed-origins, or set api-keys.",
);
const FOREIGN_HOST = refuse(
  403,
  "foreign_host",
  "Without api-keys, this proxy answers to localhost and to addresses only, and to no other host name. Set api-keys, or name the origin (such as http://proxy.lan:8080) in allowed-origins.",
);
