import { describe, expect, test } from "bun:test";
import type { Usage } from "../../src/turn/usage.ts";
import { addUsage, NO_USAGE, readUsage } from "../../src/turn/usage.ts";

describe("readUsage", () => {
  const rows: [name: string, usage: unknown, expected: Usage | undefined][] = [
    [
      "a whole report",
      {
        input_tokens: 1200,
        input_tokens_details: { cached_tokens: 1000 },
        output_tokens: 20,
        output_tokens_details: { reasoning_tokens: 5 },
        total_tokens: 1220,
      },
      { input: 1200, cached: 1000, output: 20, reasoning: 5 },
    ],
    [
      "a report without details",
      { input_tokens: 3, output_tokens: 4 },
      { ...NO_USAGE, input: 3, output: 4 },
    ],
    ["half a report", { output_tokens: 4 }, { ...NO_USAGE, output: 4 }],
    ["the other half", { input_tokens: 3 }, { ...NO_USAGE, input: 3 }],
    [
      "details that are null",
      { input_tokens: 3, input_tokens_details: null },
      { ...NO_USAGE, input: 3 },
    ],
    ["a report of nothing", { input_tokens: 0, output_tokens: 0 }, NO_USAGE],
    ["null, as while a turn runs", null, undefined],
    ["no report", undefined, undefined],
    ["an empty one", {}, undefined],
    ["words", { input_tokens: "many", output_tokens: [] }, undefined],
  ];
  test.each(rows)("of %s", (_name, usage, expected) => {
    expect(readUsage({ id: "resp_1", usage })).toEqual(expected);
  });
});

test("addUsage adds each count", () => {
  const a = { input: 1, cached: 2, output: 3, reasoning: 4 };
  expect(addUsage(a, { input: 10, cached: 20, output: 30, reasoning: 40 })).toEqual({
    input: 11,
    cached: 22,
    output: 33,
    reasoning: 44,
  });
  expect(addUsage(a, NO_USAGE)).toEqual(a);
  expect(NO_USAGE).toEqual({ input: 0, cached: 0, output: 0, reasoning: 0 });
});
