// Values of several rounds, and what is made of them.

/** What a figure should be. */
export type Goal = { readonly atMost: number } | { readonly atLeast: number };

/** Where a figure stands and what it is called. */
export type Heading = {
  readonly section: string;
  readonly name: string;
  readonly unit: string;
  readonly goal?: Goal;
};

/** Values of several rounds as one figure. */
export type Figure = Heading & {
  readonly median: number;
  readonly least: number;
  readonly most: number;
};

/** The value below which `share` of `values` lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = Math.min(Math.floor(sorted.length * share), sorted.length - 1);
  return sorted[at] ?? Number.NaN;
}

/** Median, least and most of one value per round. */
export function summarize(heading: Heading, values: readonly number[]): Figure {
  const known = values.filter((value) => Number.isFinite(value));
  if (known.length === 0) return { ...heading, median: NaN, least: NaN, most: NaN };
  return {
    ...heading,
    median: middle(known),
    least: Math.min(...known),
    most: Math.max(...known),
  };
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** Values of the same rounds, one by the other: what disturbs a round disturbs all of it. */
export function ratios(values: readonly number[], to: readonly number[]): number[] {
  return values.map((value, round) => value / (to[round] ?? Number.NaN));
}

/** Whether a figure is what it should be; undefined where nothing is asked of it. */
export function isMet({ median, goal }: Figure): boolean | undefined {
  if (goal === undefined) return undefined;
  return "atMost" in goal ? median <= goal.atMost : median >= goal.atLeast;
}

/** A value at some time. */
export type Sample = { readonly atMs: number; readonly value: number };

/** By how much the value grows in a minute: the straight line with the least squares. */
export function slopePerMinute(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const meanMs = mean(({ atMs }) => atMs);
  const meanValue = mean(({ value }) => value);
  const covariance = mean(({ atMs, value }) => (atMs - meanMs) * (value - meanValue));
  const variance = mean(({ atMs }) => (atMs - meanMs) ** 2);
  return (covariance / variance) * 60_000;
}

/** Numbers that look like chance and are the same in every run, from 0 to below 1. */
export function createChance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) / 8_388_608;
  };
}

/** The same items in another order. */
export function shuffled<T>(items: readonly T[], chance: () => number): readonly T[] {
  return items
    .map((item) => ({ item, key: chance() }))
    .toSorted((one, other) => one.key - other.key)
    .map(({ item }) => item);
}
