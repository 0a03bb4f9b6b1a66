import { number } from "../wire/json.ts";
import { type Catalog, LEVELS, type Model } from "./catalog.ts";
import { type Failure, refuse } from "./failure.ts";

/** What a client's model name asks for. */
export type ModelChoice = {
  /** The name to send upstream. */
  readonly model: string;
  /** Effort to write, whatever the body says; undefined leaves the body's. */
  readonly effort?: string;
  readonly isFast: boolean;
  /** The levels that the model is known to take; empty where nobody knows it. */
  readonly levels: readonly string[];
  /** Tokens that the model can take, where the backend's catalogue says so. */
  readonly contextWindow?: number;
};

/** A model name understood, or why it cannot be. */
export type Resolved =
  | { readonly ok: true; readonly choice: ModelChoice }
  | { readonly ok: false; readonly failure: Failure };

/** One line of `model-aliases`: a glob (`*` for any characters) and the model it stands for. */
export type Alias = { readonly pattern: string; readonly target: string };

/**
 * Reads `base[-level][-fast]`, after aliases.
 * A base that nobody knows passes on, its suffix handled; a known base with a level that it lacks is refused.
 */
export function resolveModel(name: string, catalog: Catalog, aliases: readonly Alias[]): Resolved {
  const asked = applyAlias(name, catalog, aliases);
  const chosen = (id: string, isQuick: boolean, effort?: string): Resolved => {
    const model = catalog.get(id);
    const contextWindow = number(model?.info?.["context_window"]);
    const choice = {
      model: id,
      isFast: isQuick,
      levels: model?.levels ?? [],
      ...(effort === undefined ? {} : { effort }),
      ...(contextWindow === undefined ? {} : { contextWindow }),
    };
    return { ok: true, choice };
  };
  if (catalog.has(asked)) return chosen(asked, false);
  const isFast = asked.endsWith("-fast") && asked !== "-fast";
  const slow = isFast ? asked.slice(0, -"-fast".length) : asked;
  if (catalog.has(slow)) return chosen(slow, isFast);
  const dash = slow.lastIndexOf("-");
  const level = slow.slice(dash + 1);
  const base = slow.slice(0, Math.max(dash, 0));
  const model = catalog.get(base);
  const isLevel = LEVELS.some((known) => known === level) || model?.levels.includes(level);
  if (base === "" || !isLevel) return chosen(slow, isFast);
  if (model !== undefined && level !== "auto" && !model.levels.includes(level)) {
    const message = describeLevels(model, level);
    return { ok: false, failure: refuse(400, "invalid_model_level", message, "model") };
  }
  return chosen(base, isFast, level === "auto" ? undefined : wireEffort(level));
}

/** Every name under which a model can be asked for, the plain one first. */
export function modelNames(
  catalog: Catalog,
): readonly { readonly id: string; readonly model: Model }[] {
  const names = new Map<string, Model>();
  for (const model of catalog.values()) names.set(model.id, model);
  for (const model of catalog.values()) {
    for (const level of ["", ...model.levels.map((word) => `-${word}`), "-auto"]) {
      for (const speed of ["", "-fast"]) {
        const id = `${model.id}${level}${speed}`;
        if (!names.has(id)) names.set(id, model);
      }
    }
  }
  return [...names].map(([id, model]) => ({ id, model }));
}

function applyAlias(name: string, catalog: Catalog, aliases: readonly Alias[]): string {
  if (catalog.has(name)) return name;
  const alias = aliases.find(({ pattern }) => matchesGlob(pattern, name));
  return alias === undefined ? name : alias.target;
}

/** Whether `name` matches `pattern`, where `*` stands for any characters. Linear: no regular expression is built. */
export function matchesGlob(pattern: string, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first) || name.length < first.length + last.length) return false;
  const end = name.length - last.length;
  let at = first.length;
  for (const piece of rest) {
    const found = name.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return name.endsWith(last);
}

/**
 * An effort as the backend takes it. `ultra` is a mode of the Codex CLI ("maximum reasoning with task delegation"); on
 * the wire the highest effort is `max`.
 */
export function wireEffort(level: string): string {
  return level === "ultra" ? "max" : level;
}

/** Values of `service_tier` that mean "as usual"; the backend refuses the words themselves. */
export const PLAIN_TIERS: ReadonlySet<unknown> = new Set(["auto", "default", "standard"]);

function describeLevels(model: Model, level: string): string {
  const levels = [...model.levels, "auto"].join(", ");
  return `Model '${model.id}' has no reasoning level '${level}'. It takes: ${levels}.`;
}

/**
 * The aliases as they can be used: one whose target the backend's own list lacks stands for that list's best model
 * instead, or for its best small one where the target is a small one.
 */
export function liveAliases(aliases: readonly Alias[], catalog: Catalog): readonly Alias[] {
  const listed = [...catalog.values()].filter(isListed).toSorted((a, b) => rankOf(a) - rankOf(b));
  if (listed.length === 0) return aliases;
  return aliases.map((alias) => {
    if (catalog.get(alias.target)?.isLive !== false) return alias;
    const best = SMALL.test(alias.target)
      ? (listed.find(({ id }) => SMALL.test(id)) ?? listed.at(-1))
      : listed[0];
    return best === undefined ? alias : { ...alias, target: best.id };
  });
}

const SMALL = /mini|nano|luna|small|flash/;

function isListed({ isLive, info }: Model): boolean {
  return isLive === true && info?.["visibility"] !== "hide";
}

/** The backend's `priority`: the lower, the better. */
function rankOf({ info }: Model): number {
  return number(info?.["priority"]) ?? Number.MAX_SAFE_INTEGER;
}
