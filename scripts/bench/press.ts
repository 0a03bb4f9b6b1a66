// Two ways to ask contenders: each on many connections, or all of them by turns.

import type { Contender } from "./contender.ts";
import { createChance, shuffled } from "./figure.ts";
import { type Line, newMemory, openLine, type Timing } from "./line.ts";
import { cpuMs, residentKilobytes } from "./process.ts";
import type { Sight } from "./sight.ts";

/** Many connections to one contender. */
export type Press = {
  readonly kind: "press";
  readonly contender: Contender;
  readonly connections: number;
  /** Requests before anything is measured. */
  readonly warmup: number;
  readonly requests: number;
  /** Over all connections; 0 = each connection asks again as soon as it has its answer. */
  readonly perSecond: number;
};

/** One connection to each contender, and the contenders by turns: what disturbs one disturbs the others as well. */
export type Turns = {
  readonly kind: "turns";
  readonly contenders: readonly Contender[];
  /** Requests to each contender. */
  readonly warmup: number;
  readonly requests: number;
};

/** What one contender did. Times are in milliseconds, in the order in which the requests ended. */
export type Result = {
  readonly name: string;
  readonly seconds: number;
  readonly errors: number;
  /** The first thing that went wrong. */
  readonly fault: string | undefined;
  readonly firstByteMs: readonly number[];
  readonly wholeMs: readonly number[];
  readonly cpuMs: number | undefined;
  readonly residentKilobytes: number | undefined;
  /** What its answers are. */
  readonly sight: Sight | undefined;
};

type Tally = {
  readonly firstByteMs: number[];
  readonly wholeMs: number[];
  errors: number;
  fault: string | undefined;
};

function newTally(): Tally {
  return { firstByteMs: [], wholeMs: [], errors: 0, fault: undefined };
}

function note(timing: Timing, tally: Tally): void {
  if (typeof timing === "string") {
    tally.errors += 1;
    tally.fault ??= timing;
    return;
  }
  tally.firstByteMs.push(timing.firstByteMs);
  tally.wholeMs.push(timing.wholeMs);
}

/** Asks until `requests` are done or one of them goes wrong. */
async function drive(
  lines: readonly Line[],
  requests: number,
  perSecond: number,
  tally: Tally,
): Promise<void> {
  const gapMs = perSecond > 0 ? 1000 / perSecond : 0;
  let left = requests;
  let dueMs = performance.now();
  await Promise.all(
    lines.map(async (line) => {
      while (left > 0 && tally.errors === 0) {
        left -= 1;
        dueMs += gapMs;
        const waitMs = dueMs - performance.now();
        if (gapMs > 0 && waitMs > 0.5) await Bun.sleep(waitMs);
        note(await line.ask(), tally);
      }
    }),
  );
}

/** Performs a `Press`. */
export async function press(plan: Press): Promise<Result> {
  const { contender, perSecond } = plan;
  const memory = newMemory();
  const tally = newTally();
  const unmeasured = newTally();
  const numbers = Array.from({ length: plan.connections }, (_, number) => number);
  const lines = await Promise.all(numbers.map((number) => openLine(contender, number, memory)));
  await drive(lines.slice(0, 1), 1, 0, unmeasured);
  await drive(lines, plan.warmup, 0, unmeasured);
  const before = cpuMs(contender.pid);
  const startedMs = performance.now();
  if (unmeasured.errors === 0) await drive(lines, plan.requests, perSecond, tally);
  const seconds = (performance.now() - startedMs) / 1000;
  const after = cpuMs(contender.pid);
  for (const line of lines) line.close();
  return {
    name: contender.name,
    seconds,
    ...tally,
    errors: unmeasured.errors + tally.errors,
    fault: unmeasured.fault ?? tally.fault,
    cpuMs: before === undefined || after === undefined ? undefined : after - before,
    residentKilobytes: residentKilobytes(contender.pid),
    sight: memory.sight,
  };
}

/** Performs `Turns`; in each round of requests the order is another. */
export async function takeTurns(plan: Turns): Promise<readonly Result[]> {
  const tracks = await Promise.all(
    plan.contenders.map(async (contender) => {
      const memory = newMemory();
      const line = await openLine(contender, 0, memory);
      return { contender, memory, line, tally: newTally(), unmeasured: newTally() };
    }),
  );
  for (let round = 0; round < plan.warmup + 1; round++) {
    for (const { line, unmeasured } of tracks) note(await line.ask(), unmeasured);
  }
  const chance = createChance(plan.requests);
  const startedMs = performance.now();
  for (let round = 0; round < plan.requests; round++) {
    for (const { line, tally } of shuffled(tracks, chance)) note(await line.ask(), tally);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  return tracks.map(({ contender, memory, line, tally, unmeasured }) => {
    line.close();
    return {
      name: contender.name,
      seconds,
      ...tally,
      errors: unmeasured.errors + tally.errors,
      fault: unmeasured.fault ?? tally.fault,
      cpuMs: undefined,
      residentKilobytes: undefined,
      sight: memory.sight,
    };
  });
}
