import type { Account } from "../pool/account.ts";
import {
  type Finding,
  type Findings,
  findingOf,
  heaviest,
  joinFindings,
  joinKnown,
  joinQuota,
  type Known,
  modelOf,
  modelRestsBy,
  modelTrouble,
  NOTHING_KNOWN,
  shiftFinding,
  shiftQuota,
  spentBy,
  TROUBLES,
  type TroubleKey,
  unrefuted,
} from "../pool/findings.ts";
import type { Quota } from "../pool/quota.ts";
import type { Shared } from "../pool/settle.ts";
import type { Millis } from "../wire/clock.ts";
import { decodeKnown, encodeKnown } from "./known-record.ts";
import { markOf } from "./remembered.ts";

/** The two clocks at one moment. */
export type Clocks = {
  /** This instance's own. */
  readonly ownMs: Millis;
  /** How far the database's is ahead of it. */
  readonly aheadMs: Millis;
};

/** What a change is worth telling for: `now` where others would use the account for nothing, `soon` for a reading. */
export type Worth = "now" | "soon" | undefined;

/**
 * One account as the instances know it, by the database's clock, beside how it stands here. The same moment has the same
 * number in both directions for as long as it is known, so that nothing comes back changed by a clock.
 */
export type Replica = {
  /** What the database holds; false where this program cannot read it. */
  readonly take: (body: string, clocks: Clocks) => boolean;
  /** Whether and how soon others should be told what is known here. */
  readonly worth: (account: Account, clocks: Clocks) => Worth;
  /** What is to be written in place of what was last taken; undefined where that need not, or must not, be replaced. */
  readonly next: (account: Account, clocks: Clocks) => string | undefined;
  /** The database has lost what it held: all that is known is to be told again. */
  readonly lost: () => void;
  /** What was last taken; "" for nothing. */
  readonly body: () => string;
  /** How the account stands for all. */
  readonly show: (account: Account, clocks: Clocks) => Shared;
};

/** A finding by both clocks. */
type Pair = { readonly own: Finding; readonly theirs: Finding };

/** A reading by both clocks, and how far they were apart. */
type ShownQuota = { readonly theirs: Quota; readonly own: Quota; readonly aheadMs: Millis };

// A reading that says nothing new need not be told, until others would take what they know for old.
const SAME_MS: Millis = 5 * 60_000;
// Ends of windows that are told as a wait differ by that with each reading.
const SAME_END_MS: Millis = 60_000;
// Where clocks were set, what is known is told anew by them.
const SET_MS: Millis = 1000;

