import { type Dict, dict, isDict, list } from "../../../src/wire/json.ts";
import { detail, modelError, type Refusal, unsupportedModel } from "./faults.ts";
import { sealOwner } from "./tokens.ts";

/** What the checks must know besides the request. */
export type CheckScene = {
  /** Name of the account that asks: encrypted content is bound to it. */
  readonly account: string;
  readonly knowsModel: (model: string) => boolean;
  /** Default true. */
  readonly knowsTrigger?: boolean;
};

/** Parameters that `/codex/responses` refuses (upstream.md 3.2). */
export const REFUSED_PARAMETERS: readonly string[] = [
  "max_output_tokens",
  "max_tool_calls",
  "temperature",
  "top_p",
  "frequency_penalty",
  "presence_penalty",
  "stream_options",
  "truncation",
  "metadata",
  "safety_identifier",
  "background",
  "previous_response_id",
  "user",
  "prompt_cache_retention",
  "max_tokens",
  "max_completion_tokens",
  "n",
  "stop",
  "seed",
  "logprobs",
  "logit_bias",
];

const REFUSED_BY_COMPACT: readonly string[] = [
  ...REFUSED_PARAMETERS,
  "service_tier",
  "prompt_cache_options",
  "store",
  "stream",
];

const LONGEST_ID = 64;

type Check = (body: Dict, scene: CheckScene) => Refusal | undefined;

/** In the order in which the backend finds fault. */
const CHECKS: readonly Check[] = [
  (body) => (body["store"] === false ? undefined : detail(400, "Store must be set to false")),
  (body) => (body["stream"] === true ? undefined : detail(400, "Stream must be set to true")),
  inputIsList,
  noSystemRole,
  (body) => noParameterOf(REFUSED_PARAMETERS, body),
  serviceTier,
  knownModel,
  triggerKnown,
  lengths,
  flatTools,
  assistantText,
  arraySchemas,
  callsAnswered,
  reasoningKept,
  ownSecrets,
];

const COMPACT_CHECKS: readonly Check[] = [
  inputIsList,
  noSystemRole,
  (body) => noParameterOf(REFUSED_BY_COMPACT, body),
  knownModel,
  lengths,
  flatTools,
  assistantText,
  arraySchemas,
  callsAnswered,
  reasoningKept,
  ownSecrets,
];

/** The first thing the backend would refuse a turn for, or undefined for a good one. */
export function checkTurn(body: Dict, scene: CheckScene): Refusal | undefined {
  return firstOf(CHECKS, body, scene);
}

/** The same for `/codex/responses/compact`, which knows neither `store` nor `stream`. */
export function checkCompact(body: Dict, scene: CheckScene): Refusal | undefined {
  return firstOf(COMPACT_CHECKS, body, scene);
}

function firstOf(checks: readonly Check[], body: Dict, scene: CheckScene): Refusal | undefined {
  for (const check of checks) {
    const refusal = check(body, scene);
    if (refusal) return refusal;
  }
  return undefined;
}

function itemsOf(body: Dict): readonly Dict[] {
  return list(body["input"]).map(dict);
}

function inputIsList(body: Dict): Refusal | undefined {
  return Array.isArray(body["input"]) ? undefined : detail(400, "Input must be a list");
}

function noSystemRole(body: Dict): Refusal | undefined {
  const hasSystem = itemsOf(body).some((item) => item["role"] === "system");
  return hasSystem ? detail(400, "System messages are not allowed") : undefined;
}

function noParameterOf(refused: readonly string[], body: Dict): Refusal | undefined {
  const name = refused.find((parameter) => parameter in body);
  return name === undefined ? undefined : detail(400, `Unsupported parameter: ${name}`);
}

function serviceTier(body: Dict): Refusal | undefined {
  const tier = body["service_tier"];
  if (tier === undefined || tier === null || tier === "priority" || tier === "flex")
    return undefined;
  return detail(400, `Unsupported service_tier: ${String(tier)}`);
}

function knownModel(body: Dict, scene: CheckScene): Refusal | undefined {
  const model = body["model"];
  if (typeof model === "string" && scene.knowsModel(model)) return undefined;
  return detail(400, unsupportedModel(String(model)));
}

function triggerKnown(body: Dict, scene: CheckScene): Refusal | undefined {
  if (scene.knowsTrigger !== false) return undefined;
  const at = itemsOf(body).findIndex((item) => item["type"] === "compaction_trigger");
  if (at < 0) return undefined;
  return modelError(
    "Invalid value: 'compaction_trigger'. Supported values are: 'message', 'reasoning' and 'function_call'.",
    { param: `input[${at}].type`, code: "invalid_value" },
  );
}

function lengths(body: Dict): Refusal | undefined {
  const measured: [path: string, value: unknown][] = [];
  for (const [at, item] of itemsOf(body).entries()) {
    measured.push([`input[${at}].id`, item["id"]], [`input[${at}].call_id`, item["call_id"]]);
  }
  for (const [at, tool] of list(body["tools"]).entries()) {
    measured.push([`tools[${at}].name`, dict(tool)["name"]]);
  }
  measured.push(["prompt_cache_key", body["prompt_cache_key"]]);
  for (const [path, value] of measured) {
    if (typeof value === "string" && value.length > LONGEST_ID) return tooLong(path, value.length);
  }
  return undefined;
}

