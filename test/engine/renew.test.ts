import { describe, expect, test } from "bun:test";
import { createReload } from "../../src/engine/reload.ts";
import { createRenewer } from "../../src/engine/renew.ts";
import type { Login } from "../../src/pool/account.ts";
import type { Exchange } from "../../src/upstream/oauth.ts";
import { createManualClock } from "../support/clock.ts";
import { accessOf, failure, gate, listen, loginOf, NOON, settled } from "./parts.ts";
import { createVault, poolOf } from "./vault.ts";

const DAY = 86_400_000;
const GONE_BY = { issuedAtMs: NOON - 10 * DAY, lifeMs: 10 * DAY };
const NEARLY = { issuedAtMs: NOON - 10 * DAY, lifeMs: 10 * DAY + 60_000 };
const REFUSED: Exchange = {
  ok: false,
  isPermanent: true,
  message: "The issuer answered 401 (refresh_token_reused).",
};
const BROKEN: Exchange = { ok: false, isPermanent: false, message: "The issuer answered 500." };

/** What the issuer gives out, numbered. */
function tokens(name: string, count: number, issuedAtMs = NOON): Extract<Exchange, { ok: true }> {
  return {
    ok: true,
    accessToken: accessOf(`${name}-${count}`, issuedAtMs, 10 * DAY),
    refreshToken: `refresh ${name} ${count + 1}`,
  };
}

type Issuer = (token: string, count: number) => Exchange | Promise<Exchange>;

function stage(logins: readonly Login[], issuer: Issuer = (token, count) => tokens(token, count)) {
  const clock = createManualClock(NOON);
  const pool = poolOf(NOON, ...logins);
  const vault = createVault(...logins);
  const { log, lines } = listen();
  const spent: string[] = [];
  const reasons: string[] = [];
  let isLimitOne = false;
  const reload = createReload({ pool, store: vault, clock, log });
  const renewer = createRenewer({
    pool,
    store: vault,
    clock,
    log,
    reload,
    options: () => ({ concurrency: isLimitOne ? 1 : 50, timeoutMs: 30_000 }),
    exchange: async (token, reason, stop) => {
      spent.push(token);
      reasons.push(reason);
      const answer = issuer(token, spent.length);
      if (!(answer instanceof Promise)) return answer;
      // As fetch does: silence ends with the stop.
      const silence = new Promise<Exchange>((resolve) => {
        stop.signal.addEventListener("abort", () =>
          resolve({ ok: false, isPermanent: false, message: stop.reason()?.message ?? "" }),
        );
      });
      return Promise.race([answer, silence]);
    },
  });
  return {
    clock,
    pool,
    vault,
    lines,
    spent,
    reasons,
    renewer,
    reload,
    limitToOne: () => {
      isLimitOne = true;
    },
    credential: (login: Login) => pool.get(login.identity)?.login.credential,
    state: (login: Login) => pool.get(login.identity)?.availability.kind,
  };
}

