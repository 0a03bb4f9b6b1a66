import { describe, expect, test } from "bun:test";
import type { DatabasePlace } from "../../../src/config/database.ts";
import { type Database, openDatabase } from "../../../src/store/sql/database.ts";
import { DatabaseTrouble } from "../../../src/store/sql/trouble.ts";
import { type Clock, systemClock } from "../../../src/wire/clock.ts";
import { createManualClock } from "../../support/clock.ts";
import { DATABASES, SERVERS, type TestDatabase, USUAL } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { type Forwarder, startForwarder } from "../../support/forwarder.ts";
import { until } from "../../support/until.ts";
import { openInstance, troubleIn } from "./instance.ts";

/** Short pauses pass at once, and nothing ever takes too long. */
const HASTY: Clock = {
  ...systemClock,
  after: (delayMs, fire) => {
    if (delayMs <= 1000) setImmediate(fire);
    return () => {};
  },
};

async function numbers(here: TestDatabase): Promise<TestDatabase> {
  await here.run("CREATE TABLE n (id INTEGER PRIMARY KEY, v INTEGER NOT NULL)");
  await here.run("INSERT INTO n (id, v) VALUES (1, 0), (2, 0)");
  return here;
}

async function valuesOf({ run }: Pick<Database, "run">): Promise<readonly number[]> {
  return (await run("SELECT v FROM n ORDER BY id")).rows.map(({ v }) => Number(v));
}

