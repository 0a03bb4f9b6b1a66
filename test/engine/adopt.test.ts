import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AdoptPorts, adoptAll, adoptTokens } from "../../src/engine/adopt.ts";
import { openFileStore } from "../../src/store/files.ts";
import { parseDict } from "../../src/wire/json.ts";
import { makeFolder } from "../store/folder.ts";
import { accessTokenOf, WORKSPACE } from "../store/tokens.ts";
import { createManualClock } from "../support/clock.ts";
import { NOON } from "./parts.ts";

const DAY_S = 86_400;

/** The access token of `user`, made `age` days before noon; it lives ten days. */
function access(user: string, age = 0): string {
  const iat = NOON / 1000 - age * DAY_S;
  const email = `${user}@example.com`;
  return accessTokenOf({
    user,
    workspace: WORKSPACE,
    plan: "plus",
    email,
    iat,
    exp: iat + 10 * DAY_S,
  });
}

function record(user: string, age = 0, more: object = {}) {
  return { access_token: access(user, age), refresh_token: `rt_${user}_${age}`, ...more };
}

async function open(): Promise<AdoptPorts & { readonly dir: string }> {
  const dir = makeFolder();
  const clock = createManualClock(NOON);
  return { dir, clock, store: await openFileStore({ dir, clock, scanIntervalMs: () => 0 }) };
}

function put(dir: string, name: string, value: object): string {
  const path = join(dir, name);
  writeFileSync(path, JSON.stringify(value));
  return path;
}

function read(dir: string, name: string) {
  return parseDict(readFileSync(join(dir, name), "utf8"));
}

const offer = (...values: unknown[]) =>
  values.map((value, index) => ({
    content: typeof value === "string" ? value : JSON.stringify(value),
    source: `in/${index + 1}.json`,
  }));

