import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { dict } from "../../src/wire/json.ts";
import { turnsOn } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { call } from "../support/call.ts";
import { SERVERS } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { holdUntilEnd } from "../support/held.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(90_000);

const { use } = holdUntilEnd();

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

function fresh(): FakeAccount {
  made += 1;
  return backend.account(`fleet-${made}`);
}

const freshOnes = (count: number): readonly FakeAccount[] => Array.from({ length: count }, fresh);

/** Ends when the others have had the time that they are allowed to learn something. */
const moment = (ms: number): Promise<void> => until("the moment is over", elapsed(ms), ms + 5000);

function elapsed(ms: number): () => boolean {
  const endMs = performance.now() + ms;
  return () => performance.now() >= endMs;
}

describeEach(SERVERS, (kind) => {
  /** So many instances on a database of their own; the first one takes the accounts in. */
  async function fleetOf(
    count: number,
    accounts: readonly FakeAccount[],
    config: Readonly<Record<string, unknown>> = {},
  ): Promise<readonly TestProxy[]> {
    const database = await use(kind.make());
    const fleet: TestProxy[] = [];
    for (let number = 0; number < count; number++) {
      const proxy = await use(
        startProxy({
          backend,
          accounts: number === 0 ? accounts : [],
          config: { ...database.config, ...config },
        }),
      );
      const isComplete = async (): Promise<boolean> =>
        (await proxy.stats()).accounts.length === accounts.length;
      await until("the accounts are there", isComplete);
      fleet.push(proxy);
    }
    return fleet;
  }

  const ask = (proxy: TestProxy | undefined, conversation: string) => {
    if (proxy === undefined) throw new Error("there is no such instance");
    return call(proxy, { body: turnBody("Say hi", { prompt_cache_key: conversation }) });
  };

  const nameOf = (conversation: string): string | undefined =>
    backend.turns().findLast(({ body }) => dict(body)["prompt_cache_key"] === conversation)
      ?.account;

  test("a 429 that one of them meets keeps the others off the account within two seconds", async () => {
    const accounts = freshOnes(3);
    const fleet = await fleetOf(4, accounts);
    const [spent, ...others] = accounts;
    if (spent === undefined) throw new Error("there is one");
    spent.always({ kind: "fault", name: "429-usage" });
    const [first, ...rest] = fleet;
    let talk = 0;
    const isMet = async (): Promise<boolean> => {
      talk += 1;
      await ask(first, `${kind.name} to find out ${talk}`);
      return turnsOn(backend, spent) > 0;
    };
    await until("one instance meets the limit", isMet);
    await moment(2000);
    const before = turnsOn(backend, spent);
    for (const proxy of rest) {
      const states = (await proxy.stats()).accounts.map(({ state }) => state);
      expect(states.toSorted()).toEqual(["cooling", "ready", "ready"]);
      for (let turn = 0; turn < 10; turn++) {
        talk += 1;
        expect((await ask(proxy, `${kind.name} after it ${talk}`)).status).toBe(200);
      }
    }
    expect(turnsOn(backend, spent)).toBe(before);
    expect(others.every((account) => turnsOn(backend, account) > 0)).toBe(true);
  });

  test("readings are divided among them, not multiplied", async () => {
    const accounts = freshOnes(8);
    const readings = (): number =>
      backend.requests.filter(
        ({ account, path }) =>
          path.endsWith("/wham/usage") && accounts.some(({ name }) => name === account),
      ).length;
    // One after the other: each knows what those before it have read.
    const fleet = await fleetOf(4, accounts);
    const isMeasured = async (): Promise<boolean> => {
      const all = await Promise.all(fleet.map((proxy) => proxy.stats()));
      return all.every(({ accounts: rows }) =>
        rows.every(({ whole }) => whole["quota_measured_at"] !== null),
      );
    };
    await until("every instance knows every account's usage", isMeasured, 60_000);
    await moment(6000);
    expect(readings()).toBeGreaterThanOrEqual(8);
    // One that was on its way when another instance came may be taken twice.
    expect(readings()).toBeLessThanOrEqual(10);
  });

  test("the turns of a conversation that come to any of them stay on one account", async () => {
    const accounts = freshOnes(6);
    const fleet = await fleetOf(4, accounts);
    const homes = new Map<string, string | undefined>();
    for (let talk = 0; talk < 12; talk++) {
      const conversation = `${kind.name} talk ${talk}`;
      await ask(fleet[talk % 4], conversation);
      homes.set(conversation, nameOf(conversation));
    }
    expect(new Set(homes.values()).size).toBeGreaterThan(2);
    await moment(2500);
    for (const [conversation, home] of homes) {
      for (const proxy of fleet) {
        await ask(proxy, conversation);
        expect(nameOf(conversation)).toBe(home);
      }
    }
  });
});
