import { standing } from "../pool/account.ts";
import { headroom } from "../pool/quota.ts";
import { score } from "../pool/rank.ts";
import { type Candidate, obstacleTo, type Survey } from "../pool/survey.ts";
import { WORDS } from "../pool/words.ts";
import { isoOf, type Millis } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import type { AttemptRecord, Choice, TurnRecord } from "./record.ts";

/** A request that is over. */
export type Decision = { readonly record: TurnRecord; readonly endedMs: Millis };

// The others are counted.
const MOST_SHOWN = 20;

/** What happened to a request and why, for its owner to read: no key, no prompt, no token, no whole e-mail address. */
export function explanationOf({ record, endedMs }: Decision): Json {
  const { usage, startedMs, firstOutputMs } = record;
  const [first] = record.choices;
  return {
    id: record.id,
    trace_id: record.trace?.traceId ?? null,
    started_at: isoOf(startedMs),
    ended_at: isoOf(endedMs),
    duration_ms: endedMs - startedMs,
    time_to_first_event_ms: firstOutputMs === undefined ? null : firstOutputMs - startedMs,
    waited_ms: record.waitedMs,
    client: record.client,
    protocol: record.protocol,
    asked_model: shown(record.askedModel),
    model: shown(record.model),
    effort: shown(record.effort),
    tier: { asked: record.askedTier ?? null, served: shown(record.tier) },
    stream: record.isStream,
    status: record.status,
    failure:
      record.failure === undefined
        ? null
        : { kind: record.failure, message: record.reason ?? null },
    session: {
      key: record.session === undefined ? null : KEYS[record.session],
      account_before: first === undefined ? null : labelOf(first.survey, first.survey.homeId),
      ciphertext_of:
        first === undefined ? null : labelOf(first.survey, first.survey.owner?.accountId),
    },
    choices: record.choices.map(choiceOf),
    attempts: record.attempts.map(attemptOf),
    removed: record.removed.map(redact),
    tokens:
      usage === undefined
        ? null
        : {
            input: usage.input,
            cached: usage.cached,
            output: usage.output,
            reasoning: usage.reasoning,
          },
    bytes: record.bytesOut,
  };
}

const KEYS = {
  named: "named by the client",
  derived: "made of its first messages",
} as const satisfies Record<NonNullable<TurnRecord["session"]>, string>;

function attemptOf(attempt: AttemptRecord): Json {
  const { label, outcome, message, startedMs, tookMs, isRenewed, removed } = attempt;
  return {
    account: label,
    started_at: isoOf(startedMs),
    took_ms: tookMs,
    outcome,
    message: message ?? null,
    token_renewed: isRenewed,
    removed: removed.map(redact),
  };
}

function choiceOf(choice: Choice): Json {
  const { survey, options } = choice;
  const chosen = survey.candidates.find(({ id }) => id === survey.chosenId);
  const ranked = survey.candidates
    .map((candidate): Ranked => {
      const { account, inFlight } = candidate;
      return { candidate, worth: score(account, inFlight, survey.atMs, survey.assumed) };
    })
    .sort((one, other) => rankOf(other, choice) - rankOf(one, choice));
  return {
    at: isoOf(survey.atMs),
    account: chosen?.account.label ?? null,
    why: whyOf(choice),
    ...(chosen === undefined ? {} : roomOf(chosen, survey)),
    accounts: countsOf(choice),
    candidates: ranked
      .slice(0, MOST_SHOWN)
      .map((one) => candidateOf(one, survey, options.mostInFlight)),
  };
}

type Ranked = { readonly candidate: Candidate; readonly worth: number };

/** The chosen one first, then those that the request has to do with, then those with most room, then the others. */
function rankOf({ candidate, worth }: Ranked, { survey, options }: Choice): number {
  const { id, isTried } = candidate;
  if (id === survey.chosenId) return 4;
  if (isTried || id === survey.homeId || id === survey.owner?.accountId) return 3;
  return obstacleTo(candidate, survey, options.mostInFlight) === undefined ? 1 + worth : worth - 1;
}

