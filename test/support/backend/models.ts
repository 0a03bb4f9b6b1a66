import type { Dict } from "../../../src/wire/json.ts";

const EFFORTS = {
  low: "Fast responses with lighter reasoning",
  medium: "Balances speed and reasoning depth for everyday tasks",
  high: "Greater reasoning depth for complex problems",
  xhigh: "Extra high reasoning depth for complex problems",
  max: "Maximum reasoning depth for the hardest problems",
  ultra: "Maximum reasoning with automatic task delegation",
} as const;

type Effort = keyof typeof EFFORTS;

type Traits = {
  readonly slug: string;
  readonly name: string;
  readonly words: string;
  readonly efforts: readonly Effort[];
  readonly usual: Effort;
  readonly priority: number;
  readonly isHidden?: boolean;
  readonly isLite?: boolean;
  readonly largestContext: number;
};

const TO_XHIGH: readonly Effort[] = ["low", "medium", "high", "xhigh"];

/** A catalogue entry with the keys that Codex CLI 0.169.0 reads. */
function modelInfo(traits: Traits): Dict {
  const isLite = traits.isLite === true;
  return {
    slug: traits.slug,
    display_name: traits.name,
    description: traits.words,
    default_reasoning_level: traits.usual,
    supported_reasoning_levels: traits.efforts.map((effort) => ({
      effort,
      description: EFFORTS[effort],
    })),
    shell_type: "unified_exec",
    visibility: traits.isHidden === true ? "hide" : "list",
    supported_in_api: true,
    priority: traits.priority,
    additional_speed_tiers: ["fast"],
    service_tiers: [{ id: "priority", name: "Fast", description: "1.5x speed, increased usage" }],
    availability_nux: null,
    upgrade: null,
    base_instructions: "You are Codex, a coding agent.",
    include_skills_usage_instructions: !isLite,
    include_plugin_usage_instructions: !isLite,
    include_apps_usage_instructions: !isLite,
    default_reasoning_summary: "none",
    support_verbosity: true,
    default_verbosity: "low",
    apply_patch_tool_type: "freeform",
    web_search_tool_type: "text_and_image",
    truncation_policy: { mode: "tokens", limit: 10_000 },
    supports_image_detail_original: true,
    context_window: 272_000,
    max_context_window: traits.largestContext,
    comp_hash: isLite ? "3000" : "2911",
    effective_context_window_percent: 95,
    experimental_supported_tools: [],
    input_modalities: ["text", "image"],
    supports_search_tool: true,
    supports_experimental_context: false,
    use_responses_lite: isLite,
    supports_reasoning_effort_updates: false,
    node_repl_auto_review_required: isLite,
    node_repl_disabled: false,
    ...(isLite ? { tool_mode: "code_mode_only", multi_agent_version: "v2" } : {}),
  };
}

/** What `/codex/models` answers unless a test gives its own catalogue. */
export const CATALOGUE: readonly Dict[] = [
  modelInfo({
    slug: "gpt-6-sol",
    name: "GPT-6-Sol",
    words: "Previous generation workhorse model.",
    efforts: [...TO_XHIGH, "max", "ultra"],
    usual: "medium",
    priority: 3,
    isLite: true,
    largestContext: 872_000,
  }),
  modelInfo({
    slug: "gpt-5.5",
    name: "GPT-5.5",
    words: "Legacy coding model.",
    efforts: TO_XHIGH,
    usual: "medium",
    priority: 13,
    largestContext: 272_000,
  }),
  modelInfo({
    slug: "gpt-5.4",
    name: "GPT-5.4",
    words: "Older coding model.",
    efforts: TO_XHIGH,
    usual: "xhigh",
    priority: 14,
    largestContext: 272_000,
  }),
  modelInfo({
    slug: "gpt-5.4-mini",
    name: "GPT-5.4-Mini",
    words: "Smaller, faster model.",
    efforts: TO_XHIGH,
    usual: "medium",
    priority: 15,
    largestContext: 272_000,
  }),
  modelInfo({
    slug: "codex-auto-review",
    name: "Codex Auto Review",
    words: "Automatic approval review model for Codex.",
    efforts: [...TO_XHIGH, "max"],
    usual: "medium",
    priority: 43,
    isHidden: true,
    isLite: true,
    largestContext: 872_000,
  }),
];

/** The seed's base models: taken by default although the catalogue does not list them all. */
export const SEED_MODELS: readonly string[] = [
  "gpt-5",
  "gpt-5-codex",
  "gpt-5-codex-mini",
  "gpt-5.1",
  "gpt-5.1-codex",
  "gpt-5.1-codex-mini",
  "gpt-5.1-codex-max",
  "gpt-5.2",
  "gpt-5.2-codex",
  "gpt-5.3-codex",
  "gpt-5.4",
  "gpt-5.4-mini",
];
