import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Quota } from "../../src/pool/quota.ts";
import type { Outcome } from "../../src/pool/settle.ts";
import { createFeed } from "../../src/store/sql/feed.ts";
import { migrate } from "../../src/store/sql/schema.ts";
import { createSharing } from "../../src/store/sql/sharing.ts";
import type { Failure } from "../../src/turn/failure.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";
import { HOUR, loginOf, MINUTE } from "../pool/logins.ts";
import { DATABASES, type TestDatabase } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { holdUntilEnd } from "../support/held.ts";
import { until } from "../support/until.ts";
import {
  type Crew,
  createCrew,
  createFakeDatabase,
  createInstance,
  type TestInstance,
} from "./fleets.ts";
import { failure } from "./parts.ts";

const SECOND = 1000;
const { hold, use } = holdUntilEnd();
const ANN = loginOf("ann");
const BOB = loginOf("bob");

function failed(kind: Failure["kind"], more: Partial<Failure> = {}): Outcome {
  return { type: "failed", failure: failure(kind, more) };
}

/** A reading by an instance's own clock. */
function readingOf({ clock }: TestInstance, usedPercent: number, more: Partial<Quota> = {}): Quota {
  const now = clock.now();
  const window = { name: "5h", usedPercent, isPartial: false, resetsAtMs: now + 3 * HOUR };
  return { windows: [window], measuredAtMs: now, hasCredits: false, ...more };
}

const measure = (instance: TestInstance, id: string, used: number, more: Partial<Quota> = {}) =>
  instance.settle(id, { type: "measured", quota: readingOf(instance, used, more) });

const exhaust = (instance: TestInstance, id: string, forMs = HOUR) =>
  instance.settle(id, failed("exhausted", { resetsAtMs: instance.clock.now() + forMs }));

/** Two instances that know each other. */
async function two(skewMs = 0): Promise<Crew & { one: TestInstance; other: TestInstance }> {
  const crew = createCrew();
  const one = crew.join([ANN, BOB]);
  const other = crew.join([ANN, BOB], skewMs);
  await crew.pass(6 * SECOND);
  return { ...crew, one, other };
}