describe("identify", () => {
  test("an account in order is not renewed and nothing is read", async () => {
    const ann = loginOf("ann");
    const { renewer, spent, vault } = stage([ann]);
    vault.onReread = () => {
      throw new Error("the disk was touched");
    };
    expect(await renewer.identify(ann.identity)).toMatchObject({
      accessToken: ann.credential.accessToken ?? "",
      workspaceId: "workspace",
    });
    expect(spent).toEqual([]);
  });

  test("50 callers at once lead to one exchange, and all get the new token", async () => {
    const ann = loginOf("ann", GONE_BY);
    const answer = gate<Exchange>();
    const { renewer, spent, reasons } = stage([ann], () => answer.promise);
    const asked = Array.from({ length: 50 }, () => renewer.identify(ann.identity));
    await settled();
    answer.open(tokens("ann", 1));
    const got = await Promise.all(asked);
    expect(new Set(got.map((each) => ("kind" in each ? each.kind : each.accessToken))).size).toBe(
      1,
    );
    expect(got[0]).toMatchObject({ accessToken: accessOf("ann-1", NOON, 10 * DAY) });
    expect(spent).toEqual(["refresh ann 1"]);
    expect(reasons).toEqual(["proactive_expiry"]);
  });

  test("new tokens are stored before anybody uses them", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, credential } = stage([ann]);
    let usedEarly = false;
    const { save } = vault;
    Object.assign(vault, {
      save: async (...given: Parameters<typeof save>) => {
        usedEarly = credential(ann)?.refreshToken !== "refresh ann 1";
        return save(...given);
      },
    });
    await renewer.identify(ann.identity);
    expect(usedEarly).toBe(false);
    expect(vault.saved).toHaveLength(1);
    expect(credential(ann)).toEqual(vault.saved[0]);
  });

  test("a stop waits until the tokens on their way are stored", async () => {
    const ann = loginOf("ann", GONE_BY);
    const answer = gate<Exchange>();
    const { renewer, vault } = stage([ann], () => answer.promise);
    const asked = renewer.identify(ann.identity);
    await settled();
    let isStopped = false;
    const stopping = renewer.settled().then(() => {
      isStopped = true;
    });
    await settled();
    expect(isStopped).toBe(false);
    answer.open(tokens("ann", 1));
    await stopping;
    expect(vault.saved).toHaveLength(1);
    await asked;
  });

  test("an account that is gone is told so", async () => {
    const { renewer } = stage([]);
    expect(await renewer.identify("nobody")).toMatchObject({ kind: "renewal-failed" });
  });

  test("an account that goes while its token is renewed is told so, its tokens stored all the same", async () => {
    const ann = loginOf("ann", GONE_BY);
    const answer = gate<Exchange>();
    const { renewer, pool, vault } = stage([ann], () => answer.promise);
    const asked = renewer.identify(ann.identity);
    await settled();
    pool.sync([], NOON);
    answer.open(tokens("ann", 1));
    expect(await asked).toMatchObject({ kind: "renewal-failed" });
    expect(vault.saved).toHaveLength(1);
  });

  test("an access token alone serves as long as it lives", async () => {
    const { refreshToken: _none, ...credential } = loginOf("ann", NEARLY).credential;
    const ann = loginOf("ann", { credential });
    const { renewer, clock, spent } = stage([ann]);
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
    clock.advance(120_000);
    expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
    expect(spent).toEqual([]);
  });

  test("a refresh token alone is exchanged at the first use", async () => {
    const ann = loginOf("ann", { credential: { refreshToken: "refresh ann 1" } });
    const { renewer } = stage([ann]);
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
  });

  test("a token that does not say when it ends is used as it is", async () => {
    const ann = loginOf("ann", { credential: { accessToken: "opaque", refreshToken: "r" } });
    const { renewer, spent } = stage([ann]);
    expect(await renewer.identify(ann.identity)).toMatchObject({ accessToken: "opaque" });
    expect(spent).toEqual([]);
  });

  test("what the issuer does not mention stays; without a date of its own the token lives as the issuer says", async () => {
    const ann = loginOf("ann", { ...GONE_BY });
    const { renewer, credential } = stage([ann], () => ({
      ok: true,
      accessToken: "opaque",
      expiresInSeconds: 7200,
    }));
    await renewer.identify(ann.identity);
    expect(credential(ann)).toEqual({
      accessToken: "opaque",
      refreshToken: "refresh ann 1",
      issuedAtMs: NOON,
      expiresAtMs: NOON + 7_200_000,
    });
  });

  test("a new token without any date has none", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, credential } = stage([ann], () => ({ ok: true, accessToken: "opaque" }));
    expect(await renewer.identify(ann.identity)).toMatchObject({ accessToken: "opaque" });
    expect(credential(ann)?.expiresAtMs).toBeUndefined();
  });

  test("an issuer that gives only a refresh token, or a clock that runs ahead, is not asked once per request", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, spent, clock } = stage([ann], (_token, count) => ({
      ok: true,
      refreshToken: `refresh ann ${count + 1}`,
    }));
    for (let request = 0; request < 20; request++) {
      expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
    }
    expect(spent).toEqual(["refresh ann 1"]);
    clock.advance(30_000);
    await renewer.identify(ann.identity);
    expect(spent).toEqual(["refresh ann 1", "refresh ann 2"]);
  });
});

