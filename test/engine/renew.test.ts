import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Login } from "../../src/pool/account.ts";
import type { Exchange } from "../../src/upstream/oauth.ts";
import { proxyOf } from "../support/link.ts";
import { accessOf, failure, gate, loginOf, NOON, settled } from "./parts.ts";
import { BROKEN, DAY, GONE_BY, NEARLY, REFUSED, stage, stranger, tokens } from "./renewal.ts";

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

  test("an account's own proxy goes with its token", async () => {
    const proxy = proxyOf("socks5h://10.0.0.1:1", "proxy_url");
    const ann = { ...loginOf("ann"), proxy };
    const { renewer } = stage([ann]);
    expect(await renewer.identify(ann.identity)).toMatchObject({ proxy });
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

  test("an older one is left alone", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, vault, spent } = stage([ann]);
    vault.logins.set(ann.source, loginOf("ann", { issuedAtMs: NOON - 30 * DAY }));
    await renewer.identify(ann.identity);
    expect(spent).toEqual(["refresh ann 1"]);
  });

  test("another login's means that ours is gone: nothing is spent, and it is seen at once", async () => {
    const ann = loginOf("ann", GONE_BY);
    const bob = loginOf("bob", { source: ann.source });
    const { renewer, vault, spent, pool } = stage([ann]);
    vault.logins.set(ann.source, bob);
    expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
    await settled();
    expect([spent, vault.saved]).toEqual([[], []]);
    expect([pool.get(ann.identity), pool.get(bob.identity)?.login]).toEqual([undefined, bob]);
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

test("so are those of a login that lies aside, which count as unsaved till then", async () => {
  const ann = loginOf("ann", GONE_BY);
  const { renewer, vault, reload, lines } = stage([ann]);
  await vault.setAside(ann.source);
  await reload();
  const [lying] = vault.shelved.values();
  if (lying === undefined) throw new Error("it lies aside");
  vault.full = "no space left.";
  await renewer.renewAside(lying, true);
  expect(renewer.unsaved()).toEqual([ann.identity]);
  await renewer.settled();
  expect(lines.at(-1)).toMatchObject({
    level: "error",
    message: expect.stringContaining("never stored"),
    facts: expect.stringContaining("ann.json.disabled"),
  });
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
    const sweep = renewer.sweep();
    await settled();
    clock.advance(1000);
    await sweep;
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

  test("that answers late: nobody waits that long, and the new token is not lost", async () => {
    const ann = loginOf("ann", GONE_BY);
    const answer = gate<Exchange>();
    const { renewer, clock, spent, vault, state } = stage([ann], () => answer.promise);
    const asked = renewer.identify(ann.identity);
    await settled();
    clock.advance(30_000);
    expect(await asked).toMatchObject({ kind: "renewal-failed" });
    expect(state(ann)).toBe("cooling");
    // Whoever comes meanwhile does not ask anew: the token may have been spent.
    const again = renewer.identify(ann.identity);
    await settled();
    clock.advance(30_000);
    expect(await again).toMatchObject({ kind: "renewal-failed" });
    expect(spent).toHaveLength(1);
    answer.open(tokens("ann", 1));
    await settled();
    expect(vault.saved).toHaveLength(1);
    expect(state(ann)).toBe("ready");
    expect(await renewer.identify(ann.identity)).toMatchObject({
      accessToken: accessOf("ann-1", NOON, 10 * DAY),
    });
  });

  test("that answers late after a 401: the refused token is not used meanwhile", async () => {
    const ann = loginOf("ann");
    const refused = ann.credential.accessToken ?? "";
    const answer = gate<Exchange>();
    const { renewer, clock, spent } = stage([ann], () => answer.promise);
    const asked = renewer.renew(ann.identity, refused);
    const beside = renewer.identify(ann.identity);
    await settled();
    clock.advance(30_000);
    expect(await asked).toMatchObject({ kind: "renewal-failed" });
    expect(await beside).toMatchObject({ kind: "renewal-failed" });
    answer.open(tokens("ann", 1));
    await settled();
    expect(spent).toHaveLength(1);
    expect(await renewer.identify(ann.identity)).toMatchObject({ accessToken: expect.anything() });
  });

  test("that never answers is given up in the end, and at once when the program ends", async () => {
    const ann = loginOf("ann", GONE_BY);
    const silent = () => new Promise<Exchange>(() => {});
    const patient = stage([ann], silent);
    const asked = patient.renewer.identify(ann.identity);
    await settled();
    patient.clock.advance(120_000);
    await asked;
    await settled();
    expect(patient.lines.some(({ message }) => message === "a token could not be renewed")).toBe(
      true,
    );
    const ending = stage([ann], silent);
    void ending.renewer.identify(ann.identity);
    await settled();
    const stopping = ending.renewer.settled();
    await settled();
    ending.clock.advance(30_000);
    await stopping;
  });

  test("whose answer comes after its owner has logged in anew: the owner's tokens stay, here and there", async () => {
    const ann = loginOf("ann", GONE_BY);
    const newer = replaced("ann");
    const answer = gate<Exchange>();
    const { renewer, vault, reload, credential, spent } = stage([ann], () => answer.promise);
    const asked = renewer.identify(ann.identity);
    await settled();
    vault.logins.set(ann.source, newer);
    vault.isReplaced = true;
    await reload();
    answer.open(tokens("ann", 1));
    expect(await asked).toMatchObject({ accessToken: newer.credential.accessToken });
    expect(credential(ann)).toEqual(newer.credential);
    expect([vault.logins.get(ann.source), renewer.unsaved(), spent.length]).toEqual([newer, [], 1]);
  });

  test.each([5, 10, 30])(
    "whose tokens live for %i minutes only: the account serves all the time",
    async (minutes) => {
      const lifeMs = minutes * 60_000;
      const ann = loginOf("ann", { lifeMs });
      const { renewer, clock, spent } = stage([ann], (_token, count) => ({
        ok: true,
        accessToken: accessOf(`ann-${count}`, NOON + 30_000 * (steps - 1), lifeMs),
        refreshToken: `refresh ${count}`,
      }));
      let steps = 1;
      for (; steps <= 240; steps++) {
        expect(await renewer.identify(ann.identity)).toMatchObject({
          accessToken: expect.anything(),
        });
        clock.advance(30_000);
      }
      expect(spent.length).toBeGreaterThan(2);
      expect(spent.length).toBeLessThan(80);
    },
  );

  test("whose tokens have ended as they come, by a clock that is ahead: a rest that shows, and no stampede", async () => {
    const ann = loginOf("ann", GONE_BY);
    const { renewer, clock, spent, state } = stage([ann], (_token, count) => ({
      ok: true,
      accessToken: accessOf(`ann-${count}`, NOON - 20 * DAY, 10 * DAY),
      refreshToken: `refresh ${count}`,
    }));
    expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
    expect(state(ann)).toBe("cooling");
    for (let minute = 0; minute < 60; minute++) {
      clock.advance(60_000);
      await renewer.identify(ann.identity);
    }
    expect(spent.length).toBeLessThan(12);
  });

  /** A login as somebody else has renewed it just now. */
  const replaced = (name: string): Login => {
    const login = loginOf(name);
    return { ...login, credential: { ...login.credential, refreshToken: `refresh ${name} 5` } };
  };

  const refusals: readonly [what: string, answer: Exchange, policies: Record<string, string>][] = [
    ["for good", REFUSED, {}],
    ["by a policy", { ...BROKEN, status: 500 }, { "500": "none/disable" }],
    ["for now", { ...BROKEN, retryAfterMs: 3_600_000 }, {}],
  ];
  test.each(refusals)(
    "B7-5: that refuses %s what somebody else has spent first: their tokens count",
    async (_what, refusal, policies) => {
      const ann = loginOf("ann", GONE_BY);
      const newer = replaced("ann");
      const answer = gate<Exchange>();
      const { renewer, vault, reload, state, credential } = stage([ann], () => answer.promise, {
        policies,
      });
      const asked = renewer.identify(ann.identity);
      await settled();
      vault.logins.set(ann.source, newer);
      await reload();
      answer.open(refusal);
      await asked;
      expect(state(ann)).toBe("ready");
      expect(credential(ann)).toEqual(newer.credential);
      expect(vault.logins.get(ann.source)).toBe(newer);
    },
  );

  test("B7-5: that refuses what somebody else has spent and stored a moment ago, unseen by us", async () => {
    const ann = loginOf("ann", GONE_BY);
    const newer = replaced("ann");
    const { renewer, vault, state } = stage([ann], () => {
      vault.logins.set(ann.source, newer);
      return REFUSED;
    });
    await renewer.identify(ann.identity);
    expect(state(ann)).toBe("ready");
    expect(await renewer.identify(ann.identity)).toMatchObject({
      accessToken: newer.credential.accessToken,
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
    const [ann, bob] = [stranger("ann"), stranger("bob")];
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

  test("of several instances each renews those that are its own, and any those that are late", async () => {
    const [mine, theirs] = [
      loginOf("mine", { issuedAtMs: NOON - 9.5 * DAY }),
      loginOf("theirs", { issuedAtMs: NOON - 9.5 * DAY }),
    ];
    const late = stranger("late");
    const isMine = (id: string) => id === mine.identity;
    const { renewer, spent } = stage([mine, theirs, late], undefined, {}, isMine);
    await renewer.sweep();
    expect(spent.toSorted()).toEqual(["refresh late 1", "refresh mine 1"]);
    // A request that comes by is no reason to hurry either.
    expect(renewer.identify(theirs.identity)).toHaveProperty("accessToken");
    await settled();
    expect(spent).toHaveLength(2);
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

describe("families", () => {
  /** An issuer that is asked by one account at a time and answers when told to. */
  function slowIssuer() {
    const open: string[] = [];
    const gates = new Map<string, ReturnType<typeof gate<Exchange>>>();
    const issuer = (token: string): Promise<Exchange> => {
      open.push(token);
      const answer = gate<Exchange>();
      gates.set(token, answer);
      return answer.promise;
    };
    const answer = async (token: string): Promise<void> => {
      gates.get(token)?.open(tokens(token, 1));
      await settled();
    };
    return { open, issuer, answer };
  }

  test("B7-2: 20 accounts of one family that are due at once go one after the other, with a pause between", async () => {
    const family = Array.from({ length: 20 }, (_, index) =>
      stranger(`member${index}`, { workspaceId: "shared" }),
    );
    let running = 0;
    let most = 0;
    const atMs: number[] = [];
    const scene = stage(family, async (token) => {
      running += 1;
      most = Math.max(most, running);
      atMs.push(scene.clock.now());
      await settled();
      running -= 1;
      return tokens(token, 1);
    });
    const sweep = scene.renewer.sweep();
    for (let second = 0; second < 20; second++) {
      for (let turn = 0; turn < 5; turn++) await settled();
      scene.clock.advance(1000);
    }
    await sweep;
    expect([scene.spent.length, most]).toEqual([20, 1]);
    expect(atMs.map((ms) => (ms - NOON) / 1000)).toEqual(family.map((_, index) => index));
  });

  test("B7-2: 20 strangers run side by side, as far as refresh-concurrency allows", async () => {
    const strangers = Array.from({ length: 20 }, (_, index) => stranger(`user${index}`));
    for (const concurrency of [50, 7, 1]) {
      let running = 0;
      let most = 0;
      const scene = stage(
        strangers,
        async (token) => {
          running += 1;
          most = Math.max(most, running);
          await settled();
          running -= 1;
          return tokens(token, 1);
        },
        { concurrency },
      );
      await scene.renewer.sweep();
      expect([scene.spent.length, most]).toEqual([20, Math.min(concurrency, 20)]);
    }
  });

  test("two workspaces of one login, and two logins of one workspace, are never renewed side by side", async () => {
    const work = stranger("ann", {
      identity: "ann/work",
      workspaceId: "work",
      source: "/a/1.json",
    });
    const home = stranger("ann2", {
      identity: "ann/home",
      workspaceId: "home",
      source: "/a/2.json",
    });
    const mate = stranger("bob", {
      identity: "bob/home",
      workspaceId: "home",
      source: "/a/3.json",
    });
    const { open, issuer, answer } = slowIssuer();
    const { renewer, clock } = stage([work, home, mate], issuer);
    const sweep = renewer.sweep();
    await settled();
    // The one in the middle belongs to both others, and waits for nobody while it holds somebody.
    expect(open).toEqual(["refresh ann 1"]);
    await answer("refresh ann 1");
    clock.advance(1000);
    await settled();
    expect(open.at(-1)).toBe("refresh ann2 1");
    await answer("refresh ann2 1");
    clock.advance(1000);
    await settled();
    await answer("refresh bob 1");
    await sweep;
    expect(open).toHaveLength(3);
  });

  test("a request that waits for its account goes before the others of the family, without a pause", async () => {
    const family = ["a", "b", "c"].map((name) => stranger(name, { workspaceId: "shared" }));
    const { open, issuer, answer } = slowIssuer();
    const { renewer, clock } = stage(family, issuer);
    const sweep = renewer.sweep();
    await settled();
    const waiting = renewer.identify("user-c/workspace");
    await settled();
    expect(open).toEqual(["refresh a 1"]);
    await answer("refresh a 1");
    expect(open).toEqual(["refresh a 1", "refresh c 1"]);
    await answer("refresh c 1");
    expect(await waiting).toHaveProperty("accessToken");
    clock.advance(1000);
    await settled();
    await answer("refresh b 1");
    await sweep;
  });

  test("a login that lies aside keeps to its family, and a stop waits for its tokens", async () => {
    const [ann, bob] = ["ann", "bob"].map((name) => stranger(name, { workspaceId: "shared" }));
    if (ann === undefined || bob === undefined) throw new Error("two were made");
    const { open, issuer, answer } = slowIssuer();
    const { renewer, vault, reload } = stage([ann, bob], issuer);
    await vault.setAside(bob.source);
    await reload();
    const [lying] = await vault.aside();
    if (lying === undefined) throw new Error("it lies aside");
    const renewing = renewer.renewAside(lying, true);
    void renewer.sweep();
    await settled();
    expect(open).toEqual(["refresh bob 1"]);
    const stopping = renewer.settled();
    await answer("refresh bob 1");
    await stopping;
    expect(await renewing).toEqual({ type: "renewed" });
    expect(vault.shelved.get(lying.source)?.credential.refreshToken).toBe(
      "refresh refresh bob 1 2",
    );
    expect(await renewer.renewAside(lying, true)).toEqual({ type: "left" });
    expect(open).toHaveLength(1);
  });

  test("a stop leaves what has not begun", async () => {
    const family = ["a", "b", "c"].map((name) => stranger(name, { workspaceId: "shared" }));
    const { open, issuer, answer } = slowIssuer();
    const { renewer, vault } = stage(family, issuer);
    void renewer.sweep();
    await settled();
    const stopping = renewer.settled();
    await answer("refresh a 1");
    await stopping;
    expect([open.length, vault.saved.length]).toEqual([1, 1]);
  });
});

describe("auth-401-sync-refresh-concurrency", () => {
  test("a request that finds no place is told at once, and its account is renewed in the background", async () => {
    const [ann, bob] = [
      stranger("ann", { issuedAtMs: NOON }),
      stranger("bob", { issuedAtMs: NOON }),
    ];
    const answers: ReturnType<typeof gate<Exchange>>[] = [];
    const slow = () => {
      const answer = gate<Exchange>();
      answers.push(answer);
      return answer.promise;
    };
    const { renewer, spent, credential } = stage([ann, bob], slow, { mostAwaited: 1 });
    const used = (login: typeof ann) => login.credential.accessToken ?? "";
    const first = renewer.renew(ann.identity, used(ann));
    const same = renewer.renew(ann.identity, used(ann));
    const other = await renewer.renew(bob.identity, used(bob));
    expect(other?.message).toContain("auth-401-sync-refresh-concurrency");
    await settled();
    expect(spent).toEqual(["refresh ann 1", "refresh bob 1"]);
    // Its token was refused, so that no other request gets it meanwhile.
    expect(await renewer.identify(bob.identity)).toMatchObject({ kind: "renewal-failed" });
    answers[0]?.open(tokens("ann", 1));
    expect([await first, await same]).toEqual([undefined, undefined]);
    answers[1]?.open(tokens("bob", 1));
    await settled();
    expect(credential(bob)?.refreshToken).toBe("refresh bob 2");
    expect(await renewer.renew(bob.identity, used(bob))).toBeUndefined();
  });

  test("a renewal that runs already and finds its token in order is followed by the one that a 401 asks for", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON - 9.5 * DAY });
    const scene = stage([ann]);
    const { renewer, vault, spent } = scene;
    const reading = gate<void>();
    const { reread } = vault;
    let isHeld = true;
    const newer = { ...ann, credential: { ...loginOf("ann").credential, refreshToken: "theirs" } };
    Object.assign(vault, {
      reread: async (source: string) => {
        if (isHeld) await reading.promise;
        return reread(source);
      },
    });
    void renewer.sweep();
    await settled();
    // Meanwhile a rescan brings newer tokens, and a request uses them and is refused.
    vault.logins.set(ann.source, newer);
    await scene.reload();
    const refused = renewer.renew(ann.identity, newer.credential.accessToken ?? "");
    isHeld = false;
    reading.open();
    expect(await refused).toBeUndefined();
    expect(spent).toEqual(["theirs"]);
  });
});

describe("back-off", () => {
  test("doubles while the issuer is in trouble, and its own retry-after counts", async () => {
    const ann = stranger("ann");
    const answers: Exchange[] = [
      BROKEN,
      { ...BROKEN, status: 408 },
      { ...BROKEN, status: 429, retryAfterMs: 300_000 },
      BROKEN,
    ];
    const { renewer, spent, clock } = stage([ann], () => answers.shift() ?? tokens("ann", 1));
    for (const [pauseMs, count] of [
      [30_000, 1],
      [60_000, 2],
      [300_000, 3],
      [240_000, 4],
    ] as const) {
      await renewer.identify(ann.identity);
      clock.advance(pauseMs - 1);
      await renewer.identify(ann.identity);
      expect(spent).toHaveLength(count);
      clock.advance(1);
    }
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
  });

  test("B7-8: temporary answers change no file and leave the account serving", async () => {
    const ann = stranger("ann", NEARLY);
    const temporary = [408, 429, 500, 502, 403, 200].map((status) => ({ ...BROKEN, status }));
    const before = { ...ann };
    const { renewer, clock, vault, state } = stage([ann], (_token, count) => {
      const answer = temporary[count - 1];
      if (answer === undefined) throw new Error("asked too often");
      return answer;
    });
    for (const _answer of temporary) {
      await renewer.sweep();
      expect(renewer.identify(ann.identity)).resolves.toHaveProperty("accessToken");
      expect(state(ann)).toBe("ready");
      clock.advance(1000);
    }
    expect([vault.saved, vault.shelved.size, vault.logins.get(ann.source)]).toEqual([
      [],
      0,
      before,
    ]);
  });

  test("new tokens in the file end it", async () => {
    const ann = stranger("ann");
    const { renewer, spent, vault, reload } = stage([ann], () => BROKEN);
    await renewer.identify(ann.identity);
    const credential = { ...ann.credential, refreshToken: "a new login" };
    vault.logins.set(ann.source, { ...ann, credential });
    await reload();
    await renewer.identify(ann.identity);
    expect(spent).toEqual(["refresh ann 1", "a new login"]);
  });

  test("B7-3: a refused refresh token is not sent again, whoever asks and in whatever file it comes back", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON });
    const twin = stranger("twin");
    const shared = { ...twin, credential: { ...twin.credential, refreshToken: "refresh ann 1" } };
    const { renewer, spent, clock, byHand } = stage([ann, shared], () => REFUSED);
    const used = ann.credential.accessToken ?? "";
    await renewer.renew(ann.identity, used);
    await renewer.renew(ann.identity, used);
    expect(await byHand(ann.identity)).toMatchObject({ isPermanent: true });
    clock.advance(DAY);
    await renewer.sweep();
    await renewer.identify(shared.identity);
    expect(spent).toEqual(["refresh ann 1"]);
  });

  test("a file restored with tokens that were spent is not tried with them", async () => {
    const ann = stranger("ann");
    const { renewer, spent, vault, reload, state, lines, clock } = stage([ann]);
    await renewer.identify(ann.identity);
    vault.logins.set(ann.source, ann);
    await reload();
    clock.advance(30_000);
    expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
    expect(spent).toEqual(["refresh ann 1"]);
    expect(state(ann)).toBe("needs-login");
    expect(lines.filter(({ message }) => message === "an account needs a new login")).toHaveLength(
      1,
    );
  });

  test("a backend that refuses each new token does not have the account renewed over and over", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON });
    const { renewer, spent, clock, credential } = stage([ann]);
    const refuse = () => renewer.renew(ann.identity, credential(ann)?.accessToken ?? "");
    for (let second = 0; second < 600; second++) {
      await refuse();
      clock.advance(1000);
    }
    // One at once, and a second one; then pauses that double.
    expect(spent.length).toBeLessThanOrEqual(7);
  });
});

describe("B7-7: a 401 on a token that would live on", () => {
  test("leads to one forced renewal, however many ask", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON });
    const { renewer, spent, reasons, state } = stage([ann]);
    const used = ann.credential.accessToken ?? "";
    const all = await Promise.all([1, 2, 3].map(() => renewer.renew(ann.identity, used)));
    expect(all).toEqual([undefined, undefined, undefined]);
    expect([spent, reasons, state(ann)]).toEqual([
      ["refresh ann 1"],
      ["unauthorized_recovery"],
      "ready",
    ]);
  });
});

