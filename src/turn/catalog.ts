import { type Dict, dict, list, text } from "../wire/json.ts";

/** A base model and the reasoning levels it takes. */
export type Model = {
  readonly id: string;
  /** Levels that may be written as a suffix, `auto` apart: that is always allowed. */
  readonly levels: readonly string[];
  /** Whether the backend's own catalogue has it; undefined while no catalogue has been read. */
  readonly isLive?: boolean;
  /** The backend's own description (`ModelInfo`), whole. */
  readonly info?: Dict;
};

/** The models by id. */
export type Catalog = ReadonlyMap<string, Model>;

/** Every word that may stand for a reasoning level at the end of a model name. */
export const LEVELS = [
  "none",
  "minimal",
  "low",
  "medium",
  "high",
  "xhigh",
  "max",
  "ultra",
  "auto",
] as const;

const BASIC = ["low", "medium", "high"];
const EXTRA = [...BASIC, "xhigh"];
const EXTRA_OR_NONE = [...EXTRA, "none"];

/** The models known before the backend has been asked. `gpt-5.1-codex` with `max` is the model `gpt-5.1-codex-max`. */
const SEED: Readonly<Record<string, readonly string[]>> = {
  "gpt-5": ["minimal", ...BASIC],
  "gpt-5-codex": BASIC,
  "gpt-5-codex-mini": BASIC,
  "gpt-5.1": [...BASIC, "none"],
  "gpt-5.1-codex": BASIC,
  "gpt-5.1-codex-mini": BASIC,
  "gpt-5.1-codex-max": EXTRA,
  "gpt-5.2": EXTRA_OR_NONE,
  "gpt-5.2-codex": EXTRA,
  "gpt-5.3-codex": EXTRA_OR_NONE,
  "gpt-5.4": EXTRA_OR_NONE,
  "gpt-5.4-mini": EXTRA_OR_NONE,
};

/** The catalogue before the backend has been asked. */
export const SEED_CATALOG: Catalog = new Map(
  Object.entries(SEED).map(([id, levels]) => [id, { id, levels }]),
);

/**
 * The seed models and the backend's, as one catalogue: the backend's first, in its order.
 * A seed model that the backend lacks stays, marked as not live. `models` is the backend's list of `ModelInfo`;
 * entries without a slug are passed over.
 */
export function mergeCatalog(models: readonly unknown[]): Catalog {
  const merged = new Map<string, Model>();
  for (const entry of models) {
    const info = dict(entry);
    const id = text(info["slug"]);
    if (id === undefined) continue;
    const levels = list(info["supported_reasoning_levels"])
      .map((level) => text(dict(level)["effort"]))
      .filter((effort) => effort !== undefined);
    const seeded = SEED_CATALOG.get(id)?.levels ?? [];
    merged.set(id, { id, levels: [...new Set([...levels, ...seeded])], isLive: true, info });
  }
  for (const model of SEED_CATALOG.values()) {
    if (!merged.has(model.id)) merged.set(model.id, { ...model, isLive: false });
  }
  return merged;
}