describeEach(DATABASES, ({ make, name }) => {
  test("what is given for a ? comes back as it was, whatever it is", async () => {
    await using here = await make();
    const { dialect } = here.connect().database;
    await here.run(
      `CREATE TABLE t (id ${dialect.serial}, k ${dialect.key}, v ${dialect.text}, n BIGINT)${dialect.tableEnd}`,
    );
    const texts = [
      "",
      "?",
      "$1",
      "'; DROP TABLE t; --",
      '"',
      "\\",
      "ünïcödé 🦊",
      "a\nb",
      "x".repeat(200_000),
    ];
    for (const [at, text] of texts.entries()) {
      await here.run("INSERT INTO t (k, v, n) VALUES (?, ?, ?)", [`k${at}`, text, at]);
    }
    await here.run("INSERT INTO t (k, v, n) VALUES (?, ?, ?)", ["none", null, 2 ** 50]);
    const { rows, count } = await here.run("SELECT k, v, n FROM t ORDER BY id");
    expect(count).toBe(texts.length + 1);
    expect(rows.slice(0, -1).map(({ v }) => v)).toEqual(texts);
    expect([rows.at(-1)?.["v"], Number(rows.at(-1)?.["n"])]).toEqual([null, 2 ** 50]);
    const found = await here.run("SELECT n FROM t WHERE k = ? AND v = ? AND n = ?", [
      "k3",
      texts[3] ?? "",
      3,
    ]);
    expect(found.rows).toHaveLength(1);
  });

  test("tells how many rows a statement touched, those that it left as they were too", async () => {
    await using here = await numbers(await make());
    expect((await here.run("UPDATE n SET v = 7")).count).toBe(2);
    expect((await here.run("UPDATE n SET v = 7")).count).toBe(2);
    expect((await here.run("UPDATE n SET v = 8 WHERE id = ?", [9])).count).toBe(0);
    expect((await here.run("DELETE FROM n WHERE id = 1")).count).toBe(1);
  });

  test("a transaction is whole or not at all, and what its task throws comes out as it was", async () => {
    await using here = await numbers(await make());
    const { database } = here.connect();
    const broken = new Error("broken");
    const undone: string[] = [];
    const failing = database.begin(async (run) => {
      database.onUndone(run, () => undone.push("undone"));
      await run("UPDATE n SET v = 5");
      throw broken;
    });
    expect(await failing.catch((cause: unknown) => cause)).toBe(broken);
    expect([await valuesOf(here), undone]).toEqual([[0, 0], ["undone"]]);
    const done = await database.begin(async (run) => {
      database.onUndone(run, () => undone.push("never"));
      await run("UPDATE n SET v = 5");
      return valuesOf({ run });
    });
    expect([done, await valuesOf(here), undone]).toEqual([[5, 5], [5, 5], ["undone"]]);
    expect(
      (await troubleIn(database.begin((run) => run("INSERT INTO n VALUES (1, 1)"))))?.kind,
    ).toBe("taken");
    expect((await database.run("SELECT v FROM n")).count).toBe(2);
  });

  test("others do not see what is not done yet", async () => {
    await using here = await numbers(await make());
    const { database } = here.connect();
    await database.begin(async (run) => {
      await run("UPDATE n SET v = 5");
      expect(await valuesOf(here)).toEqual([0, 0]);
    });
    expect(await valuesOf(here)).toEqual([5, 5]);
  });

  test("two that are in each other's way both come through", async () => {
    await using here = await numbers(await make());
    const met = Promise.withResolvers<void>();
    let waiting = 0;
    let tries = 0;
    const raise = (first: number, second: number): Promise<void> =>
      here.connect().database.begin(async (run) => {
        tries += 1;
        await run("UPDATE n SET v = v + 1 WHERE id = ?", [first]);
        waiting += 1;
        if (waiting === 2) met.resolve();
        // Each has what the other wants next. With SQLite the second one does not even begin.
        if (name !== "SQLite") await met.promise;
        await run("UPDATE n SET v = v + 1 WHERE id = ?", [second]);
      });
    await Promise.all([raise(1, 2), raise(2, 1)]);
    expect(await valuesOf(here)).toEqual([2, 2]);
    if (name !== "SQLite") expect(tries).toBe(3);
  });

  test("tries again so often and no more, and undoes what each try did", async () => {
    await using here = await numbers(await make());
    const { database } = here.connect(systemClock, { clock: HASTY });
    let tries = 0;
    let undone = 0;
    const always = database.begin(async (run) => {
      tries += 1;
      database.onUndone(run, () => {
        undone += 1;
      });
      await run("UPDATE n SET v = v + 1");
      throw new DatabaseTrouble("clash", "again");
    });
    expect((await troubleIn(always))?.kind).toBe("clash");
    expect([tries, undone]).toEqual(name === "SQLite" ? [12, 12] : [6, 6]);
    expect(await valuesOf(here)).toEqual([0, 0]);
  });

  test("a connection of one's own is given back, whatever becomes of its task", async () => {
    await using here = await numbers(await make());
    const { database } = here.connect();
    const broken = new Error("broken");
    for (let time = 0; time < 5; time++) {
      const failing = database.reserve(async (run) => {
        await run("UPDATE n SET v = v + 1");
        throw broken;
      });
      expect(await failing.catch((cause: unknown) => cause)).toBe(broken);
    }
    expect(await valuesOf(database)).toEqual([5, 5]);
  });

  test("counts what it is asked", async () => {
    await using here = await numbers(await make());
    const { database } = here.connect();
    expect(database.statements()).toBe(0);
    await database.run("SELECT 1");
    await troubleIn(database.run("SELEC"));
    expect(database.statements()).toBe(2);
    // BEGIN and COMMIT take their time as well.
    await database.begin((run) => run("SELECT 1"));
    expect(database.statements()).toBe(5);
  });

  test("can be used again after it was closed", async () => {
    await using here = await numbers(await make());
    const { database } = here.connect();
    expect(await valuesOf(database)).toEqual([0, 0]);
    await database.close();
    expect(await valuesOf(database)).toEqual([0, 0]);
  });
});

