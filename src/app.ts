import { join } from "node:path";
import { readPlace } from "./config/database.ts";
import { readEndpoint } from "./config/endpoint.ts";
import { readProxy, showProxy } from "./config/proxy-url.ts";
import {
  baseUrl,
  type Config,
  defaults,
  issuerUrl,
  keyDigestOf,
  parseListen,
} from "./config/schema.ts";
import { readPage } from "./dashboard/assets.ts";
import { adoptAll, adoptTokens } from "./engine/adopt.ts";
import { createAliases } from "./engine/aliases.ts";
import { type Client, createAllowances } from "./engine/allowance.ts";
import { createCheckQuota } from "./engine/check-quota.ts";
import { type Chore, startChores } from "./engine/chores.ts";
import { createDeadTokens } from "./engine/dead.ts";
import { execute } from "./engine/execute.ts";
import { createExplainer } from "./engine/explain.ts";
import { createFeed } from "./engine/feed.ts";
import { createFleet, type Fleet } from "./engine/fleet.ts";
import { createFolderImport } from "./engine/folder.ts";
import { createGauge } from "./engine/gauge.ts";
import { createHealth } from "./engine/health.ts";
import { createHistory } from "./engine/history.ts";
import { createLedger } from "./engine/ledger.ts";
import { createLine } from "./engine/line.ts";
import { createLoading } from "./engine/loading.ts";
import type { LoginPorts } from "./engine/login.ts";
import { createLogins } from "./engine/logins.ts";
import { createMeter } from "./engine/meter.ts";
import { createMetrics } from "./engine/metrics.ts";
import { createModels } from "./engine/models.ts";
import { createPacer, USUAL_MOST } from "./engine/pacer.ts";
import { createRecovery } from "./engine/recover.ts";
import { createRefresh } from "./engine/refresh.ts";
import { createRefusedParameters } from "./engine/refused.ts";
import { createReload } from "./engine/reload.ts";
import { createRenewer } from "./engine/renew.ts";
import { isError, reportFault, reportRequest } from "./engine/report.ts";
import { tellRests } from "./engine/rests.ts";
import { createSmallCalls } from "./engine/small-calls.ts";
import { createState } from "./engine/state.ts";
import { createCounter } from "./engine/totals.ts";
import { createTracer } from "./engine/tracer.ts";
import { createWaits } from "./engine/waits.ts";
import { createWays } from "./engine/ways.ts";
import { askWith } from "./net/connections.ts";
import { type Ask, createEgress, type EgressOptions } from "./net/egress.ts";
import { createLink } from "./net/link.ts";
import type { DoorOptions } from "./platform/platform.ts";
import { createAffinity } from "./pool/affinity.ts";
import { createPool, MOST_BINDINGS } from "./pool/pool.ts";
import { describeShortage } from "./pool/shortage.ts";
import { createReasoningMemory } from "./protocols/reasoning.ts";
import { createLocalRoutes, createProtocols } from "./protocols/registry.ts";
import { pastOf } from "./protocols/responses/conversation.ts";
import { createResponseMemory } from "./protocols/responses/memory.ts";
import type { AdminPorts } from "./server/admin.ts";
import type { Certificate } from "./server/certificate.ts";
import { createPages } from "./server/dashboard.ts";
import { createGuesses } from "./server/guesses.ts";
import { readBody } from "./server/intake.ts";
import { nameByDigest } from "./server/keys.ts";
import { unmet } from "./server/listen.ts";
import { replyLive } from "./server/live.ts";
import { createLocal } from "./server/local.ts";
import { createProxy } from "./server/proxy.ts";
import { startServer } from "./server/server.ts";
import { WEBSOCKET } from "./server/socket.ts";
import { createSockets } from "./server/sockets.ts";
import type { ProxyPorts } from "./server/visit.ts";
import { type OpenPorts, openStore, type StorePlace } from "./store/open.ts";
import type { Sealer } from "./store/seal.ts";
import { openStateFile } from "./store/state.ts";
import type { Store } from "./store/store.ts";
import { SEED_CATALOG } from "./turn/catalog.ts";
import { resolveModel } from "./turn/model.ts";
import { createCollector } from "./upstream/collector.ts";
import { lowerNames } from "./upstream/headers.ts";
import { fetchModels } from "./upstream/models.ts";
import { exchange } from "./upstream/oauth.ts";
import { sendTurn } from "./upstream/send.ts";
import { fetchUsage } from "./upstream/usage.ts";
import { type Clock, inTime, type Millis } from "./wire/clock.ts";
import { sha256 } from "./wire/digest.ts";
import { createLanes } from "./wire/lanes.ts";
import type { Log } from "./wire/log.ts";