describe("clocks and tokens that lie", () => {
  test.each([DAY, -DAY])(
    "a clock that jumps by %d ms makes no stampede and no loop",
    async (jumpMs) => {
      const logins = Array.from({ length: 20 }, (_, index) =>
        stranger(`user${index}`, { issuedAtMs: NOON - 9.9 * DAY, workspaceId: "shared" }),
      );
      const scene = stage(logins, (token) => tokens(token, 1));
      const { renewer, clock, spent } = scene;
      const shifted = { now: clock.now };
      Object.assign(clock, { now: () => shifted.now() });
      void renewer.sweep();
      await settled();
      expect(spent).toHaveLength(1);
      const real = shifted.now;
      shifted.now = () => real() + jumpMs;
      for (let second = 0; second < 60; second++) {
        clock.advance(1000);
        for (const { identity } of logins) void renewer.identify(identity);
        for (let turn = 0; turn < 5; turn++) await settled();
      }
      // Each was renewed once, and none for a second time.
      expect(spent.length).toBeLessThanOrEqual(20);
      expect(new Set(spent).size).toBe(spent.length);
    },
  );

  test("a token that has ended by our clock is not used as if it were fresh", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON - 5 * DAY });
    const { renewer, clock } = stage([ann], () => BROKEN);
    expect(await renewer.identify(ann.identity)).toHaveProperty("accessToken");
    clock.advance(5 * DAY);
    expect(await renewer.identify(ann.identity)).toMatchObject({ kind: "renewal-failed" });
  });

  test("a token without an end is renewed eight days after its last renewal, and serves on if that is refused", async () => {
    const credential = { accessToken: "opaque", refreshToken: "refresh ann 1" };
    const ann = stranger("ann", { credential, lastRefreshedMs: NOON - 8.1 * DAY });
    for (const answer of [REFUSED, BROKEN]) {
      const { renewer, spent, state } = stage([ann], () => answer);
      expect(await renewer.identify(ann.identity)).toMatchObject({ accessToken: "opaque" });
      await settled();
      expect([spent, state(ann)]).toEqual([["refresh ann 1"], "ready"]);
      expect(await renewer.identify(ann.identity)).toMatchObject({ accessToken: "opaque" });
    }
    const { renewer, spent, clock } = stage([ann], () => ({ ok: true, accessToken: "anew" }));
    await renewer.sweep();
    await renewer.sweep();
    clock.advance(7 * DAY);
    await renewer.sweep();
    expect(spent).toHaveLength(1);
  });

  test("a file that is replaced while its token is refreshed keeps what its owner put there", async () => {
    const ann = stranger("ann");
    const answer = gate<Exchange>();
    const { renewer, vault, credential, reload, spent } = stage([ann], () => answer.promise);
    const asked = renewer.identify(ann.identity);
    await settled();
    const login = loginOf("ann", { issuedAtMs: NOON + 1000, workspaceId: "of ann" });
    const anew = { ...login, credential: { ...login.credential, refreshToken: "a new login" } };
    const { save } = vault;
    // As the file store does it: the file holds other tokens by now.
    Object.assign(vault, {
      save: async (...given: Parameters<typeof save>) =>
        vault.logins.get(given[0])?.credential.refreshToken === "a new login"
          ? { ok: false, reason: "it holds another login by now." }
          : save(...given),
    });
    vault.logins.set(ann.source, anew);
    await reload();
    answer.open(tokens("ann", 1));
    await asked;
    await renewer.saveLate();
    expect(vault.logins.get(ann.source)?.credential.refreshToken).toBe("a new login");
    await reload();
    expect(credential(ann)?.refreshToken).toBe("a new login");
    expect(spent).toHaveLength(1);
  });
});

