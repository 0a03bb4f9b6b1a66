import { describe, expect, test } from "bun:test";
import { startChores } from "../../src/engine/chores.ts";
import { createHealth, type HealthOptions } from "../../src/engine/health.ts";
import { failure, listen, loginOf } from "./parts.ts";
import { type Endpoint, reading, refusal, type Stage, stageOf } from "./readings.ts";

const MINUTE = 60_000;
const OPTIONS: HealthOptions = {
  intervalMs: 5 * MINUTE,
  startDelayMs: 45_000,
  batchSize: 20,
  concurrency: 5,
  maxFailures: 3,
};

/** A health check that runs as in the app. */
function checked(options: Partial<HealthOptions>, ...names: readonly string[]) {
  const stage = stageOf(...names);
  const { pool, clock, gauge } = stage;
  const { log, lines } = listen();
  const health = createHealth({
    pool,
    clock,
    log,
    gauge,
    options: () => ({ ...OPTIONS, ...options }),
    isMine: () => true,
  });
  startChores([{ name: "health", everyMs: health.everyMs, run: health.round }], clock, log);
  return Object.assign(stage, { told: lines });
}

const names = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `a${at}`);

/** Whose usage is refused so; the others have room. */
const only =
  (name: string, kind: Parameters<typeof refusal>[0], status?: number): Endpoint =>
  (who) =>
    who === name ? refusal(kind, status) : reading();

function use(stage: Stage, name: string): void {
  const others = stage.pool
    .view(stage.clock.now())
    .map(({ account }) => account.login.identity)
    .filter((id) => id !== stage.id(name));
  const wish = { sessionKey: crypto.randomUUID(), model: "m", tried: new Set(others) };
  stage.pool.pick(wish, stage.clock.now())?.release(stage.clock.now());
}

