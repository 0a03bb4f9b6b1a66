import { describe, expect, test } from "bun:test";
import { AsyncResource } from "node:async_hooks";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { adoptAll } from "../../../src/engine/adopt.ts";
import type { Credential } from "../../../src/pool/credential.ts";
import { createSealer } from "../../../src/store/seal.ts";
import type { Database } from "../../../src/store/sql/database.ts";
import { createFeed } from "../../../src/store/sql/feed.ts";
import { DatabaseTrouble } from "../../../src/store/sql/trouble.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { createManualClock } from "../../support/clock.ts";
import { DATABASES, SERVERS, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { until } from "../../support/until.ts";
import { accessTokenOf, OTHER_WORKSPACE, WORKSPACE } from "../tokens.ts";
import { type Instance, openInstance } from "./instance.ts";

const NOW_SEC = Math.floor(Date.now() / 1000);
const LOCK = { holdMs: 60_000, waitMs: 0 };

/** Tokens of Ann's, made so many seconds after the first ones. */
function tokens(refreshToken: string, later = 0, workspace = WORKSPACE): Credential {
  const iat = NOW_SEC + later;
  const exp = iat + 3600;
  const accessToken = accessTokenOf({ user: "ann", workspace, email: "ann@example.com", iat, exp });
  return { accessToken, refreshToken, issuedAtMs: iat * 1000, expiresAtMs: exp * 1000 };
}

function recordOf({ accessToken, refreshToken }: Credential): string {
  return JSON.stringify({
    type: "codex",
    access_token: accessToken,
    refresh_token: refreshToken,
  });
}

type Fault = { readonly before?: boolean; readonly isMet: (statement: string) => boolean };

/** An instance whose client loses statements, or the answers to them, while a fault is set. */
function shaky(here: TestDatabase, spillDir?: string) {
  const { database } = here.connect();
  let fault: Fault | undefined;
  const throughFault =
    (run: Database["run"]): Database["run"] =>
    async (statement, params) => {
      const met = fault?.isMet(statement) === true ? fault : undefined;
      const lost = new DatabaseTrouble("away", "it is not reachable.");
      if (met?.before === true) throw lost;
      const answer = await run(statement, params);
      if (met !== undefined) throw lost;
      return answer;
    };
  const own: Database = {
    ...database,
    run: throughFault(database.run),
    begin: (task) => database.begin((run) => task(throughFault(run))),
  };
  const client = { database: own, feed: createFeed(own, systemClock) };
  const instance = openInstance(here, { client, ...(spillDir === undefined ? {} : { spillDir }) });
  return {
    ...instance,
    set: (next: Fault | undefined) => {
      fault = next;
    },
  };
}

/** No new content gets into the accounts' table. */
const NOT_WRITTEN: Fault = {
  before: true,
  isMet: (statement) => /UPDATE codex_accounts SET content/.test(statement),
};

async function addAnn({ store }: Instance, credential = tokens("rt_1")): Promise<string> {
  const added = await store.add("ann@example.com", recordOf(credential));
  if (!added.ok) throw new Error(added.reason);
  return added.source;
}

/** A renewal by `instance` whose new tokens the database does not take. */
async function renewInVain(instance: ReturnType<typeof shaky>, source: string): Promise<void> {
  const { store, set } = instance;
  await store.locked(source, LOCK, async () => {
    expect(await store.canSave(source)).toEqual({ ok: true });
    set(NOT_WRITTEN);
    expect(await store.save(source, tokens("rt_2", 60), Date.now())).toEqual({ ok: true });
    set(undefined);
  });
}

async function refreshTokens({ store }: Instance): Promise<readonly (string | undefined)[]> {
  return (await store.read()).logins.map(({ credential }) => credential.refreshToken);
}

const root = new AsyncResource("test");

describeEach(DATABASES, ({ make }) => {
  test("a moment's loss after the exchange: no other instance spends the spent token, and the new one comes in", async () => {
    await using here = await make();
    const [ours, other] = [shaky(here), openInstance(here)];
    const source = await addAnn(ours);
    await renewInVain(ours, source);
    const asked = await other.store.locked(source, LOCK, () => other.store.canSave(source));
    expect(asked).toEqual({
      ok: true,
      value: { ok: false, reason: expect.stringContaining("may be spent") },
    });
    await ours.store.saveLate();
    expect(await refreshTokens(other)).toEqual(["rt_2"]);
    expect(readdirSync(ours.spillDir)).toEqual([]);
    expect(await other.store.locked(source, LOCK, () => other.store.canSave(source))).toEqual({
      ok: true,
      value: { ok: true },
    });
  });

  test("an exchange that came to nothing leaves the token to all", async () => {
    await using here = await make();
    const [ours, other] = [openInstance(here), openInstance(here)];
    const source = await addAnn(ours);
    const asked = () => other.store.locked(source, LOCK, () => other.store.canSave(source));
    await ours.store.locked(source, LOCK, () => ours.store.canSave(source));
    expect(await asked()).toEqual({ ok: true, value: { ok: true } });
  });

  test("a token in doubt is left alone for as long as a renewal may take", async () => {
    await using here = await make();
    const { store } = openInstance(here);
    const added = await store.add("ann@example.com", recordOf(tokens("rt_1")));
    const source = added.ok ? added.source : "";
    const ask = (holdMs: number) =>
      store.locked(source, { ...LOCK, holdMs }, () => store.canSave(source, true));
    const held = Promise.withResolvers<void>();
    const asking = store.locked(source, LOCK, async () => {
      await store.canSave(source);
      await here.run(
        "UPDATE codex_accounts SET lease_until = 1, spending_ms = spending_ms - 150000",
      );
      await held.promise;
    });
    await until("it is announced", async () => {
      const { rows } = await here.run("SELECT lease_until FROM codex_accounts");
      return Number(rows[0]?.["lease_until"]) === 1;
    });
    expect(await ask(180_000)).toMatchObject({ ok: true, value: { ok: false } });
    expect(await ask(60_000)).toEqual({ ok: true, value: { ok: true } });
    held.resolve();
    await asking;
  });

  test("the answer to an announcement is lost: nothing was spent, so the token is not doubted", async () => {
    await using here = await make();
    const ours = shaky(here);
    const source = await addAnn(ours);
    const ask = () => ours.store.locked(source, LOCK, () => ours.store.canSave(source));
    ours.set({ isMet: (statement) => statement.includes("SET spending") });
    expect(await ask()).toMatchObject({ ok: true, value: { ok: false } });
    ours.set(undefined);
    expect(await ask()).toEqual({ ok: true, value: { ok: true } });
  });

  test("tokens that lie here do not go into another account that has the name by now", async () => {
    await using here = await make();
    const [ours, other] = [shaky(here), openInstance(here)];
    const source = await addAnn(ours);
    await renewInVain(ours, source);
    expect(await other.store.discard(source)).toEqual({ ok: true });
    expect(await addAnn(other, tokens("rt_other", 30, OTHER_WORKSPACE))).toBe(source);
    expect(await refreshTokens(ours)).toEqual(["rt_other"]);
    expect(await refreshTokens(other)).toEqual(["rt_other"]);
    expect(readdirSync(ours.spillDir)).toEqual([]);
  });

  test("tokens that lie here do not replace those of a newer login of the same account", async () => {
    await using here = await make();
    const [ours, other] = [shaky(here), openInstance(here)];
    const source = await addAnn(ours);
    await renewInVain(ours, source);
    await other.store.discard(source);
    await addAnn(other, tokens("rt_anew", 600));
    expect(await refreshTokens(ours)).toEqual(["rt_anew"]);
    expect(await refreshTokens(other)).toEqual(["rt_anew"]);
  });

  test("tokens that lie here count on, whatever else of the account is changed meanwhile", async () => {
    await using here = await make();
    const [ours, other] = [shaky(here), openInstance(here)];
    const source = await addAnn(ours);
    await renewInVain(ours, source);
    expect(await other.store.switchOff(source, true)).toEqual({ ok: true });
    ours.set(NOT_WRITTEN);
    expect((await ours.store.reread(source))?.credential.refreshToken).toBe("rt_2");
    // What does not get in is no reason not to tell what is there.
    const { logins, complete } = await ours.store.read();
    expect([logins[0]?.credential.refreshToken, logins[0]?.isSwitchedOff, complete]).toEqual([
      "rt_2",
      true,
      true,
    ]);
    ours.set(undefined);
    await ours.store.saveLate();
    const [login] = (await other.store.read()).logins;
    expect([login?.credential.refreshToken, login?.isSwitchedOff]).toEqual(["rt_2", true]);
  });

  test("an account that is spoilt meanwhile gets them once it is whole again", async () => {
    await using here = await make();
    const ours = shaky(here);
    const source = await addAnn(ours);
    await renewInVain(ours, source);
    const setContent = (content: string) =>
      here.run("UPDATE codex_accounts SET content = ?, generation = generation + 1", [content]);
    await setContent("{ spoilt");
    await ours.store.saveLate();
    expect(readdirSync(ours.spillDir)).toHaveLength(1);
    await setContent(recordOf(tokens("rt_1")));
    await ours.store.saveLate();
    expect(await refreshTokens(openInstance(here))).toEqual(["rt_2"]);
  });

  test("an account that cannot be read any more when its new tokens come: they stay on this machine", async () => {
    await using here = await make();
    const [ours, keyed] = [
      openInstance(here),
      openInstance(here, { sealer: createSealer([new Uint8Array(32).fill(7)]) }),
    ];
    const source = await addAnn(ours);
    await ours.store.locked(source, LOCK, async () => {
      await ours.store.canSave(source);
      // As if it had stood still: another one, which has a key, seals it meanwhile.
      await here.run("UPDATE codex_accounts SET lease_until = 1");
      expect(await root.runInAsyncScope(() => keyed.store.reseal(source))).toMatchObject({
        ok: true,
      });
      expect(await ours.store.save(source, tokens("rt_2", 60), Date.now())).toEqual({ ok: true });
    });
    expect(readdirSync(ours.spillDir)).toHaveLength(1);
    // The next run has the key.
    const sealer = createSealer([new Uint8Array(32).fill(7)]);
    const next = openInstance(here, { sealer, spillDir: ours.spillDir });
    expect(await refreshTokens(next)).toEqual(["rt_2"]);
    expect(readdirSync(ours.spillDir)).toEqual([]);
  });

  test("what cannot be read of an earlier run's is told, and stays", async () => {
    await using here = await make();
    const ours = shaky(here);
    await renewInVain(ours, await addAnn(ours));
    writeFileSync(join(ours.spillDir, "torn.spill"), '{"name":"ann@exam');
    const next = openInstance(here, { spillDir: ours.spillDir });
    expect(await refreshTokens(next)).toEqual(["rt_2"]);
    expect(readdirSync(ours.spillDir)).toEqual(["torn.spill"]);
    expect(next.logs()).toContain("kept on this machine cannot be read file=torn.spill");
  });

  test("a task that stood still loses against the login that its own process has stored since", async () => {
    await using here = await make();
    const { store } = openInstance(here);
    const added = await store.add("ann@example.com", recordOf(tokens("rt_1")));
    const source = added.ok ? added.source : "";
    await store.locked(source, LOCK, async () => {
      await store.canSave(source);
      await here.run("UPDATE codex_accounts SET lease_until = 1");
      const login = () => store.save(source, tokens("rt_login", 600), Date.now());
      await root.runInAsyncScope(() => store.locked(source, LOCK, login));
      expect(await store.save(source, tokens("rt_2", 60), Date.now())).toEqual({
        ok: true,
        isReplaced: true,
      });
    });
    expect((await store.reread(source))?.credential.refreshToken).toBe("rt_login");
  });

  test("a login that says nothing of whose it is becomes one account, however many take it in at once", async () => {
    await using here = await make();
    const instances = [openInstance(here), openInstance(here), openInstance(here)];
    await Promise.all(instances.map(({ store }) => store.ready()));
    const offers = [{ content: '{"refresh_token":"rt_opaque"}', source: "auth.json" }];
    await Promise.all(
      instances.map(({ store }) => adoptAll(offers, { store, clock: systemClock })),
    );
    const [first] = instances;
    expect(first && (await refreshTokens(first))).toEqual(["rt_opaque"]);
  });

  test("what was fetched before all were read, and deleted by others since, is gone", async () => {
    await using here = await make();
    const [ours, other] = [openInstance(here), openInstance(here)];
    const source = await addAnn(ours);
    await other.store.discard(source);
    expect(await refreshTokens(ours)).toEqual([]);
  });

  test("a reading that was on its way brings no older state back of what this process changed meanwhile", async () => {
    await using here = await make();
    const [changed, deleted] = ["ann@example.com.json", "bob.json"];
    const { database } = here.connect();
    const [asked, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let isSlow = false;
    const run: Database["run"] = async (statement, params) => {
      const answer = await database.run(statement, params);
      if (isSlow && statement.includes("ORDER BY id")) {
        asked.resolve();
        await go.promise;
      }
      return answer;
    };
    const client = {
      database: { ...database, run },
      feed: createFeed(database, systemClock),
    };
    const ours = openInstance(here, { client });
    await addAnn(ours);
    await ours.store.add("bob", '{"refresh_token":"rt_bob"}');
    await ours.store.read();
    await openInstance(here).store.switchOff(changed, false);
    await openInstance(here).store.switchOff(deleted, false);
    isSlow = true;
    const reading = ours.store.read();
    await asked.promise;
    await ours.store.save(changed, tokens("rt_2", 60), Date.now());
    await ours.store.discard(deleted);
    go.resolve();
    expect((await reading).logins.map(({ credential }) => credential.refreshToken)).toEqual([
      "rt_2",
    ]);
  });

  test("a count of changes that somebody has set to anything holds nobody up", async () => {
    await using here = await make();
    const clock = createManualClock(Date.now());
    const { store } = openInstance(here, { clock, client: here.connect(clock) });
    await store.ready();
    let told = 0;
    const stop = store.watch(() => {
      told += 1;
    });
    clock.advance(1000);
    await until("the first look", () => told === 1);
    await here.run("UPDATE codex_proxy_changes SET revision = ? WHERE id = 1", [2 ** 52]);
    await until("the next look", () => {
      clock.advance(5000);
      return told === 2;
    });
    stop();
  });
});

describeEach(SERVERS, ({ make }) => {
  test("one that stands still within a transaction holds nobody up for long", async () => {
    await using here = await make();
    const ours = openInstance(here);
    await ours.store.ready();
    const { database, feed } = here.connect();
    const [begun, woken] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const frozen = database
      .begin(async (run) => {
        await feed.mark(run);
        begun.resolve();
        await woken.promise;
        await run("SELECT 1 AS one");
      })
      .then(
        () => "done",
        (cause: unknown) => (cause instanceof DatabaseTrouble ? cause.kind : cause),
      );
    await begun.promise;
    expect(await ours.store.add("ann", '{"refresh_token":"rt_1"}')).toMatchObject({ ok: true });
    woken.resolve();
    expect(await frozen).toBe("away");
    // Whoever it was goes on with a connection of its own.
    expect((await database.run("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });
});

describe.skipIf(process.platform === "win32")("a file of SQLite", () => {
  const [sqlite] = DATABASES;

  test("is for its owner's eyes alone, and so is what lies beside it", async () => {
    if (sqlite === undefined) throw new Error("SQLite is always there");
    await using here = await sqlite.make();
    const ours = openInstance(here);
    await addAnn(ours);
    const { place } = here;
    const path = place.driver === "sqlite" ? place.path : "";
    const modes = ["", "-wal", "-shm"].map((end) => statSync(`${path}${end}`).mode & 0o777);
    expect(modes).toEqual([0o600, 0o600, 0o600]);
  });
});
