import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diskSteps } from "../../../src/store/durable.ts";
import { createSealer } from "../../../src/store/seal.ts";
import { ACCOUNTS } from "../../../src/store/sql/schema.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { accessTokenOf, OTHER_WORKSPACE, WORKSPACE } from "../tokens.ts";
import {
  addAnn,
  apart,
  LOCK,
  NOT_WRITTEN,
  openShaky,
  recordOf,
  refreshTokens,
  renewInVain,
  tokens,
} from "./ann.ts";
import { type Instance, openInstance } from "./instance.ts";
import { type Outage, outageOf } from "./outage.ts";

const NOON = Date.parse("2026-11-21T12:00:00Z");
const WISH = { holdMs: 60_000, waitMs: 0 };
const SOURCE = "ann.json";

function credentialAt(iat: number) {
  const accessToken = accessTokenOf({ user: "ann", workspace: WORKSPACE, iat, exp: iat + 864_000 });
  return { accessToken, refreshToken: `rt_${iat}` };
}

function recordAt(iat: number, more: object = {}): string {
  const { accessToken, refreshToken } = credentialAt(iat);
  return JSON.stringify({ access_token: accessToken, refresh_token: refreshToken, ...more });
}

/** Renews the account, while the database goes away. */
function renewAway({ store }: Instance, outage: Outage, iat = 2000) {
  return store.locked(SOURCE, WISH, async () => {
    const can = await store.canSave(SOURCE);
    if (!can.ok) return can;
    outage.begin();
    return store.save(SOURCE, credentialAt(iat), NOON);
  });
}

async function started(here: TestDatabase) {
  const outage = outageOf(here);
  const instance = openInstance(here, { client: outage.client });
  expect(await instance.store.add("ann", recordAt(1000, { note: "mine" }))).toMatchObject({
    ok: true,
  });
  await instance.store.read();
  return { outage, instance };
}

async function tokenIn({ store }: Pick<Instance, "store">) {
  const { logins } = await store.read();
  return logins.map(({ credential }) => credential.refreshToken);
}

async function storedToken(here: TestDatabase): Promise<string> {
  const { rows } = await here.run(`SELECT content FROM ${ACCOUNTS}`);
  return /rt_\d+/.exec(String(rows[0]?.["content"]))?.[0] ?? "";
}