describe("createHealth", () => {
  test("checks idle accounts after the start delay, and then every interval", async () => {
    const stage = checked({}, "ann");
    await stage.pass(44_000);
    expect(stage.asked).toEqual([]);
    await stage.pass(2000);
    expect(stage.asked).toHaveLength(1);
    await stage.pass(60 * MINUTE);
    expect(stage.asked.length).toBeWithin(11, 13);
  });

  test("does nothing while it is switched off", async () => {
    const stage = checked({ intervalMs: 0 }, "ann");
    await stage.pass(30 * MINUTE);
    expect(stage.asked).toEqual([]);
  });

  test("leaves alone who is in use, or was read for another reason", async () => {
    const stage = checked({}, "ann", "bob", "cid");
    const wish = {
      sessionKey: "s",
      model: "m",
      tried: new Set([stage.id("bob"), stage.id("cid")]),
    };
    expect(stage.pool.pick(wish, stage.clock.now())?.accountId).toBe(stage.id("ann"));
    use(stage, "bob");
    await stage.read("cid");
    expect(stage.asked).toEqual(["cid"]);
    await stage.pass(2 * MINUTE);
    expect(stage.asked).toEqual(["cid"]);
    await stage.pass(5 * MINUTE);
    expect(stage.asked.toSorted()).toEqual(["bob", "cid", "cid"]);
  });

  test("looks at one batch in a round, and at the next ones after it", async () => {
    const stage = checked({ batchSize: 3, concurrency: 1 }, ...names(10));
    await stage.pass(60_000);
    expect(stage.asked).toHaveLength(3);
    await stage.pass(4 * MINUTE);
    expect([...stage.asked].toSorted()).toEqual([...names(10)].toSorted());
    expect(stage.mostAtOnce()).toBe(1);
  });

  test("three failures in a row of the account's own disable it, with the reason and the evidence", async () => {
    const stage = checked({}, "ann", "bob");
    stage.endpoint = only("ann", "forbidden", 403);
    await stage.pass(7 * MINUTE);
    expect(stage.stateOf("ann")).toBe("forbidden");
    expect(stage.pool.get(stage.id("ann"))).toMatchObject({
      failedChecks: 2,
      consecutiveFailures: 0,
    });
    await stage.pass(5 * MINUTE);
    expect(stage.pool.get(stage.id("ann"))?.availability).toMatchObject({
      kind: "disabled",
      reason: "3 health checks in a row failed; the last one: it was forbidden",
    });
    expect(stage.told.filter(({ message }) => message.startsWith("disabled"))).toHaveLength(1);
    expect(stage.stateOf("bob")).toBe("ready");
  });

  test("a disabled account is checked again, and comes back by itself", async () => {
    const stage = checked({}, "ann", "bob");
    stage.endpoint = only("ann", "forbidden", 403);
    await stage.pass(20 * MINUTE);
    expect(stage.stateOf("ann")).toBe("disabled");
    stage.endpoint = () => reading();
    await stage.pass(6 * MINUTE);
    expect(stage.stateOf("ann")).toBe("ready");
    expect(stage.pool.get(stage.id("ann"))?.failedChecks).toBe(0);
  });

  test("a workspace that was deactivated comes back too, once the backend takes it again", async () => {
    const stage = checked({}, "ann", "bob");
    stage.endpoint = only("ann", "deactivated", 402);
    await stage.pass(MINUTE);
    expect(stage.stateOf("ann")).toBe("disabled");
    await stage.pass(60 * MINUTE);
    expect(stage.stateOf("ann")).toBe("disabled");
    stage.endpoint = () => reading();
    await stage.pass(6 * MINUTE);
    expect(stage.stateOf("ann")).toBe("ready");
  });

  test.each<[name: string, endpoint: Endpoint]>([
    ["5xx", () => refusal("server-error", 500)],
    ["no network", () => refusal("network")],
    ["silence", () => "silence"],
    ["a Cloudflare page", () => refusal("challenged", 403)],
    ["a rate limit of the endpoint", () => refusal("rate-limited", 429)],
    ["no such endpoint", () => refusal("bad-request", 404)],
    ["an issuer that is down", () => refusal("renewal-failed")],
  ])("an outage (%s) is nobody's fault", async (_name, endpoint) => {
    const stage = checked({ maxFailures: 1 }, "ann", "bob");
    stage.endpoint = endpoint;
    await stage.pass(60 * MINUTE);
    for (const name of ["ann", "bob"]) {
      expect(stage.pool.get(stage.id(name))).toMatchObject({
        availability: { kind: "ready" },
        failedChecks: 0,
      });
    }
  });

  test("where every account fails in the same way, it is the path", async () => {
    const stage = checked({ maxFailures: 1 }, "ann", "bob", "cid");
    stage.endpoint = () => refusal("forbidden", 403);
    await stage.pass(60 * MINUTE);
    for (const name of ["ann", "bob", "cid"]) expect(stage.stateOf(name)).not.toBe("disabled");
    expect(stage.told.some(({ message }) => message.startsWith("every account"))).toBe(true);
  });

  test("one account alone is judged by itself", async () => {
    const stage = checked({}, "ann");
    stage.endpoint = () => refusal("unauthorized", 401);
    await stage.pass(20 * MINUTE);
    expect(stage.stateOf("ann")).toBe("disabled");
  });

  test("failures of requests are not added to those of checks, nor the other way", async () => {
    const stage = checked({}, "ann", "bob");
    for (let failed = 0; failed < 10; failed++) {
      stage.pool.settle(
        stage.id("ann"),
        { type: "failed", failure: failure("network") },
        stage.clock.now(),
      );
    }
    stage.endpoint = only("ann", "forbidden", 403);
    await stage.pass(MINUTE);
    expect(stage.pool.get(stage.id("ann"))).toMatchObject({
      consecutiveFailures: 10,
      failedChecks: 1,
    });
    expect(stage.stateOf("ann")).toBe("forbidden");
  });

  test("nobody is disabled where health-check-max-failures is 0", async () => {
    const stage = checked({ maxFailures: 0 }, "ann", "bob");
    stage.endpoint = only("ann", "unauthorized", 401);
    await stage.pass(60 * MINUTE);
    expect(stage.stateOf("ann")).not.toBe("disabled");
  });

  test("an account that its owner or a policy took out is not checked", async () => {
    const stage = checked({}, "ann", "bob");
    stage.pool.sync([loginOf("ann", { isSwitchedOff: true }), loginOf("bob")], stage.clock.now());
    stage.pool.settle(stage.id("bob"), { type: "disabled", reason: "policy" }, stage.clock.now());
    await stage.pass(20 * MINUTE);
    expect(stage.asked).toEqual([]);
  });

  test("of several instances each checks those that are its own", async () => {
    const stage = stageOf("ann", "bob");
    const { pool, clock, gauge } = stage;
    const health = createHealth({
      ...{ pool, clock, log: listen().log, gauge, options: () => OPTIONS },
      isMine: (id) => id === stage.id("bob"),
    });
    await stage.pass(20 * MINUTE);
    await Promise.all([health.round(), stage.pass(5000)]);
    expect(stage.asked).toEqual(["bob"]);
  });

  test("a clock that is set back by a day does not stop the checks", async () => {
    const stage = stageOf("ann");
    let backMs = 0;
    const clock = { now: () => stage.clock.now() - backMs };
    const { pool, gauge } = stage;
    const options = () => OPTIONS;
    const health = createHealth({
      ...{ pool, clock, log: listen().log, gauge, options },
      isMine: () => true,
    });
    await Promise.all([health.round(), stage.pass(5000)]);
    expect(stage.asked).toHaveLength(1);
    backMs = 86_400_000;
    await Promise.all([health.round(), stage.pass(5000)]);
    expect(stage.asked).toHaveLength(2);
  });
});