function tooLong(path: string, length: number): Refusal {
  return modelError(
    `Invalid '${path}': string too long. Expected a string with maximum length ${LONGEST_ID}, ` +
      `but got a string with length ${length} instead.`,
    { param: path, code: "string_above_max_length" },
  );
}

function flatTools(body: Dict): Refusal | undefined {
  for (const [at, each] of list(body["tools"]).entries()) {
    const tool = dict(each);
    if (tool["type"] === "function" && typeof tool["name"] !== "string") {
      const param = `tools[${at}].name`;
      return modelError(`Missing required parameter: '${param}'.`, {
        param,
        code: "missing_required_parameter",
      });
    }
  }
  return undefined;
}

function assistantText(body: Dict): Refusal | undefined {
  for (const [at, item] of itemsOf(body).entries()) {
    if (item["role"] !== "assistant") continue;
    const wrong = list(item["content"]).findIndex((part) => dict(part)["type"] === "input_text");
    if (wrong < 0) continue;
    return modelError(
      "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
      { param: `input[${at}].content[${wrong}]`, code: "invalid_value" },
    );
  }
  return undefined;
}

function arraySchemas(body: Dict): Refusal | undefined {
  for (const [at, each] of list(body["tools"]).entries()) {
    const tool = dict(each);
    if (tool["type"] !== "function") continue;
    const path = arrayWithoutItems(tool["parameters"], []);
    if (!path) continue;
    const context =
      path.length === 1 ? `('${path[0]}',)` : `(${path.map((key) => `'${key}'`).join(", ")})`;
    return modelError(
      `Invalid schema for function '${String(tool["name"])}': In context=${path.length === 0 ? "()" : context}, array schema missing items.`,
      { param: `tools[${at}].parameters`, code: "invalid_function_parameters" },
    );
  }
  return undefined;
}

/** Path of the first array schema that does not say what it holds. */
function arrayWithoutItems(
  schema: unknown,
  path: readonly string[],
): readonly string[] | undefined {
  if (!isDict(schema)) return undefined;
  const type = schema["type"];
  const isArray = type === "array" || list(type).includes("array");
  if (isArray && !("items" in schema)) return path;
  for (const key of ["properties", "$defs", "definitions"]) {
    for (const [name, inner] of Object.entries(dict(schema[key]))) {
      const found = arrayWithoutItems(inner, [...path, key, name]);
      if (found) return found;
    }
  }
  for (const key of ["items", "additionalProperties"]) {
    const found = arrayWithoutItems(schema[key], [...path, key]);
    if (found) return found;
  }
  for (const key of ["anyOf", "oneOf", "allOf", "prefixItems"]) {
    for (const [at, inner] of list(schema[key]).entries()) {
      const found = arrayWithoutItems(inner, [...path, key, String(at)]);
      if (found) return found;
    }
  }
  return undefined;
}

const PAIRS = [
  ["function_call", "function_call_output", "function call"],
  ["custom_tool_call", "custom_tool_call_output", "custom tool call"],
] as const;

function callsAnswered(body: Dict): Refusal | undefined {
  const items = itemsOf(body);
  for (const [call, output, words] of PAIRS) {
    const asked = callIds(items, call);
    const answered = callIds(items, output);
    const open = asked.find((id) => !answered.includes(id));
    if (open !== undefined) {
      return modelError(`No tool output found for ${words} ${open}.`, { param: "input" });
    }
    const orphan = answered.find((id) => !asked.includes(id));
    if (orphan !== undefined) {
      return modelError(`No tool call found for ${words} output with call_id ${orphan}.`, {
        param: "input",
      });
    }
  }
  return undefined;
}

function callIds(items: readonly Dict[], type: string): readonly string[] {
  return items.filter((item) => item["type"] === type).map((item) => String(item["call_id"]));
}

function reasoningKept(body: Dict): Refusal | undefined {
  const lost = itemsOf(body).find(
    (item) =>
      item["type"] === "reasoning" &&
      typeof item["id"] === "string" &&
      typeof item["encrypted_content"] !== "string",
  );
  if (!lost) return undefined;
  return modelError(
    `Item with id '${String(lost["id"])}' not found. Items are not persisted when \`store\` is set to false. ` +
      "Try again with `store` set to true, or remove this item from your input.",
    { param: "input" },
  );
}

function ownSecrets(body: Dict, scene: CheckScene): Refusal | undefined {
  for (const item of itemsOf(body)) {
    const content = item["encrypted_content"];
    if (typeof content !== "string" || sealOwner(content) === scene.account) continue;
    const shown = `${content.slice(0, 4)}...${content.slice(-4)}`;
    return modelError(
      `The encrypted content ${shown} could not be verified. Reason: Encrypted content could not be decrypted or parsed.`,
      { code: "invalid_encrypted_content" },
    );
  }
  return undefined;
}
