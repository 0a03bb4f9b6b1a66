import { join } from "node:path";
import { platform } from "#platform";
import { dict, text } from "../../wire/json.ts";
import type { ClientKey } from "../address.ts";
import {
  type ClientFile,
  eolOf,
  keyText,
  NO_KEY,
  type Place,
  type Recipe,
  type Seen,
} from "./recipe.ts";
import { editToml, type TomlWish, tomlText } from "./toml.ts";

/** What the provider is called in the CLI's configuration. */
export const PROVIDER = "codex-proxy";

/**
 * The variable that holds the key. The CLI reads it from `.env` in its own folder, but none there whose name begins with
 * CODEX_ (tried with 0.169.0).
 */
export const KEY_VARIABLE = "PROXY_API_KEY";

/**
 * Codex CLI: a provider of its own in `config.toml`, the key in `.env` beside it. By its name "OpenAI" the CLI lets the
 * backend compact long conversations (upstream.md 3.4), and by `model_catalog_url` it takes the models from the proxy;
 * that it does with a key only, so that there is always one (both tried with 0.169.0).
 */
export function codexRecipe(seen: Seen, { home, env }: Place): Recipe {
  const folder = text(env["CODEX_HOME"]) ?? join(home, ".codex");
  const wish = wishOf(seen);
  const config: ClientFile = {
    path: join(folder, "config.toml"),
    edit: (source) => editToml(source, wish),
    text: tomlText(wish),
    isSecret: false,
    remarks,
  };
  return {
    files: seen.key.kind === "none" ? [config] : [config, keyFile(join(folder, ".env"), seen.key)],
    notes: env["OPENAI_BASE_URL"] === undefined ? [OLD_GUIDES] : [OLD_GUIDES, OLD_VARIABLE],
    next: "codex",
  };
}

function wishOf({ url, key, hasSockets }: Seen): TomlWish {
  const credential =
    key.kind === "none" ? { experimental_bearer_token: NO_KEY } : { env_key: KEY_VARIABLE };
  const drop = ["env_key", "experimental_bearer_token"].filter((name) => !(name in credential));
  return {
    top: { model_provider: PROVIDER },
    table: ["model_providers", PROVIDER],
    values: {
      name: "OpenAI",
      base_url: `${url}/v1`,
      wire_api: "responses",
      ...credential,
      supports_websockets: hasSockets,
      model_catalog_url: `${url}/v1/models`,
    },
    drop,
  };
}

function keyFile(path: string, key: ClientKey): ClientFile {
  const line = `${KEY_VARIABLE}=${keyText(key)}`;
  return {
    path,
    edit: (source) => ({ ok: true, content: withLine(source, line, key.kind === "hidden") }),
    text: `${line}\n`,
    isSecret: true,
  };
}

/** The file with this line in place of the variable's old one, or at its end; one that is filled in already `stays`. */
function withLine(source: string, line: string, stays: boolean): string {
  const old = new RegExp(`^[ \\t]*(?:export[ \\t]+)?${KEY_VARIABLE}[ \\t]*=[^\\r\\n]*`, "m");
  if (old.test(source)) return stays ? source : source.replace(old, () => line);
  const eol = eolOf(source);
  const before = source === "" || source.endsWith("\n") ? source : `${source}${eol}`;
  return `${before}${line}${eol}`;
}

function remarks(source: string): readonly string[] {
  let config: Readonly<Record<string, unknown>> = {};
  try {
    config = dict(platform.parseToml(source));
  } catch {
    return [];
  }
  const said: string[] = [];
  const profile = text(config["profile"]);
  if (profile !== undefined) {
    said.push(
      "config.toml names a profile: newer versions of the CLI do not start with that line, and older ones may take their provider from it. Take it out.",
    );
  }
  const model = text(config["model"]);
  if (model !== undefined) {
    said.push(
      `config.toml sets a model ("${model}"), and that stays. Without that line the CLI takes the first of the proxy's list.`,
    );
  }
  return said;
}

const OLD_GUIDES =
  "Older guides set OPENAI_BASE_URL and OPENAI_API_KEY and choose 2 at the first start. Codex CLI 0.130 and later ignore that address; the provider above is what replaces it.";
const OLD_VARIABLE =
  "OPENAI_BASE_URL is set in this shell. The Codex CLI ignores it, other programs may not: take it out of your shell's profile.";