describe("what one instance finds out", () => {
  test("keeps the others off an account within a second", async () => {
    const { one, other, pass } = await two();
    exhaust(one, "ann");
    await pass(SECOND);
    expect(other.standing("ann")).toMatchObject({ kind: "cooling", why: "quota" });
    expect(other.talk("a talk")).toBe("bob");
  });

  test.each([
    ["a rate limit", failed("rate-limited"), { kind: "cooling", why: "rate-limit" }],
    ["a refusal", failed("forbidden"), { kind: "cooling", why: "forbidden" }],
    ["a refused token", failed("unauthorized"), { kind: "cooling", why: "unauthorized" }],
    ["a deactivation", failed("deactivated"), { kind: "disabled", by: "backend" }],
    [
      "a policy's verdict",
      { type: "disabled", reason: "a policy" },
      { kind: "disabled", by: "policy" },
    ],
    [
      "a failed health check",
      { type: "check-failed", reason: "no", most: 1 },
      { kind: "disabled", by: "health" },
    ],
    ["a login that is over", { type: "renewal-refused", reason: "over" }, { kind: "needs-login" }],
  ] as const)("counts for the others: %s", async (_name, outcome, expected) => {
    const { one, other, pass } = await two();
    one.settle("ann", outcome);
    await pass(SECOND);
    expect(other.standing("ann")).toMatchObject(expected);
    expect(other.standing("bob").kind).toBe("ready");
  });

  test("a model's rest counts for that model, and ends for all when a reading shows room", async () => {
    const { one, other, pass } = await two();
    const model = "gpt-5.3-codex-spark";
    one.settle("ann", failed("rate-limited", { model, resetsAtMs: one.clock.now() + HOUR }));
    await pass(SECOND);
    expect([...other.get("ann").modelCooldowns]).toEqual([
      [model, other.clock.now() + HOUR - SECOND],
    ]);
    const windows = [
      { name: "spark 5h", model: "GPT-5.3-Codex-Spark", usedPercent: 10, isPartial: true },
    ];
    other.settle("ann", { type: "checked", quota: readingOf(other, 1, { windows }) });
    await pass(SECOND);
    expect(one.get("ann").modelCooldowns.size).toBe(0);
    // The same limit again, up to the same moment.
    one.settle("ann", failed("rate-limited", { model, resetsAtMs: one.clock.now() + HOUR }));
    await pass(SECOND);
    expect(other.get("ann").modelCooldowns.size).toBe(1);
  });

  test("an account's first reading is known at once, so that nobody else takes one", async () => {
    const { one, other, pass } = await two();
    measure(one, "ann", 40);
    await pass(SECOND);
    expect(other.get("ann").quota?.windows[0]?.usedPercent).toBe(40);
  });

  test("a further reading is known to the others within seconds", async () => {
    const { one, other, pass } = await two();
    measure(one, "ann", 30);
    await pass(SECOND);
    measure(one, "ann", 40);
    await pass(6 * SECOND);
    expect(other.get("ann").quota).toEqual(one.get("ann").quota ?? readingOf(one, -1));
  });

  test("a reading that an account is used up is known at once", async () => {
    const { one, other, pass } = await two();
    measure(one, "ann", 100);
    await pass(SECOND);
    expect(other.standing("ann")).toMatchObject({ kind: "cooling", why: "quota" });
  });

  test("is told once, and never by those who were told", async () => {
    const { one, other, pass, database } = await two();
    exhaust(one, "ann");
    measure(one, "bob", 40);
    await pass(30 * SECOND);
    expect(database.written.toSorted().length).toBe(2);
    // To be used says nothing.
    other.settle("bob", { type: "served" });
    await pass(30 * SECOND);
    expect(database.written.length).toBe(2);
  });

  test("of many readings that say the same one is told", async () => {
    const { one, pass, database } = await two();
    for (let turn = 0; turn < 60; turn++) {
      measure(one, "ann", 40);
      await pass(SECOND);
    }
    expect(database.written.length).toBe(1);
  });

  test("of many readings that differ one is told every few seconds", async () => {
    const { one, pass, database } = await two();
    for (let turn = 0; turn < 60; turn++) {
      measure(one, "ann", turn);
      await pass(SECOND);
    }
    expect(database.written.length).toBeGreaterThan(8);
    expect(database.written.length).toBeLessThan(14);
  });

  test("of many accounts at once goes out in one writing", async () => {
    const crew = createCrew();
    const logins = Array.from({ length: 100 }, (_, at) => loginOf(`a${at}`));
    const one = crew.join(logins);
    const other = crew.join(logins);
    await crew.pass(6 * SECOND);
    const before = crew.database.writes();
    for (const { identity } of logins) exhaust(one, identity);
    await crew.pass(SECOND);
    expect(crew.database.writes() - before).toBe(1);
    expect(logins.every(({ identity }) => other.standing(identity).kind === "cooling")).toBe(true);
  });
});

