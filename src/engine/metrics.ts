import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { platform } from "#platform";
import type { ConnectionCounts } from "../net/connections.ts";
import type { AccountView } from "../pool/pool.ts";
import { FAILURES } from "../turn/failure.ts";
import type { Cancel, Clock, Millis } from "../wire/clock.ts";
import { accountPage } from "./account-page.ts";
import { createLabel, OTHER } from "./labels.ts";
import { watchLag } from "./lag.ts";
import type { TurnRecord } from "./record.ts";
import { isError } from "./report.ts";
import type { RestReason } from "./rests.ts";
import type { WaitCounts } from "./waits.ts";

/** What is looked at when somebody asks, and not counted as it happens. */
export type Levels = {
  readonly connections: ConnectionCounts;
  /** How many idle connections are kept, at most. */
  readonly mostIdle: number;
  /** Turns that have had to wait for a connection. */
  readonly waits: WaitCounts;
  /** Requests that wait for an account or a connection. */
  readonly waiting: number;
  readonly sockets: number;
  /** Logins whose new tokens are in memory only. */
  readonly unsaved: number;
  /** Whether something that should be stored cannot be. */
  readonly isStoreDegraded: boolean;
};

/** What counting needs. */
export type MetricsPorts = {
  readonly clock: Clock;
  /** Time that never goes back. */
  readonly elapsedMs: () => Millis;
  readonly startedMs: Millis;
  /** What records call the ways in. */
  readonly protocols: readonly string[];
  readonly version: string;
  /** Whether the catalogue has a model: only those are named. */
  readonly isKnownModel: (model: string) => boolean;
  readonly views: () => readonly AccountView[];
  readonly levels: () => Levels;
  /** Lets what waits have the processor. */
  readonly giveWay: () => Promise<void>;
};

/** How an exchange of a refresh token ended; `refused` is for good. */
export type RefreshOutcome = "renewed" | "refused" | "failed";

/** Counts what happens, for Prometheus to read. What it costs a request are some counters at its end. */
export type Metrics = {
  readonly begin: (record: TurnRecord) => void;
  readonly end: (record: TurnRecord) => void;
  /** A call was turned away at the door; `code` is one of this program's own. */
  readonly turnedAway: (code: string) => void;
  readonly refreshed: (outcome: RefreshOutcome) => void;
  readonly rested: (reason: RestReason) => void;
  /** Spans that went to the collector, or that nobody will see. */
  readonly spans: (outcome: "exported" | "dropped", count: number) => void;
  /** Begins to measure the event loop. */
  readonly start: () => Cancel;
  /** All of it in the text format of Prometheus. Whoever asks meanwhile gets the same. */
  readonly page: () => Promise<string>;
};

/** The type of `page`. */
export const PAGE_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

const NAME = "codex_proxy_";

// Names that a client or the configuration chooses. With every combination that could still be more than anybody wants.
const MOST_CLIENTS = 100;
const MOST_MODELS = 100;
const MOST_SERIES = 2000;

