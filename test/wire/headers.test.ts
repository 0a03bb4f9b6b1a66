import { expect, test } from "bun:test";
import { plainHeaders } from "../../src/wire/headers.ts";

test("headers are found by their lower-case names, a repeated one joined", () => {
  const headers = new Headers([
    ["X-Codex-Plan-Type", "plus"],
    ["Vary", "origin"],
    ["vary", "accept"],
  ]);
  expect(plainHeaders(headers)).toEqual({ "x-codex-plan-type": "plus", vary: "origin, accept" });
});
