import { describe, expect, test } from "bun:test";
import type { DatabaseServer } from "../../../src/config/database.ts";
import { DIALECTS } from "../../../src/store/sql/dialect.ts";
import { checkVersion, createDatabase, whyTooOld } from "../../../src/store/sql/server.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { DATABASES, SERVERS, type TestDatabase, USUAL } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { troubleIn } from "./instance.ts";

describe("the version that a server says it has", () => {
  test.each([
    [
      "postgres",
      "PostgreSQL 15.20 (Debian 15.20-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc 12.2.0, 64-bit",
    ],
    ["postgres", "PostgreSQL 10.0 on x86_64-pc-linux-gnu"],
    ["postgres", "PostgreSQL 18beta1 on aarch64-apple-darwin"],
    ["postgres", "CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu)"],
    ["mysql", "8.4.3"],
    ["mysql", "8.0.36-0ubuntu0.22.04.1"],
    ["mysql", "5.7.44-log"],
    ["mysql", "9.1.0-commercial"],
    ["mysql", "10.11.19-MariaDB-0+deb12u1"],
    ["mysql", "5.5.5-10.2.44-MariaDB-1:10.2.44+maria~bionic"],
    ["mysql", "11.4.2-MariaDB-log"],
    ["mysql", "8.0.11-TiDB-v7.5.0"],
    ["mysql", ""],
    ["mysql", "who knows"],
  ] as const)("%s: %s will do", (driver, version) => {
    expect(whyTooOld(driver, version)).toBeUndefined();
  });

  test.each([
    [
      "postgres",
      "PostgreSQL 9.6.24 on x86_64-pc-linux-gnu",
      "PostgreSQL 9.6, and this program needs PostgreSQL 10.0",
    ],
    ["mysql", "5.6.51", "MySQL 5.6, and this program needs MySQL 5.7"],
    ["mysql", "5.5.62-log", "MySQL 5.5, and this program needs MySQL 5.7"],
    ["mysql", "5.5.5-10.1.48-MariaDB", "MariaDB 10.1, and this program needs MariaDB 10.2"],
    ["mysql", "5.5.68-MariaDB", "MariaDB 5.5, and this program needs MariaDB 10.2"],
  ] as const)("%s: %s is too old", (driver, version, told) => {
    expect(whyTooOld(driver, version)).toBe(`the server is ${told} or newer. Update the server.`);
  });

  describeEach(DATABASES, ({ make }) => {
    test("the real one will do", async () => {
      await using here = await make();
      await checkVersion(here.connect().database);
    });
  });

  test("one that is too old is refused, whatever it can do besides", async () => {
    const run = async () => ({ rows: [{ version: "PostgreSQL 9.5.1" }], count: 1 });
    await expect(checkVersion({ dialect: DIALECTS.postgres, run })).rejects.toMatchObject({
      kind: "other",
      message: expect.stringContaining("Update the server."),
    });
  });
});

function serverOf({ place }: TestDatabase): DatabaseServer {
  if (place.driver === "sqlite") throw new Error("a file is no server");
  return place;
}

describeEach(SERVERS, ({ make }) => {
  test.each(["codex_test_plain", 'codex_test "quoted" `name` \\ x', "codex_test-ünï"])(
    "makes the database %s, and is content with one that is there",
    async (name) => {
      await using here = await make();
      const server = { ...serverOf(here), name };
      const { database } = here.connect(systemClock, { place: server });
      const quote = server.driver === "postgres" ? '"' : "`";
      const drop = () =>
        here.run(
          `DROP DATABASE IF EXISTS ${quote}${name.replaceAll(quote, quote + quote)}${quote}`,
        );
      await drop();
      try {
        await expect(database.run("SELECT 1")).rejects.toMatchObject({ kind: "no-database" });
        // Four instances that start together.
        await Promise.all([1, 2, 3, 4].map(() => createDatabase(server, USUAL)));
        await createDatabase(server, USUAL);
        // The client that came too early finds it now.
        expect((await database.run("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
      } finally {
        await database.close();
        await drop();
      }
    },
  );

  test("a user who may not make one is told which is missing", async () => {
    await using here = await make();
    const user = { ...(await here.addUser([])), name: "codex_test_never" };
    const trouble = await troubleIn(createDatabase(user, USUAL));
    expect(trouble?.kind).toBe("rights");
    expect(trouble?.message).toBe(
      'there is no database "codex_test_never", and the user may not make one. Make it for them, or correct db-name.',
    );
  });
});
