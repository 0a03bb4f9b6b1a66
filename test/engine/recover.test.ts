import { describe, expect, test } from "bun:test";
import { createRecovery } from "../../src/engine/recover.ts";
import type { Selection } from "../../src/engine/selection.ts";
import type { Login } from "../../src/pool/account.ts";
import { createStop } from "../../src/turn/stop.ts";
import type { Dict } from "../../src/wire/json.ts";
import { NOON, settled } from "./parts.ts";
import { BROKEN, type Issuer, REFUSED, stage, stranger } from "./renewal.ts";

function scene(logins: readonly Login[], issuer?: Issuer) {
  const made = stage(logins, issuer);
  const { pool, vault, clock, log, reload, renewer } = made;
  const recovery = createRecovery({
    ...{ pool, store: vault, clock, log, reload, renewer },
    isMine: () => true,
  });
  /** Recovers past all pauses; what is told, by file. */
  const recover = async (selection: Selection, stop = createStop()) => {
    const items: Dict[] = [];
    const work = await recovery.recover(selection);
    const working = work?.({ start: () => {}, item: (item) => items.push(item) }, stop);
    for (let second = 0; second < 10; second++) {
      await settled();
      clock.advance(1000);
    }
    const done = await working;
    const outcomes = items.map((item) => [item["file"], item["outcome"]]);
    return { done, items, outcomes: Object.fromEntries(outcomes) };
  };
  return { ...made, recovery, recover };
}

const ann = stranger("ann");
const ALL: Selection = { by: "all" };
const ANN: Selection = { by: "file_path", value: "ann.json" };

describe("recovering an account", () => {
  test("makes it ready where its tokens work again, whatever was wrong", async () => {
    for (const outcome of [
      { type: "renewal-refused", reason: "reused" },
      { type: "disabled", reason: "a policy" },
      { type: "failed", failure: { kind: "unauthorized", message: "401" } },
    ] as const) {
      const { recover, pool, state } = scene([ann]);
      pool.settle(ann.identity, outcome, NOON);
      const { done, outcomes } = await recover(ALL);
      expect(done).toEqual({ total: 1, recovered: 1, set_aside: 0, unchanged: 0 });
      expect([outcomes["ann.json"], state(ann)]).toEqual(["recovered", "ready"]);
    }
  });

  test("sets it aside where its token is refused for good, and deletes nothing", async () => {
    const { recover, vault, pool, lines } = scene([ann], () => REFUSED);
    const { items } = await recover(ANN);
    expect(items[0]).toMatchObject({
      outcome: "set-aside",
      reason: expect.stringContaining("401"),
    });
    expect(pool.get(ann.identity)).toBeUndefined();
    expect([...vault.shelved.values()].map(({ credential }) => credential)).toEqual([
      ann.credential,
    ]);
    expect(lines.some(({ message }) => message.includes("set aside"))).toBe(true);
  });

  test("changes nothing where the failure is a temporary one", async () => {
    const { recover, vault, pool, state } = scene([ann], () => BROKEN);
    pool.settle(ann.identity, { type: "renewal-refused", reason: "reused" }, NOON);
    expect((await recover(ANN)).items[0]).toMatchObject({
      outcome: "unchanged",
      reason: BROKEN.message,
    });
    expect([state(ann), vault.logins.get(ann.source)]).toEqual(["needs-login", ann]);
  });

  test("does not set aside a file in which other tokens lie by now, nor one that cannot be moved", async () => {
    const replaced = scene([ann], () => REFUSED);
    const anew = { ...ann.credential, refreshToken: "a new login" };
    replaced.vault.onReread = () => {
      const login = { ...ann, credential: anew };
      if (replaced.spent.length > 0) replaced.vault.logins.set(ann.source, login);
    };
    expect((await replaced.recover(ANN)).outcomes["ann.json"]).toBe("recovered");
    expect(replaced.vault.shelved.size).toBe(0);
    const stuck = scene([ann], () => REFUSED);
    Object.assign(stuck.vault, { setAside: async () => ({ ok: false, reason: "read-only." }) });
    expect((await stuck.recover(ANN)).items[0]).toMatchObject({ reason: "read-only." });
  });

  test("B7-5: does not set aside a login that is stored while it waits for the lock", async () => {
    const { recover, vault, spent } = scene([ann], () => REFUSED);
    const { locked } = vault;
    const anew = { ...ann, credential: { ...ann.credential, refreshToken: "a new login" } };
    const wait: typeof locked = (...given) => {
      if (spent.length > 0) vault.logins.set(ann.source, anew);
      return locked(...given);
    };
    Object.assign(vault, { locked: wait });
    expect((await recover(ANN)).items[0]).toMatchObject({
      outcome: "unchanged",
      reason: "Its file has changed meanwhile.",
    });
    expect(vault.logins.get(ann.source)).toEqual(anew);
    vault.logins.set(ann.source, ann);
    Object.assign(vault, { locked: async () => ({ ok: false, reason: "busy." }) });
    expect((await recover(ANN)).items[0]).toMatchObject({ outcome: "unchanged" });
    expect(vault.shelved.size).toBe(0);
  });

  test("leaves alone who works, where all are meant, who is switched off, and who has no refresh token", async () => {
    const off = stranger("off", { isSwitchedOff: true });
    const bare = stranger("bare", { credential: { accessToken: "opaque" } });
    const { recover, spent } = scene([ann, off, bare]);
    const { done } = await recover(ALL);
    expect(done).toMatchObject({ total: 3, unchanged: 3 });
    expect(spent).toEqual([]);
    expect((await recover(ANN)).outcomes["ann.json"]).toBe("recovered");
    expect((await recover({ by: "email", value: "nobody@example.com" })).done).toBeUndefined();
  });

  test("stops where nobody waits any more", async () => {
    const { recover, spent } = scene([ann]);
    const stop = createStop();
    stop.stop({ kind: "client-left", message: "gone" });
    expect((await recover(ANN, stop)).items).toEqual([]);
    expect(spent).toEqual([]);
  });

  test("a fault of the program's own is told of that account alone", async () => {
    const bob = stranger("bob");
    const { recover, vault, lines, pool } = scene([ann, bob]);
    const { save } = vault;
    Object.assign(vault, {
      save: async (...given: Parameters<typeof save>) => {
        if (given[0] === ann.source) throw new Error("a bug");
        return save(...given);
      },
    });
    const sick = { kind: "unauthorized", message: "401" } as const;
    for (const { identity } of [ann, bob]) {
      pool.settle(identity, { type: "failed", failure: sick }, NOON);
    }
    expect((await recover(ALL)).outcomes).toEqual({
      "ann.json": "unchanged",
      "bob.json": "recovered",
    });
    expect(lines.some(({ level }) => level === "error")).toBe(true);
  });
});

