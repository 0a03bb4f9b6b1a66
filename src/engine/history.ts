import type { FailureKind } from "../turn/failure.ts";
import { addUsage, NO_USAGE, type Usage } from "../turn/usage.ts";
import { isoOf, type Millis } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import type { TurnRecord } from "./record.ts";
import { isError } from "./report.ts";

/** What happened in each minute of the last hours. */
export type History = {
  /** A request has ended. */
  readonly add: (record: TurnRecord, now: Millis) => void;
  /** The minutes in which something ended, oldest first; the others are left out. */
  readonly read: (now: Millis) => Json;
};

/** How many minutes are kept. */
export const MINUTES = 360;
const MINUTE_MS = 60_000;

/**
 * Upper bounds of the histograms' steps: from 10 ms up to half an hour, each √2 times the one before. A quantile out
 * of one is at most a fifth off.
 */
const BOUNDS: readonly Millis[] = Array.from({ length: 36 }, (_, step) => 10 * 2 ** (step / 2));

type Histogram = { readonly counts: Uint32Array; total: number; largestMs: Millis };

type Minute = {
  /** Which one, counted since 1970. */
  readonly number: number;
  requests: number;
  errors: number;
  readonly failures: Map<FailureKind, number>;
  tokens: Usage;
  readonly duration: Histogram;
  readonly ttft: Histogram;
};

/** An empty history. It takes some hundred kilobytes when every minute has seen a request, however many there were. */
export function createHistory(): History {
  const ring = new Array<Minute | undefined>(MINUTES).fill(undefined);
  const minuteAt = (now: Millis): Minute => {
    const number = Math.floor(now / MINUTE_MS);
    const kept = ring[number % MINUTES];
    // Another one in its place is older by whole rounds, or the clock was set back: it is over either way.
    if (kept?.number === number) return kept;
    const fresh = openMinute(number);
    ring[number % MINUTES] = fresh;
    return fresh;
  };
  return {
    add: (record, now) => {
      const minute = minuteAt(now);
      const { failure, usage, startedMs, firstOutputMs } = record;
      minute.requests += 1;
      if (isError(record)) minute.errors += 1;
      if (failure !== undefined) {
        minute.failures.set(failure, (minute.failures.get(failure) ?? 0) + 1);
      }
      if (usage !== undefined) minute.tokens = addUsage(minute.tokens, usage);
      // What was refused at once would make answers look fast.
      if (failure === undefined) count(minute.duration, now - startedMs);
      if (firstOutputMs !== undefined) count(minute.ttft, firstOutputMs - startedMs);
    },
    read: (now) => {
      const last = Math.floor(now / MINUTE_MS);
      const first = last - MINUTES + 1;
      const minutes = ring
        .filter((minute) => minute !== undefined)
        .filter(({ number }) => number >= first && number <= last)
        .sort((one, other) => one.number - other.number);
      return {
        from: isoOf(first * MINUTE_MS),
        to: isoOf((last + 1) * MINUTE_MS),
        step_seconds: MINUTE_MS / 1000,
        minutes: minutes.map(told),
      };
    },
  };
}

function openMinute(number: number): Minute {
  return {
    number,
    requests: 0,
    errors: 0,
    failures: new Map(),
    tokens: NO_USAGE,
    duration: openHistogram(),
    ttft: openHistogram(),
  };
}

function openHistogram(): Histogram {
  return { counts: new Uint32Array(BOUNDS.length + 1), total: 0, largestMs: 0 };
}

function count(histogram: Histogram, ms: Millis): void {
  const step = BOUNDS.findIndex((bound) => ms <= bound);
  const at = step < 0 ? BOUNDS.length : step;
  histogram.counts[at] = (histogram.counts[at] ?? 0) + 1;
  histogram.total += 1;
  histogram.largestMs = Math.max(histogram.largestMs, ms);
}

/** The time within which this share of all took; null where there was nothing. */
function quantile({ counts, total, largestMs }: Histogram, share: number): Millis | null {
  if (total === 0) return null;
  const rank = share * total;
  let before = 0;
  for (const [step, here] of counts.entries()) {
    if (before + here < rank || here === 0) {
      before += here;
      continue;
    }
    const low = BOUNDS[step - 1] ?? 0;
    const high = BOUNDS[step] ?? largestMs;
    const between = low + ((rank - before) / here) * (high - low);
    // No step knows how far up in it the largest was.
    return Math.round(Math.min(between, largestMs));
  }
  return Math.round(largestMs);
}

function quantilesOf(histogram: Histogram): Json {
  return {
    p50: quantile(histogram, 0.5),
    p95: quantile(histogram, 0.95),
    max: histogram.total === 0 ? null : Math.round(histogram.largestMs),
  };
}

function told({ number, requests, errors, failures, tokens, duration, ttft }: Minute): Json {
  return {
    at: isoOf(number * MINUTE_MS),
    requests,
    errors,
    failures: Object.fromEntries(failures),
    tokens: {
      input: tokens.input,
      cached: tokens.cached,
      output: tokens.output,
      reasoning: tokens.reasoning,
    },
    duration_ms: quantilesOf(duration),
    ttft_ms: quantilesOf(ttft),
  };
}
