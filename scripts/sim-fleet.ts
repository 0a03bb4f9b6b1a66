// Whether conversations stay on their accounts where each turn comes to any of four instances, by what these tell each
// other. `bun scripts/sim-fleet.ts`; the world is in sim/fleet.ts. docs/ARCHITECTURE.md has what came of it.

import { type FleetReport, type FleetScene, simulateFleet, type Way } from "./sim/fleet.ts";

/** The ways that were compared. */
export const WAYS: readonly Way[] = [
  { name: "one instance", instances: 1, isRanked: false, bindingsAfterMs: undefined },
  { name: "by turns", instances: 4, isRanked: false, bindingsAfterMs: undefined },
  { name: "ranking", instances: 4, isRanked: true, bindingsAfterMs: undefined },
  { name: "bindings, 1 s", instances: 4, isRanked: false, bindingsAfterMs: 1000 },
  { name: "bindings, 3 s", instances: 4, isRanked: false, bindingsAfterMs: 3000 },
  { name: "both", instances: 4, isRanked: true, bindingsAfterMs: 1000 },
  {
    name: "away, by turns",
    instances: 4,
    isRanked: false,
    bindingsAfterMs: undefined,
    isAway: true,
  },
  { name: "away, ranking", instances: 4, isRanked: true, bindingsAfterMs: undefined, isAway: true },
];

type World = Omit<FleetScene, "way" | "seed">;

const WORLDS: readonly (readonly [name: string, world: World])[] = [
  ["little to do", { hours: 12, accounts: 20, sessions: 300, costPercent: 0.05 }],
  ["nearly too much", { hours: 12, accounts: 20, sessions: 300, costPercent: 0.11 }],
  ["few conversations", { hours: 12, accounts: 20, sessions: 60, costPercent: 0.2 }],
  ["200 accounts", { hours: 12, accounts: 200, sessions: 1000, costPercent: 0.1 }],
];

const SEEDS = [1, 2, 3];

/** The share of turns that stayed, of those whose account could have served them, in percent. */
export function keptShare({ kept, further, forced }: FleetReport): number {
  return (100 * kept) / (further - forced);
}

/** How far apart equal accounts were in so large a share of all moments, in percent points. */
export function spreadAt({ spreads }: FleetReport, share: number): number {
  const sorted = spreads.toSorted((one, other) => one - other);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
}

function together(reports: readonly FleetReport[]): FleetReport {
  const sum = (key: "further" | "kept" | "forced" | "refused"): number =>
    reports.reduce((total, report) => total + report[key], 0);
  return {
    further: sum("further"),
    kept: sum("kept"),
    forced: sum("forced"),
    refused: sum("refused"),
    spreads: reports.flatMap(({ spreads }) => spreads),
  };
}

function main(): void {
  for (const [name, world] of WORLDS) {
    console.log(name);
    for (const way of WAYS) {
      const report = together(SEEDS.map((seed) => simulateFleet({ ...world, seed, way })));
      const kept = keptShare(report).toFixed(1).padStart(5);
      const apart = [0.5, 0.95].map((share) => spreadAt(report, share).toFixed(1).padStart(4));
      console.log(
        `  ${way.name.padEnd(15)} ${kept} % of ${report.further - report.forced} turns stayed; apart: ${apart.join(" half the time, ")} in 95 %; ${report.refused} refused`,
      );
    }
  }
}

if (import.meta.main) main();
