import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { besideOf } from "../../src/store/beside.ts";
import { dict, parseDict, text } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { plain, readOpened, withOld } from "../support/sealing.ts";
import { within } from "../support/until.ts";
import { makeFolder } from "./folder.ts";

/** Tokens of four minutes are due from their birth. */
const DUE = { lifetimeSeconds: 240 };

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

function fresh(): FakeAccount {
  made += 1;
  return backend.account(`login-${made}`, DUE);
}

/** How files lie there: in the clear, or sealed, at first under a key that is not the one which seals now. */
type Form = "plain" | "sealed";

function place(dir: string, account: FakeAccount, form: Form): void {
  const content = JSON.stringify({ ...account.file(), note: "kept" });
  const owner = form === "sealed" ? withOld : plain;
  writeFileSync(join(dir, `${account.name}.json`), owner.seal(content));
}

type Child = {
  readonly said: () => string;
  readonly kill: () => void;
  readonly exited: Promise<number>;
};

type Run = { readonly form: Form; readonly point?: number; readonly issuer?: FakeBackend };

function run(
  dir: string,
  mode: "once" | "forever",
  { form, point = 0, issuer = backend }: Run,
): Child {
  const words = [dir, issuer.issuer, mode, form, String(point)];
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "renewals.ts"), ...words], {
    stdout: "pipe",
    stderr: "inherit",
    stdin: "ignore",
  });
  let said = "";
  const drain = async (): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const part of child.stdout) said += decoder.decode(part, { stream: true });
  };
  const drained = drain();
  return {
    said: () => said,
    kill: () => child.kill("SIGKILL"),
    exited: child.exited.then(async (code) => {
      await drained;
      return code;
    }),
  };
}

function refreshTokenIn(path: string): string | undefined {
  try {
    return text(dict(parseDict(readOpened(path)))["refresh_token"]);
  } catch {
    return undefined;
  }
}

/** Whether the disk has the tokens that the issuer takes now, in place or ready to be put there. */
function isSafe(dir: string, account: FakeAccount): boolean {
  const path = join(dir, `${account.name}.json`);
  const good = account.tokens().refreshToken;
  return [path, besideOf(path, "next")].some((each) => refreshTokenIn(each) === good);
}

function refusalsOf(...accounts: readonly FakeAccount[]): number {
  const names = new Set<string | undefined>(accounts.map(({ name }) => name));
  return backend
    .refreshes()
    .filter(({ account, status = 0 }) => names.has(account) && status >= 400).length;
}

function countOf(said: string, word: string, account: FakeAccount): number {
  return said.split("\n").filter((line) => line === `${word} ${account.name}.json`).length;
}

/** The account's file has what the issuer takes now, and what else was in it; nothing half-done lies about. */
function expectWhole(dir: string, account: FakeAccount, form: Form): void {
  const path = join(dir, `${account.name}.json`);
  expect(refreshTokenIn(path)).toBe(account.tokens().refreshToken);
  expect(readOpened(path)).toContain('"note":"kept"');
  expect(readFileSync(path, "utf8").includes(account.tokens().refreshToken)).toBe(form === "plain");
  // Claims and temporary files that a kill leaves go when they are an hour old.
  expect(readdirSync(dir).filter((left) => /\.(?:lock|next)$/.test(left))).toEqual([]);
}

/** Where the issuer has rotated and the new token is in memory at most. No program can do anything about these. */
const HOPELESS = ["before the write", "half-way through the write"];

