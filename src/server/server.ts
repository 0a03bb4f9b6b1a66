import { Elysia } from "elysia";
import { platform } from "#platform";
import { isLoopback } from "../config/rules.ts";
import type { ClientUse } from "../engine/allowance.ts";
import { MOST_RECORDS } from "../engine/explain.ts";
import { MOST_FOLLOWERS } from "../engine/feed.ts";
import { PAGE_TYPE } from "../engine/metrics.ts";
import { clip } from "../engine/record.ts";
import type { Totals } from "../engine/totals.ts";
import type { AppOptions, BuildApp, Door, DoorOptions, Wire } from "../platform/platform.ts";
import type { AccountView } from "../pool/pool.ts";
import type { LocalRoute, Protocol, Wording } from "../protocols/protocol.ts";
import { wordingFor } from "../protocols/registry.ts";
import type { Catalog } from "../turn/catalog.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import type { Resolved } from "../turn/model.ts";
import type { Millis } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import { type AccountCall, type AccountRoutes, ALL, workOn } from "./accounts.ts";
import { type AdminPorts, type AdminRoute, adminRoutes } from "./admin.ts";
import { PAGE_ROUTES, type Pages } from "./dashboard.ts";
import type { Guesses } from "./guesses.ts";
import type { Intake, ReadBody } from "./intake.ts";
import {
  type AccessOptions,
  admitCaller,
  type Caller,
  type Guard,
  mayUse,
  notAllowed,
  WRONG_KEY,
} from "./keys.ts";
import { type Connection, connectionOf } from "./listen.ts";
import type { Viewer } from "./live.ts";
import type { LocalCall } from "./local.ts";
import { findModel, listModels, type MayUse, modelShape } from "./models.ts";
import type { ProxyCall } from "./proxy.ts";
import type { Sockets } from "./sockets.ts";
import { type ConnectionStatus, healthOf, statsOf } from "./status.ts";

/** What the routes are made of. */
export type ServerPorts = {
  readonly access: () => AccessOptions;
  readonly proxy: (call: ProxyCall) => Promise<Response>;
  readonly sockets: Pick<Sockets, "accept">;
  /** Whether clients may open WebSockets. */
  readonly hasSockets: () => boolean;
  readonly protocols: readonly Protocol[];
  readonly local: (call: LocalCall) => Promise<Json | Failure>;
  /** Reads the body of an owner's request. */
  readonly readBody: (request: Request, limitBytes: number) => Promise<Intake>;
  readonly localRoutes: readonly LocalRoute[];
  readonly catalog: () => Catalog;
  readonly resolve: (model: string) => Resolved;
  readonly admin: AdminPorts;
  readonly accounts: AccountRoutes;
  readonly views: () => readonly AccountView[];
  /** The accounts whose new tokens could not be stored. */
  readonly unsaved: () => readonly string[];
  /** Why the accounts' store cannot be used now; undefined while it can. */
  readonly storeTrouble: () => string | undefined;
  readonly totals: () => Totals;
  /** How many requests wait for a place on an account. */
  readonly waiting: () => number;
  readonly connections: () => ConnectionStatus;
  /** What the holders of keys have used. */
  readonly clients: () => readonly ClientUse[];
  /** Everything that is counted, as Prometheus reads it. */
  readonly metrics: () => Promise<string>;
  /** A call was turned away at the door, for one of the reasons of `keys.ts`. */
  readonly onTurnedAway: (code: string) => void;
  /** The decision record of a request that is over. */
  readonly explain: (requestId: string) => Json | undefined;
  /** The dashboard's files. */
  readonly pages: Pages;
  /** Requests as they end; undefined where too many watch already. */
  readonly live: (viewer: Viewer) => Response | undefined;
  /** What happened in each minute of the last hours. */
  readonly history: () => Json;
  /** Who has tried wrong keys on the owner's routes. */
  readonly guesses: Guesses;
  readonly nowMs: () => Millis;
  readonly startedMs: Millis;
  readonly newRequestId: () => string;
  readonly onFault: (requestId: string, cause: unknown) => void;
};

