import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { platform } from "#platform";
import { type Edit, editJson } from "../../store/edit.ts";
import { type Dict, dict, isDict, isJson, type Json, text } from "../../wire/json.ts";
import {
  type Edited,
  keyText,
  type Place,
  type Recipe,
  type Seen,
  type SeenModel,
} from "./recipe.ts";

const PROVIDER = "codex-proxy";
const KEY_FILE = "codex-proxy.key";
// The largest answer that the backend's models give; OpenCode wants a number.
const OUTPUT_TOKENS = 128_000;

/**
 * OpenCode: a provider in its user's `opencode.json`, by the AI SDK's own package for OpenAI, which speaks Responses;
 * the key in a file beside it (tried with 1.18.33).
 */
export function opencodeRecipe(seen: Seen, { home, env }: Place): Recipe {
  const folder = join(text(env["XDG_CONFIG_HOME"]) ?? join(home, ".config"), "opencode");
  const usual = ["opencode.jsonc", "opencode.json"].map((name) => join(folder, name));
  const path = text(env["OPENCODE_CONFIG"]) ?? usual.find((file) => existsSync(file)) ?? usual[1];
  if (path === undefined) throw new Error("there is always a usual path");
  const isKeyed = seen.key.kind !== "none";
  const members = membersOf(seen);
  const config = {
    path,
    edit: (source: string) => editConfig(source, members),
    text: `${JSON.stringify(whole(members), null, 2)}\n`,
    isSecret: false,
  };
  const key = {
    path: join(dirname(path), KEY_FILE),
    edit: (source: string): Edited => {
      const isFilled = seen.key.kind === "hidden" && source.trim() !== "";
      return { ok: true, content: isFilled ? source : `${keyText(seen.key)}\n` };
    },
    text: `${keyText(seen.key)}\n`,
    isSecret: true,
  };
  return {
    files: isKeyed ? [config, key] : [config],
    notes: [
      `Choose among the models in OpenCode with /models. A model's levels are names of their own: add "${seen.model}-high" beside "${seen.model}" to have it always so.`,
    ],
    next: `opencode --model ${PROVIDER}/${seen.model}`,
  };
}

type Member = {
  readonly path: readonly [string, ...string[]];
  readonly value: Json;
  /** What its owner has set already stays. */
  readonly isOptional?: boolean;
};

function membersOf(seen: Seen): readonly Member[] {
  const at = (...path: readonly string[]) => ["provider", PROVIDER, ...path] as const;
  const apiKey = seen.key.kind === "none" ? keyText(seen.key) : `{file:./${KEY_FILE}}`;
  return [
    { path: ["$schema"], value: "https://opencode.ai/config.json", isOptional: true },
    { path: ["model"], value: `${PROVIDER}/${seen.model}`, isOptional: true },
    { path: at("npm"), value: "@ai-sdk/openai" },
    { path: at("name"), value: PROVIDER, isOptional: true },
    { path: at("options", "baseURL"), value: `${seen.url}/v1` },
    { path: at("options", "apiKey"), value: apiKey },
    ...seen.models.map((model) => ({
      path: at("models", model.id),
      value: describe(model),
      isOptional: true,
    })),
  ];
}

function describe({ name, contextWindow, takesImages }: SeenModel): Json {
  return {
    name,
    reasoning: true,
    tool_call: true,
    attachment: takesImages,
    modalities: { input: takesImages ? ["text", "image", "pdf"] : ["text"], output: ["text"] },
    limit: { context: contextWindow, output: OUTPUT_TOKENS },
  };
}

function editConfig(source: string, members: readonly Member[]): Edited {
  const isBlank = source.trim() === "";
  const before = isBlank ? {} : parse(source);
  if (before === undefined) return { ok: false, reason: "it is not valid JSON" };
  const wanted = members.filter(
    ({ path, isOptional }) => isOptional !== true || valueAt(before, path) === undefined,
  );
  const edits = wanted.map(({ path, value }): Edit => ({ path, value, makesWay: true }));
  const content = editJson(isBlank ? "{}\n" : source, edits);
  const meant = wanted.reduce((config, { path, value }) => withValue(config, path, value), before);
  const isAsMeant = isDeepStrictEqual(parse(content), meant);
  return isAsMeant ? { ok: true, content } : { ok: false, reason: UNUSUAL };
}

const UNUSUAL = `what it has under "provider" cannot be changed without touching the rest`;

function whole(members: readonly Member[]): Dict {
  return members.reduce<Dict>((config, { path, value }) => withValue(config, path, value), {});
}

function withValue(object: Dict, path: readonly string[], value: Json): Dict {
  const [name = "", ...rest] = path;
  return {
    ...object,
    [name]: rest.length === 0 ? value : withValue(dict(object[name]), rest, value),
  };
}

function valueAt(object: Dict, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, name) => dict(value)[name], object);
}

function parse(source: string): Dict | undefined {
  try {
    const value: unknown = platform.parseJsonc(source);
    return isDict(value) && isJson(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
