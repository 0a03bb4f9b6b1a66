import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { besideOf } from "../../src/store/beside.ts";
import { diskSteps, type Steps } from "../../src/store/durable.ts";
import { openFileStore } from "../../src/store/files.ts";
import { type Sealer, unsealing } from "../../src/store/seal.ts";
import { openStateFile, stateHead } from "../../src/store/state.ts";
import type { Snapshot, Store, Stored } from "../../src/store/store.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";
import { parseDict } from "../../src/wire/json.ts";
import { createManualClock } from "../support/clock.ts";
import { plain, readOpened, withBoth, withNew, withOld } from "../support/sealing.ts";
import { contract } from "./contract.ts";
import { makeFolder } from "./folder.ts";
import { makeFilePlaceOf } from "./kinds.ts";
import { accessTokenOf, WORKSPACE } from "./tokens.ts";

const NOON = Date.parse("2026-11-21T12:00:00Z");
const DAY_MS = 86_400_000;
const IS_ROOT = process.getuid?.() === 0;

function open(dir: string, clock: Clock = systemClock): Promise<Store> {
  return openFileStore({ dir, clock, scanIntervalMs: () => DAY_MS });
}

function put(dir: string, name: string, record: unknown): string {
  const path = join(dir, name);
  writeFileSync(path, typeof record === "string" ? record : JSON.stringify(record));
  return path;
}

/** How a store writes logins, and in which form their owner has put them there. */
type Way = {
  readonly sealer: Sealer;
  readonly owner: Sealer;
  readonly open: typeof open;
  readonly put: typeof put;
  /** What a file holds, in the clear. */
  readonly shown: (path: string) => string;
};

function wayOf(sealer: Sealer, owner: Sealer): Way {
  return {
    sealer,
    owner,
    open: (dir, clock = systemClock) =>
      openFileStore({ dir, sealer, clock, scanIntervalMs: () => DAY_MS }),
    put: (dir, name, record) =>
      put(dir, name, owner.seal(typeof record === "string" ? record : JSON.stringify(record))),
    shown: readOpened,
  };
}

const WAYS: readonly [name: string, way: Way][] = [
  ["in the clear", wayOf(plain, plain)],
  ["with a key, files in the clear", wayOf(withBoth, plain)],
  ["with a key, files under an older one", wayOf(withBoth, withOld)],
];

function tokensOf({ logins }: Snapshot): readonly (string | undefined)[] {
  return logins.map(({ credential }) => credential.accessToken);
}

describe.each(WAYS)("as any store, %s", (_way, { sealer, owner }) => {
  contract(makeFilePlaceOf(sealer, owner));
});

describe.each(WAYS)("read, %s", (_way, { open, put }) => {
  test("makes a missing folder, for the owner's eyes only", async () => {
    const dir = join(makeFolder(), "deep", "auths");
    const store = await open(dir);
    expect(await store.read()).toEqual({ logins: [], faults: [], duplicates: [], complete: true });
    expect(statSync(dir).mode & 0o777).toBe(0o700);
  });

  test("finds account files and nothing else", async () => {
    const dir = makeFolder();
    put(dir, "b.json", { access_token: "at-b" });
    put(dir, "a.json", { access_token: "at-a" });
    for (const name of [".hidden.json", "a.json.disabled", "README.md", "a.json.bak"]) {
      put(dir, name, { access_token: "no" });
    }
    mkdirSync(join(dir, "sub"));
    put(join(dir, "sub"), "c.json", { access_token: "no" });
    const snapshot = await (await open(dir)).read();
    expect(tokensOf(snapshot)).toEqual(["at-a", "at-b"]);
    expect(snapshot.logins[0]?.source).toBe(join(dir, "a.json"));
    expect(snapshot.faults).toEqual([]);
  });

  test("tells every file that is no account, in the same words each time, and reads the others", async () => {
    const dir = makeFolder();
    put(dir, "good.json", { access_token: "at-1" });
    put(dir, "broken.json", "{");
    put(dir, "gemini.json", { type: "gemini" });
    put(dir, "large.json", `{"a":"${"x".repeat(1024 * 1024)}"}`);
    mkdirSync(join(dir, "folder.json"));
    symlinkSync("/nowhere/at/all", join(dir, "link.json"));
    symlinkSync("loop.json", join(dir, "loop.json"));
    writeFileSync(join(dir, "utf16.json"), new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]));
    const store = await open(dir);
    const first = await store.read();
    expect(tokensOf(first)).toEqual(["at-1"]);
    expect(first.complete).toBe(true);
    expect(first.faults.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^broken\.json: this is not JSON/),
      expect.stringMatching(/^folder\.json: this is a folder/),
      expect.stringMatching(/^gemini\.json: this is not a Codex account/),
      expect.stringMatching(/^large\.json: it is larger than 1 MiB/),
      expect.stringMatching(/^link\.json: this is a symbolic link to a file that does not exist/),
      expect.stringMatching(/^loop\.json: it cannot be read, because its symbolic links/),
      expect.stringMatching(/^utf16\.json: this is not UTF-8/),
    ]);
    expect(await store.read()).toEqual(first);
  });

  test.skipIf(IS_ROOT)(
    "tells a file without permission, and reads it once it is given",
    async () => {
      const dir = makeFolder();
      const path = put(dir, "a.json", { access_token: "at-1" });
      chmodSync(path, 0);
      const store = await open(dir);
      expect((await store.read()).faults[0]?.reason).toMatch(
        /^a\.json: .*the permission is missing/,
      );
      chmodSync(path, 0o600);
      expect(tokensOf(await store.read())).toEqual(["at-1"]);
    },
  );

  test("follows a link to a file elsewhere", async () => {
    const [dir, elsewhere] = [makeFolder(), makeFolder()];
    symlinkSync(put(elsewhere, "auth.json", { access_token: "at-1" }), join(dir, "a.json"));
    expect(tokensOf(await (await open(dir)).read())).toEqual(["at-1"]);
  });

  test("keeps what it knows while the folder cannot be read", async () => {
    const dir = join(makeFolder(), "auths");
    mkdirSync(dir);
    put(dir, "a.json", { access_token: "at-1" });
    const store = await open(dir);
    await store.read();
    renameSync(dir, `${dir}-away`);
    const without = await store.read();
    expect(tokensOf(without)).toEqual(["at-1"]);
    expect(without.complete).toBe(false);
    expect(without.faults).toEqual([
      { source: dir, reason: expect.stringMatching(/^auths: .*it does not exist/) },
    ]);
    expect(existsSync(dir)).toBe(false);
    renameSync(`${dir}-away`, dir);
    expect(await store.read()).toMatchObject({ complete: true, faults: [] });
  });

  test("takes a file in the folder's place for a fault, not a reason to fail", async () => {
    const path = put(makeFolder(), "auths", "");
    const snapshot = await (await open(path)).read();
    expect(snapshot).toMatchObject({ complete: false, logins: [] });
    expect(snapshot.faults[0]?.reason).toMatch(
      /^auths: .*there is a file where a folder should be/,
    );
  });

  test("drops an account whose file became something else, with a fault", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", { access_token: "at-1" });
    const store = await open(dir);
    await store.read();
    unlinkSync(path);
    mkdirSync(path);
    expect(await store.read()).toMatchObject({ logins: [], faults: [{ source: path }] });
  });

  test("takes the last refresh where the tokens say nothing", async () => {
    const dir = makeFolder();
    const of = (last_refresh: string) => ({ refresh_token: "rt", email: "a@b.c", last_refresh });
    put(dir, "a.json", of("2026-01-02T00:00:00Z"));
    put(dir, "b.json", of("2026-01-03T00:00:00Z"));
    const { logins } = await (await open(dir)).read();
    expect(logins.map(({ source }) => source)).toEqual([join(dir, "b.json")]);
  });

  test("removes old leavings of a crash, and no young ones", async () => {
    const dir = makeFolder();
    const [old, young] = [".codex-proxy-00000000000000aa.tmp", ".codex-proxy-00000000000000bb.tmp"];
    utimesSync(put(dir, old, "x"), NOON / 1000 - 3601, NOON / 1000 - 3601);
    utimesSync(put(dir, young, "x"), NOON / 1000 - 3599, NOON / 1000 - 3599);
    await (await open(dir, createManualClock(NOON))).read();
    expect(readdirSync(dir)).toEqual([young]);
  });

  test("reads a thousand files", async () => {
    const dir = makeFolder();
    for (let i = 0; i < 1000; i++) {
      put(dir, `${i}.json`, { access_token: accessTokenOf({ user: `u${i}`, exp: 2e9 }) });
    }
    const store = await open(dir);
    expect((await store.read()).logins).toHaveLength(1000);
  });
});

