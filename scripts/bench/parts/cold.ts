// What a program costs that has just been started, as most are that serve one person.

import { CODEX, type Contender, DIRECT, PIPE, READ } from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, summarize } from "../figure.ts";
import { cpuUs } from "./cpu.ts";
import { addedMs } from "./latency.ts";

const NAMES = [PIPE, READ, CODEX];
const FIRST = 200;
const NEXT = 2000;

/** The first requests of new processes. */
export async function measureCold(field: Field): Promise<Figure[]> {
  await field.setStyle({ events: 20, paceMs: 0 });
  const added = new Map<string, number[]>();
  const costs = new Map<string, number[]>();
  for (let round = 1; round <= field.size.longRounds; round++) {
    const contenders: Contender[] = [];
    for (const name of NAMES) {
      const contender = await field.fresh(name);
      if (contender !== undefined) contenders.push(contender);
    }
    const all = [...field.pick([DIRECT]), ...contenders];
    const results = await field.load({
      kind: "turns",
      contenders: all,
      warmup: 0,
      requests: FIRST,
    });
    for (const contender of contenders) {
      const { name } = contender;
      const pressure = { connections: 16, perSecond: 1000, requests: NEXT, warmup: 0 };
      const cost = cpuUs(await field.press(contender, pressure));
      added.set(name, [...(added.get(name) ?? []), ...addedMs([results], name, 0.5)]);
      costs.set(name, [...(costs.get(name) ?? []), cost]);
      await field.crew.end(contender);
    }
    field.say(`just started, round ${round} of ${field.size.longRounds}`);
  }
  const section = `Just started: the first ${FIRST} requests in turn, the next ${NEXT.toLocaleString("en")} at 1,000 a second`;
  return [
    ...NAMES.map((name) =>
      summarize({ section, name: `${name}: added, p50`, unit: "ms" }, added.get(name) ?? []),
    ),
    ...NAMES.map((name) =>
      summarize({ section, name: `${name}: CPU per request`, unit: "us" }, costs.get(name) ?? []),
    ),
  ];
}
