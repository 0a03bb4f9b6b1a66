import { type AccountEffect, believableReset, FAILURES, type Failure } from "../turn/failure.ts";
import type { Millis } from "../wire/clock.ts";
import {
  type Account,
  type Availability,
  type CoolingReason,
  isFinal,
  type Login,
  labelOf,
  tagOf,
} from "./account.ts";
import { areSame, type Credential } from "./credential.ts";
import { availabilityBy, type Ended, type Finding, MARGIN_MS, type Trouble } from "./findings.ts";
import { exhaustedUntil, mergeQuota, type Quota, type QuotaWindow } from "./quota.ts";

/** Something that happened to an account. */
export type Outcome =
  | { readonly type: "served" }
  | {
      readonly type: "failed";
      readonly failure: Failure;
      /** The token that was refused: the account may have a newer one by now. */
      readonly usedToken?: string;
    }
  /** A reading of its quota, in passing. */
  | { readonly type: "measured"; readonly quota: Quota }
  /** A reading that was asked for on the account's behalf: the backend takes its token, and says this. */
  | { readonly type: "checked"; readonly quota: Quota }
  /** The backend refuses it outside of any turn: what that means is the same, but no turn of anybody's has failed. */
  | { readonly type: "refused"; readonly failure: Failure; readonly usedToken?: string }
  /** A health check failed by its own fault; it is disabled after `most` in a row (0: never). */
  | { readonly type: "check-failed"; readonly reason: string; readonly most: number }
  /** A policy of its owner's takes it out. */
  | { readonly type: "disabled"; readonly reason: string }
  /** New tokens, stored. */
  | { readonly type: "renewed"; readonly credential: Credential; readonly atMs: Millis }
  /** The issuer refuses its refresh token for good, and the access token is of no use any more. */
  | { readonly type: "renewal-refused"; readonly reason: string }
  /** Its file was read again and differs. */
  | { readonly type: "reloaded"; readonly login: Login }
  /** It is new in this run of the program, and an earlier one knew it. */
  | { readonly type: "restored"; readonly past: Past }
  /** What all instances know that use it, this one too. */
  | { readonly type: "shared"; readonly shared: Shared }
  /** Its owner wants it used again, whatever took it out. */
  | { readonly type: "released" };

/** What an earlier run of the program knew of an account. */
export type Past = Pick<
  Account,
  "availability" | "quota" | "modelCooldowns" | "consecutiveFailures" | "failedChecks"
> & {
  /** When that was written down, by the clock of then. */
  readonly savedMs: Millis;
  /** Whether the account has the tokens that it had then. */
  readonly hasSameTokens: boolean;
};

/** How an account stands for all the instances that use it, by this one's clock. */
export type Shared = {
  /** What keeps it from being used. */
  readonly finding: Finding | undefined;
  readonly modelCooldowns: Account["modelCooldowns"];
  readonly quota: Quota | undefined;
};

/** How long guesses last, from the configuration. */
export type Policy = {
  readonly unauthorizedMs: Millis;
  readonly limitedMs: Millis;
};

const FORBIDDEN_MS = 5 * 60_000;
// A limit that is reached, of unknown end, is believed somewhat longer than till the next reading.
const UNPROMISED_MS = 10 * 60_000;

/**
 * The account after `outcome`.
 * Total and pure: no clock but `now`, no I/O, `account` is left as it was.
 */
export function settle(account: Account, outcome: Outcome, policy: Policy, now: Millis): Account {
  switch (outcome.type) {
    case "served":
      return account.consecutiveFailures === 0 && account.failedChecks === 0
        ? account
        : { ...account, consecutiveFailures: 0, failedChecks: 0 };
    case "failed":
      return isOutdated(account, outcome.usedToken)
        ? account
        : fail(account, outcome.failure, policy, now);
    case "measured":
      return measure(account, outcome.quota, now);
    case "checked":
      return check(account, outcome.quota, now);
    case "refused":
      return isOutdated(account, outcome.usedToken)
        ? account
        : affect(account, outcome.failure, policy, now);
    case "check-failed":
      return failCheck(account, outcome, now);
    case "disabled": {
      const reason = outcome.reason;
      return isFinal(account.availability)
        ? account
        : { ...account, availability: { kind: "disabled", by: "policy", sinceMs: now, reason } };
    }
    case "renewed": {
      const login = {
        ...account.login,
        credential: outcome.credential,
        lastRefreshedMs: outcome.atMs,
      };
      return { ...account, login, availability: withoutTokenTrouble(account.availability) };
    }
    case "renewal-refused": {
      // Whoever switched it off, did so for good: a new login alone does not bring it back.
      if (account.availability.kind === "disabled") return account;
      const availability: Availability = {
        kind: "needs-login",
        sinceMs: now,
        reason: outcome.reason,
      };
      return { ...account, availability };
    }
    case "released":
      return release(account, now);
    case "shared":
      return share(account, outcome.shared, now);
    case "reloaded":
      return reload(account, outcome.login, now);
    case "restored":
      return restore(account, outcome.past, policy, now);
  }
}

