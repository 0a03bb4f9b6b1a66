import { type FSWatcher, watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type App, startApp } from "../app.ts";
import { changes } from "../config/changes.ts";
import { type Config, parseListen } from "../config/schema.ts";
import { reportFault } from "../engine/report.ts";
import { readCertificate } from "../server/certificate.ts";
import { codeOf } from "../store/durable.ts";
import { systemClock } from "../wire/clock.ts";
import { createLog, type Log } from "../wire/log.ts";
import { openStandardError } from "../wire/output.ts";
import { isOpenToAll } from "./address.ts";
import { bannerOf } from "./banner.ts";
import { invocation } from "./invocation.ts";
import { rightsWarnings } from "./rights.ts";
import type { Settings } from "./settings.ts";
import { shownWayOut, unusedProxy } from "./told.ts";

/** Runs the proxy until it is told to stop; resolves with the exit code. */
export async function serve(settings: Settings, version: string): Promise<number> {
  const output = openStandardError();
  const fail = async (lines: readonly string[], code: number): Promise<number> => {
    for (const line of lines) output.write(`codex-proxy: ${line}\n`);
    await output.end();
    return code;
  };
  const reading = await settings.load();
  if (!reading.ok) return fail(reading.lines, 2);
  const { sealer } = reading;
  let { config } = reading;
  const tls = await readCertificate(config, systemClock.now());
  if (!tls.ok) return fail(tls.faults, 2);
  const log = createLog(
    () => ({ level: config["log-level"], format: config["log-format"] }),
    systemClock,
    output.write,
  );
  log.info("codex-proxy starts", { version, config: settings.path ?? "none, built-in defaults" });
  for (const warning of [...reading.warnings, ...tls.warnings]) log.warn(warning);
  guard(log);

  let app: App;
  try {
    app = await startApp(config, systemClock, log, {
      sealer,
      certificate: tls.certificate,
      version,
    });
  } catch (cause) {
    return fail([describeStart(cause, config)], 1);
  }
  log.info("listening", { address: addressOf(config, app.port), keys: config["api-keys"].length });
  tellWayOut(config, log);
  const [key] = sealer.keyIds;
  if (key !== undefined) log.info("logins are encrypted where they are kept", { key });
  if (isOpenToAll(config)) {
    log.warn(
      "ANYONE who reaches this port can use your accounts: set api-keys, or listen on 127.0.0.1",
    );
  }

  const reload = createReloader(settings, app, log, {
    listen: config.listen,
    get: () => config,
    set: (next) => {
      config = next;
    },
  });
  const watcher = settings.path === undefined ? undefined : watchFile(settings.path, reload, log);
  process.on("SIGHUP", reload);
  const stopped = stopSignal();
  greet(config, settings, { app, log, version, write: output.write }).catch((cause: unknown) =>
    reportFault(log, "start", cause),
  );
  const signal = await stopped;
  log.info("stopping", { signal });
  watcher?.close();
  await app.stop();
  log.info("stopped");
  await output.end();
  return 0;
}

type Greeting = {
  readonly app: App;
  readonly log: Log;
  readonly version: string;
  readonly write: (line: string) => void;
};

/** What its owner should know once it runs: who else can read the secrets, and, in a terminal, what to do next. */
async function greet(config: Config, { path }: Settings, greeting: Greeting): Promise<void> {
  const { app, log, version, write } = greeting;
  for (const warning of await rightsWarnings(config, path)) log.warn(warning);
  if (!process.stderr.isTTY || config["log-format"] !== "text") return;
  const command = invocation(process.argv0, path);
  const accounts = app.accounts();
  const lines = bannerOf({ version, config, port: app.port, path, accounts, command });
  for (const line of lines) write(`${line}\n`);
}

/** Says which way requests leave, and which way they do not although somebody may think so. */
function tellWayOut(config: Config, log: Log): void {
  const proxy = shownWayOut(config);
  if (proxy !== undefined) {
    log.info("requests leave through a proxy", { proxy });
    return;
  }
  const named = unusedProxy(process.env);
  if (named === undefined) return;
  log.warn("a proxy of the environment is not used: set proxy-url if requests shall leave by it", {
    variable: named,
  });
}

