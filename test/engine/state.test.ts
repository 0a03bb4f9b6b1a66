import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Client, createAllowances } from "../../src/engine/allowance.ts";
import { createDeadTokens } from "../../src/engine/dead.ts";
import { SPENT } from "../../src/engine/fresh.ts";
import { createLedger } from "../../src/engine/ledger.ts";
import { createState } from "../../src/engine/state.ts";
import type { Login } from "../../src/pool/account.ts";
import { createAffinity } from "../../src/pool/affinity.ts";
import { createPool } from "../../src/pool/pool.ts";
import { diskSteps } from "../../src/store/durable.ts";
import { openStateFile, stateHead } from "../../src/store/state.ts";
import { sha256 } from "../../src/wire/digest.ts";
import { dict, list, parseDict } from "../../src/wire/json.ts";
import { DAY, HOUR, loginOf, MINUTE, NOON, quotaOf } from "../pool/logins.ts";
import { makeFolder } from "../store/folder.ts";
import { createManualClock } from "../support/clock.ts";
import { listen } from "./parts.ts";

const ANN = loginOf("ann");
const BOB = loginOf("bob");
const TALK = "cd".repeat(32);
const DIGEST = "ef".repeat(32);

/** One run of the program on a state file, its accounts read. */
async function run(path: string, atMs = NOON, logins: readonly Login[] = [ANN, BOB]) {
  const clock = createManualClock(atMs);
  const affinity = createAffinity(() => HOUR, 100);
  const options = {
    policy: { unauthorizedMs: 30_000, limitedMs: MINUTE },
    selector: "round-robin" as const,
    affinityTtlMs: HOUR,
  };
  const pool = createPool(() => options, affinity);
  const ledger = createLedger(clock.now);
  const { log, lines } = listen();
  const file = openStateFile(path, clock.now);
  let pauses = 0;
  const giveWay = async (): Promise<void> => {
    pauses += 1;
  };
  const dead = createDeadTokens({ now: clock.now, onRefused: () => {} });
  const allowances = createAllowances(clock);
  allowances.configure(new Map([["digest", LAPTOP]]));
  const ports = { pool, affinity, ledger, dead, allowances, file, clock, log, giveWay };
  const state = createState(ports);
  await state.open();
  const sync = (next: readonly Login[]): void => {
    pool.sync(next, clock.now());
    state.restore();
  };
  sync(logins);
  const viewOf = (id: string) => {
    const view = pool.view(clock.now()).find(({ account }) => account.login.identity === id);
    if (view === undefined) throw new Error(`there is no ${id}`);
    return view;
  };
  const exhaust = (id: string, resetsAtMs: number): void =>
    pool.settle(
      id,
      { type: "failed", failure: { kind: "exhausted", message: "spent", resetsAtMs } },
      clock.now(),
    );
  const talk = (key: string): string | undefined => {
    const lease = pool.pick({ sessionKey: key, model: "gpt-5.4", tried: new Set() }, clock.now());
    lease?.release(clock.now());
    return lease?.accountId;
  };
  return {
    clock,
    pool,
    ledger,
    affinity,
    dead,
    allowances,
    state,
    lines,
    sync,
    viewOf,
    exhaust,
    talk,
    pauses: () => pauses,
  };
}

const LAPTOP: Client = {
  name: "laptop",
  models: undefined,
  expiresMs: undefined,
  rpm: undefined,
  concurrency: undefined,
  tokensPerDay: 1000,
};

const pathIn = (dir: string): string => join(dir, "state.json");

