// Many slow streams side by side, each contender in a process of its own that has done little before.

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
import { type Field, inRounds } from "../field.ts";
import { type Figure, type Goal, quantile, ratios, summarize } from "../figure.ts";
import type { Result } from "../result.ts";

type Crowd = {
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
  const { longRounds, isQuick } = field.size;
  const thousand = await runCrowd(field, {
    streams: 1000,
    paceMs: 100,
    openPerSecond: 400,
    names: isQuick ? FEW : ALL,
    rounds: longRounds,
  });
  const section = "1,000 slow streams, 10 events a second each";
  const cost = (name: string): number[] => thousand.values(name, eventUs(1000, 100));
  return [
    thousand.delivered(section),
    summarize(
      { section, name: `${CODEX} / ${READ}: CPU per event`, unit: "x", goal: { atMost: 1.4 } },
      ratios(cost(CODEX), cost(READ)),
    ),
    summarize(
      { section, name: `${CHAT} / floor: CPU per event`, unit: "x" },
      ratios(cost(CHAT), cost(FLOOR_CHAT)),
    ),
    ...thousand.figures(section, "CPU per event", "us", eventUs(1000, 100)),
    ...thousand.figures(section, "memory per stream", "KB", perStreamKilobytes(1000), {
      [CODEX]: { atMost: 60 },
    }),
    ...thousand.figures(section, "last event late, p99", "ms", lateMs),
    ...(await measureFiveThousand(field)),
  ];
}

async function measureFiveThousand(field: Field): Promise<Figure[]> {
  const crowd = await runCrowd(field, {
    streams: 5000,
    paceMs: 250,
    openPerSecond: 500,
    names: [READ, CODEX, CHAT],
    rounds: 1,
  });
  const section = "5,000 slow streams, 4 events a second each";
  const megabytes = ({ standings }: Result): number => standings.at(-1)?.megabytes ?? Number.NaN;
  return [
    crowd.delivered(section),
    ...crowd.figures(section, "memory", "MB", megabytes, {
      [CODEX]: { atMost: 600 },
      [CHAT]: { atMost: 600 },
    }),
    ...crowd.figures(section, "CPU per event", "us", eventUs(5000, 250)),
    ...crowd.figures(section, "last event late, p99", "ms", lateMs),
  ];
}

type Outcome = {
  readonly values: (name: string, of: (result: Result) => number) => number[];
  /** That nothing was lost: the load compares every stream with the first, and the run fails where one differs. */
  readonly delivered: (section: string) => Figure;
  readonly figures: (
    section: string,
    what: string,
    unit: string,
    of: (result: Result) => number,
    goals?: Readonly<Record<string, Goal>>,
  ) => Figure[];
};

async function runCrowd(field: Field, crowd: Crowd): Promise<Outcome> {
  const { streams, paceMs, openPerSecond } = crowd;
  const windowMs = field.size.slowSeconds * 1000;
  const lengthMs = (streams / openPerSecond) * 1000 + windowMs + SLACK_MS;
  const events = Math.ceil(lengthMs / paceMs) + 1;
  const isPresent = (name: string): boolean => name !== NGINX || field.leftOut.length === 0;
  const items = crowd.names.filter(isPresent).map((name) => ({ name }));
  const plan = { streams, openPerSecond, windowMs, lengthMs: (events - 1) * paceMs };
  const results = await inRounds(items, crowd.rounds, {
    measure: async ({ name }) => {
      const contender = await field.fresh(name);
      if (contender === undefined) throw new Error(`${name} does not start`);
      const result = await runStreams(field, contender, { ...plan, events, paceMs });
      await field.crew.end(contender);
      field.say(`${streams} slow streams: ${name}`);
      return result;
    },
    onRound: () => {},
  });
  const values: Outcome["values"] = (name, of) => (results.get(name) ?? []).map(of);
  return {
    values,
    delivered: (section) => {
      const heading = { section, name: "events delivered", unit: "%", goal: { atLeast: 100 } };
      const shares = [...results.values()].flat().map(({ timesMs }) => timesMs.length / streams);
      return summarize(
        heading,
        shares.map((share) => share * 100),
      );
    },
    figures: (section, what, unit, of, goals = {}) =>
      items.map(({ name }) => {
        const goal = goals[name];
        const heading = { section, name: `${name}: ${what}`, unit };
        return summarize(goal === undefined ? heading : { ...heading, goal }, values(name, of));
      }),
  };
}

async function runStreams(
  field: Field,
  contender: Contender,
  {
    events,
    paceMs,
    ...plan
  }: {
    readonly events: number;
    readonly paceMs: number;
    readonly streams: number;
    readonly openPerSecond: number;
    readonly windowMs: number;
    readonly lengthMs: number;
  },
): Promise<Result> {
  await field.setStyle({ events: 20, paceMs: 0 });
  await field.press(contender, { connections: 32, perSecond: 0, requests: WARMUP });
  // The same answer as the streams will have, but at once.
  await field.setStyle({ events, paceMs: 0 });
  await field.load({ kind: "look", contender });
  await field.setStyle({ events, paceMs });
  await Bun.sleep(REST_MS);
  const [result] = await field.load({ kind: "streams", contender, ...plan });
  if (result === undefined) throw new Error(`${contender.name}: the load told nothing`);
  return result;
}

/** Microseconds of CPU time for each event of the measured time. */
function eventUs(streams: number, paceMs: number): (result: Result) => number {
  return ({ cpuMs = Number.NaN, seconds }) =>
    (cpuMs * 1000) / ((streams * seconds * 1000) / paceMs);
}

function perStreamKilobytes(streams: number): (result: Result) => number {
  return ({ standings: [before, during] }) =>
    (((during?.megabytes ?? Number.NaN) - (before?.megabytes ?? Number.NaN)) * 1024) / streams;
}

function lateMs({ timesMs }: Result): number {
  return quantile(timesMs, 0.99);
}
