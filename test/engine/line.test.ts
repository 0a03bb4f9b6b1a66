import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createLine, type LineOptions, type Place, type Seat } from "../../src/engine/line.ts";
import { createWaits } from "../../src/engine/waits.ts";
import { type Connections, createConnections } from "../../src/net/connections.ts";
import { createPool, type Wish } from "../../src/pool/pool.ts";
import type { Outcome } from "../../src/pool/settle.ts";
import { createStop, type Stop } from "../../src/turn/stop.ts";
import { createManualClock } from "../support/clock.ts";
import { listen, loginOf, NOON } from "./parts.ts";

const MODEL = "gpt-5.4";
const LEFT = { kind: "client-left", message: "The client went away." } as const;
const spent: Outcome = { type: "failed", failure: { kind: "exhausted", message: "said so" } };

/** A real pool of these accounts behind a line, and as many connections as are allowed. */
function stage(names: readonly string[], options: Partial<LineOptions> = {}) {
  const bounds: { -readonly [name in keyof LineOptions]: number } = {
    waitMs: 20_000,
    mostInFlight: 1,
    mostConnections: 0,
    ...options,
  };
  const clock = createManualClock(NOON);
  const pool = createPool(() => ({
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector: "round-robin",
    affinityTtlMs: 3_600_000,
    mostInFlight: bounds.mostInFlight,
  }));
  const logins = names.map((name) => loginOf(name));
  pool.sync(logins, NOON);
  const { log, lines } = listen();
  const limit = () => bounds.mostConnections;
  const connections: Connections = createConnections({
    clock,
    limit,
    onFree: () => line.callNext(),
  });
  const waits = createWaits({ limit, log });
  const line = createLine({
    clock,
    pick: (wish) => pool.pick(wish, clock.now()),
    hasPlace: (wish) => pool.hasPlace(wish, clock.now()),
    isCrowded: (wish) => pool.isCrowded(wish, clock.now()),
    connections,
    isShared: () => false,
    waits,
    options: () => bounds,
  });
  let sessions = 0;
  /** Asks for an account, and keeps what comes of it. */
  const ask = (rest: Partial<Wish> = {}, waitedMs = 0) => {
    sessions += 1;
    const stop = createStop();
    const wish = { sessionKey: `s-${sessions}`, model: MODEL, tried: new Set<string>(), ...rest };
    const asked: Asked = { name: sessions, wish, stop, place: undefined, isDone: false };
    const taken = line.take(wish, stop, waitedMs);
    const keep = (place: Place): void => {
      asked.place = place;
      asked.isDone = true;
    };
    if (taken instanceof Promise) taken.then(keep, keep);
    else keep(taken);
    return asked;
  };
  const ids = logins.map(({ identity }) => identity);
  return { bounds, clock, pool, line, connections, waits, lines, ask, ids, logins };
}

type Asked = {
  readonly name: number;
  readonly wish: Wish;
  readonly stop: Stop;
  place: Place;
  isDone: boolean;
};

function leaseOf({ place }: Asked): Seat | undefined {
  return place !== undefined && "release" in place ? place : undefined;
}

/** Lets what has been resolved be heard. */
async function hear(): Promise<void> {
  for (let i = 0; i < 4; i++) await Promise.resolve();
}

