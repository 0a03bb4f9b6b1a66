import { basename } from "node:path";
import type { StatusPolicy } from "../config/rules.ts";
import type { Account } from "../pool/account.ts";
import type { Credential } from "../pool/credential.ts";
import type { Pool } from "../pool/pool.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";
import { type Log, redact } from "../wire/log.ts";

/** What carrying out a policy needs. */
export type PolicyPorts = {
  readonly pool: Pick<Pool, "get" | "settle">;
  readonly store: Pick<Store, "reread" | "discard">;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  /** Reads the store again. */
  readonly reload: () => Promise<void>;
};

/** What an account is taken out for. */
export type Charge = {
  readonly account: Account;
  /** The configuration key whose policy this is. */
  readonly key: "quota-http-status-policy" | "refresh-http-status-policy";
  /** What was answered, for people. */
  readonly reason: string;
  /** Whether these tokens are those that were refused. */
  readonly isRefused: (credential: Credential) => boolean;
};

/** Takes accounts out as their owner's policy says. */
export type Enforcer = {
  /**
   * Disables the account, or deletes its file for good. False, and nothing done, where the account or its file has other
   * tokens by now than those that were refused: nobody has refused them. Where others may write the file, only for
   * whoever holds its lock.
   */
  readonly enforce: (
    final: Exclude<StatusPolicy["final"], "cooldown">,
    charge: Charge,
  ) => Promise<boolean>;
};

/** An enforcer. What it cannot delete, it disables. */
export function createEnforcer({ pool, store, clock, log, reload }: PolicyPorts): Enforcer {
  const isHeld = ({ account, isRefused }: Charge): boolean => {
    const login = pool.get(account.login.identity)?.login;
    return login !== undefined && isRefused(login.credential);
  };

  const disable = (charge: Charge): boolean => {
    if (!isHeld(charge)) return false;
    const { account, key } = charge;
    const reason = redact(charge.reason);
    const disabled = { type: "disabled", reason: `${reason} (${key})` } as const;
    pool.settle(account.login.identity, disabled, clock.now());
    log.warn(`an account was disabled, as ${key} says`, { account: account.label, reason });
    return true;
  };

  const remove = async (charge: Charge, isThere: boolean): Promise<boolean> => {
    const { account, key } = charge;
    const { source } = account.login;
    // What cannot be read may hold anything, such as half of what its owner is writing.
    const removed = isThere
      ? await store.discard(source)
      : ({ ok: false, reason: "it cannot be read." } as const);
    const facts = { account: account.label, file: basename(source) };
    if (!removed.ok) {
      const { reason } = removed;
      log.error(`an account's file could not be deleted, as ${key} wants`, { ...facts, reason });
      return disable(charge);
    }
    const reason = redact(charge.reason);
    log.error(`an account's file was deleted, as ${key} says`, { ...facts, reason });
    await reload();
    return true;
  };

  return {
    enforce: async (final, charge) => {
      const stored = await store.reread(charge.account.login.source);
      const isOther = stored !== undefined && !charge.isRefused(stored.credential);
      if (isOther || !isHeld(charge)) return false;
      return final === "remove" ? remove(charge, stored !== undefined) : disable(charge);
    },
  };
}
