import { expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { watchFolder } from "../../src/store/watch.ts";
import { createManualClock } from "../support/clock.ts";
import { makeFolder } from "./folder.ts";

/** A folder watch whose looks are recorded and can be waited for. */
function start(dir: string, scanIntervalMs: () => number) {
  const clock = createManualClock(0);
  const looks: boolean[] = [];
  const waiting: (() => void)[] = [];
  const stop = watchFolder({
    dir,
    clock,
    scanIntervalMs,
    look: async (isScan) => {
      looks.push(isScan);
      for (const wake of waiting.splice(0)) wake();
    },
  });
  const until = async (count: number): Promise<void> => {
    while (looks.length < count) await new Promise<void>((wake) => waiting.push(wake));
  };
  return { clock, looks, until, stop };
}

test("looks at once, and then at every interval, as it is set at the time", async () => {
  let intervalMs = 1000;
  const { clock, looks, until, stop } = start(makeFolder(), () => intervalMs);
  await until(1);
  clock.advance(999);
  clock.advance(1);
  await until(2);
  intervalMs = 10;
  clock.advance(1000);
  await until(3);
  clock.advance(10);
  await until(4);
  stop();
  expect(looks).toEqual([false, true, true, true]);
});

test("with no interval it does not look, until there is one again", async () => {
  let intervalMs = 0;
  const { clock, looks, until, stop } = start(makeFolder(), () => intervalMs);
  await until(1);
  clock.advance(100_000);
  intervalMs = 5;
  clock.advance(30_000);
  await until(2);
  stop();
  expect(looks).toEqual([false, true]);
});

test("works without a folder, by looking", async () => {
  const { clock, until, stop } = start("/nowhere/at/all", () => 1000);
  await until(1);
  clock.advance(1000);
  await until(2);
  stop();
});

test("a steady flow of changes does not put the look off for ever", async () => {
  const dir = makeFolder();
  const { clock, looks, until, stop } = start(dir, () => 1e9);
  await until(1);
  // A change in every millisecond of the watch's time is never quiet; only the longest wait ends it.
  for (let i = 0; i < 2000 && looks.length < 2; i++) {
    writeFileSync(join(dir, `${i}`), "");
    clock.advance(1);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  stop();
  expect(looks).toEqual([false, false]);
});

const replacements: [name: string, remove: (dir: string) => void][] = [
  ["deleted", (dir) => rmSync(dir, { recursive: true })],
  ["moved away", (dir) => renameSync(dir, `${dir}-old`)],
];
test.each(replacements)(
  "a folder %s and made anew between two scans is watched again",
  async (_name, remove) => {
    const dir = join(makeFolder(), "auths");
    mkdirSync(dir);
    const { clock, looks, until, stop } = start(dir, () => 1e9);
    await until(1);
    remove(dir);
    mkdirSync(dir);
    clock.advance(1e9);
    const isScanned = () => looks.includes(true);
    while (!isScanned()) await until(looks.length + 1);
    // The removal itself may be noticed late and cause a look or two; more than that comes from the new folder only.
    const enough = looks.length + 5;
    for (let i = 0; i < 5000 && looks.length < enough; i++) {
      writeFileSync(join(dir, `${i}`), "");
      clock.advance(100);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    stop();
    expect(looks.length).toBeGreaterThanOrEqual(enough);
    expect(looks.filter((isScan) => isScan)).toHaveLength(1);
  },
);
