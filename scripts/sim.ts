// Whether accounts are chosen well: days of many conversations on many accounts, in seconds, on the real pool.
// `bun run sim`; the world is in sim/world.ts. Ends with 1 if one of the promises below does not hold.

import { isDeepStrictEqual, parseArgs } from "node:util";
import type { Selector } from "../src/pool/rank.ts";
import { pickNanoseconds } from "./bench/pick.ts";
import { type Group, type Report, type Scene, simulate } from "./sim/world.ts";

const USAGE = `Simulates days of conversations on a pool of accounts, and checks what was promised.

  bun run sim [--seed N] [--seeds N] [--hours N] [--json]

  --seed N    the first seed (1)
  --seeds N   how many seeds, one after another (5)
  --hours N   how long a run is, in hours of the simulation (48)
  --json      prints everything as JSON`;

const HOUR_MS = 3_600_000;
const SELECTORS: readonly Selector[] = ["round-robin", "quota-first"];

// Equal accounts may differ by so many percent points, in so large a part of all moments.
const MOST_SPREAD = 5;
const SPREAD_SHARE = 0.95;

function group(name: string, accounts: number, rest: Partial<Group>): Group {
  const fresh = { size: 1, shortResetMs: 0, longResetMs: 0, shortUsed: 0, longUsed: 0 };
  return { name, accounts, ...fresh, ...rest };
}

/** Twenty accounts: sizes, phases and beginnings as in a pool that has grown over time. */
const TWENTY: readonly Group[] = [
  group("plus A", 4, { shortResetMs: 5 * HOUR_MS, longResetMs: 72 * HOUR_MS, longUsed: 0.1 }),
  group("plus B", 4, {
    shortResetMs: 1.3 * HOUR_MS,
    longResetMs: 20 * HOUR_MS,
    shortUsed: 0.2,
    longUsed: 0.3,
  }),
  group("plus C", 4, { shortResetMs: 3 * HOUR_MS, longResetMs: 150 * HOUR_MS }),
  group("pro", 4, {
    size: 6,
    shortResetMs: 2 * HOUR_MS,
    longResetMs: 40 * HOUR_MS,
    shortUsed: 0.1,
    longUsed: 0.2,
  }),
  group("half used", 2, {
    shortResetMs: 4 * HOUR_MS,
    longResetMs: 100 * HOUR_MS,
    shortUsed: 0.5,
    longUsed: 0.5,
  }),
  group("nearly spent", 1, {
    shortResetMs: 2.5 * HOUR_MS,
    longResetMs: 60 * HOUR_MS,
    longUsed: 0.97,
  }),
  // The last account's windows begin anew before their time.
  group("reset early", 1, {
    shortResetMs: 4.5 * HOUR_MS,
    longResetMs: 90 * HOUR_MS,
    longUsed: 0.9,
  }),
];

/** Case B5-6: two accounts at 81 and 82 percent, which take the lead by turns. */
const PAIR: readonly Group[] = [
  group("at 81 %", 1, { shortResetMs: 5 * HOUR_MS, longResetMs: 100 * HOUR_MS, shortUsed: 0.81 }),
  group("at 82 %", 1, { shortResetMs: 5 * HOUR_MS, longResetMs: 100 * HOUR_MS, shortUsed: 0.82 }),
];

/** A run, and what it breaks. */
export type Finding = {
  readonly name: string;
  readonly seed: number;
  readonly selector: Selector;
  readonly report: Report;
  readonly broken: readonly string[];
};

/**
 * What a report breaks, in words. Checked is:
 * - a conversation moves only off an account that is exhausted or cooling, or when its prompt cache is cold and the
 *   other account is clearly better; and never back within the hour without need;
 * - no window goes beyond 100 % but by what was running when it was used up, and no more turns are refused for a spent
 *   quota than windows were used up: one finds out, the others are not sent there.
 */
export function judge({ moves, returns, excess, refusals, ends }: Report): readonly string[] {
  const broken: string[] = [];
  if (moves.other > 0) broken.push(`${moves.other} moves without need`);
  if (returns > 0) broken.push(`${returns} moves to and fro`);
  if (excess > 1e-6) broken.push(`${excess.toFixed(2)} % were begun on a window that was used up`);
  if (refusals > ends) broken.push(`${refusals} turns refused, for ${ends} windows used up`);
  return broken;
}

/**
 * Whether turns that began while another account had room took no window further beyond 100 % than the dearest turn
 * takes. Where no other has room, all that there is to do runs on the last one, and each of its turns may go beyond.
 */
export function judgeEnds({ mostBesideRoom, dearest }: Report): readonly string[] {
  if (mostBesideRoom <= 100 + dearest) return [];
  return [
    `a window was used to ${mostBesideRoom.toFixed(1)} % beside others with room, and the dearest turn was ${dearest.toFixed(1)} %`,
  ];
}

/**
 * Whether accounts that are equal in size and phase and began alike are used alike: the fullest windows of a group
 * differ by no more than 5 percent points, in 95 % of all moments and groups. In the others a conversation was dearer
 * than could be known when it was placed, and a warm one is not moved.
 */
export function judgeSpread({ groups }: Report): readonly string[] {
  const spreads = groups.flatMap((own) => (own.accounts > 1 ? own.spreads : []));
  const within = spreads.filter((spread) => spread <= MOST_SPREAD).length / spreads.length;
  if (spreads.length === 0 || within >= SPREAD_SHARE) return [];
  return [
    `equal accounts were more than ${MOST_SPREAD} % apart in ${percent(1 - within)} of all moments`,
  ];
}

