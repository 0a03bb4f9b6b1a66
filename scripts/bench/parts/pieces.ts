// What has to be measured inside of a process, without the network.

import type { Selector } from "../../../src/pool/rank.ts";
import type { Field } from "../field.ts";
import { type Figure, ratios, summarize } from "../figure.ts";
import { pickNanoseconds } from "../pick.ts";
import { EVENT_COUNTS, type Inside } from "../pieces.ts";

/** Answers in one piece, and the counting of tokens. */
export async function measurePieces({ crew, size, say }: Field): Promise<Figure[]> {
  const inside: Inside[] = [];
  for (let round = 0; round < size.rounds; round++) {
    inside.push(JSON.parse(await crew.ask("pieces.ts")));
  }
  say("answers in one piece, and count_tokens");
  const section = "Answers in one piece: time for each event";
  const names = Object.keys(inside[0]?.perEventUs ?? {});
  const costs = (name: string, at: number): number[] =>
    inside.map(({ perEventUs }) => perEventUs[name]?.[at] ?? Number.NaN);
  const counting = (name: string, of: (figures: Inside) => number): Figure =>
    summarize({ section: "count_tokens", name, unit: "ms" }, inside.map(of));
  return [
    ...names.flatMap((name) => [
      // Under ten thousand the runtime's own housekeeping is hardly to be seen.
      summarize(
        { section, name: `${name}: of 100,000 / of 10,000`, unit: "x", goal: { atMost: 2 } },
        ratios(costs(name, 2), costs(name, 1)),
      ),
      ...EVENT_COUNTS.map((events, at) =>
        summarize(
          { section, name: `${name}: of ${events.toLocaleString("en")}`, unit: "us" },
          costs(name, at),
        ),
      ),
    ]),
    counting("loading the vocabulary, once", ({ loadMs }) => loadMs),
    counting("1 MB of prose", ({ countMs }) => countMs),
    counting("1 MB of random letters", ({ worstMs }) => worstMs),
  ];
}

const SECTION = "Choice of an account, and its release";
// A million choices in a second for ten accounts, and 200,000 for ten thousand.
const POOLS: readonly (readonly [accounts: number, atMost?: number])[] = [
  [10, 1],
  [1000],
  [10_000, 5],
];

/** The choice of an account, by how many there are. */
export function measurePick({ size, say }: Field): Promise<Figure[]> {
  const { picks, rounds } = size;
  const measure = (selector: Selector): ReadonlyMap<number, readonly number[]> => {
    // Once in vain, for the runtime to compile it.
    pickNanoseconds(1000, selector, picks);
    const values = (accounts: number): number[] =>
      Array.from({ length: rounds }, () => pickNanoseconds(accounts, selector, picks) / 1000);
    return new Map(POOLS.map(([accounts]) => [accounts, values(accounts)]));
  };
  const figures = (costs: ReadonlyMap<number, readonly number[]>, suffix: string): Figure[] =>
    POOLS.map(([accounts, atMost]) => {
      const name = `${accounts.toLocaleString("en")} accounts${suffix}`;
      const goal = atMost === undefined ? {} : { goal: { atMost } };
      return summarize({ section: SECTION, name, unit: "us", ...goal }, costs.get(accounts) ?? []);
    });
  const fair = measure("round-robin");
  const greedy = measure("quota-first");
  say("choice of an account");
  const name = "10,000 accounts / 10 accounts";
  return Promise.resolve([
    summarize(
      { section: SECTION, name, unit: "x", goal: { atMost: 2 } },
      ratios(fair.get(10_000) ?? [], fair.get(10) ?? []),
    ),
    ...figures(fair, ""),
    ...figures(greedy, ", selector quota-first"),
  ]);
}
