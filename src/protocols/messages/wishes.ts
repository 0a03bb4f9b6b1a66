import type { ModelChoice } from "../../turn/model.ts";
import { repairSchema } from "../../turn/repair.ts";
import { isStrictSchema } from "../../turn/strict.ts";
import type { Dict } from "../../wire/json.ts";
import { findSchemaFault } from "../json-schema.ts";
import type { Reading } from "../reading.ts";
import { readEffort } from "./effort.ts";
import { FORMAT, OUTPUT_CONFIG, THINKING } from "./schema.ts";

/** Whether the client is told thoughts: as words, as signatures without words, or not at all. */
export type Thinking = "shown" | "omitted" | "none";

/** What a request wants of the model's thinking and of the form of its answer. */
export type Wishes = {
  /** `reasoning` and `text` of the backend's body, where there is anything to say. */
  readonly fields: Dict;
  readonly effort: string | undefined;
  readonly thinking: Thinking;
  /** What the client asked for and cannot have, by its path. */
  readonly removed: readonly string[];
};

/** The fields that this is about, as they came. */
type Asked = {
  readonly thinking?: unknown;
  readonly output_config?: unknown;
  readonly output_format?: unknown;
};

/**
 * Reads `thinking`, `output_config` and the older `output_format`. `laterEffort` is one that the conversation itself
 * has asked for since.
 */
export function readWishes(
  asked: Asked,
  laterEffort: string | undefined,
  choice: ModelChoice,
  reading: Reading,
): Wishes {
  const thinking = reading.optional(THINKING, asked.thinking, "thinking");
  const output = reading.optional(OUTPUT_CONFIG, asked.output_config, "output_config");
  const isDisabled = thinking?.type === "disabled";
  const budgetTokens = thinking?.type === "enabled" ? thinking.budget_tokens : undefined;
  const wish = {
    effort: laterEffort ?? output?.effort ?? undefined,
    budgetTokens: budgetTokens ?? undefined,
    isDisabled,
  };
  const effort = readEffort(wish, choice);
  const told = tellThoughts(thinking, isDisabled);
  const format =
    readFormat(output?.format, "output_config.format", reading) ??
    readFormat(asked.output_format, "output_format", reading);
  const reasoning = {
    ...(effort === undefined ? {} : { effort }),
    // Without it the backend thinks silently.
    ...(told === "shown" ? { summary: "auto" } : {}),
  };
  return {
    fields: {
      ...(Object.keys(reasoning).length > 0 ? { reasoning } : {}),
      ...(format === undefined ? {} : { text: { format: format.wire } }),
    },
    effort,
    thinking: told,
    removed: format?.removed ?? [],
  };
}

/**
 * Who did not ask for thinking gets no blocks of it, as with Claude: many programs take the first block for the answer.
 * What Claude does by default differs from model to model; here thoughts are shown unless they were asked to be omitted.
 */
function tellThoughts(
  thinking: { readonly display?: string | null } | undefined,
  isDisabled: boolean,
): Thinking {
  if (thinking === undefined || isDisabled) return "none";
  return thinking.display === "omitted" ? "omitted" : "shown";
}

function readFormat(
  value: unknown,
  path: string,
  reading: Reading,
): { readonly wire: Dict; readonly removed: readonly string[] } | undefined {
  const format = reading.optional(FORMAT, value, path);
  if (format === undefined) return undefined;
  const fault = findSchemaFault(format.schema, `${path}.schema`);
  if (fault !== undefined) reading.refuse(fault);
  const schema = repairSchema(format.schema);
  // Claude holds to any schema; the backend only to one that it takes as strict.
  const strict = isStrictSchema(schema);
  return {
    wire: { type: "json_schema", name: "answer", schema, strict },
    removed: strict ? [] : [`${path} (strict)`],
  };
}