describe("a line", () => {
  test("gives an account at once where there is one, and none where nobody could serve", async () => {
    const { ask, line, pool, ids } = stage(["a"]);
    expect(leaseOf(ask())?.accountId).toBe(ids[0] ?? "");
    expect(ask({ tried: new Set(ids) })).toMatchObject({ isDone: true, place: undefined });
    pool.settle(ids[0] ?? "", spent, NOON);
    expect(ask()).toMatchObject({ isDone: true, place: undefined });
    expect(line.count()).toBe(0);
  });

  test("serves who came first", async () => {
    const { ask, line } = stage(["a"]);
    const first = ask();
    const waiting = [ask(), ask(), ask()];
    await hear();
    expect([line.count(), waiting.map(({ isDone }) => isDone)]).toEqual([3, [false, false, false]]);
    leaseOf(first)?.release(NOON);
    // Whoever comes now finds the place taken.
    const late = ask();
    await hear();
    expect(waiting.map(({ isDone }) => isDone)).toEqual([true, false, false]);
    for (const { place } of waiting) expect(place === undefined || "release" in place).toBe(true);
    for (const asked of [...waiting, late]) {
      await hear();
      leaseOf(asked)?.release(NOON);
    }
    expect(line.count()).toBe(0);
  });

  test("B6-9: one caller's burst does not keep the others waiting behind it", async () => {
    const { ask } = stage(["a", "b"], { mostInFlight: 2 });
    const burst = Array.from({ length: 10 }, () => ask({ caller: "busy" }));
    const quiet = ask({ caller: "quiet" });
    const other = ask({ caller: "other" });
    await hear();
    expect(burst.filter(({ isDone }) => isDone)).toHaveLength(4);
    for (const asked of burst.slice(0, 2)) leaseOf(asked)?.release(NOON);
    await hear();
    expect([quiet.isDone, other.isDone, burst[4]?.isDone]).toEqual([true, true, false]);
    // Served as much as each other, who came first comes first.
    leaseOf(quiet)?.release(NOON);
    const late = ask({ caller: "quiet" });
    await hear();
    expect([burst[4]?.isDone, late.isDone]).toEqual([true, false]);
    leaseOf(other)?.release(NOON);
    await hear();
    expect([burst[5]?.isDone, late.isDone]).toEqual([false, true]);
  });

  test("passes by whom the account that came free cannot serve", async () => {
    const { ask, ids } = stage(["a", "b"]);
    const [one, two] = [ask(), ask()];
    const picky = ask({ tried: new Set([leaseOf(one)?.accountId ?? ""]) });
    const easy = ask();
    leaseOf(one)?.release(NOON);
    await hear();
    expect([picky.isDone, leaseOf(easy)?.accountId]).toEqual([false, ids[0] ?? ""]);
    leaseOf(two)?.release(NOON);
    await hear();
    expect(leaseOf(picky)?.accountId).toBe(ids[1] ?? "");
  });

  test("sends away who has waited too long, and says why", async () => {
    const { ask, clock, line } = stage(["a"], { mostInFlight: 1, waitMs: 20_000 });
    ask();
    const asked = ask();
    const again = ask({}, 15_000);
    clock.advance(5000);
    await hear();
    expect([again.isDone, asked.isDone]).toEqual([true, false]);
    clock.advance(15_000);
    await hear();
    expect(asked.place).toEqual({
      kind: "rate-limited",
      code: "rate_limit_exceeded",
      message:
        "Every account that could serve this is serving as many requests as account-max-in-flight allows (1), and none came free within 20 s (account-wait-sec). Try again in a moment, or allow more.",
      resetsAtMs: NOON + 25_000,
    });
    expect(line.count()).toBe(0);
  });

  test("is none where nobody may wait, or where the time for it is used up", () => {
    const { ask } = stage(["a"], { waitMs: 0 });
    ask();
    expect(ask().place).toMatchObject({ kind: "rate-limited" });
    const patient = stage(["a"]);
    patient.ask();
    expect(patient.ask({}, 20_000).place).toMatchObject({ kind: "rate-limited" });
  });

  test("has an end", async () => {
    const { ask, line } = stage(["a"]);
    const first = ask();
    for (let i = 0; i < 1000; i++) ask();
    const beyond = ask();
    expect(beyond.place).toMatchObject({
      kind: "rate-limited",
      message: expect.stringContaining("(1), and 1000 wait already."),
    });
    expect(line.count()).toBe(1000);
    leaseOf(first)?.release(NOON);
    expect(line.count()).toBe(999);
  });

  test("of equals begins with whoever has been served already, and failed", async () => {
    const { ask, ids } = stage(["a", "b"]);
    const [first, other] = [ask(), ask()];
    const fresh = ask();
    const again = ask({ tried: new Set(ids.slice(0, 1)) });
    leaseOf(other)?.release(NOON);
    await hear();
    expect([fresh.isDone, again.isDone]).toEqual([false, true]);
    leaseOf(first)?.release(NOON);
    await hear();
    expect(fresh.isDone).toBe(true);
  });

  test("is left by whoever goes, who then holds nothing", async () => {
    const { ask, line, pool } = stage(["a"]);
    const first = ask();
    const [gone, next] = [ask(), ask()];
    gone.stop.stop(LEFT);
    await hear();
    expect(gone).toMatchObject({ isDone: true, place: undefined });
    leaseOf(first)?.release(NOON);
    await hear();
    leaseOf(next)?.release(NOON);
    expect([line.count(), pool.view(NOON)[0]?.inFlight]).toEqual([0, 0]);
    expect(ask().place).toBeDefined();
  });

  test("is no place for one that has gone before", () => {
    const { ask, line, clock } = stage(["a"]);
    ask();
    const stop = createStop();
    stop.stop(LEFT);
    const wish = { sessionKey: "s", model: MODEL, tried: new Set<string>() };
    expect(line.take(wish, stop, 0)).toBeUndefined();
    clock.advance(60_000);
    expect(line.count()).toBe(0);
  });

  test("ends when all that could serve have begun to rest", async () => {
    const { ask, clock, pool, ids } = stage(["a"]);
    ask();
    const asked = ask();
    pool.settle(ids[0] ?? "", spent, NOON);
    clock.advance(1000);
    await hear();
    expect(asked).toMatchObject({ isDone: true, place: undefined });
  });

  test("sees what changes without an account being given back", async () => {
    const { ask, clock, pool, logins, bounds } = stage(["a"]);
    ask();
    const [one, two] = [ask(), ask()];
    pool.sync([...logins, loginOf("b")], NOON);
    clock.advance(1000);
    await hear();
    expect([one.isDone, two.isDone]).toEqual([true, false]);
    bounds.mostInFlight = 2;
    clock.advance(1000);
    await hear();
    expect(leaseOf(two)).toBeDefined();
  });

  test("holds a warm conversation for its own account a little, then lets it go elsewhere", async () => {
    const { ask, clock, ids } = stage(["a", "b"]);
    const first = ask({ sessionKey: "talk" });
    leaseOf(first)?.release(NOON);
    const beside = ask({ sessionKey: "talk" });
    expect(leaseOf(beside)?.accountId).toBe(ids[0] ?? "");
    const again = ask({ sessionKey: "talk" });
    clock.advance(1000);
    await hear();
    expect(again.isDone).toBe(false);
    clock.advance(1500);
    await hear();
    expect(leaseOf(again)?.accountId).toBe(ids[1] ?? "");
  });

  test("gives a warm conversation its own account as soon as that is free", async () => {
    const { ask, ids } = stage(["a", "b"]);
    leaseOf(ask({ sessionKey: "talk" }))?.release(NOON);
    const beside = ask({ sessionKey: "talk" });
    const again = ask({ sessionKey: "talk" });
    leaseOf(beside)?.release(NOON);
    await hear();
    expect(leaseOf(again)).toMatchObject({ accountId: ids[0] ?? "", isBound: true });
  });

  test.each([
    ["nobody may wait", { waitMs: 0 }, 0],
    ["its time is used up", {}, 20_000],
  ])("lets a warm conversation go at once where %s", (_name, options, waitedMs) => {
    const { ask, ids } = stage(["a", "b"], options);
    leaseOf(ask({ sessionKey: "talk" }))?.release(NOON);
    ask({ sessionKey: "talk" });
    expect(leaseOf(ask({ sessionKey: "talk" }, waitedMs))?.accountId).toBe(ids[1] ?? "");
  });
});