describe("from one run to the next", () => {
  test("what a key has used today survives, and the file does not name the key", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    await before.state.save();
    const ticket = before.allowances.enter("digest");
    if ("kind" in ticket) throw new Error(ticket.message);
    ticket.leave(false, { input: 60, cached: 0, output: 40, reasoning: 0 });
    await before.state.save();
    expect(await Bun.file(path).text()).not.toMatch(/laptop|"digest"/);
    const after = await run(path);
    expect(after.allowances.view()[0]?.tokensToday).toBe(100);
  });

  test("what is written of keys may be anything", async () => {
    const path = pathIn(makeFolder());
    for (const clients of [7, [1], { a: 1 }, { a: [NOON, "x"] }, { a: null }]) {
      await Bun.write(path, `{${stateHead},"clients":${JSON.stringify(clients)},"accounts":{}}`);
      const { allowances, lines } = await run(path);
      expect([allowances.view()[0]?.tokensToday, lines]).toEqual([0, []]);
    }
  });

  test("B6-2: cooldowns, readings, counters, conversations and makers survive", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    const home = before.talk(TALK);
    before.talk(TALK);
    before.pool.count("bob", { input: 10, cached: 4, output: 3, reasoning: 1 });
    before.pool.settle("ann", { type: "measured", quota: quotaOf([["5h", 40, HOUR]]) }, NOON);
    before.pool.settle(
      "bob",
      {
        type: "failed",
        failure: {
          kind: "rate-limited",
          message: "slow",
          model: "gpt-5.4",
          resetsAtMs: NOON + HOUR,
        },
      },
      NOON,
    );
    before.exhaust("bob", NOON + 3 * HOUR);
    before.ledger.restore([DIGEST, "bob", NOON]);
    await before.state.save();

    const after = await run(path, NOON + MINUTE);
    expect(after.viewOf("bob").standing).toMatchObject({
      kind: "cooling",
      why: "quota",
      untilMs: NOON + 3 * HOUR,
      sinceMs: NOON,
      reason: "spent",
    });
    for (const id of ["ann", "bob"]) {
      const { account, tally } = before.viewOf(id);
      expect(after.viewOf(id).tally).toEqual(tally);
      // What a sign here has ended is for other instances, which know it by now.
      const { ended: _ended, ...kept } = account;
      expect(after.viewOf(id).account).toEqual(kept);
    }
    expect([...after.affinity.entries()]).toMatchObject([
      [TALK, { accountId: home ?? "", isProven: true }, NOON],
    ]);
    expect([...after.ledger.makers()]).toEqual([[DIGEST, "bob", NOON]]);
    expect(after.lines).toEqual([]);
  });

  test("a conversation stays on its account, and one that was left for too long does not", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    const homes = new Map(
      Array.from({ length: 20 }, (_, at) => {
        const key = at.toString(16).padStart(64, "0");
        return [key, before.talk(key)];
      }),
    );
    await before.state.save();
    const after = await run(path, NOON + MINUTE);
    for (const [key, home] of homes) expect(after.talk(key)).toBe(home);
    const late = await run(path, NOON + HOUR);
    expect(late.affinity.find(TALK, NOON + HOUR)).toBeUndefined();
  });

  test("a dead login is dead while its tokens are the same, and tried when they are others", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    before.pool.settle("ann", { type: "renewal-refused", reason: "reused" }, NOON);
    await before.state.save();
    expect((await run(path)).viewOf("ann").standing).toMatchObject({
      kind: "needs-login",
      reason: "reused",
    });
    const renewed = loginOf("ann", { credential: { accessToken: "at-2", refreshToken: "rt-2" } });
    expect((await run(path, NOON, [renewed])).viewOf("ann").standing.kind).toBe("ready");
  });

  test.each([
    ["a day back", -DAY],
    ["a day ahead", DAY],
  ])("the clock jumps %s between two runs", async (_name, jumpMs) => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    before.exhaust("ann", NOON + HOUR);
    before.talk(TALK);
    await before.state.save();
    const now = NOON + jumpMs;
    const after = await run(path, now);
    const { standing, tally } = after.viewOf("ann");
    // A rest has what was left of it, or is over: it never lasts longer because of the jump.
    if (jumpMs > 0) expect(standing.kind).toBe("ready");
    else expect(standing).toMatchObject({ untilMs: now + HOUR, sinceMs: now });
    expect((tally.lastUsedMs ?? 0) <= now).toBe(true);
    expect([...after.affinity.entries()].every(([, , usedMs]) => usedMs <= now)).toBe(true);
    await after.state.save();
    expect(after.lines).toEqual([]);
  });

  test("B7-3: refresh tokens that are dead stay so, and no other", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    before.dead.add("refused", "The issuer answered 401 (refresh_token_reused).");
    before.dead.add("exchanged", SPENT);
    await before.state.save();
    const { dead, state, clock } = await run(path, NOON + DAY);
    expect(dead.reasonOf("refused")).toBe("The issuer answered 401 (refresh_token_reused).");
    expect(dead.reasonOf("exchanged")).toBe(SPENT);
    expect(dead.reasonOf("new")).toBeUndefined();
    // And through a run that has nothing to do with them.
    clock.advance(HOUR);
    dead.add("another", "The issuer answered 400 (invalid_grant).");
    await state.save();
    const last = await run(path, NOON + 2 * DAY);
    for (const token of ["refused", "exchanged", "another"]) {
      expect(last.dead.reasonOf(token)).toBeString();
    }
  });

  test("an account whose file is away for a while is remembered, also through a run without it", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    before.exhaust("ann", NOON + 9 * HOUR);
    const home = before.talk(TALK);
    expect(home).toBe("bob");
    await before.state.save();
    const without = await run(path, NOON + MINUTE, []);
    without.sync([BOB]);
    without.talk("12".repeat(32));
    await without.state.save();
    const back = await run(path, NOON + 2 * MINUTE, [BOB]);
    expect(back.affinity.find(TALK, NOON + 2 * MINUTE)?.accountId).toBe("bob");
    back.sync([ANN, BOB]);
    expect(back.viewOf("ann").standing).toMatchObject({
      kind: "cooling",
      untilMs: NOON + 9 * HOUR,
    });
    // Away and back while the program runs.
    await back.state.save();
    for (const isSaved of [true, false]) {
      back.sync([BOB]);
      if (isSaved) await back.state.save();
      back.sync([ANN, BOB]);
      expect(back.viewOf("ann").standing.kind).toBe("cooling");
    }
  });

  test("an account that has been away for a month is forgotten", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    before.talk(TALK);
    await before.state.save();
    const later = await run(path, NOON + 31 * DAY, []);
    later.sync([loginOf("cid")]);
    await later.state.save();
    const accounts = dict(parseDict(readFileSync(path, "utf8"))?.["accounts"]);
    expect(Object.keys(accounts)).toHaveLength(1);
  });
});

