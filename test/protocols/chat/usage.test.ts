import { expect, test } from "bun:test";
import { usageOf } from "../../../src/protocols/chat/usage.ts";

test("usage is told in Chat's words, with what was cached and what was thought", () => {
  expect(usageOf({ input: 1200, cached: 1000, output: 20, reasoning: 5 })).toEqual({
    prompt_tokens: 1200,
    completion_tokens: 20,
    total_tokens: 1220,
    prompt_tokens_details: { cached_tokens: 1000 },
    completion_tokens_details: { reasoning_tokens: 5 },
  });
});
