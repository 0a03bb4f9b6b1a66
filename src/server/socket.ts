import type { Watched } from "../engine/watch.ts";
import type { Exchange, Protocol, StreamEncoder } from "../protocols/protocol.ts";
import { findUnreadable } from "../protocols/responses/check.ts";
import { type Ask, type Create, readClientFrame } from "../protocols/responses/client-frame.ts";
import { gather, type Past } from "../protocols/responses/conversation.ts";
import { turnHeaders } from "../protocols/responses/frame-headers.ts";
import { createHistory } from "../protocols/responses/history.ts";
import { isNativeClient } from "../protocols/responses/native.ts";
import {
  errorEvent,
  interruptAccepted,
  interruptFailed,
  metadataEvent,
  prewarmEvents,
  steerFailed,
} from "../protocols/responses/server-frame.ts";
import { createTranscript, type Transcript } from "../protocols/responses/transcript.ts";
import { encodeBody } from "../turn/amend.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import { isTerminal } from "../turn/step.ts";
import { type Dict, text } from "../wire/json.ts";
import { createFrameSplitter, dataOf } from "../wire/sse.ts";
import { type AccessOptions, admitCaller, type Caller, resolveFor } from "./keys.ts";
import { type Channel, createOutlet } from "./outlet.ts";
import {
  describe,
  explained,
  FAULT,
  jobOf,
  LEFT,
  openVisit,
  type ProxyPorts,
  relayed,
  type Visit,
} from "./visit.ts";

/** What serving a socket does through others. */
export type SocketPorts = ProxyPorts & {
  /** Its requests and events are those of the socket. */
  readonly protocol: Protocol;
  /** What is remembered of a caller's turns beyond one connection. */
  readonly past: (scope: string) => Past;
  readonly access: () => AccessOptions;
  readonly newRequestId: () => string;
  /** Whether the program takes no more turns. */
  readonly isRetiring: () => boolean;
};

/** A connection that has been opened. */
export type Connection = {
  readonly channel: Channel;
  readonly handshake: Headers;
  readonly caller: Caller;
};

/** One open socket, as the wire and the program's end see it. */
export type Socket = {
  readonly message: (data: string | Uint8Array) => void;
  /** What had waited in memory has gone out. */
  readonly drain: () => void;
  /** The other side is there. */
  readonly heard: () => void;
  /** The connection is over, whoever ended it. */
  readonly close: () => void;
  /** Ends the connection if no turn is running. */
  readonly closeIfIdle: () => void;
  /** Ends the connection. */
  readonly cut: () => void;
};

/** A turn in its lane. */
type Running = {
  readonly lane: string;
  readonly visit: Visit;
  readonly transcript: Transcript;
  /** The client has asked for its end. */
  isInterrupted: boolean;
};

// A conversation that is larger must be sent whole with each turn; Codex does so by itself when it is told.
const HISTORY = { mostBytes: 32 * 1024 * 1024, ttlMs: 3_600_000 };

/** What records call this way in. */
export const WEBSOCKET = "websocket";

// The public API's bound.
const MOST_AT_ONCE = 16;

const GOING_AWAY = 1001;

