import type { Millis } from "../wire/clock.ts";
import type { Account, Availability, CoolingReason, Disabler } from "./account.ts";
import { exhaustedUntil, mergeQuota, type Quota } from "./quota.ts";

/** What may be wrong with an account as a whole. Each is found, and ends, apart from the others. */
export type Trouble = CoolingReason | "needs-login" | Exclude<Disabler, "file">;

/** The same, and a rest for one model: `model gpt-5.4`. */
export type TroubleKey = Trouble | `model ${string}`;

/** Up to when each trouble is known to be over: whatever began by then counts no more. */
export type Ended = Readonly<Partial<Record<Trouble, Millis>>>;

/** Something wrong with an account, as one instance found it. */
export type Finding = {
  readonly trouble: TroubleKey;
  readonly sinceMs: Millis;
  /** Infinity where it does not end by itself. */
  readonly untilMs: Millis;
  readonly reason: string;
  /** A mark of the tokens that it was found with, where it says nothing about others. */
  readonly tokens: string | undefined;
};

/**
 * What instances have found out about one account. Joining two of them comes to the same in whatever order and however
 * often it is done, so that all instances that know the same agree.
 */
export type Findings = {
  readonly found: readonly Finding[];
  /** Up to when each trouble is over. */
  readonly over: ReadonlyMap<TroubleKey, Millis>;
  /** When the backend last refused it for want of quota, over or not; 0 for never. */
  readonly spentMs: Millis;
};

/** All that is known of an account that several instances use. */
export type Known = Findings & { readonly quota: Quota | undefined };

/** Nothing is known. */
export const NOTHING_KNOWN: Known = { found: [], over: new Map(), spentMs: 0, quota: undefined };

// More than can be at a time, unless something goes very wrong.
const MOST = 64;
// No rest for a model lasts for longer than that after it began, so that its end need not be remembered.
const MODEL_MS: Millis = 25 * 3_600_000;
/** How much later than the beginning of a trouble a sign must be that ends it, where another instance found the one. */
export const MARGIN_MS: Millis = 2000;

/** The name of a rest for one model. */
export function modelTrouble(model: string): TroubleKey {
  return `model ${model}`;
}

/** The model that a rest is for; undefined where it is of the whole account. */
export function modelOf(trouble: TroubleKey): string | undefined {
  return trouble.startsWith("model ") ? trouble.slice("model ".length) : undefined;
}

/** Both. What is over, or says nothing beside another finding, is left out. */
export function joinFindings(one: Findings, other: Findings, now: Millis): Findings {
  const over = new Map(one.over);
  for (const [trouble, atMs] of other.over) {
    over.set(trouble, Math.max(atMs, over.get(trouble) ?? Number.NEGATIVE_INFINITY));
  }
  const alive = [...one.found, ...other.found].filter(
    ({ trouble, sinceMs, untilMs }) =>
      untilMs > now && sinceMs > (over.get(trouble) ?? Number.NEGATIVE_INFINITY),
  );
  for (const [trouble, atMs] of over) {
    if (modelOf(trouble) !== undefined && atMs + MODEL_MS <= now) over.delete(trouble);
  }
  return { found: withoutNeedless(alive), over, spentMs: Math.max(one.spentMs, other.spentMs) };
}

/** When the backend refused the account for want of quota, by what was found. */
export function spentBy(found: readonly Finding[]): Millis {
  const spent = found.filter(({ trouble }) => trouble === "quota");
  return Math.max(0, ...spent.map(({ sinceMs }) => sinceMs));
}

/** Those that another one does not say as well: it lasts as long, and is as young, so that it ends with it or later. */
function withoutNeedless(all: readonly Finding[]): readonly Finding[] {
  const sorted = all.toSorted(inOrder);
  const kept: Finding[] = [];
  for (const each of sorted) {
    const last = kept.at(-1);
    const isSaid = last !== undefined && isOfOneKind(last, each) && last.sinceMs >= each.sinceMs;
    if (!isSaid) kept.push(each);
  }
  if (kept.length <= MOST) return kept;
  const youngest = kept.toSorted((one, other) => other.sinceMs - one.sinceMs).slice(0, MOST);
  return youngest.toSorted(inOrder);
}

function isOfOneKind(one: Finding, other: Finding): boolean {
  return one.trouble === other.trouble && one.tokens === other.tokens;
}

/** By trouble and tokens, and of one kind those that last longest first, of these the youngest. */
function inOrder(one: Finding, other: Finding): number {
  return (
    compare(one.trouble, other.trouble) ||
    compare(one.tokens ?? "", other.tokens ?? "") ||
    compare(other.untilMs, one.untilMs) ||
    compare(other.sinceMs, one.sinceMs) ||
    compare(one.reason, other.reason)
  );
}

function compare<T extends string | number>(one: T, other: T): number {
  return one === other ? 0 : one < other ? -1 : 1;
}

/**
 * Both, the quota apart from the troubles: the newer reading, with what only the older one tells. A reading that shows
 * room, and is older than a refusal for want of it, says nothing any more (B6-5).
 */