/** Runs `job` for every number up to `count`, three at a time. */
async function forEach<T>(count: number, job: (number: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  const queue = Array.from({ length: count }, (_, at) => at + 1).values();
  const lane = async (): Promise<void> => {
    for (const number of queue) results[number - 1] = await job(number);
  };
  await Promise.all([lane(), lane(), lane()]);
  return results;
}

/** The names of all moments at which a renewal in `dir` may be killed, in order. */
async function pointsOf(count: number, form: Form): Promise<readonly string[]> {
  return forEach(count, async (point) => {
    const dir = makeFolder();
    place(dir, fresh(), form);
    const dying = run(dir, "once", { form, point });
    await dying.exited;
    return /killed at (.*)/.exec(dying.said())?.[1] ?? "";
  });
}

/** How many such moments there are. */
async function countPoints(dir: string, form: Form): Promise<number> {
  const whole = run(dir, "once", { form });
  expect(await whole.exited).toBe(0);
  return Number(/points (\d+)/.exec(whole.said())?.[1]);
}

const FORMS: readonly [form: Form, kills: number][] = [
  ["plain", 200],
  ["sealed", 60],
];

describe.each(FORMS)("a renewal that is killed, %s", (form, kills) => {
  test("B7-6: at every step: the next start holds a token that the issuer takes", async () => {
    const sample = makeFolder();
    place(sample, fresh(), form);
    const points = await countPoints(sample, form);
    expect(points).toBeGreaterThan(25);
    const names = await forEach(points, async (point) => {
      const dir = makeFolder();
      const account = fresh();
      place(dir, account, form);
      const dying = run(dir, "once", { form, point });
      expect(await dying.exited).toBe(137);
      const name = /killed at (.*)/.exec(dying.said())?.[1] ?? "";
      const isHopeless = HOPELESS.includes(name);
      expect([name, isSafe(dir, account)]).toEqual([name, !isHopeless]);
      const next = run(dir, "once", { form });
      expect(await next.exited).toBe(0);
      expect([name, refusalsOf(account)]).toEqual([name, isHopeless ? 1 : 0]);
      expect([name, countOf(next.said(), "handed", account)]).toEqual([name, isHopeless ? 0 : 1]);
      if (!isHopeless) expectWhole(dir, account, form);
      return name;
    });
    for (const name of [
      ...HOPELESS,
      "after link lock",
      "after rename to last",
      "after reserve",
      "before the exchange",
      "after the write",
      "after settle",
      "before rename to json",
      "after rename to json",
      "after syncFolder",
      "before remove lock",
    ]) {
      expect(names).toContain(name);
    }
  }, 120_000);

  test("B7-6: and again at every step of the start that finishes it", async () => {
    const sample = makeFolder();
    place(sample, fresh(), form);
    const names = await pointsOf(await countPoints(sample, form), form);
    const written = names.indexOf("after the write") + 1;
    const leave = async (): Promise<[dir: string, account: FakeAccount]> => {
      const dir = makeFolder();
      const account = fresh();
      place(dir, account, form);
      expect(await run(dir, "once", { form, point: written }).exited).toBe(137);
      return [dir, account];
    };
    const points = await countPoints((await leave())[0], form);
    expect(points).toBeGreaterThan(30);
    await forEach(points, async (point) => {
      const [dir, account] = await leave();
      const dying = run(dir, "once", { form, point });
      expect(await dying.exited).toBe(137);
      const name = /killed at (.*)/.exec(dying.said())?.[1] ?? "";
      const isHopeless = HOPELESS.includes(name);
      expect([name, isSafe(dir, account)]).toEqual([name, !isHopeless]);
      expect(await run(dir, "once", { form }).exited).toBe(0);
      expect([name, refusalsOf(account)]).toEqual([name, isHopeless ? 1 : 0]);
      if (!isHopeless) expectWhole(dir, account, form);
    });
  }, 120_000);

  test("B7-6: many times at random, while several accounts are renewed: only an answer on its way can be lost", async () => {
    const lanes = await Promise.all([killAtRandom(kills / 2, form), killAtRandom(kills / 2, form)]);
    const sum = (pick: (lane: Toll) => number) => lanes.reduce((all, lane) => all + pick(lane), 0);
    const [renewals, inTheAir, inMemory] = [
      sum((toll) => toll.renewals),
      sum((toll) => toll.inTheAir),
      sum((toll) => toll.inMemory),
    ];
    console.info(
      `${kills} kills, ${renewals} renewals; lost on the way: ${inTheAir}, in memory: ${inMemory}`,
    );
    // Every other token that was presented was good.
    expect(sum((toll) => toll.refusals)).toBe(0);
    expect(renewals).toBeGreaterThan(kills);
  }, 120_000);
});

/** What became of the tokens that an issuer rotated while the processes that asked for it were killed. */
type Toll = {
  readonly renewals: number;
  readonly refusals: number;
  /** Rotated, and the answer not handed to the program. */
  inTheAir: number;
  /** Handed to the program, which had not written it down. */
  inMemory: number;
};

/**
 * Kills a process that renews six accounts without end, again and again, each time at another moment, and lets the
 * next one go on with what it finds. Where the issuer had rotated and nothing of it is on the disk, the account logs
 * in anew, and is counted.
 */
async function killAtRandom(kills: number, form: Form): Promise<Toll> {
  const issuer = await startBackend();
  const dir = makeFolder();
  const accounts = Array.from({ length: 6 }, (_, at) => issuer.account(`login-${at}`, DUE));
  const renewalsOf = ({ name }: FakeAccount): number =>
    issuer.refreshes().filter(({ account }) => account === name).length;
  const toll = { inTheAir: 0, inMemory: 0 };
  for (const account of accounts) place(dir, account, form);
  try {
    for (let kill = 0; kill < kills; kill++) {
      const begun = new Map(accounts.map((account) => [account, renewalsOf(account)]));
      const said = await killSoon(issuer, dir, form);
      for (const account of accounts) {
        if (isSafe(dir, account)) continue;
        const kept = countOf(said, "kept", account);
        // All that it had written down is safe, so it is the last rotation, and no other, that is lost.
        expect(renewalsOf(account) - (begun.get(account) ?? 0) - kept).toBe(1);
        if (countOf(said, "handed", account) > kept) toll.inMemory += 1;
        else toll.inTheAir += 1;
        place(dir, account, form);
      }
    }
    const all = issuer.refreshes();
    const refusals = all.filter(({ status = 0 }) => status >= 400).length;
    return { ...toll, renewals: all.length, refusals };
  } finally {
    await issuer.stop();
  }
}

/** Starts a process that renews, and kills it when it has begun. All that it told before is what comes back. */
async function killSoon(issuer: FakeBackend, dir: string, form: Form): Promise<string> {
  const child = run(dir, "forever", { form, issuer });
  const wanted = issuer.refreshes().length + 1 + Math.floor(Math.random() * 20);
  const isWarm = issuer.until(() => issuer.refreshes().length >= wanted);
  await within("tokens are being renewed", isWarm, 20_000);
  // Up to about a renewal's time later, so that no two kills find it at the same step.
  await Bun.sleep(Math.random() * 8);
  child.kill();
  await child.exited;
  const isQuiet = issuer.until(() => issuer.openConnections() === 0);
  await within("the issuer has read all that was sent", isQuiet);
  return child.said();
}
