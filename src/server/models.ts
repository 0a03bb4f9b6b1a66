import type { Catalog, Model } from "../turn/catalog.ts";
import { modelNames } from "../turn/model.ts";
import { type Dict, isJson, type Json, number, text } from "../wire/json.ts";

/** Whose list of models a client expects. */
export type ModelShape = "openai" | "codex" | "anthropic";

/** The shape a request asks for: Codex by its query or by who it is, Claude clients by their version header. */
export function modelShape(url: URL, headers: Headers): ModelShape {
  const isCodex = /^codex/i.test(headers.get("originator") ?? "");
  if (url.searchParams.has("client_version") || isCodex) return "codex";
  return headers.has("anthropic-version") ? "anthropic" : "openai";
}

/** Whether whoever asks may use a model under a name. */
export type MayUse = (name: string, model: string) => boolean;

/** Every model that may be used, in the shape that was asked for. `startedMs` stands where the backend tells no date. */
export function listModels(
  catalog: Catalog,
  shape: ModelShape,
  startedMs: number,
  mayUse: MayUse,
): Json {
  if (shape === "codex") {
    const usable = [...catalog.values()].filter(({ id }) => mayUse(id, id));
    return { models: usable.map(codexModel).filter((info) => info !== undefined) };
  }
  const names = modelNames(catalog).filter(
    ({ id, model }) => model.info?.["visibility"] !== "hide" && mayUse(id, model.id),
  );
  const data = names.map(({ id, model }) => describe(id, model, shape, startedMs));
  return shape === "openai"
    ? { object: "list", data }
    : {
        data,
        has_more: false,
        first_id: names.at(0)?.id ?? null,
        last_id: names.at(-1)?.id ?? null,
      };
}

/** One model by any of its names, or undefined. */
export function findModel(
  catalog: Catalog,
  id: string,
  shape: ModelShape,
  startedMs: number,
): Json | undefined {
  const found = modelNames(catalog).find((name) => name.id === id);
  if (found === undefined) return undefined;
  return shape === "codex" ? codexModel(found.model) : describe(id, found.model, shape, startedMs);
}

function describe(id: string, model: Model, shape: ModelShape, startedMs: number): Json {
  if (shape === "anthropic") {
    const created_at = new Date(startedMs).toISOString();
    return { type: "model", id, display_name: displayName(id, model), created_at };
  }
  return {
    id,
    object: "model",
    created: number(model.info?.["created"]) ?? Math.floor(startedMs / 1000),
    owned_by: "openai",
    // Ours: whether the backend's own list has the model; null while that list has not been read.
    in_live_catalogue: model.isLive ?? null,
  };
}

function displayName(id: string, model: Model): string {
  return id === model.id ? (text(model.info?.["display_name"]) ?? id) : id;
}

/** The backend's own description, whole; for a seed model the least that the Codex CLI can read. */
function codexModel(model: Model): Json | undefined {
  const info: Dict = model.info ?? seedInfo(model);
  return isJson(info) ? info : undefined;
}

// The fields without which Codex CLI 0.169 refuses the whole list, with the values that change least.
function seedInfo({ id, levels, isLive }: Model): Dict {
  const efforts = levels.filter((level) => level !== "none");
  return {
    slug: id,
    display_name: id,
    description: isLive === false ? "Not in the backend's present list." : "",
    default_reasoning_level: "medium",
    supported_reasoning_levels: efforts.map((effort) => ({ effort, description: effort })),
    shell_type: "shell_command",
    visibility: isLive === false ? "hide" : "list",
    supported_in_api: true,
    priority: 100,
    additional_speed_tiers: ["fast"],
    service_tiers: [],
    base_instructions: "",
    default_reasoning_summary: "auto",
    supports_reasoning_summaries: true,
    support_verbosity: true,
    default_verbosity: "low",
    apply_patch_tool_type: "freeform",
    truncation_policy: { mode: "tokens", limit: 10_000 },
    supports_parallel_tool_calls: true,
    context_window: 272_000,
    max_context_window: 272_000,
    effective_context_window_percent: 95,
    experimental_supported_tools: [],
    input_modalities: ["text", "image"],
  };
}
