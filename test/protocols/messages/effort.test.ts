import { describe, expect, test } from "bun:test";
import { type EffortWish, readEffort } from "../../../src/protocols/messages/effort.ts";
import type { ModelChoice } from "../../../src/turn/model.ts";

const SOME = ["low", "medium", "high", "xhigh", "none"];
const ALL = ["low", "medium", "high", "xhigh", "max", "ultra"];

const nothing: EffortWish = { effort: undefined, budgetTokens: undefined, isDisabled: false };

describe("readEffort", () => {
  const rows: [
    name: string,
    wish: Partial<EffortWish>,
    levels: string[],
    effort: string | undefined,
  ][] = [
    ["leaves it to the backend where nothing is said", {}, SOME, undefined],
    ["takes an effort that the model has", { effort: "medium" }, SOME, "medium"],
    ["takes the nearest to one that it lacks", { effort: "max" }, SOME, "xhigh"],
    ["takes the highest where there is one", { effort: "max" }, ALL, "max"],
    ["takes the lower of two that are equally near", { effort: "xhigh" }, ["high", "max"], "high"],
    ["is careful with a model that nobody knows", { effort: "max" }, [], "high"],
    ["reads a small budget", { budgetTokens: 2047 }, SOME, "low"],
    ["reads a budget of 2,048", { budgetTokens: 2048 }, SOME, "medium"],
    ["reads a budget of 8,192", { budgetTokens: 8192 }, SOME, "high"],
    ["reads a budget of 24,576 as all there is", { budgetTokens: 24_576 }, SOME, "xhigh"],
    ["takes the effort before the budget", { effort: "low", budgetTokens: 30_000 }, SOME, "low"],
    [
      "switches thinking off where the model can",
      { isDisabled: true, effort: "high" },
      SOME,
      "none",
    ],
    ["does not where it cannot", { isDisabled: true }, ALL, undefined],
    ["never thinks of no thinking as near", { effort: "low" }, ["none", "high"], "high"],
  ];
  test.each(rows)("%s", (_name, wish, levels, effort) => {
    const choice: ModelChoice = { model: "m", isFast: false, levels };
    expect(readEffort({ ...nothing, ...wish }, choice)).toBe(effort);
  });

  test("a level in the model's name wins", () => {
    const choice: ModelChoice = { model: "m", isFast: false, levels: SOME, effort: "low" };
    expect(readEffort({ ...nothing, effort: "high", isDisabled: true }, choice)).toBe("low");
  });
});
