import { expect, test } from "bun:test";
import type { Database, Run } from "../../../src/store/sql/database.ts";
import { DIALECTS } from "../../../src/store/sql/dialect.ts";
import { createFeed } from "../../../src/store/sql/feed.ts";
import { createManualClock } from "../../support/clock.ts";

/** A database that only counts changes, and tells of them where it `tells`. */
function scripted(tells: boolean) {
  const clock = createManualClock(1_000_000);
  const state = {
    revision: 1,
    asked: 0,
    note: (): void => {},
    held: undefined as Promise<void> | undefined,
  };
  const run: Run = async (statement) => {
    if (statement.startsWith("SELECT revision, deletions")) state.asked += 1;
    // What is answered late is of the moment of the question.
    const { revision } = state;
    await state.held;
    return { rows: [{ revision, deletions: 0 }], count: 1 };
  };
  const database: Database = {
    dialect: DIALECTS.postgres,
    place: { driver: "sqlite", path: "" },
    run,
    begin: (task) => task(run),
    reserve: (task) => task(run),
    listen: tells
      ? async (_channel, onNote) => {
          state.note = onNote;
          return () => {};
        }
      : undefined,
    statements: () => 0,
    trouble: () => undefined,
    close: async () => {},
  };
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 10) {
      clock.advance(Math.min(left, 10));
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  };
  return { feed: createFeed(database, clock), clock, state, pass };
}

test("looks once a second where nobody tells, and every five where somebody has", async () => {
  const silent = scripted(false);
  silent.feed.watch(() => {});
  await silent.pass(10_000);
  expect(silent.state.asked).toBe(10);
  const telling = scripted(true);
  telling.feed.watch(() => {});
  await telling.pass(1000);
  telling.state.note();
  await telling.pass(200);
  const before = telling.state.asked;
  await telling.pass(10_000);
  expect(telling.state.asked - before).toBe(2);
});

test("one note after another does not put a look off", async () => {
  const { feed, state, pass } = scripted(true);
  let calls = 0;
  feed.watch(() => void calls++);
  await pass(1100);
  const before = calls;
  for (let number = 0; number < 40; number++) {
    state.revision += 1;
    state.note();
    await pass(50);
  }
  // Two seconds of a note every 50 ms: a look every 100 ms or so.
  expect(calls - before).toBeGreaterThan(10);
});

test("a note that comes while it looks is not lost", async () => {
  const { feed, state, pass } = scripted(true);
  let calls = 0;
  feed.watch(() => void calls++);
  await pass(1100);
  state.note();
  await pass(200);
  const before = calls;
  // The answer of this look is of before the change.
  const { promise, resolve } = Promise.withResolvers<void>();
  state.held = promise;
  state.note();
  await pass(150);
  state.revision += 1;
  state.note();
  await pass(50);
  state.held = undefined;
  resolve();
  await pass(300);
  expect(calls - before).toBe(1);
});
