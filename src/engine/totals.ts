import { addUsage, NO_USAGE, type Usage } from "../turn/usage.ts";
import type { Millis } from "../wire/clock.ts";

/** Counters over all requests since the start. */
export type Totals = {
  readonly requests: number;
  /** Requests that ended in an error which was not the client's own. */
  readonly errors: number;
  /** Requests that ended within the last 60 seconds. */
  readonly rpm: number;
  readonly tokens: Usage;
};

/** Counts requests as they end. */
export type Counter = {
  readonly add: (isError: boolean, usage: Usage | undefined, now: Millis) => void;
  readonly read: (now: Millis) => Totals;
};

const SECONDS = 60;

/** A counter that remembers one number per second of the last minute, however many requests come. */
export function createCounter(): Counter {
  const perSecond = new Array<number>(SECONDS).fill(0);
  let requests = 0;
  let errors = 0;
  let tokens = NO_USAGE;
  let lastSecond = 0;

  /** Empties the seconds that have passed since the last look. */
  const turnTo = (now: Millis): number => {
    const second = Math.floor(now / 1000);
    const from = Math.max(lastSecond + 1, second - SECONDS + 1);
    for (let passed = from; passed <= second; passed++) perSecond[passed % SECONDS] = 0;
    lastSecond = second;
    return second % SECONDS;
  };

  return {
    add: (isError, usage, now) => {
      const slot = turnTo(now);
      perSecond[slot] = (perSecond[slot] ?? 0) + 1;
      requests += 1;
      if (isError) errors += 1;
      if (usage !== undefined) tokens = addUsage(tokens, usage);
    },
    read: (now) => {
      turnTo(now);
      return { requests, errors, rpm: perSecond.reduce((sum, count) => sum + count, 0), tokens };
    },
  };
}
