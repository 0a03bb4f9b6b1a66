// By how much an answer comes later than without anything between.

import { CODEX, DIRECT, PASSING, READ } from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, quantile, ratios, summarize } from "../figure.ts";
import type { Result } from "../press.ts";

const SECTION = "Added latency, one request at a time, 8 KB in, 20 events out";

/** Which of two times. */
export type Moment = "wholeMs" | "firstByteMs";

/** By how much a contender's quantile is above the backend's own, round by round. */
export function addedMs(
  rounds: readonly (readonly Result[])[],
  name: string,
  share: number,
  moment: Moment = "wholeMs",
): number[] {
  return rounds.map((results) => {
    const at = (wanted: string): number =>
      quantile(results.find((result) => result.name === wanted)?.[moment] ?? [], share);
    return at(name) - at(DIRECT);
  });
}

/** The latency of those who pass answers on. */
export async function measureLatency(field: Field): Promise<Figure[]> {
  await field.setStyle({ events: 20, paceMs: 0 });
  const contenders = field.pick([DIRECT, ...PASSING]);
  await field.warm(contenders);
  const rounds = await field.takeTurns(contenders, "latency", field.size.sequential);
  const direct = rounds.map((results) =>
    quantile(results.find(({ name }) => name === DIRECT)?.wholeMs ?? [], 0.5),
  );
  const p50 = (name: string): number[] => addedMs(rounds, name, 0.5);
  return [
    summarize(
      { section: SECTION, name: `${CODEX} / ${READ}: p50`, unit: "x", goal: { atMost: 2 } },
      ratios(p50(CODEX), p50(READ)),
    ),
    ...contenders
      .filter(({ name }) => name !== DIRECT)
      .flatMap(({ name }) => [
        summarize(
          {
            section: SECTION,
            name: `${name}: p50`,
            unit: "ms",
            ...(name === CODEX ? { goal: { atMost: 0.25 } } : {}),
          },
          p50(name),
        ),
        summarize(
          {
            section: SECTION,
            name: `${name}: p99`,
            unit: "ms",
            ...(name === CODEX ? { goal: { atMost: 1 } } : {}),
          },
          addedMs(rounds, name, 0.99),
        ),
      ]),
    summarize({ section: SECTION, name: `(${DIRECT}, not added: p50)`, unit: "ms" }, direct),
  ];
}