/** A new account as it enters the pool. `digest` is a hash of its identity. */
export function admit(login: Login, digest: string, now: Millis): Account {
  return {
    login,
    label: labelOf(login.email, digest),
    tag: tagOf(digest),
    availability: login.isSwitchedOff ? switchedOff(now) : { kind: "ready" },
    quota: undefined,
    modelCooldowns: new Map(),
    consecutiveFailures: 0,
    failedChecks: 0,
  };
}

function isOutdated(account: Account, usedToken: string | undefined): boolean {
  return usedToken !== undefined && account.login.credential.accessToken !== usedToken;
}

/** The owner knows better than a rest; not than their own file, or an issuer that wants a new login. */
function release(account: Account, now: Millis): Account {
  const { availability, login } = account;
  const isHeld = login.isSwitchedOff || availability.kind === "needs-login";
  const isFree = availability.kind === "ready" && account.modelCooldowns.size === 0;
  if (isHeld || isFree) return account;
  const ended = endedBy(account, RELEASED, now);
  return { ...account, availability: { kind: "ready" }, modelCooldowns: new Map(), ended };
}

const RELEASED: readonly Trouble[] = [
  "quota",
  "rate-limit",
  "unauthorized",
  "forbidden",
  "backend",
  "health",
  "policy",
];

/** With the troubles that have ended by `atMs`. */
function endedBy({ ended }: Account, troubles: readonly Trouble[], atMs: Millis): Ended {
  const next: Partial<Record<Trouble, Millis>> = { ...ended };
  for (const trouble of troubles) next[trouble] = Math.max(next[trouble] ?? 0, atMs);
  return next;
}

/** With what took it out, which a check that succeeded has ended. */
function endedNow({ ended = {}, availability }: Account): Ended {
  if (availability.kind !== "disabled" || availability.by === "file") return ended;
  return { ...ended, [availability.by]: availability.sinceMs };
}

/** The account as all instances know it. Its owner's own switch is not theirs to set; what stands as it did is left as it was. */
function share(account: Account, { finding, quota, ...shared }: Shared, now: Millis): Account {
  const availability = isOff(account)
    ? account.availability
    : sameOr(account.availability, availabilityBy(finding), now);
  const modelCooldowns = sameRests(account.modelCooldowns, shared.modelCooldowns, now);
  const isSame =
    availability === account.availability &&
    modelCooldowns === account.modelCooldowns &&
    quota === account.quota;
  return isSame ? account : { ...account, availability, modelCooldowns, quota };
}

function isOff({ availability, login }: Account): boolean {
  return login.isSwitchedOff || (availability.kind === "disabled" && availability.by === "file");
}

/** `next`, or `before` where that says the same: a rest that is over by now is as good as none. */
function sameOr(before: Availability, next: Availability, now: Millis): Availability {
  const isOver = before.kind === "cooling" && before.untilMs <= now;
  if (next.kind === "ready") return isOver ? before : next.kind === before.kind ? before : next;
  if (next.kind !== before.kind || next.sinceMs !== before.sinceMs) return next;
  if (next.kind === "cooling" && before.kind === "cooling") {
    return next.why === before.why && next.untilMs === before.untilMs ? before : next;
  }
  if (next.kind === "disabled" && before.kind === "disabled" && next.by !== before.by) return next;
  return before;
}

