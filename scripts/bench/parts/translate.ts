// What translating an answer costs, beside the least code that does it.

import { CODEX, DIRECT, READ, TRANSLATING } from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, ratios, summarize } from "../figure.ts";
import { BETWEEN, measureSlopes } from "./burst.ts";
import { addedMs } from "./latency.ts";

const LATENCY = "Translated: added latency, one request at a time, 8 KB in, 20 events out";
const EVENTS = `Translated: CPU per event, ${BETWEEN}`;

/** Latency and CPU time of Chat Completions and Claude Messages. */
export async function measureTranslate(field: Field): Promise<Figure[]> {
  const names = [READ, CODEX, ...TRANSLATING.flat()];
  const contenders = field.pick([DIRECT, ...names]);
  await field.setStyle({ events: 20, paceMs: 0 });
  await field.warm(contenders);
  const rounds = await field.takeTurns(contenders, "translated latency", field.size.sequential);
  const added = (name: string): number[] => addedMs(rounds, name, 0.5);
  const slopes = await measureSlopes(field, field.pick(names), "translated");
  return [...compared(LATENCY, "ms", 2, added), ...compared(EVENTS, "us", 2.2, slopes)];
}

function compared(
  section: string,
  unit: string,
  most: number,
  values: (name: string) => readonly number[],
): Figure[] {
  return [
    ...TRANSLATING.map(([name, floor]) =>
      summarize(
        { section, name: `${name} / floor`, unit: "x", goal: { atMost: most } },
        ratios(values(name), values(floor)),
      ),
    ),
    ...[READ, CODEX, ...TRANSLATING.flat()].map((name) =>
      summarize({ section, name, unit }, values(name)),
    ),
  ];
}
