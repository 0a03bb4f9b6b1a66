// What the load sends back.

import type { Timing } from "./line.ts";
import type { Standing } from "./process.ts";
import type { Sight } from "./sight.ts";

/** What one contender did. */
export type Result = {
  readonly name: string;
  /** How long the measured part took. */
  readonly seconds: number;
  readonly errors: number;
  /** The first thing that went wrong. */
  readonly fault: string | undefined;
  /** One time for each request, in the order in which they ended; of slow streams, by how much the end came late. */
  readonly timesMs: readonly number[];
  /** CPU time of the process during the measured part. */
  readonly cpuMs: number | undefined;
  /** How the process stood meanwhile. */
  readonly standings: readonly Standing[];
  /** What its answers are. */
  readonly sight: Sight | undefined;
};

/** Times and faults as they come in. */
export type Tally = { readonly timesMs: number[]; errors: number; fault: string | undefined };

/** Nothing came in yet. */
export function newTally(): Tally {
  return { timesMs: [], errors: 0, fault: undefined };
}

/** Adds what became of one request. */
export function note(timing: Timing, tally: Tally): void {
  if (typeof timing === "number") {
    tally.timesMs.push(timing);
    return;
  }
  tally.errors += 1;
  tally.fault ??= timing;
}
