import { describe, expect, test } from "bun:test";
import { createSealer, type Sealer } from "../../../src/store/seal.ts";
import type { Database } from "../../../src/store/sql/database.ts";
import { createFeed } from "../../../src/store/sql/feed.ts";
import { ACCOUNTS, CHANGES, migrate } from "../../../src/store/sql/schema.ts";
import {
  createShelf,
  loginOf,
  nameOf,
  type Shelf,
  sourceOf,
} from "../../../src/store/sql/shelf.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { addAnn, refreshTokens, tokens } from "./ann.ts";
import { openInstance } from "./instance.ts";

const PLAIN = createSealer([]);

type Reader = {
  readonly shelf: Shelf;
  readonly pull: () => Promise<void>;
  readonly database: Database;
};

function readerOn(here: TestDatabase, sealer: Sealer = PLAIN): Reader {
  const { database, feed } = here.connect();
  const shelf = createShelf(sealer, database.dialect);
  return { shelf, database, pull: () => shelf.pull(database.run, feed.cursor) };
}

async function prepared(here: TestDatabase): Promise<TestDatabase> {
  await migrate(here.connect().database);
  return here;
}

/** One change, in the name of another instance. */
async function change(
  here: TestDatabase,
  statement: string,
  params: readonly (string | null)[] = [],
  isDeletion = false,
) {
  const { database, feed } = here.connect();
  await database.begin(async (run) => {
    const revision = await feed.mark(run, isDeletion);
    await run(statement, statement.includes("revision = ?") ? [revision, ...params] : params);
    if (statement.startsWith("INSERT"))
      await run(`UPDATE ${ACCOUNTS} SET revision = ? WHERE name = ?`, [revision, params[0] ?? ""]);
  });
}

function put(
  here: TestDatabase,
  name: string,
  content: string | null,
  identity: string | null = null,
) {
  return change(here, `INSERT INTO ${ACCOUNTS} (name, content, identity) VALUES (?, ?, ?)`, [
    name,
    content,
    identity,
  ]);
}

const record = (token: string): string => JSON.stringify({ access_token: token });

function tokensOn(shelf: Shelf): readonly (string | undefined)[] {
  return shelf
    .all()
    .map((kept) => loginOf(kept)?.credential.accessToken)
    .toSorted();
}

