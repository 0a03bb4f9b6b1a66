import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diskSteps, type Slot, type Steps } from "../../../src/store/durable.ts";
import { createSealer, SEALED_TYPE } from "../../../src/store/seal.ts";
import { createSpill, type Spilled, type SpillSlot } from "../../../src/store/sql/spill.ts";
import { onPosix } from "../../support/system.ts";
import { makeFolder } from "../folder.ts";

const PLAIN = createSealer([]);
const NOW = Date.now();

const SPILLED: Spilled = {
  name: "ann@example.com.json",
  from: "0123456789abcdef",
  credential: {
    accessToken: "at-2",
    refreshToken: "rt_2",
    idToken: "id-2",
    issuedAtMs: 1000,
    expiresAtMs: 2000,
  },
  atMs: 3000,
};

const opened: Slot[] = [];

/** The disk; what a killed process leaves open is closed after the test, as the system would. */
const disk: Steps = {
  ...diskSteps,
  reserve: async (...given) => {
    const slot = await diskSteps.reserve(...given);
    opened.push(slot);
    return slot;
  },
};

afterEach(async () => {
  for (const slot of opened.splice(0)) await slot.close().catch(() => {});
});

function spillIn(dir: string, { steps = disk, sealer = PLAIN, now = () => NOW } = {}) {
  return createSpill(dir, sealer, steps, now);
}

async function slotOf(
  spill: ReturnType<typeof createSpill>,
  name = SPILLED.name,
): Promise<SpillSlot> {
  const slot = await spill.prepare(name);
  if ("ok" in slot) throw new Error(slot.reason);
  return slot;
}

function failing(step: Partial<Steps>): Steps {
  return { ...disk, ...step };
}

const full = async () => {
  throw Object.assign(new Error("full"), { code: "ENOSPC" });
};