const FIRST_OUTPUT_SECONDS = [0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300];
const DURATION_SECONDS = [0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
const LAG_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

// So many accounts are put into words before others may have the processor: some tenths of a millisecond.
const SLICE = 250;

/** Nothing has happened yet. */
export function createMetrics(ports: MetricsPorts): Metrics {
  const { clock, elapsedMs, giveWay } = ports;
  const registry = new Registry();
  const running = new Set<TurnRecord>();
  const counters = createCounters(registry, ports.protocols);
  addLevels(registry, running, ports);
  const clientOf = createLabel(MOST_CLIENTS);
  const modelLabel = createLabel(MOST_MODELS);
  const seriesOf = createLabel(MOST_SERIES);
  let rendering: Promise<string> | undefined;

  const modelOf = (model: string): string => {
    if (model === "") return "none";
    return ports.isKnownModel(model) ? modelLabel(model) : OTHER;
  };

  /** A request by what it was, within a bound for all combinations together. */
  const countRequest = ({ protocol, status, ...record }: TurnRecord): void => {
    const [model, client] = [modelOf(record.model), clientOf(record.client)];
    const kind = `${Math.floor(status / 100)}xx`;
    const isOver = seriesOf(`${protocol}\n${model}\n${kind}\n${client}`) === OTHER;
    counters.requests.inc({
      protocol,
      model: isOver ? OTHER : model,
      status: kind,
      client: isOver ? OTHER : client,
    });
  };

  const countTokens = ({ client, usage }: TurnRecord): void => {
    if (usage === undefined) return;
    const who = clientOf(client);
    counters.tokens.inc({ kind: "input", client: who }, usage.input);
    counters.tokens.inc({ kind: "cached_input", client: who }, usage.cached);
    counters.tokens.inc({ kind: "output", client: who }, usage.output);
    counters.tokens.inc({ kind: "reasoning", client: who }, usage.reasoning);
  };

  const end = (record: TurnRecord): void => {
    running.delete(record);
    if (record.isPrewarm) return;
    const { protocol, attempts, failure, firstOutputMs, startedMs, waitedMs } = record;
    countRequest(record);
    countTokens(record);
    if (isError(record)) counters.errors.inc({ protocol });
    if (failure !== undefined) counters.failures.inc({ kind: failure });
    for (const [index, { outcome }] of attempts.entries()) {
      counters.attempts.inc({ outcome });
      const before = attempts[index - 1];
      if (before !== undefined) counters.retries.inc({ reason: before.outcome });
    }
    if (waitedMs > 0) counters.waited.inc(waitedMs / 1000);
    if (firstOutputMs !== undefined) {
      counters.firstOutput.observe({ protocol }, Math.max(firstOutputMs - startedMs, 0) / 1000);
    }
    counters.duration.observe({ protocol }, Math.max(clock.now() - startedMs, 0) / 1000);
  };

  const render = async (): Promise<string> => {
    const pieces = [await registry.metrics()];
    await giveWay();
    for (const piece of accountPage(ports.views(), clock.now())) {
      if (pieces.push(piece) % SLICE === 0) await giveWay();
    }
    return pieces.join("");
  };

  return {
    begin: (record) => void running.add(record),
    end,
    turnedAway: (code) => counters.turnedAway.inc({ code }),
    refreshed: (outcome) => counters.refreshes.inc({ outcome }),
    rested: (reason) => counters.cooldowns.inc({ reason }),
    spans: (outcome, count) => counters.spans.inc({ outcome }, count),
    start: () =>
      watchLag({ clock, elapsedMs, observe: (lateMs) => counters.lag.observe(lateMs / 1000) }),
    page: () => {
      rendering ??= render().finally(() => {
        rendering = undefined;
      });
      return rendering;
    },
  };
}

/** What is counted as it happens. */
function createCounters(registry: Registry, protocols: readonly string[]) {
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name: `${NAME}${name}`, help, labelNames, registers });
  const histogram = <T extends string>(
    name: string,
    help: string,
    labelNames: readonly T[],
    buckets: number[],
  ) => new Histogram<T>({ name: `${NAME}${name}`, help, labelNames, buckets, registers });
  const counters = {
    requests: counter(
      "requests_total",
      "Turns that have ended, by protocol, model, class of the HTTP status and holder of the key.",
      ["protocol", "model", "status", "client"],
    ),
    errors: counter("request_errors_total", "Turns that failed by no fault of the client's.", [
      "protocol",
    ]),
    failures: counter(
      "request_failures_total",
      "Turns that failed, the client's own faults included, by kind of failure.",
      ["kind"],
    ),
    turnedAway: counter("refused_calls_total", "Calls that were turned away at the door, by why.", [
      "code",
    ]),
    attempts: counter("attempts_total", "Tries of turns on accounts, by how they ended.", [
      "outcome",
    ]),
    retries: counter("retries_total", "Tries after the first, by what had failed before.", [
      "reason",
    ]),
    waited: counter(
      "request_wait_seconds_total",
      "Time that turns have waited for an account or a connection.",
      [],
    ),
    firstOutput: histogram(
      "time_to_first_output_seconds",
      "Time from a turn's arrival to the first byte of its answer.",
      ["protocol"],
      FIRST_OUTPUT_SECONDS,
    ),
    duration: histogram(
      "request_duration_seconds",
      "Time from a turn's arrival to its end.",
      ["protocol"],
      DURATION_SECONDS,
    ),
    tokens: counter(
      "tokens_total",
      "Tokens as the backend counted them. input has cached_input within it, output has reasoning.",
      ["kind", "client"],
    ),
    cooldowns: counter("cooldowns_total", "Rests of accounts that have begun, by why.", ["reason"]),
    refreshes: counter(
      "token_refreshes_total",
      "Refresh tokens that were sent to the issuer, by what became of it.",
      ["outcome"],
    ),
    spans: counter("otlp_spans_total", "Spans that the collector took, and those dropped.", [
      "outcome",
    ]),
    lag: histogram(
      "event_loop_lag_seconds",
      "By how much a timer came late, measured twice a second.",
      [],
      LAG_SECONDS,
    ),
  };
  // What begins with its first event looks like no increase to a rule: these are there from the start.
  for (const protocol of protocols) counters.errors.inc({ protocol }, 0);
  for (const kind in FAILURES) counters.failures.inc({ kind }, 0);
  for (const outcome of ["renewed", "refused", "failed"]) counters.refreshes.inc({ outcome }, 0);
  for (const outcome of ["exported", "dropped"]) counters.spans.inc({ outcome }, 0);
  return counters;
}

