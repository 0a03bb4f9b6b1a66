import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { addressOf, stateOf, turnsOn } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { FaultName } from "../support/backend/faults.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { type Calling, call, lastType } from "../support/call.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { elapse as pass } from "../support/drill.ts";
import { describeStores, LOCAL_STORES, STORES, type StoreKind } from "../support/each-database.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { until, within } from "../support/until.ts";

setDefaultTimeout(60_000);

const SECOND = 1000;
const MINUTE = 60 * SECOND;

let clock: ManualClock;
let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  clock = createManualClock(Date.now());
  backend = await startBackend({ now: clock.now });
});
afterAll(() => backend.stop());

function fresh(): FakeAccount {
  made += 1;
  const name = `quota-${made}`;
  return backend.account(name, { email: addressOf(name) });
}

function startOn(
  store: StoreKind,
  accounts: readonly FakeAccount[],
  config: Dict = {},
): Promise<TestProxy> {
  return startProxy({ backend, accounts, config, clock, store });
}

const readingsOf = ({ name }: FakeAccount): number =>
  backend.requests.filter((each) => each.account === name && each.path.endsWith("/wham/usage"))
    .length;

/** Lets time pass, until it is enough where that is said. */
function elapse(
  proxy: TestProxy,
  ms: number,
  isEnough: () => Promise<boolean> = async () => false,
): Promise<number> {
  return pass({ clock, backend, proxy }, ms, { isEnough });
}

let talks = 0;

/** A turn of a conversation of its own. */
function ask(proxy: TestProxy, more: Dict = {}, calling: Calling = {}) {
  talks += 1;
  const key = { prompt_cache_key: `talk ${talks}` };
  return call(proxy, { ...calling, body: { ...turnBody(), ...key, ...more } });
}

async function isMeasured(proxy: TestProxy, account: FakeAccount): Promise<boolean> {
  return (await proxy.stats()).of(account).whole["quota_measured_at"] !== null;
}

// First, while the clock is near that of the disk: locks that look an hour old are leavings of a crash.
describeStores(STORES, (store) => {
  const start = (accounts: readonly FakeAccount[], config: Dict = {}) =>
    startOn(store, accounts, config);

  test("with a policy that its owner wrote, and only then, a login is deleted", async () => {
    const [kept, removed] = [fresh(), fresh()];
    for (const account of [kept, removed]) account.usageFault("402-workspace");
    await using careful = await start([kept]);
    await elapse(careful, 4 * MINUTE, async () => readingsOf(kept) > 0);
    const isDisabled = async () => (await stateOf(careful, kept)) === "disabled";
    await elapse(careful, 4 * MINUTE, isDisabled);
    expect(await isDisabled()).toBe(true);
    const policies = { "quota-http-status-policy": { "402": "none/remove" } };
    await using proxy = await start([removed], policies);
    const isGone = async () => dict((await proxy.stats()).summary)["total"] === 0;
    await elapse(proxy, 4 * MINUTE, async () => readingsOf(removed) > 0);
    // Whoever waits for the account's lock waits by this clock.
    await elapse(proxy, 4 * MINUTE, isGone);
    expect(await isGone()).toBe(true);
    await until("it is told", () =>
      proxy.logs().includes("an account's file was deleted, as quota-http-status-policy says"),
    );
  });
});

