import { describe, expect, test } from "bun:test";
import type { Saved, Snapshot, Store, Stored } from "../../src/store/store.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";
import { parseDict } from "../../src/wire/json.ts";
import { DATABASES } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { until } from "../support/until.ts";
import { PLACES, type Place, type PlaceKind, placeKindOf } from "./kinds.ts";
import { accessTokenOf, OTHER_WORKSPACE, WORKSPACE } from "./tokens.ts";

// What every store does, whatever keeps the logins. What is about files alone is in files.test.ts, and what is about
// databases alone in sql/.

const NOON = Date.parse("2026-11-21T12:00:00Z");
const DAY_MS = 86_400_000;
const WISH = { holdMs: 60_000, waitMs: 0 };
const OLD = { access_token: "at-1", refresh_token: "rt_1" };
const FRESH = { accessToken: "at-2", refreshToken: "rt_2" };

/** What a store does each second it does here in a twentieth of one. */
const QUICK: Clock = {
  ...systemClock,
  after: (delayMs, fire) => systemClock.after(delayMs / 20, fire),
};

function tokensOf({ logins }: Snapshot): readonly (string | undefined)[] {
  return logins.map(({ credential }) => credential.accessToken).toSorted();
}

/** Counts what it is told. */
function counter(): { readonly tell: () => void; readonly count: () => number } {
  let count = 0;
  const tell = (): void => {
    count += 1;
  };
  return { tell, count: () => count };
}

/** Renews a login's tokens; `meanwhile` is while the issuer makes the new ones. */
async function renew(
  store: Store,
  source: string,
  fresh: Parameters<Store["save"]>[1] = FRESH,
  meanwhile: () => unknown = () => {},
): Promise<Stored> {
  const done = await store.locked(source, WISH, async (isStillOurs) => {
    const can = await store.canSave(source);
    if (!can.ok) return can;
    expect(await isStillOurs()).toBe(true);
    await meanwhile();
    return store.save(source, fresh, NOON);
  });
  return done.ok ? done.value : done;
}

async function recordIn(place: Place, name: string) {
  return parseDict((await place.look(name)) ?? "");
}

const tokenOf = (iat: number, user = "u", workspace = WORKSPACE) =>
  accessTokenOf({ user, workspace, iat, exp: iat + 900 });

