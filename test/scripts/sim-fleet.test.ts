import { describe, expect, test } from "bun:test";
import { simulateFleet } from "../../scripts/sim/fleet.ts";
import { keptShare, spreadAt, WAYS } from "../../scripts/sim-fleet.ts";

describe("four instances in front of one set of accounts", () => {
  const kept = (name: string): { share: number; spread: number } => {
    const way = WAYS.find((each) => each.name === name);
    if (way === undefined) throw new Error(`there is no way ${name}`);
    const world = { seed: 1, hours: 4, accounts: 12, sessions: 100, costPercent: 0.05 };
    const report = simulateFleet({ ...world, way });
    expect(report.further).toBeGreaterThan(10_000);
    return { share: keptShare(report), spread: spreadAt(report, 0.95) };
  };

  test("keep a conversation on its account as one instance does, once they tell each other", () => {
    expect(kept("one instance").share).toBeGreaterThan(99);
    expect(kept("bindings, 1 s").share).toBeGreaterThan(99);
    expect(kept("bindings, 3 s").share).toBeGreaterThan(98.5);
    expect(kept("by turns").share).toBeLessThan(60);
  });

  test("keep most of them with the database away, by choosing alike", () => {
    expect(kept("away, ranking").share).toBeGreaterThan(80);
    expect(kept("away, by turns").share).toBeLessThan(60);
  });
});
