import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { type Login, standing, wayOf } from "../../src/pool/account.ts";
import {
  type AccountView,
  createPool,
  type Lease,
  type PoolOptions,
  type Wish,
} from "../../src/pool/pool.ts";
import { headroom, type Quota } from "../../src/pool/quota.ts";
import { COLD_AFTER_MS, LEVELS, levelAt, middleOf, restsFor, score } from "../../src/pool/rank.ts";
import type { Outcome } from "../../src/pool/settle.ts";
import type { FailureKind } from "../../src/turn/failure.ts";
import { proxyOf } from "../support/link.ts";
import { DAY, HOUR, loginOf, MINUTE, NOON, quotaOf } from "./logins.ts";

const MODEL = "gpt-5.4";

function poolOf(logins: readonly Login[], options: Partial<PoolOptions> = {}) {
  const pool = createPool(() => ({
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector: "round-robin",
    affinityTtlMs: HOUR,
    ...options,
  }));
  pool.sync(logins, NOON);
  return pool;
}

const logins = (...names: readonly string[]): Login[] => names.map((name) => loginOf(name));

let sessions = 0;
function wishOf(rest: Partial<Wish> = {}): Wish {
  sessions += 1;
  return { sessionKey: `s-${sessions}`, model: MODEL, tried: new Set(), ...rest };
}

function used(percent: number, resetsInMs = DAY): Outcome {
  return { type: "measured", quota: quotaOf([["5h", percent, resetsInMs]]) };
}

function failed(kind: FailureKind, rest: { resetsAtMs?: number; model?: string } = {}): Outcome {
  return { type: "failed", failure: { kind, message: "said so", ...rest } };
}

type Pool = ReturnType<typeof createPool>;

function viewOf(pool: Pool, id: string, now = NOON): AccountView {
  const view = pool.view(now).find(({ account }) => account.login.identity === id);
  if (view === undefined) throw new Error(`there is no ${id}`);
  return view;
}

/** The accounts of so many picks, each of a new session and given back at once. */
function picks(pool: Pool, count: number, now = NOON): (string | undefined)[] {
  return Array.from({ length: count }, () => {
    const lease = pool.pick(wishOf(), now);
    lease?.release(now);
    return lease?.accountId;
  });
}

describe("a way out that has failed the request", () => {
  const own = proxyOf("http://10.0.0.1:1", "proxy_url");
  const behind = (name: string): Login => ({ ...loginOf(name), proxy: own });

  test("bars all that go by it, and nobody else", () => {
    const pool = poolOf([loginOf("a"), behind("b"), loginOf("c"), behind("d")]);
    const barred = new Set([wayOf({})]);
    for (let count = 0; count < 6; count++) {
      const lease = pool.pick(wishOf({ barred }), NOON);
      expect(["b", "d"]).toContain(lease?.accountId ?? "nobody");
      lease?.release(NOON);
    }
    expect(pool.pick(wishOf({ barred: new Set([wayOf({}), own.url]) }), NOON)).toBeUndefined();
    expect(pool.pick(wishOf({ barred, tried: new Set(["b", "d"]) }), NOON)).toBeUndefined();
  });

  test("does not take a conversation from its account for good", () => {
    const pool = poolOf([loginOf("a"), behind("b")]);
    const wish = wishOf();
    pool.pick({ ...wish, tried: new Set(["b"]) }, NOON)?.release(NOON);
    pool.pick(wish, NOON)?.release(NOON);
    const elsewhere = pool.pick({ ...wish, tried: new Set(["a"]), barred: new Set([""]) }, NOON);
    expect(elsewhere?.accountId).toBe("b");
    elsewhere?.release(NOON);
    expect(pool.homeOf(wish.sessionKey, NOON)).toBe("a");
  });
});

