import { expect, test } from "bun:test";
import { createOffset } from "../../src/engine/offset.ts";

test("is the middle of what the first reading allows, and stays while others allow it", () => {
  const { learn, byMs } = createOffset();
  expect(byMs()).toBeUndefined();
  learn({ sentMs: 100, atMs: 1000, gotMs: 120 });
  expect(byMs()).toBe(890);
  // A slow answer says less, and nothing else.
  learn({ sentMs: 200, atMs: 1100, gotMs: 1200 });
  expect(byMs()).toBe(890);
  learn({ sentMs: 300, atMs: 1195, gotMs: 301 });
  expect(byMs()).toBe(894);
});

test("follows a clock that was set, in between or while it was read", () => {
  const { learn, byMs } = createOffset();
  learn({ sentMs: 100, atMs: 1000, gotMs: 100 });
  learn({ sentMs: 300_100, atMs: 2000, gotMs: 300_110 });
  expect(byMs()).toBe(2000 - 300_100);
  learn({ sentMs: 300_200, atMs: 3000, gotMs: 500 });
  expect(byMs()).toBe(2500);
});
