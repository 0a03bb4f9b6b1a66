// One raw connection to a contender, one request at a time: nothing here is to cost more than what is measured.

import type { Socket } from "bun";
import { type Answer, type Model, modelOf, openAnswer } from "./answer.ts";
import { type Contender, KEY } from "./contender.ts";
import { type Content, requestBody } from "./request.ts";
import { lookAt, type Sight } from "./sight.ts";

/** A short turn of the Codex CLI's has about this much. */
const SMALL: Content = { bytes: 8192, kind: "text" };

/** A request whose conversation can be changed in place. */
export type Request = {
  readonly bytes: Buffer;
  /** Makes it the request of another conversation. */
  readonly rename: (conversation: number) => void;
};

const DIGITS = 8;
const PREFIX = "bench-";

function keyOf(conversation: number): string {
  return `${PREFIX}${`${conversation}`.padStart(DIGITS, "0")}`;
}

/** What is sent: the same head and body for every contender of a dialect. */
export function requestOf(contender: Contender, conversation: number): Request {
  const { path, port, dialect, content = SMALL } = contender;
  const key = keyOf(conversation);
  const body = Buffer.from(requestBody(dialect, content, key));
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
  const bytes = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body]);
  const places: number[] = [];
  for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(key, at + 1)) places.push(at);
  return {
    bytes,
    rename: (other) => {
      for (const place of places) bytes.write(keyOf(other), place, "latin1");
    },
  };
}

/** The milliseconds that one request took to its last byte, or what went wrong. */
export type Timing = number | string;

/** A connection that is open. */
export type Line = {
  /** Sends the request once more, if need be as another conversation. */
  readonly ask: (conversation?: number) => Promise<Timing>;
  readonly close: () => void;
  /** Goes away in the midst of things, as a client does that was stopped. */
  readonly abort: () => void;
};

/** What the first answer was, for all that follow it. */
export type Memory = { model: Model | undefined; sight: Sight | undefined };

/** Nothing seen yet. */
export function newMemory(): Memory {
  return { model: undefined, sight: undefined };
}

/** Keeps a first answer; says what is wrong with it. */
export function remember(memory: Memory, { dialect }: Contender, body: Buffer): string | undefined {
  memory.sight = lookAt(dialect, body);
  memory.model = modelOf(dialect, body);
  return memory.sight === undefined ? `it has no end: ${body.toString().slice(-200)}` : undefined;
}

const LIMIT_MS = 60_000;

/** What a request comes to whose connection has ended. */
export const CLOSED = "the connection was closed";

/** What a request comes to that could not even be sent. */
export const NO_CONNECTION = "it takes no connection";

/** Opens a connection. The first whole answer is kept in `memory`, and later ones are compared with it. */
export async function openLine(
  contender: Contender,
  conversation: number,
  memory: Memory,
): Promise<Line> {
  const request = requestOf(contender, conversation);
  let settle: ((timing: Timing) => void) | undefined;
  let answer: Answer = openAnswer(undefined);
  let unsent: Buffer = Buffer.alloc(0);
  let sentMs = 0;
  let isClosed = false;

  const end = (timing: Timing): void => {
    const tell = settle;
    settle = undefined;
    tell?.(timing);
  };
  const take = (chunk: Buffer): void => {
    if (settle === undefined) return;
    const verdict = answer.push(chunk);
    if (verdict === false) return;
    const wholeMs = performance.now() - sentMs;
    if (typeof verdict === "string") end(`an answer ${verdict}`);
    else if (memory.model !== undefined) end(wholeMs);
    else end(remember(memory, contender, answer.body()) ?? wholeMs);
  };
  const socket: Socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: contender.port,
    socket: {
      open: (opened) => {
        opened.setNoDelay(true);
      },
      data: (_socket, chunk) => take(chunk),
      drain: (draining) => {
        unsent = unsent.subarray(draining.write(unsent));
      },
      close: () => {
        isClosed = true;
        clearInterval(watch);
        end(CLOSED);
      },
    },
  }).catch((cause: unknown) => {
    throw new Error(`${contender.name}: ${NO_CONNECTION}`, { cause });
  });
  const watch = setInterval(() => {
    if (performance.now() - sentMs > LIMIT_MS) end(`no answer within ${LIMIT_MS / 1000} s`);
  }, LIMIT_MS / 10);
  return {
    ask: (other) =>
      new Promise((resolve) => {
        if (isClosed) return resolve(CLOSED);
        if (other !== undefined) request.rename(other);
        settle = resolve;
        answer = openAnswer(memory.model);
        sentMs = performance.now();
        unsent = request.bytes.subarray(socket.write(request.bytes));
      }),
    close: () => {
      clearInterval(watch);
      end(CLOSED);
      socket.end();
    },
    abort: () => {
      clearInterval(watch);
      end(CLOSED);
      socket.terminate();
    },
  };
}
