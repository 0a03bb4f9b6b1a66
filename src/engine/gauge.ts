import { policyFor, type StatusPolicy } from "../config/rules.ts";
import type { Account } from "../pool/account.ts";
import type { Pool } from "../pool/pool.ts";
import type { Quota } from "../pool/quota.ts";
import type { Outcome } from "../pool/settle.ts";
import type { Store } from "../store/store.ts";
import { FAILURES, type Failure, type FailureKind } from "../turn/failure.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import type { Identity } from "../upstream/headers.ts";
import type { UsageAnswer } from "../upstream/usage.ts";
import { type Clock, inTime, type Millis } from "../wire/clock.ts";
import { redact } from "../wire/log.ts";
import { inquire } from "./inquire.ts";
import type { Pacer } from "./pacer.ts";
import { type Charge, createEnforcer, type PolicyPorts } from "./policy.ts";
import type { Renewer } from "./renew.ts";
import { BRIEFLY } from "./unsaved.ts";

/** What reading usage needs from outside. */
export type GaugePorts = Omit<PolicyPorts, "store"> & {
  readonly pool: Pool;
  readonly renewer: Pick<Renewer, "identify" | "renew" | "accepted">;
  readonly store: PolicyPorts["store"] & Pick<Store, "locked">;
  readonly clock: Clock;
  readonly pacer: Pacer;
  readonly fetch: (identity: Identity, stop: Stop) => Promise<UsageAnswer>;
  readonly options: () => {
    readonly timeoutMs: Millis;
    /** How long an account rests between two readings, where a policy says so. */
    readonly restMs: Millis;
    /** What is done by the HTTP status of an answer. */
    readonly policies: Readonly<Record<string, string>>;
  };
};

/** What became of a reading. */
export type Reading =
  | { readonly type: "measured"; readonly quota: Quota }
  | { readonly type: "failed"; readonly failure: Failure };

/** The last reading of an account. */
export type LastReading = {
  readonly atMs: Millis;
  readonly result: "measured" | FailureKind;
  /** A policy lets the account rest till then, and wants it read once more. */
  readonly againMs?: Millis;
};

/** Reads what accounts have used, for whoever wants to know: one way, one budget, and all that is seen is settled. */
export type Gauge = {
  /** One reading, in its turn; at most `most` at a time. Who asks while one is under way gets that one. Never throws. */
  readonly read: (accountId: string, most: number) => Promise<Reading>;
  readonly last: (accountId: string) => LastReading | undefined;
  /** Whether the endpoint is in such trouble that nothing but a person should ask it now. */
  readonly isTroubled: () => boolean;
  /** For the end of the program: from now on nothing is asked and no renewal begun. */
  readonly stop: () => void;
};

// That many failures of nobody's own in a row are an outage, and as long it is left alone.
const MANY_TROUBLES = 3;
const TROUBLED_MS = 60_000;

// A new token that is refused like the old one: another new one would be, too.
const FUTILE_MS = 60 * 60_000;

const OWN: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "unauthorized",
  "forbidden",
  "deactivated",
  "exhausted",
]);

/**
 * Whether a failure outside of a turn is the account's own. An outage, a Cloudflare page, silence, or a rate limit of the
 * endpoint itself is nobody's.
 */
export function isOwn({ kind }: Failure): boolean {
  return OWN.has(kind);
}

/** Why an account is not to be read; undefined where it may be. */
export function whyUnreadable({ login, availability }: Account): string | undefined {
  if (login.isSwitchedOff) return "Its owner switched it off.";
  return availability.kind === "needs-login" ? "It needs a new login." : undefined;
}

