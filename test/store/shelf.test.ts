import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diskSteps, type Steps } from "../../src/store/durable.ts";
import {
  bringBack,
  discard,
  listAside,
  putNew,
  setAside,
  switchOff,
} from "../../src/store/shelf.ts";
import { plain } from "../support/sealing.ts";
import { onPosix } from "../support/system.ts";
import { makeFolder } from "./folder.ts";

const PEN = { steps: diskSteps, sealer: plain };
const ACCOUNT = '{"access_token": "at-a", "email": "a@example.com"}';

function put(dir: string, name: string, content = ACCOUNT): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

describe("setting aside", () => {
  test("renames the file, and bringing it back undoes that", async () => {
    const dir = makeFolder();
    const path = put(dir, "a.json");
    expect(await setAside(path)).toEqual({ ok: true });
    expect(readdirSync(dir)).toEqual(["a.json.disabled"]);
    const [login] = await listAside(dir, plain);
    expect(login?.credential.accessToken).toBe("at-a");
    expect(await bringBack(login?.source ?? "")).toEqual({ ok: true });
    expect(readFileSync(path, "utf8")).toBe(ACCOUNT);
    expect(await listAside(dir, plain)).toEqual([]);
  });

  test("replaces nothing: neither what was set aside before nor an account of that name", async () => {
    const dir = makeFolder();
    put(dir, "a.json.disabled", "first");
    const path = put(dir, "a.json");
    await setAside(path);
    expect(readdirSync(dir).sort()).toEqual(["a.json.disabled", "a.json.disabled.2"]);
    put(dir, "a.json", "{}");
    const back = await bringBack(join(dir, "a.json.disabled.2"));
    expect(back.ok).toBe(false);
    expect(readFileSync(path, "utf8")).toBe("{}");
    // What is no login is no login aside either.
    expect((await listAside(dir, plain)).map(({ source }) => source)).toEqual([
      join(dir, "a.json.disabled.2"),
    ]);
  });

  test("says why it could not, in words and without a path", async () => {
    const dir = makeFolder();
    const gone = await setAside(join(dir, "a.json"));
    expect(gone).toEqual({ ok: false, reason: expect.stringContaining("a.json: not changed") });
    expect(gone).not.toEqual({ ok: false, reason: expect.stringContaining(dir) });
    expect((await bringBack(join(dir, "a.json"))).ok).toBe(false);
    expect(await listAside(join(dir, "nowhere"), plain)).toEqual([]);
    const full = await setAside(put(dir, "b.json"), {
      ...diskSteps,
      rename: async () => {
        throw Object.assign(new Error("full"), { code: "ENOSPC" });
      },
    });
    expect(full).toEqual({ ok: false, reason: expect.stringContaining("disk is full") });
  });
});

test("switching off changes one word of the file", async () => {
  const dir = makeFolder();
  const path = put(dir, "a.json");
  await switchOff(path, true, PEN);
  expect(readFileSync(path, "utf8")).toBe(
    '{"access_token": "at-a", "email": "a@example.com", "disabled": true}',
  );
  await switchOff(path, false, PEN);
  expect(readFileSync(path, "utf8")).toContain('"disabled": false');
  expect((await switchOff(put(dir, "b.json", "[]"), true, PEN)).ok).toBe(false);
});

test("discarding deletes that file and no other", async () => {
  const dir = makeFolder();
  const path = put(dir, "a.json");
  put(dir, "b.json");
  expect(await discard(path)).toEqual({ ok: true });
  expect(readdirSync(dir)).toEqual(["b.json"]);
  expect((await discard(path)).ok).toBe(false);
});

describe("a new login", () => {
  onPosix("gets a file of its own, for its owner's eyes only", async () => {
    const dir = makeFolder();
    const added = await putNew(dir, "me@example.com", ACCOUNT);
    expect(added).toEqual({ ok: true, source: join(dir, "me@example.com.json") });
    expect(statSync(join(dir, "me@example.com.json")).mode & 0o777).toBe(0o600);
    const again = await putNew(dir, "me@example.com", "{}");
    expect(again).toEqual({ ok: true, source: join(dir, "me@example.com.2.json") });
    expect(readFileSync(join(dir, "me@example.com.json"), "utf8")).toBe(ACCOUNT);
  });

  test("a name from outside leads nowhere else", async () => {
    const dir = makeFolder();
    mkdirSync(join(dir, "in"));
    for (const name of ["../../escape", "..", "a/b", "", "\u0000", "x".repeat(500)]) {
      const added = await putNew(join(dir, "in"), name, ACCOUNT);
      expect(added).toEqual({ ok: true, source: expect.stringContaining(join(dir, "in")) });
    }
    expect(readdirSync(dir)).toEqual(["in"]);
    expect(existsSync(join(dir, "escape.json"))).toBe(false);
    expect(readdirSync(join(dir, "in"))).toHaveLength(6);
  });

  test("of two that take one name in the same moment each gets a file", async () => {
    for (const hasLinks of [true, false]) {
      const dir = makeFolder();
      const refuse = async () => {
        throw Object.assign(new Error("no links"), { code: "EPERM" });
      };
      const base = hasLinks ? diskSteps : { ...diskSteps, link: refuse };
      // Between the look at the name and the taking of it, another process takes it.
      let isTaken = false;
      const create: Steps["create"] = async (...given) => {
        if (!isTaken) await putNew(dir, "me", '{"refresh_token": "theirs"}', base);
        isTaken = true;
        return diskSteps.create(...given);
      };
      const added = await putNew(dir, "me", '{"refresh_token": "ours"}', { ...base, create });
      expect(added).toEqual({ ok: true, source: join(dir, "me.2.json") });
      expect(readFileSync(join(dir, "me.json"), "utf8")).toContain("theirs");
      expect(readFileSync(join(dir, "me.2.json"), "utf8")).toContain("ours");
      expect(readdirSync(dir)).toHaveLength(2);
    }
  });

  test("of several processes that add under one name, none loses what it was told is added", async () => {
    const dir = makeFolder();
    const program = join(import.meta.dir, "add-loop.ts");
    const children = ["a", "b", "c"].map((who) =>
      Bun.spawn([process.execPath, program, dir, who, "40"], { stdout: "pipe", stderr: "inherit" }),
    );
    const said = await Promise.all(children.map(({ stdout }) => new Response(stdout).text()));
    const told = said.flatMap((text) =>
      text
        .trim()
        .split("\n")
        .map((line) => line.split(" ")),
    );
    expect(told).toHaveLength(120);
    for (const [token, path = ""] of told) {
      expect(readFileSync(path, "utf8")).toBe(JSON.stringify({ refresh_token: token }));
    }
    expect(readdirSync(dir)).toHaveLength(120);
  }, 30_000);

  test("a disk that fails when the name is to be taken leaves nothing behind", async () => {
    for (const code of ["EIO", "EPERM"]) {
      const dir = makeFolder();
      const fail = async () => {
        throw Object.assign(new Error("broken"), { code });
      };
      const steps = { ...diskSteps, link: fail, rename: fail };
      expect(await putNew(dir, "me", ACCOUNT, steps)).toMatchObject({ ok: false });
      expect(readdirSync(dir)).toEqual([]);
    }
  });

  test("a folder that takes nothing is told", async () => {
    expect((await putNew(join(makeFolder(), "gone"), "a", ACCOUNT)).ok).toBe(false);
  });
});