describe("a line before few connections", () => {
  test("gives an account and a connection together", async () => {
    const { ask, pool, connections } = stage(["a", "b"], { mostInFlight: 0, mostConnections: 1 });
    const first = ask({ caller: "busy" });
    const [second, third] = [ask({ caller: "busy" }), ask({ caller: "quiet" })];
    await hear();
    expect([second.isDone, third.isDone, connections.counts().inUse]).toEqual([false, false, 1]);
    // Who waits has chosen nobody.
    expect(pool.view(NOON).map(({ inFlight }) => inFlight)).toEqual([1, 0]);
    leaseOf(first)?.release(NOON);
    await hear();
    // Both callers are served as little by now, and so who came first is first.
    expect([leaseOf(second)?.accountId, third.isDone]).toEqual([expect.any(String), false]);
    leaseOf(second)?.release(NOON);
    leaseOf(second)?.release(NOON);
    await hear();
    expect([third.isDone, connections.counts().inUse]).toEqual([true, 1]);
  });

  test("shares them among callers", async () => {
    const { ask } = stage(["a"], { mostInFlight: 0, mostConnections: 2 });
    const burst = Array.from({ length: 6 }, () => ask({ caller: "busy" }));
    const quiet = ask({ caller: "quiet" });
    leaseOf(burst[0] ?? quiet)?.release(NOON);
    await hear();
    expect([quiet.isDone, burst[2]?.isDone]).toEqual([true, false]);
  });

  test("waits until the connection is no longer busy, though the account is free", async () => {
    const { ask, pool } = stage(["a"], { mostInFlight: 1, mostConnections: 1 });
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = ask();
    const second = ask();
    leaseOf(first)?.release(NOON, promise);
    await hear();
    expect([second.isDone, pool.view(NOON)[0]?.inFlight]).toEqual([false, 0]);
    resolve();
    await hear();
    expect(leaseOf(second)).toBeDefined();
  });

  test("names the limit that it was", async () => {
    const { ask, clock, waits, lines, bounds } = stage(["a"], {
      mostInFlight: 0,
      mostConnections: 1,
    });
    ask();
    const asked = ask();
    expect(waits.counts()).toEqual({ total: 1, long: 0 });
    clock.advance(999);
    expect([waits.counts().long, lines]).toEqual([0, []]);
    clock.advance(251);
    expect(waits.counts().long).toBe(1);
    expect(lines).toMatchObject([
      {
        level: "warn",
        message: expect.stringContaining("max-conns-per-host"),
        facts: '{"limit":1}',
      },
    ]);
    clock.advance(20_000);
    await hear();
    expect(asked.place).toMatchObject({
      kind: "rate-limited",
      code: "rate_limit_exceeded",
      message:
        "As many requests are with the backend as max-conns-per-host allows (1), and none came free within 20 s (account-wait-sec). Try again in a moment, or allow more.",
    });
    // Each limit is warned of once.
    ask();
    clock.advance(2000);
    expect(lines).toHaveLength(1);
    bounds.mostConnections = 2;
    clock.advance(250);
    ask();
    clock.advance(2000);
    expect([waits.counts(), lines.length]).toEqual([{ total: 3, long: 3 }, 2]);
  });

  test("says nothing of connections where accounts are what is missing", async () => {
    const { ask, clock, waits, lines, line } = stage(["a"], { mostConnections: 1 });
    const first = ask();
    const asked = ask();
    expect(line.countForConnection()).toBe(0);
    clock.advance(30_000);
    await hear();
    expect(asked.place).toMatchObject({
      message: expect.stringContaining("account-max-in-flight"),
    });
    expect([waits.counts(), lines]).toEqual([{ total: 0, long: 0 }, []]);
    leaseOf(first)?.release(NOON);
  });

  test("is none for whom no account could serve", () => {
    const { ask, ids, line } = stage(["a"], { mostInFlight: 0, mostConnections: 1 });
    ask();
    expect(ask({ tried: new Set(ids) })).toMatchObject({ isDone: true, place: undefined });
    expect(line.count()).toBe(0);
  });

  test("sees that more are allowed", async () => {
    const { ask, clock, bounds, line } = stage(["a"], { mostInFlight: 0, mostConnections: 1 });
    ask();
    const asked = [ask(), ask(), ask()];
    expect([line.count(), line.countForConnection()]).toEqual([3, 3]);
    bounds.mostConnections = 3;
    clock.advance(250);
    await hear();
    expect(asked.map(({ isDone }) => isDone)).toEqual([true, true, false]);
    bounds.mostConnections = 0;
    clock.advance(250);
    await hear();
    expect(asked[2]?.isDone).toBe(true);
  });
});