function contract({ make }: PlaceKind): void {
  describe("read", () => {
    test("nothing is in it at first, and nothing is wrong", async () => {
      await using place = await make();
      const store = await place.open();
      expect(await store.read()).toEqual({
        logins: [],
        faults: [],
        duplicates: [],
        complete: true,
      });
      expect(await store.aside()).toEqual([]);
      expect(await store.canAdd()).toEqual({ ok: true });
      expect(store.trouble()).toBeUndefined();
    });

    test("finds what is there, new ones, changed ones, and not those that were taken away", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: "at-a" });
      const store = await place.open();
      const first = await store.read();
      expect(first.logins.map(({ source }) => source)).toEqual([place.sourceOf("a.json")]);
      await place.put("b.json", { access_token: "at-b" });
      expect(tokensOf(await store.read())).toEqual(["at-a", "at-b"]);
      await place.put("a.json", { access_token: "at-a-of-later" });
      expect(tokensOf(await store.read())).toEqual(["at-a-of-later", "at-b"]);
      await place.take("b.json");
      expect(await store.read()).toMatchObject({
        complete: true,
        logins: [{ credential: { accessToken: "at-a-of-later" } }],
      });
      expect(await store.reread(place.sourceOf("b.json"))).toBeUndefined();
    });

    test("gives back the same entry where nothing has changed", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: "at-1" });
      await place.put("b.json", { access_token: "at-2" });
      const store = await place.open();
      const first = await store.read();
      await place.put("b.json", { access_token: "at-3-longer" });
      const second = await store.read();
      expect(second.logins[0]).toBe(first.logins[0] ?? second.logins[0]);
      expect(first.logins).toHaveLength(2);
      expect(tokensOf(second)).toEqual(["at-1", "at-3-longer"]);
    });

    const garbage: readonly [what: string, content: string][] = [
      ["half a record", '{"access_token": "eyJhbGciOi'],
      ["nothing", ""],
      ["a list", "[]"],
      ["no token", '{"email":"a@b.c","type":"codex"}'],
      ["tokens of a wrong type", '{"access_token":7}'],
      ["somebody else's", '{"type":"gemini","access_token":"x"}'],
    ];
    test.each(garbage)(
      "%s is told in the same words each time, left alone, and keeps nobody out",
      async (_what, content) => {
        await using place = await make();
        await place.put("good.json", { access_token: "at-1" });
        await place.put("bad.json", content);
        const store = await place.open();
        const first = await store.read();
        expect(tokensOf(first)).toEqual(["at-1"]);
        expect(first.complete).toBe(true);
        expect(first.faults).toEqual([
          { source: place.sourceOf("bad.json"), reason: expect.stringMatching(/^bad\.json: /) },
        ]);
        expect(first.faults[0]?.reason).not.toContain("eyJ");
        expect(await store.read()).toEqual(first);
        const source = place.sourceOf("bad.json");
        expect(await store.reread(source)).toBeUndefined();
        expect(await store.canSave(source)).toMatchObject({ ok: false });
        expect(await store.save(source, FRESH, NOON)).toMatchObject({ ok: false });
        expect(await renew(store, source)).toMatchObject({ ok: false });
        // What can be read at all may be marked; what cannot is not touched.
        if (parseDict(content) === undefined) {
          expect(await store.switchOff(source, true)).toMatchObject({ ok: false });
        }
        expect(await place.look("bad.json")).toBe(content);
      },
    );

    test("takes one login in several places once, with the newest tokens", async () => {
      await using place = await make();
      for (const [name, iat] of [
        ["a.json", 1000],
        ["b.json", 3000],
        ["c.json", 2000],
      ] as const) {
        await place.put(name, { access_token: tokenOf(iat) });
      }
      const snapshot = await (await place.open()).read();
      const identity = `u/${WORKSPACE}`;
      const kept = place.sourceOf("b.json");
      expect(snapshot.logins.map(({ source }) => source)).toEqual([kept]);
      expect(snapshot.duplicates).toEqual([
        { identity, kept, ignored: place.sourceOf("a.json") },
        { identity, kept, ignored: place.sourceOf("c.json") },
      ]);
    });

    test("one whose proxy is none is no account, and nothing is spent for it", async () => {
      await using place = await make();
      await place.put("a.json", { ...OLD, email: "a@b.c", proxy_url: "x://h" });
      const store = await place.open();
      expect(await store.read()).toMatchObject({ logins: [], faults: [{ isBarring: true }] });
      expect(await store.canSave(place.sourceOf("a.json"))).toMatchObject({ ok: false });
    });
  });

  describe("save", () => {
    test("what was written is read back, here and by others, and every other field stays", async () => {
      await using place = await make();
      await place.put(
        "a.json",
        '{"note":"mine", "access_token":"at-1","weight": 1e3,"refresh_token":"rt_1","deep":{"a":[1]}}',
      );
      const store = await place.open();
      await store.read();
      const source = place.sourceOf("a.json");
      const credential = { ...FRESH, expiresAtMs: NOON + DAY_MS };
      expect(await store.canSave(source)).toEqual({ ok: true });
      expect(await store.save(source, credential, NOON)).toEqual({ ok: true });
      for (const reader of [store, await place.open()]) {
        expect((await reader.read()).logins[0]).toMatchObject({
          credential,
          lastRefreshedMs: NOON,
        });
        expect(await reader.reread(source)).toMatchObject({ credential });
        expect(await reader.content(source)).toBe(await place.look("a.json"));
      }
      expect(await place.look("a.json")).toContain('"weight": 1e3');
      expect(await recordIn(place, "a.json")).toMatchObject({
        note: "mine",
        deep: { a: [1] },
        refresh_token: "rt_2",
      });
    });

    test("keeps what another program wrote in the meantime", async () => {
      await using place = await make();
      await place.put("a.json", OLD);
      const store = await place.open();
      await store.read();
      await place.put("a.json", { ...OLD, disabled: true });
      expect(await store.save(place.sourceOf("a.json"), { accessToken: "at-2" }, NOON)).toEqual({
        ok: true,
      });
      expect(await store.reread(place.sourceOf("a.json"))).toMatchObject({ isSwitchedOff: true });
    });

    test("many at a time lose nothing", async () => {
      await using place = await make();
      await place.put("a.json", { refresh_token: "rt_0", note: "x" });
      const store = await place.open();
      const source = place.sourceOf("a.json");
      const saves = Array.from({ length: 20 }, (_, i) =>
        store.save(source, i % 2 ? { accessToken: `at-${i}` } : { refreshToken: `rt_${i}` }, NOON),
      );
      expect(await Promise.all(saves)).toEqual(saves.map(() => ({ ok: true })));
      expect((await store.reread(source))?.credential).toEqual({
        accessToken: "at-19",
        refreshToken: "rt_18",
      });
    });

    test("a reading during a save never brings the old tokens back", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: "at-0" });
      const store = await place.open();
      for (let i = 1; i <= 10; i++) {
        const early = store.read();
        await store.save(place.sourceOf("a.json"), { accessToken: `at-${i}` }, NOON);
        await early;
        expect(tokensOf(await store.read())).toEqual([`at-${i}`]);
      }
    });

    test("never writes over another person's login, nor brings one back that is gone", async () => {
      await using place = await make();
      const theirs = JSON.stringify({ access_token: accessTokenOf({ user: "other" }) });
      await place.put("a.json", theirs);
      const store = await place.open();
      const mine = { accessToken: accessTokenOf({ user: "me" }) };
      expect(await store.save(place.sourceOf("a.json"), mine, NOON)).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/^a\.json: it holds another login by now/),
      });
      expect(await place.look("a.json")).toBe(theirs);
      const gone = place.sourceOf("gone.json");
      for (const outcome of [await store.save(gone, mine, NOON), await store.canSave(gone)]) {
        expect(outcome).toMatchObject({
          ok: false,
          reason: expect.stringMatching(/^gone\.json: /),
        });
      }
      expect(await place.look("gone.json")).toBeUndefined();
    });

    test("tokens of another workspace are not written without the lock either; what is stored later is", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: tokenOf(1, "u", OTHER_WORKSPACE) });
      const store = await place.open();
      const save = (accessToken: string) =>
        store.save(place.sourceOf("a.json"), { accessToken }, NOON);
      expect(await save(tokenOf(2))).toMatchObject({ ok: false });
      expect(await save(tokenOf(2, "u", OTHER_WORKSPACE))).toEqual({ ok: true });
      expect(await save("opaque")).toEqual({ ok: true });
    });
  });

  describe("locked", () => {
    test("one task at a time, in one process and over all; the others are told", async () => {
      await using place = await make();
      await place.put("a.json", OLD);
      await place.put("b.json", { access_token: "at-b" });
      const [store, other] = [await place.open(), await place.open()];
      const source = place.sourceOf("a.json");
      await store.locked(source, WISH, async (isStillOurs) => {
        expect(await other.locked(source, WISH, async () => true)).toMatchObject({
          ok: false,
          reason: expect.stringMatching(/another (?:process|instance)/i),
        });
        expect(await other.locked(place.sourceOf("b.json"), WISH, async () => true)).toMatchObject({
          ok: true,
        });
        expect(await isStillOurs()).toBe(true);
      });
      expect(await other.locked(source, WISH, async () => true)).toEqual({ ok: true, value: true });
      // In one process, too: side by side they would be inside together.
      let inside = 0;
      let most = 0;
      const turn = () =>
        store.locked(source, { holdMs: 60_000, waitMs: 30_000 }, async () => {
          inside += 1;
          most = Math.max(most, inside);
          await Bun.sleep(1);
          inside -= 1;
        });
      for (const done of await Promise.all([turn(), turn(), turn()])) expect(done.ok).toBe(true);
      expect(most).toBe(1);
    });

    test("a task that breaks gives the lock back, and an account that is gone has none", async () => {
      await using place = await make();
      await place.put("a.json", OLD);
      const store = await place.open();
      const source = place.sourceOf("a.json");
      const breaking = store.locked(source, WISH, async () => {
        await store.canSave(source);
        throw new Error("broken");
      });
      await expect(breaking).rejects.toThrow("broken");
      expect(await renew(store, source)).toEqual({ ok: true });
      expect(tokensOf(await store.read())).toEqual(["at-2"]);
    });

    test("what the owner wrote while the token was renewed is kept", async () => {
      await using place = await make();
      await place.put("a.json", OLD);
      const store = await place.open();
      const source = place.sourceOf("a.json");
      const note = "long ".repeat(50);
      expect(
        await renew(store, source, undefined, () =>
          place.put("a.json", { ...OLD, disabled: true, note }),
        ),
      ).toEqual({ ok: true });
      expect(await recordIn(place, "a.json")).toMatchObject({
        refresh_token: "rt_2",
        disabled: true,
        note,
      });
    });

    test("so is what is done through this store, and through another one", async () => {
      await using place = await make();
      const source = place.sourceOf("a.json");
      const [store, other] = [await place.open(), await place.open()];
      for (const by of [store, other]) {
        await place.put("a.json", OLD);
        let switching: Promise<Saved> | undefined;
        await renew(store, source, undefined, () => {
          switching = by.switchOff(source, true);
          return by === store ? switching : undefined;
        });
        expect(await switching).toEqual({ ok: true });
        expect(await other.reread(source)).toMatchObject({
          isSwitchedOff: true,
          credential: FRESH,
        });
        await place.take("a.json");
        await Promise.all([store.read(), other.read()]);
      }
    });

    test("B7-5: replaced by a newer login while its token is renewed: the owner's tokens count", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: tokenOf(1000), refresh_token: "rt_1" });
      const store = await place.open();
      const theirs = { access_token: tokenOf(5000), refresh_token: "rt_new-login" };
      const ours = { accessToken: tokenOf(4000), refreshToken: "rt_2" };
      expect(
        await renew(store, place.sourceOf("a.json"), ours, () => place.put("a.json", theirs)),
      ).toEqual({
        ok: true,
        isReplaced: true,
      });
      for (const reader of [store, await place.open()]) {
        const { logins } = await reader.read();
        expect(logins.map(({ credential }) => credential.refreshToken)).toEqual(["rt_new-login"]);
      }
    });

    test("an older one put back while its token is renewed: the new tokens count", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: tokenOf(2000), refresh_token: "rt_1" });
      const store = await place.open();
      const backup = { access_token: tokenOf(1000), refresh_token: "rt_0" };
      const ours = { accessToken: tokenOf(4000), refreshToken: "rt_2" };
      expect(
        await renew(store, place.sourceOf("a.json"), ours, () => place.put("a.json", backup)),
      ).toEqual({ ok: true });
      expect(await store.reread(place.sourceOf("a.json"))).toMatchObject({ credential: ours });
    });

    test("somebody else's login put there while its token is renewed is not touched", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: accessTokenOf({ user: "me" }) });
      const store = await place.open();
      const theirs = { access_token: accessTokenOf({ user: "other" }) };
      const ours = { accessToken: accessTokenOf({ user: "me", exp: 4e9 }), refreshToken: "rt_2" };
      expect(
        await renew(store, place.sourceOf("a.json"), ours, () => place.put("a.json", theirs)),
      ).toMatchObject({
        ok: false,
        reason: expect.stringContaining("another login by now"),
      });
      expect(await recordIn(place, "a.json")).toEqual(theirs);
      await store.locked(place.sourceOf("a.json"), WISH, async () => {});
      expect(await recordIn(place, "a.json")).toEqual(theirs);
    });

    const workspaces: [name: string, said: (workspace: string) => object, ours: string][] = [
      [
        "in its tokens",
        (workspace) => ({ access_token: accessTokenOf({ user: "u", workspace, iat: 9 }) }),
        tokenOf(9000),
      ],
      [
        "beside them alone",
        (account_id) => ({ access_token: accessTokenOf({ user: "u", iat: 9 }), account_id }),
        accessTokenOf({ user: "u", iat: 9000 }),
      ],
    ];
    test.each(workspaces)(
      "B7-5: the same person's other workspace put there while a token is renewed is not touched, named %s",
      async (_name, said, accessToken) => {
        await using place = await make();
        const theirs = { ...said(OTHER_WORKSPACE), refresh_token: "rt_other" };
        const before = { ...said(WORKSPACE), refresh_token: "rt_1" };
        const ours = { accessToken, refreshToken: "rt_2" };
        for (const [name, isBefore] of [
          ["a.json", true],
          ["b.json", false],
        ] as const) {
          const source = place.sourceOf(name);
          await place.put(name, before);
          const store = await place.open();
          await store.read();
          if (isBefore) await place.put(name, theirs);
          expect(
            await renew(store, source, ours, () =>
              isBefore ? undefined : place.put(name, theirs),
            ),
          ).toMatchObject({
            ok: false,
            reason: expect.stringContaining("another login by now"),
          });
          expect(await recordIn(place, name)).toEqual(theirs);
        }
        // Where nothing was put there, they are stored.
        await place.put("c.json", before);
        expect(await renew(await place.open(), place.sourceOf("c.json"), ours)).toEqual({
          ok: true,
        });
        expect(await recordIn(place, "c.json")).toMatchObject({ refresh_token: "rt_2" });
      },
    );

    test("B7-1: a holder that froze and comes back after its time: another's newer tokens stay, and it can tell", async () => {
      await using place = await make();
      await place.put("a.json", { access_token: tokenOf(1000), refresh_token: "rt_1" });
      const source = place.sourceOf("a.json");
      const [frozen, other] = [await place.open(), await place.open()];
      const done = await frozen.locked(source, WISH, async (isStillOurs) => {
        expect(await frozen.canSave(source)).toEqual({ ok: true });
        await place.outwait("a.json");
        const theirs = await other.locked(source, WISH, () =>
          other.save(source, { accessToken: tokenOf(5000), refreshToken: "rt_theirs" }, NOON),
        );
        expect(theirs).toEqual({ ok: true, value: { ok: true } });
        expect(await isStillOurs()).toBe(false);
        return frozen.save(source, { accessToken: tokenOf(4000), refreshToken: "rt_late" }, NOON);
      });
      expect(done).toEqual({ ok: true, value: { ok: true, isReplaced: true } });
      for (const reader of [frozen, other, await place.open()]) {
        expect(await reader.reread(source)).toMatchObject({
          credential: { refreshToken: "rt_theirs" },
        });
      }
      // And whoever has the lock now is not disturbed by what the frozen one gives back.
      expect(await other.locked(source, WISH, async (isStillOurs) => isStillOurs())).toEqual({
        ok: true,
        value: true,
      });
    });

    const taking: [name: string, take: (store: Store, source: string) => Promise<Saved>][] = [
      ["setting aside", (store, source) => store.setAside(source)],
      ["discarding", (store, source) => store.discard(source)],
    ];
    test.each(taking)(
      "B7-6: %s waits for the task that has the login, which may do it at once",
      async (_name, take) => {
        await using place = await make();
        await place.put("a.json", OLD);
        const store = await place.open();
        const source = place.sourceOf("a.json");
        const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        const order: string[] = [];
        const renewal = renew(store, source, undefined, async () => {
          begun.resolve();
          await end.promise;
        }).then((saved) => order.push(`saved ${saved.ok}`));
        await begun.promise;
        const taken = take(store, source).then(({ ok }) => order.push(`taken ${ok}`));
        // Its owner may switch it off all the same.
        expect(await store.switchOff(source, true)).toEqual({ ok: true });
        expect(await place.look("a.json")).toBeDefined();
        end.resolve();
        await Promise.all([renewal, taken]);
        expect(order).toEqual(["saved true", "taken true"]);
        expect((await store.read()).logins).toEqual([]);
        await place.put("b.json", OLD);
        const again = place.sourceOf("b.json");
        const within = await store.locked(again, WISH, () => take(store, again));
        expect(within).toEqual({ ok: true, value: { ok: true } });
        expect((await store.read()).logins).toEqual([]);
      },
    );

    test("a task has no more than its own login, and that only until it ends", async () => {
      await using place = await make();
      await place.put("a.json", OLD);
      await place.put("b.json", { access_token: "at-b" });
      const [a, b] = [place.sourceOf("a.json"), place.sourceOf("b.json")];
      const store = await place.open();
      const order: string[] = [];
      let late: Promise<unknown> = Promise.resolve();
      const [ended, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      await store.locked(a, WISH, async () => {
        late = ended.promise.then(() => store.setAside(a)).then(() => order.push("aside"));
      });
      const second = store.locked(a, WISH, async () => {
        ended.resolve();
        expect(await store.locked(b, WISH, () => store.setAside(b))).toMatchObject({
          value: { ok: true },
        });
        await end.promise;
        order.push("done");
      });
      await ended.promise;
      end.resolve();
      await Promise.all([second, late]);
      expect(order).toEqual(["done", "aside"]);
    });
  });

  describe("the owner's acts", () => {
    test("what is set aside is no account, and keeps all that it has till it is brought back", async () => {
      await using place = await make();
      await place.put("a.json", { ...OLD, note: "mine" });
      await place.put("b.json", { access_token: "at-b" });
      const store = await place.open();
      await store.read();
      expect(await store.setAside(place.sourceOf("a.json"))).toEqual({ ok: true });
      for (const reader of [store, await place.open()]) {
        expect(tokensOf(await reader.read())).toEqual(["at-b"]);
        const [aside, ...more] = await reader.aside();
        expect(more).toEqual([]);
        expect(aside).toMatchObject({
          source: `${place.sourceOf("a.json")}.disabled`,
          credential: { refreshToken: "rt_1" },
        });
        expect(await reader.content(aside?.source ?? "")).toContain('"note":"mine"');
      }
      const source = `${place.sourceOf("a.json")}.disabled`;
      // It can be renewed where it lies.
      expect(await renew(store, source)).toEqual({ ok: true });
      expect(await store.bringBack(source)).toEqual({ ok: true });
      for (const reader of [store, await place.open()]) {
        expect(tokensOf(await reader.read())).toEqual(["at-2", "at-b"]);
        expect(await reader.aside()).toEqual([]);
      }
      expect(await recordIn(place, "a.json")).toMatchObject({
        note: "mine",
        refresh_token: "rt_2",
      });
    });

    test("what is discarded is gone, here and for others, aside or not", async () => {
      await using place = await make();
      await place.put("a.json", OLD);
      await place.put("b.json", { access_token: "at-b" });
      const [store, other] = [await place.open(), await place.open()];
      await Promise.all([store.read(), other.read()]);
      expect(await store.discard(place.sourceOf("a.json"))).toEqual({ ok: true });
      expect(await store.setAside(place.sourceOf("b.json"))).toEqual({ ok: true });
      expect(await store.discard(`${place.sourceOf("b.json")}.disabled`)).toEqual({ ok: true });
      for (const reader of [store, other]) {
        expect(await reader.read()).toMatchObject({ logins: [], faults: [], complete: true });
        expect(await reader.aside()).toEqual([]);
      }
      for (const name of ["a.json", "b.json"]) expect(await place.look(name)).toBeUndefined();
    });

    test("what is not there cannot be set aside, brought back, deleted or switched off", async () => {
      await using place = await make();
      const store = await place.open();
      const gone = place.sourceOf("gone.json");
      for (const outcome of [
        await store.setAside(gone),
        await store.bringBack(`${gone}.disabled`),
        await store.discard(gone),
        await store.switchOff(gone, true),
      ]) {
        expect(outcome).toMatchObject({ ok: false, reason: expect.stringContaining("gone.json") });
      }
      expect(await store.content(gone)).toBeUndefined();
    });

    test("switched off and on again, every field stays", async () => {
      await using place = await make();
      await place.put("a.json", '{ "access_token": "at-1",\n  "weight": 1e3 }');
      const store = await place.open();
      const source = place.sourceOf("a.json");
      expect(await store.switchOff(source, true)).toEqual({ ok: true });
      expect(await (await place.open()).reread(source)).toMatchObject({ isSwitchedOff: true });
      expect(await store.switchOff(source, false)).toEqual({ ok: true });
      expect((await store.read()).logins[0]).toMatchObject({ isSwitchedOff: false });
      expect(await place.look("a.json")).toContain('"weight": 1e3');
    });
  });

  describe("add", () => {
    const contentOf = (token: string) =>
      JSON.stringify({ access_token: token, note: "as it is" }, null, 2);

    test("a new login is there for all, as it was written, under about that name", async () => {
      await using place = await make();
      const store = await place.open();
      expect(await store.add("ann@example.com", contentOf("at-1"))).toEqual({
        ok: true,
        source: place.sourceOf("ann@example.com.json"),
      });
      expect(await place.look("ann@example.com.json")).toBe(contentOf("at-1"));
      for (const reader of [store, await place.open()])
        expect(tokensOf(await reader.read())).toEqual(["at-1"]);
    });

    test("a name that is taken is numbered, by what lies aside as well as by what is broken; nothing is replaced", async () => {
      await using place = await make();
      await place.put("me.json", "{");
      const store = await place.open();
      const sources: string[] = [];
      for (let number = 1; number <= 3; number++) {
        const added = await store.add("me", contentOf(`at-${number}`));
        sources.push(added.ok ? added.source : added.reason);
      }
      expect(sources).toEqual(["me.2.json", "me.3.json", "me.4.json"].map(place.sourceOf));
      expect(await place.look("me.json")).toBe("{");
    });

    test("a name that leads elsewhere does not", async () => {
      await using place = await make();
      const store = await place.open();
      const added = await store.add("../../.etc/pass wd", contentOf("at-1"));
      expect(added).toEqual({ ok: true, source: place.sourceOf("_.._.etc_pass_wd.json") });
    });

    test("many at a time from several processes: each has a place of its own", async () => {
      await using place = await make();
      const stores = [await place.open(), await place.open(), await place.open()];
      const added = await Promise.all(
        Array.from({ length: 12 }, (_, at) => stores[at % 3]?.add("me", contentOf(`at-${at}`))),
      );
      const sources = added.map((each) => (each?.ok === true ? each.source : each?.reason));
      expect(new Set(sources).size).toBe(12);
      expect((await stores[0]?.read())?.logins).toHaveLength(12);
    });
  });

  describe("watch", () => {
    test("tells of others' changes, each time, and of own ones not at all", async () => {
      await using place = await make();
      await place.put("a.json", OLD);
      const [store, other] = [await place.open(QUICK), await place.open(QUICK)];
      await Promise.all([store.read(), other.read()]);
      const [mine, theirs] = [counter(), counter()];
      const stops = [store.watch(mine.tell), other.watch(theirs.tell)];
      const source = place.sourceOf("a.json");
      // Of one who begins to watch nobody knows what they have missed.
      await place.put("b.json", { access_token: "at-b" });
      await until("both are told", () => mine.count() > 0 && theirs.count() > 0);
      await until("all is quiet", async () => {
        const before = mine.count() + theirs.count();
        await Bun.sleep(120);
        return mine.count() + theirs.count() === before;
      });
      const changes: (() => Promise<unknown>)[] = [
        () => renew(store, source),
        () => store.switchOff(source, true),
        () => store.add("c", '{"access_token":"at-c"}'),
        () => store.setAside(source),
        () => store.bringBack(`${source}.disabled`),
        () => store.discard(place.sourceOf("c.json")),
      ];
      for (const change of changes) {
        const before = theirs.count();
        expect(await change()).toMatchObject({ ok: true });
        await until("the other is told", () => theirs.count() > before);
        // What comes in several steps is told in its time.
        await other.read();
      }
      await Bun.sleep(120);
      const silent = mine.count();
      await place.put("d.json", { access_token: "at-d" });
      await until("both are told", () => mine.count() > silent);
      expect(tokensOf(await store.read())).toEqual(tokensOf(await other.read()));
      expect(mine.count()).toBe(silent + 1);
      for (const stop of stops) stop();
    });

    test("is silent once it is stopped", async () => {
      await using place = await make();
      const store = await place.open(QUICK);
      await store.read();
      const [stopped, running] = [counter(), counter()];
      store.watch(stopped.tell)();
      const stop = store.watch(running.tell);
      await place.put("a.json", OLD);
      await until("it is told", () => running.count() > 0);
      expect(stopped.count()).toBe(0);
      stop();
    });
  });
}

const [files] = PLACES;
describe("files", () => {
  if (files !== undefined) contract(files);
});
describeEach(DATABASES, (kind) => contract(placeKindOf(kind)));
