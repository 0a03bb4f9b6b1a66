import { describe, expect, test } from "bun:test";
import { createKeeper, lockWish } from "../../src/engine/unsaved.ts";
import { createManualClock } from "../support/clock.ts";
import { listen, loginOf, NOON } from "./parts.ts";
import { createVault, poolOf } from "./vault.ts";

const FRESH = { accessToken: "new", refreshToken: "new refresh" };

function stage() {
  const ann = loginOf("ann");
  const pool = poolOf(NOON, ann);
  const vault = createVault(ann);
  const { log, lines } = listen();
  const keeper = createKeeper({ pool, store: vault, clock: createManualClock(NOON), log });
  const account = pool.get(ann.identity);
  if (account === undefined) throw new Error("the pool has the account");
  const tokens = { credential: FRESH, spent: ann.credential, atMs: NOON };
  return { ann, pool, vault, lines, keeper, account, tokens };
}

describe("createKeeper", () => {
  test("tokens that the store took are in use, and nothing is pending", async () => {
    const { keeper, account, tokens, vault, pool, ann } = stage();
    expect(await keeper.keep(account, tokens)).toBe(true);
    expect(vault.saved).toEqual([FRESH]);
    expect(pool.get(ann.identity)?.login.credential).toEqual(FRESH);
    expect(keeper.pending()).toEqual([]);
    expect(keeper.isSpent(ann.identity, ann.credential)).toBe(false);
  });

  test("tokens that it would not take are in use all the same, loudly, and pending", async () => {
    const { keeper, account, tokens, vault, pool, ann, lines } = stage();
    vault.full = "no space left.";
    expect(await keeper.keep(account, tokens)).toBe(false);
    expect(pool.get(ann.identity)?.login.credential).toEqual(FRESH);
    expect(keeper.pending()).toEqual([ann.identity]);
    expect(keeper.isSpent(ann.identity, ann.credential)).toBe(true);
    expect(lines.map(({ level }) => level)).toEqual(["error"]);
    vault.full = undefined;
    await keeper.retry(ann.identity);
    expect(keeper.pending()).toEqual([]);
    expect(vault.saved).toEqual([FRESH]);
  });

  test("spent tokens that a rescan brought back are replaced when looked at", async () => {
    const { keeper, account, tokens, vault, pool, ann } = stage();
    vault.full = "no space left.";
    await keeper.keep(account, tokens);
    pool.settle(ann.identity, { type: "reloaded", login: ann }, NOON);
    expect(keeper.look(ann.identity)?.login.credential).toEqual(FRESH);
    expect(keeper.look("nobody")).toBeUndefined();
  });

  test("what the owner stored meanwhile is not overwritten", async () => {
    const { keeper, account, tokens, vault, ann } = stage();
    vault.full = "no space left.";
    await keeper.keep(account, tokens);
    vault.full = undefined;
    vault.logins.set(ann.source, loginOf("ann", { issuedAtMs: NOON + 5000 }));
    await keeper.retry(ann.identity);
    expect(vault.saved).toEqual([]);
    expect(keeper.pending()).toEqual([]);
  });
});

describe("accepted", () => {
  test("tells the store once that the account's present token has proved itself", async () => {
    const { keeper, account, tokens, vault, ann } = stage();
    await keeper.keep(account, tokens);
    // A turn that began with the token before proves nothing.
    keeper.accepted(ann.identity, ann.credential.accessToken ?? "");
    keeper.accepted("nobody", "new");
    expect(vault.proofs).toEqual([]);
    for (let turn = 0; turn < 3; turn++) keeper.accepted(ann.identity, "new");
    expect(vault.proofs).toEqual([ann.source]);
  });

  test("tokens that are only in memory prove nothing about the file", async () => {
    const { keeper, account, tokens, vault, ann } = stage();
    vault.full = "no space left.";
    await keeper.keep(account, tokens);
    keeper.accepted(ann.identity, "new");
    expect(vault.proofs).toEqual([]);
    vault.full = undefined;
    await keeper.retry(ann.identity);
    keeper.accepted(ann.identity, "new");
    expect(vault.proofs).toEqual([ann.source]);
  });
});

test("tokens in memory stay there while somebody else holds the login", async () => {
  const { keeper, account, tokens, vault, ann } = stage();
  vault.full = "no space left.";
  await keeper.keep(account, tokens);
  vault.full = undefined;
  vault.busy = "it is busy.";
  await keeper.retry(ann.identity);
  expect(keeper.pending()).toEqual([ann.identity]);
  vault.busy = undefined;
  await keeper.retry(ann.identity);
  expect(keeper.pending()).toEqual([]);
});

test("a lock is wanted for longer than the issuer's answer may take", () => {
  expect(lockWish(30_000).holdMs).toBeGreaterThan(30_000);
  expect(lockWish(0).holdMs).toBeGreaterThan(0);
});
