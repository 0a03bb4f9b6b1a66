import { isDeepStrictEqual } from "node:util";
import type { Config } from "../../config/schema.ts";
import { defaults } from "../../config/schema.ts";
import { type Catalog, type Model, mergeCatalog, SEED_CATALOG } from "../../turn/catalog.ts";
import { liveAliases, matchesGlob } from "../../turn/model.ts";
import { dict, list, number, text } from "../../wire/json.ts";
import { type ClientKey, clientKeyOf } from "../address.ts";
import type { Seen, SeenModel } from "./recipe.ts";

// Where the proxy's models cannot be asked for; all of the backend's that this version knows have it (upstream.md 7).
const USUAL_WINDOW = 272_000;

/** The proxy of this configuration as clients see it at `url`; `models` are its own list, where it could be asked. */
export function seenBy(config: Config, url: string, models: readonly unknown[] | undefined): Seen {
  const catalog = catalogOf(models);
  const model = standsFor("claude-opus", config, catalog);
  return {
    url,
    key: keyOf(config),
    hasSockets: config["enable-websocket"],
    model,
    smallModel: standsFor("claude-haiku", config, catalog),
    contextWindow: windowOf(catalog.get(model)),
    models: offered(catalog, model).map(describe),
  };
}

/** The key that clients of this configuration show. */
export function keyOf(config: Config): ClientKey {
  return clientKeyOf(config["api-keys"]);
}

/** What is listed; of what is hidden the backend wants nobody to ask for it by default. */
function catalogOf(models: readonly unknown[] | undefined): Catalog {
  const listed = (models ?? []).filter((info) => dict(info)["visibility"] !== "hide");
  return listed.length === 0 ? SEED_CATALOG : mergeCatalog(listed);
}

/** The model that a name of Claude's stands for here. */
function standsFor(name: string, config: Config, catalog: Catalog): string {
  const written = Object.entries(config["model-aliases"]);
  const aliases = written.map(([pattern, target]) => ({ pattern, target }));
  const isBuiltIn = isDeepStrictEqual(config["model-aliases"], defaults()["model-aliases"]);
  const used = isBuiltIn ? liveAliases(aliases, catalog) : aliases;
  const target = used.find(({ pattern }) => matchesGlob(pattern, name))?.target;
  return target ?? [...catalog.keys()][0] ?? name;
}

/** The models worth offering, the one that is used by default among them. */
function offered(catalog: Catalog, usual: string): readonly Model[] {
  const live = [...catalog.values()].filter(({ id, isLive }) => isLive === true || id === usual);
  return live.length > 1 ? live : [...catalog.values()];
}

function describe(model: Model): SeenModel {
  const modalities = list(model.info?.["input_modalities"]);
  return {
    id: model.id,
    name: text(model.info?.["display_name"]) ?? model.id,
    contextWindow: windowOf(model),
    takesImages: modalities.length === 0 || modalities.includes("image"),
  };
}

function windowOf(model: Model | undefined): number {
  return number(model?.info?.["context_window"]) ?? USUAL_WINDOW;
}
