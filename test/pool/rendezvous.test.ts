import { expect, test } from "bun:test";
import { fitOf, hashOf } from "../../src/pool/rendezvous.ts";

test("every instance makes the same number of a text, and hardly two texts have one", () => {
  // Worked out apart from this program: FNV-1a, then the finish of MurmurHash3.
  expect(hashOf("a")).toBe(0x1a80b1b3);
  const texts = Array.from({ length: 20_000 }, (_, at) => `account ${at}`);
  expect(new Set(texts.map(hashOf)).size).toBeGreaterThan(19_990);
});

test("keys spread evenly over those that they may go to, and only those of one that goes move", () => {
  const places = Array.from({ length: 8 }, (_, at) => hashOf(`instance ${at}`));
  const keys = Array.from({ length: 8000 }, (_, at) => hashOf(`key ${at}`));
  const best = (key: number, of: readonly number[]): number =>
    of.reduce((one, other) => (fitOf(key, other) > fitOf(key, one) ? other : one));
  const before = keys.map((key) => best(key, places));
  for (const place of places) {
    const share = before.filter((each) => each === place).length;
    expect(share).toBeGreaterThan(850);
    expect(share).toBeLessThan(1150);
  }
  const [gone, ...left] = places;
  for (const [at, key] of keys.entries()) {
    const now = best(key, left);
    if (before[at] !== gone) expect(now).toBe(before[at] ?? 0);
  }
});

test("a fit is above 0 and below 1", () => {
  for (let at = 0; at < 10_000; at++) {
    const fit = fitOf(at, hashOf(`${at}`));
    expect(fit > 0 && fit < 1).toBe(true);
  }
});