describe.each(WAYS)("save, %s", (_way, { open, put, shown }) => {
  const spoilt: [name: string, content: string | undefined, told: RegExp][] = [
    ["a broken file", '{"access_token":', /^a\.json: this is not JSON/],
    ["a list", "[]", /^a\.json: .*a file holds one account/],
    ["a file that is gone", undefined, /^a\.json: it is not there any more/],
    [
      "another person's login",
      JSON.stringify({ access_token: accessTokenOf({ user: "other" }) }),
      /^a\.json: it holds another login by now/,
    ],
  ];
  test.each(spoilt)("never writes over %s", async (_name, content, told) => {
    const dir = makeFolder();
    const path = join(dir, "a.json");
    if (content !== undefined) writeFileSync(path, content);
    const store = await open(dir);
    const saved = await store.save(path, { accessToken: accessTokenOf({ user: "me" }) }, NOON);
    expect(saved).toEqual({ ok: false, reason: expect.stringMatching(told) });
    expect(existsSync(path) ? shown(path) : undefined).toBe(content);
  });

  test("canSave says no before a refresh token is spent on a file that could not take the new one", async () => {
    const dir = makeFolder();
    const store = await open(dir);
    expect(await store.canSave(put(dir, "a.json", "{"))).toMatchObject({ ok: false });
    expect(await store.canSave(join(dir, "gone.json"))).toMatchObject({ ok: false });
    expect(await store.reread(join(dir, "a.json"))).toBeUndefined();
    expect(await store.reread(join(dir, "gone.json"))).toBeUndefined();
  });
});

describe.each(WAYS)(
  "a login whose file asks for a proxy that is none, %s",
  (_way, { open, put, shown }) => {
    const BAD = { access_token: "at-1", refresh_token: "rt-1", email: "a@b.c", proxy_url: "x://h" };
    const FRESH = { accessToken: "at-2", refreshToken: "rt-2" };

    test("is no account, and nothing is spent for it", async () => {
      const dir = makeFolder();
      const path = put(dir, "a.json", BAD);
      const store = await open(dir);
      expect(await store.read()).toMatchObject({ logins: [], faults: [{ isBarring: true }] });
      expect(await store.reread(path)).toBeUndefined();
      expect(await store.canSave(path)).toMatchObject({ ok: false });
    });

    test("keeps the tokens that were under way when it was written so", async () => {
      const dir = makeFolder();
      const path = put(dir, "a.json", { ...BAD, proxy_url: "" });
      const store = await open(dir);
      await store.read();
      await store.locked(path, { holdMs: 60_000, waitMs: 1000 }, async () => {
        expect(await store.canSave(path)).toEqual({ ok: true });
        put(dir, "a.json", BAD);
        expect(await store.save(path, FRESH, NOON)).toEqual({ ok: true });
      });
      expect(parseDict(shown(path))).toMatchObject({
        refresh_token: "rt-2",
        proxy_url: "x://h",
      });
    });
  },
);