describe("two findings", () => {
  test("of two rests the longer one counts, whichever came first", async () => {
    for (const [first, second] of [
      [HOUR, MINUTE],
      [MINUTE, HOUR],
    ] as const) {
      const { one, other, pass } = await two();
      exhaust(one, "ann", first);
      exhaust(other, "ann", second);
      const endMs = one.clock.now() + HOUR;
      await pass(2 * SECOND);
      for (const { standing } of [one, other]) {
        expect(standing("ann")).toMatchObject({ kind: "cooling", untilMs: endMs });
      }
    }
  });

  test("a rest that a heavier one hid comes back when that ends", async () => {
    const { one, other, pass } = await two();
    one.settle("ann", failed("rate-limited", { resetsAtMs: one.clock.now() + 10 * MINUTE }));
    exhaust(other, "ann", HOUR);
    await pass(5 * SECOND);
    expect(one.standing("ann")).toMatchObject({ why: "quota" });
    measure(one, "ann", 5);
    await pass(2 * SECOND);
    for (const { standing } of [one, other]) {
      expect(standing("ann")).toMatchObject({ kind: "cooling", why: "rate-limit" });
    }
  });

  test("a refusal and another instance's reading or success of the same second: the refusal counts", async () => {
    const { one, other, pass } = await two();
    exhaust(one, "ann");
    await pass(100);
    measure(other, "ann", 50);
    other.settle("ann", { type: "served" });
    await pass(2 * SECOND);
    for (const { standing, get } of [one, other]) {
      expect(standing("ann")).toMatchObject({ kind: "cooling", why: "quota" });
      expect(get("ann").quota?.windows[0]?.usedPercent).not.toBe(100);
    }
  });

  test("a reading that is older than the refusal is not taken for room when that is over", async () => {
    const { one, other, pass } = await two();
    measure(other, "ann", 10);
    await pass(10 * SECOND);
    exhaust(one, "ann", MINUTE);
    await pass(SECOND);
    for (const { get } of [one, other]) expect(get("ann").quota).toBeUndefined();
    await pass(2 * MINUTE);
    for (const { get, standing } of [one, other]) {
      expect(standing("ann").kind).toBe("ready");
      expect(get("ann").quota).toBeUndefined();
    }
  });
});

describe("a rest ends for all", () => {
  test("when a later reading of any instance shows room", async () => {
    const { one, other, pass } = await two();
    exhaust(one, "ann");
    await pass(5 * SECOND);
    measure(other, "ann", 5);
    await pass(SECOND);
    for (const { standing, get } of [one, other]) {
      expect(standing("ann").kind).toBe("ready");
      expect(get("ann").quota?.windows[0]?.usedPercent).toBe(5);
    }
  });

  test("when that reading was taken before the instance knew of the rest", async () => {
    const { one, other, pass, database } = await two();
    exhaust(one, "ann");
    database.isAway = true;
    await pass(10 * SECOND);
    measure(other, "ann", 5);
    await pass(SECOND);
    database.isAway = false;
    await pass(10 * SECOND);
    for (const { standing } of [one, other]) expect(standing("ann").kind).toBe("ready");
  });

  test("when its owner releases the account on any instance, whatever took it out", async () => {
    const { one, other, pass } = await two();
    one.settle("ann", failed("deactivated"));
    one.settle("bob", failed("rate-limited"));
    await pass(SECOND);
    for (const id of ["ann", "bob"]) other.settle(id, { type: "released" });
    await pass(SECOND);
    for (const { standing } of [one, other]) {
      expect([standing("ann").kind, standing("bob").kind]).toEqual(["ready", "ready"]);
    }
  });

  test("a check that succeeds brings back whom another instance has seen deactivated", async () => {
    const { one, other, pass } = await two();
    one.settle("ann", failed("deactivated"));
    await pass(SECOND);
    other.settle("ann", { type: "checked", quota: readingOf(other, 5) });
    await pass(SECOND);
    for (const { standing } of [one, other]) expect(standing("ann").kind).toBe("ready");
  });

  test("but not by an instance that comes, and knows nothing", async () => {
    const crew = createCrew();
    const one = crew.join([ANN, BOB]);
    await crew.pass(SECOND);
    exhaust(one, "ann");
    await crew.pass(SECOND);
    const other = crew.join([ANN, BOB]);
    await crew.pass(6 * SECOND);
    for (const { standing } of [one, other]) expect(standing("ann").kind).toBe("cooling");
  });
});

