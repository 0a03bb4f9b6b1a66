import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { exportLogins } from "../../src/cli/export.ts";
import { importLogins, ownOffers } from "../../src/cli/import.ts";
import { openSettings } from "../../src/cli/settings.ts";
import { dict, parseDict } from "../../src/wire/json.ts";
import { makeFolder } from "../store/folder.ts";
import { accessTokenOf, OTHER_WORKSPACE, WORKSPACE } from "../store/tokens.ts";
import { KEYS, withNew } from "../support/sealing.ts";

function telling() {
  const printed: string[] = [];
  const complained: string[] = [];
  const print = (line: string) => printed.push(line);
  return { printed, complained, print, complain: (line: string) => complained.push(line) };
}

async function run(from: string, to: string, flags: Record<string, string> = {}) {
  const told = telling();
  const code = await exportLogins(
    await openSettings(undefined, { "auth-dir": from, ...flags }, {}),
    to,
    told,
  );
  return { code, printed: told.printed, complained: told.complained };
}

async function take(from: string, to: string) {
  const told = telling();
  const settings = await openSettings(undefined, { "auth-dir": to }, {});
  return importLogins(settings, [from], told, { ...ownOffers, codexHome: undefined });
}

function put(dir: string, name: string, user: string, more: object = {}): void {
  const email = `${user}@example.com`;
  const access_token = accessTokenOf({ user, workspace: WORKSPACE, email, plan: "plus", exp: 4e9 });
  writeFileSync(
    join(dir, name),
    JSON.stringify({ access_token, refresh_token: `rt_${user}`, ...more }),
  );
}

function contents(dir: string): Record<string, unknown> {
  const read = (name: string) => parseDict(readFileSync(join(dir, name), "utf8"));
  return Object.fromEntries(
    readdirSync(dir)
      .sort()
      .map((name) => [name, read(name)]),
  );
}

