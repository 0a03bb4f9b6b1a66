import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { dict, list, parseDict, text } from "../../src/wire/json.ts";
import { stateOf, storedIn, storedToken, turnsOn } from "../support/accounts.ts";
import type { AccountSeed, FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { FaultName } from "../support/backend/faults.ts";
import { type Answer, call } from "../support/call.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { elapse } from "../support/drill.ts";
import { freePort } from "../support/listener.ts";
import { startSocksServer } from "../support/proxies.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";

// Drills: what goes wrong for an hour or a week, in a few seconds of injected time.

setDefaultTimeout(60_000);

const NOON = Date.parse("2026-11-26T12:00:00Z");
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/**
 * The longest that traffic may take to resume by itself: the longest pause between two tries of anything, which is a
 * quarter of an hour and up to a fifth more, and a moment for the try.
 */
const RESUMES_MS = 19 * MINUTE;

/** Whoever fails one health check by its own fault is out. */
const STRICT = { "health-check-max-failures": 1 };

type Drill = {
  readonly clock: ManualClock;
  readonly backend: FakeBackend;
  readonly proxy: TestProxy;
  readonly accounts: readonly FakeAccount[];
  /** Lets time pass, in steps, each with all that it brings about. */
  readonly pass: (ms: number, stepMs?: number) => Promise<void>;
  /** Passes time until a turn is served; how long that took. */
  readonly untilServed: (limitMs: number) => Promise<number>;
  readonly turn: (session?: string) => Promise<Answer>;
  readonly states: () => Promise<readonly string[]>;
  readonly explain: (answer: Answer) => Promise<Explained>;
};

/** A decision record, as far as the drills look at it. */
type Explained = {
  readonly status: number;
  readonly outcomes: readonly string[];
  readonly text: string;
};

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

async function drill(
  seeds: readonly Partial<AccountSeed>[],
  config: Readonly<Record<string, unknown>> = {},
): Promise<Drill> {
  const clock = createManualClock(NOON);
  const backend = await startBackend({ now: clock.now });
  open.push({ [Symbol.asyncDispose]: backend.stop });
  const accounts = seeds.map((seed, number) => backend.account(`drill-${number}`, seed));
  const proxy = await startProxy({ backend, accounts, config, clock });
  open.push(proxy);

  const pass = async (ms: number, stepMs = 5 * SECOND): Promise<void> => {
    await elapse({ clock, backend, proxy }, ms, { stepMs });
  };
  const turn = (session = "a"): Promise<Answer> =>
    call(proxy, { body: turnBody("hi", { prompt_cache_key: session }) });
  return {
    clock,
    backend,
    proxy,
    accounts,
    pass,
    turn,
    untilServed: async (limitMs) => {
      for (let passed = 0; passed <= limitMs; passed += 15 * SECOND) {
        if ((await turn(`again ${passed}`)).status === 200) return passed;
        await pass(15 * SECOND);
      }
      throw new Error(`no turn was served within ${limitMs} ms:\n${proxy.logs()}`);
    },
    states: async () => (await proxy.stats()).accounts.map(({ state }) => state),
    explain: async (answer) => {
      const id = answer.headers.get("x-request-id") ?? "";
      const response = await fetch(`${proxy.url}/explain/${id}`, {
        headers: { authorization: `Bearer ${KEY}` },
      });
      const said = await response.text();
      const attempts = list(dict(parseDict(said))["attempts"]).map(dict);
      return {
        status: response.status,
        outcomes: attempts.map(({ outcome }) => text(outcome) ?? ""),
        text: said,
      };
    },
  };
}

/** Nothing was deleted, renamed or emptied, and no refresh token was ever spent twice. */
async function expectNothingLost({ proxy, backend, accounts }: Drill): Promise<void> {
  expect(await storedIn(proxy)).toEqual(accounts.map(({ name }) => `${name}.json`).sort());
  // The issuer answers 401 to a refresh token that was spent before.
  expect(backend.refreshes().filter(({ status }) => status === 401)).toEqual([]);
  for (const account of accounts) {
    expect(await storedToken(proxy, account)).toBe(account.tokens().refreshToken);
  }
}

function each(count: number, seed: Partial<AccountSeed> = {}): readonly Partial<AccountSeed>[] {
  return Array.from({ length: count }, () => seed);
}

describe("the issuer is down for an hour", () => {
  for (const fault of ["500", "429", "html", "no-tokens"] as const) {
    test(`${fault}: living tokens serve on, ended ones are told, all come back by themselves`, async () => {
      // Two whose tokens live through the outage and are due all the while, one whose token ends in the midst of it.
      const scene = await drill([
        { lifetimeSeconds: (2 * HOUR) / SECOND },
        { lifetimeSeconds: (2 * HOUR) / SECOND },
        { lifetimeSeconds: (30 * MINUTE) / SECOND },
      ]);
      const { accounts, backend, pass } = scene;
      for (const account of accounts) account.issuerFault(fault);
      const startMs = scene.clock.now();
      const seen: string[] = [];
      const [, , third] = accounts;
      if (third === undefined) throw new Error("there are three");
      let turnsAtEnd = 0;
      while (scene.clock.now() < startMs + HOUR) {
        expect((await scene.turn(`at ${scene.clock.now()}`)).status).toBe(200);
        await pass(2 * MINUTE, 10 * SECOND);
        seen.push((await scene.states())[2] ?? "");
        if (scene.clock.now() <= startMs + 30 * MINUTE) turnsAtEnd = turnsOn(backend, third);
      }
      const [first, second] = await scene.states();
      expect([first, second]).toEqual(["ready", "ready"]);
      // The third rests when it is asked in vain, and is no dead login for it.
      expect(seen[0]).toBe("ready");
      expect(seen.slice(15)).toContain("cooling");
      expect(seen.filter((state) => state !== "ready" && state !== "cooling")).toEqual([]);
      expect(turnsAtEnd).toBeGreaterThan(0);
      expect(turnsOn(backend, third)).toBe(turnsAtEnd);
      // An issuer in trouble is not asked once per request, nor once per second.
      expect(backend.refreshes().length).toBeLessThan(40);
      for (const account of accounts) account.issuerFault(undefined);
      await pass(RESUMES_MS, 10 * SECOND);
      await scene.turn("after");
      await pass(MINUTE);
      expect(await scene.states()).toEqual(["ready", "ready", "ready"]);
      await expectNothingLost(scene);
    });
  }

  test("all tokens ended: 503 in words with a time, and traffic resumes by itself", async () => {
    const scene = await drill(each(2, { lifetimeSeconds: (20 * MINUTE) / SECOND }));
    for (const account of scene.accounts) account.issuerFault("500");
    await scene.pass(HOUR, 15 * SECOND);
    const answer = await scene.turn();
    expect(answer.status).toBe(503);
    expect(text(answer.error["message"])).toMatch(/2 waiting for a new token.*back in \d+ /);
    expect(Number(answer.headers.get("retry-after"))).toBeWithin(1, RESUMES_MS / SECOND);
    expect(await scene.states()).toEqual(["cooling", "cooling"]);
    expect((await scene.explain(answer)).status).toBe(200);
    for (const account of scene.accounts) account.issuerFault(undefined);
    expect(await scene.untilServed(RESUMES_MS)).toBeLessThanOrEqual(RESUMES_MS);
    await scene.pass(RESUMES_MS, 15 * SECOND);
    expect(await scene.states()).toEqual(["ready", "ready"]);
    await expectNothingLost(scene);
  });
});

describe("a storm of the backend's", () => {
  const storms: readonly [name: FaultName, status: number][] = [
    ["500", 500],
    ["503-overloaded", 503],
    ["502-html", 502],
  ];
  for (const [name, status] of storms) {
    test(`${name}: told as it is, nobody is punished, and the next turn after it is served`, async () => {
      const scene = await drill(each(3), STRICT);
      for (const account of scene.accounts) {
        account.always({ kind: "fault", name });
        account.usageFault(name);
      }
      // Beyond any health check.
      for (let count = 0; count < 20; count++) {
        const answer = await scene.turn(`storm ${count}`);
        expect(answer.status).toBe(status);
        await scene.pass(MINUTE, 10 * SECOND);
      }
      const answer = await scene.turn("told");
      const explained = await scene.explain(answer);
      expect(explained.outcomes).toHaveLength(3);
      expect(await scene.states()).toEqual(["ready", "ready", "ready"]);
      const rows = (await scene.proxy.stats()).accounts;
      for (const row of rows) expect(row.consecutiveFailures).toBeGreaterThan(0);
      for (const account of scene.accounts) {
        account.always(undefined);
        account.usageFault(undefined);
      }
      expect((await scene.turn("after")).status).toBe(200);
      await expectNothingLost(scene);
    });
  }
});

test("a Cloudflare page before the backend: 503 in plain words, account-neutral, over when it is over", async () => {
  const scene = await drill(each(2), STRICT);
  for (const account of scene.accounts) {
    account.always({ kind: "fault", name: "403-cloudflare" });
    account.usageFault("403-cloudflare");
  }
  for (let count = 0; count < 15; count++) {
    const answer = await scene.turn(`page ${count}`);
    expect(answer.status).toBe(503);
    expect(text(answer.error["message"])).toContain("Cloudflare");
    await scene.pass(2 * MINUTE, 10 * SECOND);
  }
  expect(await scene.states()).toEqual(["ready", "ready"]);
  const answer = await scene.turn("told");
  expect((await scene.explain(answer)).outcomes).toEqual(["challenged", "challenged"]);
  for (const account of scene.accounts) {
    account.always(undefined);
    account.usageFault(undefined);
  }
  expect((await scene.turn("after")).status).toBe(200);
  await expectNothingLost(scene);
});

test("the egress proxy is down for an hour: told as such, nobody is punished, and traffic resumes with it", async () => {
  const port = await freePort();
  const seeds = [
    { lifetimeSeconds: (2 * HOUR) / SECOND },
    { lifetimeSeconds: (30 * MINUTE) / SECOND },
  ];
  const scene = await drill(seeds, { ...STRICT, "proxy-url": `socks5://127.0.0.1:${port}` });
  const { backend, pass } = scene;
  const startMs = scene.clock.now();
  while (scene.clock.now() < startMs + HOUR) {
    const answer = await scene.turn(`at ${scene.clock.now()}`);
    expect(answer.status).toBe(503);
    expect(text(answer.error["message"])).toMatch(/egress proxy socks5:.*connection refused/);
    // One try, besides that of a token which has ended.
    const { outcomes } = await scene.explain(answer);
    expect(outcomes.filter((outcome) => outcome !== "renewal-failed")).toEqual(["egress"]);
    await pass(2 * MINUTE, 10 * SECOND);
  }
  // The one whose token has ended waits for its new one, which is no dead login.
  expect((await scene.states())[0]).toBe("ready");
  const { summary, accounts } = await scene.proxy.stats();
  expect(summary).toMatchObject({ disabled: 0, needs_login: 0 });
  expect(accounts.map(({ errors }) => errors)).toEqual([0, 0]);
  expect(backend.requests).toEqual([]);
  const server = await startSocksServer({ port });
  open.push(server);
  expect((await scene.turn("after")).status).toBe(200);
  await pass(MINUTE, 5 * SECOND);
  await scene.turn("later");
  await pass(MINUTE, 5 * SECOND);
  expect(await scene.states()).toEqual(["ready", "ready"]);
  await expectNothingLost(scene);
});

test("an hour without any reading of usage: nobody is punished, and all serve", async () => {
  const scene = await drill(each(3), STRICT);
  for (const fault of ["403-cloudflare", "502-html", "429-detail"] as const) {
    for (const account of scene.accounts) account.usageFault(fault);
    await scene.pass(20 * MINUTE);
    const { summary } = await scene.proxy.stats();
    expect(summary).toMatchObject({ ready: 3, disabled: 0, needs_login: 0 });
    expect((await scene.turn(fault)).status).toBe(200);
  }
  await expectNothingLost(scene);
});

test("B6-2: all accounts exhausted till next week, then one reset early: 429 with the reset, and back in less than a minute", async () => {
  const scene = await drill(each(3));
  const [early, ...others] = scene.accounts;
  if (early === undefined) throw new Error("there are three");
  for (const account of scene.accounts) {
    account.usage(40, 100, (6 * DAY) / SECOND);
    account.always({ kind: "fault", name: "429-usage" });
  }
  await scene.turn("first");
  const answer = await scene.turn("spent");
  expect(answer.status).toBe(429);
  expect(answer.error["type"]).toBe("usage_limit_reached");
  const waitSec = Number(answer.headers.get("retry-after"));
  expect(waitSec).toBeGreaterThan((5 * DAY) / SECOND);
  expect(waitSec).toBeLessThanOrEqual((6 * DAY) / SECOND);
  expect(await scene.states()).toEqual(["cooling", "cooling", "cooling"]);
  const explained = await scene.explain(answer);
  expect(explained.outcomes).toEqual([]);
  expect(explained.text).toContain("quota");
  const posts = scene.backend.turns().length;
  await scene.pass(HOUR, 10 * SECOND);
  expect((await scene.turn("an hour later")).status).toBe(429);
  // Nobody is asked for a turn to find out.
  expect(scene.backend.turns()).toHaveLength(posts);
  expect(await scene.states()).toEqual(["cooling", "cooling", "cooling"]);
  // The plan of one is reset days before it was promised.
  early.usage(0, 0, (5 * HOUR) / SECOND);
  early.always(undefined);
  const isBack = async () => (await stateOf(scene.proxy, early)) === "ready";
  expect(await elapse(scene, 5 * MINUTE, { isEnough: isBack })).toBeLessThan(MINUTE);
  expect((await scene.turn("back")).status).toBe(200);
  expect(await scene.states()).toEqual(["ready", "cooling", "cooling"]);
  for (const account of others) {
    account.usage(0, 0, (5 * HOUR) / SECOND);
    account.always(undefined);
  }
  await scene.pass(6 * MINUTE, 10 * SECOND);
  expect(await scene.states()).toEqual(["ready", "ready", "ready"]);
  await expectNothingLost(scene);
});

test("B6-1: all accounts exhausted to their promised reset: left alone till then, back at that time", async () => {
  const scene = await drill(each(2));
  for (const account of scene.accounts) {
    account.usage(100, 30, HOUR / SECOND);
    account.always({ kind: "fault", name: "429-usage" });
  }
  for (let count = 0; count < 5; count++) {
    const answer = await scene.turn(`spent ${count}`);
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get("retry-after"))).toBeWithin(3590, 3602);
  }
  const isAskedOnce = () =>
    expect(scene.accounts.map((account) => turnsOn(scene.backend, account))).toEqual([1, 1]);
  isAskedOnce();
  await scene.pass(HOUR - MINUTE, 15 * SECOND);
  expect((await scene.turn("early")).status).toBe(429);
  isAskedOnce();
  for (const account of scene.accounts) {
    account.usage(0, 31, (5 * HOUR) / SECOND);
    account.always(undefined);
  }
  await scene.pass(90 * SECOND);
  expect((await scene.turn("on time")).status).toBe(200);
  expect(await scene.states()).toEqual(["ready", "ready"]);
  await expectNothingLost(scene);
});