function sameRests(
  before: Account["modelCooldowns"],
  next: Account["modelCooldowns"],
  now: Millis,
): Account["modelCooldowns"] {
  const alive = [...before].filter(([, untilMs]) => untilMs > now);
  const isSame =
    alive.length === next.size && alive.every(([model, untilMs]) => next.get(model) === untilMs);
  return isSame ? before : next;
}

function fail(account: Account, failure: Failure, policy: Policy, now: Millis): Account {
  if (FAILURES[failure.kind].account === "none") return account;
  const counted = { ...account, consecutiveFailures: account.consecutiveFailures + 1 };
  return affect(counted, failure, policy, now);
}

/** What a failure means for whether the account may be used. */
function affect(account: Account, failure: Failure, policy: Policy, now: Millis): Account {
  const effect: AccountEffect = FAILURES[failure.kind].account;
  switch (effect) {
    case "none":
    case "count":
      return account;
    case "disable":
      return account.availability.kind === "disabled"
        ? account
        : {
            ...account,
            availability: {
              kind: "disabled",
              by: "backend",
              sinceMs: now,
              reason: failure.message,
            },
          };
    case "cool-unauthorized":
      return cool(account, "unauthorized", failure, policy.unauthorizedMs, now);
    case "cool-forbidden":
      return cool(account, "forbidden", failure, FORBIDDEN_MS, now);
    case "cool-quota":
      return cool(withoutOutdated(account, now), "quota", failure, policy.limitedMs, now);
    case "cool-limited":
      return failure.model === undefined
        ? cool(account, "rate-limit", failure, policy.limitedMs, now)
        : coolModel(account, failure.model, failure, policy.limitedMs, now);
  }
}

/**
 * The account without a reading that says there is room: the backend has just said that there is none (B6-5). It counts
 * as unmeasured, so that it is read again soon and does not come back as the one with most room.
 */
function withoutOutdated(account: Account, now: Millis): Account {
  const isOutdated = exhaustedUntil(account.quota, now) === undefined;
  return account.quota !== undefined && isOutdated ? { ...account, quota: undefined } : account;
}

type CheckFailed = Extract<Outcome, { readonly type: "check-failed" }>;

function failCheck(account: Account, { reason, most }: CheckFailed, now: Millis): Account {
  const failedChecks = account.failedChecks + 1;
  const counted = { ...account, failedChecks };
  const { kind } = account.availability;
  if (most <= 0 || failedChecks < most || kind === "disabled" || kind === "needs-login") {
    return counted;
  }
  const evidence = `${failedChecks} health checks in a row failed; the last one: ${reason}`;
  return {
    ...counted,
    availability: { kind: "disabled", by: "health", sinceMs: now, reason: evidence },
  };
}

/** A check that succeeds brings back whom a check or a refusal took out, and tells the quota like any reading. */
function check(account: Account, reading: Quota, now: Millis): Account {
  const { availability } = account;
  const isBack = availability.kind === "disabled" && !isFinal(availability);
  const alive: Account = isBack
    ? { ...account, failedChecks: 0, availability: { kind: "ready" }, ended: endedNow(account) }
    : account.failedChecks === 0
      ? account
      : { ...account, failedChecks: 0 };
  return measure(alive, reading, now);
}

// Only quotas have long windows. Nobody re-reads other limits, so that a wrong promise would keep an account out.
const LONGEST_LIMIT_MS = 24 * 3_600_000;

/** The end of a rest: what the backend promised if that can be believed, else a guess. */
function restUntil(failure: Failure, why: CoolingReason, guessMs: Millis, now: Millis): Millis {
  const promised = believableReset(failure.resetsAtMs, now);
  if (promised === undefined) return now + guessMs;
  return why === "quota" ? promised : Math.min(promised, now + LONGEST_LIMIT_MS);
}

function cool(
  account: Account,
  why: CoolingReason,
  failure: Failure,
  guessMs: Millis,
  now: Millis,
): Account {
  const { availability } = account;
  // A dead login stays dead, whatever requests that were still under way come back with.
  if (availability.kind === "disabled" || availability.kind === "needs-login") return account;
  const untilMs = restUntil(failure, why, guessMs, now);
  const isShorter = availability.kind === "cooling" && availability.untilMs >= untilMs;
  if (isShorter) return account;
  const reason = failure.message;
  return { ...account, availability: { kind: "cooling", why, untilMs, sinceMs: now, reason } };
}