describe("recovering what was set aside", () => {
  test("stores its new tokens where it lies, brings it back, and it serves", async () => {
    const { recover, vault, pool, reload, state } = scene([ann]);
    await vault.setAside(ann.source);
    await reload();
    expect(pool.get(ann.identity)).toBeUndefined();
    const order: string[] = [];
    const { save, bringBack } = vault;
    Object.assign(vault, {
      save: async (...given: Parameters<typeof save>) => {
        order.push(`save ${given[0]}`);
        return save(...given);
      },
      bringBack: async (source: string) => {
        order.push(`bring back ${source}`);
        return bringBack(source);
      },
    });
    expect((await recover(ANN)).outcomes).toEqual({ "ann.json.disabled": "recovered" });
    expect(order).toEqual(["save /auths/ann.json.disabled", "bring back /auths/ann.json.disabled"]);
    expect([state(ann), vault.logins.get(ann.source)?.credential.refreshToken]).toEqual([
      "ready",
      "refresh refresh ann 1 2",
    ]);
  });

  test("what cannot be brought back keeps its new tokens, and no others are spent for it", async () => {
    const { recover, vault, reload, spent } = scene([ann]);
    await vault.setAside(ann.source);
    await reload();
    const { bringBack } = vault;
    Object.assign(vault, { bringBack: async () => ({ ok: false, reason: "it is taken." }) });
    expect((await recover(ALL)).items[0]).toMatchObject({ reason: "it is taken." });
    Object.assign(vault, { bringBack });
    expect((await recover(ALL)).outcomes).toEqual({ "ann.json.disabled": "recovered" });
    expect(spent).toHaveLength(1);
  });

  test("the chore tries each again, but not with a token that is refused for good", async () => {
    const bob = stranger("bob");
    const { recovery, vault, reload, spent, clock, pool } = scene([ann, bob], (token) =>
      token.includes("ann") ? REFUSED : BROKEN,
    );
    for (const { source } of [ann, bob]) await vault.setAside(source);
    await reload();
    await recovery.retryAside();
    clock.advance(600_000);
    await recovery.retryAside();
    expect(spent).toEqual(["refresh ann 1", "refresh bob 1", "refresh bob 1"]);
    expect([vault.shelved.size, pool.view(NOON).length]).toEqual([2, 0]);
  });

  test("the chore does not ask again for what was set aside just now", async () => {
    const { recovery, recover, spent } = scene([ann], () => REFUSED);
    await recover(ANN);
    await recovery.retryAside();
    expect(spent).toHaveLength(1);
  });
});
