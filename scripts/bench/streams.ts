// Many slow streams at once, on raw sockets that share their code: the load must be cheap.

import { type Answer, openAnswer } from "./answer.ts";
import type { Contender } from "./contender.ts";
import {
  CLOSED,
  type Memory,
  NO_CONNECTION,
  newMemory,
  openLine,
  remember,
  requestOf,
} from "./line.ts";
import { cpuMs, standingOf } from "./process.ts";
import { newTally, note, type Result } from "./result.ts";

/** One whole answer, kept as what slow streams of the same contender will have to be. */
export type Look = { readonly kind: "look"; readonly contender: Contender };

/** Streams that are opened bit by bit and then run side by side. */
export type Streams = {
  readonly kind: "streams";
  readonly contender: Contender;
  readonly streams: number;
  /** Bun's listen backlog is 512: those beyond wait for seconds. */
  readonly openPerSecond: number;
  /** How long is measured once all are open. */
  readonly windowMs: number;
  /** How long a stream takes at least. */
  readonly lengthMs: number;
};

const memories = new Map<string, Memory>();

/** Performs a `Look`. */
export async function look({ contender }: Look): Promise<Result> {
  const memory = newMemory();
  const tally = newTally();
  const line = await openLine(contender, 0, memory);
  note(await line.ask(), tally);
  line.close();
  memories.set(contender.name, memory);
  return {
    name: contender.name,
    seconds: 0,
    ...tally,
    cpuMs: undefined,
    standings: [],
    sight: memory.sight,
  };
}

const LATE_LIMIT_MS = 60_000;

/** Performs `Streams`. */
export async function runStreams(plan: Streams): Promise<Result> {
  const { contender, windowMs } = plan;
  const memory = memories.get(contender.name) ?? newMemory();
  const tally = newTally();
  const before = standingOf(contender.pid);
  const ends: Promise<void>[] = [];
  const startedMs = performance.now();
  while (ends.length < plan.streams) {
    const due = Math.ceil(((performance.now() - startedMs) * plan.openPerSecond) / 1000);
    while (ends.length < Math.min(due, plan.streams)) {
      ends.push(runStream(plan, memory, ends.length).then((timing) => note(timing, tally)));
    }
    await Bun.sleep(5);
  }
  const cpuBefore = cpuMs(contender.pid);
  const windowStartMs = performance.now();
  await Bun.sleep(windowMs / 2);
  const during = standingOf(contender.pid);
  await Bun.sleep(windowMs / 2);
  const seconds = (performance.now() - windowStartMs) / 1000;
  const cpuAfter = cpuMs(contender.pid);
  if (tally.timesMs.length > 0) note("streams ended before the measured time did", tally);
  await Promise.all(ends);
  return {
    name: contender.name,
    seconds,
    ...tally,
    cpuMs: cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore,
    standings: [before, during],
    sight: memory.sight,
  };
}

/** By how many milliseconds the last event came late, or what went wrong. */
async function runStream(
  { contender, lengthMs }: Streams,
  memory: Memory,
  conversation: number,
): Promise<number | string> {
  const { bytes } = requestOf(contender, conversation);
  const answer: Answer = openAnswer(memory.model);
  const { promise, resolve } = Promise.withResolvers<number | string>();
  let unsent: Buffer = Buffer.alloc(0);
  let sentMs = performance.now();
  const limit = setTimeout(
    () => resolve(`a stream of ${lengthMs} ms has not ended ${LATE_LIMIT_MS / 1000} s later`),
    lengthMs + LATE_LIMIT_MS,
  );
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: contender.port,
    socket: {
      open: (opened) => {
        opened.setNoDelay(true);
        sentMs = performance.now();
        unsent = bytes.subarray(opened.write(bytes));
      },
      data: (_socket, chunk) => {
        const verdict = answer.push(chunk);
        if (verdict === false) return;
        const lateMs = performance.now() - sentMs - lengthMs;
        if (typeof verdict === "string") resolve(`a stream ${verdict}`);
        else if (memory.model !== undefined) resolve(lateMs);
        else resolve(remember(memory, contender, answer.body()) ?? lateMs);
      },
      drain: (draining) => {
        unsent = unsent.subarray(draining.write(unsent));
      },
      close: () => resolve(CLOSED),
    },
  }).catch(() => resolve(NO_CONNECTION));
  const timing = await promise;
  clearTimeout(limit);
  socket?.end();
  return timing;
}