/** Nothing is known of the account yet. */
export function createReplica(): Replica {
  let known: Known = NOTHING_KNOWN;
  let body = "";
  let isStrange = false;
  const pairs = new Map<TroubleKey, Pair>();
  let untold: Findings = NOTHING_KNOWN;
  // Readings that are the same here and there.
  let shownQuota: ShownQuota | undefined;
  let toldQuota: Quota | undefined;
  // What was last to be written, which it may not have been.
  let proposed: { readonly body: string; readonly quota: Quota | undefined } | undefined;

  const theirsOf = (own: Finding, { aheadMs }: Clocks): Finding => {
    const pair = pairs.get(own.trouble);
    const isSame =
      pair?.own.sinceMs === own.sinceMs &&
      pair.own.untilMs === own.untilMs &&
      pair.own.tokens === own.tokens;
    if (isSame) return pair.theirs;
    const theirs = shiftFinding(own, aheadMs);
    pairs.set(own.trouble, { own, theirs });
    return theirs;
  };

  const ownOf = (theirs: Finding, { aheadMs }: Clocks): Finding => {
    const own = shiftFinding(theirs, -aheadMs);
    const pair = pairs.get(theirs.trouble);
    const isSame =
      pair?.theirs.sinceMs === theirs.sinceMs &&
      pair.theirs.untilMs === theirs.untilMs &&
      pair.theirs.tokens === theirs.tokens &&
      Math.abs(pair.own.sinceMs - own.sinceMs) < SET_MS;
    if (isSame) return pair.own;
    pairs.set(theirs.trouble, { own, theirs });
    return own;
  };

  const modelFinding = (model: string, untilMs: Millis, clocks: Clocks): Finding => {
    const trouble = modelTrouble(model);
    const pair = pairs.get(trouble);
    if (pair?.own.untilMs === untilMs) return pair.theirs;
    const reason = "the backend limits this model";
    return theirsOf({ trouble, sinceMs: clocks.ownMs, untilMs, reason, tokens: undefined }, clocks);
  };

  const ownFindings = (account: Account, clocks: Clocks): readonly Finding[] => {
    const finding = findingOf(account, markOf(account.login));
    const models = [...account.modelCooldowns].filter(([, untilMs]) => untilMs > clocks.ownMs);
    return [
      ...(finding === undefined || finding.untilMs <= clocks.ownMs
        ? []
        : [theirsOf(finding, clocks)]),
      ...models.map(([model, untilMs]) => modelFinding(model, untilMs, clocks)),
    ];
  };

  /** What was known by both clocks and is over here: the very moment that it is known by there. */
  const knownEnds = (account: Account, { ownMs }: Clocks): Known["over"] => {
    const over = new Map<TroubleKey, Millis>();
    const ended = new Map<string, Millis>(Object.entries(account.ended ?? {}));
    for (const [trouble, { own, theirs }] of pairs) {
      const model = modelOf(trouble);
      if (model === undefined) {
        const isOver = (ended.get(trouble) ?? Number.NEGATIVE_INFINITY) >= own.sinceMs;
        if (isOver) over.set(trouble, theirs.sinceMs);
      } else if (!account.modelCooldowns.has(model) || own.untilMs <= ownMs) {
        // It rested here, and does not any more: a reading has shown room, or the owner wants it used. If it comes to
        // rest once more, that is another rest, whenever it ends.
        pairs.delete(trouble);
        if (own.untilMs > ownMs) over.set(trouble, theirs.sinceMs);
      }
    }
    return over;
  };

  /** What is over by signs that were seen here; never what goes on here. */
  const ownEnds = (account: Account, found: readonly Finding[], clocks: Clocks): Known["over"] => {
    const over = new Map(knownEnds(account, clocks));
    for (const trouble of TROUBLES) {
      const atMs = account.ended?.[trouble];
      if (atMs === undefined) continue;
      // What lies ahead is from before the clock was set back.
      const theirsMs = Math.min(atMs, clocks.ownMs) + clocks.aheadMs;
      over.set(trouble, Math.max(theirsMs, over.get(trouble) ?? 0));
    }
    for (const { trouble, sinceMs } of found) {
      const atMs = over.get(trouble);
      if (atMs !== undefined) over.set(trouble, Math.min(atMs, sinceMs - 1));
    }
    return over;
  };

  /** The account's reading by the database's clock, where it was taken here and nobody was told. */
  const ownQuota = ({ quota }: Account, { aheadMs }: Clocks): Quota | undefined =>
    quota === undefined || quota === shownQuota?.own || quota === toldQuota
      ? undefined
      : shiftQuota(quota, aheadMs);

  /** All that was found here and is not told yet, also what something heavier has taken the place of since. */
  const own = (account: Account, clocks: Clocks): Known => {
    const found = ownFindings(account, clocks);
    const now = { found, over: ownEnds(account, found, clocks), spentMs: spentBy(found) };
    untold = joinFindings(untold, now, clocks.ownMs + clocks.aheadMs);
    return { ...untold, quota: ownQuota(account, clocks) };
  };

  const joined = (account: Account, clocks: Clocks): Known => {
    const mine = own(account, clocks);
    const isNews = mine.quota !== undefined && !isAlike(known.quota, mine.quota);
    const told = isNews ? mine : { ...mine, quota: undefined };
    return joinKnown(known, told, clocks.ownMs + clocks.aheadMs);
  };

  const worthOf = (next: Known, clocks: Clocks): Worth => {
    const present = joinKnown(known, NOTHING_KNOWN, clocks.ownMs + clocks.aheadMs);
    if (JSON.stringify(next.found) !== JSON.stringify(present.found)) return "now";
    return next.quota === known.quota ? undefined : "soon";
  };

  /**
   * The newest reading counts as it is, since what it lacks is not there any more; one that nobody was told is added. By
   * the database's clock.
   */
  const chosenQuota = ({ quota: here }: Account, news: Quota | undefined, clocks: Clocks) => {
    const { quota: theirs } = known;
    if (news !== undefined) return joinQuota(theirs, news);
    if (here === undefined) return theirs;
    if (here === shownQuota?.own) return theirs ?? shownQuota.theirs;
    const ours = shiftQuota(here, clocks.aheadMs);
    return theirs !== undefined && theirs.measuredAtMs >= ours.measuredAtMs ? theirs : ours;
  };

  const quotaFor = (account: Account, findings: Findings, clocks: Clocks): Quota | undefined => {
    const here = ownQuota(account, clocks);
    const chosen = chosenQuota(account, here, clocks);
    const counts = unrefuted(chosen, findings, clocks.ownMs + clocks.aheadMs);
    if (counts === undefined) return undefined;
    const isShown =
      shownQuota?.theirs === counts && Math.abs(shownQuota.aheadMs - clocks.aheadMs) < SET_MS;
    if (isShown) return shownQuota?.own;
    if (counts !== known.quota)
      return counts === here ? account.quota : backTo(counts, account, clocks);
    const own = shiftQuota(counts, -clocks.aheadMs);
    shownQuota = { theirs: counts, own, aheadMs: clocks.aheadMs };
    return own;
  };

  return {
    take: (content, { ownMs, aheadMs }) => {
      if (content === body) return !isStrange;
      if (content === proposed?.body) {
        toldQuota = proposed.quota;
        untold = NOTHING_KNOWN;
      }
      body = content;
      const read = decodeKnown(content, ownMs + aheadMs);
      isStrange = read === undefined;
      known = read ?? NOTHING_KNOWN;
      return !isStrange;
    },
    lost: () => {
      untold = {
        found: [...untold.found, ...known.found],
        over: new Map([...known.over, ...untold.over]),
        spentMs: Math.max(known.spentMs, untold.spentMs),
      };
      known = NOTHING_KNOWN;
      body = "";
      shownQuota = undefined;
      toldQuota = undefined;
    },
    body: () => body,
    worth: (account, clocks) => (isStrange ? undefined : worthOf(joined(account, clocks), clocks)),
    next: (account, clocks) => {
      if (isStrange) return undefined;
      const next = joined(account, clocks);
      if (worthOf(next, clocks) === undefined) return undefined;
      proposed = { body: encodeKnown(next, body), quota: account.quota };
      return proposed.body;
    },
    show: (account, clocks) => {
      const nowMs = clocks.ownMs + clocks.aheadMs;
      const mine = own(account, clocks);
      const findings = joinFindings(known, mine, nowMs);
      const { found } = findings;
      const first = heaviest({ found }, markOf(account.login), nowMs);
      const quota = quotaFor(account, findings, clocks);
      const models = modelRestsBy({ found }, nowMs);
      const modelCooldowns = new Map<string, Millis>();
      for (const finding of found) {
        const model = modelOf(finding.trouble);
        if (model === undefined || models.get(model) !== finding.untilMs) continue;
        modelCooldowns.set(model, ownOf(finding, clocks).untilMs);
      }
      return { finding: first && ownOf(first, clocks), modelCooldowns, quota };
    },
  };
}

/** A reading that is known here alone, or is put together here; the account's own where it says the same. */
function backTo(counts: Quota, { quota }: Account, { aheadMs }: Clocks): Quota {
  const own = shiftQuota(counts, -aheadMs);
  return quota !== undefined && JSON.stringify(own) === JSON.stringify(quota) ? quota : own;
}

/** Whether a later reading says the same, so that nobody need be told of it yet. */
function isAlike(told: Quota | undefined, next: Quota): boolean {
  if (told === undefined || next.measuredAtMs - told.measuredAtMs >= SAME_MS) return false;
  const isSame =
    told.plan === (next.plan ?? told.plan) &&
    told.hasCredits === next.hasCredits &&
    told.balance === next.balance &&
    told.isSpent === next.isSpent &&
    told.windows.length === next.windows.length;
  if (!isSame) return false;
  return next.windows.every((window) => {
    const before = told.windows.find(({ name }) => name === window.name);
    const gapMs = Math.abs((before?.resetsAtMs ?? 0) - (window.resetsAtMs ?? 0));
    return before?.usedPercent === window.usedPercent && gapMs < SAME_END_MS;
  });
}
