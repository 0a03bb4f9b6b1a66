import { expect, test } from "bun:test";
import {
  backward,
  fixed,
  follow,
  log2,
  readBack,
  readHuffman,
  readTable,
  tableOf,
  unhuff,
} from "../../../src/platform/node/zstd-bits.ts";

test("bits are read from their end, and are noughts before their beginning", () => {
  const bits = backward(Uint8Array.of(0b1010_0101, 0b0000_0110));
  expect(bits.left).toBe(10);
  expect([readBack(bits, 2), readBack(bits, 4), readBack(bits, 4)]).toEqual([2, 0b1010, 0b0101]);
  expect([readBack(bits, 3), bits.left]).toEqual([0, -3]);
});

test("bits that are cut in the middle read as noughts below", () => {
  const bits = backward(Uint8Array.of(0b111));
  expect([readBack(bits, 4), bits.left]).toEqual([0b1100, -2]);
});

test("bits have an end", () => {
  expect(() => backward(Uint8Array.of(1, 0))).toThrow("without an end");
  expect(() => backward(new Uint8Array(0))).toThrow("without an end");
});

test("logarithms", () => {
  expect([1, 2, 3, 4, 255, 256].map(log2)).toEqual([0, 1, 1, 2, 7, 8]);
});

test("a distribution becomes a table in which each symbol has its share", () => {
  const { symbols, lengths, bases } = tableOf([16, 8, 4, 3, -1], 5);
  const shares = [0, 1, 2, 3, 4].map((symbol) => symbols.filter((each) => each === symbol).length);
  expect(shares).toEqual([16, 8, 4, 3, 1]);
  expect(symbols[31]).toBe(4);
  // From each state any of its symbol's followers can be reached, and together they are all states.
  for (const symbol of [0, 1, 2, 3, 4]) {
    const reached = new Set<number>();
    for (const [state, each] of symbols.entries()) {
      if (each !== symbol) continue;
      const base = bases[state] ?? 0;
      for (let more = 0; more < 2 ** (lengths[state] ?? 0); more++) reached.add(base + more);
    }
    expect(reached.size).toBe(32);
  }
});

test("a distribution that does not come out is none", () => {
  expect(() => tableOf([16, 8], 5)).toThrow("does not come out");
});

test("a table that says one thing costs no bits", () => {
  const bits = backward(Uint8Array.of(1));
  const table = fixed(9);
  expect([table.symbols[0], follow(table, 0, bits), bits.left]).toEqual([9, 0, 0]);
});

test("a described table that is too fine, or cut short, is none", () => {
  expect(() => readTable(Uint8Array.of(0x0f), 9, 35)).toThrow("too fine");
  expect(() => readTable(Uint8Array.of(0x00), 9, 35)).toThrow("does not come out");
});

test("Huffman by plain weights: two symbols of one bit each", () => {
  // One weight is told, 1; the other is what is missing.
  const { table, length } = readHuffman(Uint8Array.of(128, 0x10));
  expect([length, table.most, ...table.symbols]).toEqual([2, 1, 0, 1]);
  const to = new Uint8Array(4);
  unhuff(table, Uint8Array.of(0b1_0110), to);
  expect([...to]).toEqual([0, 1, 1, 0]);
  expect(() => unhuff(table, Uint8Array.of(0b11_0110), to)).toThrow("do not come out");
});

test("weights that cannot be are refused", () => {
  expect(() => readHuffman(Uint8Array.of(128, 0x00))).toThrow("cannot be");
  expect(() => readHuffman(Uint8Array.of(128, 0xf0))).toThrow("cannot be");
  expect(() => readHuffman(Uint8Array.of(200, 0x11))).toThrow("cut short");
});
