import { expect, test } from "bun:test";
import { createClassifier } from "../../src/protocols/classifier.ts";

test("an error event of the turn is told as the failure it stands for, by the clock of that moment", () => {
  let now = 1_795_219_200_000;
  const classify = createClassifier("gpt-5.5", () => now);
  const event = { error: { code: "rate_limit_exceeded", message: "Try again in 20s." } };
  now += 1000;
  expect(classify(event)).toMatchObject({ kind: "rate-limited", resetsAtMs: now + 20_000 });
});