describe("a file", () => {
  const [file] = DATABASES;
  if (file === undefined) throw new Error("SQLite is always there");

  test("what comes beside a transaction is not within it", async () => {
    await using here = await numbers(await file.make());
    const { database } = here.connect();
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const failing = database.begin(async (run) => {
      await run("UPDATE n SET v = 5 WHERE id = 1");
      begun.resolve();
      await end.promise;
      throw new Error("broken");
    });
    await begun.promise;
    const beside = database.run("UPDATE n SET v = 7 WHERE id = 2");
    const reserved = database.reserve((run) => run("UPDATE n SET v = v + 1 WHERE id = 2"));
    end.resolve();
    await expect(failing).rejects.toThrow("broken");
    await Promise.all([beside, reserved]);
    expect(await valuesOf(here)).toEqual([0, 8]);
  });

  test("many writers at a time lose nothing", async () => {
    await using here = await numbers(await file.make());
    const clients = [here.connect().database, here.connect().database, here.connect().database];
    const raises = Array.from({ length: 30 }, (_, at) =>
      clients[at % 3]?.begin(async (run) => {
        const [v = 0] = await valuesOf({ run });
        await run("UPDATE n SET v = ? WHERE id = 1", [v + 1]);
      }),
    );
    await Promise.all(raises);
    expect(await valuesOf(here)).toEqual([30, 0]);
  });

  test("whose folder is not there is told as it is", async () => {
    const database = openDatabase({
      ...USUAL,
      place: { driver: "sqlite", path: "/nowhere/at/all/accounts.db" },
    });
    const trouble = await troubleIn(database.run("SELECT 1"));
    expect(trouble?.kind).toBe("away");
    expect(trouble?.message).toStartWith("its file cannot be opened");
    expect(database.trouble()).toBe(trouble?.message);
    await database.close();
  });
});

/** The database behind a forwarder that can forget its connections. */
async function behind(
  place: DatabasePlace,
): Promise<{ forwarder: Forwarder; place: DatabasePlace }> {
  if (place.driver === "sqlite") throw new Error("a file has no way to it");
  const forwarder = await startForwarder(`http://127.0.0.1:${place.port}/`);
  return { forwarder, place: { ...place, port: Number(new URL(forwarder.url).port) } };
}