describe("what was found with tokens", () => {
  const NEW = loginOf("ann", { credential: { accessToken: "new", refreshToken: "newer" } });

  test("says nothing of others", async () => {
    const crew = createCrew();
    const one = crew.join([ANN, BOB]);
    const other = crew.join([NEW, BOB]);
    await crew.pass(6 * SECOND);
    one.settle("ann", { type: "renewal-refused", reason: "over" });
    await crew.pass(SECOND);
    expect(one.standing("ann").kind).toBe("needs-login");
    expect(other.standing("ann").kind).toBe("ready");
  });

  test("ends where the new tokens come, and nowhere else before", async () => {
    const { one, other, pass } = await two();
    one.settle("ann", failed("unauthorized"));
    await pass(SECOND);
    expect(other.standing("ann").kind).toBe("cooling");
    one.settle("ann", { type: "renewed", credential: NEW.credential, atMs: one.clock.now() });
    await pass(SECOND);
    expect(one.standing("ann").kind).toBe("ready");
    expect(other.standing("ann").kind).toBe("cooling");
    other.pool.sync([NEW, BOB], other.clock.now());
    await pass(SECOND);
    for (const { standing } of [one, other]) expect(standing("ann").kind).toBe("ready");
  });

  test("a quota that is spent stays spent with new tokens", async () => {
    const { one, other, pass } = await two();
    exhaust(one, "ann");
    await pass(SECOND);
    other.pool.sync([NEW, BOB], other.clock.now());
    await pass(SECOND);
    expect(other.standing("ann").kind).toBe("cooling");
  });
});

test("the owner's own switch is nobody else's", async () => {
  const { one, other, pass } = await two();
  exhaust(one, "ann");
  other.pool.sync([loginOf("ann", { isSwitchedOff: true }), BOB], other.clock.now());
  await pass(2 * SECOND);
  expect(one.standing("ann").kind).toBe("cooling");
  expect(other.standing("ann")).toMatchObject({ kind: "disabled", by: "file" });
  // What was known before is known after it.
  other.pool.sync([ANN, BOB], other.clock.now());
  await pass(2 * SECOND);
  expect(other.standing("ann")).toMatchObject({ kind: "cooling", why: "quota" });
});

describe("clocks that are five minutes apart", () => {
  test.each([5 * MINUTE, -5 * MINUTE, 3 * HOUR])("%i ms: a rest lasts as long", async (skewMs) => {
    const { one, other, pass } = await two(skewMs);
    for (const [finder, teller] of [
      [one, other],
      [other, one],
    ] as const) {
      const id = finder === one ? "ann" : "bob";
      finder.settle(id, failed("rate-limited"));
      await pass(SECOND);
      expect(teller.standing(id)).toMatchObject({ untilMs: teller.clock.now() + 59 * SECOND });
    }
  });

  test.each([5 * MINUTE, -5 * MINUTE])(
    "%i ms: a reading ends an earlier rest, and no later one",
    async (skewMs) => {
      const { one, other, pass } = await two(skewMs);
      exhaust(one, "ann");
      await pass(4 * SECOND);
      measure(other, "ann", 5);
      await pass(SECOND);
      for (const { standing } of [one, other]) expect(standing("ann").kind).toBe("ready");
      await pass(10 * SECOND);
      exhaust(one, "ann");
      await pass(SECOND);
      for (const { standing } of [one, other]) expect(standing("ann").kind).toBe("cooling");
    },
  );

  test("a clock that is set while it runs moves no rest of the others", async () => {
    const { one, other, pass } = await two();
    exhaust(one, "ann", 10 * MINUTE);
    await pass(SECOND);
    const endMs = other.clock.now() + 10 * MINUTE - SECOND;
    one.clock.advance(5 * MINUTE);
    await pass(10 * SECOND);
    exhaust(one, "bob", 10 * MINUTE);
    await pass(SECOND);
    expect(other.standing("ann")).toMatchObject({ untilMs: endMs });
    expect(one.standing("ann")).toMatchObject({ untilMs: endMs + 5 * MINUTE });
    expect(other.standing("bob")).toMatchObject({
      untilMs: other.clock.now() + 10 * MINUTE - SECOND,
    });
  });
});

