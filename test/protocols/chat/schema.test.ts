import { describe, expect, test } from "bun:test";
import { REQUEST } from "../../../src/protocols/chat/schema.ts";

describe("a request's fields", () => {
  test.each([
    ["model", 5],
    ["model", ""],
    ["messages", {}],
    ["messages", "Hi"],
    ["input", {}],
    ["instructions", []],
    ["stream", "true"],
    ["stream_options", []],
    ["tools", {}],
    ["tool_choice", 1],
    ["parallel_tool_calls", "yes"],
    ["functions", {}],
    ["function_call", 1],
    ["response_format", "json"],
    ["verbosity", "terse"],
    ["reasoning_effort", 3],
    ["service_tier", 1],
    ["prompt_cache_key", 1],
    ["session_id", 1],
    ["web_search_options", true],
    ["stop", 1],
    ["n", 0],
    ["n", 1.5],
    ["logprobs", 5],
    ["top_logprobs", -1],
    ["modalities", "text"],
    ["frequency_penalty", "1"],
    ["logit_bias", []],
    ["max_completion_tokens", "100"],
    ["max_tokens", 1.5],
    ["metadata", "x"],
    ["prediction", "x"],
    ["presence_penalty", "1"],
    ["prompt_cache_options", 1],
    ["prompt_cache_retention", 1],
    ["safety_identifier", 1],
    ["seed", 1.5],
    ["store", "no"],
    ["temperature", "0.5"],
    ["top_p", "0.5"],
    ["user", 1],
  ])("%s may not be %j", (field, value) => {
    const request = { model: "gpt-5.4", [field]: value };
    expect(REQUEST.fits(request)).toBe(false);
    expect(REQUEST.fault(request, "")).toMatchObject({ status: 400, param: field });
  });

  test("are told by their path when they lie deeper", () => {
    const request = { model: "gpt-5.4", stream_options: { include_usage: "yes" } };
    expect(REQUEST.fault(request, "")).toMatchObject({
      param: "stream_options.include_usage",
      message: "'stream_options.include_usage' must be true or false.",
    });
  });

  test("may be others than are known", () => {
    expect(REQUEST.fits({ model: "gpt-5.4", of_tomorrow: { a: 1 } })).toBe(true);
  });
});