const NO_MOVE = { exhausted: 0, cooling: 0, cold: 0, other: 0 };

/** The runs of one seed: twenty accounts with much, nearly too much, and too much to do; and case B5-6. */
export function runSeed(seed: number, hours: number, selector: Selector): readonly Finding[] {
  const twenty: Scene = {
    seed,
    hours,
    selector,
    groups: TWENTY,
    sessions: 500,
    costPercent: 0.04,
    hasAccidents: true,
  };
  const found = (
    name: string,
    scene: Scene,
    check: (report: Report) => readonly string[],
  ): Finding => {
    const report = simulate(scene);
    return { name, seed, selector, report, broken: check(report) };
  };
  // Of next to no cost, so that the two only take the lead by turns.
  const pair = {
    ...twenty,
    hours: 4,
    groups: PAIR,
    sessions: 40,
    costPercent: 0.002,
    hasAccidents: false,
  };
  return [
    found("twenty accounts", twenty, (report) => [...judge(report), ...judgeSpread(report)]),
    found("nearly too much", { ...twenty, costPercent: 0.1 }, (report) => [
      ...judge(report),
      ...judgeEnds(report),
    ]),
    found("too much", { ...twenty, costPercent: 0.15 }, judge),
    found("81 and 82 % (B5-6)", pair, ({ moves }) =>
      isDeepStrictEqual(moves, NO_MOVE) ? [] : ["there were moves"],
    ),
  ];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** The report as lines of a table. */
export function table({ name, seed, selector, report, broken }: Finding): readonly string[] {
  const { moves } = report;
  const lines = [
    `${name}, seed ${seed}, ${selector}: ${report.turns} turns, ${report.unserved} not served`,
    `  moves: ${moves.exhausted} exhausted, ${moves.cooling} cooling, ${moves.cold} cold and clearly better, ${moves.other} other; ${report.returns} to and fro`,
    `  windows used up: ${report.ends}; refused turns: ${report.refusals}; most used: ${report.mostUsed.toFixed(1)} %, dearest turn: ${report.dearest.toFixed(1)} %`,
  ];
  for (const { name: own, accounts, turns, used, spreads } of report.groups) {
    const sorted = spreads.toSorted((one, other) => one - other);
    const at = (share: number): string =>
      (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(1);
    const apart =
      accounts < 2
        ? ""
        : `  apart: ${at(0.5)} half the time, ${at(0.95)} in 95 %, ${at(1)} at most`;
    const range = `${used[0].toFixed(0)}..${used[1].toFixed(0)} % used`;
    lines.push(
      `  ${own.padEnd(13)} ${accounts} x ${String(turns).padStart(6)} turns  ${range.padEnd(16)}${apart}`,
    );
  }
  for (const sentence of broken) lines.push(`  BROKEN: ${sentence}`);
  return lines;
}

// How many choices in a second there must be, by the number of accounts.
const SPEEDS = [
  [10, 1_000_000],
  [10_000, 200_000],
] as const;

type Speed = {
  readonly selector: Selector;
  readonly accounts: number;
  readonly perSecond: number;
  readonly wanted: number;
};

/** The best of some rounds: what else the machine does only ever takes away. */
function measureSpeed(): readonly Speed[] {
  return SELECTORS.flatMap((selector) =>
    SPEEDS.map(([accounts, wanted]) => {
      const rounds = Array.from({ length: 5 }, () => pickNanoseconds(accounts, selector, 100_000));
      return { selector, accounts, perSecond: Math.round(1e9 / Math.min(...rounds)), wanted };
    }),
  );
}

type Settings = {
  readonly seed: number;
  readonly seeds: number;
  readonly hours: number;
  readonly isJson: boolean;
};

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      seeds: { type: "string", default: "5" },
      hours: { type: "string", default: "48" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const seed = Number(values.seed);
  const seeds = Number(values.seeds);
  const hours = Number(values.hours);
  if (!values.help && [seed, seeds, hours].every((value) => Number.isInteger(value) && value > 0)) {
    return { seed, seeds, hours, isJson: values.json };
  }
  console.log(USAGE);
  process.exit(values.help ? 0 : 2);
}

function describeSpeed({ selector, accounts, perSecond, wanted }: Speed): string {
  const verdict = perSecond >= wanted ? "met" : "MISSED";
  return `pick, ${selector}, ${accounts} accounts: ${perSecond} in a second (wanted: ${wanted}, ${verdict})`;
}

function main(): void {
  const { seed, seeds, hours, isJson } = readSettings();
  const tell = (lines: readonly string[]): void => {
    if (!isJson) console.log(lines.join("\n"));
  };
  const findings: Finding[] = [];
  for (const selector of SELECTORS) {
    for (let number = seed; number < seed + seeds; number++) {
      const found = runSeed(number, hours, selector);
      findings.push(...found);
      tell(found.flatMap(table));
    }
  }
  const speeds = measureSpeed();
  tell(speeds.map(describeSpeed));
  if (isJson) console.log(JSON.stringify({ findings, speeds }, undefined, 2));
  const isBroken =
    findings.some(({ broken }) => broken.length > 0) ||
    speeds.some(({ perSecond, wanted }) => perSecond < wanted);
  if (isBroken) process.exitCode = 1;
}

if (import.meta.main) main();
