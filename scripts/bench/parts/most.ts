// How many requests a second there can be.

import { CODEX, OTHER, PASSING, READ } from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, quantile, ratios, summarize } from "../figure.ts";
import type { Result } from "../result.ts";

/** Rates at saturation, and what comes with them. */
export async function measureMost(field: Field): Promise<Figure[]> {
  await field.setStyle({ events: 20, paceMs: 0 });
  const contenders = field.pick(PASSING);
  await field.warm(contenders);
  const rounds = await field.pressAll(contenders, "saturation", {
    connections: 32,
    perSecond: 0,
    requests: 5000 * field.size.seconds,
  });
  const values = (name: string, of: (result: Result) => number): number[] =>
    (rounds.get(name) ?? []).map(of);
  const rates = (name: string): number[] =>
    values(name, ({ seconds, timesMs }) => timesMs.length / seconds);
  const section = "Requests a second, 32 connections as fast as they can, 20 events at once";
  const names = [...rounds.keys()];
  return [
    summarize(
      { section, name: `${CODEX} / ${READ}`, unit: "x", goal: { atLeast: 0.75 } },
      ratios(rates(CODEX), rates(READ)),
    ),
    summarize(
      { section, name: `${OTHER} / ${READ}`, unit: "x" },
      ratios(rates(OTHER), rates(READ)),
    ),
    ...names.map((name) => summarize({ section, name, unit: "/s" }, rates(name))),
    ...names.map((name) =>
      summarize(
        { section, name: `${name}: p99 meanwhile`, unit: "ms" },
        values(name, ({ timesMs }) => quantile(timesMs, 0.99)),
      ),
    ),
    ...names.map((name) =>
      summarize(
        { section, name: `${name}: memory afterwards`, unit: "MB" },
        values(name, ({ standings }) => standings.at(-1)?.megabytes ?? Number.NaN),
      ),
    ),
  ];
}
