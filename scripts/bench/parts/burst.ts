// CPU time of one event more in an answer that comes at once: the slope between a short answer and a long one, so that
// what the request itself costs drops out.

import { CODEX, type Contender, OTHER, PASSING, READ } from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, ratios, summarize } from "../figure.ts";
import { cpuUs } from "./cpu.ts";

const FEW = 20;
const MANY = 2000;
const PER_SECOND = 40;

/** Where the slope was measured, for headings. */
export const BETWEEN = `between answers of ${FEW} and of ${MANY.toLocaleString("en")} events at once`;

/** Microseconds of CPU time for each event, round by round. */
export async function measureSlopes(
  field: Field,
  contenders: readonly Contender[],
  what: string,
): Promise<(name: string) => number[]> {
  const pressure = {
    connections: 4,
    perSecond: PER_SECOND,
    requests: PER_SECOND * field.size.seconds,
  };
  await field.setStyle({ events: FEW, paceMs: 0 });
  await field.warm(contenders);
  const few = await field.press(contenders, `${what}, short answers`, pressure);
  await field.setStyle({ events: MANY, paceMs: 0 });
  const many = await field.press(contenders, `${what}, long answers`, pressure);
  return (name) => {
    const short = cpuUs(few, name);
    return cpuUs(many, name).map(
      (cost, round) => (cost - (short[round] ?? Number.NaN)) / (MANY - FEW),
    );
  };
}

/** The slope of those who pass answers on. */
export async function measureBurst(field: Field): Promise<Figure[]> {
  const contenders = field.pick(PASSING);
  const slopes = await measureSlopes(field, contenders, "bursts");
  const section = `CPU per event, ${BETWEEN}`;
  return [
    ...[CODEX, OTHER].map((name) =>
      summarize(
        { section, name: `${name} / ${READ}`, unit: "x" },
        ratios(slopes(name), slopes(READ)),
      ),
    ),
    ...contenders.map(({ name }) =>
      summarize(
        { section, name, unit: "us", ...(name === CODEX ? { goal: { atMost: 0.6 } } : {}) },
        slopes(name),
      ),
    ),
  ];
}
