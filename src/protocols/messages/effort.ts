import { LEVELS } from "../../turn/catalog.ts";
import type { ModelChoice } from "../../turn/model.ts";

/** What a request says of how much the model shall think. */
export type EffortWish = {
  readonly effort: string | undefined;
  readonly budgetTokens: number | undefined;
  readonly isDisabled: boolean;
};

/**
 * The effort to write, or undefined to leave it to the backend. A level in the model's name wins, then thinking that is
 * switched off, then `output_config.effort`, then the budget. An effort that the model lacks becomes the nearest it has.
 */
export function readEffort(wish: EffortWish, choice: ModelChoice): string | undefined {
  if (choice.effort !== undefined) return choice.effort;
  if (wish.isDisabled && choice.levels.includes("none")) return "none";
  const wanted = wish.effort ?? effortOf(wish.budgetTokens);
  return wanted === undefined ? undefined : nearest(wanted, choice.levels);
}

/** A budget of thinking tokens as an effort (product.md 7). */
function effortOf(budgetTokens: number | undefined): string | undefined {
  if (budgetTokens === undefined) return undefined;
  if (budgetTokens < 2048) return "low";
  if (budgetTokens < 8192) return "medium";
  return budgetTokens < 24_576 ? "high" : "max";
}

// `ultra` is a mode of the Codex CLI and `auto` is none in particular: neither is an effort on the wire.
const SCALE: readonly string[] = LEVELS.filter((level) => level !== "ultra" && level !== "auto");

/** Of two that are equally near, the one that costs less. */
function nearest(wanted: string, levels: readonly string[]): string {
  const known = SCALE.filter((level) => level !== "none" && levels.includes(level));
  const distance = (level: string) => Math.abs(SCALE.indexOf(level) - SCALE.indexOf(wanted));
  // Nobody knows what an unknown model takes, but every model so far takes these three.
  const candidates = known.length > 0 ? known : ["low", "medium", "high"];
  return candidates.reduce((best, level) => (distance(level) < distance(best) ? level : best));
}