describe("pick", () => {
  test("finds nobody in an empty pool", () => {
    expect(poolOf([]).pick(wishOf(), NOON)).toBeUndefined();
  });

  test("lets equals take turns", () => {
    expect(picks(poolOf(logins("a", "b", "c")), 6)).toEqual(["a", "b", "c", "a", "b", "c"]);
  });

  test("spreads a burst over equals before any reading comes back", () => {
    const pool = poolOf(logins("a", "b", "c"));
    for (let i = 0; i < 30; i++) pool.pick(wishOf(), NOON);
    expect(pool.view(NOON).map(({ inFlight }) => inFlight)).toEqual([10, 10, 10]);
  });

  test.each(["round-robin", "quota-first"] as const)(
    "%s does not give all to the first account that was measured",
    (selector) => {
      const pool = poolOf(logins("a", "b", "c", "d"), { selector });
      const seen = Array.from({ length: 4 }, () => {
        const lease = pool.pick(wishOf(), NOON);
        pool.settle(lease?.accountId ?? "", used(12), NOON);
        lease?.release(NOON);
        return lease?.accountId;
      });
      expect(seen).toEqual(["a", "b", "c", "d"]);
    },
  );

  test("ranks an account that nobody has measured in the middle of the others", () => {
    const pool = poolOf(logins("full", "new", "empty"));
    pool.settle("full", used(5), NOON);
    pool.settle("empty", used(85), NOON);
    const order = (tried: readonly string[]) => pool.pick(wishOf({ tried: new Set(tried) }), NOON);
    expect(order([])?.accountId).toBe("full");
    expect(order(["full"])?.accountId).toBe("new");
    expect(order(["full", "new"])?.accountId).toBe("empty");
  });

  test("a new account takes turns with measured ones of middling room", () => {
    const pool = poolOf(logins("a", "b", "new"));
    for (const name of ["a", "b"]) pool.settle(name, used(25), NOON);
    expect(picks(pool, 6).toSorted()).toEqual(["a", "a", "b", "b", "new", "new"]);
  });

  test("prefers the account with most room, and lets those on its level take turns", () => {
    const pool = poolOf(logins("a", "b", "c"));
    pool.settle("a", used(80), NOON);
    pool.settle("b", used(12), NOON);
    pool.settle("c", used(11.2), NOON);
    expect(picks(pool, 4)).toEqual(["b", "c", "b", "c"]);
  });

  test("spills over to the next account when the better one is busy", () => {
    const pool = poolOf(logins("a", "b"));
    pool.settle("a", used(0), NOON);
    pool.settle("b", used(15), NOON);
    const taken = Array.from({ length: 20 }, () => pool.pick(wishOf(), NOON)?.accountId);
    expect(taken.slice(0, 5)).toEqual(["a", "a", "a", "a", "a"]);
    expect(taken.filter((id) => id === "b").length).toBeGreaterThan(5);
  });

  test("quota-first always takes the best", () => {
    const pool = poolOf(logins("a", "b", "c"), { selector: "quota-first" });
    pool.settle("a", used(14), NOON);
    pool.settle("b", used(11), NOON);
    pool.settle("c", used(18), NOON);
    expect(picks(pool, 4)).toEqual(["b", "b", "b", "b"]);
    const taken = Array.from({ length: 4 }, () => pool.pick(wishOf(), NOON)?.accountId);
    expect(taken).toEqual(["b", "b", "a", "b"]);
  });

  test("quota-first goes past those that cannot serve", () => {
    const pool = poolOf(logins("a", "b"), { selector: "quota-first" });
    pool.settle("a", used(1), NOON);
    pool.settle("b", used(2), NOON);
    pool.settle("a", failed("rate-limited", { model: MODEL, resetsAtMs: NOON + 5 }), NOON);
    expect(picks(pool, 2)).toEqual(["b", "b"]);
    expect(pool.pick(wishOf({ tried: new Set(["b"]) }), NOON)).toBeUndefined();
  });

  test("leaves out whom the request has tried, and ends when all have been", () => {
    const pool = poolOf(logins("a", "b"));
    const wish = wishOf();
    expect(pool.pick({ ...wish, tried: new Set(["a"]) }, NOON)?.accountId).toBe("b");
    expect(pool.pick({ ...wish, tried: new Set(["a", "b"]) }, NOON)).toBeUndefined();
  });

  test("leaves out a model's rest for that model only", () => {
    const pool = poolOf(logins("a"));
    pool.settle("a", failed("rate-limited", { model: MODEL, resetsAtMs: NOON + 5000 }), NOON);
    expect(pool.pick(wishOf(), NOON)).toBeUndefined();
    expect(pool.pick(wishOf({ model: "gpt-5.2" }), NOON)?.accountId).toBe("a");
    expect(pool.pick(wishOf(), NOON + 5000)?.accountId).toBe("a");
  });

  const troubles: [name: string, outcome: Outcome, backAtMs: number | undefined][] = [
    ["a spent quota", failed("exhausted", { resetsAtMs: NOON + HOUR }), NOON + HOUR],
    ["a spent quota that was only read", used(100, HOUR), NOON + HOUR],
    ["a rate limit", failed("rate-limited"), NOON + 60_000],
    ["a refused token", failed("unauthorized"), NOON + 30_000],
    ["a refusal", failed("forbidden"), NOON + 5 * MINUTE],
    ["a deactivation", failed("deactivated"), undefined],
    ["a login that is no more", { type: "renewal-refused", reason: "x" }, undefined],
  ];
  test.each(troubles)("passes %s by until it is over", (_name, outcome, backAtMs) => {
    const pool = poolOf(logins("a"));
    pool.settle("a", outcome, NOON);
    expect(picks(pool, 1)).toEqual([undefined]);
    expect(picks(pool, 1, (backAtMs ?? NOON + 40 * DAY) - 1)).toEqual([undefined]);
    expect(picks(pool, 1, backAtMs ?? NOON + 40 * DAY)).toEqual([
      backAtMs === undefined ? undefined : "a",
    ]);
  });

  test("passes by an access token that has ended and cannot be renewed", () => {
    const pool = poolOf([
      loginOf("a", { credential: { accessToken: "x", expiresAtMs: NOON + 5 } }),
    ]);
    expect(picks(pool, 1, NOON + 4)).toEqual(["a"]);
    expect(picks(pool, 1, NOON + 5)).toEqual([undefined]);
  });

  test("takes an account back whose window has begun anew, and ranks it as fresh", () => {
    const pool = poolOf(logins("a", "b"));
    pool.settle("a", used(95, MINUTE), NOON);
    pool.settle("b", used(40), NOON);
    expect(picks(pool, 2)).toEqual(["b", "b"]);
    expect(picks(pool, 2, NOON + MINUTE)).toEqual(["a", "a"]);
  });

  test("a clock set back brings neither a quota's rest nor room back too early", () => {
    const pool = poolOf(logins("a", "b"));
    pool.settle("a", failed("exhausted", { resetsAtMs: NOON + HOUR }), NOON);
    pool.settle("b", used(95, HOUR), NOON);
    expect(picks(pool, 2, NOON + 2 * HOUR).toSorted()).toEqual(["a", "b"]);
    pool.settle("b", failed("exhausted", { resetsAtMs: NOON + 3 * HOUR }), NOON + 2 * HOUR);
    expect(picks(pool, 2, NOON + MINUTE)).toEqual([undefined, undefined]);
    expect(picks(pool, 2, NOON + HOUR)).toEqual(["a", "a"]);
    // Of the rest that began under the wrong clock as much is left as was left before.
    expect(picks(pool, 2, NOON + HOUR + MINUTE).toSorted()).toEqual(["a", "b"]);
  });

  test.each(["round-robin", "quota-first"] as const)(
    "%s looks at one account of ten thousand",
    (selector) => {
      const names = Array.from({ length: 10_000 }, (_, i) => `account-${i}`);
      const pool = poolOf(logins(...names), { selector });
      for (const [i, name] of names.entries()) pool.settle(name, used(i % 100), NOON);
      const tried = new Set<string>();
      const look = spyOn(tried, "has");
      const held: Lease[] = [];
      for (let i = 0; i < 500; i++) {
        const lease = pool.pick(wishOf({ tried }), NOON + i);
        if (lease !== undefined) held.push(lease);
      }
      expect(held).toHaveLength(500);
      expect(look.mock.calls.length).toBe(500);
      for (const lease of held) lease.release(NOON + 500);
      expect(pool.view(NOON).every(({ inFlight }) => inFlight === 0)).toBe(true);
    },
  );
  test("a clock set back by a day does not make a guess of minutes last that long", () => {
    const pool = poolOf(logins("a"));
    pool.settle("a", failed("forbidden"), NOON + 24 * HOUR);
    expect(picks(pool, 1, NOON + 24 * HOUR)).toEqual([undefined]);
    // As much is left of it as was left before.
    expect(picks(pool, 1, NOON)).toEqual([undefined]);
    expect(picks(pool, 1, NOON + 5 * MINUTE - 1)).toEqual([undefined]);
    expect(picks(pool, 1, NOON + 5 * MINUTE)).toEqual(["a"]);
  });

  test("looks at nobody where all of ten thousand rest", () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `account-${i}`);
    const pool = poolOf(logins(...names));
    for (const name of names) pool.settle(name, used(100), NOON);
    const tried = new Set<string>();
    const look = spyOn(tried, "has");
    expect(pool.pick(wishOf({ tried }), NOON)).toBeUndefined();
    expect(look).not.toHaveBeenCalled();
  });
});

