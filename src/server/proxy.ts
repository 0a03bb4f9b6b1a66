import type { Execution, Finished, Job } from "../engine/execute.ts";
import { openRecord, type TurnRecord } from "../engine/record.ts";
import { unlessStopped } from "../engine/wait.ts";
import type { Watched } from "../engine/watch.ts";
import type { Exchange, Protocol } from "../protocols/protocol.ts";
import type { Failure } from "../turn/failure.ts";
import type { Resolved } from "../turn/model.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import { wrapTurnState } from "../upstream/headers.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import { readBody } from "./intake.ts";
import type { Caller } from "./keys.ts";
import { type Source, streamReply } from "./reply.ts";

/** What serving a protocol needs of the configuration; read anew for each request. */
export type ProxyOptions = {
  readonly maxBodyBytes: number;
  readonly requestMs: Millis;
  readonly heartbeatMs: Millis;
  readonly earlyHeartbeatMs: Millis;
};

/** What serving a protocol does through others. */
export type ProxyPorts = {
  readonly clock: Clock;
  readonly options: () => ProxyOptions;
  readonly resolve: (model: string) => Resolved;
  readonly execute: (job: Job) => Promise<Execution>;
  /** Called once per request, at its very end. */
  readonly onEnd: (record: TurnRecord) => void;
  /** A fault of this program's own, while it served a request. */
  readonly onFault: (requestId: string, cause: unknown) => void;
};

/** One request to a protocol's route. */
export type ProxyCall = {
  readonly protocol: Protocol;
  readonly request: Request;
  readonly caller: Caller;
  readonly requestId: string;
};

const LEFT: Failure = { kind: "client-left", message: "The client went away." };
const FAULT: Failure = {
  kind: "internal",
  message: "The proxy itself failed; its log says more under this request id.",
};
const TOO_LONG: Failure = {
  kind: "timeout",
  message: "The request took longer than allowed (request-timeout-sec).",
};

/** The one handler of every protocol: reads the request, has it served, writes the answer in the protocol's form. */
export function createProxy(ports: ProxyPorts): (call: ProxyCall) => Promise<Response> {
  return async (call) => {
    const visit = openVisit(call, ports);
    try {
      const exchange = await readExchange(call, visit.stop, ports);
      if ("kind" in exchange) return visit.refuse(exchange);
      describe(visit.record, exchange);
      const serve = exchange.wantsStream ? serveStream : serveWhole;
      return await serve(exchange, visit, ports);
    } catch (cause) {
      ports.onFault(call.requestId, cause);
      return visit.refuse(FAULT);
    }
  };
}

/** One request from its arrival to its end. */
type Visit = {
  readonly id: string;
  readonly scope: string;
  readonly record: TurnRecord;
  readonly stop: Stop;
  /** The client has gone. */
  readonly leave: () => void;
  /** The request is over; only the first call counts. */
  readonly end: (failure?: Failure) => void;
  /** Ends the request with an error that the client can still be told by status. */
  readonly refuse: (failure: Failure) => Response;
};

function openVisit({ protocol, request, caller, requestId }: ProxyCall, ports: ProxyPorts): Visit {
  const { clock } = ports;
  const record = openRecord(requestId, clock.now());
  record.protocol = protocol.name;
  record.client = caller.name;
  const stop = createStop();
  const leave = (): void => stop.stop(LEFT);
  request.signal.addEventListener("abort", leave);
  if (request.signal.aborted) leave();
  const { requestMs } = ports.options();
  const cancel = requestMs > 0 ? clock.after(requestMs, () => stop.stop(TOO_LONG)) : () => {};
  let isEnded = false;
  const end = (failure?: Failure): void => {
    if (isEnded) return;
    isEnded = true;
    cancel();
    request.signal.removeEventListener("abort", leave);
    if (failure !== undefined) record.failure = failure.kind;
    if (failure?.kind === "client-left") record.status = 499;
    ports.onEnd(record);
  };
  const refuse = (failure: Failure): Response => {
    const { status, headers, body } = protocol.fail(failure, requestId, clock.now());
    record.status = status;
    end(failure);
    return Response.json(body, { status, headers: { ...headers, "x-request-id": requestId } });
  };
  return { id: requestId, scope: caller.scope, record, stop, leave, end, refuse };
}

function explained(failure: Failure, { explain }: Exchange): Failure {
  return explain === undefined ? failure : explain(failure);
}

function jobOf({ turn }: Exchange, { scope, stop, record }: Visit): Job {
  const { key, isExplicit } = turn.session;
  return { turn, sessionKey: sha256(`${scope}\n${isExplicit}\n${key}`), stop, record };
}

