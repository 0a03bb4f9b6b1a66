import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { isTemporary } from "../../src/store/beside.ts";
import { canWriteBeside, diskSteps, type Steps, writeDurably } from "../../src/store/durable.ts";
import { readLogin } from "../../src/store/record.ts";
import { onLinux, onPosix } from "../support/system.ts";
import { makeFolder } from "./folder.ts";

const FULL = Object.assign(new Error("no space left"), { code: "ENOSPC" });

describe("writeDurably", () => {
  onPosix("replaces a file, for the owner's eyes only", async () => {
    const path = join(makeFolder(), "a.json");
    writeFileSync(path, "a much longer old text", { mode: 0o644 });
    expect(await writeDurably(path, "new")).toEqual({ ok: true });
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("makes a new file", async () => {
    const path = join(makeFolder(), "a.json");
    expect(await writeDurably(path, "new")).toEqual({ ok: true });
    expect(readFileSync(path, "utf8")).toBe("new");
  });

  onPosix("writes through a symbolic link and leaves the link", async () => {
    const [dir, elsewhere] = [makeFolder(), makeFolder()];
    const [link, target] = [join(dir, "a.json"), join(elsewhere, "auth.json")];
    writeFileSync(target, "old");
    symlinkSync(target, link);
    expect(await writeDurably(link, "new")).toEqual({ ok: true });
    expect(readFileSync(target, "utf8")).toBe("new");
    expect(readdirSync(dir, { withFileTypes: true })[0]?.isSymbolicLink()).toBe(true);
    expect(readdirSync(elsewhere)).toEqual(["auth.json"]);
  });

  onPosix("takes a link to nowhere for an error", async () => {
    const path = join(makeFolder(), "a.json");
    symlinkSync("/nowhere/at/all", path);
    expect(await writeDurably(path, "new")).toMatchObject({
      ok: false,
      reason: expect.stringContaining("a.json: cannot be written, because it does not exist"),
    });
  });

  test("copes with the longest name that a file may have", async () => {
    const path = join(makeFolder(), `${"n".repeat(250)}.json`);
    expect(await writeDurably(path, "new")).toEqual({ ok: true });
  });

  // A crash after any step is a step that fails, with no tidying up after it.
  const crash = async (): Promise<never> => {
    throw FULL;
  };
  const crashes: [name: string, steps: Partial<Steps>, left: string][] = [
    ["while writing", { create: crash }, "old"],
    [
      "half-way through the new file",
      {
        create: async (path) => {
          writeFileSync(path, "ne");
          throw FULL;
        },
      },
      "old",
    ],
    ["before the rename", { rename: crash }, "old"],
    [
      "after the rename",
      {
        rename: async (from, to) => {
          await diskSteps.rename(from, to);
          throw FULL;
        },
      },
      "new",
    ],
    ["before the folder is on the disk", { syncFolder: crash }, "new"],
  ];
  test.each(crashes)("a crash %s leaves a whole file", async (_name, broken, left) => {
    const dir = makeFolder();
    const path = join(dir, "a.json");
    writeFileSync(path, "old");
    const steps: Steps = { ...diskSteps, remove: crash, ...broken };
    expect(await writeDurably(path, "new", { steps })).toEqual({
      ok: false,
      reason: "a.json: cannot be written, because the disk is full. Free some space.",
    });
    expect(readFileSync(path, "utf8")).toBe(left);
    for (const name of readdirSync(dir)) expect(name === "a.json" || isTemporary(name)).toBe(true);
  });

  test.each(crashes)("a failure %s leaves nothing lying about", async (_name, broken, left) => {
    const dir = makeFolder();
    const path = join(dir, "a.json");
    writeFileSync(path, "old");
    await writeDurably(path, "new", { steps: { ...diskSteps, ...broken } });
    expect(readdirSync(dir)).toEqual(["a.json"]);
    expect(readFileSync(path, "utf8")).toBe(left);
  });

  test("kill -9 at any moment leaves a whole account file", async () => {
    const dir = makeFolder();
    const path = join(dir, "a.json");
    writeFileSync(
      path,
      JSON.stringify({ note: "kept", access_token: "at-0", refresh_token: "rt_0" }),
    );
    let saves = 0;
    for (let round = 0; round < 20; round++) {
      const child = Bun.spawn(
        [process.execPath, join(import.meta.dir, "save-loop.ts"), dir, path],
        { stdout: "pipe", stderr: "inherit" },
      );
      // Killed after so many saves, at whatever step it then is.
      const reader = child.stdout.getReader();
      for (let seen = 0; seen <= round % 5; seen++) expect((await reader.read()).done).toBe(false);
      child.kill("SIGKILL");
      await child.exited;
      const content = readFileSync(path, "utf8");
      const reading = readLogin(content, path);
      if (!reading.ok) throw new Error(reading.fault.reason);
      const { accessToken = "", refreshToken = "" } = reading.login.credential;
      expect(accessToken.slice("at-".length)).toBe(refreshToken.slice("rt_".length));
      expect(content).toContain('"note":"kept"');
      saves = Number.parseInt(accessToken.slice("at-".length), 10);
      expect(saves).toBeGreaterThan(round % 5);
    }
  }, 60_000);
});

describe("canWriteBeside", () => {
  test("says yes and leaves no trace", async () => {
    const dir = makeFolder();
    expect(await canWriteBeside(join(dir, "a.json"))).toEqual({ ok: true });
    expect(readdirSync(dir)).toEqual([]);
  });

  onPosix("asks the folder that a link leads to", async () => {
    const path = join(makeFolder(), "a.json");
    const elsewhere = makeFolder();
    writeFileSync(join(elsewhere, "auth.json"), "x");
    symlinkSync(join(elsewhere, "auth.json"), path);
    const made: string[] = [];
    const create: Steps["create"] = (temp, ...rest) => {
      made.push(temp);
      return diskSteps.create(temp, ...rest);
    };
    expect(await canWriteBeside(path, { ...diskSteps, create })).toEqual({ ok: true });
    expect(made.map((temp) => temp.startsWith(elsewhere))).toEqual([true]);
  });

  onLinux("says why not", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "file"), "");
    expect(await canWriteBeside(join(dir, "gone", "a.json"))).toMatchObject({
      ok: false,
      reason: expect.stringContaining("it does not exist"),
    });
    expect(await canWriteBeside(join(dir, "file", "a.json"))).toMatchObject({
      ok: false,
      reason: expect.stringContaining("there is a file where a folder should be"),
    });
    expect(await canWriteBeside("/proc/a.json")).toMatchObject({ ok: false });
  });

  test("tells that the disk is full, and tidies up", async () => {
    const dir = makeFolder();
    await mkdir(join(dir, "sub"));
    const create: Steps["create"] = async (temp) => {
      writeFileSync(temp, "");
      throw FULL;
    };
    const path = join(dir, "sub", "a.json");
    expect(await canWriteBeside(path, { ...diskSteps, create })).toEqual({
      ok: false,
      reason: `${basename(path)}: cannot be written, because the disk is full. Free some space.`,
    });
    expect(readdirSync(join(dir, "sub"))).toEqual([]);
  });
});