describe("with the database away", () => {
  test("all goes on, and what was found out is told afterwards", async () => {
    const { one, other, pass, database } = await two();
    database.isAway = true;
    exhaust(one, "ann");
    measure(other, "bob", 33);
    await pass(MINUTE);
    expect(one.standing("ann").kind).toBe("cooling");
    expect(other.standing("ann").kind).toBe("ready");
    database.isAway = false;
    await pass(10 * SECOND);
    expect(other.standing("ann").kind).toBe("cooling");
    expect(one.get("bob").quota?.windows[0]?.usedPercent).toBe(33);
    const told = one.lines.filter(({ level }) => level === "warn");
    expect(told).toHaveLength(1);
  });

  test("one that is put back to an earlier state learns anew what is known", async () => {
    const { one, other, pass, database } = await two();
    const restore = database.snapshot();
    exhaust(one, "ann");
    await pass(5 * SECOND);
    database.isAway = true;
    await pass(10 * SECOND);
    restore();
    database.isAway = false;
    await pass(10 * SECOND);
    measure(other, "bob", 12);
    await pass(10 * SECOND);
    const third = createCrew(database);
    const late = third.join([ANN, BOB]);
    await third.pass(2 * SECOND);
    expect(late.standing("ann").kind).toBe("cooling");
  });

  test("a state that cannot be read is left alone", async () => {
    const { one, other, pass, database } = await two();
    exhaust(one, "ann");
    await pass(SECOND);
    const [key = ""] = database.written;
    for (const body of ['{"v":99,"all":"new"}', "rubbish", "[]"]) {
      database.states.set(key, { account: key, body, revision: 1e6 });
      exhaust(one, "ann", 2 * HOUR);
      await pass(2 * SECOND);
      expect(database.states.get(key)?.body).toBe(body);
      expect(one.standing("ann").kind).toBe("cooling");
      expect(other.standing("ann").kind).toBe("cooling");
    }
  });

  test("members that a later version has added are kept", async () => {
    const { one, pass, database } = await two();
    exhaust(one, "ann");
    await pass(SECOND);
    const [key = ""] = database.written;
    const row = database.states.get(key);
    const body = `${row?.body.slice(0, -1)},"later":{"a":1}}`;
    database.states.set(key, { account: key, body, revision: row?.revision ?? 0 });
    exhaust(one, "ann", 2 * HOUR);
    await pass(SECOND);
    expect(database.states.get(key)?.body).toContain('"later":{"a":1}');
  });
});

describe("who looks after an account", () => {
  const logins = Array.from({ length: 200 }, (_, at) => loginOf(`a${at}`));
  const mine = ({ fleet }: TestInstance) =>
    logins.filter(({ identity }) => fleet.isMine(identity)).map(({ identity }) => identity);

  test("is one instance for each, and about as many accounts for each instance", async () => {
    const crew = createCrew();
    for (let number = 0; number < 4; number++) crew.join(logins);
    await crew.pass(6 * SECOND);
    const shares = crew.instances.map(mine);
    expect(shares.flat().toSorted()).toEqual(logins.map(({ identity }) => identity).toSorted());
    for (const share of shares) expect(share.length).toBeGreaterThan(25);
  });

  test("is another one soon after that one is gone, cleanly or not, and all where it is alone", async () => {
    const crew = createCrew();
    const one = crew.join(logins);
    const other = crew.join(logins);
    const third = crew.join(logins);
    await crew.pass(6 * SECOND);
    await other.fleet.stop();
    expect([...crew.database.instances.keys()]).toEqual(["instance 1", "instance 3"]);
    await crew.pass(6 * SECOND);
    expect(mine(one).length + mine(third).length).toBeGreaterThanOrEqual(200);
    // It says nothing any more, as after a kill.
    crew.database.instances.delete("instance 3");
    const before = mine(one).length;
    expect(before).toBeLessThan(200);
  });

  test("is everybody where nothing was heard for a minute, and as it was until then", async () => {
    const crew = createCrew();
    const one = crew.join(logins);
    crew.join(logins);
    await crew.pass(6 * SECOND);
    const before = mine(one);
    crew.database.isAway = true;
    await crew.pass(50 * SECOND);
    expect(mine(one)).toEqual(before);
    await crew.pass(20 * SECOND);
    expect(mine(one)).toHaveLength(200);
    crew.database.isAway = false;
    await crew.pass(11 * SECOND);
    expect(mine(one)).toEqual(before);
  });

  test("instances of different versions are told of once", async () => {
    const crew = createCrew();
    const one = crew.join([ANN], 0, "1.0.0");
    crew.join([ANN], 0, "1.1.0");
    await crew.pass(MINUTE);
    const told = one.lines.filter(({ message }) => message.includes("different versions"));
    expect(told).toHaveLength(1);
    expect(told[0]?.facts).toContain("1.0.0, 1.1.0");
  });
});

