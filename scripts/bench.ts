// How fast the compiled program is, beside the least that a relay can be. Speed is measured here and never in tests.
// `bun run bench`; `--quick` takes a minute and a half, `--json FILE` keeps the numbers. docs/PERFORMANCE.md explains.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Selector } from "../src/pool/rank.ts";
import { makeTokens, uuidFrom } from "../test/support/backend/tokens.ts";
import { KEY, type Plan, type Result, type Target } from "./bench/load.ts";
import { pickNanoseconds } from "./bench/pick.ts";
import { residentKilobytes } from "./bench/process.ts";
import { type Content, type Dialect, PATHS } from "./bench/request.ts";
import { EVENT_COUNTS, type Inside } from "./bench/translate.ts";
import { EXECUTABLE } from "./build.ts";

const USAGE = `Measures codex-proxy against a bare relay, on this machine only.

  bun run bench [--quick] [--json FILE]

  --quick       about a minute and a half, and less exact
  --json FILE   writes all figures to FILE`;

const HERE = import.meta.dirname;
const PROGRAM = join(HERE, "..", "dist", EXECUTABLE);
const FETCH_CAP = { BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" };
const START_LIMIT_MS = 20_000;

/** How much is measured. */
type Size = {
  readonly rounds: number;
  readonly sequential: number;
  /** Requests to each process before the rounds: the runtime compiles what it sees often. */
  readonly warmup: number;
  /** Length of each part under load. */
  readonly seconds: number;
  readonly starts: number;
  readonly picks: number;
};

const FULL: Size = {
  rounds: 5,
  sequential: 1000,
  warmup: 20_000,
  seconds: 4,
  starts: 7,
  picks: 200_000,
};
const QUICK: Size = {
  rounds: 2,
  sequential: 300,
  warmup: 4000,
  seconds: 1,
  starts: 3,
  picks: 50_000,
};

/** Values of several rounds as one figure. */
export type Figure = {
  readonly section: string;
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** The most that it may be. */
  readonly target?: number;
};

/** The value below which `share` of `values` lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = Math.min(Math.floor(sorted.length * share), sorted.length - 1);
  return sorted[at] ?? Number.NaN;
}

/** Median, least and most of one value per round. */
export function summarize(
  what: Pick<Figure, "section" | "name" | "unit" | "target">,
  values: readonly number[],
): Figure {
  const known = values.filter((value) => Number.isFinite(value));
  return {
    ...what,
    median: middle(known),
    least: Math.min(...known),
    most: Math.max(...known),
  };
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** The figures as lines of a table, section by section. */
export function table(figures: readonly Figure[]): string[] {
  const lines: string[] = [];
  let section = "";
  for (const figure of figures) {
    if (figure.section !== section) {
      section = figure.section;
      if (lines.length > 0) lines.push("");
      lines.push(section);
    }
    lines.push(row(figure));
  }
  return lines;
}

function row({ name, unit, median, least, most, target }: Figure): string {
  const value = `${shown(median)} ${unit}`.trim();
  const range = `${shown(least)}..${shown(most)}`;
  const wanted = target === undefined ? "" : `<= ${target}: ${median <= target ? "met" : "MISSED"}`;
  return `  ${name.padEnd(42)}${value.padStart(12)}  ${range.padEnd(16)} ${wanted}`.trimEnd();
}

function shown(value: number): string {
  if (!Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** A process that prints its port as its first line. */
type Part = { readonly port: number; readonly pid: number };

type Crew = {
  readonly startPart: (...words: string[]) => Promise<Part>;
  readonly startProxy: (folder: string, accounts: number, base: string) => Promise<Part>;
  readonly load: (plan: Plan) => Promise<readonly Result[]>;
  readonly translate: () => Promise<Inside>;
  readonly stop: () => Promise<void>;
};

const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^CODEX_PROXY_|_proxy$/i.test(name)),
);

/** Starts the processes of a run, and ends every one of them. */
function createCrew(): Crew {
  const running = new Set<Bun.Subprocess>();
  const follow = <T extends Bun.Subprocess>(child: T): T => {
    running.add(child);
    child.exited.finally(() => running.delete(child)).catch(() => {});
    return child;
  };
  const script = (name: string): string => join(HERE, "bench", name);

  const startPart = async (name = "", ...words: string[]): Promise<Part> => {
    const child = follow(
      Bun.spawn([process.execPath, script(name), ...words], {
        env: { ...ENVIRONMENT, ...FETCH_CAP },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
      }),
    );
    const { value } = await child.stdout.getReader().read();
    const port = Number(new TextDecoder().decode(value));
    if (!(port > 0)) throw new Error(`${name} did not start`);
    return { port, pid: child.pid };
  };

  const startProxy = async (folder: string, accounts: number, base: string): Promise<Part> => {
    const port = freePort();
    const config = await writeSetup(folder, accounts, { port, base });
    const child = follow(
      Bun.spawn([PROGRAM, "-config", config], {
        env: ENVIRONMENT,
        cwd: folder,
        stdin: "ignore",
        stdout: "ignore",
        stderr: Bun.file(join(folder, "log")),
      }),
    );
    await untilLive(port, () => child.exitCode !== null);
    return { port, pid: child.pid };
  };

  /** What a script prints, which is JSON. */
  const ask = async (name: string, ...words: string[]): Promise<string> => {
    const child = follow(
      Bun.spawn([process.execPath, script(name), ...words], {
        env: ENVIRONMENT,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
      }),
    );
    return new Response(child.stdout).text();
  };

  const load = async (plan: Plan): Promise<readonly Result[]> => {
    const results: readonly Result[] = JSON.parse(await ask("load.ts", JSON.stringify(plan)));
    for (const { name, errors } of results) {
      if (errors > 0) throw new Error(`${name}: ${errors} requests were not answered whole`);
    }
    return results;
  };

  const stop = async (): Promise<void> => {
    const children = [...running];
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
  };
  const translate = async (): Promise<Inside> => JSON.parse(await ask("translate.ts"));
  return { startPart, startProxy, load, translate, stop };
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** Accounts and a configuration that is the default but for its addresses. Returns the configuration's path. */
async function writeSetup(
  folder: string,
  accounts: number,
  { port, base }: { readonly port: number; readonly base: string },
): Promise<string> {
  const authDir = join(folder, `auths-${accounts}`);
  if (!existsSync(authDir)) {
    await mkdir(authDir, { recursive: true });
    for (let number = 0; number < accounts; number++) {
      await Bun.write(join(authDir, `account-${number}.json`), accountFile(number));
    }
  }
  const config = join(folder, `config-${accounts}.yaml`);
  const keys = {
    listen: `127.0.0.1:${port}`,
    "auth-dir": authDir,
    "base-url": base,
    "oauth-issuer": "http://127.0.0.1:9",
    "api-keys": [KEY],
  };
  await Bun.write(config, JSON.stringify(keys));
  return config;
}

function accountFile(number: number): string {
  const person = {
    email: `bench-${number}@example.com`,
    workspaceId: uuidFrom(`bench workspace ${number}`),
    plan: "plus",
    userId: `user-${number}`,
  };
  const tokens = makeTokens(person, Date.now(), 864_000);
  return JSON.stringify({
    type: "codex",
    access_token: tokens.accessToken,
    refresh_token: tokens.refreshToken,
    id_token: tokens.idToken,
    account_id: person.workspaceId,
    email: person.email,
    expired: new Date(tokens.expiresAtMs).toISOString(),
  });
}

/** Asks for `/health/live` again and again until it is there. */
async function untilLive(port: number, isDead: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + START_LIMIT_MS;
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/health/live`, {
      proxy: false,
      keepalive: false,
    }).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.status === 200) return;
    if (isDead() || performance.now() > deadlineMs) throw new Error("the proxy does not start");
    await Bun.sleep(1);
  }
}

/** Everything that is compared, running. */
type Field = {
  readonly crew: Crew;
  readonly size: Size;
  readonly targets: readonly Target[];
  readonly style: (events: number, paceMs: number) => Promise<void>;
};

const TURN_PATH = "/backend-api/codex/responses";
const DIRECT = "backend itself";
const PIPE = "relay that pipes";
const READ = "relay that reads";
const CODEX = "codex-proxy, Codex client";
const OTHER = "codex-proxy, other client";
const NAMES = [PIPE, READ, CODEX, OTHER];

function say(line: string): void {
  console.log(`bench: ${line}`);
}

/** By how much a target's quantile is above the backend's own. */
function added(
  results: readonly Result[],
  name: string,
  of: "wholeMs" | "firstByteMs",
  share: number,
): number {
  const at = (wanted: string): number =>
    quantile(results.find((result) => result.name === wanted)?.[of] ?? [], share);
  return at(name) - at(DIRECT);
}

const ALTERNATELY = { connections: 1, perSecond: 0 };

async function measureLatency({ crew, size, targets, style }: Field): Promise<Figure[]> {
  await style(20, 0);
  const rounds: (readonly Result[])[] = [];
  for (let round = 1; round <= size.rounds; round++) {
    const requests = size.sequential;
    rounds.push(await crew.load({ targets, ...ALTERNATELY, warmup: 50, requests }));
    say(`latency, round ${round} of ${size.rounds}`);
  }
  const section = "Added latency, one request at a time, 8 KB in, 20 events out";
  const figure = (
    name: string,
    what: string,
    measured: readonly ["wholeMs" | "firstByteMs", number],
    target?: number,
  ): Figure =>
    summarize(
      {
        section,
        name: `${name}: ${what}`,
        unit: "ms",
        ...(target === undefined ? {} : { target }),
      },
      rounds.map((results) => added(results, name, ...measured)),
    );
  const direct = rounds.map((results) => quantile(results[0]?.wholeMs ?? [], 0.5));
  return [
    ...[CODEX, OTHER].flatMap((name) => [
      figure(name, "p50", ["wholeMs", 0.5], 0.25),
      figure(name, "p99", ["wholeMs", 0.99], 1),
      figure(name, "p50, first byte", ["firstByteMs", 0.5]),
    ]),
    ...[PIPE, READ].flatMap((name) => [
      figure(name, "p50", ["wholeMs", 0.5]),
      figure(name, "p99", ["wholeMs", 0.99]),
    ]),
    summarize({ section, name: `(${DIRECT}, not added: p50)`, unit: "ms" }, direct),
  ];
}

const COLD_REQUESTS = 2000;

/** What a program costs that has just been started, as most are that serve one person; one round, once. */
async function measureCold({ crew, targets, style }: Field): Promise<Figure[]> {
  await style(20, 0);
  const section = "Just started: the first 200 requests in turn, the next 2,000 at 1,000 a second";
  const first = await crew.load({ targets, ...ALTERNATELY, warmup: 0, requests: 200 });
  const figures = [CODEX, PIPE, READ].map((name) =>
    summarize({ section, name: `${name}: added, p50`, unit: "ms" }, [
      added(first, name, "wholeMs", 0.5),
    ]),
  );
  for (const target of targets) {
    if (target.name === DIRECT || target.name === OTHER) continue;
    const plan = { connections: 16, warmup: 0, requests: COLD_REQUESTS, perSecond: 1000 };
    const [result] = await crew.load({ targets: [target], ...plan });
    const cpu = ((result?.cpuMs ?? Number.NaN) * 1000) / COLD_REQUESTS;
    figures.push(
      summarize({ section, name: `${target.name}: CPU per request`, unit: "us" }, [cpu]),
    );
  }
  say("just started");
  return figures;
}

async function warmUp({ crew, size, targets }: Field): Promise<void> {
  for (const target of targets) {
    if (target.name === DIRECT) continue;
    const plan = { connections: 32, warmup: size.warmup, requests: 1, perSecond: 0 };
    await crew.load({ targets: [target], ...plan });
  }
  say(`warmed up with ${size.warmup} requests each`);
}

/** One part under load, target by target in changing order; the results by target's name, one per round. */
async function press(
  { crew, size, targets }: Field,
  what: string,
  load: { readonly connections: number; readonly perSecond: number; readonly requests: number },
): Promise<Map<string, Result[]>> {
  const results = new Map<string, Result[]>();
  for (let round = 0; round < size.rounds; round++) {
    for (let turn = 0; turn < targets.length; turn++) {
      const target = targets[(round + turn) % targets.length];
      if (target === undefined || target.name === DIRECT) continue;
      const [result] = await crew.load({ targets: [target], warmup: 200, ...load });
      if (result !== undefined)
        results.set(target.name, [...(results.get(target.name) ?? []), result]);
    }
    say(`${what}, round ${round + 1} of ${size.rounds}`);
  }
  return results;
}

/** CPU time per request: ratios round by round, since what disturbs a round disturbs all of it. */
function cpuFigures(section: string, results: ReadonlyMap<string, readonly Result[]>): Figure[] {
  const perRequest = (name: string): number[] =>
    (results.get(name) ?? []).map(
      ({ cpuMs = Number.NaN, wholeMs }) => (cpuMs * 1000) / wholeMs.length,
    );
  const ratios = (name: string, to: string): number[] => {
    const others = perRequest(to);
    return perRequest(name).map((value, round) => value / (others[round] ?? Number.NaN));
  };
  return [
    summarize({ section, name: `${CODEX} / ${PIPE}`, unit: "x", target: 1.5 }, ratios(CODEX, PIPE)),
    summarize({ section, name: `${OTHER} / ${PIPE}`, unit: "x", target: 1.5 }, ratios(OTHER, PIPE)),
    summarize({ section, name: `${CODEX} / ${READ}`, unit: "x" }, ratios(CODEX, READ)),
    summarize({ section, name: `${OTHER} / ${READ}`, unit: "x" }, ratios(OTHER, READ)),
    ...NAMES.map((name) => summarize({ section, name, unit: "us" }, perRequest(name))),
  ];
}

async function measureCpu(field: Field): Promise<Figure[]> {
  const figures: Figure[] = [];
  const perSecond = 1000;
  const requests = perSecond * field.size.seconds;
  await field.style(20, 0);
  const burst = await press(field, "CPU, bursts", { connections: 16, perSecond, requests });
  figures.push(
    ...cpuFigures("CPU per request, 1,000 a second on 16 connections, 20 events at once", burst),
  );
  await field.style(20, 2);
  const paced = await press(field, "CPU, paced", {
    connections: 32,
    perSecond: 400,
    requests: 400 * field.size.seconds,
  });
  figures.push(
    ...cpuFigures("CPU per request, 400 a second on 32 connections, 20 events 2 ms apart", paced),
  );
  return figures;
}

async function measureMost(field: Field): Promise<Figure[]> {
  const section = "Requests a second, 32 connections as fast as they can, 20 events at once";
  await field.style(20, 0);
  const results = await press(field, "saturation", {
    connections: 32,
    perSecond: 0,
    requests: 3000 * field.size.seconds,
  });
  const rates = (name: string): number[] =>
    (results.get(name) ?? []).map(({ seconds, wholeMs }) => wholeMs.length / seconds);
  const shares = (name: string): number[] => {
    const piped = rates(PIPE);
    return rates(name).map((rate, round) => rate / (piped[round] ?? Number.NaN));
  };
  return [
    summarize({ section, name: `${CODEX} / ${PIPE}`, unit: "x" }, shares(CODEX)),
    summarize({ section, name: `${OTHER} / ${PIPE}`, unit: "x" }, shares(OTHER)),
    ...NAMES.map((name) => summarize({ section, name, unit: "/s" }, rates(name))),
    ...[CODEX, OTHER].map((name) =>
      summarize(
        { section, name: `${name}: p99 meanwhile`, unit: "ms" },
        (results.get(name) ?? []).map(({ wholeMs }) => quantile(wholeMs, 0.99)),
      ),
    ),
  ];
}

/** Clients whose requests and answers are translated, and one whose are not. */
const DIALECTS: readonly (readonly [name: string, dialect: Dialect])[] = [
  [CODEX, "codex"],
  ["codex-proxy, Chat Completions", "chat"],
  ["codex-proxy, Claude Messages", "messages"],
];
const MANY_EVENTS = 200;
const LARGE: Content = { bytes: 1_000_000, hasTools: true };

async function measureTranslation(field: Field, direct: Target, proxy: Part): Promise<Figure[]> {
  const clients = DIALECTS.map(([name, dialect]) => ({
    name,
    ...proxy,
    dialect,
    path: PATHS[dialect],
  }));
  return [
    ...(await measureAdded(field, [direct, ...clients])),
    ...(await measureEvents(field, clients)),
    ...(await measureLarge(field, clients)),
  ];
}

async function measureAdded(
  { crew, size, style }: Field,
  targets: readonly Target[],
): Promise<Figure[]> {
  await style(20, 0);
  for (const target of targets) {
    const plan = { connections: 32, warmup: size.warmup / 4, requests: 1, perSecond: 0 };
    await crew.load({ targets: [target], ...plan });
  }
  const rounds: (readonly Result[])[] = [];
  for (let round = 1; round <= size.rounds; round++) {
    const plan = { ...ALTERNATELY, warmup: 50, requests: size.sequential };
    rounds.push(await crew.load({ targets, ...plan }));
    say(`translated latency, round ${round} of ${size.rounds}`);
  }
  const section = "Translated: added latency, one request at a time, 8 KB in, 20 events out";
  return DIALECTS.map(([name, dialect]) =>
    summarize(
      { section, name: `${name}: p50`, unit: "ms", ...(dialect === "codex" ? {} : ADDED) },
      rounds.map((results) => added(results, name, "wholeMs", 0.5)),
    ),
  );
}

const ADDED = { target: 0.4 };
const PER_EVENT = { target: 20 };
const PER_LARGE = { target: 12 };

/** CPU time that a long answer costs for each event of the backend's, above what it costs when nothing is translated. */
async function measureEvents(field: Field, targets: readonly Target[]): Promise<Figure[]> {
  await field.style(MANY_EVENTS, 0);
  const load = { connections: 4, perSecond: 100, requests: 100 * field.size.seconds };
  const results = await press({ ...field, targets }, "translated events", load);
  const perEvent = (name: string): number[] =>
    (results.get(name) ?? []).map(
      ({ cpuMs = Number.NaN, wholeMs }) => (cpuMs * 1000) / wholeMs.length / MANY_EVENTS,
    );
  const passed = perEvent(CODEX);
  const section = `Translated: CPU per event, ${MANY_EVENTS} events at once, 100 answers a second`;
  return [
    summarize({ section, name: CODEX, unit: "us" }, passed),
    ...DIALECTS.slice(1).map(([name]) =>
      summarize(
        { section, name: `${name}, above that`, unit: "us", ...PER_EVENT },
        perEvent(name).map((cost, round) => cost - (passed[round] ?? Number.NaN)),
      ),
    ),
  ];
}

/** CPU time of a request of a megabyte, a tenth of it schemas in need of repair, from its first byte to the answer's last. */
async function measureLarge(field: Field, clients: readonly Target[]): Promise<Figure[]> {
  await field.style(20, 0);
  const others = clients.map((client) =>
    client.name === CODEX ? { ...client, name: OTHER, dialect: "responses" as const } : client,
  );
  const targets = others.map((target) => ({ ...target, content: LARGE }));
  const load = { connections: 2, perSecond: 20, requests: 20 * field.size.seconds };
  const results = await press({ ...field, targets }, "large requests", load);
  const section = "Translated: CPU per request of 1 MB with 100 KB of broken schemas";
  return targets.map(({ name }) =>
    summarize(
      { section, name, unit: "ms", ...PER_LARGE },
      (results.get(name) ?? []).map(({ cpuMs = Number.NaN, wholeMs }) => cpuMs / wholeMs.length),
    ),
  );
}

/** What has to be measured inside of a process, without the network. */
async function measureInside({ rounds }: Size, crew: Crew): Promise<Figure[]> {
  const inside: Inside[] = [];
  for (let round = 0; round < rounds; round++) inside.push(await crew.translate());
  say("aggregation and counting");
  const section = "Answers in one piece: time for each event";
  const counted = "count_tokens";
  const of = (pick: (figures: Inside) => number | undefined): number[] =>
    inside.map((figures) => pick(figures) ?? Number.NaN);
  const names = Object.keys(inside[0]?.perEventUs ?? {});
  return [
    ...names.flatMap((name) => [
      // Under ten thousand the runtime's own housekeeping is hardly to be seen.
      summarize(
        { section, name: `${name}: of 100,000 / of 10,000`, unit: "x", target: 2 },
        of(({ perEventUs: { [name]: costs = [] } }) => (costs[2] ?? 0) / (costs[1] ?? 0)),
      ),
      ...EVENT_COUNTS.map((events, at) =>
        summarize(
          { section, name: `${name}: of ${events.toLocaleString("en")}`, unit: "us" },
          of(({ perEventUs }) => perEventUs[name]?.[at]),
        ),
      ),
    ]),
    summarize(
      { section: counted, name: "loading the vocabulary, once", unit: "ms" },
      of(({ loadMs }) => loadMs),
    ),
    summarize(
      { section: counted, name: "1 MB of prose", unit: "ms" },
      of(({ countMs }) => countMs),
    ),
    summarize(
      { section: counted, name: "1 MB of random letters", unit: "ms" },
      of(({ worstMs }) => worstMs),
    ),
  ];
}

async function measureStart(folder: string, base: string, size: Size): Promise<Figure[]> {
  const section = "Start: from the command to the first answer of /health/live";
  const figures: Figure[] = [];
  for (const accounts of [1, 1000]) {
    const times: number[] = [];
    const memory: number[] = [];
    // The first one finds a cold file cache.
    for (let run = 0; run <= size.starts; run++) {
      const crew = createCrew();
      try {
        await writeSetup(folder, accounts, { port: 1, base });
        const startedMs = performance.now();
        const { pid } = await crew.startProxy(folder, accounts, base);
        if (run > 0) times.push(performance.now() - startedMs);
        memory.push((residentKilobytes(pid) ?? Number.NaN) / 1024);
      } finally {
        await crew.stop();
      }
    }
    say(`start with ${accounts} account${accounts === 1 ? "" : "s"}`);
    const name = `${accounts.toLocaleString("en")} account file${accounts === 1 ? "" : "s"}`;
    const target = accounts === 1000 ? { target: 150 } : {};
    figures.push(summarize({ section, name, unit: "ms", ...target }, times));
    figures.push(summarize({ section, name: `${name}: memory at that time`, unit: "MB" }, memory));
  }
  return figures;
}

function measurePick({ picks, rounds }: Size): Figure[] {
  const section = "Choice of an account, and its release";
  const counts = [10, 1000, 10_000];
  const measure = (selector: Selector): ReadonlyMap<number, readonly number[]> => {
    // Once in vain, for the runtime to compile it.
    pickNanoseconds(1000, selector, picks);
    return new Map(
      counts.map((count) => [
        count,
        Array.from({ length: rounds }, () => pickNanoseconds(count, selector, picks) / 1000),
      ]),
    );
  };
  const costs = measure("round-robin");
  const greedy = measure("quota-first");
  say("choice of an account");
  const few = costs.get(10) ?? [];
  const growth = (costs.get(10_000) ?? []).map((cost, round) => cost / (few[round] ?? Number.NaN));
  // A million choices in a second for ten accounts, and 200,000 for ten thousand.
  const targets = new Map([
    [10, { target: 1 }],
    [10_000, { target: 5 }],
  ]);
  return [
    summarize({ section, name: "10,000 accounts / 10 accounts", unit: "x", target: 2 }, growth),
    ...counts.map((count) =>
      summarize(
        {
          section,
          name: `${count.toLocaleString("en")} accounts`,
          unit: "us",
          ...targets.get(count),
        },
        costs.get(count) ?? [],
      ),
    ),
    ...counts.map((count) =>
      summarize(
        {
          section,
          name: `${count.toLocaleString("en")} accounts, selector quota-first`,
          unit: "us",
          ...targets.get(count),
        },
        greedy.get(count) ?? [],
      ),
    ),
  ];
}

function memoryFigure(name: string, pid: number): Figure {
  const section = "Memory of codex-proxy with 10 accounts";
  const value = (residentKilobytes(pid) ?? Number.NaN) / 1024;
  return summarize({ section, name, unit: "MB" }, [value]);
}

async function run(size: Size): Promise<Figure[]> {
  const crew = createCrew();
  const folder = await mkdtemp(join(tmpdir(), "codex-proxy-bench-"));
  try {
    const upstream = await crew.startPart("upstream.ts");
    const origin = `http://127.0.0.1:${upstream.port}`;
    const base = `${origin}/backend-api/codex`;
    const pipe = await crew.startPart("relay.ts", "pipe", base);
    const read = await crew.startPart("relay.ts", "read", base);
    const proxy = await crew.startProxy(folder, 10, base);
    const idle = memoryFigure("idle", proxy.pid);
    const path = PATHS.responses;
    const direct: Target = {
      name: DIRECT,
      port: upstream.port,
      path: TURN_PATH,
      dialect: "codex",
      pid: upstream.pid,
    };
    const field: Field = {
      crew,
      size,
      targets: [
        direct,
        { name: PIPE, ...pipe, path, dialect: "codex" },
        { name: READ, ...read, path, dialect: "codex" },
        { name: CODEX, ...proxy, path, dialect: "codex" },
        { name: OTHER, ...proxy, path, dialect: "responses" },
      ],
      style: async (events, paceMs) => {
        const url = `${origin}/style?events=${events}&pace=${paceMs}`;
        await (await fetch(url, { proxy: false })).arrayBuffer();
      },
    };
    say("everything runs");
    const cold = await measureCold(field);
    await warmUp(field);
    const latency = await measureLatency(field);
    const cpu = await measureCpu(field);
    const most = await measureMost(field);
    const loaded = memoryFigure("after the load", proxy.pid);
    const translated = await measureTranslation(field, direct, proxy);
    const inside = await measureInside(size, crew);
    const start = await measureStart(folder, base, size);
    const load = [...cpu, ...latency, ...most, ...cold];
    const rest = [...start, ...measurePick(size), idle, loaded];
    return [...load, ...translated, ...inside, ...rest];
  } finally {
    await crew.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function programVersion(): Promise<string> {
  const asked = async (): Promise<string> => {
    const child = Bun.spawn([PROGRAM, "-version"], { stdout: "pipe", stderr: "inherit" });
    return (await new Response(child.stdout).text()).trim();
  };
  if (existsSync(PROGRAM)) return asked();
  say("the executable is missing: building it");
  const build = Bun.spawn([process.execPath, join(HERE, "build.ts")], { stdout: "inherit" });
  if ((await build.exited) !== 0) throw new Error("the executable could not be built");
  return asked();
}

async function main(): Promise<number> {
  let settings: { readonly quick: boolean; readonly json?: string | undefined };
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        json: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    settings = values;
  } catch {
    console.error(USAGE);
    return 2;
  }
  try {
    const startedMs = performance.now();
    const program = await programVersion();
    const size = settings.quick ? QUICK : FULL;
    const machine = {
      cores: availableParallelism(),
      platform: `${process.platform} ${process.arch}`,
      bun: Bun.version,
      // What others do on this machine while it is measured.
      loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
    };
    const facts = `${machine.platform}, ${machine.cores} cores, Bun ${machine.bun}, load before ${machine.loadBefore}`;
    say(`${program} on ${facts}`);
    if (machine.loadBefore > machine.cores / 4) {
      say("others are busy on this machine: expect worse figures than it has alone, p99 above all");
    }
    const figures = await run(size);
    const seconds = Math.round((performance.now() - startedMs) / 1000);
    console.log();
    console.log(`${program}; ${facts}; median and range of ${size.rounds} rounds; ${seconds} s`);
    console.log();
    for (const line of table(figures)) console.log(line);
    if (settings.json !== undefined) {
      const kept = { program, machine, rounds: size.rounds, seconds, figures };
      await Bun.write(settings.json, `${JSON.stringify(kept, null, 2)}\n`);
      say(`figures are in ${settings.json}`);
    }
    return 0;
  } catch (fault) {
    console.error(`bench: failed: ${fault instanceof Error ? fault.message : fault}`);
    return 1;
  }
}

if (import.meta.main) process.exit(await main());
