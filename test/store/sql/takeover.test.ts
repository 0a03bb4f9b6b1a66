import { describe, expect, test } from "bun:test";
import type { DatabaseDriver } from "../../../src/config/database.ts";
import { createSealer } from "../../../src/store/seal.ts";
import {
  foreignValues,
  hasForeignColumns,
  identityDigest,
} from "../../../src/store/sql/takeover.ts";
import { dict, parseDict, text } from "../../../src/wire/json.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { accessTokenOf, jwtOf, OTHER_WORKSPACE, WORKSPACE } from "../tokens.ts";
import {
  type Generation,
  GO_COLUMNS,
  type GoRow,
  goWrites,
  makeGoTable,
  NEWER_COLUMNS,
} from "./go-tables.ts";
import { type Instance, openInstance } from "./instance.ts";

const NOON = Date.parse("2026-11-21T12:00:00Z");
const GENERATIONS: readonly Generation[] = ["older", "newer"];

/** A login as the Go program keeps it. */
function goRow(user: string, iat: number, workspace = WORKSPACE): GoRow {
  const email = `${user}@example.com`;
  const exp = iat + 864_000;
  return {
    account_id: workspace,
    email,
    id_token: jwtOf({ email, sub: user }),
    access_token: accessTokenOf({ user, workspace, email, iat, exp }),
    refresh_token: `rt_${user}_${iat}`,
    expire: new Date(exp * 1000).toISOString(),
    plan_type: "plus",
  };
}

const workspaceOf = (digit: number): string => `${digit}`.repeat(8) + WORKSPACE.slice(8);

function tokensOf({ accessToken, refreshToken }: { accessToken?: string; refreshToken?: string }) {
  return [accessToken, refreshToken];
}

async function goRowsIn({ run }: Pick<TestDatabase, "run">, more: readonly string[] = []) {
  const columns = [...GO_COLUMNS, ...more].join(", ");
  return (await run(`SELECT id, ${columns} FROM codex_accounts ORDER BY id`)).rows;
}

async function loginsIn({ store }: Pick<Instance, "store">) {
  const snapshot = await store.read();
  expect(snapshot.complete).toBe(true);
  return snapshot;
}