describe("the lock", () => {
  test("B7-1: without it nothing is spent, and the account is tried again later", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent, clock, lines } = stage([ann]);
    vault.busy = "Another process is renewing this login.";
    expect(await renewer.identify(ann.identity)).toMatchObject({
      kind: "renewal-failed",
      message: expect.stringContaining("Another process is renewing this login."),
    });
    expect(spent).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(["warn"]);
    vault.busy = undefined;
    clock.advance(60_000);
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
    expect(spent).toEqual(["refresh ann 1"]);
  });

  test("without it, what another process has stored is adopted all the same", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent } = stage([ann]);
    vault.busy = "Another process is renewing this login.";
    const newer = { ...ann, credential: { ...loginOf("ann").credential, refreshToken: "theirs" } };
    vault.logins.set(ann.source, newer);
    expect(await renewer.identify(ann.identity)).toMatchObject({
      accessToken: newer.credential.accessToken ?? "",
    });
    expect(spent).toEqual([]);
  });

  test("without it, a refusal for good stays one", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent, state, clock } = stage([ann], () => REFUSED);
    await renewer.identify(ann.identity);
    expect(state(ann)).toBe("needs-login");
    vault.busy = "Another process is renewing this login.";
    await renewer.renew(ann.identity, ann.credential.accessToken ?? "");
    vault.busy = undefined;
    clock.advance(600_000);
    await renewer.renew(ann.identity, ann.credential.accessToken ?? "");
    expect(spent).toEqual(["refresh ann 1"]);
  });

  test("who stood still and lost it spends nothing", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent } = stage([ann]);
    vault.isStillOurs = false;
    expect(await renewer.identify(ann.identity)).toMatchObject({
      kind: "renewal-failed",
      message: expect.stringContaining("stood still"),
    });
    expect(spent).toEqual([]);
  });
});

describe("the stored token is looked at first", () => {
  test("a newer one is adopted instead of spending ours", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent, lines } = stage([ann]);
    const newer = { ...ann, credential: { ...loginOf("ann").credential, refreshToken: "theirs" } };
    vault.logins.set(ann.source, newer);
    expect(await renewer.identify(ann.identity)).toMatchObject({
      accessToken: newer.credential.accessToken ?? "",
    });
    expect(spent).toEqual([]);
    expect(lines.map(({ message }) => message)).toEqual([
      "adopted newer tokens that another program had stored",
    ]);
  });

  test("after a 401 too", async () => {
    const ann = loginOf("ann");
    const { renewer, vault, spent } = stage([ann]);
    const { credential } = loginOf("ann", { issuedAtMs: NOON + 1000 });
    vault.logins.set(ann.source, { ...ann, credential });
    expect(await renewer.renew(ann.identity, ann.credential.accessToken ?? "")).toBeUndefined();
    expect(spent).toEqual([]);
  });

  test("one that is due itself is adopted and then spent", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent } = stage([ann]);
    const later = loginOf("ann", { issuedAtMs: NOON - 9 * DAY, lifeMs: 9 * DAY });
    const credential = { ...later.credential, refreshToken: "theirs" };
    vault.logins.set(ann.source, { ...ann, credential });
    await renewer.identify(ann.identity);
    expect(spent).toEqual(["theirs"]);
  });

  test("an older one, or another login's, is left alone", async () => {
    const ann = loginOf("ann", GONE_BY);
    const older = loginOf("ann", { issuedAtMs: NOON - 30 * DAY });
    for (const stored of [older, loginOf("bob", { source: ann.source })]) {
      const { renewer, vault, spent } = stage([ann]);
      vault.logins.set(ann.source, stored);
      await renewer.identify(ann.identity);
      expect(spent).toEqual(["refresh ann 1"]);
    }
  });

  test("a 401 on a token that has been replaced meanwhile spends nothing", async () => {
    const ann = loginOf("ann");
    const { renewer, spent } = stage([ann]);
    expect(await renewer.renew(ann.identity, "an older token")).toBeUndefined();
    expect(spent).toEqual([]);
  });
});