/** The running program. */
export type App = {
  readonly port: number;
  /** How many accounts there are now, and how many of them can be used. */
  readonly accounts: () => { readonly total: number; readonly ready: number };
  /** Puts a new configuration into effect, as far as that can be done live. */
  readonly configure: (config: Config) => void;
  /** Refuses new requests, lets running ones end, and cuts what is left at the deadline. */
  readonly stop: () => Promise<void>;
};

/** What the program is started with beside its configuration, and what that names and does not hold. */
export type Provision = {
  /** How logins are written and read where they are kept. */
  readonly sealer: Sealer;
  readonly certificate?: Certificate | undefined;
  readonly version?: string;
};

const SECOND = 1000;
const MODELS_EVERY_MS = 3_600_000;
// Tokens that the disk would not take are tried again this often.
const SAVE_EVERY_MS = 30_000;
// What the program has learnt is on disk so soon after it.
const STATE_EVERY_MS = 5 * SECOND;
const TRACES_EVERY_MS = SECOND;
// At the end the collector is waited for so long at most.
const LAST_TRACES_MS = 2 * SECOND;
// At the end, logins that are being stored are waited for so long at most: one of them may wait for a renewal.
const ADOPT_MS = 30 * SECOND;
// A proxy that has not opened a connection by then is taken to be down.
const TUNNEL_MS = 15 * SECOND;
// The folder for what the program remembers; it is no file and has a dot, so no account scan looks at it.
const STATE_DIR = ".codex-proxy";

/**
 * Builds every part out of the configuration, connects them and starts to listen. This is the only place that knows
 * the whole configuration: each part is given the few options it declares, read anew at each use.
 */