type Act =
  | { readonly do: "ask"; readonly tried: readonly number[] }
  | { readonly do: "release" | "go"; readonly which: number }
  | { readonly do: "spend"; readonly account: number }
  | { readonly do: "wait"; readonly ms: number };

const anAct: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("ask" as const),
      tried: fc.uniqueArray(fc.nat(2), { maxLength: 2 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("release" as const, "release" as const, "go" as const),
      which: fc.nat(30),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("spend" as const), account: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.integer({ max: 30_000, min: 0 }),
    }),
  },
);

test("whatever happens, nobody is forgotten or overtaken, and no account or connection is kept", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anAct, { maxLength: 60 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 0, max: 5 }),
      async (acts, mostInFlight, mostConnections) => {
        const { ask, clock, line, pool, ids, connections } = stage(["a", "b", "c"], {
          mostInFlight,
          mostConnections,
        });
        const everyone: Asked[] = [];
        const held: Seat[] = [];
        const heard = new Set<Asked>();
        const waiting = () => everyone.filter(({ isDone }) => !isDone);

        /** The accounts that have a place for it. */
        const open = ({ wish }: Asked): readonly string[] =>
          pool
            .view(clock.now())
            .filter(() => connections.hasFree())
            .filter((view) => view.standing.kind === "ready" && view.inFlight < mostInFlight)
            .map(({ account }) => account.login.identity)
            .filter((id) => !wish.tried.has(id));

        const settleUp = async (): Promise<void> => {
          await hear();
          for (const asked of everyone) {
            if (!asked.isDone || heard.has(asked)) continue;
            heard.add(asked);
            const lease = leaseOf(asked);
            if (lease === undefined) continue;
            held.push(lease);
            // Nobody who came before could have had this account.
            const { size } = asked.wish.tried;
            const before = waiting().filter(
              ({ name, wish }) => name < asked.name && wish.tried.size >= size,
            );
            for (const { wish } of before) expect(wish.tried).toContain(lease.accountId);
          }
          expect(line.count()).toBe(waiting().length);
          const inFlight = pool.view(clock.now()).reduce((sum, view) => sum + view.inFlight, 0);
          expect([inFlight, connections.counts().inUse]).toEqual([held.length, held.length]);
          expect(held.length).toBeLessThanOrEqual(mostConnections || held.length);
        };

        const act = (next: Act): void => {
          switch (next.do) {
            case "ask": {
              const tried = new Set(next.tried.map((account) => ids[account] ?? ""));
              everyone.push(ask({ tried }));
              break;
            }
            case "release":
              held.splice(next.which % Math.max(held.length, 1), 1)[0]?.release(clock.now());
              break;
            case "go":
              waiting()[next.which % Math.max(waiting().length, 1)]?.stop.stop(LEFT);
              break;
            case "spend":
              pool.settle(ids[next.account] ?? "", spent, clock.now());
              break;
            case "wait":
              clock.advance(next.ms);
          }
        };

        for (const next of acts) {
          act(next);
          await settleUp();
          // Whoever waits has nothing to take.
          for (const asked of waiting()) expect(open(asked)).toEqual([]);
        }
        while (held.length > 0 || waiting().length > 0) {
          for (const lease of held.splice(0)) lease.release(clock.now());
          clock.advance(250);
          await settleUp();
        }
        expect(line.count()).toBe(0);
        expect(pool.view(clock.now()).every(({ inFlight }) => inFlight === 0)).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
});