describe("storing", () => {
  test("what could not be stored is not exchanged, and the reason holds no address", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent, lines } = stage([ann]);
    vault.unwritable = "ann@example.com.json: the folder is read-only.";
    const got = await renewer.identify(ann.identity);
    expect(got).toMatchObject({ kind: "renewal-failed" });
    expect(JSON.stringify(got)).toContain("read-only");
    expect(JSON.stringify(got)).not.toContain("ann@example.com");
    expect(spent).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(["warn"]);
  });

  test("tokens that cannot be stored live on in memory, loudly, and are stored later", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, lines, credential, clock, spent } = stage([ann]);
    vault.full = "no space left.";
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
    await renewer.saveLate();
    expect(vault.saved).toEqual([]);
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(2);
    vault.full = undefined;
    clock.advance(1000);
    await renewer.saveLate();
    expect(vault.saved).toEqual([credential(ann) ?? {}]);
    await renewer.saveLate();
    expect(vault.saved).toHaveLength(1);
    expect(spent).toHaveLength(1);
  });

  test("a rescan of the store does not bring the spent tokens back", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent, reload, credential } = stage([ann]);
    vault.full = "no space left.";
    await renewer.identify(ann.identity);
    const fresh = credential(ann);
    await reload();
    expect(await renewer.identify(ann.identity)).toMatchObject({
      accessToken: fresh?.accessToken ?? "",
    });
    expect(credential(ann)).toEqual(fresh);
    expect(spent).toEqual(["refresh ann 1"]);
    await reload();
    vault.full = undefined;
    await renewer.saveLate();
    expect(vault.saved).toEqual([fresh ?? {}]);
  });

  test("a 401 after such a rescan spends the new refresh token, not the spent one", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent, reload, credential } = stage([ann]);
    vault.full = "no space left.";
    await renewer.identify(ann.identity);
    const used = credential(ann)?.accessToken ?? "";
    await reload();
    await renewer.renew(ann.identity, used);
    expect(spent).toHaveLength(2);
    expect(spent[1]).not.toBe("refresh ann 1");
  });

  test("a login that its owner stored meanwhile is not overwritten by them", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, reload, credential } = stage([ann]);
    vault.full = "no space left.";
    await renewer.identify(ann.identity);
    vault.full = undefined;
    const login = loginOf("ann", { issuedAtMs: NOON + 5000 });
    const anew = { ...login, credential: { ...login.credential, refreshToken: "a new login" } };
    vault.logins.set(ann.source, anew);
    await renewer.sweep();
    expect(vault.saved).toEqual([]);
    await reload();
    await renewer.identify(ann.identity);
    expect(credential(ann)?.refreshToken).toBe("a new login");
  });

  test("a login whose file is gone is not renewed into nowhere", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, lines } = stage([ann]);
    vault.logins.clear();
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
    expect(lines.some(({ level }) => level === "error")).toBe(true);
  });
});

describe("a refresh token that is refused for good", () => {
  test("leaves the account serving while its access token lives, and is not tried again", async () => {
    const ann = loginOf("ann", NEARLY);
    const { renewer, spent, state, clock, lines } = stage([ann], () => REFUSED);
    for (let request = 0; request < 5; request++) {
      expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
      clock.advance(2000);
    }
    expect(spent).toHaveLength(1);
    expect(state(ann)).toBe("ready");
    expect(lines.filter(({ level }) => level === "warn")).toHaveLength(1);
    clock.advance(60_000);
    expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
    expect(state(ann)).toBe("needs-login");
    expect(spent).toHaveLength(1);
  });

  test("after a 401 the account needs a login, and its file stays", async () => {
    const ann = loginOf("ann");
    const { renewer, pool, state, vault } = stage([ann], () => REFUSED);
    pool.settle(ann.identity, { type: "failed", failure: failure("unauthorized") }, NOON);
    expect(await renewer.renew(ann.identity, ann.credential.accessToken ?? "")).toMatchObject({
      kind: "renewal-failed",
    });
    expect(state(ann)).toBe("needs-login");
    expect(vault.logins.get(ann.source)).toEqual(ann);
  });

  test("after a 401 also where another rest hides that it was one", async () => {
    const ann = loginOf("ann");
    const { renewer, pool, state } = stage([ann], () => REFUSED);
    const spentQuota = failure("exhausted", { resetsAtMs: NOON + DAY });
    pool.settle(ann.identity, { type: "failed", failure: spentQuota }, NOON);
    pool.settle(ann.identity, { type: "failed", failure: failure("unauthorized") }, NOON);
    await renewer.renew(ann.identity, ann.credential.accessToken ?? "");
    expect(state(ann)).toBe("needs-login");
  });

  test("a new login in the file is tried at once", async () => {
    const ann = loginOf("ann", GONE_BY);
    let isDead = true;
    const { renewer, vault, spent, reload, state } = stage([ann], () =>
      isDead ? REFUSED : tokens("ann", 9),
    );
    await renewer.identify(ann.identity);
    expect(state(ann)).toBe("needs-login");
    isDead = false;
    const credential = { ...ann.credential, refreshToken: "a new login" };
    vault.logins.set(ann.source, { ...ann, credential });
    await reload();
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
    expect(spent).toEqual(["refresh ann 1", "a new login"]);
  });

  test("an access token alone that is refused needs a login", async () => {
    const ann = loginOf("ann", { credential: { accessToken: "opaque" } });
    const { renewer, pool, state, spent } = stage([ann]);
    pool.settle(ann.identity, { type: "failed", failure: failure("unauthorized") }, NOON);
    await renewer.renew(ann.identity, "opaque");
    expect([state(ann), spent.length]).toEqual(["needs-login", 0]);
  });
});