describe.each(WAYS)("locked, %s", (_way, { open, put, sealer, shown }) => {
  const WISH = { holdMs: 60_000, waitMs: 0 };
  const OLD = { access_token: "at-1", refresh_token: "rt_1" };

  function copyOf(path: string): string {
    return besideOf(path, "last");
  }

  /** Renews the account's tokens; `meanwhile` is while the issuer makes the new ones. */
  async function renew(
    store: Store,
    path: string,
    fresh: Parameters<Store["save"]>[1] = { accessToken: "at-2", refreshToken: "rt_2" },
    meanwhile: () => void | Promise<void> = () => {},
  ): Promise<Stored> {
    const done = await store.locked(path, WISH, async (isStillOurs) => {
      const can = await store.canSave(path);
      if (!can.ok) return can;
      expect(await isStillOurs()).toBe(true);
      await meanwhile();
      return store.save(path, fresh, NOON);
    });
    return done.ok ? done.value : done;
  }

  test("a task that breaks gives the lock back, and what it prepared goes", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const store = await open(dir);
    const breaking = store.locked(path, WISH, async () => {
      await store.canSave(path);
      expect(readdirSync(dir).length).toBeGreaterThan(2);
      throw new Error("broken");
    });
    expect(breaking).rejects.toThrow("broken");
    await breaking.catch(() => {});
    expect(readdirSync(dir)).toEqual(["a.json"]);
  });

  test("through a link, it is the real file that is locked and renewed", async () => {
    const [dir, other, elsewhere] = [makeFolder(), makeFolder(), makeFolder()];
    const target = put(elsewhere, "auth.json", OLD);
    const [link, same] = [join(dir, "a.json"), join(other, "b.json")];
    symlinkSync(target, link);
    symlinkSync(target, same);
    const [one, two] = [await open(dir), await open(other)];
    await one.locked(link, WISH, async () => {
      expect(await two.locked(same, WISH, async () => true)).toMatchObject({ ok: false });
    });
    expect(await renew(one, link)).toEqual({ ok: true });
    expect(await two.reread(same)).toMatchObject({ credential: { refreshToken: "rt_2" } });
    expect(readdirSync(dir)).toEqual(["a.json"]);
  });

  test("B7-6: the file as it was is kept beside, for its owner alone, until the new tokens have proved themselves", async () => {
    const dir = makeFolder();
    const before = '{"access_token":"at-1", "refresh_token":"rt_1",\n  "weight": 1e3}';
    const path = put(dir, "a.json", before);
    const store = await open(dir);
    expect(await renew(store, path)).toEqual({ ok: true });
    expect(shown(copyOf(path))).toBe(before);
    expect(statSync(copyOf(path)).mode & 0o777).toBe(0o600);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(shown(path)).toContain('"weight": 1e3');
    expect(tokensOf(await store.read())).toEqual(["at-2"]);
    await store.proved(path);
    expect(readdirSync(dir)).toEqual(["a.json"]);
    await store.proved(path);
  });

  test.each(["", "  \n", '{"access_token":"at-', "\0\0\0", "\xff\xfe"])(
    "B7-6: a file that was spoilt before that is read from the copy, and never overwritten: %#",
    async (spoilt) => {
      const dir = makeFolder();
      const path = put(dir, "a.json", OLD);
      await renew(await open(dir), path);
      writeFileSync(path, spoilt, "latin1");
      const store = await open(dir);
      const first = await store.read();
      expect(tokensOf(first)).toEqual(["at-1"]);
      expect(first.faults).toEqual([
        { source: path, reason: expect.stringMatching(/^a\.json: .*is used instead/) },
      ]);
      expect(await store.read()).toEqual(first);
      expect(readFileSync(path, "latin1")).toBe(spoilt);
      expect(await store.reread(path)).toMatchObject({ credential: { accessToken: "at-1" } });
      // New tokens make the file whole again; what was in it stays beside.
      expect(await renew(store, path, { accessToken: "at-3", refreshToken: "rt_3" })).toEqual({
        ok: true,
      });
      const mended = await store.read();
      expect(tokensOf(mended)).toEqual(["at-3"]);
      expect(mended.faults).toEqual([]);
      const kept = readdirSync(dir).filter((name) => name.includes("broken"));
      expect(kept).toEqual(spoilt.trim() === "" ? [] : ["a.json.broken"]);
    },
  );

  test("new tokens prove nothing about a file that was spoilt since: the copy stays", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const store = await open(dir);
    await renew(store, path);
    writeFileSync(path, "");
    await store.proved(path);
    expect(tokensOf(await store.read())).toEqual(["at-1"]);
  });

  test("B7-6: a renewal that fails leaves the copy of a spoilt file, which is all there is of it", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    await renew(await open(dir), path);
    writeFileSync(path, "");
    const full = async () => {
      throw Object.assign(new Error("full"), { code: "ENOSPC" });
    };
    for (const reserve of [diskSteps.reserve, full]) {
      const steps = { ...diskSteps, reserve };
      const store = await openFileStore({
        dir,
        sealer,
        clock: systemClock,
        scanIntervalMs: () => 0,
        steps,
      });
      await store.locked(path, WISH, () => store.canSave(path));
      expect(tokensOf(await store.read())).toEqual(["at-1"]);
    }
    expect(readdirSync(dir).sort()).toEqual([basename(copyOf(path)), "a.json"]);
  });

  test("B7-6: so does one during which the file is spoilt", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const store = await open(dir);
    await store.locked(path, WISH, async () => {
      await store.canSave(path);
      writeFileSync(path, '{"access_token":');
    });
    expect(tokensOf(await store.read())).toEqual(["at-1"]);
    // And no copy stays of one that is whole.
    const whole = put(dir, "b.json", { access_token: "at-b" });
    await store.locked(whole, WISH, () => store.canSave(whole));
    expect(existsSync(copyOf(whole))).toBe(false);
  });

  test("a spoilt file without a copy is left alone", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", "");
    const store = await open(dir);
    expect(await store.read()).toMatchObject({ logins: [], faults: [{ source: path }] });
    expect(await renew(store, path)).toMatchObject({ ok: false });
    expect(shown(path)).toBe("");
  });

  test("a file that its owner deleted is not brought back, and its copy goes in time", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const clock = createManualClock(Date.now());
    const store = await open(dir, clock);
    await renew(store, path);
    unlinkSync(path);
    expect(await store.read()).toMatchObject({ logins: [], faults: [] });
    clock.advance(3_700_000);
    await store.read();
    expect(readdirSync(dir)).toEqual([]);
  });

  test("discarding an account leaves none of its tokens behind", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const store = await open(dir);
    await renew(store, path);
    expect(await store.discard(path)).toEqual({ ok: true });
    expect(readdirSync(dir)).toEqual([]);
  });

  test("what the owner wrote while the token was renewed is kept", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const store = await open(dir);
    const switching = () =>
      put(dir, "a.json", { ...OLD, disabled: true, note: "long ".repeat(50) });
    await renew(store, path, undefined, () => void switching());
    expect(parseDict(shown(path))).toMatchObject({
      refresh_token: "rt_2",
      disabled: true,
      note: "long ".repeat(50),
    });
    await renew(store, path, { accessToken: "at-3" }, () => void put(dir, "a.json", OLD));
    expect(await store.reread(path)).toMatchObject({ credential: { accessToken: "at-3" } });
    expect(shown(path)).not.toMatch(/\s$/);
  });

  const tokenOf = (iat: number) =>
    accessTokenOf({ user: "u", workspace: WORKSPACE, iat, exp: iat + 900 });

  test("a file deleted while its token is renewed, and restored later: the new tokens are in it", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const store = await open(dir);
    const saved = await renew(store, path, undefined, () => unlinkSync(path));
    expect(saved).toEqual({ ok: false, reason: "a.json: it is not there any more." });
    expect(existsSync(path)).toBe(false);
    expect(await store.read()).toMatchObject({ logins: [] });
    put(dir, "a.json", OLD);
    expect(tokensOf(await store.read())).toEqual(["at-2"]);
    expect(await renew(store, path, { refreshToken: "rt_3" })).toEqual({ ok: true });
  });

  test("a file deleted and restored while its token is renewed, likewise", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const store = await open(dir);
    const restore = (): void => {
      unlinkSync(path);
      put(dir, "a.json", OLD);
    };
    expect(await renew(store, path, undefined, restore)).toEqual({ ok: true });
    expect(tokensOf(await store.read())).toEqual(["at-2"]);
  });

  test("somebody else's login put there while its token is renewed is not touched", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", { access_token: accessTokenOf({ user: "me" }) });
    const store = await open(dir);
    const theirs = { access_token: accessTokenOf({ user: "other" }) };
    const ours = { accessToken: accessTokenOf({ user: "me", exp: 4e9 }), refreshToken: "rt_2" };
    expect(await renew(store, path, ours, () => void put(dir, "a.json", theirs))).toMatchObject({
      ok: false,
      reason: expect.stringContaining("another login by now"),
    });
    expect(parseDict(shown(path))).toEqual(theirs);
    await store.locked(path, WISH, async () => {});
    expect(parseDict(shown(path))).toEqual(theirs);
    expect(readdirSync(dir).filter((name) => name.endsWith(".next"))).toEqual([]);
  });

  test.each(["not.a.jwt", "..", "e30.e30.", "x", "a.!!!.c"])(
    "tokens that are no JWT, or have no end, are renewed like others: %s",
    async (accessToken) => {
      const dir = makeFolder();
      const path = put(dir, "a.json", { access_token: accessToken, refresh_token: "rt_1" });
      const store = await open(dir);
      expect(
        await renew(store, path, { accessToken: `${accessToken}2`, refreshToken: "rt_2" }),
      ).toEqual({ ok: true });
      expect(await store.reread(path)).toMatchObject({ credential: { refreshToken: "rt_2" } });
    },
  );

  const leftBehind: [name: string, next: string, adopted: boolean][] = [
    [
      "newer tokens of the same login are put in place",
      JSON.stringify({ access_token: tokenOf(3000), refresh_token: "rt_2" }),
      true,
    ],
    ["blanks go", " ".repeat(16_384), false],
    ["half a file goes", '{"access_token":"at-', false],
    [
      "older tokens go",
      JSON.stringify({ access_token: tokenOf(500), refresh_token: "rt_0" }),
      false,
    ],
    [
      "another login goes",
      JSON.stringify({ access_token: accessTokenOf({ user: "x", iat: 9000, exp: 9900 }) }),
      false,
    ],
  ];
  test.each(leftBehind)(
    "B7-6: what a kill left of a renewal: %s",
    async (_name, next, isAdopted) => {
      for (const find of ["read", "locked"] as const) {
        const dir = makeFolder();
        const path = put(dir, "a.json", { access_token: tokenOf(1000), refresh_token: "rt_1" });
        writeFileSync(besideOf(path, "next"), next.padEnd(16_384));
        const store = await open(dir);
        if (find === "read") await store.read();
        else await store.locked(path, WISH, async () => {});
        if (isAdopted) expect(shown(path)).toBe(next);
        const refreshToken = isAdopted ? "rt_2" : "rt_1";
        expect(await store.reread(path)).toMatchObject({ credential: { refreshToken } });
        expect(readdirSync(dir)).toEqual(["a.json"]);
      }
    },
  );

  test("what a living process has under way is left to it by a scan", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const [store, other] = [await open(dir), await open(dir)];
    await renew(store, path, undefined, async () => {
      expect(tokensOf(await other.read())).toEqual(["at-1"]);
      expect(existsSync(besideOf(path, "next"))).toBe(true);
    });
    expect(tokensOf(await other.read())).toEqual(["at-2"]);
  });

  test("a full disk: nothing is prepared, nothing is left, and it is said before a token is spent", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const reserve: Steps["reserve"] = async (where) => {
      writeFileSync(where, "   ");
      throw Object.assign(new Error("full"), { code: "ENOSPC" });
    };
    const steps = { ...diskSteps, reserve };
    const store = await openFileStore({
      dir,
      sealer,
      clock: systemClock,
      scanIntervalMs: () => 0,
      steps,
    });
    expect(await renew(store, path)).toEqual({
      ok: false,
      reason: "a.json: cannot be written, because the disk is full. Free some space.",
    });
    expect(readdirSync(dir)).toEqual(["a.json"]);
  });

  test("a disk that fails after the token was spent: the tokens are found at the next try", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    let isBroken = true;
    const rename: Steps["rename"] = async (from, to) => {
      if (isBroken && to === path) throw Object.assign(new Error("broken"), { code: "EIO" });
      return diskSteps.rename(from, to);
    };
    const steps = { ...diskSteps, rename };
    const store = await openFileStore({
      dir,
      sealer,
      clock: systemClock,
      scanIntervalMs: () => 0,
      steps,
    });
    expect(await renew(store, path)).toMatchObject({
      ok: false,
      reason: expect.stringContaining("the disk reports an error"),
    });
    // Until they are in the file, nothing is spent and nothing else is done to it.
    let isRun = false;
    const again = await store.locked(path, WISH, async () => {
      isRun = true;
    });
    expect(again).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/^a\.json: its new tokens lie beside it/),
    });
    expect(await store.switchOff(path, true)).toMatchObject({ ok: false });
    expect(isRun).toBe(false);
    expect(tokensOf(await store.read())).toEqual(["at-1"]);
    isBroken = false;
    await store.locked(path, WISH, async () => {
      expect(await store.reread(path)).toMatchObject({ credential: { refreshToken: "rt_2" } });
    });
  });
});

