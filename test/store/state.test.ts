import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openStateFile, stateHead } from "../../src/store/state.ts";
import { onPosix } from "../support/system.ts";
import { makeFolder } from "./folder.ts";

const WHOLE = `{${stateHead},"accounts":{}}`;
const now = () => Date.now();

describe("the state file", () => {
  onPosix("is not there at first; what is written is read, by its owner only", async () => {
    const path = join(makeFolder(), "deeper", "state.json");
    const file = openStateFile(path, now);
    expect(await file.read()).toEqual({ type: "none" });
    expect(await file.isForeign()).toBe(false);
    expect(await file.write(WHOLE)).toEqual({ ok: true });
    expect(await file.isForeign()).toBe(false);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, "..")).mode & 0o777).toBe(0o700);
    expect(await openStateFile(path, now).read()).toMatchObject({ type: "state" });
  });

  test("the folders above its own are not made", async () => {
    const dir = makeFolder();
    const saved = await openStateFile(join(dir, "gone", "deeper", "state.json"), now).write(WHOLE);
    expect(saved).toMatchObject({ ok: false, reason: expect.stringContaining("state.json") });
    expect(readdirSync(dir)).toEqual([]);
  });

  test("shows when another process has written it", async () => {
    const path = join(makeFolder(), "state.json");
    const [one, other] = [openStateFile(path, now), openStateFile(path, now)];
    await one.write(WHOLE);
    await other.write(WHOLE);
    expect([await one.isForeign(), await other.isForeign()]).toEqual([true, false]);
    await one.read();
    expect(await one.isForeign()).toBe(false);
  });

  const strange: [name: string, content: string, words: string][] = [
    ["nothing at all", "", "broken"],
    ["half of it", WHOLE.slice(0, 40), "broken"],
    ["a list", "[]", "broken"],
    ["somebody else's", `{"version":"1.0","accounts":{}}`, "not this program's"],
    ["a newer version's", WHOLE.replace("1.0", "2.0"), "newer version"],
    ["of a version that is none", WHOLE.replace(`"1.0"`, "1"), "not known"],
  ];
  test.each(strange)(
    "%s is told and can be put aside, nothing of it lost",
    async (_name, content, words) => {
      const dir = makeFolder();
      const path = join(dir, "state.json");
      for (const aside of ["state.json.aside", "state.json.aside.2"]) {
        writeFileSync(path, content);
        const file = openStateFile(path, now);
        expect(await file.read()).toMatchObject({
          type: "strange",
          reason: expect.stringContaining(words),
        });
        expect(await file.putAside()).toEqual({ ok: true, name: aside });
        expect(readFileSync(join(dir, aside), "utf8")).toBe(content);
      }
    },
  );

  test("a newer minor is read", async () => {
    const path = join(makeFolder(), "state.json");
    writeFileSync(path, WHOLE.replace("1.0", "1.7"));
    expect((await openStateFile(path, now).read()).type).toBe("state");
  });

  test("a folder in its place is strange too", async () => {
    const dir = makeFolder();
    mkdirSync(join(dir, "state.json"));
    const file = openStateFile(join(dir, "state.json"), now);
    expect((await file.read()).type).toBe("strange");
    expect((await file.write(WHOLE)).ok).toBe(false);
  });

  test("a file in the place of its folder: it is not there, and cannot be written", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "folder"), "");
    const file = openStateFile(join(dir, "folder", "state.json"), now);
    expect(await file.read()).toEqual({ type: "none" });
    expect((await file.write(WHOLE)).ok).toBe(false);
    expect((await file.putAside()).ok).toBe(false);
  });

  test("what a killed write left goes at the next start, a young one stays", async () => {
    const dir = makeFolder();
    const [old, young] = ["0", "1"].map((digit) => `.codex-proxy-${digit.repeat(16)}.tmp`);
    for (const name of [old, young, "other.tmp"]) writeFileSync(join(dir, name ?? ""), "x");
    utimesSync(join(dir, old ?? ""), 1000, 1000);
    utimesSync(join(dir, "other.tmp"), 1000, 1000);
    await openStateFile(join(dir, "state.json"), now).read();
    expect(readdirSync(dir).toSorted()).toEqual([young ?? "", "other.tmp"]);
  });

  test("kill -9 at any moment leaves a whole state file", async () => {
    const path = join(makeFolder(), "state.json");
    for (let round = 0; round < 15; round++) {
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "state-loop.ts"), path], {
        stdout: "pipe",
        stderr: "inherit",
      });
      const reader = child.stdout.getReader();
      for (let seen = 0; seen <= round % 4; seen++) expect((await reader.read()).done).toBe(false);
      child.kill("SIGKILL");
      await child.exited;
      expect((await openStateFile(path, now).read()).type).toBe("state");
    }
  }, 60_000);
});
