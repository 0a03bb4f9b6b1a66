import type { Lease, Pool, Wish } from "../pool/pool.ts";
import { FEW } from "../pool/survey.ts";
import { type Obstacle, obstacleOf } from "../pool/words.ts";
import { createBounded } from "../wire/bounded.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import { type Decision, explanationOf } from "./explanation.ts";
import { type Census, type ChoiceOptions, clip, type TurnRecord } from "./record.ts";

/** What explaining needs. */
export type ExplainPorts = {
  readonly pool: Pick<Pool, "homeOf" | "survey" | "view">;
  readonly clock: Pick<Clock, "now">;
  /** Read at each choice. */
  readonly options: () => ChoiceOptions;
  /** Does a piece of work soon, when no request waits for it. */
  readonly later: (work: () => void) => void;
};

/** The decision records of the last requests. */
export type Explainer = {
  /** Takes down where the conversation is before a choice; what it returns is told the choice. */
  readonly witness: (wish: Wish, record: TurnRecord) => (lease: Lease | undefined) => void;
  /** A request is over: its record is kept, until others take its place. */
  readonly keep: (record: TurnRecord) => void;
  /** What happened to a request and why; undefined for one that is not known, or not any more. */
  readonly find: (requestId: string) => Json | undefined;
};

/** How many requests are remembered at most. */
export const MOST_RECORDS = 1000;
const MOST_BYTES = 8 * 1024 * 1024;
const LONGEST_NAME = 200;
const MOST_REMOVED = 50;
const CENSUS_EVERY_MS = 5000;

// What the parts of a record take, about.
const BYTES = { record: 2000, attempt: 600, choice: 400, candidate: 100 };

/** An empty memory of decisions, bounded in number and in bytes. */
export function createExplainer({ pool, clock, options, later }: ExplainPorts): Explainer {
  const decisions = createBounded<Decision>(() => ({
    mostBytes: MOST_BYTES,
    mostCount: MOST_RECORDS,
    ttlMs: Number.POSITIVE_INFINITY,
  }));
  let census: Census | undefined;
  let isCounting = false;

  const count = (now: Millis): Census => {
    const counts = new Map<Obstacle | "ready", number>();
    for (const { standing } of pool.view(now)) {
      const state = obstacleOf(standing) ?? "ready";
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    census = { atMs: now, counts };
    return census;
  };

  /** The last count, and a new one soon where that is old: no request pays for it. */
  const lastCount = (now: Millis): Census | undefined => {
    const isFresh = census !== undefined && Math.abs(now - census.atMs) < CENSUS_EVERY_MS;
    if (isFresh || isCounting) return census;
    isCounting = true;
    later(() => {
      isCounting = false;
      count(clock.now());
    });
    return census;
  };

  return {
    witness: (wish, record) => {
      const homeId = pool.homeOf(wish.sessionKey, clock.now());
      return (lease) => {
        const now = clock.now();
        const survey = pool.survey(wish, { homeId, chosenId: lease?.accountId }, now);
        const isWhole = survey.total <= FEW;
        // Where nobody can serve, all are looked at in any case, to tell the client why.
        const all = lease === undefined ? () => count(now) : () => lastCount(now);
        record.choices.push({
          survey,
          isBound: lease?.isBound === true,
          census: isWhole ? undefined : all(),
          options: options(),
        });
      };
    },
    keep: (record) => {
      const kept: TurnRecord = {
        ...record,
        // Clients may choose names as long as a request.
        askedModel: clip(record.askedModel, LONGEST_NAME),
        model: clip(record.model, LONGEST_NAME),
        effort: record.effort && clip(record.effort, LONGEST_NAME),
        tier: record.tier && clip(record.tier, LONGEST_NAME),
        removed: tamed(record.removed),
        attempts: record.attempts.map((one) => ({ ...one, removed: tamed(one.removed) })),
      };
      const now = clock.now();
      decisions.set(record.id, { record: kept, endedMs: now }, bytesOf(kept), now);
    },
    find: (requestId) => {
      const decision = decisions.get(requestId, clock.now());
      return decision && explanationOf(decision);
    },
  };
}

function tamed(names: readonly string[]): readonly string[] {
  return names.slice(0, MOST_REMOVED).map((name) => clip(name, LONGEST_NAME));
}

function bytesOf({ attempts, choices, removed }: TurnRecord): number {
  const candidates = choices.reduce((sum, { survey }) => sum + survey.candidates.length, 0);
  const names = [removed, ...attempts.map((one) => one.removed)].flat().join("").length;
  return (
    BYTES.record +
    names +
    BYTES.attempt * attempts.length +
    BYTES.choice * choices.length +
    BYTES.candidate * candidates
  );
}
