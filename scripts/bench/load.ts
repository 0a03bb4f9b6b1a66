// The load of the bench, in a process of its own. `bun scripts/bench/load.ts JSON` with a `Plan`; it prints a `Result`
// for each target as one line of JSON. Requests go over raw sockets: nothing here is to cost more than what is measured.

import type { Socket } from "bun";
import { cpuMs, residentKilobytes } from "./process.ts";
import { type Content, type Dialect, LAST_EVENTS, requestBody } from "./request.ts";

/** Where requests go, and as whom. */
export type Target = {
  readonly name: string;
  readonly port: number;
  readonly path: string;
  readonly dialect: Dialect;
  /** What each request holds; 8 KB of text where nothing is said. */
  readonly content?: Content;
  /** The dialect of the answers, where a bare relay or the backend gives them. */
  readonly answers?: Dialect;
  /** The process whose CPU time is read around the measured part. */
  readonly pid?: number;
};

/** What is asked of a load process. */
export type Plan = {
  readonly targets: readonly Target[];
  readonly connections: number;
  /** Requests to each target before anything is measured. */
  readonly warmup: number;
  /** Requests to each target. */
  readonly requests: number;
  /** Over all connections; 0 = each connection asks again as soon as it has its answer. */
  readonly perSecond: number;
};

/** What one target did. Times are in milliseconds, in the order in which the requests ended. */
export type Result = {
  readonly name: string;
  readonly seconds: number;
  readonly errors: number;
  readonly firstByteMs: readonly number[];
  readonly wholeMs: readonly number[];
  readonly cpuMs: number | undefined;
  readonly residentKilobytes: number | undefined;
};

/** The client key that the bench's proxy is started with. */
export const KEY = "sk-bench-0123456789";

/** A short turn of the Codex CLI's has about this much. */
const SMALL: Content = { bytes: 8192, hasTools: false };

