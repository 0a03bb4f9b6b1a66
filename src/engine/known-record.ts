import { type Finding, isTrouble, type Known, type TroubleKey } from "../pool/findings.ts";
import type { Millis } from "../wire/clock.ts";
import { type Dict, dict, isDict, list, number, parseDict, text } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { decodeQuota, encodeQuota, LONGEST_REASON, moment } from "./remembered.ts";

/**
 * The form in which what is known of an account lies in the database. A program that cannot read a form of a later
 * number leaves it alone; members that it does not know it passes over, and keeps.
 */
const FORM = 1;

const LONGEST_MODEL = 200;
// The longest window a plan has is a month: nothing rests for longer.
const LONGEST_REST_MS: Millis = 32 * 24 * 3_600_000;

/** What is known, as text. `former` is what was there before. */
export function encodeKnown({ found, over, spentMs, quota }: Known, former?: string): string {
  const body: Dict = {
    v: FORM,
    found: found.flatMap(encodeFinding),
    over: Object.fromEntries([...over].filter(([trouble]) => isKey(trouble))),
    ...(spentMs === 0 ? {} : { spent: spentMs }),
    ...(quota === undefined ? {} : { quota: encodeQuota(quota) }),
  };
  const {
    v: _v,
    found: _found,
    over: _over,
    spent: _spent,
    quota: _quota,
    ...others
  } = dict(parseDict(former ?? ""));
  return JSON.stringify({ ...body, ...others });
}

/** What a text says that another instance has written; undefined where it is none that can be read. */
export function decodeKnown(content: string, now: Millis): Known | undefined {
  const body = parseDict(content);
  if (body === undefined || body["v"] !== FORM) return undefined;
  const over = new Map<TroubleKey, Millis>();
  for (const [trouble, value] of Object.entries(dict(body["over"]))) {
    const atMs = moment(value);
    if (isKey(trouble) && atMs !== undefined) over.set(trouble, past(atMs, now));
  }
  return {
    found: list(body["found"])
      .filter(isDict)
      .flatMap((each) => decodeFinding(each, now)),
    over,
    spentMs: past(moment(body["spent"]) ?? 0, now),
    quota: isDict(body["quota"]) ? decodeQuota(body["quota"]) : undefined,
  };
}

function encodeFinding({ trouble, sinceMs, untilMs, reason, tokens }: Finding): readonly Dict[] {
  if (!isKey(trouble)) return [];
  const finding = {
    trouble,
    since: sinceMs,
    ...(Number.isFinite(untilMs) ? { until: untilMs } : {}),
    reason: redact(reason).slice(0, LONGEST_REASON),
    ...(tokens === undefined ? {} : { tokens }),
  };
  return [finding];
}

function decodeFinding(body: Dict, now: Millis): readonly Finding[] {
  const trouble = text(body["trouble"]);
  const sinceMs = moment(body["since"]);
  if (trouble === undefined || !isKey(trouble) || sinceMs === undefined) return [];
  const untilMs = "until" in body ? number(body["until"]) : Number.POSITIVE_INFINITY;
  if (untilMs === undefined || !isEnd(trouble, untilMs, now)) return [];
  return [
    {
      trouble,
      sinceMs: past(sinceMs, now),
      untilMs,
      reason: text(body["reason"]) ?? "its reason was not kept",
      tokens: text(body["tokens"]),
    },
  ];
}

/** Whether a trouble can end then: rests do, in a month at most, and the others do not by themselves. */
function isEnd(trouble: TroubleKey, untilMs: Millis, now: Millis): boolean {
  const isRest = !ENDLESS.has(trouble);
  return isRest ? untilMs <= now + LONGEST_REST_MS : untilMs === Number.POSITIVE_INFINITY;
}

const ENDLESS: ReadonlySet<TroubleKey> = new Set<TroubleKey>([
  "needs-login",
  "policy",
  "backend",
  "health",
]);

/** Whether a trouble's name can stand there: that of a model is of a client's choice. */
function isKey(name: string): name is TroubleKey {
  if (isTrouble(name)) return true;
  return name.startsWith("model ") && name.length <= LONGEST_MODEL && redact(name) === name;
}

// Clocks are compared to some fraction of a second.
const SLACK_MS: Millis = 60_000;

/** A moment that has been: what began in the future could never be ended. */
function past(atMs: Millis, now: Millis): Millis {
  return atMs > now + SLACK_MS ? now : atMs;
}
