// Requests for a long time, of which some are broken off.

import type { Contender } from "./contender.ts";
import { createChance } from "./figure.ts";
import { type Memory, newMemory, openLine } from "./line.ts";
import { type Standing, standingOf } from "./process.ts";
import { newTally, note, type Result, type Tally } from "./result.ts";

/** Requests of several dialects to one process. */
export type Soak = {
  readonly kind: "soak";
  /** One for each dialect, all of the same process. */
  readonly contenders: readonly Contender[];
  readonly connections: number;
  readonly perSecond: number;
  readonly seconds: number;
  /** How many of a hundred are broken off. */
  readonly abortPercent: number;
  /** Within which time. */
  readonly abortWithinMs: number;
};

const SAMPLE_MS = 1000;
// Idle connections are the same in number before and after.
const REST_MS = 3000;

/** Performs a `Soak`: one result, with a standing for each second, and one before and one after all requests. */
export async function soak(plan: Soak): Promise<Result> {
  const { contenders, seconds } = plan;
  const [{ pid, name } = { pid: 0, name: "" }] = contenders;
  const tally = newTally();
  const memories = contenders.map(newMemory);
  await drive(plan, memories, tally, performance.now() + Math.min(REST_MS, seconds * 1000));
  await Bun.sleep(REST_MS);
  const standings: Standing[] = [standingOf(pid)];
  const endMs = performance.now() + seconds * 1000;
  const load = drive(plan, memories, tally, endMs);
  while (performance.now() < endMs && tally.errors === 0) {
    await Bun.sleep(SAMPLE_MS);
    standings.push(standingOf(pid));
  }
  await load;
  await Bun.sleep(REST_MS);
  standings.push(standingOf(pid));
  return { name, seconds, ...tally, cpuMs: undefined, standings, sight: memories[0]?.sight };
}

async function drive(
  plan: Soak,
  memories: readonly Memory[],
  tally: Tally,
  endMs: number,
): Promise<void> {
  // The first answer of each dialect is the one that others are compared with: it must not be broken off.
  for (const [at, contender] of plan.contenders.entries()) {
    await askOnce(contender, memories[at] ?? newMemory(), tally);
  }
  const numbers = Array.from({ length: plan.connections }, (_, number) => number);
  await Promise.all(numbers.map((number) => driveOne(plan, memories, tally, { number, endMs })));
}

async function askOnce(contender: Contender, memory: Memory, tally: Tally): Promise<void> {
  const line = await openLine(contender, 0, memory);
  note(await line.ask(), tally);
  line.close();
}

/** One client: it speaks one dialect, and comes back after it has gone away. */
async function driveOne(
  plan: Soak,
  memories: readonly Memory[],
  tally: Tally,
  { number, endMs }: { readonly number: number; readonly endMs: number },
): Promise<void> {
  const at = number % plan.contenders.length;
  const contender = plan.contenders[at];
  if (contender === undefined) return;
  const memory = memories[at] ?? newMemory();
  const chance = createChance(number + 1);
  const gapMs = (1000 * plan.connections) / plan.perSecond;
  let dueMs = performance.now() + chance() * gapMs;
  let line = await openLine(contender, number, memory);
  while (performance.now() < endMs && tally.errors === 0) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0.5) await Bun.sleep(waitMs);
    dueMs += gapMs;
    if (chance() * 100 >= plan.abortPercent) {
      note(await line.ask(), tally);
      continue;
    }
    const asked = line.ask();
    await Bun.sleep(chance() * plan.abortWithinMs);
    // Half of the clients say goodbye.
    if (chance() < 0.5) line.close();
    else line.abort();
    await asked;
    line = await openLine(contender, number, memory);
  }
  line.close();
}
