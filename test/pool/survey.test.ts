import { describe, expect, test } from "bun:test";
import type { Account } from "../../src/pool/account.ts";
import { createSurveyor, FEW, obstacleTo } from "../../src/pool/survey.ts";
import type { Obstacle } from "../../src/pool/words.ts";
import { accountOf, HOUR, loginOf, NOON, quotaOf } from "./logins.ts";

const MODEL = "gpt-5.4";
const NONE = { homeId: undefined, chosenId: undefined };

function seatsOf(count: number): Map<string, { account: Account; inFlight: number }> {
  const ids = Array.from({ length: count }, (_, at) => `a${at}`);
  return new Map(ids.map((id) => [id, { account: accountOf({}, loginOf(id)), inFlight: 0 }]));
}

const asked = (...tried: readonly string[]) => ({ model: MODEL, tried: new Set(tried) });

describe("a survey", () => {
  test("of few accounts is of all of them", () => {
    const survey = createSurveyor(seatsOf(FEW))(asked(), NONE, 0.5, NOON);
    expect([survey.total, survey.candidates.length]).toEqual([FEW, FEW]);
  });

  test("of many is of those that the request has to do with, and others by turns", () => {
    const take = createSurveyor(seatsOf(200));
    const wanted = ["a7", "a150", "a160", "a170"];
    const seen = new Set<string>();
    for (let round = 0; round < 10; round++) {
      const choice = { homeId: "a150", chosenId: "a7" };
      const owner = { accountId: "a160", isNeeded: false };
      const { candidates, total } = take({ ...asked("a170"), owner }, choice, 0.5, NOON);
      const ids = candidates.map(({ id }) => id);
      expect(ids).toEqual(expect.arrayContaining(wanted));
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.length).toBeLessThanOrEqual(24);
      expect(total).toBe(200);
      for (const id of ids) seen.add(id);
    }
    expect(seen.size).toBe(200);
  });

  test("goes on where accounts come and go, and names none that is gone", () => {
    const seats = seatsOf(100);
    const take = createSurveyor(seats);
    for (let gone = 0; gone < 49; gone++) {
      take(asked(), { homeId: "nobody", chosenId: undefined }, 0.5, NOON);
      seats.delete(`a${gone}`);
      const { candidates } = take(asked(), NONE, 0.5, NOON);
      expect(candidates.every(({ id }) => seats.has(id))).toBe(true);
      expect(candidates.length).toBeGreaterThan(0);
    }
  });

  test("leaves the request itself out of what the chosen account serves", () => {
    const seats = seatsOf(2);
    for (const seat of seats.values()) seat.inFlight = 3;
    const { candidates } = createSurveyor(seats)(asked(), { ...NONE, chosenId: "a1" }, 0.5, NOON);
    expect(candidates.map(({ inFlight }) => inFlight)).toEqual([3, 2]);
  });
});

describe("what stands in the way of a candidate", () => {
  const spent = accountOf({ quota: quotaOf([["5h", 100, HOUR]]) });
  const tired = accountOf({ modelCooldowns: new Map([[MODEL, NOON + 1]]) });
  const rows: [
    name: string,
    account: Account,
    inFlight: number,
    isTried: boolean,
    most: number,
    obstacle: Obstacle | undefined,
  ][] = [
    ["nothing", accountOf(), 0, false, 0, undefined],
    ["no limit, however many it serves", accountOf(), 99, false, 0, undefined],
    ["a limit", accountOf(), 2, false, 2, "full"],
    ["its quota", spent, 2, false, 2, "quota"],
    ["the model", tired, 0, false, 2, "model"],
    ["that it has failed already", spent, 0, true, 0, "tried"],
  ];
  test("that it is behind a proxy which has failed the request", () => {
    const survey = createSurveyor(seatsOf(1))(
      { ...asked(), barred: new Set([""]) },
      NONE,
      0.5,
      NOON,
    );
    const [candidate] = survey.candidates;
    if (candidate === undefined) throw new Error("there is one");
    expect(candidate.isBarred).toBe(true);
    expect(obstacleTo(candidate, survey, 0)).toBe("barred");
    expect(obstacleTo({ ...candidate, isTried: true }, survey, 0)).toBe("tried");
  });

  test.each(rows)("%s", (_name, account, inFlight, isTried, most, obstacle) => {
    const survey = createSurveyor(new Map())(asked(), NONE, 0.5, NOON);
    expect(obstacleTo({ id: "a", account, inFlight, isTried }, survey, most)).toBe(obstacle);
  });
});
