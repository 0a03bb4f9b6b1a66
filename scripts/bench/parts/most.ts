// How many requests a second there can be.

import { CODEX, OTHER, PASSING, READ } from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, quantile, ratios, summarize } from "../figure.ts";

const SECTION = "Requests a second, 32 connections as fast as they can, 20 events at once";

/** Rates at saturation. */
export async function measureMost(field: Field): Promise<Figure[]> {
  await field.setStyle({ events: 20, paceMs: 0 });
  const contenders = field.pick(PASSING);
  await field.warm(contenders);
  const rounds = await field.press(contenders, "saturation", {
    connections: 32,
    perSecond: 0,
    requests: 5000 * field.size.seconds,
  });
  const rates = (name: string): number[] =>
    (rounds.get(name) ?? []).map(({ seconds, wholeMs }) => wholeMs.length / seconds);
  const p99 = (name: string): number[] =>
    (rounds.get(name) ?? []).map(({ wholeMs }) => quantile(wholeMs, 0.99));
  const section = SECTION;
  return [
    summarize(
      { section, name: `${CODEX} / ${READ}`, unit: "x", goal: { atLeast: 0.75 } },
      ratios(rates(CODEX), rates(READ)),
    ),
    summarize(
      { section, name: `${OTHER} / ${READ}`, unit: "x" },
      ratios(rates(OTHER), rates(READ)),
    ),
    ...contenders.map(({ name }) => summarize({ section, name, unit: "/s" }, rates(name))),
    ...contenders.map(({ name }) =>
      summarize({ section, name: `${name}: p99 meanwhile`, unit: "ms" }, p99(name)),
    ),
  ];
}
