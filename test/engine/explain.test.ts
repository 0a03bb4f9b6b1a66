import { describe, expect, test } from "bun:test";
import { createExplainer, MOST_RECORDS } from "../../src/engine/explain.ts";
import { type ChoiceOptions, openRecord, type TurnRecord } from "../../src/engine/record.ts";
import type { Login } from "../../src/pool/account.ts";
import { createPool, type Wish } from "../../src/pool/pool.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { HOUR, loginOf, NOON } from "../pool/logins.ts";
import { createManualClock } from "../support/clock.ts";

const OPTIONS: ChoiceOptions = { selector: "round-robin", mostInFlight: 0 };

function world(logins: readonly Login[]) {
  const clock = createManualClock(NOON);
  const policy = { unauthorizedMs: 30_000, limitedMs: 60_000 };
  const pool = createPool(() => ({ policy, selector: "round-robin", affinityTtlMs: HOUR }));
  pool.sync(logins, NOON);
  const works: (() => void)[] = [];
  const later = (work: () => void): void => void works.push(work);
  let views = 0;
  const counted = {
    ...pool,
    view: (now: number) => {
      views += 1;
      return pool.view(now);
    },
  };
  let options = OPTIONS;
  const explainer = createExplainer({ pool: counted, clock, options: () => options, later });
  const choose = (record: TurnRecord, rest: Partial<Wish> = {}) => {
    const wish = { sessionKey: record.id, model: "gpt-5.4", tried: new Set<string>(), ...rest };
    const note = explainer.witness(wish, record);
    const lease = pool.pick(wish, clock.now());
    note(lease);
    return lease;
  };
  const explained = (id: string): Dict => dict(explainer.find(id));
  const configure = (next: ChoiceOptions): void => {
    options = next;
  };
  return { clock, pool, explainer, choose, works, explained, configure, views: () => views };
}

const many = (count: number) => Array.from({ length: count }, (_, at) => loginOf(`user-${at}`));

describe("decision records", () => {
  test("are found once the request is over", () => {
    const { explainer, choose, clock, explained } = world(many(2));
    const record = openRecord("req_1", NOON);
    const label = choose(record)?.label;
    expect(explainer.find("req_1")).toBeUndefined();
    clock.advance(5);
    explainer.keep(record);
    expect(explained("req_1")).toMatchObject({ id: "req_1", duration_ms: 5 });
    expect(list(explained("req_1")["choices"])).toMatchObject([
      { account: label, accounts: { total: 2, usable: 2 } },
    ]);
  });

  test("tell a choice by the configuration under which it was made", () => {
    const { explainer, choose, explained, configure } = world(many(2));
    const record = openRecord("req_1", NOON);
    choose(record);
    explainer.keep(record);
    const before = explained("req_1");
    expect(list(before["choices"])).toMatchObject([
      { why: expect.stringContaining("next in turn"), accounts: { usable: 2 } },
    ]);
    // The chosen account serves one request: a limit of one would exclude it today.
    configure({ selector: "quota-first", mostInFlight: 1 });
    expect(explained("req_1")).toEqual(before);
    const later = openRecord("req_2", NOON);
    choose(later);
    explainer.keep(later);
    expect(list(explained("req_2")["choices"])).toMatchObject([
      { why: expect.stringContaining("the one with most room"), accounts: { usable: 1 } },
    ]);
  });

  test("are the last ones, in number", () => {
    const { explainer, explained } = world([]);
    for (let count = 0; count <= MOST_RECORDS; count++)
      explainer.keep(openRecord(`req_${count}`, NOON));
    expect(explainer.find("req_0")).toBeUndefined();
    expect(explained("req_1")["id"]).toBe("req_1");
  });

  test("are fewer where they are large, and names that clients make up stay short", () => {
    const { explainer, explained } = world([]);
    const name = "m".repeat(1_000_000);
    for (let count = 0; count < 400; count++) {
      const removed = Array.from({ length: 1000 }, () => name);
      explainer.keep({
        ...openRecord(`req_${count}`, NOON),
        askedModel: name,
        model: name,
        effort: name,
        tier: name,
        removed,
      });
    }
    expect(JSON.stringify(explained("req_399")).length).toBeLessThan(20_000);
    const kept = Array.from({ length: 400 }, (_, count) => explainer.find(`req_${count}`)).filter(
      (one) => one !== undefined,
    );
    expect(kept.length).toBeGreaterThan(300);
    const attempts = Array.from({ length: 20_000 }, () => ({
      label: "a",
      outcome: "served" as const,
      tookMs: 1,
      startedMs: NOON,
      message: undefined,
      isRenewed: false,
      removed: [],
    }));
    explainer.keep({ ...openRecord("req_huge", NOON), attempts });
    expect(explainer.find("req_huge")).toBeUndefined();
  });

  test("of many accounts cost no request a look at all of them: they are counted beside", () => {
    const { explainer, choose, works, explained, views, clock } = world(many(200));
    for (let count = 0; count < 50; count++) choose(openRecord(`warm_${count}`, NOON));
    expect([views(), works.length]).toEqual([0, 1]);
    works[0]?.();
    const record = openRecord("req_1", NOON);
    choose(record);
    explainer.keep(record);
    expect([views(), works.length]).toEqual([1, 1]);
    const [choice] = list(explained("req_1")["choices"]).map(dict);
    expect(choice?.["accounts"]).toMatchObject({
      total: 200,
      usable: 200,
      counted_at: "2026-11-21T12:00:00.000Z",
    });
    expect(list(choice?.["candidates"]).length).toBeLessThanOrEqual(20);
    clock.advance(6000);
    choose(openRecord("req_2", NOON));
    expect([views(), works.length]).toEqual([1, 2]);
  });

  test("of many accounts of which none can serve are of all of them", () => {
    const { explainer, choose, pool, explained } = world(many(60));
    for (const { identity } of many(60)) {
      pool.settle(identity, { type: "renewal-refused", reason: "reused" }, NOON);
    }
    const record = openRecord("req_1", NOON);
    expect(choose(record)).toBeUndefined();
    explainer.keep(record);
    expect(list(explained("req_1")["choices"])).toMatchObject([
      {
        account: null,
        why: "no account could serve it",
        accounts: { usable: 0, excluded: { "in need of a new login": 60 } },
      },
    ]);
  });
});