describe("the writing", () => {
  test("happens when something has changed, and only then", async () => {
    const path = pathIn(makeFolder());
    const { state, talk, viewOf } = await run(path);
    await state.save();
    const first = readFileSync(path, "utf8");
    writeFileSync(path, first);
    await state.save();
    expect(readFileSync(path, "utf8")).toBe(first);
    talk(TALK);
    await state.save();
    expect(readFileSync(path, "utf8")).not.toBe(first);
    expect(viewOf("ann").tally.requests + viewOf("bob").tally.requests).toBe(1);
    // A run in which nothing happens leaves it alone.
    const second = readFileSync(path, "utf8");
    const next = await run(path, NOON + MINUTE);
    await next.state.save();
    expect(readFileSync(path, "utf8")).toBe(second);
  });

  test("B7-3: of many that are wanted at once, what had happened by then is in one", async () => {
    const path = pathIn(makeFolder());
    const { state, dead } = await run(path);
    const first = state.save();
    await Promise.resolve();
    const saves = Array.from({ length: 100 }, (_, at) => {
      dead.add(`refused ${at}`, "no");
      return state.save();
    });
    expect(new Set([first, ...saves]).size).toBe(2);
    await Promise.all(saves);
    expect(list(parseDict(readFileSync(path, "utf8"))?.["dead"])).toHaveLength(100);
    dead.add("one more", "no");
    await state.save();
    expect(list(parseDict(readFileSync(path, "utf8"))?.["dead"])).toHaveLength(101);
  });

  test("gives way to others when there are many accounts", async () => {
    const many = Array.from({ length: 1000 }, (_, at) => loginOf(`user-${at}`));
    const { state, pauses } = await run(pathIn(makeFolder()), NOON, many);
    await state.save();
    expect(pauses()).toBe(4);
  });

  test("that fails is told once and tried again", async () => {
    const dir = makeFolder();
    const path = join(dir, "gone", "state", "state.json");
    const { state, talk, lines } = await run(path);
    await state.save();
    await state.save();
    expect(lines.map(({ level }) => level)).toEqual(["warn"]);
    await diskSteps.create(join(dir, "gone"), "a file in the way", undefined);
    talk(TALK);
    await state.save();
    expect(lines).toHaveLength(1);
    await diskSteps.remove(join(dir, "gone"));
    mkdirSync(join(dir, "gone"));
    await state.save();
    expect(lines.map(({ level }) => level)).toEqual(["warn", "info"]);
    expect(existsSync(path)).toBe(true);
  });

  test("holds no identity, no token and no e-mail address", async () => {
    const path = pathIn(makeFolder());
    const login = loginOf("user-17/workspace-3", { email: "ann.lee@example.com" });
    const { state, talk, exhaust, dead } = await run(path, NOON, [login]);
    talk(TALK);
    const { refreshToken = "" } = login.credential;
    dead.add(refreshToken, `The issuer refused ${refreshToken} of ann.lee@example.com.`);
    dead.add("an-exchanged-one", SPENT);
    await state.save();
    expect(readFileSync(path, "utf8")).toContain(sha256("an-exchanged-one").slice(0, 32));
    exhaust(login.identity, NOON + HOUR);
    await state.save();
    const written = readFileSync(path, "utf8");
    for (const secret of [
      "user-17",
      "ann.lee",
      "at-user",
      "rt-user",
      "an-exchanged",
      login.source,
    ]) {
      expect(written).not.toContain(secret);
    }
  });
});