/** A rejection nobody waited for must be seen, and must not end everybody's streams (cases.md M9). */
function guard(log: Log): void {
  const tell = (cause: unknown): void => reportFault(log, "unhandled", cause);
  process.on("unhandledRejection", tell);
  process.on("uncaughtException", tell);
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => resolve(signal));
    }
  });
}

type Cell = {
  /** Where the proxy listens, whatever the file says by now. */
  readonly listen: string;
  readonly get: () => Config;
  readonly set: (next: Config) => void;
};

/** Reads the configuration again; a broken one changes nothing. Calls that come while one runs lead to one more run. */
function createReloader(settings: Settings, app: App, log: Log, cell: Cell): () => void {
  let isRunning = false;
  let isWanted = false;
  const once = async (): Promise<void> => {
    const reading = await settings.load();
    if (!reading.ok) {
      for (const line of reading.lines)
        log.error("the configuration stays as it was", { fault: line });
      return;
    }
    if (cell.get()["api-keys"].length > 0 && isOpenToAll(reading.config, cell.listen)) {
      // An editor or a full disk may have emptied the file: that must not open the proxy to everybody.
      log.error("the configuration stays as it was", {
        fault: "api-keys are gone from it; restart the proxy if it shall run without keys",
      });
      return;
    }
    const { live, restart } = changes(cell.get(), reading.config);
    if (live.length + restart.length === 0) return;
    for (const warning of reading.warnings) log.warn(warning);
    cell.set(reading.config);
    app.configure(reading.config);
    if (live.length > 0) log.info("configuration changed", { keys: live.join(",") });
    if (live.includes("proxy-url")) tellWayOut(reading.config, log);
    if (restart.length > 0) {
      log.warn("configuration changed, but these keys wait for a restart", {
        keys: restart.join(","),
      });
    }
  };
  const run = async (): Promise<void> => {
    isRunning = true;
    try {
      do {
        isWanted = false;
        await once();
      } while (isWanted);
    } finally {
      isRunning = false;
    }
  };
  return () => {
    isWanted = true;
    if (isRunning) return;
    run().catch((cause: unknown) => {
      log.error("the configuration could not be read again", { reason: codeOf(cause) });
    });
  };
}

const SETTLE_MS = 100;

/** Watches the folder, since editors replace the file; several events of one save lead to one reading. */
function watchFile(path: string, onChange: () => void, log: Log): FSWatcher | undefined {
  const name = basename(path);
  let cancel = (): void => {};
  try {
    return watch(dirname(resolve(path)), { persistent: false }, (_type, changed) => {
      if (changed !== null && changed !== name) return;
      cancel();
      cancel = systemClock.after(SETTLE_MS, onChange);
    });
  } catch (cause) {
    log.warn("the configuration file cannot be watched; send SIGHUP after a change", {
      reason: codeOf(cause),
    });
    return undefined;
  }
}

const LISTEN_FAULTS: { readonly [code: string]: string } = {
  EADDRINUSE: "is in use by another program: stop it, or set 'listen' to another port.",
  EACCES: "is not open to this user: set 'listen' to a port above 1023.",
  EADDRNOTAVAIL: "is no address of this machine: set 'listen' to one, or to :PORT for all of them.",
};

function describeStart(cause: unknown, config: Config): string {
  const code = codeOf(cause);
  const why = LISTEN_FAULTS[code];
  if (why !== undefined) return `${config.listen} ${why}`;
  const isListening = cause instanceof Error && Reflect.get(cause, "syscall") === "listen";
  if (isListening)
    return `cannot listen on ${config.listen}: set 'listen' to an address of this machine.`;
  return `could not start: ${cause instanceof Error ? cause.message : String(cause)}`;
}

function addressOf(config: Config, port: number): string {
  const scheme = config["tls-cert"] === "" ? "http" : "https";
  const host = parseListen(config.listen)?.hostname;
  if (host === undefined) return `${scheme}://localhost:${port} (all addresses)`;
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