describe("a conversation", () => {
  test("stays on its account", () => {
    const pool = poolOf(logins("a", "b", "c"));
    const wish = wishOf();
    const first = pool.pick(wish, NOON);
    expect(first).toMatchObject({ accountId: "a", isBound: false });
    picks(pool, 4);
    for (let i = 0; i < 10; i++)
      expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "a", isBound: true });
  });

  test("B5-6: does not move while its account is merely fuller than another", () => {
    const pool = poolOf(logins("a", "b"));
    const [one, two] = [wishOf(), wishOf()];
    pool.pick(one, NOON)?.release(NOON);
    pool.pick(two, NOON)?.release(NOON);
    let moves = 0;
    for (let turn = 0; turn < 50; turn++) {
      pool.settle("a", used(turn % 2 === 0 ? 81 : 82), NOON + turn);
      pool.settle("b", used(turn % 2 === 0 ? 82 : 81), NOON + turn);
      for (const [wish, home] of [
        [one, "a"],
        [two, "b"],
      ] as const) {
        const lease = pool.pick(wish, NOON + turn);
        if (lease?.accountId !== home) moves += 1;
        lease?.release(NOON + turn);
      }
    }
    expect(moves).toBe(0);
  });

  const reasons: [name: string, happen: (pool: Pool) => void][] = [
    ["is exhausted", (pool) => pool.settle("a", used(100), NOON)],
    ["cools", (pool) => pool.settle("a", failed("rate-limited"), NOON)],
    ["is disabled", (pool) => pool.settle("a", failed("deactivated"), NOON)],
    ["needs a login", (pool) => pool.settle("a", { type: "renewal-refused", reason: "x" }, NOON)],
    [
      "rests for the model",
      (pool) => pool.settle("a", failed("rate-limited", { model: MODEL }), NOON),
    ],
    ["is gone", (pool) => void pool.sync(logins("b"), NOON)],
  ];
  test.each(reasons)("moves once when its account %s, and then stays", (_name, happen) => {
    const pool = poolOf(logins("a", "b"));
    const wish = wishOf();
    expect(pool.pick(wish, NOON)?.accountId).toBe("a");
    happen(pool);
    expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "b", isBound: false });
    pool.sync(logins("a", "b"), NOON);
    expect(pool.pick(wish, NOON + HOUR - 1)).toMatchObject({ accountId: "b", isBound: true });
  });

  test("moves within one request when its account has begun to rest", () => {
    const pool = poolOf(logins("a", "b"));
    const wish = wishOf();
    pool.pick(wish, NOON);
    pool.settle("a", failed("exhausted"), NOON);
    expect(pool.pick({ ...wish, tried: new Set(["a"]) }, NOON)?.accountId).toBe("b");
    expect(pool.pick(wish, NOON + HOUR - 1)).toMatchObject({ accountId: "b", isBound: true });
  });

  test("keeps its account through a failure that was not the account's", () => {
    const pool = poolOf(logins("a", "b"));
    const wish = wishOf();
    pool.pick(wish, NOON);
    pool.pick(wish, NOON);
    pool.settle("a", failed("server-error"), NOON);
    expect(pool.pick({ ...wish, tried: new Set(["a"]) }, NOON)?.accountId).toBe("b");
    expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "a", isBound: true });
  });

  test("stays with the account that served its first turn, not with one that could not", () => {
    const pool = poolOf(logins("a", "b", "c"));
    const wish = wishOf();
    expect(pool.pick(wish, NOON)?.accountId).toBe("a");
    pool.settle("a", failed("overloaded"), NOON);
    expect(pool.pick({ ...wish, tried: new Set(["a"]) }, NOON)?.accountId).toBe("b");
    pool.settle("b", failed("cut-short"), NOON);
    expect(pool.pick({ ...wish, tried: new Set(["a", "b"]) }, NOON)?.accountId).toBe("c");
    expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "c", isBound: true });
  });

  test("B5-5: is forgotten after its time without use", () => {
    const pool = poolOf(logins("a", "b"));
    const wish = wishOf();
    pool.pick(wish, NOON)?.release(NOON);
    expect(pool.pick(wish, NOON + HOUR)).toMatchObject({ accountId: "b", isBound: false });
  });

  describe("whose content an account made (B5-1)", () => {
    const owned = (accountId: string, isNeeded = false) => ({ owner: { accountId, isNeeded } });

    test("begins on that account, and stays there", () => {
      const pool = poolOf(logins("a", "b", "c"));
      const wish = wishOf();
      expect(pool.pick({ ...wish, ...owned("c") }, NOON)).toMatchObject({ accountId: "c" });
      expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "c", isBound: true });
    });

    test("stays on the account it is bound to, unless only the owner can go on with it", () => {
      const pool = poolOf(logins("a", "b", "c"));
      const wish = wishOf();
      pool.pick(wish, NOON);
      pool.pick(wish, NOON);
      expect(pool.pick({ ...wish, ...owned("c") }, NOON)?.accountId).toBe("a");
      expect(pool.pick({ ...wish, ...owned("c", true) }, NOON)?.accountId).toBe("c");
      expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "c", isBound: true });
    });

    test.each([false, true])("moves freely where the owner cannot serve (B5-2)", (isNeeded) => {
      const pool = poolOf(logins("a", "b"));
      pool.settle("a", failed("exhausted", { resetsAtMs: NOON + DAY }), NOON);
      const wish = { ...wishOf(), ...owned("a", isNeeded) };
      expect(pool.pick(wish, NOON)?.accountId).toBe("b");
      expect(pool.pick({ ...wish, tried: new Set(["b"]) }, NOON)).toBeUndefined();
      expect(pool.pick({ ...wishOf(), ...owned("gone", isNeeded) }, NOON)?.accountId).toBe("b");
    });

    test("goes to another where the owner has already failed this request", () => {
      const pool = poolOf(logins("a", "b"));
      const wish = { ...wishOf(), ...owned("a", true), tried: new Set(["a"]) };
      expect(pool.pick(wish, NOON)?.accountId).toBe("b");
    });
  });

  describe("that comes back after a pause", () => {
    const COLD = COLD_AFTER_MS;

    /** A conversation on `a`, and what is used of both accounts when it comes back after `pauseMs`. */
    function comeBack(pauseMs: number, a: number, b: number, rest: Partial<Wish> = {}) {
      const pool = poolOf(logins("a", "b"));
      const wish = { ...wishOf(), ...rest };
      pool.pick(wish, NOON)?.release(NOON);
      pool.settle("a", used(a), NOON + pauseMs);
      pool.settle("b", used(b), NOON + pauseMs);
      const lease = pool.pick(wish, NOON + pauseMs);
      return { pool, wish, lease };
    }

    test("B5-5: is placed anew where another account has clearly more room, and then stays there", () => {
      const { pool, wish, lease } = comeBack(COLD, 52, 12);
      expect(lease).toMatchObject({ accountId: "b", isBound: false });
      lease?.release(NOON + COLD);
      pool.settle("b", used(80), NOON + COLD);
      for (let turn = 1; turn < 50; turn++) {
        const again = pool.pick(wish, NOON + COLD + turn * MINUTE);
        expect(again).toMatchObject({ accountId: "b", isBound: true });
        again?.release(NOON + COLD + turn * MINUTE);
      }
    });

    test("B5-6: does not go back within the hour, whichever has more room by then", () => {
      const { pool, wish, lease } = comeBack(COLD, 52, 12);
      lease?.release(NOON + COLD);
      for (let pause = 2; pause < 5; pause++) {
        const now = NOON + pause * COLD;
        pool.settle("a", used(0), now);
        pool.settle("b", used(60), now);
        const again = pool.pick(wish, now);
        expect(again?.accountId).toBe("b");
        again?.release(now);
      }
      expect(pool.pick(wish, NOON + 5 * COLD)?.accountId).toBe("a");
    });

    test("goes back at once where it must", () => {
      const { pool, wish, lease } = comeBack(COLD, 52, 12);
      lease?.release(NOON + COLD);
      pool.settle("b", used(100), NOON + COLD + 1);
      expect(pool.pick(wish, NOON + COLD + 1)?.accountId).toBe("a");
    });

    test("B5-6: stays where the other has hardly more", () => {
      expect(comeBack(COLD, 82, 81).lease).toMatchObject({ accountId: "a", isBound: true });
      expect(comeBack(COLD, 16, 12).lease).toMatchObject({ accountId: "a", isBound: true });
    });

    test("stays while its prompt cache is warm", () => {
      expect(comeBack(COLD - 1, 95, 0).lease).toMatchObject({ accountId: "a", isBound: true });
    });

    test("stays where nobody else can read what it holds", () => {
      const owner = { accountId: "a", isNeeded: true };
      expect(comeBack(COLD, 52, 12, { owner }).lease).toMatchObject({ accountId: "a" });
    });

    test("counts a pause from the end of its last request, and none while one is running", () => {
      const pool = poolOf(logins("a", "b"));
      const wish = wishOf();
      const long = pool.pick(wish, NOON);
      pool.settle("a", used(90), NOON);
      pool.settle("b", used(0), NOON);
      const beside = pool.pick(wish, NOON + COLD);
      expect(beside?.accountId).toBe("a");
      beside?.release(NOON + COLD);
      long?.release(NOON + 3 * COLD);
      expect(pool.pick(wish, NOON + 4 * COLD - 1)).toMatchObject({ accountId: "a" });
    });

    test("after more than its time goes back to the maker of its content, unless another is clearly better", () => {
      const owner = { accountId: "a", isNeeded: false };
      expect(comeBack(2 * HOUR, 14, 12, { owner }).lease?.accountId).toBe("a");
      expect(comeBack(2 * HOUR, 52, 12, { owner }).lease?.accountId).toBe("b");
    });
  });

  test("without affinity moves freely", () => {
    const pool = poolOf(logins("a", "b"), { affinityTtlMs: 0 });
    const wish = wishOf();
    const seen = [1, 2, 3].map(() => pool.pick(wish, NOON)?.accountId);
    expect(seen).toEqual(["a", "b", "a"]);
  });
});

