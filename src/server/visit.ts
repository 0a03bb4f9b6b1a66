import type { Ticket } from "../engine/allowance.ts";
import type { Execution, Job } from "../engine/execute.ts";
import { openRecord, type TurnRecord, tellOwner } from "../engine/record.ts";
import { isError } from "../engine/report.ts";
import type { Watched } from "../engine/watch.ts";
import type { Exchange } from "../protocols/protocol.ts";
import type { Failure } from "../turn/failure.ts";
import type { Resolved } from "../turn/model.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import { wrapTurnState } from "../upstream/headers.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { readTraceparent } from "../wire/traceparent.ts";
import type { Caller } from "./keys.ts";

/** What serving a turn needs of the configuration; read anew for each turn. */
export type ProxyOptions = {
  readonly maxBodyBytes: number;
  /** How long nothing may move between a client and us, where it is the client's turn. 0 = for ever. */
  readonly clientIdleMs: Millis;
  readonly requestMs: Millis;
  readonly heartbeatMs: Millis;
  readonly earlyHeartbeatMs: Millis;
};

/** What serving a turn does through others, whether it came by HTTP or over a WebSocket. */
export type ProxyPorts = {
  readonly clock: Clock;
  readonly options: () => ProxyOptions;
  readonly resolve: (model: string) => Resolved;
  readonly execute: (job: Job) => Promise<Execution>;
  /** Counts a turn against the limits of its caller's key; a failure where they have no room for it. */
  readonly enter: (scope: string) => Ticket | Failure;
  /** Called once per turn, as it arrives. */
  readonly onBegin: (record: TurnRecord) => void;
  /** Called once per turn, at its very end. */
  readonly onEnd: (record: TurnRecord) => void;
  /** A fault of this program's own, while it served a turn. */
  readonly onFault: (requestId: string, cause: unknown) => void;
};

/** The client is not there any more. */
export const LEFT: Failure = { kind: "client-left", message: "The client went away." };

/** What a client is told of a fault of this program's own. */
export const FAULT: Failure = {
  kind: "internal",
  message: "The proxy itself failed; its log says more under this request id.",
};

/** The client is there, and takes nothing. */
export const UNREAD: Failure = {
  kind: "client-left",
  message: "The client took nothing of its answer for too long (listen-idle-timeout-sec).",
};

/** One of the request's own clocks ran out: that for all of it. */
export const TOO_LONG: Failure = {
  kind: "out-of-time",
  message: "The request took longer than allowed (request-timeout-sec).",
};

/** One turn from its arrival to its end. */
export type Visit = {
  readonly id: string;
  readonly scope: string;
  readonly record: TurnRecord;
  readonly stop: Stop;
  /** Counts the turn against its caller's limits, once; a failure where they have no room for it. */
  readonly enter: () => Failure | undefined;
  /** The client has gone. */
  readonly leave: () => void;
  /** The turn is over; only the first call counts. */
  readonly end: (failure?: Failure) => void;
};

/** Who visits. */
export type Arrival = {
  readonly requestId: string;
  /** As logs name the way in. */
  readonly protocol: string;
  readonly caller: Caller;
  /** As the client has sent it. */
  readonly traceparent: string | null;
  /** Aborts when the client leaves; a WebSocket tells that by itself. */
  readonly signal?: AbortSignal;
};

/** Opens the record of a turn and starts its clock. */
export function openVisit(
  { requestId, protocol, caller, traceparent, signal }: Arrival,
  ports: ProxyPorts,
): Visit {
  const { clock } = ports;
  const record = openRecord(requestId, clock.now());
  record.protocol = protocol;
  record.client = caller.name;
  record.trace = readTraceparent(traceparent);
  ports.onBegin(record);
  const stop = createStop();
  const leave = (): void => stop.stop(LEFT);
  signal?.addEventListener("abort", leave);
  if (signal?.aborted === true) leave();
  const { requestMs } = ports.options();
  const cancel = requestMs > 0 ? clock.after(requestMs, () => stop.stop(TOO_LONG)) : () => {};
  let ticket: Ticket | undefined;
  let isEnded = false;
  const end = (failure?: Failure): void => {
    if (isEnded) return;
    isEnded = true;
    cancel();
    signal?.removeEventListener("abort", leave);
    if (failure !== undefined) {
      record.failure = failure.kind;
      record.reason = tellOwner(failure, record.attempts.length === 0);
    }
    if (failure?.kind === "client-left") record.status = 499;
    ticket?.leave(isError(record), record.usage);
    ports.onEnd(record);
  };
  const enter = (): Failure | undefined => {
    const entered = ports.enter(caller.scope);
    if ("kind" in entered) return entered;
    ticket = entered;
    return undefined;
  };
  return { id: requestId, scope: caller.scope, record, stop, enter, leave, end };
}

/** Writes into the record what the request asks for. */
export function describe(record: TurnRecord, { turn, askedModel, wantsStream }: Exchange): void {
  record.askedModel = askedModel;
  record.model = turn.model;
  record.effort = turn.effort;
  record.tier = turn.isFast ? "priority" : undefined;
  record.askedTier = record.tier;
  record.session = turn.session.isExplicit ? "named" : "derived";
  record.isStream = wantsStream;
  record.removed = turn.removed;
}

/** The turn as work for the attempt loop; conversations of different callers never share a key. */
export function jobOf({ turn }: Exchange, { scope, stop, record }: Visit): Job {
  const { key, isExplicit } = turn.session;
  const sessionKey = sha256(`${scope}\n${isExplicit}\n${key}`);
  return { turn, sessionKey, caller: scope, stop, record };
}

/** A failure in the words that clients of the exchange's protocol act on. */
export function explained(failure: Failure, { explain }: Exchange): Failure {
  return explain === undefined ? failure : explain(failure);
}

// What the Codex CLI reads of the backend's response headers (upstream.md 1.2).
const RELAYED = ["x-models-etag", "x-reasoning-included", "openai-model"];

/** The backend's headers that this client may see. */
export function relayed(turn: Watched, { turn: { isNative } }: Exchange): Record<string, string> {
  const headers: Record<string, string> = {};
  if (!isNative) return headers;
  for (const name in turn.headers) {
    const value = turn.headers[name] ?? "";
    if (name === "x-codex-turn-state") headers[name] = wrapTurnState(value, turn.tag);
    else if (name.startsWith("x-codex-") || RELAYED.includes(name)) headers[name] = value;
  }
  return headers;
}
