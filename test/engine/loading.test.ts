import { describe, expect, test } from "bun:test";
import { createLoading } from "../../src/engine/loading.ts";
import { createLog } from "../../src/wire/log.ts";
import { createManualClock } from "../support/clock.ts";
import { NOON } from "./parts.ts";

const AWAY = "the database: it is not reachable.";

/** A loading whose tries come out as a test says; the last one counts for all further ones. */
function scene(...outcomes: readonly (string | Error | undefined)[]) {
  const clock = createManualClock(NOON);
  const lines: string[] = [];
  const log = createLog(
    () => ({ level: "info", format: "text" }),
    clock,
    (line) => lines.push(line.slice(13).trim()),
  );
  let tries = 0;
  let retryMs = 10_000;
  const loading = createLoading({
    load: async () => {
      const outcome = outcomes[Math.min(tries, outcomes.length - 1)];
      tries += 1;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    retryMs: () => retryMs,
    clock,
    log,
  });
  return {
    loading,
    lines,
    tries: () => tries,
    everyMs: (ms: number) => {
      retryMs = ms;
    },
    /** Lets time pass, and what it sets off end. */
    pass: async (ms: number): Promise<void> => {
      clock.advance(ms);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    },
  };
}

describe("the first loading", () => {
  test("that works is done with one try, and not a word", async () => {
    const { loading, lines, tries, pass } = scene(undefined);
    expect(loading.isDone()).toBe(false);
    await loading.begin();
    await pass(3_600_000);
    await loading.begin();
    expect([loading.isDone(), tries(), lines]).toEqual([true, 1, []]);
  });

  test("that fails is tried again till it works, and each reason is told once", async () => {
    const { loading, lines, tries, pass } = scene(AWAY, AWAY, "the database: no.", AWAY, undefined);
    await loading.begin();
    expect([loading.isDone(), tries()]).toEqual([false, 1]);
    await pass(9999);
    expect(tries()).toBe(1);
    await pass(1);
    expect(tries()).toBe(2);
    for (let more = 0; more < 5; more++) await pass(10_000);
    expect([loading.isDone(), tries()]).toEqual([true, 5]);
    expect(lines).toEqual([
      `ERROR the accounts cannot be loaded; it is tried again reason="${AWAY}" seconds=10`,
      'ERROR the accounts cannot be loaded; it is tried again reason="the database: no." seconds=10',
      `ERROR the accounts cannot be loaded; it is tried again reason="${AWAY}" seconds=10`,
      "INFO  the accounts are loaded",
    ]);
  });

  test("goes by the pause that is set now", async () => {
    const { loading, tries, pass, everyMs } = scene(AWAY);
    everyMs(1000);
    await loading.begin();
    everyMs(60_000);
    await pass(1000);
    await pass(59_999);
    expect(tries()).toBe(2);
    await pass(1);
    expect(tries()).toBe(3);
  });

  test("that breaks is told in the words of what broke it, and tried again", async () => {
    const { loading, lines, pass } = scene(new Error("the disk is gone"), undefined);
    await loading.begin();
    expect(lines[0]).toContain('reason="the disk is gone"');
    await pass(10_000);
    expect(loading.isDone()).toBe(true);
  });

  test("is not tried again once it is stopped", async () => {
    const { loading, tries, pass } = scene(AWAY);
    await loading.begin();
    loading.stop();
    await pass(3_600_000);
    await loading.begin();
    expect(tries()).toBe(1);
  });

  test("nor when it is stopped while a try is under way", async () => {
    const { loading, tries, pass } = scene(AWAY);
    const trying = loading.begin();
    loading.stop();
    await trying;
    await pass(3_600_000);
    expect(tries()).toBe(1);
  });

  test("what a request is told that comes before: to come again in a moment", () => {
    expect(scene(AWAY).loading.failure()).toMatchObject({
      kind: "no-account",
      message: expect.stringContaining("still being loaded"),
      resetsAtMs: NOON + 5000,
    });
  });

  test("whoever needs it at once is told why it does not work", async () => {
    const { loading, tries } = scene(AWAY, undefined);
    await expect(loading.need()).rejects.toThrow(`the accounts cannot be loaded: ${AWAY}`);
    await loading.need();
    expect([loading.isDone(), tries()]).toEqual([true, 2]);
    await loading.begin();
    expect(tries()).toBe(2);
  });
});
