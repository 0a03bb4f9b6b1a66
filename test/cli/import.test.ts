import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { importLogins, ownOffers } from "../../src/cli/import.ts";
import { openSettings } from "../../src/cli/settings.ts";
import { makeFolder } from "../store/folder.ts";
import { openInstance } from "../store/sql/instance.ts";
import { accessTokenOf, WORKSPACE } from "../store/tokens.ts";
import { DATABASES, flagsOf } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { KEYS, openedOf, withNew, withOld } from "../support/sealing.ts";
import { onPosix } from "../support/system.ts";

async function run(dir: string, paths: readonly string[], flags: Record<string, string> = {}) {
  const printed: string[] = [];
  const complained: string[] = [];
  const settings = await openSettings(undefined, { "auth-dir": dir, ...flags }, {});
  const telling = {
    print: (line: string) => printed.push(line),
    complain: (line: string) => complained.push(line),
  };
  const code = await importLogins(settings, paths, telling, { ...ownOffers, codexHome: HOME });
  return { code, printed, complained };
}

let HOME = "";

function account(dir: string, name: string, user: string): string {
  const access_token = accessTokenOf({
    user,
    workspace: WORKSPACE,
    email: `${user}@example.com`,
    plan: "plus",
    exp: 4e9,
  });
  const path = join(dir, name);
  writeFileSync(path, JSON.stringify({ access_token, refresh_token: `rt_secret_${user}` }));
  return path;
}