describe("an account's weight", () => {
  const heavy = (weight: number) => loginOf("heavy", { weight });

  test.each([
    [2, 200],
    [3, 225],
    [0.5, 100],
    [1, 150],
  ])("of %p is its share of new conversations beside an equal", (weight, expected) => {
    for (const selector of ["round-robin", "quota-first"] as const) {
      const pool = poolOf([heavy(weight), loginOf("light")], { selector });
      const seen = picks(pool, 300).filter((id) => id === "heavy");
      expect(Math.abs(seen.length - expected)).toBeLessThanOrEqual(1);
      const crowd = Array.from({ length: 30 }, () => pool.pick(wishOf(), NOON)?.accountId);
      const share = (30 * weight) / (weight + 1);
      const held = crowd.filter((id) => id === "heavy").length;
      expect(Math.abs(held - share)).toBeLessThanOrEqual(1);
    }
  });

  test("is read anew from its file", () => {
    const pool = poolOf([heavy(1), loginOf("light")]);
    expect(pool.sync([heavy(2), loginOf("light")], NOON).changed).toHaveLength(1);
    expect(picks(pool, 30).filter((id) => id === "heavy")).toHaveLength(20);
  });
});

describe("an account that serves as many as it may", () => {
  const limited = (names: readonly string[], mostInFlight = 1) =>
    poolOf(logins(...names), { mostInFlight });

  test("is not picked until it has given one back", () => {
    const pool = limited(["a", "b"], 2);
    const held = Array.from({ length: 4 }, () => pool.pick(wishOf(), NOON));
    expect(held.map((lease) => lease?.accountId)).toEqual(["a", "b", "a", "b"]);
    const wish = wishOf();
    expect([pool.pick(wish, NOON), pool.isCrowded(wish, NOON)]).toEqual([undefined, true]);
    held[1]?.release(NOON);
    expect(pool.isCrowded(wish, NOON)).toBe(true);
    expect(pool.pick(wish, NOON)?.accountId).toBe("b");
  });

  test("is nothing to wait for where it could not serve anyway", () => {
    const pool = limited(["a"]);
    pool.pick(wishOf(), NOON);
    expect(pool.isCrowded(wishOf({ tried: new Set(["a"]) }), NOON)).toBe(false);
    pool.settle("a", failed("rate-limited", { model: MODEL }), NOON);
    expect(pool.isCrowded(wishOf(), NOON)).toBe(false);
    expect(pool.isCrowded(wishOf({ model: "gpt-5.2" }), NOON)).toBe(true);
    pool.settle("a", failed("deactivated"), NOON);
    expect(pool.isCrowded(wishOf({ model: "gpt-5.2" }), NOON)).toBe(false);
    pool.sync([], NOON);
    expect(pool.isCrowded(wishOf(), NOON)).toBe(false);
  });

  test("is left by a conversation only if that says so, and then for good", () => {
    const pool = limited(["a", "b"]);
    const wish = wishOf();
    pool.pick(wish, NOON)?.release(NOON);
    const other = pool.pick({ ...wishOf(), owner: { accountId: "a", isNeeded: true } }, NOON);
    expect(other?.accountId).toBe("a");
    expect(pool.pick({ ...wish, keepsHome: true }, NOON)).toBeUndefined();
    expect(pool.isCrowded({ ...wish, keepsHome: true }, NOON)).toBe(true);
    pool.pick(wish, NOON)?.release(NOON);
    other?.release(NOON);
    expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "b", isBound: true });
  });

  test("is left at once where the prompt cache is cold", () => {
    const pool = limited(["a", "b"]);
    const wish = wishOf();
    pool.pick(wish, NOON)?.release(NOON);
    pool.pick({ ...wishOf(), owner: { accountId: "a", isNeeded: true } }, NOON);
    const later = NOON + COLD_AFTER_MS;
    expect(pool.pick({ ...wish, keepsHome: true }, later)?.accountId).toBe("b");
  });

  test("is waited for by what only it can read", () => {
    const pool = limited(["a", "b"]);
    const owner = { accountId: "a", isNeeded: true };
    const first = pool.pick(wishOf({ owner }), NOON);
    expect(pool.pick(wishOf({ owner }), NOON)).toBeUndefined();
    expect(pool.isCrowded(wishOf({ owner }), NOON)).toBe(true);
    first?.release(NOON);
    expect(pool.pick(wishOf({ owner }), NOON)?.accountId).toBe("a");
  });

  test("may serve more or less when its owner says so", () => {
    const options: { mostInFlight: number; selector: PoolOptions["selector"] } = {
      mostInFlight: 1,
      selector: "round-robin",
    };
    const pool = createPool(() => ({
      policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
      affinityTtlMs: HOUR,
      ...options,
    }));
    pool.sync(logins("a"), NOON);
    expect(pool.pick(wishOf(), NOON)).toBeDefined();
    expect(pool.pick(wishOf(), NOON)).toBeUndefined();
    options.mostInFlight = 2;
    expect(pool.pick(wishOf(), NOON)).toBeDefined();
    expect(pool.pick(wishOf(), NOON)).toBeUndefined();
    options.mostInFlight = 0;
    options.selector = "quota-first";
    for (let i = 0; i < 10; i++) expect(pool.pick(wishOf(), NOON)).toBeDefined();
  });
});