/** Serves Responses over one WebSocket: each turn goes to the backend as a POST of its own. */
export function createSocket(connection: Connection, ports: SocketPorts): Socket {
  const { channel, handshake } = connection;
  const { clock, protocol } = ports;
  const outlet = createOutlet(channel, clock, ports.options().heartbeatMs);
  const history = createHistory(() => HISTORY);
  const lanes = new Map<string, Running>();
  let isClosed = false;

  /** What this connection remembers, and where it does not, what others do. */
  const pastOf = ({ scope }: Caller): Past => {
    const past = ports.past(scope);
    return {
      find: past.find,
      recall: (responseId) => history.recall(responseId, clock.now()) ?? past.recall(responseId),
    };
  };

  const visitOf = (caller: Caller, headers = handshake): Visit => {
    const traceparent = headers.get("traceparent");
    const arrival = { requestId: ports.newRequestId(), protocol: WEBSOCKET, caller, traceparent };
    return openVisit(arrival, ports);
  };

  /** Ends a turn of which the client has seen nothing. */
  const refuseTurn = (lane: string, visit: Visit, failure: Failure): void => {
    const reply = protocol.fail(failure, visit.id, clock.now());
    visit.record.status = reply.status;
    visit.record.bytesOut += outlet.tell(lane, [errorEvent(reply)]);
    visit.end(failure);
  };

  /** A frame that begins nothing. It has its line in the log too, under the id that the client is told. */
  const refuseFrame = (lane: string, failure: Failure): void => {
    refuseTurn(lane, visitOf(connection.caller), failure);
  };

  const write = async (running: Running, events: readonly Told[]): Promise<void> => {
    const { transcript, visit, lane } = running;
    const frames = events.map(({ data }) => data);
    const bytes = await outlet.write(lane, frames);
    if (bytes === 0) return;
    for (const { event, data } of events) transcript.note(event, data);
    visit.record.firstOutputMs ??= clock.now();
    visit.record.bytesOut += bytes;
  };

  /** The end of a turn that broke off, as the client asked for it or as a failure. */
  const endOf = (failure: Failure, encoder: StreamEncoder, running: Running): readonly Told[] =>
    running.isInterrupted && failure.kind === "client-left"
      ? running.transcript.interrupt().map(toldOf)
      : createEventReader()(encoder.fail(failure));

  /** Hands a turn's events on until it is over; the failure is why it has no proper end. */
  const pump = async (
    turn: Watched,
    encoder: StreamEncoder,
    running: Running,
  ): Promise<Failure | undefined> => {
    const read = createEventReader();
    while (!isClosed) {
      const batch = await turn.read();
      if (batch.type === "end") return undefined;
      if (batch.type === "broken") return batch.failure;
      await write(running, read(encoder.push(batch.steps)));
      if (batch.steps.some(({ role }) => isTerminal(role))) break;
    }
    return isClosed ? LEFT : undefined;
  };

  /** Answers with a turn that the backend has begun, well-formed to its end; the failure is what the client was told. */
  const relay = async (
    turn: Watched,
    exchange: Exchange,
    running: Running,
  ): Promise<Failure | undefined> => {
    const encoder = exchange.stream();
    const headers = relayed(turn, exchange);
    if (Object.keys(headers).length > 0) await write(running, [toldOf(metadataEvent(headers))]);
    const failure = await pump(turn, encoder, running).catch((cause: unknown) => {
      ports.onFault(running.visit.id, cause);
      return FAULT;
    });
    if (failure !== undefined) await write(running, endOf(failure, encoder, running));
    return failure;
  };

  const remember = ({ conversation }: Exchange, { transcript }: Running, bytes: number): void => {
    const outcome = transcript.outcome();
    if (outcome === undefined || conversation === undefined) return;
    history.keep(conversation, outcome, bytes, clock.now());
  };

  const headersOf = ({ body, headers }: Create): Headers =>
    turnHeaders(handshake, headers, text(body["model"]) ?? "");

  const run = async (
    create: Create,
    bytes: number,
    running: Running,
    caller: Caller,
  ): Promise<void> => {
    const { visit, lane } = running;
    const refusal = visit.enter();
    if (refusal !== undefined) {
      refuseTurn(lane, visit, refusal);
      return;
    }
    const decoded = protocol.decode({
      bytes: encodeBody(create.body),
      headers: headersOf(create),
      resolve: resolveFor(caller, ports.resolve),
      scope: caller.scope,
      recall: pastOf(caller).recall,
    });
    if (!decoded.ok) {
      refuseTurn(lane, visit, decoded.failure);
      return;
    }
    const { exchange } = decoded;
    describe(visit.record, exchange);
    const execution = await ports.execute(jobOf(exchange, visit));
    if (!execution.ok) {
      refuseTurn(lane, visit, explained(execution.failure, exchange));
      return;
    }
    visit.record.status = 200;
    try {
      const failure = await relay(execution.turn, exchange, running);
      remember(exchange, running, bytes);
      visit.end(failure);
    } finally {
      execution.turn.close();
    }
  };

  const closeIfIdle = (): void => {
    if (lanes.size === 0 && !isClosed) channel.close(GOING_AWAY, STOPPING);
  };

  const serve = async (create: Create, bytes: number, caller: Caller): Promise<void> => {
    const { lane } = create;
    const visit = visitOf(caller, headersOf(create));
    const running = { lane, visit, transcript: createTranscript(), isInterrupted: false };
    lanes.set(lane, running);
    try {
      await run(create, bytes, running, caller);
    } catch (cause) {
      ports.onFault(visit.id, cause);
      refuseTurn(lane, visit, FAULT);
    } finally {
      lanes.delete(lane);
      if (ports.isRetiring()) closeIfIdle();
    }
  };

  /** Remembers input that is sent ahead. No account is touched. */
  const prewarm = (create: Create, bytes: number, caller: Caller): void => {
    const { lane, body } = create;
    const visit = visitOf(caller, headersOf(create));
    const { record } = visit;
    const now = clock.now();
    record.isPrewarm = true;
    record.isStream = true;
    record.askedModel = text(body["model"]) ?? "";
    record.model = record.askedModel;
    // What is sent ahead may be nothing but tools.
    const asked = { ...body, input: body["input"] ?? [] };
    const gathered =
      findUnreadable(asked) ?? gather(asked, pastOf(caller), isNativeClient(headersOf(create)));
    if ("kind" in gathered) {
      refuseTurn(lane, visit, gathered);
      return;
    }
    const responseId = visit.id.replace(/^req_/, "resp_");
    history.keep(gathered, { responseId, items: [] }, bytes, now);
    record.status = 200;
    record.firstOutputMs = now;
    record.bytesOut = outlet.tell(lane, prewarmEvents(body, responseId, now));
    visit.end();
  };

  const create = (asked: Create, bytes: number): void => {
    const { lane } = asked;
    // Asked with each turn: a key may have been taken back since the connection was opened.
    const caller = admitCaller(handshake, "client", ports.access(), {
      isLocal: false,
      nowMs: clock.now(),
    });
    if ("kind" in caller) refuseFrame(lane, caller);
    else if (ports.isRetiring()) refuseFrame(lane, RETIRING);
    else if (lanes.has(lane)) refuseFrame(lane, BUSY);
    else if (lanes.size >= MOST_AT_ONCE) refuseFrame(lane, TOO_MANY);
    else if (asked.isPrewarm) prewarm(asked, bytes, caller);
    else void serve(asked, bytes, caller);
  };

  const runningAs = (responseId: string): Running | undefined =>
    [...lanes.values()].find(({ transcript }) => transcript.responseId() === responseId);

  const end = (running: Running): void => {
    running.isInterrupted = true;
    running.visit.stop.stop(INTERRUPTED);
  };

  const interrupt = (responseId: string): void => {
    const running = runningAs(responseId);
    if (running !== undefined) {
      outlet.tell(running.lane, [interruptAccepted(responseId)]);
      end(running);
      return;
    }
    // One that has just ended says so by its last event, which is on its way to the client.
    if (!history.knows(responseId, clock.now())) outlet.tell("", [interruptFailed(responseId)]);
  };

  const cancel = (lane: string, responseId: string | undefined): void => {
    const running = responseId === undefined ? lanes.get(lane) : runningAs(responseId);
    if (running === undefined) refuseFrame(lane, NOT_RUNNING);
    else end(running);
  };

  const follow = (ask: Ask, bytes: number): void => {
    switch (ask.type) {
      case "create":
        create(ask, bytes);
        break;
      case "interrupt":
        interrupt(ask.responseId);
        break;
      case "cancel":
        cancel(ask.lane, ask.responseId);
        break;
      case "steer":
        outlet.tell(runningAs(ask.responseId)?.lane ?? "", [
          steerFailed(ask.responseId, ask.input),
        ]);
        break;
      case "mistake":
        refuseFrame(ask.lane, ask.failure);
        break;
      case "none":
    }
  };

  return {
    message: (data) => {
      if (isClosed) return;
      outlet.heard();
      const { maxBodyBytes } = ports.options();
      const bytes = Buffer.byteLength(data);
      if (typeof data !== "string") refuseFrame("", BINARY);
      else if (bytes > maxBodyBytes) refuseFrame("", tooLarge(maxBodyBytes));
      else follow(readClientFrame(data), bytes);
    },
    drain: outlet.drain,
    heard: outlet.heard,
    close: () => {
      isClosed = true;
      for (const { visit } of lanes.values()) visit.leave();
      outlet.close();
    },
    closeIfIdle,
    cut: () => {
      if (!isClosed) channel.close(GOING_AWAY, STOPPING);
    },
  };
}