/** One way in. */
type Route = {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly guard: Guard;
  readonly serve: (visit: Visit) => Response | Promise<Response>;
  /** How its clients are spoken to; where it says nothing, the client's headers tell whose words it knows. */
  readonly wording?: Wording;
};

type Visit = Pick<ProxyCall, "request" | "caller" | "requestId" | "connection"> & {
  readonly url: URL;
  readonly read: ReadBody;
  readonly refuse: Refuse;
  readonly upgrade: Upgrade;
};

/** Turns a request into a WebSocket; false where its handshake is none. */
type Upgrade = (wire: Wire) => boolean;

/** Words a refusal for the client that is there. */
type Refuse = (failure: Failure, extra?: Readonly<Record<string, string>>) => Response;

/** Prefixes under which clients look for the API: OpenAI's own, the first seed's, and the backend's for Codex in ChatGPT mode. */
const PREFIXES = ["/v1", "/codex/v1", "/backend-api/codex"];

/** Every route and what it demands of its caller. */
export function routesOf(ports: ServerPorts): readonly Route[] {
  const turn = (protocol: Protocol, prefix: string): Route => ({
    method: "POST",
    path: `${prefix}${protocol.path}`,
    guard: "client",
    serve: ({ request, caller, requestId, connection }) =>
      ports.proxy({ request, caller, requestId, connection, protocol }),
    wording: protocol,
  });
  const local = (route: LocalRoute, prefix: string): Route => ({
    method: "POST",
    path: `${prefix}${route.path}`,
    guard: "client",
    serve: held(async ({ request, caller, refuse: refuseHere }) => {
      const answer = await ports.local({ route, request, caller });
      return isFailure(answer) ? refuseHere(answer) : json(200, answer);
    }),
    wording: route,
  });
  const api = PREFIXES.flatMap((prefix): Route[] => [
    ...ports.protocols.map((protocol) => turn(protocol, prefix)),
    ...ports.localRoutes.map((route) => local(route, prefix)),
    {
      method: "GET",
      path: `${prefix}/responses`,
      guard: "client",
      serve: (visit) => openSocket(visit, ports),
    },
    {
      method: "GET",
      path: `${prefix}/models`,
      guard: "client",
      serve: (visit) => models(visit, ports),
    },
    {
      method: "GET",
      path: `${prefix}/models/*`,
      guard: "client",
      serve: (visit) => model(visit, ports),
    },
  ]);
  const owners = ({ method, path, act }: AdminRoute): Route => ({
    method,
    path,
    guard: "credentials",
    serve: held(async ({ read, url, refuse: refuseHere }) => {
      const answer = await act({ read, url });
      return isFailure(answer) ? refuseHere(answer) : json(200, answer);
    }),
  });
  const pages = PAGE_ROUTES.map(
    (page): Route => ({
      method: "GET",
      path: page.path,
      guard: "open",
      serve: ({ request }) => ports.pages(page, request),
    }),
  );
  return [
    ...api,
    ...pages,
    ...adminRoutes(ports.admin).map(owners),
    {
      method: "GET",
      path: "/admin/requests",
      guard: "admin",
      serve: (visit) => live(visit, ports),
    },
    {
      method: "GET",
      path: "/admin/history",
      guard: "admin",
      serve: () => json(200, ports.history()),
    },
    { method: "GET", path: "/health", guard: "open", serve: () => health(ports) },
    {
      method: "GET",
      path: "/health/live",
      guard: "open",
      serve: () => json(200, { status: "ok" }),
    },
    { method: "GET", path: "/stats", guard: "admin", serve: (visit) => stats(visit, ports) },
    { method: "GET", path: "/metrics", guard: "admin", serve: held(() => metrics(ports)) },
    {
      method: "POST",
      path: "/refresh",
      guard: "credentials",
      serve: (visit) => workOn(accountCall(visit, ports), ports.accounts.refresh, ALL),
    },
    {
      method: "POST",
      path: "/recover-auth",
      guard: "credentials",
      // Whom it means must be said: what is refused for good is set aside.
      serve: (visit) => workOn(accountCall(visit, ports), ports.accounts.recover),
    },
    { method: "GET", path: "/explain/*", guard: "admin", serve: (visit) => explain(visit, ports) },
    {
      method: "POST",
      path: "/check-quota",
      guard: "admin",
      serve: (visit) => workOn(accountCall(visit, ports), ports.accounts.checkQuota, ALL),
    },
  ];
}

