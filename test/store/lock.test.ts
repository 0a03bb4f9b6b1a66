import { describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { besideOf } from "../../src/store/beside.ts";
import { diskSteps, type Steps } from "../../src/store/durable.ts";
import { createLocks, type Lock, type Taken } from "../../src/store/lock.ts";
import { ourselves } from "../../src/store/owner.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { within } from "../support/until.ts";
import { makeFolder } from "./folder.ts";

const NOON = Date.parse("2026-11-21T12:00:00Z");
const DAY_MS = 86_400_000;
const HOLD_MS = 60_000;
const AT_ONCE = { holdMs: HOLD_MS, waitMs: 0 };
const IS_ROOT = process.getuid?.() === 0;

function stage() {
  const target = join(makeFolder(), "a.json");
  const clock = createPacedClock(NOON);
  return { target, path: besideOf(target, "lock"), clock, locks: createLocks(clock) };
}

function lockOf(taken: Taken): Lock {
  if (!taken.ok) throw new Error(taken.reason);
  return taken.lock;
}

/** A manual clock that knows whether anybody waits for it. */
type PacedClock = ManualClock & { readonly waiting: () => number };

function createPacedClock(startMs: number): PacedClock {
  const clock = createManualClock(startMs);
  let waiting = 0;
  return {
    ...clock,
    waiting: () => waiting,
    after: (delayMs, fire) => {
      waiting += 1;
      return clock.after(delayMs, () => {
        waiting -= 1;
        fire();
      });
    },
  };
}

/** Moves time on, whenever somebody waits for it and not otherwise, until `promise` is settled. */
async function pass<T>(clock: PacedClock, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const over = promise.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    if (clock.waiting() > 0) clock.advance(10);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return over;
}

/** What a lock file of a process elsewhere, or one that is no more, may say. */
async function note(changes: object): Promise<string> {
  const { place } = await ourselves();
  const said = { place, pid: 4_194_304, start: "1", nonce: "n", holdMs: HOLD_MS };
  return JSON.stringify({ ...said, untilMs: NOON + HOLD_MS, ...changes });
}

describe("take", () => {
  test("one holder at a time, and nothing is left of it", async () => {
    const { target, path, clock, locks } = stage();
    const lock = lockOf(await locks.take(target, AT_ONCE));
    expect(await lock.isStillOurs()).toBe(true);
    expect(readFileSync(path, "utf8")).toContain(`"pid":${process.pid}`);
    for (const others of [locks, createLocks(clock)]) {
      expect(await others.take(target, AT_ONCE)).toMatchObject({
        ok: false,
        isBusy: true,
        reason: expect.stringContaining("Another process is renewing this login"),
      });
    }
    await lock.release();
    expect(await lock.isStillOurs()).toBe(false);
    expect(readdirSync(join(target, ".."))).toEqual([]);
    lockOf(await locks.take(target, AT_ONCE));
  });

  test("files in one folder have locks of their own, however long their names", async () => {
    const { target, locks } = stage();
    const long = join(target, "..", `${"n".repeat(250)}.json`);
    lockOf(await locks.take(target, AT_ONCE));
    lockOf(await locks.take(long, AT_ONCE));
  });

  test("who waits gets it when it is given up, and gives up when it is not", async () => {
    const { target, clock, locks } = stage();
    const lock = lockOf(await locks.take(target, AT_ONCE));
    const waiting = locks.take(target, { holdMs: HOLD_MS, waitMs: 5000 });
    const impatient = pass(clock, locks.take(target, { holdMs: HOLD_MS, waitMs: 1000 }));
    expect(await impatient).toMatchObject({ ok: false, isBusy: true });
    await lock.release();
    lockOf(await pass(clock, waiting));
  });

  test("who is not wanted any more stops waiting", async () => {
    const { target, clock, locks } = stage();
    lockOf(await locks.take(target, AT_ONCE));
    let isWanted = true;
    const wish = { holdMs: HOLD_MS, waitMs: DAY_MS, isWanted: () => isWanted };
    const waiting = locks.take(target, wish);
    isWanted = false;
    expect(await pass(clock, waiting)).toMatchObject({ ok: false, isBusy: true });
  });

  test.skipIf(IS_ROOT)("a folder that takes nothing is told as such", async () => {
    const { target, locks } = stage();
    chmodSync(join(target, ".."), 0o500);
    expect(await locks.take(target, AT_ONCE)).toMatchObject({ ok: false, isBusy: false });
  });

  test("a folder that is gone is told as such", async () => {
    const { locks } = stage();
    expect(await locks.take("/nowhere/at/all/a.json", AT_ONCE)).toMatchObject({
      ok: false,
      isBusy: false,
      reason:
        "a.json: new tokens could not be stored beside it, because it does not exist (any more). Put it back, or correct auth-dir.",
    });
  });

  test("a file system without hard links", async () => {
    const { target, clock } = stage();
    const link: Steps["link"] = async () => {
      throw Object.assign(new Error("not here"), { code: "EPERM" });
    };
    const locks = createLocks(clock, { ...diskSteps, link });
    const lock = lockOf(await locks.take(target, AT_ONCE));
    expect(await locks.take(target, AT_ONCE)).toMatchObject({ ok: false, isBusy: true });
    await lock.release();
    expect(readdirSync(join(target, ".."))).toEqual([]);
  });
});

describe("locks that others left", () => {
  const left: [name: string, changes: object, afterMs: number][] = [
    ["of a process that is dead is taken over at once", {}, 0],
    ["of a dead one whose clock was a day ahead, too", { untilMs: NOON + DAY_MS }, 0],
    ["of one whose number somebody else has by now, too", { pid: process.ppid }, 0],
    ["of our own number, from an earlier process, too", { pid: process.pid }, 0],
    ["of another host whose time has passed, too", { place: "x", untilMs: NOON }, 0],
    ["of another host is respected for its time", { place: "x" }, HOLD_MS],
    [
      "of another host, from the future, is respected for as long as its owner asked for, watched",
      { place: "x", untilMs: NOON + DAY_MS },
      HOLD_MS,
    ],
    [
      "that asks for ever is not believed",
      { place: "x", untilMs: NOON + 1e15, holdMs: 1e15 },
      3_600_000,
    ],
  ];
  test.each(left)("one %s", async (_name, changes, afterMs) => {
    const { target, path, clock, locks } = stage();
    writeFileSync(path, await note(changes));
    const taking = locks.take(target, { holdMs: HOLD_MS, waitMs: DAY_MS });
    const lock = lockOf(await pass(clock, taking));
    expect(clock.now() - NOON).toBeGreaterThanOrEqual(afterMs);
    expect(clock.now() - NOON).toBeLessThanOrEqual(afterMs * 1.1);
    await lock.release();
    expect(readdirSync(join(target, ".."))).toEqual([]);
  });

  const garbage = ["", "{", "null", '{"pid":1}', '{"pid":-1,"place":"x"}', "\0".repeat(4096)];
  test.each(garbage)("one that holds garbage is taken over soon: %#", async (content) => {
    const { target, path, clock, locks } = stage();
    writeFileSync(path, content);
    lockOf(await pass(clock, locks.take(target, { holdMs: HOLD_MS, waitMs: DAY_MS })));
    expect(clock.now() - NOON).toBeGreaterThanOrEqual(2000);
    expect(clock.now() - NOON).toBeLessThan(4000);
  });

  test("a living one is never taken over because a clock jumped a day, either way", async () => {
    const { target, locks, clock } = stage();
    const lock = lockOf(await locks.take(target, AT_ONCE));
    for (const jumpMs of [DAY_MS, -DAY_MS]) {
      const jumped = createManualClock(NOON + jumpMs);
      expect(await createLocks(jumped).take(target, AT_ONCE)).toMatchObject({ isBusy: true });
    }
    expect(await lock.isStillOurs()).toBe(true);
    // Its own clock: it cannot know whether it was frozen for a day, and so it does not spend a token.
    clock.advance(DAY_MS);
    expect(await lock.isStillOurs()).toBe(false);
    await lock.release();
    lockOf(await locks.take(target, AT_ONCE));
  });

  test("a living one that stands still for all its time is taken over, and notices", async () => {
    const { target, clock, locks } = stage();
    const frozen = lockOf(await createLocks(createManualClock(NOON)).take(target, AT_ONCE));
    const wish = { holdMs: HOLD_MS, waitMs: 2 * HOLD_MS };
    const lock = lockOf(await pass(clock, locks.take(target, wish)));
    expect(await frozen.isStillOurs()).toBe(false);
    // Its late release takes nothing away from the new holder.
    await frozen.release();
    expect(await lock.isStillOurs()).toBe(true);
  });

  test("a claim that a dead process left on a dead lock is no obstacle", async () => {
    const { target, path, locks, clock } = stage();
    writeFileSync(path, await note({}));
    const dead = await note({ nonce: "m" });
    // Dies with the claim in its hands, twice.
    let links = 0;
    const link: Steps["link"] = async (from, to) => {
      links += 1;
      if (links <= 2) writeFileSync(to, dead, { flag: "wx" });
      return diskSteps.link(from, to);
    };
    const dying = createLocks(clock, { ...diskSteps, link });
    await dying.take(target, AT_ONCE);
    lockOf(await pass(clock, locks.take(target, { holdMs: HOLD_MS, waitMs: 5000 })));
  });

  test("two waiters who both saw the dead lock: the slower one does not remove the winner's", async () => {
    const { target, path, locks, clock } = stage();
    writeFileSync(path, await note({}));
    let winner: Lock | undefined;
    // After the slower one's look at the lock, and before anything comes of it, the other one is done.
    const put: Steps["put"] = async (file, content) => {
      winner ??= lockOf(await locks.take(target, AT_ONCE));
      return diskSteps.put(file, content);
    };
    const slower = createLocks(clock, { ...diskSteps, put });
    expect(await slower.take(target, AT_ONCE)).toMatchObject({ ok: false, isBusy: true });
    expect(await winner?.isStillOurs()).toBe(true);
  });

  test("while one of them removes the dead lock, the other one cannot", async () => {
    const { target, path, locks, clock } = stage();
    writeFileSync(path, await note({}));
    const others: Taken[] = [];
    const remove: Steps["remove"] = async (file) => {
      if (file === path) others.push(await locks.take(target, AT_ONCE));
      return diskSteps.remove(file);
    };
    const first = createLocks(clock, { ...diskSteps, remove });
    const lock = lockOf(await first.take(target, AT_ONCE));
    expect(others).toMatchObject([{ ok: false, isBusy: true }]);
    expect(await lock.isStillOurs()).toBe(true);
  });
});

describe("every order of steps", () => {
  /** Somebody who takes the lock a few times, and may be killed before one of the steps on the way. */
  type Player = { readonly rounds: number; readonly lastStep: number };

  const player = fc.record({
    rounds: fc.integer({ min: 1, max: 2 }),
    // Beyond what it takes: not killed at all.
    lastStep: fc.integer({ min: 0, max: 40 }),
  });

  async function play(scheduler: fc.Scheduler, players: readonly Player[], isLeft: boolean) {
    const target = join(makeFolder(), "a.json");
    if (isLeft) writeFileSync(besideOf(target, "lock"), await note({ place: "x", pid: 99 }));
    const dead = new Set<number>([99]);
    const inside = new Set<number>();
    const entered: number[] = [];
    let most = 0;

    const run = async ({ rounds, lastStep }: Player, pid: number): Promise<void> => {
      let left = lastStep;
      const end = Promise.withResolvers<void>();
      /** Waits for this step's turn; the dead wait for ever. */
      const turn = async (): Promise<void> => {
        await scheduler.schedule(Promise.resolve(), `player ${pid}`);
        left -= 1;
        if (left >= 0) return;
        dead.add(pid);
        // What it held is free from the moment of its death.
        inside.delete(pid);
        end.resolve();
        await new Promise<never>(() => {});
      };
      const steps: Steps = {
        ...diskSteps,
        put: (...given) => turn().then(() => diskSteps.put(...given)),
        link: (...given) => turn().then(() => diskSteps.link(...given)),
        remove: (...given) => turn().then(() => diskSteps.remove(...given)),
      };
      const clock = {
        now: () => NOON,
        after: (_ms: number, fire: () => void) => {
          void scheduler.schedule(Promise.resolve(), `pause of ${pid}`).then(fire);
          return () => {};
        },
      };
      const locks = createLocks(clock, steps, {
        ourselves: async () => ({ place: "x", pid, start: "" }),
        lifeOf: async (owner) => (dead.has(owner.pid) ? "dead" : "alive"),
      });
      const work = async (): Promise<void> => {
        for (let round = 0; round < rounds; round++) {
          const lock = lockOf(await locks.take(target, { holdMs: 3_600_000, waitMs: 3_000_000 }));
          inside.add(pid);
          entered.push(pid);
          most = Math.max(most, inside.size);
          await turn();
          most = Math.max(most, inside.size);
          expect(await lock.isStillOurs()).toBe(true);
          inside.delete(pid);
          await lock.release();
        }
      };
      await Promise.race([work(), end.promise]);
    };
    await scheduler.waitFor(Promise.all(players.map((each, at) => run(each, at + 1))));
    rmSync(dirname(target), { recursive: true });
    return { most, entered, dead };
  }

  test("B7-1: whoever is killed wherever, one is inside at a time, and all others get in", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(player, { minLength: 2, maxLength: 4 }),
        fc.boolean(),
        async (scheduler, players, isLeft) => {
          const { most, entered, dead } = await play(scheduler, players, isLeft);
          expect(most).toBeLessThanOrEqual(1);
          for (const [at, { rounds }] of players.entries()) {
            if (dead.has(at + 1)) continue;
            expect(entered.filter((pid) => pid === at + 1)).toHaveLength(rounds);
          }
        },
      ),
      { numRuns: 1000 },
    );
  }, 60_000);
});