/** An event as it goes out. */
type Told = { readonly event: string; readonly data: string };

function toldOf(event: Dict): Told {
  return { event: text(event["type"]) ?? "", data: JSON.stringify(event) };
}

/** Reads the events out of what an encoder writes for HTTP, so that both ways tell the same; comments are dropped. */
function createEventReader(): (pieces: readonly Uint8Array[]) => readonly Told[] {
  const splitter = createFrameSplitter();
  return (pieces) =>
    pieces
      .flatMap((piece) => splitter.push(piece))
      .map(({ event, bytes }) => ({ event, data: dataOf(bytes) }))
      .filter(({ data }) => data !== "");
}

const STOPPING = "The proxy stops; open a new connection.";
const BINARY = refuse(400, "invalid_frame", "This connection takes text frames of JSON only.");
const BUSY = refuse(
  409,
  "response_already_running",
  "A response is running here: wait for its end, end it with response.interrupt, or name another 'stream_id'.",
);
const TOO_MANY = refuse(
  429,
  "too_many_responses",
  `${MOST_AT_ONCE} responses are running on this connection, which is the most: wait for one to end.`,
);
const NOT_RUNNING = refuse(400, "response_not_active", "There is no such response to cancel.");
const RETIRING = refuse(503, "proxy_stopping", STOPPING);
const INTERRUPTED: Failure = {
  kind: "client-left",
  code: "response_cancelled",
  message: "The client has ended the response.",
};

function tooLarge(limitBytes: number): Failure {
  const message = `The frame is larger than ${limitBytes} bytes (max-body-bytes).`;
  return refuse(413, "request_too_large", message);
}