export async function startApp(
  initial: Config,
  clock: Clock,
  log: Log,
  { sealer, certificate, version = "from source" }: Provision,
): Promise<App> {
  let config = initial;
  // The runtime's own idle timer cannot be set anew, and both go by the same key.
  const clientIdleMs = initial["listen-idle-timeout-sec"] * SECOND;
  const upstream = baseUrl(initial);
  let perConfig = derive(config, upstream, clientIdleMs);
  const startedMs = clock.now();
  const egress = createEgress({
    options: () => perConfig.egress,
    clock,
    onProxy: (proxy, trouble) => {
      const facts = { proxy: showProxy(proxy), reason: trouble };
      if (trouble === undefined) log.info("the egress proxy works again", facts);
      else log.warn("requests do not get out through the egress proxy", facts);
    },
  });
  const { ask } = egress;
  const link = createLink({
    url: upstream,
    ask,
    clock,
    log,
    chance: Math.random,
    options: () => perConfig.link,
    onFree: () => line.callNext(),
  });
  const { connections } = link;
  const waits = createWaits({ limit: () => perConfig.link.mostInUse, log });
  const calls = createSmallCalls({ ...link, clock });

  const opened = await openStore(placeOf(initial), {
    ...openOptionsOf(initial),
    sealer,
    clock,
    log,
    scanIntervalMs: () => config["auth-scan-interval"] * SECOND,
  });
  const { store } = opened;
  const affinityTtlMs = (): Millis => perConfig.pool.affinityTtlMs;
  const affinity = createAffinity(affinityTtlMs, MOST_BINDINGS, (key) => fleet?.homeElsewhere(key));
  const accounts = createPool(() => perConfig.pool, affinity, {
    onChange: (before, after) => fleet?.note(before, after),
    isApart: () => fleet?.isApart() === true,
  });
  const fleet: Fleet | undefined =
    opened.shared &&
    createFleet({
      // Not the one that counts rests: those that others have found are counted there.
      ...{ pool: accounts, affinity, affinityTtlMs, clock, log },
      sharing: opened.shared.sharing,
      self: { id: crypto.randomUUID(), version },
    });
  const isMine = (accountId: string): boolean => fleet?.isMine(accountId) ?? true;
  const pool = tellRests(accounts, (reason) => metrics.rested(reason));
  const settle = (accountId: string, outcome: Parameters<typeof pool.settle>[1]): void =>
    pool.settle(accountId, outcome, clock.now());
  const ledger = createLedger(clock.now);
  const allowances = createAllowances(clock);
  const configureClients = (): void => {
    const { clients } = perConfig.access;
    allowances.configure(clients);
    for (const { name: client, expiresMs } of clients.values()) {
      if (expiresMs === undefined || expiresMs > clock.now()) continue;
      log.warn("an entry of api-keys has expired", { client });
    }
  };
  configureClients();
  const file = openStateFile(stateFileOf(initial), clock.now);
  const dead = createDeadTokens({ now: clock.now, onRefused: () => void state.save() });
  const state = createState({
    pool,
    affinity,
    ledger,
    dead,
    allowances,
    file,
    clock,
    log,
    giveWay,
  });
  const reread = createReload({ pool, store, clock, log });
  const reload = async (): Promise<void> => {
    await reread();
    state.restore();
    fleet?.welcome();
  };
  const renewer = createRenewer({
    pool,
    reload,
    store,
    clock,
    log,
    dead,
    isMine,
    options: () => perConfig.renew,
    chance: Math.random,
    exchange: async (token, reason, stop, proxy) => {
      const issuer = {
        issuer: issuerUrl(initial),
        headers: config["upstream-headers"],
        ask,
        proxy,
      };
      const exchanged = await exchange(token, reason, issuer, stop);
      const outcome = exchanged.ok ? "renewed" : exchanged.isPermanent ? "refused" : "failed";
      metrics.refreshed(outcome);
      return exchanged;
    },
  });
  const recovery = createRecovery({ pool, store, clock, log, reload, renewer, isMine });
  const refresh = createRefresh({ pool, clock, log, renewByHand: renewer.renewByHand });
  const models = createModels({
    pool,
    clock,
    log,
    renewer,
    cacheFile: join(stateDirOf(initial), "models.json"),
    calls,
    fetch: (identity, etag, stop, own) => {
      const headers = config["upstream-headers"];
      const clientVersion = headers["version"] ?? defaults()["upstream-headers"]["version"] ?? "";
      const options = { baseUrl: upstream, headers, clientVersion, etag, ask: own };
      return fetchModels(identity, options, stop, clock);
    },
  });
  const gauge = createGauge({
    pool,
    clock,
    log,
    reload,
    store,
    renewer,
    pacer: createPacer({ clock, chance: Math.random }),
    options: () => perConfig.gauge,
    calls,
    fetch: (identity, stop, own) => {
      const options = { baseUrl: upstream, headers: config["upstream-headers"], ask: own };
      return fetchUsage(identity, options, stop, clock);
    },
  });
  const mostReadings = (): number => config["quota-check-concurrency"] || USUAL_MOST;
  const meter = createMeter({ pool, clock, gauge, most: mostReadings, isMine });
  const health = createHealth({ pool, clock, log, gauge, options: () => perConfig.health, isMine });
  const keepWarm = async (): Promise<void> => {
    // Nobody's turns could go out.
    const isUsed = pool.view(clock.now()).some(({ standing }) => standing.kind === "ready");
    if (isUsed) await link.keepWarm();
  };
  const aliases = createAliases(() => perConfig.aliases, models.catalog, log);
  const counter = createCounter();
  const refused = createRefusedParameters();
  const memory = createResponseMemory(() => perConfig.responses);
  const reasoning = createReasoningMemory();
  const ways = createWays(clock.now);
  const later = (work: () => void): void => void setImmediate(work);
  const feed = createFeed();
  const history = createHistory();
  const explainer = createExplainer({ pool, clock, options: () => perConfig.explain, later });

  const line = createLine({
    clock,
    pick: (wish) => pool.pick(wish, clock.now()),
    hasPlace: (wish) => pool.hasPlace(wish, clock.now()),
    isCrowded: (wish) => pool.isCrowded(wish, clock.now()),
    connections,
    isShared: (accountId) => link.isShared({ proxy: pool.get(accountId)?.login.proxy }),
    waits,
    options: () => perConfig.line,
  });

  const protocols = createProtocols({ clock, memory, reasoning });
  const metrics = createMetrics({
    clock,
    protocols: [...protocols.map(({ name }) => name), WEBSOCKET],
    elapsedMs: () => performance.now(),
    startedMs,
    version,
    isKnownModel: (model) => models.catalog().has(model),
    views: () => pool.view(clock.now()),
    levels: () => ({
      connections: connections.counts(),
      mostIdle: perConfig.link.mostIdle,
      waits: waits.counts(),
      waiting: line.count(),
      sockets: sockets.count(),
      unsaved: renewer.unsaved().length,
      isStoreDegraded:
        renewer.unsaved().length > 0 || state.isFailing() || store.trouble() !== undefined,
    }),
    giveWay,
  });

  const tracer = createTracer({
    clock,
    log,
    endpoint: () => config["otlp-endpoint"],
    post: createCollector(ask),
    source: { version },
    newSpanId: () => Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex"),
    onSpans: metrics.spans,
  });

  const resolve = (model: string) => resolveModel(model, models.catalog(), aliases());
  const ports: ProxyPorts = {
    clock,
    options: () => perConfig.proxy,
    resolve,
    enter: allowances.enter,
    onBegin: metrics.begin,
    onFault: (id, cause) => reportFault(log, id, cause),
    onEnd: (record) => {
      const now = clock.now();
      if (!record.isPrewarm) {
        counter.add(isError(record), record.usage, now);
        history.add(record, now);
      }
      metrics.end(record);
      tracer.keep(record);
      reportRequest(log, record, now);
      explainer.keep(record);
      feed.add(record, now);
    },
    execute: (job) =>
      execute(job, perConfig.limits, {
        clock,
        settle,
        count: pool.count,
        ledger,
        ways,
        take: line.take,
        witness: explainer.witness,
        identify: renewer.identify,
        renew: renewer.renew,
        refused,
        shortage: (model) =>
          loading.isDone()
            ? describeShortage(pool.view(clock.now()), model, clock.now())
            : loading.failure(),
        send: (turn, identity, request, connection) => {
          const options = { ...perConfig.send, baseUrl: upstream };
          const own = askWith(connection, link.ask);
          const { broken: onBroken } = link;
          return sendTurn(turn, identity, request, { options, clock, ask: own, onBroken });
        },
        accepted: renewer.accepted,
      }),
  };
  const newRequestId = (): string => `req_${crypto.randomUUID().replaceAll("-", "")}`;
  const access = () => perConfig.access;
  const protocol = protocols.find(({ name }) => name === "responses");
  if (protocol === undefined) throw new Error("WebSockets have no protocol to speak");
  const sockets = createSockets({
    ...ports,
    protocol,
    past: (scope) => pastOf(memory, { scope }, clock.now()),
    access,
    newRequestId,
  });

  const issuerNow = () => ({ ...loginIssuer(config, clock, ask), issuer: issuerUrl(initial) });
  const { run: inTurn } = createLanes(() => 1);
  /** Logins and imports take turns, so that none finds missing what another adds. */
  const adopting = <T>(task: () => Promise<T>): Promise<T> => inTurn("adopt", task);
  const admin = createAdmin(issuerNow, {
    adopting,
    views: () => pool.view(clock.now()),
    store,
    reload,
    clock,
    log,
    release: (accountId) => settle(accountId, { type: "released" }),
  });

  const takeIn =
    opened.shared === undefined
      ? undefined
      : createFolderImport({ ...opened.shared, clock, log, adopting });
  const inBackground = (name: string, work: Promise<unknown>): void => {
    work.catch((cause: unknown) => reportFault(log, name, cause));
  };
  const afterReload = async (): Promise<void> => {
    // A folder that is back takes what it could not take before.
    await renewer.saveLate();
    if (models.catalog() === SEED_CATALOG) await models.update();
  };
  const follow = async (): Promise<void> => {
    await reload();
    await afterReload();
  };
  /** Takes in what lies in the folder, where accounts are in a database. */
  const takeFolder = async (): Promise<void> => {
    if ((await takeIn?.take()) !== true) return;
    await reload();
    // What follows may wait for tokens, and who waits for accounts need not wait for that.
    inBackground("reload", afterReload());
  };
  const importLate = async (): Promise<void> => {
    if (takeIn?.isDue() === true) await takeFolder();
  };
  /** Tokens that only this machine has are a danger to all who share the database. */
  const saveLate = async (): Promise<void> => opened.shared?.store.saveLate();
  const loading = createLoading({
    load: async () => {
      await reload();
      const trouble = store.trouble();
      if (trouble !== undefined) return trouble;
      const taken = takeFolder();
      // Where there are accounts, nobody need wait for further ones.
      if (pool.view(clock.now()).length === 0) await taken;
      else inBackground("import", taken);
      return undefined;
    },
    retryMs: () => config["startup-load-retry-interval"] * SECOND,
    clock,
    log,
  });

  link.configure();
  await models.restore();
  await state.open();
  if (!initial["startup-async-load"]) {
    await loading.need();
    await fleet?.begin();
  }
  const door = await startServer(
    {
      access,
      proxy: createProxy(ports),
      sockets,
      hasSockets: () => config["enable-websocket"],
      protocols,
      local: createLocal({ clock, options: () => perConfig.proxy, resolve }),
      readBody: (request, limitBytes) =>
        readBody(request, { limitBytes, idleMs: clientIdleMs }, clock),
      localRoutes: createLocalRoutes({ clock, reasoning }, giveWay),
      catalog: models.catalog,
      resolve,
      clients: allowances.view,
      admin,
      accounts: {
        refresh,
        recover: recovery.recover,
        checkQuota: createCheckQuota({ pool, gauge, most: mostReadings, clock, log }),
      },
      views: () => pool.view(clock.now()),
      metrics: metrics.page,
      onTurnedAway: metrics.turnedAway,
      explain: explainer.find,
      pages: createPages(readPage),
      live: (viewer) => replyLive({ feed, clock }, viewer),
      history: () => history.read(clock.now()),
      guesses: createGuesses(),
      unsaved: renewer.unsaved,
      storeTrouble: store.trouble,
      totals: () => counter.read(clock.now()),
      waiting: line.count,
      connections: () => ({
        now: connections.counts(),
        waits: { ...waits.counts(), now: line.countForConnection() },
        mostIdle: perConfig.link.mostIdle,
      }),
      nowMs: clock.now,
      startedMs,
      newRequestId,
      onFault: (id, cause) => reportFault(log, id, cause),
    },
    listeningOf(initial, certificate),
  );
  for (const line of unmet(initial)) log.warn(line);
  await loading.begin();
  if (initial["startup-async-load"]) void fleet?.begin();

  const unwatchStore = store.watch(() => inBackground("reload", follow()));
  const unwatchFolder = opened.shared?.folder.watch(() => inBackground("import", takeFolder()));
  const stopChores = startChores(
    [
      { name: "refresh", everyMs: () => config["refresh-interval"] * SECOND, run: renewer.sweep },
      {
        name: "recover",
        everyMs: () => config["disabled-recovery-interval-sec"] * SECOND,
        run: recovery.retryAside,
      },
      { name: "save", everyMs: () => SAVE_EVERY_MS, run: renewer.saveLate },
      { name: "import", everyMs: () => SAVE_EVERY_MS, run: importLate },
      { name: "state", everyMs: () => STATE_EVERY_MS, run: state.save },
      { name: "models", everyMs: () => MODELS_EVERY_MS, run: models.update },
      { name: "late", everyMs: () => SAVE_EVERY_MS, run: saveLate },
      { name: "traces", everyMs: () => TRACES_EVERY_MS, run: tracer.flush },
      { name: "quota", everyMs: meter.everyMs, run: meter.look },
      { name: "health", everyMs: health.everyMs, run: health.round },
      ...(fleet === undefined ? [] : fleetChores(fleet)),
      { name: "keepalive", everyMs: () => perConfig.egress.keep.pingEveryMs, run: keepWarm },
    ],
    clock,
    log,
  );
  // Side by side: a family of many that are due is renewed slowly, and the models need not wait for that.
  for (const begun of [renewer.sweep(), models.update()]) inBackground("start", begun);

  const stopMeasuring = metrics.start();

  return {
    port: door.port(),
    accounts: () => {
      const views = pool.view(clock.now());
      const ready = views.filter(({ standing }) => standing.kind === "ready");
      return { total: views.length, ready: ready.length };
    },
    configure: (next) => {
      config = next;
      perConfig = derive(next, upstream, clientIdleMs);
      configureClients();
      link.configure();
    },
    stop: async () => {
      loading.stop();
      unwatchStore();
      unwatchFolder?.();
      stopChores();
      stopMeasuring();
      const loggedIn = admin.logins.cancelAll();
      gauge.stop();
      const deadlineMs = config["shutdown-timeout"] * SECOND;
      sockets.retire();
      // Whoever watches would keep the end waiting.
      feed.close();
      const cut = clock.after(deadlineMs, () => {
        sockets.cut();
        void door.stop(true);
      });
      await door.stop(deadlineMs <= 0);
      cut();
      // What was given is not thrown away, by the issuer or by an import that is under way.
      const given = loggedIn.then(() => adopting(giveWay));
      const adopted = inTime(given, ADOPT_MS, clock);
      // Bounded by the issuer's own clock (refresh-single-timeout-sec).
      await Promise.all([renewer.settled(), adopted]);
      await state.save();
      await inTime(tracer.flush(), LAST_TRACES_MS, clock);
      await fleet?.stop();
      await opened.close();
      await egress.close();
    },
  };
}