function coolModel(
  account: Account,
  model: string,
  failure: Failure,
  guessMs: Millis,
  now: Millis,
): Account {
  const untilMs = restUntil(failure, "rate-limit", guessMs, now);
  const alive = [...account.modelCooldowns].filter(([, endMs]) => endMs > now);
  const modelCooldowns = new Map(alive);
  modelCooldowns.set(model, Math.max(untilMs, modelCooldowns.get(model) ?? 0));
  return { ...account, modelCooldowns };
}

function measure(account: Account, reading: Quota, now: Millis): Account {
  // An answer in which every field is missing tells nothing, not even that what was known is out of date.
  if (reading.windows.length === 0 && reading.isSpent !== true && !reading.hasCredits) {
    return account;
  }
  const windows = reading.windows.map((window) => believable(window, now));
  const quota = mergeQuota(account.quota, { ...reading, windows });
  const modelCooldowns = withoutStale(account.modelCooldowns, windows);
  const measured: Account = { ...account, quota, modelCooldowns };
  // A limit that is reached is none where credits carry on.
  if (reading.isSpent === true && !quota.hasCredits) return restSpent(measured, reading, now);
  const { availability } = account;
  // A cooldown is a hint: a reading taken after it began that shows room everywhere ends it.
  const whole = windows.filter(({ isPartial }) => !isPartial);
  const hasRoom = whole.length > 0 && whole.every(({ usedPercent }) => usedPercent < 100);
  if (exhaustedUntil(quota, now) !== undefined || !(hasRoom || reading.hasCredits)) return measured;
  const { measuredAtMs } = reading;
  const isStale =
    availability.kind === "cooling" &&
    availability.why === "quota" &&
    measuredAtMs > availability.sinceMs;
  // What another instance found is ended only with some distance, because clocks are not that equal.
  const reachMs = measuredAtMs - MARGIN_MS;
  if (!isStale) return { ...measured, ended: endedBy(account, ["quota"], reachMs) };
  const ended = endedBy(account, ["quota"], Math.max(reachMs, availability.sinceMs));
  return { ...measured, availability: { kind: "ready" }, ended };
}

/** The rest of an account whose limit is reached: as long as its full windows say, which show by themselves, or else a while. */
function restSpent(account: Account, reading: Quota, now: Millis): Account {
  if (exhaustedUntil(account.quota, now) !== undefined) return account;
  const { availability } = account;
  const message = "the backend says that its limit is reached";
  const failure: Failure = { kind: "exhausted", message };
  const rested = cool(account, "quota", failure, UNPROMISED_MS, now);
  const isGoingOn =
    availability.kind === "cooling" && availability.why === "quota" && availability.untilMs > now;
  if (!isGoingOn || rested.availability.kind !== "cooling") return rested;
  // Since when, is when it began; the reading is newer than that in any case.
  const sinceMs = Math.min(availability.sinceMs, reading.measuredAtMs);
  return { ...rested, availability: { ...rested.availability, sinceMs } };
}

/** Model cooldowns but for those of models whose own windows have room. */
function withoutStale(
  cooldowns: Account["modelCooldowns"],
  windows: readonly QuotaWindow[],
): Account["modelCooldowns"] {
  const isStale = (model: string): boolean => {
    const its = windows.filter((window) => isOf(window, model));
    return its.length > 0 && its.every(({ usedPercent }) => usedPercent < 100);
  };
  const left = [...cooldowns].filter(([model]) => !isStale(model));
  return left.length === cooldowns.size ? cooldowns : new Map(left);
}

/** Whether a window meters this model: the backend names it for people, `GPT-5.3-Codex-Spark`. */
function isOf({ model }: QuotaWindow, wanted: string): boolean {
  const plain = (name: string) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  return model !== undefined && plain(model) === plain(wanted);
}

/** A window without a reset that cannot be believed: as it was read just now, it is not over yet either. */
function believable(window: QuotaWindow, now: Millis): QuotaWindow {
  const { resetsAtMs, ...rest } = window;
  const promised = believableReset(resetsAtMs, now);
  return promised === undefined ? rest : { ...rest, resetsAtMs: promised };
}

/** New tokens end the trouble that old ones made, and nothing else: a spent quota stays spent. */
function withoutTokenTrouble(availability: Availability): Availability {
  const isTokenTrouble =
    availability.kind === "needs-login" ||
    (availability.kind === "cooling" && availability.why === "unauthorized");
  return isTokenTrouble ? { kind: "ready" } : availability;
}

