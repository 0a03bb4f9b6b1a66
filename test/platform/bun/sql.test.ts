import { expect, test } from "bun:test";
import { openSql } from "../../../src/platform/bun/sql.ts";

test("a database in memory answers statements", async () => {
  const sql = openSql({ driver: "sqlite", path: ":memory:" });
  try {
    expect(await sql.unsafe("SELECT ? AS said", ["hello"])).toEqual([{ said: "hello" }]);
  } finally {
    await sql.close({ timeout: 0 });
  }
});