describe("adoptAll", () => {
  test("a login that is not there gets a file of its own, with every field it has", async () => {
    const { dir, ...ports } = await open();
    const [adoption] = await adoptAll(
      offer(record("ann", 0, { note: "mine", deep: { a: [1] } })),
      ports,
    );
    expect(adoption).toMatchObject({ outcome: "added", at: "1.json" });
    expect(readdirSync(dir)).toEqual(["ann@example.com.json"]);
    expect(read(dir, "ann@example.com.json")).toMatchObject({ note: "mine", deep: { a: [1] } });
  });

  test("newer tokens go into the file that is there, whose other fields stay", async () => {
    const { dir, ...ports } = await open();
    put(dir, "me.json", record("ann", 5, { note: "kept", disabled: true }));
    const [adoption] = await adoptAll(offer(record("ann", 1, { note: "new" })), ports);
    expect(adoption).toMatchObject({
      outcome: "updated",
      source: join(dir, "me.json"),
      reason: expect.stringContaining("switched off"),
    });
    expect(readdirSync(dir)).toEqual(["me.json"]);
    expect(read(dir, "me.json")).toMatchObject({
      refresh_token: "rt_ann_1",
      note: "kept",
      disabled: true,
    });
  });

  test("older tokens, and the very same, change nothing and say so", async () => {
    const { dir, ...ports } = await open();
    const path = put(dir, "me.json", record("ann", 1));
    const before = readFileSync(path, "utf8");
    const [older, same] = [
      await adoptAll(offer(record("ann", 5)), ports),
      await adoptAll(offer(record("ann", 1)), ports),
    ];
    expect(older[0]).toMatchObject({
      outcome: "unchanged",
      reason: "the stored tokens are newer",
    });
    expect(same[0]).toMatchObject({
      outcome: "unchanged",
      reason: "it has these very tokens",
    });
    expect(readFileSync(path, "utf8")).toBe(before);
  });

  test("B7-1: tokens that a running proxy has renewed in the meantime are not overwritten", async () => {
    const { dir, ...ports } = await open();
    put(dir, "me.json", record("ann", 5));
    const racing = {
      ...ports.store,
      // Between the look at the whole store and the writing, somebody else writes newer tokens.
      aside: async () => {
        put(dir, "me.json", record("ann", 0));
        return [];
      },
    };
    const [adoption] = await adoptAll(offer(record("ann", 1)), { ...ports, store: racing });
    expect(adoption).toMatchObject({ outcome: "unchanged", reason: "the stored tokens are newer" });
    expect(read(dir, "me.json")).toMatchObject({ refresh_token: "rt_ann_0" });
  });

  test("of one login twice in an import the newer one counts, wherever it stands", async () => {
    for (const ages of [
      [1, 5],
      [5, 1],
    ]) {
      const { dir, ...ports } = await open();
      const adoptions = await adoptAll(offer(ages.map((age) => record("ann", age))), ports);
      const newer = ages.indexOf(1);
      expect(adoptions[newer]).toMatchObject({ outcome: "added" });
      expect(adoptions[1 - newer]).toMatchObject({
        outcome: "unchanged",
        reason: `a newer one is in 1.json, entry ${newer + 1}`,
      });
      expect(read(dir, "ann@example.com.json")).toMatchObject({ refresh_token: "rt_ann_1" });
    }
  });

  test("a bad entry spoils no other one, and each is named by its place", async () => {
    const { dir, ...ports } = await open();
    const lines = [JSON.stringify(record("ann")), "{broken", "", JSON.stringify(record("bob"))];
    const told: string[] = [];
    const adoptions = await adoptAll(
      offer([record("carl"), 7, { email: "x" }], lines.join("\n"), "no json", {}),
      ports,
      ({ outcome, at }) => told.push(`${outcome} ${at}`),
    );
    expect(told.sort()).toEqual([
      "added 1.json, entry 1",
      "added 2.json, line 1",
      "added 2.json, line 4",
      "failed 1.json, entry 2",
      "failed 1.json, entry 3",
      "failed 2.json, line 2",
      "failed 3.json",
      "failed 4.json",
    ]);
    expect(adoptions).toHaveLength(8);
    expect(JSON.stringify(adoptions.filter(({ outcome }) => outcome === "failed"))).not.toContain(
      "rt_",
    );
    expect(readdirSync(dir)).toHaveLength(3);
  });

  test("the Codex CLI's auth.json is taken as it is", async () => {
    const { dir, ...ports } = await open();
    const auth = {
      OPENAI_API_KEY: null,
      tokens: record("ann"),
      last_refresh: "2026-11-20T10:00:00Z",
    };
    expect(await adoptAll(offer(auth), ports)).toMatchObject([{ outcome: "added" }]);
    expect(read(dir, "ann@example.com.json")).toEqual(auth);
  });

  test("opaque tokens of two files of one name are two logins, and are known again", async () => {
    const { dir, ...ports } = await open();
    const two = ["rt_one_1", "rt_two_2"].map((token, index) => ({
      content: JSON.stringify({ refresh_token: token }),
      source: `in/${index}/auth.json`,
    }));
    const outcomes = async () => (await adoptAll(two, ports)).map(({ outcome }) => outcome);
    expect(await outcomes()).toEqual(["added", "added"]);
    expect(await outcomes()).toEqual(["unchanged", "unchanged"]);
    expect(readdirSync(dir).sort()).toEqual(["auth.2.json", "auth.json"]);
  });

  test("one that lies aside is an account again with newer tokens, and stays there with its own", async () => {
    const { dir, ...ports } = await open();
    await ports.store.setAside(put(dir, "me.json", record("ann", 5, { note: "kept" })));
    expect(await adoptAll(offer(record("ann", 5)), ports)).toMatchObject([
      { outcome: "unchanged", reason: expect.stringContaining("it lies aside: log in") },
    ]);
    expect(readdirSync(dir)).toEqual(["me.json.disabled"]);
    expect(await adoptAll(offer(record("ann", 1)), ports)).toMatchObject([
      { outcome: "updated", source: join(dir, "me.json") },
    ]);
    expect(readdirSync(dir)).toEqual(["me.json"]);
    expect(read(dir, "me.json")).toMatchObject({ note: "kept", refresh_token: "rt_ann_1" });
  });

  test("B7-1: where its old name is taken by now, it moves to a file of its own, with all it has", async () => {
    const { dir, ...ports } = await open();
    await ports.store.setAside(
      put(dir, "me.json", record("ann", 5, { note: "kept", disabled: true })),
    );
    put(dir, "me.json", record("bob"));
    expect(await adoptAll(offer(record("ann", 1)), ports)).toMatchObject([
      { outcome: "added", reason: expect.stringMatching(/^it is switched off/) },
    ]);
    // Its tokens are in no second file, from which they could be spent once more.
    expect(readdirSync(dir).sort()).toEqual(["ann@example.com.json", "me.json"]);
    expect(read(dir, "ann@example.com.json")).toMatchObject({
      refresh_token: "rt_ann_1",
      note: "kept",
      disabled: true,
    });
    expect(read(dir, "me.json")).toMatchObject({ refresh_token: "rt_bob_0" });
  });

  test("what lies aside and cannot be removed then is told; what cannot be added stays aside", async () => {
    const { dir, ...ports } = await open();
    await ports.store.setAside(put(dir, "me.json", record("ann", 5)));
    put(dir, "me.json", record("bob"));
    const fail = async () => ({ ok: false, reason: "read-only." }) as const;
    const full = { ...ports, store: { ...ports.store, add: fail } };
    expect(await adoptAll(offer(record("ann", 2)), full)).toMatchObject([{ outcome: "failed" }]);
    expect(read(dir, "me.json.disabled")).toMatchObject({ refresh_token: "rt_ann_2" });
    const stuck = { ...ports, store: { ...ports.store, discard: fail } };
    expect(await adoptAll(offer(record("ann", 1)), stuck)).toMatchObject([
      { outcome: "added", reason: "its old file stays aside: read-only." },
    ]);
  });

  test("a file in which another login lies by now is not touched", async () => {
    const { dir, ...ports } = await open();
    put(dir, "me.json", record("ann", 5));
    const other = { access_token: access("bob"), refresh_token: "rt_bob" };
    const racing = {
      ...ports.store,
      aside: async () => {
        put(dir, "me.json", other);
        return [];
      },
    };
    const [adoption] = await adoptAll(offer(record("ann", 1)), { ...ports, store: racing });
    expect(adoption).toMatchObject({ outcome: "added", source: join(dir, "ann@example.com.json") });
    expect(read(dir, "me.json")).toEqual(other);
  });

  test("B7-6: a file that cannot be read stays to the byte, and the login goes beside it", async () => {
    const { dir, ...ports } = await open();
    writeFileSync(join(dir, "ann@example.com.json"), '{"access_token": "half');
    const [adoption] = await adoptAll(offer(record("ann")), ports);
    expect(adoption).toMatchObject({
      outcome: "added",
      source: join(dir, "ann@example.com.2.json"),
    });
    expect(readFileSync(join(dir, "ann@example.com.json"), "utf8")).toBe('{"access_token": "half');
  });

  test("a store that cannot be read takes nothing and loses nothing", async () => {
    const { dir, ...ports } = await open();
    rmSync(dir, { recursive: true });
    writeFileSync(dir, "");
    const [adoption] = await adoptAll(offer(record("ann")), ports);
    expect(adoption?.outcome).toBe("failed");
    expect(adoption?.reason).not.toContain(dir);
    rmSync(dir);
    mkdirSync(dir);
  });
});

