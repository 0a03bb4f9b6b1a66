import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { askWith, createConnections, type Permit } from "../../src/net/connections.ts";
import { createManualClock } from "../support/clock.ts";

/** A count with this limit, whose turns wait in `turns`. */
function stage(limit: number) {
  const bounds = { limit };
  const turns: ((permit: Permit) => void)[] = [];
  const clock = createManualClock(0);
  const connections = createConnections({
    clock,
    limit: () => bounds.limit,
    onFree: () => {
      while (turns.length > 0 && connections.hasFree()) turns.shift()?.(connections.take(false));
    },
  });
  const order: string[] = [];
  const permits = new Map<string, Permit>();
  const note = (name: string, permit: Permit | undefined): void => {
    if (permit === undefined) return;
    order.push(name);
    permits.set(name, permit);
  };
  return {
    bounds,
    clock,
    connections,
    order,
    turn: (name: string) => {
      if (connections.hasFree()) note(name, connections.take(false));
      else turns.push((permit) => note(name, permit));
    },
    small: (name: string, signal = new AbortController().signal) =>
      void connections.enter(false, signal).then((permit) => note(name, permit)),
    release: (name: string, busy?: Promise<void>) => permits.get(name)?.release(busy),
  };
}

/** Lets what has been resolved be heard. */
async function hear(): Promise<void> {
  for (let i = 0; i < 6; i++) await Promise.resolve();
}

describe("a turn that gives its connection back for a while", () => {
  test("has one again before all who wait, and others had it meanwhile", async () => {
    const { connections, order, turn, small, release } = stage(1);
    turn("one");
    turn("two");
    release("one");
    small("small");
    const again = connections.again(false, new AbortController().signal);
    void again.then((permit) => permit && order.push("one again"));
    await hear();
    expect(order).toEqual(["one", "two"]);
    turn("three");
    release("two");
    await hear();
    expect(order).toEqual(["one", "two", "one again"]);
    (await again)?.release();
    await hear();
    expect(order.slice(3).toSorted()).toEqual(["small"]);
  });

  test("leaves nothing behind when nobody wants it any more", async () => {
    const { connections, turn, release } = stage(1);
    turn("one");
    const left = new AbortController();
    const again = connections.again(false, left.signal);
    left.abort();
    expect(await again).toBeUndefined();
    release("one");
    expect(connections.counts().inUse).toBe(0);
  });
});