describeEach(DATABASES, ({ make }) => {
  const driverOf = (here: TestDatabase): DatabaseDriver => here.place.driver;

  describe.each([...GENERATIONS])("the %s table", (generation) => {
    test("every account in it is one here, and nothing that was there is changed", async () => {
      await using here = await make();
      await makeGoTable(here.run, driverOf(here), generation);
      const rows: readonly GoRow[] = [
        { ...goRow("ann", 1000), last_refresh: "2026-11-20 10:00:00" },
        // One person's second workspace; the Go program lets an address be in one row only.
        { ...goRow("ann", 2000, OTHER_WORKSPACE), email: null },
        { account_id: workspaceOf(3), email: "bob@example.com", refresh_token: "rt_bob" },
        {
          account_id: workspaceOf(4),
          email: "carl@example.com",
          access_token: "opaque-of-carl",
          expire: "2030-01-02T03:04:05Z",
        },
      ];
      for (const row of rows) await goWrites(here.run, driverOf(here), row);
      const isNewer = generation === "newer";
      if (isNewer) {
        await here.run(
          "UPDATE codex_accounts SET status = 2, disable_reason = 'auth_401', cooldown_until = '2026-11-22 10:00:00', last_used_at = '2026-11-20 11:00:00' WHERE email = 'bob@example.com'",
        );
      }
      const more = isNewer ? NEWER_COLUMNS : [];
      const before = await goRowsIn(here, more);
      const instance = openInstance(here);
      const { logins, faults, duplicates } = await loginsIn(instance);
      expect([faults, duplicates]).toEqual([[], []]);
      expect(logins.map(({ source, email, workspaceId }) => [source, email, workspaceId])).toEqual([
        ["ann@example.com.json", "ann@example.com", WORKSPACE],
        [`${OTHER_WORKSPACE}.json`, "ann@example.com", OTHER_WORKSPACE],
        ["bob@example.com.json", "bob@example.com", workspaceOf(3)],
        ["carl@example.com.json", "carl@example.com", workspaceOf(4)],
      ]);
      expect(logins.map(({ credential }) => tokensOf(credential))).toEqual(
        rows.map(({ access_token, refresh_token }) => [text(access_token), text(refresh_token)]),
      );
      expect(logins[3]?.credential.expiresAtMs).toBe(Date.parse("2030-01-02T03:04:05Z"));
      expect(logins[0]?.lastRefreshedMs).toBeDefined();
      expect(logins.every(({ isSwitchedOff }) => !isSwitchedOff)).toBe(true);
      expect(await goRowsIn(here, more)).toEqual(before);
      expect(instance.logs()).toContain("accounts of the Go program were taken over accounts=4");
      // Once.
      const again = openInstance(here);
      expect((await loginsIn(again)).logins).toEqual(logins);
      expect(again.logs()).not.toContain("taken over");
      expect((await here.run("SELECT id FROM codex_accounts")).rows).toHaveLength(4);
    });

    test("rows that hold no login are left alone, and one of an odd kind is told", async () => {
      await using here = await make();
      await makeGoTable(here.run, driverOf(here), generation);
      const rows: readonly GoRow[] = [
        { account_id: workspaceOf(1), email: "none@example.com" },
        { account_id: workspaceOf(2), access_token: "", refresh_token: "   " },
        { email: "odd@example.com", access_token: "two words\nand a line" },
        {
          email: "é'\"; DROP TABLE codex_accounts; --",
          refresh_token: "rt_strange",
          expire: "when it ends",
        },
        { account_id: null, email: null, refresh_token: "rt_nameless" },
      ];
      for (const row of rows) await goWrites(here.run, driverOf(here), row);
      const before = await goRowsIn(here);
      const { logins, faults } = await loginsIn(openInstance(here));
      expect(logins.map(({ credential }) => credential.refreshToken)).toEqual([
        "rt_strange",
        "rt_nameless",
      ]);
      expect(logins.map(({ source }) => source)).toEqual([
        expect.stringMatching(/^[\w.@+-]+\.json$/),
        expect.stringMatching(/^account-\d+\.json$/),
      ]);
      expect(faults).toEqual([
        {
          source: "odd@example.com.json",
          reason: expect.stringMatching(/^odd@example\.com\.json: "access_token" has a space/),
        },
      ]);
      expect(await goRowsIn(here)).toEqual(before);
    });

    test("four instances that start together take it over once", async () => {
      await using here = await make();
      await makeGoTable(here.run, driverOf(here), generation);
      for (let user = 1; user <= 5; user++) {
        await goWrites(here.run, driverOf(here), goRow(`user${user}`, 1000, workspaceOf(user)));
      }
      const instances = [1, 2, 3, 4].map(() => openInstance(here));
      const found = await Promise.all(instances.map(loginsIn));
      for (const { logins, duplicates } of found)
        expect([logins.length, duplicates]).toEqual([5, []]);
      const { rows } = await here.run("SELECT name, generation FROM codex_accounts");
      expect(new Set(rows.map(({ name }) => name)).size).toBe(5);
      expect(rows.map(({ generation }) => Number(generation))).toEqual([1, 1, 1, 1, 1]);
    });

    test("back to the Go program and forth again: the newest tokens count each time, and what each has added is there", async () => {
      await using here = await make();
      const driver = driverOf(here);
      await makeGoTable(here.run, driver, generation);
      await goWrites(here.run, driver, goRow("ann", 1000, workspaceOf(1)));
      await goWrites(here.run, driver, goRow("bob", 1000, workspaceOf(2)));
      await goWrites(here.run, driver, goRow("gone", 1000, workspaceOf(3)));
      const first = openInstance(here);
      await loginsIn(first);
      // Renewed here: the Go program would find these tokens, and not the spent ones.
      const fresh = goRow("ann", 2000, workspaceOf(1));
      const credential = {
        accessToken: String(fresh.access_token),
        refreshToken: String(fresh.refresh_token),
        expiresAtMs: 2000_000 + 864_000_000,
      };
      await first.store.locked("ann@example.com.json", { holdMs: 60_000, waitMs: 0 }, async () => {
        expect(await first.store.canSave("ann@example.com.json")).toEqual({ ok: true });
        expect(await first.store.save("ann@example.com.json", credential, NOON)).toEqual({
          ok: true,
        });
      });
      await first.store.switchOff("bob@example.com.json", true);
      const [annRow] = await goRowsIn(here);
      expect([annRow?.["access_token"], annRow?.["refresh_token"], annRow?.["expire"]]).toEqual([
        fresh.access_token,
        fresh.refresh_token,
        fresh.expire,
      ]);
      // A login that is added here is one that the Go program would load, too.
      const carl = goRow("carl", 1000, workspaceOf(4));
      await first.store.add(
        "carl@example.com",
        JSON.stringify({ access_token: carl.access_token, refresh_token: carl.refresh_token }),
      );
      expect((await goRowsIn(here)).at(-1)).toMatchObject({ refresh_token: carl.refresh_token });
      // And now the Go program runs: it renews two, adds one, deletes one.
      await goWrites(here.run, driver, goRow("ann", 3000, workspaceOf(1)));
      await goWrites(here.run, driver, goRow("bob", 3000, workspaceOf(2)));
      await goWrites(here.run, driver, goRow("dora", 3000, workspaceOf(5)));
      await here.run("DELETE FROM codex_accounts WHERE email = 'gone@example.com'");
      const second = openInstance(here);
      const { logins } = await loginsIn(second);
      expect(
        logins.map(({ credential: { refreshToken }, isSwitchedOff }) => [
          refreshToken,
          isSwitchedOff,
        ]),
      ).toEqual([
        ["rt_ann_3000", false],
        ["rt_bob_3000", true],
        ["rt_carl_1000", false],
        ["rt_dora_3000", false],
      ]);
      expect(second.logs()).toContain("accounts=3");
      // The instance that has been running sees it as well, and whoever read an account before cannot write over it.
      const { logins: there } = await loginsIn(first);
      expect(there.map(({ credential: { refreshToken } }) => refreshToken)).toEqual(
        logins.map(({ credential: { refreshToken } }) => refreshToken),
      );
      // Going on here, older tokens in the Go program's columns change nothing.
      await here.run(
        "UPDATE codex_accounts SET access_token = ?, refresh_token = ?, expire = ? WHERE email = 'ann@example.com'",
        [
          String(goRow("ann", 500, workspaceOf(1)).access_token),
          "rt_ann_500",
          "1970-01-11T00:08:20.000Z",
        ],
      );
      expect((await loginsIn(openInstance(here))).logins[0]?.credential.refreshToken).toBe(
        "rt_ann_3000",
      );
    });

    test("two rows of one login: the newer tokens count, the other row is left", async () => {
      await using here = await make();
      await makeGoTable(here.run, driverOf(here), generation);
      await goWrites(here.run, driverOf(here), goRow("ann", 1000));
      await goWrites(here.run, driverOf(here), {
        ...goRow("ann", 2000),
        account_id: "",
        email: null,
      });
      const { logins, duplicates } = await loginsIn(openInstance(here));
      expect(logins.map(({ credential }) => credential.refreshToken)).toEqual(["rt_ann_2000"]);
      expect(duplicates).toHaveLength(1);
      expect((await here.run("SELECT id FROM codex_accounts")).rows).toHaveLength(2);
    });

    test("another login in the Go program's columns of an account is not put in its place", async () => {
      await using here = await make();
      await makeGoTable(here.run, driverOf(here), generation);
      await goWrites(here.run, driverOf(here), goRow("ann", 1000));
      await loginsIn(openInstance(here));
      const other = goRow("eve", 9000);
      await here.run("UPDATE codex_accounts SET access_token = ?, refresh_token = ?, expire = ?", [
        String(other.access_token),
        String(other.refresh_token),
        String(other.expire),
      ]);
      const { logins } = await loginsIn(openInstance(here));
      expect(logins.map(({ credential }) => credential.refreshToken)).toEqual(["rt_ann_1000"]);
    });
  });

  test("with a key, contents are sealed, and new tokens are not written in the clear beside them", async () => {
    await using here = await make();
    await makeGoTable(here.run, driverOf(here), "newer");
    await goWrites(here.run, driverOf(here), goRow("ann", 1000));
    const sealer = createSealer([new Uint8Array(32).fill(7)]);
    const { store } = openInstance(here, { sealer });
    expect((await store.read()).logins).toHaveLength(1);
    const fresh = goRow("ann", 2000);
    const credential = {
      accessToken: String(fresh.access_token),
      refreshToken: String(fresh.refresh_token),
    };
    expect(await store.save("ann@example.com.json", credential, NOON)).toEqual({ ok: true });
    const { rows } = await here.run("SELECT * FROM codex_accounts");
    expect(JSON.stringify(rows)).not.toContain("rt_ann");
    expect(
      (await openInstance(here, { sealer }).store.read()).logins[0]?.credential.refreshToken,
    ).toBe("rt_ann_2000");
  });

  test("knows the Go program's table from its own", async () => {
    await using here = await make();
    const { database } = here.connect();
    expect(await hasForeignColumns(database.run, database.dialect)).toBe(false);
    await openInstance(here).store.ready();
    expect(await hasForeignColumns(database.run, database.dialect)).toBe(false);
    await using other = await make();
    await makeGoTable(other.run, driverOf(other), "older");
    expect(await hasForeignColumns(other.run, database.dialect)).toBe(true);
  });

  test("the content is what a file of that login would be", async () => {
    await using here = await make();
    await makeGoTable(here.run, driverOf(here), "older");
    await goWrites(here.run, driverOf(here), goRow("ann", 1000));
    const { store } = openInstance(here);
    await store.ready();
    const { expire, plan_type: _plan, ...row } = goRow("ann", 1000);
    expect(dict(parseDict((await store.content("ann@example.com.json")) ?? ""))).toEqual({
      type: "codex",
      ...row,
      expired: expire,
    });
  });
});

