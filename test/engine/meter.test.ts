import { describe, expect, test } from "bun:test";
import { startChores } from "../../src/engine/chores.ts";
import type { LastReading } from "../../src/engine/gauge.ts";
import { createMeter, urgencyOf } from "../../src/engine/meter.ts";
import type { Availability } from "../../src/pool/account.ts";
import { standing } from "../../src/pool/account.ts";
import type { AccountView } from "../../src/pool/pool.ts";
import type { Quota } from "../../src/pool/quota.ts";
import { accountOf, DAY, HOUR, loginOf, MINUTE, NOON, quotaOf } from "../pool/logins.ts";
import { failure, listen } from "./parts.ts";
import { reading, refusal, type Stage, stageOf } from "./readings.ts";

/** A meter that runs as in the app. */
function metered(...names: readonly string[]): Stage {
  return meteredOf(() => true, ...names);
}

/** One that looks after some of them only. */
function meteredOf(isMine: (accountId: string) => boolean, ...names: readonly string[]): Stage {
  const stage = stageOf(...names);
  const { pool, clock, gauge } = stage;
  const meter = createMeter({ pool, clock, gauge, most: () => 3, isMine });
  startChores([{ name: "quota", everyMs: meter.everyMs, run: meter.look }], clock, listen().log);
  return stage;
}

const names = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `a${at}`);

function spend(stage: Stage, name: string, resetsInMs?: number): void {
  const now = stage.clock.now();
  const reset = resetsInMs === undefined ? {} : { resetsAtMs: now + resetsInMs };
  const told = failure("exhausted", reset);
  stage.pool.settle(stage.id(name), { type: "failed", failure: told }, now);
}

/** How long the account stays as it is; at most `mostMs`. */
async function lasts(stage: Stage, name: string, state: string, mostMs: number): Promise<number> {
  for (let ms = 0; ms < mostMs; ms += 1000) {
    if (stage.stateOf(name) !== state) return ms;
    await stage.pass(1000);
  }
  return mostMs;
}

