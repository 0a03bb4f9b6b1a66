import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { ACCOUNTS } from "../../../src/store/sql/schema.ts";
import { reasonOf } from "../../../src/store/sql/tenure.ts";
import { DatabaseTrouble } from "../../../src/store/sql/trouble.ts";
import { createManualClock } from "../../support/clock.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { until } from "../../support/until.ts";
import { accessTokenOf, WORKSPACE } from "../tokens.ts";
import {
  addAnn,
  apart,
  LOCK,
  openShaky,
  recordOf,
  refreshTokens,
  renewInVain,
  tokens,
} from "./ann.ts";
import { openInstance } from "./instance.ts";
import { outageOf } from "./outage.ts";

const NOW = Date.now();
const WISH = { holdMs: 60_000, waitMs: 0 };
const SOURCE = "ann.json";
const DAY_S = 86_400;

/** A record whose access token was made so many seconds ago and lives for ten days. */
function recordAt(agoS: number): string {
  const iat = Math.floor(NOW / 1000) - agoS;
  const access_token = accessTokenOf({
    user: "ann",
    workspace: WORKSPACE,
    iat,
    exp: iat + 10 * DAY_S,
  });
  return JSON.stringify({ access_token, refresh_token: `rt_${agoS}` });
}

const ALIVE = recordAt(60);
const ENDED = recordAt(20 * DAY_S);

async function withAccount(here: TestDatabase, record: string) {
  const { store } = openInstance(here);
  expect(await store.add("ann", record)).toMatchObject({ ok: true });
  return here;
}

/** An instance that was killed after it had begun to spend the account's token. */
async function killed(here: TestDatabase): Promise<void> {
  const outage = outageOf(here);
  const { store } = openInstance(here, { client: outage.client });
  await store.locked(SOURCE, WISH, async () => {
    expect(await store.canSave(SOURCE)).toEqual({ ok: true });
    // Neither new tokens nor the lease's end ever come.
    outage.begin();
  });
  await expire(here);
}

function expire({ run }: Pick<TestDatabase, "run">) {
  return run(`UPDATE ${ACCOUNTS} SET lease_until = 1`);
}

function canRenew(here: TestDatabase, isPressing = false) {
  const { store } = openInstance(here);
  return store.locked(SOURCE, WISH, () => store.canSave(SOURCE, isPressing));
}