describeEach(DATABASES, ({ make }) => {
  test("new tokens that the database cannot take are used from this machine, and brought in when it is back", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    expect(await renewAway(instance, outage)).toEqual({ ok: true, value: { ok: true } });
    expect(readdirSync(instance.spillDir)).toHaveLength(1);
    expect(instance.logs()).toContain(
      "new tokens are kept on this machine till the database takes them",
    );
    // While it is away all goes on from what was known, the new tokens included.
    expect(await instance.store.read()).toMatchObject({
      complete: false,
      logins: [{ source: SOURCE, credential: { refreshToken: "rt_2000" } }],
    });
    expect(await storedToken(here)).toBe("rt_1000");
    outage.end();
    expect(await tokenIn(instance)).toEqual(["rt_2000"]);
    expect(await storedToken(here)).toBe("rt_2000");
    expect(await instance.store.content(SOURCE)).toContain('"note":"mine"');
    expect(readdirSync(instance.spillDir)).toEqual([]);
    expect(instance.logs()).toContain(
      "tokens that were kept on this machine are in the database now",
    );
    expect(instance.logs()).not.toContain("rt_2000");
    // And others have them.
    expect(await tokenIn(openInstance(here))).toEqual(["rt_2000"]);
  });

  test("what is read of it is the same object each time", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    const [first] = (await instance.store.read()).logins;
    const [second] = (await instance.store.read()).logins;
    expect(first?.credential.refreshToken).toBe("rt_2000");
    expect(second === first).toBe(true);
  });

  test("a process that is killed before that leaves them to the next one", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    const next = openInstance(here, { spillDir: instance.spillDir });
    expect(await tokenIn(next)).toEqual(["rt_2000"]);
    expect(await storedToken(here)).toBe("rt_2000");
    expect(readdirSync(instance.spillDir)).toEqual([]);
    // The first one, should it live all the same, does no harm with what it has.
    outage.end();
    expect(await tokenIn(instance)).toEqual(["rt_2000"]);
    const { rows } = await here.run(`SELECT generation FROM ${ACCOUNTS}`);
    expect(Number(rows[0]?.["generation"])).toBe(2);
  });

  test("of several that lie there of one account the newest counts, and none stays for good", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    const [file = ""] = readdirSync(instance.spillDir);
    const stored = readFileSync(join(instance.spillDir, file), "utf8");
    const older = stored
      .replaceAll("rt_2000", "rt_1500")
      .replace(credentialAt(2000).accessToken, credentialAt(1500).accessToken)
      .replace(/"at":\d+/, `"at":${NOON - 1}`);
    writeFileSync(join(instance.spillDir, "older.spill"), older);
    expect(await tokenIn(openInstance(here, { spillDir: instance.spillDir }))).toEqual(["rt_2000"]);
    expect(await tokenIn(openInstance(here, { spillDir: instance.spillDir }))).toEqual(["rt_2000"]);
    expect(readdirSync(instance.spillDir)).toEqual([]);
  });

  test("newer tokens that another instance has stored meanwhile count", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    const other = openInstance(here);
    expect(await other.store.save(SOURCE, credentialAt(3000), NOON)).toEqual({ ok: true });
    outage.end();
    expect(await tokenIn(instance)).toEqual(["rt_3000"]);
    expect(await storedToken(here)).toBe("rt_3000");
    expect(readdirSync(instance.spillDir)).toEqual([]);
    expect(instance.logs()).toContain("are older than those in the database, which count");
  });

  test("older ones do not, and what else was written there stays", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    const other = openInstance(here);
    await other.store.switchOff(SOURCE, true);
    outage.end();
    const { logins } = await instance.store.read();
    expect(logins).toMatchObject([
      { isSwitchedOff: true, credential: { refreshToken: "rt_2000" } },
    ]);
    expect(await storedToken(here)).toBe("rt_2000");
  });

  test("another login that has its place by then is not touched", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    const eve = JSON.stringify({
      access_token: accessTokenOf({ user: "eve", workspace: WORKSPACE, iat: 1 }),
      refresh_token: "rt_77",
    });
    await here.run(
      `UPDATE ${ACCOUNTS} SET content = ?, generation = generation + 1, revision = 1000000`,
      [eve],
    );
    await here.run("UPDATE codex_proxy_changes SET revision = 1000000");
    outage.end();
    expect(await tokenIn(instance)).toEqual(["rt_77"]);
    expect(await storedToken(here)).toBe("rt_77");
    expect(readdirSync(instance.spillDir)).toEqual([]);
  });

  test("a later renewal that the database takes makes them useless; so does a deletion", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    outage.end();
    // The lease could not be given back, and ends by itself. Nothing has been read since.
    await here.run(`UPDATE ${ACCOUNTS} SET lease_until = 1`);
    const done = await instance.store.locked(SOURCE, WISH, async () => {
      expect(await instance.store.canSave(SOURCE)).toEqual({ ok: true });
      return instance.store.save(SOURCE, credentialAt(4000), NOON + 1);
    });
    expect(done).toEqual({ ok: true, value: { ok: true } });
    expect(readdirSync(instance.spillDir)).toEqual([]);
    expect(await tokenIn(instance)).toEqual(["rt_4000"]);
    await renewAway(instance, outage, 5000);
    outage.end();
    await here.run(`UPDATE ${ACCOUNTS} SET lease_until = 1`);
    expect(await instance.store.discard(SOURCE)).toEqual({ ok: true });
    expect(readdirSync(instance.spillDir)).toEqual([]);
    expect(await tokenIn(instance)).toEqual([]);
  });

  test("an account that is away may come back: its tokens wait for it", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    await renewAway(instance, outage);
    const { rows } = await here.run(`SELECT content FROM ${ACCOUNTS}`);
    await here.run(`DELETE FROM ${ACCOUNTS}`);
    outage.end();
    await instance.store.read();
    expect(readdirSync(instance.spillDir)).toHaveLength(1);
    await here.run(`INSERT INTO ${ACCOUNTS} (name, content) VALUES (?, ?)`, [
      SOURCE,
      String(rows[0]?.["content"]),
    ]);
    expect(await tokenIn(openInstance(here, { spillDir: instance.spillDir }))).toEqual(["rt_2000"]);
  });

  test("an answer that was lost: whether or not the database has the tokens, they are there in the end, once", async () => {
    for (const lost of ["COMMIT", `UPDATE ${ACCOUNTS} SET content`]) {
      await using here = await make();
      const { outage, instance } = await started(here);
      const done = await instance.store.locked(SOURCE, WISH, async () => {
        await instance.store.canSave(SOURCE);
        outage.loseAnswer(lost);
        return instance.store.save(SOURCE, credentialAt(2000), NOON);
      });
      expect(done).toEqual({ ok: true, value: { ok: true } });
      expect(await tokenIn(instance)).toEqual(["rt_2000"]);
      expect(await storedToken(here)).toBe("rt_2000");
      expect(readdirSync(instance.spillDir)).toEqual([]);
    }
  });

  test("without the lock there is no file for them: the caller keeps them, and is told why", async () => {
    await using here = await make();
    const { outage, instance } = await started(here);
    outage.begin();
    expect(await instance.store.save(SOURCE, credentialAt(2000), NOON)).toEqual({
      ok: false,
      reason: "the database: it is not reachable.",
    });
    expect(instance.store.trouble()).toBeUndefined();
  });

  test("a disk that cannot keep them either is told", async () => {
    await using here = await make();
    const outage = outageOf(here);
    const steps = {
      ...diskSteps,
      syncFolder: async () => {
        throw Object.assign(new Error("io"), { code: "EIO" });
      },
    };
    const instance = openInstance(here, { client: outage.client, steps });
    await instance.store.add("ann", recordAt(1000));
    expect(await renewAway(instance, outage)).toMatchObject({
      value: {
        ok: false,
        reason: expect.stringMatching(
          /^the database: .* And new tokens cannot be kept on this machine/,
        ),
      },
    });
    // They were written all the same, so that a later start may find them.
    outage.end();
    expect(await tokenIn(openInstance(here, { spillDir: instance.spillDir }))).toEqual(["rt_2000"]);
  });

  test("with a key they do not lie there in the clear", async () => {
    await using here = await make();
    const sealer = createSealer([new Uint8Array(32).fill(7)]);
    const outage = outageOf(here);
    const instance = openInstance(here, { client: outage.client, sealer });
    await instance.store.add("ann", recordAt(1000));
    await renewAway(instance, outage);
    const [file = ""] = readdirSync(instance.spillDir);
    expect(readFileSync(join(instance.spillDir, file), "utf8")).not.toContain("rt_2000");
    outage.end();
    expect(await tokenIn(instance)).toEqual(["rt_2000"]);
  });
});