describe("a lease", () => {
  test("is given back once, however often that is said", () => {
    const pool = poolOf(logins("a"));
    const lease = pool.pick(wishOf(), NOON);
    pool.pick(wishOf(), NOON);
    lease?.release(NOON);
    lease?.release(NOON);
    lease?.release(NOON);
    expect(viewOf(pool, "a").inFlight).toBe(1);
  });

  test("of an account that is gone disturbs nobody, the same account come back included", () => {
    const pool = poolOf(logins("a"));
    const old = pool.pick(wishOf(), NOON);
    pool.sync([], NOON);
    old?.release(NOON);
    expect(pool.view(NOON)).toEqual([]);
    const older = poolOf(logins("a"));
    const lease = older.pick(wishOf(), NOON);
    older.sync([], NOON);
    older.sync(logins("a"), NOON);
    older.pick(wishOf(), NOON);
    lease?.release(NOON);
    expect(viewOf(older, "a").inFlight).toBe(1);
  });

  test("names the account without telling who it is", () => {
    const pool = poolOf([loginOf("a", { email: "ann.lee@example.com" })]);
    expect(pool.pick(wishOf(), NOON)?.label).toMatch(/^an\*\*\*@example\.com#[0-9a-f]{4}$/);
  });
});

describe("sync", () => {
  test("adds, changes and takes out, and says so", () => {
    const pool = poolOf(logins("a", "b"));
    const changed = loginOf("b", { plan: "pro" });
    const result = pool.sync([changed, loginOf("c")], NOON);
    const label = (id: string) => pool.get(id)?.label ?? "";
    expect(result).toEqual({
      added: [label("c")],
      changed: [label("b")],
      gone: [expect.any(String)],
    });
    expect(pool.get("a")).toBeUndefined();
    expect(pool.get("b")?.login).toBe(changed);
    expect(pool.view(NOON)).toHaveLength(2);
  });

  test("says nothing where nothing has changed", () => {
    const pool = poolOf(logins("a", "b"));
    expect(pool.sync(logins("b", "a"), NOON)).toEqual({ added: [], changed: [], gone: [] });
  });

  const fields: [name: string, rest: Partial<Login>][] = [
    ["an access token", { credential: { accessToken: "x", refreshToken: "rt-a" } }],
    ["a refresh token", { credential: { accessToken: "at-a", refreshToken: "x" } }],
    ["the end of a token", { credential: { ...loginOf("a").credential, expiresAtMs: NOON + 1 } }],
    ["a switch", { isSwitchedOff: true }],
    ["an e-mail address", { email: "a@example.com" }],
    ["a plan", { plan: "pro" }],
    ["a weight", { weight: 2 }],
    ["a workspace", { workspaceId: "w" }],
    ["a file's name", { source: "/auths/other.json" }],
  ];
  test.each(fields)("sees the change of %s", (_name, rest) => {
    const pool = poolOf(logins("a"));
    expect(pool.sync([loginOf("a", rest)], NOON).changed).toHaveLength(1);
    expect(pool.sync([loginOf("a", rest)], NOON).changed).toEqual([]);
  });

  test("leaves requests in flight and counters alone", () => {
    const pool = poolOf(logins("a", "b"));
    const lease = pool.pick(wishOf(), NOON);
    pool.settle("a", failed("network"), NOON);
    pool.count("a", { input: 1, cached: 2, output: 3, reasoning: 4 });
    pool.sync([loginOf("a", { plan: "pro" }), loginOf("b")], NOON + 5);
    expect(viewOf(pool, "a")).toMatchObject({
      inFlight: 1,
      tally: {
        requests: 1,
        errors: 1,
        lastUsedMs: NOON,
        tokens: { input: 1, cached: 2, output: 3, reasoning: 4 },
      },
    });
    lease?.release(NOON + 6);
    expect(viewOf(pool, "a").inFlight).toBe(0);
  });

  test("switches an account off and on for the next pick", () => {
    const pool = poolOf(logins("a"));
    pool.sync([loginOf("a", { isSwitchedOff: true })], NOON);
    expect(picks(pool, 1)).toEqual([undefined]);
    pool.sync(logins("a"), NOON);
    expect(picks(pool, 1)).toEqual(["a"]);
  });
});

describe("a login that is known by its file only", () => {
  const SOURCE = "/auths/x.json";
  const nameless = loginOf("file:x.json", { source: SOURCE });
  const named = loginOf("user-1/w", { source: SOURCE, email: "ann.lee@example.com" });

  test("goes on as the account it was, once it shows who it is", () => {
    const pool = poolOf([nameless, loginOf("b")]);
    const wish = wishOf();
    const lease = pool.pick(wish, NOON);
    expect(lease?.accountId).toBe("file:x.json");
    expect(pool.sync([named, loginOf("b")], NOON)).toMatchObject({ added: [], gone: [] });
    expect(viewOf(pool, "user-1/w")).toMatchObject({ inFlight: 1, tally: { requests: 1 } });
    expect(pool.get("user-1/w")?.label).toStartWith("an***@example.com#");
    lease?.release(NOON);
    expect(viewOf(pool, "user-1/w").inFlight).toBe(0);
    expect(pool.pick(wish, NOON)).toMatchObject({ accountId: "user-1/w", isBound: true });
  });

  test("is still known by its former name to the requests that are under way", () => {
    const pool = poolOf([nameless]);
    const lease = pool.pick(wishOf(), NOON);
    pool.sync([named], NOON);
    const former = lease?.accountId ?? "";
    pool.count(former, { input: 1, cached: 0, output: 0, reasoning: 0 });
    expect(pool.get(former)?.login).toBe(named);
    expect(pool.pick(wishOf({ tried: new Set([former]) }), NOON)).toBeUndefined();
    pool.settle(former, failed("forbidden"), NOON);
    expect(viewOf(pool, "user-1/w")).toMatchObject({
      standing: { kind: "cooling" },
      tally: { errors: 1, tokens: { input: 1 } },
    });
  });

  test("ranks by what is in flight after it was given back under its new name", () => {
    const pool = poolOf([nameless, loginOf("b")]);
    const lease = pool.pick(wishOf(), NOON);
    pool.sync([named, loginOf("b")], NOON);
    lease?.release(NOON);
    expect(new Set(picks(pool, 2))).toEqual(new Set(["b", "user-1/w"]));
  });

  test("is another account when its file is another's by now", () => {
    const pool = poolOf([nameless, loginOf("user-1/w", { source: "/auths/y.json" })]);
    const result = pool.sync([named], NOON);
    expect(result.gone).toHaveLength(1);
    expect(pool.view(NOON)).toHaveLength(1);
  });

  test("stays what it is while it is wanted under that name, and its name can be used again", () => {
    const pool = poolOf([nameless]);
    pool.sync([nameless, named], NOON);
    expect(pool.view(NOON)).toHaveLength(2);
    const again = poolOf([nameless]);
    again.sync([named], NOON);
    again.sync([named, loginOf("file:x.json", { source: "/other/x.json" })], NOON);
    expect(again.get("file:x.json")?.login.source).toBe("/other/x.json");
    again.sync([], NOON);
    expect(again.get("file:x.json")).toBeUndefined();
  });
});

describe("settle and count", () => {
  test("of an account nobody knows do nothing", () => {
    const pool = poolOf(logins("a"));
    const before = pool.view(NOON);
    pool.settle("x", failed("deactivated"), NOON);
    pool.count("x", { input: 1, cached: 1, output: 1, reasoning: 1 });
    expect(pool.view(NOON)).toEqual(before);
  });

  test.each([
    ["server-error", 1],
    ["exhausted", 1],
    ["unauthorized", 1],
    ["bad-request", 0],
    ["client-left", 0],
    ["challenged", 0],
    ["context-overflow", 0],
  ] as const)("a failure of kind %s counts as %i errors of the account", (kind, errors) => {
    const pool = poolOf(logins("a"));
    pool.settle("a", failed(kind), NOON);
    expect(viewOf(pool, "a").tally.errors).toBe(errors);
  });
});

// What may happen to a pool of four, in random order.
type Act =
  | {
      readonly do: "pick";
      readonly session: number;
      readonly tried: readonly number[];
      readonly model: string;
    }
  | { readonly do: "release"; readonly which: number }
  | { readonly do: "settle"; readonly account: number; readonly outcome: Outcome }
  | {
      readonly do: "quota";
      readonly account: number;
      readonly used: number;
      readonly resetsInMs: number;
    }
  | { readonly do: "limit"; readonly account: number; readonly model: string; readonly ms: number }
  | { readonly do: "sync"; readonly accounts: readonly number[]; readonly off: readonly number[] }
  | { readonly do: "wait"; readonly ms: number };

const MODELS = ["gpt-5.4", "gpt-5.2"];
const anAccount = fc.nat(3);
const anAct: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("pick" as const),
      session: fc.nat(5),
      tried: fc.uniqueArray(anAccount, { maxLength: 2 }),
      model: fc.constantFrom(...MODELS),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("settle" as const),
      account: anAccount,
      outcome: fc.constantFrom<Outcome>(
        { type: "served" },
        failed("exhausted"),
        failed("exhausted", { resetsAtMs: NOON + HOUR }),
        failed("unauthorized"),
        failed("forbidden"),
        failed("deactivated"),
        failed("network"),
        { type: "renewal-refused", reason: "x" },
        { type: "renewed", credential: { accessToken: "n", refreshToken: "n" }, atMs: NOON },
        { type: "renewed", credential: { accessToken: "n", expiresAtMs: NOON + HOUR }, atMs: NOON },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("quota" as const),
      account: anAccount,
      used: fc.integer({ min: 0, max: 100 }),
      resetsInMs: fc.integer({ min: -1000, max: DAY }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("limit" as const),
      account: anAccount,
      model: fc.constantFrom(...MODELS),
      ms: fc.nat(HOUR),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("sync" as const),
      accounts: fc.uniqueArray(anAccount),
      off: fc.uniqueArray(anAccount),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.integer({ min: -HOUR, max: HOUR }),
    }),
  },
);

