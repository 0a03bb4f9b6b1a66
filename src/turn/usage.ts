import { type Dict, dict, number } from "../wire/json.ts";

/** Tokens of one turn as the backend counted them. `input` includes `cached`, `output` includes `reasoning`. */
export type Usage = {
  readonly input: number;
  readonly cached: number;
  readonly output: number;
  readonly reasoning: number;
};

/** No tokens: what a turn without a usage report counts as. */
export const NO_USAGE: Usage = { input: 0, cached: 0, output: 0, reasoning: 0 };

/** The usage of a Response object; undefined when the backend reported none. */
export function readUsage(response: Dict): Usage | undefined {
  const usage = dict(response["usage"]);
  const input = number(usage["input_tokens"]);
  const output = number(usage["output_tokens"]);
  if (input === undefined && output === undefined) return undefined;
  return {
    input: input ?? 0,
    cached: number(dict(usage["input_tokens_details"])["cached_tokens"]) ?? 0,
    output: output ?? 0,
    reasoning: number(dict(usage["output_tokens_details"])["reasoning_tokens"]) ?? 0,
  };
}

/** The sum of two token counts. */
export function addUsage(a: Usage, b: Usage): Usage {
  return {
    input: a.input + b.input,
    cached: a.cached + b.cached,
    output: a.output + b.output,
    reasoning: a.reasoning + b.reasoning,
  };
}
