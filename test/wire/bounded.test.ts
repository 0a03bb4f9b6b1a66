import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Bounded, createBounded } from "../../src/wire/bounded.ts";

const memory = (mostBytes: number, ttlMs = 1000) =>
  createBounded<string>(() => ({ mostBytes, ttlMs }));

/** A bounded memory as one would write it down: slow, and plainly right. */
function createList(mostBytes: number, ttlMs: number): Bounded<string> {
  let list: { key: string; value: string; size: number; usedMs: number }[] = [];
  const bytes = () => list.reduce((sum, { size }) => sum + size, 0);
  const drop = (key: string): void => {
    list = list.filter((entry) => entry.key !== key);
  };
  return {
    bytes,
    count: () => list.length,
    entries: () => list.map(({ key, value, usedMs }) => [key, value, usedMs] as const).reverse(),
    delete: drop,
    peek: (key) => list.find((entry) => entry.key === key)?.value,
    get: (key, now) => {
      const found = list.find((entry) => entry.key === key && entry.usedMs + ttlMs > now);
      drop(key);
      if (found !== undefined) list.push({ ...found, usedMs: now });
      return found?.value;
    },
    set: (key, value, size, now) => {
      drop(key);
      list.push({ key, value, size: size + key.length + 200, usedMs: now });
      if (size + key.length + 200 > mostBytes) list.pop();
      const isOld = (usedMs: number) => usedMs + ttlMs <= now;
      while (bytes() > mostBytes || list.slice(0, 1).some(({ usedMs }) => isOld(usedMs))) {
        list.shift();
      }
    },
  };
}

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

  test("holds no more entries than it may, where their number is bound", () => {
    const bounded = createBounded<number>(() => ({ mostBytes: 10_000, mostCount: 2, ttlMs: 1000 }));
    for (const [at, key] of ["a", "b", "a", "c"].entries()) bounded.set(key, at, 0, at);
    expect(["a", "b", "c"].map((key) => bounded.get(key, 4))).toEqual([2, undefined, 3]);
  });

  test("is what a plain list of its entries in order of use would be", () => {
    const step = fc.record({
      kind: fc.constantFrom("get", "set", "delete"),
      key: fc.constantFrom("a", "b", "c", "d", "e"),
      bytes: fc.constantFrom(0, 100, 300, 900),
      waitMs: fc.constantFrom(0, 1, 400),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const both = [memory(1500), createList(1500, 1000)];
        let now = 0;
        for (const [at, { kind, key, bytes, waitMs }] of steps.entries()) {
          now += waitMs;
          const [told, expected] = both.map((each) => {
            if (kind === "set") each.set(key, `${at}`, bytes, now);
            if (kind === "delete") each.delete(key);
            return [
              kind === "get" ? each.get(key, now) : "",
              each.count(),
              each.bytes(),
              [...each.entries()],
            ];
          });
          expect(told).toEqual(expected ?? []);
        }
      }),
    );
  });

  test("can be looked into without that counting as use", () => {
    const bounded = memory(10_000);
    bounded.set("a", "A", 0, 0);
    bounded.set("b", "B", 0, 1);
    expect([bounded.peek("a"), bounded.peek("c")]).toEqual(["A", undefined]);
    expect([...bounded.entries()].map(([key]) => key)).toEqual(["b", "a"]);
  });

  test("with a bound of nothing keeps nothing", () => {
    const bounded = memory(0);
    bounded.set("a", "A", 0, 0);
    expect(bounded.count()).toBe(0);
  });
});