describe("adoptTokens", () => {
  const tokens = (user: string, age = 0) => ({
    accessToken: access(user, age),
    refreshToken: `rt_login_${user}`,
    expiresInSeconds: 864_000,
  });

  test("a new login gets a flat file, named after its e-mail address", async () => {
    const { dir, ...ports } = await open();
    const adoption = await adoptTokens(tokens("ann"), ports);
    expect(adoption).toMatchObject({ outcome: "added", login: { email: "ann@example.com" } });
    expect(read(dir, "ann@example.com.json")).toMatchObject({
      type: "codex",
      email: "ann@example.com",
      account_id: WORKSPACE,
      refresh_token: "rt_login_ann",
      last_refresh: "2026-11-20T12:00:00.000Z",
    });
  });

  test("a login that is there gets the new tokens, even where the old ones look newer", async () => {
    const { dir, ...ports } = await open();
    put(dir, "me.json", record("ann", 0, { weight: 2 }));
    expect(await adoptTokens(tokens("ann", 3), ports)).toMatchObject({ outcome: "updated" });
    expect(read(dir, "me.json")).toMatchObject({ refresh_token: "rt_login_ann", weight: 2 });
    expect(readdirSync(dir)).toEqual(["me.json"]);
  });

  test("one that lay aside is in use again", async () => {
    const { dir, ...ports } = await open();
    await ports.store.setAside(put(dir, "me.json", record("ann", 5)));
    expect(await adoptTokens(tokens("ann"), ports)).toMatchObject({
      outcome: "updated",
      reason: "it lay aside and is an account again",
    });
    expect(existsSync(join(dir, "me.json"))).toBe(true);
  });

  test("opaque tokens are stored all the same; what cannot be a token is not", async () => {
    const { dir, ...ports } = await open();
    const opaque = { accessToken: "at-opaque", refreshToken: "rt_opaque" };
    expect(await adoptTokens(opaque, ports)).toMatchObject({ outcome: "added" });
    expect(readdirSync(dir)).toEqual(["the_new_login.json"]);
    const broken = await adoptTokens({ accessToken: "a\nb", refreshToken: "rt_x" }, ports);
    expect(broken).toMatchObject({
      outcome: "failed",
      reason: expect.stringContaining("line break"),
    });
  });
});
