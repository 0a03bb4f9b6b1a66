import { describe, expect, test } from "bun:test";
import { createHomes, type Homes } from "../../src/engine/homes.ts";
import { type Affinity, createAffinity, type Home } from "../../src/pool/affinity.ts";
import type { SharedHome } from "../../src/store/sql/sharing.ts";
import { HOUR, MINUTE, NOON } from "../pool/logins.ts";

const AHEAD = 5 * MINUTE;

/** Homes of an instance whose clock is five minutes behind the database's. */
function scene() {
  const written: (readonly SharedHome[])[] = [];
  const state = { now: NOON, isAway: false };
  const affinity: Affinity = createAffinity(
    () => HOUR,
    1000,
    (key) => homes.elsewhere(key),
  );
  const homes: Homes = createHomes({
    affinity,
    sharing: {
      writeHomes: async (rows) => {
        if (state.isAway) throw new Error("away");
        written.push(rows);
      },
    },
    now: () => state.now,
    aheadMs: () => AHEAD,
    keyOf: (id) => (id === "gone" ? undefined : `key of ${id}`),
    idOf: (key) => /^key of (.*)$/.exec(key)?.[1],
    ttlMs: () => HOUR,
  });
  const use = (key: string, accountId = "ann"): Home => {
    const known = affinity.find(key, state.now);
    const home =
      known?.accountId === accountId
        ? known
        : { accountId, isProven: false, usedMs: state.now, running: 0, left: undefined };
    home.usedMs = state.now;
    if (home !== known) affinity.bind(key, home, state.now);
    return home;
  };
  const theirs = (conversation: string, account: string, usedMs: number): SharedHome => ({
    conversation,
    account: `key of ${account}`,
    usedMs: usedMs + AHEAD,
  });
  return { homes, affinity, state, written, use, theirs };
}

describe("telling where conversations are", () => {
  test("tells once of each that begins or moves, by the database's clock", async () => {
    const { homes, state, written, use } = scene();
    use("a");
    use("b", "bob");
    await homes.tell();
    expect(
      written.flat().toSorted((one, other) => (one.conversation < other.conversation ? -1 : 1)),
    ).toEqual([
      { conversation: "a", account: "key of ann", usedMs: NOON + AHEAD },
      { conversation: "b", account: "key of bob", usedMs: NOON + AHEAD },
    ]);
    state.now += 1000;
    use("a");
    await homes.tell();
    expect(written).toHaveLength(1);
    use("a", "bob");
    await homes.tell();
    expect(written.at(-1)).toEqual([
      { conversation: "a", account: "key of bob", usedMs: NOON + 1000 + AHEAD },
    ]);
  });

  test("tells again of one that goes on, every five minutes", async () => {
    const { homes, state, written, use } = scene();
    for (let at = 0; at < 11 * 60; at += 30) {
      use("a");
      await homes.tell();
      state.now += 30_000;
    }
    expect(written).toHaveLength(3);
  });

  test("tells a thousand in pieces, and none of an account that has gone", async () => {
    const { homes, written, use } = scene();
    for (let number = 0; number < 999; number++) use(`talk ${number}`);
    use("x", "gone");
    await homes.tell();
    expect(written.map((rows) => rows.length)).toEqual([499, 500]);
  });

  test("what could not be told is told later, also when the clock was set back", async () => {
    const { homes, state, written, use } = scene();
    use("a");
    state.isAway = true;
    await homes.tell().catch(() => {});
    state.isAway = false;
    state.now -= 10 * MINUTE;
    use("b");
    await homes.tell();
    expect(
      written
        .flat()
        .map(({ conversation }) => conversation)
        .toSorted(),
    ).toEqual(["a", "b"]);
  });

  test("tells all anew where others have come", async () => {
    const { homes, written, use } = scene();
    use("a");
    await homes.tell();
    homes.tellAll();
    await homes.tell();
    expect(written).toHaveLength(2);
  });
});

describe("learning where conversations are", () => {
  test("one that comes here is on the account where it was, as long ago as it was used", async () => {
    const { homes, affinity, written, theirs, state } = scene();
    homes.learn([theirs("a", "bob", NOON - MINUTE)]);
    expect(affinity.find("a", NOON)).toMatchObject({ accountId: "bob", usedMs: NOON - MINUTE });
    // Nobody is told what he has told.
    await homes.tell();
    expect(written).toEqual([]);
    state.now += 10 * MINUTE;
    expect(affinity.find("unknown", NOON)).toBeUndefined();
  });

  test("whoever used it last is right", async () => {
    const { homes, affinity, state, written, use, theirs } = scene();
    use("a");
    await homes.tell();
    state.now += 2000;
    homes.learn([theirs("a", "bob", NOON + 1000)]);
    expect(affinity.find("a", state.now)?.accountId).toBe("bob");
    use("b");
    await homes.tell();
    written.length = 0;
    homes.learn([theirs("b", "bob", NOON)]);
    expect(affinity.find("b", state.now)?.accountId).toBe("ann");
    // The other one does not know yet.
    await homes.tell();
    expect(written.flat()).toMatchObject([{ conversation: "b", account: "key of ann" }]);
  });

  test("one that runs here is not moved under way", () => {
    const { homes, affinity, use, theirs } = scene();
    use("a").running = 1;
    homes.learn([theirs("a", "bob", NOON + 1000)]);
    expect(affinity.peek("a")?.accountId).toBe("ann");
  });

  test("one that others go on with is warm here too", () => {
    const { homes, affinity, use, theirs } = scene();
    use("a");
    homes.learn([theirs("a", "ann", NOON + 9 * MINUTE)]);
    expect(affinity.peek("a")?.usedMs).toBe(NOON);
    const { homes: later, affinity: own, state, use: begin, theirs: told } = scene();
    begin("a");
    state.now += 10 * MINUTE;
    later.learn([told("a", "ann", NOON + 9 * MINUTE)]);
    expect(own.peek("a")?.usedMs).toBe(NOON + 9 * MINUTE);
  });

  test("an account that is not here is none to go to", () => {
    const { homes, affinity } = scene();
    homes.learn([{ conversation: "a", account: "strange", usedMs: NOON }]);
    expect(affinity.find("a", NOON)).toBeUndefined();
  });
});
