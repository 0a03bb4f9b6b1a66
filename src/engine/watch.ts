import type { Outcome } from "../pool/settle.ts";
import { classifyEnd, classifyEvent } from "../turn/classify.ts";
import { isTerminal, type Step } from "../turn/step.ts";
import { readUsage } from "../turn/usage.ts";
import { quotaFromEvent } from "../upstream/limits.ts";
import type { Batch, TurnStream } from "../upstream/stream.ts";
import type { Clock } from "../wire/clock.ts";
import type { PlainHeaders } from "../wire/headers.ts";
import { dict, text } from "../wire/json.ts";
import type { Ledger } from "./ledger.ts";
import type { Seat } from "./line.ts";
import { type TurnRecord, tellOwner } from "./record.ts";

/** A running turn whose account learns from it as it is read. */
export type Watched = {
  /** The backend's response headers. */
  readonly headers: PlainHeaders;
  /** Stands before a sticky token that goes to the client. */
  readonly tag: string;
  /** Whether the first read brings the whole turn, its end included. */
  readonly isWhole?: boolean;
  /** The first read brings what had to be read to know that the backend answers. */
  readonly read: () => Promise<Batch>;
  /** Gives the account back and ends the backend's work. Call it on every path. */
  readonly close: () => void;
};

/** Where what is learnt goes. */
export type WatchPorts = {
  readonly clock: Pick<Clock, "now">;
  readonly settle: (accountId: string, outcome: Outcome) => void;
  readonly count: (accountId: string, usage: NonNullable<TurnRecord["usage"]>) => void;
  readonly ledger: Pick<Ledger, "note">;
};

/** Who serves the turn. */
export type Server = {
  readonly lease: Pick<Seat, "accountId" | "release">;
  readonly model: string;
  readonly tag: string;
  /** Whether the response's headers held a quota reading: the event at the stream's beginning only repeats it. */
  readonly isMeasured: boolean;
};

/** Reads a turn on behalf of its account and its record: quota, usage, the tier really served, how it ended. */
export function watchTurn(
  begun: { readonly held: readonly Step[]; readonly stream: TurnStream },
  { lease, model, tag, isMeasured }: Server,
  record: TurnRecord,
  ports: WatchPorts,
): Watched {
  const { stream } = begun;
  let held: readonly Step[] | undefined = begun.held;
  const settle = (outcome: Outcome): void => ports.settle(lease.accountId, outcome);

  const finish = (step: Step): void => {
    const response = dict(step.data()["response"]);
    record.tier = text(response["service_tier"]) ?? record.tier;
    const usage = readUsage(response);
    if (usage !== undefined) {
      record.usage = usage;
      ports.count(lease.accountId, usage);
    }
    const limit = classifyEnd(step.data(), model, ports.clock.now());
    if (limit === undefined) {
      settle({ type: "served" });
      return;
    }
    record.failure = limit.kind;
    record.reason = tellOwner(limit);
    settle({ type: "failed", failure: limit });
  };

  const look = (step: Step, isFirst: boolean): void => {
    switch (step.role) {
      case "rate-limits": {
        if (isFirst && isMeasured) return;
        const quota = quotaFromEvent(step.data(), ports.clock.now());
        if (quota !== undefined) settle({ type: "measured", quota });
        return;
      }
      case "item-done":
        ports.ledger.note(lease.accountId, step.frame.bytes);
        return;
      case "completed":
      case "incomplete":
        finish(step);
        return;
      case "failed":
      case "error": {
        const failure = classifyEvent(step.data(), model, ports.clock.now());
        record.failure = failure.kind;
        record.reason = tellOwner(failure);
        settle({ type: "failed", failure });
        return;
      }
      default:
    }
  };

  const observe = (batch: Batch): Batch => {
    if (batch.type === "steps") for (const step of batch.steps) look(step, false);
    if (batch.type === "broken" && batch.failure.kind !== "client-left") {
      record.failure = batch.failure.kind;
      record.reason = tellOwner(batch.failure);
      settle({ type: "failed", failure: batch.failure });
    }
    return batch;
  };

  return {
    headers: stream.headers,
    tag,
    isWhole: isTerminal(begun.held.at(-1)?.role ?? "preamble"),
    read: () => {
      if (held === undefined) return stream.read().then(observe);
      const batch: Batch = { type: "steps", steps: held };
      for (const step of held) look(step, true);
      held = undefined;
      return Promise.resolve(batch);
    },
    close: () => {
      stream.close();
      lease.release(ports.clock.now(), stream.drained());
    },
  };
}