describeEach(DATABASES, ({ make }) => {
  test("tokens that lie here do not go into another account that has the name by now", async () => {
    await using here = await make();
    const [ours, other] = [openShaky(here), openInstance(here)];
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
    const [ours, other] = [openShaky(here), openInstance(here)];
    const source = await addAnn(ours);
    await renewInVain(ours, source);
    await other.store.discard(source);
    await addAnn(other, tokens("rt_anew", 600));
    expect(await refreshTokens(ours)).toEqual(["rt_anew"]);
    expect(await refreshTokens(other)).toEqual(["rt_anew"]);
  });

  test("tokens that lie here count on, whatever else of the account is changed meanwhile", async () => {
    await using here = await make();
    const [ours, other] = [openShaky(here), openInstance(here)];
    const source = await addAnn(ours);
    await renewInVain(ours, source);
    expect(await other.store.switchOff(source, true)).toEqual({ ok: true });
    ours.outage.begin(NOT_WRITTEN);
    expect((await ours.store.reread(source))?.credential.refreshToken).toBe("rt_2");
    // What does not get in is no reason not to tell what is there.
    const { logins, complete } = await ours.store.read();
    expect([logins[0]?.credential.refreshToken, logins[0]?.isSwitchedOff, complete]).toEqual([
      "rt_2",
      true,
      true,
    ]);
    ours.outage.end();
    await ours.store.saveLate();
    const [login] = (await other.store.read()).logins;
    expect([login?.credential.refreshToken, login?.isSwitchedOff]).toEqual(["rt_2", true]);
  });

  test("an account that is spoilt meanwhile gets them once it is whole again", async () => {
    await using here = await make();
    const ours = openShaky(here);
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
      expect(await apart(() => keyed.store.reseal(source))).toMatchObject({
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
    const ours = openShaky(here);
    await renewInVain(ours, await addAnn(ours));
    writeFileSync(join(ours.spillDir, "torn.spill"), '{"name":"ann@exam');
    const next = openInstance(here, { spillDir: ours.spillDir });
    expect(await refreshTokens(next)).toEqual(["rt_2"]);
    expect(readdirSync(ours.spillDir)).toEqual(["torn.spill"]);
    expect(next.logs()).toContain("kept on this machine cannot be read file=torn.spill");
  });
});
