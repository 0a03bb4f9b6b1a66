// Which parts there are, and the run of those that are asked for.

import { openCrew } from "./crew.ts";
import { openField, type Size } from "./field.ts";
import type { Figure } from "./figure.ts";
import { measureAccounts } from "./parts/accounts.ts";
import { measureBurst } from "./parts/burst.ts";
import { measureCold } from "./parts/cold.ts";
import { measureCpu } from "./parts/cpu.ts";
import { measureDatabase } from "./parts/database.ts";
import { measureLarge } from "./parts/large.ts";
import { measureLatency } from "./parts/latency.ts";
import { measureMost } from "./parts/most.ts";
import { measurePick, measurePieces } from "./parts/pieces.ts";
import { measureReader } from "./parts/reader.ts";
import { measureSlow } from "./parts/slow.ts";
import { measureSoak } from "./parts/soak.ts";
import { measureIdle, measureStart } from "./parts/start.ts";
import { measureTranslate } from "./parts/translate.ts";

/** Every part by its name for `--only`, in the order in which they run. */
export const PARTS = {
  latency: measureLatency,
  cpu: measureCpu,
  burst: measureBurst,
  translate: measureTranslate,
  large: measureLarge,
  most: measureMost,
  slow: measureSlow,
  reader: measureReader,
  accounts: measureAccounts,
  database: measureDatabase,
  idle: measureIdle,
  start: measureStart,
  cold: measureCold,
  pieces: measurePieces,
  pick: measurePick,
  soak: measureSoak,
} as const;

/** The name of a part. */
export type PartName = keyof typeof PARTS;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What a run brought. */
export type Measured = { readonly figures: readonly Figure[]; readonly leftOut: readonly string[] };

/** Runs parts one after the other. Everything that it starts is ended, also when the run is broken off. */
export async function run(
  program: string,
  names: readonly PartName[],
  size: Size,
  say: (line: string) => void,
): Promise<Measured> {
  const crew = await openCrew(program);
  let isBrokenOff = false;
  const breakOff = (): void => {
    isBrokenOff = true;
    const leave = (): void => process.exit(130);
    crew.close().then(leave, leave);
  };
  for (const signal of SIGNALS) process.once(signal, breakOff);
  try {
    const field = await openField(crew, size, say);
    const figures: Figure[] = [];
    for (const name of names) {
      const startedMs = performance.now();
      figures.push(...(await PARTS[name](field)));
      say(`${name} took ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
    }
    return { figures, leftOut: field.leftOut };
  } catch (fault) {
    // What fails then fails because its processes have been ended.
    if (!isBrokenOff) throw fault;
    return { figures: [], leftOut: [] };
  } finally {
    for (const signal of SIGNALS) process.off(signal, breakOff);
    await crew.close();
  }
}
