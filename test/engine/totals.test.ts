import { expect, test } from "bun:test";
import { createCounter } from "../../src/engine/totals.ts";
import { NOON } from "./parts.ts";

const USAGE = { input: 10, cached: 4, output: 3, reasoning: 1 };

test("a counter begins at nothing", () => {
  expect(createCounter().read(NOON)).toEqual({
    requests: 0,
    errors: 0,
    rpm: 0,
    tokens: { input: 0, cached: 0, output: 0, reasoning: 0 },
  });
});

test("requests, errors and tokens are summed", () => {
  const counter = createCounter();
  counter.add(false, USAGE, NOON);
  counter.add(true, undefined, NOON);
  counter.add(false, USAGE, NOON);
  expect(counter.read(NOON)).toMatchObject({
    requests: 3,
    errors: 1,
    tokens: { input: 20, cached: 8, output: 6, reasoning: 2 },
  });
});

test("rpm is the number of requests in the last 60 seconds, second by second", () => {
  const counter = createCounter();
  for (let second = 0; second < 120; second++) counter.add(false, undefined, NOON + second * 1000);
  const rpm = (second: number): number => counter.read(NOON + second * 1000).rpm;
  expect([119, 120, 121, 149, 178, 179, 300].map(rpm)).toEqual([60, 59, 58, 30, 1, 0, 0]);
});

test("many requests within one second all count", () => {
  const counter = createCounter();
  for (let each = 0; each < 5000; each++) counter.add(false, undefined, NOON + (each % 1000));
  expect(counter.read(NOON + 59_999).rpm).toBe(5000);
  expect(counter.read(NOON + 60_000).rpm).toBe(0);
});

test("a long silence or a clock that is set back leaves no ghosts for longer than a minute", () => {
  const counter = createCounter();
  counter.add(false, undefined, NOON);
  expect(counter.read(NOON + 86_400_000).rpm).toBe(0);
  counter.add(false, undefined, NOON + 86_400_000);
  counter.add(false, undefined, NOON);
  expect(counter.read(NOON + 61_000).rpm).toBe(0);
  expect(counter.read(NOON + 61_000).requests).toBe(3);
});
