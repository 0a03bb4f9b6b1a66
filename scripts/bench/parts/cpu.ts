// CPU time of a request of 20 events.

import { CODEX, OTHER, PASSING, READ } from "../contender.ts";
import type { Field, Rounds } from "../field.ts";
import { type Figure, ratios, summarize } from "../figure.ts";
import type { Result } from "../result.ts";

/** Microseconds of CPU time for each request. */
export function cpuUs({ cpuMs = Number.NaN, timesMs }: Result): number {
  return (cpuMs * 1000) / timesMs.length;
}

/** The same for a contender, round by round. */
export function roundsUs(rounds: Rounds, name: string): number[] {
  return (rounds.get(name) ?? []).map(cpuUs);
}

function figures(section: string, rounds: Rounds): Figure[] {
  const against = (name: string): number[] =>
    ratios(roundsUs(rounds, name), roundsUs(rounds, READ));
  return [
    summarize(
      { section, name: `${CODEX} / ${READ}`, unit: "x", goal: { atMost: 1.5 } },
      against(CODEX),
    ),
    summarize({ section, name: `${OTHER} / ${READ}`, unit: "x" }, against(OTHER)),
    ...[...rounds.keys()].map((name) =>
      summarize({ section, name, unit: "us" }, roundsUs(rounds, name)),
    ),
  ];
}

/** CPU time where events come at once, and where they come one by one. */
export async function measureCpu(field: Field): Promise<Figure[]> {
  const { seconds } = field.size;
  const contenders = field.pick(PASSING);
  await field.setStyle({ events: 20, paceMs: 0 });
  await field.warm(contenders);
  const atOnce = await field.pressAll(contenders, "CPU, events at once", {
    connections: 16,
    perSecond: 1000,
    requests: 1000 * seconds,
  });
  await field.setStyle({ events: 20, paceMs: 2 });
  const paced = await field.pressAll(contenders, "CPU, events one by one", {
    connections: 32,
    perSecond: 400,
    requests: 400 * seconds,
  });
  return [
    ...figures("CPU per request, 1,000 a second on 16 connections, 20 events at once", atOnce),
    ...figures("CPU per request, 400 a second on 32 connections, 20 events 2 ms apart", paced),
  ];
}