describe("export", () => {
  test("of listed accounts it writes each, wherever it is and though it lies aside", async () => {
    const [from, elsewhere] = [makeFolder(), makeFolder()];
    const to = join(makeFolder(), "out");
    put(from, "a.json", "ann");
    put(from, "unlisted.json", "uma");
    put(elsewhere, "far.json", "fay");
    put(elsewhere, "low.json.disabled", "lou");
    const files = ["a.json", join(elsewhere, "far.json"), join(elsewhere, "low.json")];
    const { printed } = await run(from, to, { accounts: files.join(",") });
    expect(Object.keys(contents(to))).toEqual(["a.json", "far.json", "low.json"]);
    expect(printed.at(-1)).toContain("3 exported");
  });

  test("writes every account as it is stored: those in use, switched off and set aside", async () => {
    const from = makeFolder();
    const to = join(makeFolder(), "out");
    put(from, "a.json", "ann", { note: "mine" });
    put(from, "b.json", "bob", { disabled: true });
    put(from, "c.json.disabled", "carl");
    const { code, printed, complained } = await run(from, to);
    expect({ code, complained }).toEqual({ code: 0, complained: [] });
    expect(printed).toEqual([
      "exported: an***@example.com, plan plus, file a.json",
      "exported: bo***@example.com, plan plus, file b.json (switched off)",
      expect.stringContaining("file c.json (it lay aside and needs a login"),
      `3 exported, 0 failed; they are in ${to}`,
    ]);
    expect(readFileSync(join(to, "a.json"))).toEqual(readFileSync(join(from, "a.json")));
    expect(dict(contents(to)["c.json"])).toMatchObject({
      refresh_token: "rt_carl",
      disabled: true,
    });
    expect(statSync(to).mode & 0o777).toBe(0o700);
    expect(statSync(join(to, "c.json")).mode & 0o777).toBe(0o600);
  });

  test("of encrypted accounts it writes what can be read anywhere, and says so", async () => {
    const [from, to] = [makeFolder(), join(makeFolder(), "out")];
    const text = '{"refresh_token":"rt_ann", "weight":2}';
    writeFileSync(join(from, "a.json"), withNew.seal(text));
    writeFileSync(join(from, "b.json.disabled"), withNew.seal('{"refresh_token":"rt_bob"}'));
    const { code, printed } = await run(from, to, { "credential-key": KEYS.new });
    expect(code).toBe(0);
    expect(printed.slice(-2)).toEqual([
      `2 exported, 0 failed; they are in ${to}`,
      expect.stringMatching(/^warning: these copies are not encrypted/),
    ]);
    expect(readFileSync(join(to, "a.json"), "utf8")).toBe(text);
    expect(contents(to)["b.json"]).toEqual({ refresh_token: "rt_bob", disabled: true });
    expect((await run(from, to)).code).toBe(1);
  });

  test("overwrites nothing, and writes nothing twice", async () => {
    const [from, to] = [makeFolder(), makeFolder()];
    put(from, "a.json", "ann");
    writeFileSync(join(to, "a.json"), "theirs");
    expect((await run(from, to)).printed[0]).toBe(
      "exported: an***@example.com, plan plus, file a.2.json",
    );
    expect((await run(from, to)).printed[0]).toBe(
      "unchanged: an***@example.com, plan plus, file a.2.json",
    );
    expect(readFileSync(join(to, "a.json"), "utf8")).toBe("theirs");
  });

  test("names what cannot be exported, and ends with 1", async () => {
    const from = makeFolder();
    writeFileSync(join(from, "bad.json"), "{broken");
    const { code, complained, printed } = await run(from, join(from, "out"));
    expect(code).toBe(1);
    expect(complained).toEqual([expect.stringMatching(/^failed: bad\.json/)]);
    expect(printed.at(-1)).toStartWith("0 exported, 1 failed");
  });

  test("not into the folder of the accounts, nor where a file is", async () => {
    const from = makeFolder();
    put(from, "a.json", "ann");
    expect(await run(from, `${from}/.`)).toMatchObject({
      code: 1,
      complained: [expect.stringContaining("name another one")],
    });
    expect(await run(from, join(from, "a.json"))).toMatchObject({ code: 1 });
    expect(readdirSync(from)).toEqual(["a.json"]);
  });

  test("what was exported can be imported, and is then what it was", async () => {
    const fields = fc.dictionary(fc.stringMatching(/^x_[a-z]{1,8}$/), fc.jsonValue(), {
      maxKeys: 4,
    });
    const account = fc.record({
      user: fc.stringMatching(/^[a-z]{1,8}$/),
      workspace: fc.constantFrom(WORKSPACE, OTHER_WORKSPACE),
      isNested: fc.boolean(),
      isOff: fc.boolean(),
      fields,
    });
    const unique = fc.uniqueArray(account, {
      maxLength: 5,
      selector: ({ user, workspace }) => `${user} ${workspace}`,
    });
    await fc.assert(
      fc.asyncProperty(unique, async (accounts) => {
        const root = makeFolder();
        const [from, out, back] = ["from", "out", "back"].map((name) => join(root, name));
        if (from === undefined || out === undefined || back === undefined) throw new Error("three");
        mkdirSync(from);
        accounts.forEach(({ user, workspace, isNested, isOff, fields: more }, index) => {
          const tokens = {
            access_token: accessTokenOf({ user, workspace, exp: 4e9 + index }),
            refresh_token: `rt_${index}`,
          };
          const record = { ...more, ...(isNested ? { tokens } : tokens), disabled: isOff };
          writeFileSync(join(from, `n${index}.json`), JSON.stringify(record));
        });
        expect((await run(from, out)).code).toBe(0);
        if (accounts.length > 0) expect(await take(out, back)).toBe(0);
        const before = Object.values(contents(from))
          .map((each) => JSON.stringify(each))
          .sort();
        const after =
          accounts.length === 0
            ? []
            : Object.values(contents(back))
                .map((each) => JSON.stringify(each))
                .sort();
        expect(after).toEqual(before);
      }),
      { numRuns: 25 },
    );
  });
});