// What is known of a quota is in memory and in the state file; the store is touched where an account is taken out.
describeStores(LOCAL_STORES, (store) => {
  const start = (accounts: readonly FakeAccount[], config: Dict = {}) =>
    startOn(store, accounts, config);

  describe("readings in the background", () => {
    test("after the start every account is read once, in no burst, and /stats shows its windows", async () => {
      const accounts = Array.from({ length: 6 }, fresh);
      for (const [at, account] of accounts.entries()) account.usage(at * 10, 50);
      await using proxy = await start(accounts);
      await elapse(proxy, MINUTE);
      const stats = await proxy.stats();
      for (const [at, account] of accounts.entries()) {
        expect(readingsOf(account)).toBe(1);
        const { whole } = stats.of(account);
        expect(list(whole["windows"])).toMatchObject([
          { name: "5h", used_percent: at * 10, window_seconds: 18_000 },
          { name: "7d", used_percent: 50, window_seconds: 604_800 },
        ]);
        expect(whole).toMatchObject({ credits: false, health_failures: 0 });
        expect(whole["quota_measured_at"]).toBeString();
      }
      expect(
        backend.turns().filter(({ account }) => accounts.some(({ name }) => name === account)),
      ).toEqual([]);
    });

    test("B6-8: no request waits for a usage call, not even where none is ever answered", async () => {
      const accounts = [fresh(), fresh()];
      for (const account of accounts) account.usageFault("hang");
      await using proxy = await start(accounts);
      clock.advance(4 * SECOND);
      const isRead = () => accounts.some((account) => readingsOf(account) > 0);
      await within("one is being read", backend.until(isRead));
      // The clock stands still: whatever waited for the reading would wait for ever.
      for (let turn = 0; turn < 4; turn++) expect((await ask(proxy)).status).toBe(200);
      for (const account of accounts) expect(await stateOf(proxy, account)).toBe("ready");
      for (const account of accounts) account.usageFault(undefined);
      clock.advance(8 * SECOND);
    });

    test("B6-7: an account with credits serves where its windows are full, and /stats says why one does not", async () => {
      const spent = fresh();
      spent.usage(100, 30);
      await using proxy = await start([spent]);
      await elapse(proxy, MINUTE, () => isMeasured(proxy, spent));
      const { whole, state, reason } = (await proxy.stats()).of(spent);
      expect([state, reason]).toEqual(["cooling", "its quota is used up"]);
      expect(whole["until"]).toBeString();
      const refused = await ask(proxy);
      expect(refused.error["message"]).toContain("1 with quota used up");
      expect(turnsOn(backend, spent)).toBe(0);
      spent.usageShape("credits");
      await elapse(proxy, 5 * MINUTE, async () => (await stateOf(proxy, spent)) === "ready");
      expect((await proxy.stats()).of(spent).whole).toMatchObject({
        credits: true,
        credit_balance: "12.50",
      });
      expect((await ask(proxy)).status).toBe(200);
    });
  });

  describe("B6-5: a quota that is spent, wherever it is told", () => {
    const tellings: [name: string, outcome: Outcome][] = [
      [
        "response.incomplete before any output",
        { kind: "incomplete", reason: "usage_limit_reached", after: "created" },
      ],
      [
        "response.failed before any output",
        { kind: "failed", code: "usage_limit_reached", after: "created" },
      ],
      [
        "an error event before any output",
        { kind: "error-event", code: "usage_limit_reached", after: "created" },
      ],
      ["a 429", { kind: "fault", name: "429-usage" }],
      [
        "a 502 that hides it",
        {
          kind: "status",
          status: 502,
          body: { error: { type: "usage_limit_reached", message: "x" } },
        },
      ],
    ];
    test.each(tellings)(
      "%s: the other account serves, and this one rests",
      async (_name, outcome) => {
        const [spent, good] = [fresh(), fresh()];
        spent.always(outcome);
        await using proxy = await start([spent, good]);
        // Two conversations, so that one of them begins on the account that is spent.
        for (let turn = 0; turn < 2; turn++) {
          const answer = await ask(proxy);
          expect([answer.status, lastType(answer.events)]).toEqual([200, "response.completed"]);
        }
        expect([turnsOn(backend, spent), turnsOn(backend, good)]).toEqual([1, 2]);
        expect((await proxy.stats()).of(spent)).toMatchObject({
          state: "cooling",
          consecutiveFailures: 1,
        });
      },
    );

    test("response.incomplete after output, for an answer in one piece: the other account begins anew", async () => {
      const [spent, good] = [fresh(), fresh()];
      spent.always({ kind: "incomplete", reason: "insufficient_quota" });
      await using proxy = await start([spent, good]);
      for (let turn = 0; turn < 2; turn++) {
        const answer = await ask(proxy, { stream: false });
        expect([answer.status, answer.json["status"]]).toEqual([200, "completed"]);
      }
      expect([turnsOn(backend, spent), turnsOn(backend, good)]).toEqual([1, 2]);
    });

    test("response.incomplete after output, in a stream: a conversation leaves the account that is spent", async () => {
      const [one, other] = [fresh(), fresh()];
      await using proxy = await start([one, other]);
      const talk = { prompt_cache_key: "a sticky one" };
      expect((await ask(proxy, talk)).status).toBe(200);
      const [home, away] = turnsOn(backend, one) === 1 ? [one, other] : [other, one];
      home.always({ kind: "incomplete", reason: "usage_limit_reached" });
      const cut = await ask(proxy, talk);
      expect([cut.status, lastType(cut.events)]).toEqual([200, "response.incomplete"]);
      expect(await stateOf(proxy, home)).toBe("cooling");
      expect(lastType((await ask(proxy, talk)).events)).toBe("response.completed");
      expect([turnsOn(backend, home), turnsOn(backend, away)]).toEqual([2, 1]);
    });

    test.each<[name: string, five: number, week: number]>([
      ["the 5 h window", 100, 10],
      ["the weekly window", 10, 100],
    ])("%s alone is full: the account is not picked", async (_name, five, week) => {
      const [spent, good] = [fresh(), fresh()];
      spent.usage(five, week);
      await using proxy = await start([spent, good]);
      await elapse(proxy, MINUTE, () => isMeasured(proxy, spent));
      for (let turn = 0; turn < 4; turn++) expect((await ask(proxy)).status).toBe(200);
      expect([turnsOn(backend, spent), turnsOn(backend, good)]).toEqual([0, 4]);
    });
  });

  describe("B6-3: a limit rests what it is a limit of", () => {
    test("a usage limit the account, for every model", async () => {
      const account = fresh();
      account.script({ kind: "fault", name: "429-usage" });
      await using proxy = await start([account]);
      expect((await ask(proxy, { model: "gpt-5.4" })).status).toBe(429);
      for (const model of ["gpt-5.4", "gpt-5.5"]) {
        expect((await ask(proxy, { model })).status).toBe(429);
      }
      expect(turnsOn(backend, account)).toBe(1);
      const { state, restingModels } = (await proxy.stats()).of(account);
      expect([state, restingModels]).toEqual(["cooling", []]);
    });

    test("a rate limit that is told of a model only that one", async () => {
      const account = fresh();
      account.script({ kind: "fault", name: "429-plain" });
      await using proxy = await start([account]);
      for (let turn = 0; turn < 3; turn++) {
        expect((await ask(proxy, { model: "gpt-5.4" })).status).toBe(429);
      }
      // The backend would take it by now, and is not asked.
      expect(turnsOn(backend, account)).toBe(1);
      const { state, restingModels } = (await proxy.stats()).of(account);
      expect([state, restingModels]).toEqual(["ready", ["gpt-5.4"]]);
      expect((await ask(proxy, { model: "gpt-5.5" })).status).toBe(200);
      expect(turnsOn(backend, account)).toBe(2);
      await elapse(proxy, 2 * MINUTE);
      expect((await ask(proxy, { model: "gpt-5.4" })).status).toBe(200);
    });
  });

  describe("B7-10: an account that the backend refuses is failed over", () => {
    const faults: [fault: FaultName, state: string][] = [
      ["401-expired", "cooling"],
      ["401-revoked", "cooling"],
      ["403-deactivated", "disabled"],
      ["403-workspace", "disabled"],
      ["402-workspace", "disabled"],
      ["403-cloudflare", "ready"],
    ];
    test.each(faults)("%s: the client sees 200, the account is %s", async (fault, state) => {
      const [bad, good] = [fresh(), fresh()];
      await using proxy = await start([bad, good]);
      bad.always({ kind: "fault", name: fault });
      for (let turn = 0; turn < 2; turn++) expect((await ask(proxy)).status).toBe(200);
      expect(turnsOn(backend, good)).toBe(2);
      expect(await stateOf(proxy, bad)).toBe(state);
    });
  });

  test("B7-9: a dead account is shown as one that needs a login, with the reason, and is never picked", async () => {
    const [dead, good] = [fresh(), fresh()];
    await using proxy = await start([dead, good]);
    dead.expireAccessToken();
    dead.revokeRefreshToken();
    for (let turn = 0; turn < 2; turn++) expect((await ask(proxy)).status).toBe(200);
    await until(
      "it is known to be dead",
      async () => (await stateOf(proxy, dead)) === "needs-login",
    );
    const stats = await proxy.stats();
    expect(stats.of(dead).reason).toContain("refresh_token_invalidated");
    expect(stats.summary).toMatchObject({ needs_login: 1, ready: 1 });
    const before = turnsOn(backend, dead);
    await elapse(proxy, 20 * MINUTE);
    for (let turn = 0; turn < 4; turn++) expect((await ask(proxy)).status).toBe(200);
    expect(turnsOn(backend, dead)).toBe(before);
    expect(await stateOf(proxy, dead)).toBe("needs-login");
  });

  describe("B7-11: what the usage endpoint or /models says of an account counts", () => {
    const faults: [fault: FaultName, state: string][] = [
      ["401-expired", "cooling"],
      ["403-deactivated", "disabled"],
      ["403-workspace", "disabled"],
    ];
    test.each(faults)(
      "%s on the usage makes it %s, and no request is lost on it",
      async (fault, state) => {
        const [bad, good] = [fresh(), fresh()];
        bad.usageFault(fault);
        await using proxy = await start([bad, good]);
        await elapse(proxy, 4 * MINUTE, async () => readingsOf(bad) > 0);
        // New tokens take the disk its time; the clock stands still meanwhile.
        await until(`it is ${state}`, async () => (await stateOf(proxy, bad)) === state);
        for (let turn = 0; turn < 4; turn++) expect((await ask(proxy)).status).toBe(200);
        expect([turnsOn(backend, bad), turnsOn(backend, good)]).toEqual([0, 4]);
        bad.usageFault(undefined);
        await elapse(proxy, 6 * MINUTE, async () => (await stateOf(proxy, bad)) === "ready");
        expect(await stateOf(proxy, bad)).toBe("ready");
      },
    );

    test("a refusal on /models does so too, and the list is answered all the same", async () => {
      const account = fresh();
      account.modelsFault("403-deactivated");
      await using proxy = await start([account]);
      await until("it is told", async () => (await stateOf(proxy, account)) === "disabled");
      const list = await fetch(`${proxy.url}/v1/models`, {
        headers: { authorization: `Bearer ${KEY}` },
      });
      expect(list.status).toBe(200);
      expect((await ask(proxy)).status).toBe(503);
      expect(turnsOn(backend, account)).toBe(0);
    });
  });

  describe("POST /check-quota", () => {
    const check = (proxy: TestProxy, key: string, body: Dict = {}) =>
      fetch(`${proxy.url}/check-quota`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, accept: "text/event-stream" },
        body: JSON.stringify(body),
      });

    test("tells each account as it is read, to its owner only", async () => {
      const accounts = [fresh(), fresh()];
      await using proxy = await start(accounts, { "admin-key": "owner-5f3a9c1e7b" });
      expect((await check(proxy, KEY)).status).toBe(401);
      const answering = check(proxy, "owner-5f3a9c1e7b").then((answer) => answer.text());
      let isTold = false;
      void answering.then(() => {
        isTold = true;
      });
      await elapse(proxy, 4 * MINUTE, async () => isTold);
      const text = await answering;
      const types = [...text.matchAll(/^event: (.*)$/gm)].map(([, type]) => type);
      expect(types).toEqual(["start", "item", "item", "done"]);
      expect(text).toContain('"measured":2');
      for (const account of accounts) {
        expect(text).not.toContain(account.email);
        expect(text).not.toContain(account.tokens().accessToken);
      }
    });
  });
});