describeEach(DATABASES, ({ make }) => {
  describe("a token that somebody who went silent may have spent", () => {
    const DOUBT = {
      ok: true,
      value: {
        ok: false,
        reason: expect.stringMatching(
          /^ann\.json: an instance was about to renew it when it went silent/,
        ),
      },
    } as const;
    const CLEAR = { ok: true, value: { ok: true } } as const;

    test("is not tried while the access token works; by its owner's hand it is, after a while", async () => {
      await using here = await withAccount(await make(), ALIVE);
      await killed(here);
      expect(await canRenew(here)).toEqual(DOUBT);
      // Even the owner waits for as long as the other may come back with what it got.
      expect(await canRenew(here, true)).toEqual(DOUBT);
      await here.run(`UPDATE ${ACCOUNTS} SET spending_ms = spending_ms - 121000`);
      expect(await canRenew(here, true)).toEqual(CLEAR);
    });

    test("stays in doubt as long as nobody has tried it", async () => {
      await using here = await withAccount(await make(), ALIVE);
      await killed(here);
      for (let time = 0; time < 3; time++) {
        await here.run(`UPDATE ${ACCOUNTS} SET spending_ms = spending_ms - 3600000`);
        expect([time, await canRenew(here)]).toEqual([time, DOUBT]);
        await expire(here);
      }
    });

    test("is tried when the access token has ended, after a while", async () => {
      await using here = await withAccount(await make(), ENDED);
      await killed(here);
      expect(await canRenew(here)).toEqual(DOUBT);
      await here.run(`UPDATE ${ACCOUNTS} SET spending_ms = spending_ms - 121000`);
      expect(await canRenew(here)).toEqual(CLEAR);
    });

    test("other tokens are in no doubt, nor is one whose renewal ended, well or not", async () => {
      await using here = await withAccount(await make(), ALIVE);
      await killed(here);
      const { store } = openInstance(here);
      // Its owner has logged in anew.
      const { credential } = (await openInstance(here).store.reread(SOURCE)) ?? { credential: {} };
      expect(await store.save(SOURCE, { ...credential, refreshToken: "rt_new" }, NOW)).toEqual({
        ok: true,
      });
      expect(await canRenew(here)).toEqual(CLEAR);
      // That one did not save anything.
      expect(await canRenew(here)).toEqual(CLEAR);
    });
  });

  test("whoever has the account no more is told before it spends a token", async () => {
    await using here = await withAccount(await make(), ALIVE);
    const { store, spillDir } = openInstance(here);
    const done = await store.locked(SOURCE, WISH, async (isStillOurs) => {
      await expire(here);
      expect(await isStillOurs()).toBe(false);
      return store.canSave(SOURCE);
    });
    expect(done).toMatchObject({
      ok: true,
      value: { ok: false, reason: expect.stringContaining("another instance") },
    });
    expect(readdirSync(spillDir)).toEqual([]);
  });

  test("a database that goes away: the lease counts as lost, the task is not run, and acts are refused", async () => {
    await using here = await withAccount(await make(), ALIVE);
    const outage = outageOf(here);
    const { store } = openInstance(here, { client: outage.client });
    await store.read();
    await store.locked(SOURCE, WISH, async (isStillOurs) => {
      expect(await isStillOurs()).toBe(true);
      outage.begin();
      expect(await isStillOurs()).toBe(false);
      expect(await store.canSave(SOURCE)).toMatchObject({ ok: false });
    });
    let isRun = false;
    const refused = { ok: false, reason: "the database: it is not reachable." } as const;
    const locked = await store.locked(SOURCE, WISH, async () => {
      isRun = true;
    });
    expect([locked, isRun]).toEqual([refused, false]);
    expect(await store.setAside(SOURCE)).toEqual(refused);
    expect(await store.discard(SOURCE)).toEqual(refused);
    expect(await store.switchOff(SOURCE, true)).toEqual(refused);
    expect(await store.add("bob", "{}")).toEqual(refused);
    expect(await store.reread(SOURCE)).toBeUndefined();
    expect(await store.content(SOURCE)).toBeUndefined();
  });

  test("the file for new tokens is there while the task has prepared for them, and no longer", async () => {
    await using here = await withAccount(await make(), ALIVE);
    const { store, spillDir } = openInstance(here);
    const inFolder = () => readdirSync(spillDir).length;
    await store.locked(SOURCE, WISH, async () => {
      await store.canSave(SOURCE);
      expect(inFolder()).toBe(1);
      // Asked again, it is not one more.
      await store.canSave(SOURCE);
      expect(inFolder()).toBe(1);
      await store.save(SOURCE, { refreshToken: "rt_next" }, NOW);
      expect(inFolder()).toBe(0);
      await store.canSave(SOURCE);
      expect(inFolder()).toBe(1);
    });
    expect(inFolder()).toBe(0);
    // Outside of a task nothing is prepared.
    await store.canSave(SOURCE);
    expect(inFolder()).toBe(0);
  });

  test("an act of the owner's waits for a renewal of another instance, and for so long only", async () => {
    await using here = await withAccount(await make(), ALIVE);
    const clock = createManualClock(0);
    const [store, other] = [
      openInstance(here).store,
      openInstance(here, { clock, client: here.connect(clock) }).store,
    ];
    const end = Promise.withResolvers<void>();
    const holding = store.locked(SOURCE, WISH, () => end.promise);
    await until("it is held", async () => {
      const { rows } = await here.run(`SELECT lease_owner FROM ${ACCOUNTS}`);
      return rows[0]?.["lease_owner"] !== null;
    });
    let outcome: unknown;
    const acting = other.setAside(SOURCE).then((done) => {
      outcome = done;
    });
    await until("it has waited for long", () => {
      clock.advance(1000);
      return outcome !== undefined || clock.now() > 30_000;
    });
    expect(outcome).toBeUndefined();
    await until("it gives up", () => {
      clock.advance(1000);
      return outcome !== undefined;
    });
    expect(outcome).toMatchObject({
      ok: false,
      reason: expect.stringContaining("did not finish in time"),
    });
    end.resolve();
    await Promise.all([holding, acting]);
    expect(await other.setAside(SOURCE)).toEqual({ ok: true });
  });
});

describe("why a database cannot be used", () => {
  test("is told with whose word that is, and without secrets", () => {
    expect(reasonOf(new DatabaseTrouble("away", "it is not reachable."))).toBe(
      "the database: it is not reachable.",
    );
    expect(reasonOf(new Error(`broken ${accessTokenOf({ user: "ann" })}`))).not.toContain("eyJ");
  });
});

describeEach(DATABASES, ({ make }) => {
  test("a moment's loss after the exchange: no other instance spends the spent token, and the new one comes in", async () => {
    await using here = await make();
    const [ours, other] = [openShaky(here), openInstance(here)];
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
    const ours = openShaky(here);
    const source = await addAnn(ours);
    const ask = () => ours.store.locked(source, LOCK, () => ours.store.canSave(source));
    ours.outage.loseAnswer("SET spending");
    expect(await ask()).toMatchObject({ ok: true, value: { ok: false } });
    ours.outage.end();
    expect(await ask()).toEqual({ ok: true, value: { ok: true } });
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
      await apart(() => store.locked(source, LOCK, login));
      expect(await store.save(source, tokens("rt_2", 60), Date.now())).toEqual({
        ok: true,
        isReplaced: true,
      });
    });
    expect((await store.reread(source))?.credential.refreshToken).toBe("rt_login");
  });
});
