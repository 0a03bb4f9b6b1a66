import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createOrder, type Order } from "../../src/pool/order.ts";

type Item = { at: number; rank: number; readonly name: number };

function orderOf(ranks: readonly number[]): { order: Order<Item>; items: Item[] } {
  const order = createOrder<Item>((one, other) =>
    one.rank === other.rank ? one.name < other.name : one.rank < other.rank,
  );
  const items = ranks.map((rank, name) => ({ at: -1, rank, name }));
  for (const item of items) order.add(item);
  return { order, items };
}

const byRank = (one: Item, other: Item): number => one.rank - other.rank || one.name - other.name;

describe("an order", () => {
  test("that is empty has no first", () => {
    const { order } = orderOf([]);
    expect([order.first(), order.find(() => true), order.count()]).toEqual([
      undefined,
      undefined,
      0,
    ]);
  });

  test("takes out what is in it, and nothing else", () => {
    const { order, items } = orderOf([3, 1, 2]);
    order.remove({ at: -1, rank: 1, name: 9 });
    expect(order.count()).toBe(3);
    for (const item of items) order.remove(item);
    for (const item of items) order.remove(item);
    expect([order.count(), items.map(({ at }) => at)]).toEqual([0, [-1, -1, -1]]);
  });

  test("looks no further than the first that is able", () => {
    const { order } = orderOf(Array.from({ length: 10_000 }, (_, rank) => rank));
    const looked: number[] = [];
    const found = order.find(({ rank }) => {
      looked.push(rank);
      return rank >= 3;
    });
    expect(found?.rank).toBe(3);
    expect(looked.length).toBeLessThan(10);
  });
});

type Act =
  | { readonly do: "add"; readonly rank: number }
  | { readonly do: "remove" | "move"; readonly which: number; readonly rank: number };

const anAct: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ do: fc.constant("add" as const), rank: fc.nat(9) }),
  fc.record({
    do: fc.constantFrom("remove" as const, "move" as const),
    which: fc.nat(50),
    rank: fc.nat(9),
  }),
);

test("whatever happens, the first is the first, of all and of those that are able", () => {
  fc.assert(
    fc.property(fc.array(anAct, { maxLength: 80 }), fc.integer({ min: 1, max: 4 }), (acts, by) => {
      const { order } = orderOf([]);
      let model: Item[] = [];
      for (const [name, act] of acts.entries()) {
        const item = act.do === "add" ? undefined : model[act.which % Math.max(model.length, 1)];
        if (act.do === "add") {
          const fresh = { at: -1, rank: act.rank, name };
          order.add(fresh);
          model.push(fresh);
        } else if (item !== undefined && act.do === "remove") {
          order.remove(item);
          model = model.filter((other) => other !== item);
        } else if (item !== undefined) {
          item.rank = act.rank;
          order.moved(item);
        }
        const sorted = model.toSorted(byRank);
        expect(order.count()).toBe(model.length);
        expect(order.first()).toBe(sorted[0]);
        const isAble = (one: Item): boolean => one.name % by === 0;
        expect(order.find(isAble)).toBe(sorted.find(isAble));
      }
    }),
    { numRuns: 500 },
  );
});