function fleetChores(fleet: Fleet): readonly Chore[] {
  return [
    { name: "beat", everyMs: fleet.beatEveryMs, run: fleet.beat },
    { name: "homes", everyMs: fleet.homesEveryMs, run: fleet.tellHomes },
  ];
}

/** Where a configuration's accounts are: the running program and each command must see the same ones. */
export function placeOf(config: Config): StorePlace {
  const folder = {
    dir: config["auth-dir"],
    files: config.accounts,
    stateFile: config["state-file"],
  };
  if (!config["db-enabled"]) return { ...folder, database: undefined };
  const reading = readPlace(config);
  // Never so for a loaded configuration.
  if (!reading.ok) throw new Error(reading.reason);
  return {
    ...folder,
    database: {
      place: reading.place,
      mostConnections: config["db-max-open-conns"],
      lifetimeSec: config["db-conn-max-lifetime-sec"],
    },
  };
}

/** What opening a configuration's accounts needs beside their place. */
export function openOptionsOf(config: Config): Pick<OpenPorts, "chance" | "stateDir"> {
  return { chance: Math.random, stateDir: stateDirOf(config) };
}

/** By which way requests leave, as a configuration says. */
export function egressOf(config: Config, backend = baseUrl(config)): EgressOptions {
  const said = config["proxy-url"];
  const proxy = said === "" ? undefined : readProxy(said, "proxy-url");
  // Never so for a loaded configuration; and to go on without it would be the one thing that must not happen.
  if (proxy?.ok === false) throw new Error(`proxy-url is no proxy: ${proxy.found}`);
  const address = readEndpoint(config["backend-resolve-address"]);
  const connectMs = config["connect-timeout-sec"] * SECOND;
  return {
    proxy: proxy?.proxy,
    detour: address && { ...address, origin: new URL(backend).origin },
    // Before the request's own limit, so that it is told what it was that took so long.
    tunnelMs: connectMs > 0 ? Math.min(0.8 * connectMs, TUNNEL_MS) : TUNNEL_MS,
    keep: {
      most: config["max-idle-conns-per-host"],
      pingEveryMs: config["keepalive-interval"] * SECOND,
    },
  };
}