describe("a conversation", () => {
  const key = (number: number) => number.toString(16).padStart(64, "0");

  test("stays on its account whichever instance it comes to", async () => {
    const crew = createCrew();
    const logins = Array.from({ length: 10 }, (_, at) => loginOf(`a${at}`));
    for (let number = 0; number < 4; number++) crew.join(logins);
    await crew.pass(6 * SECOND);
    for (let talk = 0; talk < 20; talk++) {
      const accounts = new Set<string | undefined>();
      for (const { talk: go } of crew.instances) {
        accounts.add(go(key(talk)));
        await crew.pass(1500);
      }
      expect(accounts.size).toBe(1);
    }
  });

  test("moves for all where it has moved on one", async () => {
    const { one, other, pass } = await two();
    const home = one.talk(key(1)) ?? "";
    await pass(2 * SECOND);
    expect(other.talk(key(1))).toBe(home);
    await pass(2 * SECOND);
    exhaust(other, home);
    const next = other.talk(key(1));
    expect(next).not.toBe(home);
    // It has room again, and the conversation is elsewhere by now.
    await pass(5 * SECOND);
    measure(one, home, 5);
    await pass(2 * SECOND);
    expect(one.talk(key(1))).toBe(next);
  });

  test("that goes on is told of every few minutes, and not with each turn", async () => {
    const { one, pass, database } = await two();
    const seen: (number | undefined)[] = [];
    for (let turn = 0; turn < 22; turn++) {
      one.talk(key(1));
      await pass(30 * SECOND);
      seen.push(database.homes.get(key(1))?.revision);
    }
    expect(new Set(seen).size).toBe(3);
  });

  test("with the database away is placed where every instance would place it", async () => {
    const crew = createCrew();
    const logins = Array.from({ length: 10 }, (_, at) => loginOf(`a${at}`));
    for (let number = 0; number < 3; number++) crew.join(logins);
    await crew.pass(6 * SECOND);
    crew.database.isAway = true;
    await crew.pass(20 * SECOND);
    const used = new Set<string | undefined>();
    for (let talk = 0; talk < 30; talk++) {
      const accounts = new Set(crew.instances.map(({ talk: go }) => go(key(talk))));
      expect(accounts.size).toBe(1);
      for (const account of accounts) used.add(account);
    }
    expect(used.size).toBeGreaterThan(5);
  });
});