async function serveWhole(exchange: Exchange, visit: Visit, ports: ProxyPorts): Promise<Response> {
  const finish = (turn: Watched): Promise<Finished> => readWhole(turn, exchange);
  const done = await ports.execute({ ...jobOf(exchange, visit), finish });
  if (!done.ok) return visit.refuse(explained(done.failure, exchange));
  done.turn.close();
  const body = Buffer.from(JSON.stringify(done.body ?? null));
  visit.record.status = 200;
  visit.record.bytesOut = body.length;
  visit.end();
  return new Response(body, {
    headers: {
      "content-type": "application/json",
      ...relayed(done.turn, exchange),
      "x-request-id": visit.id,
    },
  });
}

async function serveStream(exchange: Exchange, visit: Visit, ports: ProxyPorts): Promise<Response> {
  const { clock } = ports;
  const { record } = visit;
  const { earlyHeartbeatMs, heartbeatMs } = ports.options();
  const encoder = exchange.stream();
  const execution = ports.execute(jobOf(exchange, visit));
  const first = await firstOf(execution, earlyHeartbeatMs, clock);
  if (first !== undefined && !first.ok) return visit.refuse(explained(first.failure, exchange));
  record.status = 200;
  const source: Source =
    first?.turn ?? execution.then((done) => (done.ok ? done.turn : done.failure));
  const stream = streamReply(source, encoder, {
    clock,
    heartbeatMs: first === undefined ? earlyHeartbeatMs : heartbeatMs,
    onLeave: visit.leave,
    onEnd: visit.end,
    onFault: (cause) => {
      ports.onFault(visit.id, cause);
      return FAULT;
    },
    onWrite: (bytes) => {
      record.firstOutputMs ??= clock.now();
      record.bytesOut += bytes;
    },
  });
  return new Response(stream, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      // nginx would hold a stream back otherwise.
      "x-accel-buffering": "no",
      ...(first === undefined ? {} : relayed(first.turn, exchange)),
      "x-request-id": visit.id,
    },
  });
}

async function readExchange(
  call: ProxyCall,
  stop: Stop,
  ports: ProxyPorts,
): Promise<Exchange | Failure> {
  const { protocol, request } = call;
  try {
    // A client that sends its body drop by drop is bound by the request's clock too.
    const intake = await unlessStopped(readBody(request, ports.options().maxBodyBytes), stop);
    if (intake === undefined) return stop.reason() ?? LEFT;
    if (!intake.ok) return intake.failure;
    const decoded = protocol.decode({
      bytes: intake.bytes,
      headers: request.headers,
      resolve: ports.resolve,
      scope: call.caller.scope,
    });
    return decoded.ok ? decoded.exchange : decoded.failure;
  } catch (cause) {
    if (request.signal.aborted) return LEFT;
    throw cause;
  }
}

function describe(record: TurnRecord, { turn, askedModel, wantsStream }: Exchange): void {
  record.askedModel = askedModel;
  record.model = turn.model;
  record.effort = turn.effort;
  record.tier = turn.isFast ? "priority" : undefined;
  record.isStream = wantsStream;
  record.removed = turn.removed;
}

/** Reads a turn to its end into a fresh body: an attempt that fails half-way leaves nothing in the answer. */
async function readWhole(turn: Watched, exchange: Exchange): Promise<Finished> {
  const body = exchange.body();
  for (;;) {
    const batch = await turn.read();
    if (batch.type === "end") return { ok: true, body: body.end() };
    if (batch.type === "broken") return { ok: false, failure: batch.failure };
    for (const step of batch.steps) {
      if (step.role === "failed" || step.role === "error") {
        return { ok: false, failure: exchange.classify(step.data()) };
      }
    }
    body.push(batch.steps);
  }
}

/** The execution's end, or undefined when the client should be kept warm before it. */
async function firstOf(
  execution: Promise<Execution>,
  earlyMs: Millis,
  clock: Clock,
): Promise<Execution | undefined> {
  if (earlyMs <= 0) return execution;
  let cancel = (): void => {};
  const early = new Promise<undefined>((resolve) => {
    cancel = clock.after(earlyMs, () => resolve(undefined));
  });
  try {
    return await Promise.race([execution, early]);
  } finally {
    cancel();
  }
}

// What the Codex CLI reads of the backend's response headers (upstream.md 1.2).
const RELAYED = ["x-models-etag", "x-reasoning-included", "openai-model"];

/** The backend's headers that this client may see. */
function relayed(turn: Watched, { turn: { isNative } }: Exchange): Record<string, string> {
  const headers: Record<string, string> = {};
  if (!isNative) return headers;
  for (const [name, value] of turn.headers) {
    if (name === "x-codex-turn-state") headers[name] = wrapTurnState(value, turn.tag);
    else if (name.startsWith("x-codex-") || RELAYED.includes(name)) headers[name] = value;
  }
  return headers;
}