function candidateOf({ candidate, worth }: Ranked, survey: Survey, mostInFlight: number): Json {
  const { account, inFlight, id } = candidate;
  const state = standing(account, survey.atMs);
  const obstacle = obstacleTo(candidate, survey, mostInFlight);
  const rests = account.modelCooldowns.get(survey.model);
  const untilMs = state.kind === "cooling" ? state.untilMs : undefined;
  const excluded = {
    why: obstacle === undefined ? "" : WORDS[obstacle],
    reason: state.kind === "ready" ? null : redact(state.reason),
    since: state.kind === "ready" ? null : isoOf(state.sinceMs),
    until: isoOf(obstacle === "model" ? rests : untilMs),
  };
  return {
    account: account.label,
    state: state.kind,
    score: rounded(worth),
    in_flight: inFlight,
    ...(id === survey.chosenId ? { chosen: true } : {}),
    excluded: obstacle === undefined ? null : excluded,
  };
}

/** What an account had to give. */
function roomOf({ account, inFlight }: Candidate, { atMs, assumed }: Survey) {
  const { quota } = account;
  return {
    score: rounded(score(account, inFlight, atMs, assumed)),
    // Where nothing has been read, it is taken to have so much.
    assumed: headroom(quota, atMs) === undefined ? rounded(assumed) : null,
    room: (quota?.windows ?? []).map((window) => ({
      window: window.name,
      left_percent: Math.round(
        (headroom({ windows: [window], measuredAtMs: atMs, hasCredits: false }, atMs) ?? 1) * 100,
      ),
      resets_at: isoOf(window.resetsAtMs),
    })),
    in_flight: inFlight,
  };
}

/** How many accounts could have served, and how many not and why. */
function countsOf({ survey, census, options: { mostInFlight } }: Choice): Json {
  const counts: Record<string, number> = {};
  const add = (words: string, count: number): void => {
    counts[words] = (counts[words] ?? 0) + count;
  };
  let usable = 0;
  if (census === undefined) {
    for (const candidate of survey.candidates) {
      const obstacle = obstacleTo(candidate, survey, mostInFlight);
      if (obstacle === undefined) usable += 1;
      else add(WORDS[obstacle], 1);
    }
  } else {
    for (const [state, count] of census.counts) {
      if (state === "ready") usable += count;
      else add(WORDS[state], count);
    }
  }
  const isWhole = survey.candidates.length === survey.total;
  const isKnown = isWhole || census !== undefined;
  return {
    total: survey.total,
    looked_at: survey.candidates.length,
    usable: isKnown ? usable : null,
    excluded: isKnown ? counts : null,
    ...(census === undefined ? {} : { counted_at: isoOf(census.atMs) }),
  };
}

/** Why this account, in words. */
function whyOf(choice: Choice): string {
  const { survey, isBound, options } = choice;
  const { chosenId, owner } = survey;
  if (chosenId === undefined) return "no account could serve it";
  if (isBound) return "the conversation stays on its account";
  if (chosenId === owner?.accountId) {
    return owner.isNeeded
      ? "it made the compaction that the conversation holds, which no other account can read"
      : `it made the reasoning that the conversation holds${movedFrom(choice)}`;
  }
  const how =
    options.selector === "quota-first"
      ? "the one with most room"
      : "next in turn among those with most room";
  return `${how}${movedFrom(choice)}`;
}

function movedFrom({ survey, options: { mostInFlight } }: Choice): string {
  const { homeId, candidates } = survey;
  if (homeId === undefined) return "";
  const home = candidates.find(({ id }) => id === homeId);
  if (home === undefined) return "; moved, because the conversation's account is gone";
  // Why it failed says more than that it did.
  const asBefore = obstacleTo({ ...home, isTried: false }, survey, mostInFlight);
  const obstacle = asBefore ?? obstacleTo(home, survey, mostInFlight);
  const { label } = home.account;
  if (obstacle === undefined) return `; moved from ${label}, because this one has more room`;
  return `; moved from ${label} (${WORDS[obstacle]})`;
}

/** What an account is called, of which only the id is known. */
function labelOf({ candidates }: Survey, wanted: string | undefined): string | null {
  if (wanted === undefined) return null;
  const found = candidates.find(({ id }) => id === wanted);
  return found?.account.label ?? "an account that is not there any more";
}

function rounded(worth: number): number {
  return Math.round(worth * 1000) / 1000;
}

/** What a client chose to call something; its names can hold anything. */
function shown(name: string | undefined): string | null {
  return name === undefined || name === "" ? null : redact(name);
}