describe("tokens on their way", () => {
  onPosix(
    "what is kept is read by the next process as it was, and is for its owner's eyes only",
    async () => {
      const dir = join(makeFolder(), "deep", "unsaved");
      const spill = spillIn(dir);
      expect((await spill.read()).size).toBe(0);
      const slot = await slotOf(spill);
      slot.write(SPILLED);
      expect(await slot.keep()).toEqual({ ok: true });
      expect([statSync(dir).mode & 0o777, statSync(slot.file).mode & 0o777]).toEqual([
        0o700, 0o600,
      ]);
      expect(readFileSync(slot.file, "utf8")).not.toMatch(/\s\n$/);
      const next = spillIn(dir);
      expect([...(await next.read())]).toEqual([[slot.file, SPILLED]]);
      await next.remove(slot.file);
      await next.remove(slot.file);
      expect(readdirSync(dir)).toEqual([]);
    },
  );

  test("its name says nothing of whose they are", async () => {
    const { file } = await slotOf(spillIn(makeFolder()));
    expect(file).not.toContain("ann");
    expect(file).toMatch(/[0-9a-f]{16}-[0-9a-f]{8}\.spill$/);
  });

  test.each([{ accessToken: "at" }, { refreshToken: "rt" }])(
    "%p alone comes back alone",
    async (credential) => {
      const dir = makeFolder();
      const slot = await slotOf(spillIn(dir));
      slot.write({ ...SPILLED, credential });
      await slot.keep();
      expect([...(await spillIn(dir).read()).values()]).toEqual([{ ...SPILLED, credential }]);
    },
  );

  test("what the database has got is dropped, at whatever point", async () => {
    const dir = makeFolder();
    const spill = spillIn(dir);
    await (await slotOf(spill)).drop();
    const written = await slotOf(spill);
    written.write(SPILLED);
    await written.drop();
    const kept = await slotOf(spill);
    kept.write(SPILLED);
    await kept.keep();
    await kept.drop();
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe("a kill", () => {
  test("before the tokens came leaves a blank file: a young one stays, an old one goes", async () => {
    const dir = makeFolder();
    const { file } = await slotOf(spillIn(dir));
    expect(statSync(file).size).toBeGreaterThan(0);
    expect((await spillIn(dir).read()).size).toBe(0);
    expect(readdirSync(dir)).toHaveLength(1);
    utimesSync(file, NOW / 1000 - 3601, NOW / 1000 - 3601);
    expect((await spillIn(dir).read()).size).toBe(0);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("right after they came loses nothing", async () => {
    const dir = makeFolder();
    const slot = await slotOf(spillIn(dir));
    slot.write(SPILLED);
    expect([...(await spillIn(dir).read()).values()]).toEqual([SPILLED]);
  });

  test.each(["settle", "syncFolder"] as const)(
    "in the midst of keeping them, at %s, loses nothing",
    async (point) => {
      const dir = makeFolder();
      const steps =
        point === "syncFolder"
          ? failing({ syncFolder: full })
          : failing({
              reserve: async (...given) => ({
                ...(await diskSteps.reserve(...given)),
                settle: full,
              }),
            });
      const slot = await slotOf(spillIn(dir, { steps }));
      slot.write(SPILLED);
      expect(await slot.keep()).toEqual({
        ok: false,
        reason:
          "new tokens cannot be kept on this machine, because the disk is full. Free some space.",
      });
      expect([...(await spillIn(dir).read()).values()]).toEqual([SPILLED]);
    },
  );

  test.each([1, 20, 60])(
    "in the midst of the write, after %p bytes: nobody takes half for whole, and it stays",
    async (bytes) => {
      const dir = makeFolder();
      const whole = await slotOf(spillIn(dir));
      whole.write(SPILLED);
      const torn = readFileSync(whole.file, "utf8").slice(0, bytes).padEnd(4096);
      writeFileSync(whole.file, torn);
      utimesSync(whole.file, 0, 0);
      expect((await spillIn(dir).read()).size).toBe(0);
      expect(readFileSync(whole.file, "utf8")).toBe(torn);
    },
  );
});

describe("a folder", () => {
  test("that two processes use: each has files of its own, and finds the other's tokens", async () => {
    const dir = makeFolder();
    const [one, other] = [spillIn(dir), spillIn(dir)];
    const [mine, theirs] = [await slotOf(one), await slotOf(other)];
    expect(mine.file).not.toBe(theirs.file);
    mine.write(SPILLED);
    theirs.write({ ...SPILLED, from: "fedcba9876543210", atMs: 4000 });
    const found = await one.read();
    expect(found.get(mine.file)).toEqual(SPILLED);
    expect(found.get(theirs.file)).toMatchObject({ from: "fedcba9876543210" });
    await theirs.drop();
    expect([...(await one.read()).keys()]).toEqual([mine.file]);
  });

  test("with files that are none of these: they are left alone", async () => {
    const dir = makeFolder();
    const strange: Readonly<Record<string, string>> = {
      "a.spill": "{",
      "b.spill": '{"name":"a.json","from":"x"}',
      "c.spill": '{"name":"a.json","at":1,"accessToken":"x"}',
      "d.spill": '{"name":7,"from":"x","at":1,"accessToken":"x"}',
      "e.spill": '{"name":"a.json","from":"x","at":1,"accessToken":7}',
      "notes.txt": JSON.stringify({ ...SPILLED, ...SPILLED.credential, at: 1 }),
    };
    for (const [name, content] of Object.entries(strange)) writeFileSync(join(dir, name), content);
    mkdirSync(join(dir, "folder.spill"));
    expect((await spillIn(dir).read()).size).toBe(0);
    for (const [name, content] of Object.entries(strange)) {
      expect(readFileSync(join(dir, name), "utf8")).toBe(content);
    }
  });

  test("that cannot be, and a disk that is full, are told before a token is spent", async () => {
    const taken = join(makeFolder(), "taken");
    writeFileSync(taken, "I am a file");
    const none = await spillIn(taken).prepare("ann.json");
    expect(none).toMatchObject({
      ok: false,
      reason: expect.stringMatching(
        /^ann\.json: no file for its new tokens can be made beside the state file, because/,
      ),
    });
    const short = await spillIn(makeFolder(), { steps: failing({ reserve: full }) }).prepare(
      "ann.json",
    );
    expect(short).toMatchObject({ ok: false, reason: expect.stringContaining("the disk is full") });
  });

  test("a write that fails is tried again where the tokens are to stay", async () => {
    const dir = makeFolder();
    let isBroken = true;
    const steps = failing({
      reserve: async (...given) => {
        const slot = await disk.reserve(...given);
        return {
          ...slot,
          write: (content) => {
            if (isBroken) throw Object.assign(new Error("io"), { code: "EIO" });
            slot.write(content);
          },
        };
      },
    });
    const slot = await slotOf(spillIn(dir, { steps }));
    slot.write(SPILLED);
    isBroken = false;
    expect(await slot.keep()).toEqual({ ok: true });
    expect([...(await spillIn(dir).read()).values()]).toEqual([SPILLED]);
  });
});

describe("with a key", () => {
  const keyed = createSealer([new Uint8Array(32).fill(7)]);

  test("nothing of a token lies there in the clear, and who has the key reads it", async () => {
    const dir = makeFolder();
    const slot = await slotOf(spillIn(dir, { sealer: keyed }));
    slot.write(SPILLED);
    await slot.keep();
    const stored = readFileSync(slot.file, "utf8");
    expect(stored).toContain(SEALED_TYPE);
    for (const secret of ["at-2", "rt_2", "ann"]) expect(stored).not.toContain(secret);
    expect([...(await spillIn(dir, { sealer: keyed }).read()).values()]).toEqual([SPILLED]);
    // Who has not finds nothing, and leaves it.
    expect((await spillIn(dir).read()).size).toBe(0);
    expect(readdirSync(dir)).toHaveLength(1);
  });
});