describe("whatever comes in whatever order", () => {
  type Event = {
    readonly at: number;
    readonly act: number;
    readonly used: number;
    readonly waitMs: number;
  };
  const ACTS: readonly ((instance: TestInstance, used: number) => void)[] = [
    (instance, used) => exhaust(instance, "ann", 20 * SECOND + used * SECOND * 10),
    (instance, used) =>
      instance.settle(
        "ann",
        failed("rate-limited", {
          resetsAtMs: instance.clock.now() + 10 * SECOND + used * SECOND * 5,
        }),
      ),
    (instance) => instance.settle("ann", failed("forbidden")),
    (instance) => instance.settle("ann", failed("unauthorized")),
    (instance, used) => measure(instance, "ann", used % 90),
    (instance, used) =>
      instance.settle("ann", { type: "checked", quota: readingOf(instance, used % 90) }),
    (instance) => instance.settle("ann", { type: "served" }),
    (instance) => instance.settle("ann", failed("deactivated")),
    (instance) => instance.settle("ann", { type: "released" }),
    (instance) => instance.settle("ann", failed("rate-limited", { model: "gpt-5.4" })),
    (instance) => instance.settle("ann", { type: "renewal-refused", reason: "over" }),
  ];
  const events = fc.array(
    fc.record({
      at: fc.nat(2),
      act: fc.nat(ACTS.length - 1),
      used: fc.nat(100),
      waitMs: fc.constantFrom(0, 0, 50, 300, 1200, 7000),
    }),
    { maxLength: 14 },
  );
  const skews = fc.tuple(
    fc.constant(0),
    fc.constantFrom(0, 5 * MINUTE, -5 * MINUTE),
    fc.constantFrom(0, 1234, -HOUR),
  );

  async function play(all: readonly Event[], skewMs: readonly number[], isAway: boolean) {
    const crew = createCrew();
    for (const each of skewMs) crew.join([ANN, BOB], each);
    await crew.pass(6 * SECOND);
    crew.database.isAway = isAway;
    for (const { at, act, used, waitMs } of all) {
      const instance = crew.instances[at];
      if (instance !== undefined) ACTS[act]?.(instance, used);
      await crew.pass(waitMs);
    }
    crew.database.isAway = false;
    await crew.pass(14 * SECOND);
    return crew;
  }

  /** How an account stands, by one clock for all. */
  function told({ standing, get, clock }: TestInstance, crew: Crew): string {
    const byMs = crew.database.clock.now() - clock.now();
    const found = standing("ann");
    const until = found.kind === "cooling" ? found.untilMs + byMs : 0;
    const why = found.kind === "cooling" ? found.why : found.kind === "disabled" ? found.by : "";
    const models = [...get("ann").modelCooldowns]
      .map(([model, untilMs]) => `${model} ${untilMs + byMs}`)
      .filter((line) => Number(line.split(" ")[1]) > crew.database.clock.now());
    const quota = get("ann").quota?.windows.map(({ usedPercent }) => usedPercent);
    return JSON.stringify({ kind: found.kind, why, until, models, quota });
  }

  test("instances that have exchanged everything agree", async () => {
    await fc.assert(
      fc.asyncProperty(events, skews, fc.boolean(), async (all, skewMs, isAway) => {
        const crew = await play(all, skewMs, isAway);
        const views = crew.instances.map((instance) => told(instance, crew));
        expect(new Set(views).size).toBe(1);
        // Nothing goes to and fro among those that agree.
        const writes = crew.database.writes();
        await crew.pass(20 * SECOND);
        expect(crew.database.writes()).toBe(writes);
      }),
      { numRuns: 100 },
    );
  }, 120_000);

  test("no rest is lost that nobody has ended since", async () => {
    const NO_ENDS = [0, 1, 2, 4, 5, 6, 9];
    const harmless = events.map((all) =>
      all.map((event) => ({ ...event, act: NO_ENDS[event.act % NO_ENDS.length] ?? 0 })),
    );
    await fc.assert(
      fc.asyncProperty(harmless, skews, fc.nat(2), fc.nat(2), async (all, skewMs, at, other) => {
        const crew = await play(all, skewMs, false);
        const [finder, reader] = [crew.instances[at], crew.instances[other]];
        if (finder === undefined || reader === undefined) return;
        finder.settle("ann", failed("exhausted", { resetsAtMs: finder.clock.now() + 3 * HOUR }));
        const endMs = crew.database.clock.now() + 3 * HOUR;
        await crew.pass(200);
        // What another one sees within the second is no sign that it is over.
        if (reader !== finder) measure(reader, "ann", 50);
        reader.settle("ann", { type: "served" });
        await crew.pass(10 * SECOND);
        for (const { standing, clock } of crew.instances) {
          const found = standing("ann");
          expect(found.kind).toBe("cooling");
          const untilMs = found.kind === "cooling" ? found.untilMs : 0;
          expect(untilMs - clock.now() + crew.database.clock.now()).toBeGreaterThanOrEqual(endMs);
        }
      }),
      { numRuns: 100 },
    );
  }, 120_000);
});