/** What is looked at when somebody asks. */
function addLevels(
  registry: Registry,
  running: ReadonlySet<TurnRecord>,
  { clock, startedMs, version, levels }: MetricsPorts,
): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  /** A count that somebody else keeps. */
  const count = (name: string, help: string, read: () => number): void => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };
  new Gauge({
    name: `${NAME}build_info`,
    help: "Always 1; the labels say what is running.",
    labelNames: ["version", "runtime"],
    registers,
  }).set({ version, runtime: platform.name }, 1);
  new Gauge({
    name: `${NAME}requests_in_flight`,
    help: "Turns that are under way.",
    labelNames: ["protocol"],
    registers,
    collect() {
      this.reset();
      for (const { protocol } of running) this.inc({ protocol });
    },
  });
  gauge(`${NAME}streams_open`, "Streamed answers that have begun and not ended.", () =>
    [...running].reduce((sum, { isStream, status }) => sum + Number(isStream && status === 200), 0),
  );
  gauge(`${NAME}websockets_open`, "WebSockets of clients.", () => levels().sockets);
  gauge(
    `${NAME}requests_waiting`,
    "Turns that wait for an account or a connection.",
    () => levels().waiting,
  );
  gauge(
    `${NAME}upstream_connections_in_use`,
    "Connections to the backend that a request has for itself.",
    () => levels().connections.inUse,
  );
  gauge(
    `${NAME}upstream_connections_limit`,
    "max-conns-per-host; 0 is no limit.",
    () => levels().connections.limit,
  );
  gauge(
    `${NAME}upstream_idle_connections_limit`,
    "max-idle-conns-per-host. How many are idle the runtime does not tell.",
    () => levels().mostIdle,
  );
  gauge(
    `${NAME}upstream_http2_streams`,
    "Requests to the backend that share a connection.",
    () => levels().connections.streams,
  );
  count(
    `${NAME}upstream_connection_waits_total`,
    "Turns that have had to wait for a connection.",
    () => levels().waits.total,
  );
  count(
    `${NAME}upstream_connection_long_waits_total`,
    "Turns that have waited for a connection for more than a second.",
    () => levels().waits.long,
  );
  gauge(
    `${NAME}unsaved_logins`,
    "Logins whose new tokens are in memory only: a restart would lose them.",
    () => levels().unsaved,
  );
  gauge(`${NAME}store_degraded`, "1 while something that should be stored cannot be.", () =>
    Number(levels().isStoreDegraded),
  );
  gauge(
    `${NAME}uptime_seconds`,
    "Time since the start.",
    () => Math.max(clock.now() - startedMs, 0) / 1000,
  );
  gauge("process_start_time_seconds", "When it started, in Unix time.", () => startedMs / 1000);
  gauge("process_resident_memory_bytes", "Memory that is in use (RSS).", () =>
    process.memoryUsage.rss(),
  );
  count("process_cpu_seconds_total", "Processor time that was used.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000_000;
  });
}