describe.each(WAYS)("the owner's list of files, %s", (_way, { open, put, sealer, shown }) => {
  test("only these count, by name or by path, and what is missing is told", async () => {
    const [dir, elsewhere] = [makeFolder(), makeFolder()];
    put(dir, "a.json", { access_token: "at-a" });
    put(dir, "b.json", { access_token: "at-b" });
    const far = put(elsewhere, "far.json", { access_token: "at-far" });
    const files = ["b.json", far, "gone.json", join(dir, "b.json")];
    const clock = createManualClock(NOON);
    const store = await openFileStore({ dir, sealer, files, clock, scanIntervalMs: () => DAY_MS });
    const snapshot = await store.read();
    expect([...tokensOf(snapshot)].sort()).toEqual(["at-b", "at-far"]);
    expect(snapshot.faults).toEqual([
      { source: dir, reason: expect.stringMatching(/^gone\.json: it is named under "accounts"/) },
    ]);
    // What is outside the folder is looked at with each scan.
    const changes = listen();
    const stop = store.watch(changes.onChange);
    put(elsewhere, "far.json", { access_token: "at-far-2" });
    clock.advance(DAY_MS);
    await changes.next();
    expect(tokensOf(await store.read())).toContain("at-far-2");
    // An account whose file its owner took away is none.
    unlinkSync(join(dir, "b.json"));
    const without = await store.read();
    expect(tokensOf(without)).toEqual(["at-far-2"]);
    expect(without.faults.map(({ source }) => source)).toEqual([dir, dir]);
    stop();
  });

  test("what was set aside of them is found wherever it lies, and nothing else", async () => {
    const [dir, elsewhere] = [makeFolder(), makeFolder()];
    const far = put(elsewhere, "far.json", { access_token: "at-far" });
    put(dir, "b.json", { access_token: "at-b" });
    put(dir, "a.json.disabled", { access_token: "at-unlisted" });
    put(elsewhere, "strange.json.disabled", { access_token: "at-strange" });
    const store = await openFileStore({
      dir,
      sealer,
      files: ["b.json", far],
      clock: systemClock,
      scanIntervalMs: () => 0,
    });
    for (const path of [far, join(dir, "b.json")]) {
      expect(await store.setAside(path)).toEqual({ ok: true });
    }
    const aside = await store.aside();
    expect(aside.map(({ source }) => source).sort()).toEqual(
      [`${far}.disabled`, join(dir, "b.json.disabled")].sort(),
    );
    for (const { source } of aside) expect(await store.bringBack(source)).toEqual({ ok: true });
    expect([...tokensOf(await store.read())].sort()).toEqual(["at-b", "at-far"]);
    expect(await store.aside()).toEqual([]);
  });

  test("B7-6: what a kill left beside them is finished wherever they are, and that of others in the folder too", async () => {
    const [dir, elsewhere] = [makeFolder(), makeFolder()];
    const user = { user: "u1", workspace: WORKSPACE };
    const tokenAt = (iat: number) => accessTokenOf({ ...user, iat, exp: iat + 9000 });
    const old = { access_token: tokenAt(1000), refresh_token: "rt_1" };
    const next = JSON.stringify({ access_token: tokenAt(3000), refresh_token: "rt_2" });
    const far = put(elsewhere, "far.json", old);
    const other = put(dir, "other.json", old);
    for (const path of [far, other]) writeFileSync(besideOf(path, "next"), next);
    utimesSync(besideOf(other, "next"), 0, 0);
    const store = await openFileStore({
      dir,
      sealer,
      files: [far],
      clock: systemClock,
      scanIntervalMs: () => 0,
    });
    expect((await store.read()).logins).toMatchObject([{ credential: { refreshToken: "rt_2" } }]);
    expect(readdirSync(elsewhere)).toEqual(["far.json"]);
    // It was the only place of another proxy's newest tokens.
    expect(parseDict(shown(other))).toMatchObject({ refresh_token: "rt_2" });
  });

  test("a new file says that it is not among them, unless it is", async () => {
    const dir = makeFolder();
    const content = '{"access_token": "at-1"}';
    const store = await openFileStore({
      dir,
      sealer,
      files: ["ann.json"],
      clock: systemClock,
      scanIntervalMs: () => 0,
    });
    expect(await store.add("ann", content)).toEqual({ ok: true, source: join(dir, "ann.json") });
    expect(await store.add("bob", content)).toEqual({
      ok: true,
      source: join(dir, "bob.json"),
      note: expect.stringContaining("only the files that 'accounts' lists"),
    });
    expect(await (await open(dir)).add("carl", content)).not.toHaveProperty("note");
  });
});

