import { describe, expect, test } from "bun:test";
import { type Client, createAllowances, type Ticket } from "../../src/engine/allowance.ts";
import type { Failure } from "../../src/turn/failure.ts";
import { createManualClock } from "../support/clock.ts";
import { NOON } from "./parts.ts";

const MIDNIGHT = Date.UTC(2026, 10, 21);
const USAGE = { input: 60, cached: 50, output: 40, reasoning: 30 };

function clientOf(more: Partial<Client> = {}): Client {
  return {
    name: "laptop",
    models: undefined,
    expiresMs: undefined,
    rpm: undefined,
    concurrency: undefined,
    tokensPerDay: undefined,
    ...more,
  };
}

function scene(more: Partial<Client> = {}) {
  const clock = createManualClock(NOON);
  const allowances = createAllowances(clock);
  const configure = (next: Partial<Client>): void =>
    allowances.configure(new Map([["digest", clientOf(next)]]));
  configure(more);
  const enter = (): Ticket => {
    const entered = allowances.enter("digest");
    if ("kind" in entered) throw new Error(entered.message);
    return entered;
  };
  const refusal = (): Failure => {
    const entered = allowances.enter("digest");
    if ("kind" in entered) return entered;
    throw new Error("it was let in");
  };
  const view = () => allowances.view()[0];
  return { clock, allowances, configure, enter, refusal, view };
}

describe("limits of a key", () => {
  test("rpm: as many turns as allowed, then none until the first is a minute old", () => {
    const { clock, enter, refusal } = scene({ rpm: 2 });
    enter();
    clock.advance(10_000);
    enter();
    const failure = refusal();
    expect(failure).toMatchObject({ kind: "client-limited", code: "rate_limit_exceeded" });
    expect(failure.message).toContain("2 turns");
    // Who is refused does not begin the wait anew.
    refusal();
    clock.advance((failure.resetsAtMs ?? 0) - clock.now());
    enter();
    refusal();
  });

  test("concurrency: turns that have ended make room", () => {
    const { enter, refusal } = scene({ concurrency: 2 });
    const first = enter();
    enter();
    expect(refusal()).toMatchObject({
      kind: "client-limited",
      code: "concurrency_limit_exceeded",
      resetsAtMs: NOON + 2000,
    });
    first.leave(false, undefined);
    enter();
    refusal();
  });

  test("tokens-per-day: input and output count, each day of UTC anew", () => {
    const { clock, enter, refusal, view } = scene({ tokensPerDay: 200 });
    enter().leave(false, USAGE);
    expect(view()?.tokensToday).toBe(100);
    // Both are let in, and both come to their end.
    const [one, other] = [enter(), enter()];
    one.leave(false, USAGE);
    const failure = refusal();
    other.leave(false, USAGE);
    expect(failure).toMatchObject({ code: "usage_limit_reached", resetsAtMs: MIDNIGHT });
    expect(failure.message).toContain("2026-11-21T00:00:00.000Z");
    clock.advance(MIDNIGHT - NOON - 1);
    refusal();
    clock.advance(1);
    expect(view()).toMatchObject({ tokensToday: 0, nextDayMs: MIDNIGHT + 24 * 3_600_000 });
    enter().leave(false, USAGE);
    expect(view()).toMatchObject({ tokensToday: 100, tokens: { input: 240, output: 160 } });
  });

  test("without limits, and without a key, everything is let in", () => {
    const { allowances, enter } = scene();
    for (let turn = 0; turn < 1000; turn++) enter();
    for (const scope of ["", "unknown"]) expect(allowances.enter(scope)).toHaveProperty("leave");
    expect(allowances.view()).toHaveLength(1);
  });
});

describe("what a key has used", () => {
  test("is counted, refusals apart", () => {
    const { clock, enter, refusal, view } = scene({ concurrency: 1 });
    const ticket = enter();
    refusal();
    expect(view()).toMatchObject({ requests: 1, refused: 1, inFlight: 1, errors: 0 });
    clock.advance(500);
    ticket.leave(true, undefined);
    expect(view()).toMatchObject({ inFlight: 0, errors: 1, lastUsedMs: NOON + 500 });
  });

  test("goes on through a change of the configuration, and ends with the key", () => {
    const { allowances, configure, enter, refusal, view } = scene({ rpm: 5, tokensPerDay: 500 });
    enter().leave(false, USAGE);
    const running = enter();
    configure({ name: "renamed", rpm: 2, concurrency: 9 });
    expect(view()).toMatchObject({ requests: 2, inFlight: 1, tokensToday: 100 });
    expect(view()?.client.name).toBe("renamed");
    refusal();
    allowances.configure(new Map());
    expect(allowances.view()).toEqual([]);
    // A turn of a key that is gone ends like any other.
    running.leave(false, USAGE);
    configure({});
    expect(view()).toMatchObject({ requests: 0, inFlight: 0 });
  });

  test("today's tokens go on after a restart, and yesterday's do not", () => {
    const before = scene();
    before.enter().leave(false, USAGE);
    const [use] = before.allowances.days();
    if (use === undefined) throw new Error("nothing was used");
    expect(use).toEqual({
      mark: expect.stringMatching(/^[0-9a-f]{32}$/),
      day: 20_777,
      tokens: 100,
    });
    expect(use.mark).not.toContain("digest");
    const after = scene({ tokensPerDay: 100 });
    const { version } = after.allowances;
    after.allowances.restore({ ...use, day: use.day - 1 });
    after.allowances.restore({ ...use, mark: "another" });
    expect(after.view()?.tokensToday).toBe(0);
    expect(version()).toBe(0);
    after.allowances.restore(use);
    after.allowances.restore({ ...use, tokens: 7 });
    expect(after.view()?.tokensToday).toBe(100);
    after.refusal();
  });
});
