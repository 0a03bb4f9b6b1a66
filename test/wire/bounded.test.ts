import { describe, expect, test } from "bun:test";
import { createBounded } from "../../src/wire/bounded.ts";

const memory = (mostBytes: number, ttlMs = 1000) =>
  createBounded<string>(() => ({ mostBytes, ttlMs }));

describe("a bounded memory", () => {
  test("gives back what it was given, until it has not been used for its time", () => {
    const bounded = memory(10_000);
    bounded.set("a", "A", 1, 0);
    expect(bounded.get("a", 999)).toBe("A");
    // The use at 999 counts.
    expect(bounded.get("a", 1998)).toBe("A");
    expect(bounded.get("a", 2998)).toBeUndefined();
    expect([bounded.count(), bounded.bytes()]).toEqual([0, 0]);
  });

  test("drops what was longest unused when there is too much", () => {
    const bounded = memory(2000);
    for (const key of ["a", "b", "c"]) bounded.set(key, key, 400, 0);
    bounded.get("a", 1);
    bounded.set("d", "d", 400, 2);
    expect(bounded.get("b", 3)).toBeUndefined();
    expect(["a", "c", "d"].map((key) => bounded.get(key, 3))).toEqual(["a", "c", "d"]);
    expect(bounded.bytes()).toBeLessThanOrEqual(2000);
  });

  test("does not keep what is larger than itself, and forgets the value it was to replace", () => {
    const bounded = memory(1000);
    bounded.set("a", "small", 10, 0);
    bounded.set("a", "large", 5000, 0);
    expect(bounded.get("a", 0)).toBeUndefined();
    expect(bounded.bytes()).toBe(0);
  });

  test("drops what is too old when something comes, without being asked for it", () => {
    const bounded = memory(10_000);
    bounded.set("a", "A", 1, 0);
    bounded.set("b", "B", 1, 5000);
    expect(bounded.count()).toBe(1);
    bounded.delete("b");
    expect(bounded.bytes()).toBe(0);
  });

  test("with a bound of nothing keeps nothing", () => {
    const bounded = memory(0);
    bounded.set("a", "A", 0, 0);
    expect(bounded.count()).toBe(0);
  });
});
