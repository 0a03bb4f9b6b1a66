import type { Account, Availability, CoolingReason, Disabler, Login } from "../pool/account.ts";
import type { Tally } from "../pool/pool.ts";
import type { Quota, QuotaWindow } from "../pool/quota.ts";
import type { Past } from "../pool/settle.ts";
import { isTellable, type Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { type Dict, dict, isDict, type Json, list, number, text } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import type { DayUse } from "./allowance.ts";

/** A conversation on the account: its key, when it was last asked for, whether it has come back there. */
export type Conversation = readonly [key: string, usedMs: Millis, isProven: boolean];

/** A ciphertext that the account made: its digest, and when it was last seen. */
export type Ciphertext = readonly [digest: string, usedMs: Millis];

/** All that is remembered of one account from one run of the program to the next. */
export type Remembered = {
  readonly account: Omit<Past, "savedMs" | "hasSameTokens">;
  /** Tells whether the tokens are still the same, and nothing else about them. */
  readonly tokens: string;
  readonly tally: Tally;
  /** When the account, its counters apart, last changed. */
  readonly changedMs: Millis;
  readonly conversations: readonly Conversation[];
  readonly ciphertexts: readonly Ciphertext[];
};

/** What an account is called in the state file: a hash, since its identity names a person's login. */
export function keyOf(identity: string): string {
  return sha256(identity).slice(0, 32);
}

/** A mark of the tokens that a login has. It is cut short and salted with the identity, so that it tells nothing else. */
export function markOf({ identity, credential }: Login): string {
  const { accessToken = "", refreshToken = "" } = credential;
  return sha256(`${identity}\n${accessToken}\n${refreshToken}`).slice(0, 12);
}

/** What of an account is kept. What its owner's file says is not for this one to repeat. */
export function pastOf({ login, availability, ...account }: Account): Remembered["account"] {
  const { quota, modelCooldowns, consecutiveFailures, failedChecks } = account;
  return {
    availability: login.isSwitchedOff ? { kind: "ready" } : availability,
    quota,
    modelCooldowns,
    consecutiveFailures,
    failedChecks,
  };
}

/** An account's own state and the mark of its tokens, as the file has them. */
export function encodePast(past: Remembered["account"], tokens: string): Dict {
  const models = [...past.modelCooldowns].filter(([model]) => isTame(model));
  return {
    tokens,
    state: encodeState(past.availability),
    ...(past.quota === undefined ? {} : { quota: encodeQuota(past.quota) }),
    ...(models.length === 0 ? {} : { models: Object.fromEntries(models) }),
    failures: past.consecutiveFailures,
    checks: past.failedChecks,
  };
}

/** The counters as the file has them. */
export function encodeTally({ requests, errors, tokens, lastUsedMs }: Tally): Dict {
  const { input, cached, output, reasoning } = tokens;
  return { requests, errors, used: [input, cached, output, reasoning], last: lastUsedMs ?? null };
}

/** One account of the file; what is wrong or not known in it is left out. */
export function decodeRemembered(body: Dict): Remembered | undefined {
  const changedMs = moment(body["changed"]);
  if (changedMs === undefined) return undefined;
  const quota = decodeQuota(dict(body["quota"]));
  const models = Object.entries(dict(body["models"])).flatMap(
    ([model, value]): [string, Millis][] => {
      const untilMs = moment(value);
      return untilMs === undefined ? [] : [[model, untilMs]];
    },
  );
  return {
    account: {
      availability: decodeState(dict(body["state"])),
      quota,
      modelCooldowns: new Map(models),
      consecutiveFailures: count(body["failures"]),
      failedChecks: count(body["checks"]),
    },
    tokens: text(body["tokens"]) ?? "",
    tally: decodeTally(body),
    changedMs,
    conversations: list(body["conversations"]).flatMap(decodeConversation),
    ciphertexts: list(body["ciphertexts"]).flatMap(decodeCiphertext),
  };
}

/** What keys have used today, as the file has it. */
export function encodeDays(uses: readonly DayUse[]): Dict {
  return Object.fromEntries(uses.map(({ mark, day, tokens }) => [mark, [day, tokens]]));
}

/** What keys have used on some day; what is wrong in it is left out. */
export function decodeDays(value: unknown): readonly DayUse[] {
  return Object.entries(dict(value)).map(([mark, use]) => {
    const [day, tokens] = list(use);
    return { mark, day: count(day), tokens: count(tokens) };
  });
}

/** As much of a reason as is kept. */
export const LONGEST_REASON = 500;

function encodeState(availability: Availability): Json {
  if (availability.kind === "ready") return { kind: "ready" };
  const { kind, sinceMs, reason } = availability;
  const evidence = { kind, since: sinceMs, reason: redact(reason).slice(0, LONGEST_REASON) };
  if (availability.kind === "disabled") return { ...evidence, by: availability.by };
  if (availability.kind !== "cooling") return evidence;
  return { ...evidence, why: availability.why, until: availability.untilMs };
}

const REASONS = {
  quota: true,
  "rate-limit": true,
  unauthorized: true,
  forbidden: true,
} as const satisfies Record<CoolingReason, true>;

function isReason(value: unknown): value is CoolingReason {
  return typeof value === "string" && Object.hasOwn(REASONS, value);
}

const DISABLERS = {
  file: true,
  policy: true,
  backend: true,
  health: true,
} as const satisfies Record<Disabler, true>;

function isDisabler(value: unknown): value is Disabler {
  return typeof value === "string" && Object.hasOwn(DISABLERS, value);
}

function decodeState({ kind, since, reason, why, until, by, final }: Dict): Availability {
  const sinceMs = moment(since);
  if (sinceMs === undefined) return { kind: "ready" };
  const evidence = { sinceMs, reason: text(reason) ?? "its reason was not kept" };
  if (kind === "needs-login") return { kind, ...evidence };
  // Until there was `by`, a policy's doing was marked as final.
  if (kind === "disabled") {
    const whose = final === true ? "policy" : isDisabler(by) ? by : "backend";
    return { kind, by: whose, ...evidence };
  }
  const untilMs = moment(until);
  if (kind !== "cooling" || untilMs === undefined || !isReason(why)) return { kind: "ready" };
  return { kind, why, untilMs, ...evidence };
}

/** A reading, as the state file has it. */
export function encodeQuota({ windows, measuredAtMs, plan, hasCredits, ...more }: Quota): Dict {
  return {
    measured: measuredAtMs,
    credits: hasCredits,
    ...(more.balance === undefined ? {} : { balance: more.balance }),
    ...(more.isSpent === true ? { spent: true } : {}),
    ...(more.isComplete === true ? { complete: true } : {}),
    ...(plan === undefined ? {} : { plan }),
    windows: windows.map(
      ({ name, usedPercent, windowSeconds, resetsAtMs, isPartial, ...rest }) => ({
        name,
        ...(rest.model === undefined ? {} : { model: rest.model }),
        ...(rest.isForeign === true ? { foreign: true } : {}),
        used: usedPercent,
        ...(windowSeconds === undefined ? {} : { seconds: windowSeconds }),
        ...(resetsAtMs === undefined ? {} : { resets: resetsAtMs }),
        ...(isPartial ? { partial: true } : {}),
      }),
    ),
  };
}

/** The reading in a member of the state file; undefined where that says nothing. */
export function decodeQuota(body: Dict): Quota | undefined {
  const measuredAtMs = moment(body["measured"]);
  if (measuredAtMs === undefined) return undefined;
  const plan = text(body["plan"]);
  return {
    measuredAtMs,
    hasCredits: body["credits"] === true,
    ...(text(body["balance"]) === undefined ? {} : { balance: String(body["balance"]) }),
    ...(body["spent"] === true ? { isSpent: true as const } : {}),
    ...(body["complete"] === true ? { isComplete: true as const } : {}),
    ...(plan === undefined ? {} : { plan }),
    windows: list(body["windows"]).filter(isDict).flatMap(decodeWindow),
  };
}

function decodeWindow(body: Dict): readonly QuotaWindow[] {
  const name = text(body["name"]);
  const usedPercent = number(body["used"]);
  if (name === undefined || usedPercent === undefined) return [];
  const windowSeconds = number(body["seconds"]);
  const resetsAtMs = moment(body["resets"]);
  const window = {
    name,
    usedPercent: Math.min(Math.max(usedPercent, 0), 100),
    isPartial: body["partial"] === true,
    ...(text(body["model"]) === undefined ? {} : { model: String(body["model"]) }),
    ...(body["foreign"] === true ? { isForeign: true as const } : {}),
    ...(windowSeconds === undefined ? {} : { windowSeconds }),
    ...(resetsAtMs === undefined ? {} : { resetsAtMs }),
  };
  return [window];
}

function decodeTally(body: Dict): Tally {
  const [input, cached, output, reasoning] = list(body["used"]).map(count);
  return {
    requests: count(body["requests"]),
    errors: count(body["errors"]),
    tokens: {
      input: input ?? 0,
      cached: cached ?? 0,
      output: output ?? 0,
      reasoning: reasoning ?? 0,
    },
    lastUsedMs: moment(body["last"]),
  };
}

const DIGEST = /^[0-9a-f]{16,64}$/;

function decodeConversation(entry: unknown): readonly Conversation[] {
  const [key, used, isProven] = list(entry);
  const usedMs = moment(used);
  if (typeof key !== "string" || !DIGEST.test(key) || usedMs === undefined) return [];
  return [[key, usedMs, isProven === 1]];
}

function decodeCiphertext(entry: unknown): readonly Ciphertext[] {
  const [digest, used] = list(entry);
  const usedMs = moment(used);
  if (typeof digest !== "string" || !DIGEST.test(digest) || usedMs === undefined) return [];
  return [[digest, usedMs]];
}

/** Of two processes' counters of one account the larger ones: both have counted on from the same. */
export function larger(one: Tally, other: Tally): Tally {
  const most = (key: keyof Tally["tokens"]): number => Math.max(one.tokens[key], other.tokens[key]);
  return {
    requests: Math.max(one.requests, other.requests),
    errors: Math.max(one.errors, other.errors),
    tokens: {
      input: most("input"),
      cached: most("cached"),
      output: most("output"),
      reasoning: most("reasoning"),
    },
    lastUsedMs: Math.max(one.lastUsedMs ?? 0, other.lastUsedMs ?? 0) || undefined,
  };
}

/** A moment, as a number that a Date can tell. */
export function moment(value: unknown): Millis | undefined {
  return typeof value === "number" && value >= 0 && isTellable(value) ? value : undefined;
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** Whether a name of a client's choice can stand in the file. */
function isTame(name: string): boolean {
  return name.length <= 200 && redact(name) === name;
}