const nameOf = (account: number): string => `account-${account}`;

/** A pool beside which a second book is kept of who holds what. */
function audit(selector: PoolOptions["selector"], mostInFlight: number) {
  const pool = poolOf(
    [0, 1, 2, 3].map((account) => loginOf(nameOf(account))),
    { selector, mostInFlight },
  );
  const book = new Map<string, number>([0, 1, 2, 3].map((account) => [nameOf(account), 0]));
  // An account that is taken out and comes back is another one: leases of the first are not its own.
  const lives = new Map<string, number>();
  const held: { readonly lease: Lease; readonly life: number }[] = [];
  let now = NOON;

  const canServe = (view: AccountView, wish: Wish): boolean =>
    view.standing.kind === "ready" &&
    !restsFor(view.account, wish.model, now) &&
    !wish.tried.has(view.account.login.identity);
  const isFull = ({ inFlight }: AccountView): boolean =>
    mostInFlight > 0 && inFlight >= mostInFlight;

  const pick = (wish: Wish): void => {
    // Whoever asks anything makes the pool see how late it is.
    const isCrowded = pool.isCrowded(wish, now);
    const views = pool.view(now);
    const fit = views.filter((view) => canServe(view, wish));
    const able = fit.filter((view) => !isFull(view));
    expect(isCrowded).toBe(fit.length > able.length);
    const lease = pool.pick(wish, now);
    expect(lease === undefined).toBe(able.length === 0);
    if (lease === undefined) return;
    const chosen = able.find(({ account }) => account.login.identity === lease.accountId);
    if (chosen === undefined) throw new Error(`${lease.accountId} cannot serve`);
    const usable = views.filter((view) => view.standing.kind === "ready");
    const rooms = usable.flatMap(({ account }) => headroom(account.quota, now) ?? []);
    const middle = middleOf(
      rooms.reduce((sum, room) => sum + room, 0),
      rooms.length,
    );
    // The unmeasured stand in the middle of the others, and come down as these do by what they serve.
    const levels = LEVELS[selector];
    const level = ({ account, inFlight }: AccountView): number => {
      const own = levelAt(score(account, inFlight, now, 1), levels);
      const isKnown = headroom(account.quota, now) !== undefined;
      return isKnown ? own : own - (levels - 1 - levelAt(middle, levels));
    };
    if (!lease.isBound) expect(level(chosen)).toBe(Math.max(...able.map(level)));
    book.set(lease.accountId, (book.get(lease.accountId) ?? 0) + 1);
    held.push({ lease, life: lives.get(lease.accountId) ?? 0 });
  };

  const release = (which: number): void => {
    const [entry] = held.splice(which % Math.max(held.length, 1), 1);
    if (entry === undefined) return;
    const { accountId } = entry.lease;
    entry.lease.release(now);
    entry.lease.release(now);
    if (entry.life === (lives.get(accountId) ?? 0))
      book.set(accountId, (book.get(accountId) ?? 0) - 1);
  };

  const sync = (accounts: readonly number[], off: readonly number[]): void => {
    const wanted = new Set(accounts.map(nameOf));
    for (const name of book.keys()) {
      if (wanted.has(name)) continue;
      book.delete(name);
      lives.set(name, (lives.get(name) ?? 0) + 1);
    }
    for (const name of wanted) if (!book.has(name)) book.set(name, 0);
    pool.sync(
      accounts.map((account) => loginOf(nameOf(account), { isSwitchedOff: off.includes(account) })),
      now,
    );
  };

  const act = (next: Act): void => {
    switch (next.do) {
      case "pick":
        pick({
          sessionKey: `s-${next.session}`,
          model: next.model,
          tried: new Set(next.tried.map(nameOf)),
        });
        break;
      case "release":
        release(next.which);
        break;
      case "settle":
        pool.settle(nameOf(next.account), next.outcome, now);
        break;
      case "quota": {
        const quota: Quota = { ...quotaOf([["5h", next.used]]), measuredAtMs: now };
        const windows = quota.windows.map((window) => ({
          ...window,
          resetsAtMs: now + next.resetsInMs,
        }));
        pool.settle(nameOf(next.account), { type: "measured", quota: { ...quota, windows } }, now);
        break;
      }
      case "limit": {
        const outcome = failed("rate-limited", { model: next.model, resetsAtMs: now + next.ms });
        pool.settle(nameOf(next.account), outcome, now);
        break;
      }
      case "sync":
        sync(next.accounts, next.off);
        break;
      case "wait":
        now += next.ms;
    }
  };

  const check = (): void => {
    const views = pool.view(now);
    const inFlight = views.map((view) => [view.account.login.identity, view.inFlight] as const);
    expect(new Map(inFlight)).toEqual(book);
    for (const view of views) expect(view.standing).toEqual(standing(view.account, now));
  };

  const finish = (): void => {
    while (held.length > 0) release(0);
    check();
    expect([...book.values()].every((count) => count === 0)).toBe(true);
  };
  return { act, check, finish };
}