describe("a file that is of no use", () => {
  test.each([
    ["broken", `{"format":"codex-proxy state","version":"1.0","accounts":{"a`],
    ["of a newer version", `{"format":"codex-proxy state","version":"2.0"}`],
    ["somebody else's", `{"hello":1}`],
  ])("%s: put aside with one warning, and a new one is written", async (_name, content) => {
    const dir = makeFolder();
    const path = pathIn(dir);
    writeFileSync(path, content);
    const { state, talk, lines, viewOf } = await run(path);
    expect(viewOf("ann").standing.kind).toBe("ready");
    talk(TALK);
    await state.save();
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ["warn", "the state file is of no use; the program starts without what it remembered"],
    ]);
    expect(readdirSync(dir).toSorted()).toEqual(["state.json", "state.json.aside"]);
    expect(readFileSync(join(dir, "state.json.aside"), "utf8")).toBe(content);
    expect(
      (await run(path)).viewOf("ann").tally.requests +
        (await run(path)).viewOf("bob").tally.requests,
    ).toBe(1);
  });

  test("accounts in it that make no sense are left out, the others count", async () => {
    const path = pathIn(makeFolder());
    const before = await run(path);
    before.exhaust("ann", NOON + HOUR);
    await before.state.save();
    const body = dict(parseDict(readFileSync(path, "utf8")));
    const accounts = {
      ...dict(body["accounts"]),
      odd: 7,
      other: { changed: "x" },
      more: { changed: 1, state: [] },
    };
    writeFileSync(path, JSON.stringify({ ...body, version: "1.9", news: true, accounts }));
    const after = await run(path);
    expect(after.viewOf("ann").standing.kind).toBe("cooling");
    expect(after.lines).toEqual([]);
  });

  test("one that appears while the program runs is not replaced", async () => {
    const path = pathIn(makeFolder());
    const { state, talk, lines } = await run(path);
    await state.save();
    writeFileSync(path, "mine");
    for (const key of [TALK, DIGEST]) {
      talk(key);
      await state.save();
    }
    expect(readFileSync(path, "utf8")).toBe("mine");
    expect(lines).toHaveLength(1);
  });
});

describe("two processes on one file", () => {
  test("each keeps what the other has found out", async () => {
    const path = pathIn(makeFolder());
    const one = await run(path);
    const other = await run(path);
    one.exhaust("ann", NOON + HOUR);
    one.talk(TALK);
    await one.state.save();
    other.clock.advance(1000);
    other.exhaust("bob", NOON + 2 * HOUR);
    other.talk(DIGEST);
    await other.state.save();
    one.clock.advance(2000);
    one.pool.settle("ann", { type: "served" }, one.clock.now());
    one.talk("12".repeat(32));
    await one.state.save();
    const next = await run(path, NOON + MINUTE);
    expect(next.viewOf("ann").standing).toMatchObject({ untilMs: NOON + HOUR });
    expect(next.viewOf("bob").standing).toMatchObject({ untilMs: NOON + 2 * HOUR });
    expect(next.affinity.count()).toBe(3);
    expect(next.lines).toEqual([]);
  });

  test("B7-3: what one finds dead, the other does not send either", async () => {
    const path = pathIn(makeFolder());
    const one = await run(path);
    const other = await run(path);
    one.dead.add("one's", "refused");
    await one.state.save();
    other.dead.add("other's", "refused");
    await other.state.save();
    expect(other.dead.reasonOf("one's")).toBe("refused");
    const third = await run(path);
    expect(["one's", "other's"].map(third.dead.reasonOf)).toEqual(["refused", "refused"]);
  });

  test("of one account, what happened last counts, and the larger counters", async () => {
    const path = pathIn(makeFolder());
    const one = await run(path, NOON, [ANN]);
    const other = await run(path, NOON, [ANN]);
    for (const key of [TALK, DIGEST, TALK]) one.talk(key);
    await one.state.save();
    other.clock.advance(1000);
    other.talk(TALK);
    other.exhaust("ann", NOON + HOUR);
    await other.state.save();
    const next = await run(path, NOON + MINUTE, [ANN]);
    expect(next.viewOf("ann")).toMatchObject({
      standing: { kind: "cooling" },
      tally: { requests: 3 },
    });
  });
});
