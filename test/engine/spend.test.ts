import { describe, expect, test } from "bun:test";
import { createBackoff } from "../../src/engine/backoff.ts";
import { createDeadTokens } from "../../src/engine/dead.ts";
import { createRefusals, type RenewalWish } from "../../src/engine/refusals.ts";
import { createReload } from "../../src/engine/reload.ts";
import { createSpender } from "../../src/engine/spend.ts";
import { createKeeper } from "../../src/engine/unsaved.ts";
import type { Login } from "../../src/pool/account.ts";
import type { Exchange } from "../../src/upstream/oauth.ts";
import { createManualClock } from "../support/clock.ts";
import { proxyOf } from "../support/link.ts";
import { listen, loginOf, NOON, settled } from "./parts.ts";
import { BROKEN, GONE_BY, tokens } from "./renewal.ts";
import { createVault, poolOf } from "./vault.ts";

const DUE: RenewalWish = { reason: "proactive_expiry" };

/** A spender over a pool and a store in memory; `answers` are the issuer's, one after the other. */
function stage(
  login: Login,
  answers: readonly (Exchange | "silence")[],
  policies: Readonly<Record<string, string>> = {},
) {
  const clock = createManualClock(NOON);
  const pool = poolOf(NOON, login);
  const vault = createVault(login);
  const { log, lines } = listen();
  const keeper = createKeeper({ pool, store: vault, clock, log });
  const backoff = createBackoff(() => 0);
  const dead = createDeadTokens({ now: clock.now, onRefused: () => {} });
  const reload = createReload({ pool, store: vault, clock, log });
  const shared = { pool, store: vault, clock, log, reload, backoff, dead };
  const refusals = createRefusals({ ...shared, policies: () => policies });
  const asked: string[] = [];
  const spent: string[] = [];
  const ways: (string | undefined)[] = [];
  const spender = createSpender({
    ...shared,
    keeper,
    refusals,
    timeoutMs: () => 30_000,
    onAsked: ({ identity }) => asked.push(identity),
    isWanted: () => true,
    exchange: async (token, _reason, stop, proxy) => {
      spent.push(token);
      ways.push(proxy?.url);
      const answer = answers[spent.length - 1] ?? BROKEN;
      if (answer !== "silence") return answer;
      return new Promise((resolve) => {
        stop.signal.addEventListener("abort", () =>
          resolve({ ok: false, isPermanent: false, message: stop.reason()?.message ?? "" }),
        );
      });
    },
  });
  const renew = (wish: RenewalWish = DUE) => spender.renew(login.identity, wish);
  return { ...spender, renew, clock, pool, vault, lines, asked, spent, ways };
}

describe("spending a refresh token", () => {
  const ann = loginOf("ann", GONE_BY);

  test("stores the new tokens, and says that the issuer was asked", async () => {
    const { renew, vault, asked, spent } = stage(ann, [tokens("ann", 1)]);
    expect(await renew()).toEqual({ type: "renewed" });
    expect([spent, asked, vault.saved.length]).toEqual([["refresh ann 1"], [ann.identity], 1]);
    expect(await renew()).toEqual({ type: "in-order" });
  });

  test("by the account's own way out, where it has one", async () => {
    const proxy = proxyOf("socks5h://10.0.0.1:1", "proxy_url");
    const policies = { "500": "refresh_once/cooldown" };
    const behind = stage(
      { ...ann, proxy },
      [{ ...BROKEN, status: 500 }, tokens("ann", 1)],
      policies,
    );
    expect(await behind.renew()).toEqual({ type: "renewed" });
    expect(behind.ways).toEqual([proxy.url, proxy.url]);
    const plain = stage(ann, [tokens("ann", 1)]);
    await plain.renew();
    expect(plain.ways).toEqual([undefined]);
  });

  test("asks a second time at once where a policy says so, and not with a lock that is lost", async () => {
    const policies = { "500": "refresh_once/cooldown" };
    const broken = { ...BROKEN, status: 500 };
    const twice = stage(ann, [broken, tokens("ann", 1)], policies);
    expect(await twice.renew()).toEqual({ type: "renewed" });
    expect(twice.spent).toHaveLength(2);
    const lost = stage(ann, [broken, tokens("ann", 1)], policies);
    Object.defineProperty(lost.vault, "isStillOurs", { get: () => lost.spent.length === 0 });
    expect(await lost.renew()).toMatchObject({ type: "failed", isPermanent: false });
    expect([lost.vault.saved, lost.spent.length]).toEqual([[], 1]);
  });

  test("waits for a late answer up to two minutes, and for none where the program must end", async () => {
    const patient = stage(ann, ["silence"]);
    const waiting = patient.renew();
    await settled();
    patient.clock.advance(119_999);
    await settled();
    expect(patient.lines).toEqual([]);
    patient.clock.advance(1);
    expect(await waiting).toMatchObject({ type: "failed" });
    const ending = stage(ann, ["silence"]);
    const cut = ending.renew();
    await settled();
    ending.giveUp();
    expect(await cut).toMatchObject({ type: "failed" });
  });

  test("where another process has the login, only what that stored is taken", async () => {
    const { renew, vault, spent, pool } = stage(ann, [tokens("ann", 1)]);
    vault.busy = "Another process is renewing this login.";
    expect(await renew()).toMatchObject({ type: "failed", isPermanent: false });
    const newer = loginOf("ann");
    vault.logins.set(ann.source, newer);
    expect(await renew()).toEqual({ type: "adopted" });
    expect([spent, pool.get(ann.identity)?.login]).toEqual([[], newer]);
  });
});