function switchedOff(now: Millis): Availability {
  const reason = "its owner switched it off in its file";
  return { kind: "disabled", by: "file", sinceMs: now, reason };
}

function reload(account: Account, login: Login, now: Millis): Account {
  // A file's first renewal may bring the e-mail address with it; the hash in the label stays.
  const isNew = !areSame(login.credential, account.login.credential);
  const known: Account = {
    ...account,
    login,
    label: labelOf(login.email, account.tag),
    ...(isNew ? { replacedMs: now } : {}),
  };
  const { availability } = account;
  const isOff = availability.kind === "disabled" && availability.by === "file";
  if (login.isSwitchedOff) {
    return isOff ? known : { ...known, availability: switchedOff(now) };
  }
  // New tokens in the file of an account that is out are its owner's act: it is tried again.
  if (isOff || (isNew && availability.kind === "disabled")) {
    return { ...known, availability: { kind: "ready" } };
  }
  return isNew ? { ...known, availability: withoutTokenTrouble(availability) } : known;
}

/**
 * What an earlier run knew is a hint, as all cooldowns are: what is over by now, or was found with other tokens, is
 * dropped, and a moment that cannot be is brought back to one that can. What this run has found out itself stays.
 */
function restore(account: Account, past: Past, policy: Policy, now: Millis): Account {
  // A clock that was set back since: the rests count from now with what was left of them.
  const aheadMs = Math.max(past.savedMs - now, 0) || 0;
  const endOf = (untilMs: Millis): Millis | undefined => {
    const left = untilMs - aheadMs;
    if (!(left > now)) return undefined;
    return believableReset(left, now) ?? now + policy.limitedMs;
  };
  const modelCooldowns = new Map(account.modelCooldowns);
  for (const [model, untilMs] of past.modelCooldowns) {
    const endMs = endOf(untilMs);
    if (endMs !== undefined) {
      modelCooldowns.set(model, Math.max(endMs, modelCooldowns.get(model) ?? 0));
    }
  }
  const sinceOf = (sinceMs: Millis): Millis => Math.min(sinceMs - aheadMs, now);
  return {
    ...account,
    availability: restoreAvailability(account, past, { endOf, sinceOf }),
    quota: restoreQuota(account.quota, past.quota, aheadMs, now),
    modelCooldowns,
    consecutiveFailures: Math.max(account.consecutiveFailures, past.consecutiveFailures),
    failedChecks: Math.max(account.failedChecks, past.failedChecks),
  };
}

type Times = {
  /** When a rest ends; undefined when it is over. */
  readonly endOf: (untilMs: Millis) => Millis | undefined;
  readonly sinceOf: (sinceMs: Millis) => Millis;
};

function restoreAvailability(
  { availability }: Account,
  { availability: former, hasSameTokens }: Past,
  { endOf, sinceOf }: Times,
): Availability {
  if (availability.kind !== "ready" || former.kind === "ready") return availability;
  const isOfTokens = former.kind !== "cooling" || former.why === "unauthorized";
  // Other tokens than those it was found with are its owner's act: they are tried.
  if (isOfTokens && !hasSameTokens) return availability;
  const sinceMs = sinceOf(former.sinceMs);
  if (former.kind !== "cooling") return { ...former, sinceMs };
  const untilMs = endOf(former.untilMs);
  return untilMs === undefined ? availability : { ...former, sinceMs, untilMs };
}

function restoreQuota(
  known: Quota | undefined,
  former: Quota | undefined,
  aheadMs: Millis,
  now: Millis,
): Quota | undefined {
  if (known !== undefined || former === undefined) return known;
  return {
    ...former,
    windows: former.windows.map((window) => believableAgain(window, now)),
    // Never newer than it can be: a reading that looks fresh would not be taken again soon.
    measuredAtMs: Math.min(former.measuredAtMs - aheadMs, now),
  };
}

/** Like `believable`, but a reset that has passed meanwhile stays: it says that the window has begun anew. */
function believableAgain(window: QuotaWindow, now: Millis): QuotaWindow {
  return (window.resetsAtMs ?? now) <= now ? window : believable(window, now);
}
