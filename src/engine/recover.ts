import { basename } from "node:path";
import type { Account, Login } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import { admit } from "../pool/settle.ts";
import type { LockWish, Saved, Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { type Log, redact } from "../wire/log.ts";
import { NO_REFRESH_TOKEN } from "./fresh.ts";
import type { Renewer } from "./renew.ts";
import { isSelected, type Selection } from "./selection.ts";
import { chosenFrom, type Done, type Named, type Work, workOf } from "./work.ts";

/** What recovering accounts needs. */
export type RecoverPorts = {
  readonly pool: Pool;
  readonly store: Pick<Store, "reread" | "locked" | "setAside" | "aside" | "bringBack">;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly reload: () => Promise<void>;
  readonly renewer: Pick<Renewer, "renewByHand" | "renewAside">;
  /** Whether it is this instance that looks after an account. */
  readonly isMine: (accountId: string) => boolean;
};

/** Brings accounts back that are in trouble with their tokens, or sets them aside for good reason. */
export type Recovery = {
  /** The work for what the owner has chosen, or undefined where there is no such account. */
  readonly recover: (selection: Selection) => Promise<Work | undefined>;
  /** Tries those again that were set aside. */
  readonly retryAside: () => Promise<void>;
};

const OUTCOMES = ["recovered", "set-aside", "unchanged"] as const;

type Outcome = Done<(typeof OUTCOMES)[number]>;

/**
 * Recovers accounts by renewing their tokens. What works again is ready; what is refused for good is set aside with
 * its file's content as it is; a temporary failure changes nothing.
 */
export function createRecovery(ports: RecoverPorts): Recovery {
  const { pool, store, clock, log, renewer } = ports;

  /** Only for whoever holds the lock: a login that has just been stored there is not taken out for the old one's fault. */
  const setAsideRefused = async ({ source, credential }: Login): Promise<Saved> => {
    const stored = await store.reread(source);
    if (stored?.credential.refreshToken !== credential.refreshToken) {
      return { ok: false, reason: "Its file has changed meanwhile." };
    }
    return store.setAside(source);
  };

  const setAside = async (account: Account, reason: string): Promise<Outcome> => {
    const { source } = account.login;
    const done = await store.locked(source, LOCK, () => setAsideRefused(account.login));
    const moved = done.ok ? done.value : done;
    if (!moved.ok) return unchanged(redact(moved.reason));
    log.warn("an account was set aside, since its refresh token is refused for good", {
      account: account.label,
      file: basename(source),
      reason,
    });
    await ports.reload();
    return { outcome: "set-aside", reason };
  };

  const recoverAccount = async (account: Account, isWanted: () => boolean) => {
    const { identity } = account.login;
    const result = await renewer.renewByHand(identity, isWanted);
    if (result.type === "left") return undefined;
    if (result.type === "failed") {
      const { message } = result.failure;
      return result.isPermanent ? setAside(account, message) : unchanged(message);
    }
    // Its new tokens have ended what was wrong with the old ones; this ends what took it out, but no spent quota.
    if (pool.get(identity)?.availability.kind === "disabled") {
      pool.settle(identity, { type: "released" }, clock.now());
    }
    log.info("an account was recovered", { account: account.label });
    return RECOVERED;
  };

  const recoverAside = async (login: Login, isByHand: boolean, isWanted: () => boolean) => {
    const result = await renewer.renewAside(login, isByHand, isWanted);
    if (result.type === "left") return undefined;
    if (result.type === "failed") return unchanged(result.failure.message);
    // Only now: its new tokens are in the file, so that whatever happens to the renaming loses nothing.
    const back = await store.bringBack(login.source);
    if (!back.ok) return unchanged(redact(back.reason));
    log.info("an account that was set aside is back", { file: basename(login.source) });
    await ports.reload();
    return RECOVERED;
  };

  const recover: Recovery["recover"] = async (selection) => {
    const logins = (await store.aside()).filter((login) => isSelected(login, selection));
    const tasks = [
      ...chosenFrom(pool, selection, clock.now()).map((account) => ({
        who: account,
        run: async (isWanted: () => boolean) => {
          const why = reasonToLeave(account, selection);
          return why === undefined ? recoverAccount(account, isWanted) : unchanged(why);
        },
      })),
      ...logins.map((login) => ({
        who: asideAs(login),
        run: (isWanted: () => boolean) => recoverAside(login, true, isWanted),
      })),
    ];
    return workOf(selection, { tasks, outcomes: OUTCOMES, atFault: "unchanged", log });
  };

  const retryAside = async (): Promise<void> => {
    const logins = (await store.aside()).filter(({ identity }) => ports.isMine(identity));
    await Promise.allSettled(logins.map((login) => recoverAside(login, false, () => true)));
  };
  return { recover, retryAside };
}

// Somebody may be storing a new login in this very moment.
const LOCK: LockWish = { holdMs: 30_000, waitMs: 60_000 };

const RECOVERED: Outcome = { outcome: "recovered" };

function unchanged(reason: string): Outcome {
  return { outcome: "unchanged", reason };
}

/** How a login is called that lies aside: as its account was. */
function asideAs(login: Login): Named {
  const { label, tag } = admit(login, sha256(login.identity), 0);
  return { label, tag, login };
}

/** Why nothing is to be done for an account; undefined where it should be tried. */
function reasonToLeave({ login, availability }: Account, { by }: Selection): string | undefined {
  if (login.isSwitchedOff) return "Its owner switched it off in its file.";
  if (login.credential.refreshToken === undefined) return NO_REFRESH_TOKEN;
  const isInTrouble =
    availability.kind === "needs-login" ||
    availability.kind === "disabled" ||
    (availability.kind === "cooling" && availability.why === "unauthorized");
  // Where all are meant, those that work keep their tokens: an exchange more is a risk more.
  return by === "all" && !isInTrouble ? "Nothing is wrong with its tokens." : undefined;
}
