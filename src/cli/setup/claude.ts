import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { editJson } from "../../store/edit.ts";
import { isDict, parseDict, text } from "../../wire/json.ts";
import { type Edited, keyText, type Place, type Recipe, type Seen } from "./recipe.ts";

/**
 * Claude Code: variables in `env` of its user's `settings.json`. Its names for models get the proxy's, and the window is
 * told, since Claude Code takes an unknown model's for a million tokens (tried with 2.1.332).
 */
export function claudeRecipe(seen: Seen, { home, env }: Place): Recipe {
  const folder = text(env["CLAUDE_CONFIG_DIR"]) ?? join(home, ".claude");
  const variables = variablesOf(seen);
  return {
    files: [
      {
        path: join(folder, "settings.json"),
        edit: (source) => editSettings(source, variables),
        text: `${JSON.stringify({ env: variables }, null, 2)}\n`,
        isSecret: true,
      },
    ],
    notes: text(env["ANTHROPIC_API_KEY"]) === undefined ? [] : [OTHER_KEY],
    next: "claude",
  };
}

function variablesOf(seen: Seen): Readonly<Record<string, string>> {
  return {
    ANTHROPIC_BASE_URL: seen.url,
    ANTHROPIC_AUTH_TOKEN: keyText(seen.key),
    ANTHROPIC_MODEL: seen.model,
    ANTHROPIC_DEFAULT_OPUS_MODEL: seen.model,
    ANTHROPIC_DEFAULT_SONNET_MODEL: seen.model,
    ANTHROPIC_DEFAULT_HAIKU_MODEL: seen.smallModel,
    CLAUDE_CODE_AUTO_COMPACT_WINDOW: String(seen.contextWindow),
  };
}

/** The settings with these variables among those that are there. */
function editSettings(source: string, variables: Readonly<Record<string, string>>): Edited {
  const blank = source.trim() === "";
  const before = blank ? {} : parseDict(source);
  if (before === undefined) return { ok: false, reason: BROKEN };
  const { env = {} } = before;
  if (!isDict(env)) return { ok: false, reason: 'what it has under "env" is no object' };
  const edits = Object.entries(variables).map(([name, value]) => ({
    path: ["env", name] as const,
    value,
    makesWay: true,
  }));
  const content = editJson(blank ? "{}\n" : source, edits);
  const after = parseDict(content);
  const isAsMeant = isDeepStrictEqual(after, { ...before, env: { ...env, ...variables } });
  return isAsMeant ? { ok: true, content } : { ok: false, reason: UNUSUAL };
}

// Tried with 2.1.332: neither comments nor a comma at the end are taken.
const BROKEN =
  "it is not valid JSON (comments are not either), and Claude Code ignores the whole file for that";
const UNUSUAL = "it cannot be changed without touching the rest";
const OTHER_KEY =
  "ANTHROPIC_API_KEY is set in this shell, and Claude Code may use it instead: take it out of your shell's profile.";
