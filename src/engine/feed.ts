import { isoOf, type Millis } from "../wire/clock.ts";
import type { Dict } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { clip, type TurnRecord } from "./record.ts";

/** Whoever watches requests as they end. */
export type Follower = {
  readonly item: (summary: Dict) => void;
  /** Nothing more will come. */
  readonly end: () => void;
};

/** The last requests that have ended, and those that end from now on. */
export type Feed = {
  readonly add: (record: TurnRecord, endedMs: Millis) => void;
  /** The last ones, the oldest first. */
  readonly recent: () => readonly Dict[];
  /** Begins to watch; what it returns ends that. Undefined where too many watch already. */
  readonly follow: (follower: Follower) => (() => void) | undefined;
  /** Ends all watching: the program stops. */
  readonly close: () => void;
};

type Ended = { readonly record: TurnRecord; readonly endedMs: Millis };

/** How many requests are remembered. */
export const MOST_RECENT = 200;
/** How many may watch at a time: each has some memory of its own. */
export const MOST_FOLLOWERS = 16;
const LONGEST_NAME = 200;

/** An empty feed. What it remembers is bounded, and so is who watches. */
export function createFeed(): Feed {
  // Put into words when somebody asks: most requests end unwatched.
  const recent: Ended[] = [];
  const followers = new Set<Follower>();
  return {
    add: (record, endedMs) => {
      const ended = { record, endedMs };
      recent.push(ended);
      if (recent.length > MOST_RECENT) recent.shift();
      if (followers.size === 0) return;
      const summary = summaryOf(ended);
      for (const { item } of [...followers]) item(summary);
    },
    recent: () => recent.map(summaryOf),
    follow: (follower) => {
      if (followers.size >= MOST_FOLLOWERS) return undefined;
      followers.add(follower);
      return () => void followers.delete(follower);
    },
    close: () => {
      for (const { end } of [...followers]) end();
      followers.clear();
    },
  };
}

/** One request in a line, for its owner; `/explain/ID` has the rest. No key, no prompt, no whole address. */
function summaryOf({ record, endedMs }: Ended): Dict {
  const { usage, startedMs, firstOutputMs, attempts } = record;
  return {
    id: record.id,
    started_at: isoOf(startedMs),
    ended_at: isoOf(endedMs),
    duration_ms: endedMs - startedMs,
    ttft_ms: firstOutputMs === undefined ? null : firstOutputMs - startedMs,
    waited_ms: record.waitedMs,
    client: record.client,
    protocol: record.protocol,
    asked_model: named(record.askedModel),
    model: named(record.model),
    effort: named(record.effort),
    tier: named(record.tier),
    stream: record.isStream,
    prewarm: record.isPrewarm,
    status: record.status,
    failure: record.failure ?? null,
    account: attempts.at(-1)?.label ?? null,
    attempts: attempts.length,
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

/** What a client chose to call something; it may be anything, and as long as a request. */
function named(name: string | undefined): string | null {
  return name === undefined || name === "" ? null : clip(redact(name), LONGEST_NAME);
}