describe("who waits for a renewal", () => {
  const HALF_A_DAY = { issuedAtMs: NOON - 9.5 * DAY, lifeMs: 10 * DAY };

  test("not who has hours left: it goes on in the background", async () => {
    const ann = loginOf("ann", HALF_A_DAY);
    const answer = gate<Exchange>();
    const { renewer, spent, credential } = stage([ann], () => answer.promise);
    expect(renewer.identify(ann.identity)).toMatchObject({
      accessToken: ann.credential.accessToken ?? "",
    });
    await settled();
    expect(spent).toHaveLength(1);
    answer.open(tokens("ann", 1));
    await renewer.settled();
    expect(credential(ann)?.refreshToken).toBe("refresh ann 2");
  });

  test("who comes while a refused token is renewed, however long it would have lived", async () => {
    const ann = loginOf("ann");
    const answer = gate<Exchange>();
    const { renewer } = stage([ann], () => answer.promise);
    const refused = renewer.renew(ann.identity, ann.credential.accessToken ?? "");
    const other = renewer.identify(ann.identity);
    expect(other).toBeInstanceOf(Promise);
    answer.open(tokens("ann", 1));
    expect(await refused).toBeUndefined();
    expect(await other).toMatchObject({ accessToken: accessOf("ann-1", NOON, 10 * DAY) });
  });
});

test("a login that does not say whose it is is read again once its new tokens do", async () => {
  const { workspaceId: _workspace, ...ann } = loginOf("ann", GONE_BY);
  let readings = 0;
  const { renewer, vault } = stage([ann]);
  const { read } = vault;
  Object.assign(vault, {
    read: () => {
      readings += 1;
      return read();
    },
  });
  await renewer.identify(ann.identity);
  expect(readings).toBe(1);
});

test("tokens that were never stored are named at the end", async () => {
  const ann = loginOf("ann", GONE_BY);
  const { renewer, vault, lines } = stage([ann]);
  vault.full = "no space left.";
  await renewer.identify(ann.identity);
  await renewer.settled();
  expect(lines.at(-1)).toMatchObject({ level: "error" });
  expect(lines.at(-1)?.message).toContain("never stored");
});