test("by hand a token is renewed though it is not due, and not after it has been adopted", async () => {
  const ann = stranger("ann", { issuedAtMs: NOON });
  const { byHand, vault, spent } = stage([ann]);
  expect(await byHand(ann.identity)).toEqual({ type: "renewed" });
  const newer = loginOf("ann", { issuedAtMs: NOON + DAY, workspaceId: "of ann" });
  vault.logins.set(ann.source, {
    ...newer,
    credential: { ...newer.credential, refreshToken: "x" },
  });
  expect(await byHand(ann.identity)).toEqual({ type: "adopted" });
  expect(await byHand(ann.identity, () => false)).toEqual({ type: "left" });
  expect(await byHand("nobody")).toMatchObject({ type: "failed" });
  expect(spent).toHaveLength(1);
});

test("by hand a pause after a temporary failure does not count", async () => {
  const ann = stranger("ann");
  const { byHand, renewer, spent } = stage([ann], (_token, count) =>
    count < 2 ? BROKEN : tokens("ann", 1),
  );
  await renewer.identify(ann.identity);
  expect(await byHand(ann.identity)).toEqual({ type: "renewed" });
  expect(spent).toHaveLength(2);
});

describe("whatever happens, in whatever order", () => {
  const PLAIN = ["sweep", "request", "refused", "by-hand", "late", "restore", "login"] as const;
  type Event =
    | { readonly do: (typeof PLAIN)[number] }
    | { readonly do: "wait"; readonly ms: number }
    | { readonly do: "disk"; readonly isFull: boolean }
    | { readonly do: "issuer"; readonly mood: "well" | "broken" | "refusing" | "no-rotation" };

  const event: fc.Arbitrary<Event> = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...PLAIN).map((name): Event => ({ do: name })) },
    {
      weight: 3,
      arbitrary: fc
        .constantFrom(1000, 31_000, 600_000, DAY, 9 * DAY, -DAY)
        .map((ms): Event => ({ do: "wait", ms })),
    },
    { weight: 1, arbitrary: fc.boolean().map((isFull): Event => ({ do: "disk", isFull })) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom("well", "broken", "refusing", "no-rotation")
        .map((mood): Event => ({ do: "issuer", mood })),
    },
  );

  test("no refresh token is sent again once it was accepted or refused for good, and nothing is deleted", async () => {
    let exchanges = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 40 }), async (events) => {
        let mood = "well";
        let serial = 1;
        let jumpedMs = 0;
        const dead = new Set<string>();
        const again: string[] = [];
        const logins = ["ann", "bob"].map((name) => stranger(name, { workspaceId: "shared" }));
        const scene = stage(logins, (token) => {
          if (dead.has(token)) again.push(token);
          exchanges += 1;
          if (mood === "broken") return BROKEN;
          if (mood === "refusing") {
            dead.add(token);
            return REFUSED;
          }
          serial += 1;
          const accessToken = accessOf(`${serial}`, scene.clock.now(), 10 * DAY);
          if (mood === "no-rotation") return { ok: true, accessToken };
          dead.add(token);
          return { ok: true, accessToken, refreshToken: `rt ${serial}` };
        });
        const { renewer, vault, clock, pool, credential } = scene;
        const real = clock.now;
        Object.assign(clock, { now: () => real() + jumpedMs });
        const backups = new Map(vault.logins);
        const settle = async () => {
          for (let turn = 0; turn < 4; turn++) await settled();
        };
        const put = async (login: (typeof logins)[number]) => {
          vault.logins.set(login.source, login);
          await scene.reload();
        };
        const [ann, bob] = logins;
        if (ann === undefined || bob === undefined) return;
        const acts: Record<(typeof PLAIN)[number], () => unknown> = {
          sweep: () => renewer.sweep(),
          request: () => logins.map(({ identity }) => renewer.identify(identity)),
          refused: () => renewer.renew(ann.identity, credential(ann)?.accessToken ?? ""),
          "by-hand": () => logins.map(({ identity }) => renewer.renewByHand(identity)),
          late: () => renewer.saveLate(),
          // Its owner puts an old copy back, with tokens that may be spent.
          restore: () => [...backups.values()].map(put),
          login: () => {
            serial += 1;
            const accessToken = accessOf(`${serial}`, clock.now(), 10 * DAY);
            const anew = { accessToken, refreshToken: `rt ${serial}`, issuedAtMs: clock.now() };
            return put({ ...bob, credential: anew });
          },
        };
        const each = (one: Event): void => {
          switch (one.do) {
            case "wait":
              if (one.ms < 0) jumpedMs += one.ms;
              else clock.advance(one.ms);
              break;
            case "disk":
              vault.full = one.isFull ? "no space left." : undefined;
              break;
            case "issuer":
              mood = one.mood;
              break;
            default:
              acts[one.do]();
          }
        };
        for (const one of events) {
          each(one);
          await settle();
        }
        vault.full = undefined;
        await renewer.settled();
        expect(again).toEqual([]);
        expect([vault.logins.size, vault.shelved.size]).toEqual([2, 0]);
        expect(pool.view(NOON)).toHaveLength(2);
      }),
      { numRuns: 300 },
    );
    expect(exchanges).toBeGreaterThan(300);
  });
});
