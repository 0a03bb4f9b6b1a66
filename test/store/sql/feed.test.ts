import { describe, expect, test } from "bun:test";
import type { Database, Ear, Run } from "../../../src/store/sql/database.ts";
import { createFeed, type Feed } from "../../../src/store/sql/feed.ts";
import { CHANGES, migrate } from "../../../src/store/sql/schema.ts";
import { createManualClock, type ManualClock } from "../../support/clock.ts";
import { DATABASES, SERVERS, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { until } from "../../support/until.ts";
import { openInstance } from "./instance.ts";

type Instance = { readonly database: Database; readonly feed: Feed; readonly clock: ManualClock };

async function prepared(here: TestDatabase): Promise<TestDatabase> {
  await migrate(here.connect().database);
  return here;
}

function instance(here: TestDatabase): Instance {
  const clock = createManualClock(0);
  return { ...here.connect(clock), clock };
}

/** Changes something, in the name of this instance. */
function change({ database, feed }: Pick<Instance, "database" | "feed">, isDeletion = false) {
  return database.begin((run) => feed.mark(run, isDeletion));
}

/** Lets time pass till the feed has looked once from the beginning to the end: the next look begins after that. */
async function look({ database, clock }: Instance): Promise<void> {
  const before = database.statements();
  await until("it has looked", () => {
    clock.advance(1000);
    return database.statements() > before + 1;
  });
}

describeEach(DATABASES, ({ make }) => {
  test("each change has the next number, and whoever has seen one has seen all before it", async () => {
    await using here = await prepared(await make());
    const { nowMs } = here.connect().database.dialect;
    await here.run("CREATE TABLE done (revision BIGINT)");
    const [{ revision: first }] = [await here.connect().feed.cursor()];
    const writers = [1, 2, 3, 4].map(async () => {
      const { database, feed } = here.connect();
      const revisions: number[] = [];
      for (let time = 0; time < 8; time++) {
        const revision = await database.begin(async (run) => {
          const own = await feed.mark(run);
          // Something between the number and what bears it.
          await run(`SELECT ${nowMs}`);
          await run("INSERT INTO done (revision) VALUES (?)", [own]);
          return own;
        });
        revisions.push(revision);
      }
      return revisions;
    });
    const all = Promise.all(writers);
    let isOver = false;
    void all.finally(() => {
      isOver = true;
    });
    const { database, feed } = here.connect();
    let looks = 0;
    while (!isOver) {
      const { revision } = await feed.cursor();
      const { rows } = await database.run("SELECT revision FROM done WHERE revision <= ?", [
        revision,
      ]);
      expect(rows).toHaveLength(revision - first);
      looks += 1;
      // A file answers without giving anybody else the processor.
      await Bun.sleep(0);
    }
    expect(looks).toBeGreaterThan(0);
    for (const own of await all) expect(own).toEqual(own.toSorted((a, b) => a - b));
    expect(new Set((await all).flat()).size).toBe(32);
    expect((await feed.cursor()).revision).toBe(first + 32);
  });

  test("counts deletions apart", async () => {
    await using here = await prepared(await make());
    const one = instance(here);
    const before = await one.feed.cursor();
    await change(one);
    await change(one, true);
    expect(await one.feed.cursor()).toEqual({
      revision: before.revision + 2,
      deletions: before.deletions + 1,
    });
  });

  test("tells of others' changes within a second or so, of own ones not at all, and of nothing when stopped", async () => {
    await using here = await prepared(await make());
    const [one, other] = [instance(here), instance(here)];
    let told = 0;
    const stop = one.feed.watch(() => {
      told += 1;
    });
    // Nobody knows what happened before.
    await look(one);
    expect(told).toBe(1);
    for (let time = 0; time < 3; time++) await change(one);
    await look(one);
    expect(told).toBe(1);
    await change(other);
    await look(one);
    expect(told).toBe(2);
    await change(one);
    await change(other);
    await change(one);
    await look(one);
    expect(told).toBe(3);
    stop();
    await change(other);
    const sent = one.database.statements();
    one.clock.advance(60_000);
    expect([told, one.database.statements()]).toEqual([3, sent]);
  });

  test("a number that was not used in the end is another's: that one is told", async () => {
    await using here = await prepared(await make());
    const [one, other] = [instance(here), instance(here)];
    let told = 0;
    const stop = one.feed.watch(() => {
      told += 1;
    });
    await look(one);
    let unused = 0;
    const failing = one.database.begin(async (run) => {
      unused = await one.feed.mark(run);
      throw new Error("broken");
    });
    await expect(failing).rejects.toThrow("broken");
    expect(await change(other)).toBe(unused);
    await look(one);
    expect(told).toBe(2);
    stop();
  });

  test("a database that was put back to an earlier state is told", async () => {
    await using here = await prepared(await make());
    const one = instance(here);
    for (let time = 0; time < 3; time++) await change(one);
    let told = 0;
    const stop = one.feed.watch(() => {
      told += 1;
    });
    await look(one);
    await here.run(`UPDATE ${CHANGES} SET revision = 2`);
    await look(one);
    expect(told).toBe(2);
    stop();
  });

  test("several who watch are told alike, a later one of what happened before it", async () => {
    await using here = await prepared(await make());
    const [one, other] = [instance(here), instance(here)];
    const told = [0, 0];
    const watch = (at: 0 | 1) =>
      one.feed.watch(() => {
        told[at] = (told[at] ?? 0) + 1;
      });
    const stopFirst = watch(0);
    await look(one);
    const stopSecond = watch(1);
    await look(one);
    expect(told).toEqual([1, 1]);
    await change(other);
    await look(one);
    expect(told).toEqual([2, 2]);
    stopFirst();
    await change(other);
    await look(one);
    expect(told).toEqual([2, 3]);
    stopSecond();
  });
});

describeEach(
  SERVERS.filter(({ name }) => name === "PostgreSQL"),
  ({ make }) => {
    test("what somebody says is looked at in a moment", async () => {
      await using here = await prepared(await make());
      const [one, other] = [instance(here), instance(here)];
      let told = 0;
      const stop = one.feed.watch(() => {
        told += 1;
      });
      await look(one);
      // The look that listening begins with.
      await until("it listens", async () => {
        const { rows } = await here.run(
          "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = CURRENT_DATABASE()",
        );
        return rows.length > 0;
      });
      const looked = one.database.statements();
      await until("it is sure that it hears", () => {
        one.clock.advance(100);
        return one.database.statements() > looked;
      });
      const startMs = one.clock.now();
      for (let time = 1; time <= 3; time++) {
        await change(other);
        const before = one.database.statements();
        await until("it has looked", () => {
          one.clock.advance(1);
          return one.database.statements() > before;
        });
        await until("it has told", () => told === 1 + time);
      }
      // Three waits of a tenth of a second each, and no other look.
      expect(one.clock.now() - startMs).toBeLessThan(1000);
      stop();
    });
  },
);

/** A database whose answers a test gives, and which says what a test wants. */
function scripted() {
  const clock = createManualClock(0);
  const answers: PromiseWithResolvers<number>[] = [];
  const ears: Ear[] = [];
  let isDeaf = false;
  const run: Run = async () => {
    const answer = Promise.withResolvers<number>();
    answers.push(answer);
    return { rows: [{ revision: await answer.promise, deletions: 0 }], count: 1 };
  };
  const database = {
    run,
    onUndone: () => {},
    listen: async (_channel: string, ear: Ear) => {
      if (isDeaf) throw new Error("no");
      ears.push(ear);
      return () => {};
    },
  };
  let told = 0;
  const stop = createFeed(database, clock).watch(() => {
    told += 1;
  });
  return {
    clock,
    ears,
    stop,
    told: () => told,
    looks: () => answers.length,
    deafen: () => {
      isDeaf = true;
    },
    /** Answers the look that is under way. */
    answer: async (revision: number | Error): Promise<void> => {
      if (typeof revision === "number") answers.at(-1)?.resolve(revision);
      else answers.at(-1)?.reject(revision);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    },
  };
}

describe("when it looks", () => {
  test("each second where nobody tells; each five where somebody does", async () => {
    const { clock, answer, looks, ears, stop } = scripted();
    for (let look = 1; look <= 4; look++) {
      clock.advance(999);
      expect(looks()).toBe(look - 1);
      clock.advance(1);
      expect(looks()).toBe(look);
      await answer(7);
    }
    expect(ears).toHaveLength(1);
    ears[0]?.onNote();
    clock.advance(100);
    await answer(8);
    expect(looks()).toBe(5);
    clock.advance(4999);
    expect(looks()).toBe(5);
    clock.advance(1);
    expect(looks()).toBe(6);
    stop();
  });

  test("many notes in a moment are one look", async () => {
    const { clock, answer, looks, ears, stop } = scripted();
    clock.advance(1000);
    await answer(7);
    for (let note = 0; note < 50; note++) ears[0]?.onNote();
    clock.advance(100);
    await answer(8);
    clock.advance(1000);
    expect(looks()).toBe(2);
    stop();
  });

  test("whoever speaks all the time does not put the look off", async () => {
    const { clock, answer, looks, ears, stop } = scripted();
    clock.advance(1000);
    await answer(7);
    for (let note = 0; note < 20; note++) {
      ears[0]?.onNote();
      clock.advance(50);
      await answer(8 + note);
    }
    expect(looks()).toBeGreaterThan(8);
    stop();
  });

  test("what is said during a look is looked at after it", async () => {
    const { clock, answer, looks, ears, told, stop } = scripted();
    clock.advance(1000);
    await answer(7);
    ears[0]?.onNote();
    clock.advance(100);
    // Its answer is under way when somebody changes something more.
    ears[0]?.onNote();
    await answer(8);
    clock.advance(100);
    await answer(9);
    expect([looks(), told()]).toEqual([3, 3]);
    stop();
  });

  test("a database that is away and back is told each time, and looked for each second", async () => {
    const { clock, answer, looks, ears, told, stop } = scripted();
    clock.advance(1000);
    await answer(7);
    ears[0]?.onNote();
    clock.advance(100);
    await answer(7);
    expect([looks(), told()]).toEqual([2, 1]);
    clock.advance(5000);
    await answer(new Error("away"));
    clock.advance(1000);
    await answer(new Error("away"));
    expect([looks(), told()]).toEqual([4, 1]);
    clock.advance(1000);
    // Nothing has changed as far as the number goes; what was sent meanwhile may have been lost all the same.
    await answer(7);
    expect([looks(), told()]).toEqual([5, 2]);
    stop();
  });

  test("who hears nothing any more looks each second and listens anew; so does who could not listen", async () => {
    const { clock, answer, looks, ears, deafen, stop } = scripted();
    clock.advance(1000);
    await answer(7);
    ears[0]?.onNote();
    clock.advance(100);
    await answer(7);
    ears[0]?.onLost();
    clock.advance(5000);
    await answer(7);
    expect([looks(), ears.length]).toEqual([3, 2]);
    deafen();
    ears[1]?.onLost();
    for (let look = 4; look <= 6; look++) {
      clock.advance(1000);
      await answer(7);
      expect([looks(), ears.length]).toEqual([look, 2]);
    }
    stop();
  });

  test("one that was stopped is not told what a look that was under way has found", async () => {
    const { clock, answer, told, looks, stop } = scripted();
    clock.advance(1000);
    stop();
    await answer(7);
    clock.advance(60_000);
    expect([told(), looks()]).toEqual([0, 1]);
  });
});

describeEach(DATABASES, ({ make }) => {
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