/** Serves what may take its time without its connection being taken for idle. */
function held(serve: (visit: Visit) => Promise<Response>): Route["serve"] {
  return (visit) => {
    visit.connection.hold();
    return serve(visit).finally(visit.connection.rest);
  };
}

/** Starts listening. Rejects where the address cannot be had. */
export function startServer(ports: ServerPorts, listening: DoorOptions): Promise<Door> {
  const build: BuildApp = (options, door) => buildApp(ports, options, door, listening.idleSec);
  return platform.openDoor(build, listening);
}

/** The application whose requests come in at `door`. */
export function buildApp(ports: ServerPorts, options: AppOptions, door: Door, idleSec: number) {
  const routes = routesOf(ports);
  const app = new Elysia(options);
  const serve = (request: Request, way: Way): Promise<Response> =>
    visit(request, ports, way, {
      address: () => door.addressOf(request),
      upgrade: (wire, headers) => door.upgrade(request, wire, headers),
      connection: connectionOf(request, door, idleSec),
    });
  for (const route of routes) {
    app.route(route.method, route.path, ({ request }) => serve(request, route), {
      parse: "none",
    });
  }
  for (const path of new Set(routes.map((route) => route.path))) {
    const here = routes.filter((route) => route.path === path);
    const methods = here.map(({ method }) => method);
    const known = methods.includes("GET") ? [...methods, "HEAD"] : methods;
    const way = wrongMethod(known, here.find(({ wording }) => wording !== undefined)?.wording);
    app.all(path, ({ request }) => serve(request, way), {
      parse: "none",
    });
  }
  app.all("*", ({ request }) => serve(request, NOT_FOUND), { parse: "none" });
  return app;
}

/** What happens on a route's behalf. */
type Way = Pick<Route, "guard" | "serve" | "wording">;

/** What only the runtime knows of a request, or can do with it. */
type Runtime = {
  /** Where it comes from. */
  readonly address: () => string;
  /** Turns it into a WebSocket; the headers go into the answer to its handshake. */
  readonly upgrade: (wire: Wire, headers: Readonly<Record<string, string>>) => boolean;
  readonly connection: Connection;
};

async function visit(
  request: Request,
  ports: ServerPorts,
  way: Way,
  runtime: Runtime,
): Promise<Response> {
  const requestId = ports.newRequestId();
  const access = ports.access();
  const origin = request.headers.get("origin");
  const isAllowed = origin !== null && access.allowedOrigins.includes(origin);
  if (isAllowed && request.method === "OPTIONS") return preflight(request, origin, requestId);
  const response = await answer(request, requestId, ports, way, runtime);
  // What is left of a body that was given up is not waited for.
  if (response.status === 408) response.headers.set("connection", "close");
  if (!isAllowed) return response;
  response.headers.set("access-control-allow-origin", origin);
  response.headers.set("access-control-expose-headers", EXPOSED);
  response.headers.append("vary", "origin");
  return response;
}

// What the official SDKs read in a browser: ids of requests, and when to try again.
const EXPOSED = "x-request-id, request-id, retry-after, x-should-retry";

