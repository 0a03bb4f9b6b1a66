import type { Execution, Finished } from "../engine/execute.ts";
import { unlessStopped } from "../engine/wait.ts";
import type { Watched } from "../engine/watch.ts";
import type { Exchange, Protocol } from "../protocols/protocol.ts";
import { classifyEnd } from "../turn/classify.ts";
import type { Failure } from "../turn/failure.ts";
import type { Step } from "../turn/step.ts";
import type { Stop } from "../turn/stop.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { readBody } from "./intake.ts";
import { type Caller, resolveFor } from "./keys.ts";
import type { Connection } from "./listen.ts";
import { type ReplyOptions, type Source, streamReply, wholeReply } from "./reply.ts";
import {
  describe,
  explained,
  FAULT,
  jobOf,
  LEFT,
  openVisit,
  type ProxyPorts,
  relayed,
  UNREAD,
  type Visit,
} from "./visit.ts";

/** One request to a protocol's route. */
export type ProxyCall = {
  readonly protocol: Protocol;
  readonly request: Request;
  readonly caller: Caller;
  readonly requestId: string;
  readonly connection: Connection;
};

/** The one handler of every protocol: reads the request, has it served, writes the answer in the protocol's form. */
export function createProxy(ports: ProxyPorts): (call: ProxyCall) => Promise<Response> {
  return async (call) => {
    const visit = openHttpVisit(call, ports);
    try {
      // Before its body is read: what the key has no room for shall cost nothing.
      const refusal = visit.enter();
      if (refusal !== undefined) return visit.refuse(refusal);
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

/** A visit over HTTP: while no answer has begun, a failure is told by status. */
type HttpVisit = Visit & {
  readonly connection: Connection;
  readonly refuse: (failure: Failure) => Response;
};

function openHttpVisit(
  { protocol, request, caller, requestId, connection }: ProxyCall,
  ports: ProxyPorts,
): HttpVisit {
  const { signal, headers } = request;
  const traceparent = headers.get("traceparent");
  const arrival = { requestId, protocol: protocol.name, caller, traceparent, signal };
  const visit = openVisit(arrival, ports);
  // A model may think for longer than any connection may be idle.
  connection.hold();
  const end = (failure?: Failure): void => {
    connection.rest();
    visit.end(failure);
  };
  const refuse = (failure: Failure): Response => {
    const { status, headers, body } = protocol.fail(failure, requestId, ports.clock.now());
    visit.record.status = status;
    end(failure);
    return Response.json(body, { status, headers: { ...headers, "x-request-id": requestId } });
  };
  return { ...visit, connection, end, refuse };
}

async function serveWhole(
  exchange: Exchange,
  visit: HttpVisit,
  ports: ProxyPorts,
): Promise<Response> {
  const finish = (turn: Watched): Promise<Finished> => readWhole(turn, exchange, ports.clock);
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

async function serveStream(
  exchange: Exchange,
  visit: HttpVisit,
  ports: ProxyPorts,
): Promise<Response> {
  const { earlyHeartbeatMs, heartbeatMs } = ports.options();
  const encoder = exchange.stream();
  const execution = ports.execute(jobOf(exchange, visit));
  const first = await firstOf(execution, earlyHeartbeatMs, ports.clock);
  if (first !== undefined && !first.ok) return visit.refuse(explained(first.failure, exchange));
  visit.record.status = 200;
  const source: Source =
    first?.turn ??
    execution.then((done) => (done.ok ? done.turn : explained(done.failure, exchange)));
  const options = replyOptions(visit, ports, first === undefined ? earlyHeartbeatMs : heartbeatMs);
  const isWhole = first?.turn.isWhole === true;
  const body = isWhole
    ? await wholeReply(first.turn, encoder, options)
    : streamReply(source, encoder, options);
  return new Response(body, {
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

/** What a streamed answer tells its visit. Made apart, it does not hold the request as long as the stream lives. */
function replyOptions(visit: HttpVisit, ports: ProxyPorts, heartbeatMs: Millis): ReplyOptions {
  const { clock } = ports;
  const { record } = visit;
  return {
    clock,
    heartbeatMs,
    unreadMs: ports.options().clientIdleMs,
    onUnread: () => {
      visit.stop.stop(UNREAD);
      visit.connection.cut();
    },
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
  };
}

async function readExchange(
  call: ProxyCall,
  stop: Stop,
  ports: ProxyPorts,
): Promise<Exchange | Failure> {
  const { protocol, request } = call;
  try {
    // A client that sends its body drop by drop is bound by the request's clock too.
    const { maxBodyBytes, clientIdleMs } = ports.options();
    const limits = { limitBytes: maxBodyBytes, idleMs: clientIdleMs };
    const intake = await unlessStopped(readBody(request, limits, ports.clock), stop);
    if (intake === undefined) return stop.reason() ?? LEFT;
    if (!intake.ok) return intake.failure;
    const decoded = protocol.decode({
      bytes: intake.bytes,
      headers: request.headers,
      resolve: resolveFor(call.caller, ports.resolve),
      scope: call.caller.scope,
    });
    return decoded.ok ? decoded.exchange : decoded.failure;
  } catch (cause) {
    if (request.signal.aborted) return LEFT;
    throw cause;
  }
}

/** Reads a turn to its end into a fresh body: an attempt that fails half-way leaves nothing in the answer. */
async function readWhole(turn: Watched, exchange: Exchange, clock: Clock): Promise<Finished> {
  const body = exchange.body();
  for (;;) {
    const batch = await turn.read();
    if (batch.type === "end") return { ok: true, body: body.end() };
    if (batch.type === "broken") return { ok: false, failure: batch.failure };
    for (const step of batch.steps) {
      if (step.role === "failed" || step.role === "error") {
        return { ok: false, failure: exchange.classify(step.data()) };
      }
      const limit = step.role === "incomplete" ? limitOf(step, exchange, clock) : undefined;
      if (limit !== undefined) return { ok: false, failure: limit };
    }
    body.push(batch.steps);
  }
}

/** The limit that cut a turn short, if one did: nobody has seen any of it, so another account may begin anew. */
function limitOf(step: Step, { turn }: Exchange, clock: Clock): Failure | undefined {
  return classifyEnd(step.data(), turn.model, clock.now());
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
