// One raw connection to a contender, one request at a time: nothing here is to cost more than what is measured.

import type { Socket } from "bun";
import { type Answer, type Model, modelOf, openAnswer } from "./answer.ts";
import { type Contender, KEY } from "./contender.ts";
import { type Content, requestBody } from "./request.ts";
import { lookAt, type Sight } from "./sight.ts";

/** A short turn of the Codex CLI's has about this much. */
const SMALL: Content = { bytes: 8192, kind: "text" };

/** The same head for every contender of a dialect. */
export function requestOf(contender: Contender, conversation: number): Buffer {
  const { path, port, dialect, content = SMALL } = contender;
  const key = `bench-${conversation}`;
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
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body]);
}

/** How long one request took, or what went wrong. */
export type Timing = { readonly firstByteMs: number; readonly wholeMs: number } | string;

/** A connection that is open. */
export type Line = {
  readonly ask: () => Promise<Timing>;
  readonly close: () => void;
};

/** What the first answer was, for all that follow it. */
export type Memory = { model: Model | undefined; sight: Sight | undefined };

/** Nothing seen yet. */
export function newMemory(): Memory {
  return { model: undefined, sight: undefined };
}

const LIMIT_MS = 60_000;
const CLOSED = "the connection was closed";

/** Opens a connection. The first whole answer is kept in `memory`, and later ones are compared with it. */
export async function openLine(
  contender: Contender,
  conversation: number,
  memory: Memory,
): Promise<Line> {
  const bytes = requestOf(contender, conversation);
  let settle: ((timing: Timing) => void) | undefined;
  let answer: Answer = openAnswer(undefined);
  let unsent: Buffer = Buffer.alloc(0);
  let sentMs = 0;
  let firstMs = 0;
  let isClosed = false;

  const end = (timing: Timing): void => {
    const tell = settle;
    settle = undefined;
    tell?.(timing);
  };
  const remember = (): string | undefined => {
    const body = answer.body();
    memory.sight = lookAt(contender.dialect, body);
    memory.model = modelOf(contender.dialect, body);
    return memory.sight === undefined ? `has no end: ${body.toString().slice(-200)}` : undefined;
  };
  const take = (chunk: Buffer): void => {
    if (settle === undefined) return;
    if (firstMs === 0) firstMs = performance.now();
    const verdict = answer.push(chunk);
    if (verdict === false) return;
    if (verdict !== true) {
      end(`an answer ${verdict}`);
      return;
    }
    const timing = { firstByteMs: firstMs - sentMs, wholeMs: performance.now() - sentMs };
    const fault = memory.model === undefined ? remember() : undefined;
    end(fault === undefined ? timing : `the first answer ${fault}`);
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
  });
  const watch = setInterval(() => {
    if (performance.now() - sentMs > LIMIT_MS) end(`no answer within ${LIMIT_MS / 1000} s`);
  }, LIMIT_MS / 10);
  return {
    ask: () =>
      new Promise((resolve) => {
        if (isClosed) return resolve(CLOSED);
        settle = resolve;
        firstMs = 0;
        answer = openAnswer(memory.model);
        sentMs = performance.now();
        unsent = bytes.subarray(socket.write(bytes));
      }),
    close: () => {
      clearInterval(watch);
      socket.end();
    },
  };
}
