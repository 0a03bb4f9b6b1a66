import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import {
  addressOf,
  countOf,
  expectServed,
  refreshesOf,
  renewBeside,
  shownName,
  stateOf,
  storedIn,
  storedToken,
} from "../support/accounts.ts";
import type { AccountSeed, FakeAccount, IssuerFault } from "../support/backend/account.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { type Answer, call } from "../support/call.ts";
import {
  describeStores,
  FILES,
  LOCAL_STORES,
  STORES,
  type StoreKind,
} from "../support/each-database.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(30_000);

/** An access token of four minutes is due from its birth; one that ended before it is of no use at all. */
const DUE = { lifetimeSeconds: 240 };
const ENDED = { lifetimeSeconds: -60 };
const STREAM = { accept: "text/event-stream" };

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

const FAULTS: readonly IssuerFault[] = ["500", "429", "html", "html-200", "no-tokens", "hang"];

describeStores(STORES, (store) => {
  const start = (accounts: readonly FakeAccount[], config: Dict = {}) =>
    startOn(store, accounts, config);

  describe("POST /refresh", () => {
    test("renews all that are not disabled, and streams how far it is", async () => {
      const [ann, bob, off] = [fresh(), fresh(), fresh()];
      await using proxy = await start([ann, bob]);
      const { place } = proxy;
      await place.put(place.nameOf(off), { ...off.file(), disabled: true });
      await until("three are there", async () => (await proxy.stats()).accounts.length === 3);
      const { status, headers, events, text } = await ask(proxy, "/refresh", undefined, STREAM);
      expect([status, headers.get("content-type")]).toEqual([
        200,
        "text/event-stream; charset=utf-8",
      ]);
      expect(text).toStartWith("event: start\n");
      expect(events.map(({ type }) => type)).toEqual(["start", "item", "item", "done"]);
      expect(events[0]).toMatchObject({ total: 2 });
      expect(events.at(-1)).toMatchObject({
        total: 2,
        renewed: 2,
        adopted: 0,
        skipped: 0,
        failed: 0,
      });
      expect(
        events
          .slice(1, 3)
          .map(({ file, outcome }) => [file, outcome])
          .toSorted(),
      ).toEqual([
        [shownName(proxy, ann), "renewed"],
        [shownName(proxy, bob), "renewed"],
      ]);
      for (const account of [ann, bob]) {
        expect(await storedToken(proxy, account)).toBe(account.tokens().refreshToken);
        expect(refreshesOf(backend, account)).toBe(1);
      }
      expect(refreshesOf(backend, off)).toBe(0);
      expect(text).not.toContain(ann.email);
      expect(text).not.toContain(ann.tokens().refreshToken);
    });

    test("adopts what another program has stored", async () => {
      const ann = fresh();
      await using proxy = await start([ann], { "auth-scan-interval": 3600 });
      const used = ann.tokens().refreshToken;
      await renewBeside(backend, ann);
      await proxy.place.put(proxy.place.nameOf(ann), ann.file());
      const { json } = await ask(proxy, "/refresh");
      // Either the rescan or the renewal was first to see them; nobody spent the old ones.
      expect(
        backend.refreshes().filter(({ body }) => dict(body)["refresh_token"] === used),
      ).toHaveLength(1);
      expect(json["failed"]).toBe(0);
    });
  });

  describe("POST /recover-auth", () => {
    test("sets a dead login aside and deletes nothing, and says why", async () => {
      const ann = fresh(ENDED);
      ann.revokeRefreshToken("refresh_token_reused");
      await using proxy = await start([ann]);
      await until("its state is told", async () => (await stateOf(proxy, ann)) === "needs-login");
      const row = (await proxy.stats()).of(ann);
      expect(row.reason).toContain("refresh_token_reused");
      expect(Date.parse(String(row.whole["since"]))).toBeGreaterThan(0);
      const { place } = proxy;
      const name = place.nameOf(ann);
      const content = await place.look(name);
      const { json, status } = await ask(proxy, "/recover-auth", { all: true });
      expect([status, json["set_aside"]]).toEqual([200, 1]);
      expect(list(json["items"])[0]).toMatchObject({
        file: shownName(proxy, ann),
        outcome: "set-aside",
        reason: expect.stringContaining("refresh_token_reused"),
      });
      expect(await storedIn(proxy)).toEqual([`${name}.disabled`]);
      expect((await place.look(`${name}.disabled`)) ?? (await place.look(name))).toBe(content);
      expect((await proxy.stats()).accounts).toEqual([]);
      // Asked once in all: not by hand again either (B7-3).
      await ask(proxy, "/recover-auth", { file_path: name });
      expect(refreshesOf(backend, ann)).toBe(1);
      expect(countOf(proxy.logs(), "an account needs a new login")).toBe(1);
    });

    test("brings back what was set aside once its tokens work", async () => {
      const ann = fresh();
      await using proxy = await start([]);
      const { place } = proxy;
      await place.putAside(place.nameOf(ann), { ...ann.file(), note: "mine" });
      expect((await call(proxy)).status).toBe(503);
      const { json } = await ask(proxy, "/recover-auth", { email: ann.email });
      expect(json).toMatchObject({ total: 1, recovered: 1 });
      expect(await storedIn(proxy)).toEqual([place.nameOf(ann)]);
      expect(await storedToken(proxy, ann)).toBe(ann.tokens().refreshToken);
      expect(await place.look(place.nameOf(ann))).toContain('"mine"');
      await expectServed(proxy);
    });

    test("disabled-recovery-interval-sec does it by itself", async () => {
      const [ann, dead] = [fresh(), fresh()];
      dead.revokeRefreshToken();
      await using proxy = await start([], { "disabled-recovery-interval-sec": 1 });
      const { place } = proxy;
      await place.putAside(place.nameOf(ann), ann.file());
      await place.putAside(place.nameOf(dead), dead.file());
      await until("it is back", async () => (await proxy.stats()).accounts.length === 1);
      await expectServed(proxy);
      expect(await storedIn(proxy)).toEqual([place.nameOf(ann), `${place.nameOf(dead)}.disabled`]);
      expect(refreshesOf(backend, dead)).toBe(1);
    });
  });

  describe("an issuer in trouble", () => {
    test.each(store.name === "files" ? FAULTS : FAULTS.slice(0, -1))(
      "B7-8: %s: the account serves while its token lives, and its file stays as it is",
      async (fault) => {
        const ann = fresh(DUE);
        ann.issuerFault(fault);
        await using proxy = await start([ann], { "refresh-single-timeout-sec": 1 });
        const before = await proxy.place.look(proxy.place.nameOf(ann));
        // Silence is no failure yet: the answer that may still come would hold the only token that works.
        const said = fault === "hang" ? "" : "could not be renewed";
        await until(
          "it has been asked",
          () => refreshesOf(backend, ann) === 1 && proxy.logs().includes(said),
        );
        await expectServed(proxy);
        await expectServed(proxy);
        expect(await stateOf(proxy, ann)).toBe("ready");
        expect(refreshesOf(backend, ann)).toBe(1);
        expect(await proxy.place.look(proxy.place.nameOf(ann))).toBe(before);
      },
    );

    test("an answer that comes after refresh-single-timeout-sec is kept: it holds the only token that works", async () => {
      const ann = fresh(DUE);
      ann.expireAccessToken();
      ann.refreshDelayMs = 2500;
      await using proxy = await start([ann], { "refresh-single-timeout-sec": 1 });
      expect((await call(proxy)).status).toBeGreaterThanOrEqual(500);
      await until("the late answer is stored", async () => {
        return (await storedToken(proxy, ann)) === ann.tokens().refreshToken;
      });
      ann.refreshDelayMs = 0;
      await until("it serves", async () => (await call(proxy)).status === 200);
      const refused = backend
        .refreshes()
        .filter(({ account, status }) => account === ann.name && status === 401);
      expect(refused).toHaveLength(0);
    });

    test("refresh-http-status-policy: a status may disable, and only remove deletes", async () => {
      const [ann, bob] = [fresh(DUE), fresh(DUE)];
      ann.issuerFault("500");
      bob.revokeRefreshToken();
      await using proxy = await start([ann, bob], {
        "refresh-http-status-policy": {
          500: "none/disable",
          401: { phase: "none", final: "remove" },
        },
      });
      await until("one is left", async () => (await proxy.stats()).accounts.length === 1);
      await until("it is disabled", async () => (await stateOf(proxy, ann)) === "disabled");
      expect((await proxy.stats()).of(ann).reason).toContain("500");
      expect(await storedIn(proxy)).toEqual([proxy.place.nameOf(ann)]);
      expect(proxy.logs()).toContain("file was deleted, as refresh-http-status-policy says");
      expect(proxy.logs()).toContain(shownName(proxy, bob));
    });
  });
});

