// By how much an answer comes later than without anything between.

import { CODEX, DIRECT, PASSING, READ } from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, quantile, ratios, summarize } from "../figure.ts";
import type { Result } from "../result.ts";

const SECTION = "Added latency, one request at a time, 8 KB in, 20 events out";

/** A quantile of one contender's times, round by round. */
export function timesMs(
  rounds: readonly (readonly Result[])[],
  name: string,
  share: number,
): number[] {
  return rounds.map((results) =>
    quantile(results.find((result) => result.name === name)?.timesMs ?? [], share),
  );
}

/** By how much a contender's quantile is above the backend's own, round by round. */
export function addedMs(
  rounds: readonly (readonly Result[])[],
  name: string,
  share: number,
): number[] {
  const direct = timesMs(rounds, DIRECT, share);
  return timesMs(rounds, name, share).map((time, round) => time - (direct[round] ?? Number.NaN));
}

/** The latency of those who pass answers on. */
export async function measureLatency(field: Field): Promise<Figure[]> {
  await field.setStyle({ events: 20, paceMs: 0 });
  const contenders = field.pick([DIRECT, ...PASSING]);
  await field.warm(contenders);
  const rounds = await field.takeTurns(contenders, "latency", field.size.sequential);
  const figure = (
    [name, what, unit]: readonly [name: string, what: string, unit: string],
    values: readonly number[],
    atMost?: number,
  ): Figure => {
    const heading = { section: SECTION, name: `${name}: ${what}`, unit };
    return summarize(atMost === undefined ? heading : { ...heading, goal: { atMost } }, values);
  };
  const names = contenders.map(({ name }) => name).filter((name) => name !== DIRECT);
  const p50 = (name: string): number[] => addedMs(rounds, name, 0.5);
  const p99 = (name: string): number[] => addedMs(rounds, name, 0.99);
  return [
    figure([`${CODEX} / ${READ}`, "p50", "x"], ratios(p50(CODEX), p50(READ)), 2),
    ...names.map((name) =>
      figure([name, "p50", "ms"], p50(name), name === CODEX ? 0.25 : undefined),
    ),
    ...names.map((name) => figure([name, "p99", "ms"], p99(name), name === CODEX ? 1 : undefined)),
    figure([`(${DIRECT}, not added`, "p50)", "ms"], timesMs(rounds, DIRECT, 0.5)),
  ];
}
