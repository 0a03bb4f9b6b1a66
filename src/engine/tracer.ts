import type { PostTraces } from "../upstream/collector.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import type { TurnRecord } from "./record.ts";
import { countSpans, type EndedTurn, type SpanSource, tracesOf } from "./spans.ts";

/** What telling a collector of turns needs. */
export type TracerPorts = {
  readonly clock: Clock;
  readonly log: Log;
  /** Read anew at each use; "" = nobody is told. */
  readonly endpoint: () => string;
  readonly post: PostTraces;
  readonly source: SpanSource;
  /** 16 hexadecimal digits. */
  readonly newSpanId: () => string;
  readonly onSpans: (outcome: "exported" | "dropped", count: number) => void;
};

/** Tells a collector of turns that are over, in the background. */
export type Tracer = {
  /** Puts a turn in line. Takes no time to speak of, and never throws. */
  readonly keep: (record: TurnRecord) => void;
  /** Sends what is in line. Never throws: what is not taken is dropped and counted. */
  readonly flush: () => Promise<void>;
};

// A second of more turns than this program serves. Each takes some KB.
const MOST_WAITING = 2048;
// Some hundred KB, which take a millisecond or two to write down.
const MOST_PER_POST = 128;
const TIMEOUT_MS: Millis = 10_000;

/** A line with nobody in it. */
export function createTracer(ports: TracerPorts): Tracer {
  const { clock, log, endpoint, post, source, newSpanId, onSpans } = ports;
  let line: EndedTurn[] = [];
  let isFailing = false;
  let flushing: Promise<void> | undefined;

  const drop = (turns: readonly EndedTurn[]): void => {
    onSpans("dropped", spansIn(turns));
  };

  const note = (reason: string | undefined): void => {
    if (reason !== undefined && !isFailing) {
      log.warn("the collector (otlp-endpoint) takes no traces; they are dropped until it does", {
        reason,
      });
    }
    if (reason === undefined && isFailing) log.info("the collector takes traces again");
    isFailing = reason !== undefined;
  };

  /** Whether the collector has taken them. */
  const send = async (to: string, turns: readonly EndedTurn[]): Promise<boolean> => {
    const body = JSON.stringify(tracesOf(turns, source, newSpanId));
    const stop = new AbortController();
    const cancel = clock.after(TIMEOUT_MS, () => stop.abort());
    const posted = await post(to, body, stop.signal).finally(cancel);
    if (!posted.ok) {
      note(posted.reason);
      drop(turns);
      return false;
    }
    note(undefined);
    const rejected = Math.min(posted.rejected, spansIn(turns));
    onSpans("exported", spansIn(turns) - rejected);
    if (rejected > 0) onSpans("dropped", rejected);
    return true;
  };

  const sendAll = async (): Promise<void> => {
    while (line.length > 0) {
      const turns = line.slice(0, MOST_PER_POST);
      line = line.slice(MOST_PER_POST);
      const to = endpoint();
      // Nobody wants to know any more.
      if (to === "") return drop([...turns, ...line.splice(0)]);
      // The rest waits for the next time: to try each would only take as long again.
      if (!(await send(to, turns))) return;
    }
  };

  return {
    keep: (record) => {
      if (endpoint() === "" || record.isPrewarm || record.trace?.isSampled === false) return;
      const turn = { record, endedMs: clock.now() };
      if (line.length >= MOST_WAITING) drop([turn]);
      else line.push(turn);
    },
    flush: () => {
      flushing ??= sendAll().finally(() => {
        flushing = undefined;
      });
      return flushing;
    },
  };
}

function spansIn(turns: readonly EndedTurn[]): number {
  return turns.reduce((sum, turn) => sum + countSpans(turn), 0);
}