describe.each(["round-robin", "quota-first"] as const)("whatever happens, %s", (selector) => {
  test("leases only who can serve, the best of them, and keeps its books", () => {
    fc.assert(
      fc.property(fc.array(anAct, { maxLength: 60 }), fc.nat(3), (acts, mostInFlight) => {
        const { act, check, finish } = audit(selector, mostInFlight);
        for (const next of acts) {
          act(next);
          check();
        }
        finish();
      }),
      { numRuns: 400 },
    );
  });
});

describe("what an earlier run knew", () => {
  test("is put back: the account rests, and its counters go on", () => {
    const pool = poolOf(logins("ann", "bob"));
    const tokens = { input: 10, cached: 4, output: 3, reasoning: 1 };
    const past = {
      availability: {
        kind: "cooling",
        why: "quota",
        untilMs: NOON + HOUR,
        sinceMs: NOON - 5,
        reason: "spent",
      },
      quota: undefined,
      modelCooldowns: new Map(),
      consecutiveFailures: 1,
      failedChecks: 0,
      savedMs: NOON - 5,
      hasSameTokens: true,
    } as const;
    pool.restore("ann", past, { requests: 7, errors: 2, tokens, lastUsedMs: NOON + DAY }, NOON);
    pool.restore("nobody", past, { requests: 7, errors: 2, tokens, lastUsedMs: NOON }, NOON);
    expect(picks(pool, 3)).toEqual(["bob", "bob", "bob"]);
    expect(picks(pool, 2, NOON + HOUR)).toContain("ann");
    pool.count("ann", tokens);
    expect(viewOf(pool, "ann", NOON + HOUR).tally).toMatchObject({
      requests: 8,
      errors: 2,
      tokens: { input: 20, cached: 8, output: 6, reasoning: 2 },
    });
  });
});

describe("a survey", () => {
  test("tells where the conversation was, and how the accounts stood without the request itself", () => {
    const pool = poolOf(logins("ann", "bob"));
    pool.settle("ann", used(40), NOON);
    const wish = wishOf();
    expect(pool.homeOf(wish.sessionKey, NOON)).toBeUndefined();
    const lease = pool.pick(wish, NOON);
    const chosenId = lease?.accountId;
    expect(pool.homeOf(wish.sessionKey, NOON)).toBe(chosenId ?? "");
    const survey = pool.survey(wish, { homeId: undefined, chosenId }, NOON);
    expect(survey).toMatchObject({ atMs: NOON, model: MODEL, total: 2, assumed: 0.6, chosenId });
    expect(survey.candidates.map(({ id, inFlight }) => [id, inFlight]).toSorted()).toEqual([
      ["ann", 0],
      ["bob", 0],
    ]);
    // Looking costs nobody anything.
    lease?.release(NOON);
    expect(viewOf(pool, chosenId ?? "").inFlight).toBe(0);
  });
});

