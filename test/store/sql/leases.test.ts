import { describe, expect, test } from "bun:test";
import type { Database } from "../../../src/store/sql/database.ts";
import { DIALECTS } from "../../../src/store/sql/dialect.ts";
import { createLeases, type Lease, type Leases } from "../../../src/store/sql/leases.ts";
import { ACCOUNTS, migrate, numberOf } from "../../../src/store/sql/schema.ts";
import { DatabaseTrouble } from "../../../src/store/sql/trouble.ts";
import { type Clock, systemClock } from "../../../src/wire/clock.ts";
import { createManualClock } from "../../support/clock.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { until } from "../../support/until.ts";

const AT_ONCE = { holdMs: 60_000, waitMs: 0 };
const PATIENT = { holdMs: 60_000, waitMs: 60_000 };

async function withAccounts(
  here: TestDatabase,
  ...names: readonly string[]
): Promise<TestDatabase> {
  await migrate(here.connect().database);
  for (const name of names) await here.run(`INSERT INTO ${ACCOUNTS} (name) VALUES (?)`, [name]);
  return here;
}

function leasesOn(here: TestDatabase, clock: Clock = systemClock): Leases {
  return createLeases(here.connect().database, clock, Math.random);
}

async function taken(leases: Leases, name = "a.json", wish = AT_ONCE): Promise<Lease> {
  const lease = await leases.take(name, wish);
  if (typeof lease === "string") throw new Error(lease);
  return lease;
}

async function rowOf({ run }: Pick<Database, "run">, name = "a.json") {
  const { rows } = await run(
    `SELECT lease_owner, lease_until, spending, spending_ms FROM ${ACCOUNTS} WHERE name = ?`,
    [name],
  );
  return rows[0];
}

/** The lease's time is up, without anybody having waited for it. */
function expire({ run }: Pick<Database, "run">) {
  return run(`UPDATE ${ACCOUNTS} SET lease_until = 1`);
}

describeEach(DATABASES, ({ make }) => {
  test("one at a time has an account, each of them one, and who gives it up can have it again", async () => {
    await using here = await withAccounts(await make(), "a.json", "b.json");
    const [one, other] = [leasesOn(here), leasesOn(here)];
    const lease = await taken(one);
    expect(await other.take("a.json", AT_ONCE)).toBe("busy");
    // Nor has another task of the same instance.
    expect(await one.take("a.json", AT_ONCE)).toBe("busy");
    await (await taken(other, "b.json")).release();
    expect(await lease.isStillOurs()).toBe(true);
    await lease.release();
    expect(await lease.isStillOurs()).toBe(false);
    const next = await taken(other);
    expect(await next.isStillOurs()).toBe(true);
    // What is over cannot take anything from whoever comes after.
    await lease.release();
    expect(await next.isStillOurs()).toBe(true);
  });

  test("an account that is not there is not waited for", async () => {
    await using here = await withAccounts(await make());
    expect(await leasesOn(here, createManualClock(0)).take("a.json", PATIENT)).toBe("gone");
  });

  test("one that is deleted while somebody waits for it is not waited for either", async () => {
    await using here = await withAccounts(await make(), "a.json");
    await taken(leasesOn(here));
    const clock = createManualClock(0);
    const waiting = leasesOn(here, clock).take("a.json", PATIENT);
    await here.run(`DELETE FROM ${ACCOUNTS}`);
    let isOver = false;
    void waiting.finally(() => {
      isOver = true;
    });
    await until("it is over", () => {
      clock.advance(500);
      return isOver;
    });
    expect(await waiting).toBe("gone");
  });

  test("lasts so long, by the database's own clock, and is worth nothing after that", async () => {
    await using here = await withAccounts(await make(), "a.json");
    const [one, other] = [leasesOn(here), leasesOn(here)];
    const { nowMs } = here.connect().database.dialect;
    const lease = await taken(one, "a.json", { holdMs: 30_000, waitMs: 0 });
    const { rows } = await here.run(`SELECT lease_until - ${nowMs} AS rest FROM ${ACCOUNTS}`);
    const restMs = numberOf(rows[0]?.["rest"]);
    // Not as long as it is wanted: a holder that is killed should hold nobody up for that.
    expect(restMs).toBeGreaterThan(10_000);
    expect(restMs).toBeLessThanOrEqual(15_000);
    await expire(here);
    // Nobody has taken it yet; it is over all the same.
    expect([await lease.isStillOurs(), await lease.announce("mark")]).toEqual([false, false]);
    const next = await taken(other);
    expect([await lease.isStillOurs(), await lease.announce("mark")]).toEqual([false, false]);
    await lease.release();
    expect(await next.isStillOurs()).toBe(true);
    expect((await rowOf(here))?.["spending"]).toBeNull();
  });

  test("is put off while its holder lives, for as long as it is wanted, and no longer after its release", async () => {
    await using here = await withAccounts(await make(), "a.json");
    const clock = createManualClock(0);
    const untilMs = async (): Promise<number> => numberOf((await rowOf(here))?.["lease_until"]);
    const lease = await taken(leasesOn(here, clock), "a.json", { holdMs: 25_000, waitMs: 0 });
    // All this may happen within one millisecond of the database's.
    const age = () => here.run(`UPDATE ${ACCOUNTS} SET lease_until = lease_until - 1000`);
    await age();
    const firstMs = await untilMs();
    clock.advance(5000);
    await until("it is put off", async () => (await untilMs()) > firstMs);
    await age();
    const secondMs = await untilMs();
    // What the database did shows before its answer is here, with which the next time is planned.
    await lease.isStillOurs();
    clock.advance(5000);
    await until("it is put off again", async () => (await untilMs()) > secondMs);
    // Fifteen of the twenty-five seconds are left, which is how long it lasts by itself.
    const lastMs = await untilMs();
    clock.advance(60_000);
    await lease.isStillOurs();
    expect(await untilMs()).toBe(lastMs);
    await lease.release();
    clock.advance(60_000);
    expect(await untilMs()).toBe(0);
    const next = await taken(leasesOn(here, clock), "a.json", { holdMs: 60_000, waitMs: 0 });
    await expire(here);
    clock.advance(5000);
    // What is over is not put off: somebody else may have it by now.
    expect(await next.isStillOurs()).toBe(false);
  });

  test("a token that is about to be spent is written down till that is over", async () => {
    await using here = await withAccounts(await make(), "a.json", "b.json");
    const lease = await taken(leasesOn(here));
    expect(await lease.announce("mark-1")).toBe(true);
    const row = await rowOf(here);
    expect(row?.["spending"]).toBe("mark-1");
    expect(Math.abs(numberOf(row?.["spending_ms"]) - Date.now())).toBeLessThan(5000);
    expect((await rowOf(here, "b.json"))?.["spending"]).toBeNull();
    // Killed: the mark stays, whoever has the account next, till one of them spends a token.
    await expire(here);
    await (await taken(leasesOn(here))).release();
    expect((await rowOf(here))?.["spending"]).toBe("mark-1");
    const next = await taken(leasesOn(here));
    expect((await rowOf(here))?.["spending"]).toBe("mark-1");
    expect(await next.announce("mark-2")).toBe(true);
    await next.release();
    const after = await rowOf(here);
    expect([after?.["spending"], after?.["lease_owner"], numberOf(after?.["lease_until"])]).toEqual(
      [null, null, 0],
    );
  });

  test("whoever waits gets it once it is given up, and the others after them", async () => {
    await using here = await withAccounts(await make(), "a.json");
    let inside = 0;
    let most = 0;
    const turn = async (leases: Leases): Promise<void> => {
      const lease = await taken(leases, "a.json", PATIENT);
      inside += 1;
      most = Math.max(most, inside);
      await here.run("SELECT 1");
      inside -= 1;
      await lease.release();
    };
    const instances = [leasesOn(here), leasesOn(here), leasesOn(here)];
    await Promise.all(
      Array.from({ length: 9 }, (_, at) => turn(instances[at % 3] ?? leasesOn(here))),
    );
    expect([most, inside]).toEqual([1, 0]);
  });
});