describe("an issuer in trouble", () => {
  test("is asked again only after a pause, whoever asks", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, spent, clock, state, lines } = stage([ann], () => BROKEN);
    for (let request = 0; request < 20; request++) {
      expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
      expect(await renewer.renew(ann.identity, ann.credential.accessToken ?? "")).toMatchObject({
        kind: "renewal-failed",
      });
    }
    await renewer.sweep();
    expect(spent).toHaveLength(1);
    // Its token has ended: until the next try nobody should pick it to find that out.
    expect(state(ann)).toBe("cooling");
    expect(lines).toHaveLength(1);
    clock.advance(30_000);
    await renewer.identify(ann.identity);
    expect(spent).toHaveLength(2);
  });

  test("leaves an account serving while its access token lives", async () => {
    const ann = loginOf("ann", NEARLY);
    const { renewer } = stage([ann], () => BROKEN);
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
  });

  test("that is silent is given up after the timeout", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, clock, spent } = stage([ann], () => new Promise<Exchange>(() => {}));
    const asked = renewer.identify(ann.identity);
    await settled();
    expect(spent).toHaveLength(1);
    clock.advance(30_000);
    expect(await asked).toMatchObject({
      kind: "renewal-failed",
      message: expect.stringContaining("refresh-single-timeout-sec"),
    });
  });

  test("that comes back is believed at once after its pause", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, clock } = stage([ann], (_token, count) =>
      count === 1 ? BROKEN : tokens("ann", 1),
    );
    await renewer.identify(ann.identity);
    clock.advance(30_000);
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
  });
});

describe("lanes", () => {
  test("two workspaces of one login are renewed one after the other, another login beside them", async () => {
    const work = loginOf("ann", { ...GONE_BY, identity: "ann/work", source: "/auths/work.json" });
    const home = loginOf("ann", { ...GONE_BY, identity: "ann/home", source: "/auths/home.json" });
    const bob = loginOf("bob", GONE_BY);
    const answers: ReturnType<typeof gate<Exchange>>[] = [];
    const { renewer, spent } = stage([work, home, bob], () => {
      const answer = gate<Exchange>();
      answers.push(answer);
      return answer.promise;
    });
    const sweep = renewer.sweep();
    await settled();
    expect(spent).toEqual(["refresh ann 1", "refresh bob 1"]);
    answers[0]?.open(tokens("ann", 1));
    await settled();
    expect(spent).toHaveLength(3);
    answers[1]?.open(tokens("bob", 1));
    answers[2]?.open(tokens("ann", 2));
    await sweep;
  });

  test("refresh-concurrency bounds all of them", async () => {
    const logins = Array.from({ length: 20 }, (_, index) => loginOf(`user${index}`, GONE_BY));
    let running = 0;
    let most = 0;
    const { renewer, spent, limitToOne } = stage(logins, async (token, count) => {
      running += 1;
      most = Math.max(most, running);
      await settled();
      running -= 1;
      return tokens(token, count);
    });
    limitToOne();
    await renewer.sweep();
    expect([spent.length, most]).toEqual([20, 1]);
  });
});

describe("sweep", () => {
  test("renews only what is due", async () => {
    const fresh = loginOf("fresh");
    const old = loginOf("old", { issuedAtMs: NOON - 9.5 * DAY });
    const { renewer, spent } = stage([fresh, old]);
    await renewer.sweep();
    expect(spent).toEqual(["refresh old 1"]);
  });

  test("leaves alone who is switched off, needs a login or has nothing to renew with", async () => {
    const off = loginOf("off", { ...GONE_BY, isSwitchedOff: true });
    const dead = loginOf("dead", GONE_BY);
    const bare = loginOf("bare", { credential: { accessToken: "opaque", expiresAtMs: NOON } });
    const { renewer, spent, pool } = stage([off, dead, bare]);
    pool.settle(dead.identity, { type: "renewal-refused", reason: "reused" }, NOON);
    await renewer.sweep();
    expect(spent).toEqual([]);
  });

  test("goes on past an account whose renewal breaks", async () => {
    const ann = loginOf("ann", GONE_BY);
    const bob = loginOf("bob", GONE_BY);
    const { renewer, spent, vault } = stage([ann, bob], (token, count) => tokens(token, count));
    const { save } = vault;
    Object.assign(vault, {
      save: async (...given: Parameters<typeof save>) => {
        if (given[0] === ann.source) throw new Error("a bug");
        return save(...given);
      },
    });
    await renewer.sweep();
    expect(spent).toHaveLength(2);
    expect(vault.saved).toHaveLength(1);
  });

  test("a token refresh does not end a quota cooldown", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, pool, state } = stage([ann]);
    const spentQuota = failure("exhausted", { resetsAtMs: NOON + DAY });
    pool.settle(ann.identity, { type: "failed", failure: spentQuota }, NOON);
    await renewer.sweep();
    expect(state(ann)).toBe("cooling");
  });
});