describeEach(DATABASES, ({ make }) => {
  /** An instance whose clock is so far ahead, and how many statements it has sent. */
  const connect = async (database: TestDatabase, id: string, skewMs = 0) => {
    const clock: Clock = { now: () => Date.now() + skewMs, after: systemClock.after };
    const { database: own } = database.connect();
    const feed = createFeed(own, systemClock, "sharing");
    await migrate(own);
    const sharing = createSharing({ database: own, feed, clock, ready: async () => {} });
    const instance = createInstance([ANN, BOB], clock, sharing, { id, version: "1" });
    hold({ [Symbol.asyncDispose]: instance.fleet.stop });
    return { ...instance, statements: own.statements };
  };

  test("whose clocks are five minutes apart know within two seconds what one has met", async () => {
    const database = await use(make());
    const one = await connect(database, "one", 5 * MINUTE);
    const other = await connect(database, "other");
    await until("both live", async () => {
      const { rows } = await database.run("SELECT id FROM codex_proxy_instances");
      return rows.length === 2;
    });
    one.settle("ann", failed("rate-limited", { resetsAtMs: one.clock.now() + 10 * MINUTE }));
    const endMs = Date.now() + 10 * MINUTE;
    const startedMs = performance.now();
    const isKnown = (): boolean => other.standing("ann").kind === "cooling";
    await until("the other one knows", isKnown, 5000);
    expect(performance.now() - startedMs).toBeLessThan(2000);
    const found = other.standing("ann");
    const untilMs = found.kind === "cooling" ? found.untilMs : 0;
    expect(Math.abs(untilMs - endMs)).toBeLessThan(1000);
    other.settle("ann", { type: "released" });
    await until("it is over for both", () => one.standing("ann").kind === "ready", 5000);
    const home = one.talk("a1".repeat(32));
    const isHome = (): boolean => other.fleet.homeElsewhere("a1".repeat(32))?.accountId === home;
    await until("the other one knows where the conversation is", isHome, 5000);
  });

  test("send no statement for anything that a request does", async () => {
    const database = await use(make());
    const one = await connect(database, "one");
    await connect(database, "other");
    await until("it has begun", () => one.statements() > 2);
    let spared = 0;
    for (let round = 0; round < 20; round++) {
      const before = one.statements();
      for (let turn = 0; turn < 100; turn++) {
        one.talk(`${round}-${turn}`.padStart(64, "0"));
        const window = { name: "5h", usedPercent: turn % 90, isPartial: false };
        const quota = { windows: [window], measuredAtMs: one.clock.now(), hasCredits: false };
        one.settle("ann", { type: "measured", quota });
        one.settle("bob", turn % 2 === 0 ? failed("rate-limited") : { type: "released" });
        one.settle("ann", { type: "served" });
      }
      spared += one.statements() - before;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(spared).toBe(0);
    // What came of it is told all the same.
    const before = one.statements();
    await until("it is told", () => one.statements() > before, 5000);
  });
});

test("a database of a run before is gone on with", async () => {
  const database = createFakeDatabase();
  const before = createCrew(database);
  const one = before.join([ANN, BOB]);
  await before.pass(SECOND);
  exhaust(one, "ann");
  measure(one, "bob", 77);
  await before.pass(10 * SECOND);
  await one.fleet.stop();
  const after = createCrew(database);
  const late = after.join([ANN, BOB], 5 * MINUTE);
  await after.pass(SECOND);
  expect(late.standing("ann").kind).toBe("cooling");
  expect(late.get("bob").quota?.windows[0]?.usedPercent).toBe(77);
});