// Pauses make these slow, and what they are about is not how tokens are kept.
describeStores(LOCAL_STORES, (store) => {
  const start = (accounts: readonly FakeAccount[], config: Dict = {}) =>
    startOn(store, accounts, config);

  test("a temporary failure changes nothing, and a success makes it ready again", async () => {
    const ann = fresh(ENDED);
    ann.issuerFault("500");
    await using proxy = await start([ann]);
    await until("it rests", async () => (await stateOf(proxy, ann)) === "cooling");
    const before = await proxy.place.look(proxy.place.nameOf(ann));
    const failed = await ask(proxy, "/recover-auth", { all: true });
    expect(failed.json).toMatchObject({ unchanged: 1, recovered: 0 });
    expect(await proxy.place.look(proxy.place.nameOf(ann))).toBe(before);
    ann.issuerFault(undefined);
    // The pause after a failure does not hold up who asks by hand.
    const helped = await ask(proxy, "/recover-auth", { all: true });
    expect(helped.json).toMatchObject({ recovered: 1 });
    expect(await stateOf(proxy, ann)).toBe("ready");
  });
});

// And these are the same whatever keeps the accounts.
describeStores(FILES, (store) => {
  const start = (accounts: readonly FakeAccount[], config: Dict = {}) =>
    startOn(store, accounts, config);

  test("renews the one that is named, in one JSON answer, and says what is wrong with a body", async () => {
    const [ann, bob] = [fresh(), fresh()];
    await using proxy = await start([ann, bob]);
    for (const body of [
      { email: ann.email },
      { file_path: proxy.place.nameOf(ann) },
      { account_id: ann.workspaceId },
    ]) {
      const { json } = await ask(proxy, "/refresh", body);
      // The second and third come while the first one's family rests, and go on after that.
      expect(list(json["items"])).toHaveLength(1);
      expect(dict(list(json["items"])[0])).toMatchObject({ outcome: "renewed" });
    }
    expect([refreshesOf(backend, ann), refreshesOf(backend, bob)]).toEqual([3, 0]);
    expect((await ask(proxy, "/refresh", { email: "nobody@example.com" })).status).toBe(404);
    const wrong = await ask(proxy, "/refresh", { emial: ann.email });
    expect([wrong.status, wrong.error["code"]]).toEqual([400, "unknown_parameter"]);
  });

  test("must be told whom, and knows when there is no such account", async () => {
    await using proxy = await start([fresh()]);
    const nothing = await ask(proxy, "/recover-auth");
    expect([nothing.status, nothing.error["code"]]).toEqual([400, "missing_body"]);
    expect(String(nothing.error["message"])).toContain('{"all": true}');
    const nobody = await ask(proxy, "/recover-auth", { account_id: "none" });
    expect([nobody.status, nobody.error["code"]]).toEqual([404, "account_not_found"]);
  });

  test("auth-401-sync-refresh-concurrency: who finds no place is served by another account", async () => {
    const [slow, second, good] = [fresh(), fresh(), fresh()];
    const gate = Promise.withResolvers<void>();
    for (const account of [slow, second]) {
      account.expireAccessToken();
      account.refreshGate = gate.promise;
    }
    await using proxy = await start([slow, second, good], {
      "auth-401-sync-refresh-concurrency": 1,
    });
    let done = 0;
    const turns = Array.from({ length: 9 }, (_, index) =>
      expectServed(proxy, { prompt_cache_key: `k${index}` }).then(() => {
        done += 1;
      }),
    );
    await backend.until(() => [slow, second].every((each) => refreshesOf(backend, each) === 1));
    await until("only those wait that found a place", async () => {
      const doneBefore = done;
      const stats = await proxy.stats();
      const [one = 0, two = 0, three = 0] = [slow, second, good].map(
        (each) => stats.of(each).inFlight,
      );
      return doneBefore + one + two + three === turns.length && Math.min(one, two) === 0;
    });
    gate.resolve();
    await Promise.all(turns);
    await until("both were renewed", async () => {
      const states = await Promise.all([slow, second].map((each) => stateOf(proxy, each)));
      return states.every((state) => state === "ready");
    });
    expect([slow, second, good].map((each) => refreshesOf(backend, each))).toEqual([1, 1, 0]);
    // The requests of the one that found no place had gone on by the time its token came.
    const served = ({ name }: FakeAccount) =>
      backend.turns().filter(({ account, status }) => account === name && status === 200).length;
    expect([slow, second].map(served).toSorted()[0]).toBe(0);
    expect(served(slow) + served(second)).toBeGreaterThan(0);
  });

  describe("families", () => {
    test("B7-2: three accounts of one workspace that are due at the start are renewed apart, strangers at once", async () => {
      const shared = "11111111-2222-4333-8444-555555555555";
      const family = [1, 2, 3].map(() => fresh({ ...DUE, workspaceId: shared }));
      const strangers = [1, 2, 3].map(() => fresh(DUE));
      const gate = Promise.withResolvers<void>();
      for (const account of strangers) account.refreshGate = gate.promise;
      const isAsked = (account: FakeAccount) => refreshesOf(backend, account) === 1;
      await using _proxy = await start([...family, ...strangers]);
      // None of the strangers has an answer before all of them have asked.
      await backend.until(() => strangers.every(isAsked));
      gate.resolve();
      await backend.until(() => family.every(isAsked));
      const times = backend
        .refreshes()
        .filter(({ account }) => family.some(({ name }) => name === account))
        .map(({ atMs }) => atMs)
        .toSorted((a, b) => a - b);
      const [first = 0, second = 0, third = 0] = times;
      expect(second - first).toBeGreaterThanOrEqual(990);
      expect(third - second).toBeGreaterThanOrEqual(990);
    });
  });
});