describe("connections", () => {
  test("are as many as the limit says, and without one as many as come", () => {
    const { connections } = stage(2);
    const first = connections.take(false);
    expect(connections.hasFree()).toBe(true);
    connections.take(false);
    expect([connections.hasFree(), connections.counts()]).toEqual([
      false,
      { limit: 2, inUse: 2, streams: 0, waiting: 0 },
    ]);
    first.release();
    first.release();
    expect(connections.counts().inUse).toBe(1);
    const free = stage(0).connections;
    for (let i = 0; i < 1000; i++) free.take(false);
    expect(free.hasFree()).toBe(true);
  });

  test("are shared by a hundred streams each", () => {
    const { connections } = stage(1);
    for (let i = 0; i < 99; i++) connections.take(true);
    expect(connections.hasFree()).toBe(true);
    const last = connections.take(true);
    expect([connections.hasFree(), connections.counts()]).toEqual([
      false,
      { limit: 1, inUse: 0, streams: 100, waiting: 0 },
    ]);
    last.release();
    expect(connections.hasFree()).toBe(true);
  });

  test("are free once nothing keeps them busy, also where that fails", async () => {
    const { connections } = stage(1);
    for (const end of ["resolve", "reject"] as const) {
      const busy = Promise.withResolvers<void>();
      const permit = connections.take(false);
      permit.release(busy.promise);
      await hear();
      expect(connections.hasFree()).toBe(false);
      busy[end]();
      await hear();
      expect(connections.hasFree()).toBe(true);
    }
  });

  test("stay in use for a moment where a request was stopped", async () => {
    const { connections, clock } = stage(1);
    const answer = async () => new Response();
    const ask = async (signal: AbortSignal): Promise<void> => {
      const permit = connections.take(false);
      await askWith(permit, answer)("http://backend", { headers: {}, signal, proxy: undefined });
      permit.release();
    };
    await ask(new AbortController().signal);
    expect(connections.hasFree()).toBe(true);
    await ask(AbortSignal.abort());
    expect(connections.hasFree()).toBe(false);
    clock.advance(50);
    expect(connections.hasFree()).toBe(true);
  });

  test("go to small calls in the order of asking", async () => {
    const { small, turn, release, order, connections } = stage(1);
    turn("turn");
    small("a");
    small("b");
    await hear();
    expect([order, connections.counts().waiting]).toEqual([["turn"], 2]);
    for (const name of ["turn", "a", "b"]) {
      release(name);
      await hear();
    }
    small("c");
    await hear();
    expect(order).toEqual(["turn", "a", "b", "c"]);
  });

  test("go to turns and small calls by turns", async () => {
    const { small, turn, release, order } = stage(1);
    turn("turn 1");
    for (const name of ["a", "b", "c"]) small(name);
    for (const name of ["turn 2", "turn 3"]) turn(name);
    await hear();
    for (const name of ["turn 1", "a", "turn 2", "b", "turn 3"]) {
      release(name);
      await hear();
    }
    expect(order).toEqual(["turn 1", "a", "turn 2", "b", "turn 3", "c"]);
  });

  test("are never all with small calls", async () => {
    const { small, turn, release, order, connections } = stage(12);
    for (let i = 0; i < 20; i++) small(`small ${i}`);
    await hear();
    expect([order.length, connections.counts()]).toMatchObject([3, { inUse: 3, waiting: 17 }]);
    for (let i = 0; i < 9; i++) turn(`turn ${i}`);
    expect(order).toHaveLength(12);
    release("small 1");
    await hear();
    expect(order.at(-1)).toBe("small 3");
  });

  test("are not waited for by whom nobody waits for", async () => {
    const { small, turn, release, order, connections } = stage(1);
    turn("turn");
    const leaving = new AbortController();
    small("gone", leaving.signal);
    small("next");
    leaving.abort();
    await hear();
    expect(connections.counts().waiting).toBe(1);
    release("turn");
    await hear();
    expect(order).toEqual(["turn", "next"]);
    expect(await connections.enter(false, AbortSignal.abort())).toBeUndefined();
    expect(connections.counts().waiting).toBe(0);
  });

  test("that a new limit allows are given out when somebody looks", async () => {
    const { small, turn, order, bounds, connections } = stage(1);
    turn("one");
    turn("two");
    small("a");
    bounds.limit = 3;
    connections.look();
    await hear();
    expect(order.toSorted()).toEqual(["a", "one", "two"]);
    bounds.limit = 1;
    expect(connections.hasFree()).toBe(false);
  });

  test("keep the limit and forget nobody, whatever happens", async () => {
    const anAct = fc.record({
      act: fc.constantFrom("turn", "small", "release", "leave", "limit"),
      which: fc.nat(20),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(anAct, { maxLength: 80 }), async (acts) => {
        const { connections, turn, small, release, order, bounds } = stage(2);
        const held = new Set<string>();
        const leaving: AbortController[] = [];
        let heard = 0;
        let turns = 0;
        const settleUp = async (): Promise<void> => {
          await hear();
          for (const name of order.slice(heard)) held.add(name);
          heard = order.length;
          expect(connections.counts().inUse).toBe(held.size);
        };
        const giveBack = (which: number): void => {
          const name = [...held][which % Math.max(held.size, 1)] ?? "";
          release(name);
          held.delete(name);
        };
        const does: Record<string, (which: number, number: number) => void> = {
          turn: (_, number) => {
            turns += 1;
            turn(`turn ${number}`);
          },
          small: (_, number) => {
            const controller = new AbortController();
            leaving.push(controller);
            small(`small ${number}`, controller.signal);
          },
          release: giveBack,
          leave: (which) => leaving[which % Math.max(leaving.length, 1)]?.abort(),
          limit: (which) => {
            bounds.limit = 1 + (which % 4);
            connections.look();
          },
        };
        for (const [number, { act, which }] of acts.entries()) {
          const most = Math.max(bounds.limit, held.size);
          does[act]?.(which, number);
          await settleUp();
          expect(held.size).toBeLessThanOrEqual(Math.max(bounds.limit, most));
        }
        while (held.size > 0) {
          giveBack(0);
          await settleUp();
        }
        expect(order.filter((name) => name.startsWith("turn"))).toHaveLength(turns);
        expect(connections.counts()).toMatchObject({ inUse: 0, waiting: 0 });
      }),
      { numRuns: 150 },
    );
  });
});
