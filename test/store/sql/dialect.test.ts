import { describe, expect, test } from "bun:test";
import { DIALECTS } from "../../../src/store/sql/dialect.ts";
import { DATABASES } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";

const TIME_ZONES = {
  sqlite: "SELECT 1",
  postgres: "SET TIME ZONE 'America/St_Johns'",
  mysql: "SET time_zone = '-03:30'",
} as const;

describe("PostgreSQL", () => {
  test("numbers parameters in their order, and the others leave them", () => {
    expect(DIALECTS.postgres.spell("a = ? AND b IN (?, ?)")).toBe("a = $1 AND b IN ($2, $3)");
    expect(DIALECTS.postgres.spell("a")).toBe("a");
    expect(DIALECTS.mysql.spell("a = ?")).toBe("a = ?");
    expect(DIALECTS.sqlite.spell("a = ?")).toBe("a = ?");
  });
});

describeEach(DATABASES, ({ make }) => {
  test("tells the time in Unix milliseconds, wherever the server thinks that it is", async () => {
    await using here = await make();
    const { database } = here.connect();
    const { dialect } = database;
    await database.reserve(async (run) => {
      await run(TIME_ZONES[dialect.driver]);
      const beforeMs = Date.now();
      const { rows } = await run(`SELECT ${dialect.nowMs} AS now`);
      const nowMs = Number(rows[0]?.["now"]);
      // The servers are on this machine, so that it is the same clock.
      expect(nowMs).toBeGreaterThanOrEqual(beforeMs - 2);
      expect(nowMs).toBeLessThanOrEqual(Date.now() + 2);
      expect(Number.isInteger(nowMs)).toBe(true);
    });
  });

  test("time goes on within a transaction, and can be counted with", async () => {
    await using here = await make();
    const { database } = here.connect();
    const { nowMs } = database.dialect;
    await database.begin(async (run) => {
      const at = async () =>
        Number((await run(`SELECT ${nowMs} + ? AS now`, [1000])).rows[0]?.["now"]);
      const first = await at();
      await Bun.sleep(5);
      expect(await at()).toBeGreaterThan(first);
    });
  });

  test("a key is compared byte by byte, and its values are put in place of those that are there", async () => {
    await using here = await make();
    const { dialect } = here.connect().database;
    await here.run(
      `CREATE TABLE t (k ${dialect.key} PRIMARY KEY, a ${dialect.text}, b ${dialect.text})${dialect.tableEnd}`,
    );
    const put = (key: string, a: string, b: string) =>
      here.run(`INSERT INTO t (k, a, b) VALUES (?, ?, ?)${dialect.upsert("k", ["a"])}`, [
        key,
        a,
        b,
      ]);
    for (const key of ["ann.json", "Ann.json", "änn.json", "an.json"]) await put(key, "1", "1");
    await put("ann.json", "2", "2");
    const { rows } = await here.run("SELECT a, b FROM t WHERE k = ?", ["ann.json"]);
    expect(rows).toEqual([{ a: "2", b: "1" }]);
    expect((await here.run("SELECT k FROM t")).rows).toHaveLength(4);
    expect((await here.run("SELECT k FROM t WHERE k = ?", ["ANN.json"])).rows).toEqual([]);
  });

  test("counts ids up, and never gives one of a deleted row again", async () => {
    await using here = await make();
    const { dialect } = here.connect().database;
    await here.run(`CREATE TABLE t (id ${dialect.serial}, v ${dialect.text})${dialect.tableEnd}`);
    for (const v of ["a", "b", "c"]) await here.run("INSERT INTO t (v) VALUES (?)", [v]);
    await here.run("DELETE FROM t WHERE v = 'c'");
    await here.run("INSERT INTO t (v) VALUES ('d')");
    const { rows } = await here.run("SELECT id, v FROM t ORDER BY id");
    expect(rows.map(({ id, v }) => [Number(id), v])).toEqual([
      [1, "a"],
      [2, "b"],
      [4, "d"],
    ]);
  });

  test("names the columns of a table, and none of one that is not there", async () => {
    await using here = await make();
    const { dialect } = here.connect().database;
    await here.run("CREATE TABLE t (one INTEGER, two INTEGER)");
    const columns = async (table: string) =>
      (await here.run(dialect.columnsOf, [table])).rows.flatMap((row) => Object.values(row)).sort();
    expect(await columns("t")).toEqual(["one", "two"]);
    expect(await columns("nowhere")).toEqual([]);
  });

  test("an index that is unique keeps others out, and lets any number of empty ones in", async () => {
    await using here = await make();
    const { dialect } = here.connect().database;
    await here.run(`CREATE TABLE t (v ${dialect.key})${dialect.tableEnd}`);
    await here.run(dialect.index(true, "t_v", "t", "v"));
    for (const value of ["a", null, null]) await here.run("INSERT INTO t (v) VALUES (?)", [value]);
    await expect(here.run("INSERT INTO t (v) VALUES (?)", ["a"])).rejects.toMatchObject({
      kind: "taken",
    });
  });
});