/** How a configuration's logins ask the issuer. */
export function loginIssuer(config: Config, clock: Clock, ask: Ask): LoginPorts["issuer"] {
  return {
    issuer: issuerUrl(config),
    headers: config["upstream-headers"],
    clock,
    ask,
    timeoutMs: config["refresh-single-timeout-sec"] * SECOND,
  };
}

type AdminScene = Omit<AdminPorts, "logins" | "adopt" | "login" | "store"> & {
  readonly store: Store;
  readonly clock: Clock;
  readonly adopting: <T>(task: () => Promise<T>) => Promise<T>;
};

/** The owner's acts on accounts. */
function createAdmin(issuerNow: () => LoginPorts["issuer"], scene: AdminScene): AdminPorts {
  const { store, clock, reload, adopting } = scene;
  return {
    ...scene,
    logins: createLogins(clock, () => `login_${crypto.randomUUID().replaceAll("-", "")}`),
    adopt: (offers) => adopting(() => adoptAll(offers, { store, clock })),
    login: () => ({
      issuer: issuerNow(),
      random: (count) => crypto.getRandomValues(new Uint8Array(count)),
      keep: async (tokens) => {
        const adoption = await adopting(() => adoptTokens(tokens, { store, clock }));
        await reload();
        return adoption;
      },
    }),
  };
}

