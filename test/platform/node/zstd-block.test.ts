import { expect, test } from "bun:test";
import { createBlocks } from "../../../src/platform/node/zstd-block.ts";

test("bytes as they are, and one byte many times", () => {
  const blocks = createBlocks(1024);
  expect([...blocks.raw(Uint8Array.of(1, 2, 3))]).toEqual([1, 2, 3]);
  expect([...blocks.repeat(7, 4)]).toEqual([7, 7, 7, 7]);
});

test("no block is larger than its window", () => {
  const blocks = createBlocks(1024);
  expect(blocks.repeat(0, 1024)).toHaveLength(1024);
  expect(() => blocks.repeat(0, 1025)).toThrow("more than a block may hold");
});

// Raw literals "ab", and one sequence out of fixed tables: both literals, then three bytes from an offset. With the
// offset's code 2 and its two more bits, 0b01 and the end mark, it is 4 + 1 - 3 = 2 (RFC 8878, 3.1.1.3.2 and 3.1.1.5).
const BACK_BY_TWO = Uint8Array.of(0x10, 0x61, 0x62, 1, 0x54, 2, 2, 0, 0b101);

test("a sequence repeats what was there before, over its own end", () => {
  const blocks = createBlocks(1024);
  expect(Buffer.from(blocks.unpack(BACK_BY_TWO)).toString()).toBe("ababa");
});

test("nobody comes back further than there is something", () => {
  const far = Uint8Array.from(BACK_BY_TWO);
  far[8] = 0b111;
  const blocks = createBlocks(1024);
  expect(() => blocks.unpack(far)).toThrow("too far back");
  blocks.raw(Uint8Array.of(0x78, 0x79));
  expect(Buffer.from(blocks.unpack(far)).toString()).toBe("abxya");
});

test("a table is not used again before there is one", () => {
  const again = Uint8Array.from(BACK_BY_TWO);
  again[4] = 0xfc;
  expect(() => createBlocks(1024).unpack(again)).toThrow("no table to use again");
  expect(() => createBlocks(1024).unpack(Uint8Array.of(0x03, 0, 0, 0))).toThrow();
});
