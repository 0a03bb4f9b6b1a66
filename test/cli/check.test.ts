import { describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check } from "../../src/cli/check.ts";
import { openSettings } from "../../src/cli/settings.ts";
import type { Sealer } from "../../src/store/seal.ts";
import { makeFolder } from "../store/folder.ts";
import { openInstance } from "../store/sql/instance.ts";
import { accessTokenOf, OTHER_WORKSPACE, WORKSPACE } from "../store/tokens.ts";
import { DATABASES, flagsOf } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { KEYS, withBoth, withNew, withOld } from "../support/sealing.ts";
import { onPosix } from "../support/system.ts";

const TOKEN = accessTokenOf({
  user: "u1",
  workspace: WORKSPACE,
  plan: "plus",
  email: "ann.lee@example.com",
  exp: 4e9,
});

async function run(dir: string, flags: Record<string, string> = {}) {
  const printed: string[] = [];
  const settings = await openSettings(undefined, { "auth-dir": dir, ...flags }, {});
  const print = (line: string) => printed.push(line);
  const code = await check(settings, print, print);
  return { code, printed };
}

function account(dir: string, name: string, more: object = {}): void {
  const file = { access_token: TOKEN, refresh_token: "rt_secret_1", type: "codex", ...more };
  writeFileSync(join(dir, name), JSON.stringify(file));
}