async function answer(
  request: Request,
  requestId: string,
  ports: ServerPorts,
  way: Way,
  runtime: Runtime,
): Promise<Response> {
  const { fail, idHeader } = way.wording ?? wordingFor(request.headers, ports.protocols);
  const ids = {
    "x-request-id": requestId,
    ...(idHeader === undefined ? {} : { [idHeader]: requestId }),
  };
  const refuseHere: Refuse = (failure, extra = {}) => {
    const { status, headers, body } = fail(failure, requestId, ports.nowMs());
    return Response.json(body, { status, headers: { ...headers, ...extra, ...ids } });
  };
  const caller = admit(request, way.guard, ports, runtime);
  if ("kind" in caller) {
    ports.onTurnedAway(caller.code ?? "");
    return refuseHere(caller);
  }
  // Where the Host header is no host, the runtime gives the bare path.
  const url = URL.parse(request.url, "http://localhost");
  if (url === null) return refuseHere(BAD_ADDRESS);
  try {
    const response = await way.serve({
      request,
      caller,
      requestId,
      url,
      refuse: refuseHere,
      connection: runtime.connection,
      read: (limitBytes) => ports.readBody(request, limitBytes),
      upgrade: (wire) => runtime.upgrade(wire, ids),
    });
    // What a turn answers has its id already.
    if (!response.headers.has("x-request-id")) response.headers.set("x-request-id", requestId);
    if (idHeader !== undefined) response.headers.set(idHeader, requestId);
    return response;
  } catch (cause) {
    ports.onFault(requestId, cause);
    return refuseHere({ kind: "internal", message: "The proxy itself failed." });
  }
}

/** Lets a caller pass, or says why not; who tries key after key on the owner's routes has to wait. */
function admit(
  { headers }: Request,
  guard: Guard,
  { access, guesses, nowMs }: ServerPorts,
  { address }: Runtime,
): Caller | Failure {
  const now = nowMs();
  if (guard === "open" || guard === "client") {
    return admitCaller(headers, guard, access(), { isLocal: false, nowMs: now });
  }
  const from = address();
  const caller = admitCaller(headers, guard, access(), { isLocal: isLoopback(from), nowMs: now });
  const isWrong = "kind" in caller && caller.code === WRONG_KEY.code;
  // What comes without a key, or needs none, guesses nothing.
  if ("kind" in caller && !isWrong) return caller;
  const untilMs = guesses.blockedUntil(from, now);
  if (untilMs !== undefined) return { ...TOO_MANY_GUESSES, resetsAtMs: untilMs };
  if (isWrong) guesses.wrong(from, now);
  return caller;
}

const TOO_MANY_GUESSES = refuse(
  429,
  "too_many_wrong_keys",
  "Too many wrong keys came from this address. For a minute none is looked at, not even the right one.",
);

const BAD_ADDRESS = refuse(400, "invalid_url", "The address of the request cannot be read.");

function preflight(request: Request, origin: string, requestId: string): Response {
  const wanted = request.headers.get("access-control-request-headers");
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
      // SDKs add headers of their own, and `*` would not cover `authorization`.
      "access-control-allow-headers": wanted ?? "authorization, content-type, x-api-key, api-key",
      "access-control-max-age": "600",
      vary: "origin, access-control-request-headers",
      "x-request-id": requestId,
    },
  });
}

function json(status: number, body: Json): Response {
  return Response.json(body, { status });
}

const NOT_FOUND: Way = {
  // Nobody learns without a key which routes there are.
  guard: "client",
  serve: (visit) =>
    visit.refuse(refuse(404, "not_found", `There is nothing at ${visit.url.pathname}.`)),
};

function wrongMethod(methods: readonly string[], wording: Wording | undefined): Way {
  const allow = methods.join(", ");
  return {
    guard: "client",
    serve: (visit) => {
      const message = `${visit.url.pathname} takes ${allow}, not ${visit.request.method}.`;
      return visit.refuse(refuse(405, "method_not_allowed", message), { allow });
    },
    ...(wording === undefined ? {} : { wording }),
  };
}