describe("the state file in the account folder", () => {
  test("is no account, whatever its name and by whichever way its folder is named", async () => {
    const dir = makeFolder();
    const link = join(makeFolder(), "link");
    symlinkSync(dir, link);
    put(dir, "a.json", { access_token: "at-1" });
    put(dir, "state.json", "{}");
    for (const folder of [dir, link]) {
      const store = await openFileStore({
        dir,
        stateFile: join(folder, "state.json"),
        clock: systemClock,
        scanIntervalMs: () => 0,
      });
      const { logins, faults } = await store.read();
      expect([logins.length, faults]).toEqual([1, []]);
    }
  });

  test("is written without a word to the accounts", async () => {
    const dir = makeFolder();
    const stateFile = join(dir, "state.json");
    const state = openStateFile(stateFile, () => NOON);
    const clock = createMixedClock();
    const store = await openFileStore({ dir, stateFile, clock, scanIntervalMs: () => DAY_MS });
    await store.read();
    const changes = listen();
    const stop = store.watch(changes.onChange);
    for (let i = 0; i < 5; i++)
      expect((await state.write(`{${stateHead},"i":${i}}`)).ok).toBe(true);
    clock.advance(DAY_MS);
    // A change that counts, after the writes: what is told is told of it alone.
    put(dir, "a.json", { access_token: "at-1" });
    await changes.next();
    expect(changes.count).toBe(1);
    expect((await store.read()).faults).toEqual([]);
    stop();
  });
});

/** Counts changes and lets a test wait for the next one. */
function listen(): {
  readonly onChange: () => void;
  count: number;
  readonly next: () => Promise<void>;
} {
  let wake: (() => void) | undefined;
  let unseen = 0;
  const listener = {
    count: 0,
    onChange: () => {
      listener.count++;
      unseen++;
      wake?.();
    },
    next: async () => {
      if (unseen === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      unseen = 0;
    },
  };
  return listener;
}

/** Short delays in real time, for what the platform reports; long ones by hand. */
function createMixedClock(): ReturnType<typeof createManualClock> {
  const manual = createManualClock(NOON);
  return {
    ...manual,
    after: (delayMs, fire) =>
      delayMs <= 500 ? systemClock.after(delayMs, fire) : manual.after(delayMs, fire),
  };
}

describe("watch", () => {
  test("tells of a new, a changed, a replaced and a deleted file", async () => {
    const dir = makeFolder();
    const store = await open(dir);
    await store.read();
    const changes = listen();
    const stop = store.watch(changes.onChange);
    const path = put(dir, "a.json", { access_token: "at-1" });
    await changes.next();
    expect(tokensOf(await store.read())).toEqual(["at-1"]);
    put(dir, "a.json", { access_token: "at-2" });
    await changes.next();
    expect(tokensOf(await store.read())).toEqual(["at-2"]);
    renameSync(put(dir, "new", { access_token: "at-3" }), path);
    await changes.next();
    expect(tokensOf(await store.read())).toEqual(["at-3"]);
    unlinkSync(path);
    await changes.next();
    expect(tokensOf(await store.read())).toEqual([]);
    stop();
  });

  test("tells what changed between the last reading and its beginning", async () => {
    const dir = makeFolder();
    const store = await open(dir);
    await store.read();
    put(dir, "a.json", { access_token: "at-1" });
    const changes = listen();
    const stop = store.watch(changes.onChange);
    await changes.next();
    stop();
  });

  test("tells of many changes at once as one", async () => {
    const dir = makeFolder();
    const store = await open(dir);
    const changes = listen();
    const stop = store.watch(changes.onChange);
    for (let i = 0; i < 200; i++) put(dir, `${i}.json`, { access_token: `at-${i}` });
    await changes.next();
    expect((await store.read()).logins).toHaveLength(200);
    expect(changes.count).toBeLessThanOrEqual(2);
    stop();
  });

  test("is silent about our own writes and about files that are no accounts", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", { access_token: "at-1" });
    const store = await open(dir);
    await store.read();
    const changes = listen();
    const stop = store.watch(changes.onChange);
    for (let i = 0; i < 20; i++) {
      await store.canSave(path);
      await store.save(path, { accessToken: `at-own-${i}` }, NOON);
      put(dir, "notes.txt", `${i}`);
    }
    expect(changes.count).toBe(0);
    put(dir, "b.json", { access_token: "at-b" });
    await changes.next();
    expect(changes.count).toBe(1);
    expect(tokensOf(await store.read())).toEqual(["at-own-19", "at-b"]);
    stop();
  });

  test("tells of a foreign change that one of our own writes covered", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", { access_token: "at-1" });
    const clock = createManualClock(NOON);
    const store = await open(dir, clock);
    await store.read();
    put(dir, "a.json", { access_token: "at-1", disabled: true });
    await store.save(path, { accessToken: "at-2" }, NOON);
    const changes = listen();
    const stop = store.watch(changes.onChange);
    await changes.next();
    stop();
  });

  test("our own writes during its looks are not taken for foreign ones", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", { access_token: "at-1" });
    const clock = createManualClock(NOON);
    const store = await openFileStore({ dir, clock, scanIntervalMs: () => 1000 });
    const changes = listen();
    const stop = store.watch(changes.onChange);
    for (let i = 0; i < 50; i++) {
      clock.advance(1000);
      await store.save(path, { accessToken: `at-${i}` }, NOON);
    }
    expect(changes.count).toBe(0);
    put(dir, "b.json", { access_token: "at-b" });
    clock.advance(1000);
    await changes.next();
    expect(changes.count).toBe(1);
    stop();
  });

  test("a folder deleted and made anew is watched again after the next scan", async () => {
    const dir = join(makeFolder(), "auths");
    const clock = createMixedClock();
    const store = await open(dir, clock);
    put(dir, "a.json", { access_token: "at-1" });
    await store.read();
    const changes = listen();
    const stop = store.watch(changes.onChange);
    // Proof that watching has begun.
    put(dir, "a.json", { access_token: "at-2" });
    await changes.next();

    rmSync(dir, { recursive: true });
    clock.advance(DAY_MS);
    await changes.next();
    expect(await store.read()).toMatchObject({ complete: false });
    mkdirSync(dir);
    put(dir, "b.json", { access_token: "at-b" });
    clock.advance(DAY_MS);
    await changes.next();
    expect(tokensOf(await store.read())).toEqual(["at-b"]);
    // No further scan: this one comes from the platform's notice alone.
    put(dir, "c.json", { access_token: "at-c" });
    await changes.next();
    expect(tokensOf(await store.read())).toEqual(["at-b", "at-c"]);
    stop();
  });

  test("finds at a scan what the platform did not report", async () => {
    const [dir, elsewhere] = [makeFolder(), makeFolder()];
    const target = put(elsewhere, "auth.json", { access_token: "at-1" });
    symlinkSync(target, join(dir, "a.json"));
    const clock = createManualClock(NOON);
    const store = await open(dir, clock);
    await store.read();
    const changes = listen();
    const stop = store.watch(changes.onChange);
    put(elsewhere, "auth.json", { access_token: "at-2-longer" });
    clock.advance(DAY_MS);
    await changes.next();
    expect(tokensOf(await store.read())).toEqual(["at-2-longer"]);
    stop();
  });

  test("is silent once it is stopped", async () => {
    const dir = makeFolder();
    const store = await open(dir);
    const [stopped, running] = [listen(), listen()];
    store.watch(stopped.onChange)();
    const stop = store.watch(running.onChange);
    put(dir, "a.json", { access_token: "at-1" });
    await running.next();
    expect(stopped.count).toBe(0);
    stop();
  });

  test("does not keep the process alive", async () => {
    const dir = makeFolder();
    const script = `
      import { openFileStore } from ${JSON.stringify(join(import.meta.dir, "../../src/store/files.ts"))};
      import { systemClock } from ${JSON.stringify(join(import.meta.dir, "../../src/wire/clock.ts"))};
      const store = await openFileStore({ dir: ${JSON.stringify(dir)}, clock: systemClock, scanIntervalMs: () => 60_000 });
      await store.read();
      store.watch(() => {});
    `;
    const child = Bun.spawn([process.execPath, "-e", script], { stderr: "inherit" });
    expect(await child.exited).toBe(0);
  }, 20_000);
});