describe("several processes", () => {
  test("B7-1: five that are killed at random while they contend are never inside at once", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "counter"), "0");
    const port = await freePort();
    const program = join(import.meta.dir, "contend.ts");
    const start = () =>
      Bun.spawn([process.execPath, program, dir, String(port)], {
        stdout: "pipe",
        stderr: "pipe",
        stdin: "ignore",
      });
    const children = Array.from({ length: 5 }, start);
    const deaths: (number | null)[] = [];
    const complaints: string[] = [];
    for (let kill = 0; kill < 40; kill++) {
      const at = kill % children.length;
      const child = children[at];
      if (child === undefined) throw new Error("there are five");
      // It gets in sooner or later, or everybody is stuck.
      const { done } = await within("it gets the lock", child.stdout.getReader().read(), 30_000);
      if (!done) child.kill("SIGKILL");
      deaths.push(await child.exited);
      complaints.push(await new Response(child.stderr).text());
      children[at] = start();
    }
    for (const child of children) child.kill("SIGKILL");
    for (const child of children) complaints.push(await new Response(child.stderr).text());
    expect(complaints.join("")).toBe("");
    expect(deaths.every((code) => code === 137)).toBe(true);
    // Nobody's lock is left for good.
    const locks = createLocks(systemClock);
    const wish = { holdMs: HOLD_MS, waitMs: 10_000 };
    await lockOf(await locks.take(join(dir, "a.json"), wish)).release();
    expect(readdirSync(dir).filter((name) => name.endsWith(".lock"))).toEqual([]);
  }, 120_000);

  test("one that is stopped past its time is taken over", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "counter"), "0");
    const program = join(import.meta.dir, "contend.ts");
    const child = Bun.spawn([process.execPath, program, dir, String(await freePort())], {
      stdout: "pipe",
      stderr: "pipe",
    });
    await child.stdout.getReader().read();
    const path = besideOf(join(dir, "a.json"), "lock");
    const clock = createPacedClock(Date.now());
    // Stopped again and again until that is while it holds the lock, and is not about to give it up: what a living
    // process has claimed, nobody takes from it.
    for (let isHeld = false; !isHeld; ) {
      child.kill("SIGSTOP");
      const names = readdirSync(dir);
      const isLeaving = names.some((name) => name.endsWith(".claim"));
      isHeld = !isLeaving && names.some((name) => path.endsWith(name));
      if (!isHeld) child.kill("SIGCONT");
    }
    const locks = createLocks(clock);
    const target = join(dir, "a.json");
    expect(await locks.take(target, AT_ONCE)).toMatchObject({ ok: false, isBusy: true });
    const lock = lockOf(
      await pass(clock, locks.take(target, { holdMs: HOLD_MS, waitMs: 2 * HOLD_MS })),
    );
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    await child.exited;
    expect(await lock.isStillOurs()).toBe(true);
  }, 30_000);
});

/** A port that nobody listens on, below those that the system gives to connections by itself. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => {
      server.close(resolve);
    });
    return port;
  }
}