function openSocket(
  { request, caller, refuse: refuseHere, upgrade }: Visit,
  { sockets, hasSockets }: ServerPorts,
): Response {
  const wantsSocket = (request.headers.get("upgrade") ?? "").toLowerCase() === "websocket";
  if (!wantsSocket) {
    const message = "This route takes POST, or a WebSocket handshake.";
    return refuseHere(refuse(405, "method_not_allowed", message), { allow: "POST" });
  }
  // On 426, and only on 426, the Codex CLI turns to HTTP at once (upstream.md 8.1).
  if (!hasSockets()) {
    const message = "Responses over WebSocket are switched off here (enable-websocket); use POST.";
    return refuseHere(refuse(426, "upgrade_required", message), { upgrade: "HTTP/1.1" });
  }
  if (!upgrade(sockets.accept(request.headers, caller))) {
    const message = "The WebSocket handshake is not complete; this server speaks version 13.";
    return refuseHere(refuse(426, "upgrade_required", message), { "sec-websocket-version": "13" });
  }
  // The runtime has answered already; what is returned now goes nowhere. Not every runtime has a Response of 101.
  return new Response(null, { status: 204 });
}

function models({ request, url, caller }: Visit, { catalog, startedMs }: ServerPorts): Response {
  const shape = modelShape(url, request.headers);
  const may: MayUse = (name, model) => mayUse(caller, name, model);
  return json(200, listModels(catalog(), shape, startedMs, may));
}

function model({ request, url, caller, refuse: refuseHere }: Visit, ports: ServerPorts): Response {
  const id = decoded(url.pathname.slice(url.pathname.indexOf("/models/") + 8));
  const shape = modelShape(url, request.headers);
  const resolved = ports.resolve(id);
  const isAllowed = mayUse(caller, id, resolved.ok ? resolved.choice.model : id);
  if (!isAllowed) return refuseHere(notAllowed(caller, id));
  const found = findModel(ports.catalog(), id, shape, ports.startedMs);
  if (found !== undefined) return json(200, found);
  const message = `There is no model '${id}'. GET /v1/models lists them.`;
  return refuseHere(refuse(404, "model_not_found", message, "model"));
}

/** A part of a path as it was meant; one that is wrongly encoded stays as it is, and names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function health(ports: ServerPorts): Response {
  const { status, body } = healthOf(
    ports.views(),
    ports.unsaved(),
    ports.storeTrouble() !== undefined,
  );
  return json(status, body);
}

function stats({ url, refuse: refuseHere }: Visit, ports: ServerPorts): Response {
  const source = {
    views: ports.views(),
    unsaved: ports.unsaved(),
    totals: ports.totals(),
    waiting: ports.waiting(),
    connections: ports.connections(),
    clients: ports.clients(),
    startedMs: ports.startedMs,
    nowMs: ports.nowMs(),
  };
  const body = statsOf(source, url.searchParams);
  return isFailure(body) ? refuseHere(body) : json(200, body);
}

async function metrics(ports: ServerPorts): Promise<Response> {
  return new Response(await ports.metrics(), { headers: { "content-type": PAGE_TYPE } });
}

function accountCall(visit: Visit, { onFault }: ServerPorts): AccountCall {
  const { requestId } = visit;
  return { ...visit, onFault: (cause) => onFault(requestId, cause) };
}

function explain({ url, refuse: refuseHere }: Visit, ports: ServerPorts): Response {
  const id = decoded(url.pathname.slice("/explain/".length));
  const found = ports.explain(id);
  if (found !== undefined) return json(200, found);
  const message =
    `There is no record of a request '${clip(id, 100)}'. Turns can be explained once they are over, and the last ` +
    `${MOST_RECORDS} are kept, in memory only. Their ids are in x-request-id, in error bodies and in the log.`;
  return refuseHere(refuse(404, "request_not_found", message));
}

function live({ request, connection, refuse: refuseHere }: Visit, ports: ServerPorts): Response {
  const watching = ports.live({ signal: request.signal, connection });
  if (watching !== undefined) return watching;
  const message = `${MOST_FOLLOWERS} watch the requests already, which is the most. Close one of them.`;
  return refuseHere(refuse(429, "too_many_viewers", message));
}

function isFailure(body: Json | Failure): body is Failure {
  return typeof body === "object" && body !== null && "kind" in body;
}