export function joinKnown(one: Known, other: Known, now: Millis): Known {
  const findings = joinFindings(one, other, now);
  return { ...findings, quota: unrefuted(joinQuota(one.quota, other.quota), findings, now) };
}

/** The newer of two readings, with what only the older one tells. */
export function joinQuota(one: Quota | undefined, other: Quota | undefined): Quota | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.measuredAtMs <= other.measuredAtMs ? mergeQuota(one, other) : mergeQuota(other, one);
}

/** A reading, unless it shows room and a refusal for want of it came after. */
export function unrefuted(
  quota: Quota | undefined,
  { spentMs }: Pick<Findings, "spentMs">,
  now: Millis,
): Quota | undefined {
  if (quota === undefined || exhaustedUntil(quota, now) !== undefined) return quota;
  return quota.measuredAtMs <= spentMs ? undefined : quota;
}

/** What an account's own state says. `tokens` is the mark of its tokens. Its owner's switch is no finding. */
export function findingOf({ availability }: Account, tokens: string): Finding | undefined {
  switch (availability.kind) {
    case "ready":
      return undefined;
    case "cooling": {
      const { why, untilMs, sinceMs, reason } = availability;
      const isOfTokens = why === "unauthorized";
      return { trouble: why, sinceMs, untilMs, reason, tokens: isOfTokens ? tokens : undefined };
    }
    case "needs-login": {
      const { kind, sinceMs, reason } = availability;
      return { trouble: kind, sinceMs, untilMs: Number.POSITIVE_INFINITY, reason, tokens };
    }
    case "disabled": {
      const { by, sinceMs, reason } = availability;
      if (by === "file") return undefined;
      return { trouble: by, sinceMs, untilMs: Number.POSITIVE_INFINITY, reason, tokens };
    }
  }
}

// Of several troubles the first of these is how the account stands; of rests the longest.
const WEIGHT: Readonly<Record<Trouble, number>> = {
  policy: 4,
  backend: 3,
  health: 2,
  "needs-login": 1,
  quota: 0,
  "rate-limit": 0,
  unauthorized: 0,
  forbidden: 0,
};

/** Whether it is one of the whole account's. */
export function isTrouble(name: string): name is Trouble {
  return Object.hasOwn(WEIGHT, name);
}

/** All troubles of a whole account. */
export const TROUBLES: readonly Trouble[] = Object.keys(WEIGHT).filter(isTrouble);

/** What keeps an account with these tokens from being used: the heaviest of what was found. */
export function heaviest(
  { found }: Pick<Findings, "found">,
  tokens: string,
  now: Millis,
): Finding | undefined {
  let first: Finding | undefined;
  for (const finding of found) {
    const isOthers = finding.tokens !== undefined && finding.tokens !== tokens;
    if (isOthers || finding.untilMs <= now || modelOf(finding.trouble) !== undefined) continue;
    if (first === undefined || isHeavier(finding, first)) first = finding;
  }
  return first;
}

function isHeavier(one: Finding, other: Finding): boolean {
  const gap = weightOf(one) - weightOf(other);
  return gap === 0 ? one.untilMs > other.untilMs : gap > 0;
}

function weightOf({ trouble }: Finding): number {
  return isTrouble(trouble) ? WEIGHT[trouble] : -1;
}

/** How an account stands by what keeps it from being used. */
export function availabilityBy(finding: Finding | undefined): Availability {
  if (finding === undefined || !isTrouble(finding.trouble)) return { kind: "ready" };
  const { trouble, sinceMs, untilMs, reason } = finding;
  switch (trouble) {
    case "needs-login":
      return { kind: trouble, sinceMs, reason };
    case "policy":
    case "backend":
    case "health":
      return { kind: "disabled", by: trouble, sinceMs, reason };
    default:
      return { kind: "cooling", why: trouble, untilMs, sinceMs, reason };
  }
}

/** The rests for single models that were found. */
export function modelRestsBy(
  { found }: Pick<Findings, "found">,
  now: Millis,
): ReadonlyMap<string, Millis> {
  const rests = new Map<string, Millis>();
  for (const { trouble, untilMs } of found) {
    const model = modelOf(trouble);
    if (model === undefined || untilMs <= now) continue;
    rests.set(model, Math.max(untilMs, rests.get(model) ?? 0));
  }
  return rests;
}

/** A finding for whoever has a clock that is `byMs` ahead. */
export function shiftFinding(finding: Finding, byMs: Millis): Finding {
  return { ...finding, sinceMs: finding.sinceMs + byMs, untilMs: finding.untilMs + byMs };
}

/** A reading for whoever has a clock that is `byMs` ahead. */
export function shiftQuota(quota: Quota, byMs: Millis): Quota {
  const windows = quota.windows.map((window) =>
    window.resetsAtMs === undefined ? window : { ...window, resetsAtMs: window.resetsAtMs + byMs },
  );
  return { ...quota, windows, measuredAtMs: quota.measuredAtMs + byMs };
}
