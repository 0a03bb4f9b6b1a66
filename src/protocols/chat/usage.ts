import type { Usage } from "../../turn/usage.ts";
import type { Json } from "../../wire/json.ts";

/** The turn's tokens in Chat's words. What the backend does not count is left out, not told as zero. */
export function usageOf(usage: Usage): { readonly [field: string]: Json } {
  const { input, cached, output, reasoning } = usage;
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
  };
}