test("one workspace is deactivated: it is out with its reason, its file stays, the others serve, and it comes back by itself", async () => {
  const scene = await drill(each(3));
  const [gone] = scene.accounts;
  if (gone === undefined) throw new Error("there are three");
  gone.always({ kind: "fault", name: "402-workspace" });
  gone.usageFault("402-workspace");
  for (let count = 0; count < 9; count++) {
    expect((await scene.turn(`turn ${count}`)).status).toBe(200);
  }
  const row = (await scene.proxy.stats()).of(gone);
  expect(row.state).toBe("disabled");
  expect(row.reason).toMatch(/deactivated/);
  expect(turnsOn(scene.backend, gone)).toBe(1);
  await scene.pass(DAY, 5 * MINUTE);
  expect((await scene.turn("a day later")).status).toBe(200);
  expect(await scene.states()).toEqual(["disabled", "ready", "ready"]);
  expect((await scene.proxy.stats()).of(gone).reason).toMatch(/deactivated/);
  expect(turnsOn(scene.backend, gone)).toBe(1);
  // By the first reading that finds it so, and by none of the hundreds after that.
  const told = scene.proxy
    .logs()
    .split("\n")
    .filter((line) => /WARN.*deactivated/.test(line));
  expect(told).toHaveLength(1);
  gone.always(undefined);
  gone.usageFault(undefined);
  const isBack = async () => (await stateOf(scene.proxy, gone)) === "ready";
  expect(await elapse(scene, 10 * MINUTE, { isEnough: isBack })).toBeLessThan(6 * MINUTE);
  await expectNothingLost(scene);
});
