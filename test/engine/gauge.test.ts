import { describe, expect, test } from "bun:test";
import { isOwn, whyUnreadable } from "../../src/engine/gauge.ts";
import type { FailureKind } from "../../src/turn/failure.ts";
import { failure, loginOf, NOON, settled } from "./parts.ts";
import { type Endpoint, reading, refusal, stageOf } from "./readings.ts";

const MINUTE = 60_000;

describe("createGauge", () => {
  test("a reading tells the pool, and is remembered", async () => {
    const stage = stageOf("ann");
    expect(await stage.read("ann")).toMatchObject({ type: "measured" });
    expect(stage.pool.get(stage.id("ann"))?.quota?.windows).toMatchObject([{ usedPercent: 5 }]);
    expect(stage.gauge.last(stage.id("ann"))).toEqual({
      atMs: expect.any(Number),
      result: "measured",
    });
  });

  test("a reading proves the token that it was taken with, a refusal proves none", async () => {
    const stage = stageOf("ann", "bob");
    stage.endpoint = (name) => (name === "bob" ? refusal("forbidden", 403) : reading(5));
    await stage.read("ann");
    await stage.read("bob");
    expect(stage.proofs).toEqual(["ann"]);
  });

  test("who asks while a reading is under way gets that one", async () => {
    const stage = stageOf("ann");
    const both = [stage.read("ann"), stage.read("ann")];
    const [one, other] = await Promise.all(both);
    expect(one).toBe(other);
    expect(stage.asked).toEqual(["ann"]);
  });

  test("many are read one after the other, a pause between them, and no more than may at once", async () => {
    const names = Array.from({ length: 12 }, (_, at) => `a${at}`);
    const stage = stageOf(...names);
    const all = names.map((name) => stage.gauge.read(stage.id(name), 2));
    await stage.pass(30_000);
    await Promise.all(all);
    const gaps = stage.askedMs.slice(1).map((atMs, at) => atMs - (stage.askedMs[at] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1000);
    expect(stage.mostAtOnce()).toBeLessThanOrEqual(2);
  });

  test("an answer in which every field is missing changes nothing, and is a success", async () => {
    const stage = stageOf("ann");
    stage.endpoint = () => reading(0, { windows: [] });
    expect(await stage.read("ann")).toMatchObject({ type: "measured" });
    expect(stage.pool.get(stage.id("ann"))).toMatchObject({ quota: undefined, failedChecks: 0 });
  });

  test("silence is given up after health-check-request-timeout", async () => {
    const stage = stageOf("ann");
    stage.endpoint = () => "silence";
    expect(await stage.read("ann")).toMatchObject({ failure: { kind: "timeout" } });
    expect(stage.clock.now() - NOON).toBeWithin(8000, 9001);
    expect(stage.stateOf("ann")).toBe("ready");
  });

  test("a token that is refused is renewed, once, and the usage read again", async () => {
    const stage = stageOf("ann");
    stage.endpoint = (_name, count) => (count === 1 ? refusal("unauthorized", 401) : reading());
    expect(await stage.read("ann")).toMatchObject({ type: "measured" });
    expect([stage.renewals, stage.asked]).toEqual([["ann"], ["ann", "ann"]]);
    expect(stage.stateOf("ann")).toBe("ready");
  });

  test("B7-11: a 401 that a new token does not mend makes the account unselectable", async () => {
    const stage = stageOf("ann");
    stage.endpoint = () => refusal("unauthorized", 401);
    expect(await stage.read("ann")).toMatchObject({ type: "failed" });
    expect([stage.renewals.length, stage.asked.length]).toEqual([1, 2]);
    expect(stage.stateOf("ann")).toBe("unauthorized");
    expect(stage.pool.get(stage.id("ann"))?.consecutiveFailures).toBe(0);
  });

  test("B7-11: a 401 without any newer token does so too", async () => {
    const stage = stageOf("ann");
    stage.endpoint = () => refusal("unauthorized", 401);
    stage.renewal = failure("renewal-failed");
    await stage.read("ann");
    expect(stage.asked).toEqual(["ann"]);
    expect(stage.stateOf("ann")).toBe("unauthorized");
  });

  test("a token that a renewal has just brought in vain is not renewed again for an hour", async () => {
    const stage = stageOf("ann");
    stage.endpoint = () => refusal("unauthorized", 401);
    for (let tries = 0; tries < 5; tries++) {
      await stage.read("ann");
      await stage.pass(5 * MINUTE);
    }
    expect(stage.renewals).toHaveLength(1);
    await stage.pass(60 * MINUTE);
    await stage.read("ann");
    expect(stage.renewals).toHaveLength(2);
    const credential = { accessToken: "its owner's", refreshToken: "r" };
    const renewed = { type: "renewed", credential, atMs: NOON } as const;
    stage.pool.settle(stage.id("ann"), renewed, stage.clock.now());
    await stage.read("ann");
    expect(stage.renewals).toHaveLength(3);
  });

  test("B6-2: renewals that hang take a reading's place no longer than a reading may last", async () => {
    const names = ["ann", "bob", "cid", "dan", "eve", "fay"];
    const stage = stageOf(...names);
    stage.hanging = ["ann", "bob", "cid", "dan", "eve"].map((name) => ({ name, at: "identify" }));
    const all = names.map((name) => stage.gauge.read(stage.id(name), 3));
    await stage.pass(30_000);
    const results = await Promise.all(all);
    expect(stage.asked).toEqual(["fay"]);
    // Two times three places, 8 s each, and the pauses between the starts.
    expect((stage.askedMs[0] ?? 0) - NOON).toBeWithin(8000, 20_000);
    expect(results.map((one) => (one.type === "failed" ? one.failure.kind : one.type))).toEqual([
      ...Array.from({ length: 5 }, () => "renewal-failed" as const),
      "measured",
    ]);
    for (const name of names) {
      expect(stage.stateOf(name)).toBe("ready");
      expect(stage.pool.get(stage.id(name))).toMatchObject({
        consecutiveFailures: 0,
        failedChecks: 0,
      });
    }
    expect(stage.gauge.isTroubled()).toBe(false);
    stage.hanging = [];
    expect(await stage.read("ann")).toMatchObject({ type: "measured" });
  });

  test("a refused token whose renewal hangs counts against nobody, whatever the policy", async () => {
    for (const policy of [undefined, "refresh_once/disable", "refresh_once/remove"]) {
      const stage = stageOf("ann");
      if (policy !== undefined) stage.policies = { "401": policy };
      stage.endpoint = () => refusal("unauthorized", 401);
      stage.hanging = [{ name: "ann", at: "renew" }];
      expect(await stage.read("ann")).toMatchObject({ failure: { kind: "renewal-failed" } });
      expect(stage.clock.now() - NOON).toBeLessThan(10_000);
      expect([stage.stateOf("ann"), stage.vault.logins.size]).toEqual(["ready", 1]);
    }
  });

  test("once the program stops, nothing is asked and no renewal begun", async () => {
    const stage = stageOf("ann", "bob");
    stage.endpoint = () => {
      stage.gauge.stop();
      return refusal("unauthorized", 401);
    };
    await stage.read("ann");
    expect([stage.asked, stage.renewals]).toEqual([["ann"], []]);
    expect(await stage.read("bob")).toMatchObject({ type: "failed" });
    expect(stage.asked).toEqual(["ann"]);
    expect(stage.stateOf("bob")).toBe("ready");
  });

  test("an account that stays refused is told of once", async () => {
    const stage = stageOf("ann");
    stage.endpoint = () => refusal("deactivated", 402);
    for (let tries = 0; tries < 3; tries++) await stage.read("ann");
    expect(stage.lines.map(({ level }) => level)).toEqual(["warn", "debug", "debug"]);
  });

  const effects: [kind: FailureKind, status: number | undefined, state: string][] = [
    ["forbidden", 403, "forbidden"],
    ["deactivated", 402, "disabled"],
    ["exhausted", 429, "quota"],
    ["challenged", 403, "ready"],
    ["rate-limited", 429, "ready"],
    ["server-error", 500, "ready"],
    ["network", undefined, "ready"],
    ["bad-request", 404, "ready"],
  ];
  test.each(effects)("%s (%p) leaves the account %s", async (kind, status, state) => {
    const stage = stageOf("ann");
    stage.endpoint = () => refusal(kind, status);
    await stage.read("ann");
    expect(stage.stateOf("ann")).toBe(state);
    expect(isOwn(failure(kind))).toBe(state !== "ready");
  });

  test("an account without a working token is no fault of the endpoint's", async () => {
    const stage = stageOf("ann");
    const credential = { refreshToken: "r" };
    stage.pool.settle(stage.id("ann"), { type: "renewed", credential, atMs: NOON }, NOON);
    expect(await stage.read("ann")).toMatchObject({ failure: { kind: "renewal-failed" } });
    expect(stage.asked).toEqual([]);
  });

  test("one that has left the pool meanwhile is forgotten", async () => {
    const stage = stageOf("ann", "bob");
    await stage.read("ann");
    stage.pool.sync([loginOf("bob")], NOON);
    await stage.read("bob");
    expect(stage.gauge.last(stage.id("ann"))).toBeUndefined();
  });

  test("a fault of our own is told as one, and stops nothing", async () => {
    const stage = stageOf("ann");
    stage.endpoint = () => {
      throw new Error("oops");
    };
    expect(await stage.read("ann")).toMatchObject({ failure: { kind: "internal" } });
    stage.endpoint = () => reading();
    expect(await stage.read("ann")).toMatchObject({ type: "measured" });
  });

  test("three troubles of nobody's own in a row are an outage, for a minute", async () => {
    const stage = stageOf("ann", "bob", "cid");
    stage.endpoint = (name) => (name === "cid" ? refusal("challenged", 403) : refusal("timeout"));
    for (const name of ["ann", "bob"]) await stage.read(name);
    expect(stage.gauge.isTroubled()).toBe(false);
    await stage.read("cid");
    expect(stage.gauge.isTroubled()).toBe(true);
    stage.clock.advance(MINUTE);
    expect(stage.gauge.isTroubled()).toBe(false);
  });
});

describe("quota-http-status-policy", () => {
  const refused: Endpoint = () => refusal("forbidden", 403);
  async function under(policies: Readonly<Record<string, string>>, endpoint: Endpoint = refused) {
    const stage = stageOf("ann");
    stage.policies = policies;
    stage.endpoint = endpoint;
    await stage.read("ann");
    return stage;
  }

  test("cooldown rests the account, whatever the status would mean by itself", async () => {
    const deactivated = await under({ "402": "none/cooldown" }, () => refusal("deactivated", 402));
    expect(deactivated.stateOf("ann")).toBe("forbidden");
    const outage = await under({ "5xx": "cooldown" }, () => refusal("server-error", 503));
    expect(outage.stateOf("ann")).toBe("forbidden");
    const limited = await under({ "429": "cooldown" }, () => refusal("rate-limited", 429));
    expect(limited.stateOf("ann")).toBe("rate-limit");
  });

  test("disable says why, loudly, and no check brings the account back", async () => {
    const stage = await under({ "4xx": "disable" });
    expect(stage.pool.get(stage.id("ann"))?.availability).toMatchObject({
      kind: "disabled",
      reason: expect.stringContaining("quota-http-status-policy"),
    });
    stage.endpoint = () => reading();
    await stage.read("ann");
    expect(stage.stateOf("ann")).toBe("disabled");
  });

  test("remove deletes the login, and says so as an error", async () => {
    const stage = await under({ "403": "none/remove" });
    expect([...stage.vault.logins.keys()]).toEqual([]);
    expect(stage.stateOf("ann")).toBe("gone");
    expect(stage.lines).toContainEqual(
      expect.objectContaining({ level: "error", message: expect.stringContaining("deleted") }),
    );
  });

  test("what cannot be deleted is told, and stays out of no sight", async () => {
    const stage = stageOf("ann");
    stage.policies = { "403": "remove" };
    stage.endpoint = refused;
    stage.vault.logins.clear();
    await stage.read("ann");
    expect(stage.lines.map(({ message }) => message)).toContain(
      "an account's file could not be deleted, as quota-http-status-policy wants",
    );
    expect(stage.stateOf("ann")).toBe("disabled");
  });

  const finals = ["none/remove", "none/disable", "none/cooldown", "cooldown_then_retry/remove"];
  test.each(finals)(
    "%s: not on tokens that came while the old ones were refused",
    async (final) => {
      const stage = stageOf("ann");
      const { source } = loginOf("ann");
      const credential = { accessToken: "its owner's", refreshToken: "new" };
      stage.policies = { "403": final };
      stage.endpoint = () => {
        stage.vault.logins.set(source, { ...loginOf("ann"), credential });
        stage.pool.settle(stage.id("ann"), { type: "renewed", credential, atMs: NOON }, NOON);
        return refusal("forbidden", 403);
      };
      await stage.read("ann");
      expect([stage.vault.logins.size, stage.stateOf("ann")]).toEqual([1, "ready"]);
      expect(stage.gauge.last(stage.id("ann"))?.againMs).toBeUndefined();
    },
  );

  test.each(["remove", "disable"])("%s: not where its file alone has them", async (final) => {
    const stage = stageOf("ann");
    const { source } = loginOf("ann");
    const credential = { accessToken: "its owner's", refreshToken: "new" };
    stage.policies = { "403": final };
    stage.endpoint = () => {
      stage.vault.logins.set(source, { ...loginOf("ann"), credential });
      return refusal("forbidden", 403);
    };
    await stage.read("ann");
    expect([stage.vault.logins.get(source)?.credential, stage.stateOf("ann")]).toEqual([
      credential,
      "ready",
    ]);
  });

  test("remove: not while another process has the login's lock", async () => {
    const stage = stageOf("ann");
    stage.policies = { "403": "remove" };
    stage.endpoint = refused;
    stage.vault.busy = "somebody renews it.";
    await stage.read("ann");
    expect([stage.vault.logins.size, stage.stateOf("ann")]).toEqual([1, "ready"]);
  });

  test("nothing is ever deleted or disabled for a Cloudflare page, an outage or without a policy", async () => {
    const policies = { "403": "remove", "5xx": "remove" };
    for (const answer of [refusal("challenged", 403), refusal("network"), refusal("timeout")]) {
      const stage = await under(policies, () => answer);
      expect([stage.vault.logins.size, stage.stateOf("ann")]).toEqual([1, "ready"]);
    }
    for (const status of [401, 402, 403, 404, 429, 500]) {
      const stage = await under({}, () => refusal("deactivated", status));
      expect(stage.vault.logins.size).toBe(1);
    }
  });

  test("refresh_once renews the token and reads once more", async () => {
    const mended = await under({ "403": "refresh_once/disable" }, (_name, count) =>
      count === 1 ? refusal("forbidden", 403) : reading(),
    );
    expect([mended.renewals.length, mended.stateOf("ann")]).toEqual([1, "ready"]);
    const broken = await under({ "403": "refresh_once/disable" });
    expect([broken.renewals.length, broken.asked.length]).toEqual([1, 2]);
    expect(broken.stateOf("ann")).toBe("disabled");
  });

  test("a policy of its own for 401 goes instead of the renewal", async () => {
    const stage = await under({ "401": "none/disable" }, () => refusal("unauthorized", 401));
    expect([stage.renewals.length, stage.stateOf("ann")]).toEqual([0, "disabled"]);
  });

  test("cooldown_then_retry rests the account and reads once more before the last word", async () => {
    const stage = await under({ "403": "cooldown_then_retry/disable" });
    expect(stage.stateOf("ann")).toBe("rate-limit");
    expect(stage.gauge.last(stage.id("ann"))?.againMs).toBeWithin(
      NOON + MINUTE,
      NOON + MINUTE + 2000,
    );
    await stage.pass(30_000);
    await stage.read("ann");
    expect(stage.stateOf("ann")).toBe("rate-limit");
    await stage.pass(31_000);
    await stage.read("ann");
    expect(stage.stateOf("ann")).toBe("disabled");
    const mended = await under({ "403": "cooldown_then_retry/remove" });
    await mended.pass(61_000);
    mended.endpoint = () => reading();
    await mended.read("ann");
    expect([mended.stateOf("ann"), mended.vault.logins.size]).toEqual(["ready", 1]);
  });
});

test("an account is not read where that is of no use", () => {
  const stage = stageOf("ann");
  const account = stage.pool.get(stage.id("ann"));
  if (account === undefined) throw new Error("there is one");
  const evidence = { sinceMs: NOON, reason: "x" };
  expect(whyUnreadable(account)).toBeUndefined();
  expect(
    whyUnreadable({ ...account, availability: { kind: "disabled", by: "backend", ...evidence } }),
  ).toBeUndefined();
  expect(whyUnreadable({ ...account, login: loginOf("ann", { isSwitchedOff: true }) })).toMatch(
    /off/,
  );
  expect(whyUnreadable({ ...account, availability: { kind: "needs-login", ...evidence } })).toMatch(
    /login/,
  );
});

test("no line of a reading's log holds a token", async () => {
  const stage = stageOf("ann");
  stage.endpoint = () => refusal("unauthorized", 401);
  await stage.read("ann");
  await settled();
  const { accessToken = "" } = loginOf("ann").credential;
  expect(JSON.stringify(stage.lines)).not.toContain(accessToken);
});
