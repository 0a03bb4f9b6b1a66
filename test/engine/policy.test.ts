import { describe, expect, test } from "bun:test";
import { type Charge, createEnforcer } from "../../src/engine/policy.ts";
import { listen, loginOf, NOON } from "./parts.ts";
import { createVault, poolOf } from "./vault.ts";

const NEW = { accessToken: "new", refreshToken: "new" };

function scene() {
  const ann = loginOf("ann");
  const pool = poolOf(NOON, ann);
  const vault = createVault(ann);
  const { log, lines } = listen();
  const account = pool.get(ann.identity);
  if (account === undefined) throw new Error("there is one");
  const enforcer = createEnforcer({
    pool,
    store: vault,
    clock: { now: () => NOON },
    log,
    reload: async () => void pool.sync((await vault.read()).logins, NOON),
  });
  const charge: Charge = {
    account,
    key: "quota-http-status-policy",
    reason: "It answered 403 to sk-abcdefghijklmnopqrstuvwxyz0123456789.",
    isRefused: ({ accessToken }) => accessToken === ann.credential.accessToken,
  };
  const renewInPool = (): void =>
    pool.settle(ann.identity, { type: "renewed", credential: NEW, atMs: NOON }, NOON);
  return {
    ann,
    pool,
    vault,
    lines,
    renewInPool,
    enforce: (final: "disable" | "remove") => enforcer.enforce(final, charge),
    availability: () => pool.get(ann.identity)?.availability,
  };
}

describe("createEnforcer", () => {
  test("disables, and says why and by which key, without a secret", async () => {
    const { enforce, availability, lines, vault } = scene();
    expect(await enforce("disable")).toBe(true);
    expect(availability()).toMatchObject({
      kind: "disabled",
      reason: expect.stringMatching(/^It answered 403.*quota-http-status-policy/),
    });
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ["warn", "an account was disabled, as quota-http-status-policy says"],
    ]);
    expect(JSON.stringify([availability(), lines])).not.toContain("sk-abc");
    expect(vault.logins.size).toBe(1);
  });

  test("deletes the file, loudly, and the account goes with it", async () => {
    const { enforce, availability, lines, vault } = scene();
    expect(await enforce("remove")).toBe(true);
    expect([vault.logins.size, availability()]).toEqual([0, undefined]);
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ["error", "an account's file was deleted, as quota-http-status-policy says"],
    ]);
  });

  for (const final of ["disable", "remove"] as const) {
    test(`${final}: not where the file holds other tokens by now`, async () => {
      const { ann, enforce, availability, lines, vault } = scene();
      vault.logins.set(ann.source, { ...ann, credential: NEW });
      expect(await enforce(final)).toBe(false);
      expect([vault.logins.size, availability()?.kind, lines]).toEqual([1, "ready", []]);
    });

    test(`${final}: not where the account has other tokens by now, though its file has not`, async () => {
      const { enforce, availability, vault, renewInPool } = scene();
      renewInPool();
      expect(await enforce(final)).toBe(false);
      expect([vault.logins.size, availability()?.kind]).toEqual([1, "ready"]);
    });

    test(`${final}: not where it gets them while the file is looked at`, async () => {
      const { enforce, availability, vault, renewInPool } = scene();
      vault.onReread = renewInPool;
      expect(await enforce(final)).toBe(false);
      expect([vault.logins.size, availability()?.kind]).toEqual([1, "ready"]);
    });
  }

  test("what cannot be deleted is disabled", async () => {
    const { enforce, availability, lines, vault } = scene();
    Object.assign(vault, { discard: async () => ({ ok: false, reason: "read-only." }) });
    expect(await enforce("remove")).toBe(true);
    expect([vault.logins.size, availability()?.kind]).toEqual([1, "disabled"]);
    expect(lines.map(({ level }) => level)).toEqual(["error", "warn"]);
  });

  test("a file that cannot be read is not deleted: it may hold anything", async () => {
    const { enforce, availability, vault } = scene();
    let discarded = 0;
    Object.assign(vault, {
      reread: async () => undefined,
      discard: async () => {
        discarded += 1;
        return { ok: true };
      },
    });
    await enforce("remove");
    expect([discarded, availability()?.kind]).toEqual([0, "disabled"]);
  });
});