describe("who may ask for it", () => {
  const ROUTES = ["/refresh", "/recover-auth"];
  const start = (accounts: readonly FakeAccount[], config: Dict = {}) =>
    startProxy({ backend, accounts, config });

  test("without any key: this machine, and nothing that was passed on", async () => {
    await using proxy = await start([fresh()], { "api-keys": [] });
    for (const path of ROUTES) {
      const bare = (headers: Record<string, string>) =>
        fetch(`${proxy.url}${path}`, { method: "POST", headers, body: '{"all":true}' });
      expect((await bare({})).status).toBe(200);
      expect((await bare({ "x-forwarded-for": "203.0.113.5" })).status).toBe(403);
      expect((await bare({ origin: "https://evil.example" })).status).toBe(403);
    }
  });

  test("with keys: who has one; with an admin key: who has that", async () => {
    await using proxy = await start([fresh()]);
    await using guarded = await start([fresh()], { "admin-key": "the-owner-of-it-1" });
    for (const path of ROUTES) {
      const none = { authorization: "" };
      expect((await ask(proxy, path, { all: true }, none)).status).toBe(401);
      expect((await ask(proxy, path, { all: true })).status).toBe(200);
      expect((await ask(guarded, path, { all: true })).status).toBe(401);
      const owner = { authorization: "Bearer the-owner-of-it-1" };
      expect((await ask(guarded, path, { all: true }, owner)).status).toBe(200);
      expect((await fetch(`${proxy.url}${path}`)).status).toBe(401);
    }
  });
});

// Names that sort in the order of making, and that no other test of this backend has.
function fresh(seed: Partial<AccountSeed> = {}): FakeAccount {
  made += 1;
  const name = `renewal-${String(made).padStart(4, "0")}`;
  return backend.account(name, { email: addressOf(name), ...seed });
}

function startOn(
  store: StoreKind,
  accounts: readonly FakeAccount[],
  config: Dict = {},
): Promise<TestProxy> {
  return startProxy({ backend, accounts, config, store });
}

function ask(
  proxy: TestProxy,
  path: string,
  body?: Dict,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return call(proxy, { path, body: body ?? "", headers });
}
