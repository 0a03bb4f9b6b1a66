import { describe, expect, test } from "bun:test";
import type { Report } from "../../scripts/sim/world.ts";
import { judge, judgeEnds, judgeSpread, runSeed, table } from "../../scripts/sim.ts";

const FINE: Report = {
  turns: 1000,
  moves: { exhausted: 5, cooling: 4, cold: 3, other: 0 },
  returns: 0,
  refusals: 2,
  ends: 2,
  unserved: 0,
  mostUsed: 104,
  excess: 0,
  mostBesideRoom: 104,
  dearest: 4,
  groups: [
    {
      name: "two",
      accounts: 2,
      turns: 1000,
      used: [40, 44],
      spreads: [...Array(95).fill(5), ...Array(5).fill(9)],
    },
    { name: "one", accounts: 1, turns: 0, used: [0, 0], spreads: [0] },
  ],
};

describe("the judge", () => {
  test("finds nothing where all is as promised", () => {
    expect([...judge(FINE), ...judgeSpread(FINE)]).toEqual([]);
  });

  test.each([
    ["a move without need", { moves: { ...FINE.moves, other: 1 } }, "1 moves without need"],
    ["a move to and fro", { returns: 2 }, "2 moves to and fro"],
    [
      "more than was running at the end of a window",
      { excess: 0.5 },
      "0.50 % were begun on a window that was used up",
    ],
    ["one refusal after another", { refusals: 3 }, "3 turns refused, for 2 windows used up"],
  ])("finds %s", (_name, wrong, sentence) => {
    expect(judge({ ...FINE, ...wrong })).toEqual([sentence]);
  });

  test("finds a window that went too far", () => {
    expect(judgeEnds(FINE)).toEqual([]);
    expect(judgeEnds({ ...FINE, mostBesideRoom: 104.1 })).toEqual([
      "a window was used to 104.1 % beside others with room, and the dearest turn was 4.0 %",
    ]);
  });

  test("finds equal accounts that are used unequally", () => {
    const [two] = FINE.groups;
    const apart = {
      name: "x",
      accounts: 2,
      turns: 0,
      used: two?.used ?? [0, 0],
      spreads: [1, 1, 5.1],
    } as const;
    expect(judgeSpread({ ...FINE, groups: [apart] })).toEqual([
      "equal accounts were more than 5 % apart in 33.3 % of all moments",
    ]);
  });
});

describe.each(["round-robin", "quota-first"] as const)(
  "some hours of simulation, %s",
  (selector) => {
    test.each([1, 2])("B5-5, B5-6: keep what was promised, seed %i", (seed) => {
      const findings = runSeed(seed, 24, selector);
      expect(findings.flatMap(({ broken }) => broken)).toEqual([]);
      const [twenty, , crowded, pair] = findings.map(({ report }) => report);
      // What did not happen was not tested.
      expect(twenty?.moves.cold).toBeGreaterThan(100);
      expect(twenty?.moves.cooling).toBeGreaterThan(0);
      expect(crowded?.moves.exhausted).toBeGreaterThan(100);
      expect(crowded?.ends).toBeGreaterThan(5);
      expect(pair?.turns).toBeGreaterThan(500);
    });
  },
);

test("a run can be had again by its seed", () => {
  const [first] = runSeed(7, 3, "round-robin");
  const [again] = runSeed(7, 3, "round-robin");
  const [other] = runSeed(8, 3, "round-robin");
  if (first === undefined || again === undefined || other === undefined) throw new Error("no run");
  expect(again).toEqual(first);
  expect(other.report.turns).not.toBe(first.report.turns);
  expect(table({ ...first, broken: ["it was"] }).at(-1)).toBe("  BROKEN: it was");
});
