import { describe, expect, test } from "bun:test";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { besideOf } from "../../src/store/beside.ts";
import { openFileStore } from "../../src/store/files.ts";
import { begunIn, orphansOf } from "../../src/store/orphans.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { parseDict } from "../../src/wire/json.ts";
import { plain } from "../support/sealing.ts";
import { onPosix } from "../support/system.ts";
import { makeFolder } from "./folder.ts";
import { accessTokenOf, WORKSPACE } from "./tokens.ts";

const HOUR_MS = 3_600_000;

/** A file of `ann`'s with her tokens number `count`; opaque ones say nothing of her. */
function contentOf(count: number, isOpaque = false, user = "ann"): string {
  const iat = count * 1000;
  const token = accessTokenOf({ user, workspace: WORKSPACE, iat, exp: iat + 900 });
  const access_token = isOpaque ? `at-${user}-${count}` : token;
  return JSON.stringify({ access_token, refresh_token: `rt_${user}_${count}` });
}

/** A file, and what a kill between the write and the rename left of its renewal two hours ago. */
function leave(dir: string, name: string, isOpaque = false): string {
  const path = join(dir, name);
  writeFileSync(path, contentOf(1, isOpaque));
  writeFileSync(besideOf(path, "last"), contentOf(1, isOpaque));
  writeFileSync(besideOf(path, "next"), contentOf(2, isOpaque).padEnd(16_384));
  const old = new Date(Date.now() - 2 * HOUR_MS);
  for (const kind of ["last", "next"] as const) utimesSync(besideOf(path, kind), old, old);
  return path;
}

const open = (dir: string, files: readonly string[] = []) =>
  openFileStore({ dir, files, clock: systemClock, scanIntervalMs: () => 0 });

const refreshTokenIn = (path: string) => parseDict(readFileSync(path, "utf8"))?.["refresh_token"];

describe("what a killed renewal left two hours ago", () => {
  test.each(["a.json", "a.json.disabled", "a.json.disabled.2"])(
    "B7-6: goes into its file, an account or set aside: %s",
    async (name) => {
      const dir = makeFolder();
      const path = leave(dir, name);
      await (await open(dir)).read();
      expect(refreshTokenIn(path)).toBe("rt_ann_2");
      expect(readdirSync(dir).filter((each) => each.endsWith(".next"))).toEqual([]);
    },
  );

  test("B7-6: of an account on another proxy's list, too", async () => {
    const dir = makeFolder();
    const path = leave(dir, "a.json");
    writeFileSync(join(dir, "b.json"), contentOf(1, false, "bob"));
    await (await open(dir, ["b.json"])).read();
    expect(refreshTokenIn(path)).toBe("rt_ann_2");
  });

  onPosix("B7-6: of a file of another name, to which an account's name is a link", async () => {
    const dir = makeFolder();
    const path = leave(dir, "tokens.txt");
    symlinkSync("tokens.txt", join(dir, "a.json"));
    const { logins } = await (await open(dir)).read();
    expect(logins.map(({ credential }) => credential.refreshToken)).toEqual(["rt_ann_2"]);
    expect(refreshTokenIn(path)).toBe("rt_ann_2");
  });

  test.each([false, true])(
    "B7-6: stays while the login lies under another name, until that has newer tokens: %p",
    async (isOpaque) => {
      const dir = makeFolder();
      const next = besideOf(leave(dir, "a.json", isOpaque), "next");
      renameSync(join(dir, "a.json"), join(dir, "renamed.json"));
      await (await open(dir)).read();
      expect(refreshTokenIn(next)).toBe("rt_ann_2");
      writeFileSync(join(dir, "renamed.json"), contentOf(3, isOpaque));
      await (await open(dir)).read();
      expect(readdirSync(dir)).toEqual(["renamed.json"]);
    },
  );

  test("goes where nobody needs it: its account is gone, or it is no login", async () => {
    const dir = makeFolder();
    const gone = leave(dir, "a.json");
    renameSync(gone, join(makeFolder(), "elsewhere"));
    writeFileSync(join(dir, "b.json"), contentOf(1, false, "bob"));
    await (await open(dir)).read();
    expect(readdirSync(dir)).toEqual(["b.json"]);
    const broken = leave(dir, "c.json");
    writeFileSync(besideOf(broken, "next"), '{"access_token":"at-');
    utimesSync(besideOf(broken, "next"), new Date(0), new Date(0));
    renameSync(broken, join(dir, "d.json"));
    await (await open(dir)).read();
    expect(readdirSync(dir).sort()).toEqual(["b.json", "d.json"]);
  });
});

test("a folder without hidden contents is not looked into", async () => {
  const folder = { names: ["a.json"], copies: [] };
  expect(begunIn("/nowhere", folder)).toEqual([]);
  expect(await orphansOf("/nowhere", folder, plain)).toEqual([]);
  expect(existsSync("/nowhere")).toBe(false);
});