/** Lets what waits have the processor, and comes back. */
function giveWay(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What the parts read of the configuration, made once for each configuration. */
function derive(config: Config, upstream: string, clientIdleMs: Millis) {
  const { "admin-key": adminKey, "model-aliases": aliases } = config;
  const egress = egressOf(config, upstream);
  const clients = new Map(config["api-keys"].map(clientOf));
  return {
    egress,
    link: {
      isHttp2: config["enable-http2"],
      mostInUse: config["max-conns-per-host"],
      mostIdle: egress.keep.most,
      proxy: egress.proxy,
      userAgent: lowerNames(config["upstream-headers"])["user-agent"],
    },
    pool: {
      policy: {
        unauthorizedMs: config["cooldown-401-sec"] * SECOND,
        limitedMs: config["cooldown-429-sec"] * SECOND,
      },
      selector: config.selector,
      affinityTtlMs: config["session-affinity-ttl-sec"] * SECOND,
      mostInFlight: config["account-max-in-flight"],
    },
    renew: {
      concurrency: config["refresh-concurrency"],
      timeoutMs: config["refresh-single-timeout-sec"] * SECOND,
      mostAwaited: config["auth-401-sync-refresh-concurrency"],
      policies: config["refresh-http-status-policy"],
    },
    line: {
      waitMs: config["account-wait-sec"] * SECOND,
      mostInFlight: config["account-max-in-flight"],
      mostConnections: config["max-conns-per-host"],
    },
    explain: { selector: config.selector, mostInFlight: config["account-max-in-flight"] },
    gauge: {
      timeoutMs: config["health-check-request-timeout"] * SECOND,
      restMs: config["cooldown-429-sec"] * SECOND,
      policies: config["quota-http-status-policy"],
    },
    health: {
      intervalMs: config["health-check-interval"] * SECOND,
      startDelayMs: config["health-check-start-delay"] * SECOND,
      batchSize: config["health-check-batch-size"],
      concurrency: config["health-check-concurrency"],
      maxFailures: config["health-check-max-failures"],
    },
    limits: { maxRetry: config["max-retry"], emptyRetryMax: config["empty-retry-max"] },
    send: {
      headers: config["upstream-headers"],
      connectMs: config["connect-timeout-sec"] * SECOND,
      firstEventMs: config["first-event-timeout-sec"] * SECOND,
      idleMs: config["event-idle-timeout-sec"] * SECOND,
    },
    proxy: {
      maxBodyBytes: config["max-body-bytes"],
      clientIdleMs,
      requestMs: config["request-timeout-sec"] * SECOND,
      heartbeatMs: config["heartbeat-sec"] * SECOND,
      earlyHeartbeatMs: config["early-heartbeat-sec"] * SECOND,
    },
    responses: {
      mostBytes: config["response-store-max-bytes"],
      ttlMs: config["response-store-ttl-sec"] * SECOND,
    },
    aliases: {
      aliases: Object.entries(aliases).map(([pattern, target]) => ({ pattern, target })),
      isBuiltIn: JSON.stringify(aliases) === JSON.stringify(defaults()["model-aliases"]),
    },
    access: {
      clientKeys: [...clients.keys()],
      clients,
      adminKey: adminKey === "" ? undefined : sha256(adminKey),
      allowedOrigins: config["allowed-origins"],
      ownHost: parseListen(config.listen)?.hostname,
    },
  };
}

/** The folder for what this instance keeps to itself. */
function stateDirOf(config: Config): string {
  return join(config["auth-dir"], STATE_DIR);
}

/** A key's digest, and what its entry says of it. */
function clientOf(entry: Config["api-keys"][number]): [digest: string, client: Client] {
  const digest = keyDigestOf(entry);
  const said = typeof entry === "string" ? {} : entry;
  const client = {
    name: said.name ?? nameByDigest(digest),
    models: said.models,
    expiresMs: said.expires === undefined ? undefined : Date.parse(said.expires),
    rpm: said.rpm,
    concurrency: said.concurrency,
    tokensPerDay: said["tokens-per-day"],
  };
  return [digest, client];
}

/** Where what the program remembers is kept. */
export function stateFileOf(config: Config): string {
  const named = config["state-file"];
  return named === "" ? join(stateDirOf(config), "state.json") : named;
}

function listeningOf(config: Config, certificate: Certificate | undefined): DoorOptions {
  const parsed = parseListen(config.listen);
  return {
    hostname: parsed?.hostname,
    port: parsed?.port ?? 0,
    maxFrameBytes: config["max-body-bytes"],
    maxHeaderBytes: config["listen-max-header-bytes"],
    hasHttp2: config["enable-listen-h2c"],
    idleSec: config["listen-idle-timeout-sec"],
    certificate,
  };
}