describe("the Go program's columns", () => {
  test("have an account's tokens, and none where those are sealed", () => {
    const credential = { accessToken: "at", refreshToken: "rt", idToken: "id", expiresAtMs: NOON };
    expect(foreignValues(credential, false)).toEqual({
      id_token: "id",
      access_token: "at",
      refresh_token: "rt",
      expire: "2026-11-21T12:00:00.000Z",
    });
    expect(foreignValues({ refreshToken: "rt" }, false)).toMatchObject({
      access_token: null,
      expire: null,
    });
    expect(Object.values(foreignValues(credential, true))).toEqual([null, null, null, null]);
  });
});

describe("what stands for an identity", () => {
  const digestOf = (identity: string, refreshToken: string): string =>
    identityDigest({ identity, credential: { refreshToken }, isSwitchedOff: false, source: "" });

  test("says nothing of it, is the same whatever its tokens are, and its tokens' where nobody knows who it is", () => {
    const digest = digestOf(`ann/${WORKSPACE}`, "rt_1");
    expect(digest).toMatch(/^[0-9a-f]{32}$/);
    expect(digestOf(`ann/${WORKSPACE}`, "rt_2")).toBe(digest);
    expect(digestOf(`ann/${OTHER_WORKSPACE}`, "rt_1")).not.toBe(digest);
    const nameless = digestOf("file:a.json", "rt_1");
    expect([digestOf("file:b.json", "rt_1"), nameless]).toEqual([nameless, nameless]);
    expect(digestOf("file:a.json", "rt_2")).not.toBe(nameless);
  });
});
