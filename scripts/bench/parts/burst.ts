// CPU time of one event more in an answer that comes at once: the slope between a short answer and a long one, so that
// what the request itself costs drops out.

import { CODEX, type Contender, OTHER, PASSING, READ } from "../contender.ts";
import { type Field, inRounds } from "../field.ts";
import { type Figure, ratios, summarize } from "../figure.ts";
import { cpuUs } from "./cpu.ts";

const FEW = 20;
const MANY = 2000;
const PER_SECOND = 100;
/** Of the requests before all others, how many get long answers. */
const LONG_SHARE = 40;

/** Where the slope was measured, for headings. */
export const BETWEEN = `between answers of ${FEW} and of ${MANY.toLocaleString("en")} events at once`;

/** Microseconds of CPU time for each event, round by round. */
export async function measureSlopes(
  field: Field,
  contenders: readonly Contender[],
  what: string,
): Promise<(name: string) => readonly number[]> {
  const { size } = field;
  const pressure = { connections: 4, perSecond: PER_SECOND, requests: PER_SECOND * size.seconds };
  await field.setStyle({ events: FEW, paceMs: 0 });
  await field.warm(contenders);
  await field.setStyle({ events: MANY, paceMs: 0 });
  const warmup = Math.ceil(size.warmup / LONG_SHARE);
  for (const contender of contenders) {
    await field.press(contender, { connections: 4, perSecond: 0, requests: warmup });
  }
  const slopes = await inRounds(contenders, size.rounds, {
    measure: async (contender) => {
      await field.setStyle({ events: FEW, paceMs: 0 });
      const short = cpuUs(await field.press(contender, pressure));
      await field.setStyle({ events: MANY, paceMs: 0 });
      const long = cpuUs(await field.press(contender, pressure));
      return (long - short) / (MANY - FEW);
    },
    onRound: (round) => field.say(`${what}, round ${round} of ${size.rounds}`),
  });
  return (name) => slopes.get(name) ?? [];
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