describe.each(["round-robin", "quota-first"] as const)("equal accounts, %s", (selector) => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `account-${i}`);
  const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);

  test("share new conversations within one, held or given back, measured or not", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.nat(200),
        fc.boolean(),
        fc.option(fc.nat(99), { nil: undefined }),
        (count, requests, isHeld, percent) => {
          const pool = poolOf(logins(...names(count)), { selector });
          if (percent !== undefined) {
            for (const name of names(count)) pool.settle(name, used(percent), NOON);
          }
          for (let i = 0; i < requests; i++) {
            const lease = pool.pick(wishOf(), NOON);
            if (!isHeld) lease?.release(NOON);
          }
          expect(spread(pool.view(NOON).map(({ tally }) => tally.requests))).toBeLessThanOrEqual(1);
          expect(spread(pool.view(NOON).map(({ inFlight }) => inFlight))).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("ten thousand of them: each gets its turn, and nothing is kept of what was given back", () => {
    const pool = poolOf(logins(...names(10_000)), { selector, mostInFlight: 1 });
    const held = Array.from({ length: 10_000 }, () => pool.pick(wishOf(), NOON));
    expect(new Set(held.map((lease) => lease?.accountId)).size).toBe(10_000);
    expect([pool.pick(wishOf(), NOON), pool.isCrowded(wishOf(), NOON)]).toEqual([undefined, true]);
    for (const lease of held) lease?.release(NOON);
    expect(pool.view(NOON).every(({ inFlight }) => inFlight === 0)).toBe(true);
  });
});

test("a clock that jumps by a day, either way and often, keeps no account from service", () => {
  const trouble = fc.constantFrom<FailureKind>(
    "rate-limited",
    "unauthorized",
    "forbidden",
    "exhausted",
  );
  const act = fc.record({
    kind: fc.option(trouble, { nil: undefined }),
    isModel: fc.boolean(),
    account: fc.nat(2),
    ms: fc.oneof(
      fc.integer({ min: 0, max: HOUR }),
      fc.constantFrom(-DAY, DAY, -DAY - 1, DAY + 1, -3 * DAY),
    ),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 30 }), (acts) => {
      const pool = poolOf(logins("a", "b", "c"));
      let now = NOON;
      for (const { kind, isModel, account, ms } of acts) {
        pool.pick(wishOf(), now)?.release(now);
        const model = isModel && kind === "rate-limited" ? { model: MODEL } : {};
        const id = ["a", "b", "c"][account] ?? "";
        if (kind !== undefined) pool.settle(id, failed(kind, model), now);
        now += ms;
      }
      // The jump itself is noticed with the next request; then what was left of the rests passes.
      pool.pick(wishOf(), now)?.release(now);
      now += 5 * MINUTE;
      pool.pick(wishOf(), now)?.release(now);
      for (const view of pool.view(now)) expect(view.standing.kind).toBe("ready");
      expect(new Set(picks(pool, 12, now)).size).toBe(3);
    }),
    { numRuns: 300 },
  );
});

describe("a pool among others of the same accounts", () => {
  const NAMES = Array.from({ length: 12 }, (_, at) => `a${at}`);

  function apart(options: Partial<PoolOptions> = {}, names: readonly string[] = NAMES) {
    const changes: string[] = [];
    const pool = createPool(
      () => ({
        policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
        selector: "round-robin",
        affinityTtlMs: HOUR,
        ...options,
      }),
      undefined,
      {
        onChange: (before, after) => {
          expect(before).not.toBe(after);
          changes.push(after.login.identity);
        },
        isApart: () => true,
      },
    );
    pool.sync(logins(...names), NOON);
    return { pool, changes };
  }

  const keys = Array.from({ length: 300 }, (_, at) => `talk ${at}`);
  const place = (pool: Pool, sessionKey: string, rest: Partial<Wish> = {}) => {
    const lease = pool.pick(wishOf({ sessionKey, ...rest }), NOON);
    lease?.release(NOON);
    return lease?.accountId;
  };

  test("that cannot tell each other places conversations where every other one does", () => {
    const [one, other] = [apart().pool, apart({}, NAMES.toReversed()).pool];
    // What only one of them has served makes no difference.
    for (let number = 0; number < 50; number++) place(one, `only here ${number}`);
    const used = new Map<string, number>();
    for (const key of keys) {
      const home = place(one, key) ?? "";
      expect(place(other, key)).toBe(home);
      used.set(home, (used.get(home) ?? 0) + 1);
    }
    expect(used.size).toBe(NAMES.length);
    expect(Math.max(...used.values())).toBeLessThan(50);
  });

  test("prefers the account with most room, and spares who has none or is serving much", () => {
    const { pool } = apart();
    for (const name of NAMES) pool.settle(name, used(name === "a3" ? 10 : 80), NOON);
    const homes = keys.map((key) => place(pool, key));
    expect(homes.filter((id) => id === "a3").length).toBeGreaterThan(200);
    const leases = Array.from({ length: 60 }, () =>
      pool.pick(wishOf({ owner: { accountId: "a3", isNeeded: true } }), NOON),
    );
    const others = keys.map((key) => place(pool, `${key} too`));
    expect(others).not.toContain("a3");
    for (const lease of leases) lease?.release(NOON);
    pool.settle("a3", failed("exhausted"), NOON);
    expect(keys.map((key) => place(pool, `${key} more`))).not.toContain("a3");
  });

  test("goes on to the same next account where the first one fails", () => {
    const [one, other] = [apart().pool, apart().pool];
    for (const key of keys.slice(0, 50)) {
      const first = place(one, `${key}!`) ?? "";
      const tried = new Set([first]);
      const next = place(one, `${key}!!`, { tried });
      expect(place(other, `${key}!!`, { tried })).toBe(next);
      expect(next).not.toBe(first);
    }
  });

  test("takes nobody who is full", () => {
    const { pool } = apart({ mostInFlight: 1 }, ["ann", "bob"]);
    const held = [pool.pick(wishOf(), NOON), pool.pick(wishOf(), NOON)];
    expect(new Set(held.map((lease) => lease?.accountId)).size).toBe(2);
    expect(pool.pick(wishOf(), NOON)).toBeUndefined();
  });

  test("tells of what happens to an account here, once each, and of nothing that others found", () => {
    const { pool, changes } = apart({}, ["ann"]);
    pool.settle("ann", { type: "served" }, NOON);
    expect(changes).toEqual([]);
    pool.settle("ann", failed("exhausted"), NOON);
    const credential = { accessToken: "new" };
    pool.sync([loginOf("ann", { credential })], NOON);
    expect(changes).toEqual(["ann", "ann"]);
    const shared = { finding: undefined, modelCooldowns: new Map(), quota: undefined };
    pool.settle("ann", { type: "shared", shared }, NOON);
    expect(viewOf(pool, "ann").standing.kind).toBe("ready");
    expect(changes).toHaveLength(2);
  });
});
