import { expect, test } from "bun:test";
import { AsyncResource } from "node:async_hooks";
import type { Credential } from "../../../src/pool/credential.ts";
import type { Database } from "../../../src/store/sql/database.ts";
import { createFeed } from "../../../src/store/sql/feed.ts";
import { DatabaseTrouble } from "../../../src/store/sql/trouble.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { accessTokenOf, WORKSPACE } from "../tokens.ts";
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
async function _renewInVain(instance: ReturnType<typeof shaky>, source: string): Promise<void> {
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

const _root = new AsyncResource("test");

describeEach(DATABASES, ({ make }) => {
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
});