/** A gauge. */
export function createGauge(ports: GaugePorts): Gauge {
  const { pool, store, renewer, clock, log } = ports;
  const enforcer = createEnforcer(ports);
  const running = new Map<string, Promise<Reading>>();
  const latest = new Map<string, LastReading>();
  const futile = new Map<string, { readonly token: string; readonly atMs: Millis }>();
  const trouble = { count: 0, atMs: 0 };
  let isStopped = false;

  const settle = (accountId: string, outcome: Outcome): void =>
    pool.settle(accountId, outcome, clock.now());

  /** What a renewal comes to, where it comes soon: one that hangs goes on without a place among the readings. */
  const soon = <T>(renewal: Promise<T>): Promise<T | undefined> =>
    inTime(renewal, ports.options().timeoutMs, clock);

  const ask = async (identity: Identity): Promise<UsageAnswer> => {
    if (isStopped) return { ok: false, failure: STOPPED };
    const stop = createStop();
    const cancel = clock.after(ports.options().timeoutMs, () => stop.stop(TOO_SLOW));
    return ports.fetch(identity, stop).finally(cancel);
  };

  /** The account's usage, asked for again with a new token where the old one is refused, or a policy wants that. */
  const askRenewing = async (accountId: string): Promise<Asked> => {
    if (isStopped) return unasked(STOPPED);
    let isLate = false;
    const asked = await inquire(accountId, {
      identify: async (id) => (await soon(Promise.resolve(renewer.identify(id)))) ?? NO_TOKEN_YET,
      renew: async (id, token) => {
        const renewed = await soon(renewer.renew(id, token).then((refusal) => ({ refusal })));
        isLate = renewed === undefined;
        return renewed === undefined ? NO_TOKEN_YET : renewed.refusal;
      },
      ask,
      wantsRenewal: (answer, token) =>
        !answer.ok && !isStopped && wantsRenewal(answer.failure) && !isFutile(accountId, token),
    });
    if (isLate) return unasked(NO_TOKEN_YET);
    if (asked.type === "none") return unasked(asked.failure);
    const { answer, token, isRenewed } = asked;
    if (isRenewed && !answer.ok && wantsRenewal(answer.failure)) {
      futile.set(accountId, { token, atMs: clock.now() });
    }
    return { token, answer };
  };

  /** Whether this very token came of a renewal that mended nothing, not long ago. */
  const isFutile = (accountId: string, token: string): boolean => {
    const known = futile.get(accountId);
    const agoMs = clock.now() - (known?.atMs ?? 0);
    return known?.token === token && agoMs >= 0 && agoMs < FUTILE_MS;
  };

  const policyOf = ({ kind, status }: Failure): StatusPolicy | undefined => {
    // No account is at fault for a page that stands before the backend, whatever its status.
    if (status === undefined || kind === "challenged") return undefined;
    return policyFor(ports.options().policies, status);
  };

  const wantsRenewal = (failure: Failure): boolean => {
    const policy = policyOf(failure);
    return policy === undefined ? failure.kind === "unauthorized" : policy.phase === "refresh_once";
  };

  /** What the owner's policy makes of an answer. */
  const obey = async (account: Account, policy: StatusPolicy, asked: Failed): Promise<void> => {
    const { failure, token } = asked;
    const { identity, source } = account.login;
    const { final } = policy;
    if (final === "cooldown") {
      const isCooling = FAILURES[failure.kind].account.startsWith("cool");
      const cooled: Failure = isCooling ? failure : { ...failure, kind: "forbidden" };
      settle(identity, { type: "refused", failure: cooled, usedToken: token });
      return;
    }
    const charge: Charge = {
      account,
      key: "quota-http-status-policy",
      reason: `The usage endpoint answered ${failure.status}: ${failure.message}`,
      isRefused: ({ accessToken }) => accessToken === token,
    };
    // Under the lock, so that no renewal of another process brings new tokens between the look and the deed.
    const done = await store.locked(source, BRIEFLY, () => enforcer.enforce(final, charge));
    if (done.ok && done.value) return;
    log.debug("a policy was not carried out: the account has other tokens, or is in use", {
      account: account.label,
    });
  };

  /** The rest before the second reading that a policy wants; undefined once that has been. */
  const restFirst = (accountId: string, policy: StatusPolicy): Millis | undefined => {
    if (policy.phase !== "cooldown_then_retry") return undefined;
    const now = clock.now();
    const { againMs } = latest.get(accountId) ?? {};
    if (againMs === undefined) return now + ports.options().restMs;
    return againMs > now ? againMs : undefined;
  };

  const judge = async (account: Account, asked: Failed): Promise<Millis | undefined> => {
    const { failure, token: usedToken } = asked;
    const { identity, credential } = account.login;
    // It has got a newer token meanwhile, which nobody has refused.
    if (credential.accessToken !== usedToken) return undefined;
    const policy = policyOf(failure);
    if (policy === undefined) {
      if (isOwn(failure)) settle(identity, { type: "refused", failure, usedToken });
      return undefined;
    }
    const againMs = restFirst(identity, policy);
    if (againMs === undefined) {
      await obey(account, policy, asked);
      return undefined;
    }
    const rest: Failure = { kind: "rate-limited", message: failure.message, resetsAtMs: againMs };
    settle(identity, { type: "refused", failure: rest, usedToken });
    return againMs;
  };

  const noteTrouble = (answer: UsageAnswer): void => {
    const isTrouble = !answer.ok && OUTAGES.has(answer.failure.kind);
    trouble.count = isTrouble ? trouble.count + 1 : 0;
    trouble.atMs = clock.now();
  };

  const readNow = async (accountId: string): Promise<Reading> => {
    const { token, answer } = await askRenewing(accountId);
    const account = pool.get(accountId);
    noteTrouble(answer);
    if (answer.ok) {
      if (token !== undefined) renewer.accepted(accountId, token);
      latest.set(accountId, { atMs: clock.now(), result: "measured" });
      settle(accountId, { type: "checked", quota: answer.quota });
      return { type: "measured", quota: answer.quota };
    }
    const { failure } = answer;
    // Told once, and not at every check of an account that stays as it is.
    const isNews = isOwn(failure) && latest.get(accountId)?.result !== failure.kind;
    const isJudged = account !== undefined && token !== undefined;
    const againMs = isJudged ? await judge(account, { failure, token }) : undefined;
    latest.set(accountId, {
      atMs: clock.now(),
      result: failure.kind,
      ...(againMs === undefined ? {} : { againMs }),
    });
    log[isNews ? "warn" : "debug"]("an account's usage could not be read", {
      account: account?.label,
      failure: failure.kind,
      reason: redact(failure.message),
    });
    return { type: "failed", failure };
  };

  const prune = (): void => {
    for (const memory of [latest, futile]) {
      for (const accountId of memory.keys()) {
        if (pool.get(accountId) === undefined) memory.delete(accountId);
      }
    }
  };

  return {
    read: (accountId, most) => {
      const under = running.get(accountId);
      if (under !== undefined) return under;
      const reading = ports.pacer
        .run(most, () => readNow(accountId))
        .catch((cause: unknown): Reading => {
          log.error("a reading of an account's usage broke", { reason: String(cause) });
          return { type: "failed", failure: BROKEN };
        })
        .finally(() => {
          running.delete(accountId);
          prune();
        });
      running.set(accountId, reading);
      return reading;
    },
    last: (accountId) => latest.get(accountId),
    isTroubled: () => {
      const agoMs = clock.now() - trouble.atMs;
      return trouble.count >= MANY_TROUBLES && agoMs >= 0 && agoMs < TROUBLED_MS;
    },
    stop: () => {
      isStopped = true;
    },
  };
}

const OUTAGES: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "egress",
  "network",
  "timeout",
  "server-error",
  "overloaded",
  "challenged",
  "rate-limited",
]);

type Asked = { readonly token: string | undefined; readonly answer: UsageAnswer };

function unasked(failure: Failure): Asked {
  return { token: undefined, answer: { ok: false, failure } };
}

type Failed = { readonly token: string; readonly failure: Failure };

const TOO_SLOW: Failure = {
  kind: "timeout",
  message: "The backend did not tell the usage in time (health-check-request-timeout).",
};
/** Nobody's fault, and no trouble of the endpoint's. */
const NO_TOKEN_YET: Failure = {
  kind: "renewal-failed",
  message:
    "The account's token is being renewed, which takes longer than a reading waits for it (health-check-request-timeout).",
};
const STOPPED: Failure = { kind: "client-left", message: "The proxy is stopping." };
const BROKEN: Failure = { kind: "internal", message: "The proxy itself failed." };