describe("a store with a key", () => {
  const WISH = { holdMs: 60_000, waitMs: 0 };
  const tokenOf = (iat: number) =>
    accessTokenOf({ user: "u", workspace: WORKSPACE, iat, exp: iat + 900 });
  const OLD = { access_token: tokenOf(1000), refresh_token: "rt_old-one" };
  const FRESH = { accessToken: tokenOf(3000), refreshToken: "rt_fresh-one" };

  function openWith(dir: string, sealer: Sealer, steps: Steps = diskSteps): Promise<Store> {
    return openFileStore({ dir, sealer, clock: systemClock, scanIntervalMs: () => 0, steps });
  }

  function putSealed(dir: string, name: string, record: unknown, sealer: Sealer): string {
    return put(dir, name, sealer.seal(JSON.stringify(record)));
  }

  async function renew(store: Store, path: string): Promise<Stored> {
    const done = await store.locked(path, WISH, async () => {
      const can = await store.canSave(path);
      return can.ok ? store.save(path, FRESH, NOON) : can;
    });
    return done.ok ? done.value : done;
  }

  /** Everything that lies in the folder, as it lies there. */
  function bytesIn(dir: string): string {
    return readdirSync(dir)
      .map((name) => readFileSync(join(dir, name), "latin1"))
      .join("\n");
  }

  /** The disk, looked at before and after every step of it. */
  function watched(look: (step: string) => void): Steps {
    const around = async <T>(name: string, step: () => Promise<T>): Promise<T> => {
      look(`before ${name}`);
      const value = await step();
      look(`after ${name}`);
      return value;
    };
    return {
      put: (...given) => around("put", () => diskSteps.put(...given)),
      link: (...given) => around("link", () => diskSteps.link(...given)),
      create: (...given) => around("create", () => diskSteps.create(...given)),
      rename: (...given) => around("rename", () => diskSteps.rename(...given)),
      syncFolder: (...given) => around("syncFolder", () => diskSteps.syncFolder(...given)),
      remove: (...given) => around("remove", () => diskSteps.remove(...given)),
      reserve: async (...given) => {
        const slot = await around("reserve", () => diskSteps.reserve(...given));
        const write = (content: string): void => {
          slot.write(content.slice(0, content.length / 2));
          look("half-way through the write");
          slot.write(content);
          look("after the write");
        };
        return { ...slot, write, settle: () => around("settle", slot.settle) };
      },
    };
  }

  test("no token lies in the folder at any step of a renewal, nor before or after it", async () => {
    const dir = makeFolder();
    const path = putSealed(dir, "a.json", OLD, withOld);
    const secrets = [OLD.access_token, OLD.refresh_token, FRESH.accessToken, FRESH.refreshToken];
    const steps: string[] = [];
    const look = (step: string): void => {
      steps.push(step);
      const bytes = bytesIn(dir);
      expect([step, secrets.filter((secret) => bytes.includes(secret))]).toEqual([step, []]);
    };
    const store = await openWith(dir, withBoth, watched(look));
    await store.read();
    expect(await renew(store, path)).toEqual({ ok: true });
    expect(steps).toContain("half-way through the write");
    expect(steps).toContain("after reserve");
    expect(steps.length).toBeGreaterThan(20);
    expect(readdirSync(dir)).toContain(basename(besideOf(path, "last")));
    await store.switchOff(path, true);
    await store.setAside(path);
    await store.bringBack(`${path}.disabled`);
    await store.proved(path);
    look("at the end");
    expect(parseDict(readOpened(path))).toMatchObject({
      refresh_token: FRESH.refreshToken,
      disabled: true,
    });
  });

  test("of a file in the clear, nothing but what its owner wrote ever lies there, and that until the new one does", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json", OLD);
    const look = (step: string): void => {
      const bytes = bytesIn(dir);
      const ours = readdirSync(dir).filter((name) => name !== "a.json");
      const copies = ours.map((name) => readFileSync(join(dir, name), "latin1")).join();
      expect([step, bytes.includes(FRESH.refreshToken)]).toEqual([step, false]);
      expect([step, copies.includes(OLD.refresh_token)]).toEqual([step, false]);
    };
    const store = await openWith(dir, withNew, watched(look));
    expect(await renew(store, path)).toEqual({ ok: true });
    expect(bytesIn(dir)).not.toContain("rt_");
  });

  test("seals what is added, saved without a lock, and switched off", async () => {
    const dir = makeFolder();
    const store = await openWith(dir, withNew);
    const added = await store.add("me", JSON.stringify(OLD));
    const path = added.ok ? added.source : "";
    expect(bytesIn(dir)).not.toContain("rt_");
    expect(await store.content(path)).toBe(JSON.stringify(OLD));
    put(dir, "me.json", OLD);
    await store.save(path, FRESH, NOON);
    expect(bytesIn(dir)).not.toContain("rt_");
    put(dir, "me.json", OLD);
    await store.switchOff(path, true);
    expect(bytesIn(dir)).not.toContain("rt_");
    expect(parseDict(readOpened(path))).toEqual({ ...OLD, disabled: true });
    await store.setAside(path);
    expect((await store.aside()).map(({ credential }) => credential.refreshToken)).toEqual([
      OLD.refresh_token,
    ]);
  });

  test("what it seals is no change to it", async () => {
    const dir = makeFolder();
    const paths = Array.from({ length: 30 }, (_, at) =>
      put(dir, `${at}.json`, { refresh_token: `rt_${at}` }),
    );
    const clock = createManualClock(NOON);
    const given = { dir, sealer: withNew, clock, scanIntervalMs: () => 1000 };
    const store = await openFileStore(given);
    await store.read();
    const changes = listen();
    const stop = store.watch(changes.onChange);
    for (const path of paths) {
      clock.advance(1000);
      expect(await store.reseal(path)).toEqual({ ok: true, isChanged: true });
    }
    expect(changes.count).toBe(0);
    put(dir, "new.json", { access_token: "at-b" });
    clock.advance(1000);
    await changes.next();
    expect(changes.count).toBe(1);
    stop();
  });

  const strangers: [name: string, sealer: Sealer, told: RegExp][] = [
    ["no key", plain, /^a\.json: it is encrypted with key \w{8}, but no key is configured/],
    ["another key", withNew, /^a\.json: it is encrypted with key \w{8}, but the configured key is/],
  ];
  describe.each(strangers)("that has %s", (_name, sealer, told) => {
    test("tells it by name, and nothing happens to the file", async () => {
      const dir = makeFolder();
      const path = putSealed(dir, "a.json", OLD, withOld);
      const before = readFileSync(path, "utf8");
      const store = await openWith(dir, sealer);
      const refused = { ok: false, reason: expect.stringMatching(told) } as const;
      const snapshot = await store.read();
      expect(snapshot).toMatchObject({ logins: [], complete: true });
      expect(snapshot.faults).toEqual([{ source: path, reason: expect.stringMatching(told) }]);
      expect(await store.read()).toEqual(snapshot);
      expect(await store.reread(path)).toBeUndefined();
      expect(await store.content(path)).toBeUndefined();
      expect(await store.canSave(path)).toEqual(refused);
      expect(await store.save(path, FRESH, NOON)).toEqual(refused);
      expect(await renew(store, path)).toEqual(refused);
      expect(await store.switchOff(path, true)).toEqual(refused);
      expect(await store.reseal(path)).toEqual(refused);
      await store.proved(path);
      expect([readdirSync(dir), readFileSync(path, "utf8")]).toEqual([["a.json"], before]);
      // Whoever has the key goes on as if nothing had been.
      expect(tokensOf(await (await openWith(dir, withOld)).read())).toEqual([OLD.access_token]);
    });

    test("does not go back to an older copy of it that it could read: those tokens are spent", async () => {
      const dir = makeFolder();
      const path = putSealed(dir, "a.json", { ...OLD, refresh_token: "rt_2" }, withOld);
      writeFileSync(besideOf(path, "last"), JSON.stringify(OLD));
      expect((await (await openWith(dir, sealer)).read()).logins).toEqual([]);
      expect(existsSync(besideOf(path, "last"))).toBe(true);
    });

    test("B7-6: what a killed renewal left sealed is not thrown away, and the token before it not spent", async () => {
      for (const [fileBy, nextBy] of [
        [plain, withOld],
        [withOld, withOld],
        [withOld, sealer],
      ] as const) {
        const dir = makeFolder();
        const path = putSealed(dir, "a.json", OLD, fileBy);
        const before = readFileSync(path, "utf8");
        const next = besideOf(path, "next");
        const fresh = { access_token: FRESH.accessToken, refresh_token: FRESH.refreshToken };
        writeFileSync(next, nextBy.seal(JSON.stringify(fresh)).padEnd(16_384));
        utimesSync(next, 0, 0);
        const store = await openWith(dir, sealer);
        await store.read();
        let isRun = false;
        const done = await store.locked(path, WISH, async () => {
          isRun = true;
        });
        expect(isRun).toBe(false);
        expect(done).toMatchObject({
          ok: false,
          reason: expect.stringMatching(
            /^a\.json: its new tokens lie beside it.* encrypted with key/,
          ),
        });
        expect(await store.reseal(path)).toMatchObject({ ok: false });
        expect(existsSync(next)).toBe(true);
        expect(readFileSync(path, "utf8")).toBe(before);
        await (await openWith(dir, withBoth)).read();
        expect(parseDict(readOpened(path))).toEqual(fresh);
        expect(readdirSync(dir)).toEqual(["a.json"]);
      }
    });

    test("B7-6: nor where its account has got another name since, or may be one that cannot be opened", async () => {
      for (const [nextBy, fileBy] of [
        [withOld, plain],
        [sealer, withOld],
      ] as const) {
        const dir = makeFolder();
        putSealed(dir, "renamed.json", OLD, fileBy);
        const next = besideOf(join(dir, "a.json"), "next");
        writeFileSync(next, nextBy.seal(JSON.stringify({ ...OLD, refresh_token: "rt_2" })));
        utimesSync(next, 0, 0);
        await (await openWith(dir, sealer)).read();
        expect(existsSync(next)).toBe(true);
      }
    });

    test("B7-6: room that was taken and not used is no token, and goes", async () => {
      const dir = makeFolder();
      const path = putSealed(dir, "a.json", OLD, withOld);
      const half = withOld.seal(JSON.stringify(OLD)).slice(0, 150);
      for (const left of [" ".repeat(16_384), half.padEnd(16_384)]) {
        writeFileSync(besideOf(path, "next"), left);
        await (await openWith(dir, sealer)).read();
        expect(readdirSync(dir)).toEqual(["a.json"]);
      }
    });
  });

  const damages: [name: string, spoil: (sealed: string) => string][] = [
    ["cut off", (sealed) => sealed.slice(0, -20)],
    [
      "changed in one letter",
      (sealed) => sealed.replace(/(?<="data":")./, (letter) => (letter === "A" ? "B" : "A")),
    ],
  ];
  test.each(damages)(
    "B7-6: a sealed file that was %s is told, left alone, and read from its copy where there is one",
    async (_name, spoil) => {
      const dir = makeFolder();
      const path = putSealed(dir, "a.json", OLD, withNew);
      const spoilt = spoil(readFileSync(path, "utf8"));
      put(dir, "a.json", spoilt);
      const store = await openWith(dir, withNew);
      expect(await store.read()).toMatchObject({
        logins: [],
        faults: [
          { reason: expect.stringMatching(/^a\.json: it is encrypted and has been cut off/) },
        ],
      });
      expect(await renew(store, path)).toMatchObject({ ok: false });
      expect(await store.reseal(path)).toMatchObject({ ok: false });
      expect(readFileSync(path, "utf8")).toBe(spoilt);
      writeFileSync(besideOf(path, "last"), withOld.seal(JSON.stringify(OLD)));
      const mending = await openWith(dir, withBoth);
      const snapshot = await mending.read();
      expect(tokensOf(snapshot)).toEqual([OLD.access_token]);
      expect(snapshot.faults[0]?.reason).toContain("is used instead");
      expect(await mending.reseal(path)).toMatchObject({ ok: false });
      expect(readFileSync(path, "utf8")).toBe(spoilt);
      expect(await renew(mending, path)).toEqual({ ok: true });
      expect(readFileSync(`${path}.broken`, "utf8")).toBe(spoilt);
      expect(await mending.reread(path)).toMatchObject({ credential: FRESH });
    },
  );

  test("a copy that lay there in the clear is sealed with the next renewal, and outlives one that fails", async () => {
    for (const content of ["", JSON.stringify(OLD)]) {
      const dir = makeFolder();
      const path = put(dir, "a.json", content);
      const copy = besideOf(path, "last");
      writeFileSync(copy, JSON.stringify(OLD));
      const store = await openWith(dir, withNew);
      await store.locked(path, WISH, () => store.canSave(path));
      expect(readFileSync(copy, "utf8")).not.toContain("rt_");
      expect(readOpened(copy)).toBe(JSON.stringify(OLD));
    }
  });

  test("the largest account that is read in the clear is read sealed, too", async () => {
    const dir = makeFolder();
    const room = 1024 * 1024 - JSON.stringify({ ...OLD, note: "" }).length;
    const path = put(dir, "a.json", { ...OLD, note: "x".repeat(room) });
    put(dir, "b.json", { refresh_token: "rt_b", note: "x".repeat(1024 * 1024) });
    const store = await openWith(dir, withNew);
    expect(await store.reseal(path)).toEqual({ ok: true, isChanged: true });
    const { logins, faults } = await store.read();
    expect(logins.map(({ source }) => source)).toEqual([path]);
    expect(faults).toMatchObject([{ reason: expect.stringMatching(/^b\.json: .*1 MiB/) }]);
  });

  describe("reseal", () => {
    /** A folder with every kind of file that may hold a login. */
    function fill(dir: string): readonly string[] {
      const paths = [
        put(dir, "a.json", OLD),
        putSealed(dir, "b.json", { refresh_token: "rt_b" }, withOld),
        putSealed(dir, "c.json", { refresh_token: "rt_c" }, withNew),
        // The same login as in a.json, and one whose proxy bars it.
        putSealed(dir, "d.json", OLD, withOld),
        put(dir, "e.json", { refresh_token: "rt_e", proxy_url: "x://h" }),
        put(dir, "f.json.disabled", { refresh_token: "rt_f" }),
        putSealed(dir, "g.json.disabled.2", { refresh_token: "rt_g" }, withOld),
        besideOf(join(dir, "gone.json"), "next"),
      ];
      writeFileSync(besideOf(join(dir, "b.json"), "last"), '{"refresh_token":"rt_b_last"}');
      writeFileSync(besideOf(join(dir, "gone.json"), "next"), '{"refresh_token":"rt_h"}   ');
      return paths;
    }

    test("of all that sealing lists leaves nothing in the clear or under another key, and a second time nothing to do", async () => {
      const dir = makeFolder();
      const paths = fill(dir);
      const store = await openWith(dir, withBoth);
      await store.read();
      const [newId = "", oldId = ""] = withBoth.keyIds;
      const keyIds = [undefined, oldId, newId, oldId, undefined, undefined, oldId, undefined];
      expect(await store.sealing()).toEqual(
        paths.map((source, at) => ({
          source,
          keyId: keyIds[at],
          isCurrent: keyIds[at] === newId,
        })),
      );
      for (const source of paths) {
        const isChanged = !source.endsWith("c.json");
        expect([source, await store.reseal(source)]).toEqual([source, { ok: true, isChanged }]);
      }
      expect(bytesIn(dir)).not.toMatch(/rt_|at-/);
      expect(bytesIn(dir)).not.toContain(oldId);
      const before = bytesIn(dir);
      for (const source of paths) {
        expect(await store.reseal(source)).toEqual({ ok: true, isChanged: false });
      }
      expect(bytesIn(dir)).toBe(before);
      // The old key can go.
      expect(
        (await (await openWith(dir, withNew)).sealing()).every(({ fault }) => fault === undefined),
      ).toBe(true);
    });

    test("with a sealer that writes in the clear it gives back every byte", async () => {
      const dir = makeFolder();
      const texts = ['{"refresh_token":"rt_1",\n  "weight": 1e3}', '{"refresh_token":"rt_2"}\n'];
      const paths = texts.map((text, at) => put(dir, `${at}.json`, withOld.seal(text)));
      const store = await openWith(dir, unsealing(withBoth));
      for (const source of paths) await store.reseal(source);
      expect(paths.map((path) => readFileSync(path, "utf8"))).toEqual(texts);
    });

    test("leaves what is no login, and what it cannot open, and says so", async () => {
      const dir = makeFolder();
      const rows: [name: string, content: string, told: RegExp][] = [
        ["a.json", '{"type":"gemini"}', /^a\.json: this is not a Codex account/],
        ["b.json", '{"refresh_token":', /^b\.json: this is not JSON/],
        ["c.json", withOld.seal('{"refresh_token":"rt"}'), /^c\.json: it is encrypted with key/],
        ["d.json", "\xff", /^d\.json: this is not UTF-8/],
      ];
      for (const [name, content] of rows) writeFileSync(join(dir, name), content, "latin1");
      const store = await openWith(dir, withNew);
      for (const [name, content, told] of rows) {
        const refused = { ok: false, reason: expect.stringMatching(told) } as const;
        expect(await store.reseal(join(dir, name))).toEqual(refused);
        expect(readFileSync(join(dir, name), "latin1")).toBe(content);
      }
      expect((await store.sealing()).map(({ fault }) => fault !== undefined)).toEqual(
        rows.map(() => true),
      );
      expect(await store.reseal(join(dir, "gone.json"))).toMatchObject({ ok: false });
    });

    test("waits for a renewal in another process, and takes the tokens that it brought", async () => {
      const dir = makeFolder();
      const path = put(dir, "a.json", OLD);
      const [store, other] = [await openWith(dir, withOld), await openWith(dir, withBoth)];
      let resealing: Promise<unknown> | undefined;
      await store.locked(path, WISH, async () => {
        await store.canSave(path);
        resealing = other.reseal(path);
        await store.save(path, FRESH, NOON);
      });
      expect(await resealing).toEqual({ ok: true, isChanged: true });
      expect(withNew.open(readFileSync(path, "utf8"))).toMatchObject({ ok: true, isCurrent: true });
      expect(await other.reread(path)).toMatchObject({ credential: FRESH });
    });

    test("a disk that fails leaves the file as it was", async () => {
      const dir = makeFolder();
      const path = put(dir, "a.json", OLD);
      writeFileSync(besideOf(path, "last"), JSON.stringify(OLD));
      const create: Steps["create"] = async () => {
        throw Object.assign(new Error("full"), { code: "ENOSPC" });
      };
      const store = await openWith(dir, withNew, { ...diskSteps, create });
      const refused = { ok: false, reason: expect.stringContaining("the disk is full") } as const;
      expect(await store.reseal(path)).toEqual(refused);
      rmSync(besideOf(path, "last"));
      expect(await store.reseal(path)).toEqual(refused);
      expect(readFileSync(path, "utf8")).toBe(JSON.stringify(OLD));
    });
  });
});