describe("createMeter", () => {
  test("after the start every account is read once, spread out", async () => {
    const stage = metered(...names(25));
    await stage.pass(2000);
    expect(stage.asked).toEqual([]);
    await stage.pass(2 * MINUTE);
    expect([...stage.asked].toSorted()).toEqual([...names(25)].toSorted());
    const gaps = stage.askedMs.slice(1).map((atMs, at) => atMs - (stage.askedMs[at] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1000);
    expect(stage.mostAtOnce()).toBeLessThanOrEqual(3);
  });

  test("of several instances each reads those that are its own", async () => {
    const isMine = (id: string) => /user-a[0-4]\//.test(id);
    const stage = meteredOf(isMine, ...names(10));
    await stage.pass(2 * MINUTE);
    expect([...stage.asked].toSorted()).toEqual(["a0", "a1", "a2", "a3", "a4"]);
  });

  test("an account whose quota is known from traffic needs no reading for half an hour", async () => {
    const stage = metered("ann", "bob");
    const quota = quotaOf([["5h", 5, DAY]], { measuredAtMs: stage.clock.now() });
    stage.pool.settle(stage.id("ann"), { type: "measured", quota }, stage.clock.now());
    await stage.pass(10 * MINUTE);
    expect(stage.asked).toEqual(["bob"]);
    await stage.pass(25 * MINUTE);
    expect(stage.asked).toContain("ann");
  });

  test("B6-2: nobody can serve, the quota endpoint says 0 % used: the account is back in less than a minute", async () => {
    const stage = metered("ann");
    stage.endpoint = () => reading(100, { isSpent: true });
    await stage.pass(10_000);
    spend(stage, "ann", 6 * DAY);
    await stage.pass(20 * MINUTE);
    expect(stage.stateOf("ann")).toBe("quota");
    stage.endpoint = () => reading(0);
    expect(await lasts(stage, "ann", "quota", HOUR)).toBeLessThan(MINUTE);
  });

  test("B6-2: where others can serve, it is back within a few minutes", async () => {
    const stage = metered("ann", "bob");
    await stage.pass(10_000);
    stage.endpoint = (name) => reading(name === "ann" ? 100 : 5);
    spend(stage, "ann", 6 * DAY);
    await stage.pass(MINUTE);
    const before = stage.asked.length;
    await stage.pass(HOUR);
    // Some twenty an hour for the one that is exhausted, and two for the one that nobody uses.
    expect(stage.asked.length - before).toBeWithin(15, 28);
    stage.endpoint = () => reading(0);
    expect(await lasts(stage, "ann", "quota", HOUR)).toBeLessThan(4 * MINUTE);
  });

  test("B6-2: one account's reset that is days away does not survive a restart's first reading", async () => {
    const stage = metered("ann");
    spend(stage, "ann", 6 * DAY);
    expect(await lasts(stage, "ann", "quota", HOUR)).toBeLessThan(MINUTE);
  });

  test("B6-5: an account that was refused without a reset is read again at once", async () => {
    const stage = metered("ann", "bob");
    await stage.pass(10_000);
    stage.endpoint = () => reading(100);
    spend(stage, "ann");
    expect(stage.pool.get(stage.id("ann"))?.quota).toBeUndefined();
    await stage.pass(25_000);
    expect(stage.pool.get(stage.id("ann"))?.quota?.windows).toMatchObject([{ usedPercent: 100 }]);
    await stage.pass(MINUTE);
    // The guess of a minute is over; the windows are not.
    expect(stage.stateOf("ann")).toBe("quota");
  });

  test("an account is read a little after its promised reset, not at it and not long after", async () => {
    const stage = metered("ann", "bob");
    const endMs = stage.clock.now() + HOUR;
    stage.endpoint = (name) =>
      stage.clock.now() < endMs && name === "ann" ? reading(100) : reading(1, { windows: [] });
    await stage.pass(HOUR);
    const before = stage.asked.filter((name) => name === "ann").length;
    await stage.pass(25_000);
    expect(stage.asked.filter((name) => name === "ann")).toHaveLength(before + 1);
    const again = stage.askedMs.filter((atMs, at) => stage.asked[at] === "ann" && atMs >= endMs);
    expect(again[0] ?? 0).toBeGreaterThan(endMs + 1000);
  });

  test("B6-8: a reading that never comes holds up nobody", async () => {
    const stage = metered("ann");
    stage.endpoint = () => "silence";
    await stage.pass(4000);
    expect(stage.asked).toEqual(["ann"]);
    const wish = { sessionKey: "s", model: "m", tried: new Set<string>() };
    expect(stage.pool.pick(wish, stage.clock.now())?.accountId).toBe(stage.id("ann"));
  });

  test("what cannot be read is tried again after minutes, and an outage is left alone", async () => {
    const stage = metered(...names(6));
    stage.endpoint = () => refusal("server-error", 500);
    await stage.pass(10 * MINUTE);
    expect(stage.asked.length).toBeWithin(6, 19);
    for (const name of names(6)) expect(stage.stateOf(name)).toBe("ready");
  });

  test("a clock that jumps by a day either way stops no readings", async () => {
    const stage = metered("ann", "bob");
    stage.endpoint = (name) => reading(name === "ann" ? 100 : 5);
    await stage.pass(MINUTE);
    const before = stage.asked.length;
    stage.clock.advance(DAY);
    await stage.pass(MINUTE);
    expect(stage.asked.length).toBeGreaterThan(before);
  });
});

describe("urgencyOf", () => {
  type Case = {
    readonly availability?: Availability;
    readonly quota?: Quota;
    readonly last?: LastReading;
    readonly isOff?: boolean;
    readonly isPressing?: boolean;
  };
  const evidence = { sinceMs: NOON - HOUR, reason: "x" };
  const cooling = (
    why: "quota" | "forbidden" | "rate-limit",
    sinceMs = NOON - HOUR,
  ): Availability => ({
    kind: "cooling",
    why,
    untilMs: NOON + DAY,
    reason: "x",
    sinceMs,
  });
  const known = (agoMs: number): Quota => quotaOf([["5h", 5, DAY]], { measuredAtMs: NOON - agoMs });
  const tried = (agoMs: number): LastReading => ({ atMs: NOON - agoMs, result: "measured" });
  const rows: [name: string, given: Case, rank: number | undefined][] = [
    ["nobody knows it", {}, 2],
    ["it was tried just now, in vain", { last: tried(MINUTE) }, undefined],
    ["it was tried some minutes ago, in vain", { last: tried(5 * MINUTE) }, 2],
    ["it is known", { quota: known(MINUTE) }, undefined],
    ["what is known is old", { quota: known(31 * MINUTE) }, 3],
    ["it was read before the clock was set back", { quota: known(-DAY), last: tried(-DAY) }, 3],
    [
      "it is exhausted and has not been read for minutes",
      { quota: known(9 * MINUTE), availability: cooling("quota") },
      1,
    ],
    [
      "it is exhausted and was read just now",
      { quota: known(MINUTE), availability: cooling("quota") },
      undefined,
    ],
    [
      "it is exhausted, was read a minute ago, and nobody can serve",
      { quota: known(MINUTE), availability: cooling("quota"), isPressing: true },
      1,
    ],
    ["it was refused just now", { availability: cooling("quota", NOON - 1000) }, undefined],
    [
      "it was refused a while ago, and nothing is known",
      { availability: cooling("quota", NOON - 20_000) },
      1,
    ],
    ["it rests for a refusal", { availability: cooling("forbidden") }, undefined],
    ["it rests for a rate limit", { availability: cooling("rate-limit") }, undefined],
    ["it needs a login", { availability: { kind: "needs-login", ...evidence } }, undefined],
    [
      "it is disabled",
      { availability: { kind: "disabled", by: "backend", ...evidence } },
      undefined,
    ],
    ["its owner switched it off", { isOff: true }, undefined],
    ["a policy lets it rest", { last: { ...tried(MINUTE), againMs: NOON + 1 } }, undefined],
    ["a policy's rest is over", { last: { ...tried(MINUTE), againMs: NOON } }, 0],
    [
      "a policy's rest is from before the clock was set back",
      { last: { ...tried(-DAY), againMs: NOON + DAY } },
      0,
    ],
    [
      "a full window has ended that was not looked at since",
      { quota: quotaOf([["5h", 100, -MINUTE]], { measuredAtMs: NOON - 2 * MINUTE }) },
      0,
    ],
    [
      "a full window has ended that was looked at since",
      { quota: quotaOf([["5h", 100, -MINUTE]], { measuredAtMs: NOON - 30_000 }) },
      undefined,
    ],
  ];
  test.each(rows)("where %s", (_name, given, rank) => {
    const login = loginOf("ann", { isSwitchedOff: given.isOff === true });
    const { availability, quota } = given;
    const account = accountOf(
      {
        ...(availability === undefined ? {} : { availability }),
        ...(quota === undefined ? {} : { quota }),
      },
      login,
    );
    const view: AccountView = {
      account,
      standing: standing(account, NOON),
      inFlight: 0,
      tally: {
        requests: 0,
        errors: 0,
        tokens: { input: 0, cached: 0, output: 0, reasoning: 0 },
        lastUsedMs: undefined,
      },
    };
    expect(urgencyOf(view, given.last, given.isPressing === true, NOON)).toBe(rank);
  });
});
