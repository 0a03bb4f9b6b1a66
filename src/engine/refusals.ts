import { policyFor, type StatusPolicy } from "../config/rules.ts";
import type { Account } from "../pool/account.ts";
import { isAlive } from "../pool/credential.ts";
import type { Pool } from "../pool/pool.ts";
import type { RefreshReason, Refused } from "../upstream/oauth.ts";
import { redact } from "../wire/log.ts";
import type { Backoff, Setback } from "./backoff.ts";
import type { DeadTokens } from "./dead.ts";
import { type Failed, failed } from "./fresh.ts";
import { type Charge, createEnforcer, type PolicyPorts } from "./policy.ts";

/** What judging a failed renewal needs. */
export type RefusalPorts = PolicyPorts & {
  readonly pool: Pool;
  /** `refresh-http-status-policy`. */
  readonly policies: () => Readonly<Record<string, string>>;
  readonly backoff: Backoff;
  readonly dead: DeadTokens;
};

/** Why a token is to be renewed. */
export type RenewalWish = {
  readonly reason: RefreshReason;
  /** Renew whether it is due or not, as long as this is the account's access token. */
  readonly usedToken?: string | undefined;
  /** The owner asks: a pause after a temporary failure does not count. */
  readonly isByHand?: boolean;
};

/** What it means for an account that its tokens could not be renewed. */
export type Refusals = {
  /** Why the issuer should not be asked now; undefined when it may be. */
  readonly standing: (account: Account, wish: RenewalWish) => Failed | undefined;
  /** Whether the owner's policy has the same token tried once more at once. */
  readonly asksAgain: (refused: Refused) => boolean;
  /** Takes down the issuer's refusal, with what the owner's policy says of it. */
  readonly take: (account: Account, refused: Refused, reason: RefreshReason) => Promise<Failed>;
  /** The issuer was not asked, for a reason of this machine's: it is tried again soon. */
  readonly postpone: (account: Account, message: string) => Failed;
  /** No renewal will help: the account needs a new login, unless its access token still works. */
  readonly giveUp: (account: Account, message: string, reason: RefreshReason) => Failed;
};

/** Judges failed renewals. A temporary one never changes a file, and an access token that lives goes on serving. */
export function createRefusals(ports: RefusalPorts): Refusals {
  const { pool, clock, log, backoff, dead } = ports;
  const enforcer = createEnforcer(ports);

  const postpone = (
    account: Account,
    said: string,
    more: Omit<Setback, "failure"> & { readonly rests?: boolean } = {},
  ): Failed => {
    const { identity, credential } = account.login;
    const { rests = false, ...setback } = more;
    // A reason of the store's begins with a file's name, which may be an e-mail address.
    const result = failed(redact(said));
    const { failure } = result;
    const now = clock.now();
    const { refreshToken = "" } = credential;
    const againMs = backoff.fail(identity, refreshToken, { ...setback, failure }, now);
    log.warn("a token could not be renewed", {
      account: account.label,
      reason: said,
      again_sec: Math.round((againMs - now) / 1000),
    });
    if (rests || !isAlive(credential, now)) {
      // Till the next try it can serve nobody, and should not be picked to find that out.
      const resting = { ...failure, resetsAtMs: againMs };
      pool.settle(identity, { type: "refused", failure: resting }, now);
    }
    return result;
  };

  const giveUp: Refusals["giveUp"] = (account, message, reason) => {
    const { identity, credential } = account.login;
    const result = failed(redact(message), true);
    const { kind } = account.availability;
    const isOver = reason === "unauthorized_recovery" || !isAlive(credential, clock.now());
    if (!isOver || kind === "needs-login" || kind === "disabled") return result;
    pool.settle(identity, { type: "renewal-refused", reason: message }, clock.now());
    log.warn("an account needs a new login", { account: account.label, reason: message });
    return result;
  };

  /** Carries a policy out, unless somebody has put other tokens there meanwhile, which nobody has refused. */
  const obey = async (
    final: "disable" | "remove",
    account: Account,
    { message, isPermanent }: Refused,
  ): Promise<Failed> => {
    const { refreshToken: spent } = account.login.credential;
    const charge: Charge = {
      account,
      key: "refresh-http-status-policy",
      reason: message,
      isRefused: ({ refreshToken }) => refreshToken === spent,
    };
    const isDone = await enforcer.enforce(final, charge);
    return isDone ? failed(message, isPermanent) : postpone(account, message);
  };

  const policyOf = ({ status }: Refused): StatusPolicy | undefined =>
    status === undefined ? undefined : policyFor(ports.policies(), status);

  const postponed = (
    account: Account,
    refused: Refused,
    policy: StatusPolicy | undefined,
  ): Promise<Failed> | Failed => {
    const { identity, credential } = account.login;
    const { retryAfterMs, isUnasked: isOurs = false } = refused;
    const isFirst =
      policy?.phase === "cooldown_then_retry" &&
      !backoff.isWarned(identity, credential.refreshToken ?? "");
    const final = isFirst ? undefined : policy?.final;
    if (final === "disable" || final === "remove") return obey(final, account, refused);
    const isWarned = policy?.phase === "cooldown_then_retry";
    const rests = final === "cooldown";
    return postpone(account, refused.message, { retryAfterMs, isWarned, rests, isOurs });
  };

  const take: Refusals["take"] = async (account, refused, reason) => {
    const policy = policyOf(refused);
    if (!refused.isPermanent) return postponed(account, refused, policy);
    dead.add(account.login.credential.refreshToken ?? "", refused.message);
    // A token that is dead is not asked with again, whatever the phase; and no rest mends it.
    const final = policy?.final;
    if (final === "disable" || final === "remove") return obey(final, account, refused);
    const result = giveUp(account, refused.message, reason);
    if (pool.get(account.login.identity)?.availability.kind === account.availability.kind) {
      log.warn(
        "a refresh token is refused for good; its account serves while its access token lives",
        {
          account: account.label,
          reason: refused.message,
        },
      );
    }
    return result;
  };

  return {
    standing: (account, { reason, isByHand = false }) => {
      const { identity, credential } = account.login;
      const { refreshToken = "" } = credential;
      const now = clock.now();
      const why = dead.reasonOf(refreshToken);
      if (why !== undefined) return giveUp(account, why, reason);
      if (isByHand) return undefined;
      const failure = backoff.pending(identity, refreshToken, now);
      if (failure !== undefined) return { type: "failed", failure, isPermanent: false };
      const isVain = reason === "unauthorized_recovery" && backoff.isRecent(identity, now, true);
      return isVain ? failed(REFUSED_ANEW) : undefined;
    },
    asksAgain: (refused) => !refused.isPermanent && policyOf(refused)?.phase === "refresh_once",
    take,
    postpone: (account, message) => postpone(account, message, { isOurs: true }),
    giveUp,
  };
}

const REFUSED_ANEW =
  "The account's tokens were renewed a moment ago, and the backend refuses the new ones as well.";
