import { describe, expect, test } from "bun:test";
import { createAside } from "../../src/engine/aside.ts";
import { createDeadTokens } from "../../src/engine/dead.ts";
import type { Login } from "../../src/pool/account.ts";
import type { Exchange } from "../../src/upstream/oauth.ts";
import { createManualClock } from "../support/clock.ts";
import { listen, NOON } from "./parts.ts";
import { BROKEN, REFUSED, stranger, tokens } from "./renewal.ts";
import { createVault, poolOf } from "./vault.ts";

/** Logins that lie aside, and what the issuer answers, one answer after the other. */
async function scene(aside: readonly Login[], answers: Exchange[], inUse: readonly Login[] = []) {
  const vault = createVault(...aside);
  for (const { source } of aside) await vault.setAside(source);
  const clock = createManualClock(NOON);
  const { log, lines } = listen();
  const spent: string[] = [];
  const dead = createDeadTokens({ now: clock.now, onRefused: () => {} });
  const pool = poolOf(NOON, ...inUse);
  const { renew, saveLate, unsaved } = createAside({
    pool,
    store: vault,
    clock,
    log,
    dead,
    ask: async (_login, token) => {
      spent.push(token);
      return answers.shift() ?? BROKEN;
    },
    chance: () => 0,
    wish: () => ({ holdMs: 90_000, waitMs: 90_000 }),
  });
  const login = (await vault.aside())[0];
  if (login === undefined) throw new Error("nothing lies aside");
  return { vault, clock, lines, spent, renew, saveLate, unsaved, login };
}

const ann = stranger("ann");
const fresh = tokens("ann", 1);

describe("a login that lies aside", () => {
  test("gets its new tokens into its own file, where it lies", async () => {
    const { renew, login, vault, spent } = await scene([ann], [fresh]);
    expect(await renew(login, true)).toEqual({ type: "renewed" });
    expect(vault.shelved.get(login.source)?.credential.refreshToken).toBe("refresh ann 2");
    // It could not be brought back, say: there is no need to spend another token.
    expect(await renew(login, true)).toEqual({ type: "in-order" });
    expect(spent).toEqual(["refresh ann 1"]);
  });

  test("B7-3: that is refused for good is not asked with again until its file changes", async () => {
    const { renew, login, vault, spent } = await scene([ann], [REFUSED, fresh]);
    expect(await renew(login, true)).toMatchObject({ type: "failed", isPermanent: true });
    expect(await renew(login, true)).toMatchObject({ type: "failed", isPermanent: true });
    expect(spent).toHaveLength(1);
    const credential = { ...ann.credential, refreshToken: "a new login" };
    vault.shelved.set(login.source, { ...login, credential });
    expect(await renew(login, true)).toEqual({ type: "renewed" });
    expect(spent).toEqual(["refresh ann 1", "a new login"]);
  });

  test("B7-8: that fails for the time being stays as it is, and is asked again after a pause, or by hand", async () => {
    const { renew, login, vault, spent, clock } = await scene([ann], []);
    const before = vault.shelved.get(login.source);
    expect(await renew(login, false)).toMatchObject({ isPermanent: false });
    await renew(login, false);
    expect(spent).toHaveLength(1);
    await renew(login, true);
    expect(spent).toHaveLength(2);
    clock.advance(60_000);
    await renew(login, false);
    expect(spent).toHaveLength(3);
    expect(vault.shelved.get(login.source)).toEqual(before);
  });

  test("is left alone where its login is in use, or has nothing to be renewed with", async () => {
    const twin = stranger("twin", { credential: { refreshToken: "refresh ann 1" } });
    for (const inUse of [ann, twin]) {
      const { renew, login, spent } = await scene([ann], [fresh], [inUse]);
      expect(await renew(login, true)).toMatchObject({ type: "failed", isPermanent: false });
      expect(spent).toEqual([]);
    }
    const bare = stranger("ann", { credential: { accessToken: "opaque" } });
    const { renew, login, spent } = await scene([bare], [fresh]);
    expect(await renew(login, true)).toMatchObject({ type: "failed", isPermanent: true });
    expect(spent).toEqual([]);
  });

  test("is not renewed where another process has it, or might have by now", async () => {
    const { renew, login, vault, spent } = await scene([ann], [fresh]);
    vault.busy = "Another process is renewing this login.";
    expect(await renew(login, true)).toMatchObject({ type: "failed", isPermanent: false });
    vault.busy = undefined;
    vault.isStillOurs = false;
    expect(await renew(login, true)).toMatchObject({ type: "failed", isPermanent: false });
    expect(spent).toEqual([]);
  });

  test("is not renewed where its tokens could not be stored, or where its file has gone", async () => {
    const { renew, login, vault, spent } = await scene([ann], [fresh]);
    vault.unwritable = "the folder is read-only.";
    expect(await renew(login, true)).toMatchObject({ isPermanent: false });
    vault.shelved.clear();
    expect(await renew(login, true)).toMatchObject({ isPermanent: false });
    expect(spent).toEqual([]);
  });

  test("whose new tokens could not be stored keeps them in memory, loudly, till they are", async () => {
    const { renew, login, vault, spent, lines, saveLate, unsaved } = await scene([ann], [fresh]);
    vault.full = "no space left.";
    expect(await renew(login, true)).toMatchObject({ type: "failed" });
    expect(unsaved().map(({ identity }) => identity)).toEqual([ann.identity]);
    expect(lines[0]?.facts).toContain("ann.json.disabled");
    expect(await renew(login, true)).toMatchObject({ type: "failed" });
    expect(lines.map(({ level }) => level)).toEqual(["error"]);
    vault.full = undefined;
    await saveLate();
    expect(unsaved()).toEqual([]);
    expect(vault.shelved.get(login.source)?.credential.refreshToken).toBe("refresh ann 2");
    expect(await renew(login, true)).toEqual({ type: "in-order" });
    expect(spent).toHaveLength(1);
  });

  test("does not lose what its owner has put there meanwhile", async () => {
    const { renew, login, vault, saveLate, spent } = await scene([ann], [fresh, fresh]);
    vault.full = "no space left.";
    await renew(login, true);
    vault.full = undefined;
    const credential = { ...ann.credential, refreshToken: "a new login" };
    vault.shelved.set(login.source, { ...login, credential });
    await saveLate();
    expect(vault.shelved.get(login.source)?.credential).toEqual(credential);
    expect(await renew(login, true)).toEqual({ type: "renewed" });
    expect(spent.at(-1)).toBe("a new login");
  });
});
