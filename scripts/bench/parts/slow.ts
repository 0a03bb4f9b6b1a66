// Many slow streams side by side, each contender in a process of its own that has done little before.

import { readFileSync } from "node:fs";
import {
  CHAT,
  CODEX,
  type Contender,
  FLOOR_CHAT,
  MESSAGES,
  NGINX,
  OTHER,
  PIPE,
  READ,
} from "../contender.ts";
import { type Field, inRounds, type Rounds } from "../field.ts";
import { type Figure, type Goal, quantile, ratios, summarize } from "../figure.ts";
import type { Result } from "../result.ts";

/** Streams at once, and who carries them. */
type Crowd = {
  readonly section: string;
  readonly streams: number;
  readonly paceMs: number;
  readonly openPerSecond: number;
  readonly names: readonly string[];
  readonly rounds: number;
};

const ALL = [NGINX, PIPE, READ, CODEX, OTHER, CHAT, MESSAGES, FLOOR_CHAT];
const FEW = [READ, CODEX, CHAT, FLOOR_CHAT];
const WARMUP = 2000;
const REST_MS = 1500;
/** Spare time before the first stream ends. */
const SLACK_MS = 2000;

/** A thousand streams, and five thousand. */
export async function measureSlow(field: Field): Promise<Figure[]> {
  return [...(await measureThousand(field)), ...(await measureFiveThousand(field))];
}

async function measureThousand(field: Field): Promise<Figure[]> {
  const { longRounds, isQuick } = field.size;
  const crowd = {
    section: "1,000 slow streams, 10 events a second each",
    streams: 1000,
    paceMs: 100,
    openPerSecond: 400,
    names: isQuick ? FEW : ALL,
    rounds: longRounds,
  };
  const rounds = await runCrowd(field, crowd);
  const costs = (name: string): number[] => (rounds.get(name) ?? []).map(eventUs(crowd));
  const { section } = crowd;
  return [
    delivered(crowd, rounds),
    summarize(
      { section, name: `${CODEX} / ${READ}: CPU per event`, unit: "x", goal: { atMost: 1.4 } },
      ratios(costs(CODEX), costs(READ)),
    ),
    summarize(
      { section, name: `${CHAT} / floor: CPU per event`, unit: "x" },
      ratios(costs(CHAT), costs(FLOOR_CHAT)),
    ),
    ...rows(section, rounds, { what: "CPU per event", unit: "us", of: eventUs(crowd) }),
    ...rows(section, rounds, {
      what: "memory per stream",
      unit: "KB",
      of: perStreamKilobytes(crowd),
      goals: { [CODEX]: { atMost: 60 } },
    }),
    ...rows(section, rounds, LATE),
  ];
}

/** The contender, the load and the backend each have this many files open, and the contender twice. */
const FILES = 11_000;

async function measureFiveThousand(field: Field): Promise<Figure[]> {
  const files = mostFiles();
  if (files < FILES) {
    field.leaveOut(`5,000 slow streams: only ${files} files may be open here`);
    return [];
  }
  const crowd = {
    section: "5,000 slow streams, 4 events a second each",
    streams: 5000,
    paceMs: 250,
    openPerSecond: 500,
    names: [READ, CODEX, CHAT],
    rounds: 1,
  };
  const rounds = await runCrowd(field, crowd);
  const { section } = crowd;
  return [
    delivered(crowd, rounds),
    ...rows(section, rounds, {
      what: "memory",
      unit: "MB",
      of: ({ standings }) => standings.at(-1)?.megabytes ?? Number.NaN,
      goals: { [CODEX]: { atMost: 600 }, [CHAT]: { atMost: 600 } },
    }),
    ...rows(section, rounds, { what: "CPU per event", unit: "us", of: eventUs(crowd) }),
    ...rows(section, rounds, LATE),
  ];
}

/** The hard limit, to which the runtime raises its own. */
function mostFiles(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return Number(/^Max open files +\S+ +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

async function runCrowd(field: Field, crowd: Crowd): Promise<Rounds> {
  const items = field.pick(crowd.names);
  return inRounds(items, crowd.rounds, {
    measure: async ({ name }) => {
      const contender = await field.fresh(name);
      if (contender === undefined) throw new Error(`${name} does not start`);
      const result = await runStreams(field, contender, crowd);
      await field.crew.end(contender);
      field.say(`${crowd.streams} slow streams: ${name}`);
      return result;
    },
    onRound: (round) => field.say(`${crowd.streams} slow streams, round ${round}`),
  });
}

async function runStreams(field: Field, contender: Contender, crowd: Crowd): Promise<Result> {
  const { streams, openPerSecond, paceMs } = crowd;
  const windowMs = field.size.slowSeconds * 1000;
  const neededMs = (streams / openPerSecond) * 1000 + windowMs + SLACK_MS;
  const events = Math.ceil(neededMs / paceMs) + 1;
  await field.setStyle({ events: 20, paceMs: 0 });
  await field.press(contender, { connections: 32, perSecond: 0, requests: WARMUP });
  // The same answer as the streams will have, but at once.
  await field.setStyle({ events, paceMs: 0 });
  await field.load({ kind: "look", contender });
  await field.setStyle({ events, paceMs });
  await Bun.sleep(REST_MS);
  const lengthMs = (events - 1) * paceMs;
  const plan = { streams, openPerSecond, windowMs, lengthMs };
  const [result] = await field.load({ kind: "streams", contender, ...plan });
  if (result === undefined) throw new Error(`${contender.name}: the load told nothing`);
  return result;
}

/** That nothing was lost: the load compares each stream with the whole answer, and the run fails where one differs. */
function delivered({ section, streams }: Crowd, rounds: Rounds): Figure {
  const results = [...rounds.values()].flat();
  return summarize(
    { section, name: "streams with every event delivered", unit: "%", goal: { atLeast: 100 } },
    results.map(({ timesMs }) => (100 * timesMs.length) / streams),
  );
}

/** One value of each contender. */
type Column = {
  readonly what: string;
  readonly unit: string;
  readonly of: (result: Result) => number;
  readonly goals?: Readonly<Record<string, Goal>>;
};

const LATE: Column = {
  what: "last event late, p99",
  unit: "ms",
  of: ({ timesMs }) => quantile(timesMs, 0.99),
};

function rows(section: string, rounds: Rounds, { what, unit, of, goals = {} }: Column): Figure[] {
  return [...rounds].map(([name, results]) => {
    const heading = { section, name: `${name}: ${what}`, unit };
    const goal = goals[name];
    return summarize(goal === undefined ? heading : { ...heading, goal }, results.map(of));
  });
}

/** Microseconds of CPU time for each event of the measured time. */
function eventUs({ streams, paceMs }: Crowd): (result: Result) => number {
  return ({ cpuMs = Number.NaN, seconds }) =>
    (cpuMs * 1000) / ((streams * seconds * 1000) / paceMs);
}

function perStreamKilobytes({ streams }: Crowd): (result: Result) => number {
  return ({ standings: [before, during] }) =>
    (((during?.megabytes ?? Number.NaN) - (before?.megabytes ?? Number.NaN)) * 1024) / streams;
}