test("who waits for a new token leaves the connection to others meanwhile, and has one again after it", async () => {
  const { ask, connections, clock } = stage(["a", "b"], { mostConnections: 1 });
  const renewing = ask();
  const token = Promise.withResolvers<string>();
  const seat = leaseOf(renewing);
  const apart = seat?.apart(token.promise, renewing.stop);
  const other = ask();
  expect(other.isDone).toBe(true);
  expect(connections.counts().inUse).toBe(1);
  token.resolve("new");
  await hear();
  leaseOf(other)?.release(clock.now());
  expect(await apart).toBe("new");
  expect(connections.counts().inUse).toBe(1);
  seat?.release(clock.now());
  expect(connections.counts().inUse).toBe(0);
});

test("who is stopped while apart has no connection any more, and gives nothing back twice", async () => {
  const { ask, connections, clock } = stage(["a", "b"], { mostConnections: 1 });
  const renewing = ask();
  const seat = leaseOf(renewing);
  const apart = seat?.apart(Promise.resolve("new"), renewing.stop);
  const other = ask();
  renewing.stop.stop({ kind: "client-left", message: "left" });
  await apart;
  seat?.release(clock.now());
  expect(connections.counts().inUse).toBe(1);
  leaseOf(other)?.release(clock.now());
  expect(connections.counts().inUse).toBe(0);
});
