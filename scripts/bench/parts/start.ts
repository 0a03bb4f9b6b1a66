// How soon the program is there, and what it takes to be there.

import { CODEX } from "../contender.ts";
import { contenderOf, type Field } from "../field.ts";
import { type Figure, type Heading, summarize } from "../figure.ts";
import { standingOf } from "../process.ts";

/** Accounts, with the most that start and memory may be. */
const POOLS: readonly (readonly [
  accounts: number,
  startMs?: number | null,
  idleMegabytes?: number,
])[] = [[1, 150], [10, null, 75], [1000, 300, 95], [10_000]];
const IDLE_MS = 3000;

function titleOf(accounts: number): string {
  return `${accounts.toLocaleString("en")} account${accounts === 1 ? "" : "s"}`;
}

function withGoal(heading: Heading, atMost?: number | null): Heading {
  return typeof atMost === "number" ? { ...heading, goal: { atMost } } : heading;
}

/** The time from the command to the first answered turn. */
export async function measureStart(field: Field): Promise<Figure[]> {
  const section = "Start: from the command to the end of the first answer";
  await field.setStyle({ events: 20, paceMs: 0 });
  const figures: Figure[] = [];
  for (const [accounts, atMost] of POOLS) {
    const healthy: number[] = [];
    const answered: number[] = [];
    // The first one makes the files, and finds a cold cache of them.
    for (let run = 0; run <= field.size.starts; run++) {
      const [healthyMs, answeredMs] = await startOnce(field, accounts);
      if (run === 0) continue;
      healthy.push(healthyMs);
      answered.push(answeredMs);
    }
    field.say(`start with ${titleOf(accounts)}`);
    const name = titleOf(accounts);
    figures.push(
      summarize(withGoal({ section, name, unit: "ms" }, atMost), answered),
      summarize({ section, name: `${name}: /health/live answers`, unit: "ms" }, healthy),
    );
  }
  return figures;
}

async function startOnce(
  { crew, base, load }: Field,
  accounts: number,
): Promise<readonly [healthyMs: number, answeredMs: number]> {
  await crew.prepareAccounts(accounts);
  const startedMs = performance.now();
  const server = await crew.startProgram(accounts, base);
  const healthyMs = performance.now() - startedMs;
  await load({ kind: "look", contender: contenderOf(CODEX, server) });
  const answeredMs = performance.now() - startedMs;
  await crew.end(server);
  return [healthyMs, answeredMs];
}

/** Memory of a program that has nothing to do. */
export async function measureIdle(field: Field): Promise<Figure[]> {
  const section = `Memory of a program that has just been started and is left alone for ${IDLE_MS / 1000} s`;
  const figures: Figure[] = [];
  for (const [accounts, , atMost] of POOLS) {
    const values: number[] = [];
    for (let round = 0; round < field.size.longRounds; round++) {
      const server = await field.crew.startProgram(accounts, field.base);
      await Bun.sleep(IDLE_MS);
      values.push(standingOf(server.pid).megabytes);
      await field.crew.end(server);
    }
    const name = titleOf(accounts);
    field.say(`idle with ${name}`);
    figures.push(summarize(withGoal({ section, name, unit: "MB" }, atMost), values));
  }
  return figures;
}