function requestOf({ path, port, dialect, content = SMALL }: Target, conversation: number): Buffer {
  const key = `bench-${conversation}`;
  const body = requestBody(dialect, content, key);
  const head = [
    `POST ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
    `authorization: Bearer ${KEY}`,
    "accept: text/event-stream",
    ...(dialect === "codex"
      ? [
          "originator: codex_cli_rs",
          "user-agent: codex_cli_rs/0.169.0 (bench)",
          `session-id: ${key}`,
        ]
      : ["user-agent: curl/8.5.0"]),
    ...(dialect === "messages" ? ["anthropic-version: 2023-06-01"] : []),
  ].join("\r\n");
  return Buffer.from(`${head}\r\n\r\n${body}`);
}

/** Times of one request; undefined when it was not answered with a whole 200. */
type Timing = { readonly firstByteMs: number; readonly wholeMs: number };

type Line = { readonly ask: () => Promise<Timing | undefined>; readonly close: () => void };

const ENDING = Buffer.from("\r\n0\r\n\r\n");
const HEAD_END = "\r\n\r\n";

/** Follows one answer. The runtime sends a body that it has whole with its length, any other in chunks. */
type Answer = {
  /** Takes what has arrived; true once the answer is whole. */
  readonly push: (chunk: Buffer) => boolean;
  /** Whether it was a 200 with the turn's last event in it. */
  readonly isGood: () => boolean;
};

function openAnswer(lastEvent: string): Answer {
  // Enough for what may lie across two reads, and for the end of a chunked body.
  const kept = Math.max(lastEvent.length, ENDING.length);
  let head = "";
  let left: number | undefined;
  let isSeen = false;
  let tail: Buffer = Buffer.alloc(0);

  /** The part of `chunk` that is body. */
  const passHead = (chunk: Buffer): Buffer => {
    if (head.endsWith(HEAD_END)) return chunk;
    const before = head.length;
    const text = head + chunk.toString("latin1");
    const end = text.indexOf(HEAD_END);
    head = end < 0 ? text : text.slice(0, end + HEAD_END.length);
    if (end < 0) return Buffer.alloc(0);
    const length = /content-length: *(\d+)/i.exec(head)?.[1];
    left = length === undefined ? undefined : Number(length);
    return chunk.subarray(head.length - before);
  };
  return {
    push: (chunk) => {
      const body = passHead(chunk);
      // What is looked for may lie across two reads.
      const seam = Buffer.concat([tail, body.subarray(0, kept)]);
      isSeen ||= body.includes(lastEvent) || seam.includes(lastEvent);
      tail = body.length >= kept ? Buffer.from(body.subarray(-kept)) : seam.subarray(-kept);
      if (left === undefined) return tail.subarray(-ENDING.length).equals(ENDING);
      left -= body.length;
      return left <= 0;
    },
    isGood: () => isSeen && head.startsWith("HTTP/1.1 200"),
  };
}

/** One connection, one request at a time. */
async function openLine(target: Target, conversation: number): Promise<Line> {
  const bytes = requestOf(target, conversation);
  let settle: ((timing: Timing | undefined) => void) | undefined;
  const lastEvent = LAST_EVENTS[target.answers ?? target.dialect];
  let answer = openAnswer(lastEvent);
  let unsent: Buffer = Buffer.alloc(0);
  let sentMs = 0;
  let firstMs = 0;

  const end = (timing: Timing | undefined): void => {
    const tell = settle;
    settle = undefined;
    tell?.(timing);
  };
  const take = (chunk: Buffer): void => {
    if (firstMs === 0) firstMs = performance.now();
    if (!answer.push(chunk)) return;
    const timing = { firstByteMs: firstMs - sentMs, wholeMs: performance.now() - sentMs };
    end(answer.isGood() ? timing : undefined);
  };
  const socket: Socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: target.port,
    socket: {
      open: (opened) => {
        opened.setNoDelay(true);
      },
      data: (_socket, chunk) => take(chunk),
      drain: (draining) => {
        unsent = unsent.subarray(draining.write(unsent));
      },
      close: () => end(undefined),
    },
  });
  return {
    ask: () =>
      new Promise((resolve) => {
        settle = resolve;
        firstMs = 0;
        answer = openAnswer(lastEvent);
        sentMs = performance.now();
        unsent = bytes.subarray(socket.write(bytes));
      }),
    close: () => socket.end(),
  };
}

type Tally = { firstByteMs: number[]; wholeMs: number[]; errors: number };

function note(timing: Timing | undefined, tally: Tally): void {
  if (timing === undefined) {
    tally.errors += 1;
    return;
  }
  tally.firstByteMs.push(timing.firstByteMs);
  tally.wholeMs.push(timing.wholeMs);
}

/** Many connections to one target. */
async function press(target: Target, lines: readonly Line[], plan: Plan): Promise<Result> {
  const tally: Tally = { firstByteMs: [], wholeMs: [], errors: 0 };
  const run = async (requests: number, into: Tally): Promise<void> => {
    let left = requests;
    const gapMs = plan.perSecond > 0 ? 1000 / plan.perSecond : 0;
    let dueMs = performance.now();
    await Promise.all(
      lines.map(async (line) => {
        while (left > 0) {
          left -= 1;
          dueMs += gapMs;
          const waitMs = dueMs - performance.now();
          if (gapMs > 0 && waitMs > 0.5) await Bun.sleep(waitMs);
          note(await line.ask(), into);
        }
      }),
    );
  };
  await run(plan.warmup, { firstByteMs: [], wholeMs: [], errors: 0 });
  const before = cpuMs(target.pid);
  const startedMs = performance.now();
  await run(plan.requests, tally);
  const seconds = (performance.now() - startedMs) / 1000;
  const after = cpuMs(target.pid);
  return {
    name: target.name,
    seconds,
    ...tally,
    cpuMs: before === undefined || after === undefined ? undefined : after - before,
    residentKilobytes: residentKilobytes(target.pid),
  };
}

/** One connection to each target, and the targets by turns: what disturbs one disturbs the others as well. */
async function alternate(plan: Plan): Promise<readonly Result[]> {
  const tracks = await Promise.all(
    plan.targets.map(async (target) => ({
      target,
      line: await openLine(target, 0),
      tally: { firstByteMs: [], wholeMs: [], errors: 0 } as Tally,
    })),
  );
  for (let round = 0; round < plan.warmup; round++) {
    for (const { line } of tracks) await line.ask();
  }
  const startedMs = performance.now();
  for (let round = 0; round < plan.requests; round++) {
    for (const { line, tally } of tracks) note(await line.ask(), tally);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  for (const { line } of tracks) line.close();
  return tracks.map(({ target, tally }) => ({
    name: target.name,
    seconds,
    ...tally,
    cpuMs: undefined,
    residentKilobytes: undefined,
  }));
}

async function perform(plan: Plan): Promise<readonly Result[]> {
  const [only] = plan.targets;
  if (plan.targets.length !== 1 || only === undefined) return alternate(plan);
  const numbers = Array.from({ length: plan.connections }, (_, number) => number);
  const lines = await Promise.all(numbers.map((number) => openLine(only, number)));
  const result = await press(only, lines, plan);
  for (const line of lines) line.close();
  return [result];
}

if (import.meta.main) {
  const plan: Plan = JSON.parse(process.argv[2] ?? "{}");
  console.log(JSON.stringify(await perform(plan)));
  process.exit(0);
}