describe("check", () => {
  test("0 where all is well, and what there is", async () => {
    const dir = makeFolder();
    account(dir, "ann.json");
    const { code, printed } = await run(dir, { "base-url": "http://127.0.0.1:1/codex/" });
    expect(code).toBe(0);
    expect(printed).toEqual([
      expect.stringContaining("well-formed"),
      "backend: http://127.0.0.1:1/codex",
      "egress: direct, without a proxy",
      "account: ann.json: an***@example.com, plan plus, readable",
      "encryption: none; 1 in the clear",
      "accounts: 1, errors: 0",
    ]);
  });

  test("how many logins are encrypted, and with which keys", async () => {
    const dir = makeFolder();
    account(dir, "ann.json");
    const sealed = (user: string, sealer: Sealer) => {
      writeFileSync(join(dir, `${user}.json`), sealer.seal(`{"refresh_token":"rt_${user}"}`));
    };
    sealed("bob", withNew);
    sealed("carl", withOld);
    sealed("dora", withOld);
    const [newId, oldId] = withBoth.keyIds;
    const lineOf = async (keys: string) => {
      const { code, printed } = await run(dir, { "credential-key": keys });
      return [code, printed.find((line) => line.startsWith("encryption: "))];
    };
    expect(await lineOf(`${KEYS.new},${KEYS.old}`)).toEqual([
      0,
      `encryption: 1 with key ${newId} (the first); 2 with key ${oldId}; 1 in the clear`,
    ]);
    expect(await lineOf(KEYS.new)).toEqual([
      2,
      `encryption: 1 with key ${newId} (the first); 2 with key ${oldId}, which is missing; 1 in the clear`,
    ]);
    writeFileSync(join(dir, "strange.json"), '{"type":"gemini"}');
    const { printed } = await run(dir);
    expect(printed.filter((line) => /^(?:encryption|error): /.test(line))).toEqual([
      ...["bob", "carl", "dora"].map((name) =>
        expect.stringMatching(new RegExp(`^error: ${name}\\.json: it is encrypted with key`)),
      ),
      expect.stringMatching(/^error: strange\.json/),
      `encryption: 1 with key ${newId}, which is missing; 2 with key ${oldId}, which is missing; 1 in the clear`,
    ]);
  });

  onPosix("2 where there is no such key file, and a warning where others may read it", async () => {
    const dir = makeFolder();
    const file = join(makeFolder(), "credential.key");
    const gone = await run(dir, { "credential-key-file": file });
    expect(gone).toEqual({
      code: 2,
      printed: [expect.stringMatching(/^error: credential-key-file: .*there is no such file/)],
    });
    writeFileSync(file, KEYS.new);
    chmodSync(file, 0o644);
    const { code, printed } = await run(dir, { "credential-key-file": file });
    expect(code).toBe(0);
    expect(printed).toContainEqual(expect.stringMatching(/^warning: credential-key-file: .*0644/));
    expect(printed.join()).not.toContain(KEYS.new);
  });

  test("by which ways requests leave, without a login", async () => {
    const dir = makeFolder();
    account(dir, "ann.json", { proxy_url: "socks5://user:hunter22@10.0.0.1" });
    const { code, printed } = await run(dir, {
      "proxy-url": "http://user:hunter22@[::1]:3128",
      "backend-resolve-address": "203.0.113.7:8443",
    });
    expect(code).toBe(0);
    expect(printed.slice(1, 4)).toEqual([
      "backend: https://chatgpt.com/backend-api/codex, dialled at 203.0.113.7:8443",
      "egress: http://[::1]:3128",
      "account: ann.json: an***@example.com, plan plus, readable, through socks5://10.0.0.1:1080",
    ]);
    expect(printed.join()).not.toContain("hunter22");
  });

  test("2 where a proxy or an address is none, in the configuration or in an account's file", async () => {
    const dir = makeFolder();
    account(dir, "ann.json", { proxy_url: "socks4://user:hunter22@10.0.0.1" });
    const { code, printed } = await run(dir, { "proxy-url": "http://user:hunter22@h:0" });
    expect(code).toBe(2);
    expect(printed.join()).toMatch(/--proxy-url: found a URL whose host or port cannot be read/);
    const files = await run(dir);
    expect(files.code).toBe(2);
    expect(files.printed.join()).toMatch(/error: ann\.json: "proxy_url" should be http.*socks4/);
    expect(printed.join() + files.printed.join()).not.toContain("hunter22");
    const address = await run(makeFolder(), { "backend-resolve-address": "10.0.0.1/24" });
    expect(address.printed.join()).toMatch(/backend-resolve-address: found "10\.0\.0\.1\/24"/);
  });

  test("nothing in a name steers the terminal", async () => {
    const dir = makeFolder();
    account(dir, "a\u001b[2J.json");
    account(dir, "b\u001b[2J.json");
    writeFileSync(join(dir, "c\u202e.json"), "{");
    const { printed } = await run(dir);
    expect(printed.join("")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(printed.join("\n")).toContain("a?[2J.json");
    expect(printed.join("\n")).toContain("c?.json");
  });

  test("0 for an empty folder: a running proxy with no account", async () => {
    expect(await run(makeFolder())).toMatchObject({ code: 0 });
  });

  test("2 with every fault of the configuration", async () => {
    const { code, printed } = await run(makeFolder(), { "max-retry": "x", listen: "y" });
    expect(code).toBe(2);
    expect(printed).toHaveLength(2);
    expect(printed.every((line) => line.startsWith("error: "))).toBe(true);
  });

  test("2 with every broken account file, the good ones listed all the same", async () => {
    const dir = makeFolder();
    account(dir, "good.json");
    writeFileSync(join(dir, "broken.json"), "{");
    writeFileSync(join(dir, "strange.json"), '{"type":"gemini"}');
    const { code, printed } = await run(dir);
    expect(code).toBe(2);
    const said = printed.join("\n");
    expect(said).toContain("account: good.json");
    expect(said).toContain("error: broken.json: this is not JSON");
    expect(said).toContain("error: strange.json: this is not a Codex account");
    expect(said).toContain("accounts: 1, errors: 2");
  });

  test("a switched-off account and a duplicate are told, and are no errors", async () => {
    const dir = makeFolder();
    account(dir, "ann.json", { expired: "2026-01-01T00:00:00Z", disabled: true });
    account(dir, "copy.json", { expired: "2026-01-02T00:00:00Z", disabled: true });
    const { code, printed } = await run(dir);
    expect(code).toBe(0);
    expect(printed).toContain("account: copy.json: an***@example.com, plan plus, switched off");
    expect(printed.some((line) => line.startsWith("warning: ann.json: the same login"))).toBe(true);
  });

  test("only the files that are named under accounts, and the missing ones as errors", async () => {
    const [dir, elsewhere] = [makeFolder(), makeFolder()];
    account(dir, "ann.json");
    account(elsewhere, "far.json", { account_id: OTHER_WORKSPACE });
    writeFileSync(join(dir, "broken.json"), "{");
    const accounts = ["ann.json", join(elsewhere, "far.json"), "gone.json"].join(",");
    const { code, printed } = await run(dir, { accounts });
    expect(code).toBe(2);
    const said = printed.join("\n");
    expect(said).toContain("account: far.json");
    expect(said).toContain('error: gone.json: it is named under "accounts", but is not there.');
    expect(said).toContain("accounts: 2, errors: 1");
  });

  test("no token and no whole address of a login", async () => {
    const dir = makeFolder();
    account(dir, "ann.json");
    account(dir, "odd.json", { expired: { secret: "rt_secret_2" } });
    const said = (await run(dir)).printed.join("\n");
    for (const secret of [TOKEN, "rt_secret", "ann.lee@example.com"]) {
      expect(said).not.toContain(secret);
    }
  });
});

describeEach(DATABASES, ({ make }) => {
  test("looks at the accounts in the database, says where that is, and takes no file in", async () => {
    await using here = await make();
    const dir = makeFolder();
    account(dir, "of-files.json");
    const { store } = openInstance(here);
    await store.add("bob", JSON.stringify({ access_token: TOKEN, disabled: true }));
    const { code, printed } = await run(dir, flagsOf(here));
    expect(code).toBe(0);
    const { place } = here;
    const where =
      place.driver === "sqlite" ? place.path : `127.0.0.1:${place.port}, database ${place.name}`;
    expect(printed.slice(3)).toEqual([
      `database: ${place.driver}, ${where}`,
      "account: bob.json: an***@example.com, plan plus, switched off",
      "encryption: none; 1 in the clear",
      "accounts: 1, errors: 0",
    ]);
    expect((await store.read()).logins).toHaveLength(1);
  });
});
