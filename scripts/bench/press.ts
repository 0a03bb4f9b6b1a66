// Two ways to ask contenders: one of them on many connections, or all of them by turns.

import type { Contender } from "./contender.ts";
import { createChance, shuffled } from "./figure.ts";
import { type Line, newMemory, openLine } from "./line.ts";
import { cpuMs, standingOf } from "./process.ts";
import { newTally, note, type Result, type Tally } from "./result.ts";

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
  /** Each request begins a conversation of its own; otherwise each connection is one. */
  readonly hasNewConversations?: boolean;
};

/** One connection to each contender, and the contenders by turns: what disturbs one disturbs the others as well. */
export type Turns = {
  readonly kind: "turns";
  readonly contenders: readonly Contender[];
  /** Requests to each contender. */
  readonly warmup: number;
  readonly requests: number;
};

let conversations = 0;

/** Asks until `requests` are done or one of them goes wrong. */
async function drive(
  lines: readonly Line[],
  requests: number,
  { perSecond, hasNewConversations = false }: Pick<Press, "perSecond" | "hasNewConversations">,
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
        if (hasNewConversations) conversations += 1;
        note(await line.ask(hasNewConversations ? conversations : undefined), tally);
      }
    }),
  );
}

/** Performs a `Press`. */
export async function press(plan: Press): Promise<Result> {
  const { contender } = plan;
  const memory = newMemory();
  const tally = newTally();
  const unmeasured = newTally();
  const numbers = Array.from({ length: plan.connections }, (_, number) => number);
  const lines = await Promise.all(numbers.map((number) => openLine(contender, number, memory)));
  const unpaced = { ...plan, perSecond: 0 };
  await drive(lines.slice(0, 1), 1, unpaced, unmeasured);
  await drive(lines, plan.warmup, unpaced, unmeasured);
  const before = cpuMs(contender.pid);
  const startedMs = performance.now();
  if (unmeasured.errors === 0) await drive(lines, plan.requests, plan, tally);
  const seconds = (performance.now() - startedMs) / 1000;
  const after = cpuMs(contender.pid);
  for (const line of lines) line.close();
  return {
    name: contender.name,
    seconds,
    timesMs: tally.timesMs,
    errors: unmeasured.errors + tally.errors,
    fault: unmeasured.fault ?? tally.fault,
    cpuMs: before === undefined || after === undefined ? undefined : after - before,
    standings: [standingOf(contender.pid)],
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
      timesMs: tally.timesMs,
      errors: unmeasured.errors + tally.errors,
      fault: unmeasured.fault ?? tally.fault,
      cpuMs: undefined,
      standings: [],
      sight: memory.sight,
    };
  });
}
