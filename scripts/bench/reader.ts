// One client that reads slowly what has no end.

import type { Contender } from "./contender.ts";
import { requestOf } from "./line.ts";
import { type Standing, standingOf } from "./process.ts";
import { newTally, note, type Result } from "./result.ts";

/** A reader for each contender. */
export type Readers = {
  readonly kind: "readers";
  readonly contenders: readonly Contender[];
  readonly bytesPerSecond: number;
  readonly seconds: number;
  /** Time before, in which each reads as fast as it can, so that what the runtime needs anyway is there. */
  readonly warmupSeconds: number;
};

const SAMPLE_MS = 250;
const REST_MS = 3000;

/** Performs `Readers`: the fast reading one after the other, the slow one all at once. */
export async function runReaders(plan: Readers): Promise<readonly Result[]> {
  const tallies = plan.contenders.map((contender) => ({ contender, tally: newTally() }));
  for (const { contender, tally } of tallies) {
    note(await read(contender, Number.POSITIVE_INFINITY, plan.warmupSeconds, []), tally);
  }
  await Bun.sleep(REST_MS);
  const { bytesPerSecond, seconds } = plan;
  return Promise.all(
    tallies.map(async ({ contender, tally }) => {
      const standings: Standing[] = [standingOf(contender.pid)];
      note(await read(contender, bytesPerSecond, seconds, standings), tally);
      const { name } = contender;
      return { name, seconds, ...tally, cpuMs: undefined, standings, sight: undefined };
    }),
  );
}

/** Reads at that rate, and samples meanwhile how the process stands; the bytes that were read, or what went wrong. */
async function read(
  contender: Contender,
  bytesPerSecond: number,
  seconds: number,
  standings: Standing[],
): Promise<number | string> {
  let seen = 0;
  let fault: string | undefined;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: contender.port,
    socket: {
      open: (opened) => {
        opened.write(requestOf(contender, 0).bytes);
      },
      data: (reading, chunk) => {
        if (seen === 0 && !chunk.toString("latin1", 0, 12).startsWith("HTTP/1.1 200")) {
          fault ??= `was not 200 but ${chunk.toString("latin1", 9, 400)}`;
        }
        seen += chunk.length;
        const waitMs = (chunk.length / bytesPerSecond) * 1000;
        if (waitMs < 1) return;
        reading.pause();
        setTimeout(() => reading.resume(), waitMs);
      },
      close: () => {
        fault ??= "the stream without end has ended";
      },
    },
  });
  const endMs = performance.now() + seconds * 1000;
  while (performance.now() < endMs && fault === undefined) {
    await Bun.sleep(SAMPLE_MS);
    standings.push(standingOf(contender.pid));
  }
  const told = fault;
  socket.terminate();
  return told ?? seen;
}