/** A database in which somebody else has the account, or which is away. */
function scripted(answer: () => number) {
  const pauses: number[] = [];
  const clock: Clock = {
    now: () => 0,
    after: (delayMs, fire) => {
      pauses.push(delayMs);
      setImmediate(fire);
      return () => {};
    },
  };
  const run: Database["run"] = async (statement) => {
    const count = answer();
    return statement.startsWith("SELECT") ? { rows: [{ id: 1 }], count: 1 } : { rows: [], count };
  };
  const chances = [0, 1, 0.5];
  let asked = 0;
  const chance = () => chances[asked++ % 3] ?? 0;
  return { pauses, leases: createLeases({ run, dialect: DIALECTS.postgres }, clock, chance) };
}

describe("who waits", () => {
  test("comes at moments of their own, more rarely each time, and not for longer than it is worth", async () => {
    const { leases, pauses } = scripted(() => 0);
    expect(await leases.take("a.json", { holdMs: 1000, waitMs: 5000 })).toBe("busy");
    expect(pauses.slice(0, 3)).toEqual([12.5, 56.25, 56.25]);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(750);
    const waitedMs = pauses.reduce((sum, each) => sum + each, 0);
    expect(waitedMs).toBeWithin(5000, 5750);
  });

  test("leaves when it is not wanted any more", async () => {
    const { leases, pauses } = scripted(() => 0);
    const isWanted = () => pauses.length < 2;
    expect(await leases.take("a.json", { ...PATIENT, isWanted })).toBe("busy");
    expect(pauses).toHaveLength(2);
  });

  test("a database that is away ends the waiting, and giving up does not fail on it", async () => {
    let isAway = false;
    const { leases } = scripted(() => {
      if (isAway) throw new DatabaseTrouble("away", "it is not reachable");
      return 1;
    });
    const lease = await taken(leases);
    isAway = true;
    await lease.release();
    await expect(lease.isStillOurs()).rejects.toMatchObject({ kind: "away" });
    await expect(leases.take("a.json", PATIENT)).rejects.toMatchObject({ kind: "away" });
  });
});
