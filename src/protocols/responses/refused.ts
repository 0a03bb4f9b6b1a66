/**
 * Top-level parameters that the backend answers with 400, so that they are taken out of every request
 * (upstream.md 3.2). `previous_response_id` is not among them: dropping it would lose the conversation.
 */
export const REFUSED_PARAMETERS: ReadonlySet<string> = new Set([
  "background",
  "context_management",
  "context_window",
  "frequency_penalty",
  "generate",
  "logit_bias",
  "logprobs",
  "max_completion_tokens",
  "max_output_tokens",
  "max_tokens",
  "max_tool_calls",
  "metadata",
  "n",
  "presence_penalty",
  "prompt_cache_retention",
  "safety_identifier",
  "seed",
  "stop",
  "stream_options",
  "temperature",
  "top_logprobs",
  "top_p",
  "truncation",
  "truncation_policy",
  "user",
]);