describe("import", () => {
  test("knows a listed account elsewhere, and says of a new file that the list lacks it", async () => {
    const [from, elsewhere, dir] = [makeFolder(), makeFolder(), makeFolder()];
    const far = account(elsewhere, "far.json", "fay");
    account(from, "a.json", "fay");
    account(from, "b.json", "bob");
    const { code, printed } = await run(dir, [from], { accounts: far });
    expect(code).toBe(0);
    expect(printed).toEqual([
      "unchanged: a.json: fa***@example.com, plan plus, file far.json (it has these very tokens)",
      expect.stringMatching(
        /^added: b\.json: .*, file bob@example\.com\.json \(it is not used yet: only the files that 'accounts' lists/,
      ),
      expect.stringContaining("1 added, 0 updated, 1 unchanged, 0 failed"),
    ]);
    expect(readdirSync(dir)).toEqual(["bob@example.com.json"]);
  });

  test("with a key takes in what that key has sealed elsewhere, and writes nothing in the clear", async () => {
    const [from, dir] = [makeFolder(), makeFolder()];
    account(from, "a.json", "ann");
    const path = account(from, "b.json", "bob");
    writeFileSync(path, withOld.seal(readFileSync(path, "utf8")));
    const keys = { "credential-key": `${KEYS.new},${KEYS.old}` };
    const { code, printed } = await run(dir, [from], keys);
    expect([code, printed.at(-1)]).toEqual([0, expect.stringContaining("2 added")]);
    for (const user of ["ann", "bob"]) {
      const sealed = readFileSync(join(dir, `${user}@example.com.json`), "utf8");
      expect(sealed).not.toContain("rt_secret");
      expect(openedOf(sealed, withNew)).toContain(`rt_secret_${user}`);
    }
    const without = await run(makeFolder(), [path]);
    expect(without.code).toBe(1);
    expect(without.complained).toEqual([
      expect.stringMatching(/^failed: b\.json: it is encrypted with key .* no key is configured/),
    ]);
  });

  onPosix("says of each login what became of it, and counts", async () => {
    const from = makeFolder();
    const dir = join(makeFolder(), "auths");
    account(from, "a.json", "ann");
    const paths = [account(from, "b.json", "bob"), from];
    const first = await run(dir, paths);
    expect(first).toEqual({
      code: 0,
      complained: [],
      printed: [
        "added: b.json: bo***@example.com, plan plus, file bob@example.com.json",
        "added: a.json: an***@example.com, plan plus, file ann@example.com.json",
        "unchanged: b.json: bo***@example.com, plan plus (the very same is in b.json)",
        `2 added, 0 updated, 1 unchanged, 0 failed; the accounts are in ${dir}`,
      ],
    });
    expect(readdirSync(dir).sort()).toEqual(["ann@example.com.json", "bob@example.com.json"]);
    expect(statSync(join(dir, "ann@example.com.json")).mode & 0o777).toBe(0o600);
    expect((await run(dir, paths)).printed.at(-1)).toStartWith("0 added, 0 updated, 3 unchanged");
  });

  test("one that fails makes it 1, goes to standard error, and spoils no other", async () => {
    const from = makeFolder();
    const dir = makeFolder();
    account(from, "a.json", "ann");
    writeFileSync(join(from, "b.json"), "{}");
    const { code, printed, complained } = await run(dir, [from, join(from, "nowhere")]);
    expect(code).toBe(1);
    expect(complained).toEqual([
      "failed: nowhere: it cannot be read, because there is no such file.",
      expect.stringMatching(/^failed: b\.json: it has neither/),
    ]);
    expect(printed.at(-1)).toStartWith("1 added, 0 updated, 0 unchanged, 2 failed");
  });

  test("B7-5: warns of a login that the Codex CLI goes on using, and names the remedy", async () => {
    HOME = makeFolder();
    const { code, printed } = await run(makeFolder(), [account(HOME, "auth.json", "ann")]);
    expect(code).toBe(0);
    const warnings = printed.filter((line) => line.startsWith("warning"));
    expect(warnings).toEqual([expect.stringContaining("'codex-proxy login'")]);
    HOME = "";
  });

  test("never prints a token", async () => {
    const from = makeFolder();
    const told = JSON.stringify(
      await run(makeFolder(), [account(from, "ann@example.com.json", "ann")]),
    );
    expect(told).not.toContain("rt_secret");
  });

  test("a wrong configuration is 2, and nothing is imported", async () => {
    const dir = makeFolder();
    const { code, complained } = await run(dir, [account(makeFolder(), "a.json", "ann")], {
      "max-retry": "x",
    });
    expect(code).toBe(2);
    expect(complained.join()).toContain("max-retry");
    expect(readdirSync(dir)).toEqual([]);
  });
});

describeEach(DATABASES, ({ make }) => {
  test("puts logins into the database, once, and says where they are; the files stay", async () => {
    await using here = await make();
    const [from, dir] = [makeFolder(), makeFolder()];
    const paths = [account(from, "a.json", "ann"), account(from, "b.json", "bob")];
    const first = await run(dir, paths, flagsOf(here));
    expect(first).toMatchObject({ code: 0, complained: [] });
    expect(first.printed.slice(0, 2)).toEqual([
      "added: a.json: an***@example.com, plan plus, file ann@example.com.json",
      "added: b.json: bo***@example.com, plan plus, file bob@example.com.json",
    ]);
    expect(first.printed.at(-1)).toStartWith(
      `2 added, 0 updated, 0 unchanged, 0 failed; the accounts are in ${here.place.driver}, `,
    );
    expect((await run(dir, paths, flagsOf(here))).printed.at(-1)).toStartWith(
      "0 added, 0 updated, 2 unchanged",
    );
    const { store } = openInstance(here);
    expect((await store.read()).logins.map(({ credential }) => credential.refreshToken)).toEqual([
      "rt_secret_ann",
      "rt_secret_bob",
    ]);
    expect(await store.content("ann@example.com.json")).toContain("rt_secret_ann");
    expect([readdirSync(from).sort(), readdirSync(dir)]).toEqual([["a.json", "b.json"], []]);
    expect(JSON.stringify(first)).not.toContain("rt_secret");
  });
});

test("a database that cannot be reached: each login is told, none is lost, and it ends with 1", async () => {
  const [from, dir] = [makeFolder(), makeFolder()];
  const path = account(from, "a.json", "ann");
  const flags = {
    "db-enabled": "true",
    "db-driver": "sqlite",
    "db-name": join(dir, "not", "there.db"),
  };
  const { code, printed, complained } = await run(dir, [path], flags);
  expect(code).toBe(1);
  expect(complained).toEqual([
    expect.stringMatching(
      /^failed: a\.json: an\*\*\*@example\.com, plan plus \(the database: its file cannot be opened/,
    ),
  ]);
  expect(printed.at(-1)).toStartWith("0 added, 0 updated, 0 unchanged, 1 failed");
  expect(readdirSync(from)).toEqual(["a.json"]);
});