describeEach(SERVERS, ({ make, name }) => {
  const LIMIT_MS = 10_000;

  const hanging: [
    what: string,
    ask: (database: Database, forget: () => void) => Promise<unknown>,
  ][] = [
    [
      "a statement",
      async ({ run }, forget) => {
        forget();
        await run("SELECT 1");
      },
    ],
    [
      "the beginning of a transaction",
      async ({ begin }, forget) => {
        forget();
        await begin((run) => run("SELECT 1"));
      },
    ],
    [
      "a statement in a transaction",
      ({ begin }, forget) =>
        begin(async (run) => {
          await run("UPDATE n SET v = 5");
          forget();
          await run("UPDATE n SET v = 6");
        }),
    ],
    [
      "the end of a transaction",
      ({ begin }, forget) =>
        begin(async (run) => {
          await run("UPDATE n SET v = 5");
          forget();
        }),
    ],
    [
      "a connection of one's own",
      async ({ reserve }, forget) => {
        await reserve(async (run) => {
          forget();
          await run("SELECT 1");
        });
      },
    ],
  ];
  test.each(hanging)("a server that falls silent is given up in time: %s", async (_what, ask) => {
    await using here = await numbers(await make());
    const { forwarder, place } = await behind(here.place);
    await using _forwarder = forwarder;
    const clock = createManualClock(0);
    const { database } = here.connect(clock, { clock, place });
    await database.run("SELECT 1");
    let isOver = false;
    const asked = troubleIn(ask(database, forwarder.forget)).finally(() => {
      isOver = true;
    });
    await until("it is asked in vain", () => forwarder.swallowed() > 0);
    clock.advance(LIMIT_MS - 1);
    await Bun.sleep(0);
    expect(isOver).toBe(false);
    clock.advance(1);
    const trouble = await asked;
    expect(trouble?.kind).toBe("away");
    expect(trouble?.message).toStartWith("it is not reachable (it did not answer in time).");
    expect(database.trouble()).toBe(trouble?.message);
    // Connections that nobody knows of any more are not asked again.
    expect(await valuesOf(database)).toEqual([0, 0]);
    expect(database.trouble()).toBeUndefined();
    expect(await database.begin((run) => valuesOf({ run }))).toEqual([0, 0]);
    expect(await database.reserve((run) => valuesOf({ run }))).toEqual([0, 0]);
  });

  test("one that takes connections and says nothing is given up too", async () => {
    await using here = await make();
    if (here.place.driver === "sqlite") throw new Error("a file is no server");
    const deaf = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const clock = createManualClock(0);
    const { database } = here.connect(clock, { clock, place: { ...here.place, port: deaf.port } });
    const asked = troubleIn(database.run("SELECT 1"));
    const begun = troubleIn(database.begin((run) => run("SELECT 1")));
    clock.advance(LIMIT_MS);
    expect([(await asked)?.kind, (await begun)?.kind]).toEqual(["away", "away"]);
    deaf.stop(true);
  });

  test("a connection that is cut is told, and the next statement has another", async () => {
    await using here = await numbers(await make());
    const { forwarder, place } = await behind(here.place);
    await using _forwarder = forwarder;
    const { database } = here.connect(systemClock, { place });
    const failing = troubleIn(
      database.begin(async (run) => {
        await run("UPDATE n SET v = 5");
        forwarder.cut("rst");
        await run("UPDATE n SET v = 6");
      }),
    );
    expect((await failing)?.kind).toBe("away");
    await until(
      "it is back",
      async () => (await troubleIn(database.run("SELECT 1"))) === undefined,
    );
    expect(await valuesOf(database)).toEqual([0, 0]);
  });

  test("a database that is not there, a user who is not", async () => {
    await using here = await make();
    if (here.place.driver === "sqlite") throw new Error("a file is no server");
    const none = here.connect(systemClock, { place: { ...here.place, name: "codex_test_none" } });
    expect((await troubleIn(none.database.run("SELECT 1")))?.kind).toBe("no-database");
    const stranger = { ...here.place, user: "codex_test_nobody", password: "tok3n-of-mine" };
    const wrong = here.connect(systemClock, { place: stranger });
    for (const ask of [wrong.database.run, wrong.database.begin]) {
      const trouble = await troubleIn(
        ask === wrong.database.run
          ? wrong.database.run("SELECT 1")
          : wrong.database.begin((run) => run("SELECT 1")),
      );
      expect(trouble?.kind).toBe("login");
      expect(trouble?.message.match(/the server refuses the user/g)).toHaveLength(1);
      expect(trouble?.message).not.toContain("tok3n");
    }
    expect(wrong.database.trouble()).toContain("the server refuses the user");
  });

  if (name === "PostgreSQL") {
    test("who listens hears all others, is told when nothing comes any more, and can stop", async () => {
      await using here = await make();
      const { forwarder, place } = await behind(here.place);
      await using _forwarder = forwarder;
      const clock = createManualClock(0);
      const { database } = here.connect(clock, { clock, place });
      const heard: string[] = [];
      const ear = {
        onNote: () => heard.push("note"),
        onReady: () => heard.push("ready"),
        onLost: () => heard.push("lost"),
      };
      const say = () => here.run("SELECT PG_NOTIFY(?, '')", ["a_channel"]);
      await database.listen?.("a_channel", ear);
      await until("it listens", () => heard.length === 1);
      await say();
      await until("it hears", () => heard.length === 2);
      expect(heard).toEqual(["ready", "note"]);
      await database.run("SELECT 1");
      // Whoever falls silent may have forgotten that somebody listens as well.
      forwarder.forget();
      const asked = troubleIn(database.run("SELECT 1"));
      await until("it is asked in vain", () => forwarder.swallowed() > 0);
      clock.advance(LIMIT_MS);
      await asked;
      expect(heard).toEqual(["ready", "note", "lost"]);
      const stop = await database.listen?.("a_channel", ear);
      await until("it listens again", () => heard.at(-1) === "ready");
      await say();
      await until("it hears again", () => heard.at(-1) === "note");
      stop?.();
      const other = Promise.withResolvers<void>();
      await here
        .connect()
        .database.listen?.("a_channel", { ...ear, onNote: other.resolve, onReady: () => {} });
      const count = heard.length;
      await say();
      await other.promise;
      expect(heard).toHaveLength(count);
    });
  }
});

test("only PostgreSQL tells of what others say", async () => {
  for (const { name, isHere, make } of DATABASES) {
    if (!isHere) continue;
    await using here = await make();
    expect(here.connect().database.listen === undefined).toBe(name !== "PostgreSQL");
  }
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