describeEach(DATABASES, ({ make }) => {
  test("reads all at first, then what has changed, and what has not is the same object", async () => {
    await using here = await prepared(await make());
    await put(here, "a.json", record("at-a"), "ann");
    await put(here, "b.json", record("at-b"));
    const { shelf, pull, database } = readerOn(here);
    await pull();
    expect(tokensOn(shelf)).toEqual(["at-a", "at-b"]);
    const before = shelf.find("a.json");
    expect(before).toMatchObject({
      name: "a.json",
      generation: 1,
      isAside: false,
      identity: "ann",
      content: record("at-a"),
      spending: undefined,
    });
    const sent = database.statements();
    await pull();
    // Nothing new costs one look.
    expect(database.statements() - sent).toBe(1);
    expect(shelf.find("a.json")).toBe(before);
    await change(here, `UPDATE ${ACCOUNTS} SET revision = ?, content = ? WHERE name = 'b.json'`, [
      record("at-b2"),
    ]);
    await pull();
    expect(database.statements() - sent).toBe(3);
    expect(tokensOn(shelf)).toEqual(["at-a", "at-b2"]);
    expect(shelf.find("a.json")).toBe(before);
  });

  test("a login that was read again and is the same is the same object, too", async () => {
    await using here = await prepared(await make());
    await put(here, "a.json", record("at-a"));
    const { shelf, pull, database } = readerOn(here);
    await pull();
    const [before] = shelf.all();
    await change(
      here,
      `UPDATE ${ACCOUNTS} SET revision = ?, lease_owner = 'x' WHERE name = 'a.json'`,
    );
    await pull();
    const [after] = shelf.all();
    expect(after && loginOf(after)).toBe(before && loginOf(before));
    const fetched = await shelf.fetch(database.run, "a.json");
    expect(fetched && loginOf(fetched)).toBe(before && loginOf(before));
  });

  test("one that was deleted is gone with the next reading, or when it is forgotten", async () => {
    await using here = await prepared(await make());
    for (const name of ["a.json", "b.json", "c.json"]) await put(here, name, record(name));
    const { shelf, pull, database } = readerOn(here);
    await pull();
    await change(here, `DELETE FROM ${ACCOUNTS} WHERE name = ?`, ["b.json"], true);
    expect(await shelf.fetch(database.run, "b.json")).toBeUndefined();
    await pull();
    expect(tokensOn(shelf)).toEqual(["a.json", "c.json"]);
    shelf.forget("c.json");
    shelf.forget("never.json");
    expect(tokensOn(shelf)).toEqual(["a.json"]);
  });

  test("a name that is another row's by now", async () => {
    await using here = await prepared(await make());
    await put(here, "a.json", record("at-1"));
    const { shelf, pull } = readerOn(here);
    await pull();
    await change(here, `DELETE FROM ${ACCOUNTS} WHERE name = ?`, ["a.json"], true);
    await put(here, "a.json", record("at-2"));
    await pull();
    expect(tokensOn(shelf)).toEqual(["at-2"]);
  });

  test("a database that was put back to an earlier state is read anew", async () => {
    await using here = await prepared(await make());
    await put(here, "a.json", record("at-1"));
    await put(here, "b.json", record("at-b"));
    const { shelf, pull } = readerOn(here);
    await pull();
    // As it was before the second account came, and with other tokens of the first.
    await here.run(`DELETE FROM ${ACCOUNTS} WHERE name = 'b.json'`);
    await here.run(`UPDATE ${ACCOUNTS} SET content = ?, revision = 2`, [record("at-0")]);
    await here.run(`UPDATE ${CHANGES} SET revision = 2`);
    await pull();
    expect(tokensOn(shelf)).toEqual(["at-0"]);
  });

  test("what holds no login is told with its name, and what no program of ours has written is passed over", async () => {
    await using here = await prepared(await make());
    await put(here, "a.json", record("at-a"));
    await put(here, "broken.json", '{"access_token": "eyJsecret');
    await put(here, "empty.json", null);
    await put(here, "list.json", "[]");
    await here.run(`INSERT INTO ${ACCOUNTS} (content) VALUES (?)`, [record("of-nobody")]);
    const { shelf, pull } = readerOn(here);
    await pull();
    expect(tokensOn(shelf).filter((token) => token !== undefined)).toEqual(["at-a"]);
    const faults = shelf.all().flatMap(({ reading }) => (reading.ok ? [] : [reading.fault]));
    expect(faults.map(({ reason }) => reason).toSorted()).toEqual([
      expect.stringMatching(/^broken\.json: this is not JSON/),
      "empty.json: its row holds nothing.",
      expect.stringMatching(/^list\.json: /),
    ]);
    expect(JSON.stringify(faults)).not.toContain("eyJsecret");
    expect(shelf.all()).toHaveLength(4);
  });

  test("one that lies aside is called so", async () => {
    await using here = await prepared(await make());
    await put(here, "a.json", record("at-a"));
    const { shelf, pull } = readerOn(here);
    await pull();
    await change(here, `UPDATE ${ACCOUNTS} SET revision = ?, aside = 1`);
    await pull();
    const kept = shelf.find("a.json");
    expect(kept?.isAside).toBe(true);
    expect(kept && loginOf(kept)?.source).toBe("a.json.disabled");
  });

  test("how long ago somebody began to spend its token, by the database's clock", async () => {
    await using here = await prepared(await make());
    await put(here, "a.json", record("at-a"));
    const { shelf, database } = readerOn(here);
    const { nowMs } = database.dialect;
    await here.run(`UPDATE ${ACCOUNTS} SET spending = 'mark', spending_ms = ${nowMs} - 90000`);
    const kept = await shelf.fetch(database.run, "a.json");
    expect(kept?.spending).toBe("mark");
    expect(kept?.spendingAgoMs).toBeWithin(89_000, 100_000);
  });

  test("thousands come a page at a time, each once", async () => {
    await using here = await prepared(await make());
    const count = 1203;
    const { database } = here.connect();
    await database.begin(async (run) => {
      for (let at = 0; at < count; at += 401) {
        const names = Array.from({ length: 401 }, (_, more) => `${at + more}.json`);
        await run(
          `INSERT INTO ${ACCOUNTS} (name, content) VALUES ${names.map(() => "(?, ?)").join(", ")}`,
          names.flatMap((name) => [name, record(name)]),
        );
      }
    });
    const { shelf, pull, database: asked } = readerOn(here);
    await pull();
    expect(new Set(tokensOn(shelf)).size).toBe(count);
    // Where the changes are, and three pages.
    expect(asked.statements()).toBe(4);
  });

  test("sealed contents are opened; one whose key is missing is told and left", async () => {
    await using here = await prepared(await make());
    const [one, other] = [7, 8].map((byte) => createSealer([new Uint8Array(32).fill(byte)]));
    if (one === undefined || other === undefined) throw new Error("two were made");
    await put(here, "a.json", one.seal(record("at-a")));
    await put(here, "b.json", other.seal(record("at-b")));
    await put(here, "c.json", record("at-c"));
    const { shelf, pull } = readerOn(here, one);
    await pull();
    expect(shelf.find("a.json")?.content).toBe(record("at-a"));
    expect(shelf.find("c.json")?.content).toBe(record("at-c"));
    const shut = shelf.find("b.json");
    expect(shut?.content).toBeUndefined();
    expect(shut?.reading).toMatchObject({
      ok: false,
      fault: {
        source: "b.json",
        reason: expect.stringContaining(`encrypted with key ${other.keyIds[0]}`),
      },
    });
  });
});

describe("how an account is called", () => {
  test("outside of the store as its file would be, and found by that whatever became of it since", () => {
    expect([sourceOf("a.json", false), sourceOf("a.json", true)]).toEqual([
      "a.json",
      "a.json.disabled",
    ]);
    for (const source of ["a.json", "a.json.disabled", "a.json.disabled.2"]) {
      expect(nameOf(source)).toBe("a.json");
    }
  });
});

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
